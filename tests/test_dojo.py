import pytest
import torch

from course_utils.neighbors import distances
from course_utils.symmetry import rotation_about
from course_utils.systems import dojo


def clouds(g):
    return g.x[g.batch == 0].double(), g.x[g.batch == 1].double()


def angles(x):
    """Of all pairs of neighbours, seen from the centre, which is node 0."""
    unit = x[1:] / x[1:].norm(dim=1, keepdim=True)
    return (unit @ unit.T)[tuple(torch.triu_indices(len(unit), len(unit), 1))].sort().values


def moments(x):
    """The rotation-invariant of three neighbours: their signed volumes, sorted."""
    n = torch.combinations(torch.arange(1, len(x)), 3)
    return torch.linalg.det(x[n]).sort().values


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("fold", [2, 3, 5, 10])
@pytest.mark.parametrize("by", [1, 2])
def test_a_fold_changes_nothing_and_the_pair_differs(fold, by):
    g = dojo.rotational_symmetry(fold, by)
    assert g.num_nodes == 2 * (fold + 1) and g.y.tolist() == [0, 1] and g.num_edges == 4 * fold
    first, second = clouds(g)
    R = rotation_about(dojo.Z, torch.tensor(2 * torch.pi / fold))
    for x in (first, second):
        assert torch.cdist(x @ R.T, x).min(1).values.max() < 1e-12
    assert torch.cdist(first, second).min(1).values.max() > 0.05
    torch.testing.assert_close(first @ rotation_about(dojo.Z, torch.tensor(2 * torch.pi / (fold + by))).T, second)
    for degree in range(1, fold):  # what a sum of polynomials of lower degree cannot see
        polar = torch.view_as_complex(first[1:, :2].contiguous()), torch.view_as_complex(second[1:, :2].contiguous())
        torch.testing.assert_close((polar[0] ** degree).sum(), (polar[1] ** degree).sum(), atol=1e-12, rtol=0)
    assert ((polar[0] ** fold).sum() - (polar[1] ** fold).sum()).abs() > 0.1 * fold


def test_the_marker_stands_still_and_sees_all():
    g = dojo.rotational_symmetry(3, 1, marker=True)
    first, second = clouds(g)
    assert torch.equal(first[-1], second[-1]) and first[-1].tolist() == [2, 0, 0]
    to_marker = [torch.cdist(x[-1:], x[:-1])[0].sort().values for x in (first, second)]
    assert (to_marker[0] - to_marker[1]).abs().max() > 0.05
    assert ((g.edge_index == 4).any(0).sum()) == 8


@pytest.mark.parametrize("k", [2, 3, 6])
def test_chains_differ_only_end_to_end(k):
    g = dojo.k_chains(k)
    torch.testing.assert_close(distances(g.x, g.edge_index), torch.ones(g.num_edges))
    first, second = clouds(g)
    torch.testing.assert_close(torch.pdist(first[:-1]), torch.pdist(second[:-1]))
    torch.testing.assert_close(torch.pdist(first[1:]), torch.pdist(second[1:]))
    assert ((first[0] - first[-1]).norm() - (second[0] - second[-1]).norm()).abs() > 0.1
    assert g.num_edges == 4 * (k + 1)


def test_counterexamples_are_alike_as_far_as_they_say():
    for which in dojo.COUNTEREXAMPLES:
        first, second = clouds(dojo.counterexample(which))
        torch.testing.assert_close(first.norm(dim=1).sort().values, second.norm(dim=1).sort().values)
        assert torch.allclose(angles(first), angles(second)) == (which != "two-body"), which
    first, second = clouds(dojo.counterexample("four-body"))
    torch.testing.assert_close(moments(first).abs().sort().values, moments(second).abs().sort().values)
    first, second = clouds(dojo.counterexample("four-body, chiral"))
    torch.testing.assert_close(second, first * torch.tensor([1.0, -1.0, 1.0]))  # mirror images
    torch.testing.assert_close(moments(first), -moments(second).flip(0))


def by_the_best_rotation(first, second):
    """How far off the clouds stay, whichever two atoms of one are laid on two of the other by a rotation about the centre."""
    pairs = torch.tensor([(i, j) for i in range(1, len(first)) for j in range(1, len(first)) if i != j])
    U, _, Vt = torch.linalg.svd(torch.einsum("pai,qaj->pqij", second[pairs], first[pairs]))
    proper = torch.diag_embed(torch.stack([*torch.ones(2, *U.shape[:2]), torch.linalg.det(U @ Vt)], dim=-1))
    R = U @ proper @ Vt
    return torch.cdist(first @ R.mT, second).min(-1).values.max(-1).values.min()


@pytest.mark.parametrize("which", dojo.COUNTEREXAMPLES)
def test_counterexamples_are_not_congruent(which):
    first, second = clouds(dojo.counterexample(which))
    assert by_the_best_rotation(first, second) > 0.1
    turned = second @ rotation_about(torch.randn(3), torch.tensor(1.0)).T
    assert by_the_best_rotation(second, turned) < 1e-6 or which == "two-body"  # collinear atoms lay down no rotation
    if "chiral" in which:
        assert by_the_best_rotation(-first, second) < 1e-6


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="fold is 1 and by is 1; expected a fold of 2 or more"):
        dojo.rotational_symmetry(1)
    with pytest.raises(ValueError, match="k is 1; expected 2 nodes or more"):
        dojo.k_chains(1)
    with pytest.raises(ValueError, match="which is 'five-body'; expected one of 'two-body'"):
        dojo.counterexample("five-body")
