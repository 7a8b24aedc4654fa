"""Files that are written whole or not at all, and that only their owner reads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file; until it is complete, the old one stays. Raises OSError, which names ``path``."""
    write_all({path: content})


def write_all(contents: dict[Path, bytes]) -> None:
    """Write several files, all of them or none: each is complete on the disk before the first takes its
    name."""
    parts: dict[Path, str] = {}
    try:
        for path, content in contents.items():
            with _naming(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle, parts[path] = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
                with open(handle, "wb") as file:
                    file.write(content)
        for path in contents:
            with _naming(path):
                os.replace(parts[path], path)
                del parts[path]
    finally:
        for part in parts.values():
            Path(part).unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(path: Path):
    """An error speaks of the file that was wanted, and not of its temporary name."""
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None
