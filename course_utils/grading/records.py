"""What the grader says of a submission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..exercises.verdict import Verdict

State = Literal["graded", "blank", "unreadable", "timed out", "died", "not graded"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Graded:
    """One notebook's verdicts, and notes for its student.

    "timed out" and "died" are said of a notebook of which an answer did so; its other exercises count. "not graded" means
    that something other than the submission failed, for the whole file or for the exercises whose verdicts say so: such a
    notebook has no score.
    """

    notebook: str
    state: State
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def out_of(self) -> int:
        return sum(verdict.out_of for verdict in self.verdicts)
