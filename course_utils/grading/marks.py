"""Points given by hand, in a table that an assistant writes."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable
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


def read(path: Path, name_of: Callable[[str], str] = names.student) -> list[Mark]:
    """Points given by hand, from a CSV with the columns student, notebook, question, points, out_of and
    comment.

    A line without points takes back what was given. A question that has an exercise's name replaces that
    exercise's points, and needs no ``out_of``. ``name_of`` finds the student. ValueError, with the line,
    where something cannot be read, and where a question is out of several numbers of points.
    """
    marks = []
    most: dict[tuple[str, str], float] = {}
    for number, line in table(path, COLUMNS[:5]):
        try:
            mark = _mark(line, name_of)
            before = most.setdefault((mark.notebook, mark.question), mark.out_of)
            if mark.out_of != before:
                raise ValueError(
                    f"{mark.question} is out of {mark.out_of:g} points here and out of {before:g} in a line "
                    "above; it is the same for everybody"
                )
        except ValueError as problem:
            raise at_line(path, number, problem) from None
        marks.append(mark)
    return marks


def at_line(path: Path, number: int, problem: ValueError) -> ValueError:
    """The error, with where it is."""
    text = str(problem)
    end = "" if text.endswith((".", "?")) else "."
    return ValueError(f"{path}, line {number}: {text}{end}")


def _mark(line: dict[str, str], name_of: Callable[[str], str]) -> Mark:
    student = name_of(names.student(line["student"] or ""))
    notebook, question = (names.student(line[column] or "") for column in COLUMNS[1:3])
    known = sorted({exercise.notebook for exercise in exercises.all_exercises().values()})
    if notebook not in known:
        raise ValueError(f"{notebook} is not a notebook; there are {', '.join(known)}")
    points = number(line["points"]) if line["points"] else None
    worth = {exercise.name: exercise.points for exercise in exercises.of_notebook(notebook)}
    if points is not None and question not in worth:
        _refuse_misspelled(question, notebook)
    out_of = number(line["out_of"]) if line["out_of"] else worth.get(question, math.nan)
    if not math.isfinite(out_of):
        raise ValueError(f"points and out_of are numbers, and {question} has no out_of")
    if out_of != worth.get(question, out_of):
        raise ValueError(f"{question} is out of {worth[question]:g} points, and the line says {out_of:g}")
    return Mark(student, notebook, question, points, out_of, line.get("comment") or "")


def _refuse_misspelled(question: str, notebook: str) -> None:
    """ValueError for the name of an exercise that is misspelled, or of another notebook: its points would be
    added to the exercise's."""
    every = exercises.all_exercises()
    if question in every:
        own = every[question].notebook
        raise ValueError(f"{question} is an exercise of {own}, and the line says {notebook}")
    spelled = {exercise.name.casefold(): exercise.name for exercise in exercises.of_notebook(notebook)}
    text = re.sub(r"[\s_-]+", "_", question).casefold()
    close = difflib.get_close_matches(text, spelled, n=1, cutoff=0.8)
    if close:
        raise ValueError(
            f"{question} is not an exercise of {notebook}; did you mean {spelled[close[0]]}? Give a question "
            "of your own another name"
        )


def number(text: str) -> float:
    """A finite number, written with a point or a comma."""
    value = float(text.strip().replace(",", "."))
    if not math.isfinite(value):
        raise ValueError("points and out_of are numbers")
    return value
