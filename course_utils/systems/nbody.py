"""Charged particles that attract and repel each other: the "N-body" task of the EGNN paper.

    here                what it is
    charge q_u          -1 or +1, each with probability 1/2
    x_u, v_u            position and velocity of particle u; all masses are 1
    F_u                 sum over v != u of q_u q_v (x_u - x_v) / |x_u - x_v|^3

Given charges, positions and velocities at one time, where is each particle 1,000 steps later? The answer turns, mirrors and
shifts with the question. Units are the paper's own: no constant, no dimension. Everything follows the code that came with the
paper, and draws in its order: a seed gives its trajectories. Source: Satorras, Hoogeboom and Welling, "E(n) equivariant graph
neural networks" (2021), section 5.1; the system is from Kipf et al., "Neural relational inference" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.graph_networks import MPNNLayer
from course_utils.neighbors import all_pairs, displacements
from course_utils.training import fit, minibatches

STEP = 0.001          # of time
FORCE_UP_TO = 100.0   # in each component of F_u: two particles that nearly meet are not thrown out of the world
SPEED = 0.5           # of every particle, at first
BOX = 5.0             # a particle drawn outside this cube is mirrored into it; later nothing holds it
FRAMES, EVERY = 49, 100  # the paper's files hold the steps 100, 200, ..., 4900
AT_ONCE = 1000        # trajectories, so that their pairs stay in the cache


@dataclass(frozen=True, eq=False)
class Trajectories:
    """charges (count, n); x and v (count, frames, n, 3), float32: what was seen at the ``steps`` asked for."""

    charges: Tensor
    x: Tensor
    v: Tensor

    def __len__(self) -> int:
        return len(self.charges)

    def __getitem__(self, index) -> Trajectories:
        return Trajectories(self.charges[index], self.x[index], self.v[index])


def charged_particles(count: int, seed: int = 43, n: int = 5, steps: tuple[int, ...] = (3100, 4100),
                      skip: int = 0) -> Trajectories:
    """The trajectories number ``skip`` to ``skip + count - 1`` of a seed, of n particles each, seen at some steps.

    Each trajectory draws its charges, then the positions, normal with standard deviation (n / 5)^(1/3), then the directions
    of the velocities. Steps are leapfrog: x += STEP v, then v += STEP F; v lies half a step behind x.
    """
    last = FRAMES * EVERY
    if not steps or any(step < 1 or step > last for step in steps) or list(steps) != sorted(set(steps)):
        raise ValueError(f"steps is {steps}; expected rising numbers from 1 to {last}, (3100, 4100) for those of the paper.")
    q, x, v = (part[skip:] for part in _draw(skip + count, seed, n))
    seen = [_simulate(*part, steps) for part in zip(*(np.array_split(whole, 1 + count // AT_ONCE) for whole in (q, x, v)))]
    x, v = (torch.from_numpy(np.concatenate(part)).float() for part in zip(*seen))
    return Trajectories(torch.from_numpy(q).float(), x, v)


def paper_splits(seed: int = 43) -> tuple[Trajectories, Trajectories, Trajectories]:
    """The paper's 3,000, 2,000 and 2,000 trajectories to train, to validate and to test.

    Its code generates 10,000 to train with, of which the paper uses the first 3,000, and then the others.
    """
    return tuple(charged_particles(count, seed, skip=skip) for count, skip in ((3000, 0), (2000, 10_000), (2000, 12_000)))


def question(data: Trajectories) -> dict[str, Tensor]:
    """The arguments of an `egnn.EGNN` for the first step seen, as the paper's code makes them; see `answer`.

    h (count n, 1): speeds. x, velocity (count n, 3). edge_index: all pairs of each trajectory. edge_attr (num_edges, 2):
    q_u q_v, and |x_u - x_v|^2 before any layer moves x. batch (count n,).
    """
    count, n = data.charges.shape
    batch = torch.arange(count).repeat_interleave(n)
    v, u = edge_index = all_pairs(count * n, batch)
    q, x, velocity = data.charges.flatten(), data.x[:, 0].flatten(0, 1), data.v[:, 0].flatten(0, 1)
    d2 = displacements(x, edge_index).square().sum(1)
    return {"h": velocity.norm(dim=1, keepdim=True), "x": x, "edge_index": edge_index, "batch": batch, "velocity": velocity,
            "edge_attr": torch.stack([q[u] * q[v], d2], dim=1)}


def answer(data: Trajectories) -> Tensor:
    """The positions at the last step seen: (count n, 3)."""
    return data.x[:, -1].flatten(0, 1)


class CoordinateNetwork(nn.Module):
    """A message passing network that reads positions, velocities and displacements as plain features: no symmetry of space.

    It is called as an `egnn.EGNN` with ``velocity=True`` is, and answers (h', x'): x' is x + v and what it learns to add.
    """

    def __init__(self, hidden: int, rounds: int):
        super().__init__()
        self.embed, self.head = nn.Linear(7, hidden), nn.Linear(hidden, 3)
        self.layers = nn.ModuleList(MPNNLayer(hidden, hidden, d_edge=5) for _ in range(rounds))

    def forward(self, h: Tensor, x: Tensor, edge_index: Tensor, batch: Tensor, *, velocity: Tensor,
                edge_attr: Tensor) -> tuple[Tensor, Tensor]:
        h = self.embed(torch.cat([h, x, velocity], dim=1))
        edge_attr = torch.cat([displacements(x, edge_index), edge_attr], dim=1)
        for layer in self.layers:
            h = h + layer(h, edge_index, edge_attr)
        return h, x + velocity + self.head(h)


def train(model: nn.Module, data: Trajectories, steps: int, batch: int = 50, lr: float = 0.005, seed: int = 0,
          bar: bool = True) -> nn.Module:
    """The model, trained in place on the `question` and the `answer` of so many trajectories a step.

    The loss is Huber's, squared below a difference of 0.1 and linear above: where two particles nearly meet nobody can say
    where they go, and a squared loss would learn these few by heart. The rate falls along a cosine.
    """
    batches = minibatches(len(data), batch, torch.Generator().manual_seed(seed))

    def loss() -> Tensor:
        few = data[next(batches)]
        return F.huber_loss(model(**question(few))[1], answer(few), delta=0.1)

    fit(model.parameters(), loss, steps, lr, bar=bar, cosine=True)
    return model.eval()


def error(guess: Tensor, data: Trajectories) -> float:
    """The paper's: the mean squared difference of guess (count n, 3) and `answer`, over particles and over x, y, z."""
    return F.mse_loss(guess, answer(data)).item()


def _draw(count: int, seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Charges (count, n), positions and velocities (count, 3, n), in the order in which the paper's code draws."""
    rng = np.random.RandomState(seed)  # the generator that numpy had then
    uniform, normal = np.empty((count, n)), np.empty((count, 2, 3, n))
    for i in range(count):
        uniform[i] = rng.random_sample(n)
        normal[i] = rng.standard_normal((2, 3, n))
        rng.standard_normal(2 * FRAMES * 3 * n)  # noise of size 0 on what is seen
    q = np.where(uniform < 0.5, -1.0, 1.0)
    x = normal[:, 0] * (n / 5) ** (1 / 3)
    v = normal[:, 1] * (SPEED / np.linalg.norm(normal[:, 1], axis=1, keepdims=True))
    v = np.where(np.abs(x) > BOX, -np.sign(x) * np.abs(v), v)
    return q, np.where(np.abs(x) > BOX, np.sign(x) * 2 * BOX - x, x), v


def _simulate(q: np.ndarray, x: np.ndarray, v: np.ndarray, steps: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """q (count, n), x and v (count, 3, n) -> positions and velocities at each of the steps: (count, frames, n, 3).

    Everything that is computed between two particles is computed once a pair. S (pairs, n) holds a row for each, +1 at one
    end and -1 at the other: S x are the displacements, S^T takes what acts between two particles to both of them.
    """
    count, n = q.shape
    u, v_ = np.triu_indices(n, 1)
    S = np.eye(n)[u] - np.eye(n)[v_]
    qq = (q[:, u] * q[:, v_]).T
    x, v = (np.ascontiguousarray(part.transpose(2, 1, 0)).reshape(n, 3 * count) for part in (x, v))
    seen = []
    for step in range(steps[-1] + 1):
        if step:
            x += STEP * v
        if step in steps:
            seen.append((x.copy(), v.copy()))
        D = (S @ x).reshape(len(u), 3, count)
        d2 = np.einsum("pkc,pkc->pc", D, D)
        D *= (qq / (d2 * np.sqrt(d2)))[:, None]
        F = S.T @ D.reshape(len(u), 3 * count)
        v += STEP * F.clip(-FORCE_UP_TO, FORCE_UP_TO)
    return tuple(np.stack(part).reshape(len(steps), n, 3, count).transpose(3, 0, 1, 2) for part in zip(*seen))
