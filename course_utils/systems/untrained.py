"""Networks with random weights. One on the coordinates of a cloud x (n, 3), with a function for each kind of answer;
psi_f, psi_c and phi of an EGNN (`egnn`), with Coulomb's law beside psi_c; and the `message` of a GVP. Any floating
dtype.

Nothing about the first is symmetric but that the points may be renumbered: whatever rotates with its input, behind one of the
constructions of `frames`, does so because of the construction. Smooth, so that every jump is the construction's as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

_random = torch.Generator().manual_seed(6)
_IN, _BIAS = (torch.randn(*shape, generator=_random, dtype=torch.float64) for shape in ((3, 12), (12,)))
_OUT = torch.randn(12, 14, generator=_random, dtype=torch.float64) / 12**0.5

_MOST = 16  # scalars or vectors that `message` can read
_VECTORS, _SCALARS = (torch.randn(*shape, generator=_random, dtype=torch.float64) for shape in ((4, _MOST), (4 + _MOST, 5)))


def _hidden(x: Tensor, first: int, numbers: int) -> Tensor:
    """A perceptron with one layer of 12, point by point: (n, numbers)."""
    return torch.tanh(x @ _IN.to(x.dtype) + _BIAS.to(x.dtype)) @ _OUT[:, first:first + numbers].to(x.dtype)


def energy(x: Tensor) -> Tensor:
    """A scalar: ()."""
    return _hidden(x, 0, 1).mean()


def charges(x: Tensor) -> Tensor:
    """A scalar for each point: (n,)."""
    return _hidden(x, 1, 1)[:, 0]


def dipole(x: Tensor) -> Tensor:
    """A vector: (3,)."""
    return _hidden(x, 2, 3).mean(0)


def forces(x: Tensor) -> Tensor:
    """A vector for each point: (n, 3)."""
    return _hidden(x, 2, 3)


def site(x: Tensor) -> Tensor:
    """A position: (3,)."""
    return x.mean(0) + _hidden(x, 2, 3).mean(0)


def sites(x: Tensor) -> Tensor:
    """A position for each point: (n, 3)."""
    return x + _hidden(x, 2, 3)


def stress(x: Tensor) -> Tensor:
    """A tensor: (3, 3)."""
    return _hidden(x, 5, 9).mean(0).view(3, 3)


def _layer(columns: Tensor, numbers: int) -> Tensor:
    """A smooth layer whose weights depend on how many columns come in and go out: (rows, numbers)."""
    d = columns.shape[1]
    W = torch.randn(numbers, d, generator=torch.Generator().manual_seed(100 * d + numbers), dtype=torch.float64) / d**0.5
    return torch.tanh(columns @ W.T.to(columns.dtype) + 0.2)


def _pairs(f_u: Tensor, f_v: Tensor, d2: Tensor) -> Tensor:
    """The columns that psi reads. ValueError if they do not have a row for each edge."""
    if d2.ndim != 2 or len(d2) != len(f_u):
        raise ValueError(f"psi got squared distances of shape {tuple(d2.shape)}; expected ({len(f_u)}, 1), a column with a row for "
                         "each pair f_u, f_v. sum(dim=1, keepdim=True) makes one.")
    return torch.cat([f_u, f_v, d2 / 4], dim=1)


def psi_f(f_u: Tensor, f_v: Tensor, d2: Tensor) -> Tensor:
    """Messages from f_u, f_v (num_edges, d) and squared distances (num_edges, 1): (num_edges, 5)."""
    return _layer(_pairs(f_u, f_v, d2), 5)


def psi_c(f_u: Tensor, f_v: Tensor, d2: Tensor) -> Tensor:
    """The factor of x_u - x_v, from what `psi_f` takes: (num_edges, 1)."""
    return _layer(_pairs(f_u, f_v, d2), 1)


def coulomb(f_u: Tensor, f_v: Tensor, d2: Tensor) -> Tensor:
    """A psi_c that is infinite at distance 0; the charges are the first features."""
    return f_u[:, :1] * f_v[:, :1] * d2 ** -1.5


def phi(f: Tensor, m: Tensor) -> Tensor:
    """New features from the old (num_nodes, d) and the sums of messages (num_nodes, d_m): (num_nodes, 4)."""
    return _layer(torch.cat([f, m], dim=1), 4)


def message(s: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """In the manner of a GVP, s (..., n) and V (..., nu, 3) -> (..., 5) and (..., 2, 3), for any n and nu up to 16.

    Its weights differ from place to place, so that what stands in another order is noticed.
    """
    V_h = torch.einsum("hn,...nk->...hk", _VECTORS[:, :V.shape[-2]].to(V.dtype), V)
    s_hn = torch.cat([(V_h.square().sum(-1) + 1).sqrt(), s], dim=-1)
    s_m = torch.tanh(s_hn @ _SCALARS[:s_hn.shape[-1]].to(s.dtype) / 8)
    return s_m, s_m[..., :2, None] * V_h[..., :2, :]
