"""Pages of HTML: feedback for each student, and one page for the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from .. import exercises
from ..exercises import errors
from ..exercises.declare import Exercise
from ..exercises.verdict import Verdict
from . import cards, items, names, plots, scoring
from .roster import Person
from .scoring import NOT_GRADED, Score, total
from .store import Mark, Row

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; margin: 1em 0; width: 100% }}
td, th {{ padding: .3em .8em .3em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8886 }}
td.n, th.n {{ text-align: right; width: 4em; white-space: nowrap }} td.what {{ width: 14em }}
td.part {{ width: 5em }}
.bar {{ background: #2e9c6f; height: .8em; display: inline-block }}
code {{ font-size: .95em }} .small {{ font-size: .85em; opacity: .8 }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""
OTHERWISE = {  # words of a card without a known misconception -> what the class page counts it as
    "hands the question on": "the library's own function",
    "is not valid Python": "no valid Python",
    "your function returned None": "returned None",
    "no answer came in time": "no answer in time",
    "your function stopped with": "stopped with an error",
    "the answer holds": "another kind of number",
    "is a NumPy array": "a NumPy array in place of a tensor",
    "drawn for grading and not shown": "right on the inputs of the notebook's check alone",
}


def feedback(name: str, rows: list[Row], scores: list[Score]) -> str:
    """A student's page: the cards that the notebook shows, and what was given by hand."""
    parts = [_in_all(scores)]
    counts = {id(score.row): score for score in scores if score.row}
    for row in sorted(rows, key=lambda row: (not row.graded.notebook, row.graded.notebook, id(row) not in counts)):
        parts += _of_row(row, counts.get(id(row)))
    for score in scores:
        shown = {verdict.exercise for verdict in score.row.graded.verdicts} if score.row else set()
        parts += [_of_mark(mark) for mark in score.marks if mark.question not in shown]
    return PAGE.format(title=escape(name), body="\n".join(parts))


def _in_all(scores: list[Score]) -> str:
    """The sum of several scores; a single one is in its heading."""
    if len(scores) + sum(len(score.marks) for score in scores) < 2:
        return ""
    points, out_of = scoring.in_all(scores), total(score.out_of for score in scoring.counted(scores))
    if points is None:
        return "<p>There is no total yet, because something was not graded.</p>"
    return f"<p>In all: {points:g} of {out_of:g} points.</p>"


def _of_row(row: Row, score: Score | None) -> list[str]:
    """One submission; of a file that does not count, only the heading and the notes."""
    other = "; another file of yours counts for this notebook" if row.graded.notebook and not score else ""
    parts = [
        f"<h2>{escape(cards.heading(row, score))}</h2>",
        f"<p class='small'>{escape(row.file)}, graded on {escape(row.graded_at[:10])}{other}</p>",
    ]
    parts += [f"<p>{cards.code(note)}</p>" for note in row.graded.notes]
    if score is None:
        return parts
    if score.not_graded:
        parts.append(f"<p>{escape(_not_graded(score))}</p>")
    if score.days_late:
        parts.append(f"<p>{escape(cards.lateness(score))}</p>")
    for verdict in row.graded.verdicts:
        parts.append(cards.html(verdict) + cards.by_hand(score.by_hand.get(verdict.exercise)))
    return parts


def _not_graded(score: Score) -> str:
    """What is missing, in a sentence to the student."""
    missing = " and ".join(score.not_graded)
    return (
        f"The grader could not finish {missing}. This is not your fault, and it is not a 0: there is no "
        f"total until it has been graded. Everything else has {score.so_far:g} points so far."
    )


def _of_mark(mark: Mark) -> str:
    title = f"{mark.notebook}, {mark.question}: {mark.points:g} of {mark.out_of:g} points"
    return f"<h2>{escape(title)}</h2><p>{escape(mark.comment)}</p>"


def class_page(rows: list[Row], scores: list[Score], nothing_came: Sequence[Person] = ()) -> str:
    """How the class did: scores, and what was thought how often; ``nothing_came`` are those who handed in
    nothing."""
    states = Counter(row.graded.state for row in rows).most_common()
    counted = ", ".join(f"{number} {escape(state)}" for state, number in states)
    students = len({row.student for row in rows})
    parts = [f"<p>Students: {students}. Files: {len(rows)} ({counted}).</p>"]
    if nothing_came:
        parts.append(
            f"<p>Nothing came from {escape('; '.join(person.name for person in nothing_came))}.</p>"
        )
    missing = [score for score in scores if score.not_graded]
    if missing:
        who = ", ".join(f"{score.student} ({', '.join(score.not_graded)})" for score in missing)
        parts.append(
            f"<p>These have no total, because the grader could not finish: {escape(who)}. Run the same "
            "command again; if that does not help, grade them by hand.</p>"
        )
    unread = scoring.to_look_at(scores)
    if unread:
        parts.append(f"<p>No score, look at: {escape(', '.join(unread))}.</p>")
    read = [score for score in scores if score.row and score.row.graded.notebook]
    for notebook in sorted({score.notebook for score in read}):
        in_it = [score for score in read if score.notebook == notebook]
        declared = exercises.of_notebook(notebook)
        of_exercises = items.items(declared, in_it)
        parts += [f"<h2>{escape(notebook)}</h2>", *_figures(in_it, of_exercises), items.table(of_exercises)]
        for exercise in declared:
            parts += _of_exercise(exercise, in_it)
    return PAGE.format(title="The class", body="\n".join(parts))


def _of_exercise(exercise: Exercise, scores: list[Score]) -> list[str]:
    """How many are right, and a table of what the others thought, with links to their pages."""
    states: Counter = Counter()
    thought: dict[str, list[str]] = {}
    for score in scores:
        for verdict in score.row.graded.verdicts:
            if verdict.exercise != exercise.name:
                continue
            states[verdict.state] += 1
            if verdict.state not in ("right", "not started", NOT_GRADED):
                thought.setdefault(verdict.misconception or _otherwise(verdict), []).append(score.student)
    others = "".join(f", {states[state]} {state}" for state in ("not started", NOT_GRADED) if states[state])
    title = f"<h3><code>{exercise.name}</code>: {states['right']} of {states.total()} right{others}</h3>"
    lines = []
    for name, students in sorted(
        thought.items(), key=lambda line: (exercise.sentence(line[0]) is None, -len(line[1]))
    ):
        sentence = cards.code(exercise.sentence(name) or "")
        lines.append(
            f"<tr><td class=n>{len(students)}</td><td class=part>{_bar(len(students) / len(scores))}</td>"
            f"<td class=what>{escape(name)}</td><td>{sentence}{_links(students)}</td></tr>"
        )
    return [title, f"<table>{''.join(lines)}</table>"] if lines else [title]


def _bar(share: float) -> str:
    """The part of a class, drawn beside its number."""
    return f"<span class=bar style='width:{100 * share:.0f}%'></span>"


def _links(students: list[str]) -> str:
    """Whose answers these are, folded away."""
    links = [
        f"<a href='students/{quote(names.file_name(name))}.html'>{escape(name)}</a>" for name in students
    ]
    return f"<details class=small><summary>students</summary>{', '.join(links)}</details>"


def _otherwise(verdict: Verdict) -> str:
    """What went wrong where no misconception was recognized, without a word of the student's."""
    texts = [finding.text for finding in verdict.findings]
    if error := next((each.name for each in errors.EXPLANATIONS if each.says in texts), None):
        return f"stopped with an error: {error}"
    return next((name for words, name in OTHERWISE.items() if words in " ".join(texts)), "wrong in another way")


def _figures(scores: list[Score], rows: Sequence[items.Item]) -> list[str]:
    """How many students have how many points, which exercise agrees with the others, and when files came; of
    those whose exercises were all graded."""
    complete = [score for score in scores if not score.not_graded]
    if not complete:
        return ["<p>No total yet.</p>"]
    points = [total(score.by_exercise.values()) for score in complete]
    out_of = max(score.row.graded.out_of for score in scores)
    mean = f"<p>{sum(points) / len(points):.1f} of {out_of:g} points on average.</p>"
    pictures = [plots.points(points, out_of), plots.agreement(rows), _time_course(complete, points, out_of)]
    return [mean, *(picture.html for picture in pictures if picture)]


def _time_course(scores: list[Score], points: list[float], out_of: float) -> plots.Picture | None:
    """Points against the time when files were handed in or, if the platform does not say, graded."""
    is_known = any(score.row.handed_in_at for score in scores)
    arrivals = []
    for score, earned in zip(scores, points):
        text = score.row.handed_in_at if is_known else score.row.graded_at
        if text:
            at = datetime.fromisoformat(text).astimezone()
            arrivals.append(plots.Arrival(at, earned, score.days_late > 0))
    due = scores[0].policy.due if is_known else None
    return plots.arrivals(arrivals, out_of, due, "handed in" if is_known else "graded")
