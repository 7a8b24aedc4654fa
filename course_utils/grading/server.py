"""The server forks a child for each submission; the child is shut in, and plays what the judge asks of it.

Neither knows a reference, a seed or an expected value, and the server itself reads nothing of a submission: the judge hands
it one end of a socket, which only the child opens. So there is nothing in memory, or in reach on disk, that a submission
could find. Started by `judge.Forked` and `judge.Spawned`, as ``python -m course_utils.grading.server``.
"""

from __future__ import annotations

import __future__ as future

import ast
import builtins
import contextlib
import importlib
import linecache
import os
import pkgutil
import signal
import socket
import struct
import sys
import types
from pathlib import Path
from typing import Any, BinaryIO

MEMORY = 1 << 30  # bytes, beside what the libraries take

# The child ----------------------------------------------------------------------------------------------------------


def play(source: BinaryIO, to: BinaryIO) -> None:
    """Greet the judge, and answer its requests until it hangs up: run statements, or call a function case by case."""
    from . import wire
    from ..exercises.declare import Case, Outcome
    from ..exercises.run import Counter, call_once
    main = types.ModuleType("__main__")
    vars(main).update(get_ipython=_Nothing())
    sys.modules["__main__"] = main
    sys.stdout = sys.stderr = printed = Counter()
    sys.stdin = open(os.devnull)
    builtins.input = lambda *args: ""

    def call(name: str, args: list[Any], parameters: list[str]) -> Outcome:
        if name not in vars(main):  # the note on the statement that failed says why
            return Outcome(error=f"NameError: name '{name}' is not defined")
        try:
            return call_once(vars(main)[name], Case("", *args), parameters, printed)
        except BaseException as error:  # noqa: BLE001  what even a notebook lets pass, such as an interrupt
            return Outcome(error=type(error).__name__)

    wire.send(to, {"number": 0})
    with contextlib.suppress(EOFError):
        while True:
            request = wire.receive(source)
            replies = ({"error": _run(main, *each, request["flags"])} for each in request["statements"]) if (
                "statements" in request) else (
                vars(call(request["call"], args, request["parameters"])) for args in request["cases"])
            for number, reply in enumerate(replies, start=request["number"]):
                try:
                    wire.send(to, reply | {"number": number})
                except ValueError as error:
                    wire.send(to, vars(Outcome(error=f"an answer that is too large ({error})")) | {"number": number})


class _Nothing:
    """Takes every magic command, and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any) -> Any:
        return self


def _run(main: types.ModuleType, cell: str, statement: int, name: str, flags: list[str]) -> str | None:
    """Run one statement of a cell, and say how it failed."""
    lines = cell.splitlines(keepends=True)
    linecache.cache[name] = len(cell), None, lines, name  # for tracebacks
    try:
        module = ast.Module([ast.parse(cell).body[statement]], [])
        code = compile(module, name, "exec", sum(getattr(future, flag).compiler_flag for flag in flags), dont_inherit=True)
        exec(code, vars(main))
    except BaseException as error:  # noqa: BLE001  an exit costs only what depends on it
        return f"{type(error).__name__}: {str(error)[:1000]}"
    return None


# What both start with -----------------------------------------------------------------------------------------------

def load() -> None:
    """Everything that a notebook imports, so that a fork has it; `check` and its kin do nothing here."""
    os.environ["MPLBACKEND"] = "agg"
    import torch

    import course_utils
    from . import wire  # noqa: F401
    from .. import exercises
    for module in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
        if module.name.split(".")[1] not in ("cli", "exercises", "grading"):
            with contextlib.suppress(ImportError):  # e3nn is an extra
                importlib.import_module(module.name)
    exercises.check = lambda *given: None
    exercises.yours = lambda function: function
    torch.set_num_threads(1)  # a fork of a process with two hangs in its first backward pass
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    torch.optim.Adam(layer.parameters()).step()


# The server ---------------------------------------------------------------------------------------------------------

def serve(level: str, control: socket.socket, scratch: Path, cpu_seconds: int) -> None:
    """Wait for sockets, and fork a child for each, until the judge is gone.

    The judge sends a byte and the child's socket; when it has done with the child it sends another byte, and gets the
    child's status back. An error before the first child is reported in place of the word "ready".
    """
    from . import jail
    jail.require_machine()
    package = Path(__file__).resolve().parents[1]
    code = [Path(prefix, lib) for prefix in (sys.prefix, sys.base_prefix) for lib in ("lib", "lib64")]
    code = [package, *(path for path in code if path.exists())]
    own_uid = os.getuid() == 0 and all(map(jail.others_can_read, code))
    if level == "container" and not own_uid:
        raise jail.Unavailable("not root, so the child would run as whoever runs the grader" if os.getuid() else
                               f"one of {', '.join(map(str, code))} cannot be read by other users, and the child is one")
    uid = jail.UID + os.getpid() % 3000  # another server's child could end this one's, had it the same
    if level == "full":
        jail.namespaces(scratch, user=not own_uid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load()
    if level == "full":
        jail.read_only(but=scratch)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    memory = jail.memory_in_use() + MEMORY
    hidden = [package / "exercises", package / "grading"]
    system = [Path(p) for p in ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom")]
    try:
        jail.files([*code, *system], [scratch, Path("/dev/null")], hidden)
    except jail.Unavailable:
        if level == "full":
            raise
        unhidden = [path for path in hidden if path.exists() and jail.others_can_read(path)]
        if unhidden:
            raise jail.Unavailable(f"no Landlock, and every user can read {unhidden[0]}: chmod -R go= {unhidden[0]}") from None
    nothing = os.open(os.devnull, os.O_RDWR)
    control.sendall(b"ready\n")
    while True:
        try:
            message, fds, *_ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            return
        if not message:
            return
        if level == "full":
            jail.alone(own)
        pid = os.fork()
        if not pid:
            try:
                for fd in range(3):
                    os.dup2(nothing, fd)
                os.dup2(fds[0], 3)
                os.closerange(4, os.sysconf("SC_OPEN_MAX"))
                os.chdir(scratch)
                if own_uid:
                    jail.become(uid)
                jail.drop_capabilities()
                jail.limits(cpu_seconds, memory, 16 << 20 if level == "full" else 0)  # else there is no disk of its own to fill
                jail.system_calls()
                play(open(3, "rb"), open(os.dup(3), "wb"))
            finally:
                os._exit(0)
        os.close(fds[0])
        control.recv(1)
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        jail.empty(scratch)
        with contextlib.suppress(BrokenPipeError):
            control.sendall(struct.pack("i", status))


def main(level: str, cpu_seconds: str, fd: str = "", scratch: str = "") -> None:
    if level == "reduced":  # no fork on Windows: one process a submission, and the judge's time limit
        load()
        source, to = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0), os.dup2(nothing, 1)
        os.chdir(scratch)
        return play(source, to)
    control = socket.socket(fileno=int(fd))
    from .jail import Unavailable
    try:
        serve(level, control, Path(scratch), int(cpu_seconds))
    except Unavailable as problem:
        control.sendall(f"{problem}\n".encode())
    os._exit(0)  # tearing torch down takes a second


if __name__ == "__main__":
    main(*sys.argv[1:])
