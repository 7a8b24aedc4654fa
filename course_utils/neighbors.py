"""Edges between points in space: the slides "Radius graphs" and "Discussion: edges between spatial points".

    the slide's letter    here
    x_u                   row u of x, the position of node u: (num_nodes, 2) or (num_nodes, 3)
    v -> u                one column of edge_index: v is a neighbour of u, and its messages travel to u
    N(u)                  the sources of the edges that arrive at u

The rule for radius graphs: v -> u where v != u and |x_u - x_v|^2 <= r^2, both computed in float64 from the coordinates as
given. So a distance of exactly r counts, and coincident points are joined. Graphs of one ``batch`` are kept apart. Edges
are sorted by target and then by source, whichever way they were found.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from . import fast_neighbors
from .graphs import ends, numbers, require_batch, require_edge_index


def all_pairs(num_nodes: int, batch: Tensor | None = None, device: torch.device | None = None) -> Tensor:
    """Every v -> u with v != u in the same graph: (2, num_edges). A graph of n nodes has n (n - 1) such edges.

    They are on batch's device, or on ``device`` where there is no batch.
    """
    if batch is None:
        batch = torch.zeros(num_nodes, dtype=torch.int64, device=device)
    require_batch(batch, num_nodes)
    size = torch.bincount(batch)
    start = size.cumsum(0) - size
    u = torch.arange(num_nodes, device=batch.device).repeat_interleave(size[batch])
    first = (size[batch].cumsum(0) - size[batch])[u]  # where the pairs of target u begin
    v = torch.arange(len(u), device=batch.device) - first + start[batch[u]]
    return torch.stack([v, u])[:, v != u]


def radius_graph(x: Tensor, r: float, batch: Tensor | None = None) -> Tensor:
    """All v -> u with v != u and |x_u - x_v| <= r: (2, num_edges), in time and memory that grow with nodes and edges.

    x is (num_nodes, 2) or (num_nodes, 3), batch (num_nodes,) sorted; r has the unit of x. Raises ValueError, with the
    next step, for another shape or dtype, for coordinates that are not finite (or reach 1e100), and for r <= 0.
    """
    require_positions(x)
    require_radius(r)
    if batch is not None:
        require_batch(batch, len(x))
    if not len(x):
        return torch.zeros(2, 0, dtype=torch.int64, device=x.device)
    return fast_neighbors.radius_graph(x, float(r), batch).to(x.device)


def radius_graph_by_pairs(x: Tensor, r: float, batch: Tensor | None = None) -> Tensor:
    """`radius_graph` by its definition: look at all pairs. Time and memory grow with num_nodes^2."""
    require_positions(x)
    require_radius(r)
    v, u = edges = all_pairs(len(x), batch, x.device)
    return edges[:, _squared_distance(x.double(), v, u) <= r * r]


def radius_graph_by_cells(x: Tensor, r: float, batch: Tensor | None = None) -> Tensor:
    """`radius_graph` by a cell list: sort the points into cells as wide as r, and look into adjacent cells alone.

    A neighbour of u is in the cell of u or in one that touches it, so a point meets a number of others that depends on
    the density and not on num_nodes.
    """
    require_positions(x)
    require_radius(r)
    width = r * (1 + 1e-9)  # rounding x / width must not put two points at distance r two cells apart
    cells = torch.floor((x.double() - x.double().amin(0)) / width).long().tolist() if len(x) else []
    graph = [0] * len(x) if batch is None else batch.tolist()
    inside = defaultdict(list)
    for node, cell in enumerate(cells):
        inside[graph[node], *cell].append(node)

    edges = []
    for (which, *cell), targets in inside.items():
        adjacent = ((which, *np.add(cell, step)) for step in product((-1, 0, 1), repeat=len(cell)))
        sources = torch.tensor([node for near in adjacent for node in inside.get(near, ())], device=x.device)
        targets = torch.tensor(targets, device=x.device)
        v, u = sources.repeat(len(targets)), targets.repeat_interleave(len(sources))
        near = (_squared_distance(x.double(), v, u) <= r * r) & (v != u)
        edges.append(torch.stack([v, u])[:, near])
    if not edges:
        return torch.zeros(2, 0, dtype=torch.int64, device=x.device)
    return _sorted(torch.cat(edges, dim=1))


def knn_graph(x: Tensor, k: int, batch: Tensor | None = None) -> Tensor:
    """v -> u from each of the k nearest neighbours v of u, the centre: (2, k num_nodes).

    Of two neighbours at the same distance (in float64) the one with the lower index is chosen first; a target's sources
    are listed by index. "Is among the k nearest of" is not symmetric: v -> u does not imply u -> v. Raises ValueError as
    `radius_graph` does, and where a graph has fewer than k + 1 nodes.
    """
    require_positions(x)
    batch = torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch
    require_batch(batch, len(x))
    smallest = int(torch.unique(batch, return_counts=True)[1].min()) if len(x) else k + 1
    if not 1 <= k < smallest:
        raise ValueError(f"k is {k}, and the smallest graph has {smallest} nodes; expected 1 <= k <= {smallest - 1}, since "
                         "a node is no neighbour of its own.")
    return fast_neighbors.knn_graph(x, int(k), batch).to(x.device)


def displacements(x: Tensor, edge_index: Tensor) -> Tensor:
    """x_u - x_v for each edge v -> u, the vector from the source to the target: (num_edges, 3)."""
    v, u = ends(edge_index, len(x))
    return x.index_select(0, u) - x.index_select(0, v)  # as x[u] - x[v], and faster, above all backwards


def lengths(vectors: Tensor, keepdim: bool = False) -> Tensor:
    """|v| of vectors (..., 3): (...). At v = 0 the first and second derivatives are 0, where sqrt would give NaN."""
    squared = vectors.square().sum(-1, keepdim=keepdim)
    nonzero = squared != 0  # so is NaN
    return torch.where(nonzero, torch.where(nonzero, squared, 1.0).sqrt(), 0.0)


def distances(x: Tensor, edge_index: Tensor) -> Tensor:
    """|x_u - x_v| for each edge v -> u: (num_edges,), with finite derivatives at coincident points too."""
    return lengths(displacements(x, edge_index))


def envelope(d: Tensor, r: float, p: int = 6) -> Tensor:
    """A factor that takes messages smoothly to 0 at the cutoff r: d (...) -> (...), 1 at 0 and 0 from r on.

    With t = d / r, below r:  (1 - t)^3 (1 + 3 t + 6 t^2 + ... + p (p+1)/2 t^(p-1)), which is
    1 - (p+1)(p+2)/2 t^p + p(p+2) t^(p+1) - p(p+1)/2 t^(p+2).  It falls all the way; its value and first two derivatives are
    continuous at r. Source: Gasteiger, Gross and Guennemann, "Directional message passing for molecular graphs" (2020),
    equation 8. Raises ValueError for r <= 0 and for p < 3, where it would bend at 0.
    """
    require_radius(r)
    if p < 3:
        raise ValueError(f"p is {p}; expected 3 or more, so that the envelope starts flat.")
    t = (d / r).clamp(max=1)
    return (1 - t)**3 * sum((k + 1) * (k + 2) / 2 * t**k for k in range(p))  # never below 0, where the powers' sum rounds


def components(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Which connected component each node is in, whatever the edges' directions: (num_nodes,) of int64.

    Components are numbered from 0 in the order of their lowest node.
    """
    v, u = numbers(ends(edge_index, num_nodes))
    A = coo_array((np.ones(len(v)), (v, u)), shape=(num_nodes, num_nodes))
    return torch.from_numpy(connected_components(A, directed=False)[1]).long().to(edge_index.device)


def require_positions(x: Tensor) -> None:
    """Raise a ValueError that says what is wrong, unless x holds finite positions in two or three dimensions."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        given = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(f"x is {given}; expected a tensor of floating-point numbers. torch.as_tensor(x).float() makes one.")
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        hint = " Did you forget .T?" if x.ndim == 2 and x.shape[0] in (2, 3) else ""
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (num_nodes, 2) or (num_nodes, 3).{hint}")
    x = torch.func.debug_unwrap(x)  # of all graphs at once under torch.func.vmap
    if x.numel() and not (_surely_finite(x) or x.abs().max() < 1e100):
        x = x.reshape(-1, x.shape[-1])
        node = int((~(x.abs() < 1e100)).any(1).nonzero()[0])
        raise ValueError(f"x holds {x[node].tolist()} for node {node}; expected finite coordinates, below 1e100. Leave such "
                         "nodes out, or look where they come from.")


def _surely_finite(x: Tensor) -> bool:
    """Fast: where the sum of squares is finite, so is each number. Where it is not, it may have overflowed."""
    flat = x.detach().flatten()
    return float(flat.dot(flat)) < 1e200


def require_radius(r: float) -> None:
    """Raise a ValueError unless r is positive, and r^2 neither vanishes nor overflows."""
    if not 1e-100 < float(r) < 1e100:
        raise ValueError(f"r is {float(r)}; expected a positive cutoff in the unit of x (1e-100 to 1e100). all_pairs "
                         "joins all nodes.")


def _squared_distance(x: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Summed in the order x, y, z: at the cutoff, the order of a sum can decide."""
    return sum((x[u, i] - x[v, i]).square() for i in range(x.shape[1]))


def _sorted(edge_index: Tensor) -> Tensor:
    """By target, then by source."""
    return edge_index[:, torch.from_numpy(np.lexsort(numbers(edge_index))).to(edge_index.device)]
