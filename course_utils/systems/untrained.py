"""A network with random weights on the coordinates of a cloud x (n, 3), one function for each kind of answer.

Nothing about it is symmetric but that the points may be renumbered: whatever turns along, behind one of the constructions of
`frames`, does so because of the construction. Smooth, so that every jump is the construction's as well. Any floating dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor

_random = torch.Generator().manual_seed(6)
_IN, _BIAS = (torch.randn(*shape, generator=_random, dtype=torch.float64) for shape in ((3, 12), (12,)))
_OUT = torch.randn(12, 14, generator=_random, dtype=torch.float64) / 12**0.5


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


def stress(x: Tensor) -> Tensor:
    """A tensor: (3, 3)."""
    return _hidden(x, 5, 9).mean(0).view(3, 3)
