"""Scores in SQLite, written as they come. A run that is killed goes on where it was; several may write at
once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from ..exercises.verdict import Finding, Verdict
from .forms import Form
from .records import ENDINGS, Graded, state_of
from .submission import plain

PATIENCE = 60.0  # seconds that we wait for another program's lock
SIDECARS = ("-wal", "-shm", "-journal")  # files that SQLite keeps beside the database
TABLES = """
create table if not exists setting (name text primary key, value text not null);
create table if not exists submission (
    student text, file text, digest text, notebook text, state text, points real, out_of real, notes text,
    level text, version text, seconds real, graded_at text, primary key (student, file));
create table if not exists verdict (
    student text, file text, exercise text, state text, points real, out_of real, misconception text,
    findings text, version text, graded_at text, primary key (student, file, exercise));
create table if not exists answer (
    student text, file text, exercise text, code text, words text, lines text,
    primary key (student, file, exercise));
create table if not exists mark (
    student text, notebook text, question text, points real, out_of real, comment text,
    primary key (student, notebook, question));
create table if not exists handed_in (
    student text, file text, at text, late integer, primary key (student, file));
"""
OF_SUBMISSION = ("submission", "verdict", "answer")  # tables
OF_FILE = "student = ? and (file = ? or file = ? || ' (' || notebook || ')')"  # of two notebooks, both rows


@dataclass(frozen=True)
class Mark:
    """Points given by hand, for a discussion question."""

    student: str
    notebook: str
    question: str
    points: float | None
    out_of: float
    comment: str = ""


@dataclass(frozen=True)
class Row:
    """One submission as it is in the database; ``handed_in_at`` and ``late`` are what the platform says, if
    it does."""

    student: str
    file: str
    graded: Graded
    level: str
    version: str
    graded_at: str
    handed_in_at: str = ""
    late: bool = False

    @property
    def file_names(self) -> tuple[str, str]:
        """The file's name; the second one without the notebook that is named behind it in a second row."""
        return self.file, self.file.removesuffix(f" ({self.graded.notebook})")


class Scores:
    """The database. ``secret`` is drawn when it is made, and hidden inputs follow from it: keep the file to
    yourself."""

    def __init__(self, path: Path, patience: float = PATIENCE):
        self.path = path
        with self._explained():
            _for_the_owner(path)
            self._db = sqlite3.connect(
                path, timeout=patience, check_same_thread=False, isolation_level=None
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        """Make the tables, or see that they are there and whole. Nothing is written into another program's
        database."""
        existing = {
            name for name, in self._db.execute("select name from sqlite_master where type = 'table'")
        }
        if existing and "setting" not in existing:
            raise Unusable(
                f"{self.path} is no database of scores: it holds {', '.join(sorted(existing))}. {ANOTHER}"
            )
        for (problem,) in self._db.execute("pragma quick_check(1)"):
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
        with contextlib.closing(sqlite3.connect(":memory:")) as pattern:
            pattern.executescript(TABLES)
            for name in sorted(existing):
                expected, columns = _columns(pattern, name), _columns(self._db, name)
                if expected and expected != columns:
                    raise Unusable(
                        f"{self.path} was written by another version of the course: its table {name} has "
                        f"the columns {', '.join(columns)}; expected {', '.join(expected)}. {ANOTHER}"
                    )
        self._db.execute("pragma journal_mode = wal")
        self._db.executescript(TABLES)
        if not self._db.execute("select 1 from setting where name = 'secret'").fetchall():
            self._db.execute("insert or ignore into setting values ('secret', ?)", (secrets.token_hex(16),))
        ((self.secret,),) = self._db.execute("select value from setting where name = 'secret'")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as `Unusable`, with what to do."""
        try:
            yield
        except sqlite3.Error as problem:
            raise Unusable(_sentence(self.path, problem)) from None

    @contextlib.contextmanager
    def _all_at_once(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing. Raises Unusable."""
        with self._explained():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has ended it already
                    self._db.execute("rollback")
                raise

    def done(self, student: str, file: str, content: bytes | None, version_of) -> bool:
        """Whether this content was graded under the exercises' present version. What was not graded is
        tried again."""
        with self._explained():
            rows = self._db.execute(
                f"select digest, notebook, version, state from submission where {OF_FILE}",
                (student, file, file),
            ).fetchall()
        return bool(rows) and all(
            content_then == digest(content) and version == version_of(notebook) and state != "not graded"
            for content_then, notebook, version, state in rows
        )

    def write(
        self, student: str, file: str, content: bytes | None, graded: Graded, level: str, version: str
    ) -> None:
        """All of a submission at once, or nothing. It replaces every row of the file: one that holds two
        notebooks has a second row, whose file is "hw.ipynb (02_message_passing)" and is written after it.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        verdicts = [(student, file, *_values(verdict), version, now) for verdict in graded.verdicts]
        answers = [
            (student, file, exercise, plain(form.code), plain(form.words), form.lines)
            for exercise, form in graded.forms.items()
        ]
        notes = json.dumps(_texts(graded.notes))
        what = graded.notebook, graded.state, graded.points, graded.out_of, notes
        submission = (student, file, digest(content), *what, level, version, graded.seconds, now)
        with self._all_at_once() as db:
            for (old,) in db.execute(
                f"select file from submission where {OF_FILE}", (student, file, file)
            ).fetchall():
                for table in OF_SUBMISSION:
                    db.execute(f"delete from {table} where student = ? and file = ?", (student, old))
            db.executemany("insert into verdict values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", verdicts)
            db.executemany("insert into answer values (?, ?, ?, ?, ?, ?)", answers)
            db.execute(
                "insert or replace into submission values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", submission
            )

    def states(self, student: str, file: str, content: bytes) -> dict[str, str] | None:
        """The states of the exercises of a file, by name; None if it was not graded before, or with another
        content."""
        with self._explained():
            rows = self._db.execute(
                f"select file, digest, state from submission where {OF_FILE}", (student, file, file)
            ).fetchall()
            if not rows or any(then != digest(content) for _, then, _ in rows):
                return None
            states: dict[str, str] = {}
            for name, _, state in rows:
                own = self._db.execute(
                    "select exercise, state from verdict where student = ? and file = ? order by rowid",
                    (student, name),
                ).fetchall()
                if state == "not graded" and not own:
                    return None
                states |= own
        return states

    def regrade(
        self,
        student: str,
        file: str,
        results: Iterable[Graded],
        level: str,
        version_of: Callable[[str], str],
    ) -> None:
        """Replace some verdicts of a file that was graded before. The others stay as they are, and so do
        notes.

        A row whose verdicts are of several versions has a version that joins them, which is never the
        present one; so `done` says that it is to be graded again.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        results = list(results)
        with self._all_at_once() as db:
            rows = db.execute(
                f"select file, notebook from submission where {OF_FILE}", (student, file, file)
            ).fetchall()
            for name, notebook in rows:
                self._replace_verdicts(db, (student, name), results, (level, version_of(notebook)), now)

    def _replace_verdicts(
        self,
        db: sqlite3.Connection,
        key: tuple[str, str],
        results: list[Graded],
        level_and_version: tuple[str, str],
        now: str,
    ) -> None:
        """The verdicts of one row, and what the row says of them all."""
        level, version = level_and_version
        of_row = "where student = ? and file = ?"
        kept = dict(db.execute(f"select exercise, state from verdict {of_row}", key))
        replaced = [(graded, v) for graded in results for v in graded.verdicts if v.exercise in kept]
        if not replaced:
            return
        for _, verdict in replaced:
            exercise, *values = _values(verdict)
            del kept[exercise]
            db.execute(
                "update verdict set state = ?, points = ?, out_of = ?, misconception = ?, findings = ?, "
                f"version = ?, graded_at = ? {of_row} and exercise = ?",
                (*values, version, now, *key, exercise),
            )
        state, notes, level_then = db.execute(
            f"select state, notes, level from submission {of_row}", key
        ).fetchone()
        graded = replaced[0][0]
        ending = graded.state if graded.state in ENDINGS or "wrong" not in kept.values() else state
        every_state = [*kept.values(), *(verdict.state for _, verdict in replaced)]
        every_note = dict.fromkeys([*json.loads(notes), *_texts(graded.notes)])
        points, out_of, versions = db.execute(
            f"select sum(points), sum(out_of), group_concat(distinct version) from verdict {of_row}", key
        ).fetchone()
        levels = _joined([*level_then.split(", "), level])
        values = (points, out_of, json.dumps(list(every_note)), levels, _joined(versions.split(",")))
        db.execute(
            "update submission set state = ?, points = ?, out_of = ?, notes = ?, level = ?, version = ? "
            f"{of_row}",
            (state_of(every_state, ending), *values, *key),
        )

    def rows(self) -> Iterator[Row]:
        """Every submission, by student, notebook and file."""
        with self._explained():
            of_verdicts = self._db.execute(
                "select student, file, exercise, state, points, out_of, misconception, findings "
                "from verdict order by rowid"
            ).fetchall()
            of_submissions = self._db.execute(
                "select student, file, notebook, state, notes, seconds, level, version, "
                "graded_at from submission order by student, notebook, file"
            ).fetchall()
            of_times = self._db.execute("select student, file, at, late from handed_in").fetchall()
        times = {(student, file): (at, bool(late)) for student, file, at, late in of_times}
        verdicts: dict[tuple[str, str], list[Verdict]] = {}
        for student, file, exercise, state, points, out_of, misconception, text in of_verdicts:
            findings = tuple(Finding(*finding) for finding in json.loads(text))
            verdict = Verdict(exercise, state, whole(points), whole(out_of), findings, misconception)
            verdicts.setdefault((student, file), []).append(verdict)
        for student, file, notebook, state, notes, seconds, level, version, graded_at in of_submissions:
            own = tuple(verdicts.get((student, file), ()))
            graded = Graded(notebook, state, own, tuple(json.loads(notes)), seconds)
            row = Row(student, file, graded, level, version, graded_at)
            known = [times[student, name] for name in row.file_names if (student, name) in times]
            at, late = known[0] if known else ("", False)
            yield replace(row, handed_in_at=at, late=late)

    def forms(self) -> dict[tuple[str, str], dict[str, Form]]:
        """The normalized forms of all answers, by exercise, for each student and file."""
        with self._explained():
            lines = self._db.execute("select * from answer order by rowid").fetchall()
        every: dict[tuple[str, str], dict[str, Form]] = {}
        for student, file, exercise, *parts in lines:
            every.setdefault((student, file), {})[exercise] = Form(*parts)
        return every

    def came(self, files: Iterable[tuple[str, str, str, bool]]) -> None:
        """Remember of files when they were handed in, and whether late: student, file, time and LATE."""
        with self._all_at_once() as db:
            db.executemany("insert or replace into handed_in values (?, ?, ?, ?)", files)

    def give(self, marks: list[Mark]) -> None:
        """Add points given by hand; those for the same question are replaced, or taken back where there are
        none."""
        with self._all_at_once() as db:
            db.executemany("insert or replace into mark values (?, ?, ?, ?, ?, ?)", map(astuple, marks))
            db.execute("delete from mark where points is null")

    def marks(self) -> list[Mark]:
        """All points given by hand."""
        with self._explained():
            lines = self._db.execute("select * from mark order by student, notebook, question").fetchall()
        return [
            Mark(*key, whole(points), whole(out_of), comment) for *key, points, out_of, comment in lines
        ]

    def students(self) -> set[str]:
        """Everybody of whom anything is stored."""
        with self._explained():
            return {
                name
                for name, in self._db.execute(
                    "select student from submission union select student from mark"
                )
            }

    def bind(self, notebook: str) -> None:
        """Remember the assignment's notebook. If it was another one, what was unreadable is read again."""
        with self._all_at_once() as db:
            before = db.execute("select value from setting where name = 'notebook'").fetchone()
            if before is None or before[0] != notebook:
                db.execute("delete from submission where state in ('unreadable', 'other notebook')")
                db.execute("insert or replace into setting values ('notebook', ?)", (notebook,))

    def remembered(self) -> str:
        """What `remember` was given; "{}" where nothing was."""
        with self._explained():
            rows = self._db.execute("select value from setting where name = 'report'").fetchall()
        return rows[0][0] if rows else "{}"

    def remember(self, options: str) -> None:
        """Keep the options of a report for the next one."""
        with self._all_at_once() as db:
            db.execute("insert or replace into setting values ('report', ?)", (options,))

    def forget(self, student: str, options: str = "") -> dict[str, int]:
        """Remove all that is stored of a student, from the disk too. Returns how many lines, by table.

        ``options`` are those of the last report without the student, and replace what is remembered.
        """
        removed = {}
        with self._explained():
            self._db.execute("pragma secure_delete = on")
        with self._all_at_once() as db:
            if options:
                db.execute("update setting set value = ? where name = 'report'", (options,))
            for table in (*OF_SUBMISSION, "mark", "handed_in"):
                removed[table] = db.execute(f"delete from {table} where student = ?", (student,)).rowcount
        with self._explained():
            self._db.execute("pragma wal_checkpoint(truncate)").fetchall()
        return removed

    def close(self) -> None:
        self._db.close()


ANOTHER = "Name another file with --scores; everything is then graded again."


class Unusable(RuntimeError):
    """The database cannot be read or written: why, and what to do."""


def _sentence(path: Path, problem: sqlite3.Error) -> str:
    """What went wrong with the database, and the next step."""
    kind = getattr(problem, "sqlite_errorcode", 0) & 0xFF  # the rest is a detail
    kept = "What was graded before is kept."
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"{path} is locked by another program. Is another `course grade` at work, or is the file open "
            f"in a viewer? Close it and run the command again. {kept}"
        )
    if kind == sqlite3.SQLITE_FULL:
        return f"{path} cannot grow: the disk is full. Free some space and run the command again. {kept}"
    if kind in (
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_IOERR,
    ):
        return (
            f"{path} cannot be opened or written ({problem}). Do its folder and the right to write in it "
            f"exist, and is the disk in order?"
        )
    return (
        f"{path} is no database of scores, or it is damaged ({problem}). Go back to a copy of it. {ANOTHER}"
    )


def _for_the_owner(path: Path) -> None:
    """Make the file before SQLite does, readable for its owner only; SQLite gives the files beside it the
    same rights.

    Files that are there already, perhaps left by a run that was killed, are closed to everybody else.
    """
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # no folder, no right to write: SQLite says so in a moment
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in SIDECARS)):
        with contextlib.suppress(OSError):  # another user's
            if file.is_file():
                file.chmod(0o600)


def _texts(notes: Iterable[str]) -> list[str]:
    return [plain(note[:20_000]) for note in notes]


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [line[1] for line in db.execute(f"pragma table_info({table})")]


def _values(verdict: Verdict) -> tuple:
    """A verdict as the columns of its table."""
    findings = json.dumps([[finding.kind, plain(finding.text[:20_000])] for finding in verdict.findings])
    return verdict.exercise, verdict.state, verdict.points, verdict.out_of, verdict.misconception, findings


def digest(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


def whole(number: float) -> float:
    return int(number) if number == int(number) else number
