"""Points given by hand, in a table that an assistant writes."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from .. import exercises
from . import names
from .store import Mark

COLUMNS = ["student", "notebook", "question", "points", "out_of", "comment"]


def table(path: Path, columns: list[str]) -> list[tuple[int, dict[str, str]]]:
    """The lines of a CSV, with their numbers. ValueError where it is not UTF-8 or lacks one of the
    columns."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text. In a spreadsheet, save it as CSV UTF-8.") from None
    first = text.split("\n", 1)[0]
    delimiter = (
        ";" if first.count(";") > first.count(",") else ","
    )  # as a spreadsheet writes it in half of Europe
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(
                f"{path} has the columns {', '.join(header) or 'none'}; {', '.join(missing)} is missing. "
                f"Its first line should begin with {','.join(columns)}."
            )
        try:
            return [(reader.line_num, line) for line in reader if any(line.values())]
        except csv.Error as problem:
            raise ValueError(f"{path}, line {reader.line_num}: {problem}.") from None


def read(path: Path) -> list[Mark]:
    """Points given by hand, from a CSV with the columns student, notebook, question, points, out_of and
    comment.

    A line without points takes back what was given. A question that has an exercise's name replaces that
    exercise's points, and needs no ``out_of``. ValueError, with the line, where something cannot be read.
    """
    marks = []
    for number, line in table(path, COLUMNS[:5]):
        try:
            marks.append(_mark(line))
        except ValueError as problem:
            raise ValueError(f"{path}, line {number}: {problem}.") from None
    return marks


def _mark(line: dict[str, str]) -> Mark:
    student, notebook, question = (names.student(line[column] or "") for column in COLUMNS[:3])
    known = sorted({exercise.notebook for exercise in exercises.all_exercises().values()})
    if notebook not in known:
        raise ValueError(f"{notebook} is not a notebook; there are {', '.join(known)}")
    points = number(line["points"]) if line["points"] else None
    worth = {exercise.name: exercise.points for exercise in exercises.of_notebook(notebook)}
    out_of = number(line["out_of"]) if line["out_of"] else worth.get(question, math.nan)
    if not math.isfinite(out_of):
        raise ValueError(f"points and out_of are numbers, and {question} has no out_of")
    if out_of != worth.get(question, out_of):
        raise ValueError(f"{question} is out of {worth[question]:g} points, and the line says {out_of:g}")
    return Mark(student, notebook, question, points, out_of, line.get("comment") or "")


def number(text: str) -> float:
    """A finite number, written with a point or a comma."""
    value = float(text.strip().replace(",", "."))
    if not math.isfinite(value):
        raise ValueError("points and out_of are numbers")
    return value
