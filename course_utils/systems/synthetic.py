"""The GVP paper's synthetic tasks: random "structures" that ask for geometry, for relations, or for both.

    a structure    100 points, uniform in a ball of radius 10, no two nearer than 2; three of them are special, and every
                   point has a random unit vector (the paper's "sidechain")
    off-centre     the distance from the centroid of the three special points to the centroid of all points
    perimeter      of the triangle of the three special points
    combined       the first, normalised, minus the second, normalised

Source: Jing et al., "Learning from protein structure with geometric vector perceptrons" (2021), appendix B. What is published
leaves open, and what is done here: *uniform with a least distance* is read as one point after the other, drawn again until it
is far enough from those there are; *the centroid of the entire structure* includes the special points and not the ends of the
unit vectors; *normalised* is less the mean and divided by the standard deviation, both over many structures (`MEAN`, `SD`);
*nearest neighbours* are the sources of a node's edges; and the *three dot products* that the network without vectors gets are
those of the two unit vectors with each other and of each with the direction of the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.neighbors import displacements, knn_graph, lengths

POINTS, RADIUS, APART, SPECIAL, NEIGHBOURS = 100, 10.0, 2.0, 3, 10
MEAN = {"off-centre": 4.16, "perimeter": 31.39}
SD = {"off-centre": 1.60, "perimeter": 7.09}
TASKS = "off-centre", "perimeter", "combined"
PUBLISHED = {"GNN": dict(zip(TASKS, (0.871, 0.128, 0.421))), "GVP": dict(zip(TASKS, (0.206, 0.106, 0.155)))}
"""The paper's errors (table 5), the mean square over the variance, of networks that pass scalars alone and vectors as well."""


@dataclass(frozen=True, eq=False)
class Structures:
    """x and direction (count, 100, 3), float32, and special (count, 100), which points are special."""

    x: Tensor
    direction: Tensor
    special: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> Structures:
        return Structures(self.x[index], self.direction[index], self.special[index])

    def answer(self, task: str) -> Tensor:
        """(count,): in the structures' unit of length, and "combined" without a unit. Raises ValueError for another task."""
        if task not in TASKS:
            raise ValueError(f"task is {task!r}; expected one of {', '.join(map(repr, TASKS))}.")
        three = self.x[self.special].view(-1, SPECIAL, 3)
        raw = {"off-centre": (three.mean(1) - self.x.mean(1)).norm(dim=1),
               "perimeter": (three - three.roll(1, dims=1)).norm(dim=2).sum(1)}
        if task in raw:
            return raw[task]
        first, second = ((raw[name] - MEAN[name]) / SD[name] for name in raw)
        return first - second

    def graph(self) -> dict[str, Tensor]:
        """All structures as one graph, as the paper makes it: the arguments of a network, and what its edges know.

        h (nodes, 2), one-hot, special or not; x and direction (nodes, 3); batch; edge_index to each node from its ten nearest;
        length (num_edges, 1); edge_direction (num_edges, 3), from the source to the target; products (num_edges, 3).
        """
        batch = torch.arange(len(self)).repeat_interleave(POINTS)
        x, a = self.x.flatten(0, 1), self.direction.flatten(0, 1)
        v, u = edge_index = knn_graph(x, NEIGHBOURS, batch)
        D = displacements(x, edge_index)
        length = lengths(D, keepdim=True)
        D = D / length
        products = torch.stack([(a[u] * a[v]).sum(1), (a[u] * D).sum(1), (a[v] * D).sum(1)], dim=1)
        special = self.special.flatten()
        return {"h": torch.stack([special, ~special], dim=1).float(), "x": x, "direction": a, "batch": batch,
                "edge_index": edge_index, "length": length, "edge_direction": D, "products": products}


def structures(count: int, seed: int) -> Structures:
    """``count`` random structures."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.empty(count, POINTS, 3)
    for i in range(POINTS):
        waiting = torch.arange(count)
        while len(waiting):
            near = _in_ball(len(waiting), generator)
            far_enough = (torch.linalg.vector_norm(x[waiting, :i] - near[:, None], dim=2) >= APART).all(1)
            x[waiting[far_enough], i] = near[far_enough]
            waiting = waiting[~far_enough]
    direction = torch.randn(count, POINTS, 3, generator=generator)
    rank = torch.rand(count, POINTS, generator=generator).argsort(1)
    return Structures(x, direction / direction.norm(dim=2, keepdim=True), rank < SPECIAL)


def _in_ball(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in the ball: (count, 3)."""
    direction = torch.randn(count, 3, generator=generator)
    return direction / direction.norm(dim=1, keepdim=True) * RADIUS * torch.rand(count, 1, generator=generator) ** (1 / 3)
