"""The collection of submissions: each gets what it is worth at every level that this machine has, and none touches another."""

import os
import sys
from pathlib import Path

import conftest
import pytest
import submissions

from course_utils import exercises
from course_utils.grading import cards, children, inbox, judge, report, run, store

ROOT = Path(__file__).parents[1]
SECONDS = 3  # of processor time for a submission: what never ends is found out sooner
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["full", "container"])
def graded(request, tmp_path_factory):
    """The whole collection at one level: submission -> what was expected, submission -> its row, and the folder."""
    try:
        judge.start(request.param, 1)[0].close()
    except children.LevelUnavailable as problem:
        if request.param == "full" and sys.platform == "linux" and "CI" in os.environ:
            raise  # there a skipped test would be noticed by nobody
        conftest.LEVELS[request.param] = f"not proved here; {str(problem).split(' With --level')[0]}"
        pytest.skip(conftest.LEVELS[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    made = {one.name: one for one in submissions.corpus(folder / "in")}
    scores = store.Scores(folder / "scores.sqlite")
    run.run(inbox.submissions(folder / "in"), scores, request.param, seconds=SECONDS)
    report.write(scores, folder / "report")
    rows = {row.student: row for row in scores.rows()}
    scores.close()
    conftest.LEVELS[request.param] = f"tried with {len(made)} submissions"
    return made, rows, folder


def worth(made):
    every = exercises.of_notebook(made.notebook) if made.notebook else []
    return sum(exercise.points for exercise in every if exercise.name not in made.lost)


def faults(made, row):
    """What is wrong with a submission's row: a line for each fault."""
    said = "\n".join(cards.as_text(row))
    lost = {verdict.exercise for verdict in row.graded.verdicts if verdict.state != "right"}
    expected_to_lose = set(made.lost) if made.notebook else set()
    if row.graded.points != worth(made):
        yield f"{row.graded.points} points; expected {worth(made)}\n{said}"
    if row.graded.state not in made.state.split(" or "):
        yield f"{row.graded.state}; expected {made.state}\n{said}"
    if made.says not in said:
        yield f"it does not say {made.says!r}\n{said}"
    if lost != expected_to_lose:
        yield f"it loses {lost}; expected {expected_to_lose}"


def test_every_submission_gets_what_it_is_worth(graded):
    made, rows, _ = graded
    assert len(made) > 160 and rows.keys() == made.keys()
    wrong = []
    for name, one in made.items():
        row = rows[name]
        print(f"{name:45} {one.why:60} expected {worth(one)} {one.state}, given {row.graded.points} {row.graded.state}")
        wrong += [f"{name}: {fault}" for fault in faults(one, row)]
    assert not wrong, "\n\n".join(wrong)


def test_a_row_that_is_not_as_expected_is_a_fault(graded):
    made, rows, _ = graded
    assert len(list(faults(made["half"], rows["perfect_01_graph_tasks"]))) == 2
    assert len(list(faults(made["infinite_loop"], rows["blank_01_graph_tasks"]))) == 4


def test_nothing_is_left_behind(graded):
    _, rows, folder = graded
    for place in ("/tmp", "/var/tmp", "/dev/shm", folder / "in", ROOT / "course_utils", folder.parent):
        assert not Path(place, "left_behind_by_a_submission").exists()
        assert not Path(place, "escaped.ipynb").exists()
    assert not list(ROOT.glob("**/file0"))
    assert {row.level for row in rows.values()} <= {"full", "container"}


def test_feedback_never_shows_a_hidden_input(graded):
    page = (graded[2] / "report" / "students" / "looked_up.html").read_text()
    assert "secret" not in page and "drawn for grading and not shown" in page


def test_the_exit_code_of_a_hidden_call_is_told_to_nobody(graded):
    row = graded[1]["ends_with_a_code"]
    assert "exit code" not in "\n".join(cards.as_text(row)) and row.graded.state == "graded"
