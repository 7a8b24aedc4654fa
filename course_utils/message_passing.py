"""Message passing: the slides "Message passing on graph" (Algorithm 4) and "Message passing again".

    the slide's letter    here
    h_u, x_u              row u of h: Algorithm 4 writes h, "Message passing again" writes x for what goes in
    v -> u                one column of edge_index: the message travels from the source v to the target u
    N(u)                  the sources of the edges that arrive at u; u is not among them
    (+)                   aggregate(..., reduce)
    W x                   x @ W.T, because the rows of h are the nodes

All updates of a round are made from the features before that round.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .graphs import ends, require_nodes


def aggregate(messages: Tensor, target: Tensor, num_nodes: int, reduce: str = "sum") -> Tensor:
    """Collect each node's inbox: messages (num_edges, ...), target (num_edges,) -> (num_nodes, ...).

    ``reduce`` is "sum", "mean" or "max". A node without messages gets 0. Raises ValueError for another ``reduce``.
    """
    require_targets(target, len(messages), num_nodes)
    nothing = messages.new_zeros((num_nodes, *messages.shape[1:]))
    if reduce == "sum":
        return nothing.index_add(0, target, messages)
    count = torch.bincount(target, minlength=num_nodes).view(-1, *[1] * (messages.ndim - 1))
    if reduce == "mean":
        return nothing.index_add(0, target, messages) / count.clamp(min=1)
    if reduce == "max":
        index = target.view(-1, *[1] * (messages.ndim - 1)).expand_as(messages)
        if messages.is_floating_point():
            nothing = nothing - torch.inf  # else a message of 0 would share its gradient with the 0 that it replaces
        largest = nothing.scatter_reduce(0, index, messages, "amax", include_self=False)
        return largest.masked_fill(count == 0, 0)
    raise ValueError(f'reduce is {reduce!r}; expected "sum", "mean" or "max".')


def aggregate_faded(messages: Tensor, target: Tensor, num_nodes: int, reduce: str = "sum",
                    fade: Tensor | None = None) -> Tensor:
    """`aggregate`, with a factor fade (num_edges,) on each message: where it is 0, an edge breaks without a jump.

        "sum"     sum over v in N(u) of fade_uv m_uv
        "mean"    the same, divided by 1 + sum over v in N(u) of fade_uv, since a number of edges jumps

    For a radius graph fade is ``neighbors.envelope(neighbors.distances(x, edge_index), r)``; if it is None, this is
    `aggregate`. Raises ValueError for a fade of another shape, and with "max", where a message of 0 counts.
    """
    if fade is None:
        return aggregate(messages, target, num_nodes, reduce)
    if reduce not in ("sum", "mean"):
        raise ValueError(f'reduce is {reduce!r} and fade is given; expected "sum" or "mean": a message that has faded '
                         "to 0 would still be larger than negative ones.")
    factor = column(fade, len(target)).view(-1, *[1] * (messages.ndim - 1))
    total = aggregate(factor * messages, target, num_nodes)
    if reduce == "sum":
        return total
    return total / (1 + aggregate(factor, target, num_nodes))


def require_targets(target: Tensor, num_messages: int, num_nodes: int) -> None:
    """Raise a ValueError that says what is wrong, unless target holds a node for each message."""
    if target.dtype != torch.int64 or target.shape != (num_messages,):
        raise ValueError(f"target has dtype {target.dtype} and shape {tuple(target.shape)}; expected torch.int64 and "
                         f"({num_messages},), a node for each message. Row 1 of edge_index holds the targets.")
    require_nodes("target", target, num_nodes)


def column(weights: Tensor, num_edges: int) -> Tensor:
    """weights[:, None]: (num_edges,) -> (num_edges, 1), to multiply messages. Raises ValueError for another shape."""
    if weights.shape != (num_edges,):
        hint = " Did you forget [:, 0]?" if weights.shape == (num_edges, 1) else ""
        raise ValueError(f"the weights of the messages have shape {tuple(weights.shape)}; expected ({num_edges},), "
                         f"one number for each edge.{hint}")
    return weights[:, None]


def message_round(h: Tensor, edge_index: Tensor, W_self: Tensor, W_neigh: Tensor, b: Tensor,
                  sigma: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """One round of Algorithm 4: h (num_nodes, d) -> (num_nodes, d').

    W_self and W_neigh are (d', d), b is (d',):

        M_{v->u} = W_neigh h_v + b        M_u = W_self h_u + sum over v in N(u) of M_{v->u}        h_u' = sigma(M_u)

    The bias belongs to the message: a node adds it once for each neighbour, an isolated node not at all.
    """
    v, u = ends(edge_index, len(h))
    M_neigh = h[v] @ W_neigh.T + b  # (num_edges, d')
    M_self = h @ W_self.T  # (num_nodes, d')
    M = M_self + aggregate(M_neigh, u, len(h))
    return sigma(M)


def run_rounds(h: Tensor, edge_index: Tensor, W_self: Tensor, W_neigh: Tensor, b: Tensor, K: int,
               sigma: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Algorithm 4: h^(0) -> h^(K+1), both (num_nodes, d), with the same square weights in every round.

    The algorithm lets k run over 0, 1, ..., K. That is K + 1 rounds.
    """
    for _ in range(K + 1):
        h = message_round(h, edge_index, W_self, W_neigh, b, sigma)
    return h


def receptive_fields(edge_index: Tensor, num_nodes: int, rounds: int) -> Tensor:
    """Whom each node can have heard of: (rounds + 1, num_nodes, num_nodes) of bool.

    Entry [k, u, v] says whether a change of v's features before the first round can reach u within k rounds.
    """
    v, u = ends(edge_index, num_nodes)
    heard = [torch.eye(num_nodes, dtype=torch.bool, device=edge_index.device)]
    for _ in range(rounds):
        passed_on = aggregate(heard[-1][v].float(), u, num_nodes, "max") > 0
        heard.append(heard[-1] | passed_on)
    return torch.stack(heard)


def receptive_field(edge_index: Tensor, num_nodes: int, node: int, k: int) -> Tensor:
    """Of which nodes one node can have heard after k rounds, itself included: (num_nodes,) of bool; see `receptive_fields`."""
    require_nodes("the question", torch.as_tensor(node, device=edge_index.device), num_nodes)
    return receptive_fields(edge_index, num_nodes, k)[k, node]


def dense_round(h: Tensor, A: Tensor, W_self: Tensor, W_neigh: Tensor, b: Tensor,
                sigma: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """`message_round` with the adjacency matrix A (num_nodes, num_nodes), A[v, u] = 1 for v -> u, and no list of edges.

    The inbox of u is column u of A, hence the transpose. It costs num_nodes^2, however few the edges are.
    """
    return sigma(h @ W_self.T + A.T @ (h @ W_neigh.T + b))


def softmax_by_target(scores: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """Turn scores (num_edges,) into weights that are positive and sum to 1 over the edges into each node.

    The largest score of each inbox is subtracted first: the weights stay the same and exp cannot overflow.
    """
    largest = aggregate(scores.detach(), target, num_nodes, "max")  # a constant: what is subtracted makes no difference
    weights = torch.exp(scores - largest.index_select(0, target))
    return weights / aggregate(weights, target, num_nodes).index_select(0, target)


def attention_round(h: Tensor, edge_index: Tensor, scores: Tensor, W: Tensor) -> Tensor:
    """A weighted mean of the messages: h (num_nodes, d), scores (num_edges,), W (d', d) -> (num_nodes, d').

    The weight of v -> u is the softmax of the scores over the edges that arrive at u. An empty inbox gives 0.
    """
    v, u = ends(edge_index, len(h))
    alpha = softmax_by_target(scores, u, len(h))
    return aggregate(column(alpha, len(u)) * (h @ W.T)[v], u, len(h))


def convolutional(h: Tensor, edge_index: Tensor, c: Tensor, psi: Callable, phi: Callable, reduce: str = "sum") -> Tensor:
    """h_u' = phi(x_u, (+) c_uv psi(x_v)): the weight c (num_edges,) is a constant of the graph."""
    v, u = ends(edge_index, len(h))
    return phi(h, aggregate(column(c, len(u)) * psi(h)[v], u, len(h), reduce))


def attentional(h: Tensor, edge_index: Tensor, a: Callable, psi: Callable, phi: Callable, reduce: str = "sum") -> Tensor:
    """h_u' = phi(x_u, (+) a(x_u, x_v) psi(x_v)): the weight is one number an edge, made from both ends.

    a takes the targets' and the sources' features, (num_edges, d) each, and returns (num_edges,) weights.
    """
    v, u = ends(edge_index, len(h))
    return phi(h, aggregate(column(a(h[u], h[v]), len(u)) * psi(h)[v], u, len(h), reduce))


def general(h: Tensor, edge_index: Tensor, psi: Callable, phi: Callable, reduce: str = "sum") -> Tensor:
    """h_u' = phi(x_u, (+) psi(x_u, x_v)): the message itself is made from both ends, (num_edges, d')."""
    v, u = ends(edge_index, len(h))
    return phi(h, aggregate(psi(h[u], h[v]), u, len(h), reduce))
