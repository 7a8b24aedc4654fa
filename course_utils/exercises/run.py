"""Calling a student's function: every failure becomes an `Outcome`, and a call that does not end is ended."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from . import derivatives
from .declare import Case, Other, Outcome, unchanged
from .derivatives import Differentiated
from .watch import Watch, intact, unlink_watches


class Stopped(BaseException):
    """Raised inside a call that took too long. No ``except Exception`` catches it."""


class NotAsGiven(Exception):
    """An instance that the numbers of a case do not fit: what is different about it."""


# Threads that could not be stopped, and what they print to: print() borrows sys.stdout without holding it.
_never_ended: dict[threading.Thread, io.TextIOBase] = {}


class Counter(io.TextIOBase):
    """Swallows what is printed and keeps count."""

    def __init__(self):
        self.length = 0

    def write(self, text: str) -> int:
        self.length += len(text)
        return len(text)


def _plain(value: Any) -> Any:
    """The value as plain data: tensors detached and out of reach of later calls, the type's name of all else."""
    if isinstance(value, Tensor):
        with torch._C.DisableTorchFunctionSubclass():  # a subclass answers for itself, also to a comparison
            value = value.detach().clone()
            return value if type(value) is Tensor else value.as_subclass(Tensor)
    if isinstance(value, tuple | list):
        return (tuple if isinstance(value, tuple) else list)(map(_plain, value))
    if type(value) is dict:
        return {key: _plain(part) for key, part in value.items()}
    return value if value is None or type(value) in (bool, int, float, str) else Other(type(value).__name__)


# Their entries in a traceback say nothing of the student's own lines.
CALLERS = {__file__, derivatives.__file__, inspect.getfile(nn.Module)}


def message(error: BaseException) -> str:
    """The exception's type and text, at most 1000 characters of it."""
    try:
        text = str(error)[:1000]
    except BaseException:  # noqa: BLE001  a student's exception may have a __str__ that raises
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _students_trace(error: BaseException) -> str:
    """The traceback from the student's own function on, without the frames that called it."""
    _unlink_watches(error)
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename in CALLERS:
        frames = frames.tb_next
    lines = [line[:1000] for line in traceback.format_exception(type(error), error, frames)]
    return "".join(lines if len(lines) <= 14 else [*lines[:6], "  ...\n", *lines[-6:]]).rstrip()


def _unlink_watches(error: BaseException) -> None:
    """In no traceback, of the error or of those before it, does an entry tell that the call was watched."""
    todo, seen = [error], set()
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            unlink_watches(each.__traceback__)
            todo += [each.__cause__, each.__context__]


def _called(function: Callable, args: list[Any], names: Sequence[str], wanted: Differentiated | None) -> Any:
    """What a function returns; of a class, what ``forward`` of an instance made with these options and numbers does. With
    ``wanted``, the derivatives of that."""
    if not inspect.isclass(function):
        return _answer(function, args, names, {}, wanted)
    options, parameters, *inputs = args
    with torch.random.fork_rng(devices=[]):  # what __init__ draws would move every random number after the check
        layer = function(**options)
        if fault := _not_as_given(layer, parameters):
            raise NotAsGiven(fault)
        layer.load_state_dict(parameters, assign=True)  # in their precision
        return _answer(layer, inputs, names[2:], dict(layer.named_parameters()), wanted)


def _answer(function: Callable, args: list[Any], names: Sequence[str], parameters: dict[str, Tensor],
            wanted: Differentiated | None) -> Any:
    if wanted is None:
        return function(*args)
    return derivatives.of_call(function, dict(zip(names, args)), parameters, wanted)


def _not_as_given(layer: Any, parameters: dict[str, Tensor]) -> str | None:
    """What distinguishes a student's instance from one whose ``__init__`` is as given; None where nothing does."""
    if not isinstance(layer, nn.Module):
        return "an instance that is no nn.Module. The first line of the class is given: put it back as it was."
    if type(layer).forward is nn.Module.forward:
        return "no method `forward`, which is what the exercise asks for. Put it back as the cell above had it."
    theirs = {name: tuple(part.shape) for name, part in layer.state_dict().items()}
    faults = [f"{name} is missing" for name in parameters if name not in theirs]
    faults += [f"{name} is one too many" for name in theirs if name not in parameters]
    faults += [f"{name} has shape {theirs[name]}, not {tuple(part.shape)}" for name, part in parameters.items()
               if name in theirs and theirs[name] != part.shape]
    if not faults:
        return None
    more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
    return (f"other parameters than the exercise has: {'; '.join(faults[:5])}{more}. __init__ is given: put it back as it was, "
            "and write forward alone.")


MIXED_UP = {"function": "Your `{0}` is a class; expected a function: write it with def.",
            "class": "Your `{0}` is a function; expected the class of the cell above, with its `__init__` as given."}


def could_be_asked(value: Any, asks_for: str) -> bool:
    """Whether a value that has an exercise's name is meant as an answer, if perhaps a class in place of a function."""
    return inspect.isclass(value) or (callable(value) and not (asks_for == "class" and isinstance(value, nn.Module)))


def cannot_be_asked(function: Callable, asks_for: str, name: str, inputs: Sequence[str]) -> str | None:
    """Why a function, or a class by its ``forward``, does not take what it is called with; None where it does."""
    if inspect.isclass(function) != (asks_for == "class"):
        return MIXED_UP[asks_for].format(name)
    method, first = "", []
    if asks_for == "class":
        function, method, first = getattr(function, "forward", None), ".forward", ["self"]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # what has no signature, or no forward, says so when it is called
    try:
        signature.bind(*first, *inputs)
    except TypeError:
        return (f"Your `{name}{method}{signature}` cannot be called with {len(inputs)} arguments; expected "
                f"({', '.join([*first, *inputs])}).")
    return None


def call_once(function: Callable, case: Case, parameters: Sequence[str], printed: Counter,
              reference: Callable | None = None, wanted: Differentiated | None = None) -> Outcome:
    """What one call did. What it prints has to go to ``printed``.

    With a reference, ``taken`` says whether the call took the answer from there. With ``wanted``, the outcome's value
    are the answer's derivatives, as `derivatives.of_call` has them.
    """
    if reference is None:
        return _outcome(function, case, parameters, printed, wanted)
    with Watch(reference, _never_ended) as watch:
        outcome = _outcome(function, case, parameters, printed, wanted)
    return replace(outcome, taken=watch.taken or watch.is_reference(function))


def _outcome(function: Callable, case: Case, parameters: Sequence[str], printed: Counter,
             wanted: Differentiated | None) -> Outcome:
    args, before = case.fresh_args(), printed.length
    try:
        value = _plain(_called(function, args, parameters, wanted))
    except Stopped:
        raise
    except NotAsGiven as fault:
        return Outcome(error=str(fault)[:1000], printed=printed.length - before)
    except BaseException as error:  # noqa: BLE001  a student's exit() must not end the notebook
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # from the keyboard, while the course's own function ran
        return Outcome(error=message(error), trace=_students_trace(error), printed=printed.length - before)
    changed = tuple(name for name, given, now in zip(parameters, case.args, args) if not unchanged(given, now))
    return Outcome(value, changed=changed, printed=printed.length - before)


def call_ours(function: Callable, cases: Sequence[Case], parameters: Sequence[str],
              wanted: Differentiated | None = None) -> list[Outcome]:
    """The outcomes of a function of the course's own, which needs no watching."""
    return [call_once(function, case, parameters, Counter(), wanted=wanted) for case in cases]


_one_at_a_time = threading.Lock()


def call_all(function: Callable, cases: Sequence[Case], parameters: Sequence[str], seconds: float,
             reference: Callable | None = None, wanted: Differentiated | None = None) -> list[Outcome]:
    """The outcomes of the calls, in order, as `call_once` has them. When they have used ``seconds`` of processor time, the
    last one is late and the rest are missing.

    The calls run in a thread of their own, so that one that does not end can be stopped on every system.
    Raises RuntimeError when it is called while it runs.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("a check is running already. Does check(...) stand inside the function? Move it out.")
    outcomes: list[Outcome] = []
    printed, ended = Counter(), threading.Event()

    def work():
        with contextlib.suppress(Stopped):  # it may come once more while the first is handled
            try:
                with contextlib.suppress(Stopped):
                    for case in cases:
                        if worker in _never_ended:
                            break
                        outcomes.append(call_once(function, case, parameters, printed, reference, wanted))
            finally:
                ended.set()

    worker = threading.Thread(target=work, daemon=True)
    try:
        with intact(reference), contextlib.redirect_stdout(printed):
            worker.start()
            try:
                # Not join: up to Python 3.12 an interrupted join takes a thread that runs for one that has ended.
                if _in_time(ended, seconds):
                    return outcomes
                last = Outcome(late=True)
            except KeyboardInterrupt:
                last = Outcome(error="KeyboardInterrupt: you interrupted the check")
            done = list(outcomes)
            _stop(worker)
    finally:
        if worker.is_alive() and not ended.is_set():
            _never_ended[worker] = printed
        _one_at_a_time.release()
    return [*done, last]


PATIENCE = 3  # times the seconds that calls may use, by the clock: on a busy machine most of them go to others


def _in_time(ended: threading.Event, seconds: float) -> bool:
    """Whether it is set before this process has used so many seconds of processor time."""
    until, used_up = time.monotonic() + PATIENCE * seconds, time.process_time() + seconds
    while not ended.wait(max(used_up - time.process_time(), 0.05)):
        if time.process_time() > used_up or time.monotonic() > until:
            return False
    return True


def _stop(worker: threading.Thread) -> None:
    """Raise `Stopped` inside the thread. Once is enough for most loops; one around a bare except swallows it many times,
    and is tried for a second more."""
    for wait in [0.1] * 3 + [0.002] * 500:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(Stopped))
        end = time.monotonic() + wait
        while worker.is_alive() and time.monotonic() < end:
            time.sleep(0.001)
        if not worker.is_alive():
            return
