"""What lies under the microscope: quantities, inputs from generic to degenerate and crowded, and the motions
tried on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from ..graphs import require_batch, require_edge_index
from ..symmetry import KINDS, act, irreps_dim, random_reflection, random_rotation, rotation_about
from . import irreps

NODES = {"generic": 10, "wide": 10, "crowded": 40, "one point": 1, "coincident": 10, "collinear": 9,
         "planar": 10, "symmetric": 6}
OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)]).double()
GRID = 2.0**12  # points and shifts are multiples of 1 / GRID, so that their sums are exact in float32, too
SHIFT = 2.0**8


@dataclass(frozen=True)
class Quantity:
    """An input or output: one for each "node" or "edge", or for the "graph"; its kind and its channels.

    The kind is one of `symmetry.KINDS`, or features as e3nn writes them, such as "2e" or "8x0e + 4x1o".
    """

    level: str
    kind: str
    channels: tuple[int, ...] = ()

    @classmethod
    def read(cls, text: str) -> Quantity | str:
        """From words: "node vector 4" is (num_nodes, 4, 3). "edge_index" and "batch" stand for themselves.
        """
        if text in ("edge_index", "batch"):
            return text
        level, *words = text.split() or [""]
        channels = []
        while words and words[-1].isdecimal():
            channels.insert(0, int(words.pop()))
        if level not in ("node", "edge", "graph") or not words:
            raise ValueError(f"{text!r} is no quantity; expected a level and a kind, and channels if there are some, as "
                             'in "node vector 4" or "graph scalar"; or "edge_index" or "batch".')
        kind = " ".join(words)
        if kind not in KINDS:
            try:
                irreps_dim(kind)
            except ValueError:
                raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}; or features as e3nn writes "
                                 'them, such as "2e" or "8x0e + 4x1o".') from None
        return cls(level, kind, tuple(channels))

    def __str__(self):
        return f"{self.level} {self.kind}"

    @property
    def axes(self) -> tuple[int, ...]:
        """The last axes of its values."""
        return (3,) * KINDS[self.kind] if self.kind in KINDS else (irreps_dim(self.kind),)

    @property
    def widths(self) -> list[int]:
        """How many numbers belong together: all components; of features as e3nn writes them, those of each.
        """
        return [prod(self.axes)] if self.kind in KINDS else [2 * l + 1 for l, _ in irreps.terms(self.kind)]

    @property
    def degrees(self) -> set[int]:
        if self.kind in KINDS:
            return {KINDS[self.kind]}
        return {l for l, _ in irreps.terms(self.kind)}

    @property
    def moves(self) -> Tensor:
        """Of each component, whether some rotation or reflection changes it."""
        if self.kind in KINDS:
            return torch.full(self.axes, self.kind != "scalar")
        of_each = [torch.full((2 * l + 1,), (l, parity) != (0, 1)) for l, parity in irreps.terms(self.kind)]
        return torch.cat(of_each)


@dataclass(frozen=True)
class Case:
    """One input: the values in the order of f's arguments, the graph that they live on, and how far it is
    shifted.
    """

    name: str
    values: list[Tensor]
    edge_index: Tensor
    batch: Tensor
    shift: float = SHIFT


def rows(level: str, edge_index: Tensor, batch: Tensor, batched: bool) -> tuple[int, ...]:
    """The first axis of a quantity of that level; that of a single graph has none."""
    num_graphs = (int(batch[-1]) + 1,) if batched else ()
    return {"node": (len(batch),), "edge": (edge_index.shape[1],), "graph": num_graphs}[level]


@dataclass(frozen=True)
class Motion:
    """Node p[i] comes to place i, edge q[i] to place i, and the points go to R x + b. It acts on quantities
    of float64.
    """

    p: Tensor
    q: Tensor
    R: Tensor
    b: Tensor

    def act(self, what: Quantity | str, value: Tensor) -> Tensor:
        if what == "edge_index":
            return self.p.argsort()[value][:, self.q]
        if what == "batch":
            return value  # nodes change places within their graph
        if value.is_complex():
            unshifted = replace(self, b=0 * self.b)
            return torch.complex(self.act(what, value.real), unshifted.act(what, value.imag))
        order = {"node": self.p, "edge": self.q}.get(what.level)
        value = value if order is None else value[order]
        if what.kind in KINDS:
            return act(what.kind, self.R, self.b, value)
        return irreps.act(what.kind, self.R, value)


def draw_motion(test: str, case: Case, random: torch.Generator, axis: Tensor | None = None) -> Motion:
    """One that does what the test says and nothing else: a permutation (of nodes, edges or both), a shift,
    or a rotation.

    With ``axis`` the rotation is about that, by an angle from 0.3 to 6.
    """
    p, q = torch.arange(len(case.batch)), torch.arange(case.edge_index.shape[1])
    R, b = torch.eye(3).double(), torch.zeros(3).double()
    if test in ("permutation", "node order"):
        p = torch.randperm(len(p), generator=random)
        p = p[case.batch[p].argsort(stable=True)]
    if test in ("permutation", "edge order"):
        q = torch.randperm(len(q), generator=random)
    if test == "translation":
        b = case.shift * (normal((3,), random) * SHIFT * GRID).round() / (SHIFT * GRID)
    if test in ("rotation", "reflection"):
        R = (random_rotation if test == "rotation" else random_reflection)((), random, torch.float64)
    if axis is not None:
        R = rotation_about(axis, 0.3 + 5.7 * torch.rand((), generator=random, dtype=torch.float64))
    if test == "small rotation":
        R = rotation_about(normal((3,), random), 1e-4)
    if test == "cycle of axes":
        R = R.roll(1, 0)
    return Motion(p, q, R, b)


def spoil(test: str, what: Quantity | str, value: Tensor, random: torch.Generator) -> Tensor:
    """The control's near miss: some nodes and edges replace others, or everything that rotates has noise on
    it.
    """
    if test in ("permutation", "batching") and what != "batch" and (what == "edge_index" or what.level != "graph"):
        axis = int(what == "edge_index")
        size = value.shape[axis]
        kept = torch.randperm(size, generator=random)[:(size + 1) // 2]
        value = value.index_select(axis, kept.repeat(2)[:size])
    if test == "permutation" or isinstance(what, str):
        return value
    return value + normal(value.shape, random) * what.moves


def draw_case(name: str, inputs: list[Quantity | str], random: torch.Generator,
              nodes: int | None = None) -> Case:
    """One of `NODES`: the last node has no edge, the one before receives none; with a batch, three graphs,
    one per node.
    """
    n = nodes or NODES[name]
    batch = torch.zeros(n, dtype=torch.int64)
    if "batch" in inputs and n > 6:
        batch = torch.arange(3).repeat_interleave(torch.tensor([n // 2, 1, n - n // 2 - 1]))
    joined = torch.rand(n, n, generator=random) < 0.7
    joined[:, -2:] = joined[-1] = False
    joined[:2, :2] = True
    joined |= torch.tensor(name == "symmetric")
    edge_index = (joined & (batch[:, None] == batch) & ~torch.eye(n, dtype=torch.bool)).nonzero().T
    center = (normal((3,), random) * GRID).round() / GRID

    def value(what):
        if isinstance(what, str):
            return {"edge_index": edge_index, "batch": batch}[what]
        shape = (*rows(what.level, edge_index, batch, "batch" in inputs), *what.channels)
        numbers = normal((*shape, *what.axes), random)
        if what.kind not in KINDS:
            return _features(name, what.kind, numbers, random)
        if what.kind in ("scalar", "pseudoscalar"):
            return torch.ones_like(numbers) if name == "symmetric" else numbers
        points = numbers.reshape(prod(shape), 3 ** (KINDS[what.kind] - 1), 3)
        numbers = cloud(name, points).reshape(numbers.shape)
        return (numbers * GRID).round() / GRID + center * (what.kind == "position")

    return Case(name, [value(what) for what in inputs], edge_index, batch)


def _features(name: str, kind: str, numbers: Tensor, random: torch.Generator) -> Tensor:
    """Random features; in a degenerate case the harmonics of vectors that are as degenerate as the case."""
    if name == "wide":
        return 10 * numbers
    if name not in ("coincident", "collinear", "planar", "symmetric"):
        return numbers
    vectors = cloud(name, normal((prod(numbers.shape[:-1]), 1, 3), random))[:, 0]
    features = [irreps.harmonics(l, vectors) for l, _ in irreps.terms(kind)]
    return torch.cat(features, dim=1).reshape(numbers.shape)


def read_example(k: int, inputs: list[Quantity | str], values: Tensor | tuple) -> Case:
    """A case from the user's own values, one for each input. Raises ValueError if they are not what the
    inputs say.
    """
    name, values = f"example {k}", (values,) if isinstance(values, Tensor) else tuple(values)
    words = ", ".join(map(str, inputs))
    if len(values) != len(inputs):
        raise ValueError(f"{name} has {len(values)} values; expected {len(inputs)}: {words}.")
    values = [torch.as_tensor(value).detach().to(torch.int64 if isinstance(what, str) else torch.float64)
              for what, value in zip(inputs, values)]
    # without nodes or edges among the inputs, one node and no edge
    of_level = {what if isinstance(what, str) else what.level: value for what, value in zip(inputs, values)}
    n = len(of_level.get("node", of_level.get("batch", [0])))
    batch = of_level.get("batch", torch.zeros(n, dtype=torch.int64))
    edge_index = of_level.get("edge_index", torch.zeros(2, len(of_level.get("edge", [])), dtype=torch.int64))
    require_batch(batch, n)
    require_edge_index(edge_index, n)
    shift = SHIFT
    for what, value in zip(inputs, values):
        if isinstance(what, str):
            continue
        shape = (*rows(what.level, edge_index, batch, "batch" in inputs), *what.channels, *what.axes)
        if value.shape != shape:
            raise ValueError(f"a {what} of {name} has shape {tuple(value.shape)}; expected {shape}. "
                             f"Its inputs are {words}.")
        if not value.isfinite().all():
            raise ValueError(f"a {what} of {name} has numbers that are not finite; expected finite ones.")
        if what.kind == "position" and value.numel():
            spread = float((value - value.reshape(-1, 3).mean(0)).abs().max())
            shift = 32 * spread or shift  # float32 keeps five digits of the spread
    return Case(name, values, edge_index, batch, shift)


def cloud(name: str, points: Tensor) -> Tensor:
    """Random vectors (count, 1, 3), or tensors (count, 3, 3), made as degenerate as the case's name says."""
    count = torch.arange(len(points))[:, None, None]
    along = (points[..., :1] * GRID / 2).round() * 2 / GRID  # rounding to the grid then leaves them on a line
    return {"wide": 10 * points, "coincident": points * (count > 1),
            "collinear": along * torch.tensor([1.0, -2.0, 0.5]),
            "planar": points * torch.tensor([1.0, 1.0, 0.0]),
            "symmetric": OCTAHEDRON[count[:, 0] % 6].expand_as(points)}.get(name, points)


def normal(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)
