"""Features of any degree, written and ordered as e3nn does ("8x0e + 4x1o"), without e3nn.

A term has a multiplicity, a degree l of 2 l + 1 numbers, and a parity: +1 for e, -1 for o, what an inversion
does to it. A rotation R acts on degree l by the matrix D with Y_l(R v) = D Y_l(v) for every v, where Y_l are
the real harmonics.
"""

from __future__ import annotations

import re
from math import factorial

import torch
from numpy.polynomial import legendre
from torch import Tensor

from ..symmetry import irreps_dim


def terms(text: str) -> list[tuple[int, int]]:
    """Degree and parity of each feature: "2x0e + 1o" is [(0, 1), (0, 1), (1, -1)]. Raises ValueError as
    `irreps_dim` does.
    """
    irreps_dim(text)
    features = []
    for multiplicity, l, parity in re.findall(r"(?:(\d+)x)?(\d+)([eo])", text.replace(" ", "")):
        features += int(multiplicity or 1) * [(int(l), 1 if parity == "e" else -1)]
    return features


def harmonics(l: int, v: Tensor) -> Tensor:
    """Y_l of vectors v (..., 3), times |v|^l: (..., 2 l + 1), in e3nn's order, so that Y_1 is x, y, z.

    The polar axis is y. With P the Legendre polynomial of degree l, the component m is w P^(m)(y) Re (z + i
    x)^m, the component -m has Im in place of Re, and w^2 = 2 (l - m)! / (l + m)!.
    """
    x, y, z = torch.nn.functional.normalize(v, dim=-1).unbind(-1)
    polynomial = [0] * l + [1]
    low, middle, high = [], torch.from_numpy(legendre.legval(y.numpy(), polynomial)), []
    for m in range(1, l + 1):
        w = (2 * factorial(l - m) / factorial(l + m)) ** 0.5
        slope = torch.from_numpy(legendre.legval(y.numpy(), legendre.legder(polynomial, m)))
        around = w * slope * torch.complex(z, x) ** m
        low.insert(0, around.imag)
        high.append(around.real)
    length = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return torch.stack([*low, middle, *high], dim=-1) * length**l


def matrix(l: int, parity: int, R: Tensor) -> Tensor:
    """What a rotation or reflection R (3, 3) does to a feature: (2 l + 1, 2 l + 1)."""
    det = torch.linalg.det(R).sign()
    points = torch.randn(4 * (2 * l + 1), 3, generator=torch.Generator().manual_seed(l), dtype=R.dtype)
    points = torch.nn.functional.normalize(points, dim=1)
    D = torch.linalg.lstsq(harmonics(l, points), harmonics(l, points @ (det * R).T)).solution.T
    return parity * D if det < 0 else D


def act(text: str, R: Tensor, x: Tensor) -> Tensor:
    """What R (3, 3) makes of features x (..., irreps_dim(text))."""
    matrices = {feature: matrix(*feature, R) for feature in set(terms(text))}
    return x @ torch.block_diag(*[matrices[feature] for feature in terms(text)]).T


def other_parity(text: str) -> str:
    """The same degrees with the other parities: "1o + 0e" is "1e + 0o"."""
    return text.translate(str.maketrans("eo", "oe"))
