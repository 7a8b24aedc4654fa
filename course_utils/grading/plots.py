"""The figures of the class's page. Each says in words what it shows, and markers say the same as colors."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from matplotlib import dates
from matplotlib.axes import Axes

from ..plotting import COLOURS, GREY, Picture, picture, row
from .items import Item


@dataclass(frozen=True)
class Arrival:
    """When a student's file that counts was handed in, its points before anything is taken off, and whether
    it came late."""

    at: datetime
    points: float
    is_late: bool = False


def points(earned: Sequence[float], out_of: float) -> Picture:
    """How many students have how many points; half points are rounded down."""
    counted = Counter(int(number) for number in earned)
    every = range(min(counted), max(int(out_of), *counted) + 1)
    most_first = sorted(counted, reverse=True)
    in_words = ", ".join(f"{counted[number]} with {number}" for number in most_first)
    alt = f"Students by points, out of {out_of:g}: {in_words}."

    def draw(ax):
        drawn = ax.bar(every, [counted[number] for number in every], color=COLOURS[0], alpha=0.7)
        ax.bar_label(drawn, [counted[number] or "" for number in every], weight="bold", padding=2)
        ax.set(xlabel=f"points, out of {out_of:g}", ylabel="students", xticks=every)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.margins(y=0.12)

    return picture(draw, alt, 6.8, 3.0)


def agreement(items: Sequence[Item]) -> Picture | None:
    """How well each exercise agrees with the others; None if that is known of none."""
    known = [item for item in items if item.discrimination is not None]
    if not known:
        return None
    in_words = "; ".join(f"{item.name} {item.discrimination:.2f}" for item in known)
    lowest = min(item.discrimination for item in known)

    def draw(ax):
        ax.axvline(0, color=GREY, lw=1.2)
        for y, item in enumerate(known):
            ax.plot([0, item.discrimination], [y, y], color=COLOURS[0])
            ax.plot(item.discrimination, y, "o", color=COLOURS[0])
            ax.text(item.discrimination + 0.03, y, f"{item.discrimination:.2f}", va="center", weight="bold")
        ax.set_yticks(range(len(known)), [item.name for item in known])
        ax.set(xlim=(min(-0.2, lowest - 0.05), 1.15), ylim=(len(known) - 0.4, -0.6))
        ax.set_xlabel("agreement with the points of the other exercises")

    alt = f"Agreement with the points of the other exercises, at most 1: {in_words}."
    return picture(draw, alt, 6.8, 1.1 + 0.4 * len(known))


def arrivals(
    every: Sequence[Arrival], out_of: float, due: datetime | None = None, verb: str = "handed in"
) -> Picture | None:
    """Points against time, with the due date, and how many files there were by when. None for fewer than
    two moments."""
    in_order = sorted(every, key=lambda arrival: arrival.at)
    times = [arrival.at for arrival in in_order]
    if len(set(times)) < 2:
        return None
    half = _moment(times[(len(times) - 1) // 2])
    due_date = f" Due {_moment(due)}." if due else ""
    of_points = f"Points against the time when files were {verb}: {_in_words(in_order)}.{due_date}"
    stretch = f"from {_moment(times[0])} to {_moment(times[-1])}"
    of_files = f"{len(times)} files, {verb} {stretch}, half of them by {half}."

    def draw_points(ax):
        _time_axis(ax, times, due, verb)
        for is_late, marker, color in ((False, "o", COLOURS[0]), (True, "^", COLOURS[1])):
            some = [arrival for arrival in in_order if arrival.is_late == is_late]
            label = "late" if is_late else "in time"
            x, y = [arrival.at for arrival in some], [arrival.points for arrival in some]
            ax.plot(x, y, marker, color=color, alpha=0.6, label=label)
        if any(arrival.is_late for arrival in in_order):
            ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handletextpad=0.2)
        ax.set(ylabel=f"points, out of {out_of:g}", ylim=(-0.05 * out_of, 1.1 * out_of))

    def draw_files(ax):
        _time_axis(ax, times, due, verb)
        ax.step(times, range(1, len(times) + 1), where="post", color=COLOURS[0])
        ax.set(ylabel="files so far", ylim=(0, None))

    return row(picture(draw_points, of_points, 5.6, 3.4), picture(draw_files, of_files, 5.6, 3.4))


def _time_axis(ax: Axes, times: Sequence[datetime], due: datetime | None, verb: str) -> None:
    zone = times[0].tzinfo
    locator = dates.AutoDateLocator(tz=zone, minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=zone))
    ax.set_xlabel(verb, loc="left")
    if due:
        ax.axvline(due, color=GREY, ls="--")
        ax.text(due, 1.0, "due", transform=ax.get_xaxis_transform(), ha="center", va="bottom")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _in_words(arrivals: Sequence[Arrival]) -> str:
    """Mean points in time and late or, if all or none came late, of the earlier and the later half."""
    first = [arrival.points for arrival in arrivals if not arrival.is_late]
    second = [arrival.points for arrival in arrivals if arrival.is_late]
    names = "in time", "late"
    if not first or not second:
        points = [arrival.points for arrival in arrivals]
        first, second = points[: len(points) // 2], points[len(points) // 2 :]
        names = "in the earlier half", "in the later half"
    halves = zip(names, (first, second))
    parts = [f"{len(some)} {name} with {statistics.fmean(some):.1f}" for name, some in halves]
    return " on average, ".join(parts) + " on average"
