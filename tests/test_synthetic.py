import pytest
import torch

from course_utils.symmetry import random_rotation
from course_utils.systems import synthetic
from course_utils.systems.synthetic import Structures


@pytest.fixture(scope="module")
def many():
    return synthetic.structures(1500, 0)


def test_structures_are_what_the_paper_says(many):
    assert many.x.shape == many.direction.shape == (1500, 100, 3)
    assert many.x.norm(dim=2).max() <= 10
    apart = torch.cdist(many.x, many.x) + 100 * torch.eye(100)
    assert apart.min() >= 2 - 1e-5 and apart.min() < 2.05
    torch.testing.assert_close(many.direction.norm(dim=2), torch.ones(1500, 100))
    assert many.direction.mean((0, 1)).abs().max() < 0.01
    assert (many.special.sum(1) == 3).all() and many.special.double().mean(0).std() < 0.01  # any point may be special
    inner = (many.x.norm(dim=2) < 10 / 2 ** (1 / 3)).double().mean()
    assert 0.4 < inner < 0.52  # half of the volume; the least distance drives points outwards a little


def test_answers_once_more_one_by_one(many):
    off, perimeter, combined = (many.answer(task) for task in synthetic.TASKS)
    for i in (0, 7, 99):
        a, b, c = many.x[i][many.special[i]]
        torch.testing.assert_close(off[i], ((a + b + c) / 3 - many.x[i].mean(0)).norm())
        torch.testing.assert_close(perimeter[i], (a - b).norm() + (b - c).norm() + (c - a).norm())
    for task, raw in (("off-centre", off), ("perimeter", perimeter)):
        assert abs(raw.mean() / synthetic.MEAN[task] - 1) < 0.03 and abs(raw.std() / synthetic.SD[task] - 1) < 0.06
    torch.testing.assert_close(combined, (off - 4.16) / 1.60 - (perimeter - 31.39) / 7.09)
    with pytest.raises(ValueError, match="task is 'area'; expected one of 'off-centre', 'perimeter', 'combined'"):
        many.answer("area")


def test_the_graph_has_ten_nearest_neighbours_and_invariant_products(many):
    few = many[:3]
    g = few.graph()
    v, u = g["edge_index"]
    assert (torch.bincount(u) == 10).all() and torch.equal(g["batch"][u], g["batch"][v])
    torch.testing.assert_close(g["length"][:, 0], (g["x"][u] - g["x"][v]).norm(dim=1))
    torch.testing.assert_close(g["edge_direction"] * g["length"], g["x"][u] - g["x"][v])
    e = 123
    a_u, a_v, d = g["direction"][u[e]], g["direction"][v[e]], g["edge_direction"][e]
    torch.testing.assert_close(g["products"][e], torch.stack([a_u @ a_v, a_u @ d, a_v @ d]))
    R = random_rotation((), torch.Generator().manual_seed(0))
    turned = Structures(few.x @ R.T, few.direction @ R.T, few.special).graph()
    assert torch.equal(turned["edge_index"], g["edge_index"])
    torch.testing.assert_close(turned["products"], g["products"], atol=1e-4, rtol=0)
    assert torch.equal(g["h"][:, 0].view(3, 100).sum(1), torch.full((3,), 3.0))


def test_a_seed_gives_the_same_structures():
    assert torch.equal(synthetic.structures(4, 3).x, synthetic.structures(4, 3).x)
    assert not torch.equal(synthetic.structures(4, 3).x, synthetic.structures(4, 4).x)


def test_lengths_tell_more_of_the_centre_than_one_thinks(many):
    """Off-centre from lengths alone, in two steps: why a network without vectors need not fail at it."""
    few = many[:400]
    three = few.x[few.special].view(-1, 3, 3) - few.x.mean(1, keepdim=True)
    sides = three - three.roll(1, dims=1)
    torch.testing.assert_close(9 * few.answer("off-centre").square(),  # from distances to the centre, and from sides
                               3 * three.square().sum((1, 2)) - sides.square().sum((1, 2)), atol=1e-2, rtol=1e-4)
    g = few.graph()
    near = g["length"].view(-1, 10).sort(1).values.double()  # at the surface, neighbours are further away
    A = torch.cat([near, torch.ones(len(near), 1)], dim=1)
    r = (few.x - few.x.mean(1, keepdim=True)).norm(dim=2).flatten().double()
    half = len(r) // 2
    w = torch.linalg.lstsq(A[:half], r[:half, None]).solution[:, 0]
    assert (A[half:] @ w - r[half:]).square().mean() < 0.55 * r[half:].var()
