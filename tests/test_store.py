"""The database of scores: what is kept, for whom, and what is graded again."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
import submissions
from grading_helpers import (  # noqa: F401  fixtures among them
    TWO,
    at_hand,
    graded,
    lay_out,
    recorded,
    row,
    rows_of,
    sheet,
    small_class,
)

from course_utils.cli import main
from course_utils.grading import files, judge, report, store


def test_what_was_not_graded_is_tried_again(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    for state, done in (("graded", True), ("timed out", True), ("not graded", False), ("unreadable", True)):
        scores.write("a", "f", b"x", row(state=state).graded, "full", "1")
        assert scores.done("a", "f", b"x", lambda notebook: "1") is done


@pytest.mark.slow
def test_a_changed_notebook_is_run_again_and_an_unchanged_one_is_not(small_class, tmp_path, capsys, at_hand):
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


def test_the_two_rows_of_a_file_that_holds_two_notebooks_come_and_go_together(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    second = f"hw.ipynb ({TWO})"

    def is_done(content):
        return scores.done("a", "hw.ipynb", content, lambda notebook: "1")

    scores.write("a", "hw.ipynb", b"both", graded({}), "full", "1")
    scores.write("a", second, b"both", graded({"run_rounds": None}, TWO), "full", "1")
    assert [row.file for row in scores.rows()] == ["hw.ipynb", second] and not is_done(b"both")
    scores.write("a", second, b"both", graded({}, TWO), "full", "1")
    assert is_done(b"both") and not is_done(b"one")
    scores.write("a", "hw.ipynb", b"one", graded({}), "full", "1")
    assert [(row.file, row.graded.points) for row in scores.rows()] == [("hw.ipynb", 7)] and is_done(b"one")


def test_what_was_another_notebook_is_read_again_when_the_assignment_is_another(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    scores.bind("01_graph_tasks")
    scores.write("a", "hw.ipynb", b"x", row(state="unreadable", notebook="").graded, "full", "1")
    for notebook, done in (("01_graph_tasks", True), (TWO, False)):
        scores.bind(notebook)
        assert scores.done("a", "hw.ipynb", b"x", lambda notebook: "1") is done


# Who can read it ------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="rights of files as POSIX has them")
WRITER = """
import os, sqlite3, sys
from pathlib import Path
os.umask(0)
from course_utils.grading import judge, store
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "sqlite3.connect" else None)
connect = sqlite3.connect
def watched(path, *args, **options):
    if path != ":memory:":
        assert os.stat(path).st_mode & 0o777 == 0o600, "SQLite made it"
    return connect(path, *args, **options)
sqlite3.connect = watched
scores = store.Scores(Path(sys.argv[1]))
scores.write("a", "f", b"", judge.Graded("", "graded"), "full", "1")
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@posix
def test_the_database_and_the_files_beside_it_are_for_their_owner_during_a_run_and_after_a_kill(tmp_path):
    path = tmp_path / "s.sqlite"
    killed = subprocess.run([sys.executable, "-c", WRITER, path], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    left = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert left == dict.fromkeys(["s.sqlite", "s.sqlite-wal", "s.sqlite-shm"], 0o600)
    for name in left:
        (tmp_path / name).chmod(0o644)  # as an older version left them
    scores = store.Scores(path)
    assert [row.student for row in scores.rows()] == ["a"]
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


@posix
def test_reports_are_for_their_owner(recorded, tmp_path):
    before = os.umask(0)
    try:
        lay_out(tmp_path / "in", {"ada.ipynb": sheet()})
        main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert modes == {0o600}


# What can go wrong with it --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be made by root, on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_the_scores_that_are_there(small_disk, recorded, tmp_path, capsys):
    contents = {f"{i:03}.ipynb": sheet() for i in range(300)}
    command = ["grade", str(lay_out(tmp_path / "in", contents)), "--scores", str(small_disk / "s.sqlite")]
    assert main(command) == 2
    assert "cannot grow: the disk is full. Free some space" in capsys.readouterr().err
    graded_before = len(recorded) - 1
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    scores = store.Scores(small_disk / "s.sqlite")
    assert len(list(scores.rows())) == graded_before > 10
    scores.close()
    assert main(command) == 0


def test_a_report_on_a_full_disk_is_the_old_one_or_the_new_one(small_disk, recorded, tmp_path, capsys):
    out = small_disk / "out"
    command = [
        "grade",
        str(lay_out(tmp_path / "in", {"ada.ipynb": sheet({"degrees": 0})})),
        "--out",
        str(out),
    ]
    assert main(command) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "6 of 7" in str(before)
    lay_out(tmp_path / "in", {"ada.ipynb": sheet()} | {f"{i}.ipynb": sheet() for i in range(100)})
    assert main(command) == 1
    assert f"No space left on device: '{out}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_files_are_written_all_or_none(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as error:
        files.write_all({tmp_path / "b": b"new", tmp_path / "a" / "no folder": b"new"})
    assert error.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


def test_a_database_that_is_locked_is_said_so(recorded, tmp_path, capsys, monkeypatch):
    path = tmp_path / "s.sqlite"
    command = ["grade", str(lay_out(tmp_path / "in", {"ada.ipynb": sheet()})), "--scores", str(path)]
    main(command)
    monkeypatch.setattr(store.Scores.__init__, "__defaults__", (0.05,))  # seconds of patience
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin exclusive")
    capsys.readouterr()
    assert main([*command, "--again"]) == 2
    message = capsys.readouterr().err
    assert (
        "is locked by another program. Is another `course grade` at work" in message
        and "damaged" not in message
    )
    holder.execute("rollback")
    assert main(command) == 0


def test_a_new_database_that_another_holds_is_said_to_be_locked(tmp_path):
    holder = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(store.Unusable, match="is locked by another program"):
        store.Scores(tmp_path / "s.sqlite", patience=0.05)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_database_is_refused_with_a_sentence(recorded, tmp_path, capsys, share):
    path = tmp_path / "s.sqlite"
    contents = {f"{i}.ipynb": sheet() for i in range(40)}
    command = [
        "grade",
        str(lay_out(tmp_path / "in", contents)),
        "--scores",
        str(path),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    recorded.clear()
    capsys.readouterr()
    assert main(command) == 2
    assert "is no database of scores, or it is damaged" in capsys.readouterr().err and not recorded
    assert path.read_bytes() == content[: int(share * len(content))]


def test_databases_of_other_programs_and_other_versions_are_refused_and_left_alone(tmp_path, capsys):
    for statement, words in (
        ("create table bookmark (name text)", "it holds bookmark"),
        (store.TABLES.replace("level text,", ""), "another version of the course: its table submission"),
    ):
        path = tmp_path / f"{len(statement)}.sqlite"
        with sqlite3.connect(path) as db:
            db.executescript(statement)
        db.close()
        before = path.read_bytes()
        lay_out(tmp_path / "in", {"ada.ipynb": sheet()})
        assert main(["grade", str(tmp_path / "in"), "--scores", str(path)]) == 2
        message = capsys.readouterr().err
        assert words in message and "Name another file with --scores" in message
        assert path.read_bytes() == before
    with pytest.raises(store.Unusable, match="cannot be opened or written"):
        store.Scores(tmp_path)
    assert os.access(tmp_path, os.X_OK)


def test_a_row_is_written_whole_or_not_at_all(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    scores.write("a", "f", b"1", graded({}), "full", "1")
    unheard_of = judge.Verdict("permute", object(), 0, 2)
    with pytest.raises(store.Unusable):
        scores.write(
            "a",
            "f",
            b"2",
            judge.Graded(submissions.ONE, "graded", (graded({}).verdicts[0], unheard_of)),
            "full",
            "1",
        )
    (kept,) = scores.rows()
    assert kept.graded.points == 7 and scores.done("a", "f", b"1", lambda notebook: "1")
    report.write(scores, tmp_path / "out")
