"""What the tests of the grader share."""

import csv
import functools
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import submissions

from course_utils import exercises
from course_utils.exercises.verdict import Finding, Verdict
from course_utils.grading import judge, run, store

COURSE = [sys.executable, "-c", "import sys; from course_utils.cli import main; sys.exit(main())"]
ONE, TWO = "01_graph_tasks", "02_message_passing"
FULL = {
    name: {exercise.name: exercise.points for exercise in exercises.of_notebook(name)}
    for name in (ONE, TWO)
}


def notebook_bytes():
    return submissions.as_bytes(submissions.filled())


@functools.cache
def one_server():
    """A server for the tests that need any level."""
    return judge.start("auto" if sys.platform == "linux" else "reduced", 1)[0]


@pytest.fixture
def at_hand(monkeypatch):
    """Runs in this process take the server that is there, in place of starting their own, which takes seconds."""
    server = one_server()
    monkeypatch.setattr(server, "close", lambda: None)
    monkeypatch.setattr(judge, "start", lambda level, number, seconds: [server])


@pytest.fixture(scope="module")
def small_class(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    (folder / "in").mkdir()
    for name in (
        "perfect_01_graph_tasks",
        "half",
        "blank_01_graph_tasks",
        "library",
        "misconception_degrees",
        "cut_off",
        "perfect_02_message_passing",
    ):
        file = folder / "in" / f"{name.replace('_', '')}_{len(name)}_1_hw.ipynb"
        file.write_bytes(submissions.named(name).content)
    return folder


def rows_of(path):
    scores = store.Scores(path)
    try:
        return {
            row.student: (
                row.graded.points,
                row.graded.state,
                [(v.exercise, v.state, v.misconception) for v in row.graded.verdicts],
            )
            for row in scores.rows()
        }
    finally:
        scores.close()


def row(student="a", file="f", notebook=submissions.ONE, state="graded", *given):
    return store.Row(
        student, file, judge.Graded(notebook, state, given), "full", "1", "2024-01-01T00:00:00+00:00"
    )


def graded(points, notebook=ONE, state="graded"):
    """A notebook with these points by exercise, and full points for all others; None means not graded."""
    verdicts = []
    for name, out_of in FULL.get(notebook, {}).items():
        earned = points.get(name, out_of)
        if earned is None:
            state = "not graded"
            verdicts.append(Verdict(name, state, 0, out_of, (Finding("wrong", "the server ended"),)))
        else:
            verdicts.append(Verdict(name, "right" if earned == out_of else "wrong", earned, out_of))
    return judge.Graded(notebook, state, tuple(verdicts))


def sheet(points=(), notebook=ONE, state="graded"):
    """The content of a file that `recorded` grades so."""
    return json.dumps({"cells": [], "points": dict(points), "notebook": notebook, "state": state}).encode()


@pytest.fixture
def recorded(monkeypatch):
    """`run.run` without children: every file says what it is worth. Lists the files that were graded."""
    names = []

    def fake(files, scores, level, *, notebook="", **options):
        counted = Counter()
        for file in files:
            try:
                content = file.content()
                what = json.loads(content)
                result = graded(what["points"], what["notebook"], what["state"])
            except ValueError as problem:
                content, result = None, judge.Graded("", "unreadable", notes=(judge.not_graded(problem),))
            if notebook and result.notebook != notebook and content:
                why = judge.not_graded(f"it is {result.notebook}; the assignment is {notebook}")
                result = judge.Graded("", "other notebook", notes=(why,))
            names.append((file.student, file.name))
            scores.write(file.student, file.name, content, result, "full", "1")
            counted[result.state] += 1
        return counted, "full"

    monkeypatch.setattr(run, "run", fake)
    return names


def lines_of(out):
    """The table in a report, a dictionary for each line."""
    with open(out / "scores.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def lay_out(folder, contents):
    """Write files, by their path below a folder; None is a folder with nothing in it."""
    for name, content in contents.items():
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def below(pid):
    """The processes that a process started, and those that they started."""
    try:
        started = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    except OSError:
        return []
    return started + [later for child in started for later in below(child)]


def children_of(pid, command):
    """Those of them that are of this command, the outermost only."""
    def is_it(process):
        try:
            return command.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return False

    return [process for process in below(pid) if is_it(process)]
