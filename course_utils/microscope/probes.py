"""What lies under the microscope: quantities, inputs from generic to degenerate, and the motions that are tried on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ..symmetry import KINDS, act, random_reflection, random_rotation, require_kind, rotation_about

NODES = {"generic": 10, "wide": 10, "one point": 1, "coincident": 10, "collinear": 9, "planar": 10, "symmetric": 6}
BATCH = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 2, 2])
OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)]).double()
GRID = 2.0**12  # points and shifts are multiples of 1 / GRID, so that their sums are exact in float32 as well


@dataclass(frozen=True)
class Quantity:
    """An input or output: one for each "node" or "edge", or for the "graph"; its kind (see `symmetry.act`), its channels."""

    level: str
    kind: str
    channels: tuple[int, ...] = ()

    @classmethod
    def read(cls, text: str) -> Quantity | str:
        """From words: "node vector 4" is (num_nodes, 4, 3). "edge_index" and "batch" stand for themselves."""
        if text in ("edge_index", "batch"):
            return text
        level, kind, *channels = text.split() if len(text.split()) > 1 else (text, "")
        if level not in ("node", "edge", "graph") or not kind or not all(map(str.isdecimal, channels)):
            raise ValueError(f'{text!r} is no quantity; expected a level and a kind, and channels where there are some, as in '
                             '"node vector 4" or "graph scalar"; or "edge_index" or "batch".')
        require_kind(kind)
        return cls(level, kind, tuple(map(int, channels)))

    def __str__(self):
        return f"{self.level} {self.kind}"


@dataclass(frozen=True)
class Case:
    """One input: the values in the order of f's arguments, and the graph that they live on."""

    name: str
    values: list[Tensor]
    edge_index: Tensor
    batch: Tensor


def rows(level: str, edge_index: Tensor, batch: Tensor, batched: bool) -> tuple[int, ...]:
    """The first axis of a quantity of that level; that of a single graph has none."""
    num_graphs = (int(batch[-1]) + 1,) if batched else ()
    return {"node": (len(batch),), "edge": (edge_index.shape[1],), "graph": num_graphs}[level]


@dataclass(frozen=True)
class Motion:
    """Node p[i] comes to place i, edge q[i] to place i, and the points go to R x + b. It acts on quantities of float64."""

    p: Tensor
    q: Tensor
    R: Tensor
    b: Tensor

    def act(self, what: Quantity | str, value: Tensor) -> Tensor:
        if what == "edge_index":
            return self.p.argsort()[value][:, self.q]
        if what == "batch":
            return value  # nodes change places within their graph
        order = {"node": self.p, "edge": self.q}.get(what.level)
        return act(what.kind, self.R, self.b, value if order is None else value[order])


def draw_motion(test: str, case: Case, random: torch.Generator) -> Motion:
    """One that does what the test says and else nothing: a permutation (of nodes, edges or both), a shift, or a turn."""
    p, q = torch.arange(len(case.batch)), torch.arange(case.edge_index.shape[1])
    R, b = torch.eye(3).double(), torch.zeros(3).double()
    if test in ("permutation", "node order"):
        p = torch.randperm(len(p), generator=random)
        p = p[case.batch[p].argsort(stable=True)]
    if test in ("permutation", "edge order"):
        q = torch.randperm(len(q), generator=random)
    if test == "translation":
        b = (300 * normal((3,), random) * GRID).round() / GRID
    if test in ("rotation", "reflection"):
        R = (random_rotation if test == "rotation" else random_reflection)((), random, torch.float64)
    if test.startswith("turn about"):
        axis = R["xyz".index(test[-1])] if test[-1] in "xyz" else R.sum(0)
        R = rotation_about(axis, 6 * torch.rand((), generator=random, dtype=torch.float64))
    if test == "cycle of axes":
        R = R.roll(1, 0)
    return Motion(p, q, R, b)


def spoil(test: str, what: Quantity | str, value: Tensor, random: torch.Generator) -> Tensor:
    """The control's near miss: some nodes and edges stand in for others, or everything that turns has noise on it."""
    if test in ("permutation", "batching") and what != "batch" and (what == "edge_index" or what.level != "graph"):
        axis = int(what == "edge_index")
        size = value.shape[axis]
        kept = torch.randperm(size, generator=random)[:(size + 1) // 2]
        value = value.index_select(axis, kept.repeat(2)[:size])
    if test == "permutation" or isinstance(what, str) or what.kind == "scalar":
        return value
    return value + normal(value.shape, random)


def draw_case(name: str, inputs: list[Quantity | str], random: torch.Generator) -> Case:
    """One of `NODES`: the last node has no edge, the one before hears of nobody; with a batch, graphs of 5, 1 and 4 nodes."""
    n = NODES[name]
    batch = BATCH[:n] if "batch" in inputs and n > 6 else torch.zeros(n, dtype=torch.int64)
    joined = torch.rand(n, n, generator=random) < 0.7
    joined[:, -2:] = joined[-1] = False
    joined[:2, :2] = True
    joined |= torch.tensor(name == "symmetric")
    edge_index = (joined & (batch[:, None] == batch) & ~torch.eye(n, dtype=torch.bool)).nonzero().T
    centre = (normal((3,), random) * GRID).round() / GRID

    def value(what):
        if isinstance(what, str):
            return {"edge_index": edge_index, "batch": batch}[what]
        shape = (*rows(what.level, edge_index, batch, "batch" in inputs), *what.channels)
        numbers = normal((*shape, *[3] * KINDS[what.kind]), random)
        if what.kind in ("scalar", "pseudoscalar"):
            return torch.ones_like(numbers) if name == "symmetric" else numbers
        numbers = cloud(name, numbers.reshape(prod(shape), 3 ** (KINDS[what.kind] - 1), 3)).reshape(numbers.shape)
        return (numbers * GRID).round() / GRID + centre * (what.kind == "position")

    return Case(name, [value(what) for what in inputs], edge_index, batch)


def cloud(name: str, points: Tensor) -> Tensor:
    """Random vectors (count, 1, 3), or tensors (count, 3, 3), made as degenerate as the case's name says."""
    count = torch.arange(len(points))[:, None, None]
    return {"wide": 10 * points, "coincident": points * (count > 1),
            "collinear": points[..., :1] * torch.tensor([1.0, -2.0, 0.5]),
            "planar": points * torch.tensor([1.0, 1.0, 0.0]),
            "symmetric": OCTAHEDRON[count[:, 0] % 6].expand_as(points)}.get(name, points)


def normal(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)
