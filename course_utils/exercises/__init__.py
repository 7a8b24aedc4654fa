"""Exercises, and checks that know the mistake.

``check(f)`` looks a student's function up by its name, calls it, and returns a card: what holds, what does not, on
which input, and what the answer suggests the student thought. ``check()`` sums up the notebook.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable
from typing import Any

import torch

from . import card as _card
from .card import Card
from .declare import Exercise
from .verdict import TAKEN as TAKEN, Finding, Ours, Verdict, after_others, judge, judge_derivatives, right_on
from .run import call_all, cannot_be_asked
from .source import is_stub

_checked: dict[str, tuple[Callable, Verdict]] = {}  # the last one checked comes last


@functools.cache
def _declared() -> dict[str, Exercise]:
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
               if m.name.startswith("nb")]
    found = [e for module in modules for e in vars(module).values() if isinstance(e, Exercise)]
    by_name = {exercise.name: exercise for exercise in found}
    twice = [e.name for i, e in enumerate(found) if e.name in [other.name for other in found[:i]]]
    if twice:
        raise ValueError(f"{', '.join(twice)} is declared twice; exercises are found by name, so each needs its own.")
    return by_name


def all_exercises() -> dict[str, Exercise]:
    """Every exercise, by its name, in the notebooks' order."""
    return dict(_declared())


def find(name: str) -> Exercise:
    """The exercise of that name; KeyError where there is none."""
    return _declared()[name]


def of_notebook(notebook: str) -> list[Exercise]:
    """The exercises of a notebook such as "02_message_passing", in its order."""
    return [exercise for exercise in _declared().values() if exercise.notebook == notebook]


def check(function: Callable | None = None, /) -> Card:
    """Check one exercise, or without an argument sum up the exercises of this notebook. Never raises."""
    if function is None:
        return _summary()
    problem = _cannot_check(function)
    if problem:
        return Card("wrong", problem, (), {"exercise": None, "state": "cannot check"})
    exercise = find(function.__name__)
    try:
        verdict = verdict_on(exercise, function)
    except Exception as error:  # noqa: BLE001  a function may be anything, and a notebook has to go on
        return Card("wrong", f"{exercise.name} could not be checked ({type(error).__name__}: {error})", (),
                    {"exercise": exercise.name, "state": "cannot check"})
    _checked.pop(exercise.name, None)
    _checked[exercise.name] = function, verdict
    return _card.of_verdict(verdict)


def yours(function: Callable, /) -> Callable:
    """The student's function or class once its check has passed, else the library's, which a sentence says.

    Where the student's raises later on, the library's takes over for that call.
    """
    exercise = find(function.__name__)
    checked, verdict = _checked.get(exercise.name, (None, None))
    if checked is not function or verdict.state != "right":
        print(f"Your {exercise.name} has not passed its check yet; this is the library's.")
        return exercise.reference

    if exercise.asks_for == "function":
        return _with_fallback(function, exercise.reference, exercise.name)

    class Made(function):  # a class, so that a copy of an instance, or one in another precision, has its own numbers
        def __init__(self, *args, **options):
            self.__dict__["_made_with"] = args, options
            super().__init__(*args, **options)

        def forward(self, *inputs, **more):
            return _with_fallback(super().forward, self._ours, exercise.name)(*inputs, **more)

        def _ours(self, *inputs, **more):
            args, options = self._made_with
            with torch.device("meta"):
                ours = exercise.reference(*args, **options)
            ours.load_state_dict(self.state_dict(keep_vars=True), assign=True)
            return ours(*inputs, **more)

    return functools.wraps(function, updated=())(Made)


def _with_fallback(theirs: Callable, ours: Callable, name: str) -> Callable:
    @functools.wraps(theirs)
    def called(*args, **options):
        try:
            return theirs(*args, **options)
        except Exception as error:  # noqa: BLE001
            print(f"Your {name} stopped with {type(error).__name__}: {error}. This is the library's.")
            return ours(*args, **options)

    return called


def verdict_on(exercise: Exercise, function: Callable) -> Verdict:
    """Call the function on the inputs of the check, and judge what comes back."""
    def early(state, text):
        return Verdict(exercise.name, state, 0, exercise.points, (Finding("hint", text),) if text else ())

    asked, ours = function, exercise.reference
    if exercise.asks_for == "class" and inspect.isclass(function):
        asked, ours = getattr(function, "forward", None), ours.forward
    if asked is ours:
        return early("not yours", f"Write your own `{exercise.name}` in the cell above and pass that one.")
    tree = _tree(asked)
    if tree and is_stub(tree):
        return early("not started", "")
    if problem := cannot_be_asked(function, exercise.asks_for, exercise.name, exercise.inputs):
        return early("wrong", problem)
    def called(cases, wanted=None):
        return call_all(function, cases, exercise.parameters, exercise.seconds, exercise.reference, wanted)

    tried, every = 0, []
    for cases in exercise.rounds():
        outcomes, ours = called(cases), Ours(exercise, cases)
        verdict = judge(exercise, cases, outcomes, ours)
        if verdict.state == "right" and exercise.differentiated:
            derivatives = called(exercise.differentiated_cases(cases), exercise.differentiated)
            verdict = judge_derivatives(exercise, cases, outcomes, derivatives, ours)
        if verdict.state != "right":
            return after_others(verdict, tried)
        tried += len(cases)
        every += outcomes
    return right_on(exercise, f"right on {tried} inputs", every)


def _tree(function: Callable) -> ast.FunctionDef | None:
    """The function's syntax tree; None where the source is not at hand."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None


def _cannot_check(given: Any) -> str | None:
    if isinstance(given, str):
        return f"check got the text {given!r}; expected the function itself: check({given}), without quotes."
    if not (inspect.isfunction(given) or inspect.isclass(given)):
        return (f"check got a {type(given).__name__}; expected a function, such as check({next(iter(_declared()))}). "
                "Pass the function, or the class, not what it returns.")
    name = given.__name__
    if name in _declared():
        return None
    if name == "<lambda>":
        return "check finds an exercise by its function's name, and a lambda has none. Write it with def."
    close = difflib.get_close_matches(name, _declared(), n=1)
    return f"there is no exercise named {name}." + (f" Did you mean {close[0]}?" if close else
                                                    f" The exercises are {', '.join(_declared())}.")


def _summary() -> Card:
    if not _checked:
        return Card("not started", "nothing has been checked yet. Run the check cells first.", (), {"summary": {}})
    notebook = find(next(reversed(_checked))).notebook
    verdicts = [_checked[e.name][1] if e.name in _checked else Verdict(e.name, "not started", 0, e.points)
                for e in of_notebook(notebook)]
    points, out_of = sum(v.points for v in verdicts), sum(v.out_of for v in verdicts)
    findings = tuple(Finding({"right": "right", "not started": "note"}.get(v.state, "wrong"), _card.of_verdict(v).title)
                     for v in verdicts)
    record = {"summary": {v.exercise: v.state for v in verdicts}, "points": points, "out_of": out_of}
    states = {v.state for v in verdicts}
    state = states.pop() if len(states) == 1 else "wrong"
    return Card(state, f"{notebook}: {points} of {out_of} points", findings, record)
