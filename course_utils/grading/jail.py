"""Shutting a process in, with what Linux gives to everyone. What each part keeps out:

    namespaces     other processes, the network, shared memory; a small disk of its own for each child, all others read-only
                   (Landlock lets through what changes a file without opening it, such as chmod)
    files          (Landlock) every file outside a list; without it in the list, nothing can be opened
    system calls   (seccomp) new processes and programs, sockets, tracing, priorities: refused with EPERM
    limits         CPU time, memory, size of files, number of open files and of threads
    capabilities   what root may do, or may in namespaces of its own
    own uid        files and processes of whoever runs the grader; needs root, and a library that others may read

None can be taken back from inside. Sources: the manual pages unshare(2), landlock(7), seccomp(2), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import platform
import stat
import struct
import time
from collections.abc import Iterable
from pathlib import Path

UID = 61_700  # of no one, as are the next 3,000

try:
    import resource
    libc = ctypes.CDLL(None, use_errno=True)
except (ImportError, TypeError):  # Windows, where only the level "reduced" runs
    libc = None


class Unavailable(RuntimeError):
    """This system does not give what a level needs."""


def _call(name: str, *args) -> int:
    result = getattr(libc, name)(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# Namespaces ----------------------------------------------------------------------------------------------------------

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
PRIVATE, NOSUID, NODEV, DETACH = 1 << 18 | 1 << 14, 2, 4, 2  # of every mount below; no setuid programs; no devices; lazily
MOUNT_SETATTR, HERE, RECURSIVE, READ_ONLY = 442, -100, 0x8000, 1
NO_NEW_PRIVILEGES, SECCOMP = 38, 22  # prctl's


def namespaces(*, user: bool) -> None:
    """Go into new namespaces, and become the first process in them.

    The caller is forked: the parent only waits, and ends with the child's exit code. What the first process leaves
    behind when it ends, the kernel ends. With ``user``, root is not needed. Needs a process of one thread.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        _call("unshare", NEWNS | NEWIPC | NEWPID | NEWNET | (NEWUSER if user else 0))
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        _call("mount", None, b"/", None, PRIVATE, None)
    except OSError as error:
        raise Unavailable(f"no namespaces of its own ({error})") from None
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def read_only() -> None:
    """From now on every disk is."""
    _call("syscall", MOUNT_SETATTR, HERE, b"/", RECURSIVE, struct.pack("QQQQ", READ_ONLY, 0, 0, 0), 32)


def disk(folder: Path, megabytes: int = 64) -> None:
    """A new disk in memory at a folder, in place of the one before, so that nothing tells of who wrote on that."""
    if os.path.ismount(folder):
        _call("umount2", bytes(folder), DETACH)
    options = f"size={megabytes}m,nr_inodes=10k,mode=777"
    _call("mount", b"tmpfs", bytes(folder), b"tmpfs", NOSUID | NODEV, options.encode())


def alone(own: int) -> None:
    """The next fork sees no process but itself: it could lower the limits of any that has its uid. ``own`` is this one's
    open /proc/self/ns/pid, since the way to a second such namespace leads through it."""
    _call("setns", own, NEWPID)
    _call("unshare", NEWPID)


# Files ---------------------------------------------------------------------------------------------------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}


def landlock_version() -> int:
    """Which version of Landlock this system has. Unavailable where it has none."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        raise Unavailable("no Landlock, which is in Linux from 5.13 on and may be switched off")
    return version


def files(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """From now on only these can be opened, folders with all that is below."""
    version = landlock_version()
    everything = ALL_BY_VERSION[min(version, 3)]
    scopes = 3 if version >= 6 else 0  # abstract sockets and signals stay inside, too
    ruleset = struct.pack("QQQ", everything, 3 if version >= 4 else 0, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset_fd = _call("syscall", CREATE_RULESET, ruleset, size, 0)

    def allow(path: Path, access: int) -> None:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return  # it is not there, or a link to nowhere
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= READ_FILE | WRITE_FILE | 1 << 14
        _call("syscall", ADD_RULE, ruleset_fd, 1, struct.pack("=Qi", access & everything, fd), 0)
        os.close(fd)

    for path in readable:
        allow(path, READ_FILE | READ_DIR)
    for path in writable:
        allow(path, everything)
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("syscall", RESTRICT_SELF, ruleset_fd, 0)
    os.close(ruleset_fd)


def without(path: Path, hidden: set[Path]) -> list[Path]:
    """The path, or where something hidden is below it, what lies beside that: a rule cannot be taken back further down."""
    if path in hidden:
        return []
    if not any(path in one.parents for one in hidden):
        return [path]
    return [part for child in path.iterdir() for part in without(child.resolve(), hidden)]


# System calls --------------------------------------------------------------------------------------------------------

# On x86_64 and on aarch64, from the kernel's tables; None where there is none.
CALLS = {
    "socket": (41, 198), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97),
    "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "memfd_create": (319, 279),
    "socketpair": (53, 199), "memfd_secret": (447, 447), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "fanotify_init": (300, 262), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122)}
CLONE, CLONE3, AS_THREAD = (56, 220), (435, 435), 0x10000
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, and the kernel's number for it
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
KILL, ALLOW, REFUSE = 0x80000000, 0x7FFF0000, 0x00050000


def require_machine() -> None:
    """Unavailable where `system_calls` has no list: to be asked before there is a child, which could not say so."""
    if platform.machine() not in MACHINES:
        raise Unavailable(f"no list of system calls for {platform.machine()}")


def system_calls() -> None:
    """From now on a new process, program, socket or tracer is refused. Threads are not."""
    column, machine = MACHINES[platform.machine()]
    program = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if column == 0:
        program += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # a second set of numbers, x32
    for number in (numbers[column] for numbers in CALLS.values()):
        if number is not None:
            program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    program += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]  # so that libc takes clone, below
    program += [(EQUAL, 0, 3, CLONE[column]), (LOAD, 0, 0, FIRST_ARGUMENT), (ANY_OF, 1, 0, AS_THREAD),
                (RETURN, 0, 0, REFUSE | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    try:
        _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _call("prctl", SECCOMP, 2, filters, 0, 0)
    except OSError as error:
        raise Unavailable(f"no filter of system calls ({error})") from None


# Limits and the uid --------------------------------------------------------------------------------------------------

def memory_in_use() -> int:
    """The bytes of address space that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limits(cpu_seconds: int, memory: int, file: int) -> None:
    """At most so many bytes of address space and of a file, 64 open files, 256 threads, no core dump."""
    for name, value in (("CPU", cpu_seconds), ("AS", memory), ("FSIZE", file), ("NOFILE", 64), ("NPROC", 256), ("CORE", 0)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def drop_capabilities() -> None:
    """Whoever makes a user namespace has all of them in it."""
    _call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))


def become(uid: int) -> None:
    """Give up being root for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def others_can_read(path: Path) -> bool:
    """Whether any user can go down to this folder and list it."""
    return all(p.stat().st_mode & 0o1 for p in (path, *path.parents)) and bool(path.stat().st_mode & 0o4)


def cpu_seconds(process: int) -> float:
    """The processor time that a process has used. Its clock is ``~pid << 3 | 2``: clock_getcpuclockid(3)."""
    return time.clock_gettime(~process << 3 | 2)


def empty(folder: Path) -> None:
    """Remove what is in a folder, however deep, and what was written on it. What a folder holds is moved up before it goes:
    `shutil.rmtree` calls itself, and holds a file open, for each level."""
    os.chmod(folder, 0o777)
    os.utime(folder, (0, 0))
    for name in os.listxattr(folder) if hasattr(os, "listxattr") else ():
        os.removexattr(folder, name)
    numbers = itertools.count()
    while left := list(folder.iterdir()):
        for path in left:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
                continue
            path.chmod(0o700)
            for inner in path.iterdir():
                inner.rename(next(place for i in numbers if not os.path.lexists(place := folder / str(i))))
            path.rmdir()
