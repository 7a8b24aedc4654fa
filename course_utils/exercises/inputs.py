"""Inputs that several exercises draw. Sizes differ from each other, so that a mixed-up axis shows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

PATH = torch.tensor([[0, 1], [1, 2]])  # 0 -> 1 -> 2
NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)


def directed_edges(num_nodes: int, num_edges: int, generator: torch.Generator) -> Tensor:
    """Distinct directed edges without self loops, in random order: (2, num_edges)."""
    pairs = (~torch.eye(num_nodes, dtype=torch.bool)).nonzero()
    return pairs[torch.randperm(len(pairs), generator=generator)[:num_edges]].T.contiguous()


def small_graphs(generator: torch.Generator) -> Iterator[tuple[str, Tensor, int]]:
    """Labels, edges and numbers of nodes, the simplest first."""
    yield "a directed path of three nodes", PATH, 3
    yield "one node without edges", NO_EDGES, 1
    yield "a path of three and two isolated nodes", PATH, 5
    for num_nodes, num_edges in ((6, 13), (8, 29)):
        yield f"a directed graph of {num_nodes} nodes", directed_edges(num_nodes, num_edges, generator), num_nodes


def star(num_leaves: int) -> Tensor:
    """An edge from each of nodes 1, 2, ... into node 0: (2, num_leaves)."""
    leaves = torch.arange(1, num_leaves + 1)
    return torch.stack([leaves, torch.zeros_like(leaves)])


def path_through(order: Tensor) -> Tensor:
    """The directed path that visits nodes in that order: (2, len(order) - 1)."""
    return torch.stack([order[:-1], order[1:]])


def large_graphs(generator: torch.Generator) -> Iterator[tuple[str, Tensor, int]]:
    """As `small_graphs`, and larger, one of them with a full inbox."""
    yield "a star: 40 edges into node 0", star(40), 41
    yield "a directed graph of 50 nodes", directed_edges(50, 250, generator), 50


def links(num_nodes: int, num_links: int, generator: torch.Generator) -> Tensor:
    """Distinct undirected links, each in both directions, in random order: (2, 2 * num_links)."""
    pairs = torch.combinations(torch.arange(num_nodes))
    one_way = pairs[torch.randperm(len(pairs), generator=generator)[:num_links]].T
    both = torch.cat([one_way, one_way.flip(0)], dim=1)
    return both[:, torch.randperm(2 * num_links, generator=generator)]


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of that shape."""
    return torch.randn(shape, generator=generator)


def shuffled(n: int) -> Tensor:
    """A fixed permutation of 0 .. n - 1 that is not its own inverse from n = 3 on."""
    return torch.roll(torch.arange(n), 1) if n < 4 else torch.randperm(n, generator=torch.Generator().manual_seed(n))
