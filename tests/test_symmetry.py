import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from course_utils import symmetry
from course_utils.microscope import check_equivariance
from course_utils.systems import mystery

double = torch.float64


def generator(seed):
    return torch.Generator().manual_seed(seed)


def assert_haar(draw):
    """Moments and the law of the angle, for 20,000 draws; false alarms are far below one in a million."""
    from scipy.stats import kstest  # takes a second to load

    for seed in range(3):
        R = draw(20_000, generator(seed), double)
        assert (R.mean(0)).abs().max() < 0.025  # standard error 0.004
        second = torch.einsum("nij,nkl->ijkl", R, R) / len(R)
        delta = torch.einsum("ik,jl->ijkl", torch.eye(3), torch.eye(3)).to(double) / 3
        assert (second - delta).abs().max() < 0.02
        angle = torch.arccos(((R.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
        assert kstest(angle.numpy(), lambda a: (a - torch.sin(torch.tensor(a)).numpy()) / torch.pi).pvalue > 1e-6


def test_rotations_are_uniform():
    assert_haar(symmetry.random_rotation)
    assert_haar(lambda *args: -symmetry.random_reflection(*args))


def plain_qr(count, generator, dtype):
    Q = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=dtype))[0]
    return Q * torch.linalg.det(Q).sign()[:, None, None]


def euler_angles(count, generator, dtype):
    a, b, c = (2 * torch.pi * torch.rand(3, count, generator=generator, dtype=dtype)).unbind()
    z, x = torch.eye(3, dtype=dtype)[[2, 0]]
    about = symmetry.rotation_about
    return about(z.expand(count, 3), a) @ about(x.expand(count, 3), b) @ about(z.expand(count, 3), c)


@pytest.mark.parametrize("mutant", [plain_qr, euler_angles])
def test_what_is_not_uniform_is_caught(mutant):
    with pytest.raises(AssertionError):
        assert_haar(mutant)


@pytest.mark.parametrize("shape", [(), 4, (2, 3), 0])
@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_rotations_of_any_shape_and_dtype(shape, dtype):
    leading = (shape,) if isinstance(shape, int) else shape
    for draw, det in ((symmetry.random_rotation, 1), (symmetry.random_reflection, -1)):
        R = draw(shape, generator(0), dtype)
        assert R.shape == (*leading, 3, 3) and R.dtype == dtype
        torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=dtype).expand_as(R))
        torch.testing.assert_close(torch.linalg.det(R), torch.full(leading, det, dtype=dtype))
        assert torch.equal(R, draw(shape, generator(0), dtype))


@given(st.integers(0, 10_000))
def test_rotation_about_is_scipys(seed):
    axis, angle = torch.randn(5, 3, generator=generator(seed), dtype=double), torch.linspace(-7, 7, 5, dtype=double)
    expected = Rotation.from_rotvec((angle[:, None] * axis / axis.norm(dim=1, keepdim=True)).numpy()).as_matrix()
    torch.testing.assert_close(symmetry.rotation_about(axis, angle), torch.from_numpy(expected))


def test_rotation_about_is_right_handed_and_differentiable():
    z = torch.tensor([0.0, 0.0, 2.0], dtype=double)
    turned = symmetry.rotation_about(z, torch.pi / 2) @ torch.tensor([1.0, 0, 0], dtype=double)
    torch.testing.assert_close(turned, torch.tensor([0.0, 1, 0], dtype=double))
    angle = torch.tensor(0.3, dtype=double, requires_grad=True)
    assert torch.autograd.gradgradcheck(symmetry.rotation_about, (z.requires_grad_(), angle))
    with pytest.raises(ValueError, match="axis has length 0"):
        symmetry.rotation_about(torch.zeros(3), 1.0)


@pytest.mark.parametrize(("kind", "irrep"), [("scalar", "0e"), ("pseudoscalar", "0o"), ("vector", "1o"), ("pseudovector", "1e")])
@pytest.mark.parametrize("draw", [symmetry.random_rotation, symmetry.random_reflection])
def test_each_kind_is_an_irrep_of_e3nn(o3, kind, irrep, draw):
    R, b = draw((), generator(1), double), torch.randn(3, dtype=double)
    x = torch.randn(7, *[3] * symmetry.KINDS[kind], dtype=double)
    D = o3.Irrep(irrep).D_from_matrix(R)
    expected = x.reshape(7, -1) @ D.T
    torch.testing.assert_close(symmetry.act(kind, R, b, x).reshape(7, -1), expected, rtol=1e-5, atol=1e-5)  # e3nn goes by angles


@given(st.sampled_from(sorted(symmetry.KINDS)), st.integers(0, 1000))
def test_acting_twice_is_acting_with_the_product(kind, seed):
    R = symmetry.random_reflection(2, generator(seed), double)
    b = torch.randn(2, 3, dtype=double)
    x = torch.randn(4, 2, *[3] * symmetry.KINDS[kind], dtype=double)
    twice = symmetry.act(kind, R[1], b[1], symmetry.act(kind, R[0], b[0], x))
    torch.testing.assert_close(twice, symmetry.act(kind, R[1] @ R[0], R[1] @ b[0] + b[1], x))


def test_a_tensor_turns_like_the_product_of_two_vectors():
    R, b = symmetry.random_reflection((), generator(2), double), torch.randn(3, dtype=double)
    p, q = torch.randn(2, 6, 3, dtype=double)
    turned = symmetry.act("vector", R, b, p)[:, :, None] * symmetry.act("vector", R, b, q)[:, None, :]
    torch.testing.assert_close(symmetry.act("tensor", R, b, p[:, :, None] * q[:, None, :]), turned)


def test_new_rotations_have_the_default_dtype():
    torch.set_default_dtype(double)
    try:
        assert symmetry.random_rotation().dtype == double
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_motion_for_each_row():
    R, b, x = symmetry.random_rotation(5, generator(3)), torch.randn(5, 3), torch.randn(5, 3)
    rows = [symmetry.act("position", R[i], b[i], x[i]) for i in range(5)]
    torch.testing.assert_close(symmetry.act("position", R, b, x), torch.stack(rows))
    channels = torch.randn(5, 2, 3)
    torch.testing.assert_close(symmetry.act("pseudovector", -R[:, None], b[:, None], channels)[4],
                               symmetry.act("pseudovector", -R[4], b[4], channels[4]))


def test_bad_input_is_explained():
    R, b = torch.eye(3), torch.zeros(3)
    with pytest.raises(ValueError, match="kind is 'spinor'; expected one of scalar, pseudoscalar, vector"):
        symmetry.act("spinor", R, b, torch.zeros(3))
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\); a tensor ends in \(3, 3\)"):
        symmetry.act("tensor", R, b, torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"R has shape \(3,\); expected \(..., 3, 3\). The order is act\(kind, R, b, x\)"):
        symmetry.act("vector", torch.zeros(3), b, R)
    with pytest.raises(ValueError, match=r"features has shape \(2, 6\); expected \(..., 7\)"):
        symmetry.yzx_to_xyz(torch.zeros(2, 6))
    for text in ("1", "o", "3x", "x1o", "1a", "-1x0e", "2x3x0e", "0e + ", "+", "1o1o", "8*0e"):
        with pytest.raises(ValueError, match="is no feature; expected a multiplicity, x, a degree and a parity"):
            symmetry.irreps_dim(text)


@pytest.mark.parametrize("text", ["0e + 1o + 1o", "8x0e + 4x1o", "16x0e+3x2e+2x10o", "1e", "0x1o", "", " 2x1o ", "12x3o + 0o"])
def test_the_length_of_a_row_is_e3nns(o3, text):
    assert symmetry.irreps_dim(text) == o3.Irreps(text).dim


# ------------------------------------------------------------------------------------- equivariance_error, classify

YES, MOVES, NO = "invariant", "equivariant", "neither"
TRUTH = {  # permutation, translation, rotation, reflection; by hand
    "centroid": (YES, MOVES, MOVES, MOVES),
    "radius": (YES, YES, YES, YES),
    "offsets": (MOVES, YES, MOVES, MOVES),
    "norms": (MOVES, NO, YES, YES),
    "steps": (NO, YES, MOVES, MOVES),
    "tour": (NO, YES, YES, YES),
    "drift": (NO, YES, YES, YES),
    "heights": (MOVES, YES, NO, NO),
    "highest": (YES, NO, NO, NO),
    "nearest": (MOVES, YES, YES, YES),
    "normals": (MOVES, YES, MOVES, NO),
    "twist": (YES, YES, YES, NO),
    "repelled": (MOVES, MOVES, MOVES, MOVES),
    "nudged": (MOVES, MOVES, NO, NO),
    "nearly_offsets": (MOVES, NO, MOVES, MOVES),
    "scaled": (MOVES, YES, NO, NO),
    "blocks": (YES, YES, NO, NO),
}
KIND = {"centroid": "position", "offsets": "vector", "steps": "vector", "normals": "pseudovector", "twist": "pseudoscalar",
        "repelled": "position", "nudged": "position", "nearly_offsets": "vector", "scaled": "vector"}
MYSTERIES = pytest.mark.parametrize("f", mystery.FUNCTIONS, ids=lambda f: f.__name__)


def cloud(seed, n=6):
    return torch.randn(n, 3, generator=generator(seed), dtype=double) + torch.tensor([1.0, -0.5, 2.0], dtype=double)


@MYSTERIES
def test_classify_says_what_is_true_of_every_mystery_function(f):
    assert list(symmetry.classify(f)) == ["permutation", "translation", "rotation", "reflection"]
    assert tuple(symmetry.classify(f).values()) == TRUTH[f.__name__]


@MYSTERIES
@pytest.mark.parametrize("seed", range(5))
def test_the_truth_about_the_mystery_functions_on_other_data(f, seed):
    """Motions written out once more, on clouds of other sizes, and violations far above rounding."""
    x, words = cloud(seed, n=5 + seed), TRUTH[f.__name__]
    p, R = torch.randperm(len(x), generator=generator(seed)), symmetry.random_rotation((), generator(seed + 9), double)
    b, y = torch.tensor([0.7, -1.9, 1.3], dtype=double), f(x)
    assert not torch.equal(p, torch.arange(len(x)))
    mirror = R @ torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=double))
    tried = [(x[p], y[p] if len(y.shape) and len(y) == len(x) else None), (x + b, y + b if y.shape[-1:] == (3,) else None)]
    tried += [(torch.stack([M @ row for row in x]), torch.einsum("ij,...j->...i", M, y) if y.shape[-1:] == (3,) else None)
              for M in (R, mirror)]
    for word, (moved, expected) in zip(words, tried):
        gaps = {YES: (f(moved) - y).abs().max() / y.abs().max()}
        if expected is not None:
            gaps[MOVES] = (f(moved) - expected).abs().max() / expected.abs().max()
        for which, gap in gaps.items():
            assert gap < 1e-12 if which == word else gap > 1e-5, (which, gap)


@MYSTERIES
def test_classify_agrees_with_the_microscope(f):
    level = "node" if f(cloud(0)).shape[:1] == (6,) else "graph"
    report = check_equivariance(f, "node position", f"{level} {KIND.get(f.__name__, 'scalar')}")
    words = dict(zip(symmetry.MOTIONS, TRUTH[f.__name__]))
    for name, word in words.items():
        # Other kinds are none that classify has a word for: they keep or lose a sign.
        pseudo = name == "reflection" and KIND.get(f.__name__, "").startswith("pseudo")
        assert (report[name].verdict != "fails") == (pseudo or word != NO), (name, report)


@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_mystery_functions_by_hand(dtype):
    x = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 4, 0], [0, 0, 6], [8, 1, 4]], dtype=dtype)
    by_hand = {"centroid": [2.0, 1, 2], "radius": 18.4 ** 0.5, "highest": 6.0, "first_from_centroid": 3.0,
               "drift": 2441 ** 0.5 / 5,
               "heights": [-2.0, -2, -2, 4, 2], "norms": [0.0, 2, 4, 6, 9], "nearest": [2.0, 2, 4, 6, 53 ** 0.5],
               "blocks": (5 + 3 + 7 + 7 + 8) / 5}
    for name, value in by_hand.items():
        found = getattr(mystery, name)(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, torch.tensor(value, dtype=dtype))
    assert mystery.offsets(x)[4].tolist() == [6, 0, 2] and mystery.repelled(x)[4].tolist() == [11, 1, 5]
    assert mystery.steps(x)[[0, 4]].tolist() == [[2, 0, 0], [-8, -1, -4]]
    assert mystery.tour(torch.tensor([[0.0, 0, 0], [3, 0, 0], [3, 0, 4]], dtype=dtype)) == 12
    assert mystery.scaled(x)[4].tolist() == pytest.approx([1, 0, 1 / 3])
    assert mystery.normals(x)[0].tolist() == [0, 0, 8]  # (2, 0, 0) x (0, 4, 0)
    torch.testing.assert_close(mystery.nudged(x) - mystery.repelled(x),
                               torch.tensor([[0, 0, 0.001]], dtype=dtype) * mystery.radius(x) + 0 * x, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(mystery.nearly_offsets(x) - mystery.offsets(x),
                               torch.tensor([[0.002, 0.001, 0.002]], dtype=dtype) + 0 * x,
                               rtol=1e-3, atol=1e-6)
    tetrahedron = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1.2, 0], [0, 0, 1.4]], dtype=dtype)
    ways = [sorted((tetrahedron - u)[[i for i in range(4) if i != k]].tolist(), key=lambda way: sum(c * c for c in way))
            for k, u in enumerate(tetrahedron)]
    torch.testing.assert_close(mystery.twist(tetrahedron), torch.linalg.det(torch.nn.functional.normalize(torch.tensor(ways, dtype=dtype), dim=2)).mean())
    with pytest.raises(ValueError, match="x has 3 points; expected 4 or more"):
        mystery.twist(x[:3])


def test_the_equivariance_error_by_hand():
    x, b = torch.tensor([[1.0, 0, 0], [0, 2, 0], [3, 0, 1], [0, 0, -2], [0, 0, 10]], dtype=double).split([4, 1])
    b = b[0]
    R = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, -1]], dtype=double)  # x to y, y to -x, and z mirrored
    error = symmetry.equivariance_error
    assert error(mystery.centroid, "position", R, b, x).shape == ()
    assert error(mystery.centroid, "position", R, b, x) == 0
    # The centroid (1, 0.5, -0.25) turns to (-0.5, 1, 0.25); it also shifts by 10, which a vector would not.
    assert error(mystery.centroid, "vector", R, b, x).item() == pytest.approx(10 / 1)
    assert error(mystery.highest, "scalar", R, b, x).item() == pytest.approx((12 - 1) / 1)
    assert error(mystery.twist, "pseudoscalar", R, b, x) == 0
    assert error(mystery.twist, "scalar", R, b, x).item() == pytest.approx(2)


@given(st.sampled_from(mystery.FUNCTIONS), st.integers(0, 1000))
def test_the_equivariance_error_of_the_right_kind_is_rounding(f, seed):
    R, b, x = symmetry.random_reflection((), generator(seed), double), torch.randn(3, dtype=double), cloud(seed)
    error = symmetry.equivariance_error(f, KIND.get(f.__name__, "scalar"), R, b, x)
    honest = all(word != NO for word in TRUTH[f.__name__][1:]) or f in (mystery.normals, mystery.twist)
    assert error < 1e-10 if honest else error > 1e-6


def test_classify_asks_for_invariance_first_and_of_every_shape():
    assert set(symmetry.classify(lambda x: 0 * x).values()) == {YES}
    assert set(symmetry.classify(lambda x: x).values()) == {MOVES}
    assert symmetry.classify(lambda x: x[:, :, None] * x[:, None, :])["rotation"] == NO
    assert symmetry.classify(lambda x: torch.cdist(x, x))["permutation"] == NO  # columns change places too
    assert symmetry.classify(lambda x: x / 0)["translation"] == NO


def test_nan_is_not_swallowed():
    R = torch.full((3, 3), torch.nan)
    for kind, x in (("pseudoscalar", torch.ones(2)), ("pseudovector", torch.ones(2, 3)), ("tensor", torch.ones(3, 3))):
        assert symmetry.act(kind, R, torch.zeros(3), x).isnan().all()
    with pytest.raises(ValueError, match="f returned NaN for points of ordinary size"):
        symmetry.classify(lambda x: x.sum().log() * 0 * torch.inf)
