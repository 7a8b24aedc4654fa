"""From a notebook's bytes to the statements that its exercises need. A child does this, since the bytes are a stranger's.

A notebook takes up to a minute to run, and hardly any of that is needed to grade it: of its top-level statements, those count
that an exercise's function needs, directly or through others.
"""

from __future__ import annotations

import __future__ as future

import ast
import contextlib
import functools
import json
import pkgutil
import re
import symtable
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..exercises.source import is_stub
from . import forms
from .forms import Form

LARGEST = 50 << 20  # bytes of a notebook; as JSON's smallest parts they take 20 times as much memory
LONGEST = 100_000  # characters of a notebook's code, ten times a master's
MOST = 5000  # statements, fifty times a master's
NEWEST = 13  # Python 3.x that the course runs with
USUAL = {"torch": "import torch", "np": "import numpy as np", "numpy": "import numpy", "math": "import math",
         "nn": "from torch import nn", "F": "import torch.nn.functional as F", "Tensor": "from torch import Tensor",
         "plt": "import matplotlib.pyplot as plt", "nx": "import networkx as nx"}
IMPORT = "an import line of the course"
IN_PYTHON = ("time", "timeit", "prun", "capture", "python", "python3")  # cell magics over ordinary code


class Unreadable(ValueError):
    """Why a file is no notebook."""


# What the judge is told ----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Line:
    """One statement to run: number ``number`` of cell ``cell`` (0: the import lines of the course), with the compiler's flags
    that follow from the __future__ imports above it. ``begins`` is how it reads."""

    number: int
    cell: int
    flags: int
    begins: str

    @property
    def name(self) -> str:
        """What a traceback calls it."""
        return f"cell {self.cell}" if self.cell else IMPORT


@dataclass(frozen=True)
class Definition:
    """A cell that binds an exercise's name, and the lines that the answer needs as things stand at the end of that cell.
    ``wide`` has the other lines of those cells, too, whose effect no name tells: ``fill(table)``."""

    cell: int
    lines: tuple[int, ...]
    wide: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What there is of one exercise.

    ``definitions``: the last one first. ``lines``: what the answer needs as things stand at the end of the notebook.
    ``binding``: the lines that bind its name. ``written``: how often it is written with def or class. ``broken``: why the
    cell that would define it is no Python, and ``newer``: the newer Python that it may have been written for. ``form``: the
    normalized form of the statement that writes it.
    """

    definitions: tuple[Definition, ...] = ()
    lines: tuple[int, ...] = ()
    binding: tuple[int, ...] = ()
    written: int = 0
    broken: str = ""
    newer: str = ""
    form: Form = Form()


@dataclass(frozen=True)
class Reading:
    """A notebook as the judge needs it: which of the course's notebooks are in it, the answers to their exercises, the lines
    that those need, by number, the texts of their cells, and notes on what had to be mended."""

    notebooks: tuple[str, ...]
    answers: dict[str, Answer]
    lines: dict[int, Line]
    texts: dict[int, str]
    notes: tuple[str, ...]

    @classmethod
    def of_plain(cls, data: dict[str, Any]) -> Reading:
        """The inverse of `dataclasses.asdict`."""
        answers = {}
        for name, answer in data["answers"].items():
            definitions = tuple(Definition(**definition) for definition in answer["definitions"])
            answers[name] = Answer(**answer | {"definitions": definitions, "form": Form.of_plain(answer["form"])})
        lines = {number: Line(**line) for number, line in data["lines"].items()}
        return cls(**data | {"answers": answers, "lines": lines})


def read(content: bytes, exercises: Mapping[str, str]) -> Reading:
    """What a notebook answers of these exercises, given with the notebook of each. Unreadable where there is none of them."""
    submission = Submission.of(content, exercises)
    present = [name for name in exercises if submission.binding(name) or submission.broken_cell(name)]
    if not present:
        raise Unreadable("none of the course's exercises is defined in it. Is it another notebook?")
    asked, there = Counter(exercises.values()), Counter(exercises[name] for name in present)
    # One exercise of another notebook may be a helper; half of them are that notebook.
    notebooks = [notebook for notebook, number in there.items() if 2 * number >= asked[notebook]]
    notebooks = notebooks or [there.most_common(1)[0][0]]
    names = [name for name, notebook in exercises.items() if notebook in notebooks]
    missing = submission.add_missing_imports(names)
    answers = {name: submission.answer(name) for name in names}
    answers = {name: replace(answer, form=submission.form(answer)) for name, answer in answers.items()}
    needed = {i for answer in answers.values() for i in answer.lines}
    for answer in answers.values():
        for definition in answer.definitions:
            needed |= {*definition.lines, *definition.wide}
    notes = list(submission.notes)
    notes += [f"`{name}` is written {answer.written} times; the last one counts."
              for name, answer in answers.items() if answer.written > 1]
    if missing:
        notes.append(f"No line imports {', '.join(missing)}. The usual one was put in, and that cost nothing.")
    lines = {i: submission.statements[i].line for i in sorted(needed)}
    texts = {submission.statements[i].line.cell: submission.statements[i].text for i in needed}
    return Reading(tuple(notebooks), answers, lines, texts, tuple(notes))


# From statements to what an answer needs -----------------------------------------------------------------------------

@dataclass(frozen=True)
class Statement:
    """A top-level statement of a cell's text: the names that it binds, calls a method of, and needs."""

    text: str
    line: Line
    tree: ast.stmt
    binds: frozenset[str]
    calls: frozenset[str]
    needs: frozenset[str]

    @property
    def is_import(self) -> bool:
        return isinstance(self.tree, ast.Import | ast.ImportFrom)

    @property
    def sets(self) -> bool:
        """Whether it is a call such as ``sys.setrecursionlimit(...)``."""
        call = self.tree.value if isinstance(self.tree, ast.Expr) else None
        function = call.func if isinstance(call, ast.Call) else None
        return isinstance(function, ast.Attribute) and function.attr.startswith("set")


@dataclass
class Submission:
    """What was found in a notebook. ``broken`` has the cells that are no Python: their text, and why."""

    statements: list[Statement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    newer: str = ""

    @classmethod
    def of(cls, content: bytes, exercises: Iterable[str]) -> Submission:
        """What a notebook says about these exercises. Unreadable where it is no notebook."""
        every, version = cells(content)
        newer = version if sys.version_info.minor < _minor(version) <= NEWEST else ""
        submission, left = cls(newer=newer), LONGEST
        flags = 0
        texts: list[tuple[int, str]] = []
        for number, (kind, text) in enumerate(every, start=1):
            if kind != "code":
                texts.append((number, text))
                continue
            left -= len(text)
            try:
                if left < 0:
                    raise SyntaxError(f"of a notebook's code {LONGEST:,} characters are read, and they end here")
                statements = parse(text, number, flags)
            except SyntaxError as problem:
                submission.broken.append((text, _why_broken(number, text, problem)))
                continue
            if len(submission.statements) + len(statements) > MOST:
                submission.broken.append((text, f"of a notebook {MOST:,} statements are read, and they end before cell {number}"))
                continue
            submission.statements += statements
            flags = statements[-1].line.flags if statements else flags
        submission._read_texts(texts, set(exercises), left)
        return submission

    def _read_texts(self, texts: list[tuple[int, str]], exercises: set[str], left: int) -> None:
        """Read as code what may have been made a text cell by accident."""
        wanted = {name for name in exercises if not self.binding(name)}
        for number, text in texts:
            text = _code_of(text)
            names = wanted.intersection(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE))
            if not names or len(text) > left:
                continue
            left -= len(text)
            with contextlib.suppress(SyntaxError):
                statements = [s for s in parse(text, number) if s.binds & names]
                self.statements += statements
                for name in names.intersection(*(s.binds for s in statements)) if statements else ():
                    self.notes.append(f"{name} is in a text cell (cell {number}); it was read as code.")
                    wanted.discard(name)

    def binding(self, name: str) -> list[int]:
        """The statements that bind a name."""
        return [i for i, statement in enumerate(self.statements) if name in statement.binds]

    def broken_cell(self, name: str) -> str:
        """Why the cell that would define a name is no Python."""
        pattern = re.compile(rf"^[ \t]*(def|class) {name}\b", re.MULTILINE)
        return next((why for text, why in self.broken if pattern.search(text)), "")

    def answer(self, name: str) -> Answer:
        """What there is of an exercise. A stub is no answer, and never replaces one."""
        binding = [i for i in self.binding(name) if not is_stub(self.statements[i].tree)]
        if not binding:
            broken = self.broken_cell(name)
            return Answer(broken=broken, newer=self.newer if broken else "")
        written = [i for i in binding if isinstance(self.statements[i].tree, ast.FunctionDef | ast.ClassDef)]
        # The last places that bind the name, and the last that says def or class: other lines may only reuse the name.
        places = dict.fromkeys(self.statements[i].line.cell for i in [*reversed(binding[-3:]), *written[-1:]])
        definitions = []
        for cell in places:
            last = max(i for i in binding if self.statements[i].line.cell == cell)
            until = self._end_of_cell(last)
            lines = self.needed([name], until)
            definitions.append(Definition(cell, lines, self._wide(lines, until)))
        return Answer(tuple(definitions), self.needed([name]), tuple(binding), len(written))

    def form(self, answer: Answer) -> Form:
        """The form of the statement that writes an answer: the last with def or class, or else the last that binds its name."""
        if not answer.binding:
            return Form()
        written = [i for i in answer.binding if isinstance(self.statements[i].tree, ast.FunctionDef | ast.ClassDef)]
        statement = self.statements[(written or answer.binding)[-1]]
        names = forms.imported(other.tree for other in self.statements)
        return forms.form(statement.tree, statement.text, names)

    def _end_of_cell(self, i: int) -> int:
        cell = self.statements[i].line.cell
        while i + 1 < len(self.statements) and self.statements[i + 1].line.cell == cell:
            i += 1
        return i

    def needed(self, names: Iterable[str], until: int | None = None) -> tuple[int, ...]:
        """The statements up to one of them that these names need, in order."""
        statements = self.statements[:until + 1] if until is not None else self.statements
        imported = {name for statement in statements if statement.is_import for name in statement.binds}
        by_name: dict[str, list[int]] = {}
        for i, statement in enumerate(statements):
            # A class whose forward is a stub may get another below: GVP.forward = forward.
            replaces = isinstance(statement.tree, ast.FunctionDef) or statement.binds & by_name.keys()
            if replaces and is_stub(statement.tree):
                continue
            for name in statement.binds | statement.calls - imported:  # seen.append(x)
                by_name.setdefault(name, []).append(i)
        seen, found, queue = set(), set(), ["*", *names]
        while queue:
            name = queue.pop()
            if name in seen:
                continue
            seen.add(name)
            for i in set(by_name.get(name, ())) - found:
                found.add(i)
                queue += statements[i].needs
        return tuple(sorted(found))

    def _wide(self, lines: tuple[int, ...], until: int) -> tuple[int, ...]:
        """These lines, with all others of their cells, and with settings such as torch.set_default_dtype in any cell above."""
        cells = {self.statements[i].line.cell for i in lines}
        more = []
        for i, statement in enumerate(self.statements[:until + 1]):
            beside = statement.line.cell in cells and not statement.is_import and not is_stub(statement.tree)
            if i not in lines and (beside or statement.sets):
                more.append(i)
        needs = {name for i in more for name in self.statements[i].needs}
        return tuple(sorted({*lines, *more, *self.needed(needs, until)})) if more else lines

    def add_missing_imports(self, names: Iterable[str]) -> list[str]:
        """Put the usual import line of each name first that these names need and that nothing binds above its first use; return
        the names that nothing binds at all."""
        lines = [self.statements[i] for i in self.needed(names)]
        if any("*" in statement.binds for statement in lines):
            return []
        bound: set[str] = set()
        late: set[str] = set()
        for statement in lines:
            late |= statement.needs & imports().keys() - bound - statement.binds
            bound |= statement.binds
        if late:
            self.statements[:0] = parse("\n".join(imports()[name] for name in sorted(late)), 0)
        return sorted(late - bound)


@functools.cache
def imports() -> dict[str, str]:
    """The import lines of the notebooks, by the name that they bind."""
    import course_utils
    ours = {m.name: f"from course_utils import {m.name}" for m in pkgutil.iter_modules(course_utils.__path__)}
    helpers = {name: f"from course_utils.exercises import {name}" for name in ("check", "yours")}
    return ours | helpers | {"reset": "from course_utils.grading import reset"} | USUAL


# From bytes to cells -------------------------------------------------------------------------------------------------

def cells(content: bytes) -> tuple[list[tuple[str, str]], str]:
    """The kind and the text of each cell of a notebook in format 3 or 4, and the Python that it says it was written with.
    Unreadable, with the reason, where it is no notebook."""
    if len(content) > LARGEST:
        raise Unreadable(f"it has {len(content):,} bytes; at most {LARGEST:,} are read. Clear its outputs and hand it in again")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except MemoryError:
        raise Unreadable("it has more parts than can be read. Clear its outputs and hand it in again") from None
    except (ValueError, RecursionError):
        what = "it is no JSON, which a notebook is. Perhaps it was cut off on the way"
        what = what if content.strip() else "it is empty"
        raise Unreadable(f"{what}. Open it in Jupyter, save it, and hand it in again") from None
    found = list(_cells_of(notebook))
    if not found:
        raise Unreadable("it has no cells, as a notebook has. Save it in Jupyter, and hand it in again")
    every = []
    for cell in found:
        kind = "code" if cell.get("cell_type") == "code" else "text"
        every.append((kind, _text(cell.get("source", cell.get("input")))))
    return every, _python_of(notebook)


def _cells_of(notebook: Any) -> Iterator[dict]:
    sheets = notebook.get("worksheets", [notebook]) if isinstance(notebook, dict) else None
    for sheet in sheets if isinstance(sheets, list) else ():
        members = sheet.get("cells") if isinstance(sheet, dict) else None
        for cell in members if isinstance(members, list) else ():
            if isinstance(cell, dict):
                yield cell


def _python_of(notebook: dict) -> str:
    part: Any = notebook
    for key in ("metadata", "language_info", "version"):
        part = part.get(key) if isinstance(part, dict) else None
    return part if isinstance(part, str) and re.fullmatch(r"3\.\d{1,2}(\.\w+)?", part) else ""


def _minor(version: str) -> int:
    return int(version.split(".")[1]) if version else 0


def plain(text: str) -> str:
    """A text that every file and every terminal takes: without control characters, changes of direction and halves of surrogate
    pairs."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _text(source: Any) -> str:
    lines = source if isinstance(source, list) else [source]
    # Half of a surrogate pair is valid JSON, and no text.
    return "".join(line for line in lines if isinstance(line, str)).encode(errors="replace").decode()


def _why_broken(number: int, text: str, problem: SyntaxError) -> str:
    lines = text.splitlines()
    quoted = ""
    if 0 < (problem.lineno or 0) <= len(lines):
        quoted = f", `{lines[problem.lineno - 1].strip()[:80]}`"
    return f"cell {number} is not valid Python: {problem.msg}, in its line {problem.lineno}{quoted}"


def _code_of(text: str) -> str:
    """What is between fences of a text cell, or without any all of it."""
    blocks = re.findall(r"^ *```[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks) if blocks else text


# From cells to statements --------------------------------------------------------------------------------------------

def parse(text: str, cell: int, flags: int = 0) -> list[Statement]:
    """The statements of one cell, magic commands taken out of the way. SyntaxError where it is no Python.

    ``flags`` are the compiler's from the cells above; a __future__ import adds to them, as it does in Jupyter.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(f"{len(text):,} characters, at most {LONGEST:,} are read")
        text = python(text.replace("\r\n", "\n").replace("\r", "\n"))
        body = ast.parse(text).body
        if len(body) > MOST:
            raise ValueError(f"{len(body):,} statements, at most {MOST:,} are read")
        flags |= _future_flags(body)
        lines = [f"{line}\n" for line in text.split("\n")]  # str.splitlines knows more ends of lines than Python does
        statements = []
        for number, tree in enumerate(body):
            source = _source(tree, lines)
            line = Line(number, cell, flags, source.strip().splitlines()[0][:60])
            statements.append(Statement(text, line, tree, *_names(tree, source)))
        return statements
    except SyntaxError:
        raise
    except Exception as problem:  # noqa: BLE001  null bytes, a thousand brackets
        raise SyntaxError(str(problem) or "nested too deeply") from None


def _future_flags(body: list[ast.stmt]) -> int:
    flags = 0
    for tree in body:
        if isinstance(tree, ast.ImportFrom) and tree.module == "__future__":
            for alias in tree.names:
                if alias.name in future.all_feature_names:
                    flags |= getattr(future, alias.name).compiler_flag
    return flags


def _source(tree: ast.stmt, lines: list[str]) -> str:
    """A statement as it was written, or where it shares a line with another, as Python writes it."""
    first = min([tree.lineno, *(part.lineno for part in getattr(tree, "decorator_list", ()))])
    written = "".join(lines[first - 1:tree.end_lineno])
    try:
        if len(ast.parse(written).body) == 1:
            return written
    except SyntaxError:
        pass
    return ast.unparse(tree)


def python(text: str) -> str:
    """The text without magic commands, which do nothing here, and with cell magics such as %%time taken off."""
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith("%%"):
        magic = first[2:].split(" ")[0].strip()
        above = text[:text.index("%%")].count("\n") + 1
        return "\n" * above + python(rest) if magic in IN_PYTHON else ""
    text = re.sub(r"^([ \t]*)%time[ \t]+(?=\S)", r"\1", text, flags=re.MULTILINE)
    try:
        ast.parse(text)
    except SyntaxError:  # IPython's own way reads the text once more for each command
        text = re.sub(r"^([ \t]*)(?:[%!](?:.*\\\n)*.*|\?.*|[%\w.]+\?\??[ \t]*)$", r"\1pass", text, flags=re.MULTILINE)
        text = re.sub(r"^([ \t]*[\w., ]+=)[ \t]*[%!].*$", r"\1 get_ipython()", text, flags=re.MULTILINE)
    return text


def _names(tree: ast.stmt, source: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
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
        look(symtable.symtable(source, "cell", "exec"))
    if isinstance(tree, ast.ImportFrom) and any(alias.name == "*" for alias in tree.names):
        binds.add("*")
    for inner in ast.walk(tree) if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ():
        call = isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call) and isinstance(inner.value.func, ast.Attribute)
        stored = isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load)
        root = inner.value.func if call else inner if stored else None
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name):
            (calls if call else binds).add(root.id)
    return frozenset(binds), frozenset(calls), frozenset(needs)
