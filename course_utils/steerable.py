"""Steerable features: the slide "Representing vectors", with e3nn.

    here                    what it is
    l                       a feature's degree: 2 l + 1 numbers; 0 a scalar, 1 a vector, 2 a traceless symmetric tensor
    parity e, o             what an inversion does to it: nothing, or a change of sign
    Y_l(D)                  the spherical harmonics of an edge's direction, of degree l and parity (-1)^l
    (x)                     the tensor product, with a weight for each path and channel, W(|D|)

    f_u' = gate(W_0 f_u + W_1 sum over v in N(u) of W(|D|) (f_v (x) Y(D)) / sqrt(neighbours))

`SteerableNetwork` is the network of Thomas et al., "Tensor field networks" (2018), with the gates of Weiler et al., "3D
steerable CNNs" (2018). It needs e3nn: Geiger and Smidt, "e3nn: Euclidean neural networks" (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

try:
    from e3nn import nn as e3nn_nn
    from e3nn import o3
except ImportError:
    raise ImportError("steerable features need e3nn; `pip install -c constraints.txt e3nn` in a clone of the course brings "
                      "it.") from None

from .graphs import ends
from .gvp import edge_geometry
from .message_passing import aggregate_faded
from .neighbors import displacements, lengths


def natural(channels: int, l_max: int) -> o3.Irreps:
    """``channels`` features of each degree 0 .. l_max with the parity of the spherical harmonics: "8x0e+8x1o+8x2e"."""
    return o3.Irreps([(channels, (l, (-1) ** l)) for l in range(l_max + 1)])


class SteerableLayer(nn.Module):
    """f (num_nodes, irreps_in.dim) -> (num_nodes, irreps_out.dim), by the equation above, with gates on non-scalars.

    With fade (num_edges,) messages fade out where an edge breaks: see `message_passing.aggregate_faded`. Raises
    ValueError where irreps_out has a feature that irreps_in and the harmonics cannot make.
    """

    def __init__(self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, l_max: int, num_radial: int, neighbours: float):
        super().__init__()
        harmonics = o3.Irreps.spherical_harmonics(l_max)
        scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
        others = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
        gates = o3.Irreps([(others.num_irreps, "0e")] if others else [])
        self.gate = e3nn_nn.Gate(scalars, [torch.nn.functional.silu if ir.p == 1 else torch.tanh for _, ir in scalars], gates,
                                 [torch.sigmoid] * len(gates), others)
        wanted, paths, out = {ir for _, ir in self.gate.irreps_in}, [], []
        for i, (mul, ir_in) in enumerate(irreps_in):
            for j, (_, ir_edge) in enumerate(harmonics):
                for ir_out in ir_in * ir_edge:
                    if ir_out in wanted:
                        paths.append((i, j, len(out), "uvu", True))  # channel by channel, a weight for each
                        out.append((mul, ir_out))
        _require_features(irreps_out, irreps_in + o3.Irreps(out))
        self.product = o3.TensorProduct(irreps_in, harmonics, o3.Irreps(out), paths, shared_weights=False, internal_weights=False)
        self.radial = nn.Sequential(nn.Linear(num_radial, 32), nn.SiLU(), nn.Linear(32, self.product.weight_numel))
        self.mix = o3.Linear(self.product.irreps_out.simplify(), self.gate.irreps_in)
        self.stay = o3.Linear(irreps_in, self.gate.irreps_in)
        self.scale = neighbours ** -0.5

    def forward(self, f: Tensor, edge_index: Tensor, Y: Tensor, radial: Tensor,
                fade: Tensor | None = None) -> Tensor:
        v, u = ends(edge_index, len(f))
        messages = self.product(f.index_select(0, v), Y, self.radial(radial))
        inbox = aggregate_faded(messages, u, len(f), fade=fade) * self.scale
        return self.gate(self.stay(f) + self.mix(inbox))


class SteerableNetwork(nn.Module):
    """``rounds`` layers with ``channels`` features of each degree up to l_max: h (num_nodes, d_in), x (num_nodes, 3) -> out.

    h holds scalars; out is (num_nodes, irreps_out.dim), in e3nn's order of components. ``r`` is the cutoff of the edges and
    ``neighbours`` about how many a node has, so that sums neither grow nor shrink. ``fade`` is that of
    `SteerableLayer`; without it messages do not end at r, since ``radial`` has biases. Raises ValueError where
    irreps_out has a feature that the layers lack, and for fewer rounds than one.
    """

    def __init__(self, d_in: int, channels: int, irreps_out: str | o3.Irreps, rounds: int, l_max: int, r: float,
                 neighbours: float = 8.0, num_radial: int = 8):
        super().__init__()
        if rounds < 1:
            raise ValueError(f"rounds is {rounds}; expected 1 or more, since h itself holds only scalars.")
        self.r, self.num_radial, self.l_max = r, num_radial, l_max
        scalars, hidden = o3.Irreps([(channels, "0e")]), natural(channels, l_max)
        self.embed = nn.Linear(d_in, channels)
        self.layers = nn.ModuleList(SteerableLayer(a, hidden, l_max, num_radial, neighbours)
                                    for a in [scalars, *[hidden] * (rounds - 1)])
        _require_features(o3.Irreps(irreps_out), hidden)
        self.head = o3.Linear(hidden, o3.Irreps(irreps_out))

    def forward(self, h: Tensor, x: Tensor, edge_index: Tensor, fade: Tensor | None = None) -> Tensor:
        D = displacements(x, edge_index)
        radial, _ = edge_geometry(x, edge_index, self.r, self.num_radial)
        d = lengths(D, keepdim=True)
        unit = D / torch.where(d != 0, d, 1.0)  # the second derivative of e3nn's own way is NaN where points coincide
        Y = o3.spherical_harmonics(list(range(self.l_max + 1)), unit, normalize=False, normalization="component")
        f = self.embed(h)
        for layer in self.layers:
            f = layer(f, edge_index, Y, radial, fade)
        return self.head(f)


def _require_features(irreps_out: o3.Irreps, irreps_in: o3.Irreps) -> None:
    """Raise a ValueError unless irreps_in has each kind of feature in irreps_out: e3nn would answer 0."""
    kinds = {ir for _, ir in irreps_in}
    missing = [str(ir) for mul, ir in irreps_out if mul and ir not in kinds]
    if missing:
        raise ValueError(f"irreps_out is {irreps_out}, and no {missing[0]} can be made from {irreps_in.simplify()}; "
                         "expected degrees up to l_max, with the parity of the spherical harmonics: 0e, 1o, 2e, 3o. "
                         "Raise l_max, or multiply features: o3.FullyConnectedTensorProduct makes a 1e of two 1o.")


def tensor_of_degree_2(t: Tensor) -> Tensor:
    """The traceless symmetric tensor (..., 3, 3) whose components are a feature of degree 2, t (..., 5)."""
    return torch.einsum("...k,kij->...ij", t, o3.wigner_3j(2, 1, 1, dtype=t.dtype, device=t.device)) * 5**0.5
