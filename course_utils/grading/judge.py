"""The judge holds references, seeds and expected values. It runs no student's code and reads no notebook: it asks a child for
answers (see `player`), and compares them as the notebook's own check does.

An exercise is tried on the inputs of the notebook's check first, whose card says all. If that is right, it is tried on inputs
drawn with seeds that nobody knows, which no card shows. All answers are first tried together in one child, and what is right
there is right. Every other exercise is then tried in children of its own, so no answer can spoil, or tell of, another.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .. import exercises
from ..exercises import verdict as verdicts
from ..exercises.declare import Case, Exercise, Named, Outcome, fresh
from ..exercises.derivatives import Differentiated, are_derivatives
from ..exercises.verdict import Finding, Verdict
from . import children, submission
from .children import BROKEN_OFF, KILLED, Child, Died, Forked, Late, Spawned
from .records import ENDINGS, Graded, State, state_of
from .submission import Answer, Line, Reading, Unreadable

HIDDEN_ROUNDS = 2
READ_SECONDS = 10.0  # of processor time, as all of these are
TOGETHER_SECONDS = 2.0  # for the lines of all exercises in one child, and for the calls of each
LINE_SECONDS = 10.0
SECONDS = 60.0  # for a submission; an exercise has its share
PATIENCE = 3  # so many times as long may pass by the clock, since other programs may be running
PEACE = 6  # and so many times when nothing else of ours is


class Uncertain(Exception):
    """It may have been the machine and not the submission."""


class OtherNotebook(Exception):
    """The file is readable, and not the notebook that is asked for."""


@dataclass(frozen=True)
class Terms:
    """What a submission is graded under: the secret that hidden inputs follow from, the processor time for a submission, the
    notebook that is asked for ("": any), the names of the only exercises to try (none: all), and whether nothing else runs."""

    secret: str
    seconds: float = SECONDS
    notebook: str = ""
    only: tuple[str, ...] = ()
    in_peace: bool = True

    @property
    def patience(self) -> int:
        return PEACE if self.in_peace else PATIENCE

    def wanted(self, asked: Sequence[Exercise]) -> list[Exercise]:
        """Those of a notebook's exercises that are tried."""
        return [exercise for exercise in asked if not self.only or exercise.name in self.only]


def start(level: str, number: int, seconds: float = SECONDS) -> list[Forked | Spawned]:
    """Servers of that level, for submissions that may take so many seconds of processor time."""
    return children.start(level, number, seconds + READ_SECONDS)


def grade(content: bytes, servers: Forked | Spawned, terms: Terms) -> list[Graded]:
    """The verdicts on a notebook, whatever is in it; several where several notebooks are in one file. ServerDied where another
    server has to be started first."""
    start = time.monotonic()
    children.out_of_memory()  # what came before does not count
    try:
        child = servers.child()
        try:
            reading = _read(child, content, terms)
            right, notes = _right_together(child, reading, terms)
        finally:
            child.close()
    except OtherNotebook as problem:
        return [Graded("", "other notebook", notes=(not_graded(problem),), seconds=_since(start))]
    except Unreadable as problem:
        return [Graded("", "unreadable", notes=(not_graded(problem),), seconds=_since(start))]
    except Uncertain as problem:
        return [Graded("", "not graded", notes=(str(problem),), seconds=_since(start))]
    results = []
    for notebook in reading.notebooks:
        if not terms.wanted(exercises.of_notebook(notebook)):
            continue
        results.append(_graded(notebook, reading, right, notes, servers, terms, start))
        start = time.monotonic()
    if not results:
        note = f"{', '.join(terms.only)}: not in what was read of it, {', '.join(reading.notebooks)}. Run without --exercise."
        return [Graded("", "not graded", notes=(note,), seconds=_since(start))]
    return results


def _since(start: float) -> float:
    return round(time.monotonic() - start, 4)


def _right_together(child: Child, reading: Reading, terms: Terms) -> tuple[dict[str, Verdict], list[str]]:
    """The verdicts that are right with all answers in one child, by exercise, and notes on lines that fail."""
    def abandon(ending: Late | Died, hidden: bool) -> None:
        raise Abandoned

    with_answer = [exercises.find(name) for name, answer in reading.answers.items() if answer.definitions]
    answered = terms.wanted(with_answer)
    lines = {i for exercise in answered for i in reading.answers[exercise.name].lines}
    impatient = replace(terms, in_peace=False)
    sitting = Sitting(child, reading, impatient, TOGETHER_SECONDS, TOGETHER_SECONDS, abandon)
    right: dict[str, Verdict] = {}
    try:
        sitting.run(sorted(lines), answered)
        for exercise in answered:
            verdict = sitting.verdict(exercise)
            if verdict.state == "right":
                right[exercise.name] = verdict
    except Abandoned:
        return right, []
    return right, sitting.notes


def _graded(notebook: str, reading: Reading, right: dict[str, Verdict], notes: list[str], servers: Forked | Spawned, terms: Terms,
            start: float) -> Graded:
    """One notebook of a file, with the exercises that are right already."""
    asked = exercises.of_notebook(notebook)
    judged, notes, endings = [], list(notes), set[State]()
    for exercise in terms.wanted(asked):
        if exercise.name in right:
            judged.append(right[exercise.name])
            continue
        trial = Trial(exercise, reading, servers, terms, terms.seconds / len(asked))
        judged.append(trial.verdict())
        notes += trial.notes
        endings |= trial.endings
    every_note = dict.fromkeys([*reading.notes, *notes])
    ending = next((ending for ending in ENDINGS if ending in endings), "graded")
    state = state_of((verdict.state for verdict in judged), ending)
    forms = {exercise.name: reading.answers[exercise.name].form for exercise in asked}
    written = {name: form for name, form in forms.items() if form.words}
    return Graded(notebook, state, tuple(judged), tuple(every_note), _since(start), written)


def not_graded(problem: object) -> str:
    """A note of why."""
    return f"This file could not be graded: {problem}".rstrip(".") + ("" if str(problem).endswith("?") else ".")


def _read(child: Child, content: bytes, terms: Terms) -> Reading:
    """What a child finds in a notebook. Unreadable where that is none of the course, OtherNotebook where it is not the one that is
    asked for."""
    if len(content) > submission.LARGEST:
        raise Unreadable(f"it has {len(content):,} bytes; at most {submission.LARGEST:,} are read. Clear its outputs and hand "
                         "it in again")
    every = {name: exercise.notebook for name, exercise in exercises.all_exercises().items()}
    asked = {name: notebook for name, notebook in every.items() if terms.notebook in ("", notebook)}
    reply = _read_by(child, content, asked, terms)
    if "reading" in reply:
        return Reading.of_plain(reply["reading"])
    if terms.notebook:
        other = _read_by(child, content, every, terms).get("reading")
        if other:
            raise OtherNotebook(f"it is {', '.join(other['notebooks'])}; the assignment is {terms.notebook}")
    raise Unreadable(reply.get("unreadable", "it has more code than can be read. Clear what is not an answer"))


def _read_by(child: Child, content: bytes, asked: dict[str, str], terms: Terms) -> dict[str, Any]:
    data = torch.frombuffer(bytearray(content or b" "), dtype=torch.uint8)
    try:
        with child.within(READ_SECONDS, terms.patience):
            return next(child.ask({"what": "read", "content": data, "exercises": asked}, 1, children.REQUEST))
    except (Late, Died) as ending:
        if not terms.in_peace:
            raise Uncertain(f"Reading this file {_how(ending)}.") from None
        raise Unreadable("it has more parts than can be read. Clear its outputs and hand it in again") from None


def _how(ending: Late | Died) -> str:
    return "did not end in time" if isinstance(ending, Late) else str(ending)


# One child -----------------------------------------------------------------------------------------------------------

class Abandoned(Exception):
    """The child is gone, and what it was asked has to be asked otherwise."""


class Stuck(Exception):
    """A line that does not end, or that ends Python."""

    def __init__(self, line: int):
        self.line = line


class Sitting:
    """A child that runs lines of a notebook, for so many seconds of processor time, and then answers for exercises, for at most
    ``most`` seconds each time.

    ``cells`` has, for each exercise that has an answer, the cell that gave it. ``notes`` say which lines failed. ``ended`` is
    called with the way in which the child ends, and whether it knew hidden inputs; it may raise.
    """

    def __init__(self, child: Child, reading: Reading, terms: Terms, seconds: float, most: float,
                 ended: Callable[[Late | Died, bool], None]):
        self._child, self._reading, self._terms, self._ended = child, reading, terms, ended
        self.left, self._most = seconds, most
        self.notes: list[str] = []
        self.cells: dict[str, int] = {}
        self._problems: dict[str, str] = {}

    def run(self, numbers: Sequence[int], asked: Sequence[Exercise]) -> None:
        """Run lines, by their numbers. Raises Stuck."""
        lines = [self._reading.lines[number] for number in numbers]
        wanted = {}
        for exercise in asked:
            binding = self._reading.answers[exercise.name].binding
            places = [place for place, number in enumerate(numbers) if number in binding]
            wanted[exercise.name] = {"asks_for": exercise.asks_for, "inputs": list(exercise.inputs), "binding": places,
                                     "library": exercise.library}
        replies = self._child.ask({
            "what": "run",
            "texts": {line.cell: self._reading.texts[line.cell] for line in lines},
            "lines": [asdict(line) for line in lines],
            "wanted": wanted,
        }, len(lines) + 1, children.REQUEST)
        for number, line in zip(numbers, lines):
            reply = self._next(replies, number)
            if reply["error"] is not None:
                self._note(line, f"stopped with {reply['error'][:1000]}")
            for name in wanted:
                if name in reply["answers"]:
                    self.cells[name] = line.cell
        problems = self._next(replies, numbers[-1] if numbers else -1)["problems"]
        self._problems = {name: problems[name][:1000] for name in wanted if name in problems}

    def _next(self, replies: Iterator[dict[str, Any]], number: int) -> dict[str, Any]:
        try:
            with self._child.within(max(0.0, min(LINE_SECONDS, self.left)), self._terms.patience):
                reply = next(replies)
            return _report(reply)
        except (Late, Died) as ending:
            self._ended(ending, False)
            if number in self._reading.lines:
                self._note(self._reading.lines[number], _how(ending))
            raise Stuck(number) from None
        finally:
            self.left -= self._child.took

    def _note(self, line: Line, how: str) -> None:
        self.notes.append(f"{line.name}, `{line.begins}`: it {how}.")

    def verdict(self, exercise: Exercise) -> Verdict:
        """The verdict on an answer: on the inputs of its check, and if that is right on hidden ones."""
        if exercise.name in self._problems:
            return _without_points(exercise, "wrong", Finding("hint", self._problems[exercise.name]))
        visible = 0
        for ours in _visible(exercise):
            verdict = self._round(exercise, ours, False)
            if verdict.points and verdict.state == "wrong":
                return self._confirmed(verdict, exercise)
            if verdict.state != "right":
                return verdicts.after_others(verdict, visible)
            visible += len(ours.cases)
        hidden = 0
        for ours in self._hidden_rounds(exercise):
            verdict = self._round(exercise, ours, True)
            if verdict.state == "wrong":
                return _without_inputs(verdict, exercise)
            if verdict.state != "right":
                return verdict
            hidden += len(ours.cases)
        return verdicts.right_on(exercise, f"right on {visible + hidden} inputs, {hidden} of them drawn for grading")

    def _hidden_rounds(self, exercise: Exercise) -> Iterator[verdicts.Ours]:
        for number in range(HIDDEN_ROUNDS):
            yield _hidden(exercise, hidden_seed(self._terms.secret, exercise.name, number))

    def _round(self, exercise: Exercise, ours: verdicts.Ours, hidden: bool) -> Verdict:
        """The verdict on the inputs of a round, to which we have our own answers."""
        cases, expected = ours.cases, ours.outcomes(exercise.reference)
        outcomes = list(map(_of_sensible_size, self._outcomes(exercise, cases, hidden), expected))
        verdict = verdicts.judge(exercise, cases, outcomes, ours)
        if verdict.state != "right" or exercise.differentiated is None:
            return verdict
        differentiated = exercise.differentiated_cases(cases)
        derivatives = self._outcomes(exercise, differentiated, hidden, exercise.differentiated)
        return verdicts.judge_derivatives(exercise, cases, outcomes, derivatives, ours)

    def _confirmed(self, verdict: Verdict, exercise: Exercise) -> Verdict:
        """A wrong verdict with the points that what holds on the inputs of the check also earns on hidden ones."""
        points = verdict.points
        for ours in self._hidden_rounds(exercise):
            points = min(points, self._round(exercise, ours, True).points)
            if not points:
                break
        if points == verdict.points:
            return verdict
        kept = tuple(finding for finding in verdict.findings if verdicts.PART not in finding.text)
        if points:
            last = verdicts.for_part(exercise, points, "because the rest does not hold on other inputs, drawn for grading")
        else:
            last = Finding("wrong", "no part of the points: what holds on these inputs does not hold on others, drawn for grading")
        return replace(verdict, points=points, findings=(*kept, last))

    def _outcomes(self, exercise: Exercise, cases: Sequence[Case], hidden: bool,
                  wanted: Differentiated | None = None) -> list[Outcome]:
        """What the calls did, or the answer's derivatives. If one does not answer, it is the last."""
        outcomes: list[Outcome] = []
        asked = wanted and {"inputs": wanted.inputs, "parameters": wanted.parameters, "twice": wanted.twice}
        request = {"what": "call", "name": exercise.name, "cases": [case.args for case in cases],
                   "parameters": list(exercise.parameters), "wanted": asked}
        try:
            with self._child.within(min(exercise.seconds, self._most), self._terms.patience):
                for reply in self._child.ask(request, len(cases)):
                    outcomes.append(_outcome(reply, exercise, wanted))
        except (Late, Died) as ending:
            self._ended(ending, hidden)
            if isinstance(ending, Late):
                outcomes.append(Outcome(late=True))
            else:
                outcomes.append(Outcome(error=f"the end of its process: it {ending}"))
        return outcomes


def _report(reply: dict[str, Any]) -> dict[str, Any]:
    """What a child says of a line, or of its answers. Died where it has another form."""
    report = {"error": None, "answers": [], "problems": {}} | reply
    error, answers, problems = report["error"], report["answers"], report["problems"]
    has_form = isinstance(error, str | None) and isinstance(answers, list) and isinstance(problems, dict)
    if not (has_form and all(isinstance(text, str) for text in problems.values())):
        raise Died(BROKEN_OFF)
    return report


def _without_points(exercise: Exercise, state: str, *findings: Finding) -> Verdict:
    return Verdict(exercise.name, state, 0, exercise.points, findings)


# One exercise of one submission --------------------------------------------------------------------------------------

class Trial:
    """An exercise, tried in children of its own, whose lines may take so many seconds of processor time together, and its calls
    as many each time. ``notes`` say which lines failed, and ``endings`` whether a child "timed out" or "died"."""

    def __init__(self, exercise: Exercise, reading: Reading, servers: Forked | Spawned, terms: Terms, seconds: float):
        self.exercise, self._reading, self._servers, self._terms = exercise, reading, servers, terms
        self._left = self._share = seconds
        self.notes: list[str] = []
        self.endings: set[State] = set()

    def verdict(self) -> Verdict:
        """The best of three: with the names that the answer uses as they are at the end of its own cell; as they are at the end of
        the notebook, where given cells may have bound them anew; and once more at the end of its own cell, after lines that may
        have changed them by other ways than by name."""
        answer = self._reading.answers[self.exercise.name]
        try:
            if not answer.definitions:
                return self._unanswered(answer)
            first = answer.definitions[0]
            cell, verdict = self._tried(first.lines)
            own = next((definition for definition in answer.definitions if definition.cell == cell), first)
            if own is not first:  # the last cell that binds the name gives it something that is no answer
                _, verdict = self._tried(own.lines)
            for lines in (answer.lines, own.wide):
                if verdict.state == "right":
                    break
                if lines != own.lines:
                    verdict = max(verdict, self._tried(lines)[1], key=_holds)
            return verdict
        except Uncertain as problem:
            return _without_points(self.exercise, "not graded", Finding("note", str(problem)))

    def _unanswered(self, answer: Answer) -> Verdict:
        if answer.newer:
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise Uncertain(f"{answer.broken} as Python {here} reads it; the notebook was written with Python {answer.newer}. "
                            "Grade it with that version.")
        if answer.broken:
            return _without_points(self.exercise, "wrong", Finding("wrong", answer.broken))
        return _without_points(self.exercise, "not started")

    def _tried(self, lines: Sequence[int]) -> tuple[int | None, Verdict]:
        """The cell that gave the answer, and the verdict after these lines. A line that does not end is left out, and the others
        are run again while there is time."""
        left_out: set[int] = set()
        while self._left > 0:
            child = self._servers.child()
            sitting = Sitting(child, self._reading, self._terms, self._left, self._share, self._ended)
            try:
                sitting.run([i for i in lines if i not in left_out], [self.exercise])
                return sitting.cells.get(self.exercise.name), sitting.verdict(self.exercise)
            except Stuck as stuck:
                left_out.add(stuck.line)
            finally:
                child.close()
                self._left = sitting.left
                self.notes += sitting.notes
        self.endings.add("timed out")
        ours = _visible(self.exercise)[0]
        return None, verdicts.judge(self.exercise, ours.cases, [Outcome(late=True)], ours)

    def _ended(self, ending: Late | Died, hidden: bool) -> None:
        """What to make of a child's end: in peace it is the submission's doing, unless the machine ran out of memory."""
        killed = str(ending) == KILLED and children.out_of_memory()
        how = _how(ending)
        if hidden:
            how = "did not answer"  # how it ended may tell of an input
        if killed:
            how = "was ended for want of memory"
        if killed or not self._terms.in_peace:
            raise Uncertain(f"`{self.exercise.name}` {how}, and it may be the machine's fault.") from None
        if not hidden:
            self.endings.add("timed out" if isinstance(ending, Late) else "died")


def _holds(verdict: Verdict) -> tuple[int, int]:
    return verdict.points, sum(finding.kind == "right" for finding in verdict.findings)


def _outcome(reply: dict[str, Any], exercise: Exercise, wanted: Differentiated | None = None) -> Outcome:
    """A child's reply as an outcome. Died where it has another form."""
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
        and (wanted is None or error is not None or are_derivatives(parts["value"], wanted))
    )
    if not has_form:
        raise Died(BROKEN_OFF)
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
    part = exercise.part_for_visible
    points = part.points if part else 0
    why = "because it is right on the inputs of the notebook's check"
    said = exercise.sentence(given.misconception)
    return replace(given, points=points, findings=(
        *([Finding("hint", said)] if said else []),
        Finding("wrong", "right on the inputs that the notebook's check draws, and wrong on others of the same kind, drawn for "
                         "grading and not shown. Does your answer hold for every input, or for those alone that you saw?"),
        *([verdicts.for_part(exercise, points, why)] if part else [])))


def hidden_seed(secret: str, name: str, number: int) -> int:
    """A seed that follows from the secret alone."""
    return int.from_bytes(hmac.digest(secret.encode(), f"{name} {number}".encode(), "sha256")[:6], "big")


@functools.lru_cache(256)
def _visible(exercise: Exercise) -> tuple[verdicts.Ours, ...]:
    """The rounds of the notebook's check, with our own answers."""
    return tuple(verdicts.Ours(exercise, cases) for cases in exercise.rounds())


@functools.lru_cache(256)
def _hidden(exercise: Exercise, seed: int) -> verdicts.Ours:
    return verdicts.Ours(exercise, exercise.hidden_cases(seed))


@functools.cache
def version(notebook: str) -> str:
    """Changes with whatever a verdict on this notebook depends on, or with "" that it could not be read."""
    found: set[ModuleType] = set()
    asked = exercises.of_notebook(notebook)
    named = [fresh(arg) for e in asked for case in e.cases() for arg in case.args if isinstance(arg, Named)]
    queue = [verdicts, submission, *map(inspect.getmodule, [*named, *(f for e in asked for f in (e.draw, e.reference))])]
    while queue:  # and all of the course that they import
        module = queue.pop()
        if module not in found and module.__name__.startswith("course_utils"):
            found.add(module)
            names = [v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in vars(module).values()]
            if module is exercises:  # which has every notebook's exercises as attributes
                names = [name for name in names if isinstance(name, str) and not name.startswith(f"{exercises.__name__}.nb")]
            queue += [sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules]
    files = {Path(inspect.getfile(module)) for module in found} | {Path(__file__), Path(__file__).with_name("player.py")}
    text = "".join(sorted(file.read_text("utf-8") for file in files))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
