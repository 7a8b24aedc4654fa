"""Message passing that is trained: the slides "Graph message passing networks" and "Message passing again".

    the slide's letter    here
    A-hat, W, b           Kipf's normalised adjacency matrix with self loops (`gcn_norm`), weights, a bias added once per node
    psi, phi, (+)         the message, the update, the aggregation of the general form
    x_u, h_u              row u of h, before and after a layer

Three layers, from the narrowest form to the widest: `GCNLayer` (convolutional), `GATLayer` (attentional), `MPNNLayer`
(general); `TwoWayLayer` makes one of two. Each maps h (num_nodes, d_in) to (num_nodes, d_out); in the first two h may be a sparse tensor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .graphs import count_graphs, degrees, ends, require_edge_index
from .message_passing import aggregate, aggregate_faded, column, softmax_by_target


def with_self_loops(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The edges, and one edge u -> u for every node: (2, num_edges'). A self loop that is there already is not doubled."""
    require_edge_index(edge_index, num_nodes)
    loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
    return torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], dim=1)


def gcn_norm(edge_index: Tensor, num_nodes: int, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """Kipf's weights: the edges with one self loop a node, (2, num_edges'), and c_uv = 1 / sqrt(d_u d_v), (num_edges',).

    d counts the edges that arrive at a node, its self loop among them; on a directed graph that is the in-degree at both
    ends, as in PyTorch Geometric. Source: Kipf and Welling, "Semi-supervised classification with graph convolutional
    networks" (2017), the renormalisation trick of section 2.2.
    """
    v, u = edge_index = with_self_loops(edge_index, num_nodes)
    dtype = dtype or torch.get_default_dtype()
    wide = torch.promote_types(dtype, torch.float32)  # in float16, d_u d_v overflows
    d = degrees(edge_index, num_nodes).to(wide)
    return edge_index, (d.index_select(0, u) * d.index_select(0, v)).rsqrt().to(dtype)


def weighted_sum(h: Tensor, edge_index: Tensor, c: Tensor) -> Tensor:
    """sum over v in N(u) of c_uv h_v: h (num_nodes, d), c (num_edges,) -> (num_nodes, d).

    This is a product with a sparse matrix, C[u, v] = c_uv, and needs no message (num_edges, d) to be stored. torch
    gives such a product no second derivative in c, and torch.func no transform: there messages are summed.
    """
    v, u = ends(edge_index, len(h))
    weights = column(c.to(h.dtype), len(u))
    transformed = torch.func.debug_unwrap(h) is not h or torch.func.debug_unwrap(c) is not c
    if c.requires_grad or transformed:
        return aggregate(weights * h.index_select(0, v), u, len(h))
    size = len(h), len(h)
    C = torch.sparse_coo_tensor(edge_index.flip(0), weights[:, 0], size, device=h.device, check_invariants=False)
    return C @ h


class GCNLayer(nn.Module):
    """h' = A-hat^T h W^T + b, with A-hat = D^(-1/2) (A + I) D^(-1/2), D the in-degrees of A + I.

    It is not Algorithm 4: u is its own neighbour, all share one W, and the bias is added once to a node. Source: Kipf and
    Welling (2017), equation 2, for undirected graphs, where A-hat is symmetric; the nonlinearity is left to the network.
    """

    def __init__(self, d_in: int, d_out: int):
        super().__init__()
        self.W = nn.Linear(d_in, d_out, bias=False)
        self.b = nn.Parameter(torch.zeros(d_out))

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        edge_index, c = gcn_norm(edge_index, len(h), self.b.dtype)
        return weighted_sum(self.W(h), edge_index, c) + self.b


class GATLayer(nn.Module):
    """h_u' = sum over v in N(u) and u itself of alpha_uv W h_v, + b, with heads side by side: d_out is split among them.

    alpha is the softmax over u's inbox of LeakyReLU(a . [W h_u; W h_v]); a . [W h_u; W h_v] = a_u . W h_u + a_v . W h_v.
    Source: Velickovic et al., "Graph attention networks" (2018), equations 1 to 5. Raises ValueError where heads do not
    divide d_out.
    """

    def __init__(self, d_in: int, d_out: int, heads: int = 1):
        super().__init__()
        if d_out % heads:
            raise ValueError(f"d_out is {d_out} and heads is {heads}; expected a multiple, {heads} channels or {2 * heads}, say.")
        self.W = nn.Linear(d_in, d_out, bias=False)
        self.a_u, self.a_v = (nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, d_out // heads))) for _ in "uv")
        self.b = nn.Parameter(torch.zeros(d_out))

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        v, u = with_self_loops(edge_index, len(h))
        z = self.W(h).unflatten(1, self.a_u.shape)  # (num_nodes, heads, d_out / heads)
        a_u, a_v = (self.a_u * z).sum(-1), (self.a_v * z).sum(-1)  # (num_nodes, heads)
        scores = F.leaky_relu(a_u.index_select(0, u) + a_v.index_select(0, v), 0.2)
        alpha = softmax_by_target(scores, u, len(h))
        return aggregate(alpha[..., None] * z.index_select(0, v), u, len(h)).flatten(1) + self.b


class PairMLP(nn.Module):
    """psi(h_u, h_v, e_uv): a perceptron with one hidden layer on [h_u; h_v; e_uv], for each edge v -> u: (num_edges, d_out).

    The first matrix is applied in parts, W [h_u; h_v; e] = W_u h_u + W_v h_v + W_e e, and the first two products are made
    once per node instead of once per edge. ``last`` is applied to the result.
    """

    def __init__(self, d: int, d_edge: int, hidden: int, d_out: int, last: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.parts = [d, d, d_edge]
        self.first, self.second, self.last = nn.Linear(sum(self.parts), hidden), nn.Linear(hidden, d_out), last

    def forward(self, h: Tensor, edge_index: Tensor, e: Tensor | None = None) -> Tensor:
        if isinstance(edge_index, Tensor) and edge_index.is_floating_point():
            raise ValueError(f"PairMLP got floating point numbers of shape {tuple(edge_index.shape)} in place of edges, which are "
                             "whole. Call it as psi(h, edge_index, e): it picks h_u and h_v for each edge itself.")
        require_edge_index(edge_index, len(h))
        v, u = edge_index
        d, _, d_edge = self.parts
        of_edges = (len(u), 0) if e is None else tuple(e.shape)
        if h.shape[1:] != (d,) or of_edges != (len(u), d_edge):
            raise ValueError(f"h has shape {tuple(h.shape)} and e, what belongs to the edges, {of_edges}; expected (num_nodes, {d}) "
                             f"and ({len(u)}, {d_edge}). h[:, None] gives h a second axis.")
        W_u, W_v, W_e = self.first.weight.split(self.parts, dim=1)
        a = torch.addmm(self.first.bias, h, W_u.T).index_select(0, u) + (h @ W_v.T).index_select(0, v)
        out = self.second(F.silu(a if e is None else torch.addmm(a, e, W_e.T)))  # a + e W_e^T
        return self.last(out) if self.last else out


class MPNNLayer(nn.Module):
    """h_u' = phi(h_u, (+) over v in N(u) of psi(h_u, h_v, e_uv)), psi and phi perceptrons with one hidden layer.

    edge_attr is (num_edges, d_edge); with fade (num_edges,) messages fade out: `message_passing.aggregate_faded`.
    Source: the slide "Message passing again", third form; Gilmer et al., "Neural message passing for quantum
    chemistry" (2017).
    """

    def __init__(self, d_in: int, d_out: int, hidden: int | None = None, d_edge: int = 0, reduce: str = "sum"):
        super().__init__()
        hidden = hidden or d_out
        self.psi = PairMLP(d_in, d_edge, hidden, hidden, F.silu)
        self.phi = nn.Sequential(nn.Linear(d_in + hidden, hidden), nn.SiLU(), nn.Linear(hidden, d_out))
        self.reduce = reduce

    def forward(self, h: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None,
                fade: Tensor | None = None) -> Tensor:
        m = aggregate_faded(self.psi(h, edge_index, edge_attr), edge_index[1], len(h), self.reduce, fade)
        return self.phi(torch.cat([h, m], dim=1))


class TwoWayLayer(nn.Module):
    """h_u' = one layer over the edges + another over their reverses: both directions are heard, and told apart.

    layer makes each of the two from the widths. Source: Rossi et al., "Edge directionality improves learning on
    heterophilic graphs" (2023).
    """

    def __init__(self, layer: Callable[[int, int], nn.Module], d_in: int, d_out: int):
        super().__init__()
        self.along, self.against = layer(d_in, d_out), layer(d_in, d_out)

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        return self.along(h, edge_index) + self.against(h, edge_index.flip(0))


def readout(h: Tensor, batch: Tensor | None = None, reduce: str = "sum", num_graphs: int | None = None) -> Tensor:
    """One row for the whole graph, whatever the order of its nodes: h (num_nodes, d) -> (d,).

    With batch it is (num_graphs, d). ``num_graphs``, which a `graphs.Graph` has, is needed where the last graphs have
    no nodes: batch does not show them.
    """
    if batch is None:
        return aggregate(h, torch.zeros(len(h), dtype=torch.int64, device=h.device), 1, reduce)[0]
    return aggregate(h, batch, count_graphs(batch, len(h), num_graphs), reduce)


class GraphNetwork(nn.Module):
    """``rounds`` layers of one type with a ReLU behind each, and a linear map: to (num_nodes, d_out).

    layer makes a layer from its two widths: `GCNLayer`, `GATLayer`, `MPNNLayer`, or a function such as
    ``lambda d_in, d_out: GATLayer(d_in, d_out, heads=4)``. With ``reduce`` ("sum", "mean" or "max") the nodes of each graph
    are put together before the linear map, by `readout`: to (d_out,), with batch (num_graphs, d_out).
    """

    def __init__(self, layer: Callable[[int, int], nn.Module], d_in: int, hidden: int, d_out: int, rounds: int,
                 reduce: str | None = None):
        super().__init__()
        widths = [d_in] + [hidden] * rounds
        self.layers = nn.ModuleList(layer(a, b) for a, b in zip(widths, widths[1:]))
        self.head, self.reduce = nn.Linear(widths[-1], d_out), reduce

    def forward(self, h: Tensor, edge_index: Tensor, batch: Tensor | None = None,
                num_graphs: int | None = None) -> Tensor:
        for layer in self.layers:
            h = torch.relu(layer(h, edge_index))
        return self.head(readout(h, batch, self.reduce, num_graphs) if self.reduce else h)


def wl_colours(edge_index: Tensor, num_nodes: int, rounds: int, start: Tensor | None = None) -> Tensor:
    """Weisfeiler-Leman colours after 0, 1, ..., rounds rounds: (rounds + 1, num_nodes) of int64.

    Two nodes get the same new colour where they had the same and hear of the same colours, equally often, from N(u). From
    equal features (or from ``start``, (num_nodes,) of int64) no messages made from features tell apart nodes of the same
    colour after as many rounds; Kipf's weights see degrees, which are one round ahead. To compare graphs, colour them in one
    batch: colours are numbered anew in each round, in an order that does not depend on the nodes'. Source: Xu et al., "How powerful are graph neural networks?" (2019), and Weisfeiler and Leman (1968).
    """
    require_edge_index(edge_index, num_nodes)
    history = [[0] * num_nodes if start is None else start.tolist()]
    for _ in range(rounds):
        heard = [[] for _ in range(num_nodes)]
        for v, u in edge_index.T.tolist():
            heard[u].append(history[-1][v])
        seen = [(own, *sorted(others)) for own, others in zip(history[-1], heard)]
        number = {colour: i for i, colour in enumerate(sorted(set(seen)))}
        history.append([number[colour] for colour in seen])
    return torch.tensor(history, dtype=torch.int64, device=edge_index.device).reshape(rounds + 1, num_nodes)
