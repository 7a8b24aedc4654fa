"""What runs inside a child: it reads a notebook, runs its statements, and calls the answers, as the judge asks.

Nothing here, and nothing in the server's memory that the child was forked from, knows a reference, a seed or an expected
value; so there is nothing that a submission could find.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import gc
import importlib
import linecache
import os
import pkgutil
import sys
import types
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import matplotlib.pyplot  # noqa: F401  a child may have no folder to keep its list of fonts in
import torch

import course_utils

from .. import exercises
from ..exercises.declare import Case, Outcome, fresh
from ..exercises.derivatives import Differentiated
from ..exercises.run import Counter, call_once, cannot_be_asked, could_be_asked, message
from . import submission, wire
from .children import REQUEST


def load() -> None:
    """Import everything that a notebook imports, so that a fork has it; `check` and its kin do nothing here."""
    for module in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
        if module.name.split(".")[1] not in ("cli", "exercises", "grading"):
            with contextlib.suppress(ImportError):  # e3nn is an extra
                importlib.import_module(module.name)
    exercises.check = lambda *function: None
    exercises.yours = lambda function: function
    torch.set_num_threads(1)  # a fork of a process with two hangs in its first backward pass
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    torch.optim.Adam(layer.parameters()).step()
    gc.collect()
    gc.freeze()  # else the first collection in a child copies every page


def play(source: BinaryIO, to: BinaryIO) -> None:
    """Greet the judge, and answer its requests until it hangs up."""
    player = Player()
    wire.send(to, {"number": 0})
    with contextlib.suppress(EOFError):
        while True:
            request = wire.receive(source, REQUEST)
            what, number = request.pop("what"), request.pop("number")
            for reply in getattr(player, what)(**request):
                try:
                    wire.send(to, reply | {"number": number})
                except ValueError as error:
                    outcome = Outcome(error=f"an answer that is too large ({error})")
                    wire.send(to, vars(outcome) | {"number": number})
                number += 1


class Player:
    """Reads a notebook, runs its statements, and calls the answer that they define."""

    def __init__(self) -> None:
        self.main = types.ModuleType("__main__")
        # What IPython puts into every notebook.
        vars(self.main).update(get_ipython=_Nothing(), display=_Nothing(), In=[], Out={})
        sys.modules["__main__"] = self.main
        self.printed = sys.stdout = sys.stderr = Counter()
        sys.stdin = open(os.devnull)
        builtins.input = lambda *args: ""

    def read(self, content: Any, exercises: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The notebook as its `submission.Reading`, or why there is none."""
        try:
            yield {"reading": asdict(submission.read(content.numpy().tobytes(), exercises))}
        except submission.Unreadable as problem:
            yield {"unreadable": str(problem)}

    def run(self, texts: dict[int, str], lines: list[dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> Iterator[
            dict[str, Any]]:
        """How each line failed, and which exercises it gave an answer; at the end, why answers cannot be called."""
        self.answers: dict[str, Any] = {}
        # Before the submission can put something else in their place.
        self.library = {name: fresh(exercise["library"]) for name, exercise in wanted.items()}
        for place, line in enumerate(lines):
            error = self._executed(submission.Line(**line), texts[line["cell"]])
            made = []
            for name, exercise in wanted.items() if error is None else ():
                value = vars(self.main).get(name)
                # A name that is used again for a number, say, is no answer.
                if place in exercise["binding"] and could_be_asked(value, exercise["asks_for"]):
                    self.answers[name] = value
                    made.append(name)
            yield {"error": error, "answers": made}
        problems = {}
        for name, answer in self.answers.items():
            problem = cannot_be_asked(answer, wanted[name]["asks_for"], name, wanted[name]["inputs"])
            if problem:
                problems[name] = problem
        yield {"problems": problems}

    def _executed(self, line: submission.Line, cell: str) -> str | None:
        linecache.cache[line.name] = len(cell), None, cell.splitlines(keepends=True), line.name  # for tracebacks
        try:
            module = ast.Module([_parsed(cell)[line.number]], [])
            exec(compile(module, line.name, "exec", line.flags, dont_inherit=True), vars(self.main))
        except BaseException as error:  # noqa: BLE001  an exit costs only what depends on it
            return message(error)
        return None

    def call(self, name: str, cases: list[list[Any]], parameters: list[str],
             wanted: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """What each call of an answer did; with ``wanted``, when the answer is differentiated."""
        differentiated = Differentiated(**wanted) if wanted else None
        if name in self.answers:
            vars(self.main)[name] = self.answers[name]  # for one that calls itself
        for args in cases:
            yield vars(self._outcome(name, args, parameters, differentiated))

    def _outcome(self, name: str, args: list[Any], parameters: list[str], wanted: Differentiated | None) -> Outcome:
        if name not in self.answers:  # the note on the statement that failed says why
            return Outcome(error=f"NameError: name '{name}' is not defined")
        try:
            return call_once(self.answers[name], Case("", *args), parameters, self.printed, self.library[name], wanted)
        except BaseException as error:  # noqa: BLE001  what even a notebook lets pass, such as an interrupt
            return Outcome(error=type(error).__name__)


@functools.lru_cache(8)
def _parsed(cell: str) -> list[ast.stmt]:
    return ast.parse(cell).body


class _Nothing:
    """Takes every magic command, and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self
