"""The class as its learning platform lists it: who handed in nothing, and everybody's name as it is written
there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from . import marks, names
from .inbox import CANVAS
from .store import Mark

FULL_NAME = ("student", "name", "full name", "student name")
FIRST_NAME = ("first name", "firstname", "given name")
LAST_NAME = ("last name", "lastname", "surname", "family name")
NUMBERS = ("id", "sis user id", "sid", "student id", "id number", "sis id")
LOGINS = ("sis login id", "email", "email address", "e-mail", "username", "login")
CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
NOT_PEOPLE = ("points possible", "student, test")  # lines of Canvas' own


@dataclass(frozen=True)
class Person:
    """One line of the roster: the name, and all that a submission could be named by. ``canvas`` are Canvas'
    columns."""

    name: str
    keys: frozenset[str]
    canvas: tuple[str, ...]


@dataclass(frozen=True)
class Roster:
    """A class. Students of the grader are found by number, login, e-mail or name, where only one person has
    it."""

    people: tuple[Person, ...] = ()

    def __len__(self) -> int:
        return len(self.people)

    @functools.cached_property
    def _by_key(self) -> dict[str, Person | None]:
        """Everybody by all keys; None where several people share one."""
        return _unique((key, person) for person in self.people for key in person.keys)

    @functools.cached_property
    def _by_spaced_key(self) -> dict[str, Person | None]:
        """The same, with spaces for underscores, hyphens and commas."""
        spaced = ((key, person) for person in self.people for key in {_spaced(key) for key in person.keys})
        return _unique(spaced)

    def person(self, student: str) -> Person | None:
        """The line that a student of the grader's is in."""
        canvas = CANVAS.match(f"{student}_1_")
        spelled = [canvas["id"], student, canvas["name"]] if canvas else [student]
        for text in spelled:
            person = self._by_key.get(_key(text))
            if person:
                return person
        return self._by_spaced_key.get(_spaced(_key(student)))

    def finder(self, known: Iterable[str]) -> Callable[[str], str | None]:
        """What finds the one known student who is meant by a name as in scores.csv, or as on the roster; else None."""
        students = set(known)
        by_key: dict[str, list[str]] = {}
        for student in sorted(students):
            by_key.setdefault(names.key(student), []).append(student)
        by_person = {self.person(student): student for student in sorted(students, reverse=True)}

        def find(text: str) -> str | None:
            same = [text] if text in students else by_key.get(names.key(text), [])
            if same:
                return same[0] if len(same) == 1 else None
            person = self.person(text)
            return by_person.get(person) if person else None

        return find

    def naming(self, handed_in: Iterable[str], others: Iterable[str] = ()) -> Callable[[str], str]:
        """What gives the name of a student who handed in, else the roster's, else that of one of the others.

        ValueError for a name that is nobody's.
        """
        students, others = set(handed_in), set(others)
        find, find_other = self.finder(students), self.finder(others)
        everybody = students | others | {person.name for person in self.people}

        def name_of(text: str) -> str:
            student, person = find(text), self.person(text)
            if student is None and person:
                student = person.name
            student = student or find_other(text)
            if student:
                return student
            raise ValueError(
                f"{names.nobody(text, everybody)} Students are named as in scores.csv or on --roster."
            )

        return name_of

    def renamed(self, by_hand: Iterable[Mark], known: Iterable[str]) -> list[Mark]:
        """Marks under the names that the grader knows; a name that it does not know stays as it is.

        Of two for one student's question, the one that was given under the grader's name counts.
        """
        find = self.finder(known)
        named = [(mark, find(mark.student) or mark.student) for mark in by_hand]
        named.sort(key=lambda pair: pair[0].student == pair[1])
        marks = {(name, mark.notebook, mark.question): replace(mark, student=name) for mark, name in named}
        return list(marks.values())

    def missing(self, students: Iterable[str]) -> list[Person]:
        """Those of whom there is nothing, no file and no points by hand."""
        there = {self.person(student) for student in students}
        return [person for person in self.people if person not in there]

    def strangers(self, students: Iterable[str]) -> list[str]:
        """Students of the grader's who are in no line."""
        return sorted(student for student in students if self.person(student) is None)


def _key(text: str) -> str:
    return names.key(text).casefold()


def _spaced(key: str) -> str:
    """A key as it reads where files may not have spaces in their names: "ada_love" is "ada love"."""
    return " ".join(re.split(r"[\s,_-]+", key)).strip()


def _unique(pairs: Iterable[tuple[str, Person]]) -> dict[str, Person | None]:
    """People by key; None where several share one."""
    people: dict[str, Person | None] = {}
    for key, person in pairs:
        people[key] = None if key in people else person
    return people


def read(path: Path) -> Roster:
    """A roster from a CSV as Canvas, Gradescope or Moodle export it, or with a column ``student``.

    ValueError where no column holds a name, a number or a login.
    """
    people = []
    for _, line in marks.table(path, []):
        cells = {
            (column or "").strip().lower(): names.student(value or "")
            for column, value in line.items()
            if isinstance(value, str)
        }
        person = _person(cells)
        if person:
            people.append(person)
    if not people:
        raise ValueError(
            f"{path} lists nobody. Its first line should name a column student, ID, SID or Email, as in "
            "the exports of Canvas, Gradescope and Moodle."
        )
    return Roster(tuple(people))


def _person(cells: dict[str, str]) -> Person | None:
    """The person in a line; None where there is none."""
    first, last = _first(cells, FIRST_NAME), _first(cells, LAST_NAME)
    name = _first(cells, FULL_NAME) or f"{first} {last}".strip()
    numbers = [cells[column] for column in NUMBERS if cells.get(column)]
    logins = [cells[column] for column in LOGINS if cells.get(column)]
    if name.lower() in NOT_PEOPLE or not (name or numbers or logins):
        return None
    if not (first or last):
        first, last = _split(name)
    spelled = [name, f"{first} {last}", f"{last}, {first}", re.sub(r"[\W_]+", "", f"{last}{first}")]
    local_parts = [login.partition("@")[0] for login in logins]
    keys = {_key(text) for text in (*spelled, *numbers, *logins, *local_parts)} - {"", ","}
    canvas = (
        cells.get("id", ""),
        cells.get("sis user id") or cells.get("sid", ""),
        logins[0] if logins else "",
        cells.get("section", ""),
    )
    return Person(name or (numbers + logins)[0], frozenset(keys), (name, *canvas))


def _split(name: str) -> tuple[str, str]:
    """First and last name of "Ada Love" or "Love, Ada"."""
    if "," in name:
        last, _, first = name.partition(",")
    else:
        first, _, last = name.rpartition(" ")
    return first.strip(), last.strip()


def _first(cells: dict[str, str], columns: Iterable[str]) -> str:
    return next((cells[column] for column in columns if cells.get(column)), "")
