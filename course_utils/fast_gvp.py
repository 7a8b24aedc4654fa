"""The mean of GVP messages, each linear map where it costs least; `gvp.gvp_message` and a mean say the same plainly.

What enters the first GVP is the concatenation of a node's part and an edge's, and W [a; b] = W_a a + W_b b: the node's
product is made once per node, then gathered. The last GVP has neither sigma nor sigma_plus, so what follows its lengths is
linear, and mean(W a) = W mean(a): the mean comes first, and these maps act once per node instead of once per edge.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .graphs import ends
from .message_passing import aggregate_faded
from .neighbors import lengths


def times(W: Tensor, V: Tensor) -> Tensor:
    """W V, for every node at once: one large product, where W @ V would be a small one per node and slow backwards."""
    return (V.mT @ W.T).mT


def mean_message(s: Tensor, V: Tensor, edge_index: Tensor, edge_s: Tensor, edge_V: Tensor, g,
                 fade: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(num_nodes, m) and (num_nodes, mu, 3); the arguments of `gvp.gvp_message`.

    g is a `gvp.GVPs` of two or more. With fade (num_edges,) the mean is that of `message_passing.aggregate_faded`.
    """
    num_nodes = len(s)
    v, u = ends(edge_index, num_nodes)
    first, *between, last = g
    _require_widths(first, s, V, edge_s, edge_V, len(u))

    # the first GVP; .mT.index_select().mT gathers in the order of memory that `times` leaves
    W_v, W_e = first.W_h.split([V.shape[1], edge_V.shape[1]], dim=1)
    V_h = times(W_v, V).mT.index_select(0, v).mT + times(W_e, edge_V)
    W_h, W_v, W_e = first.W_m.weight.split([len(first.W_h), s.shape[1], edge_s.shape[1]], dim=1)
    s_m = (s @ W_v.T + first.W_m.bias).index_select(0, v) + lengths(V_h) @ W_h.T + edge_s @ W_e.T
    s, V = first.activated(s_m, times(first.W_mu, V_h))

    def mean(messages):
        return aggregate_faded(messages, u, num_nodes, "mean", fade)

    for gvp in between:
        s, V = gvp(s, V)
    if last.W_g is not None:  # a gate is not linear
        s, V = last(s, V)
        return mean(s), mean(V)
    V_h = times(last.W_h, V)
    s_hn = mean(torch.cat([lengths(V_h), s], dim=1))
    V_h = mean(V_h.mT).mT
    heard = mean(s.new_ones(len(u), 1))  # an empty inbox gives 0, and no bias
    return s_hn @ last.W_m.weight.T + heard * last.W_m.bias, times(last.W_mu, V_h)


def _require_widths(first, s: Tensor, V: Tensor, edge_s: Tensor, edge_V: Tensor, num_edges: int) -> None:
    """Raise a ValueError that says what is wrong, unless nodes and edges together have the widths of the first GVP."""
    n, nu = first.W_m.in_features - len(first.W_h), first.W_h.shape[1]
    shapes = [tuple(part.shape) for part in (s, V, edge_s, edge_V)]
    if (s.ndim, edge_s.ndim) != (2, 2) or shapes != [(len(s), s.shape[1]), (len(s), nu - edge_V.shape[1], 3),
                                                     (num_edges, n - s.shape[1]), (num_edges, edge_V.shape[1], 3)]:
        raise ValueError("s, V, edge_s and edge_V have shapes {}, {}, {}, {}; ".format(*shapes) + "expected (num_nodes, a), "
                         f"(num_nodes, b, 3), ({num_edges}, {n} - a) and ({num_edges}, {nu} - b, 3).")
