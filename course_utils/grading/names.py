"""Names of students: as files on every system, as cells of a spreadsheet, and as an assistant types them
again."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from .submission import plain

LONGEST = 80  # bytes of a file's name that come from the student's; file systems take 143 to 255 in all
RESERVED = re.compile(r"(con|prn|aux|nul|com.|lpt.)", re.IGNORECASE)  # Windows' devices
FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # what a spreadsheet takes for its beginning


def student(text: str) -> str:
    """A name from a file or a form, written in one way: composed letters, no control characters, no space
    around it."""
    return unicodedata.normalize("NFC", plain(text)).strip()


def file_name(text: str) -> str:
    """A name for a file that no two students share on any system, and that no path hides in.

    A name that would change on some system (capitals, spaces, more than 80 bytes, a device of Windows) gets
    a few characters of its hash.
    """
    short = re.sub(r"[^\w-]+", "_", text).encode()[:LONGEST].decode(errors="ignore")
    if short == text == text.casefold() and not RESERVED.fullmatch(text):
        return short
    return f"{short}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def cell(value):
    """No cell that a spreadsheet takes for a formula: an apostrophe makes it text."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def key(text: str) -> str:
    """The same for a name and for its copy out of a spreadsheet."""
    text = " ".join(student(text).split())
    if text.startswith("'") and text[1:].startswith(FORMULA):
        text = text[1:]
    return text


def nobody(text: str, known: Iterable[str]) -> str:
    """A sentence about a name that is not known, with names like it."""
    close = difflib.get_close_matches(key(text), sorted(known), n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"There is no {text}.{hint}"
