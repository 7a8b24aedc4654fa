"""Everything that comes out, in one folder: tables, a page of feedback for each student, and one for the class."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from . import files, marks, names, pages, tables
from .scoring import Score, scores_of
from .store import Row, Scores


def write(scores: Scores, out: Path, canvas: str = "", notebook: str = "", students: Collection[str] = ()) -> list[Path]:
    """All reports, into a folder that only its owner reads; all of them or none.

    ``canvas``: the name of the column that Canvas has for this assignment. ``notebook``: the only one that counts.
    ``students``: whose pages are written; without them, everybody's. The tables and the class's page always cover all.
    """
    rows, every = of_notebook(scores, notebook)
    counting = {id(score.row): score for score in every if score.row}
    contents, outdated = {}, []
    for student in students or {score.student for score in every}:
        handed_in = [row for row in rows if row.student == student]
        own = [score for score in every if score.student == student]
        contents[out / "students" / f"{names.file_name(student)}.html"] = pages.feedback(student, handed_in, own)
    for row in rows:
        if students and row.student not in students:
            continue
        score = counting.get(id(row)) or Score(row.student, row.graded.notebook, row)
        path = out / "results" / f"{results_name(row, id(row) in counting)}.json"
        if score.not_graded:
            outdated.append(path)
        else:
            contents[path] = json.dumps(tables.results([row], [score]), indent=1)
    contents[out / "class.html"] = pages.class_page(rows, every)
    table = tables.canvas_table(every, canvas) if canvas else tables.full_table(every)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_all({path: text.encode() for path, text in contents.items()} | {out / "scores.csv": tables.as_csv(table)})
    for path in outdated:
        path.unlink(missing_ok=True)
    return [out / "scores.csv", out / "class.html", out / "students", out / "results"]


def of_notebook(scores: Scores, notebook: str) -> tuple[list[Row], list[Score]]:
    """What the database holds; with ``notebook``, only what is in that one or in none that is known."""
    wanted = ("", notebook)
    rows = [row for row in scores.rows() if not notebook or row.graded.notebook in wanted]
    by_hand = [mark for mark in scores.marks() if not notebook or mark.notebook in wanted]
    return rows, scores_of(rows, marks.for_students(by_hand, {row.student for row in rows}))


def results_name(row: Row, counts: bool) -> str:
    """The name of a submission's results: the student and the notebook, and the file where it is not the one that counts."""
    if not row.graded.notebook or not counts:
        return names.file_name(f"{row.student} {row.file}")
    return f"{names.file_name(row.student)}-{row.graded.notebook}"
