"""The command ``course``. Exit codes: 0 done, 1 differences or a refusal, 2 a malformed notebook or a wrong command."""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a line of a notebook may not fit the console's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return args.run(args)
    except (ValueError, RuntimeError) as problem:  # a malformed notebook, a level that is not to be had
        print(problem, file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{problem}. No file is half written: put this right and run the command again.", file=sys.stderr)
        return 1


def positive(text: str) -> int:
    """A number of jobs or seconds."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def parser() -> argparse.ArgumentParser:
    course = argparse.ArgumentParser(prog="course", description="Build the notebooks, hand them out, and grade them.")
    course.set_defaults(run=lambda args: course.print_help() or 0)
    commands = course.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, run, help):
        made = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        made.set_defaults(run=run)
        return made

    def root(command):
        command.add_argument("--root", type=Path, metavar="FOLDER", help="the course; else looked for from here upwards")

    build = command("build", run_build, "write notebooks/ from the masters in solutions/, which lose their outputs")
    root(build)
    build.add_argument("--out", type=Path, metavar="FOLDER", help="write into this folder, and touch nothing else")
    either = build.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="write nothing; say what a build would change, and exit 1")
    either.add_argument("--force", action="store_true", help="write also over a student's work, after copying it")

    grade = command("grade", run_grade, "grade a notebook, or a folder or zip of submissions")
    grade.add_argument("submissions", type=Path, nargs="?", metavar="FOLDER",
                       help="notebooks, a folder for each student, or a zip from Canvas or Gradescope")
    grade.add_argument("--scores", type=Path, metavar="FILE", help="the database; what is in it and unchanged is not run again")
    grade.add_argument("--out", type=Path, metavar="FOLDER", help="scores.csv, a page for each student, one for the class")
    grade.add_argument("--canvas", default="", metavar="COLUMN", help="scores.csv as Canvas imports it, into that column")
    grade.add_argument("--marks", type=Path, metavar="CSV", help="points given by hand: student,notebook,question,points,out_of,comment")
    grade.add_argument("--results", type=Path, metavar="FILE", help="results.json for Gradescope, of one student")
    grade.add_argument("--level", choices=("auto", "full", "container", "reduced"), default="auto",
                       help="how submissions are shut in; reduced hardly, so it has to be asked for")
    grade.add_argument("--jobs", type=positive, metavar="N", help="submissions at once; else one for each core")
    grade.add_argument("--seconds", type=positive, default=60, metavar="S", help="the most that a submission may take")
    grade.add_argument("--again", action="store_true", help="run also what has not changed")
    grade.add_argument("--scheduler", default="", metavar="ADDRESS", help="a Dask cluster, such as tcp://10.0.0.1:8786")
    grade.add_argument("--gradescope-zip", type=Path, metavar="FILE", help="write the zip that Gradescope runs, and grade nothing")
    root(grade)

    release = command("release", run_release, "pack what students get: notebooks, library and environment")
    release.add_argument("zip", type=Path, metavar="student.zip")
    root(release)
    return course


def run_build(args: argparse.Namespace) -> int:
    from .grading import build
    root = args.root or build.find_root()
    if args.check:
        found = build.differences(root, build.declared, args.out)
        print("\n".join(found + ["Run `course build`."] if found else ["notebooks and masters agree."]))
        return 1 if found else 0
    done, refused = build.build(root, build.declared, args.out, args.force)
    print("\n".join(done))
    if refused:
        print("\n".join(refused), file=sys.stderr)
    return 1 if refused else 0


def run_grade(args: argparse.Namespace) -> int:
    from .grading import build
    if args.gradescope_zip:
        from .grading import release
        print(release.gradescope(args.root or build.find_root(), args.gradescope_zip))
        return 0
    if not args.submissions:
        print("course grade FOLDER: name a notebook, a folder of submissions, or a zip of them.", file=sys.stderr)
        return 2
    from .grading import inbox, report, run, store
    alone = args.results and args.submissions.is_dir()  # then all files are one student's, however they are named
    files = inbox.submissions(args.submissions, args.submissions.name if alone else "")
    marks = report.read_marks(args.marks) if args.marks else []
    with tempfile.TemporaryDirectory() as folder:
        scores = store.Scores(args.scores or Path(folder, "scores.sqlite"))
        try:
            scores.give(marks)
            counted, level = run.run(files, scores, args.level, jobs=args.jobs or 0, scheduler=args.scheduler,
                                     again=args.again, seconds=args.seconds)
            if args.out:
                print("written:", ", ".join(map(str, report.write(scores, args.out, args.canvas))))
            every, theirs = list(scores.rows()), {(f.student, f.name) for f in files}
            rows, given = [row for row in every if (row.student, row.file) in theirs], scores.marks()
        finally:
            scores.close()
    if args.results:
        best = [row for row in rows if not row.graded.notebook or row in report.counting(rows).values()]
        of_these = {(row.student, row.graded.notebook) for row in best}
        args.results.write_text(json.dumps(report.results(best, [
            mark for mark in given if (mark.student, mark.notebook) in of_these]), indent=1), "utf-8")
    if len(files) == 1:
        print("\n".join(report.as_text(rows[0])))
    print(f"{len(files)} file{'s' * (len(files) != 1)}: " + ", ".join(f"{counted[s]} {s}" for s in (*run.STATES, "as before") if counted[s] or s == "graded")
          + f" (level {level})")
    if strangers := sorted({mark.student for mark in marks} - {row.student for row in every}):
        print(f"{args.marks}: nothing came from {', '.join(strangers)}. Are they called so in scores.csv? A line "
              "without points takes back what was given.", file=sys.stderr)
    return 1 if counted["not graded"] else 0


def run_release(args: argparse.Namespace) -> int:
    from .grading import build, release
    print(release.students(args.root or build.find_root(), args.zip))
    return 0
