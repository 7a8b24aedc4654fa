"""Notebook 4: rotations drawn fairly, what a motion does to what, how far a function is from moving along, and a checker."""

from __future__ import annotations

import functools
from math import pi

import torch

from .. import symmetry
from ..systems import mystery
from .declare import Case, Close, Exercise, Named, PropertiesOnly, Property, SameWords, Seed, fresh, wrong_form
from .derivatives import Differentiated
from .inputs import normal

NOTEBOOK = "04_invariance_and_equivariance"
DOUBLE = torch.float64

# -------------------------------------------------------------------------------------------------- random_rotation

MANY = 3000  # rotations, enough to see how they are distributed


def _counts(generator):
    yield Case("one rotation", 1, Seed(1))
    yield Case("four rotations", 4, Seed(2))
    yield Case(f"{MANY:,} rotations", MANY, Seed(int(torch.randint(1 << 40, (), generator=generator))))


def _rotations_of_that_shape(case, value):
    return wrong_form(value, torch.empty(case.args[0], 3, 3))


def _orthogonal(case, value):
    gap = (value @ value.mT - torch.eye(3)).abs().amax((1, 2))
    worst = int(gap.argmax())
    return None if gap[worst] < 1e-4 else f"R @ R.T of number {worst} is off the identity by {gap[worst]:.2g}."


def _keep_handedness(case, value):
    mirrors = int((torch.linalg.det(value.double()) < 0).sum())
    return f"{mirrors:,} of {len(value):,} have a negative determinant." if mirrors else None


def _uniform(case, value):
    if len(value) < MANY:
        return None
    if fault := far_from_uniform(value):
        return fault
    fault = far_from_uniform(value[::2].mT @ value[1::2])  # uniform, too, if two are independent
    return fault and "a rotation depends on the one before it."


def far_from_uniform(value):
    """What speaks against rotations (count, 3, 3) drawn uniformly, or None: by moments, to seven standard errors. All that is
    averaged lies in -1..1, or in 1..3, so that by Bernstein's bound a uniform answer fails less than once in a million times."""
    R = value.double().reshape(-1, 9)
    names = [f"R[{i}, {j}]" for i in range(3) for j in range(3)]
    pairs = [(i, j) for i in range(9) for j in range(i, 9)]
    products = torch.stack([R[:, i] * R[:, j] for i, j in pairs], 1)
    for what, values, mean, variance in (
            (names, R, torch.zeros(9), 1 / 3),
            ([f"{names[i]} * {names[j]}" for i, j in pairs], products,
             torch.tensor([(i == j) / 3 for i, j in pairs]), 2 / 15),
            ([f"{name} ** 4" for name in names], R ** 4, torch.full((9,), 1 / 5), 16 / 225),
            # All nine together: axes that avoid the lab's, or seek them, by a few percent.
            (["the sum of all R[i, j] ** 4"], (R ** 4).sum(1, keepdim=True), torch.tensor([9 / 5]), 4 / 25)):
        width = 7 * (variance / len(R)) ** 0.5
        gap = (values.mean(0) - mean).abs()
        k = int(gap.nan_to_num(torch.inf).argmax())
        if not gap[k] < width:
            return f"the mean of {what[k]} is {values.mean(0)[k]:.2f}; expected {mean[k]:.2f}, give or take {width:.2f}."
    return None


def _few(shift):
    """The same call with another seed, or the same one; few rotations will do."""
    return lambda case: Case(case.label, min(case.args[0], 4), Seed(case.args[1].value + shift))


def _repeats(case, value, again, other):
    same = len(value) > 4 or torch.allclose(value, other)
    return None if same else "two calls with equal generators gave different rotations."


def _varies(case, value, again, other):
    varies = len(value) > 4 or not torch.allclose(value, other)
    return None if varies else "two calls with different generators gave the same rotations."


def _of_matrices(fault):
    """The property on answers of the right form alone; no other answer can be tested on it."""
    def checked(case, value, *more):
        if _rotations_of_that_shape(case, value):
            raise ValueError("not that many matrices")
        return fault(case, value, *more)
    return checked


random_rotation = Exercise(symmetry.random_rotation, NOTEBOOK, 3, _counts, PropertiesOnly(), (
    Property("returns (count, 3, 3)", _rotations_of_that_shape),
    Property("every R is orthogonal", _of_matrices(_orthogonal)),
    Property("every R has determinant +1", _of_matrices(_keep_handedness)),
    Property("no rotation is likelier than another", _of_matrices(_uniform)),
    Property("the same generator gives the same rotations", _of_matrices(_repeats), _few(0)),
    Property("another generator gives others", _of_matrices(_varies), _few(1)),
), parameters=("count", "generator"), seeds=1)


@random_rotation.further
def _(generator):
    for count in (37, 257):
        yield Case(f"{count} rotations", count, Seed(int(torch.randint(1 << 40, (), generator=generator))))


def _if_many(test):
    """A sentence on how rotations are distributed is true or false of many."""
    return lambda case, value: case.args[0] < MANY or bool(test(value.double()))


def _unit(value, axis):
    return bool(((value.norm(dim=axis) - 1).abs() < 1e-4).all())


def _all_orthogonal(value):
    return _orthogonal(None, value) is None


def _gaussian(count, generator):
    return torch.randn(count, 3, 3, generator=generator)


def _angles(generator, *shape):
    return 2 * pi * torch.rand(*shape, generator=generator)


def _about(axis, angle):
    return symmetry.rotation_about(torch.eye(3)[axis].expand(*angle.shape, 3), angle)


@random_rotation.misconception("one rotation for all", "All your rotations are the same one. What was asked for is "
                               "`count` of them, each drawn anew.", _if_many(lambda R: (R == R[0]).all()))
def _(count, generator):
    return symmetry.random_rotation((), generator).expand(count, 3, 3)


@random_rotation.misconception("about one axis", "All your rotations leave one of the axes x, y, z where it is. Where "
                               "can the point (0, 0, 1) get to?",
                               _if_many(lambda R: (R.diagonal(dim1=1, dim2=2) > 0.999).all(0).any()))
def _(count, generator):
    return _about(2, _angles(generator, count))


@random_rotation.misconception("QR as it comes", "Your matrices are rotations, and far from uniform: the entries on "
                               "the diagonal lean to one side. The Q of a QR decomposition depends on which signs the "
                               "routine gives the diagonal of the triangle. Which signs make Q unique?",
                               _if_many(lambda R: R[:, 0, 0].mean() < -0.4))
def _(count, generator):
    Q = torch.linalg.qr(_gaussian(count, generator))[0]
    return Q * torch.linalg.det(Q).sign()[:, None, None]


@random_rotation.misconception("three uniform angles", "You turned by three uniform angles about three axes. On a "
                               "globe, do lines of equal distance in latitude enclose equal areas? Look at how often "
                               "(0, 0, 1) lands near a pole.",
                               _if_many(lambda R: R.mean(0).abs().max() < 0.1 and 0.44 < R.square().mean(0).max() < 0.56))
def _(count, generator):
    a, b, c = _angles(generator, 3, count)
    return _about(2, a) @ _about(1, b) @ _about(2, c)


@random_rotation.misconception("a uniform angle about a uniform axis", "Your rotations lie too close to the identity: "
                               "the mean of R is not 0. It looks as if the angle about the axis were uniform. Small "
                               "angles are rarer than that: near the identity there is little room, as there is near "
                               "the centre of a ball.", _if_many(lambda R: ((R.mean(0).diagonal() - 0.35).abs() < 0.15).all()))
def _(count, generator):
    return symmetry.rotation_about(torch.randn(count, 3, generator=generator), _angles(generator, count))


@random_rotation.misconception("uniform numbers in place of normal ones", "Your rotations avoid the axes x, y, z, by a few percent. "
                               "Which numbers did you start from? Rows of uniform numbers fill a cube, which has corners; "
                               "what shape do rows of normal numbers fill?",
                               _if_many(lambda R: R.pow(4).sum((1, 2)).mean() < 1.75 and R.mean(0).abs().max() < 0.05
                                        and (R.square().mean(0) - 1 / 3).abs().max() < 0.05))
def _(count, generator):
    Q, triangle = torch.linalg.qr(2 * torch.rand(count, 3, 3, generator=generator) - 1)
    Q = Q * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    return Q * torch.linalg.det(Q)[:, None, None].sign()


@random_rotation.misconception("half of them mirror", "About half of your matrices have determinant -1: they turn and "
                               "mirror. What can be done to such a matrix to make it a rotation, without favouring any? And "
                               "if you did it: does a later line undo it?",
                               _if_many(lambda R: 0.4 < (torch.linalg.det(R) < 0).double().mean() < 0.6))
def _(count, generator):
    Q, triangle = torch.linalg.qr(_gaussian(count, generator))
    return Q * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]


@random_rotation.misconception("all of them mirror", "All your matrices have determinant -1: each turns and mirrors.",
                               lambda case, value: bool((torch.linalg.det(value) < 0).all()))
def _(count, generator):
    return symmetry.random_reflection(count, generator)


@random_rotation.misconception("rows of length 1 are not enough", "Your rows have length 1, and are not at right "
                               "angles to each other. R must keep angles too: what has R @ R.T to be?",
                               lambda case, value: _unit(value, 2) and not _all_orthogonal(value))
def _(count, generator):
    return torch.nn.functional.normalize(_gaussian(count, generator), dim=2)


@random_rotation.misconception("columns of length 1 are not enough", "Your columns have length 1, and are not at right "
                               "angles to each other. R must keep angles too: what has R.T @ R to be?",
                               lambda case, value: _unit(value, 1) and not _all_orthogonal(value))
def _(count, generator):
    return torch.nn.functional.normalize(_gaussian(count, generator), dim=1)


@random_rotation.misconception("mirrors thrown away", "You left out the matrices with determinant -1, and so have "
                               "about half as many as were asked for. Can one be mended and not dropped?",
                               _if_many(lambda R: 0.4 < len(R) / MANY < 0.6))
def _(count, generator):
    Q, triangle = torch.linalg.qr(_gaussian(count, generator))
    Q = Q * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    return Q[torch.linalg.det(Q) > 0]


@random_rotation.misconception("the generator is not used", "Two calls with equal generators gave different rotations, "
                               "so nobody can repeat your experiment. Pass the generator on to whatever draws.")
def _(count, generator):
    unseeded = torch.Generator()
    unseeded.seed()
    return symmetry.random_rotation(count, unseeded)


@random_rotation.misconception("the same ones every time", "Two calls with different generators gave the same "
                               "rotations. Where does your draw come from, if not from the generator?")
def _(count, generator):
    return symmetry.random_rotation(count, torch.Generator().manual_seed(0))


@random_rotation.right
def _(count, generator):
    """From unit quaternions, which are uniform on a sphere in four dimensions."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1).T
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
            2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    return torch.stack(rows, dim=1).reshape(count, 3, 3)


@random_rotation.right
def _(count, generator):
    """Euler angles, with a uniform cosine in the middle."""
    a, c = _angles(generator, 2, count)
    b = torch.arccos(2 * torch.rand(count, generator=generator) - 1)
    return _about(2, a) @ _about(1, b) @ _about(2, c)


@random_rotation.right
def _(count, generator):
    """Gram-Schmidt on two Gaussian vectors, and their cross product."""
    out = []
    for _ in range(count):
        p, q = torch.randn(2, 3, generator=generator, dtype=DOUBLE)
        p = p / p.norm()
        q = q - (p @ q) * p
        q = q / q.norm()
        out.append(torch.stack([p, q, torch.linalg.cross(p, q)]))
    return torch.stack(out)


@random_rotation.right
def _(count, generator):
    """QR, with the signs of the triangle, and one column mended where the determinant is -1."""
    Q, triangle = torch.linalg.qr(_gaussian(count, generator))
    Q = Q * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    Q[:, :, 2] = Q[:, :, 2] * torch.linalg.det(Q)[:, None]
    return Q


# -------------------------------------------------------------------------------------------------------------- act


def _motion(sign, generator):
    """R and b: R is far from symmetric, so that its transpose is another, and turns so far that its trace is no stand-in for
    its determinant, which is off ``sign`` by rounding."""
    for _ in range(50):
        R = sign * symmetry.rotation_about(normal(3, generator=generator), 2.2 + torch.rand((), generator=generator) / 2)
        if torch.linalg.det(R) != sign:
            break
    return R, normal(3, generator=generator)


def _quantities(generator):
    """kind, R, b, x: a turn and a turn with a mirror for each kind, and quantities of a single thing."""
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    yield Case("the position (1, 0, 0), a quarter turn about z and a shift by (0, 0, 5)", "position", quarter,
               torch.tensor([0.0, 0, 5]), torch.tensor([1.0, 0, 0]))
    for size, (kind, axes) in enumerate(symmetry.KINDS.items(), start=4):
        for sign, motion in ((1, "a turn"), (-1, "a turn with a mirror")):
            yield Case(f"{size} {kind}s, {motion} and a shift", kind, *_motion(sign, generator),
                       normal(size, *[3] * axes, generator=generator))
        yield Case(f"a single {kind}, a turn with a mirror and a shift", kind, *_motion(-1, generator),
                   normal(*[3] * axes, generator=generator))
        yield Case(f"3 {kind}s, a mirror across the plane z = 0 and a shift", kind, torch.diag(torch.tensor([1.0, 1, -1])),
                   normal(3, generator=generator), normal(3, *[3] * axes, generator=generator))


act = Exercise(symmetry.act, NOTEBOOK, 3, _quantities, differentiated=Differentiated(("b", "x")))


@act.further
def _(generator):
    """Motions of all sizes, among them a half turn and the inversion."""
    small = symmetry.rotation_about(normal(3, generator=generator), 0.1)
    motions = {
        "a small turn": small,
        "a small turn with the inversion": -small,
        "a half turn": torch.diag(torch.tensor([-1.0, -1, 1])),
        "any turn": symmetry.random_rotation((), generator),
        "the inversion": -torch.eye(3),
    }
    for (kind, axes), size in zip(symmetry.KINDS.items(), (40, 35, 30, 50, 45, 20)):
        for name, R in motions.items():
            x = normal(size, *[3] * axes, generator=generator)
            yield Case(f"{size} {kind}s, {name} and a shift", kind, R, normal(3, generator=generator), x)


def _acting(kind, R, b, x, **other):
    """The table of kinds, one line of which is another: a function of det R (), R, b and x."""
    rule = {
        "scalar": lambda d, R, b, x: x,
        "pseudoscalar": lambda d, R, b, x: d * x,
        "vector": lambda d, R, b, x: x @ R.T,
        "pseudovector": lambda d, R, b, x: d * (x @ R.T),
        "position": lambda d, R, b, x: x @ R.T + b,
        "tensor": lambda d, R, b, x: R @ x @ R.T,
    } | other
    return rule[kind](torch.linalg.det(R), R, b, x)


def _done_to(**rules):
    """Whether these kinds follow these rules, as `_acting` has them."""
    def fits(case, value):
        return case.args[0] not in rules or Close().difference(value, _acting(*case.args, **rules)) is None
    return fits


@act.misconception("everything shifts", "Your vectors shift along with the points. A velocity is a difference of two "
                   "positions: what is left of b in it?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, vector=lambda d, R, b, x: x @ R.T + b, pseudovector=lambda d, R, b, x: d * (x @ R.T) + b)


@act.misconception("vectors shift", "Your vectors shift along with the points. A velocity is a difference of two "
                   "positions: what is left of b in it?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, vector=lambda d, R, b, x: x @ R.T + b)


@act.misconception("nothing shifts", "Your positions turn and do not shift. Where does the motion R y + b take a point "
                   "at the origin?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, position=lambda d, R, b, x: x @ R.T)


@act.misconception("shifted first", "You shifted first and turned then, R (x + b). The motion is R x + b: where does "
                   "it take a point at the origin?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, position=lambda d, R, b, x: (x + b) @ R.T)


@act.misconception("turned backwards", "Your vectors turn the wrong way round. The points are rows: x @ R computes R.T "
                   "applied to each, the turn backwards. Compare with R @ x[0].")
def _(kind, R, b, x):
    turned = {"vector": lambda d, R, b, x: x @ R, "pseudovector": lambda d, R, b, x: d * (x @ R),
              "position": lambda d, R, b, x: x @ R + b}
    return _acting(kind, R, b, x, **turned)


@act.misconception("all turned backwards", "Everything of yours turns the wrong way round, tensors too. The points are "
                   "rows: x @ R computes R.T applied to each, the turn backwards. Compare with R @ x[0].")
def _(kind, R, b, x):
    return _acting(kind, R.T, b, x)


@act.misconception("no mirror at all", "Your pseudoscalars and pseudovectors do not feel the mirror. A mirror turns a "
                   "right hand into a left one: which number that can be computed from R tells the two apart?",
                   _done_to(pseudoscalar=lambda d, R, b, x: x, pseudovector=lambda d, R, b, x: x @ R.T))
def _(kind, R, b, x):
    return _acting(kind.removeprefix("pseudo"), R, b, x)


@act.misconception("a determinant equal to -1", "A mirror whose determinant is -0.9999999, by rounding, is not felt. How do you "
                   "ask whether R mirrors, and which question about the determinant does not mind rounding?",
                   _done_to(pseudoscalar=lambda d, R, b, x: -x if d == -1 else x,
                            pseudovector=lambda d, R, b, x: -x @ R.T if d == -1 else x @ R.T))
def _(kind, R, b, x):
    mirrors = torch.linalg.det(R) == -1
    return _acting(kind if mirrors else kind.removeprefix("pseudo"), R, b, x)


_SIGN_WITHOUT_MIRROR = ("Your pseudo kinds change their sign where nothing is mirrored. A rotation has determinant +1, and leaves a right hand "
                        "a right hand: what does it do to a volume with a sign?")


@act.misconception("the sign without a mirror", _SIGN_WITHOUT_MIRROR)
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudoscalar=lambda d, R, b, x: -d * x, pseudovector=lambda d, R, b, x: -d * (x @ R.T))


@act.misconception("a pseudovector's sign without a mirror", _SIGN_WITHOUT_MIRROR)
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudovector=lambda d, R, b, x: -d * (x @ R.T))


@act.misconception("the sign in any case", _SIGN_WITHOUT_MIRROR)
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudoscalar=lambda d, R, b, x: -x, pseudovector=lambda d, R, b, x: -x @ R.T)


@act.misconception("a sign on tensors", "Your tensors get the sign of the determinant. R stands twice in R x R^T: what becomes of its sign?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, tensor=lambda d, R, b, x: d * (R @ x @ R.T))


@act.misconception("a pseudoscalar left alone", "Your pseudoscalars stay as they are. What becomes of a volume with a "
                   "sign, a · (b × c), if all three vectors are mirrored?",
                   _done_to(pseudoscalar=lambda d, R, b, x: x))
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudoscalar=lambda d, R, b, x: x)


@act.misconception("a pseudovector taken for a vector", "Your pseudovectors turn as vectors do. Mirror all: what "
                   "becomes of the cross product of two vectors when both change sign?",
                   _done_to(pseudovector=lambda d, R, b, x: x @ R.T))
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudovector=lambda d, R, b, x: x @ R.T)


@act.misconception("a pseudovector taken for pseudoscalars", "Your pseudovectors get their sign, and do not turn. An "
                   "angular momentum has a direction in space.")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudovector=lambda d, R, b, x: d * x)


@act.misconception("signs everywhere", "Your vectors and scalars get the sign of the determinant too. That of a vector "
                   "is in R already, and a mass has none.")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, scalar=lambda d, R, b, x: d * x, vector=lambda d, R, b, x: d * (x @ R.T))


@act.misconception("signs on scalars", "Your scalars change their sign in a mirror. A mass has no sign to change; a "
                   "pseudoscalar does. Do you ask for the whole word? \"scalar\" is a part of \"pseudoscalar\".",
                   _done_to(scalar=lambda d, R, b, x: d * x))
def _(kind, R, b, x):
    return _acting(kind, R, b, x, scalar=lambda d, R, b, x: d * x)


@act.misconception("the determinant cut to a whole number", "Some of your answers are 0. By rounding, a determinant is 0.9999999 or "
                   "-0.9999999, and int() cuts that down to 0. How do you get its sign?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, pseudoscalar=lambda d, R, b, x: int(d) * x,
                   pseudovector=lambda d, R, b, x: int(d) * (x @ R.T))


@act.misconception("signs on vectors", "Your vectors get the sign of the determinant. A mirror that is in R already "
                   "should not be counted twice.")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, vector=lambda d, R, b, x: d * (x @ R.T))


@act.misconception("signs on positions", "Your positions get the sign of the determinant. The mirror is in R already, and "
                   "b keeps its sign.")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, position=lambda d, R, b, x: d * (x @ R.T + b))


@act.misconception("a tensor turned on one side", "Your tensors are turned on one side only. A tensor such as p q^T "
                   "has two vectors in it; R p and R q make which matrix?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, tensor=lambda d, R, b, x: R @ x)


@act.misconception("a tensor's rows turned", "You turned the rows of each tensor, x R^T. A tensor such as p q^T has "
                   "two vectors in it; R p and R q make which matrix? If your line for tensors says so: is it reached?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, tensor=lambda d, R, b, x: x @ R.T)


@act.misconception("R^T x R", "Your tensors are turned backwards: R^T x R. With R p and R q in place of p and q, what "
                   "becomes of p q^T?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, tensor=lambda d, R, b, x: R.T @ x @ R)


@act.misconception("R x R", "Your tensors are R x R. With R p and R q in place of p and q, what becomes of p q^T, and "
                   "on which factor does the transpose stand?")
def _(kind, R, b, x):
    return _acting(kind, R, b, x, tensor=lambda d, R, b, x: R @ x @ R)


@act.right
def _(kind, R, b, x):
    return _acting(kind, R, b, x)


@act.right
def _(kind, R, b, x):
    """Axis by axis, row by row."""
    x = x.double()
    axes = {"vector": 1, "pseudovector": 1, "position": 1, "tensor": 2}.get(kind, 0)
    for axis in range(1, axes + 1):
        moved = x.movedim(-axis, -1)
        x = torch.stack([(moved * row.double()).sum(-1) for row in R], dim=-1).movedim(-1, -axis)
    if kind.startswith("pseudo") and torch.linalg.det(R) < 0:
        x = -x
    return x + b if kind == "position" else x


@act.right
def _(kind, R, b, x):
    sign = torch.linalg.cross(R[0], R[1]) @ R[2] if "pseudo" in kind else 1
    letters = {"tensor": "ij,kl,...jl->...ik"}.get(kind, "ij,...j->...i")
    if "scalar" in kind:
        return sign * x
    turned = sign * torch.einsum(letters, *[R] * (2 if kind == "tensor" else 1), x)
    return turned + b * (kind == "position")


# ---------------------------------------------------------------------------------------------- equivariance_error


def _mystery(f):
    return Named(f"systems.mystery.{f.__name__}")


def hidden_mystery(form, generator):
    """One of the functions of that form, a place in `mystery.FORMS`, that `mystery.hidden` makes."""
    number = int(torch.randint(1 << 20, (), generator=generator))
    return Named(f"systems.mystery.hidden({form + len(mystery.FORMS) * number})")


def _plainly(f):
    """What a mystery function computes, in the words of its docstring."""
    words = f.__doc__.split(":")[0]
    return words[0].lower() + words[1:]


def _functions(generator):
    """f, kind, R, b, x: functions of their own kind, and taken for another."""
    def case(f, kind, size, sign):
        R, b = _motion(sign, generator)
        x = normal(size, 3, generator=generator) + torch.tensor([1.0, -2.0, 0.5])
        return Case(f"{_plainly(f)}, as a {kind}, {size} points", _mystery(f), kind, R.double(), b.double() - 1, x.double())

    yield case(mystery.centroid, "position", 4, 1)
    yield case(mystery.centroid, "vector", 5, 1)
    yield case(mystery.offsets, "vector", 6, -1)
    yield case(mystery.offsets, "position", 5, 1)
    yield case(mystery.norms, "scalar", 7, 1)
    yield case(mystery.first_from_centroid, "scalar", 4, -1)
    yield case(mystery.twist, "pseudoscalar", 6, -1)
    yield case(mystery.twist, "scalar", 7, -1)
    yield case(mystery.normals, "pseudovector", 5, -1)
    yield case(mystery.heights, "scalar", 6, 1)
    yield case(mystery.scaled, "vector", 8, 1)
    yield case(mystery.nearly_offsets, "position", 9, -1)
    for f, size in ((mystery.repelled, 10), (mystery.shared, 4), (mystery.nudged, 11)):
        yield case(f, "vector", size, 1)


equivariance_error = Exercise(symmetry.equivariance_error, NOTEBOOK, 2, _functions)


@equivariance_error.further
def _(generator):
    """Functions that no name tells, on larger clouds."""
    kinds = {"scalar": (0, 1, 13, 17), "vector": (2, 3, 5, 14), "position": (2, 3, 4, 18), "pseudoscalar": (6,),
             "pseudovector": (2, 7)}
    for form, kind in [(form, kind) for kind in kinds for form in kinds[kind]]:
        R, b = _motion(1 if form % 3 else -1, generator)
        x = normal(30, 3, generator=generator) - torch.tensor([1.0, -2.0, 0.5])
        yield Case(f"a function that returns a {kind}, 30 points", hidden_mystery(form, generator), kind,
                   R.double(), b.double(), x.double())


def _two_sides(f, kind, R, b, x):
    """f(g x) and g f(x)."""
    return f(symmetry.act("position", R, b, x)), symmetry.act(kind, R, b, f(x))


def _relative(found, expected):
    return (found - expected).abs().max() / expected.abs().max()


@equivariance_error.misconception("divided by 1 at least", "If the output is smaller than 1, you did not divide by it. A force of "
                                  "0.001 that is off by 0.001 is all wrong: how large should the error be then?")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().max() / expected.abs().max().clamp(min=1)


@equivariance_error.misconception("invariance measured", "You compared f(g x) with f(x): that asks for invariance. "
                                  "What should the output of an equivariant function do when its input moves?")
def _(f, kind, R, b, x):
    return _relative(_two_sides(f, kind, R, b, x)[0], f(x))


@equivariance_error.misconception("every output a position", "You moved every output of three components as a "
                                  "position. What g does to f(x) depends on `kind`.")
def _(f, kind, R, b, x):
    found, y = f(symmetry.act("position", R, b, x)), f(x)
    return _relative(found, symmetry.act("position", R, b, y) if y.shape[-1:] == (3,) else y)


@equivariance_error.misconception("every output a vector", "You turned every output of three components, and did not "
                                  "shift it or give it a sign. What g does to f(x) depends on `kind`.")
def _(f, kind, R, b, x):
    found, y = f(symmetry.act("position", R, b, x)), f(x)
    return _relative(found, symmetry.act("vector", R, b, y) if y.shape[-1:] == (3,) else y)


@equivariance_error.misconception("the input turned backwards", "Your points turn one way and the output the other. "
                                  "Points are rows, so that R x is x @ R.T for all of them; or let `act` move them.")
def _(f, kind, R, b, x):
    return _relative(f(x @ R + b), symmetry.act(kind, R, b, f(x)))


@equivariance_error.misconception("the input moved as the output", "You moved the points as a `kind`. That is the kind "
                                  "of f(x); what kind are the points?")
def _(f, kind, R, b, x):
    moved = symmetry.act(kind, R, b, x)
    return _relative(f(moved), symmetry.act(kind, R, b, f(x)))


@equivariance_error.misconception("the output not shifted", "Your points shift, and g f(x) does not. What does b do to an output that is a "
                                  "position?")
def _(f, kind, R, b, x):
    return _relative(_two_sides(f, kind, R, b, x)[0], symmetry.act(kind, R, torch.zeros_like(b), f(x)))


@equivariance_error.misconception("the input not shifted", "Your points turn and do not shift. A function of absolute "
                                  "positions would pass.")
def _(f, kind, R, b, x):
    return _relative(f(x @ R.T), symmetry.act(kind, R, b, f(x)))


@equivariance_error.misconception("the input not moved", "You compared g f(x) with f(x). On one side the points have "
                                  "to move before f sees them.")
def _(f, kind, R, b, x):
    return _relative(f(x), symmetry.act(kind, R, b, f(x)))


@equivariance_error.misconception("not relative", "You returned the difference itself. Is 0.01 much? It depends on how "
                                  "large the output is.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().max()


@equivariance_error.misconception("relative to the unmoved output", "You divided by the size of f(x). Asked for was "
                                  "that of g f(x), which is another one once a shift is in it.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().max() / f(x).abs().max()


@equivariance_error.misconception("relative to f(g x)", "You divided by the size of f(g x). Asked for was that of g "
                                  "f(x): what is expected, not what was found.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().max() / found.abs().max()


@equivariance_error.misconception("entry by entry", "You divided each entry by its own size. One that happens to lie "
                                  "near 0 then decides everything: divide by the largest, once.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return ((found - expected).abs() / expected.abs()).max()


@equivariance_error.misconception("signs left on", "A difference of -3 is larger than one of 0.1. Take sizes before "
                                  "you look for the largest.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).max() / expected.abs().max()


@equivariance_error.misconception("a mean", "You took means. One point that goes astray among many is hidden by a "
                                  "mean: ask for the largest.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().mean() / expected.abs().mean()


@equivariance_error.misconception("a mean over the largest", "You took the mean of the differences. One point that "
                                  "goes astray among many is hidden by it: ask for the largest.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).abs().mean() / expected.abs().max()


@equivariance_error.misconception("a length", "You divided one length by another, in the sense of Pythagoras. Asked "
                                  "for was the largest entry next to the largest entry.")
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return (found - expected).norm() / expected.norm()


@equivariance_error.right
def _(f, kind, R, b, x):
    return _relative(*_two_sides(f, kind, R, b, x))


@equivariance_error.right
def _(f, kind, R, b, x):
    y = torch.atleast_1d(_acting(kind, R, b, f(x)))
    found = torch.atleast_1d(f(torch.stack([R @ row + b for row in x])))
    pairs = list(zip(found.flatten().tolist(), y.flatten().tolist()))
    return torch.tensor(max(abs(p - q) for p, q in pairs) / max(abs(q) for _, q in pairs))


@equivariance_error.right
def _(f, kind, R, b, x):
    found, expected = _two_sides(f, kind, R, b, x)
    return torch.linalg.vector_norm(found - expected, torch.inf) / torch.linalg.vector_norm(expected, torch.inf)


# --------------------------------------------------------------------------------------------------------- classify


def _mysteries(generator):
    for f in (*mystery.FUNCTIONS, mystery.shared):
        yield Case(_plainly(f), _mystery(f))


classify = Exercise(symmetry.classify, NOTEBOOK, 3, _mysteries, SameWords(), seeds=1)

@classify.further
def _(generator):
    for form in range(len(mystery.FORMS)):
        yield Case("a function that no name tells", hidden_mystery(form, generator))


_AXES = torch.eye(3, dtype=DOUBLE)
_QUARTERS = [symmetry.rotation_about(axis, pi / 2).round() for axis in _AXES]
_MIRRORS = [torch.diag(1 - 2 * axis) for axis in _AXES]
_ABOUT_Z = symmetry.rotation_about(_AXES[2].expand(2, 3), torch.tensor([1.0, 2.0]))
_GENERIC = symmetry.random_rotation(2, torch.Generator().manual_seed(5), DOUBLE)


def _near(a, b, tolerance=1e-6):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def _checker(f, same=_near, cloud=lambda x: x, follow=lambda name, g, y: g(y), first="invariant", **motions):
    """A checker in all its parts, any of which a misconception replaces: when two outputs are the same, what the clouds are
    like, what an equivariant output would be, which word is asked first, and by name the motions that are tried."""
    random = torch.Generator().manual_seed(4)
    R = symmetry.random_rotation((), random, DOUBLE)
    tried = {"permutation": [torch.tensor([4, 2, 0, 5, 1, 3])], "translation": [torch.tensor([1.5, -0.7, 0.9])],
             "rotation": [R], "reflection": [-R]} | motions
    words = {}
    for name, all_of_them in tried.items():
        invariant = equivariant = True
        for motion in all_of_them:
            def g(z, motion=motion, name=name):
                return z[motion] if name == "permutation" else z + motion if name == "translation" else z @ motion.T

            x = cloud(torch.randn(6, 3, generator=random, dtype=DOUBLE) + torch.tensor([0.6, 1.1, -0.8]))
            y, moved = f(x), f(g(x))
            fits = y.shape[:1] == (6,) if name == "permutation" else y.shape[-1:] == (3,)
            invariant = invariant and same(moved, y)
            equivariant = equivariant and fits and same(moved, follow(name, g, y))
        fitting = [word for word, holds in (("invariant", invariant), ("equivariant", equivariant)) if holds]
        fitting.sort(key=lambda word: word != first)
        words[name] = [*fitting, "neither"][0]
    return words


@classify.misconception("quarter turns", "A function that treats x, y and z each by itself slipped through. Your turns "
                        "exchange the axes, and no more. Are there others?")
def _(f):
    return _checker(f, rotation=_QUARTERS, reflection=[-R for R in _QUARTERS])


@classify.misconception("quarter turns about z", "A function that treats x, y and z each by itself slipped through, "
                        "and one that looks at the height. Which turns did you try, about which axes and by which "
                        "angles?")
def _(f):
    return _checker(f, rotation=_QUARTERS[2:])


@classify.misconception("turns about one axis", "A function that looks at the height slipped through. Which axes did "
                        "you turn about?")
def _(f):
    return _checker(f, rotation=_ABOUT_Z)


@classify.misconception("turns and mirrors about one axis", "A function that looks at the height slipped through, both "
                        "when you turned and when you mirrored. Which axes did your turns leave alone, and which your "
                        "mirrors?")
def _(f):
    return _checker(f, rotation=_ABOUT_Z, reflection=_ABOUT_Z @ _MIRRORS[0])


@classify.misconception("mirrors along the axes", "Your turns are fine. A function that treats x, y and z each by "
                        "itself slipped through where you mirror. Does a mirror have to stand along an axis?")
def _(f):
    return _checker(f, reflection=[-_AXES, *_MIRRORS])


@classify.misconception("one mirror across x", "Your turns are fine. Where you mirror, functions that look at the "
                        "height slipped through, and such as treat x, y and z each by itself. Where else can a mirror "
                        "stand?")
def _(f):
    return _checker(f, reflection=_MIRRORS[:1])


@classify.misconception("a half turn for a mirror", "Your reflection does not see the difference between left and "
                        "right. Is it one? Compute its determinant.")
def _(f):
    return _checker(f, reflection=[_MIRRORS[0] @ _MIRRORS[1]])


@classify.misconception("a turn for a mirror", "Your reflections do not tell left from right. Are they any, by their "
                        "determinants? And does your comparison see the sign of what comes out?")
def _(f):
    return _checker(f, reflection=_GENERIC)


@classify.misconception("mirrors among the turns", "Functions that tell left from right are called neither under "
                        "rotation. Are all your rotations rotations? Compute their determinants.")
def _(f):
    return _checker(f, rotation=[_GENERIC[0], -_GENERIC[1]])


_truth = functools.cache(symmetry.classify)


def _only_exact(case, words):
    """Whether no fake slips through, what is copied passes, and what is computed does not: so it is where numbers have to
    agree to the last bit."""
    f = fresh(case.args[0])
    truth = _truth(f)
    if any(words[name] not in (truth[name], "neither") for name in truth):
        return False
    copied = {"permutation"} if f in (mystery.norms, mystery.highest) else set()
    computed = {"rotation"} if f in (mystery.offsets, mystery.steps, mystery.normals, mystery.norms) else set()
    if f in (mystery.repelled, mystery.nudged):
        computed = {"translation", "rotation"}
    return (all(words[name] == truth[name] for name in copied)
            and all(words[name] == "neither" for name in computed))


@classify.misconception("compared to the last bit", "Honest functions fail your check. (0.1 + 0.2) - 0.3 is not 0 on a "
                        "computer: how equal do two results have to be?", _only_exact)
def _(f):
    return _checker(f, same=lambda a, b: torch.equal(a, b))


@classify.misconception("too patient", "A function that is wrong by a thousandth slipped through. In float64, how "
                        "large is rounding, and how large the difference that you let pass?")
def _(f):
    return _checker(f, same=lambda a, b: _near(a, b, 1e-2))


@classify.misconception("all points in one place", "Your cloud has all its points in one place, where most functions "
                        "of it are 0. What should a cloud be like, to show what a function does?")
def _(f):
    return _checker(f, cloud=lambda x: x[:1].expand_as(x))


@classify.misconception("a flat cloud", "A function that tells left from right slipped through. Is your cloud flat, or "
                        "are its points too few? Something flat is its own mirror image.")
def _(f):
    return _checker(f, cloud=lambda x: x * torch.tensor([1.0, 1.0, 0.0]))


@classify.misconception("a cloud around the origin", "Your clouds have their centroid at the origin, a special place: "
                        "a turn leaves it where it is. What does a generic cloud look like?")
def _(f):
    return _checker(f, cloud=lambda x: x - x.mean(0))


@classify.misconception("a tiny shift", "Functions of absolute positions slipped through where you shift. How far do "
                        "your points move, next to the difference that you let pass?")
def _(f):
    return _checker(f, translation=1e-9 * torch.ones(2, 3, dtype=DOUBLE))


@classify.misconception("shifted along one axis", "A function of the height slipped through where you shift. Along "
                        "which directions do your points move?")
def _(f):
    return _checker(f, translation=torch.tensor([[1.5, 0, 0]], dtype=DOUBLE))


@classify.misconception("b not added to the output", "Positions are called neither under translation. If all points "
                        "shift by b, what does their centroid do?")
def _(f):
    return _checker(f, follow=lambda name, g, y: y if name == "translation" else g(y))


@classify.misconception("rows left in the old order", "What is computed for each point is called neither under "
                        "permutation. If the points change places, what should the rows of the output do?")
def _(f):
    return _checker(f, follow=lambda name, g, y: y if name == "permutation" else g(y))


@classify.misconception("the output turned backwards", "Honest vectors are called neither. Your points turn one way "
                        "and the output the other: which of them have you multiplied by R, and which by R.T?")
def _(f):
    return _checker(f, follow=lambda name, g, y: (
        y @ g(_AXES).T if name in ("rotation", "reflection") else g(y)))  # g(1) is R.T


@classify.misconception("whatever changes is equivariant", "You call everything equivariant that changes. A function "
                        "can also change in a way of its own, which is neither.")
def _(f):
    return {name: word.replace("neither", "equivariant") for name, word in _checker(f).items()}


@classify.misconception("equivariance never asked", "You call everything neither that is not invariant. What should a "
                        "centroid do when all points move, and what does it do?")
def _(f):
    return {name: word.replace("equivariant", "neither") for name, word in _checker(f).items()}


@classify.misconception("equivariance asked first", "An output that stays as it is, and moves as the points do as well, was called "
                        "equivariant. If all rows are equal, what does it change to exchange them? Which of the two words "
                        "does the exercise ask for first?")
def _(f):
    return _checker(f, first="equivariant")


@classify.misconception("the list rolled", "A function that depends on who follows whom in the list slipped through. "
                        "If the last point comes first and the others move up, who follows whom?")
def _(f):
    return _checker(f, permutation=[torch.arange(6).roll(1)])


@classify.misconception("the list reversed", "A function that depends on who stands next to whom in the list slipped "
                        "through. If the list is reversed, who stands next to whom?")
def _(f):
    return _checker(f, permutation=[torch.arange(6).flip(0)])


@classify.misconception("two points exchanged", "A function that depends on the order slipped through. If two points "
                        "change places, which ones never do?")
def _(f):
    return _checker(f, permutation=[torch.tensor([0, 1, 2, 3, 5, 4])])


@classify.right
def _(f):
    """By `equivariance_error`, on one cloud, by the kinds that a word stands for."""
    random = torch.Generator().manual_seed(1)
    x, b = torch.randn(9, 3, generator=random, dtype=DOUBLE) - 2, torch.tensor([3.0, -1.0, 4.0], dtype=DOUBLE)
    R, p = symmetry.random_rotation((), random, DOUBLE), torch.randperm(9, generator=random)
    y, still, nowhere = f(x), torch.eye(3, dtype=DOUBLE), torch.zeros(3, dtype=DOUBLE)

    def word(M, c):
        if symmetry.equivariance_error(f, "scalar", M, c, x) < 1e-7:
            return "invariant"
        as_position = y.shape[-1:] == (3,) and symmetry.equivariance_error(f, "position", M, c, x) < 1e-7
        return "equivariant" if as_position else "neither"

    return {"reflection": word(-R, nowhere), "rotation": word(R, nowhere), "translation": word(still, b),
            "permutation": "invariant" if torch.allclose(f(x[p]), y) else
            "equivariant" if len(torch.atleast_1d(y)) == 9 and torch.allclose(f(x[p]), y[p]) else "neither"}


@classify.right
def _(f):
    """In float32, with a tolerance between its rounding and the fakes."""
    return _checker(lambda x: f(x.float()).double(), same=lambda a, b: _near(a, b, 1e-4))


@classify.right
def _(f):
    """By trying, and by catching what is raised."""
    x = torch.tensor([[0.1, 2, 3], [4, 1.5, 1], [2, 7, -1.2], [0, 0.3, 0.9], [5, -5, 2]], dtype=DOUBLE)
    R = symmetry.rotation_about(torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE), 1.0)
    motions = {"permutation": lambda z: z[[3, 0, 4, 2, 1]], "translation": lambda z: z + torch.tensor([1.0, 20.0, -7.0]),
               "rotation": lambda z: torch.einsum("ij,...j->...i", R, z),
               "reflection": lambda z: torch.einsum("ij,...j->...i", -R, z)}
    answer = {}
    for name, move in motions.items():
        try:
            torch.testing.assert_close(f(move(x)), f(x))
            answer[name] = "invariant"
        except AssertionError:
            try:
                torch.testing.assert_close(f(move(x)), move(f(x)))
                answer[name] = "equivariant"
            except (AssertionError, RuntimeError, IndexError):
                answer[name] = "neither"
    return answer
