"""From inputs and outcomes to a verdict: no student's code runs here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from . import derivative_faults, errors
from .declare import Case, Close, Exercise, Outcome, unchanged, wrong_form
from .derivative_faults import Fault
from .derivatives import NO_SECOND, NOT_FINITE, cause_of
from .run import call_ours


@dataclass(frozen=True)
class Finding:
    """One line of a card: ``kind`` is right, wrong, hint, note or trace."""

    kind: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """``state`` is right, wrong, not started, not yours, or of a grader that failed, not graded; ``misconception`` is the name
    of the one recognized."""

    exercise: str
    state: str
    points: float
    out_of: int
    findings: tuple[Finding, ...] = ()
    misconception: str | None = None


TAKEN = ("Your `{0}` hands the question on to the library's own {0}. Write what it does yourself; other "
         "functions of the library may help.")
UNTESTED = "it cannot be tested on this answer."


class _Answers:
    """The outcomes of one function on the drawn and the derived cases, compared with the reference's."""

    def __init__(self, exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome],
                 expected: Sequence[Outcome]):
        self.exercise, self.cases, self.outcomes, self.expected = exercise, cases, outcomes, expected
        self._faults: dict[int, str | None] = {}
        self._breaks: dict[int, bool] = {}
        self.num_drawn = exercise.num_drawn(cases)

    def fault(self, i: int) -> str | None:
        """What is wrong with answer i by itself."""
        if i not in self._faults:
            self._faults[i] = self._fault(i)
        return self._faults[i]

    def _fault(self, i: int) -> str | None:
        if i >= len(self.outcomes):
            return "it was not tried any more."
        outcome = self.outcomes[i]
        if outcome.late:
            return "no answer came in time."
        if outcome.error:
            return f"your {self.exercise.asks_for} stopped with {_in_a_line(outcome.error)}"
        if outcome.value is None:
            return f"your {self.exercise.asks_for} returned None. Is there a return, there and in the functions that it calls?"
        if outcome.changed:
            return f"your {self.exercise.asks_for} changed its input {' and '.join(outcome.changed)}; work on a copy."
        try:
            return self.exercise.same.difference(outcome.value, self.expected[i].value)
        except MemoryError:
            raise  # the machine's fault
        except Exception as error:  # noqa: BLE001  an answer of any form may come in
            return f"the answer cannot be compared with the expected one ({type(error).__name__})."

    def property_fault(self, k: int, i: int) -> str | None:
        """What is wrong with property k on drawn case i; a case without an answer counts as a fault."""
        p = self.exercise.properties[k]
        has_its_form = isinstance(self.exercise.same, Close)
        if p.derive and has_its_form and wrong_form(self.value(i), self.expected[i].value):
            return UNTESTED  # rows that are not the nodes' need not follow them
        pair = [i]
        if p.derive is not None:
            before = sum(q.derive is not None for q in self.exercise.properties[:k])
            pair.append(i + self.num_drawn * (1 + before))
        if any(not isinstance(self.value(place), Tensor | tuple | list) for place in pair):
            return UNTESTED
        args = [part for place in pair for part in (self.cases[place], self.value(place))]
        try:
            return p.fault(*args)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  an answer of any form may come in
            return UNTESTED

    def property_faults(self, k: int) -> list[str | None]:
        """What is wrong with property k on each drawn case."""
        return [self.property_fault(k, i) for i in range(self.num_drawn)]

    def breaks(self, k: int) -> bool:
        """Whether property k fails on a drawn case."""
        if k not in self._breaks:
            self._breaks[k] = any(self.property_fault(k, i) for i in range(self.num_drawn))
        return self._breaks[k]

    def value(self, i: int):
        return self.outcomes[i].value if i < len(self.outcomes) else None

    def same_as(self, other: _Answers, i: int) -> bool:
        """Whether answer i is the one that another function gives."""
        if i >= len(self.outcomes) or i >= len(other.outcomes):
            return False
        mine, theirs = self.outcomes[i], other.outcomes[i]
        if mine.error or theirs.error or mine.value is None or theirs.value is None:
            kinds = [o.error and o.error.split(":")[0] for o in (mine, theirs)]
            return kinds[0] == kinds[1] and (mine.value is None) == (theirs.value is None)
        try:
            if unchanged(mine.value, theirs.value):
                return True  # two answers of the same wrong form
            return self.exercise.same.difference(mine.value, theirs.value) is None
        except Exception:  # noqa: BLE001  answers of different form are not the same
            return False


def _in_a_line(error: str, most: int = 160) -> str:
    """The beginning of an error; the traceback below has all of it."""
    first, *others = error.splitlines() or [""]
    return first[:most] + " ..." if others or len(first) > most else first


class _WhenAsked(Sequence):
    """The outcomes of one of the course's own functions. A few of them tell most misconceptions from a student's answer, so
    the function is called on a case only when that outcome is asked for."""

    def __init__(self, exercise: Exercise, cases: Sequence[Case], function: Callable):
        self._exercise, self._cases, self._function = exercise, cases, function
        self._outcomes: dict[int, Outcome] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, i: int) -> Outcome:
        if i not in self._outcomes:
            self._outcomes[i], = call_ours(self._function, [self._cases[i]], self._exercise.parameters)
        return self._outcomes[i]


class Ours:
    """What the course's own functions answer on some cases, each worked out once: a grader keeps it for the next student.

    ``outcomes`` is what gives a function's outcomes on all cases.
    """

    def __init__(self, exercise: Exercise, cases: Sequence[Case],
                 outcomes: Callable[[Callable], Sequence[Outcome]] | None = None):
        self.cases = cases
        self._exercise, self._outcomes_of = exercise, outcomes
        self._outcomes: dict[Callable, Sequence[Outcome]] = {}
        self._answers: dict[Callable, _Answers] = {}
        self._beside: dict[int, list] = {}

    def outcomes(self, function: Callable) -> Sequence[Outcome]:
        if function not in self._outcomes:
            new = self._outcomes_of or functools.partial(_WhenAsked, self._exercise, self.cases)
            self._outcomes[function] = new(function)
        return self._outcomes[function]

    def answers(self, function: Callable) -> _Answers:
        if function not in self._answers:
            expected = self.outcomes(self._exercise.reference)
            self._answers[function] = _Answers(self._exercise, self.cases, self.outcomes(function), expected)
        return self._answers[function]

    @functools.cached_property
    def derivatives(self) -> Sequence[Outcome]:
        """Those of the reference, on the drawn cases."""
        return self._differentiated(self.cases[:self._exercise.num_drawn(self.cases)])

    def is_kink(self, i: int, order: str) -> bool:
        """Whether drawn case i lies where the reference has no derivative of that order: on a corner, in a tie."""
        if i not in self._beside:
            case, names, wanted = self.cases[i], self._exercise.parameters, self._exercise.differentiated
            pair = self._differentiated([derivative_faults.shifted(case, names, wanted, sign) for sign in (1, -1)])
            self._beside[i] = [outcome.value or {"first": None, "second": None} for outcome in pair]
        before, after = self._beside[i]
        here = self.derivatives[i].value
        pairs = (before, after), (before, here)  # the second derivative of |x| is the same on both sides of 0
        orders = ("first",) if order == "first" else ("first", "second")
        return any(derivative_faults.is_kink(a[each], b[each]) for a, b in pairs for each in orders)

    def _differentiated(self, cases: Sequence[Case]) -> Sequence[Outcome]:
        exercise = self._exercise
        return call_ours(exercise.reference, cases, exercise.parameters, exercise.differentiated)


def judge(exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], ours: Ours | None = None) -> Verdict:
    """What the outcomes of an exercise's cases are worth, and what the student seems to have thought.

    ``ours`` are the answers of the course's own functions to the same cases, if they have been worked out before.
    """
    if any(outcome.taken for outcome in outcomes):
        hint = Finding("hint", TAKEN.format(exercise.name))
        return Verdict(exercise.name, "not yours", 0, exercise.points, (hint,))
    ours = ours or Ours(exercise, cases)
    answers = _Answers(exercise, cases, outcomes, ours.outcomes(exercise.reference))
    faults = [answers.fault(i) for i in range(len(cases))]
    table = [answers.property_faults(k) for k in range(len(exercise.properties))]
    held = [not any(row) for row in table]
    if not any(faults) and all(held):
        return right_on(exercise, f"right on {len(cases)} inputs", outcomes)

    match = _recognise(exercise, answers, faults, table, ours)
    findings = []
    if match:
        findings.append(Finding("hint", match.says))
    every = [i for i, fault in enumerate(faults) if fault]
    # A derived case has its line below, as a property, unless there was no answer to compare.
    wrong = [i for i in every if i < answers.num_drawn] or [i for i in every if answers.value(i) is None]
    of_one_answer = [row for p, row in zip(exercise.properties, table) if p.derive is None]
    right = [i for i, fault in enumerate(faults[:answers.num_drawn]) if not fault and not any(row[i] for row in of_one_answer)]
    if wrong:
        findings.append(Finding("wrong", f"on {cases[wrong[0]].label}: {faults[wrong[0]]}"))
        first = outcomes[wrong[0]]
        if first.trace:
            findings.append(Finding("trace", first.trace))
        explained = None if match else errors.explanation(first.error or "")
        if explained:
            findings.append(Finding("hint", explained.says))
        if first.late:
            findings.append(Finding("hint", f"The calls took more than {exercise.seconds:g} seconds, where the library's "
                                            "version takes a few milliseconds. Is there a loop that never ends? If the "
                                            "notebook stays slow, restart the kernel."))
        also = [cases[i].label for i in wrong[1:] if i < len(outcomes)]
        if also:
            findings.append(Finding("wrong", "also on " + _some(also)))
    if right and wrong:
        findings.append(Finding("right", "right on " + _some([cases[i].label for i in right])))
    for p, row in zip(exercise.properties, table):
        broken = next(((i, reason) for i, reason in enumerate(row) if reason), None)
        if broken is None:
            findings.append(Finding("right", p.name))
        elif broken[1] != UNTESTED or not any(f.kind == "wrong" for f in findings):
            findings.append(Finding("wrong", f"{p.name}: on {cases[broken[0]].label}, {broken[1]}"))
    part = exercise.part_for(p.name for p, row in zip(exercise.properties, table) if not any(row))
    if part:
        findings.append(for_part(exercise, part.points, "because this holds: " + ", ".join(part.holds)))
    points = part.points if part else 0
    return Verdict(exercise.name, "wrong", points, exercise.points, (*findings, *_notes(outcomes)), match and match.name)


def right_on(exercise: Exercise, where: str, outcomes: Sequence[Outcome] = ()) -> Verdict:
    """The verdict on an answer that is right, and whose derivatives are, with a line on where."""
    findings = [Finding("right", where)]
    if exercise.differentiated:
        findings.append(Finding("right", exercise.differentiated.text))
    findings += [Finding("right", p.name) for p in exercise.properties]
    return Verdict(exercise.name, "right", exercise.points, exercise.points, (*findings, *_notes(outcomes)))


def after_others(verdict: Verdict, tried: int) -> Verdict:
    """A verdict that is not right, after so many inputs of other draws on which the answer was."""
    if not tried:
        return verdict
    line = Finding("right", f"right on {tried} inputs that were drawn before")
    return replace(verdict, findings=(*verdict.findings, line))


def judge_derivatives(exercise: Exercise, cases: Sequence[Case], values: Sequence[Outcome],
                      derivatives: Sequence[Outcome], ours: Ours | None = None) -> Verdict:
    """The verdict on an answer whose values on these cases are right, from its derivatives on those of them that
    `Exercise.differentiated_cases` names."""
    if any(outcome.taken for outcome in derivatives):
        hint = Finding("hint", TAKEN.format(exercise.name))
        return Verdict(exercise.name, "not yours", 0, exercise.points, (hint,))
    answers = _Derivatives(exercise, cases, values, derivatives, ours or Ours(exercise, cases))
    for order in ("first", "second") if exercise.differentiated.twice else ("first",):
        faults = {i: answers.fault(i, order) for i in range(exercise.num_drawn(cases))}
        wrong = {i: fault for i, fault in faults.items() if fault}
        if wrong:
            verdict = _with_wrong_derivatives(exercise, cases, derivatives, wrong)
            return replace(verdict, findings=(*verdict.findings, *_notes(values)))
    return right_on(exercise, f"right on {len(cases)} inputs", values)


class _Derivatives:
    """An answer's derivatives, compared with the reference's, or with the differences of answers nearby."""

    def __init__(self, exercise: Exercise, cases: Sequence[Case], values: Sequence[Outcome],
                 derivatives: Sequence[Outcome], ours: Ours):
        self._exercise, self._cases, self._values = exercise, cases, values
        self._derivatives, self._ours = derivatives, ours
        self._num_drawn = exercise.num_drawn(cases)

    def fault(self, i: int, order: str) -> Fault | None:
        """What is wrong with the derivatives of that order on drawn case i."""
        places = [i] if self._exercise.differentiated.nearby is None else [i, i + self._num_drawn]
        for place in places:
            if place >= len(self._derivatives):
                return Fault(None, "it was not tried any more.")
            if problem := _not_differentiated(self._derivatives[place], order):
                return problem
        given = [self._derivatives[place].value for place in places]
        left_out = self._exercise.differentiated.left_out
        if left_out and left_out(self._cases[i]):
            return derivative_faults.not_finite(given[0][order], order)
        if len(places) == 2:
            return self._by_differences(i, order, given)
        expected = self._ours.derivatives[i].value
        if expected is None or not isinstance(expected[order], dict):
            return None  # the reference has none there
        fault = derivative_faults.fault(given[0][order], expected[order], order)
        if fault and fault.cause is not NOT_FINITE and self._ours.is_kink(i, order):
            return None
        return fault

    def _by_differences(self, i: int, order: str, given: Sequence[dict]) -> Fault | None:
        names = self._exercise.differentiated.inputs
        j = len(self._cases) - self._num_drawn + i
        where = [dict(zip(self._exercise.parameters, self._cases[place].args)) for place in (i, j)]
        x = {name: tuple(args[name] for args in where) for name in names}
        y = tuple(self._values[place].value for place in (i, j))
        if order == "second":
            y = tuple([gradients["first"].get(name) for name in names] for gradients in given)
        return derivative_faults.fault_by_differences(x, y, tuple(gradients[order] for gradients in given), order)


def _not_differentiated(outcome: Outcome, order: str) -> Fault | None:
    """Why there are no derivatives to compare."""
    if outcome.late:
        return Fault(None, "no derivative came in time.")
    if outcome.error:
        return Fault(cause_of(outcome.error), f"while it is differentiated, it stops with {outcome.error}")
    if isinstance(outcome.value[order], str):
        return Fault(NO_SECOND, f"its first derivatives cannot be differentiated again: {outcome.value[order]}")
    return None


def _with_wrong_derivatives(exercise: Exercise, cases: Sequence[Case], derivatives: Sequence[Outcome],
                            faults: dict[int, Fault]) -> Verdict:
    first, *others = faults
    cause = faults[first].cause
    findings = [Finding("hint", cause.says)] if cause else []
    findings.append(Finding("wrong", f"on {cases[first].label}: {faults[first].text}"))
    if first < len(derivatives) and derivatives[first].trace:
        findings.append(Finding("trace", derivatives[first].trace))
    if others:
        findings.append(Finding("wrong", "also on " + _some([cases[i].label for i in others])))
    findings.append(Finding("right", f"its values are right on {len(cases)} inputs"))
    part = exercise.part_for(p.name for p in exercise.properties)
    if part:
        findings.append(for_part(exercise, part.points, "because this holds: " + ", ".join(part.holds)))
    points = part.points if part else 0
    return Verdict(exercise.name, "wrong", points, exercise.points, tuple(findings), cause and cause.name)


PART = "points so far, "


def for_part(exercise: Exercise, points: float, why: str) -> Finding:
    """The line of a card that says how many points there are for what."""
    return Finding("right", f"{points:g} of {exercise.points} {PART}{why}")


def _some(labels: list[str], most: int = 3) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")


def _notes(outcomes: Sequence[Outcome]) -> list[Finding]:
    printed = sum(outcome.printed for outcome in outcomes)
    return [Finding("note", f"Your function printed {printed:,} characters while it was checked; they are not "
                            "shown.")] if printed else []


def _fits(misconception, answers):
    """Whether the misconception's sentence is true of every answer."""
    try:
        return all(misconception.fits(case, answers.value(i)) for i, case in enumerate(answers.cases[:answers.num_drawn]))
    except Exception:  # noqa: BLE001  an answer of any form may come in
        return False


def _recognise(exercise, answers, faults, table, ours):
    """The misconception that gives these very answers; failing that, one that fits them and breaks the same properties;
    failing that, one that is right wherever the student is, and whose own wrong answers the student gives two times in
    three, and no fewer than twice. An exception proves nothing: other mistakes raise the same."""
    wrong = [i for i, fault in enumerate(faults) if fault]
    right = [i for i, fault in enumerate(faults) if not fault]
    broken = [any(row) for row in table]
    values = [i for i in wrong if i < len(answers.outcomes) and answers.outcomes[i].value is not None]
    fitting, best, most = None, None, 0
    for misconception in exercise.misconceptions:
        if misconception.fits and not _fits(misconception, answers):
            continue
        other = ours.answers(misconception.wrong)
        agree = _agreement(answers, other, wrong, right)
        if agree is None and not misconception.fits:
            continue
        if (values or not wrong) and all(other.breaks(k) == breaks for k, breaks in enumerate(broken)):
            if agree and len(agree) == len(faults):
                return misconception
            if misconception.fits and not fitting:
                fitting = misconception
        if agree is None:
            continue
        telling = [i for i in wrong if other.fault(i)]  # where this misconception goes wrong
        explained = sum(i in agree for i in telling if i in values)
        if explained >= max(2, 2 * len(telling) / 3) and explained > most:
            best, most = misconception, explained
    return fitting or best


def _agreement(answers, other, wrong, right):
    """Where two answers are the same. None if they cannot be thoughts of one kind, which is seen before all are compared:
    one is wrong where the other is right, or of the wrong ones, more than a third are different."""
    if any(map(other.fault, right)):
        return None
    agree, differ = set(), 0
    for i in wrong:
        if answers.same_as(other, i):
            agree.add(i)
        elif other.fault(i):
            differ += 1
            if 3 * differ > len(wrong):
                return None
    return agree.union(i for i in right if answers.same_as(other, i))
