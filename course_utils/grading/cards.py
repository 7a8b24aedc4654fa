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


def heading(row: Row) -> str:
    """One line about a submission: what it is, and its points if it has a total."""
    name = row.graded.notebook or row.file
    if row.graded.state in (NOT_GRADED, *WITHOUT_SCORE):
        return f"{name}: {row.graded.state}"
    state = "" if row.graded.state == "graded" else f" ({row.graded.state})"
    return f"{name}: {row.graded.points} of {row.graded.out_of} points{state}"


def lateness(score: Score) -> str:
    """A sentence about a submission that came late."""
    days = f"{score.days_late} day{'' if score.days_late == 1 else 's'}"
    left = total([score.so_far, -score.off])
    return f"Handed in {days} late: {score.off:g} points off, {left:g} of {score.out_of:g} are left."


def as_text(row: Row) -> list[str]:
    """One submission for a terminal: its cards as text."""
    return [heading(row), *row.graded.notes, *(repr(of(verdict)) for verdict in row.graded.verdicts)]
