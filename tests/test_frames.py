import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import frames, symmetry
from course_utils.microscope import check_equivariance

double = torch.float64
BATCH = torch.tensor([0] * 5 + [1] + [2] * 6)


def moved(x, seed, draw=symmetry.random_rotation):
    generator = torch.Generator().manual_seed(seed)
    R, b = draw((), generator, x.dtype), torch.randn(3, generator=generator, dtype=x.dtype)
    return symmetry.act("position", R, b, x), R, b


def same_set(A, B):
    return all((A - b).abs().amax((1, 2)).min() < 1e-8 for b in B) and len(A) == len(B)


@given(st.integers(0, 10_000))
def test_the_frames_turn_with_the_cloud_as_a_set(seed):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed), dtype=double)
    turned, R, _ = moved(x, seed)
    assert same_set(frames.pca_frames(turned), R @ frames.pca_frames(x))
    mirrored, R, _ = moved(x, seed, symmetry.random_reflection)
    eight = frames.pca_frames(x, reflections=True)
    assert same_set(frames.pca_frames(mirrored, reflections=True), R @ eight)
    assert same_set(eight[torch.linalg.det(eight) > 0], frames.pca_frames(x))


def test_four_proper_frames_eight_with_reflections_the_longest_axis_first():
    x = torch.randn(50, 3, dtype=double) * torch.tensor([1.0, 5.0, 2.0])
    four, eight = frames.pca_frames(x), frames.pca_frames(x, reflections=True)
    assert four.shape == (4, 3, 3) and eight.shape == (8, 3, 3)
    assert torch.linalg.det(four).sub(1).abs().max() < 1e-12
    assert sorted(torch.linalg.det(eight).round().tolist()) == [-1] * 4 + [1] * 4
    for some in (four, eight):
        assert (some[:, None] - some).abs().amax((2, 3)).fill_diagonal_(9).min() > 0.1  # all different
        torch.testing.assert_close(some.mT @ some, torch.eye(3, dtype=double).expand_as(some))
    spread = (frames.centre(x) @ four[0]).square().mean(0)
    assert spread[0] > spread[1] > spread[2] and four[0][1, 0].abs() > 0.9


def test_each_cloud_of_a_batch_has_what_it_has_alone():
    x = torch.randn(len(BATCH), 3, dtype=double)
    z, F, c = frames.canonicalize(x, BATCH)
    gap, four = frames.relative_gap(x, BATCH), frames.pca_frames(x, BATCH)
    for k in (0, 2):
        own = x[BATCH == k]
        alone = frames.canonicalize(own)
        for value, expected in zip((z[BATCH == k], F[k], c[k]), alone):
            torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gap[k], frames.relative_gap(own))
        assert same_set(four[k], frames.pca_frames(own))


@given(st.integers(0, 10_000))
def test_canonical_positions_are_those_of_every_turned_copy(seed):
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(seed), dtype=double)
    z, F, c = frames.canonicalize(x)
    turned, R, b = moved(x, seed)
    order = torch.randperm(7)
    again, G, d = frames.canonicalize(turned[order])
    torch.testing.assert_close(again, z[order], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(G, R @ F, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(d, R @ c + b)
    torch.testing.assert_close(symmetry.act("position", F, c, z), x)
    assert torch.linalg.det(F) > 0


def test_the_third_moments_are_positive_along_the_first_two_axes():
    for seed in range(5):
        z = frames.canonicalize(torch.randn(9, 3, generator=torch.Generator().manual_seed(seed)))[0]
        assert (z[:, :2].pow(3).sum(0) > 0).all()


def test_where_a_third_moment_vanishes_rounding_chooses():
    half = torch.randn(4, 3, dtype=double) * torch.tensor([3.0, 2.0, 1.0])
    x = torch.cat([half, -half])  # its own inverted copy, with a wide gap
    z = [frames.canonicalize(moved(x, seed)[0])[0] for seed in range(20)]
    assert frames.relative_gap(x) > 0.02 and max((z[0] - other).abs().max() for other in z) > 1


def test_gradients_are_nan_where_two_variances_agree_and_values_are_not():
    x = torch.cat([torch.eye(3), -torch.eye(3)]).double().requires_grad_()
    z = frames.canonicalize(x)[0]
    assert z.isfinite().all() and torch.autograd.grad(z.sum(), x)[0].isnan().any()


def test_a_mirror_image_keeps_its_handedness():
    x = torch.randn(7, 3, dtype=double)
    mirrored = x * torch.tensor([1.0, 1.0, -1.0])
    assert (frames.canonicalize(mirrored)[0] - frames.canonicalize(x)[0]).abs().max() > 0.1


WEIGHTS = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=double)


def no_symmetry_at_all(z, kind):
    bent = torch.tanh(z @ WEIGHTS.to(z.dtype) + 0.3)
    return {"scalar": bent[:, 0], "vector": bent, "position": bent, "tensor": bent[:, :, None] * z[:, None, :],
            "pseudoscalar": bent[:, 1], "pseudovector": bent}[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", symmetry.KINDS)
@pytest.mark.parametrize("reflections", [False, True])
def test_frame_averages_are_as_symmetric_as_they_say(kind, reflections):
    report = check_equivariance(
        lambda x, batch: frames.frame_average(lambda z: no_symmetry_at_all(z, kind), x, kind, batch, reflections),
        ["node position", "batch"], f"node {kind}")
    verdicts = {row.test: row.verdict for row in report.rows}
    # one graph of the batch is a single point: its frame is arbitrary, and so is the derivative of that
    assert verdicts == {"permutation": "holds", "translation": "holds", "rotation": "holds", "batching": "holds",
                        "reflection": "holds" if reflections else "fails", "gradient": "fails"}, report


def test_a_frame_average_of_something_equivariant_is_that():
    x = torch.randn(6, 3, dtype=double)
    torch.testing.assert_close(frames.frame_average(lambda z: 2 * z, x, "position"), x + frames.centre(x))
    torch.testing.assert_close(frames.frame_average(lambda z: z.square().sum(), x, "scalar"), frames.centre(x).square().sum())


@pytest.mark.parametrize("kind", symmetry.KINDS)
@pytest.mark.parametrize("reflections", [False, True])
def test_labels_turn_with_their_cloud(kind, reflections):
    x = torch.randn(len(BATCH), 3, dtype=double)
    y = torch.randn(3, 2, *[3] * symmetry.KINDS[kind], dtype=double)  # two channels a graph
    signs = set()
    for seed in range(12):
        turned, label = frames.augment(x, y, kind, torch.Generator().manual_seed(seed), BATCH, reflections)
        for k in (0, 2):
            own, new = frames.centre(x[BATCH == k]), frames.centre(turned[BATCH == k])
            R = torch.linalg.lstsq(own, new).solution.T  # new = own R^T
            torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=double))
            b = turned[BATCH == k].mean(0) - R @ x[BATCH == k].mean(0)
            torch.testing.assert_close(label[k], symmetry.act(kind, R, b, y[k]))
            signs.add(int(torch.linalg.det(R).sign()))
    assert signs == ({1, -1} if reflections else {1})


def test_each_cloud_turns_about_its_own_centroid_by_its_own_rotation():
    x = torch.randn(12, 3, dtype=double)
    batch = torch.arange(2).repeat_interleave(6)
    turned, same = frames.augment(x, torch.tensor([0.0, 1.0]), "scalar", torch.Generator().manual_seed(0), batch)
    assert same.tolist() == [0, 1]
    torch.testing.assert_close(frames.centroid(turned, batch), frames.centroid(x, batch))
    one, two = (torch.linalg.lstsq(frames.centre(x[:6] if k == 0 else x[6:]), frames.centre(turned[:6] if k == 0 else turned[6:])).solution
                for k in range(2))
    assert (one - two).abs().max() > 0.1


def test_the_generator_alone_decides():
    x, drawn = torch.randn(12, 3), []
    for seed in range(4):
        torch.manual_seed(seed)
        drawn.append(frames.augment(x, x, "vector", torch.Generator().manual_seed(0), BATCH, reflections=True)[0])
    assert all(torch.equal(one, drawn[0]) for one in drawn)


def test_labels_of_one_cloud_and_of_its_nodes():
    x, generator = torch.randn(5, 3, dtype=double), torch.Generator().manual_seed(4)
    turned, positions = frames.augment(x, x, "position", generator)
    torch.testing.assert_close(turned, positions)
    turned, force = frames.augment(x, x[0] - x[1], "vector", torch.Generator().manual_seed(5))
    torch.testing.assert_close(force, turned[0] - turned[1])


DEGENERATE = {
    "one point": torch.zeros(1, 3), "coincident": torch.ones(4, 3), "collinear": torch.arange(5.0)[:, None] * torch.ones(3),
    "planar": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1, 0]), "octahedron": torch.cat([torch.eye(3), -torch.eye(3)]),
}


@pytest.mark.parametrize("x", DEGENERATE.values(), ids=DEGENERATE)
def test_nothing_is_nan_on_degenerate_clouds(x):
    for value in (frames.pca_frames(x), *frames.canonicalize(x), frames.relative_gap(x), frames.frame_average(lambda z: z, x, "vector")):
        assert value.isfinite().all()
    F = frames.canonicalize(x)[1]
    torch.testing.assert_close(F.T @ F, torch.eye(3), rtol=1e-5, atol=1e-5)


def test_the_gap_says_how_far_noise_turns_a_frame():
    shape = torch.randn(40, 3, dtype=double)
    shape = frames.centre(shape) @ torch.linalg.inv(torch.linalg.cholesky(frames.covariance(shape))).T  # variances 1
    assert frames.relative_gap(shape * torch.tensor([1.0, 0.9, 0.4], dtype=double).sqrt()).item() == pytest.approx(0.1)
    for gap in (0.4, 0.1, 0.01):
        x = shape * torch.tensor([1.0, 1 - gap, 1 - 2 * gap], dtype=double).sqrt()
        assert frames.relative_gap(x).item() == pytest.approx(gap)
        noisy = x + 1e-6 * torch.randn(x.shape, dtype=double)
        F, near = frames.pca_frames(x)[0], frames.pca_frames(noisy)
        turn = (near.mT @ F - torch.eye(3)).abs().amax((1, 2)).min().item()
        assert 0.01 < turn / (1e-6 / gap) < 3


def test_canonical_positions_have_two_derivatives_where_the_gap_is_open():
    x = torch.randn(4, 3, dtype=double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: frames.canonicalize(x)[0], x)
    assert torch.autograd.gradgradcheck(lambda x: frames.frame_average(lambda z: z.tanh().prod(1), x, "scalar"), x, atol=1e-4)


def test_the_turn_between_two_frames_is_the_smallest_of_the_choices():
    F, z = symmetry.random_rotation((), torch.Generator().manual_seed(0), double), torch.eye(3, dtype=double)[2]
    for degrees in (1e-6, 0.3, 40.0, 89.0):
        R = symmetry.rotation_about(z, torch.tensor(degrees, dtype=double).deg2rad())
        assert frames.turn_between(F, (R @ F)[None]).item() == pytest.approx(degrees)
    x = torch.randn(6, 3, dtype=double)
    four = frames.pca_frames(x)
    assert frames.turn_between(four, four.expand(4, 4, 3, 3)).abs().max() < 1e-6
    assert frames.turn_between(four[0], four[1:]).item() == pytest.approx(180)


def test_blind_frames_are_79_degrees_apart_in_the_median():
    R = symmetry.random_rotation(20_000, torch.Generator().manual_seed(0), double)
    half_turns = torch.diag_embed(frames.SIGNS[frames.SIGNS.prod(1) > 0]).double()
    assert frames.turn_between(R, half_turns.expand(len(R), 4, 3, 3)).median().item() == pytest.approx(78.8, abs=0.6)


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\); expected \(num_nodes, 3\) with at least one node"):
        frames.canonicalize(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="frames are of three axes"):
        frames.pca_frames(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="expected finite coordinates"):
        frames.pca_frames(torch.full((4, 3), torch.nan))
    with pytest.raises(ValueError, match="there are 5 rows of a vector; expected 3, one for each graph, or 12, one for each node"):
        frames.augment(torch.randn(12, 3), torch.zeros(5, 3), kind="vector", batch=BATCH)
    with pytest.raises(ValueError, match="there are no rows of a scalar; expected 3"):
        frames.frame_average(lambda z: z.sum(), torch.randn(12, 3), "scalar", BATCH)
    with pytest.raises(ValueError, match="Did you forget .T?"):
        frames.centre(torch.zeros(3, 9))
    with pytest.raises(ValueError, match="kind is 'spinor'"):
        frames.augment(torch.randn(12, 3), torch.zeros(5), kind="spinor")


def test_as_many_graphs_as_nodes_need_a_word():
    """Graph 2 has no nodes, so there are four graphs and four nodes; row 1 belongs to graph 1, or to a node of graph 0."""
    x, batch = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 3])
    y = torch.randn(4, 3, dtype=torch.float64)

    def turned(kind, y=y):
        return frames.augment(x, y, kind, torch.Generator().manual_seed(0), batch)[1]

    with pytest.raises(ValueError, match='4 nodes and as many graphs, .* expected "node vector" or "graph vector"'):
        turned("vector")
    R = symmetry.random_rotation(4, torch.Generator().manual_seed(0), torch.float64)
    torch.testing.assert_close(turned("graph vector"), symmetry.act("vector", R, x[0], y))
    torch.testing.assert_close(turned("node vector"), symmetry.act("vector", R[batch], x[0], y))
    with pytest.raises(ValueError, match="there are 3 rows of a vector; expected 4"):
        turned("graph vector", y[:3])
    with pytest.raises(ValueError, match="kind is 'edge vector'; expected a kind, with \"node\" or \"graph\" or nothing"):
        turned("edge vector")


def test_a_level_says_what_the_number_of_rows_says():
    x, batch = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    for level, f in (("node", lambda z: z.exp()), ("graph", lambda z: z.exp()[:2])):
        expected = frames.frame_average(f, x, "vector", batch)
        torch.testing.assert_close(frames.frame_average(f, x, f"{level} vector", batch), expected)
    one_each = torch.arange(7)
    torch.testing.assert_close(*(frames.augment(x, x, kind, torch.Generator().manual_seed(0), one_each)[1]
                                 for kind in ("vector", "graph vector")))
