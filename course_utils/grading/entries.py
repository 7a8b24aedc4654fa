"""What is in a folder or a zip. Everything is read into memory and nothing is unpacked, so a path inside a
zip can lead nowhere.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .submission import LARGEST

PEEK = 1 << 16  # bytes of a file that show whether it is a notebook
FEEDBACK = b"feedback of course grade"  # the comment of a zip that the grader wrote
# What systems leave behind.
NOBODYS = re.compile(r"(^|/)(__MACOSX(/|$)|\._|(?i:desktop\.ini|thumbs\.db|\.ds_store)$)")


@dataclass(frozen=True)
class Entry:
    """A file where submissions are, or a folder, whose ``read`` is None."""

    name: str
    read: Callable[[], bytes] | None = None
    is_notebook: bool = False
    at: str = ""
    late: bool = False

    @property
    def top(self) -> str:
        """The first part of its path."""
        return self.name.split("/")[0]


def raising(reason: str) -> Callable[[], bytes]:
    """The content of a file that has none: ValueError, with the reason."""

    def content():
        raise ValueError(reason)

    return content


def entries_of(source: Path, leave_out: Collection[Path]) -> Iterable[Entry]:
    """Everything in a folder, a zip or a single file, without the paths in ``leave_out``."""
    if source.is_dir():
        return _in_folder(source, source, leave_out)
    if zipfile.is_zipfile(source):
        return in_zip(source.name, functools.cache(source.read_bytes))
    return [_file(source.name, source)]


def _in_folder(folder: Path, root: Path, leave_out: Collection[Path]) -> Iterator[Entry]:
    """What is below a folder. Links are not followed: a submission could contain one to somewhere else."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            yield Entry(name, raising("it is a link, and links are not followed"), _named_like_one(name))
        elif leave_out and path.resolve() in leave_out:
            continue
        elif path.is_dir():
            yield Entry(name)
            yield from _in_folder(path, root, leave_out)
        elif path.is_file() and not _is_feedback(path):
            yield _file(name, path)


def _is_feedback(path: Path) -> bool:
    """Whether the grader wrote this zip."""
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == FEEDBACK
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _file(name: str, path: Path) -> Entry:
    def read(most: int) -> bytes:
        with open(path, "rb") as file:
            return file.read(most)

    return Entry(name, lambda: _whole(read), _is_notebook(name, read))


def in_zip(name: str, content: Callable[[], bytes], most: int | None = None) -> list[Entry]:
    """What is in a zip; nothing is unpacked before it is asked for, and no more than a notebook may have.
    What a student packed is not kept meanwhile: zips in a zip take little room, and much memory. Of files
    whose names leave it open whether they are notebooks, only the first ``most`` are looked at.
    """

    def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> bytes:
        try:
            with archive.open(member) as file:
                return file.read(size)
        except Exception as problem:  # noqa: BLE001  damaged, encrypted, of an unknown compression
            raise ValueError(f"it cannot be unpacked ({type(problem).__name__}: {problem})") from None

    def read_again(member: zipfile.ZipInfo, size: int) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content())) as archive:
            return read(archive, member, size)

    entries, looked_at = [], 0
    try:
        with zipfile.ZipFile(io.BytesIO(content())) as archive:
            for member in archive.infolist():
                path = member.filename.replace("\\", "/").strip("/")
                if member.is_dir():
                    entries.append(Entry(path))
                    continue
                looked_at += _name_leaves_it_open(path)
                if most is None or looked_at <= most:
                    is_notebook = _is_notebook(path, functools.partial(read, archive, member))
                else:
                    is_notebook = _named_like_one(path)
                whole = functools.partial(_whole, functools.partial(read_again, member))
                entries.append(Entry(path, whole, is_notebook))
    except Exception as problem:  # noqa: BLE001  a broken zip raises many kinds
        raise ValueError(f"{name} is no zip that can be read ({problem})") from None
    return entries


def _whole(read: Callable[[int], bytes]) -> bytes:
    """The content, if it has at most as many bytes as a notebook may have."""
    data = read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MB")
    return data


def _named_like_one(name: str) -> bool:
    return name.lower().endswith(".ipynb") and not NOBODYS.search(name)


def _name_leaves_it_open(name: str) -> bool:
    """Whether a file's name does not tell if it is a notebook: none after a dot, .json, "hw.ipynb.txt",
    "hw.ipynb (1)"."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in (".ipynb", ".zip") or NOBODYS.search(name):
        return False
    return suffix in ("", ".json", ".txt", ".nb") or ".ipynb" in name.lower()


def _is_notebook(name: str, read: Callable[[int], bytes]) -> bool:
    """Whether a file is a notebook, by its name or, where the name leaves it open, by how it begins."""
    if not _name_leaves_it_open(name):
        return _named_like_one(name)
    try:
        start = read(PEEK)
    except (ValueError, OSError):
        return False
    is_json = start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{")
    return is_json and (b'"cells"' in start or b'"nbformat"' in start)
