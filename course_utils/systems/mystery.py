"""Functions of a cloud of points x (n, 3), to find out how each behaves when the points are renumbered, shifted, turned or
mirrored: by eye with `widgets.mystery`, and with `symmetry.classify`. Each says what it computes; the rest is to be found.

They take any floating dtype. Three of them need neighbors, and raise ValueError where x has too few points.
`hidden` makes more of them, whose names tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def centroid(x: Tensor) -> Tensor:
    """The mean of the points: (3,)."""
    return x.mean(0)


def radius(x: Tensor) -> Tensor:
    """The root mean square distance from the centroid: ()."""
    return offsets(x).square().sum(1).mean().sqrt()


def offsets(x: Tensor) -> Tensor:
    """The way from the centroid to each point: (n, 3)."""
    return x - x.mean(0)


def norms(x: Tensor) -> Tensor:
    """The length |x_u| of each row: (n,)."""
    return x.norm(dim=1)


def steps(x: Tensor) -> Tensor:
    """The way from each point to the next one in the list, from the last to the first: (n, 3)."""
    return x.roll(-1, 0) - x


def tour(x: Tensor) -> Tensor:
    """The length of the way through all points in the order of the list, and back to the first: ()."""
    return steps(x).norm(dim=1).sum()


def first_from_centroid(x: Tensor) -> Tensor:
    """The distance of the first point from the centroid: ()."""
    return offsets(x)[0].norm()


def drift(x: Tensor) -> Tensor:
    """How far the points drift along the list: the length of their mean, each less the centroid and counted by its place: ().

    The first two count the same, and so do the last two. Every other way to renumber four points or more makes a difference.
    """
    weight = torch.arange(len(x), dtype=x.dtype, device=x.device).clamp(1, len(x) - 2).square()
    return (weight[:, None] * offsets(x)).mean(0).norm()


def shared(x: Tensor) -> Tensor:
    """The centroid, in each point's row: (n, 3)."""
    return x.mean(0).expand_as(x)


def heights(x: Tensor) -> Tensor:
    """How much higher than the centroid each point lies, along z: (n,)."""
    return offsets(x)[:, 2]


def highest(x: Tensor) -> Tensor:
    """The largest z of all points: ()."""
    return x[:, 2].max()


def nearest(x: Tensor) -> Tensor:
    """The distance from each point to its nearest neighbour: (n,)."""
    return _to_nearest(x, 1)[:, 0].norm(dim=1)


def normals(x: Tensor) -> Tensor:
    """The cross product of the ways from each point to its nearest and second nearest neighbour: (n, 3)."""
    first, second = _to_nearest(x, 2).unbind(1)
    return torch.linalg.cross(first, second)


def twist(x: Tensor) -> Tensor:
    """The determinant of the directions from a point to its three nearest neighbours, averaged over all points: ()."""
    return torch.linalg.det(torch.nn.functional.normalize(_to_nearest(x, 3), dim=2)).mean()


def repelled(x: Tensor) -> Tensor:
    """Each point half as far again from the centroid: (n, 3)."""
    return x + offsets(x) / 2


def nudged(x: Tensor) -> Tensor:
    """Each point half as far again from the centroid, and higher by a thousandth of the radius: (n, 3)."""
    return repelled(x) + radius(x) / 1000 * x.new_tensor([0.0, 0.0, 1.0])


def nearly_offsets(x: Tensor) -> Tensor:
    """The points less 0.999 times their centroid: (n, 3)."""
    return x - 0.999 * x.mean(0)


def scaled(x: Tensor) -> Tensor:
    """The way from the centroid to each point, divided by the largest component that occurs, without its sign: (n, 3)."""
    return offsets(x) / offsets(x).abs().max()


def blocks(x: Tensor) -> Tensor:
    """The mean distance from the centroid, walked along x, y and z as between city blocks: ()."""
    return offsets(x).abs().sum(1).mean()


FUNCTIONS = (centroid, radius, offsets, norms, steps, tour, drift, heights, highest, nearest, normals,
             twist, repelled, nudged, nearly_offsets, scaled, blocks)


# Each is a function of the points x and of three numbers a, b and c; o are the offsets of x.
FORMS = (
    lambda x, o, a, b, c: a * radius(x) + b,
    lambda x, o, a, b, c: a * _lengths(o)[:, 0] ** 2 + b,
    lambda x, o, a, b, c: o * (a + b * _lengths(o)),
    lambda x, o, a, b, c: x + o * (a + b * _lengths(o)),
    lambda x, o, a, b, c: x.mean(0) + a * (o * _lengths(o)).mean(0),
    lambda x, o, a, b, c: a * (o * _lengths(o) ** 2).mean(0),
    lambda x, o, a, b, c: a * twist(x) + b * radius(x),
    lambda x, o, a, b, c: normals(x) * (a + b * _lengths(o)),
    lambda x, o, a, b, c: o * (a + twist(x)),
    lambda x, o, a, b, c: a * steps(x) + b * o,
    lambda x, o, a, b, c: a * tour(x) + b * radius(x),
    lambda x, o, a, b, c: a * drift(x) + b * radius(x),
    lambda x, o, a, b, c: x.roll(1, 0) + a * o,
    lambda x, o, a, b, c: o @ x.new_tensor([a, b, c]),
    lambda x, o, a, b, c: a * o / o.abs().max(),
    lambda x, o, a, b, c: o.abs().pow(3 + a).sum(1).mean(),
    lambda x, o, a, b, c: (x @ x.new_tensor([a, b, c])).max(),
    lambda x, o, a, b, c: a * norms(x) + b,
    lambda x, o, a, b, c: x - (1 - a / 1000) * x.mean(0),
    lambda x, o, a, b, c: x + b * o + radius(x) / 1000 * x.new_tensor([a, b, c]),
    lambda x, o, a, b, c: x.mean(0) - a * o,
    lambda x, o, a, b, c: -a * x,
    lambda x, o, a, b, c: x.new_tensor([a, b, c]),
    lambda x, o, a, b, c: shared(x) + a * shared(o * _lengths(o)),
)


def hidden(number: int) -> Callable[[Tensor], Tensor]:
    """A function of points x (n, 3), called f as all of them are: one of `FORMS`, with its own a, b and c.

    The same number gives the same function; number % len(FORMS) is the place of its form.
    """
    form = FORMS[number % len(FORMS)]
    random = torch.Generator().manual_seed(number)
    a, b, c = (torch.rand(3, generator=random, dtype=torch.float64) + 0.5).tolist()

    def f(x):
        return form(x, offsets(x), a, b, c)

    f.__qualname__ = f.__name__
    return f


def _lengths(ways: Tensor) -> Tensor:
    """|v| of each row: (n, 1)."""
    return ways.norm(dim=1, keepdim=True)


def _to_nearest(x: Tensor, count: int) -> Tensor:
    """The ways from each point to its ``count`` nearest neighbours, the nearest first: (n, count, 3)."""
    if len(x) <= count:
        raise ValueError(f"x has {len(x)} points; expected {count + 1} or more, for each to have {count} neighbours.")
    ways = x - x[:, None]
    order = ways.norm(dim=2).argsort(dim=1)[:, 1:count + 1]  # the very first is the point itself
    return ways[torch.arange(len(x))[:, None], order]
