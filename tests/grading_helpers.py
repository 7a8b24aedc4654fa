"""What the tests of the grader share."""

import sys

import pytest
import submissions

from course_utils.grading import judge, store


def notebook_bytes():
    return submissions.as_bytes(submissions.filled())


_server = []


def one_server():
    """A server for the tests that need any level."""
    if not _server:
        level = "full" if sys.platform == "linux" else "reduced"
        _server.append(judge.start("auto" if level == "full" else level, 1)[0])
    return _server[0]


@pytest.fixture(scope="module")
def small_class(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    (folder / "in").mkdir()
    for one in [*submissions.good(), *submissions.messy()]:
        if one.name in ("perfect_01_graph_tasks", "half", "blank_01_graph_tasks", "library", "misconception_degrees", "cut_off",
                        "perfect_02_message_passing"):
            (folder / "in" / f"{one.name.replace('_', '')}_{len(one.name)}_1_hw.ipynb").write_bytes(one.content)
    return folder


def rows_of(path):
    scores = store.Scores(path)
    try:
        return {row.student: (row.graded.points, row.graded.state, [(v.exercise, v.state, v.misconception) for v in row.graded.verdicts])
                for row in scores.rows()}
    finally:
        scores.close()


def row(student="a", file="f", notebook=submissions.ONE, state="graded", *given):
    return store.Row(student, file, judge.Graded(notebook, state, given), "full", "1", "2024-01-01T00:00:00+00:00")
