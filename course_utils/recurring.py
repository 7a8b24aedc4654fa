"""The recurring task, method by method: one network, one training budget and one score for each way to treat rotations.

What there is to find out, and the errors, are those of `systems.crystals`. Every method trains on neighbourhoods that stand
upright, as if all crystals had been measured in one orientation, and is tested on turned ones. A method is a network from
`Neighbourhoods` to the answer; some change what the network gets to see:

    method             what it does about rotations
    "coordinates"      nothing: a message passing network that reads positions and displacements
    "augmentation"     the same network sees every batch turned at random, its vectors and tensors with it
    "canonicalization" the same network sees every neighbourhood in its own frame, and its answer is turned back
    "frame averaging"  the mean of the same network over the four PCA frames
    "distances"        the same network reads distances in place of coordinates: invariant, whatever is asked
    "EGNN"             `egnn.EGNN`
    "GVP"              `gvp.GVPNetwork`
    "steerable"        `steerable.SteerableNetwork` with features up to degree 2; needs e3nn
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from course_utils import frames
from course_utils.egnn import EGNN
from course_utils.graph_networks import MPNNLayer, readout
from course_utils.gvp import GVPNetwork, edge_geometry
from course_utils.neighbors import displacements
from course_utils.symmetry import act, random_rotation
from course_utils.systems.crystals import (CRYSTALS, CUTOFF, SCALE, TARGETS, Neighbourhoods, error, neighbourhoods,
                                           traceless)
from course_utils.training import fit, minibatches

BUDGET = {"steps": 300, "batch": 64, "lr": 0.005}
"""The same for every method: steps of Adam, neighbourhoods a step, the rate from which a cosine falls to 0."""

WIDTH, ROUNDS, RADIAL = 32, 2, 24


def head(numbers: int) -> nn.Sequential:
    """From the mean of invariant features over a neighbourhood to the answer.

    fcc and hcp hardly differ in these means, next to bcc or sc. Without the first layer neither distances nor an EGNN nor
    coordinates learned within the budget to tell them apart: 25 % wrong, on two seeds each.
    """
    return nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, numbers))


class Messages(nn.Module):
    """`MPNNLayer`s that read coordinates (positions of nodes, displacements of edges) or only distances."""

    def __init__(self, target: str, coordinates: bool):
        super().__init__()
        self.target, self.coordinates = target, coordinates
        self.embed = nn.Linear(5 if coordinates else 2, WIDTH)
        d_edge = 3 if coordinates else RADIAL
        self.layers = nn.ModuleList(MPNNLayer(WIDTH, WIDTH, d_edge=d_edge, reduce="mean") for _ in range(ROUNDS))
        self.head = head({"crystal": len(CRYSTALS), "missing": 3, "strain": 9}[target])

    def forward(self, data: Neighbourhoods) -> Tensor:
        h, edge_index = data.h, data.edge_index
        if self.coordinates:
            h, edge_attr = torch.cat([h, data.x], dim=1), displacements(data.x, edge_index)
        else:
            edge_attr, _ = edge_geometry(data.x, edge_index, CUTOFF, RADIAL)
        h = self.embed(h)
        for layer in self.layers:
            h = h + layer(h, edge_index, edge_attr)
        out = self.head(readout(h, data.batch, "mean"))
        return traceless(out.view(-1, 3, 3)) if self.target == "strain" else out


class Canonical(nn.Module):
    """A network that sees every neighbourhood in its own frame, and whose answer is turned back."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.target = net, net.target

    def forward(self, data: Neighbourhoods) -> Tensor:
        z, F, c = frames.canonicalize(data.x, data.batch)
        return act(TARGETS[self.target], F, c, self.net(replace(data, x=z)))


class FrameAveraged(nn.Module):
    """The mean of a network over the PCA frames."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.target = net, net.target

    def forward(self, data: Neighbourhoods) -> Tensor:
        def seen(z: Tensor) -> Tensor:
            return self.net(replace(data, x=z))

        return frames.frame_average(seen, data.x, TARGETS[self.target], data.batch)


class EGNNReader(nn.Module):
    """A class is read from f, a vector from where the centre moves, a tensor from x' x'^T, weighted by f."""

    def __init__(self, target: str):
        super().__init__()
        self.target = target
        self.net = EGNN(2, WIDTH, WIDTH, ROUNDS, normalize=True, mean_messages=True, d_edge=RADIAL)
        self.head = head(len(CRYSTALS)) if target == "crystal" else nn.Linear(WIDTH, 1)

    def forward(self, data: Neighbourhoods) -> Tensor:
        h, edge_index = data.h, data.edge_index
        radial, _ = edge_geometry(data.x, edge_index, CUTOFF, RADIAL)
        f, x = self.net(h, data.x, edge_index, data.batch, edge_attr=radial)
        if self.target == "crystal":
            return self.head(readout(f, data.batch, "mean"))
        at_centre = h[:, 0] == 1
        if self.target == "missing":
            return x[at_centre] - data.x[at_centre]
        D = x - x[at_centre][data.batch]
        return traceless(readout(self.head(f)[:, :, None] * D[:, :, None] * D[:, None, :], data.batch, "mean"))


class GVPReader(nn.Module):
    """A class is read from s, a vector from V, a tensor from products of two vectors each."""

    def __init__(self, target: str):
        super().__init__()
        self.target = target
        self.net = GVPNetwork((2, 0), (RADIAL, 1), (WIDTH, 8), (WIDTH, 8), ROUNDS, vector_gate=True)
        self.head = head(len(CRYSTALS)) if target == "crystal" else nn.Linear(8, 1, bias=False)

    def forward(self, data: Neighbourhoods) -> Tensor:
        edge_index, no_vectors = data.edge_index, data.x.new_zeros(len(data.x), 0, 3)
        s, V = self.net(data.h, no_vectors, edge_index, *edge_geometry(data.x, edge_index, CUTOFF, RADIAL))
        if self.target == "crystal":
            return self.head(readout(s, data.batch, "mean"))
        if self.target == "missing":
            return self.head(readout(V, data.batch, "mean").mT)[..., 0]
        return traceless(readout(torch.einsum("nki,nkj->nij", V[:, :4], V[:, 4:]), data.batch, "mean"))


class SteerableReader(nn.Module):
    """A class is read from features of degree 0, a vector from degree 1, a tensor from degree 2."""

    def __init__(self, target: str):
        super().__init__()
        from course_utils.steerable import SteerableNetwork, tensor_of_degree_2

        self.target, self.tensor = target, tensor_of_degree_2
        irreps = {"crystal": f"{WIDTH}x0e", "missing": "1x1o", "strain": "1x2e"}[target]
        self.net = SteerableNetwork(2, 4, irreps, ROUNDS, 2, CUTOFF, neighbours=10, num_radial=RADIAL)
        self.head = head(len(CRYSTALS)) if target == "crystal" else None

    def forward(self, data: Neighbourhoods) -> Tensor:
        out = readout(self.net(data.h, data.x, data.edge_index), data.batch, "mean")
        if self.target == "crystal":
            return self.head(out)
        return self.tensor(out) if self.target == "strain" else out


METHODS: dict[str, Callable[[str], nn.Module]] = {
    "coordinates": lambda target: Messages(target, coordinates=True),
    "augmentation": lambda target: Messages(target, coordinates=True),
    "canonicalization": lambda target: Canonical(Messages(target, coordinates=True)),
    "frame averaging": lambda target: FrameAveraged(Messages(target, coordinates=True)),
    "distances": lambda target: Messages(target, coordinates=False),
    "EGNN": EGNNReader,
    "GVP": GVPReader,
    "steerable": SteerableReader,
}


def train(method: str, target: str, data: Neighbourhoods, seed: int, bar: bool = True, steps: int | None = None) -> nn.Module:
    """The method's network, trained within the `BUDGET` on upright neighbourhoods: data -> answers.

    ``steps`` makes another number of steps, where the budget's takes too long to wait for. Raises ValueError for another method or target.
    """
    if method not in METHODS or target not in TARGETS:
        raise ValueError(f"method is {method!r} and target {target!r}; expected one of {', '.join(METHODS)} and one of "
                         f"{', '.join(TARGETS)}.")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = METHODS[method](target)
    batches = minibatches(len(data), min(BUDGET["batch"], len(data)), generator)

    def loss() -> Tensor:
        few = data[next(batches)]
        if method == "augmentation":
            few = few.turned(generator=generator)
        out, y = model(few), few.answer(target)
        if target == "crystal":
            return nn.functional.cross_entropy(out, y)
        return (out - y).square().flatten(1).sum(1).mean() / SCALE[target]

    fit(model.parameters(), loss, steps or BUDGET["steps"], BUDGET["lr"], bar=bar, cosine=True)
    return model.eval()


def training_set(size: int, seed: int) -> Neighbourhoods:
    """``size`` upright neighbourhoods, others for every seed."""
    return neighbourhoods(size, 1000 + seed)


def test_set(angle: float | None = None) -> Neighbourhoods:
    """The same thousand neighbourhoods for every method, turned uniformly at random, or by an angle in degrees each."""
    upright = neighbourhoods(1000, 0)
    return upright.turned(None if angle is None else math.radians(angle), torch.Generator().manual_seed(0))


ANGLES = (0, 10, 20, 30, 45, 60, 90, 135, 180)
"""The angles, in degrees, at which errors are recorded."""


def scores(model: nn.Module, target: str) -> dict[str, float | list[float]]:
    """`test_error` on turned neighbourhoods, and on those turned by each of the `ANGLES`, as the recorded runs have."""
    return {"turned": test_error(model, test_set(), target),
            "by angle": [test_error(model, test_set(angle), target) for angle in ANGLES]}


def test_error(model: nn.Module, data: Neighbourhoods, target: str) -> float:
    """`systems.crystals.error` of the model's answers."""
    with torch.no_grad():
        return error(model(data), data, target)


def turned_copies(data: Neighbourhoods, copies: int, generator: torch.Generator | None = None) -> Neighbourhoods:
    """So many turned copies of each neighbourhood, with their answers rotated alike; for 0 copies the data as they are."""
    return data[torch.arange(len(data)).repeat(copies)].turned(generator=generator) if copies else data


def violation(model: nn.Module, target: str, count: int = 200) -> float:
    """How far the model is from turning along: the mean |f(R x) - R f(x)|, next to the mean |f(x)|, over turned neighbourhoods."""
    data = neighbourhoods(count, 0)
    R = random_rotation(count, torch.Generator().manual_seed(1), data.x.dtype)
    turned = replace(data, x=torch.einsum("nij,nj->ni", R[data.batch], data.x))
    with torch.no_grad():
        expected = act(TARGETS[target], R, torch.zeros(3), model(data))
        apart = (model(turned) - expected).flatten(1).norm(dim=1).mean()
    return (apart / expected.flatten(1).norm(dim=1).mean()).item()


def split_error(model: nn.Module, target: str, count: int = 200, turns: int = 64) -> dict[str, float]:
    """Whose error is it? The error of the answers "rotation-averaged", and what is left, due to "symmetry".

    With f_R(x) = act(R^-1, f(R x)), the answer to the rotated input, rotated back, and f-bar(x) its mean over R:

        mean |f_R - y|^2 = |f-bar - y|^2 + mean |f_R - f-bar|^2

    exactly, whichever R are drawn. The left side is the error on ``count`` neighbourhoods in ``turns`` orientations
    each; the last term is 0 for an equivariant model. Both parts are relative to the mean |y|^2. Only squared errors
    split like this: raises ValueError for the target "crystal".
    """
    if target not in SCALE:
        squared = ", ".join(SCALE)
        raise ValueError(f"target is {target!r}; expected one of {squared}, whose errors are squared.")
    data, generator = neighbourhoods(count, 0), torch.Generator().manual_seed(1)
    answers = []
    for R in random_rotation((turns, count), generator, data.x.dtype):
        turned = replace(data, x=torch.einsum("nij,nj->ni", R[data.batch], data.x))
        with torch.no_grad():
            answers.append(act(TARGETS[target], R.mT, torch.zeros(3), model(turned)))
    f_R = torch.stack(answers).double()
    f_bar = f_R.mean(0)
    symmetry = (f_R - f_bar).square().sum().item() / (turns * count * SCALE[target])
    return {"rotation-averaged": error(f_bar, data, target), "symmetry": symmetry}
