"""What the microscope saw, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # relative to the size of the output
VERDICTS = ("holds", "blind", "fails")


@dataclass
class Row:
    """One test: the worst violation in each dtype with the input it was seen on, and that of the control.

    ``subject`` is the output, or for "gradient" the input, by its number and kind; ``failed`` names the
    inputs on which it failed.
    """

    subject: str
    test: str
    worst: dict[torch.dtype, tuple[float, str]]
    control: float
    cause: str = ""
    tolerance: dict[torch.dtype, float] = None
    failed: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """ "holds", "fails", or "blind" where the control, which must fail, does not."""
        if any(not size <= (self.tolerance or TOLERANCE)[dtype] for dtype, (size, _) in self.worst.items()):
            return "fails"
        return "holds" if self.control > 100 * TOLERANCE[torch.float64] else "blind"


@dataclass
class Report:
    """The table, which is also its text. ``holds`` is True where every row holds and there is no fault
    besides.
    """

    rows: list[Row]
    faults: list[str]
    remarks: list[str]

    @property
    def holds(self) -> bool:
        return not self.faults and all(row.verdict == "holds" for row in self.rows)

    def __getitem__(self, test: str) -> Row:
        """The row of a test such as "rotation"; of several outputs, the one where it went worst."""
        rows = [row for row in self.rows if row.test == test]
        if not rows:
            tests = ", ".join(dict.fromkeys(row.test for row in self.rows))
            raise KeyError(f"{test!r} was not tried; there are rows for {tests}.")
        return max(rows, key=lambda row: (VERDICTS.index(row.verdict), max(row.worst.values())))

    def __repr__(self):
        lines = [f"{'':26}{'':13}{'':7}{'float64 on':21}{'float32 on':21}{'control':>8}"]
        for row in self.rows:
            shown = "".join(f"{size:7.0e} {name:13}" for size, name in row.worst.values())
            lines.append(f"{row.subject:26}{row.test:13}{row.verdict:7}{shown:42}{row.control:8.0e}")
        for cause in dict.fromkeys(row.cause for row in self.rows if row.cause):
            tests = dict.fromkeys(row.test for row in self.rows if row.cause == cause)
            lines.append(f"{', '.join(tests)}: {cause}")
        blind = dict.fromkeys(f"{row.subject}, {row.test}" for row in self.rows if row.verdict == "blind")
        if blind:
            lines.append(f"blind ({'; '.join(blind)}): nothing changes even where the control spoils what "
                         "moves. The output does not see it, and the result says nothing.")
        return "\n".join(lines + self.faults + [f"Not counted: {remark}" for remark in self.remarks])
