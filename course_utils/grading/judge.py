"""The judge holds references, seeds and expected values. It runs no student's code and reads no notebook: it asks a child for
answers (see `player`), and compares them as the notebook's own check does.

Each exercise has children of its own, so no answer can spoil, or learn from, another. It is tried on the inputs of the
notebook's check first, whose card says all. Where that is right, it is tried on inputs drawn with seeds that nobody knows,
which no card shows.

Only what the text or the code of a submission does makes it "wrong". Where the cause may have been the machine, the exercise
is "not graded", and tried again when nothing else runs; only then is an answer that does not come a wrong one.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import inspect
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .. import exercises
from ..exercises import verdict as verdicts
from ..exercises.declare import Case, Exercise, Named, Outcome, fresh
from ..exercises.verdict import Finding, Verdict
from . import children, submission, wire
from .children import KILLED, Child, Died, Forked, Late, ServerDied, Spawned
from .records import Graded
from .submission import Answer, Line, Reading, Unreadable

HIDDEN_ROUNDS = 2
READ_SECONDS = 10.0  # of processor time, as all of these are
STATEMENT_SECONDS = 10.0
SECONDS = 60.0  # for a submission; an exercise has its share
PATIENCE = 3  # so many times as long may pass by the clock, since other programs may be running
PEACE = 6  # and so many times when nothing else of ours is


class Uncertain(Exception):
    """It may have been the machine and not the submission."""


@dataclass(frozen=True)
class Terms:
    """What a submission is graded under: the secret that hidden inputs follow from, the processor time for a submission, the
    notebook that is asked for ("": any), and whether nothing else runs."""

    secret: str
    seconds: float = SECONDS
    notebook: str = ""
    in_peace: bool = True

    @property
    def patience(self) -> int:
        return PEACE if self.in_peace else PATIENCE


def start(level: str, number: int, seconds: float = SECONDS) -> list[Forked | Spawned]:
    """Servers of that level, for submissions that may take so many seconds of processor time."""
    return children.start(level, number, seconds + READ_SECONDS)


def grade(content: bytes, servers: Forked | Spawned, terms: Terms) -> list[Graded]:
    """The verdicts on a notebook, whatever is in it; several where several notebooks are in one file. ServerDied where another
    server has to be started first."""
    start = time.monotonic()
    children.out_of_memory()  # what came before does not count
    try:
        reading = _read(content, servers, terms)
    except Unreadable as problem:
        return [Graded("", "unreadable", notes=(not_graded(problem),))]
    except Uncertain as problem:
        return [Graded("", "not graded", notes=(str(problem),))]
    results = []
    for notebook in reading.notebooks:
        asked = exercises.of_notebook(notebook)
        share = terms.seconds / len(asked)
        trials = [Trial(exercise, reading, servers, terms, share) for exercise in asked]
        judged = tuple(trial.verdict() for trial in trials)
        notes = dict.fromkeys([*reading.notes, *(note for trial in trials for note in trial.notes)])
        seconds, start = time.monotonic() - start, time.monotonic()
        state = _state(judged, {ending for trial in trials for ending in trial.endings})
        results.append(Graded(notebook, state, judged, tuple(notes), round(seconds, 4)))
    return results


def _state(judged: Sequence[Verdict], endings: set[str]) -> str:
    states = {verdict.state for verdict in judged}
    if "not graded" in states:
        return "not graded"
    for ending in ("timed out", "died"):
        if ending in endings:
            return ending
    return "blank" if states == {"not started"} else "graded"


def not_graded(problem: object) -> str:
    """A note of why."""
    return f"This file could not be graded: {problem}".rstrip(".") + ("" if str(problem).endswith("?") else ".")


def _read(content: bytes, servers: Forked | Spawned, terms: Terms) -> Reading:
    """What a child finds in a notebook. Unreadable where it is none of the course, or not the one that is asked for."""
    if len(content) > submission.LARGEST:
        raise Unreadable(f"it has {len(content):,} bytes; at most {submission.LARGEST:,} are read. Clear its outputs and hand "
                         "it in again")
    every = {name: exercise.notebook for name, exercise in exercises.all_exercises().items()}
    asked = {name: notebook for name, notebook in every.items() if terms.notebook in ("", notebook)}
    reply = _reply_to_read(content, asked, servers, terms)
    if "reading" in reply:
        return Reading.of_plain(reply["reading"])
    if terms.notebook:
        other = _reply_to_read(content, every, servers, terms).get("reading")
        if other:
            raise Unreadable(f"it is {', '.join(other['notebooks'])}; the assignment is {terms.notebook}")
    raise Unreadable(reply["unreadable"])


def _reply_to_read(content: bytes, asked: dict[str, str], servers: Forked | Spawned, terms: Terms) -> dict[str, Any]:
    request = {"what": "read", "content": torch.frombuffer(bytearray(content or b" "), dtype=torch.uint8), "exercises": asked}
    child = servers.child()
    try:
        with child.within(READ_SECONDS, terms.patience):
            return next(child.ask(request, 1, children.REQUEST))
    except (Late, Died) as how:
        if not terms.in_peace:
            raise Uncertain(f"Reading this file {_how(how)}.") from None
        raise Unreadable("it has more parts than can be read. Clear its outputs and hand it in again") from None
    finally:
        child.close()


def _how(ending: Late | Died) -> str:
    return "did not end in time" if isinstance(ending, Late) else str(ending)


# One exercise of one submission --------------------------------------------------------------------------------------

class Trial:
    """An exercise, tried in children of its own for so many seconds of processor time, and as many again for each round of its
    calls. ``notes`` say what failed before anything was called, and ``endings`` whether a child "timed out" or "died"."""

    def __init__(self, exercise: Exercise, reading: Reading, servers: Forked | Spawned, terms: Terms, seconds: float):
        self.exercise, self.reading, self._servers, self._terms = exercise, reading, servers, terms
        self._seconds = self._left = seconds
        self.notes: list[str] = []
        self.endings: set[str] = set()
        self._child: Child | None = None

    def verdict(self) -> Verdict:
        """The better of two: with the names that the answer uses as they are at the end of its own cell, and as they are at the
        end of the notebook, where given cells may have bound them anew."""
        answer = self.reading.answers[self.exercise.name]
        try:
            if not answer.definitions:
                return self._unanswered(answer)
            first = answer.definitions[0]
            definition = self._prepared(answer, first.lines)
            lines = next((d.lines for d in answer.definitions if d.cell == definition), first.lines)
            if lines != first.lines:  # what the last cell binds to the name is no answer
                self._prepared(answer, lines)
            verdict = self._tried()
            if verdict.state == "right" or answer.lines == lines:
                return verdict
            self._prepared(answer, answer.lines)
            return max(verdict, self._tried(), key=_holds)
        except Uncertain as problem:
            return self._verdict("not graded", Finding("note", str(problem)))
        finally:
            self._close()

    def _verdict(self, state: str, *findings: Finding) -> Verdict:
        return Verdict(self.exercise.name, state, 0, self.exercise.points, findings)

    def _unanswered(self, answer: Answer) -> Verdict:
        if answer.newer:
            raise Uncertain(f"{answer.broken} as Python {sys.version_info.major}.{sys.version_info.minor} reads it; the notebook "
                            f"was written with Python {answer.newer}. Grade it with that version.")
        if answer.broken:
            return self._verdict("wrong", Finding("wrong", answer.broken))
        return self._verdict("not started")

    def _prepared(self, answer: Answer, lines: Sequence[int]) -> int | None:
        """Run these lines in a new child; return the cell of the last one that gave the exercise an answer. A line that does
        not end is left out, and the others are run again while there is time."""
        left_out: set[int] = set()
        while True:
            self._close()
            self._problem = None
            if self._left <= 0:
                return None
            try:
                return self._run(answer, [i for i in lines if i not in left_out])
            except _Stuck as stuck:
                left_out.add(stuck.line)

    def _run(self, answer: Answer, lines: Sequence[int]) -> int | None:
        exercise, texts = self.exercise, self.reading.texts
        every = [self.reading.lines[i] for i in lines]
        self._child = self._servers.child()
        replies = self._child.ask({
            "what": "run",
            "texts": {line.cell: texts[line.cell] for line in every},
            "lines": [asdict(line) for line in every],
            "binding": [place for place, i in enumerate(lines) if i in answer.binding],
            "name": exercise.name,
            "asks_for": exercise.asks_for,
            "inputs": list(exercise.inputs),
        }, len(lines) + 1, children.REQUEST)
        cell = None
        for i, line in zip(lines, every):
            reply = self._next(replies, i)
            if reply.get("error") is not None:
                self._note(line, f"stopped with {str(reply['error'])[:1000]}")
            if reply.get("is_answer") is True:
                cell = line.cell
        problem = self._next(replies, lines[-1]).get("problem")
        self._problem = None if problem is None else str(problem)[:1000]
        return cell

    def _next(self, replies: Iterator[dict[str, Any]], line: int) -> dict[str, Any]:
        child = self._child
        try:
            with child.within(min(STATEMENT_SECONDS, self._left), self._terms.patience):
                return next(replies)
        except (Late, Died) as ending:
            self._ended(ending)
            self._note(self.reading.lines[line], _how(ending))
            raise _Stuck(line) from None
        finally:
            self._left -= child.took

    def _note(self, line: Line, how: str) -> None:
        self.notes.append(f"{line.name}, `{line.begins}`: it {how}.")

    def _tried(self) -> Verdict:
        """The verdict on the answer in the child: on the inputs of its check, and if that is right on hidden ones."""
        if self._problem:
            return self._verdict("wrong", Finding("hint", self._problem))
        exercise, tried = self.exercise, 0
        for number in range(1 + HIDDEN_ROUNDS):
            seed = hidden_seed(self._terms.secret, exercise.name, number - 1) if number else 0
            cases, ours = _cases(exercise, seed), _ours(exercise, seed)
            expected = ours(exercise.reference, cases, exercise.parameters)
            outcomes = list(map(_of_sensible_size, self._outcomes(cases, hidden=bool(number)), expected))
            verdict = verdicts.judge(exercise, cases, outcomes, ours)
            if verdict.state != "right":
                return _without_inputs(verdict, exercise) if number else verdict
            tried += len(cases)
        return replace(verdict, findings=(Finding("right", f"right on {tried} inputs, most of them drawn for grading"),
                                          *(Finding("right", p.name) for p in exercise.properties)))

    def _outcomes(self, cases: Sequence[Case], hidden: bool) -> list[Outcome]:
        """What the calls did. Where one does not answer, it is the last."""
        if not self._child:  # its lines took all the time
            self.endings.add("timed out")
            return [Outcome(late=True)]
        outcomes: list[Outcome] = []
        exercise = self.exercise
        request = {"what": "call", "cases": [case.args for case in cases], "parameters": list(exercise.parameters),
                   "library": exercise.library}
        try:
            with self._child.within(min(exercise.seconds, self._seconds), self._terms.patience):
                for reply in self._child.ask(request, len(cases)):
                    outcomes.append(_outcome(reply, exercise))
        except (Late, Died, wire.Malformed) as ending:
            if isinstance(ending, wire.Malformed):
                ending = Died("broke off the conversation with the grader")
            self._ended(ending, hidden)
            late = isinstance(ending, Late)
            outcomes.append(Outcome(late=True) if late else Outcome(error=f"the end of its process: it {ending}"))
        return outcomes

    def _ended(self, ending: Late | Died, hidden: bool = False) -> None:
        """What to make of a child's end: in peace it is the submission's doing, unless the machine ran out of memory."""
        self._close()
        killed = str(ending) == KILLED and children.out_of_memory()
        if killed or not self._terms.in_peace:
            raise Uncertain(f"`{self.exercise.name}` {'was ended for want of memory' if killed else _how(ending)}, and it may be "
                            "the machine's fault.") from None
        if not hidden:  # how it ended may tell of an input
            self.endings.add("timed out" if isinstance(ending, Late) else "died")

    def _close(self) -> None:
        if self._child:
            self._child.close()
        self._child = None


class _Stuck(Exception):
    """A line that does not end, or that ends Python."""

    def __init__(self, line: int):
        self.line = line


def _holds(verdict: Verdict) -> tuple[int, int]:
    return verdict.points, sum(finding.kind == "right" for finding in verdict.findings)


def _outcome(reply: dict[str, Any], exercise: Exercise) -> Outcome:
    """A child's reply as an outcome, if it has that form."""
    parts = {field.name: reply.get(field.name) for field in fields(Outcome)}
    error, changed, printed = parts["error"], parts["changed"], parts["printed"]
    has_form = (
        isinstance(error, str | None)
        and isinstance(parts["trace"], str)
        and parts["late"] is False
        and isinstance(changed, tuple)
        and all(name in exercise.parameters for name in changed)
        and type(printed) is int
        and printed >= 0
        and type(parts["taken"]) is bool
    )
    if not has_form:
        raise wire.Malformed("an answer of another form")
    return Outcome(**parts | {"error": error and error[:1000], "trace": parts["trace"][:10_000]})


def _of_sensible_size(given: Outcome, expected: Outcome) -> Outcome:
    """The outcome, without an answer so large that to compare it, some pairs of its numbers, would take the judge's memory."""
    if _size(given.value) <= 1000 + 10 * _size(expected.value):
        return given
    return replace(given, value=None, error="an answer that is far too large")


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return math.prod(n or 1 for n in value.shape)
    if isinstance(value, dict):
        return sum(map(_size, [*value, *value.values()]))
    return 1 + sum(map(_size, value)) if isinstance(value, tuple | list) else len(value) if isinstance(value, str) else 1


def _without_inputs(given: Verdict, exercise: Exercise) -> Verdict:
    """A verdict on hidden inputs, without anything that an answer or an error could have carried out."""
    said = next((m.says for m in exercise.misconceptions if m.name == given.misconception), None)
    return replace(given, findings=(
        *([Finding("hint", said)] if said else []),
        Finding("wrong", "right on the inputs that the notebook's check draws, and wrong on others of the same kind, drawn for "
                         "grading and not shown. Does your answer hold for every input, or for those alone that you saw?")))


def hidden_seed(secret: str, name: str, number: int) -> int:
    """A seed that follows from the secret alone."""
    return int.from_bytes(hmac.digest(secret.encode(), f"{name} {number}".encode(), "sha256")[:6], "big")


@functools.lru_cache(256)
def _cases(exercise: Exercise, seed: int) -> list[Case]:
    return exercise.hidden_cases(seed) if seed else exercise.cases()


@functools.lru_cache(256)
def _ours(exercise: Exercise, seed: int):
    """What gives the outcomes of the course's functions on these inputs, each worked out once."""
    outcomes = functools.cache(lambda function: verdicts.call_ours(function, _cases(exercise, seed), exercise.parameters))
    return lambda function, cases, parameters: outcomes(function)


@functools.cache
def version(notebook: str) -> str:
    """Changes with whatever a verdict on this notebook depends on, or with "" that it could not be read."""
    found: set[ModuleType] = set()
    asked = exercises.of_notebook(notebook)
    named = [fresh(arg) for e in asked for case in _cases(e, 0) for arg in case.args if isinstance(arg, Named)]
    queue = [verdicts, sys.modules[__name__], *map(inspect.getmodule, [*named, *(f for e in asked for f in (e.draw, e.reference))])]
    while queue:  # and all of the course that they import
        module = queue.pop()
        if module not in found and module.__name__.startswith("course_utils"):
            found.add(module)
            names = [v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in vars(module).values()]
            queue += [sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules]
    files = {Path(inspect.getfile(module)) for module in found} | {Path(__file__).with_name("player.py")}
    text = "".join(sorted(file.read_text("utf-8") for file in files))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
