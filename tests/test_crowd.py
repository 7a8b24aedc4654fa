"""A class that is graded by graders that are killed, by two at once, and by a cluster: the scores are the same."""

import itertools
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import submissions
from grading_helpers import COURSE, below, rows_of

from course_utils.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """One in six of the notebooks 1, good, messy and hostile, and their scores when nothing disturbs."""
    folder = tmp_path_factory.mktemp("crowd")
    (folder / "in").mkdir()
    every = itertools.chain(submissions.good(), submissions.messy(), submissions.hostile(folder))
    some = [made for made in every if made.suffix == ".ipynb" and made.notebook == submissions.ONE
            and made.state in ("graded", "blank", "died")]
    for one in some[::6]:
        (folder / "in" / f"{one.name}.ipynb").write_bytes(one.content)
    main(["grade", str(folder / "in"), "--scores", str(folder / "undisturbed.sqlite")])
    return folder


def test_killed_again_and_again_all_scores_are_as_in_an_undisturbed_run(crowd):
    path, rng = crowd / "killed.sqlite", random.Random(0)
    command = [*COURSE, "grade", str(crowd / "in"), "--scores", str(path), "--jobs", "1"]
    counts = []
    for _ in range(5):
        before = len(rows_of(path)) if path.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end, at = time.monotonic() + 60, before + rng.randint(1, 3)
        while process.poll() is None and time.monotonic() < end and (not path.exists() or len(rows_of(path)) < at):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(len(rows_of(path)))
    assert counts == sorted(counts) and counts[0] > 0
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert rows_of(path) == rows_of(crowd / "undisturbed.sqlite")


def test_the_servers_end_with_a_grader_that_is_killed(crowd, tmp_path):
    process = subprocess.Popen([*COURSE, "grade", str(crowd / "in"), "--scores", str(tmp_path / "s.sqlite")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "s.sqlite").exists() or not rows_of(tmp_path / "s.sqlite"):
        assert process.poll() is None
        time.sleep(0.05)
    mine = below(process.pid)
    assert mine
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in mine):
        assert time.monotonic() < end, "a server goes on without its grader"
        time.sleep(0.05)


def test_two_graders_on_one_database(crowd, tmp_path):
    command = [*COURSE, "grade", str(crowd / "in"), "--scores", str(tmp_path / "both.sqlite")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert rows_of(tmp_path / "both.sqlite") == rows_of(crowd / "undisturbed.sqlite")


def test_a_dask_cluster_of_two_workers_gives_the_same_scores(crowd, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        assert main(["grade", str(crowd / "in"), "--scores", str(tmp_path / "s.sqlite"), "--scheduler", cluster.scheduler_address]) == 0
    assert rows_of(tmp_path / "s.sqlite") == rows_of(crowd / "undisturbed.sqlite")


def test_a_cluster_that_is_not_there(crowd, tmp_path, capsys):
    pytest.importorskip("distributed")
    assert main(["grade", str(crowd / "in"), "--scheduler", "tcp://127.0.0.1:1"]) in (1, 2)
    assert "127.0.0.1:1" in capsys.readouterr().err
