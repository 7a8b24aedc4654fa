"""The judge holds references, seeds and expected values, and runs no student's code: it asks a child for answers (see
`server`), and compares them as the notebook's own check does.

An exercise is tried on the inputs of the notebook's check first, whose card says all. Where that is right, it is tried on
inputs drawn with seeds that nobody knows, which no card shows.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import hmac
import inspect
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .. import exercises
from ..exercises import verdict as verdicts
from ..exercises.declare import Case, Exercise, Named, Outcome, fresh
from ..exercises.source import method, takes_the_library
from ..exercises.verdict import Finding, Verdict, judge
from . import submission, wire

LEVELS = ("full", "container", "reduced")
HIDDEN_ROUNDS = 2
START_SECONDS, STATEMENT_SECONDS = 60.0, 10.0
SECONDS = 60.0  # for one submission


class LevelUnavailable(RuntimeError):
    """This machine cannot shut submissions in as asked."""


class Late(Exception):
    """No answer came in time; the child is gone."""


class Died(Exception):
    """The child ended, or broke off the conversation; how, as a sentence goes on."""


# Children ------------------------------------------------------------------------------------------------------------

class Child:
    """A process that answers requests, each in time or the process is ended."""

    def __init__(self, source, to, end):
        self._source, self._to, self._end = source, to, end
        self._until, self._late, self._closed, self._number = float("inf"), False, threading.Event(), 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._closed.wait(0.05):
            if time.monotonic() > self._until:
                self._late = True
                self._end()
                return

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End the child when the time is over. What waits for it then raises `Late`."""
        self._until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until = float("inf")

    def ask(self, request: dict[str, Any] | None, replies: int) -> Iterator[dict[str, Any]]:
        """The replies, as they come; without a request, the greeting. Raises Late or Died, and then the child is gone."""
        try:
            if request:
                wire.send(self._to, request | {"number": self._number})
            for _ in range(replies):
                reply = wire.receive(self._source)
                if not isinstance(reply, dict) or type(reply.get("number")) is not int or reply["number"] != self._number:
                    raise wire.Malformed("no reply to what was asked")
                self._number += 1
                yield reply
        except (EOFError, OSError, ValueError) as problem:
            status = self._end()
            if self._late:
                raise Late from None
            raise Died("broke off the conversation with the grader" if isinstance(problem, wire.Malformed) else
                       _how_it_ended(status)) from None

    def close(self) -> None:
        self._closed.set()
        self._end()
        for stream in (self._source, self._to):
            with contextlib.suppress(OSError):
                stream.close()


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status) if os.name == "posix" else status
    if code >= 0:
        return f"ended Python with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
    return {"SIGSEGV": "crashed Python (is there a recursion without end?)", "SIGXCPU": "used up its processor time",
            "SIGKILL": "ended Python, or was ended"}.get(name, f"ended Python with {name}")


class Forked:
    """A server of the levels "full" and "container". It is there once `ready` has returned."""

    def __init__(self, level: str, cpu_seconds: float = SECONDS):
        self.level = level
        self._folder = tempfile.TemporaryDirectory(prefix="course-")
        os.chmod(self._folder.name, 0o777)
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "course_utils.grading.server", level, str(int(cpu_seconds)), str(theirs.fileno()),
                   self._folder.name]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_environment(), cwd="/",
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        theirs.close()

    def ready(self) -> Forked:
        """Wait until it is; LevelUnavailable, with the reason, where this machine has not what the level needs."""
        said = self._control.makefile().readline().strip()
        if said != "ready":
            problem = said or self._server.communicate()[1][-500:]
            self.close()
            raise LevelUnavailable(f"level {self.level}: {problem}.")
        return self

    def child(self) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"f"], [theirs.fileno()])
        lock, status = threading.Lock(), []

        def end() -> int:
            with lock:
                if not status:
                    self._control.sendall(b"k")
                    status.append(struct.unpack("i", self._control.recv(4, socket.MSG_WAITALL))[0])
            return status[0]

        made = Child(ours.makefile("rb"), ours.makefile("wb"), end)
        ours.close()
        return made

    def close(self) -> None:
        self._control.close()
        self._server.kill()  # the first process of the namespaces ends with its control socket
        self._server.wait()
        self._server.stderr.close()
        self._folder.cleanup()


class Spawned:
    """The level "reduced", for every system: another process, and a time limit. A submission can do what its user can."""

    level = "reduced"

    def child(self) -> Child:
        folder = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
        process = subprocess.Popen([sys.executable, "-m", "course_utils.grading.server", "reduced", "0", "", folder.name],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=_environment(), start_new_session=os.name == "posix")

        def end() -> int:
            if process.poll() is None:
                process.kill()
            status = process.wait()
            with contextlib.suppress(OSError, AttributeError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started
            folder.cleanup()
            return status

        return Child(process.stdout, process.stdin, end)

    def close(self) -> None:
        pass


def _environment() -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "SYSTEMROOT", "LANG") if key in os.environ}
    return kept | threads | {"PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}  # else a thread takes 64 MB


# One submission ------------------------------------------------------------------------------------------------------

class Player:
    """Children in which a submission's statements were run. One that dies is replaced, without the statement that did it."""

    def __init__(self, servers: Forked | Spawned, statements: Sequence[submission.Statement], seconds: float):
        self._servers, self._statements, self._end = servers, statements, time.monotonic() + seconds
        self._flags = [alias.name for s in statements if isinstance(s.tree, ast.ImportFrom) and s.tree.module == "__future__"
                       for alias in s.tree.names if alias.name == "annotations"]
        self._child: Child | None = None
        self._called = False  # whether a child may know inputs
        self.failed: dict[int, str] = {}  # statement -> how
        self.ended: set[str] = set()  # of "timed out", "died"

    def left(self) -> float:
        return self._end - time.monotonic()

    def close(self) -> None:
        if self._child:
            self._child.close()
        self._child = None

    def _start(self) -> None:
        while not self._child and self.left() > 0:
            self._child = self._servers.child()
            with self._child.within(START_SECONDS):  # Python itself, at the level reduced
                waited = time.monotonic()
                next(self._child.ask(None, 1))
                self._end += time.monotonic() - waited
            kept = [i for i in range(len(self._statements)) if self.failed.get(i, "stopped").startswith("stopped")]
            replies = self._child.ask({"flags": self._flags, "statements": [
                [s.cell, s.number, s.name] for s in (self._statements[i] for i in kept)]}, len(kept))
            for i in kept:
                try:
                    with self._child.within(min(STATEMENT_SECONDS, self.left())):
                        reply = next(replies)
                except (Late, Died) as how:
                    self.failed[i] = self._gone(how)
                    break
                if (error := reply.get("error")) is not None:
                    # What a second child says could have come from the first, by whatever way we overlooked.
                    self.failed[i] = f"stopped with {str(error)[:1000]}" if not self._called else "stopped when it was run again"

    def _gone(self, how: Late | Died) -> str:
        self.close()
        self.ended.add("timed out" if isinstance(how, Late) else "died")
        return "did not end in time" if isinstance(how, Late) else str(how)

    def outcomes(self, exercise: Exercise, cases: Sequence[Case]) -> list[Outcome]:
        """What the calls did. Where one does not answer, it is the last."""
        made: list[Outcome] = []
        self._start()
        if not self._child:
            return [Outcome(late=True)]
        self._called = True
        try:
            with self._child.within(min(exercise.seconds, self.left())):
                for reply in self._child.ask({"call": exercise.name, "parameters": list(exercise.parameters),
                                              "cases": [case.args for case in cases]}, len(cases)):
                    made.append(_outcome(reply, exercise))
        except (Late, Died, wire.Malformed) as how:
            said = self._gone(how if not isinstance(how, wire.Malformed) else Died("broke off the conversation"))
            made.append(Outcome(late=True) if isinstance(how, Late) else Outcome(error=f"the end of its process: it {said}"))
        return made


def _outcome(reply: dict[str, Any], exercise: Exercise) -> Outcome:
    """A child's reply as an outcome, if it has that form."""
    given = {f.name: reply.get(f.name) for f in fields(Outcome)}
    value, error, trace, late, changed, printed = given.values()
    if not (isinstance(error, str | None) and isinstance(trace, str) and late is False and isinstance(changed, tuple)
            and all(name in exercise.parameters for name in changed) and type(printed) is int):
        raise wire.Malformed("an answer of another form")
    return Outcome(value, error and error[:1000], trace[:10_000], False, changed, printed)


@dataclass(frozen=True)
class Graded:
    """What a submission is worth: state is graded, blank, timed out, died, unreadable, or not graded."""

    notebook: str
    state: str
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(v.points for v in self.verdicts)

    @property
    def out_of(self) -> int:
        return sum(v.out_of for v in self.verdicts)


def not_graded(problem: object) -> str:
    """A note of why."""
    return f"This file could not be graded: {problem}".rstrip(".") + ("" if str(problem).endswith("?") else ".")


def recognise(content: bytes) -> tuple[str, submission.Submission]:
    """Which notebook of the course it is, by the exercises that stand in it. Unreadable where it is none."""
    every = exercises.all_exercises()
    read = submission.read(content, every)
    text = "".join(read.broken.values())
    found: dict[str, int] = {}
    for name, exercise in every.items():
        here = bool(read.defined(name) or re.search(rf"\b(def|class) {name}[(:]", text))
        found[exercise.notebook] = found.get(exercise.notebook, 0) + here
    best = max(found, key=found.get)
    if not found[best]:
        raise submission.Unreadable("none of the course's exercises is defined in it. Is it another notebook?")
    return best, read


def grade(content: bytes, servers: Forked | Spawned, secret: str, seconds: float = SECONDS) -> Graded:
    """The verdicts on a notebook, whatever is in it."""
    start = time.monotonic()
    try:
        notebook, read = recognise(content)
    except submission.Unreadable as problem:
        return Graded("", "unreadable", notes=(not_graded(problem),))
    asked = exercises.of_notebook(notebook)
    tried = [e.name for e in asked if read.answers(e.name)]
    statements = read.needed(tried)
    lost = [name for s in statements if s.name == submission.IMPORT for name in s.binds]
    notes = [*read.notes, *(f"`{name}` is written {len(twice)} times; the last one counts." for name in tried
                            if len(twice := [s for s in read.answers(name) if isinstance(s.tree, ast.FunctionDef | ast.ClassDef)]) > 1)]
    if lost:
        notes.append(f"No line imports {', '.join(sorted(lost))}. The usual one was put in, and that cost nothing.")
    player = Player(servers, statements, seconds)
    try:
        given = tuple(_verdicts(asked, read, player, secret))
        notes += [f"{statements[i].name}, `{ast.unparse(statements[i].tree)[:60].splitlines()[0]}`: it {how}."
                  for i, how in player.failed.items()]
    finally:
        player.close()
    state = next((s for s in ("timed out", "died") if s in player.ended), None) or (
        "blank" if all(v.state == "not started" for v in given) else "graded")
    return Graded(notebook, state, given, tuple(notes), round(time.monotonic() - start, 4))


def _verdicts(asked: Sequence[Exercise], read: submission.Submission, player: Player, secret: str) -> list[Verdict]:
    """Every exercise on the inputs of its check, and only then those that are right on hidden ones: an answer that has seen
    hidden inputs could tell them through another exercise's error."""
    given = [_verdict(e, read, player, [0]) for e in asked]
    hidden = [[hidden_seed(secret, e.name, i) for i in range(HIDDEN_ROUNDS)] for e in asked]
    return [_verdict(e, read, player, seeds) if v.state == "right" else v for e, v, seeds in zip(asked, given, hidden)]


def _verdict(exercise: Exercise, read: submission.Submission, player: Player, rounds: Sequence[int]) -> Verdict:
    def early(state, *findings):
        return Verdict(exercise.name, state, 0, exercise.points, findings)

    answers = read.answers(exercise.name)
    if not answers:
        broken = [why for why in read.broken.values() if re.search(rf"^[ \t]*(def|class) {exercise.name}\b", why, re.MULTILINE)]
        return early("wrong", *(Finding("wrong", why.split("\n")[0]) for why in broken)) if broken else early("not started")
    if takes_the_library(answers[-1].tree, exercise.reference, read.imports()):
        return early("not yours", Finding("hint", exercises.TAKEN.format(exercise.name)))
    if problem := _cannot_be_called(answers[-1].tree, exercise):
        return early("wrong", Finding("hint", problem))

    for seed in rounds:
        cases, ours = _cases(exercise, seed), _ours(exercise, seed)
        outcomes = map(_of_sensible_size, player.outcomes(exercise, cases), ours(exercise.reference, cases, exercise.parameters))
        given = judge(exercise, cases, list(outcomes), ours)
        if given.state != "right":
            return given if seed == 0 else _without_inputs(given, exercise)
    tried = len(_cases(exercise, 0)) + sum(len(_cases(exercise, seed)) for seed in rounds)
    return replace(given, findings=(Finding("right", f"right on {tried} inputs, most of them drawn for grading"),
                                    *(Finding("right", p.name) for p in exercise.properties)))


def _of_sensible_size(given: Outcome, expected: Outcome) -> Outcome:
    """The outcome, without an answer so large that to compare it, some pairs of its numbers, would take the judge's memory."""
    if _size(given.value) <= 1000 + 10 * _size(expected.value):
        return given
    return replace(given, value=None, error="an answer that is far too large")


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return math.prod(n or 1 for n in value.shape)
    if isinstance(value, dict):
        return sum(map(_size, [*value, *value.values()]))
    return 1 + sum(map(_size, value)) if isinstance(value, tuple | list) else len(value) if isinstance(value, str) else 1


def _without_inputs(given: Verdict, exercise: Exercise) -> Verdict:
    """A verdict on hidden inputs, without anything that an answer or an error could have carried out."""
    said = next((m.says for m in exercise.misconceptions if m.name == given.misconception), None)
    return replace(given, findings=(
        *([Finding("hint", said)] if said else []),
        Finding("wrong", "right on the inputs that the notebook's check draws, and wrong on others of the same kind, drawn for "
                         "grading and not shown. Does your answer hold for every input, or for those alone that you saw?")))


def _cannot_be_called(tree: ast.stmt, exercise: Exercise) -> str | None:
    """Whether its signature takes the arguments: asked of a function of that signature without a body."""
    if not isinstance(tree, ast.FunctionDef | ast.ClassDef):
        return None
    if isinstance(tree, ast.ClassDef) != (exercise.asks_for == "class"):
        return exercises.MIXED_UP[exercise.asks_for].format(exercise.name)
    first = ["self"] if isinstance(tree, ast.ClassDef) else []
    if first:
        tree = method(tree, "forward")
        if tree is None:
            return None  # perhaps it is inherited
    arguments = ast.parse(f"def f({ast.unparse(tree.args)}): ...").body[0].args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument:
            argument.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    space: dict[str, Any] = {}
    try:
        exec(f"def f({ast.unparse(arguments)}): ...", {}, space)  # names and commas alone
        inspect.signature(space["f"]).bind(*first, *exercise.inputs)
    except TypeError:
        return exercises.cannot_be_called(exercise, f"({ast.unparse(tree.args)})")
    except SyntaxError:
        pass  # a name twice, or one that cannot be assigned to: Python says so when it is run
    return None


def hidden_seed(secret: str, name: str, number: int) -> int:
    """A seed that follows from the secret alone."""
    return int.from_bytes(hmac.digest(secret.encode(), f"{name} {number}".encode(), "sha256")[:6], "big")


@functools.lru_cache(256)
def _cases(exercise: Exercise, seed: int) -> list[Case]:
    return exercise.cases(seed)


@functools.lru_cache(256)
def _ours(exercise: Exercise, seed: int):
    """What gives the outcomes of the course's functions on these inputs, each worked out once."""
    outcomes = functools.cache(lambda function: verdicts.call_ours(function, _cases(exercise, seed), exercise.parameters))
    return lambda function, cases, parameters: outcomes(function)


@functools.cache
def version(notebook: str) -> str:
    """Changes with whatever a verdict on this notebook depends on, or with "" that it could not be read."""
    found: set[ModuleType] = set()
    asked = exercises.of_notebook(notebook)
    named = [fresh(arg) for e in asked for case in _cases(e, 0) for arg in case.args if isinstance(arg, Named)]
    queue = [verdicts, submission, *map(inspect.getmodule, [*named, *(f for e in asked for f in (e.draw, e.reference))])]
    while queue:  # and all of the course that they import
        module = queue.pop()
        if module not in found and module.__name__.startswith("course_utils"):
            found.add(module)
            names = [v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in vars(module).values()]
            queue += [sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules]
    text = "".join(sorted(Path(inspect.getfile(m)).read_text("utf-8") for m in found))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _all_ready(servers: list[Forked]) -> list[Forked]:
    try:
        return [one.ready() for one in servers]
    except LevelUnavailable:
        for one in servers:
            one.close()
        raise


def start(level: str, number: int) -> list[Forked | Spawned]:
    """Servers of that level; "auto" takes the best that this machine has, and never the reduced one by itself."""
    if level == "reduced":
        return [Spawned()] * number
    problems = []
    for one in ("full", "container") if level == "auto" else (level,):
        try:
            if sys.platform != "linux":
                raise LevelUnavailable(f"level {one}: needs Linux.")
            return _all_ready([Forked(one) for _ in range(number)])
        except LevelUnavailable as problem:
            problems.append(str(problem))
    raise LevelUnavailable(" ".join(problems) + " With --level reduced, submissions run in a process of their own under a time "
                           "limit, and can read and write what you can: only where you trust those who wrote them.")
