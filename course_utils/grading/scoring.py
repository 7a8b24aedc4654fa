"""What a student gets for a notebook: the submission that counts, and points given by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .. import exercises
from .late import Policy
from .records import WITHOUT_SCORE
from .store import Mark, Row, whole

NOT_GRADED = "not graded"
COULD_NOT = "This file could not be graded: "  # how a note begins that says why


@dataclass(frozen=True)
class Question:
    """What no program grades, and the most points that it gives."""

    name: str
    out_of: float


@dataclass(frozen=True)
class Score:
    """One student's notebook. ``row`` is the submission that counts, None where nothing was handed in.

    ``asked`` are the notebook's questions that are graded by hand, of anybody.
    """

    student: str
    notebook: str
    row: Row | None
    marks: tuple[Mark, ...] = ()
    policy: Policy = Policy()
    asked: tuple[Question, ...] = ()

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
        return [] if told or self._is_complete else [self.row.file]

    @property
    def _is_complete(self) -> bool:
        """Whether every exercise has points, from the file or by hand."""
        expected = exercises.of_notebook(self.notebook) if self.notebook else []
        return bool(expected) and all(exercise.name in self.by_exercise for exercise in expected)

    @property
    def is_unread(self) -> bool:
        """Whether there is no score because the file is unreadable or another notebook."""
        return self.row is not None and self.row.graded.state in WITHOUT_SCORE and not self._is_complete

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
        """The total; None where something was not graded or could not be read, or nothing was handed in."""
        if self.not_graded or self.is_unread or not (self.row or self.marks):
            return None
        return total([self.so_far, -self.off])

    @property
    def out_of(self) -> float:
        """The most points that this notebook gives, to anybody: exercises, and questions graded by hand."""
        declared = exercises.of_notebook(self.notebook) if self.notebook else []
        most = {exercise.name: exercise.points for exercise in declared}
        for verdict in self.row.graded.verdicts if self.row else ():
            most[verdict.exercise] = verdict.out_of
        questions = {question.name: question.out_of for question in self.asked}
        for mark in self.questions:
            questions.setdefault(mark.question, mark.out_of)
        return total([*most.values(), *questions.values()])


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
    """A score for each student and notebook, by student and notebook; files without a notebook come last.

    If no notebook of a student could be read, the file that came belongs to the marks by hand.
    """
    best = counting(rows, policy)
    by_hand: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        by_hand.setdefault((mark.student, mark.notebook), []).append(mark)
    read = {student for student, notebook in best if notebook}
    for key in sorted(by_hand, key=lambda key: (not _is_settled(by_hand[key]), key)):
        unread = key[0], ""
        if unread not in best:
            continue
        if key not in best and (key[0] not in read or _is_settled(by_hand[key])):
            best[key] = best.pop(unread)
        elif _is_settled(by_hand[key]):
            del best[unread]
    keys = sorted({*best, *by_hand}, key=lambda key: (key[0], not key[1], key[1]))
    asked = {notebook: _questions(by_hand, notebook) for _, notebook in keys}
    return [
        Score(*key, best.get(key), tuple(by_hand.get(key, ())), policy, asked[key[1]]) for key in keys
    ]


def _questions(by_hand: dict[tuple[str, str], list[Mark]], notebook: str) -> tuple[Question, ...]:
    """A notebook's questions, from everybody's marks by student and notebook."""
    most: dict[str, float] = {}
    for (student, of_marks), marks in by_hand.items():
        if of_marks != notebook:
            continue
        for mark in Score(student, notebook, None, tuple(marks)).questions:
            most[mark.question] = max(mark.out_of, most.get(mark.question, 0))
    return tuple(Question(name, out_of) for name, out_of in most.items())


def _is_settled(marks: list[Mark]) -> bool:
    """Whether every exercise of the marks' notebook has points by hand."""
    questions = {mark.question for mark in marks}
    return all(exercise.name in questions for exercise in exercises.of_notebook(marks[0].notebook))


def counted(scores: list[Score]) -> list[Score]:
    """A student's scores that are part of the total: a file that cannot be read does not count beside one
    that can."""
    return [score for score in scores if score.notebook or not score.is_unread] or scores


def in_all(scores: list[Score]) -> float | None:
    """A student's total; None where a part of it is missing."""
    points = [score.points for score in counted(scores)]
    return None if None in points else total(points)


def by_student(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Everybody's scores, by student."""
    own: dict[str, list[Score]] = {}
    for score in scores:
        own.setdefault(score.student, []).append(score)
    return own


def to_look_at(scores: Iterable[Score]) -> list[str]:
    """Each student without a score because of a file that could not be read, with the file and the reason.
    """
    every = [score for own in by_student(scores).values() for score in counted(own) if score.is_unread]
    return [f"{score.student} ({score.row.file}: {_reason(score.row)})" for score in every]


def _reason(row: Row) -> str:
    """Why a file could not be graded, as its note says."""
    return " ".join(row.graded.notes).removeprefix(COULD_NOT).strip(" .") or row.graded.state
