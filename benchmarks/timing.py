"""What all benchmarks share: one thread, taking turns, peers that may be missing, the table and the plot.

A module that measures imports this one before it imports torch, which reads the number of threads when it is loaded.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import importlib
import time
from dataclasses import dataclass

import numpy as np
import torch

torch.set_num_threads(1)
HEADER = f"{'':38}{'peer':30}{'ours, ms':>30}{'peer, ms':>32}{'peer / ours':>13}"


@dataclass(frozen=True)
class Row:
    """One line of the table: milliseconds of each repeat, ours and the peer's."""

    what: str
    peer: str
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return float(np.median(self.theirs) / np.median(self.ours))

    def __str__(self):
        return f"{self.what:38}{self.peer:30}{shown(self.ours):>30}{shown(self.theirs):>32}{self.ratio:13.2f}"


def peer(name):
    """The module of a peer, or None and a line that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f'{name} is left out; python -m pip install -c constraints.txt -e ".[bench]" brings it.')
        return None


def take_turns(functions, args, repeats, clock=time.process_time):
    """Milliseconds of each call: a list for each function.

    It is processor time, which on one thread is the time that passes, less what other jobs on the machine take.
    """
    seconds = [[] for _ in functions]
    for _ in range(repeats + 1):  # the first round warms up
        for function, spent in zip(functions, seconds):
            start = clock()
            function(*args)
            spent.append(1e3 * (clock() - start))
    return [spent[1:] for spent in seconds]


def against(what, ours, peers, args, repeats):
    """A row for each of the peers, {name: function}, all of which take turns with ours."""
    spent, *others = take_turns([ours, *peers.values()], args, repeats)
    return [Row(what, name, spent, theirs) for name, theirs in zip(peers, others)]


def shown(milliseconds):
    """Median, and from the fastest to the slowest."""
    middle, low, high = (f"{t:,.2f}" if t < 100 else f"{t:,.0f}"
                         for t in (np.median(milliseconds), min(milliseconds), max(milliseconds)))
    return f"{middle} ({low} to {high})"


def plot(rows, path):
    """All ratios as bars on a log axis that start at 1: to the right ours is faster, to the left the peer."""
    from matplotlib.figure import Figure

    from course_utils.plotting import COLOURS, GREY

    fig = Figure(figsize=(9, 1.2 + 0.28 * len(rows)), layout="constrained")
    ax = fig.subplots()
    ratios = np.array([row.ratio for row in rows])
    slower = ratios < 1
    at = np.arange(len(rows))
    drawn = ax.barh(at, ratios - 1, left=1, height=0.7, color=np.where(slower, COLOURS[1], COLOURS[0]))
    for bar, hatched in zip(drawn, slower):  # the hatch says what the colour says
        bar.set(hatch="///" if hatched else None, edgecolor="white", linewidth=0)
    for y, row in enumerate(rows):
        ax.annotate(f"{row.ratio:,.{2 if row.ratio < 10 else 0}f}  {row.peer}", (max(row.ratio, 1), y), (4, 0),
                    textcoords="offset points", va="center", fontsize=9)
    ax.axvline(1, color=GREY, lw=1.5)
    ax.set_xscale("log")
    low, high = min(ratios.min(), 0.8), max(ratios.max(), 2)
    ax.set(xlim=(low / 1.2, high * (high / low) ** 0.6), ylim=(len(rows) - 0.4, -0.6),
           xlabel="how many times as long as ours the peer takes; hatched: the peer is faster")
    names = [row.what if i == 0 or rows[i - 1].what != row.what else "" for i, row in enumerate(rows)]
    ax.set_yticks(at, names, fontsize=9)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    fig.savefig(path, dpi=150)
