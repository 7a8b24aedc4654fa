"""Pairs of students whose answers to an exercise are alike, for a person to judge.

Two normalized forms (see `forms`) are compared by fingerprints, as MOSS does it: the hashes of all runs of
``RUN`` nodes, of which winnowing keeps the least in each window of ``WINDOW`` (Schleimer, Wilkerson and
Aiken, Winnowing: local algorithms for document fingerprinting, SIGMOD 2003, section 3). Whatever RUN +
WINDOW - 1 nodes have in common in a row is then seen in both.

Fingerprints find the pairs, and only rare ones do: so a class of 700 is never compared with itself pair by
pair.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from .. import exercises
from ..exercises.declare import Exercise
from . import forms, submission
from .forms import Form

RUN = 10  # nodes; a line of code has 6 to 15
WINDOW = 4
FEWEST = 4  # fingerprints of its own that an answer needs, and that a pair shares: about two lines
ALIKE = 0.6  # the part of their fingerprints that two answers share
COMMON = (5, 0.02)  # what more students have than 5, and than this part of the class, proves nothing

Positions = dict[int, list[int]]  # the hash of a run of nodes -> where it begins


@dataclass(frozen=True)
class Pair:
    """Two students' answers to one exercise.

    ``share``: the part of the fingerprints of both that they have in common, known ones left out; 1 if the
    two trees are the same. ``bits`` says how striking it is: for each rare fingerprint that both have, log2
    of how few of the class have it. ``marked`` are the lines that they share, in the first one's code and
    in the second's.
    """

    exercise: str
    students: tuple[str, str]
    forms: tuple[Form, Form]
    share: float
    bits: float
    marked: tuple[frozenset[int], frozenset[int]]

    @property
    def is_same(self) -> bool:
        """Whether nothing but what the forms leave out is different."""
        return self.forms[0].words == self.forms[1].words


def runs(form: Form) -> Positions:
    """The hash of every run of RUN nodes; of a shorter form, there is none."""
    words = form.words.split(" ")
    found: Positions = {}
    for start in range(len(words) - RUN + 1):
        text = " ".join(words[start : start + RUN])
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        found.setdefault(key, []).append(start)
    return found


def fingerprints(hashes: Positions) -> set[int]:
    """Of each window of WINDOW runs the least hash."""
    starts = {start: key for key, places in hashes.items() for start in places}
    in_order = [starts[start] for start in sorted(starts)]
    last = max(1, len(in_order) - WINDOW + 1)
    return {min(in_order[start : start + WINDOW]) for start in range(last) if in_order}


def most_common(students: int) -> int:
    """So many of a class may have a fingerprint that still proves something."""
    fewest, part = COMMON
    return max(fewest, math.floor(part * students))


def pairs(exercise: str, answers: Mapping[str, Form], known: Iterable[Form] = ()) -> list[Pair]:
    """The students, two by two, whose answers are alike, the most striking first.

    ``answers`` are by student. What is in ``known``, forms that anybody may have from the course, is left
    out.
    """
    known = list(known)
    known_words = {form.words for form in known}
    known_runs = {key for form in known for key in runs(form)}
    every = {student: runs(form) for student, form in answers.items() if form.words not in known_words}
    own = {student: fingerprints(hashes) - known_runs for student, hashes in every.items()}
    own = {student: prints for student, prints in own.items() if len(prints) >= FEWEST}
    limit = most_common(len(answers))
    with_print = Counter(key for prints in own.values() for key in prints)
    with_form = Counter(answers[student].words for student in own)
    found = []
    for (first, second), keys in _rare(own, with_print, limit).items():
        words = answers[first].words
        is_same = words == answers[second].words
        share = 1.0 if is_same else len(own[first] & own[second]) / len(own[first] | own[second])
        if len(keys) < FEWEST or share < ALIKE or (is_same and with_form[words] > limit):
            continue
        bits = sum(math.log2(len(answers) / with_print[key]) for key in keys)
        marked = _marked(answers[first], answers[second], every[first], every[second], known_runs)
        both = answers[first], answers[second]
        found.append(Pair(exercise, (first, second), both, share, bits, marked))
    return sorted(found, key=lambda pair: -pair.bits * pair.share)


def _rare(
    own: Mapping[str, set[int]], with_print: Mapping[int, int], limit: int
) -> dict[tuple[str, str], list[int]]:
    """The fingerprints that at most ``limit`` students have, by each two of those who have them."""
    holders: dict[int, list[str]] = {}
    for student in sorted(own):
        for key in own[student]:
            if 1 < with_print[key] <= limit:
                holders.setdefault(key, []).append(student)
    rare: dict[tuple[str, str], list[int]] = {}
    for key, students in holders.items():
        for pair in combinations(students, 2):
            rare.setdefault(pair, []).append(key)
    return rare


def _marked(
    first: Form, second: Form, of_first: Positions, of_second: Positions, known: set[int]
) -> tuple[frozenset[int], frozenset[int]]:
    """The lines of each that lie in runs of both, and that are not the course's own."""
    shared = (of_first.keys() & of_second.keys()) - known
    return _lines(first, of_first, shared), _lines(second, of_second, shared)


def _lines(form: Form, hashes: Positions, shared: set[int]) -> frozenset[int]:
    places = form.places
    starts = [start for key in shared for start in hashes[key]]
    return frozenset(line for start in starts for line in places[start : start + RUN])


# What anybody may have ------------------------------------------------------------------------------------


def known(exercise: Exercise, root: Path | None) -> list[Form]:
    """The forms of the library's answer, of the declared right ones, and with the course's folder of the
    master's."""
    every = [_of_function(function) for function in (exercise.reference, *exercise.also_right)]
    if root:
        every.append(_of_master(root, exercise.notebook).get(exercise.name, Form()))
    return [form for form in every if form.words]


@functools.cache
def _of_master(root: Path, notebook: str) -> dict[str, Form]:
    """The forms in a master, by exercise; none where there is no master."""
    master = root / "solutions" / f"{notebook}.ipynb"
    if not master.is_file():
        return {}
    asked = {exercise.name: notebook for exercise in exercises.of_notebook(notebook)}
    answers = submission.read(master.read_bytes(), asked).answers
    return {name: answer.form for name, answer in answers.items()}


def _of_function(function: Callable) -> Form:
    """The form of a function or class of the course; an empty one if it has no source."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(text).body[0]
        module = inspect.getmodule(function)
        names = forms.imported(ast.parse(inspect.getsource(module)).body, module.__package__)
    except (OSError, TypeError, SyntaxError):  # made by another function, or in the middle of a line
        return Form()
    return forms.form(tree, text, names)


def of_class(
    answers: Mapping[str, Mapping[str, Form]], root: Path | None, groups: Iterable[frozenset[str]] = ()
) -> list[Pair]:
    """The pairs of all exercises; ``answers`` are by student and exercise, ``groups`` handed in together."""
    by_exercise: dict[str, dict[str, Form]] = {}
    for student, own in answers.items():
        for name, form in own.items():
            by_exercise.setdefault(name, {})[student] = form
    together = set(groups)
    found = []
    for name, exercise in exercises.all_exercises().items():
        if name in by_exercise:
            every = pairs(name, by_exercise[name], known(exercise, root))
            found += [pair for pair in every if frozenset(pair.students) not in together]
    return found
