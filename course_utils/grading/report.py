"""Everything that comes out, in one folder: tables, a page of feedback for each student, and one for the
class."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from . import files, names, pages, tables
from .entries import FEEDBACK
from .inbox import CANVAS
from .judge import not_graded
from .late import Policy
from .records import Graded
from .roster import Person, Roster
from .scoring import Score, scores_of
from .store import Row, Scores


@dataclass(frozen=True)
class Plan:
    """What a report is about.

    ``canvas``: the name of the column that Canvas has for this assignment. ``notebook``: the only one that
    counts. ``students``: whose pages are written; without them, everybody's. The tables and the class's
    page always cover all.
    """

    canvas: str = ""
    notebook: str = ""
    students: tuple[str, ...] = ()
    roster: Roster = field(default_factory=Roster)
    policy: Policy = Policy()

    def wants(self, student: str) -> bool:
        """Whether this student's pages are written."""
        return not self.students or student in self.students

    def read(self, scores: Scores) -> tuple[list[Row], list[Score]]:
        """What the database holds; with a notebook, no other one has a score."""
        rows = list(scores.rows())
        by_hand = scores.marks()
        if self.notebook:
            there = {row.student for row in rows if row.graded.notebook == self.notebook}
            rows = [self._bound(row) for row in rows if row.student not in there or self._is_it(row)]
            by_hand = [mark for mark in by_hand if mark.notebook == self.notebook]
        by_hand = self.roster.renamed(by_hand, {row.student for row in rows})
        return rows, scores_of(rows, by_hand, self.policy)

    def _is_it(self, row: Row) -> bool:
        return row.graded.notebook in ("", self.notebook)

    def _bound(self, row: Row) -> Row:
        """The row, without points if it is another notebook: it was graded before the assignment was bound
        to one."""
        if self._is_it(row):
            return row
        note = not_graded(f"it is {row.graded.notebook}; the assignment is {self.notebook}")
        return replace(row, graded=Graded("", "other notebook", notes=(note,)))

    def missing(self, every: list[Score]) -> list[Person]:
        """Those on the roster of whom nothing came."""
        return self.roster.missing({score.student for score in every})


def write(scores: Scores, out: Path, plan: Plan = Plan()) -> list[Path]:
    """All reports, into a folder that only its owner reads; all of them or none."""
    rows, every = plan.read(scores)
    contents: dict[Path, bytes] = {}
    for student, page in feedback_pages(rows, every, plan).items():
        contents[out / "students" / f"{names.file_name(student)}.html"] = page.encode()
    results = _results(rows, every, plan)
    contents |= {out / "results" / name: text.encode() for name, text in results.items()}
    missing = plan.missing(every)
    contents[out / "class.html"] = pages.class_page(rows, every, missing).encode()
    if plan.canvas:
        table = tables.canvas_table(every, plan.canvas, plan.roster)
    else:
        table = tables.full_table(every, plan.roster)
    contents[out / "scores.csv"] = tables.as_csv(table)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_all(contents)
    for row in filter(lambda row: plan.wants(row.student), rows):
        for name in results_names(row) - set(results):  # of an earlier report, and without a total now
            (out / "results" / name).unlink(missing_ok=True)
    return [out / "scores.csv", out / "class.html", out / "students", out / "results"]


def feedback_pages(rows: list[Row], every: list[Score], plan: Plan) -> dict[str, str]:
    """A page for each student."""
    students = {score.student for score in every} | set(plan.students)
    result = {}
    for student in filter(plan.wants, sorted(students)):
        handed_in = [row for row in rows if row.student == student]
        own = [score for score in every if score.student == student]
        person = plan.roster.person(student)
        result[student] = pages.feedback(person.name if person else student, handed_in, own)
    return result


def feedback_zip(scores: Scores, path: Path, plan: Plan = Plan()) -> int:
    """One zip of all pages of feedback, each named like the file that Canvas exported, as Canvas takes them
    back.

    Returns how many there are. A student who did not come from Canvas has a page of the student's name.
    """
    rows, every = plan.read(scores)
    from_canvas: dict[str, str] = {}
    for row in [
        *rows,
        *(score.row for score in every if score.row),
    ]:  # the one that counts comes last and stays
        top = row.file.split("/")[0]
        if CANVAS.match(top):
            from_canvas[row.student] = f"{PurePosixPath(top).stem}.html"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = FEEDBACK
        contents = feedback_pages(rows, every, plan)
        for student, page in contents.items():
            archive.writestr(from_canvas.get(student, f"{names.file_name(student)}.html"), page)
    files.write(path, packed.getvalue())
    return len(contents)


def _results(rows: list[Row], every: list[Score], plan: Plan) -> dict[str, str]:
    """What Gradescope would read of each submission that has a total, by the file's name."""
    counting = {id(score.row): score for score in every if score.row}
    result = {}
    for row in rows:
        score = counting.get(id(row)) or Score(row.student, row.graded.notebook, row)
        if plan.wants(row.student) and not score.not_graded:
            result[results_name(row, id(row) in counting)] = json.dumps(
                tables.results([row], [score]), indent=1
            )
    return result


def results_name(row: Row, counts: bool) -> str:
    """The file of a submission's results: the student and the notebook, and the submission where it does
    not count."""
    if not row.graded.notebook or not counts:
        return f"{names.file_name(f'{row.student} {row.file}')}.json"
    return f"{names.file_name(row.student)}-{row.graded.notebook}.json"


def results_names(row: Row) -> set[str]:
    """The files in which a submission's results may be."""
    return {results_name(row, counts) for counts in (True, False)}
