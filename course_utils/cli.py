"""The command ``course``. Exit codes: 0 done, 1 differences or a refusal, 2 a malformed notebook or a wrong command, 130
interrupted."""

from __future__ import annotations

import argparse
import io
import sys
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
    except KeyboardInterrupt:
        print("Interrupted. What was done is kept, and the same command goes on from there.", file=sys.stderr)
        return 130


def positive(text: str) -> int:
    """A number of jobs or seconds."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def moment(text: str) -> str:
    """A due date, as it was typed; "" for none."""
    from .grading import late
    if text:
        late.due(text)
    return text


def per_day(text: str) -> str:
    """Points off by the day, as they were typed; "" for none."""
    from .grading import late
    if text:
        late.per_day(text)
    return text


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
    grade_arguments(grade)
    root(grade)

    release = command("release", run_release, "pack what students get: notebooks, library and environment")
    release.add_argument("zip", type=Path, metavar="student.zip")
    root(release)
    return course


def grade_arguments(grade: argparse.ArgumentParser) -> None:
    """What `course grade` takes."""
    add = grade.add_argument
    add("submissions", type=Path, nargs="?", metavar="FOLDER",
        help="notebooks, a folder for each student, or a zip from Canvas or Gradescope")
    add("--scores", type=Path, metavar="FILE", help="the database; what is in it and unchanged is not run again")
    add("--notebook", metavar="NAME", help="the assignment's notebook; others do not count")
    add("--out", type=Path, metavar="FOLDER", help="scores.csv, a page for each student, one for the class")
    add("--canvas", metavar="COLUMN", help="scores.csv as Canvas imports it, into that column")
    add("--feedback", type=Path, metavar="ZIP", help="all pages of feedback, named as Canvas takes them back")
    add("--results", type=Path, metavar="FILE", help="results.json for Gradescope, of one student")
    add("--similar", type=Path, metavar="HTML", help="a page of answers that are alike, for a person to judge")
    add("--gradescope-zip", type=Path, metavar="FILE", help="write the zip that Gradescope runs, and grade nothing")

    kept = 'The database of --scores keeps these, --notebook and --canvas for the next run; "" takes a value back.'
    add = grade.add_argument_group("what counts", kept).add_argument
    add("--marks", type=Path, metavar="CSV",
        help="points given by hand: student,notebook,question,points,out_of,comment")
    add("--roster", metavar="CSV", help="the class, as Canvas, Gradescope or Moodle export it")
    add("--counts", choices=("best", "last", "first", ""), metavar="WHICH",
        help="which of several files for a notebook counts: best, last or first")
    add("--due", type=moment, metavar="TIME", help='such as 2026-11-20 or "2026-11-20 18:00"')
    add("--off-per-day", type=per_day, metavar="POINTS",
        help="what each day costs that begins after --due: points, or a share of all such as 10%%")
    add("--extensions", metavar="CSV", help="days more for some: student,days")

    add = grade.add_argument_group("who").add_argument
    add("--student", action="append", default=[], metavar="NAME",
        help="grade only this student's files; with --again, once more")
    add("--forget", action="append", default=[], metavar="NAME",
        help="remove all that the database holds of this student")

    add = grade.add_argument_group("how").add_argument
    add("--level", choices=("auto", "full", "container", "reduced"), default="auto",
        help="how submissions are isolated; reduced hardly does, so you have to ask for it")
    add("--jobs", type=positive, metavar="N", help="submissions at once; else one for each core")
    add("--seconds", type=positive, default=60, metavar="S", help="the most that a submission may take")
    add("--again", action="store_true", help="run also what has not changed")
    add("--exercise", action="append", default=[], metavar="NAME",
        help="of files that have not changed, try only this exercise again; all else stays")
    add("--scheduler", default="", metavar="ADDRESS", help="a Dask cluster, such as tcp://10.0.0.1:8786")


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
    from .grading import command
    return command.grade(args)


def run_release(args: argparse.Namespace) -> int:
    from .grading import build, release
    print(release.students(args.root or build.find_root(), args.zip))
    return 0
