"""Finding submissions: in a folder of notebooks, a folder with one folder a student, or a zip as Canvas and Gradescope
export it. Everything is read into memory and nothing is unpacked, so a path inside a zip can lead nowhere.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from .submission import LARGEST, plain

CANVAS = re.compile(r"(?P<name>[^_]+)(_LATE)?_(?P<id>\d+)_\d+_")
METADATA = "submission_metadata.yml"  # Gradescope's, at the top of its export
MOST = 200  # files of one student, and in one zip of theirs
NOT_THEIRS = re.compile(
    r"(^|/)(\.[^./]|__MACOSX/|(.*-checkpoint\.ipynb|.*\.kept-\d+\.ipynb|(?i:desktop\.ini|thumbs\.db))$)")


@dataclass(frozen=True)
class File:
    """One notebook of one student. ``content()`` gives its bytes; ValueError, with the reason, where there are none."""

    student: str
    name: str
    content: Callable[[], bytes]


def submissions(source: Path, student: str = "") -> list[File]:
    """The notebooks in a file, a folder or a zip, by student. ValueError where there is nothing at all.

    Students are named by Canvas' file names (``name_id``), by Gradescope's metadata, by the folder that is theirs, or by
    the file. A student whose folder or zip holds no notebook is listed with a file that says so. With ``student``, all
    files are theirs, however they are named.
    """
    if not source.exists():
        raise ValueError(f"{source} is not there. Name a notebook, a folder of submissions, or a zip of them.")
    entries = dict(_in_folder(source) if source.is_dir() else _in_zip(source.name, functools.cache(source.read_bytes))
                   if zipfile.is_zipfile(source) else [(source.name, _sized(source))])
    tops, seconds = ({tuple(name.split("/")[:n]) for name in entries} for n in (1, 2))
    if len(tops) == 1 and len(seconds) > 1 and (source.is_file() or any(second[1] == METADATA for second in seconds)):
        entries = {name.split("/", 1)[1]: content for name, content in entries.items()}  # the folder that was zipped
    people = _gradescope(entries.pop(METADATA, None))

    def whose(first: str, in_folder: bool) -> str:
        canvas = CANVAS.match(first)
        return student or people.get(first) or (
            f"{canvas['name']}_{canvas['id']}" if canvas else first if in_folder else Path(first).stem)

    folders = {path.name for path in source.iterdir() if path.is_dir()} if source.is_dir() and not people else people
    folders = [plain(name) for name in folders if not NOT_THEIRS.search(f"{name}/")]
    by_student: dict[str, list[File]] = {whose(name, True): [] for name in folders}  # an empty one is a student's too
    for name, content in entries.items():
        name = plain(name)
        first, _, rest = name.partition("/")
        one = whose(first, bool(rest))
        by_student.setdefault(one, []).extend(_notebooks(one, name, content))
    if not by_student:
        raise ValueError(f"{source} holds no file. Name a notebook, a folder of submissions, or a zip of them.")
    return [file for one, files in sorted(by_student.items()) for file in _to_grade(one, files)]


def _to_grade(student: str, files: list[File]) -> list[File]:
    """A student's notebooks, or one file that says why there are none."""
    found = [file for file in files if file.name.lower().endswith(".ipynb") or _looks_like_one(file)]
    if len(found) > MOST:
        return [File(student, files[0].name, _raising(f"there are {len(found)} notebooks; at most {MOST} are graded"))]
    what = f", but {', '.join(file.name for file in files[:5])}" if files else ""
    return found or [File(student, files[0].name if files else "nothing", _raising(
        f"no notebook was handed in{what}. Hand in the notebook itself, the file that ends in .ipynb"))]


def _notebooks(student: str, name: str, content: Callable[[], bytes], deep: int = 2) -> Iterator[File]:
    """The file, or what is in it where a student handed in a zip, perhaps of a zip."""
    if not name.lower().endswith(".zip") or not deep:
        yield File(student, name, content)
        return
    try:
        for inner, read in _in_zip(name, content)[:MOST]:
            yield from _notebooks(student, f"{name}/{inner}", read, deep - 1)
    except ValueError as problem:
        yield File(student, f"{name}.ipynb", _raising(str(problem)))


def _raising(reason: str) -> Callable[[], bytes]:
    def content():
        raise ValueError(reason)
    return content


def _looks_like_one(file: File) -> bool:
    """Whether a file of another name holds a notebook."""
    if not re.search(r"\.(json|txt|nb)$|\.ipynb", file.name, re.IGNORECASE) and "." in Path(file.name).name:
        return False
    try:
        return b'"cells"' in file.content() and file.content().lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{")
    except (ValueError, OSError):
        return False


def _in_folder(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files below a folder. Links are not followed: a submission could contain one to somewhere else."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        linked = any(p.is_symlink() for p in (path, *path.parents) if folder in p.parents)
        if linked and not NOT_THEIRS.search(name):
            yield name, _raising("it is a link, and links are not followed")
        elif path.is_file() and not NOT_THEIRS.search(name):
            yield name, _sized(path)


def _sized(path: Path) -> Callable[[], bytes]:
    def content():
        with open(path, "rb") as file:
            return _at_most(file)
    return content


def _at_most(file) -> bytes:
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MB")
    return data


def _in_zip(name: str, content: Callable[[], bytes]) -> list[tuple[str, Callable[[], bytes]]]:
    """The files in a zip; none is unpacked before it is asked for, and no more than a notebook may have. What a student packed
    is not kept meanwhile: zips in a zip take little room, and much memory."""
    try:
        members = zipfile.ZipFile(io.BytesIO(content())).infolist()
    except Exception as problem:  # noqa: BLE001  a broken zip raises many kinds
        raise ValueError(f"{name} is no zip that can be read ({problem})") from None

    def read(member: zipfile.ZipInfo) -> Callable[[], bytes]:
        def unpacked():
            try:
                with zipfile.ZipFile(io.BytesIO(content())) as archive, archive.open(member) as file:
                    return _at_most(file)
            except ValueError:
                raise
            except Exception as problem:  # noqa: BLE001  damaged, encrypted, of an unknown compression
                raise ValueError(f"it cannot be unpacked ({type(problem).__name__}: {problem})") from None
        return unpacked

    return [(member.filename.replace("\\", "/").lstrip("/"), read(member)) for member in members
            if not member.is_dir() and not NOT_THEIRS.search(member.filename)]


def _gradescope(content: Callable[[], bytes] | None) -> dict[str, str]:
    """Folder -> student, from Gradescope's metadata: the student's number, else e-mail, else name."""
    try:
        read = yaml.safe_load(content()) if content else {}
        people = {}
        for folder, entry in read.items():
            person = entry[":submitters"][0]
            known = (person.get(key) for key in (":sid", ":email", ":name"))
            people[folder] = plain(next((str(value) for value in known if value and isinstance(value, str | int)), folder))
        return people
    except Exception as problem:  # noqa: BLE001  a file of another form
        raise ValueError(f"{METADATA} is not as Gradescope writes it ({type(problem).__name__}: {problem}).") from None
