"""Every figure of the course, in one look.

A figure is an SVG in the page: its text takes the page's own colour, so it is readable on white and on black and at any
size, and a screen reader is told the alt text. Colours are mid-tones with a contrast of at least 3 to 1 against both;
markers, dashes or labels always say the same as the colour.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from . import recorded
from .datasets import Molecule
from .graphs import Graph
from .systems.nbody import Trajectories

COLOURS = ("#2a7fc0", "#c9621a", "#25936a", "#a763bd", "#8c7a12")
MARKERS = ("o", "s", "D", "^", "v")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
GREY = "#858585"
_INK = "#0a0b0c"  # stands for the page's text colour until the SVG is written

_STYLE = {
    "font.size": 13, "axes.titlesize": 14, "axes.labelsize": 13,
    "text.color": _INK, "axes.labelcolor": _INK, "axes.titlecolor": _INK, "axes.edgecolor": GREY,
    "xtick.color": _INK, "ytick.color": _INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "lines.linewidth": 2.2, "lines.markersize": 8, "svg.fonttype": "path", "svg.hashsalt": "course",
}


class Picture:
    """A figure and its alt text, which is shown by being the last line of a cell."""

    def __init__(self, html: str, alt: str):
        self.html, self.alt = html, alt

    def __repr__(self):
        return f"[Figure: {self.alt}]"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html, "text/plain": repr(self)}


def picture(draw: Callable[[Axes], None], alt: str, width: float = 6.4, height: float = 4.0,
            columns: int = 1) -> Picture:
    """Let ``draw`` draw on axes of that size in inches, and return the figure. With several columns there is an
    array of axes, which share the vertical one."""
    with matplotlib.rc_context(_STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        draw(fig.subplots(1, columns, sharey=True))
        stream = io.StringIO()
        fig.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(_inline(stream.getvalue(), alt, width), alt)


def _inline(svg: str, alt: str, width: float) -> str:
    svg = svg[svg.index("<svg"):].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # Several figures stand in one page, and an id must be unique in it.
    own = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}", svg)
    box = re.search(r'viewBox="([^"]*)"', svg).group(1)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(alt)}" '
            f'style="width:{width * 96:.0f}px;max-width:100%;height:auto">{svg[svg.index(">", svg.index("<svg")) + 1:]}')


def row(*pictures: Picture) -> Picture:
    """Pictures side by side, or below each other where the page is narrow."""
    inside = "".join(f'<div style="flex:0 1 auto;min-width:0">{p.html}</div>' for p in pictures)
    html = f'<div style="display:flex;flex-wrap:wrap;align-items:center;gap:1em">{inside}</div>'
    return Picture(html, " ".join(p.alt for p in pictures))


def layout(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Positions for drawing a graph: (num_nodes, 2) in 0..1, the same every time; components stand side by side."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(num_nodes))
    graph.add_edges_from(edge_index.T.tolist())
    xy, right = np.zeros((num_nodes, 2)), 0.0
    for part in nx.connected_components(graph):
        part = sorted(part)
        found = nx.kamada_kawai_layout(graph.subgraph(part))
        at = len(part) ** 0.5 * np.array([found[i] for i in part])  # about the same area for each node
        at[:, 1] -= (at[:, 1].min() + at[:, 1].max()) / 2
        xy[part] = at + [right - at[:, 0].min(), 0]
        right = xy[part, 0].max() + 1.2
    span = np.maximum(xy.max(0) - xy.min(0), 1e-9)
    return torch.tensor((xy - xy.min(0)) / span, dtype=torch.float32)


def graph(edge_index: Tensor, positions: Tensor, alt: str, *, labels: Sequence[str] | None = None,
          groups: Sequence[int] | None = None, group_names: Sequence[str] = (), directed: bool = False, title: str = "",
          marked: Sequence[int] = (), width: float = 4.8, height: float = 4.2) -> Picture:
    """A small graph. ``groups`` gives each node a colour and a shape, ``marked`` nodes a second rim; a label of more than
    two characters stands beside its node, away from the edges."""
    num_nodes = len(positions)
    groups = [0] * num_nodes if groups is None else [int(g) for g in groups]
    xy = positions.numpy()
    size = 15 if num_nodes <= 12 else 11 if num_nodes <= 40 else 7

    def draw(ax):
        edges = set(map(tuple, edge_index.T.tolist()))
        for v, u in edges:
            if directed:
                bend = "arc3,rad=0.14" if (u, v) in edges else "arc3"
                ax.add_patch(FancyArrowPatch(xy[v], xy[u], arrowstyle="-|>", mutation_scale=16, color=GREY, lw=1.6,
                                             shrinkA=size * 0.75, shrinkB=size * 0.75, connectionstyle=bend, zorder=1))
            elif (u, v) not in edges or v < u:
                ax.plot(*xy[[v, u]].T, color=GREY, lw=1.2, zorder=1)
        for k in sorted(set(groups)):
            members = [i for i, g in enumerate(groups) if g == k]
            ax.plot(*xy[members].T, MARKERS[k], color=COLOURS[k], markersize=size * 1.25, lw=0, zorder=2,
                    label=group_names[k] if group_names else None)
        for i in marked:
            ax.plot(*xy[i], "o", markersize=size * 1.9, markerfacecolor="none", markeredgecolor=_INK, markeredgewidth=1.6)
        for i, text in enumerate(map(str, labels if labels is not None else ())):
            if len(text) <= 2:
                ax.text(*xy[i], text, ha="center", va="center", color="black", fontsize=size * 0.75, weight="bold", zorder=3)
            else:
                x, y = _widest_gap(xy[list({u for v, u in edges if v == i} | {v for v, u in edges if u == i})] - xy[i])
                ax.annotate(text, xy[i], (1.1 * size * x, 1.1 * size * y), textcoords="offset points",
                            ha="left" if x > 0.4 else "right" if x < -0.4 else "center",
                            va="bottom" if y > 0.4 else "top" if y < -0.4 else "center")
        if group_names:
            ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(group_names), handletextpad=0.2)
        ax.set_title(title)
        ax.set_axis_off()
        ax.margins(0.12)
        ax.set_aspect("equal")

    return picture(draw, alt, width, height)


def _widest_gap(neighbours: np.ndarray) -> tuple[float, float]:
    """The direction in the middle of the widest angle between neighbours (n, 2), given relative to a node."""
    if not len(neighbours):
        return 0.0, -1.0
    angles = np.sort(np.arctan2(neighbours[:, 1], neighbours[:, 0]))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    middle = angles[gaps.argmax()] + gaps.max() / 2
    return np.cos(middle), np.sin(middle)


def named(letter: str, values: Sequence[float]) -> list[str]:
    """A label for each node that gives its number and its value: "h₂ = -1"."""
    digits = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"{letter}{str(u).translate(digits)} = {float(value):.4g}" for u, value in enumerate(values)]


def by_name(names: Sequence[str]) -> list[int]:
    """A group for each different name, in alphabetical order, for `graph`."""
    order = sorted(set(names))
    return [order.index(name) for name in names]


def seen_around_centre(m: Molecule, up: str) -> Tensor:
    """The atoms as seen from the side of the hydrogen on the stereocentre, with the bond to the element ``up`` upwards.

    Returns (num_atoms, 2), x to the right and y upwards, in angstrom, with the stereocentre at 0.
    """
    x = m.graph.x - m.graph.x[m.stereocentre]
    around = m.graph.edge_index[1, m.graph.edge_index[0] == m.stereocentre]
    towards_viewer = torch.nn.functional.normalize(-x[around].sum(0), dim=0)
    above = x[next(i for i in around.tolist() if m.graph.names[i] == up)]
    above = torch.nn.functional.normalize(above - (above @ towards_viewer) * towards_viewer, dim=0)
    return x @ torch.stack([torch.linalg.cross(above, towards_viewer), above], dim=1)


def molecule(m: Molecule, alt: str, *, up: str, title: str = "") -> Picture:
    """A molecule with one stereocentre, as `seen_around_centre`."""
    return graph(m.graph.edge_index, seen_around_centre(m, up), alt, labels=m.graph.names, groups=by_name(m.graph.names),
                 title=title, width=3.8, height=3.4)


def matrix(A: Tensor, alt: str, *, title: str = "", ylabel: str = "source v", xlabel: str = "target u",
           blocks: Sequence[tuple[str, int]] = (), width: float = 3.8, height: float = 3.8) -> Picture:
    """An adjacency matrix, a filled square for each edge. ``blocks`` names runs of rows: (name, number of rows)."""
    present = (A != 0).numpy()

    def draw(ax):
        pixels = np.zeros((*present.shape, 4))
        pixels[present] = matplotlib.colors.to_rgba(COLOURS[0])
        ax.imshow(pixels, interpolation="nearest")
        ends = np.cumsum([n for _, n in blocks])
        for end in ends[:-1]:
            ax.axhline(end - 0.5, color=GREY, lw=1)
            ax.axvline(end - 0.5, color=GREY, lw=1)
        if blocks:
            middles = ends - np.array([n for _, n in blocks]) / 2
            ax.set_yticks(middles, [name for name, _ in blocks])
            ax.set_xticks(middles, [name for name, _ in blocks], rotation=45)
        else:
            ticks = range(len(A)) if len(A) <= 10 else []
            ax.set_xticks(ticks)
            ax.set_yticks(ticks)
        for side in ax.spines.values():
            side.set_visible(True)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)

    return picture(draw, alt, width, height)


def bars(values: Mapping[str, Sequence[float]], alt: str, *, xlabel: str, blind: float | None = None, percent: bool = True,
         title: str = "", top: float | None = None, published: Mapping[str, float] | None = None, width: float = 6.8) -> Picture:
    """One bar a method, as long as the mean over its values; each value (a seed, say) is a dot, the mean is written out.

    ``blind`` draws a line at what a guess that ignores its input reaches; ``top`` fixes the end of the axis; ``published`` are
    values from elsewhere, drawn as hollow diamonds.
    """
    published = published or {}
    names, height = list(values), 1.5 + 0.5 * len(values)
    top = top or max(*published.values(), *(max(v) for v in values.values()))

    def draw(ax):
        for y, (name, v) in enumerate(values.items()):
            ax.barh(y, np.mean(v), color=COLOURS[0], height=0.6, alpha=0.55)
            if len(v) > 1:
                ax.plot(v, [y] * len(v), "|", color=_INK, markersize=13, markeredgewidth=1.5)
            text = f"{np.mean(v):.0%}" if percent else f"{np.mean(v):.2f}"
            end = max(*v, np.mean(v))
            if name in published:
                ax.plot(published[name], y, "D", markersize=11, markerfacecolor="none", markeredgecolor=COLOURS[1], markeredgewidth=2.5)
                if end < published[name] + 0.02 * top and published[name] < end + 0.14 * top:
                    end = published[name] + 0.02 * top  # the diamond would lie on the text
            if blind is not None and end <= blind < end + 0.1 * top:
                end = blind  # the line would cross the text
            ax.text(end + (0.035 if len(v) > 1 else 0.02) * top, y, text, va="center", weight="bold")
        if blind is not None:
            ax.axvline(blind, color=COLOURS[1], ls="--")
            ax.text(blind, -0.75, " blind guess ", color=_INK, ha="right" if blind > 0.35 * top else "left", va="center")
        ax.set_xlabel(xlabel, loc="right")
        ax.set(title=title, xlim=(0, top * 1.12), ylim=(len(names) - 0.4, -1.1 if blind is not None else -0.6))
        ax.set_yticks(range(len(names)), names)
        if percent:
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")

    return picture(draw, alt, width, height)


def in_words(values: Mapping[str, Sequence[float]]) -> str:
    """The means that `bars` writes out, for its alt text: "one: 30%; two: 90%."."""
    return "; ".join(f"{name}: {np.mean(v):.0%}" for name, v in values.items()) + "."


def lines(x: Sequence[float], series: Mapping[str, Sequence], alt: str, *, xlabel: str, ylabel: str, percent: bool = False,
          title: str = "", marks: Mapping[str, tuple[float, float]] | None = None, limits: tuple[float, float] | None = None,
          every: int = 1, width: float = 6.8, height: float = 4.0) -> Picture:
    """One line a series, named at its end. A series of shape (len(x), repeats) is drawn as its mean, with the range.

    ``marks`` rings a point of a series, by its name; ``limits`` are those of the vertical axis; of many points each
    ``every``-th has a marker and a tick.
    """

    def draw(ax):
        if limits:
            ax.set_ylim(*limits)
            if limits[0] < 0 < limits[1]:
                ax.axhline(0, color=GREY, lw=1.2)
        ends = {}
        for k, (name, values) in enumerate(series.items()):
            y = np.asarray(values, dtype=float).reshape(len(x), -1)
            ax.plot(x, y.mean(1), marker=MARKERS[k], ls=DASHES[k], color=COLOURS[k], markevery=every)
            if y.shape[1] > 1:
                ax.fill_between(x, y.min(1), y.max(1), color=COLOURS[k], alpha=0.2, lw=0)
            if marks and name in marks:
                ax.plot(*marks[name], MARKERS[k], markersize=15, markerfacecolor=COLOURS[k], markeredgecolor=_INK, markeredgewidth=2)
            ends[name] = y[-1].mean(), COLOURS[k]
        _name_ends(ax, x[-1], ends)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xticks=x[::every])
        if percent:
            ax.yaxis.set_major_formatter(lambda v, _: f"{v:.0%}")

    return picture(draw, alt, width, height)


def _name_ends(ax: Axes, x: float, ends: Mapping[str, tuple[float, str]]) -> None:
    """Names of lines, each (height of its end, colour), to the right of x; where they would overlap, pushed apart."""
    ax.get_ylim()  # until asked for, the limits may be those from before the lines were drawn
    at = -np.inf
    for value, name, colour in sorted((value, name, colour) for name, (value, colour) in ends.items()):
        height = (ax.transData + ax.transAxes.inverted()).transform((x, value))[1]  # 0..1, on any scale
        at = max(height, at + 0.075)
        ax.annotate(name, (x, at), (12, 0), ("data", "axes fraction"), "offset points", va="center", color=colour,
                    weight="bold", annotation_clip=False)


_MORE = ("#c2457c", "#3f8f99", "#8a6d5a")
"""Further colours where there are more than five lines, as steady as `COLOURS`; their markers are others, for who sees no colours."""
_SYMBOLS = dict(zip((*MARKERS, "P", "X", "*"), "●■◆▲▼✚✖★"))
_ERROR = {"crystal": "crystals called by a wrong name", "missing": "error, the best constant has 1",
          "strain": "error, the best constant has 1"}


def recurring(target: str, just_run: Mapping[str, Mapping], size: int, methods: Sequence[str] = (),
              note: str = "") -> Picture:
    """The recurring task (`recurring`): error against the number of examples, and against the angle of turn.

    ``just_run`` holds by method what `recurring.scores` found after training with ``size`` examples: large marks. They
    lie on the recorded curves of the same methods, and of further ``methods``: the median and the range of all seeds. ``note``
    says in what the run differed from the recorded ones.
    """
    record = recorded.load(f"recurring_{target}")
    runs, angles = record["runs"], record["settings"]["angles"]
    known = [key.split(", ") for key in runs if "seed" in key]
    order, sizes, seeds = (list(dict.fromkeys(column)) for column in zip(*known))
    turned_by = [s for s in sizes if "by angle" in runs[f"{order[0]}, {s}, {seeds[0]}"]]
    shown = [m for m in order if m in just_run or m in methods]
    if unknown := [m for m in (*just_run, *methods) if m not in order]:
        raise ValueError(f"nothing is recorded of {', '.join(unknown)}; expected some of {', '.join(order)}.")
    if str(size) not in turned_by:
        raise ValueError(f"no angles are recorded for size {size}; expected one of {', '.join(turned_by)}.")
    counts = [int(s) for s in sizes]
    curves = {m: (np.array([[runs[f"{m}, {s}, {seed}"]["turned"] for seed in seeds] for s in sizes]),
                  np.array([runs[f"{m}, {size}, {seed}"]["by angle"] for seed in seeds]).T) for m in shown}

    def draw(panels):
        ends = {}
        for m in shown:
            k = order.index(m)
            colour, marker, dashes = (*COLOURS, *_MORE)[k], list(_SYMBOLS)[k], DASHES[(k + k // 5) % 5]
            for ax, x, y in zip(panels, (counts, angles), curves[m]):
                ax.plot(x, np.median(y, 1), ls=dashes, color=colour, marker=marker, markersize=5 if k < 5 else 7)
                ax.fill_between(x, y.min(1), y.max(1), color=colour, alpha=0.2, lw=0)
            if m in just_run:
                for ax, x, y in zip(panels, ([size], angles), ([just_run[m]["turned"]], just_run[m]["by angle"])):
                    ax.plot(x, y, marker, color=colour, markersize=11, markeredgecolor=_INK, markeredgewidth=1.8,
                            zorder=3, clip_on=False)
            ends[f"{_SYMBOLS[marker]} {m}"] = np.median(curves[m][1][-1]), colour
        left, right = panels
        left.set_xscale("log", base=2)
        left.set(xlabel="examples to train with, all upright", ylabel=_ERROR[target], xticks=counts,
                 title="tested at random turns")
        left.set_xticks([], minor=True)
        left.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        right.set(xlabel="angle of turn, in degrees", title=f"tested at one angle; {size:,} examples",
                  xticks=[a for a in angles if a % 45 == 0])
        if target == "crystal":
            left.set_ylim(bottom=0)
        else:
            left.set_yscale("log")
        left.yaxis.set_major_formatter(lambda v, _: f"{v:.0%}" if target == "crystal" else f"{v:g}")
        _name_ends(right, angles[-1], ends)
        now = f"just run, {note}" if note else "just run"
        left.figure.suptitle(f"thin: recorded, median and range of {len(seeds)} seeds; large: {now}", fontsize=13)

    def said(m):
        right = curves[m][1]
        now = just_run.get(m)
        live = f"; just run{', ' * bool(note)}{note}, {now['by angle'][0]:.3f} upright and {now['turned']:.3f} at random turns" if now else ""
        return (f"{m}, {size} examples: recorded medians {np.median(right[0]):.3f} upright, "
                f"{np.median(right[-1]):.3f} turned by {angles[-1]} degrees{live}.")

    alt = "Error against the number of examples and against the angle of turn. " + " ".join(map(said, shown))
    return picture(draw, alt, width=9.6, height=4.3, columns=2)


def scatter(points: Tensor, groups: Sequence[int], alt: str, *, title: str = "", group_names: Sequence[str] = (),
            lim: float | None = None, size: float = 8, width: float = 3.0, height: float = 3.0) -> Picture:
    """Points (count, 2) on axes from -lim to lim, by default the farthest just inside, each in its group's colour and shape;
    groups that are named have a legend."""
    lim = lim or 1.1 * points.abs().max().item()

    def draw(ax):
        ax.axhline(0, color=GREY, lw=0.8)
        ax.axvline(0, color=GREY, lw=0.8)
        for k in sorted(set(map(int, groups))):
            members = points[torch.as_tensor(groups) == k].numpy()
            ax.plot(*members.T, MARKERS[k], color=COLOURS[k], markersize=size, lw=0, alpha=0.8,
                    label=group_names[k] if group_names else None)
        if group_names:
            ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(group_names), handletextpad=0.2)
        ax.spines[["bottom", "left"]].set_visible(False)
        ax.set(title=title, xlim=(-lim, lim), ylim=(-lim, lim), aspect="equal", xticks=[], yticks=[])

    return picture(draw, alt, width, height)


_UNIT, _HALF = 36, 175  # pixels a unit of length, and half the width of a panel
_DASHED = f'fill="none" stroke="{GREY}" stroke-width="2.5" stroke-dasharray="4 3"'


def motions(f: Callable[[Tensor], Tensor], x: Tensor, R: Tensor, b: Tensor, alt: str,
            order: Tensor | None = None) -> Picture:
    """Points x (n, 3) and what f makes of them, before (grey, dashed) and after they moved to R x + b, seen along z.

    ``order`` renumbers them too: point order[i] gets number i. An f of shape (n, 3) is drawn as points, (3,) as an arrow
    from the origin, (n,) and () as bars; what is nearer is larger. Written by hand: a slider redraws it at every step.
    """
    moved = x @ R.T + b
    moved = moved if order is None else moved[order]
    before, after = f(x), f(moved)
    output = (_numbers(before.flatten(), after.flatten()) if before.shape[-1:] != (3,) else
              (_points if before.ndim == 2 else _arrow)(before, after, COLOURS[1]))
    panels = {"the points": _points(x, moved, COLOURS[0]), "f of the points": output}
    drawn = "".join(f'<g transform="translate({_HALF + 10 + k * (2 * _HALF + 30)} {_HALF + 30})"><text y="{-_HALF - 10}" '
                    f'text-anchor="middle" font-weight="bold">{title}</text>{inside}</g>'
                    for k, (title, inside) in enumerate(panels.items()))
    width, height = 4 * _HALF + 50, 2 * _HALF + 70
    return Picture(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
                   f'aria-label="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto" font-size="16" '
                   f'fill="currentColor">{drawn}<text x="{width / 2}" y="{height - 10}" text-anchor="middle">'
                   "grey and dashed: before</text></svg>", alt)


_AXES = (f'<path d="M{-_HALF} 0H{_HALF}M0 {-_HALF}V{_HALF}" stroke="{GREY}" stroke-opacity=".6"/>'
         f'<text x="{_HALF}" y="-6" text-anchor="end">x</text><text x="7" y="{12 - _HALF}">y</text>')


def _seen(row: Tensor) -> tuple[float, float, float]:
    """Where a point is drawn, and how large: x to the right, y up, z towards the reader."""
    x, y, z = row.tolist()
    return _UNIT * x, -_UNIT * y, min(max(12.5 + 1.5 * z, 9.5), 17)


def _points(before: Tensor, after: Tensor, colour: str) -> str:
    """Numbered points (n, 3), the farthest first."""
    drawn = [_AXES]
    for rows, style, ink in ((before, _DASHED, "currentColor"), (after, f'fill="{colour}"', "black")):
        for i in rows[:, 2].argsort().tolist():
            x, y, r = _seen(rows[i])
            # Where another point has come to lie on an old one, the old number stands beside it.
            gap, covers = (after - rows[i]).abs().amax(1).min(0)
            aside = 1.1 * r if rows is before and gap < 0.02 and covers != i else 0
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" {style}/><text x="{x + aside:.1f}" '
                         f'y="{y + 5 - aside:.1f}" text-anchor="middle" font-size="15" fill="{ink}">{i}</text>')
    return "".join(drawn)


def _arrow(before: Tensor, after: Tensor, colour: str) -> str:
    """An arrow (3,) from the origin."""
    drawn = [_AXES]
    for row, style in ((before, _DASHED), (after, f'fill="{colour}" stroke="{colour}" stroke-width="3"')):
        x, y, r = _seen(row)
        length = max((x * x + y * y) ** 0.5, 1e-9)
        u, v = x / length * r, y / length * r
        drawn.append(f'<path d="M0 0L{x - u:.1f} {y - v:.1f}M{x:.1f} {y:.1f}L{x - u - v / 2:.1f} {y - v + u / 2:.1f}'
                     f'L{x - u + v / 2:.1f} {y - v - u / 2:.1f}Z" {style}/>')
    return "".join(drawn)


def _numbers(before: Tensor, after: Tensor) -> str:
    """Numbers (n,) as bars to the right of zero, or to the left where they are negative."""
    unit = 90 / max(float(torch.cat([before, after]).abs().max()), 1e-9)
    drawn = [f'<path d="M0 {-_HALF}V{_HALF}" stroke="{GREY}"/>']
    for i, (old, new) in enumerate(zip(before.tolist(), after.tolist())):
        y = (i + 0.5 - len(after) / 2) * 2 * _HALF / max(len(after), 3)
        for value, height, style in ((new, 14, f'fill="{COLOURS[1]}"'), (old, 26, _DASHED)):
            drawn.append(f'<rect x="{min(value, 0) * unit:.1f}" y="{y - height / 2:.1f}" width="{abs(value) * unit:.1f}" '
                         f'height="{height}" {style}/>')
        drawn.append(f'<text x="{_HALF}" y="{y + 5:.1f}" text-anchor="end">{decimals(new)}</text>')
        drawn.append(f'<text x="{-_HALF}" y="{y + 5:.1f}" font-weight="bold">{i}</text>' * (len(after) > 1))
    return "".join(drawn)


def decimals(value: float) -> str:
    """Three of them, and no minus in front of a zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def in_space(x: Tensor, edge_index: Tensor, alt: str, *, groups: Sequence[int] | None = None,
             labels: Sequence[str] = (), ball: tuple[int, float] | None = None, title: str = "",
             frame: tuple[float, float, float, float] | None = None, width: int = 300) -> Picture:
    """Points x (n, 2) or (n, 3), seen along z, and the edges between them; a node without links is a square.

    An edge whose reverse is missing has an arrow head and is dashed. ``ball`` is a node and a radius around it,
    ``frame`` what is to be seen: left, right, bottom, top. Written by hand: a slider redraws it at every step.
    """
    groups = [0] * len(x) if groups is None else groups
    xy, depth = x[:, :2].double().numpy(), (x[:, 2] if x.shape[1] == 3 else torch.zeros(len(x))).tolist()
    reach = ball[1] if ball else 0
    left, right, bottom, top = frame or (xy[:, 0].min(), xy[:, 0].max(), xy[:, 1].min(), xy[:, 1].max())
    unit = (width - 40) / max(right - left, 1e-9)
    at = [(20 + unit * (px - left), 20 + unit * (top - py)) for px, py in xy]
    radius = [min(max(0.2 * unit, 7), 13) * (1 + 0.25 * z) for z in depth]
    height, head = 40 + unit * (top - bottom), 34 if title else 0

    edges = set(map(tuple, edge_index.T.tolist()))
    linked = {node for edge in edges for node in edge}
    drawn = []
    if ball:
        cx, cy = at[ball[0]]
        drawn.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{unit * reach:.1f}" fill="{COLOURS[1]}" '
                     f'fill-opacity=".13" stroke="{COLOURS[1]}" stroke-width="1.5"/>')
    for v, u in sorted(edges, key=lambda edge: depth[edge[0]] + depth[edge[1]]):
        if (u, v) in edges and v < u:
            (x1, y1), (x2, y2) = at[v], at[u]
            drawn.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{GREY}" stroke-width="2"/>')
        elif (u, v) not in edges:
            drawn.append(_arrow_to(at[v], at[u], radius[u] + 2))
    for i in sorted(range(len(x)), key=lambda i: depth[i]):
        (cx, cy), size, colour = at[i], radius[i], COLOURS[groups[i]]
        shape = (f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{size:.1f}"' if i in linked else
                 f'<rect x="{cx - size:.1f}" y="{cy - size:.1f}" width="{2 * size:.1f}" height="{2 * size:.1f}"')
        drawn.append(f'{shape} fill="{colour}" stroke="currentColor" stroke-width="1.2"/>')
        if len(labels):
            drawn.append(f'<text x="{cx:.1f}" y="{cy + 5.5:.1f}" text-anchor="middle" font-weight="bold" '
                         f'fill="black">{labels[i]}</text>')
    heading = _heading(title, width) if title else ""
    return Picture(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + head:.0f}" role="img" '
                   f'aria-label="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto" font-size="16" '
                   f'fill="currentColor"><g transform="translate(0 {head})">{"".join(drawn)}</g>{heading}</svg>', alt)


def _arrow_to(start: tuple[float, float], end: tuple[float, float], gap: float) -> str:
    """A dashed line with a head that stops short of its end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    dx, dy = dx / length, dy / length
    x, y = end[0] - gap * dx, end[1] - gap * dy
    bx, by = x - 10 * dx, y - 10 * dy
    head = "L".join(f"{px:.1f} {py:.1f}" for px, py in (
        (x, y), (bx - 4.5 * dy, by + 4.5 * dx), (bx + 4.5 * dy, by - 4.5 * dx)))
    return (f'<path d="M{start[0]:.1f} {start[1]:.1f}L{bx:.1f} {by:.1f}" stroke="{COLOURS[1]}" stroke-width="2.2" '
            f'stroke-dasharray="5 3"/><path d="M{head}Z" fill="{COLOURS[1]}"/>')


def track(values: Sequence[float], now: int, alt: str, *, xlabel: str, ylabel: str, low: float, high: float,
          width: int = 420, height: int = 300) -> Picture:
    """A curve of evenly spaced values between low and high, and a large mark at number ``now``. Written by hand."""
    inside, foot = width - 70, height - 46

    def at(i):
        return 52 + inside * i / (len(values) - 1), 14 + (foot - 14) * (high - values[i]) / (high - low)

    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in map(at, range(len(values))))
    (cx, cy), zero = at(now), 14 + (foot - 14) * high / (high - low)
    return Picture(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
                   f'aria-label="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto" font-size="16" '
                   'fill="currentColor">'
                   f'<path d="M52 8V{foot}" stroke="{GREY}"/><path d="M52 {zero:.1f}h{inside}" stroke="{GREY}"/>'
                   f'<text x="44" y="{zero + 5:.1f}" text-anchor="end">0</text>'
                   f'<text transform="translate(20 {foot / 2}) rotate(-90)" text-anchor="middle">'
                   f'{escape(ylabel)}</text>'
                   f'<text x="{52 + inside / 2}" y="{foot + 28}" text-anchor="middle">{escape(xlabel)}</text>'
                   f'<path d="M{path}" fill="none" stroke="{COLOURS[0]}" stroke-width="3"/>'
                   f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="8" fill="{COLOURS[1]}" stroke="currentColor" '
                   'stroke-width="1.5"/></svg>', alt)


def decades(x: Sequence[float], series: Mapping[str, Sequence[float]], alt: str, *, xlabel: str, ylabel: str, title: str = "",
            width: float = 6.8, height: float = 4.0) -> Picture:
    """`lines` on two logarithmic axes: a step of a factor of ten is the same everywhere. From 1 on, numbers are written out."""
    def draw(ax):
        ax.set_xscale("log")
        ax.set_yscale("log")
        for k, (name, y) in enumerate(series.items()):
            ax.plot(x, y, marker=MARKERS[k], ls=DASHES[k], color=COLOURS[k])
        _name_ends(ax, x[-1], {name: (y[-1], COLOURS[k]) for k, (name, y) in enumerate(series.items())})
        if min(x) >= 1:
            ax.set_xticks(x, [f"{v:,g}" for v in x])
            ax.set_xticks([], minor=True)
        if min(map(min, series.values())) >= 1:
            ax.yaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)

    return picture(draw, alt, width, height)


def framed(x: Tensor, alt: str, *, arrows: Sequence[Tensor] = (), before: Sequence[Tensor] = (), names: Sequence[str] = (),
           gone: Tensor | None = None, title: str = "", reach: float | None = None, width: int = 230) -> Picture:
    """Points x (n, 3), seen along z, with arrows (3,) from the origin: the axes of a frame, or a label that rotates with them.

    ``before`` are arrows from before something happened, grey and dashed, ``names`` are written at the tips of ``arrows``, and
    ``gone`` (3,) is where a point is missing. Thin lines lead from the origin to the points; nearer points are larger.
    ``reach`` is how far from the origin the picture goes.
    Written by hand: a slider redraws it at every step.
    """
    half = width / 2
    unit = (half - 14) / (reach or 1.15 * max(float(row[:2].norm()) for row in (*x, *arrows, *before)))

    def at(row):
        return half + unit * float(row[0]), half - unit * float(row[1])

    spokes = "".join(f"M{half} {half}L{px:.1f} {py:.1f}" for px, py in map(at, x))
    drawn = [f'<path d="{spokes}" stroke="{GREY}" stroke-opacity=".45"/>']
    for row in x[x[:, 2].argsort()]:
        (px, py), near = at(row), 0.25 * min(max(float(row[2]) * unit / half, -1), 1)
        drawn.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{7.5 * (1 + near):.1f}" fill="{GREY}" fill-opacity="{0.55 + near:.2f}" '
                     'stroke="currentColor"/>')
    if gone is not None:
        px, py = at(gone)
        drawn.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="9" {_DASHED}/>')
    drawn += [_pointer((half, half), at(row), _DASHED) for row in before]
    for k, row in enumerate(arrows):
        drawn.append(_pointer((half, half), at(row), f'fill="{COLOURS[k]}" stroke="{COLOURS[k]}" stroke-width="4"'))
        if names:
            px, py = at(row * (1 + 15 / max(unit * float(row[:2].norm()), 15)))
            drawn.append(f'<text x="{px:.1f}" y="{py + 6:.1f}" text-anchor="middle" font-weight="bold">{escape(names[k])}</text>')
    return _by_hand(drawn, alt, title, width, width)


def particles(q: Tensor, x: Tensor, alt: str, *, v: Tensor | None = None, start: Tensor | None = None,
              guess: Tensor | None = None, title: str = "", reach: float | None = None, width: int = 290) -> Picture:
    """Charged particles x (n, 3) with charges q (n,), seen along z; the lines cross at the origin.

    ``v`` (n, 3) are velocities, arrows from the rim, as long as the way in two units of time; from ``start`` (n, 3) a dashed line leads to x,
    and around ``guess`` (n, 3) there is a ring. ``reach`` is how far from the origin the picture goes. Written by hand.
    """
    half = width / 2
    shown = [part for part in (x, start, guess, None if v is None else x + 2 * v) if part is not None]
    unit = (half - 18) / (reach or max(float(part[:, :2].abs().max()) for part in shown))

    def at(row):
        return half + unit * float(row[0]), half - unit * float(row[1])

    drawn = [f'<path d="M0 {half}H{width}M{half} 0V{width}" stroke="{GREY}" stroke-opacity=".5"/>']
    for i in x[:, 2].argsort().tolist():
        (px, py), colour = at(x[i]), COLOURS[0 if q[i] > 0 else 1]
        if start is not None:
            sx, sy = at(start[i])
            drawn.append(f'<path d="M{sx:.1f} {sy:.1f}L{px:.1f} {py:.1f}" {_DASHED}/><circle cx="{sx:.1f}" cy="{sy:.1f}" r="4" '
                         f'fill="{GREY}"/>')
        if v is not None:
            vx, vy = 2 * unit * float(v[i, 0]), -2 * unit * float(v[i, 1])
            length = max((vx * vx + vy * vy) ** 0.5, 1e-9)
            sx, sy = px + 11 * vx / length, py + 11 * vy / length  # from the rim, or a short one would be hidden
            drawn.append(_pointer((sx, sy), (sx + vx, sy + vy), 'fill="currentColor" stroke="currentColor" stroke-width="2.5"', 9))
        drawn.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="11" fill="{colour}" stroke="currentColor"/><text x="{px:.1f}" '
                     f'y="{py + 6:.1f}" text-anchor="middle" font-size="18" font-weight="bold" fill="black">'
                     f'{"+" if q[i] > 0 else "−"}</text>')
    for row in () if guess is None else guess:
        px, py = at(row)
        drawn.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="15" fill="none" stroke="{COLOURS[2]}" stroke-width="4"/>')
    return _by_hand(drawn, alt, title, width, width)


def trajectories(data: Trajectories, guess: Tensor, seen: Sequence[int], width: int = 270) -> Picture:
    """Some trajectories of `systems.nbody`, by number: from the first to the last step seen, and guess (count n, 3) of the last."""
    guess = guess.view(len(data), -1, 3)
    return row(*[particles(
        data.charges[k], data.x[k, -1], f"Trajectory {k}: start, end and guess; the guess is off by "
        f"{(guess[k] - data.x[k, -1]).norm(dim=1).mean():.2f} in the mean.", start=data.x[k, 0], guess=guess[k],
        title=f"trajectory {k}", width=width) for k in seen])


def clouds(g: Graph, titles: Sequence[str], width: int = 230, marker: bool = False) -> Picture:
    """The clouds of a batch side by side, seen along z on the same scale; g has x, edge_index and batch. With ``marker`` the last
    node of each has another colour, and an M."""
    left, bottom = (g.x[:, :2].amin(0) - 0.2).tolist()
    right, top = (g.x[:, :2].amax(0) + 0.2).tolist()
    sizes = torch.bincount(g.batch).tolist()
    starts = torch.bincount(g.batch).cumsum(0) - torch.bincount(g.batch)
    return row(*[in_space(g.x[g.batch == k], g.edge_index[:, g.batch[g.edge_index[0]] == k] - starts[k],
                          f"{int((g.batch == k).sum())} points and their links: {title}.", title=title, width=width,
                          frame=(left, right, bottom, top), groups=[0] * (sizes[k] - 1) + [int(marker)],
                          labels=[""] * (sizes[k] - 1) + ["M"] if marker else ()) for k, title in enumerate(titles)])


def trails(steps: Sequence[Tensor], alt: str, *, title: str = "", reach: float, width: int = 290) -> Picture:
    """Points, (n, 3) at each of several steps, seen along z: where they are last, and a line from where they were first.

    What leaves the square from -reach to reach is drawn to its rim. Written by hand: a slider redraws it at every step.
    """
    half = width / 2
    unit = half / reach
    drawn = [f'<rect x="1" y="1" width="{width - 2}" height="{width - 2}" fill="none" stroke="{GREY}"/>']
    for way in torch.stack(list(steps), dim=1)[..., :2].double().tolist():
        px, py = way[0]
        path, inside = [(px, py)], True
        for nx, ny in way[1:]:
            t = min([1.0, *((reach * (1 if n > p else -1) - p) / (n - p) for p, n in ((px, nx), (py, ny)) if abs(n) > reach)])
            px, py = px + t * (nx - px), py + t * (ny - py)
            path.append((px, py))
            if t < 1:
                inside = False
                break
        line = "L".join(f"{half + unit * a:.1f} {half - unit * b:.1f}" for a, b in path)
        drawn.append(f'<path d="M{line}" fill="none" stroke="{GREY}" stroke-width="1.2"/>')
        if inside:
            drawn.append(f'<circle cx="{half + unit * px:.1f}" cy="{half - unit * py:.1f}" r="5" fill="{COLOURS[0]}" '
                         'stroke="currentColor"/>')
    return _by_hand(drawn, alt, title, width, width)


def _pointer(start: tuple[float, float], end: tuple[float, float], style: str, size: float = 12.0) -> str:
    """An arrow with a head of that size, or as long as it is."""
    (sx, sy), (px, py) = start, end
    length = max(((px - sx) ** 2 + (py - sy) ** 2) ** 0.5, 1e-9)
    size = min(size, length)
    dx, dy = size * (px - sx) / length, size * (py - sy) / length
    return (f'<path d="M{sx:.1f} {sy:.1f}L{px - dx:.1f} {py - dy:.1f}M{px:.1f} {py:.1f}L{px - dx - dy / 2:.1f} {py - dy + dx / 2:.1f}'
            f'L{px - dx + dy / 2:.1f} {py - dy - dx / 2:.1f}Z" {style}/>')


def _heading(title: str, width: float) -> str:
    """A title in the middle: large enough for the back row, and small enough to fit."""
    size = max(13, min(18, int((width - 8) / (0.58 * len(title)))))
    return f'<text x="{width / 2}" y="20" text-anchor="middle" font-size="{size}" font-weight="bold">{escape(title)}</text>'


def _by_hand(drawn: Sequence[str], alt: str, title: str, width: float, height: float) -> Picture:
    """What was drawn on a sheet of that size, under its title."""
    head = 30 if title else 0
    heading = _heading(title, width) if title else ""
    return Picture(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + head:.0f}" role="img" '
                   f'aria-label="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto" font-size="16" '
                   f'fill="currentColor">{heading}<g transform="translate(0 {head})">{"".join(drawn)}</g></svg>', alt)


def nbody(just_run: float, seen: int, others: Mapping[str, float], forms: Mapping[str, str]) -> Picture:
    """The N-body task (`systems.nbody`): error against the number of trajectories seen in training, on two logarithmic axes.

    ``just_run`` is the error of an EGNN after ``seen`` trajectories, a large mark; ``others`` are errors to compare it with,
    lines across. ``forms`` names the recorded runs that are drawn, by how their keys begin: median and range of all seeds.
    """
    record = recorded.load("nbody")
    runs, per_epoch = record["runs"], 3000
    curves = {}
    for name, begin in forms.items():
        seeds = [run["curve"] for key, run in runs.items() if re.fullmatch(rf"{re.escape(begin)}seed \d", key)]
        curves[name] = (np.array([epoch for epoch, _ in seeds[0]]) * per_epoch,
                        np.array([[value for _, value in curve] for curve in seeds]).T, len(seeds))

    def draw(ax):
        ax.set_xscale("log")
        ax.set_yscale("log")
        for k, (name, (x, y, _)) in enumerate(curves.items()):
            ax.plot(x, np.median(y, 1), ls=DASHES[k], color=COLOURS[k])
            ax.fill_between(x, y.min(1), y.max(1), color=COLOURS[k], alpha=0.2, lw=0)
        for name, value in others.items():
            ax.axhline(value, color=GREY, ls=":")
            ax.text(x[-1], value * 1.06, name, va="bottom", ha="right")
        ax.plot([seen], [just_run], "o", markersize=13, color=COLOURS[0], markeredgecolor=_INK, markeredgewidth=2, zorder=3)
        ax.annotate("just run", (seen, just_run), (0, -22), textcoords="offset points", ha="center", weight="bold")
        _name_ends(ax, x[-1], {name: (np.median(y[-1]), COLOURS[k]) for k, (name, (_, y, _)) in enumerate(curves.items())})
        ax.set(xlabel="trajectories seen in training", ylabel="mean squared error", xlim=(seen / 2.2, x[-1] * 1.05),
               title=f"lines: recorded, median and range of {curves[next(iter(curves))][2]} seeds; mark: just run")
        ax.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")

    alt = (f"Just run, an EGNN after {seen:,} trajectories: {just_run:.4f}. " + "; ".join(f"{k}: {v:.3f}" for k, v in others.items())
           + ". Recorded medians at the end: " + "; ".join(f"{k} {np.median(y[-1]):.4f}" for k, (_, y, _) in curves.items()) + ".")
    return picture(draw, alt, width=8.6, height=4.6)


def arrows_at(x: Tensor, arrows: Tensor, alt: str, *, expected: Tensor | None = None, linked: bool = False,
              labels: Sequence[str] = (), title: str = "", reach: tuple[float, float] = (2.0, 2.0), width: int = 300) -> Picture:
    """Points x (n, 3), seen along z, with an arrow (3,) at each; a point that is nearer is larger.

    ``expected`` (n, 3) are arrows to compare with, grey and dashed, ``linked`` joins each point to the next, ``reach`` is how far
    from the origin the picture goes, to the right and upwards. Written by hand: a slider redraws it at every step.
    """
    unit = (width / 2 - 8) / reach[0]
    height = 2 * unit * reach[1] + 16

    def at(row):
        return width / 2 + unit * float(row[0]), height / 2 - unit * float(row[1])

    drawn = []
    if linked:
        chain = "L".join(f"{px:.1f} {py:.1f}" for px, py in map(at, x))
        drawn.append(f'<path d="M{chain}" fill="none" stroke="{GREY}" stroke-width="5" stroke-opacity=".6"/>')
    span = max(x[:, 2].abs().max().item(), 1e-9)
    for i in x[:, 2].argsort().tolist():
        (px, py), near = at(x[i]), 0.3 * x[i, 2].item() / span
        if expected is not None:
            drawn.append(_pointer((px, py), at(x[i] + expected[i]), _DASHED))
        drawn.append(_pointer((px, py), at(x[i] + arrows[i]), f'fill="{COLOURS[1]}" stroke="{COLOURS[1]}" stroke-width="3.5"'))
        radius = (11 if len(labels) else 7) * (1 + near)
        drawn.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius:.1f}" fill="{COLOURS[0]}" stroke="currentColor"/>')
        if len(labels):
            drawn.append(f'<text x="{px:.1f}" y="{py + 5.5:.1f}" text-anchor="middle" font-weight="bold" fill="black">{labels[i]}</text>')
    return _by_hand(drawn, alt, title, width, height)
