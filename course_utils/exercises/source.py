"""What the source of a function or a class says of it, without running it."""

from __future__ import annotations

import ast


def is_stub(tree: ast.AST) -> bool:
    """Whether it is a function whose body is still a docstring, perhaps, and ``...``, or a class with such a ``forward``."""
    if isinstance(tree, ast.ClassDef):
        tree = method(tree, "forward")
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        return False
    constants = [s.value.value for s in tree.body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)]
    return len(constants) == len(tree.body) <= 2 and constants[-1] is ...


def method(tree: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A class's method, the last of that name as in Python; None where none is written in it."""
    return next((node for node in reversed(tree.body) if isinstance(node, ast.FunctionDef) and node.name == name), None)
