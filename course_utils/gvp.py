"""Geometric vector perceptrons: the slides "Representing vectors" and "Geometric vector perceptron" (Algorithm 1).

    the slide's letter    here
    s, V                  the node features h, in two parts: scalars (..., n) and vectors (..., nu, 3), a row each
    W_h, W_mu, W_m, b     parameters of `GVP`; there is no bias on vectors, so V = 0 gives V' = 0
    |.|_2 row-wise        `neighbors.lengths`: over x, y and z

A GVP turns with its input, and mirrors with it, if V holds polar vectors; it knows nothing of translations, so V holds
displacements, never positions. Source: Jing et al., "Learning from protein structure with geometric vector perceptrons"
(2021), "the paper" below.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .fast_gvp import mean_message, times
from .graph_networks import readout
from .graphs import ends
from .neighbors import displacements, envelope, lengths


class GVP(nn.Module):
    """Algorithm 1: (s, V) -> (s', V'), from n scalars and nu vectors to m scalars and mu vectors.

    sigma acts on the scalars and sigma_plus on the vectors' lengths; None leaves one out. With ``vector_gate`` the vectors
    are scaled by V' = sigmoid(W_g sigma_plus(s_m) + b_g) V_mu instead, as in Jing et al., "Equivariant graph neural networks
    for 3D macromolecular structure" (2021).
    """

    def __init__(self, n: int, nu: int, m: int, mu: int, sigma: Callable | None = torch.relu,
                 sigma_plus: Callable | None = torch.sigmoid, vector_gate: bool = False):
        super().__init__()
        h = max(nu, mu)
        self.W_h = nn.Parameter(_uniform(h, nu))
        self.W_mu = nn.Parameter(_uniform(mu, h))
        self.W_m = nn.Linear(h + n, m)  # with b
        self.W_g = nn.Linear(m, mu) if vector_gate else None
        self.sigma, self.sigma_plus = sigma or nn.Identity(), sigma_plus

    def forward(self, s: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        n, nu = self.W_m.in_features - len(self.W_h), self.W_h.shape[1]
        if s.shape[-1:] != (n,) or V.shape != (*s.shape[:-1], nu, 3):
            raise ValueError(f"s has shape {tuple(s.shape)} and V {tuple(V.shape)}; expected (..., {n}) and (..., {nu}, 3), the "
                             "same in front.")
        V_h = times(self.W_h, V)  # (..., h, 3)
        V_mu = times(self.W_mu, V_h)  # (..., mu, 3)
        s_h = lengths(V_h)  # (..., h)
        s_hn = torch.cat([s_h, s], dim=-1)  # (..., h + n)
        s_m = self.W_m(s_hn)  # (..., m)
        return self.activated(s_m, V_mu)

    def activated(self, s_m: Tensor, V_mu: Tensor) -> tuple[Tensor, Tensor]:
        """The algorithm's last lines: (..., m) and (..., mu, 3) -> (s', V')."""
        s_new = self.sigma(s_m)
        if self.W_g is not None:
            gate = torch.sigmoid(self.W_g(s_m if self.sigma_plus is None else self.sigma_plus(s_m)))
        elif self.sigma_plus is not None:
            v_mu = lengths(V_mu)  # (..., mu)
            gate = self.sigma_plus(v_mu)
        else:
            return s_new, V_mu
        V_new = gate[..., None] * V_mu  # (..., mu, 3), row by row
        return s_new, V_new


class GVPs(nn.ModuleList):
    """GVPs one after the other, the last without sigma and sigma_plus. widths lists (scalars, vectors), the input's first."""

    def __init__(self, *widths: tuple[int, int], vector_gate: bool = False):
        *pairs, last = zip(widths, widths[1:])
        super().__init__(GVP(*a, *b, vector_gate=vector_gate) for a, b in pairs)
        self.append(GVP(*last[0], *last[1], sigma=None, sigma_plus=None, vector_gate=vector_gate))

    def forward(self, s: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        for gvp in self:
            s, V = gvp(s, V)
        return s, V


def gvp_message(s: Tensor, V: Tensor, edge_index: Tensor, edge_s: Tensor, edge_V: Tensor, g: Callable) -> tuple[Tensor, Tensor]:
    """m_{v->u} = g(concat(h_v, h_{v->u})), equation 3 of the paper: (num_edges, ...) scalars and vectors.

    s (num_nodes, n), V (num_nodes, nu, 3); edge_s (num_edges, n_e), edge_V (num_edges, nu_e, 3) belong to the edges.
    """
    v, _ = ends(edge_index, len(s))
    return g(torch.cat([s.index_select(0, v), edge_s], dim=-1), torch.cat([V.index_select(0, v), edge_V], dim=-2))


class LayerNorm(nn.Module):
    """Scalars as usual; vectors are divided by the root of their mean squared length: their directions stay, zero stays."""

    def __init__(self, n: int):
        super().__init__()
        self.scalars = nn.LayerNorm(n)

    def forward(self, s: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        if V.shape[-2]:
            V = V / (V.square().sum(-1, keepdim=True).mean(-2, keepdim=True) + 1e-5).sqrt()  # as nn.LayerNorm has it
        return self.scalars(s), V


class Dropout(nn.Module):
    """Scalars as usual; a vector is dropped as a whole, since dropping one component would not turn with the input."""

    def __init__(self, p: float):
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, s: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        return self.drop(s), self.drop(torch.ones_like(V[..., :1])) * V


class GVPLayer(nn.Module):
    """Message passing with GVPs: equations 3 to 5 of the paper, node (n, nu) -> (n, nu), edge (n_e, nu_e).

        h_u <- LayerNorm(h_u + Dropout(mean over v in N(u) of m_{v->u}))        m by three GVPs (`gvp_message`)
        h_u <- LayerNorm(h_u + Dropout(g(h_u)))                                 g two GVPs

    `fast_gvp.mean_message` is that mean, made faster. With fade (num_edges,) messages fade out where an edge breaks,
    and the mean is that of `message_passing.aggregate_faded`.
    """

    def __init__(self, node: tuple[int, int], edge: tuple[int, int], dropout: float = 0.0, vector_gate: bool = False):
        super().__init__()
        (n, nu), (n_e, nu_e) = node, edge
        self.message = GVPs((n + n_e, nu + nu_e), node, node, node, vector_gate=vector_gate)
        self.update = GVPs(node, (4 * n, 2 * nu), node, vector_gate=vector_gate)
        self.norms = nn.ModuleList([LayerNorm(n), LayerNorm(n)])
        self.dropout = Dropout(dropout)

    def forward(self, s: Tensor, V: Tensor, edge_index: Tensor, edge_s: Tensor, edge_V: Tensor,
                fade: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ds, dV = self.dropout(*mean_message(s, V, edge_index, edge_s, edge_V, self.message, fade))
        s, V = self.norms[0](s + ds, V + dV)
        ds, dV = self.dropout(*self.update(s, V))
        return self.norms[1](s + ds, V + dV)


class GVPNetwork(nn.Module):
    """``rounds`` layers of width ``hidden`` = (scalars, vectors), for node and graph targets: (s, V) -> (s', V').

    node, edge and out are (scalars, vectors) as well. s' is (num_nodes, m) and V' (num_nodes, mu, 3), or with ``reduce``
    ("sum" or "mean") one for the graph, with batch one for each: (num_graphs, m), (num_graphs, mu, 3).
    ``num_graphs`` is that of `readout`, ``fade`` that of `GVPLayer`.
    """

    def __init__(self, node: tuple[int, int], edge: tuple[int, int], hidden: tuple[int, int], out: tuple[int, int], rounds: int,
                 reduce: str | None = None, dropout: float = 0.0, vector_gate: bool = False):
        super().__init__()
        if reduce not in (None, "sum", "mean"):
            raise ValueError(f'reduce is {reduce!r}; expected "sum" or "mean": the largest x, y and z of vectors make no vector.')
        self.embed = GVPs(node, hidden)
        self.layers = nn.ModuleList(GVPLayer(hidden, edge, dropout, vector_gate) for _ in range(rounds))
        self.head, self.reduce = GVPs(hidden, hidden, out, vector_gate=vector_gate), reduce

    def forward(self, s: Tensor, V: Tensor, edge_index: Tensor, edge_s: Tensor, edge_V: Tensor,
                batch: Tensor | None = None, *, fade: Tensor | None = None,
                num_graphs: int | None = None) -> tuple[Tensor, Tensor]:
        s, V = self.embed(s, V)
        for layer in self.layers:
            s, V = layer(s, V, edge_index, edge_s, edge_V, fade)
        s, V = self.head(s, V)
        if self.reduce is None:
            return s, V
        return readout(s, batch, self.reduce, num_graphs), readout(V, batch, self.reduce, num_graphs)


def edge_geometry(x: Tensor, edge_index: Tensor, r: float, count: int = 8) -> tuple[Tensor, Tensor]:
    """What an edge of a radius graph knows of space: edge_s (num_edges, count) and edge_V (num_edges, 1, 3).

    edge_s are Gaussians of |x_u - x_v| centred from 0 to r, one spacing wide, and edge_V is the direction from v to u, 0
    between coincident points; both times the `neighbors.envelope`, so that what is known of an edge fades before it
    breaks. Its message need not: a layer has ``fade`` for that.
    """
    D = displacements(x, edge_index)
    d = lengths(D, keepdim=True)
    fade = envelope(d, r)
    centres = torch.linspace(0, r, count, dtype=x.dtype, device=x.device)
    edge_s = torch.exp(-((d - centres) * (count - 1) / r).square() / 2) * fade
    edge_V = D / torch.where(d != 0, d, 1.0) * fade
    return edge_s, edge_V[:, None, :]


def _uniform(rows: int, columns: int) -> Tensor:
    """torch's own start for a linear map."""
    bound = max(columns, 1) ** -0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)
