"""What a report is made with: the options of this run and, where one is not given, those of the last."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sized
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from . import late, roster
from .late import Policy
from .roster import Person, Roster


@dataclass(frozen=True)
class Options:
    """Texts as they were typed, and what the tables held; empty where there is none.

    ``extensions`` are days by name, as it is written in the table.
    """

    notebook: str = ""
    canvas: str = ""
    due: str = ""
    off_per_day: str = ""
    counts: str = ""
    roster: Roster = field(default_factory=Roster)
    extensions: dict[str, float] = field(default_factory=dict)

    def policy(self, known: set[str]) -> Policy:
        """Which file counts, and what lateness costs these students."""
        due = late.due(self.due) if self.due else None
        per_day, percent = late.per_day(self.off_per_day or "0")
        find = self.roster.finder(known)
        days = {find(name) or name: number for name, number in self.extensions.items()}
        return Policy(self.counts or "best", due, per_day, percent, days)

    def without(self, student: str, known: set[str]) -> Options:
        """The options without a student of the grader's."""
        leaves = self.roster.person(student)
        people = tuple(person for person in self.roster.people if person is not leaves)
        find = self.roster.finder(known)
        days = {name: number for name, number in self.extensions.items() if find(name) != student}
        return replace(self, roster=Roster(people), extensions=days)

    def as_text(self) -> str:
        """What `of_text` reads."""
        people = [[person.name, sorted(person.keys), person.canvas] for person in self.roster.people]
        return json.dumps(asdict(self) | {"roster": people})


def of_text(text: str) -> Options:
    """The options that an earlier run remembered."""
    values = json.loads(text)
    people = [Person(name, frozenset(keys), tuple(canvas)) for name, keys, canvas in values.pop("roster", [])]
    return Options(roster=Roster(tuple(people)), **values)


def merged(args: argparse.Namespace, before: Options, known: set[str]) -> tuple[Options, str]:
    """The options of this run, and a sentence about those that are as before, "" where none is.

    An option that is None was not given, and "" takes the last one back. ValueError where a table cannot be
    read, or names a student who is neither known nor on the roster.
    """
    given = {item.name: getattr(args, item.name) for item in fields(Options)}
    given = {name: value for name, value in given.items() if value is not None}
    if "roster" in given:
        given["roster"] = roster.read(Path(args.roster)) if args.roster else Roster()
    people = given.get("roster", before.roster)
    if "extensions" in given:
        given["extensions"] = late.extensions(Path(args.extensions), known, people) if args.extensions else {}
    kept = [_spelled(item.name, getattr(before, item.name)) for item in fields(Options) if item.name not in given]
    kept = [option for option in kept if option]
    sentence = f"As in the last report: {', '.join(kept)}." if kept else ""
    return replace(before, **given), sentence


def _spelled(name: str, value: str | Sized) -> str:
    """An option as it is typed, a table by its number of names; "" for an empty one."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, str):
        return f"{option} {shlex.quote(value)}" if value else ""
    number = len(value)
    names = "name" if number == 1 else "names"
    return f"{option} ({number} {names})" if number else ""
