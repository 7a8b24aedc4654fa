"""What the grader says of a submission."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..exercises.verdict import Verdict
from .forms import Form

State = Literal["graded", "blank", "unreadable", "other notebook", "timed out", "died", "not graded"]
STATES: tuple[State, ...] = get_args(State)
WITHOUT_SCORE: tuple[State, ...] = ("unreadable", "other notebook")  # a person has to look
ENDINGS: tuple[State, ...] = ("timed out", "died")  # of the child of an answer


@dataclass(frozen=True)
class Graded:
    """One notebook's verdicts, and notes for its student.

    "timed out" and "died" are said of a notebook of which an answer did so; its other exercises count. "not
    graded" means that something other than the submission failed, for the whole file or for the exercises
    whose verdicts say so: such a notebook has no score. ``forms`` are the normalized forms of the answers,
    by exercise.
    """

    notebook: str
    state: State
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    forms: dict[str, Form] = field(default_factory=dict)

    @property
    def points(self) -> float:
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def out_of(self) -> int:
        return sum(verdict.out_of for verdict in self.verdicts)


def state_of(verdicts: Iterable[str], ending: State = "graded") -> State:
    """A notebook's state, from the states of its verdicts and the way in which one of its answers ended, if
    it is one of `ENDINGS`."""
    states = set(verdicts)
    if "not graded" in states:
        return "not graded"
    if ending in ENDINGS:
        return ending
    return "blank" if states == {"not started"} else "graded"
