"""From a notebook's bytes to the statements that its exercises need.

A notebook takes up to a minute to run, and hardly any of that is needed to grade it: of its top-level statements, those
count that an exercise's function needs, directly or through others. They are run in the notebook's order, as after *Run
All*, so where a function stands twice, the later one counts, except that a stub (``...``) never replaces an answer.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import pkgutil
import re
import symtable
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..exercises.source import is_stub

LARGEST = 50 << 20  # bytes of a notebook; as JSON's smallest parts they take 20 times as much memory
LONGEST = 100_000  # characters of a notebook's code, ten times a master's
MOST = 5000  # statements of a cell, fifty times a master's in all
USUAL = {"torch": "import torch", "np": "import numpy as np", "numpy": "import numpy", "math": "import math",
         "nn": "from torch import nn", "F": "import torch.nn.functional as F", "Tensor": "from torch import Tensor",
         "plt": "import matplotlib.pyplot as plt", "nx": "import networkx as nx"}
IMPORT = "an import line of the course"
IN_PYTHON = ("time", "timeit", "prun", "capture", "python", "python3")  # cell magics over ordinary code


class Unreadable(ValueError):
    """Why a file is no notebook."""


@dataclass(frozen=True)
class Statement:
    """One top-level statement: number ``number`` of the cell's text, which names it binds, calls a method of, and needs."""

    cell: str
    number: int
    name: str  # "cell 3", as in a traceback
    tree: ast.stmt
    binds: frozenset[str]
    calls: frozenset[str]
    needs: frozenset[str]


@dataclass
class Submission:
    """What was found in a notebook. ``notes`` say what had to be mended."""

    statements: list[Statement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # cell -> why it is no Python, with its text behind

    def defined(self, name: str) -> list[Statement]:
        return [s for s in self.statements if name in s.binds]

    def answers(self, name: str) -> list[Statement]:
        """The statements that define an exercise, without stubs."""
        return [s for s in self.defined(name) if not is_stub(s.tree)]

    def imports(self) -> list[ast.stmt]:
        return [s.tree for s in self.statements if isinstance(s.tree, ast.Import | ast.ImportFrom)]

    def needed(self, names: Iterable[str]) -> list[Statement]:
        """The statements that these names need, in order; import lines that are missing come first."""
        seen, found, queue = set(), set(), ["*", *names]
        imported = {name for s in self.statements if isinstance(s.tree, ast.Import | ast.ImportFrom) for name in s.binds}
        by_name: dict[str, list[int]] = {}
        for i, statement in enumerate(self.statements):
            # A class whose forward is a stub may get another below: GVP.forward = forward.
            left_out = is_stub(statement.tree) and (isinstance(statement.tree, ast.FunctionDef) or statement.binds & by_name.keys())
            for name in () if left_out else statement.binds | statement.calls - imported:  # seen.append(x)
                by_name.setdefault(name, []).append(i)
        while queue:
            if (name := queue.pop()) in seen:
                continue
            seen.add(name)
            for i in set(by_name.get(name, ())) - found:
                found.add(i)
                queue += self.statements[i].needs
        bound = {name for i in found for name in self.statements[i].binds}
        missing = sorted((seen & imports().keys()) - bound) if "*" not in bound else []
        return [s for name in missing for s in parse(imports()[name], IMPORT)] + [self.statements[i] for i in sorted(found)]


@functools.cache
def imports() -> dict[str, str]:
    """The import lines of the notebooks, by the name that they bind."""
    import course_utils
    ours = {m.name: f"from course_utils import {m.name}" for m in pkgutil.iter_modules(course_utils.__path__)}
    helpers = {name: f"from course_utils.exercises import {name}" for name in ("check", "yours")}
    return ours | helpers | {"reset": "from course_utils.grading import reset"} | USUAL


# From bytes to cells -------------------------------------------------------------------------------------------------

def cells(content: bytes) -> list[tuple[str, str]]:
    """The kind and the text of each cell, of a notebook in format 3 or 4. Unreadable, with the reason, where it is none."""
    if len(content) > LARGEST:
        raise Unreadable(f"it has {len(content):,} bytes; at most {LARGEST:,} are read. Clear its outputs and hand it in again")
    if content.count(b"[") + content.count(b"{") > 5_000_000:
        raise Unreadable("it has more parts than can be read. Clear its outputs and hand it in again")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        what = "it is empty" if not content.strip() else "it is no JSON, which a notebook is. Perhaps it was cut off on the way"
        raise Unreadable(f"{what}. Open it in Jupyter, save it, and hand it in again") from None
    sheets = notebook.get("worksheets", [notebook]) if isinstance(notebook, dict) else None
    found = [cell for sheet in sheets if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
             for cell in sheet["cells"] if isinstance(cell, dict)] if isinstance(sheets, list) else []
    if not found:
        raise Unreadable("it has no cells, as a notebook has. Save it in Jupyter, and hand it in again")
    return [("code" if cell.get("cell_type") == "code" else "text", _text(cell.get("source", cell.get("input")))) for cell in found]


def plain(text: str) -> str:
    """A text that every file and every terminal takes: without control characters and halves of surrogate pairs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _text(source: Any) -> str:
    lines = source if isinstance(source, list) else [source]
    # Half of a surrogate pair is valid JSON, and no text.
    return "".join(line for line in lines if isinstance(line, str)).encode(errors="replace").decode()


# From cells to statements --------------------------------------------------------------------------------------------

def read(content: bytes, exercises: Iterable[str]) -> Submission:
    """What a notebook says about these exercises. Unreadable where it is no notebook."""
    made, others, left = Submission(), [], LONGEST

    def statements(text: str, name: str) -> list[Statement]:
        nonlocal left
        left -= len(text)
        if left < 0:
            raise SyntaxError(f"of a notebook's code {LONGEST:,} characters are read, and they end here")
        return parse(text, name)

    for number, (kind, text) in enumerate(cells(content), start=1):
        name = f"cell {number}"
        if kind != "code":
            others.append((name, text))
            continue
        try:
            made.statements += statements(text, name)
        except SyntaxError as problem:
            lines = text.splitlines()
            where = lines[problem.lineno - 1].strip()[:80] if 0 < (problem.lineno or 0) <= len(lines) else ""
            made.broken[name] = (f"{name} is no valid Python: {problem.msg}, in its line {problem.lineno}"
                                 f"{f', `{where}`' if where else ''}\n{text[:LONGEST]}")
    for name, text in others:  # a cell that was made text by accident
        for exercise in set(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)).intersection(exercises) if left > 0 else ():
            if not made.answers(exercise):
                try:
                    made.statements += [s for s in statements(text, name) if exercise in s.binds]
                    made.notes.append(f"{exercise} stands in a text cell ({name}); it was read as code.")
                except SyntaxError:
                    pass
    return made


@functools.lru_cache(512)  # most cells are the same in every submission
def parse(text: str, name: str) -> list[Statement]:
    """The statements of one cell, magic commands taken out of the way. SyntaxError where it is no Python."""
    try:
        if len(text) > LONGEST:
            raise ValueError(f"{len(text):,} characters, at most {LONGEST:,} are read")
        text = python(text)
        body = ast.parse(text).body
        if len(body) > MOST:
            raise ValueError(f"{len(body):,} statements, at most {MOST:,} are read")
        return [Statement(text, i, name, node, *_names(node)) for i, node in enumerate(body)]
    except SyntaxError:
        raise
    except Exception as problem:  # noqa: BLE001  null bytes, a thousand brackets
        raise SyntaxError(str(problem) or "nested too deeply") from None


def python(text: str) -> str:
    """The text without magic commands, which do nothing here, and with a cell magic such as %%time taken off."""
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith("%%"):
        return "\n" * (text[:text.index("%%")].count("\n") + 1) + rest if first[2:].split(" ")[0].strip() in IN_PYTHON else ""
    try:
        ast.parse(text)
    except SyntaxError:  # IPython's own way reads the text once more for each command
        text = re.sub(r"^([ \t]*)(?:[%!](?:.*\\\n)*.*|\?.*|[%\w.]+\?\??[ \t]*)$", r"\1pass", text, flags=re.MULTILINE)
        text = re.sub(r"^([ \t]*[\w., ]+=)[ \t]*[%!].*$", r"\1 get_ipython()", text, flags=re.MULTILINE)
    return text


def _names(node: ast.stmt) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The names that a top-level statement binds or changes, those that a method is called of as a statement of its own,
    and those that it needs, now or when it is called."""
    binds, calls, needs = set(), set(), set()

    def look(table: symtable.SymbolTable) -> None:
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if top or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported() or top and symbol.is_namespace():
                    binds.add(name)
                if symbol.is_referenced():
                    needs.add(name)
        for child in table.get_children():
            look(child)

    with contextlib.suppress(SyntaxError):  # `return` outside a function, say, which is found when it is run
        look(symtable.symtable(ast.unparse(node), "cell", "exec"))
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        binds.add("*")
    for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ():
        call = isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call) and isinstance(inner.value.func, ast.Attribute)
        stored = isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load)
        root = inner.value.func if call else inner if stored else None
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name):
            (calls if call else binds).add(root.id)
    return frozenset(binds), frozenset(calls), frozenset(needs)
