"""One exercise is graded again, and nothing else moves."""

import dataclasses

import pytest
import submissions
from grading_helpers import ONE, TWO, at_hand, graded  # noqa: F401  a fixture

from course_utils import exercises
from course_utils.cli import main
from course_utils.exercises.declare import PropertiesOnly
from course_utils.exercises.verdict import Finding, Verdict
from course_utils.grading import judge, run, store
from course_utils.grading.records import Graded


class Nothing:
    """Takes no answer for right."""

    def difference(self, value, expected):
        return "it is not."


@pytest.fixture
def scores(tmp_path):
    opened = store.Scores(tmp_path / "s.sqlite")
    yield opened
    opened.close()


def verdicts_of(scores, student):
    (row,) = (row for row in scores.rows() if row.student == student)
    return {verdict.exercise: verdict for verdict in row.graded.verdicts}


@pytest.mark.slow
def test_only_the_named_exercise_is_tried_again(tmp_path, at_hand, monkeypatch):
    folder, database = tmp_path / "in", tmp_path / "s.sqlite"
    folder.mkdir()
    (folder / "ada.ipynb").write_bytes(submissions.named("misconception_degrees").content)
    (folder / "cut.ipynb").write_bytes(submissions.named("cut_off").content)
    command = ["grade", str(folder), "--scores", str(database)]
    monkeypatch.setattr(judge, "version", lambda notebook: "first")
    main(command)
    scores = store.Scores(database)
    before = verdicts_of(scores, "ada")
    (row_before,) = (row for row in scores.rows() if row.student == "ada")
    assert before["degrees"].state == "wrong" and before["permute"].state == "right"

    monkeypatch.setattr(judge, "version", lambda notebook: "second")
    monkeypatch.setattr(exercises.find("degrees"), "same", PropertiesOnly())
    monkeypatch.setattr(exercises.find("permute"), "same", Nothing())
    (folder / "new.ipynb").write_bytes(submissions.named("misconception_degrees").content)
    assert main([*command, "--exercise", "degrees"]) == 0
    after = verdicts_of(scores, "ada")
    assert (after["degrees"].state, after["degrees"].points) == ("right", 1)
    assert list(after) == list(before)
    assert {**after, "degrees": None} == {**before, "degrees": None}
    (row,) = (row for row in scores.rows() if row.student == "ada")
    assert row.graded.points == sum(verdict.points for verdict in after.values())
    assert (row.graded.notes, row.level, row.graded_at) == (
        row_before.graded.notes, row_before.level, row_before.graded_at
    )
    assert verdicts_of(scores, "new")["permute"].state == "wrong"  # graded whole
    (cut,) = (row for row in scores.rows() if row.student == "cut")
    assert (cut.graded.state, cut.version) == ("unreadable", "first")

    main(command)  # its other exercises were graded under the old version
    assert verdicts_of(scores, "ada")["permute"].state == "wrong"
    scores.close()


def regrade(scores, name, version, *, points=1, state="right", notes=(), level="full"):
    verdict = Verdict(name, state, points, exercises.find(name).points)
    again = Graded(exercises.find(name).notebook, "graded", (verdict,), notes)
    scores.regrade("a", "hw.ipynb", [again], level, lambda notebook: version)


def done(scores, version):
    return scores.done("a", "hw.ipynb", b"x", lambda notebook: version)


def test_a_row_is_up_to_date_only_if_all_its_verdicts_are_of_the_present_version(scores):
    scores.write("a", "hw.ipynb", b"x", graded({}), "full", "1")
    regrade(scores, "degrees", "2")
    assert not done(scores, "2")
    assert not done(scores, "1"), "the check may be put back as it was"
    for exercise in exercises.of_notebook(ONE):
        regrade(scores, exercise.name, "2", points=exercise.points)
    assert done(scores, "2")


def test_points_state_notes_and_level_follow_the_verdicts(scores):
    first = dataclasses.replace(graded({"degrees": 0}, state="timed out"), notes=("old",))
    scores.write("a", "hw.ipynb", b"x", first, "full", "1")
    regrade(scores, "degrees", "1", notes=("old", "new"), level="reduced")
    (row,) = scores.rows()
    assert (row.graded.points, row.graded.out_of, row.graded.state) == (7, 7, "graded")
    assert (row.graded.notes, row.level) == (("old", "new"), "full, reduced")
    regrade(scores, "degrees", "1", points=0, state="not graded")
    (row,) = scores.rows()
    assert row.graded.state == "not graded" and not done(scores, "1")
    assert scores.states("a", "hw.ipynb", b"x")["degrees"] == "not graded"
    assert scores.states("a", "hw.ipynb", b"changed") is None


def test_of_two_notebooks_in_one_file_the_right_one_is_graded_again(scores):
    scores.write("a", "hw.ipynb", b"x", graded({"degrees": 0}), "full", "1")
    scores.write("a", f"hw.ipynb ({TWO})", b"x", graded({"run_rounds": 0}, TWO), "full", "1")
    points = exercises.find("run_rounds").points
    regrade(scores, "run_rounds", "1", points=points)
    missing = {row.graded.notebook: row.graded.out_of - row.graded.points for row in scores.rows()}
    assert missing == {ONE: 1, TWO: 0}


def test_what_was_not_graded_is_tried_too_and_a_file_that_fails_keeps_its_other_verdicts(scores):
    scores.write("a", "hw.ipynb", b"x", graded({"permute": None}), "full", "1")
    file = run.File("a", "hw.ipynb", lambda: b"x")
    job = run._job(file, b"x", scores, again=False, only=["degrees"])
    assert sorted(job.only) == ["degrees", "permute"]
    assert run._job(file, b"new", scores, again=False, only=["degrees"]).only == ()
    failed = run._of_part(job, [Graded("", "not graded", notes=("the server ended",))])
    scores.regrade("a", "hw.ipynb", failed, "full", judge.version)
    (row,) = scores.rows()
    states = {verdict.exercise: verdict.state for verdict in row.graded.verdicts}
    assert {name for name, state in states.items() if state == "not graded"} == {"degrees", "permute"}
    (degrees,) = (verdict for verdict in row.graded.verdicts if verdict.exercise == "degrees")
    assert degrees.findings == (Finding("note", "the server ended"),)
    assert set(states.values()) == {"right", "not graded"}


@pytest.mark.parametrize("options, sentence", [
    (["--exercise", "degres"], "There is no degres. Did you mean degrees?"),
    (["--exercise", "degrees", "--notebook", TWO], f"degrees is an exercise of {ONE}; the assignment is {TWO}."),
    (["--exercise", "degrees", "--again"], "leave one of them out"),
])
def test_what_cannot_be_tried_again_is_told(options, sentence, tmp_path, capsys):
    assert main(["grade", str(tmp_path), "--scores", str(tmp_path / "s.sqlite"), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "s.sqlite").exists()


def test_without_a_database_there_is_nothing_to_try_again(tmp_path, capsys):
    assert main(["grade", str(tmp_path), "--exercise", "degrees"]) == 2
    assert "name it with --scores" in capsys.readouterr().err
