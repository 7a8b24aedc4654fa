"""Pairs of point clouds that some networks cannot tell apart: the experiments of the Geometric GNN Dojo.

Every function returns the two clouds of a pair as one `graphs.Graph` with batch (num_nodes,) and y = (0, 1): num_nodes nodes
with h (num_nodes, 1) of ones, x (num_nodes, 3), and edges in both directions. A network that is trained on the pair and gets
50 % gives both the same answer. Positions are made in float64 and returned in torch's default dtype: in float32 they are
symmetric to seven digits only, which a network with layer norms may learn to see. Source: Joshi et al., "On the expressive
power of geometric graph neural networks" (2023), section 4.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from course_utils.graphs import Graph, batch_graphs, both_directions
from course_utils.symmetry import rotation_about

DOUBLE = {"dtype": torch.float64}
Y, Z = torch.eye(3, **DOUBLE)[1:]


def rotational_symmetry(fold: int, by: int = 1, marker: bool = False) -> Graph:
    """A centre with ``fold`` spokes, 2 pi / fold apart in the xy plane, and the same turned by 2 pi / (fold + by).

    A turn about z by 2 pi / fold changes neither cloud. ``by`` is 1 to fold, as in the paper. With ``marker`` both clouds have
    one more node, at (2, 0, 0), linked to all others: a direction that does not turn, without which no answer but a vector or
    a tensor can say which cloud it is.
    """
    if fold < 2 or not 1 <= by <= fold:
        raise ValueError(f"fold is {fold} and by is {by}; expected a fold of 2 or more, and by from 1 to {fold}.")
    spokes = torch.stack([rotation_about(Z, torch.tensor(2 * pi * k / fold, **DOUBLE))[:, 0] for k in range(fold)])
    first = torch.cat([torch.zeros(1, 3, **DOUBLE), spokes])
    second = first @ rotation_about(Z, torch.tensor(2 * pi / (fold + by), **DOUBLE)).T
    edges = _star(fold)
    if marker:
        first, second = (torch.cat([x, torch.tensor([[2.0, 0.0, 0.0]], **DOUBLE)]) for x in (first, second))
        edges = torch.cat([edges, torch.stack([torch.full((fold + 1,), fold + 1), torch.arange(fold + 1)])], dim=1)
    return _pair(first, second, edges)


def k_chains(k: int) -> Graph:
    """k nodes in a line along y and one more at either end, to the left and to the right, or both to the right.

    All links have length 1 and the angles at both ends are equal, so the clouds differ only in how the ends lie to each
    other: k + 1 links apart. Information from both has met at some node after floor(k / 2) + 1 rounds.
    """
    if k < 2:
        raise ValueError(f"k is {k}; expected 2 nodes or more between the ends.")
    line = torch.tensor([[0.0, float(i), 0.0] for i in range(k)], **DOUBLE)
    left, right, far = torch.tensor([[[-0.8, -0.6, 0.0]], [[0.8, -0.6, 0.0]], [[0.8, k - 1 + 0.6, 0.0]]], **DOUBLE)
    edges = torch.stack([torch.arange(k + 1), torch.arange(1, k + 2)])
    return _pair(torch.cat([left, line, far]), torch.cat([right, line, far]), edges)


COUNTEREXAMPLES = "two-body", "three-body", "four-body", "four-body, chiral"


def counterexample(which: str) -> Graph:
    """A centre and its neighbours, twice: not congruent, or mirror images, and yet alike in all that is said of k bodies.

    "two-body"            the same distances to the centre
    "three-body"          and the same angles between the neighbours, seen from the centre
    "four-body"           and the same quadruplets: centre and three neighbours
    "four-body, chiral"   mirror images: quadruplets differ by their handedness alone

    The first is Joshi et al.'s; the others are figures 1(b), 2(f) and 2(e) of Pozdnyakov et al., "Incompleteness of atomic
    structure representations" (2020). The coordinates are the Dojo's but for one: its triangle in the last two is isosceles, so
    that a half turn takes one cloud of the pair to the other, and no network could tell them apart. Here it is scalene. Raises
    ValueError for another name.
    """
    a, c = torch.tensor([[3.0, 2.0, -4.0], [0.0, 2.0, 5.0], [-5.0, 2.0, 0.0]], **DOUBLE), 5 * Y[None]
    turn = rotation_about(Y, torch.tensor(2 * pi / 10, **DOUBLE))
    if which == "two-body":
        first, second = [[5.0, 0.0, 0.0], [3.0, 0.0, 4.0]], [[5.0, 0.0, 0.0], [-5.0, 0.0, 0.0]]
    elif which == "three-body":
        shared = [[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]]
        first, second = shared + [[0.0, 1.0, 1.0]], shared + [[0.0, -1.0, 1.0]]
    elif which == "four-body":
        shared = torch.cat([a, (a * torch.tensor([1, -1, 1])) @ turn])
        first, second = torch.cat([shared, c]), torch.cat([shared, -c])
    elif which == "four-body, chiral":
        flat = a * torch.tensor([1, 0, 1])
        first, second = torch.cat([flat, c]), torch.cat([flat, -c])
    else:
        raise ValueError(f"which is {which!r}; expected one of {', '.join(map(repr, COUNTEREXAMPLES))}.")
    first, second = (torch.cat([torch.zeros(1, 3, **DOUBLE), torch.as_tensor(x, **DOUBLE)]) for x in (first, second))
    return _pair(first, second, _star(len(first) - 1))


def _star(leaves: int) -> Tensor:
    return torch.stack([torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)])


def _pair(first: Tensor, second: Tensor, edges: Tensor) -> Graph:
    edges = both_directions(edges)
    return batch_graphs([Graph(edges, len(x), h=torch.ones(len(x), 1), x=x.to(torch.get_default_dtype()), y=torch.tensor(y))
                         for y, x in enumerate((first, second))])
