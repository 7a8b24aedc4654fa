"""Right answers on a busy machine: none may lose a point, and none may be missing.

    python benchmarks/soak.py [--submissions 2000] [--burners N] [--seconds 10]

The submissions are perfect notebooks and the declared right answers of every exercise, each a file of its own content; one in
twenty is a notebook that means harm with one of its answers, which must cost that answer only. Beside the grader run as many
processes that do nothing but compute as the machine has cores. ``--seconds`` is the grader's, and shorter than its own,
since what a harmful notebook uses up is waited for twice. Printed are what was lost, the seconds and the most memory.
Exits with 1 when anything was lost. Needs the extra `test`.
"""

import argparse
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import grading  # of this folder

from course_utils import exercises
from course_utils.grading import store

submissions = grading.submissions


def write_class(folder: Path, number: int) -> dict[str, tuple[int, str]]:
    """So many notebooks. Returns the points that each is worth, and the exercise that it loses, if any."""
    folder.mkdir()
    right = itertools.cycle([(name, content) for name in submissions.NAMES for content in submissions.right_answers(name)])
    harmful = itertools.cycle([(name, *harm) for name in submissions.NAMES for harm in submissions.harmful(name)])
    worth = {}
    for i in range(number):
        student, lost = f"student{i:04}", ""
        if i % 20 == 19:
            name, lost, content = next(harmful)
        else:
            name, content = next(right)
        points = {exercise.name: exercise.points for exercise in exercises.of_notebook(name)}
        worth[student] = sum(points.values()) - points.get(lost, 0), lost
        (folder / f"{student}.ipynb").write_bytes(grading.marked(content, i))
    return worth


def burn() -> None:
    while True:
        sum(range(10_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=2000)
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(options.burners)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        worth = write_class(folder / "in", options.submissions)
        for burner in burners:
            burner.start()
        start = time.perf_counter()
        command = [*grading.COURSE, "grade", folder / "in", "--scores", folder / "scores.sqlite"]
        process = subprocess.Popen([*command, "--seconds", str(options.seconds)],
                                   stdout=subprocess.PIPE, text=True)
        memory = grading.watched(process)
        total = time.perf_counter() - start
        for burner in burners:
            burner.terminate()
        print(process.stdout.read().splitlines()[-1])
        scores = store.Scores(folder / "scores.sqlite")
        rows = {row.student: row for row in scores.rows()}
        scores.close()
    missing = sorted(worth.keys() - rows.keys())
    changed = {student: rows[student] for student in worth.keys() & rows.keys()
               if (rows[student].graded.points != worth[student][0] or rows[student].graded.state == "not graded")}
    for student, row in sorted(changed.items()):
        states = {verdict.exercise: verdict.state for verdict in row.graded.verdicts}
        print(f"{student}: {row.graded.points} of {worth[student][0]} points, {row.graded.state}, {states}, {row.graded.notes}")
    harmful = sum(bool(lost) for _, lost in worth.values())
    print(f"{len(worth)} submissions, {harmful} of them harmful, beside {len(burners)} burners on {os.cpu_count()} cores: "
          f"{total:.0f} s, {memory:,.0f} MB at most; {dict(Counter(row.graded.state for row in rows.values()))}; "
          f"{len(missing)} missing, {len(changed)} with other points than they are worth")
    sys.exit(1 if missing or changed else 0)


if __name__ == "__main__":
    main()
