"""What comes out: tables for a learning-management system, a page of feedback for each student, and one for the class."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path

from .. import exercises
from ..exercises import card
from .inbox import CANVAS
from .store import Mark, Row, Scores

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; margin: 1em 0; width: 100% }}
td, th {{ padding: .3em .8em .3em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8886 }}
td.n, th.n {{ text-align: right }} .bar {{ background: #2e9c6f; height: .8em; display: inline-block }}
code {{ font-size: .95em }} .small {{ font-size: .85em; opacity: .8 }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""


def counting(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """The submission that counts for each student and notebook: the one with the most points, of several the first."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.student, row.graded.notebook
        if key not in best or row.graded.points > best[key].graded.points:
            best[key] = row
    for student, notebook in list(best):  # a file without a notebook matters only where there is nothing else
        if not notebook and any(s == student and n for s, n in best):
            del best[student, notebook]
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
            json.dumps(results(row, theirs), indent=1), "utf-8")
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
    return ((row.graded.points if row else 0) + sum(m.points for m in marks),
            (row.graded.out_of if row else 0) + sum(m.out_of for m in marks))


def canvas_table(best: dict[tuple[str, str], Row], marks: list[Mark], column: str) -> list[list]:
    """As Canvas imports it: a line for each student, whose ID is at the end of its name in Canvas' export."""
    table = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", column]]
    for student in sorted({s for s, _ in best} | {m.student for m in marks}):
        name, _, number = student.rpartition("_")
        known = bool(name) and number.isdigit() and bool(CANVAS.match(f"{student}_1_"))
        points = sum(row.graded.points for (s, _), row in best.items() if s == student)
        points += sum(m.points for m in marks if m.student == student)
        table.append([name if known else student, number if known else "", "", "" if known else student, "", points])
    return table


def results(row: Row, marks: Iterable[Mark] = ()) -> dict:
    """What Gradescope reads: a test for each exercise, with the notebook's card."""
    tests = [{"name": v.exercise, "score": v.points, "max_score": v.out_of, "output": _card(v), "output_format": "html",
              "status": "passed" if v.state == "right" else "failed", "visibility": "visible"} for v in row.graded.verdicts]
    tests += [{"name": m.question, "score": m.points, "max_score": m.out_of, "output": m.comment, "output_format": "text",
               "visibility": "visible"} for m in marks]
    return {"score": sum(test["score"] for test in tests), "execution_time": row.graded.seconds, "visibility": "visible",
            "stdout_visibility": "hidden", "output": "\n".join([_heading(row), *row.graded.notes]), "output_format": "text",
            "tests": tests, "extra_data": {"notebook": row.graded.notebook, "state": row.graded.state, "level": row.level,
                                           "version": row.version}}


def _card(verdict) -> str:
    return card.of_verdict(verdict)._repr_mimebundle_()[0]["text/html"]


def _heading(row: Row) -> str:
    return f"{row.graded.notebook or row.file}: {row.graded.points} of {row.graded.out_of} points ({row.graded.state})"


def as_text(row: Row) -> list[str]:
    """One submission for a terminal: its cards as text."""
    return [_heading(row), *row.graded.notes, *(repr(card.of_verdict(v)) for v in row.graded.verdicts)]


def feedback(student: str, rows: list[Row], best: dict[tuple[str, str], Row], marks: list[Mark]) -> str:
    """A student's page: the cards that the notebook shows."""
    parts = []
    for row in rows:
        counts = best.get((student, row.graded.notebook)) is row
        parts.append(f"<h2>{escape(_heading(row))}</h2><p class='small'>{escape(row.file)}, graded {escape(row.graded_at)}, level "
                     f"{escape(row.level)}{'' if counts else '; another file of yours counts for this notebook'}</p>")
        parts += [f"<p>{escape(note)}</p>" for note in row.graded.notes]
        parts += [_card(v) for v in row.graded.verdicts] if counts else []
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
            parts.append(f"<h3><code>{exercise.name}</code>: {states['right']} of {len(verdicts)} right, "
                         f"{states['not started']} not started</h3>")
            lines = [f"<tr><td class=n>{n}</td><td>{escape(name)}</td><td class=small>{escape(said.get(name, ''))}</td></tr>"
                     for name, n in thought.most_common()]
            unknown = sum(v.state not in ("right", "not started") and not v.misconception for v in verdicts)
            lines += [f"<tr><td class=n>{unknown}</td><td>wrong in another way</td><td></td></tr>"] if unknown else []
            parts += [f"<table>{''.join(lines)}</table>"] if lines else []
    return PAGE.format(title="The class", body="\n".join(parts))


def _histogram(points: list[float], out_of: float) -> str:
    counted = Counter(points)
    most = max(counted.values())
    lines = [f"<tr><td class=n>{p:g} of {out_of:g}</td><td style='width:70%'><span class=bar style='width:{100 * n / most:.0f}%'>"
             f"</span></td><td class=n>{n}</td></tr>" for p, n in sorted(counted.items(), reverse=True)]
    return (f"<p>Mean {sum(points) / len(points):.1f}.</p><table><tr><th class=n>points</th><th></th><th class=n>students</th></tr>"
            f"{''.join(lines)}</table>")


def read_marks(path: Path) -> list[Mark]:
    """Points given by hand, from a CSV with the columns student, notebook, question, points, out_of and comment."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        wanted = ["student", "notebook", "question", "points", "out_of", "comment"]
        if missing := [w for w in wanted[:5] if w not in (reader.fieldnames or ())]:
            raise ValueError(f"{path} has the columns {', '.join(reader.fieldnames or ['none'])}; {', '.join(missing)} is missing. "
                             f"Its first line should be {','.join(wanted)}.")
        try:
            return [Mark(line["student"], line["notebook"], line["question"], float(line["points"]), float(line["out_of"]),
                         line.get("comment") or "") for line in reader]
        except ValueError as problem:
            raise ValueError(f"{path}, line {reader.line_num}: {problem}. Points are numbers.") from None
