"""Who calls the library's own version of an answer, under whatever name: seen while the answer runs."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

import torch

_LIBRARY = str(Path(__file__).parents[1])
_TORCH = str(Path(torch.__file__).parent)
# These files call answers, so what they call is the student's. The exercises themselves may use the library.
_ENGINE = {str(Path(__file__).with_name(name)) for name in ("__init__.py", "derivatives.py", "run.py", "watch.py")}


def watched(reference: Callable) -> FunctionType:
    """The function whose calls tell that somebody takes the reference: itself, or a class's ``forward``.

    Raises ValueError if no other code can stand in for its own: it has to be a plain def, undecorated.
    """
    name = getattr(reference, "__name__", repr(reference))
    function = reference
    if inspect.isclass(reference):
        name = f"{name}.forward"
        function = vars(reference).get("forward")
    if not isinstance(function, FunctionType):
        raise ValueError(f"{name}, an exercise's reference, is a {type(function).__name__}; expected a "
                         "function written with def. Declare that one; rename the wrapped one.")
    if function.__code__.co_freevars or hasattr(function, "__wrapped__"):
        raise ValueError(f"{name}, an exercise's reference, is decorated, made inside of another function, "
                         "or uses super(), so nobody sees who calls it. Declare what does the work.")
    return function


class Watch:
    """While it is entered, ``taken`` becomes True as soon as anybody but the library calls the reference.

    The reference's code is exchanged, so that every name of it, alias, subclass and instance is seen. The
    nearest frame that is not torch's says who calls. Calls on ``other_threads`` do not count.
    """

    def __init__(self, reference: Callable, other_threads: Collection[threading.Thread] = ()):
        self._function, self._other_threads = watched(reference), other_threads
        self.taken = False
        own = self.own = _own_code(self._function)
        space, defaults = self._function.__globals__, self._function.__defaults__
        self._original = types.FunctionType(own, space, own.co_name, defaults)
        self._original.__kwdefaults__ = self._function.__kwdefaults__
        constants = tuple(self if isinstance(part, str) else part for part in _stand_in.__code__.co_consts)
        # With the original's name, file and line, inspect still finds its source.
        self._code = _stand_in.__code__.replace(
            co_consts=constants, co_name=own.co_name, co_qualname=own.co_qualname,
            co_filename=own.co_filename, co_firstlineno=own.co_firstlineno)

    def __enter__(self) -> Watch:
        self._function.__code__ = self._code
        return self

    def __exit__(self, *error: Any) -> None:
        if self._function.__code__ is self._code:  # else it was put back while the call went on
            self._function.__code__ = self.own

    def __call__(self, *args: Any, **options: Any) -> Any:
        caller = sys._getframe(1).f_back  # behind the code that stands in
        if threading.current_thread() not in self._other_threads and not _of_library(caller):
            self.taken = True
        return self._original(*args, **options)

    def is_reference(self, answer: Any) -> bool:
        """Whether the answer is the reference, or a function made of its code."""
        if inspect.isclass(answer):
            answer = getattr(answer, "forward", None)
        return answer is self._function or getattr(answer, "__code__", None) is self.own


def _stand_in(*args, **options):
    watch = "a Watch takes the place of this text"
    return watch(*args, **options)


def _of_library(frame: FrameType | None) -> bool:
    """Whether the nearest frame that is not torch's belongs to the library."""
    while frame and _inside(frame.f_code.co_filename, _TORCH):
        frame = frame.f_back
    if not frame:
        return False
    file = frame.f_code.co_filename
    return in_library(file) and file not in _ENGINE


def _inside(file: str, folder: str) -> bool:
    return file.startswith(folder) and file[len(folder):len(folder) + 1] in ("/", "\\")


@contextlib.contextmanager
def intact(reference: Callable | None) -> Iterator[None]:
    """Afterwards the reference has its own code again, even if a call that is being watched never ends."""
    try:
        yield
    finally:
        if reference is not None:
            function = watched(reference)
            function.__code__ = _own_code(function)


def unlink_watches(trace: TracebackType | None) -> None:
    """Take the entries that a `Watch` has put into a traceback out of it; the first entry is another's."""
    while trace and trace.tb_next:
        code = trace.tb_next.tb_frame.f_code
        if code is Watch.__call__.__code__ or _watch_in(code):
            trace.tb_next = trace.tb_next.tb_next
        else:
            trace = trace.tb_next


def _own_code(function: FunctionType) -> CodeType:
    """The function's code, also while another code stands in for it."""
    watch = _watch_in(function.__code__)
    return watch.own if watch else function.__code__


def _watch_in(code: CodeType) -> Watch | None:
    """The `Watch` that is called by this code, if it stands in for a reference's."""
    return next((part for part in code.co_consts if isinstance(part, Watch)), None)


def in_library(file: str) -> bool:
    """Whether a file belongs to the library."""
    return _inside(file, _LIBRARY)
