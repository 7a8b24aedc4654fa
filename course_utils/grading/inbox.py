"""Finding submissions: in a folder of notebooks, a folder with one folder per student, or a zip as Canvas
and Gradescope export it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

import yaml

from .. import exercises
from . import names
from .entries import NOBODYS, Entry, entries_of, in_zip, raising

# "loveada_LATE_101_9001_hw.ipynb"; a text or a link that was typed in is "loveada_101_text.html".
CANVAS = re.compile(r"(?P<name>[^_]+)(?P<late>_(?i:late))?_(?P<id>\d+)_(\d+_|(text|link)\.html$)")
# "Ada Lovelace_300177_assignsubmission_file_", a folder of Moodle's, or the beginning of a file's name
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_")
METADATA = "submission_metadata.yml"  # Gradescope's, at the top of its export
MOST = 200  # notebooks of one student, and files in one zip of theirs that only their beginning tells
ZIPS = 20  # in a zip
# Copies that Jupyter and the course keep, among other hidden files.
ASIDE = re.compile(r"(^|/)\.[^./]|\.kept-\d+\.ipynb$")
OWN = re.compile(r"\.(csv|(sqlite3?|db)(-wal|-shm|-journal)?)$", re.IGNORECASE)  # tables and databases
REPORT = {"class.html", "scores.csv"}  # what makes a folder a report


@dataclass(frozen=True)
class File:
    """One notebook of one student. ``content()`` gives its bytes; ValueError, with the reason, where there
    are none.

    ``at`` is when it was handed in (ISO 8601 with a time zone), where Gradescope says so; ``late``, whether
    Canvas does.
    """

    student: str
    name: str
    content: Callable[[], bytes]
    at: str = ""
    late: bool = False


def submissions(
    source: Path,
    student: str = "",
    leave_out: Collection[Path] = (),
    tell: Callable[[str], object] = lambda sentence: None,
) -> list[File]:
    """The notebooks in a file, a folder or a zip, by student. ValueError where there is nothing at all.

    Students are named by Canvas' file names (``name_id``), by Moodle's, by Gradescope's metadata, by the
    folder that is theirs, or by the file. A student whose folder or zip holds no notebook is listed with a
    file that says so. With ``student``, all files are that student's, however they are named. Files in
    ``leave_out`` are the grader's own. ``tell`` is called with a sentence about everything else that is left
    out.
    """
    if not source.exists():
        raise ValueError(
            f"{source} is not there. Name a notebook, a folder of submissions, or a zip of them."
        )
    entries = list(entries_of(source, {path.resolve() for path in leave_out}))
    owned = [([student], entry) for entry in [Entry(""), *entries]] if student else _owned(entries, tell)
    by_student: dict[str, list[Entry]] = {}
    for owners, entry in owned:
        for owner in owners:
            by_student.setdefault(owner, []).append(entry)
    if not by_student:
        raise ValueError(
            f"{source} holds no file. Name a notebook, a folder of submissions, or a zip of them."
        )
    return [file for owner, handed_in in sorted(by_student.items()) for file in _to_grade(owner, handed_in)]


# Whose is what --------------------------------------------------------------------------------------------


def _owned(entries: list[Entry], tell: Callable[[str], object]) -> Iterator[tuple[list[str], Entry]]:
    """Every entry with the students whose it is, the folders of students among them."""
    base = _class_folder(entries)
    inside = _below_folder(entries, base)
    metadata = next((entry for entry in inside if entry.name == METADATA), None)
    if metadata:
        people = _gradescope(metadata.read())
        nobodys = {folder for folder, (owners, _) in people.items() if not owners}
        for folder in sorted(nobodys | (_folders(inside) - people.keys())):
            tell(f"{folder} has no submitters in {METADATA}; it is left out.")
        for entry in [*map(Entry, people), *inside]:
            if entry.top in people:
                owners, at = people[entry.top]
                yield owners, replace(entry, at=at)
        return
    folders = _folders(inside)
    of_moodle = _moodle({entry.top for entry in inside})
    for entry in [*map(Entry, sorted(folders)), *inside]:
        canvas = CANVAS.match(entry.top)
        if NOBODYS.search(entry.top) or ASIDE.search(entry.top):
            continue
        if canvas:
            owner = names.student(f"{canvas['name']}_{canvas['id']}")
            yield [owner], replace(entry, late=bool(canvas["late"]))
        elif entry.top in of_moodle:
            yield [of_moodle[entry.top]], entry
        elif entry.top in folders:
            yield [names.student(entry.top)], entry
        elif OWN.search(entry.name) or folders and not _may_hold_one(entry):
            tell(f"{entry.name} is not a notebook and is in no student's folder; it is left out.")
        else:
            yield [names.student(PurePosixPath(entry.top).stem)], entry


def _moodle(tops: set[str]) -> dict[str, str]:
    """Folder or file -> student, of those that Moodle named; of two with one name, each with the number."""
    matches = {top: match for top in tops if (match := MOODLE.match(top))}
    numbers: dict[str, set[str]] = {}
    for match in matches.values():
        numbers.setdefault(names.student(match["name"]), set()).add(match["id"])
    owners = {}
    for top, match in matches.items():
        name = names.student(match["name"])
        owners[top] = name if len(numbers[name]) == 1 else f"{name}_{match['id']}"
    return owners


def _below_folder(entries: list[Entry], base: str) -> list[Entry]:
    """What is in a folder, by its path from there, without reports of the grader's."""
    below = [entry for entry in entries if entry.name.startswith(base)]
    inside = [replace(entry, name=entry.name.removeprefix(base)) for entry in below]
    files = {entry.name for entry in inside}
    tops = {entry.top for entry in inside}
    reports = {top for top in tops if {f"{top}/{name}" for name in REPORT} <= files}
    return [entry for entry in inside if entry.name and entry.top not in reports]


def _folders(entries: list[Entry]) -> set[str]:
    """The folders at the top."""
    folders = {entry.top for entry in entries if entry.read is None or "/" in entry.name}
    return {name for name in folders if not NOBODYS.search(f"{name}/") and not ASIDE.search(name)}


def _may_hold_one(entry: Entry) -> bool:
    return entry.is_notebook or entry.name.lower().endswith(".zip")


def _class_folder(entries: list[Entry]) -> str:
    """The folder, with a slash, that holds what the class handed in; "" if it is the outermost one.

    A class may be wrapped in folders of its own. It is where there are several students: folders with
    notebooks, or notebooks that are not one student's copies or one student's set.
    """
    base = ""
    while True:
        inside = _below_folder(entries, base)
        if any(entry.name == METADATA for entry in inside):
            return base
        folders = _folders(inside)
        holders = {entry.top for entry in inside if _may_hold_one(entry) and not ASIDE.search(entry.name)}
        loose = holders - folders
        if len(holders & folders) > 1 or any(CANVAS.match(name) for name in loose):
            return base
        if any(MOODLE.match(name) for name in holders | folders):
            return base
        if loose:
            return base if _of_several(loose) else ""
        if len(folders) != 1:
            return ""
        base += f"{folders.pop()}/"


def _of_several(files: set[str]) -> bool:
    """Whether notebooks side by side are of several students, and not copies or a set of one."""
    stems = sorted((PurePosixPath(name).stem for name in files), key=len)
    copies = all(stem.startswith(stems[0]) for stem in stems)
    notebooks = {exercise.notebook for exercise in exercises.all_exercises().values()}
    of_course = all(any(notebook in stem for notebook in notebooks) for stem in stems)
    return not copies and not of_course


def _gradescope(content: bytes) -> dict[str, tuple[list[str], str]]:
    """Folder -> students and time, from Gradescope's metadata: each student by number, else e-mail, else
    name."""
    people: dict[str, tuple[list[str], str]] = {}
    try:
        table = yaml.load(content, yaml.BaseLoader)  # all values are text: 0077 is not an octal number
        for folder, entry in table.items():
            entry = entry or {}
            submitters = entry.get(":submitters") or []
            owners = [_identity(person, folder) for person in submitters]
            people[folder] = owners, _iso(entry.get(":created_at", ""))
    except Exception as problem:  # noqa: BLE001  a file of another form
        raise ValueError(
            f"{METADATA} is not as Gradescope writes it ({type(problem).__name__}: {problem})."
        ) from None
    return people


def _iso(text: str) -> str:
    """A time in UTC, which it also is where no zone is named; "" where there is none."""
    if not text:
        return ""
    at = datetime.fromisoformat(text.replace(" Z", "Z"))
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()


def _identity(person: dict[str, str], folder: str) -> str:
    known = [person[key] for key in (":sid", ":email", ":name") if person.get(key)]
    return names.student(known[0] if known else folder)


# What a student handed in ---------------------------------------------------------------------------------


def _to_grade(student: str, entries: list[Entry]) -> list[File]:
    """A student's notebooks under names that differ, or one file that says why there are none."""
    files = [file for file in _unpacked(entries) if file.read and not NOBODYS.search(file.name)]
    notebooks = [file for file in files if file.is_notebook]
    visible = [file for file in notebooks if not ASIDE.search(file.name)]
    counted = visible or notebooks  # what Jupyter keeps aside counts where it is all
    when = max(entry.at for entry in entries), any(entry.late for entry in entries)
    if not counted:
        others = [file.name for file in files]
        but = f", but {', '.join(others[:5])}" if others else ""
        reason = (
            f"no notebook was handed in{but}. Hand in the notebook itself, the file that ends in .ipynb"
        )
        return [File(student, others[0] if others else "nothing", raising(reason), *when)]
    if len(counted) > MOST:
        reason = f"there are {len(counted)} notebooks; at most {MOST} are graded"
        return [File(student, files[0].name, raising(reason), *when)]
    taken: set[str] = set()
    return [File(student, _free(file.name, taken), file.read, file.at, file.late) for file in counted]


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where another file of the student has it already: a zip may hold
    two of one name."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    taken.add(free)
    return free


def _unpacked(entries: Iterable[Entry], deep: int = 2) -> Iterator[Entry]:
    """The files, and what is in those that are zips, perhaps of zips."""
    for entry in entries:
        name = names.student(entry.name)
        if not entry.read or not deep or not name.lower().endswith(".zip"):
            yield replace(entry, name=name)
            continue
        try:
            inside = in_zip(name, entry.read, MOST)
        except ValueError as problem:
            yield replace(entry, name=name, read=raising(str(problem)), is_notebook=True)
            continue
        zips = [file for file in inside if file.name.lower().endswith(".zip")][:ZIPS]
        others = [file for file in inside if file not in zips and file.read]
        others.sort(key=lambda file: not file.is_notebook)
        few = zips + others[: 10 * MOST]
        packed = [replace(file, name=f"{name}/{file.name}", at=entry.at, late=entry.late) for file in few]
        yield from _unpacked(packed, deep - 1)
