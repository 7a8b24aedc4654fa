"""The processes that run submissions, as the judge sees them: servers, and the children that they fork (see `server`)."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from . import submission, wire

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LEVELS = ("full", "container", "reduced")
START_SECONDS = 60.0  # for a child's greeting, which at the level reduced is for Python itself to start
CONTROL_SECONDS = 120.0  # for a server's reply, which takes milliseconds
REQUEST = submission.LARGEST + wire.LIMIT  # bytes of what a child is asked, a notebook among it
STARTS = 3  # of a server, which something else may end meanwhile
PREFIX = "course-scratch-"
LOCKED_WITHIN = 60.0  # seconds from when a scratch folder is made


class LevelUnavailable(RuntimeError):
    """This machine cannot shut submissions in as asked."""


class Late(Exception):
    """No answer came in time; the child is gone."""


class Died(Exception):
    """The child ended, or broke off the conversation; how, as a sentence goes on."""


class ServerDied(Exception):
    """The server is gone, and with it the child; another has to take its place."""


# A child -------------------------------------------------------------------------------------------------------------

class Child:
    """A process that answers requests. One that takes too long is ended.

    ``end()`` ends it and returns its exit status; ``used()`` is the processor time in seconds that it has used, or None
    where the system does not say.
    """

    def __init__(self, source: BinaryIO, to: BinaryIO, end: Callable[[], int], used: Callable[[], float | None]):
        self._source, self._to, self._end, self._used = source, to, end, used
        self._lock, self._status = threading.Lock(), None  # the thread that watches and the one that asks both end it
        self._over: Callable[[], bool] = lambda: False
        self._late, self._closed, self._number = False, threading.Event(), 0
        self.took = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def greet(self) -> Child:
        """Wait until it is there. ServerDied where it never comes, which is no fault of a submission."""
        try:
            with self.within(START_SECONDS, 1):
                next(self.ask(None, 1))
        except (Late, Died):
            self.close()
            raise ServerDied("no process could be started") from None
        return self

    def _ended(self) -> int:
        with self._lock:
            if self._status is None:
                self._status = self._end()
            return self._status

    def _processor_time(self) -> float | None:
        with self._lock:
            return self._used() if self._status is None else None

    def _watch(self) -> None:
        while not self._closed.wait(0.05):
            try:
                if self._over():
                    self._late = True
                    self._ended()
                    return
            except ServerDied:
                return  # whoever waits for an answer meets the same

    @contextlib.contextmanager
    def within(self, seconds: float, patience: float) -> Iterator[None]:
        """End the child when it has used so much processor time, or when ``patience`` times as many seconds have passed: on a
        busy machine most of them go to others. What waits for it then raises `Late`. ``took`` is what it has used."""
        start, before = time.monotonic(), self._processor_time()

        def over() -> bool:
            passed = time.monotonic() - start
            if passed < seconds:
                return False
            used = self._processor_time()
            return passed > patience * seconds or (used is not None and used - before > seconds)

        self._over = over
        try:
            yield
        finally:
            self._over = lambda: False
            after = self._processor_time()
            passed = time.monotonic() - start
            used = min(passed, seconds) if after is None else after - before
            self.took = max(used, passed / patience)  # sleep is not free

    def ask(self, request: dict[str, Any] | None, replies: int, limit: int = wire.LIMIT) -> Iterator[dict[str, Any]]:
        """The replies, as they come; without a request, the greeting. Raises Late or Died, and then the child is gone."""
        try:
            if request:
                wire.send(self._to, request | {"number": self._number}, limit)
            for _ in range(replies):
                reply = wire.receive(self._source)
                if not isinstance(reply, dict) or type(reply.get("number")) is not int or reply["number"] != self._number:
                    raise wire.Malformed("no reply to what was asked")
                self._number += 1
                yield reply
        except (EOFError, OSError, ValueError) as problem:
            status = self._ended()
            if self._late:
                raise Late from None
            if isinstance(problem, wire.Malformed):
                raise Died(BROKEN_OFF) from None
            raise Died(_how_it_ended(status)) from None

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(ServerDied):
            self._ended()
        for stream in (self._source, self._to):
            with contextlib.suppress(OSError):
                stream.close()


BROKEN_OFF = "broke off the conversation with the grader"
KILLED = "ended Python, or was ended"
ENDINGS = {"SIGSEGV": "crashed Python (is there a recursion without end?)", "SIGXCPU": "used up its processor time",
           "SIGKILL": KILLED}


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status) if os.name == "posix" else status
    if code >= 0:
        return f"ended Python with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
    return ENDINGS.get(name, f"ended Python with {name}")


def out_of_memory() -> bool:
    """Whether the system has ended a process for want of memory since this was asked last."""
    global _oom_kills
    try:
        counters = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return False
    kills = next((line for line in counters if line.startswith("oom_kill ")), "")
    before, _oom_kills = _oom_kills, kills
    return kills != before


_oom_kills = ""

# Servers -------------------------------------------------------------------------------------------------------------

class Forked:
    """A server of the levels "full" and "container". It is there once `ready` has returned."""

    def __init__(self, level: str, cpu_seconds: float):
        self.level, self._cpu_seconds = level, cpu_seconds
        self._folder = Scratch()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(CONTROL_SECONDS)
        command = [sys.executable, "-m", "course_utils.grading.server", level, str(int(cpu_seconds)), str(theirs.fileno()),
                   str(self._folder.path)]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_environment(self._folder.path), cwd="/",
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        theirs.close()

    def ready(self) -> Forked:
        """Wait until it is. LevelUnavailable, with the reason, where this machine has not what the level needs; ServerDied where
        it ended without a word."""
        try:
            said = self._control.recv(4096).decode().strip()
        except OSError:
            said = ""
        if said == "ready":
            return self
        self._server.kill()
        problem = self._server.communicate()[1][-500:].strip()
        self.close()
        if said:
            raise LevelUnavailable(f"level {self.level}: {said}.")
        raise ServerDied(problem or "it did not say why")

    def anew(self) -> Forked:
        """Another server in place of this one."""
        self.close()
        return _ready(Forked(self.level, self._cpu_seconds))

    def _asked(self, what: bytes, form: str) -> Any:
        """The server's reply to one byte."""
        try:
            self._control.sendall(what)
            reply = self._control.recv(struct.calcsize(form), socket.MSG_WAITALL)
            return struct.unpack(form, reply)[0]
        except (OSError, struct.error):
            raise ServerDied("the server of this submission ended") from None

    def child(self) -> Child:
        """A fresh child, which has said that it is there. Raises ServerDied."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise ServerDied("the server of this submission ended") from None
        end, used = (functools.partial(self._asked, what, form) for what, form in ((b"k", "i"), (b"t", "d")))
        child = Child(ours.makefile("rb"), ours.makefile("wb"), end, used)
        ours.close()
        return child.greet()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # the first process of the namespaces ends with it
        self._server.kill()
        self._server.wait()
        self._control.close()
        self._server.stderr.close()
        self._folder.remove()


class Spawned:
    """The level "reduced", for every system: another process, and a time limit. A submission can do what its user can."""

    level = "reduced"

    def ready(self) -> Spawned:
        return self

    def anew(self) -> Spawned:
        return self

    def child(self) -> Child:
        """A fresh child, which has said that it is there. Raises ServerDied."""
        folder = Scratch()
        process = subprocess.Popen([sys.executable, "-m", "course_utils.grading.server", "reduced", "0", "", str(folder.path)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=_environment(folder.path), start_new_session=os.name == "posix")

        def end() -> int:
            if process.poll() is None:
                process.kill()
            status = process.wait()
            with contextlib.suppress(OSError, AttributeError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started
            folder.remove()
            return status

        return Child(process.stdout, process.stdin, end, lambda: None).greet()

    def close(self) -> None:
        pass


def start(level: str, number: int, cpu_seconds: float) -> list[Forked | Spawned]:
    """Servers of that level; "auto" takes the best that this machine has, and never the reduced one by itself."""
    Scratch.clear()
    if level == "reduced":
        return [Spawned() for _ in range(number)]
    problems = []
    for candidate in ("full", "container") if level == "auto" else (level,):
        try:
            if sys.platform != "linux":
                raise LevelUnavailable(f"level {candidate}: needs Linux.")
            return _all_ready([Forked(candidate, cpu_seconds) for _ in range(number)])
        except LevelUnavailable as problem:
            problems.append(str(problem))
    raise LevelUnavailable(" ".join(problems) + " With --level reduced, submissions run in a process of their own under a time "
                           "limit, and can read and write what you can: only where you trust those who wrote them.")


def _ready(server: Forked) -> Forked:
    """The server, or another of its kind when it ends while it starts, once it is there."""
    for _ in range(STARTS):
        try:
            return server.ready()
        except ServerDied as died:
            problem, server = died, Forked(server.level, server._cpu_seconds)
    server.close()
    raise LevelUnavailable(f"level {server.level}: its server ended {STARTS} times while it started ({problem}).")


def _all_ready(servers: list[Forked]) -> list[Forked]:
    try:
        return [_ready(server) for server in servers]
    except LevelUnavailable:
        for server in servers:
            server.close()
        raise


def _environment(scratch: Path) -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "SYSTEMROOT", "LANG") if key in os.environ}
    return kept | threads | {
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",  # else a thread takes 64 MB
    }


class Scratch:
    """A folder for children to write in. Its owner holds a lock on it, so what a killed grader left is known as such."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.path.chmod(0o777)
        self._lock = os.open(self.path, os.O_RDONLY) if fcntl else None
        if fcntl:
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        remove_tree(self.path)

    @staticmethod
    def clear() -> None:
        """Remove the folders of graders that are gone."""
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if fcntl else ():
            with contextlib.suppress(OSError):
                lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if time.time() - os.fstat(lock).st_ctime > LOCKED_WITHIN:
                        remove_tree(path)
                finally:
                    os.close(lock)


def remove_tree(path: Path) -> None:
    """Remove a folder and what it holds, as far as that is possible."""
    from .jail import empty
    with contextlib.suppress(OSError):
        empty(path)
        path.rmdir()
