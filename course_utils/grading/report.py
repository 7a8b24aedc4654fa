"""What comes out: tables for a learning-management system, a page of feedback for each student, and one for the class."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from html import escape
from pathlib import Path

from .. import exercises
from ..exercises import card
from ..exercises.verdict import Finding, Verdict
from .inbox import CANVAS
from .store import Mark, Row, Scores, _whole

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; margin: 1em 0; width: 100% }}
td, th {{ padding: .3em .8em .3em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8886 }}
td.n, th.n {{ text-align: right; width: 4em; white-space: nowrap }} td.what {{ width: 14em }}
.bar {{ background: #2e9c6f; height: .8em; display: inline-block }}
code {{ font-size: .95em }} .small {{ font-size: .85em; opacity: .8 }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""
NOT_FOUND = ("No function `{}` with an answer in it was found. If you wrote one: is it a comment, inside a class, or "
             "under another name?")
OTHERWISE = {  # words of a card without a known misconception -> what the class page counts it as
    "hands the question on": "the library's own function", "is not valid Python": "no valid Python",
    "your function returned None": "returned None", "no answer came in time": "no answer in time",
    "your function stopped with": "stopped with an error",
    "the answer holds": "another kind of number", "is a NumPy array": "a NumPy array in place of a tensor",
    "drawn for grading and not shown": "right on the inputs of the notebook's check alone"}


def counting(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """The submission that counts for each student and notebook: the one with the most points, of several the first."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.student, row.graded.notebook
        if key not in best or row.graded.points > best[key].graded.points:
            best[key] = row
    return best


def write(scores: Scores, out: Path, canvas: str = "") -> list[Path]:
    """All reports, into a folder. ``canvas``: the name of the column that Canvas has for this assignment."""
    rows, marks = list(scores.rows()), scores.marks()
    best = counting(rows)
    by_student: dict[str, list[Row]] = {}
    for row in rows:
        by_student.setdefault(row.student, []).append(row)
    for mark in marks:
        by_student.setdefault(mark.student, [])
    for folder in ("students", "results"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for student, theirs in by_student.items():
        page = feedback(student, theirs, best, [m for m in marks if m.student == student])
        (out / "students" / f"{file_name(student)}.html").write_text(page, "utf-8")
    for row in rows:
        name = file_name(row.student if best.get((row.student, row.graded.notebook)) is row else f"{row.student} {row.file}")
        theirs = [m for m in marks if (m.student, m.notebook) == (row.student, row.graded.notebook)]
        (out / "results" / f"{name}{'-' + row.graded.notebook if row.graded.notebook else ''}.json").write_text(
            json.dumps(results([row], theirs), indent=1), "utf-8")
    (out / "class.html").write_text(class_page(rows, best), "utf-8")
    table = canvas_table(best, marks, canvas) if canvas else full_table(best, marks)
    with open(out / "scores.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[_plain(cell) for cell in line] for line in table])
    return [out / "scores.csv", out / "class.html", out / "students", out / "results"]


def _plain(cell):
    """No cell that a spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def file_name(text: str) -> str:
    """A name for a file that no two students share, and that no path hides in."""
    plain = re.sub(r"[^\w-]+", "_", text)[:80]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def full_table(best: dict[tuple[str, str], Row], marks: list[Mark]) -> list[list]:
    """A line for each student and notebook: points in all, then exercise by exercise."""
    names = list(dict.fromkeys(v.exercise for row in best.values() for v in row.graded.verdicts))
    questions = list(dict.fromkeys(m.question for m in marks))
    table = [["student", "notebook", "points", "out of", "state", "level", "file", *names, *questions]]
    keys = dict.fromkeys([*best, *((m.student, m.notebook) for m in marks)])
    for student, notebook in sorted(keys):
        row = best.get((student, notebook))
        theirs = {m.question: m for m in marks if (m.student, m.notebook) == (student, notebook)}
        points = {v.exercise: v.points for v in row.graded.verdicts} if row else {}
        total, out_of = _total(row, theirs.values())
        table.append([student, notebook, total, out_of, row.graded.state if row else "nothing handed in", row.level if row else "",
                      row.file if row else "", *(points.get(n, "") for n in names),
                      *(theirs[q].points if q in theirs else "" for q in questions)])
    return table


def _total(row: Row | None, marks: Iterable[Mark]) -> tuple[float, float]:
    marks = list(marks)
    return (_sum([row.graded.points if row else 0, *(m.points for m in marks)]),
            _sum([row.graded.out_of if row else 0, *(m.out_of for m in marks)]))


def _sum(points: Iterable[float]) -> float:
    return _whole(round(sum(points), 6))  # 0.1 + 0.2 is 0.3


def canvas_table(best: dict[tuple[str, str], Row], marks: list[Mark], column: str) -> list[list]:
    """As Canvas imports it: a line for each student, whose ID is at the end of its name in Canvas' export."""
    table = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", column]]
    for student in sorted({s for s, _ in best} | {m.student for m in marks}):
        name, _, number = student.rpartition("_")
        known = bool(name) and number.isdigit() and bool(CANVAS.match(f"{student}_1_"))
        theirs = [row.graded for (s, _), row in best.items() if s == student]
        points = _sum([*(g.points for g in theirs), *(m.points for m in marks if m.student == student)])
        if any(g.state == "not graded" for g in theirs):
            points = ""  # the grader failed: no 0
        table.append([name if known else student, number if known else "", "", "" if known else student, "", points])
    return table


def results(rows: list[Row], marks: Iterable[Mark] = ()) -> dict:
    """What Gradescope reads of one student's files: a test for each exercise, with the notebook's card."""
    tests = [{"name": v.exercise, "score": v.points, "max_score": v.out_of, "output": _html(v), "output_format": "html",
              "status": "passed" if v.state == "right" else "failed", "visibility": "visible"}
             for row in rows for v in row.graded.verdicts]
    tests += [{"name": m.question, "score": m.points, "max_score": m.out_of, "output": m.comment, "output_format": "text",
               "visibility": "visible"} for m in marks]
    return {"score": _sum(test["score"] for test in tests), "visibility": "visible",
            "execution_time": _sum(row.graded.seconds for row in rows), "stdout_visibility": "hidden",
            "output_format": "text", "tests": tests,
            "output": "\n".join(line for row in rows for line in (_heading(row), *row.graded.notes)),
            "extra_data": {key: ", ".join(value) for key, value in {
                "notebook": [row.graded.notebook for row in rows], "state": [row.graded.state for row in rows],
                "level": [row.level for row in rows], "version": [row.version for row in rows]}.items()}}


def _card(verdict: Verdict) -> card.Card:
    """The notebook's card. There, "not started" stands below the stub; here, it says what was looked for."""
    if verdict.state == "not started":
        verdict = replace(verdict, findings=(Finding("hint", NOT_FOUND.format(verdict.exercise)),))
    return card.of_verdict(verdict)


def _html(verdict: Verdict) -> str:
    return _card(verdict)._repr_mimebundle_()[0]["text/html"]


def _heading(row: Row) -> str:
    state = "" if row.graded.state == "graded" else f" ({row.graded.state})"
    return f"{row.graded.notebook or row.file}: {row.graded.points} of {row.graded.out_of} points{state}"


def as_text(row: Row) -> list[str]:
    """One submission for a terminal: its cards as text."""
    return [_heading(row), *row.graded.notes, *(repr(_card(v)) for v in row.graded.verdicts)]


def feedback(student: str, rows: list[Row], best: dict[tuple[str, str], Row], marks: list[Mark]) -> str:
    """A student's page: the cards that the notebook shows."""
    that_count = [row for row in rows if best.get((student, row.graded.notebook)) is row]
    parts = []
    if len(that_count) + len(marks) > 1:
        points, out_of = zip(*(_total(row, ()) for row in that_count), *((m.points, m.out_of) for m in marks))
        parts.append(f"<p>In all: {_sum(points):g} of {_sum(out_of):g} points.</p>")
    for row in sorted(rows, key=lambda row: (row.graded.notebook, row not in that_count)):
        other = row.graded.notebook and row not in that_count
        parts.append(f"<h2>{escape(_heading(row))}</h2><p class='small'>{escape(row.file)}, graded on "
                     f"{escape(row.graded_at[:10])}"
                     f"{'; another file of yours counts for this notebook' if other else ''}</p>")
        parts += [f"<p>{card._code(note)}</p>" for note in row.graded.notes]
        parts += [_html(v) for v in row.graded.verdicts] if not other else []
    for mark in marks:
        parts.append(f"<h2>{escape(mark.notebook)}, {escape(mark.question)}: {mark.points:g} of {mark.out_of:g} points</h2>"
                     f"<p>{escape(mark.comment)}</p>")
    return PAGE.format(title=escape(student), body="\n".join(parts))


def class_page(rows: list[Row], best: dict[tuple[str, str], Row]) -> str:
    """How the class did: scores, and what was thought how often."""
    parts = [f"<p>{len({s for s, _ in best})} students, {len(rows)} files: " + ", ".join(
        f"{n} {escape(state)}" for state, n in Counter(row.graded.state for row in rows).most_common()) + ".</p>"]
    for notebook in sorted({n for _, n in best if n}):
        theirs = [row.graded for (_, n), row in best.items() if n == notebook]
        parts.append(f"<h2>{escape(notebook)}</h2>" + _histogram([g.points for g in theirs], max(g.out_of for g in theirs)))
        for exercise in exercises.of_notebook(notebook):
            verdicts = [v for g in theirs for v in g.verdicts if v.exercise == exercise.name]
            states = Counter(v.state for v in verdicts)
            said = {m.name: m.says for m in exercise.misconceptions}
            thought = Counter(v.misconception for v in verdicts if v.misconception)
            blank = f", {states['not started']} not started" if states["not started"] else ""
            parts.append(f"<h3><code>{exercise.name}</code>: {states['right']} of {len(verdicts)} right{blank}</h3>")
            wrong = [v for v in verdicts if v.state not in ("right", "not started")]
            otherwise = Counter(_otherwise(v) for v in wrong if not v.misconception)
            lines = [f"<tr><td class=n>{n}</td><td class=what>{escape(name)}</td><td>{card._code(said.get(name, ''))}"
                     "</td></tr>" for name, n in [*thought.most_common(), *otherwise.most_common()]]
            parts += [f"<table>{''.join(lines)}</table>"] if lines else []
    return PAGE.format(title="The class", body="\n".join(parts))


def _otherwise(verdict: Verdict) -> str:
    """What went wrong where no misconception was recognised, without a word of the student's."""
    said = " ".join(finding.text for finding in verdict.findings)
    return next((name for words, name in OTHERWISE.items() if words in said), "wrong in another way")


def _histogram(points: list[float], out_of: float) -> str:
    counted = Counter(points)
    most = max(counted.values())
    lines = [f"<tr><td class=n>{p} of {out_of:g}</td><td><span class=bar style='width:{100 * counted[p] / most:.0f}%'>"
             f"</span></td><td class=n>{counted[p] or ''}</td></tr>"
             for p in range(int(out_of), int(min(points)) - 1, -1)]
    return (f"<p>{sum(points) / len(points):.1f} of {out_of:g} points in the mean.</p>"
            "<table><tr><th class=n>points</th><th></th><th class=n>students</th></tr>"
            f"{''.join(lines)}</table>")


def read_marks(path: Path) -> list[Mark]:
    """Points given by hand, from a CSV with the columns student, notebook, question, points, out_of and comment. A line
    without points takes back what was given."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8. In a spreadsheet: save it as CSV UTF-8.") from None
    notebooks = {exercise.notebook for exercise in exercises.all_exercises().values()}

    def mark(line: dict) -> Mark:
        points, out_of = float(line["points"]) if line["points"] else None, float(line["out_of"] or "nan")
        if not math.isfinite(out_of + (points or 0)):
            raise ValueError("points and out_of are numbers")
        if line["notebook"] not in notebooks:
            raise ValueError(f"{line['notebook']} is no notebook; there are {', '.join(sorted(notebooks))}")
        return Mark(line["student"], line["notebook"], line["question"], points, out_of, line.get("comment") or "")

    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        wanted = ["student", "notebook", "question", "points", "out_of", "comment"]
        if missing := [w for w in wanted[:5] if w not in (reader.fieldnames or ())]:
            raise ValueError(f"{path} has the columns {', '.join(reader.fieldnames or ['none'])}; {', '.join(missing)} is missing. "
                             f"Its first line should be {','.join(wanted)}.")
        try:
            return [mark(line) for line in reader]
        except (ValueError, csv.Error) as problem:
            raise ValueError(f"{path}, line {reader.line_num}: {problem}.") from None
