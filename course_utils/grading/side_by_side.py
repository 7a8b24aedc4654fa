"""The page that `--similar` writes: students whose answers are alike, with both codes side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import combinations
from pathlib import Path

from . import similar
from .forms import Form
from .pages import PAGE
from .scoring import Score
from .similar import Pair

MOST = 200  # pairs of students on a page
STYLE = """<style>
body { max-width: 90em }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(32em, 100%), 1fr)); gap: 1em }
.two figure { margin: 0; min-width: 0 } .two figcaption { font-weight: 600 }
pre { overflow-x: auto; border: 1px solid #8886; border-radius: 4px; padding: .6em 0; margin: .3em 0;
  font-size: .85em; line-height: 1.45 }
pre span, pre mark { display: block; padding: 0 .8em; border-left: 5px solid transparent; min-height: 1.45em }
pre mark { background: #e0a03040; color: inherit; border-left-color: #c9821a }
.warning { border: 2px solid #c9821a; border-radius: 4px; padding: .8em 1em }
</style>"""
WARNING = """<p class=warning><strong>This page proves nothing.</strong> It lists answers that are alike, for a
person to judge. Two students can write the same lines because there are few ways to write them, because they
learned together, or because both read the same page. Talk to them before you decide anything.</p>"""


def page(
    scores: Sequence[Score], answers: dict[tuple[str, str], dict[str, Form]], root: Path | None
) -> tuple[str, int]:
    """The page on the submissions that count, and how many pairs of students there are. ``answers`` are by
    student and file."""
    by_student: dict[str, dict[str, Form]] = {}
    without = set()
    for score in scores:
        if not score.row or not score.row.graded.verdicts:
            continue
        own = answers.get((score.student, score.row.file), {})
        by_student.setdefault(score.student, {}).update(own)
        answered = any(verdict.state != "not started" for verdict in score.row.graded.verdicts)
        if answered and not own:
            without.add(score.student)
    every = similar.of_class(by_student, root, _groups(scores, by_student))
    together = _by_students(every)
    parts = [STYLE, WARNING, _how(len(by_student), root is not None), *_missing(without)]
    number = f"{len(together)} pair{'' if len(together) == 1 else 's'} of students{_of_all(len(together))}"
    parts.append(f"<p>{number}, the most striking first.</p>")
    for pairs in together[:MOST]:
        parts += _pair(pairs)
    return PAGE.format(title="Answers that are alike", body="\n".join(parts)), len(together)


def _of_all(number: int) -> str:
    return f", of which the first {MOST} are shown" if number > MOST else ""


def _missing(students: set[str]) -> list[str]:
    if not students:
        return []
    names = escape(", ".join(sorted(students)))
    return [
        f"<p>Not compared, because they were graded by an earlier version: {names}. Run `course grade` with "
        "--again.</p>"
    ]


def _how(students: int, with_masters: bool) -> str:
    """How it is measured, for those who judge."""
    limit = similar.most_common(students)
    masters = "the masters" if with_masters else "not the masters, which were not at hand"
    share = f"{100 * similar.ALIKE:.0f} %"
    return (
        "<details><summary>How this is measured</summary><p>Each answer's syntax tree is compared "
        "without the names of variables, arguments and helpers, docstrings, comments, annotations, "
        f"the order of keyword arguments and layout. Every run of {similar.RUN} nodes is hashed, and "
        f"of {similar.WINDOW} hashes in a row the least is kept as a fingerprint (winnowing: "
        "Schleimer, Wilkerson and Aiken, 2003, as in MOSS). Two answers are listed if they share at "
        f"least {share} of their fingerprints, {similar.FEWEST} rare ones among them. Left out is "
        f"whatever is in the stub, in the library, in the declared right answers and in {masters}; and "
        f"what more than {limit} of the {students} students have is not rare. A pair is the more "
        "striking, the more of these it shares and the fewer others have them. Only the function or "
        "class itself is compared, not helpers around it. Members of a group are not compared with "
        "each other.</p></details>"
    )


def _groups(scores: Sequence[Score], answers: dict[str, dict[str, Form]]) -> set[frozenset[str]]:
    """Students who handed in the same file at the same second: a group, as Gradescope exports it."""
    by_file: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        if score.row and score.row.handed_in_at:
            by_file.setdefault((score.row.file, score.row.handed_in_at), []).append(score.student)
    every = [pair for students in by_file.values() for pair in combinations(sorted(set(students)), 2)]
    return {frozenset(pair) for pair in every if answers.get(pair[0]) == answers.get(pair[1])}


def _by_students(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """The pairs of the same two students together, the most striking first."""
    together: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        together.setdefault(pair.students, []).append(pair)
    return sorted(together.values(), key=lambda own: -sum(pair.bits * pair.share for pair in own))


def _pair(pairs: list[Pair]) -> list[str]:
    first, second = pairs[0].students
    parts = [f"<h2>{escape(first)} and {escape(second)}</h2>"]
    for pair in pairs:
        how = "the same tree" if pair.is_same else f"{100 * pair.share:.0f} % of the fingerprints shared"
        parts.append(f"<h3><code>{escape(pair.exercise)}</code>: {how}</h3><div class=two>")
        for student, form, marked in zip(pair.students, pair.forms, pair.marked):
            parts.append(f"<figure><figcaption>{escape(student)}</figcaption>{_code(form, marked)}</figure>")
        parts.append("</div>")
    return parts


def _code(form: Form, marked: frozenset[int]) -> str:
    """The code, with the lines marked that the other one has too."""
    lines = []
    for number, line in enumerate(form.code.splitlines(), start=1):
        tag = "mark" if number in marked else "span"
        lines.append(f"<{tag}>{escape(line)}</{tag}>")
    return f"<pre>{''.join(lines)}</pre>"
