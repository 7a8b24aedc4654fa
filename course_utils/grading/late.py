"""Late submissions: which of several counts, how late it is, and what that costs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from . import marks
from .inbox import CANVAS
from .roster import Roster
from .store import Row

Counts = Literal["best", "last", "first"]
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Policy:
    """When a notebook is due, and what a day costs: points, or with ``percent`` that share of all points,
    as in Canvas.

    ``extensions`` are days, by student.
    """

    counts: Counts = "best"
    due: datetime | None = None
    per_day: float = 0.0
    percent: bool = False
    extensions: dict[str, float] = field(default_factory=dict)

    def days_late(self, row: Row) -> int:
        """Days begun after the due date. Where only Canvas' LATE is known, one day."""
        extra = self.extensions.get(row.student, 0.0)
        if self.due and row.handed_in_at:
            at = datetime.fromisoformat(row.handed_in_at)
            return max(0, math.ceil((at - self.due) / DAY - extra))
        return 1 if row.late and extra <= 0 else 0

    def off(self, row: Row, out_of: float) -> float:
        """Points that lateness costs, of so many."""
        per_day = self.per_day * out_of / 100 if self.percent else self.per_day
        return per_day * self.days_late(row)

    def order(self, row: Row) -> tuple:
        """Sorts submissions by time: as the platform says, else by Canvas' number, else by a number in the
        file's name."""
        canvas = re.search(r"_(\d+)_(\d+)_", row.file) if CANVAS.match(row.file) else None
        number = int(canvas[2]) if canvas else 0
        parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", Path(row.file).stem)]
        return (
            row.handed_in_at,
            number,
            [str(part) if isinstance(part, str) else f"{part:012}" for part in parts],
        )


def due(text: str) -> datetime:
    """A date, or a date and time, in this machine's time zone if none is named; a date is over when its day
    is."""
    at = datetime.fromisoformat(text)
    if re.fullmatch(r"[\d-]+", text.strip()):
        at += DAY
    return at.astimezone()


def per_day(text: str) -> tuple[float, bool]:
    """Points off by the day: "0.5", or "10%" of all points. Returns the number, and whether it is a
    percentage."""
    value = marks.number(text.removesuffix("%"))
    if value < 0:
        raise ValueError("the points off are not negative")
    return value, text.endswith("%")


def extensions(path: Path, known: set[str], people: Roster) -> dict[str, float]:
    """Days by name as it is written, from a CSV with the columns student and days; names are those of
    scores.csv or of the roster.

    ValueError, with the line, where one cannot be read.
    """
    name_of = people.naming(known)
    days: dict[str, float] = {}
    for line_number, line in marks.table(path, ["student", "days"]):
        name = line["student"] or ""
        try:
            name_of(name)
            days[name] = marks.number(line["days"] or "")
        except ValueError as problem:
            raise marks.at_line(path, line_number, problem) from None
    return days
