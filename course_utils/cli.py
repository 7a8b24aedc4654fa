"""The command ``course``. Exit codes: 0 done, 1 differences or a refusal, 2 a malformed notebook or a wrong command."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a line of a notebook may not fit the console's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    from .grading.build import BuildError
    try:
        return args.run(args)
    except BuildError as problem:
        print(problem, file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{problem}. No file is half written: put this right and run the command again.", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    course = argparse.ArgumentParser(prog="course", description="Build the notebooks.")
    course.set_defaults(run=lambda args: course.print_help() or 0)
    commands = course.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, run, help):
        made = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        made.set_defaults(run=run)
        made.add_argument("--root", type=Path, metavar="FOLDER", help="the course; else looked for from here upwards")
        return made

    build = command("build", run_build, "write notebooks/ from the masters in solutions/, which lose their outputs")
    build.add_argument("--out", type=Path, metavar="FOLDER", help="write into this folder, and touch nothing else")
    either = build.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="write nothing; say what a build would change, and exit 1")
    either.add_argument("--force", action="store_true", help="write also over a student's work, after copying it")

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
