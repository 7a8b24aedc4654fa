"""What `course grade` does, step by step."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from .. import exercises
from . import (
    build,
    cards,
    files,
    inbox,
    marks,
    names,
    options,
    release,
    report,
    roster,
    run,
    scoring,
    side_by_side,
    store,
    tables,
)
from .store import Row, Scores

REMOVED = {
    "submission": "file",
    "verdict": "verdict",
    "mark": "mark by hand",
}  # table -> what a line of it is
NAMED = 10  # students in a sentence; of more, only the number


def grade(args: argparse.Namespace) -> int:
    """Grade, report, or remove, as the arguments say. Returns the exit code; ValueError where they are
    wrong."""
    if args.notebook:
        args.notebook = notebook_named(args.notebook)
    check_exercises(args, args.notebook)
    if args.gradescope_zip:
        print(release.gradescope(args.root or build.find_root(), args.gradescope_zip, args.notebook or ""))
        return 0
    if not args.submissions and not args.forget:
        print(
            "course grade FOLDER: name a notebook, a folder of submissions, or a zip of them.",
            file=sys.stderr,
        )
        return 2
    if args.forget and not args.scores:
        raise ValueError("--forget removes from a database: name it with --scores.")
    if args.results:
        args.results.unlink(missing_ok=True)  # an old one would be taken for today's
    with tempfile.TemporaryDirectory() as folder:
        scores = Scores(args.scores or Path(folder, "scores.sqlite"))
        try:
            return _with(scores, args)
        finally:
            scores.close()


def notebook_named(text: str) -> str:
    """The notebook's name; ValueError, with names like it, where there is none."""
    known = sorted({exercise.notebook for exercise in exercises.all_exercises().values()})
    name = Path(text).stem
    if name not in known:
        raise ValueError(f"{names.nobody(text, known)} The notebooks are {', '.join(known)}.")
    return name


def check_exercises(args: argparse.Namespace, notebook: str | None) -> None:
    """ValueError, with the next step, if what --exercise names cannot be tried again."""
    if not args.exercise:
        return
    known = exercises.all_exercises()
    for name in args.exercise:
        if name not in known:
            raise ValueError(f"{names.nobody(name, known)} --exercise takes the name of a function or class.")
        if notebook and known[name].notebook != notebook:
            own = known[name].notebook
            raise ValueError(f"{name} is an exercise of {own}; the assignment is {notebook}.")
    if not args.scores:
        raise ValueError("--exercise tries again what is in a database: name it with --scores.")
    if args.again:
        raise ValueError("--again grades everything once more, --exercise only some: leave one of them out.")


def _with(scores: Scores, args: argparse.Namespace) -> int:
    """All of it, on an open database."""
    if args.forget:
        forget(scores, args.forget, args.out)
    handed_in = _handed_in(args) if args.submissions else []
    came = {row.student for row in scores.rows()} | {file.student for file in handed_in}
    known = scores.students() | came
    chosen, as_before = options.merged(args, options.of_text(scores.remembered()), known)
    check_exercises(args, chosen.notebook)
    rename_marks(scores, chosen.roster, came)
    known = scores.students() | came
    plan = _plan(args, chosen, known)
    if as_before:
        print(as_before)
    scores.give(marks.read(args.marks, plan.roster.naming(came, known)) if args.marks else [])
    scores.remember(chosen.as_text())
    done = Run(args, [file for file in handed_in if plan.wants(file.student)], plan.notebook)
    done.run(scores)
    if args.out:
        print("written:", ", ".join(map(str, report.write(scores, args.out, plan))))
    if args.feedback:
        print(
            f"written: {args.feedback}, {_number(report.feedback_zip(scores, args.feedback, plan), 'page')}"
        )
    rows, every = plan.read(scores)
    if args.similar:
        print(similar_page(scores, every, args))
    _tell_of_names(plan, every)
    if plan.policy.due and not any(row.handed_in_at or row.late for row in rows):
        _tell(
            "--due: no file says when it was handed in. Gradescope's export does, and Canvas' marks those "
            "that are LATE."
        )
    if plan.canvas:
        _tell_of_several(every)
    return done.told(rows, every) if args.submissions else 0


def rename_marks(scores: Scores, people: roster.Roster, came: set[str]) -> None:
    """Give marks that were stored under a name on the roster to the student whose file has come since."""
    before = scores.marks()
    after = people.renamed(before, came)
    taken_back = [replace(mark, points=None) for mark in before if mark not in after]
    scores.give([*taken_back, *after])


def similar_page(scores: Scores, every: list[scoring.Score], args: argparse.Namespace) -> str:
    """Write the page of answers that are alike; a sentence about it."""
    try:
        root = args.root or build.find_root()
    except build.BuildError:  # an installed package, without the masters
        root = None
    page, number = side_by_side.page(every, scores.forms(), root)
    files.write(args.similar, page.encode())
    pairs = f"{_number(number, 'pair')} of students whose answers are alike"
    return f"written: {args.similar}, {pairs}; it proves nothing"


def _plan(args: argparse.Namespace, chosen: options.Options, known: set[str]) -> report.Plan:
    """What the report is about. ValueError for a name that nobody has."""
    people = chosen.roster
    students = tuple(_known(text, known, people) for text in args.student)
    return report.Plan(chosen.canvas, chosen.notebook, students, people, chosen.policy(known))


def _tell_of_names(plan: report.Plan, every: list[scoring.Score]) -> None:
    """Say who is only on the roster, and who is not on it."""
    if not plan.roster.people:
        return
    missing = [person.name for person in plan.missing(every)]
    if missing:
        _tell(
            f"Nothing came from {len(missing)} of {len(plan.roster.people)} on the roster: "
            f"{'; '.join(missing)}."
        )
    unknown = plan.roster.strangers({score.student for score in every})
    if unknown:
        _tell(
            f"The roster does not list {', '.join(unknown)}. Their names are as they handed in; nothing "
            "is lost."
        )


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _handed_in(args: argparse.Namespace) -> list[inbox.File]:
    """The submissions. With --results all files of a folder are one student's, however they are named."""
    own = [args.marks, args.results, args.scores, args.roster, args.extensions, args.feedback, args.similar]
    if args.scores:
        own += [args.scores.with_name(args.scores.name + ending) for ending in store.SIDECARS]
    if args.out:
        own += [args.out / name for name in ("scores.csv", "class.html", "students", "results")]
        own += [] if args.out.resolve() == args.submissions.resolve() else [args.out]
    is_one = args.results and args.submissions.is_dir()
    student = args.submissions.resolve().name or "student" if is_one else ""
    return inbox.submissions(args.submissions, student, [Path(path) for path in own if path], _tell)


def _known(text: str, known: set[str], people: roster.Roster = roster.Roster()) -> str:
    name = people.finder(known)(text)
    if name is None:
        raise ValueError(names.nobody(text, known))
    return name


def forget(scores: Scores, wanted: list[str], out: Path | None) -> None:
    """Remove students from the database, and their pages from the report; all of them or, where one is
    unknown, none."""
    known, chosen = scores.students(), options.of_text(scores.remembered())
    students = [_known(text, known, chosen.roster) for text in wanted]
    for student in students:
        rows = [row for row in scores.rows() if row.student == student]
        chosen = chosen.without(student, known)
        removed = scores.forget(student, chosen.as_text())
        what = [_number(removed[table], noun) for table, noun in REMOVED.items()]
        print(f"{student}: {', '.join(what)} removed from the database.")
        if out:
            page = f"{names.file_name(student)}.html"
            results = set().union(*map(report.results_names, rows))
            for path in [out / "students" / page, *(out / "results" / name for name in results)]:
                path.unlink(missing_ok=True)


def _tell_of_several(every: list[scoring.Score]) -> None:
    notebooks = sorted({score.notebook for score in every} - {""})
    if len(notebooks) > 1:
        _tell(f"Canvas' column adds up {', '.join(notebooks)}. With --notebook NAME, only that one counts.")


@dataclass
class Run:
    """A run over files, and what it says in the end."""

    args: argparse.Namespace
    files: list[inbox.File]
    notebook: str
    counted: Counter | None = None
    level: str = ""

    def run(self, scores: Scores) -> None:
        """Grade what is new or has changed."""
        if not self.args.submissions:
            return
        args = self.args
        scores.came((file.student, file.name, file.at, file.late) for file in self.files)
        scores.bind(self.notebook)
        self.counted, self.level = run.run(
            self.files,
            scores,
            args.level,
            jobs=args.jobs or 0,
            scheduler=args.scheduler,
            again=args.again,
            only=args.exercise,
            seconds=args.seconds,
            notebook=self.notebook,
        )

    def told(self, rows: list[Row], every: list[scoring.Score]) -> int:
        """Print what came out, write Gradescope's results, and return the exit code: 1 where something was
        not graded."""
        handed_in = {(file.student, file.name) for file in self.files}
        own = [row for row in rows if not handed_in.isdisjoint((row.student, name) for name in row.file_names)]
        args = self.args
        is_kept = args.scores or args.out or args.feedback or args.similar or args.results
        if len(self.files) == 1:
            counts = {id(score.row): score for score in every if score.row}
            for row in own:
                print("\n".join(cards.as_text(row, counts.get(id(row)))))
        elif not is_kept:
            for score in every:
                print(f"{score.student}, {cards.summary(score)}")
        if not is_kept:
            print("Nothing was saved. --scores FILE keeps the scores, --out FOLDER writes a report.")
        missing = [score for score in every if score.not_graded]
        students = len({file.student for file in self.files})
        print(
            f"{_number(len(self.files), 'file')} of {_number(students, 'student')}: {self._counts()} "
            f"(level {self.level})"
        )
        if missing:
            who = "; ".join(
                f"{score.student} ({score.notebook or 'a file'}: {', '.join(score.not_graded)})"
                for score in missing
            )
            _tell(
                f"Not graded, and so without a total: {who}. Run the command again; if it stays so, give "
                "points by hand with --marks."
            )
        unread = scoring.to_look_at(every)
        if unread:
            more = f"; and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
            _tell(f"No score, look at: {'; '.join(unread[:NAMED])}{more}. Give points by hand with --marks.")
        if self.args.results and not self._results(own, every):
            return 1
        return 1 if missing or self.counted["not graded"] else 0

    def _counts(self) -> str:
        states = [state for state in (*run.STATES, "as before") if self.counted[state] or state == "graded"]
        return ", ".join(f"{self.counted[state]} {state}" for state in states)

    def _results(self, own: list[Row], every: list[scoring.Score]) -> bool:
        """Write results.json for Gradescope; False where there is no total, and then no file."""
        of_these = {(row.student, row.graded.notebook) for row in own}
        scores = [
            score for score in every if (score.student, score.notebook) in of_these or score.row in own
        ]
        counting = [
            row for row in own if not row.graded.notebook or any(score.row is row for score in scores)
        ]
        try:
            results = tables.results(counting, scores)
        except ValueError as problem:
            _tell(f"{self.args.results} is not written: {problem}")
            return False
        files.write(self.args.results, json.dumps(results, indent=1).encode())
        self.args.results.chmod(0o644)  # Gradescope reads it, as whatever user
        return True


def _number(count: int, noun: str) -> str:
    first, _, rest = noun.partition(" ")
    plural = "" if count == 1 else "s"
    return f"{count} {first}{plural} {rest}".rstrip()
