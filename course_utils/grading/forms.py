"""The normalized form of an answer: what is left of its syntax tree when everything is taken away that a
copy can change without a thought.

Names of variables, arguments and helpers, docstrings, comments, annotations, decorators, the order of
keyword arguments and the layout do not count. What is imported, built in or an attribute keeps its name,
and a number its value. A child works the form out when it reads a notebook, so the judge never parses what
a student wrote.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_CODE = 20_000  # characters of an answer; a master's has 2,000
MOST_WORDS = 4000  # nodes of its tree; a master's has 400
ANY = "_"  # a name that the student chose
BUILT_IN = {name: name for name in dir(builtins)}
NO_WORD = (ast.arguments, ast.Load, ast.Store, ast.Del, ast.Expr)
LEFT_OUT = (ast.Pass, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class Form:
    """``code`` is the answer as it was written. ``words`` has a word for each node of its tree, in the
    order of reading, and ``lines`` the line of the code that the node is on, from 1; both are joined by
    spaces."""

    code: str = ""
    words: str = ""
    lines: str = ""

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> Form:
        """The inverse of `dataclasses.asdict`. TypeError if a part is not a text; ValueError if it is too
        long, or if a word has no line."""
        form = cls(**data)
        if not all(isinstance(part, str) for part in (form.code, form.words, form.lines)):
            raise TypeError("the form of an answer has parts that are no text.")
        too_long = len(form.code) > MOST_CODE or len(form.places) > MOST_WORDS
        if too_long or form.words.count(" ") != form.lines.count(" "):
            raise ValueError("the form of an answer is longer than forms are, or a word has no line.")
        return form

    @property
    def places(self) -> list[int]:
        """The line of each word."""
        return [int(line) for line in self.lines.split()]


def form(tree: ast.AST, text: str, names: Mapping[str, str]) -> Form:
    """The form of a statement of ``text``; ``names`` are those that imports bind, with what they stand for.
    """
    lines = text.splitlines(keepends=True)
    first = min([tree.lineno, *(part.lineno for part in getattr(tree, "decorator_list", ()))])
    code = "".join(lines[first - 1 : tree.end_lineno])
    words, places = [], []
    for word, line in _words(tree, BUILT_IN | names):
        words.append(word)
        places.append(str(line - first + 1))
        if len(words) == MOST_WORDS:
            break
    return Form(code[:MOST_CODE], " ".join(words), " ".join(places))


def imported(trees: Iterable[ast.AST], package: str = "") -> dict[str, str]:
    """What import statements bind: ``import numpy as np`` gives np: numpy. Relative ones are inside
    ``package``."""
    names: dict[str, str] = {}
    for tree in trees:
        if isinstance(tree, ast.Import):
            for alias in tree.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        if isinstance(tree, ast.ImportFrom):
            module = tree.module or ""
            if tree.level and package:
                module = importlib.util.resolve_name("." * tree.level + module, package)
            for alias in tree.names:
                names[alias.asname or alias.name] = f"{module}.{alias.name}"
    return names


def _words(tree: ast.AST, names: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """A word for each node and its line, without recursion: a stranger's tree may be deep."""
    every = list(ast.walk(tree))
    used = [node for node in every if isinstance(node, ast.Name)]
    bound = {node.id for node in used if isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in every if isinstance(node, ast.arg)}
    stack = [(tree, tree.lineno)]
    while stack:
        node, line = stack.pop()
        line = getattr(node, "lineno", line)
        if not isinstance(node, NO_WORD):
            yield _word(node, bound, names).replace(" ", ""), line
        stack += [(child, line) for child in reversed(_children(node))]


def _word(node: ast.AST, bound: set[str], names: Mapping[str, str]) -> str:
    """What a node says, apart from its children."""
    match node:
        case ast.Name():
            return ANY if node.id in bound else names.get(node.id, ANY)
        case ast.arg():
            return ANY
        case ast.Attribute():
            return f".{node.attr}"
        case ast.keyword():
            return f"{node.arg or '**'}="
        case ast.alias():
            return node.name
        case ast.Constant():
            return _constant(node.value)
        case ast.AnnAssign():
            return "Assign"
    return type(node).__name__


def _constant(value: object) -> str:
    """A number as it is; of texts, only that they are some."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "int"
    return repr(value) if isinstance(value, int | float | complex | None) else type(value).__name__


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes below one that count, in the order in which they are read."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [node.args, *_statements(node.body)]
        case ast.ClassDef():
            own = [part for part in node.body if getattr(part, "name", "") != "__init__"]  # it is given
            return [*node.bases, *_statements(own)]
        case ast.arg():
            return []
        case ast.AnnAssign():
            return [node.target, node.value] if node.value else []
        case ast.Call():
            keywords = sorted(node.keywords, key=lambda keyword: keyword.arg or "")
            return [node.func, *node.args, *keywords]
    return _statements(ast.iter_child_nodes(node))


def _statements(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    """The nodes without texts that stand alone, such as docstrings, and without statements that do nothing.
    """
    return [node for node in nodes if not isinstance(node, LEFT_OUT) and not _is_comment(node)]


def _is_comment(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
