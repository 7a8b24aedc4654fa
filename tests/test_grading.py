"""The grader: every kind of submission gets what it is worth, none touches another, and nothing is lost."""

import dataclasses
import gc
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import submissions
import torch
from grading_helpers import COURSE, at_hand, below, children_of, one_server, rows_of, small_class  # noqa: F401  fixtures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_utils import exercises
from course_utils.cli import main
from course_utils.exercises.declare import Named, Other, Outcome, Seed
from course_utils.grading import children, inbox, jail, judge, run, store, submission, wire
from course_utils.grading.judge import Terms

ROOT = Path(__file__).parents[1]
SECONDS = 2  # of processor time for a submission: what never ends is found out sooner


@pytest.mark.slow
def test_the_reduced_level_grades_too():
    servers = judge.start("reduced", 1)[0]
    for name, points in (("perfect_01_graph_tasks", 7), ("infinite_loop", 6)):
        (graded,) = judge.grade(submissions.named(name).content, servers, Terms("secret", SECONDS))
        assert graded.points == points, graded


def test_the_reduced_level_is_never_taken_by_itself(monkeypatch):
    monkeypatch.setattr(judge.sys, "platform", "darwin")
    with pytest.raises(children.LevelUnavailable, match="--level reduced, submissions run"):
        judge.start("auto", 1)


# What is sent --------------------------------------------------------------------------------------------------------

VALUES = [None, True, 3, 1.5, float("nan"), "text", (1, [2.0, {"a": torch.arange(3)}]), torch.zeros(0, 3), torch.tensor(2.0),
          torch.tensor([True, False]), torch.arange(6).double().reshape(2, 3).T, torch.tensor([1 + 2j]), torch.tensor([1.0]).bfloat16(),
          Seed(5), Named("systems.mystery.centroid"), Other("ndarray"), torch.ones(2, requires_grad=True)]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: str(v).replace("\n", " ")[:40])
def test_what_is_sent_comes_back(value):
    pipe = submissions.io.BytesIO()
    wire.send(pipe, value)
    pipe.seek(0)
    assert_same(wire.receive(pipe), value)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(b, torch.Tensor):
        assert (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad) and torch.equal(a, b)
    elif isinstance(b, tuple | list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_same(x, y)
    elif isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            assert_same(a[key], b[key])
    else:
        assert a == b or (a != a and b != b)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_comes_in_is_a_message_or_malformed(data):
    pipe = submissions.io.BytesIO()
    wire.send(pipe, {"value": (torch.arange(6.0).reshape(2, 3), [torch.tensor([True])], {"a": 1})})
    raw = bytearray(pipe.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))):]
    try:
        wire.receive(submissions.io.BytesIO(bytes(raw)))
    except (wire.Malformed, EOFError):
        pass


@pytest.mark.parametrize("content", [["float32", [1 << 40, 1 << 40], False], ["float32", [-1], False], ["object", [1], False],
                                     ["float32", [4], False], ["float32", "ab", False], ["int64", [0] * 40, False]])
def test_no_memory_is_taken_for_a_tensor_that_did_not_come(content):
    text = json.dumps({"tensor": content}).encode()
    with pytest.raises(wire.Malformed):
        wire.receive(submissions.io.BytesIO(wire.HEADER.pack(len(text), 4) + text + b"1234"))
    with pytest.raises(wire.Malformed):
        wire.receive(submissions.io.BytesIO(wire.HEADER.pack(1 << 60, 1 << 60)))


@pytest.mark.parametrize("reply", [{}, {"error": 3}, {"late": True}, {"changed": ("password",)}, {"printed": "many"}, {"trace": None},
                                   {"changed": ([],)}])
def test_a_reply_of_another_form_is_no_outcome(reply):
    with pytest.raises(children.Died):
        judge._outcome(vars(Outcome()) | reply if reply else {}, exercises.find("degrees"))


# What is read --------------------------------------------------------------------------------------------------------

MASTER = submissions.filled()
NOTEBOOKS = {name: exercise.notebook for name, exercise in exercises.all_exercises().items()}


def mutate(data, part):
    """A valid piece of JSON, changed somewhere."""
    junk = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}), st.just("\ud800"),
                     st.just("(" * 300), st.just("def degrees("), st.just("%%time"), st.just("!ls"), st.just("x = ?"), st.just("\x00"))
    if isinstance(part, dict) and part and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(part)))
        if not data.draw(st.integers(0, 5)):
            return {k: v for k, v in part.items() if k != key}
        return part | {key: mutate(data, part[key])}
    if isinstance(part, list) and part and data.draw(st.integers(0, 6)):
        place = data.draw(st.integers(0, len(part) - 1))
        return part[:place] + [mutate(data, part[place])] + part[place + data.draw(st.integers(0, 2)):]
    if isinstance(part, str) and part and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(part) - 1))
        return part[:place] + data.draw(st.text(max_size=5)) + part[place + data.draw(st.integers(0, 3)):]
    return data.draw(junk)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_mutated_notebook_is_read_or_refused_with_a_reason(data):
    notebook = MASTER
    for _ in range(data.draw(st.integers(1, 4))):
        notebook = mutate(data, notebook)
    content = json.dumps(notebook).encode()
    if data.draw(st.integers(0, 9)) == 0:
        content = content[:data.draw(st.integers(0, len(content)))]
    try:
        reading = submission.read(content, NOTEBOOKS)
    except submission.Unreadable as problem:
        assert len(str(problem)) > 10
        return
    assert reading.notebooks
    assert all(line.cell in reading.texts for line in reading.lines.values())
    assert submission.Reading.of_plain(dataclasses.asdict(reading)) == reading


@pytest.mark.slow
@pytest.mark.parametrize("text", ["(" * 5000, "-" * 100_000 + "1", "a." * 50_000 + "b", "[" * 90 + "]" * 90, "f" + "()" * 50_000, "x = " + "1+" * 50_000 + "1",
                                  "\x00", "\n" * 190_000 + "?", "lambda: " * 5000 + "0", "9" * 10_000, "x" * 300_000, "if 1:\n" + " if 1:\n" * 200,
                                  "f'{" * 200 + "'", "\ud800", "? " * 50_000, "a = b\n" * 50_000, "!ls\n" * 400 + "a = b + c + d\n" * 4000,
                                  "\n".join(f"a{i} = a{i + 1}" for i in range(4900)), "= " * 50_000 + "!"])
def test_hostile_code_is_read_quickly_and_never_crashes_the_judge(text):
    start = time.monotonic()
    try:
        submission.Submission(submission.parse(text, 1)).needed(["a0"])
    except SyntaxError:
        pass
    assert time.monotonic() - start < 20  # not a speed: quadratic time would be minutes


def source_of(text, names=("f",)):
    read = submission.Submission(submission.parse(text, 1))
    return [submission.ast.unparse(read.statements[i].tree) for i in read.needed(names)]


def test_only_what_is_needed_is_run():
    text = """
import math
a = 1
b = a + 1
seen = []
seen.append(2)
x = slow()
def helper(x): return x + b
def f(x):
    y = [x for x in seen]
    return helper(y) * math.pi
for i in range(3):
    x = train()
print(f(3))
"""
    kept = "\n".join(source_of(text))
    assert "slow" not in kept and "train" not in kept and "print" not in kept  # x is f's own
    assert all(word in kept for word in ("import math", "a = 1", "b = a + 1", "seen.append(2)", "def helper"))


def test_what_changes_an_import_is_run_and_what_only_calls_it_is_not():
    kept = source_of("import torch\ntorch.manual_seed(0)\ntorch.equal = print\ndef f(x): return torch.sin(x)")
    assert kept == ["import torch", "torch.equal = print", "def f(x):\n    return torch.sin(x)"]


def test_a_notebook_of_much_code_or_many_parts_is_refused_before_it_takes_the_memory():
    cells = [submissions.code(f"def degrees(a):\n    return {i}") for i in range(20_000)]
    read = submission.Submission.of(json.dumps({"cells": cells}).encode(), ["degrees"])
    assert len(read.statements) < 5000 and "characters are read" in read.broken[-1][1]


@pytest.mark.slow
def test_a_fault_of_the_grader_costs_nobody_else_anything(small_class, tmp_path, capsys, at_hand, monkeypatch):
    real = judge.grade
    monkeypatch.setattr(judge, "grade", lambda content, *args: 1 / 0 if content == b"half" else real(content, *args))
    shutil.copytree(small_class / "in", tmp_path / "in")
    (tmp_path / "in" / "half.ipynb").write_bytes(b"half")
    assert main(["grade", str(tmp_path / "in"), "--scores", str(tmp_path / "s.sqlite")]) == 1
    assert "1 not graded" in capsys.readouterr().out
    assert rows_of(tmp_path / "s.sqlite")["perfect01graphtasks_22"][0] == 7


# What is the machine's fault -----------------------------------------------------------------------------------------

def perfect(notebook=submissions.ONE):
    return submissions.as_bytes(submissions.filled(notebook))


def write_class(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}.ipynb").write_bytes(content)
    return inbox.submissions(folder)


def graded_rows(folder, contents, **options):
    """The rows that a run over these notebooks leaves, by student, and what it counted."""
    scores = store.Scores(folder / "scores.sqlite")
    counted, _ = run.run(write_class(folder / "in", contents), scores, **options)
    rows = {row.student: row for row in scores.rows()}
    scores.close()
    return rows, counted


@pytest.mark.slow
def test_the_judge_parses_nothing(monkeypatch):
    """Two threads that parse at once may fail in CPython 3.11, so no thread of the judge does."""
    content, server = perfect("07_egnn"), one_server()
    judge.grade(content, server, Terms("secret"))  # the course's own inputs are drawn

    def refuse(*args, **options):
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(submission.ast, "parse", refuse)
    monkeypatch.setattr(submission.ast, "unparse", refuse)
    monkeypatch.setattr(submission.symtable, "symtable", refuse)
    (graded,) = judge.grade(content, server, Terms("secret"))
    assert (graded.points, graded.state) == (10, "graded")


@pytest.mark.slow
def test_threads_that_race_cost_a_perfect_notebook_nothing(tmp_path):
    interval = sys.getswitchinterval()
    gc.callbacks.append(lambda *args: None)
    sys.setswitchinterval(1e-6)
    try:
        contents = {f"s{i}": perfect() + b" " * i for i in range(12)}
        rows, counted = graded_rows(tmp_path, contents, jobs=4)
    finally:
        sys.setswitchinterval(interval)
        gc.callbacks.pop()
    assert counted == {"graded": 12}
    assert {row.graded.points for row in rows.values()} == {7}


@pytest.mark.slow
def test_what_may_be_the_machines_fault_is_not_graded_at_first_and_the_students_in_peace():
    for name, state in (("infinite_loop", "timed out"), ("exits", "died")):
        content, server = submissions.named(name).content, one_server()
        (first,) = judge.grade(content, server, Terms("secret", SECONDS, in_peace=False))
        (last,) = judge.grade(content, server, Terms("secret", SECONDS))
        assert first.state == "not graded" and last.state == state
        assert {v.exercise: v.state for v in first.verdicts}["degrees"] == "not graded"
        assert {v.exercise: v.state for v in last.verdicts}["degrees"] == "wrong"
        assert first.points == last.points == 6


@pytest.mark.slow
def test_time_that_runs_out_on_a_busy_machine_costs_nobody_a_point(tmp_path, at_hand, monkeypatch):
    contents = {f"s{i}": perfect() + b" " * i for i in range(4)} | {"loop": submissions.named("infinite_loop").content}
    late = []

    class Busy(judge.Child):
        def greet(self):
            greeted, within = super().greet(), self.within

            def never(seconds, patience):
                if patience == judge.PATIENCE:
                    late.append(seconds)
                    seconds = 1e-6
                return within(seconds, patience)

            greeted.within = never
            return greeted

    monkeypatch.setattr(children, "Child", Busy)
    rows, counted = graded_rows(tmp_path, contents, seconds=SECONDS)
    assert late
    assert counted == {"graded": 4, "timed out": 1}
    assert {name: row.graded.points for name, row in rows.items()} == {"s0": 7, "s1": 7, "s2": 7, "s3": 7, "loop": 6}


def test_a_child_that_two_threads_end_is_ended_once():
    ends, (ours, theirs) = [], socket.socketpair()

    def end():
        time.sleep(0.1)  # long enough for the other thread to come
        ends.append(threading.current_thread())
        return 0

    child = children.Child(ours.makefile("rb"), ours.makefile("wb"), end, lambda: None)
    closing = [threading.Thread(target=child.close) for _ in range(2)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    ours.close()
    theirs.close()
    assert len(ends) == 1


@pytest.mark.slow
def test_servers_that_are_killed_are_replaced_and_nobody_loses_a_point(tmp_path):
    contents = {f"s{i:02}": perfect() + b" " * i for i in range(20)}
    killed, rows_seen = [], 0
    others = set(children_of(os.getpid(), "course_utils.grading.server"))  # of other tests

    def kill(stop):
        nonlocal rows_seen
        while not stop.wait(0.05):
            path = tmp_path / "scores.sqlite"
            number = len(rows_of(path)) if path.exists() else 0
            servers = {*children_of(os.getpid(), "course_utils.grading.server")} - others
            if number >= rows_seen + 3 and servers:
                server = random.choice(sorted(servers))
                os.kill(random.choice([server, *below(server)]), signal.SIGKILL)
                killed.append(server)
                rows_seen = number

    stop = threading.Event()
    killer = threading.Thread(target=kill, args=[stop])
    killer.start()
    try:
        rows, counted = graded_rows(tmp_path, contents)
    finally:
        stop.set()
        killer.join()
    assert len(killed) > 3
    assert {row.graded.state for row in rows.values()} <= {"graded", "not graded"}
    # A file whose second try was hit, too, has no score, and nobody has less than all points.
    assert all(row.graded.points == 7 for row in rows.values() if row.graded.state == "graded")
    assert counted["graded"] > 14


@pytest.mark.slow
def test_only_the_culprit_loses_when_a_submission_ends_the_server(tmp_path, monkeypatch):
    contents = {f"s{i}": perfect() + b" " * i for i in range(6)} | {"culprit": b"culprit"}
    real = judge.grade

    def grade(content, server, terms):
        if content == b"culprit":
            server._server.kill()
            server.child()
        return real(content, server, terms)

    monkeypatch.setattr(judge, "grade", grade)
    rows, counted = graded_rows(tmp_path, contents)
    assert counted == {"graded": 6, "not graded": 1}
    assert "It was tried twice" in rows["culprit"].graded.notes[0]


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_starts_is_started_again():
    if one_server().level != "full":
        pytest.skip("this machine does not have the level full")
    server = children.Forked("full", 10.0)
    server._server.kill()
    started = children._ready(server)
    started.child().close()
    started.close()


@pytest.mark.slow
def test_memory_that_the_judge_lacks_is_no_wrong_answer(tmp_path, at_hand, monkeypatch):
    def difference(*args):
        raise MemoryError

    monkeypatch.setattr(type(exercises.find("degrees").same), "difference", difference)
    rows, counted = graded_rows(tmp_path, {"a": perfect()})
    assert counted == {"not graded": 1} and "MemoryError" in rows["a"].graded.notes[0]


@pytest.mark.slow
def test_a_process_that_the_system_ended_for_want_of_memory_is_not_graded(monkeypatch):
    monkeypatch.setattr(children, "out_of_memory", lambda: True)
    content = submissions.as_bytes(submissions.filled(answers={"degrees": submissions.degrees("import os\nos.kill(os.getpid(), 9)")}))
    (graded,) = judge.grade(content, one_server(), Terms("secret", SECONDS))
    assert graded.state in ("not graded", "graded")  # the first process of a namespace cannot end itself
    (graded,) = judge.grade(submissions.named("exits").content, one_server(), Terms("secret", SECONDS))
    assert graded.state == "died"


def test_what_python_is_too_old_for_is_not_wrong():
    notebook = submissions.filled(answers={"degrees": "def degrees(edge_index, num_nodes): new syntax of the future"})
    states = {"3.9.0": "wrong", "3.99.1": "wrong"}  # it was no Python when it was written, and there is no such Python
    if sys.version_info.minor < submission.NEWEST:
        states[f"3.{submission.NEWEST}.0"] = "not graded"
    for version, state in states.items():
        content = submissions.as_bytes(notebook | {"metadata": {"language_info": {"name": "python", "version": version}}})
        (graded,) = judge.grade(content, one_server(), Terms("secret"))
        verdict = next(v for v in graded.verdicts if v.exercise == "degrees")
        assert verdict.state == state and "is not valid Python" in verdict.findings[0].text
        assert (f"was written with Python {version}" in verdict.findings[0].text) == (state == "not graded")


@pytest.mark.slow
def test_two_notebooks_in_one_file_are_both_graded(tmp_path, at_hand):
    one, two = submissions.filled(), submissions.filled("02_message_passing")
    both = submissions.as_bytes(one | {"cells": one["cells"] + two["cells"]})
    assert {g.notebook: g.points for g in judge.grade(both, one_server(), Terms("secret"))} == {
        submissions.ONE: 7, "02_message_passing": 10}
    scores = store.Scores(tmp_path / "scores.sqlite")
    run.run(write_class(tmp_path / "in", {"ada": both}), scores)
    assert [(row.file, row.graded.points) for row in scores.rows()] == [
        ("ada.ipynb", 7), ("ada.ipynb (02_message_passing)", 10)]
    helper = submissions.filled(after=["def readout(h):\n    return h.sum(0)"])
    assert [g.notebook for g in judge.grade(submissions.as_bytes(helper), one_server(), Terms("secret"))] == [submissions.ONE]


def test_an_assignment_takes_its_own_notebook_only():
    terms = Terms("secret", notebook="02_message_passing")
    (graded,) = judge.grade(perfect(), one_server(), terms)
    assert graded.state == "other notebook"
    assert "it is 01_graph_tasks; the assignment is 02_message_passing" in graded.notes[0]
    (graded,) = judge.grade(perfect("02_message_passing"), one_server(), terms)
    assert graded.points == 10


def test_folders_that_a_killed_grader_left_are_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(children.tempfile, "tempdir", str(tmp_path))
    left, held = (children.Scratch() for _ in range(2))
    (left.path / "deep" / "folder").mkdir(parents=True)
    os.close(left._lock)
    children.Scratch.clear()
    assert left.path.exists()  # it may be about to be locked
    monkeypatch.setattr(children, "LOCKED_WITHIN", 0.0)
    children.Scratch.clear()
    assert not left.path.exists() and held.path.exists()
    held.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_run_ends_and_the_next_goes_on(tmp_path):
    write_class(tmp_path / "in", {"sleeper": submissions.named("sleeper").content, "a": perfect()})
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start, option, code = COURSE  # a job in the background starts with SIGINT ignored, and so do those that it starts
    command = [start, option, listens + code, "grade", str(tmp_path / "in")]
    command += ["--scores", str(tmp_path / "s.sqlite"), "--seconds", "4000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "s.sqlite").exists() or not rows_of(tmp_path / "s.sqlite"):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)  # the sleeper alone would take minutes
    assert process.returncode == 130 and "Traceback" not in err and "goes on" in err


# The walls themselves ------------------------------------------------------------------------------------------------

def test_hidden_seeds_follow_from_the_secret_and_differ_by_exercise():
    seeds = {judge.hidden_seed(secret, name, i) for secret in ("a", "b") for name in ("x", "y") for i in range(2)}
    assert len(seeds) == 8 and judge.hidden_seed("a", "x", 0) == judge.hidden_seed("a", "x", 0)


def test_a_version_covers_all_that_a_verdict_depends_on(monkeypatch):
    read, files = Path.read_text, []
    monkeypatch.setattr(Path, "read_text", lambda path, *args: files.append(path.name) or read(path, *args))
    versions = {name: judge.version.__wrapped__(name) for name in (*submissions.NAMES, "")}
    assert len(set(versions.values())) == len(versions)
    assert {"nb06_augmentation_and_canonicalization.py", "nb04_invariance_and_equivariance.py", "untrained.py", "frames.py",
            "declare.py", "verdict.py", "submission.py"} <= set(files)


def test_rules_leave_out_what_is_hidden(tmp_path):
    for name in ("a/b/hidden", "a/b/seen", "a/c"):
        (tmp_path / name).mkdir(parents=True)
    kept = jail.without(tmp_path / "a", {tmp_path / "a/b/hidden"})
    assert sorted(kept) == [tmp_path / "a/b/seen", tmp_path / "a/c"]


@pytest.mark.slow
def test_the_server_holds_no_reference_and_no_check():
    script = ("from course_utils.grading import player; player.load(); import sys, gc; "
              "assert not [m for m in sys.modules if m.startswith('course_utils.exercises.nb')]; "
              "assert not [x for x in gc.get_objects() if type(x).__name__ in ('Exercise', 'Misconception')]")
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
