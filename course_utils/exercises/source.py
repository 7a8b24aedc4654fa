"""What a function's source says of it, without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable


def is_stub(tree: ast.AST) -> bool:
    """Whether it is a function whose body is still a docstring, perhaps, and ``...``, or a class with such a method."""
    if isinstance(tree, ast.ClassDef):
        return any(map(is_stub, tree.body))
    if not isinstance(tree, ast.FunctionDef):
        return False
    constants = [s.value.value for s in tree.body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)]
    return len(constants) == len(tree.body) <= 2 and constants[-1] is ...


def takes_the_library(tree: ast.AST, reference: Callable) -> bool:
    """Whether it names the library's version of what was asked for: ``graphs.degrees``, or an import of it."""
    module, name = reference.__module__, reference.__name__
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == name:
            if ast.unparse(node.value).split(".")[-1] == module.split(".")[-1]:
                return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_utils"):
            if any(alias.name == name for alias in node.names):
                return True
    return False
