"""Tables for a spreadsheet and for Canvas, and what Gradescope reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from . import cards, names, scoring
from .inbox import CANVAS
from .roster import CANVAS_COLUMNS, Roster
from .scoring import NOT_GRADED, Score, total
from .store import Row


def as_csv(table: list[list]) -> bytes:
    """A table as a spreadsheet opens it by itself: UTF-8 with a byte-order mark, all text quoted, no
    formulas.

    The first line is not quoted, since Canvas takes a byte-order mark only in front of a bare word.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerow(map(names.cell, table[0]))
    lines = [[names.cell(value) for value in line] for line in table[1:]]
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(lines)
    return text.getvalue().encode("utf-8-sig")


def full_table(scores: list[Score], roster: Roster = Roster()) -> list[list]:
    """A line for each student and notebook: points in all, then exercise by exercise. No total where one is
    missing.

    With a roster, each line has the name as it is written there, and those of whom nothing came have lines
    too.
    """
    scores = scores + nothing_came(scores, roster)
    exercises = list(dict.fromkeys(name for score in scores for name in score.by_exercise))
    questions = list(dict.fromkeys(mark.question for score in scores for mark in score.questions))
    lateness = ["days late", "points off"] if any(score.days_late for score in scores) else []
    name = ["name"] if roster.people else []
    header = ["student", "notebook", "points", "out of", "state", "level", "file"]
    table = [[*header, *lateness, *name, *exercises, *questions]]
    for score in scores:
        row = score.row
        out_of = score.out_of if score.notebook else ""
        line = [score.student, score.notebook, _or_blank(score.points), out_of]
        line += [row.graded.state, row.level, row.file] if row else ["nothing handed in", "", ""]
        if lateness:
            line += [score.days_late, score.off]
        if roster.people:
            person = roster.person(score.student)
            line.append(person.name if person else "")
        line += [_or_blank(score.by_exercise.get(exercise)) for exercise in exercises]
        by_hand = {mark.question: mark.points for mark in score.questions}
        line += [by_hand.get(question, "") for question in questions]
        table.append(line)
    return table


def nothing_came(scores: list[Score], roster: Roster) -> list[Score]:
    """Empty scores for those on the roster who are in none, one for each notebook of the class."""
    missing = roster.missing({score.student for score in scores})
    asked = {score.notebook: score.asked for score in scores if score.notebook} or {"": ()}
    return [
        Score(person.name, notebook, None, asked=asked[notebook])
        for person in missing
        for notebook in sorted(asked)
    ]


def _or_blank(points: float | None) -> float | str:
    return "" if points is None else points


def canvas_table(scores: list[Score], column: str, roster: Roster = Roster()) -> list[list]:
    """As Canvas imports it: a line for each student, whose ID is at the end of its name in Canvas' export.

    With a roster, the columns in front are those of the roster, and those of whom nothing came have a line
    without points.
    """
    by_student = scoring.by_student(scores)
    table = [[*CANVAS_COLUMNS, column]]
    for student, own in sorted(by_student.items()):
        person = roster.person(student)
        identity = list(person.canvas) if person else [*canvas_identity(student), ""]
        table.append([*identity, _or_blank(scoring.in_all(own))])
    return table + [[*person.canvas, ""] for person in roster.missing(by_student)]


def canvas_identity(student: str) -> list[str]:
    """Canvas' columns Student, ID, SIS User ID and SIS Login ID: an ID where the name has one, else a
    login."""
    name, _, number = student.rpartition("_")
    if name and number.isdigit() and CANVAS.match(f"{student}_1_"):
        return [name, number, "", ""]
    return [student, "", "", student]


def results(rows: list[Row], scores: Iterable[Score]) -> dict:
    """What Gradescope reads of one student's files: a test for each exercise, with the notebook's card.

    What could not be read is 0 here, since the student reads why and can hand in again. ValueError where
    something was not graded: a partial total would be taken for the score.
    """
    scores = list(scores)
    counts = {id(score.row): score for score in scores if score.row}
    missing = [name for score in scores for name in score.not_graded]
    if missing:
        raise ValueError(f"{', '.join(missing)}: {NOT_GRADED}, so there is no total.")
    tests = [test for score in scores for test in _tests(score)]
    about = {
        "notebook": [row.graded.notebook for row in rows],
        "state": [row.graded.state for row in rows],
        "level": [row.level for row in rows],
        "version": [row.version for row in rows],
    }
    return {
        "score": total(score.points or 0 for score in scores),
        "visibility": "visible",
        "execution_time": total(row.graded.seconds for row in rows),
        "stdout_visibility": "hidden",
        "output_format": "text",
        "tests": tests,
        "output": "\n".join(
            [
                *(line for row in rows for line in _about(row, counts.get(id(row)))),
                *(cards.lateness(score) for score in scores if score.days_late),
            ]
        ),
        "extra_data": {key: ", ".join(values) for key, values in about.items()},
    }


def _about(row: Row, score: Score | None) -> list[str]:
    """The lines above the tests."""
    return [cards.heading(row, score), *row.graded.notes]


def _tests(score: Score) -> list[dict]:
    """A test for each exercise, and one for each question graded by hand."""
    tests = []
    for verdict in score.row.graded.verdicts if score.row else ():
        points = score.by_exercise[verdict.exercise]
        output = cards.html(verdict) + cards.by_hand(score.by_hand.get(verdict.exercise))
        tests.append(
            {
                "name": verdict.exercise,
                "score": points,
                "max_score": verdict.out_of,
                "output": output,
                "output_format": "html",
                "status": "passed" if points == verdict.out_of else "failed",
                "visibility": "visible",
            }
        )
    listed = {test["name"] for test in tests}
    for mark in score.marks:
        if mark.question not in listed:
            tests.append(
                {
                    "name": mark.question,
                    "score": mark.points,
                    "max_score": mark.out_of,
                    "output": mark.comment,
                    "output_format": "text",
                    "visibility": "visible",
                }
            )
    return tests
