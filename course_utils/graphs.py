"""Graphs as arrays: the slides "Graph data" and "Representing a graph".

A graph has nodes 0 .. num_nodes - 1 and directed edges. The adjacency matrix has A[v, u] = 1 where there is an edge
v -> u; ``edge_index`` lists the same edges as columns, the source v in row 0 and the target u in row 1, as PyTorch
Geometric does. An undirected link is two directed edges. Rows are nodes everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph, or several in one (see `batch_graphs`). What a graph lacks is None.

    Shapes: edge_index (2, num_edges) of int64; h (num_nodes, d), the node features; x (num_nodes, 3), the node
    positions; y, the labels, (num_nodes,) or one for the graph; names, one string a node; edge_attr (num_edges, ...);
    batch (num_nodes,), which graph a node belongs to. num_graphs counts graphs without nodes, too; if it is left out,
    the last graph is the last one in batch. Raises ValueError where the shapes do not fit together.
    """

    edge_index: Tensor
    num_nodes: int
    h: Tensor | None = None
    x: Tensor | None = None
    y: Tensor | None = None
    names: tuple[str, ...] | None = None
    edge_attr: Tensor | None = None
    batch: Tensor | None = None
    num_graphs: int | None = None

    def __post_init__(self):
        require_edge_index(self.edge_index, self.num_nodes)
        for name in ("h", "x", "names", "batch"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != self.num_nodes:
                raise ValueError(f"{name} has {len(rows)} rows; expected one for each of the {self.num_nodes} nodes.")
        if self.batch is None:
            object.__setattr__(self, "num_graphs", 1)
        else:
            object.__setattr__(self, "num_graphs", count_graphs(self.batch, self.num_nodes, self.num_graphs))
        if self.y is not None and self.y.ndim and len(self.y) not in (self.num_nodes, self.num_graphs):
            raise ValueError(f"y has {len(self.y)} rows; expected one for each of the {self.num_nodes} nodes, or one for "
                             "each graph.")
        if self.edge_attr is not None and len(self.edge_attr) != self.num_edges:
            raise ValueError(f"edge_attr has {len(self.edge_attr)} rows; expected one for each of the "
                             f"{self.num_edges} edges.")

    @property
    def num_edges(self) -> int:
        return self.edge_index.shape[1]

    def __repr__(self):
        held = [f"{name} {tuple(value.shape)}" for name in ("h", "x", "y", "edge_attr", "batch")
                if (value := getattr(self, name)) is not None]
        return f"Graph({self.num_nodes} nodes, {self.num_edges} directed edges" + "".join(f", {s}" for s in held) + ")"


def require_edge_index(edge_index: Tensor, num_nodes: int) -> None:
    """Raise a ValueError that says what is wrong, unless edge_index lists edges among num_nodes nodes."""
    if not isinstance(edge_index, Tensor):
        raise ValueError(f"edge_index is a {type(edge_index).__name__}; expected a tensor of shape (2, num_edges). "
                         "torch.tensor(...) makes one.")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        hint = " Did you forget .T?" if edge_index.ndim == 2 and edge_index.shape[1] == 2 else ""
        raise ValueError(f"edge_index has shape {tuple(edge_index.shape)}; expected (2, num_edges).{hint}")
    if edge_index.dtype != torch.int64:
        raise ValueError(f"edge_index has dtype {edge_index.dtype}; expected torch.int64, because its entries are used "
                         "as indices. edge_index.long() converts it.")
    require_nodes("edge_index", edge_index, num_nodes)


def require_nodes(name: str, index: Tensor, num_nodes: int) -> None:
    """Raise a ValueError that says which entry is wrong, unless all entries of index are among num_nodes nodes."""
    if not index.numel():
        return
    low, high = map(int, torch.func.debug_unwrap(index).aminmax())
    if low < 0 or high >= num_nodes:
        wrong = low if low < 0 else high
        raise ValueError(f"{name} names node {wrong}; with num_nodes = {num_nodes} the nodes are 0 to {num_nodes - 1}. "
                         "Count nodes from 0, and give features to all of them.")


def ends(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The sources v and the targets u, ``v, u = ends(edge_index, num_nodes)``, after `require_edge_index`."""
    require_edge_index(edge_index, num_nodes)
    return edge_index


def require_batch(batch: Tensor, num_nodes: int) -> None:
    """Raise a ValueError that says what is wrong, unless batch gives each node its graph, the graphs in order."""
    if not isinstance(batch, Tensor) or batch.dtype != torch.int64:
        given = f"a tensor of {batch.dtype}" if isinstance(batch, Tensor) else f"a {type(batch).__name__}"
        raise ValueError(f"batch is {given}; expected a tensor of torch.int64. torch.as_tensor(batch).long() makes one.")
    if batch.shape != (num_nodes,):
        raise ValueError(f"batch has shape {tuple(batch.shape)}; expected ({num_nodes},), one graph number for each node.")
    number = numbers(batch)  # numpy compares faster
    if len(number) and (number[0] < 0 or (number[1:] < number[:-1]).any()):
        raise ValueError("batch is not sorted from 0 up; expected the nodes of graph 0 first, then those of graph 1, and "
                         "so on. order = batch.argsort(stable=True) sorts the nodes.")


def numbers(tensor: Tensor) -> np.ndarray:
    """A tensor as numpy has it, without derivatives; within the transforms of torch.func, too, where .numpy() fails.

    Raises ValueError under torch.func.vmap, where it would be several tensors at once.
    """
    array = np.from_dlpack(torch.func.debug_unwrap(tensor.detach().cpu()))
    if array.shape != tensor.shape:
        raise ValueError("torch.func.vmap was applied to a function that looks at numbers to find edges or graphs; "
                         "expected a call for each graph. Make edge_index or batch first, outside of vmap.")
    return array


def count_graphs(batch: Tensor, num_nodes: int, num_graphs: int | None = None) -> int:
    """How many graphs ``batch`` (num_nodes,) numbers, or ``num_graphs`` where the last ones have no nodes.

    Raises ValueError as `require_batch` does, and where num_graphs is too small.
    """
    require_batch(batch, num_nodes)
    numbered = int(batch[-1]) + 1 if num_nodes else 0
    if num_graphs is not None and num_graphs < numbered:
        raise ValueError(f"num_graphs is {num_graphs}, and batch numbers graphs up to {numbered - 1}; expected "
                         f"{numbered} or more, the graphs without nodes among them.")
    return numbered if num_graphs is None else num_graphs


def to_edge_index(A: Tensor) -> Tensor:
    """The edges of the adjacency matrix A (num_nodes, num_nodes): (2, num_edges), sources above targets."""
    _require_adjacency(A)
    if A.ndim != 2:
        raise ValueError(f"A has shape {tuple(A.shape)}; expected one square matrix, (num_nodes, num_nodes).")
    return A.nonzero().T


def _require_adjacency(A: Tensor) -> None:
    """Raise a ValueError that says what is wrong, unless A (..., num_nodes, num_nodes) holds numbers."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A has shape {tuple(A.shape)}; expected a square matrix, (num_nodes, num_nodes).")
    if A.isnan().any():
        raise ValueError(f"A holds NaN in {int(A.isnan().sum())} places; expected 0 where there is no edge, and another "
                         "number where there is one. Look where the NaN comes from.")


def to_adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The matrix (num_nodes, num_nodes) with A[v, u] = 1 for each edge v -> u; an edge listed twice counts twice."""
    require_edge_index(edge_index, num_nodes)
    A = torch.zeros(num_nodes, num_nodes, device=edge_index.device)
    v, u = edge_index
    return A.index_put_((v, u), A.new_ones(len(v)), accumulate=True)


def permute(A: Tensor, X: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The same graph with its nodes in the order p: node i of the result is node p[i] of the input.

    A (num_nodes, num_nodes), X (num_nodes, d), p (num_nodes,) a permutation. With the permutation matrix P, whose row
    i has its 1 in column p[i], the results are P A P^T and P X.
    """
    return A[p][:, p], X[p]


def degrees(edge_index: Tensor, num_nodes: int) -> Tensor:
    """How many edges arrive at each node, its in-degree: (num_nodes,) of int64."""
    require_edge_index(edge_index, num_nodes)
    return torch.bincount(edge_index[1], minlength=num_nodes)


def both_directions(edge_index: Tensor) -> Tensor:
    """The edges and their reverses, each once, sorted: (2, num_edges')."""
    return torch.unique(torch.cat([edge_index, edge_index.flip(0)], dim=1), dim=1)


def hop_distances(A: Tensor) -> Tensor:
    """The number of edges on the shortest path v -> u: A (..., num_nodes, num_nodes) -> the same shape.

    Infinite where there is no path. The leading dimensions are graphs of equal size, padded with isolated nodes.
    """
    _require_adjacency(A)
    A = (A != 0).float()
    reached = torch.eye(A.shape[-1], device=A.device).expand_as(A) > 0
    distance = torch.where(reached, 0.0, torch.inf)
    for hops in range(1, A.shape[-1]):
        now = reached | (reached.float() @ A > 0)
        if torch.equal(now, reached):
            break
        distance[now & ~reached] = hops
        reached = now
    return distance


def has_ring(A: Tensor) -> Tensor:
    """Whether an undirected graph contains a ring: A (..., num_nodes, num_nodes) -> (...) of bool.

    Loose ends, nodes with one link, are taken away until there are none. Links that are left then hold a ring. The
    leading dimensions are graphs of equal size, padded with isolated nodes. Raises ValueError where A has directions
    or an edge from a node to itself.
    """
    _require_adjacency(A)
    links = A != 0
    if not torch.equal(links, links.mT) or links.diagonal(dim1=-2, dim2=-1).any():
        raise ValueError("A is not symmetric, or its diagonal is not 0; expected an undirected graph without self loops. "
                         "graphs.both_directions(edge_index) adds the reverse of each edge.")
    for _ in range(A.shape[-1]):  # each time takes one link at least from a loose end
        keep = links.sum(-1) > 1
        links = links & keep[..., :, None] & keep[..., None, :]
    return links.flatten(-2).any(-1)


def split_links(edge_index: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hide a random part of an undirected graph's links: (train, test), each with both directions of its links.

    edge_index (2, num_edges) holds every link in both directions and no self loop. round(fraction * number of links)
    links go to test. Both directions of a link go to the same side: a reverse edge left in training would give the
    answer away.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction is {fraction}; expected a share of the links, from 0 to 1.")
    links = edge_index[:, edge_index[0] < edge_index[1]]
    num_links, whole = links.shape[1], both_directions(links)
    if whole.shape != edge_index.shape or not torch.equal(whole, both_directions(edge_index)):
        raise ValueError(f"edge_index has {edge_index.shape[1]} edges, {num_links} of them from a lower to a higher "
                         "node; expected each link once in both directions. graphs.both_directions(edge_index) "
                         "makes it so.")
    order = torch.randperm(num_links, generator=generator, device=generator.device).to(links.device)
    num_test = round(fraction * num_links)
    test, train = links[:, order[:num_test]], links[:, order[num_test:]]
    return both_directions(train), both_directions(test)


def batch_graphs(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one without edges between them; ``batch`` says which graph each node came from.

    Edges are renumbered. A field that some graph lacks is None in the result; y is stacked where each graph has one
    label, joined where each node has one. num_graphs counts the graphs without nodes as well.
    """
    if not graphs:
        raise ValueError("batch_graphs got an empty list; expected at least one graph.")
    sizes = torch.tensor([g.num_nodes for g in graphs], device=graphs[0].edge_index.device)
    starts = sizes.cumsum(0) - sizes

    def joined(name):
        values = [getattr(g, name) for g in graphs]
        if any(value is None for value in values):
            return None
        if isinstance(values[0], tuple):
            return sum(values, ())
        return torch.stack(values) if values[0].ndim == 0 else torch.cat(values)

    return Graph(
        edge_index=torch.cat([g.edge_index + start for g, start in zip(graphs, starts)], dim=1),
        num_nodes=int(sizes.sum()),
        batch=torch.repeat_interleave(torch.arange(len(graphs), device=sizes.device), sizes),
        num_graphs=len(graphs),
        **{name: joined(name) for name in ("h", "x", "y", "names", "edge_attr")},
    )
