"""Scores in SQLite, written as they come. A run that is killed goes on where it was; several may write at once."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..exercises.verdict import Finding, Verdict
from .records import Graded
from .submission import plain

TABLES = """
create table if not exists setting (name text primary key, value text not null);
create table if not exists submission (
    student text, file text, digest text, notebook text, state text, points real, out_of real, notes text, level text,
    version text, seconds real, graded_at text, primary key (student, file));
create table if not exists verdict (
    student text, file text, exercise text, state text, points real, out_of real, misconception text, findings text,
    version text, graded_at text, primary key (student, file, exercise));
create table if not exists mark (
    student text, notebook text, question text, points real, out_of real, comment text,
    primary key (student, notebook, question));
"""


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
    """One submission as it stands in the database."""

    student: str
    file: str
    graded: Graded
    level: str
    version: str
    graded_at: str


class Scores:
    """The database. ``secret`` is drawn when it is made, and hidden inputs follow from it: keep the file to yourself."""

    def __init__(self, path: Path):
        try:
            self._db = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(TABLES)
        except sqlite3.DatabaseError as problem:
            raise ValueError(f"{path} is no database of scores ({problem}). Name another file with --scores.") from None
        if not self._db.execute("select 1 from setting").fetchall():
            path.chmod(0o600)
        self._db.execute("insert or ignore into setting values ('secret', ?)", (secrets.token_hex(16),))
        (self.secret,), = self._db.execute("select value from setting where name = 'secret'")

    def done(self, student: str, file: str, content: bytes | None, version_of) -> bool:
        """Whether this content was graded under the exercises' present version. Where the grader failed, or time
        ran out, perhaps on a busy machine, it is tried again."""
        row = self._db.execute("select digest, notebook, version, state from submission where student = ? and file = ?",
                               (student, file)).fetchone()
        return bool(row) and row[0] == digest(content) and row[2] == version_of(row[1]) and (
            row[3] not in ("not graded", "timed out"))

    def write(self, student: str, file: str, content: bytes | None, graded: Graded, level: str, version: str) -> None:
        """All of a submission at once, or nothing."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._db.execute("begin immediate")
        try:
            self._db.execute("delete from verdict where student = ? and file = ?", (student, file))
            self._db.executemany("insert into verdict values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [
                (student, file, v.exercise, v.state, v.points, v.out_of, v.misconception,
                 json.dumps([[f.kind, plain(f.text[:20_000])] for f in v.findings]), version, now) for v in graded.verdicts])
            self._db.execute("insert or replace into submission values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (
                student, file, digest(content), graded.notebook, graded.state, graded.points, graded.out_of,
                json.dumps([plain(note[:20_000]) for note in graded.notes]), level, version, graded.seconds, now))
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise

    def rows(self) -> Iterator[Row]:
        """Every submission, by student, notebook and file."""
        verdicts: dict[tuple, list[Verdict]] = {}
        for student, file, exercise, state, points, out_of, misconception, findings in self._db.execute(
                "select student, file, exercise, state, points, out_of, misconception, findings from verdict order by rowid"):
            verdicts.setdefault((student, file), []).append(Verdict(
                exercise, state, _whole(points), _whole(out_of), tuple(Finding(*f) for f in json.loads(findings)), misconception))
        for student, file, notebook, state, notes, seconds, level, version, graded_at in self._db.execute(
                "select student, file, notebook, state, notes, seconds, level, version, graded_at from submission "
                "order by student, notebook, file").fetchall():
            graded = Graded(notebook, state, tuple(verdicts.get((student, file), ())), tuple(json.loads(notes)), seconds)
            yield Row(student, file, graded, level, version, graded_at)

    def give(self, marks: list[Mark]) -> None:
        """Add points given by hand; those for the same question are replaced, or taken back where there are none."""
        with self._db:
            self._db.executemany("insert or replace into mark values (?, ?, ?, ?, ?, ?)", [tuple(asdict(m).values()) for m in marks])
            self._db.execute("delete from mark where points is null")

    def marks(self) -> list[Mark]:
        """All points given by hand."""
        return [Mark(*who, _whole(points), _whole(out_of), comment) for *who, points, out_of, comment in
                self._db.execute("select * from mark order by student, notebook, question")]

    def close(self) -> None:
        self._db.close()


def digest(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number
