"""The database of scores: what is kept, for whom, and what is graded again."""

import os
import shutil

import pytest
import submissions
from grading_helpers import row, rows_of, small_class  # noqa: F401  a fixture

from course_utils.cli import main
from course_utils.grading import store


def test_what_was_not_graded_is_tried_again(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    for state, done in (("graded", True), ("timed out", True), ("not graded", False), ("unreadable", True)):
        scores.write("a", "f", b"x", row(state=state).graded, "full", "1")
        assert scores.done("a", "f", b"x", lambda notebook: "1") is done


def test_a_changed_notebook_is_run_again_and_an_unchanged_one_is_not(small_class, tmp_path, capsys):
    shutil.copytree(small_class / "in", tmp_path / "in")
    command = ["grade", str(tmp_path / "in"), "--scores", str(tmp_path / "s.sqlite")]
    main(command)
    file = next((tmp_path / "in").glob("half*"))
    file.write_bytes(submissions.as_bytes(submissions.load(submissions.ONE, "solutions")))
    capsys.readouterr()
    main(command)
    assert "1 graded, 6 as before" in capsys.readouterr().out
    assert rows_of(tmp_path / "s.sqlite")["half_4"][0] == 7


def test_the_database_is_for_its_owner_alone_and_keeps_its_secret(tmp_path):
    first = store.Scores(tmp_path / "s.sqlite")
    again = store.Scores(tmp_path / "s.sqlite")
    assert first.secret == again.secret and len(first.secret) == 32
    assert first.secret != store.Scores(tmp_path / "t.sqlite").secret
    if os.name == "posix":
        assert (tmp_path / "s.sqlite").stat().st_mode & 0o077 == 0
    (tmp_path / "text").write_text("no database at all, though it is long enough to look at" * 20)
    with pytest.raises(store.Unusable, match="no database of scores"):
        store.Scores(tmp_path / "text")
