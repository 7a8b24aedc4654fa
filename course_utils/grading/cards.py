"""The notebook's cards, as they are shown after grading."""

from __future__ import annotations

from dataclasses import replace
from html import escape

from ..exercises import card
from ..exercises.verdict import Finding, Verdict
from .records import WITHOUT_SCORE
from .scoring import NOT_GRADED, Score, total
from .store import Mark, Row

NOT_FOUND = (
    "No function `{}` with an answer in it was found. If you wrote one: is it a comment, inside a class, "
    "or under another name?"
)
code = card._code


def of(verdict: Verdict) -> card.Card:
    """The notebook's card. There, "not started" is below the stub; here, it says what was looked for."""
    if verdict.state == NOT_GRADED:
        findings = tuple(replace(finding, kind="note") for finding in verdict.findings)
        return card.Card("note", f"{verdict.exercise}: not graded yet", findings, {})
    if verdict.state == "not started":
        verdict = replace(verdict, findings=(Finding("hint", NOT_FOUND.format(verdict.exercise)),))
    return card.of_verdict(verdict)


def html(verdict: Verdict) -> str:
    """A card as HTML."""
    return of(verdict)._repr_mimebundle_()[0]["text/html"]


def by_hand(mark: Mark | None) -> str:
    """A line of HTML below a card whose points were changed by hand."""
    if mark is None:
        return ""
    comment = f": {escape(mark.comment)}" if mark.comment else "."
    return f"<p>Points given by hand: {mark.points:g} of {mark.out_of:g}{comment}</p>"


def heading(row: Row, score: Score | None = None) -> str:
    """One line about a submission: what it is, and its points if it has a total.

    With the score in which it counts, points off for lateness and points by hand are among them.
    """
    if score is not None:
        return summary(score)
    name = row.graded.notebook or row.file
    if row.graded.state in (NOT_GRADED, *WITHOUT_SCORE):
        return f"{name}: {row.graded.state}"
    return f"{name}: {row.graded.points:g} of {row.graded.out_of:g} points{_ending(row)}"


def summary(score: Score) -> str:
    """One line about a score: of what it is, and the points that count."""
    name = score.notebook or score.row.file
    if score.points is not None:
        return f"{name}: {score.points:g} of {score.out_of:g} points{_ending(score.row)}"
    if score.not_graded:
        return f"{name}: {NOT_GRADED}"
    return f"{name}: {score.row.graded.state}"


def _ending(row: Row | None) -> str:
    """How the submission's run ended, where that was not as usual."""
    usual = row is None or row.graded.state in ("graded", NOT_GRADED)
    return "" if usual else f" ({row.graded.state})"


def lateness(score: Score) -> str:
    """A sentence about a submission that came late."""
    days = f"{score.days_late} day{'' if score.days_late == 1 else 's'}"
    left = total([score.so_far, -score.off])
    return f"Handed in {days} late: {score.off:g} points off, {left:g} of {score.out_of:g} are left."


def as_text(row: Row, score: Score | None = None) -> list[str]:
    """One submission for a terminal: its cards as text, and its points as `heading` says them."""
    return [heading(row, score), *row.graded.notes, *(repr(of(verdict)) for verdict in row.graded.verdicts)]
