"""Numbers about exercises that an instructor can act on: how hard each one was, and whether it agrees with
the others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..exercises.declare import Exercise
from .scoring import Score

FEWEST = 5  # scores that a correlation needs to say anything


@dataclass(frozen=True)
class Item:
    """One exercise in a class. ``share`` is the mean part of its points that was earned, from 0 to 1.

    ``discrimination`` is Pearson's correlation of its points with the points of all other exercises: near
    1, who does well elsewhere does well here; near 0 or below, look at the exercise. None with fewer than
    five scores, or where all have the same points.
    """

    name: str
    share: float
    discrimination: float | None


def items(exercises: Sequence[Exercise], scores: Sequence[Score]) -> list[Item]:
    """The exercises of a notebook, in its order; scores in which something was not graded are left out."""
    complete = [score.by_exercise for score in scores if not score.not_graded and score.by_exercise]
    if not complete:
        return []
    result = []
    for exercise in exercises:
        points = [by_exercise.get(exercise.name, 0) for by_exercise in complete]
        others = [sum(by_exercise.values()) - own for by_exercise, own in zip(complete, points)]
        share = statistics.fmean(points) / exercise.points
        result.append(Item(exercise.name, share, _correlation(points, others)))
    return result


def _correlation(points: list[float], others: list[float]) -> float | None:
    if len(points) < FEWEST or len(set(points)) == 1 or len(set(others)) == 1:
        return None
    return statistics.correlation(points, others)


def table(rows: Sequence[Item]) -> str:
    """The items as HTML: a bar for the share, and the discrimination beside it."""
    if not rows:
        return ""
    lines = []
    for item in rows:
        percent = f"{100 * item.share:.0f} %"
        bar = (
            f"<span class=bar role=img aria-label='{percent}' style='width:{100 * item.share:.0f}%'></span>"
        )
        agrees = "" if item.discrimination is None else f"{item.discrimination:.2f}"
        lines.append(
            f"<tr><td class=what><code>{escape(item.name)}</code></td><td>{bar}</td><td class=n>{percent}</td>"
            f"<td class=n>{agrees}</td></tr>"
        )
    head = "<tr><th>exercise</th><th></th><th class=n>points</th><th class=n>agrees</th></tr>"
    return (
        f"<table>{head}{''.join(lines)}</table><p class=small>Points: the mean part that was earned. Agrees: "
        "the correlation with the points of the other exercises; near 0 or below, look at the exercise.</p>"
    )
