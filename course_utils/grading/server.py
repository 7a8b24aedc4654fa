"""The server forks a child for each exercise of each submission, and shuts it in; what the child does is in `player`.

The server itself reads nothing of a submission: the judge hands it one end of a socket, which only the child opens. It is
started by `children.Forked` and `children.Spawned`, as ``python -m course_utils.grading.server``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
from pathlib import Path

from . import jail

MEMORY = 1 << 30  # bytes, beside what the libraries take
OUTPUT = 16 << 20  # bytes of a file


def serve(level: str, control: socket.socket, scratch: Path, cpu_seconds: int) -> None:
    """Wait for sockets, and fork a child for each, until the judge is gone.

    The judge sends b"f" and the child's socket. While the child lives, b"t" asks for the processor time that it has used;
    b"k" ends it and asks for its exit status. An error before the first child is reported in place of the word "ready".
    """
    jail.require_machine()
    package = Path(__file__).resolve().parents[1]
    code = [Path(prefix, lib) for prefix in (sys.prefix, sys.base_prefix) for lib in ("lib", "lib64")]
    code = [package, *(path for path in code if path.exists())]
    own_uid = os.getuid() == 0 and all(map(jail.others_can_read, code))
    if level == "container" and os.getuid():
        raise jail.Unavailable("not root, so the child would run as whoever runs the grader")
    if level == "container" and not own_uid:
        names = ", ".join(map(str, code))
        raise jail.Unavailable(f"one of {names} cannot be read by other users, and the child is one")
    uid = jail.UID + os.getpid() % 3000  # another server's child could end this one's, had it the same
    if level == "full":
        jail.namespaces(user=not own_uid)  # before torch, which may start threads
        jail.disk(scratch)
    from . import player
    player.load()
    if level == "full":
        jail.read_only()
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    memory = jail.memory_in_use() + MEMORY
    readable = _readable(level, package, code)
    nothing = os.open(os.devnull, os.O_RDWR)
    control.sendall(b"ready\n")
    while True:
        try:
            request, fds, *_ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            return
        if not request:
            return
        if level == "full":
            jail.disk(scratch)
            jail.alone(own)
        child = os.fork()
        if not child:
            try:
                os.setsid()  # a signal to its group reaches nobody else
                for fd in range(3):
                    os.dup2(nothing, fd)
                os.dup2(fds[0], 3)
                os.closerange(4, os.sysconf("SC_OPEN_MAX"))
                os.chdir(scratch)
                if readable:
                    jail.files(readable, [scratch, Path("/dev/null")])
                if own_uid:
                    jail.become(uid)
                jail.drop_capabilities()
                # At the level "container" there is no disk of its own to fill.
                jail.limits(cpu_seconds, memory, OUTPUT if level == "full" else 0)
                jail.system_calls()
                player.play(open(3, "rb"), open(os.dup(3), "wb"))
            finally:
                os._exit(0)
        os.close(fds[0])
        while (request := control.recv(1)) == b"t":
            control.sendall(struct.pack("d", jail.cpu_seconds(child)))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if level != "full":
            jail.empty(scratch)
        with contextlib.suppress(BrokenPipeError):
            control.sendall(struct.pack("i", status))


def _readable(level: str, package: Path, code: list[Path]) -> list[Path]:
    """What a child may open: the libraries, without exercises and grader. Nothing where there is no Landlock to say so."""
    hidden = [package / "exercises", package / "grading"]
    system = [Path(p) for p in ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom")]
    try:
        jail.landlock_version()
    except jail.Unavailable:
        if level == "full":
            raise
        for path in hidden:
            if path.exists() and jail.others_can_read(path):
                raise jail.Unavailable(f"no Landlock, and every user can read {path}: chmod -R go= {path}") from None
        return []
    kept_out = {path.resolve() for path in hidden}
    return [part for path in [*code, *system] for part in jail.without(path.resolve(), kept_out)]


def main(level: str, cpu_seconds: str, fd: str = "", scratch: str = "") -> None:
    if level == "reduced":  # no fork on Windows: one process a child, and the judge's time limit
        from . import player
        player.load()
        source, to = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.chdir(scratch)
        player.play(source, to)
        return
    control = socket.socket(fileno=int(fd))
    try:
        serve(level, control, Path(scratch), int(cpu_seconds))
    except jail.Unavailable as problem:
        control.sendall(f"{problem}\n".encode())
    os._exit(0)  # tearing torch down takes a second


if __name__ == "__main__":
    main(*sys.argv[1:])
