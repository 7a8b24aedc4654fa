"""Notebook 6: copies turned with their labels, the four principal frames, one pose for all, an average over frames."""

from __future__ import annotations

import functools
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from .. import frames, symmetry
from .declare import Case, Close, Exercise, Named, PropertiesOnly, Property, SameSet, Seed, wrong_form
from .derivatives import Differentiated
from .inputs import normal
from .nb04_invariance_and_equivariance import far_from_uniform, hidden_mystery

NOTEBOOK = "06_augmentation_and_canonicalization"
AXES = torch.eye(3)

# ---------------------------------------------------------------------------------------------------------- augment

MANY = 2500  # clouds, enough to see how their turns are distributed: axes drawn from a cube, too
TETRAHEDRON = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def _clouds(*sizes, generator):
    """Generic clouds in one graph, each somewhere else than at the origin: x (num_nodes, 3) and batch (num_nodes,)."""
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    shape = torch.cat([torch.cat([TETRAHEDRON, normal(max(n - 4, 0), 3, generator=generator)])[:n] for n in sizes])
    away = 3 + torch.rand(len(sizes), 3, generator=generator)
    return shape + 0.3 * normal(*shape.shape, generator=generator) + away[batch], batch


def _labelled(generator):
    def seed():
        return Seed(int(torch.randint(1 << 40, (), generator=generator)))

    x, batch = _clouds(5, generator=generator)
    yield Case("a cloud of 5 points with a vector", x, normal(1, 3, generator=generator), "vector", seed(), batch)
    x, batch = _clouds(5, 4, 7, generator=generator)
    yield Case("3 clouds with a class each", x, torch.tensor([2, 0, 1]), "scalar", seed(), batch)
    yield Case("3 clouds with a vector each", x, normal(3, 3, generator=generator), "vector", seed(), batch)
    x, batch = _clouds(6, 5, generator=generator)
    yield Case("2 clouds with a position each", x, 2 + normal(2, 3, generator=generator), "position", seed(), batch)
    yield Case("2 clouds with a tensor each", x, normal(2, 3, 3, generator=generator), "tensor", seed(), batch)
    x, batch = _clouds(*[4] * MANY, generator=generator)
    yield Case(f"{MANY:,} clouds with a vector each", x, normal(MANY, 3, generator=generator), "vector", seed(), batch)


class _Fit(NamedTuple):
    """The matrix that takes each cloud to its copy, both seen from their centroids, best in the sense of least squares:
    M (num_graphs, 3, 3), and the two centroids, (num_graphs, 3) each. How far M is from a rotation, (num_graphs,), and each
    point from where M takes it, (num_nodes,)."""

    M: Tensor
    old: Tensor
    new: Tensor
    bent: Tensor
    off: Tensor


@functools.lru_cache(maxsize=64)  # tensors are told apart by identity; ten properties ask of the same ones
def _fitted(x, batch, moved):
    x, moved = x.double(), moved.double()
    c, d = frames.centroid(x, batch), frames.centroid(moved, batch)
    old, new = x - c[batch], moved - d[batch]
    products = torch.zeros(2, int(batch.max()) + 1, 3, 3, dtype=torch.float64)
    outer = torch.stack([old[:, :, None] * old[:, None], old[:, :, None] * new[:, None]])
    products.index_add_(1, batch, outer)
    M = torch.linalg.solve(products[0], products[1]).mT
    bent = (M @ M.mT - torch.eye(3)).abs().amax((1, 2))
    off = (torch.einsum("nij,nj->ni", M[batch], old) - new).abs().amax(1)
    return _Fit(M, c, d, bent, off)


def _fit(case, value):
    return _fitted(case.args[0], case.args[4], value[0])


def _copies_of_that_form(case, value):
    x, y = case.args[:2]
    return wrong_form(value, (x, y)) or (
        None if value[0].isfinite().all() else "there are numbers that are not finite.")


def _of_copies(fault):
    """The property on answers of the right form alone; no other answer can be tested on it."""
    def checked(case, value, *more):
        if _copies_of_that_form(case, value):
            raise ValueError("no copy and label")
        return fault(case, value, *more)
    return checked


def _rigid(case, value):
    fit = _fit(case, value)
    if fit.off.max() > 1e-3 or fit.bent.max() > 1e-3:
        which = int(fit.bent.argmax()) if fit.bent.max() > 1e-3 else int(case.args[4][fit.off.argmax()])
        return f"cloud {which} has lost its shape: no turn takes the old points to the new ones."
    return None


def _of_rigid(fault):
    """The property on copies that kept their shape: of others there is no turn to speak of."""
    def checked(case, value, *more):
        if _rigid(case, value):
            raise ValueError("no turned copy")
        return fault(case, value, *more)
    return _of_copies(checked)


def _not_mirrored(case, value):
    mirrored = int((torch.linalg.det(_fit(case, value).M) < 0).sum())
    return f"{mirrored:,} of {int(case.args[4].max()) + 1:,} clouds are mirrored." if mirrored else None


def _in_place(case, value):
    fit = _fit(case, value)
    off = (fit.old - fit.new).norm(dim=1)
    return f"the centroid of cloud {int(off.argmax())} has moved by {off.max():.2g}." if off.max() > 1e-3 else None


def _motion(case, value):
    fit = _fit(case, value)
    return fit.M, fit.new - torch.einsum("nij,nj->ni", fit.M, fit.old)


def _label_after(kind, M, b, y):
    return symmetry.act(kind, M, b, y.double() if kind != "scalar" else y)


def _labels_follow(case, value):
    y, kind = case.args[1:3]
    off = (value[1] - _label_after(kind, *_motion(case, value), y)).abs().reshape(len(y), -1).amax(1)
    if off.max() <= 1e-2:
        return None
    return f"the {kind} of cloud {int(off.argmax())} did not do what its cloud did: an entry is off by {off.max():.2g}."


def _each_its_own(case, value):
    M = _fit(case, value).M
    same = len(M) > 1 and (M - M[0]).abs().max() < 1e-2
    return "all clouds are turned by the same rotation." if same else None


def _evenly(case, value):
    M = _fit(case, value).M
    if len(M) < MANY:
        return None
    if _alike(M, M[:1].expand_as(M)):
        raise ValueError("a single rotation says nothing of how they are distributed")
    if fault := far_from_uniform(M):
        return f"of the rotations, {fault}"
    fault = far_from_uniform(M[::2].mT @ M[1::2])  # uniform, too, where two are independent
    if fault:
        return "the turn of a cloud depends on that of the cloud before."
    return _twice(M)


def _twice(M):
    """Two clouds with the same rotation, or None. Uniform ones come as close once in ten million times."""
    order = M[:, 0, 0].argsort()  # the same ones come next to each other, or nearly
    for step in (1, 2, 3):
        i, j = order[step:], order[:-step]
        apart = (M[i] - M[j]).abs().amax((1, 2))
        k = int(apart.argmin())
        if apart[k] < 1e-4:
            return f"clouds {min(i[k], j[k])} and {max(i[k], j[k])} are turned by the same rotation."
    return None


def _again(shift):
    """The same call with another seed, or the same one; few clouds will do."""
    def derive(case):
        x, y, kind, seed, batch = case.args
        few = batch < 3
        return Case(case.label, x[few], y[:3], kind, Seed(seed.value + shift), batch[few])
    return derive


def _repeats(case, value, again, other):
    same = len(value[1]) > 3 or torch.allclose(value[0], other[0])
    return None if same else "two calls with equal generators turned by different rotations."


def _varies(case, value, again, other):
    if len(value[1]) > 3:
        return None
    same = _alike(_fit(case, value).M, _fit(again, other).M)
    return "two calls with different generators turned by the same rotations." if same else None


def _varies_between(case, value, again, other):
    if not 1 < len(value[1]) <= 3:
        return None
    M, N = _fit(case, value).M, _fit(again, other).M
    same = _alike(M[0].T @ M[1], N[0].T @ N[1])
    return "two calls with different generators turned two clouds alike, as seen from each other." if same else None


augment = Exercise(frames.augment, NOTEBOOK, 3, _labelled, PropertiesOnly(), (
    Property("returns x and y, both of their old shape", _copies_of_that_form),
    Property("every cloud keeps its shape", _of_copies(_rigid)),
    Property("no cloud is mirrored", _of_rigid(_not_mirrored)),
    Property("every cloud turns about its own centroid", _of_copies(_in_place)),
    Property("every label does what its cloud does", _of_rigid(_labels_follow)),
    Property("every cloud has a turn of its own", _of_rigid(_each_its_own)),
    Property("no rotation is likelier than another", _of_rigid(_evenly)),
    Property("the same generator gives the same copies", _of_copies(_repeats), _again(0)),
    Property("another generator gives others", _of_copies(_varies), _again(1)),
    Property("another generator gives other turns from cloud to cloud",
             _of_copies(_varies_between), _again(1)),
), parameters=("x", "y", "kind", "generator", "batch"), seeds=1)


@augment.further
def _(generator):
    def seed():
        return Seed(int(torch.randint(1 << 40, (), generator=generator)))

    x, batch = _clouds(5, 40, 4, 21, 6, 5, 30, 4, 9, 5, 4, 7, generator=generator)
    for kind, axes in (("position", 1), ("tensor", 2), ("vector", 1)):
        y = normal(12, *[3] * axes, generator=generator)
        yield Case(f"12 clouds with a {kind} each", x, y, kind, seed(), batch)


def _turning(x, y, kind, generator, batch, draw=symmetry.random_rotation, label=symmetry.act, about=frames.centroid,
             to=None):
    """An answer in its parts, any of which a misconception replaces: which rotations, what becomes of a label, about
    which points the clouds turn, and where these points go."""
    about = about(x, batch)
    R = draw(len(about), generator)
    to = about if to is None else to
    b = to - symmetry.act("vector", R, about, about)
    return symmetry.act("position", R[batch], b[batch], x), label(kind, R, b, y)


def _if_many(test):
    """A sentence on how rotations are distributed is true or false of many."""
    return lambda case, value: len(value[1]) < MANY or bool(test(_fit(case, value).M))


def _if_kind(*kinds, is_it):
    """A sentence on labels of some kinds: ``is_it(y, what became of it, R, b)``."""
    def fits(case, value):
        y, kind = case.args[1:3]
        return kind not in kinds or bool(is_it(y.double(), value[1].double(), *_motion(case, value)))
    return fits


def _alike(a, b):
    return (a - b).abs().max() < 1e-2


def _rotated(R, y):
    """Each of the vectors y (num_graphs, 3) by its own rotation."""
    return torch.einsum("nij,nj->ni", R, y)


def _same_distances(case, value):
    """Whether every point is as far as before from where the centroid of its cloud was."""
    c = _fit(case, value).old[case.args[4]]
    return _alike(*((x - c).norm(dim=1) for x in (case.args[0], value[0])))


@augment.misconception("labels left alone", "Your points turn and the labels stay as they were. A neighbour that was "
                       "to the right of a turned cloud is no longer to the right. Which kinds of label feel a turn, "
                       "and which do not?", _if_kind("vector", "tensor", is_it=lambda y, now, R, b: _alike(now, y)))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, label=lambda kind, R, b, y: y)


@augment.misconception("labels turned backwards", "Your labels turn the other way round than their clouds. One of "
                       "the two was multiplied by R, and one by R.T: rows turn as x @ R.T.",
                       _if_kind("vector", is_it=lambda y, now, R, b: _alike(now, torch.einsum("nji,nj->ni", R, y))))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, label=lambda kind, R, b, y: symmetry.act(kind, R.mT, b, y))


@augment.misconception("turned about the origin", "Your clouds turn about the origin, so that they fly off to other "
                       "places. Where is the centroid of x @ R.T, and where should it be?",
                       lambda case, value: _motion(case, value)[1].abs().max() < 1e-2)
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, about=lambda x, batch: torch.zeros(int(batch.max()) + 1, 3))


def _fixes_the_mean(case, value):
    M, b = _motion(case, value)
    mean = case.args[0].double().mean(0)
    return _alike(M @ mean + b, mean)


@augment.misconception("turned about one point", "Your clouds turn about one point for all, so that most of them fly "
                       "off. Each cloud has a centroid of its own; frames.centroid(x, batch) gives them all.",
                       _fixes_the_mean)
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, about=lambda x, batch: x.mean(0).expand(int(batch.max()) + 1, 3))


@augment.misconception("left at the origin", "Your clouds end up around the origin. You subtracted the centroids "
                       "before the turn; what is left to do after it?",
                       lambda case, value: _fit(case, value).new.abs().max() < 1e-2)
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, to=torch.zeros(3))


@augment.misconception("centred, and positions as they were", "Your clouds end up around the origin. You subtracted "
                       "the centroids before the turn; what is left to do after it?",
                       lambda case, value: _fit(case, value).new.abs().max() < 1e-2)
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, to=torch.zeros(3),
                    label=lambda kind, R, b, y: symmetry.act("vector" if kind == "position" else kind, R, b, y))


@augment.misconception("vectors shift", "Your vectors turn and shift. A turn about the centroid is a turn and a "
                       "shift of the points; what does a shift do to a vector?",
                       _if_kind("vector", is_it=lambda y, now, R, b: _alike(now, symmetry.act("position", R, b, y))))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: symmetry.act("position" if kind == "vector" else kind, R, b, y))


def _shifted_by_the_centroid(case, value):
    """Whether labels that are positions are R y + c."""
    y, kind = case.args[1:3]
    fit = _fit(case, value)
    return kind != "position" or bool(_alike(value[1], symmetry.act("position", fit.M, fit.new, y.double())))


@augment.misconception("positions shifted by the centroid", "Your labels that are positions are R y + c. The points were seen from their "
                       "centroid when they were turned, and the label was not: where does R (y - c) + c put it?",
                       _shifted_by_the_centroid)
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: symmetry.act(kind, R, frames.centroid(x, batch), y))


@augment.misconception("positions turn as vectors", "Your labels that are positions turn about the origin, and their "
                       "clouds about their centroids. A position among the points has to go where a point would go.",
                       _if_kind("position", is_it=lambda y, now, R, b: _alike(now, symmetry.act("vector", R, b, y))))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: symmetry.act("vector" if kind == "position" else kind, R, b, y))


@augment.misconception("tensors turned from one side", "Your tensors are multiplied by R from one side alone. Both "
                       "of their axes are directions in space.",
                       _if_kind("tensor", is_it=lambda y, now, R, b: _alike(now, R @ y) or _alike(now, y @ R.mT)))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: R @ y if kind == "tensor" else symmetry.act(kind, R, b, y))


def _share_turned_as_some_cloud(y, now, R):
    """The share of the first vectors y (num_graphs, 3) that were turned as some cloud of the batch was."""
    y, now = y[:300], now[:300]
    outer = now[:, :, None] * y[:, None, :]
    cosines = outer.flatten(1) @ R.flatten(1).T / (y.norm(dim=1) * now.norm(dim=1))[:, None]
    return (cosines.amax(1) > 1 - 1e-6).double().mean()


def _turned_independently(y, now, R, b):
    """Whether vectors kept their lengths, and of many of them the new directions have nothing to do with the
    old ones, turned once, twice, backwards or as another cloud is. The mean cosine of unrelated directions is
    below 0.1 by eight deviations."""
    if not _alike(y.norm(dim=1), now.norm(dim=1)):
        return False
    if len(y) < MANY:
        return True
    ways = torch.stack([torch.eye(3).to(R).expand_as(R), R, R.mT, R @ R])
    turned = torch.einsum("wnij,nj->wni", ways, y)
    cosines = torch.nn.functional.cosine_similarity(turned, now[None], dim=2)
    return bool((cosines.mean(1).abs() < 0.1).all()) and _share_turned_as_some_cloud(y, now, R) < 0.5


@augment.misconception("labels with a turn of their own", "Your points and your labels are turned by two different "
                       "draws. Draw once, and use the same rotation for both.",
                       _if_kind("vector", is_it=_turned_independently))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, label=lambda kind, R, b, y: symmetry.act(
        kind, symmetry.random_rotation(len(R), generator), b, y))


def _as_another_cloud(y, now, R, b):
    if len(y) == 1:
        return True  # there is no other
    if _alike(now, _rotated(R, y)) or not _alike(y.norm(dim=1), now.norm(dim=1)):
        return False
    return _share_turned_as_some_cloud(y, now, R) > 0.99


@augment.misconception("labels turned as another cloud", "Each of your labels is turned as one of the "
                       "clouds is, but not as its own. In which order are your rotations, and in which are "
                       "the labels?",
                       _if_kind("vector", is_it=_as_another_cloud))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: symmetry.act(kind, R.roll(1, 0), b.roll(1, 0), y))


@augment.misconception("labels turned twice", "Your labels are turned twice, and their clouds once. Which "
                       "of your lines turns a label that has been turned already?",
                       _if_kind("vector", is_it=lambda y, now, R, b: _alike(now, _rotated(R @ R, y))))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    label=lambda kind, R, b, y: symmetry.act(kind, R, b, symmetry.act(kind, R, b, y)))


@augment.misconception("one rotation for all", "All your clouds are turned by the same rotation. They then still "
                       "stand alike, and a network can go on relying on that. How many rotations do you need?",
                       lambda case, value: _alike(*torch.broadcast_tensors((M := _fit(case, value).M), M[:1])))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch,
                    draw=lambda count, g: symmetry.random_rotation((), g).expand(count, 3, 3))


@augment.misconception("a rotation for every point", "Your clouds fall apart: the points of one cloud are turned by "
                       "different rotations. How many rotations does a cloud need?",
                       lambda case, value: _same_distances(case, value) and bool(_rigid(case, value)))
def _(x, y, kind, generator, batch):
    c = frames.centroid(x, batch)
    R = symmetry.random_rotation(len(x), generator)
    first = torch.searchsorted(batch, torch.arange(len(c)))
    return (symmetry.act("vector", R, c, x - c[batch]) + c[batch],
            symmetry.act(kind, R[first], c - symmetry.act("vector", R[first], c, c), y))


@augment.misconception("mirrors among the turns", "About half of your clouds are mirrored. Is every matrix with R @ "
                       "R.T = 1 a rotation? What does the determinant say?",
                       _if_many(lambda R: 0.4 < (torch.linalg.det(R) < 0).double().mean() < 0.6))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, draw=lambda count, g: symmetry.random_rotation(count, g) * (
        1 - 2 * torch.randint(2, (count, 1, 1), generator=g)))


def _angles(generator, *shape):
    return 2 * pi * torch.rand(*shape, generator=generator)


def _about(axis, angle):
    return symmetry.rotation_about(AXES[axis].expand(*angle.shape, 3), angle)


@augment.misconception("three even angles", "Your rotations are three turns by even angles. That prefers some "
                       "directions, as in notebook 4: look at how often (0, 0, 1) lands near a pole.",
                       _if_many(lambda R: R.mean(0).abs().max() < 0.1 and 0.44 < R.square().mean(0).max() < 0.56
                                and (R.abs() < 0.01).double().mean() < 0.3))
def _(x, y, kind, generator, batch):
    def draw(count, g):
        a, b, c = _angles(g, 3, count)
        return _about(2, a) @ _about(1, b) @ _about(2, c)
    return _turning(x, y, kind, generator, batch, draw=draw)


def _leave_an_axis(R):
    """Whether all rotations leave the same one of the axes where it is."""
    return bool((R.diagonal(dim1=1, dim2=2) > 0.999).all(0).any())


@augment.misconception("turned about one axis", "All your turns leave one axis where it is. A network that was shown "
                       "no other turns knows no other turns. Which axes can a crystal be turned about?",
                       _if_many(_leave_an_axis))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, draw=lambda count, g: _about(2, _angles(g, count)))


@augment.misconception("an even angle about an even axis", "Your turns lie too close to no turn at all: the mean of "
                       "R is not 0. It looks as if the angle about the axis were even, and small angles are rarer "
                       "than that.",
                       _if_many(lambda R: (
                           0.2 < R.diagonal(dim1=1, dim2=2).mean() < 0.5 and not _leave_an_axis(R))))
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, generator, batch, draw=lambda count, g: symmetry.rotation_about(
        normal(count, 3, generator=g), _angles(g, count)))


@augment.misconception("the generator is not used", "Two calls with equal generators turned by different rotations, "
                       "so nobody can repeat your training. Pass the generator on to whatever draws.")
def _(x, y, kind, generator, batch):
    unseeded = torch.Generator()
    unseeded.seed()
    return _turning(x, y, kind, unseeded, batch)


@augment.misconception("the same ones every time", "Two calls with different generators turned by the same "
                       "rotations: every epoch would see the same copies. Where do your rotations come from, if not "
                       "from the generator?")
def _(x, y, kind, generator, batch):
    return _turning(x, y, kind, torch.Generator().manual_seed(0), batch)


@augment.right
def _(x, y, kind, generator, batch):
    """Kind by kind, with the matrices written out."""
    count = int(batch.max()) + 1
    c = torch.stack([x[batch == k].mean(0) for k in range(count)]) if count < 99 else x.view(count, -1, 3).mean(1)
    R = symmetry.random_rotation(count, generator)
    turned = (R[batch] @ (x - c[batch])[:, :, None])[:, :, 0] + c[batch]
    if kind == "vector":
        y = (R @ y[:, :, None])[:, :, 0]
    if kind == "position":
        y = (R @ (y - c)[:, :, None])[:, :, 0] + c
    if kind == "tensor":
        y = R @ y @ R.transpose(1, 2)
    return turned, y


@augment.right
def _(x, y, kind, generator, batch):
    """From quaternions, by the transposed matrices, which are as uniform."""
    def draw(count, g):
        w, a, b, c = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1).T
        rows = [1 - 2 * (b * b + c * c), 2 * (a * b - w * c), 2 * (a * c + w * b),
                2 * (a * b + w * c), 1 - 2 * (a * a + c * c), 2 * (b * c - w * a),
                2 * (a * c - w * b), 2 * (b * c + w * a), 1 - 2 * (a * a + b * b)]
        return torch.stack(rows, dim=1).view(count, 3, 3).mT
    return _turning(x, y, kind, generator, batch, draw=draw)


# ------------------------------------------------------------------------------------------------------- pca_frames


def _raw_axes(x):
    """The principal axes as columns, the longest first, with whatever signs the routine gives them."""
    return torch.linalg.eigh(frames.covariance(x)).eigenvectors.flip(1)


def _has_clear_axes(x):
    """Whether rounding cannot matter: the variances differ, and what commonly decides a sign is not near 0."""
    z = frames.centre(x) @ _raw_axes(x)
    scale = z.square().mean(0).sqrt()
    far = z[z.norm(dim=1).argmax()]
    lengths = z.norm(dim=1).sort().values
    return (frames.relative_gap(x) > 0.12 and ((z ** 3).mean(0).abs() > 0.2 * scale ** 3).all()
            and ((z.amax(0) + z.amin(0)).abs() > 0.2 * scale).all() and (far.abs() > 0.2 * scale).all()
            and lengths[-1] - lengths[-2] > 0.1 and (z * z.abs()).mean(0).abs().min() > 0.02)


def _halved(x):
    """Whether as many points lie on one side as on the other, along the two longest axes."""
    above = (frames.centre(x) @ _raw_axes(x) > 0).sum(0)
    return bool((2 * above[:2] == len(x)).all())


def _mirrors(x):
    """Whether third moments that choose all three signs, or two on axes as they come, make a mirror."""
    first, second, third = ((frames.centre(x) @ _raw_axes(x)) ** 3).sum(0).sign().tolist()
    handedness = torch.linalg.det(_raw_axes(x)).item()
    return first * second * handedness < 0 and first * second * third * handedness < 0


def _with_clear_axes(n, generator, also=lambda x: True):
    """A cloud of n points off the origin, of which something else holds, too."""
    while True:
        R = symmetry.random_rotation((), generator)
        shape = normal(n, 3, generator=generator) * torch.tensor([3.0, 1.8, 0.8])
        x = shape @ R.T + 2 + torch.rand(3, generator=generator)
        if also(x) and _has_clear_axes(x):
            return x


def _clear_clouds(generator):
    """Clouds where a determinant left to chance shows, and so many that a sign left to chance does."""
    left, right = (lambda x, sign=sign: sign * torch.linalg.det(_raw_axes(x)) > 0 for sign in (-1, 1))
    for n, also in ((5, _mirrors), (7, left), (9, right), (6, _halved), (8, _halved), (12, left), *(
            (n, lambda x: True) for n in (10, 11, 13, 14, 15, 16))):
        yield Case(f"a cloud of {n} points", _with_clear_axes(n, generator, also))


def _are_matrices(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape[-2:] == (3, 3)


def _all_rotations(case, value):
    """Also where the number of them is wrong."""
    if not _are_matrices(value):
        raise ValueError("no matrices")
    if (value.mT @ value - torch.eye(3)).abs().max() > 1e-3:
        return "the columns of one of them are not orthonormal."
    mirrors = int((torch.linalg.det(value) < 0).sum())
    return f"{mirrors} of them have determinant -1: they turn and mirror." if mirrors else None


def _turned_frames(case):
    """Turned, shifted and renumbered: the frames turn along."""
    x = case.args[0]
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(x)))
    return Case(f"{case.label}, turned", x.flip(0) @ R.T + torch.tensor([1.0, -2, 4]))


def _turn_along(case, value, turned, other):
    if not (_are_matrices(value) and _are_matrices(other) and value.ndim == other.ndim == 3):
        raise ValueError("no matrices")
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(case.args[0])))
    fault = SameSet("frames", 1e-2).difference(other, R.to(value.dtype) @ value)
    return fault and "the frames of a turned cloud are not the turned frames."


def _clear_and_flat_clouds(generator):
    """Also clouds that lie in a plane, whose third axis has no width, and one far away from the origin."""
    yield from _clear_clouds(generator)
    for n in (3, 7):
        yield Case(f"{n} points in a plane", _in_a_plane(n, generator))
    x = _with_clear_axes(10, generator)
    yield Case("a cloud of 10 points far from the origin", x + torch.tensor([900.0, -400, 700]))


def _in_a_plane(n, generator):
    """A cloud of n points in a plane that is not one of the lab's, whose two variances differ."""
    while True:
        R = symmetry.random_rotation((), generator)
        x = normal(n, 3, generator=generator) * torch.tensor([3.0, 1.2, 0.0])
        if frames.relative_gap(x) > 0.12:
            return x @ R.T + 2


pca_frames = Exercise(frames.pca_frames, NOTEBOOK, 2, _clear_and_flat_clouds, SameSet("frames"), (
    Property("every frame is a rotation", _all_rotations),
    Property("the set of frames turns with the cloud", _turn_along, _turned_frames),
), seeds=1)


@pca_frames.further
def _(generator):
    for n in (25, 40):
        yield Case(f"a cloud of {n} points", _with_clear_axes(n, generator))


def _four(axes, signs=frames.SIGNS[frames.SIGNS.prod(1) > 0]):
    """The axes (3, 3), made right-handed, with the signs (count, 3) on their columns."""
    axes = axes * torch.linalg.det(axes).sign()
    return axes * signs[:, None, :]


@pca_frames.misconception("axes as rows", "Your frames have the axes as rows. (x - c) @ F is to be the cloud seen "
                          "from the frame: where do the axes have to stand in F for that? And how does eigh return "
                          "eigenvectors?")
def _(x):
    return _four(_raw_axes(x)).mT


@pca_frames.misconception("the shortest first", "Your first axis is the one along which the cloud is narrowest. In "
                          "which order does eigh return the eigenvalues?")
def _(x):
    return _four(_raw_axes(x).flip(1))


@pca_frames.misconception("the shortest first, as rows", "Your frames have the axes as rows, the shortest first. How "
                          "does eigh return eigenvectors, and in which order?")
def _(x):
    return _four(_raw_axes(x).flip(1)).mT


@pca_frames.misconception("rows reversed", "Your axes have x and z exchanged: you reversed the rows of the eigenvectors. An "
                          "eigenvector is a column. Along which axis do you reverse, to have the longest first?")
def _(x):
    return _four(_raw_axes(x).flip(1).flip(0))


@pca_frames.misconception("not centred", "Your axes depend on where the cloud stands: shifted, it gets others. A "
                          "covariance is taken of what, before the product?")
def _(x):
    return _four(torch.linalg.eigh(x.T @ x).eigenvectors.flip(1))


@pca_frames.misconception("the centroid's product subtracted", "Right near the origin, and wrong far away "
                          "from it: it looks as if large numbers were subtracted from each other to find a "
                          "small one. Which should come first, the difference or the product?")
def _(x):
    c = x.mean(0)
    return _four(torch.linalg.eigh(x.T @ x / len(x) - c[:, None] * c).eigenvectors.flip(1))


@pca_frames.misconception("centred along the wrong axis", "You subtracted from each point the mean of its own three "
                          "coordinates. The centroid is the mean over the points.")
def _(x):
    y = x - x.mean(1, keepdim=True)
    return _four(torch.linalg.eigh(y.T @ y).eigenvectors.flip(1))


@pca_frames.misconception("all eight", "You returned all eight choices of signs. Four of them are reflections: a "
                          "left hand would be taken for a right one. Which four?")
def _(x):
    return _raw_axes(x) * frames.SIGNS[:, None, :]


ONE_FRAME = ("You returned one frame. An axis has no sign: its opposite would have done as well. How many "
             "choices are there, and which of them are rotations?")


@pca_frames.misconception("one frame alone", ONE_FRAME)
def _(x):
    return _four(_raw_axes(x))[0]


@pca_frames.misconception("one frame alone, with an axis in front", ONE_FRAME)
def _(x):
    return _four(_raw_axes(x))[:1]


@pca_frames.misconception("the determinant left to chance", "On some clouds all four of your frames are reflections, "
                          "on others none is. What is the determinant of the axes that eigh returns?",
                          lambda case, value: bool(
                              (torch.linalg.det(value) * torch.linalg.det(_raw_axes(case.args[0])) > 0).all()))
def _(x):
    return _raw_axes(x) * frames.SIGNS[frames.SIGNS.prod(1) > 0][:, None, :]


@pca_frames.misconception("the wrong four", "All four of your frames are reflections. How many axes may be turned "
                          "round, to make a rotation of a rotation?")
def _(x):
    return _four(_raw_axes(x), frames.SIGNS[frames.SIGNS.prod(1) < 0])


@pca_frames.misconception("one axis turned round at a time", "You turned round no axis, and then each axis alone. "
                          "Turning round one axis makes a mirror. Which changes of sign keep a determinant?")
def _(x):
    return _four(_raw_axes(x), torch.cat([torch.ones(1, 3), 1 - 2 * torch.eye(3)]))


@pca_frames.misconception("the first four of eight", "Two of your four frames are reflections. Which of the eight "
                          "choices of signs keep the determinant?")
def _(x):
    return _four(_raw_axes(x), frames.SIGNS[:4])


@pca_frames.misconception("signs on rows", "Your signs change the rows of the frame. An axis is a column: which way "
                          "round does the sign have to be broadcast?")
def _(x):
    return _four(_raw_axes(x))[:1] * frames.SIGNS[frames.SIGNS.prod(1) > 0][:, :, None]


@pca_frames.misconception("axes exchanged", "You exchanged the axes. Their order is fixed, the longest first; what "
                          "is free is the sign.")
def _(x):
    F = _four(_raw_axes(x))[0]
    return torch.stack([F, F[:, [1, 2, 0]], F[:, [2, 0, 1]], F[:, [0, 2, 1]] * torch.tensor([1.0, 1, -1])])


@pca_frames.misconception("axes with a length", "Your axes are as long as the cloud is wide. A frame has axes of "
                          "length 1: turning into it must not change the shape.")
def _(x):
    variance = torch.linalg.eigvalsh(frames.covariance(x)).flip(0)
    return _four(_raw_axes(x)) * variance.sqrt()


@pca_frames.right
def _(x):
    """By singular values, and the third axis from the first two."""
    first, second, _ = torch.linalg.svd(x - x.mean(0)).Vh
    made = [(a, b, torch.linalg.cross(a, b)) for a in (first, -first) for b in (second, -second)]
    return torch.stack([torch.stack(axes, dim=1) for axes in made])


@pca_frames.right
def _(x):
    """By torch.cov, keeping those of the eight that are rotations, in double precision."""
    axes = torch.linalg.eigh(torch.cov(x.double().T))[1].flip(-1)
    eight = torch.stack([axes @ torch.diag(signs.double()) for signs in frames.SIGNS])
    return eight[torch.linalg.det(eight) > 0]


@pca_frames.right
def _(x):
    """By eig, which does not sort."""
    value, vector = torch.linalg.eig((x - x.mean(0)).T @ (x - x.mean(0)))
    F = vector.real[:, value.real.argsort(descending=True)]
    F[:, 2] = F[:, 2] * torch.linalg.det(F)
    half_turns = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return torch.stack([F * signs for signs in half_turns])


# ----------------------------------------------------------------------------------------------------- canonicalize


def _pose_of_that_form(case, value):
    x = case.args[0]
    return wrong_form(value, (x, torch.empty(3, 3), torch.empty(3))) or (
        None if all(part.isfinite().all() for part in value) else "there are numbers that are not finite.")


def _of_poses(fault):
    """The property on answers of the right form alone."""
    def checked(case, value, *more):
        if _pose_of_that_form(case, value):
            raise ValueError("no z, F, c")
        return fault(case, value, *more)
    return checked


def _is_rotation(case, value):
    F = value[1].double()
    if (F.T @ F - torch.eye(3)).abs().max() > 1e-3:
        return "the columns of F are not orthonormal."
    return "F has determinant -1: it turns and mirrors." if torch.linalg.det(F) < 0 else None


def _is_principal(case, value):
    F, four = value[1].double(), frames.pca_frames(case.args[0].double(), reflections=True)
    return None if (F - four).abs().amax((1, 2)).min() < 1e-3 else "F is none of them, not even but for a mirror."


def _is_centroid(case, value):
    c = case.args[0].mean(0)
    return None if (value[2] - c).abs().max() < 1e-3 else f"c is {_rounded(value[2])}; the centroid is {_rounded(c)}."


def _is_seen_from(case, value):
    z, F, c = value
    off = (z - (case.args[0] - c) @ F.to(c.dtype)).abs().max()
    return None if off < 1e-3 * max(1.0, float(z.abs().max())) else (
        f"an entry of z differs from (x - c) @ F by {off:.2g}.")


def _rounded(row):
    return [round(number, 2) + 0.0 for number in row.tolist()]


def _moved(k):
    """A turned and shifted copy: the k-th of several."""
    def derive(case):
        generator = torch.Generator().manual_seed(100 * k + len(case.args[0]))
        R = symmetry.random_rotation((), generator)
        return Case(f"{case.label}, turned and shifted", case.args[0] @ R.T + normal(3, generator=generator))
    return derive


def _same_pose(case, value, moved, other):
    if _pose_of_that_form(moved, other):
        raise ValueError("no z, F, c")
    off = (value[0] - other[0]).abs().max()
    if off < 1e-2:
        return None
    up_to_signs = (value[0].abs() - other[0].abs()).abs().max() < 1e-2
    return "the turned copy has another z" + (": some of its columns have the other sign." if up_to_signs else ".")


def _renumbered(case):
    return Case(f"{case.label}, renumbered", case.args[0].roll(2, 0).flip(0))


def _same_rows(case, value, moved, other):
    if _pose_of_that_form(moved, other):
        raise ValueError("no z, F, c")
    off = (value[0].roll(2, 0).flip(0) - other[0]).abs().max()
    return None if off < 1e-2 else "the rows of z are others, and not just renumbered."


canonicalize = Exercise(frames.canonicalize, NOTEBOOK, 3, _clear_clouds, PropertiesOnly(), (
    Property("returns z, F, c", _pose_of_that_form),
    Property("c is the centroid", _of_poses(_is_centroid)),
    Property("F is a rotation", _of_poses(_is_rotation)),
    Property("F has the principal axes as columns, the longest first", _of_poses(_is_principal)),
    Property("z is the cloud seen from F", _of_poses(_is_seen_from)),
    Property("a turned copy gets the same z", _of_poses(_same_pose), _moved(1)),
    Property("another turned copy does, too", _of_poses(_same_pose), _moved(2)),
    Property("renumbering the points only renumbers z", _of_poses(_same_rows), _renumbered),
), seeds=1)


@canonicalize.further
def _(generator):
    for n in (25, 40):
        yield Case(f"a cloud of {n} points", _with_clear_axes(n, generator))


def _proper_axes(x):
    F = _raw_axes(x)
    return F * torch.linalg.det(F).sign()


def _posed(x, signs):
    """z, F, c with ``signs(z)`` (2,) or (3,) on right-handed axes; of two the third follows."""
    F, c = _proper_axes(x), x.mean(0)
    s = torch.where(signs((x - c) @ F) < 0, -1.0, 1.0)
    F = F * (torch.stack([s[0], s[1], s[0] * s[1]]) if len(s) == 2 else s)
    return (x - c) @ F, F, c


def _signs_of_third_moments(z):
    return (z[:, :2] ** 3).sum(0)


def _follow_a_rule(columns):
    """Whether the signs of so many columns are as one of the usual rules would have them."""
    def fits(case, value):
        z = value[0][:, :columns]
        far = value[0][value[0].norm(dim=1).argmax(), :columns]
        rules = (z ** 3).sum(0), z.amax(0) + z.amin(0), far
        return any(bool((sign > 0).all() or (sign < 0).all()) for sign in rules)
    return fits


@canonicalize.misconception("the axes as eigh gives them", "A turned copy gets another z, and sometimes F mirrors: "
                            "signs and handedness are left to the routine. Which property of the cloud could decide "
                            "on the signs, and what mends the determinant?",
                            lambda case, value: _alike(value[1], _raw_axes(case.args[0])))
def _(x):
    c, F = x.mean(0), _raw_axes(x)
    return (x - c) @ F, F, c


@canonicalize.misconception("three signs, each for itself", "On some clouds your F mirrors. You chose the sign of "
                            "all three axes by a rule; once two are chosen, is the third still free?",
                            _follow_a_rule(3))
def _(x):
    return _posed(x, lambda z: (z ** 3).sum(0))


@canonicalize.misconception("the determinant left to chance", "Your rule for two signs is sound, and on some clouds "
                            "F mirrors. Which determinant do the axes from eigh have, and what may the third axis do "
                            "about it?",
                            lambda case, value: _follow_a_rule(2)(case, value)
                                and _alike(value[1][:, 2], _raw_axes(case.args[0])[:, 2]))
def _(x):
    c, F = x.mean(0), _raw_axes(x)
    first, second = _signs_of_third_moments((x - c) @ F).sign()
    F = F * torch.stack([first, second, torch.tensor(1.0)])
    return (x - c) @ F, F, c


@canonicalize.misconception("turned the wrong way", "Your z is (x - c) @ F.T. The axes are the columns of F: which "
                            "product measures a point along them?",
                            lambda case, value: _alike(value[0], (case.args[0] - value[2]) @ value[1].mT))
def _(x):
    z, F, c = _posed(x, _signs_of_third_moments)
    return (x - c) @ F.T, F, c


@canonicalize.misconception("not centred", "Your z is x @ F, with the cloud still away from the origin. A shifted "
                            "copy then gets another z.",
                            lambda case, value: _alike(value[0], case.args[0] @ value[1]))
def _(x):
    _, F, c = _posed(x, _signs_of_third_moments)
    return x @ F, F, c


def _has_axes_about_the_origin(x, F):
    seen = F.mT @ x.T @ x @ F
    return (seen - seen.diag().diag()).abs().max() < 1e-3 * seen.max()


@canonicalize.misconception("moments not centred", "Your axes depend on where the cloud stands. Subtract the "
                            "centroid before you take the product of the coordinates.",
                            lambda case, value: _has_axes_about_the_origin(case.args[0], value[1]))
def _(x):
    c, F = x.mean(0), torch.linalg.eigh(x.T @ x).eigenvectors.flip(1)
    F = F * torch.linalg.det(F)
    s = _signs_of_third_moments((x - c) @ F).sign()
    F = F * torch.stack([s[0], s[1], s[0] * s[1]])
    return (x - c) @ F, F, c


@canonicalize.misconception("axes as rows", "Your F has the axes as rows. z = (x - c) @ F measures the points along "
                            "the columns of F.",
                            lambda case, value: not _is_principal(case, (value[0], value[1].mT, value[2])))
def _(x):
    z, F, c = _posed(x, _signs_of_third_moments)
    return z, F.T, c


@canonicalize.misconception("the shortest first", "Your first axis is the one along which the cloud is narrowest. In "
                            "which order does eigh return the eigenvalues?",
                            lambda case, value: bool((value[0].var(0).diff() > 0).all()))
def _(x):
    c, F = x.mean(0), _raw_axes(x).flip(1)
    F = F * torch.linalg.det(F)
    s = _signs_of_third_moments((x - c) @ F).sign()
    F = F * torch.stack([s[0], s[1], s[0] * s[1]])
    return (x - c) @ F, F, c


@canonicalize.misconception("z and F do not belong together", "You turned round columns of z, and returned the F "
                            "from before. Whoever turns an answer back needs the frame that z was seen from.",
                            lambda case, value: _alike(value[1], _proper_axes(case.args[0]))
                                and _alike(value[0].abs(), ((case.args[0] - value[2]) @ value[1]).abs()))
def _(x):
    c, F = x.mean(0), _raw_axes(x)
    F = F * torch.linalg.det(F)
    z = (x - c) @ F
    s = _signs_of_third_moments(z).sign()
    return z * torch.stack([s[0], s[1], s[0] * s[1]]), F, c


@canonicalize.misconception("signs from the first point", "Turned copies get the same z, and renumbered "
                            "ones do not: the order of the points decides. What of a cloud does not depend "
                            "on their order?")
def _(x):
    return _posed(x, lambda z: z[0, :2])


@canonicalize.misconception("signs from the coordinates", "You gave each axis the sign that makes its largest "
                            "coordinate positive. The coordinates of an axis turn with it, so a turned copy may get "
                            "another sign. Let the cloud decide: how do its points lie along the axis?",
                            lambda case, value:
                                bool((value[1][:, :2].gather(0, value[1][:, :2].abs().argmax(0)[None]) > 0).all()))
def _(x):
    c, F = x.mean(0), _raw_axes(x)
    largest = F.gather(0, F.abs().argmax(0)[None])[0].sign()
    F = F * largest
    F[:, 2] = F[:, 2] * torch.linalg.det(F)
    return (x - c) @ F, F, c


@canonicalize.misconception("signs from the sum", "Rounding chooses your signs. The sum of z along an axis is 0, "
                            "whatever the cloud: c is its centroid. Which other quantity changes its sign when the "
                            "axis does?", lambda case, value: bool((value[0][:, :2].sum(0) >= 0).all()))
def _(x):
    return _posed(x, lambda z: z[:, :2].sum(0))


LAB = ("A turned copy gets another z: your signs depend on how the axes lie in the lab, and the lab does "
       "not turn with the cloud. Which property of the cloud could decide, for a turned copy alike?")


def _first_two(signs):
    """An answer whose first two axes get the signs that ``signs(axes)`` (2,) has."""
    def posed(x):
        return _posed(x, lambda z: signs(_proper_axes(x)[:, :2]))
    return posed


def _first_two_have(signs):
    return lambda case, value: bool((signs(value[1][:, :2]) > 0).all())


for _name, _signs in (("first component", lambda axes: axes[0]), ("second component", lambda axes: axes[1]),
                      ("third component", lambda axes: axes[2]), ("diagonal", lambda axes: axes.diagonal()),
                      ("sum of components", lambda axes: axes.sum(0))):
    canonicalize.misconception(f"signs from the {_name}", LAB, _first_two_have(_signs))(_first_two(_signs))


AS_IT_COMES = ("A turned copy gets another z: the sign of an axis is left to the routine. Nothing ties it to the "
               "cloud. Which property of the cloud could decide, for a turned copy alike?")


def _third_by_cross_product(first_two):
    return torch.cat([first_two, torch.linalg.cross(*first_two.mT)[:, None]], dim=1)


def _seen_from(frame):
    """An answer with F = frame(x)."""
    def posed(x):
        c, F = x.mean(0), frame(x)
        return (x - c) @ F, F, c
    return posed


for _name, _frame in (
        ("the frame as it comes", _proper_axes),
        ("the frame as it comes, its third axis mended",
         lambda x: _third_by_cross_product(_raw_axes(x)[:, :2])),
        ("the frame as svd gives it",
         lambda x: _third_by_cross_product(torch.linalg.svd(x - x.mean(0)).Vh[:2].mT))):
    canonicalize.misconception(_name, AS_IT_COMES, lambda case, value, frame=_frame: (
        _alike(value[1], frame(case.args[0]))))(_seen_from(_frame))


@canonicalize.right
def _(x):
    """Towards the farthest point along each of two axes, and a cross product."""
    c = x.mean(0)
    a, b, _ = torch.linalg.svd(x - c, full_matrices=False).Vh
    a, b = (axis if ((x - c) @ axis).max() > -((x - c) @ axis).min() else -axis for axis in (a, b))
    F = torch.stack([a, b, torch.linalg.cross(a, b)], dim=1)
    return (x - c) @ F, F, c


@canonicalize.right
def _(x):
    """Of the four frames the one from which the farthest point is seen in the first quadrant."""
    c = x.mean(0)
    for F in frames.pca_frames(x):
        z = (x - c) @ F
        if (z[z.norm(dim=1).argmax(), :2] > 0).all():
            return z, F, c


@canonicalize.right
def _(x):
    """In double precision, by the sum of z |z|."""
    x = x.double()
    c = x.mean(0)
    F = torch.linalg.eigh((x - c).T @ (x - c))[1].flip(1)
    z = (x - c) @ F
    F = F * (z * z.abs()).sum(0).sign()
    F[:, 2] = torch.linalg.cross(F[:, 0], F[:, 1])
    return (x - c) @ F, F, c


# ---------------------------------------------------------------------------------------------------- frame_average


def _networks(generator):
    """Each kind of answer, of a cloud as a whole and point by point."""
    for n, (f, kind) in enumerate((("energy", "scalar"), ("dipole", "vector"), ("charges", "scalar"),
                                   ("forces", "vector"), ("site", "position"), ("stress", "tensor"),
                                   ("sites", "position")), start=5):
        what = f"a {kind} for each point" if f in ("charges", "forces", "sites") else f"a {kind}"
        yield Case(f"a network that returns {what}, and {n} points", Named(f"systems.untrained.{f}"),
                   _with_clear_axes(n, generator), kind)


def _motion_of(case):
    generator = torch.Generator().manual_seed(len(case.args[1]))
    return symmetry.random_rotation((), generator), normal(3, generator=generator)


def _turned_cloud(case):
    f, x, kind = case.args
    R, b = _motion_of(case)
    return Case(f"{case.label}, turned and shifted", f, x @ R.T + b, kind)


def _answers_along(case, value, turned, other):
    f, x, _ = case.fresh_args()
    if wrong_form(value, f(x)) or wrong_form(other, f(x)):
        raise ValueError("no answer of that form")
    expected = symmetry.act(case.args[2], *_motion_of(case), value.float())
    return Close(1e-2, 1e-3).difference(other, expected) and "the answer did not turn along with the cloud."


frame_average = Exercise(frames.frame_average, NOTEBOOK, 3, _networks, Close(1e-3, 1e-4), (
    Property("the answer turns and shifts with the cloud, as its kind demands", _answers_along, _turned_cloud),
), differentiated=Differentiated(("x",)), seeds=2)


@frame_average.further
def _(generator):
    """Functions that no name tells, taken for each kind that their answers may be of."""
    kinds = {"scalar": (1, 13), "vector": (2, 5, 9, 14), "position": (4, 12, 19)}
    for form, kind in [(form, kind) for kind in kinds for form in kinds[kind]]:
        f, x = hidden_mystery(form, generator), _with_clear_axes(25, generator)
        yield Case(f"a function that returns a {kind}, and 25 points", f, x, kind)


def _averaged(f, x, kind, some=frames.pca_frames, see=lambda x, c, F: (x - c) @ F, back=symmetry.act):
    """An average in its parts, any of which a misconception replaces: which frames, how the cloud is seen, and how an
    answer is turned back."""
    c = x.mean(0)
    return torch.stack([back(kind, F, c, f(see(x, c, F))) for F in some(x)]).mean(0)


@frame_average.misconception("answers not turned back", "Each of your answers is still given in a frame of its own. "
                             "Four arrows that point along different axes cannot be averaged: what has to happen to "
                             "each before?")
def _(f, x, kind):
    return _averaged(f, x, kind, back=lambda kind, F, c, y: y)


@frame_average.misconception("turned back the wrong way", "Your answers turn the wrong way round. (x - c) @ F takes "
                             "rows into the frame, which is F.T on each; what takes an answer out of it?")
def _(f, x, kind):
    return _averaged(f, x, kind, back=lambda kind, F, c, y: symmetry.act(kind, F.T, c, y))


@frame_average.misconception("seen the wrong way", "The cloud you hand to f is (x - c) @ F.T. The axes are the "
                             "columns of F: which product measures a point along them?")
def _(f, x, kind):
    return _averaged(f, x, kind, see=lambda x, c, F: (x - c) @ F.T)


@frame_average.misconception("both the wrong way", "You see the cloud by F.T, and turn answers back by F.T, too. The "
                             "axes are the columns of F: which product measures a point along them?")
def _(f, x, kind):
    return _averaged(f, x, kind, see=lambda x, c, F: (x - c) @ F.T,
                     back=lambda kind, F, c, y: symmetry.act(kind, F.T, c, y))


@frame_average.misconception("not centred", "The cloud that you hand to f is not centred, so a shifted one gets "
                             "another answer.")
def _(f, x, kind):
    return _averaged(f, x, kind, see=lambda x, c, F: x @ F)


@frame_average.misconception("positions not shifted back", "Your positions stay near the origin. f saw the cloud "
                             "with its centroid there: where does a position have to go afterwards?")
def _(f, x, kind):
    return _averaged(f, x, kind, back=lambda kind, F, c, y: (
        symmetry.act("vector" if kind == "position" else kind, F, c, y)))


@frame_average.misconception("vectors shifted", "Your vectors were shifted by the centroid. That is for positions: "
                             "what does a shift do to a vector?")
def _(f, x, kind):
    return _averaged(f, x, kind, back=lambda kind, F, c, y: (
        symmetry.act("position" if kind == "vector" else kind, F, c, y)))


@frame_average.misconception("one frame alone", "You used a single frame, and so what you return hangs on an "
                             "accident of signs. All four frames are as good: let each of them have its say.")
def _(f, x, kind):
    return _averaged(f, x, kind, some=lambda x: frames.pca_frames(x)[:1])


@frame_average.misconception("the canonical frame alone", "You used a single frame, the canonical one. It jumps "
                             "where the rule for its signs is undecided. The average is over all four.")
def _(f, x, kind):
    return _averaged(f, x, kind, some=lambda x: frames.canonicalize(x)[1][None])


@frame_average.misconception("mirrors among the frames", "You averaged over eight frames, four of which mirror the "
                             "cloud. Left and right hands would get the same energy.")
def _(f, x, kind):
    return _averaged(f, x, kind, some=lambda x: frames.pca_frames(x, reflections=True))


@frame_average.misconception("a sum", "You added the answers up. Four frames that agree should give the answer that "
                             "each of them gives.")
def _(f, x, kind):
    return 4 * _averaged(f, x, kind)


AVERAGED_FIRST = ("You averaged the frames, or the four clouds seen from them, and then called f. Their "
                  "signs cancel: f saw all points in one place. What is to be averaged?")


@frame_average.misconception("the frames averaged", AVERAGED_FIRST)
def _(f, x, kind):
    return _averaged(f, x, kind, some=lambda x: frames.pca_frames(x).mean(0, keepdim=True))


@frame_average.misconception("the inputs averaged", AVERAGED_FIRST)
def _(f, x, kind):
    return _averaged(f, x, kind, see=lambda x, c, F: 0 * x)


@frame_average.misconception("answers averaged first", "You averaged the answers while each was given in a frame of "
                             "its own, and turned the mean back with one of the frames. Turn each back with its own "
                             "frame, and then average.")
def _(f, x, kind):
    c, four = x.mean(0), frames.pca_frames(x)
    return symmetry.act(kind, four[0], c, torch.stack([f((x - c) @ F) for F in four]).mean(0))


@frame_average.misconception("answers averaged first, turned by the last", "You averaged the answers while each was "
                             "given in a frame of its own, and turned the mean back with one of the frames. Turn "
                             "each back with its own frame, and then average.")
def _(f, x, kind):
    c, four = x.mean(0), frames.pca_frames(x)
    return symmetry.act(kind, four[-1], c, torch.stack([f((x - c) @ F) for F in four]).mean(0))


@frame_average.misconception("tensors turned from one side", "Your tensors are turned back from one side alone. Both "
                             "of their axes are directions in space.")
def _(f, x, kind):
    return _averaged(f, x, kind, back=lambda kind, F, c, y: F @ y if kind == "tensor" else symmetry.act(kind, F, c, y))


@frame_average.misconception("tensors turned from the other side", "Your tensors are turned back from one "
                             "side alone. Both of their axes are directions in space.")
def _(f, x, kind):
    def back(kind, F, c, y):
        return y @ F.T if kind == "tensor" else symmetry.act(kind, F, c, y)
    return _averaged(f, x, kind, back=back)


@frame_average.right
def _(f, x, kind):
    return _averaged(f, x, kind)


@frame_average.right
def _(f, x, kind):
    """Kind by kind, as rows, in a sum."""
    c, total = x.mean(0), 0
    for F in frames.pca_frames(x).flip(0):
        y = f((x - c) @ F)
        if kind == "tensor":
            y = F @ y @ F.T
        elif kind != "scalar":
            y = y @ F.T + (c if kind == "position" else 0)
        total = total + y / 4
    return total


@frame_average.right
def _(f, x, kind):
    """With frames of its own, in double precision."""
    x = x.double()
    c = x.mean(0)
    a, b, _ = torch.linalg.svd(x - c).Vh
    own = [torch.stack([s * a, t * b, s * t * torch.linalg.cross(a, b)], dim=1) for s in (1, -1) for t in (1, -1)]
    return sum(symmetry.act(kind, F, c, f((x - c) @ F)) for F in own) / len(own)
