"""What the source of a function or a class says of it, without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator


def is_stub(tree: ast.AST) -> bool:
    """Whether it is a function whose body is still a docstring, perhaps, and ``...``, or a class with such a ``forward``."""
    if isinstance(tree, ast.ClassDef):
        tree = method(tree, "forward")
    if not isinstance(tree, ast.FunctionDef):
        return False
    constants = [s.value.value for s in tree.body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)]
    return len(constants) == len(tree.body) <= 2 and constants[-1] is ...


def method(tree: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A class's method, the last of that name as in Python; None where none is written in it."""
    return next((node for node in reversed(tree.body) if isinstance(node, ast.FunctionDef) and node.name == name), None)


def takes_the_library(tree: ast.AST, reference: Callable, imports: Iterable[ast.AST] = ()) -> bool:
    """Whether it names the library's version of what was asked for: ``graphs.degrees``, an import of it, or what one of
    the notebook's ``imports`` calls it or its module."""
    module, name = reference.__module__.split(".")[-1], reference.__name__
    inside = list(ast.walk(tree))
    if any(what == name for what, _ in _imported(inside)):
        return True
    known = [*_imported(inside), *_imported(imports)]
    modules = {module} | {bound for what, bound in known if what == module}
    names = {bound for what, bound in known if what == name}
    bases = getattr(tree, "bases", [])
    return any(isinstance(node, ast.Attribute) and node.attr == name and ast.unparse(node.value).split(".")[-1] in modules or
               # its own name may be a recursion, or super(GVP, self)
               isinstance(node, ast.Name) and node.id in names and (node.id != name or node in bases) for node in inside)


def _imported(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """What import lines take from the course, and the names that they give to it."""
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            *of, what = f"{getattr(node, 'module', None) or ''}.{alias.name}".strip(".").split(".")
            if "course_utils" in of:
                yield what, alias.asname or what
