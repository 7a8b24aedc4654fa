"""Calling a student's function: every failure becomes an `Outcome`, and a call that does not end is ended."""

from __future__ import annotations

import contextlib
import ctypes
import io
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .declare import Case, Outcome


class Stopped(BaseException):
    """Raised inside a call that took too long. No ``except Exception`` catches it."""


# print() borrows sys.stdout without holding it: what a thread that could not be stopped prints to must stay alive.
_never_ended: list[io.TextIOBase] = []


class Counter(io.TextIOBase):
    """Swallows what is printed and keeps count."""

    def __init__(self):
        self.length = 0

    def write(self, text: str) -> int:
        self.length += len(text)
        return len(text)


def _own(value: Any) -> Any:
    """The value by itself: detached, and out of reach of later calls."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return type(value)(map(_own, value)) if type(value) in (tuple, list) else value


def _students_trace(error: BaseException) -> str:
    """The traceback from the student's own function on, without the frames that called it."""
    lines = traceback.format_exception(type(error), error, error.__traceback__.tb_next)
    return "".join(lines if len(lines) <= 14 else [*lines[:6], "  ...\n", *lines[-6:]]).rstrip()


def _call(function: Callable, case: Case, parameters: Sequence[str], printed: Counter) -> Outcome:
    args, before = case.fresh_args(), printed.length
    try:
        value = _own(function(*args))
    except Stopped:
        raise
    except BaseException as error:  # noqa: BLE001  a student's exit() must not end the notebook
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Outcome(error=message, trace=_students_trace(error), printed=printed.length - before)
    changed = tuple(name for name, given, now in zip(parameters, case.args, args)
                    if isinstance(given, Tensor) and not torch.equal(given, now))
    return Outcome(value, changed=changed, printed=printed.length - before)


def call_all(function: Callable, cases: Sequence[Case], parameters: Sequence[str], seconds: float) -> list[Outcome]:
    """The outcomes of the calls, in order. Where the time runs out, the last outcome is late and the rest is missing.

    The calls run in a thread of their own, so that one that does not end can be stopped on every system.
    """
    outcomes: list[Outcome] = []
    printed = Counter()

    def work():
        with contextlib.suppress(Stopped):
            for case in cases:
                outcomes.append(_call(function, case, parameters, printed))

    worker = threading.Thread(target=work, daemon=True)
    with contextlib.redirect_stdout(printed):
        worker.start()
        with contextlib.suppress(KeyboardInterrupt):
            worker.join(seconds)
        if not worker.is_alive():
            return outcomes
        done = list(outcomes)
        _stop(worker)
    if worker.is_alive():
        _never_ended.append(printed)
    return [*done, Outcome(late=True)]


def _stop(worker: threading.Thread) -> None:
    """Raise `Stopped` inside the thread. A loop around a bare except may swallow it many times: try for a second."""
    for _ in range(500):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(Stopped))
        worker.join(0.002)
        if not worker.is_alive():
            return
