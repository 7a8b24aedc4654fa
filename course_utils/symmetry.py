"""Rotations, and what they do to what: the slides "Rotation invariance and equivariance", "Equivariant message passing" and
"Representing vectors".

    the slide's letter    here
    R                     a 3 x 3 matrix with R^T R = 1; det R = +1 turns, det R = -1 reflects as well
    b                     a shift, (3,)
    R x + b               x @ R.T + b, because the rows of x are the nodes

A function f is equivariant where f(g x) = g f(x) for each g, and invariant where g leaves its output alone. What g does
depends on the kind of a quantity, and `act` is the table of that. `equivariance_error` measures how far a function is from it,
`classify` says what holds of a function of points, and `microscope.check_equivariance` looks at networks, and says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

# kind: how many axes of length 3 it ends in
KINDS = {"scalar": 0, "pseudoscalar": 0, "vector": 1, "pseudovector": 1, "position": 1, "tensor": 2}


def random_rotation(shape: int | tuple[int, ...] = (), generator: torch.Generator | None = None,
                    dtype: torch.dtype | None = None) -> Tensor:
    """Rotations drawn uniformly (by the Haar measure of SO(3)): shape (..., 3, 3), det +1.

    The Q of a Gaussian matrix is uniform on O(3) once the diagonal of its triangle is made positive; where det Q = -1,
    -Q is taken. Source: Mezzadri, "How to generate random matrices from the classical compact groups" (2007).
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    device = generator.device if generator else None
    normal = torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64, device=device)
    Q, triangle = torch.linalg.qr(normal)
    Q = Q * triangle.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    return (Q * torch.linalg.det(Q)[..., None, None].sign()).to(dtype or torch.get_default_dtype())


def random_reflection(shape: int | tuple[int, ...] = (), generator: torch.Generator | None = None,
                      dtype: torch.dtype | None = None) -> Tensor:
    """Rotations followed by a reflection, drawn uniformly from the other half of O(3): shape (..., 3, 3), det -1."""
    return -random_rotation(shape, generator, dtype)  # in three dimensions det(-R) = -det R


def rotation_about(axis: Tensor, angle: Tensor | float) -> Tensor:
    """The right-handed turn about axis (..., 3), of any length but 0, by angle (...) in radians: (..., 3, 3).

    Rodrigues' formula, R = 1 + sin(angle) K + (1 - cos(angle)) K^2 with K y = axis x y for every y.
    """
    length = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    if (length == 0).any():
        raise ValueError("axis has length 0; expected a direction to turn about, such as torch.tensor([0.0, 0.0, 1.0]).")
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    columns = (axis / length)[..., None, :].expand(*axis.shape[:-1], 3, 3)
    K = torch.linalg.cross(columns, identity.expand_as(columns)).mT
    angle = torch.as_tensor(angle, dtype=axis.dtype, device=axis.device)[..., None, None]
    return identity + angle.sin() * K + (1 - angle.cos()) * (K @ K)


def act(kind: str, R: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """What the motion y -> R y + b makes of a quantity x of a kind: the same shape.

    kind           x                  result
    scalar         (...)              x
    pseudoscalar   (...)              det R x           such as a volume with its sign
    vector         (..., 3)           R x               such as a velocity or a displacement: no shift
    pseudovector   (..., 3)           det R  R x        such as an angular momentum, a cross product
    position       (..., 3)           R x + b
    tensor         (..., 3, 3)        R x R^T           such as a strain

    R (..., 3, 3) and b (..., 3) may differ from row to row: their leading axes are broadcast with those of x, so for x with
    channels give R[:, None]. Raises ValueError for another kind, an R that is no 3 x 3 matrix, or an x that does not end in
    that kind's axes.
    """
    axes = require_kind(kind)
    if kind == "scalar":
        return x
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"R has shape {tuple(R.shape)}; expected (..., 3, 3). The order is act(kind, R, b, x).")
    if tuple(x.shape[x.ndim - axes:]) != (3,) * axes:
        raise ValueError(f"x has shape {tuple(x.shape)}; a {kind} ends in {(3,) * axes}, the components x, y, z.")
    if kind == "tensor":
        return torch.einsum("...ij,...jk,...lk->...il", R, x, R)
    sign = _sign(torch.linalg.det(R)) if kind.startswith("pseudo") else None
    if kind == "pseudoscalar":
        return sign * x
    turned = torch.einsum("...ij,...j->...i", R, x)
    if kind == "pseudovector":
        return sign[..., None] * turned
    return turned + b if kind == "position" else turned


def _sign(det: Tensor) -> Tensor:
    """1 or -1, and NaN for NaN, where torch.sign has 0."""
    return torch.where(det.isnan(), det, det.sign())


def equivariance_error(f: Callable[[Tensor], Tensor], kind: str, R: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The largest |f(g x) - g f(x)|, next to the largest |g f(x)|, where g is the motion x -> R x + b: ().

    x (n, 3) are positions, and f(x) is a quantity of a kind: see `act`. Where f is equivariant, only rounding is left.
    """
    expected = act(kind, R, b, f(x))
    return (f(act("position", R, b, x)) - expected).abs().max() / expected.abs().max()


# What each does to points (n, 3), and to any output that has such rows, or such components.
MOTIONS = {"permutation": lambda z, p, R, b: z[p], "translation": lambda z, p, R, b: z + b,
           "rotation": lambda z, p, R, b: z @ R.T, "reflection": lambda z, p, R, b: z @ -R.T}


def classify(f: Callable[[Tensor], Tensor], draws: int = 5) -> dict[str, str]:
    """How f, a function of points x (n, 3), behaves under each of `MOTIONS`: a word for each name.

    "invariant"     f(g x) = f(x): the output stays as it is
    "equivariant"   f(g x) = g f(x): the output moves as the points do: rows change places, + b, @ R.T
    "neither"       else; so is a cross product under reflections, since it moves with another sign

    Tried on random clouds of float64, of 7 points and off the origin, to 1e-6 of the output's size.
    """
    random, words = torch.Generator().manual_seed(0), {}
    for name, g in MOTIONS.items():
        invariant = equivariant = True
        for _ in range(draws):
            numbers = torch.randn(9, 3, generator=random, dtype=torch.float64)
            x, p, b = numbers[:7] + numbers[7], torch.randperm(7, generator=random), numbers[8]
            motion = p, random_rotation((), random, torch.float64), b
            y, moved = f(x), f(g(x, *motion))
            if y.isnan().any() or moved.isnan().any():
                raise ValueError("f returned NaN for points of ordinary size; expected numbers, which can be compared. "
                                 "Call f(torch.randn(7, 3)) to see it.")
            can_move = y.shape[:1] == (7,) if name == "permutation" else y.shape[-1:] == (3,)
            invariant = invariant and _same(moved, y)
            equivariant = equivariant and can_move and _same(moved, g(y, *motion))
        words[name] = "invariant" if invariant else "equivariant" if equivariant else "neither"
    return words


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-6 * b.abs().max())


def yzx_to_xyz(features: Tensor) -> Tensor:
    """Rows of "0e + 1o + 1o", a mass, a velocity and an acceleration, from the order y, z, x to x, y, z: (..., 7).

    The lecture's rows list vectors as early e3nn did, (y, z, x); e3nn today and this course have (x, y, z).
    """
    if features.shape[-1:] != (7,):
        raise ValueError(f"features has shape {tuple(features.shape)}; expected (..., 7): m, vy, vz, vx, ay, az, ax.")
    return features[..., [0, 3, 1, 2, 6, 4, 5]]


def irreps_dim(text: str) -> int:
    """How many numbers a row of features such as "8x0e + 4x1o" holds, as e3nn writes them: 8 * 1 + 4 * 3 = 20.

    A term is a multiplicity and an x, or neither for one feature; a degree l, of 2 l + 1 numbers; and a parity, e or o, which
    says what an inversion does. Spaces do not matter, and an empty text holds nothing. Raises ValueError for another text.
    """
    numbers = 0
    for term in text.split("+") if text.strip() else ():
        found = re.fullmatch(r"(?:(\d+)x)?(\d+)[eo]", term.replace(" ", ""))
        if not found:
            raise ValueError(f"{term.strip()!r} in {text!r} is no feature; expected a multiplicity, x, a degree and a parity e or "
                             'o, such as "4x1o", or "1o" for one.')
        multiplicity, l = found.groups()
        numbers += int(multiplicity or 1) * (2 * int(l) + 1)
    return numbers


def require_kind(kind: str) -> int:
    """How many axes of length 3 a quantity of that kind ends in; raises ValueError for another word."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    return KINDS[kind]
