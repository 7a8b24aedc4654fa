"""Crystal neighbourhoods, and the recurring task: the slides "Classification example" and "Classification".

    here           what it is
    site           where an atom would stand next to the centre in the perfect crystal; the nearest are at distance 1
    S              the strain: symmetric, traceless, (3, 3); it takes a site s to s + S s
    x_u            (I + S) s_u + NOISE e_u for the neighbours, e_u normal; the centre stands at 0

One site of each neighbourhood, drawn at random, is empty. There are three things to find out from the positions that are left:

    target         kind      error                                    of the best constant
    "crystal"      scalar    the share of wrong classes               3/4
    "missing"      vector    |answer - m|^2, m the unit vector        1
                             towards the strained empty site
    "strain"       tensor    |answer - S|^2 / mean of |S|^2           1

The atoms of fcc and hcp stand at the same distances from the centre, and only those between neighbours differ. No invariant
function can answer the second question, since its answer turns with the crystal, nor the third.

The labels are exact; it is the positions that are noisy, by NOISE, and what they leave open no reader can know. `match` is told
what no network is, the four crystals, and fits each of them to the atoms in every way. Its errors on a thousand turned
neighbourhoods, 0.000, 0.001 and 0.157, are what the task leaves possible, or little more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import cos, pi, sin, sqrt

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from course_utils.neighbors import radius_graph
from course_utils.symmetry import act, random_rotation, rotation_about

NOISE = 0.03   # standard deviation of each coordinate
STRAIN = 0.04  # standard deviation of each of the five components of S, so |S|^2 is 5 STRAIN^2 in the mean
CUTOFF = 2.5   # of `Neighbourhoods.edge_index`: nearly all pairs; fcc and hcp first differ at 1.63 and 1.73


def _shells() -> dict[str, Tensor]:
    cube = [torch.tensor(p, dtype=torch.float64) for p in product((-1, 0, 1), repeat=3)]
    at = {ones: torch.stack([p for p in cube if p.abs().sum() == ones]) for ones in (1, 2, 3)}
    ring = [(cos(a), sin(a), 0) for a in (pi / 3 * k for k in range(6))]
    caps = [(cos(a) / sqrt(3), sin(a) / sqrt(3), z) for z in (sqrt(2 / 3), -sqrt(2 / 3))
            for a in (pi / 6 + 2 * pi / 3 * k for k in range(3))]
    return {"fcc": at[2] / sqrt(2), "hcp": torch.tensor(ring + caps, dtype=torch.float64),
            "bcc": torch.cat([at[3], 2 * at[1]]) / sqrt(3), "sc": at[1]}


SITES = _shells()
"""The sites around an atom by crystal, (12, 3), (12, 3), (14, 3) and (6, 3): the nearest, and for bcc the next ones too."""

CRYSTALS = tuple(SITES)
TARGETS = {"crystal": "scalar", "missing": "vector", "strain": "tensor"}
"""What there is to find out, and which kind of quantity it is (`symmetry.act`)."""


SCALE = {"missing": 1.0, "strain": 5 * STRAIN**2}
"""The mean square of an answer: what the best constant misses."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Several neighbourhoods in one graph: x (num_nodes, 3), batch (num_nodes,); the first node of each is the centre.

    The answers: crystal (count,), an index into `CRYSTALS`, missing (count, 3) and strain (count, 3, 3).
    """

    x: Tensor
    batch: Tensor
    crystal: Tensor
    missing: Tensor
    strain: Tensor

    def __len__(self) -> int:
        return len(self.crystal)

    def __getitem__(self, index) -> Neighbourhoods:
        """Those of the neighbourhoods that a slice or a tensor of numbers names, in that order."""
        chosen = torch.arange(len(self))[index]
        size = torch.bincount(self.batch, minlength=len(self))
        batch = torch.arange(len(chosen)).repeat_interleave(size[chosen])
        start, first = size.cumsum(0) - size, size[chosen].cumsum(0) - size[chosen]
        nodes = torch.arange(len(batch)) + (start[chosen] - first)[batch]
        return Neighbourhoods(self.x[nodes], batch, self.crystal[chosen], self.missing[chosen], self.strain[chosen])

    @property
    def h(self) -> Tensor:
        """Which node is the centre: (num_nodes, 2), one-hot."""
        first = torch.ones_like(self.batch, dtype=torch.bool)
        first[1:] = self.batch[1:] != self.batch[:-1]
        return torch.stack([first, ~first], dim=1).to(self.x.dtype)

    @property
    def edge_index(self) -> Tensor:
        """The radius graph at `CUTOFF`: (2, num_edges)."""
        return radius_graph(self.x, CUTOFF, self.batch)

    def answer(self, target: str) -> Tensor:
        """(count,), (count, 3) or (count, 3, 3). Raises ValueError for another target."""
        if target not in TARGETS:
            raise ValueError(f"target is {target!r}; expected one of {', '.join(map(repr, TARGETS))}.")
        return getattr(self, target)

    def turned(self, angle: float | None = None, generator: torch.Generator | None = None) -> Neighbourhoods:
        """Each turned about its centre, with its answers: by ``angle`` about a random axis, or uniformly on SO(3)."""
        if angle is None:
            R = random_rotation(len(self), generator, self.x.dtype)
        else:
            axis = torch.randn(len(self), 3, generator=generator, dtype=torch.float64)
            R = rotation_about(axis, torch.tensor(angle, dtype=torch.float64)).to(self.x.dtype)
        zero = torch.zeros(3, dtype=self.x.dtype)
        x = torch.einsum("nij,nj->ni", R[self.batch], self.x)
        return Neighbourhoods(x, self.batch, self.crystal, act("vector", R, zero, self.missing),
                              act("tensor", R, zero, self.strain))


def neighbourhoods(count: int, seed: int, noise: float = NOISE, strain: float = STRAIN) -> Neighbourhoods:
    """``count`` neighbourhoods, float32, as often of one crystal as of another by chance, *not* turned: the axes of the
    cubic crystals, and the sixfold axis of hcp, are those of the coordinates. See `Neighbourhoods.turned`.
    """
    generator = torch.Generator().manual_seed(seed)
    sites = torch.stack([torch.nn.functional.pad(s, (0, 0, 0, 14 - len(s))) for s in SITES.values()])
    number = torch.tensor([len(s) for s in SITES.values()])
    crystal = torch.randint(len(CRYSTALS), (count,), generator=generator)
    key = torch.rand(count, 14, generator=generator)
    key[torch.arange(14) >= number[crystal, None]] = torch.inf
    s = sites[crystal[:, None], key.argsort(1)]  # in random order, the first is the empty site
    S = strain * traceless(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    s = s + torch.einsum("nij,nsj->nsi", S, s)
    x = s + noise * torch.randn(count, 14, 3, generator=generator, dtype=torch.float64)
    x[:, 0] = 0.0  # the centre takes the place of the empty site
    batch = torch.arange(count).repeat_interleave(number[crystal])
    there = torch.arange(14) < number[crystal, None]
    missing = s[:, 0] / s[:, 0].norm(dim=1, keepdim=True)
    return Neighbourhoods(x[there].float(), batch, crystal, missing.float(), S.float())


def flake(seed: int = 0, noise: float = 0.06) -> Tensor:
    """A flat crystal of 23 atoms, nearest neighbours at distance 1, and 7 atoms of gas beside it: (30, 2), float64."""
    rows = [(5, 0.0), (6, -0.5), (6, 0.0), (6, -0.5)]
    solid = torch.tensor([[start + i, k * sqrt(3) / 2] for k, (count, start) in enumerate(rows) for i in range(count)])
    gas = torch.tensor([[6.6, 2.1], [7.2, 0.6], [8.3, 2.7], [9.0, 1.3], [9.4, -0.2], [10.6, 2.0], [11.2, 0.4]])
    x = torch.cat([solid, gas]).double()
    return x + noise * torch.randn(len(x), 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def traceless(T: Tensor) -> Tensor:
    """The symmetric traceless part of T (..., 3, 3): what is left of it in five dimensions."""
    T = (T + T.mT) / 2
    return T - T.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(3, dtype=T.dtype)


def error(answer: Tensor, data: Neighbourhoods, target: str) -> float:
    """The error of the table above. answer is (count, 4) for the crystal, larger for the likelier, else as the target is."""
    y = data.answer(target)
    if target == "crystal":
        return (answer.argmax(1) != y).double().mean().item()
    return (answer - y).double().square().flatten(1).sum(1).mean().item() / SCALE[target]


def match(x: Tensor, noise: float = NOISE, strain: float = STRAIN) -> tuple[int, Tensor, Tensor]:
    """The likeliest crystal, direction of the empty site (3,) and strain (3, 3) of the neighbours x (n, 3), centre at 0.

    Two atoms are laid on every ordered pair of sites with about the angle between them; the others take the sites that are
    nearest in sum, the turn is improved by all of them, and the strain is the mean of its posterior. Of all these fits that
    one counts which is likeliest under `neighbourhoods`. Slow: some 20 ms a neighbourhood.
    """
    x = x.double().numpy()
    a, b = 0, int(np.abs(np.linalg.norm(np.cross(x[0], x), axis=1) - 1).argmin())  # the most upright on the first
    best = (np.inf, 0, np.zeros(3), np.zeros((3, 3)))
    for crystal, name in enumerate(CRYSTALS):
        s = SITES[name].numpy()
        if len(s) != len(x) + 1:
            continue
        seen = x[[a, b]] / np.linalg.norm(x[[a, b]], axis=1, keepdims=True)
        unit = s / np.linalg.norm(s, axis=1, keepdims=True)
        for i, j in np.argwhere(np.abs(unit @ unit.T - seen[0] @ seen[1]) < 0.5):
            if abs(unit[i] @ unit[j]) > 0.99:
                continue
            R = _turn(s[[i, j]], x[[a, b]])
            taken = None
            for _ in range(5):
                _, now = linear_sum_assignment(((x[:, None] - s @ R.T)**2).sum(2))
                if taken is not None and (now == taken).all():
                    break
                taken, R = now, _turn(s[now], x)
            misfit, S = _strain(x, s[taken] @ R.T, noise, strain)
            if misfit < best[0]:
                empty = R @ s[(set(range(len(s))) - set(taken.tolist())).pop()]
                empty = empty + S @ empty
                best = misfit, crystal, empty / np.linalg.norm(empty), S
    return best[1], torch.from_numpy(best[2]), torch.from_numpy(best[3])


def _turn(s: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The rotation that takes the rows of s nearest to those of x: Kabsch (1976)."""
    U, _, Vt = np.linalg.svd(x.T @ s)
    return U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt


BASIS = traceless(torch.eye(9, dtype=torch.float64).view(9, 3, 3)).numpy()
FIVE = np.linalg.svd(BASIS.reshape(9, 9))[2][:5].reshape(5, 3, 3)  # orthonormal: the components of S along them are alike


def _strain(x: np.ndarray, s: np.ndarray, noise: float, strain: float) -> tuple[float, np.ndarray]:
    """Minus the log likelihood, up to a constant, and the posterior mean of the strain that takes s (n, 3) to x."""
    A = np.einsum("kij,nj->nik", FIVE, s).reshape(-1, 5)
    y = (x - s).ravel()
    precision = A.T @ A / noise**2 + np.eye(5) / strain**2
    c = np.linalg.solve(precision, A.T @ y / noise**2)
    misfit = ((y - A @ c)**2).sum() / noise**2 + (c**2).sum() / strain**2 + np.linalg.slogdet(precision)[1]
    return misfit, np.einsum("k,kij->ij", c, FIVE)
