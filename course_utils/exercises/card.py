"""What a check shows: the same lines as HTML in Jupyter and as text elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape

from .verdict import Finding, Verdict

SYMBOLS = {"right": "✓", "wrong": "✗", "hint": "→", "note": "·", "not started": "○", "not yours": "✗",
           "not graded": "○"}
SPOKEN = {"right": "holds: ", "wrong": "does not hold: ", "hint": "hint: ", "note": "note: "}


@dataclass(frozen=True)
class Card:
    """A title and its lines. ``record`` goes into the output's metadata, where tests and tools read it."""

    state: str
    title: str
    findings: tuple[Finding, ...]
    record: dict

    def __repr__(self):
        lines = [f"{SYMBOLS[self.state]} {self.title}"]
        for f in self.findings:
            lines += ["    " + line for line in f.text.splitlines()] if f.kind == "trace" else [
                f"  {SYMBOLS[f.kind]} {f.text}"]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None):
        # nbgrader reads a number off a check cell's text as its points.
        plain = str(self.record.get("points", 0)) if os.environ.get("NBGRADER_EXECUTION") == "autograde" else repr(self)
        return {"text/html": self._html(), "text/plain": plain}, {"course": self.record}

    def _html(self) -> str:
        # Colours are mid-tones that stand out on white and on black alike; text keeps the page's own colour.
        edge = {"right": "#2e9c6f", "not started": "#8a8a8a"}.get(self.state, "#d0661b")
        rows = "".join(map(_row, self.findings))
        return (f'<div class="course-card" role="group" aria-label="{escape(self.title)}" style="border:1px solid {edge};border-left:8px solid '
                f'{edge};border-radius:4px;padding:.5em .9em;margin:.3em 0;max-width:52em;line-height:1.5;color:inherit;'
                f'font-size:15px"><div style="font-weight:600"><span aria-hidden="true">{SYMBOLS[self.state]}</span> '
                f'{_code(self.title)}</div>{rows}</div>')


def _code(text: str) -> str:
    """Escaped, with `backticks` as code."""
    parts = escape(text).split("`")
    return "".join(part if i % 2 == 0 else f"<code>{part}</code>" for i, part in enumerate(parts))


def _row(finding: Finding) -> str:
    if finding.kind == "trace":
        return (f'<pre style="white-space:pre-wrap;overflow-x:auto;margin:.3em 0 .3em 1.6em;padding:.4em .6em;border:1px solid #8a8a8a;'
                f'background:transparent;color:inherit;font-size:.85em">{escape(finding.text)}</pre>')
    weight = "font-weight:500;" if finding.kind == "hint" else ""
    return (f'<div style="display:flex;gap:.5em;margin-top:.25em;{weight}"><span aria-hidden="true">'
            f'{SYMBOLS[finding.kind]}</span><span role="img" aria-label="{SPOKEN[finding.kind]}"></span>'
            f'<span>{_code(finding.text)}</span></div>')


def of_verdict(verdict: Verdict) -> Card:
    """The card of one exercise."""
    said = {"right": "right", "wrong": "not yet", "not started": "not started", "not graded": "not graded",
            "not yours": "this is the library's own function"}[verdict.state]
    points = f"{verdict.points} of {verdict.out_of} point{'s' if verdict.out_of != 1 else ''}"
    record = {"exercise": verdict.exercise, "state": verdict.state, "points": verdict.points,
              "out_of": verdict.out_of, "misconception": verdict.misconception}
    return Card(verdict.state, f"{verdict.exercise}: {said} ({points})", verdict.findings, record)
