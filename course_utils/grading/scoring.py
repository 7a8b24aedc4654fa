"""What a student gets for a notebook: the submission that counts, and points given by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .. import exercises
from .late import Policy
from .store import Mark, Row, whole

NOT_GRADED = "not graded"


@dataclass(frozen=True)
class Score:
    """One student's notebook. ``row`` is the submission that counts, None where nothing was handed in."""

    student: str
    notebook: str
    row: Row | None
    marks: tuple[Mark, ...] = ()
    policy: Policy = Policy()

    @property
    def by_hand(self) -> dict[str, Mark]:
        """The marks that replace an exercise's points."""
        names = (
            {exercise.name for exercise in exercises.of_notebook(self.notebook)} if self.notebook else set()
        )
        return {mark.question: mark for mark in self.marks if mark.question in names}

    @property
    def questions(self) -> list[Mark]:
        """The marks for questions that no program grades."""
        return [mark for mark in self.marks if mark.question not in self.by_hand]

    @property
    def by_exercise(self) -> dict[str, float | None]:
        """Points by exercise; None where one was not graded."""
        points: dict[str, float | None] = {}
        for verdict in self.row.graded.verdicts if self.row else ():
            points[verdict.exercise] = None if verdict.state == NOT_GRADED else verdict.points
        return points | {name: mark.points for name, mark in self.by_hand.items()}

    @property
    def not_graded(self) -> list[str]:
        """What has no points yet: names of exercises, or the file's where it was not graded at all."""
        missing = [name for name, points in self.by_exercise.items() if points is None]
        if missing or not self.row or self.row.graded.state != NOT_GRADED:
            return missing
        told = any(verdict.state == NOT_GRADED for verdict in self.row.graded.verdicts)
        expected = exercises.of_notebook(self.notebook) if self.notebook else []
        complete = bool(expected) and all(exercise.name in self.by_exercise for exercise in expected)
        return [] if told or complete else [self.row.file]

    @property
    def so_far(self) -> float:
        """The points of all that was graded."""
        graded = [points for points in self.by_exercise.values() if points is not None]
        return total([*graded, *(mark.points for mark in self.questions)])

    @property
    def days_late(self) -> int:
        """Days begun after the due date."""
        return self.policy.days_late(self.row) if self.row else 0

    @property
    def off(self) -> float:
        """What lateness costs, and no more than there is."""
        return total([min(self.so_far, self.policy.off(self.row, self.out_of) if self.row else 0)])

    @property
    def points(self) -> float | None:
        """The total; None where something was not graded, or nothing was handed in."""
        if self.not_graded or not (self.row or self.marks):
            return None
        return total([self.so_far, -self.off])

    @property
    def out_of(self) -> float:
        """The most points that this notebook gives, questions graded by hand among them."""
        most = (
            {verdict.exercise: verdict.out_of for verdict in self.row.graded.verdicts} if self.row else {}
        )
        for name, mark in self.by_hand.items():
            most.setdefault(name, mark.out_of)
        return total([*most.values(), *(mark.out_of for mark in self.questions)])


def total(points: Iterable[float]) -> float:
    """A sum as a person writes it: 0.1 + 0.2 is 0.3."""
    return whole(round(sum(points), 6))


def counting(rows: Iterable[Row], policy: Policy = Policy()) -> dict[tuple[str, str], Row]:
    """The submission that counts for each student and notebook: the best, the last or the first, as the
    policy says.

    The best has the most points, less what lateness costs; of several the first. One that was not graded
    could still turn out to be the best, so it counts unless another has full points.
    """
    handed_in: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        handed_in.setdefault((row.student, row.graded.notebook), []).append(row)
    return {key: _that_counts(own, policy) for key, own in handed_in.items()}


def _that_counts(rows: list[Row], policy: Policy) -> Row:
    if policy.counts == "best":
        return max(rows, key=lambda row: _rank(row, policy))
    return (max if policy.counts == "last" else min)(rows, key=policy.order)


def _rank(row: Row, policy: Policy) -> tuple[bool, bool, float]:
    points = row.graded.points - policy.off(row, row.graded.out_of)
    full = bool(row.graded.verdicts) and points == row.graded.out_of
    return full, row.graded.state == NOT_GRADED, points


def scores_of(rows: Iterable[Row], marks: Iterable[Mark], policy: Policy = Policy()) -> list[Score]:
    """A score for each student and notebook, by student and notebook."""
    best = counting(rows, policy)
    by_hand: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        by_hand.setdefault((mark.student, mark.notebook), []).append(mark)
    keys = sorted({*best, *by_hand})
    scores = [Score(*key, best.get(key), tuple(by_hand.get(key, ())), policy) for key in keys]
    done_by_hand = {score.student for score in scores if score.notebook and _all_by_hand(score)}
    return [
        score
        for score in scores
        if score.notebook or not score.not_graded or score.student not in done_by_hand
    ]


def _all_by_hand(score: Score) -> bool:
    """Whether every exercise has points by hand: then a file that could not be graded is settled."""
    return all(exercise.name in score.by_hand for exercise in exercises.of_notebook(score.notebook))
