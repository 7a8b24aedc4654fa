"""The E(n)-equivariant graph neural network: the slide "Equivariant message passing".

    f_u' = phi(f_u, (+) over v in N(u) of psi_f(f_u, f_v, |x_u - x_v|^2))
    x_u' = x_u + sum over v != u of (x_u - x_v) psi_c(f_u, f_v, |x_u - x_v|^2)

    the slide's letter    here
    f_u                   row u of h: (num_nodes, d), invariant
    x_u                   row u of x: (num_nodes, 3), goes to R x + b
    N(u)                  the sources of the edges that arrive at u
    v != u                every other node of u's graph, neighbour or not: `neighbors.all_pairs`

`egnn_features` and `egnn_coordinates` are the two lines of the slide, `EGNNLayer` is both with perceptrons for psi_f, psi_c
and phi. `with_constant` puts in the paper's C, which the slide does not have. Sources: Bronstein et al., "Geometric deep learning" (2021), chapter 5; Satorras, Hoogeboom and Welling, "E(n)
equivariant graph neural networks" (2021), equations 3 to 7: "the paper" below.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .graph_networks import PairMLP, readout
from .graphs import ends
from .message_passing import aggregate, aggregate_faded
from .neighbors import all_pairs, displacements


def egnn_features(h: Tensor, x: Tensor, edge_index: Tensor, psi_f: Callable, phi: Callable) -> Tensor:
    """The slide's first line: h (num_nodes, d), x (num_nodes, 3) -> f', what phi returns.

    psi_f takes f_u, f_v (num_edges, d) and |x_u - x_v|^2 (num_edges, 1) and returns the messages (num_edges, d_m); phi takes
    h and the sums of the messages (num_nodes, d_m).
    """
    v, u = ends(edge_index, len(h))
    f = h
    m = psi_f(f[u], f[v], squared_distances(x, edge_index))
    return phi(f, aggregate(m, u, len(f)))


def egnn_coordinates(h: Tensor, x: Tensor, psi_c: Callable, batch: Tensor | None = None) -> Tensor:
    """The slide's second line: x (num_nodes, 3) -> x', from the features h before the round.

    psi_c takes what psi_f takes and returns (num_pairs, 1). x_u - x_v points from v to u: a positive psi_c repels.
    """
    v, u = pairs = all_pairs(len(x), batch, x.device)
    f = h
    return x + aggregate((x[u] - x[v]) * psi_c(f[u], f[v], squared_distances(x, pairs)), u, len(x))


def with_constant(x: Tensor, x_new: Tensor, batch: Tensor | None = None) -> Tensor:
    """What the second line moved, times the paper's C: x and x_new = x' (num_nodes, 3) -> x + C (x' - x).

    C = 1 / (n - 1), n the number of nodes of u's own graph: the sum over v != u becomes a mean. A node that is alone stays.
    Source: Satorras, Hoogeboom and Welling (2021), below equation 6.
    """
    return x + (x_new - x) / _others(x, batch)


def _others(x: Tensor, batch: Tensor | None) -> Tensor:
    """n - 1 for each node, or 1 where it is alone: (num_nodes, 1)."""
    n = torch.full((len(x),), len(x), device=x.device) if batch is None else torch.bincount(batch)[batch]
    return (n - 1).clamp(min=1)[:, None]


def squared_distances(x: Tensor, edge_index: Tensor) -> Tensor:
    """|x_u - x_v|^2 for each edge: (num_edges, 1). Without a root, its derivatives are finite where points coincide."""
    return displacements(x, edge_index).square().sum(1, keepdim=True)


class EGNNLayer(nn.Module):
    """(h, x) -> (h', x'), and with ``velocity`` (h, x, velocity) -> (h', x', velocity').

    As it stands these are the slide's equations, where nothing keeps x' from growing with the number of nodes. Each argument
    changes one thing to what the paper or its code does:

    normalize         the sum for x_u' is multiplied by the paper's C = 1 / (n - 1), n the number of nodes of u's graph
    neighbours_only   the sum for x_u' runs over N(u), too
    velocity          velocity' = phi_v(f_u) velocity + the sum, and x_u' = x_u + velocity'  (equation 7, where velocity is
                      that of the network's input in every round)
    d_edge            psi_f reads edge_attr (num_edges, d_edge), too; and with ``neighbours_only`` psi_c does
    from_messages     psi_c reads the message m_{v->u} in place of its ingredients (equation 4); needs ``neighbours_only``
    attention         each message to f_u is multiplied by a number between 0 and 1 that is made from it
    mean_messages     (+) is the mean over N(u) in place of the sum
    residual          f_u' = f_u + phi(...)

    In ``forward``, fade (num_edges,) takes the messages to 0 where an edge breaks, and with ``neighbours_only``
    the terms of the sum for x_u', too: see `message_passing.aggregate_faded`.

    psi_f and psi_c are a `PairMLP`, which takes f and the edges and picks f_u and f_v itself; from messages, psi_c is a
    perceptron with one hidden layer. Raises ValueError for from_messages without neighbours_only.
    """

    def __init__(self, d: int, hidden: int | None = None, *, normalize: bool = False, neighbours_only: bool = False,
                 velocity: bool = False, d_edge: int = 0, from_messages: bool = False, attention: bool = False,
                 mean_messages: bool = False, residual: bool = False):
        super().__init__()
        hidden = hidden or d
        if from_messages and not neighbours_only:
            raise ValueError("from_messages is True and neighbours_only False; expected both, since messages come from neighbours.")
        self.normalize, self.neighbours_only, self.residual, self.d_edge = normalize, neighbours_only, residual, d_edge
        self.from_messages, self.reduce = from_messages, "mean" if mean_messages else "sum"
        self.psi_f = PairMLP(d, 1 + d_edge, hidden, hidden, F.silu)
        self.psi_c = (nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)) if from_messages
                      else PairMLP(d, 1 + d_edge * neighbours_only, hidden, 1))
        self.phi = nn.Sequential(nn.Linear(d + hidden, hidden), nn.SiLU(), nn.Linear(hidden, d))
        self.phi_v = nn.Sequential(nn.Linear(d, hidden), nn.SiLU(), nn.Linear(hidden, 1)) if velocity else None
        self.attention = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid()) if attention else None

    def forward(self, h: Tensor, x: Tensor, edge_index: Tensor, batch: Tensor | None = None, *,
                velocity: Tensor | None = None, edge_attr: Tensor | None = None,
                fade: Tensor | None = None) -> tuple[Tensor, ...]:
        f, n = h, len(h)
        if len(x) != n:
            raise ValueError(f"h has {n} rows and x has {len(x)}; expected one of each for every node.")
        if (velocity is None) != (self.phi_v is None):
            raise ValueError(f"velocity is {'missing' if velocity is None else 'given'}; a layer made with velocity=True takes "
                             "velocity=..., by name, and no other does.")
        if (0 if edge_attr is None else edge_attr.shape[-1]) != self.d_edge:
            raise ValueError(f"edge_attr has shape {edge_attr if edge_attr is None else tuple(edge_attr.shape)}; expected "
                             f"(num_edges, {self.d_edge}), d_edge of the layer.")
        e = squared_distances(x, edge_index)
        e = e if edge_attr is None else torch.cat([e, edge_attr], dim=1)
        m = self.psi_f(f, edge_index, e)
        if self.attention is not None:
            m = self.attention(m) * m
        f_new = self.phi(torch.cat([f, aggregate_faded(m, edge_index[1], n, self.reduce, fade)], dim=1))

        pairs = edge_index if self.neighbours_only else all_pairs(n, batch, x.device)
        e_c = e if self.neighbours_only else squared_distances(x, pairs)
        c = self.psi_c(m) if self.from_messages else self.psi_c(f, pairs, e_c)
        fade_c = fade if self.neighbours_only else None
        shift = aggregate_faded(displacements(x, pairs) * c, pairs[1], n, fade=fade_c)
        if self.normalize:
            shift = shift / _others(x, batch)
        f_new = f + f_new if self.residual else f_new
        if self.phi_v is None:
            return f_new, x + shift
        velocity = self.phi_v(f) * velocity + shift
        return f_new, x + velocity, velocity


class EGNN(nn.Module):
    """``rounds`` layers of width ``hidden``, for invariant and for equivariant targets.

    h (num_nodes, d_in), x (num_nodes, 3) -> (out, x'), and with ``velocity=True`` (out, x', velocity'). An invariant target is
    read from out: (num_nodes, d_out), or with ``reduce`` ("sum", "mean", "max") one row for the graph, (d_out,), with batch
    (num_graphs, d_out). An equivariant one is read from x': a position is x', a vector is x' - x. ``options`` are those of
    `EGNNLayer`, whose residual form this network uses. ``num_graphs`` is that of `readout`. For an energy without
    jumps at the cutoff, make ``fade`` from the positions that give the edges: in later rounds they have moved.
    """

    def __init__(self, d_in: int, hidden: int, d_out: int, rounds: int, reduce: str | None = None, **options):
        super().__init__()
        self.embed = nn.Linear(d_in, hidden)
        self.layers = nn.ModuleList(EGNNLayer(hidden, **{"residual": True, **options}) for _ in range(rounds))
        for layer in self.layers:  # nothing bounds psi_c, so each layer begins near x' = x, as in the paper's code
            last = layer.psi_c[-1] if layer.from_messages else layer.psi_c.second
            nn.init.xavier_uniform_(last.weight, gain=0.001)
            nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, d_out))
        self.reduce = reduce

    def forward(self, h: Tensor, x: Tensor, edge_index: Tensor, batch: Tensor | None = None, *,
                velocity: Tensor | None = None, edge_attr: Tensor | None = None, fade: Tensor | None = None,
                num_graphs: int | None = None) -> tuple[Tensor, ...]:
        h, moved = self.embed(h), (x,) if velocity is None else (x, velocity)
        of_edges = {"edge_attr": edge_attr, "fade": fade}
        for layer in self.layers:  # equation 7 has the first velocity in every round
            h, *moved = layer(h, moved[0], edge_index, batch, velocity=velocity, **of_edges)
        return self.head(readout(h, batch, self.reduce, num_graphs) if self.reduce else h), *moved
