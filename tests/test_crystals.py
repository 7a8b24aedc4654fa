import pytest
import torch

from course_utils.symmetry import act, random_rotation
from course_utils.systems import crystals


def distances(x):
    return torch.pdist(x).sort().values


def test_the_sites_are_those_of_the_four_lattices():
    """Once more, from the lattices: every atom of a large piece that is near enough to the one at the origin."""
    n = torch.cartesian_prod(*[torch.arange(-3, 4).double()] * 3)
    a = torch.tensor([[1, 0, 0], [0.5, 3**0.5 / 2, 0], [0, 0, (8 / 3) ** 0.5]], dtype=torch.float64)
    b = (a[0] + a[1]) / 3 + a[2] / 2
    pieces = {"sc": (n, 1.1), "bcc": (torch.cat([n, n + 0.5]) * 2 / 3**0.5, 1.2),
              "fcc": (torch.cat([n, *(n + torch.tensor(h) for h in ((0, .5, .5), (.5, 0, .5), (.5, .5, 0)))]) * 2**0.5, 1.1),
              "hcp": (torch.cat([n @ a, n @ a + b]), 1.1)}
    for name, (x, r) in pieces.items():
        x = x[(x.norm(dim=1) < r) & (x.norm(dim=1) > 1e-6)]
        sites = crystals.SITES[name]
        assert len(x) == len(sites), name
        torch.testing.assert_close(distances(x), distances(sites))
        torch.testing.assert_close(x.norm(dim=1).sort().values, sites.norm(dim=1).sort().values)
        assert sites.norm(dim=1).min().isclose(torch.tensor(1.0, dtype=torch.float64))


def test_fcc_and_hcp_differ_between_neighbours_only():
    fcc, hcp = crystals.SITES["fcc"], crystals.SITES["hcp"]
    torch.testing.assert_close(fcc.norm(dim=1), hcp.norm(dim=1))
    assert (distances(fcc) - distances(hcp)).abs().max() > 0.09
    near = distances(fcc) < 1.6
    torch.testing.assert_close(distances(fcc)[near], distances(hcp)[near])  # so the cutoff is wider than that
    assert crystals.CUTOFF > 1.75


def test_the_flake_is_a_crystal_beside_a_gas():
    d = torch.cdist(x := crystals.flake(noise=0.0), x).fill_diagonal_(torch.inf)
    torch.testing.assert_close(d[:23].amin(1), torch.ones(23).double())
    assert ((d < 1.01).sum(1) == 6).any() and (d < 1.01).sum(1).max() == 6  # nearest neighbours in a plane
    assert d[23:].min() > 1.5 and len(x) == 30
    assert (crystals.flake() - x).abs().max() < 0.25


def test_without_noise_and_strain_a_neighbourhood_is_the_sites_but_one():
    data = crystals.neighbourhoods(40, 0, noise=0.0, strain=0.0)
    for i in range(40):
        x = data.x[data.batch == i].double()
        sites = crystals.SITES[crystals.CRYSTALS[data.crystal[i]]]
        assert torch.equal(x[0], torch.zeros(3, dtype=torch.float64)) and len(x) == len(sites)
        found = torch.cdist(sites, x[1:]).min(1).values < 1e-6
        assert found.sum() == len(sites) - 1
        empty = sites[~found][0]
        torch.testing.assert_close(data.missing[i].double(), empty / empty.norm(), atol=1e-6, rtol=0)
    assert data.crystal.unique().tolist() == [0, 1, 2, 3]


def test_noise_and_strain_are_as_large_as_stated():
    data = crystals.neighbourhoods(4000, 0, noise=0.0)
    S = data.strain
    torch.testing.assert_close(S, S.mT)
    torch.testing.assert_close(S.diagonal(dim1=1, dim2=2).sum(1), torch.zeros(4000), atol=1e-6, rtol=0)
    assert abs(S.square().sum((1, 2)).mean() / (5 * crystals.STRAIN**2) - 1) < 0.05
    i = int((data.crystal == 3).nonzero()[0])
    x = data.x[data.batch == i][1:]
    unstrained = torch.linalg.solve(torch.eye(3) + S[i], x.T).T
    torch.testing.assert_close(unstrained, unstrained.round(), atol=1e-5, rtol=0)  # simple cubic, upright
    noisy = crystals.neighbourhoods(4000, 0, strain=0.0).x - crystals.neighbourhoods(4000, 0, noise=0.0, strain=0.0).x
    moved = noisy[noisy.abs().sum(1) > 0]
    assert abs(moved.std() / crystals.NOISE - 1) < 0.02


def test_answers_turn_with_the_crystal():
    data = crystals.neighbourhoods(30, 1)
    for angle in (None, 0.5):
        turned = data.turned(angle, torch.Generator().manual_seed(0))
        assert torch.equal(turned.crystal, data.crystal)
        for i in (0, 7, 29):
            x, z = (part.x[part.batch == i].double() for part in (data, turned))
            R = torch.linalg.lstsq(x, z).solution.T
            torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-5, rtol=0)
            zero = torch.zeros(3, dtype=torch.float64)
            torch.testing.assert_close(act("vector", R, zero, data.missing[i].double()), turned.missing[i].double(), atol=1e-5, rtol=0)
            torch.testing.assert_close(act("tensor", R, zero, data.strain[i].double()), turned.strain[i].double(), atol=1e-6, rtol=0)
            if angle:
                assert abs(R.trace() - 1 - 2 * torch.cos(torch.tensor(angle))) < 1e-4


@pytest.mark.parametrize("index", [slice(3, 9), torch.tensor([5, 0, 5]), torch.tensor([], dtype=torch.int64)])
def test_some_of_the_neighbourhoods(index):
    data = crystals.neighbourhoods(12, 0)
    some, numbers = data[index], torch.arange(12)[index]
    assert len(some) == len(numbers)
    for new, old in enumerate(numbers):
        assert torch.equal(some.x[some.batch == new], data.x[data.batch == old])
        assert some.crystal[new] == data.crystal[old] and torch.equal(some.strain[new], data.strain[old])
    assert some.h[:, 0].sum() == len(some) and torch.equal(some.x[some.h[:, 0] == 1], torch.zeros(len(some), 3))


def test_errors_of_the_best_constant_are_those_of_the_table():
    data = crystals.neighbourhoods(4000, 0).turned(generator=torch.Generator().manual_seed(0))
    assert abs(crystals.error(torch.tensor([[0.0, 1, 0, 0]]).expand(4000, 4), data, "crystal") - 0.75) < 0.03
    assert crystals.error(torch.zeros(4000, 3), data, "missing") == pytest.approx(1.0, abs=1e-6)
    assert crystals.error(torch.zeros(4000, 3, 3), data, "strain") == pytest.approx(1.0, abs=0.05)
    assert crystals.error(torch.eye(4)[data.crystal], data, "crystal") == 0 == crystals.error(data.strain, data, "strain")
    with pytest.raises(ValueError, match="target is 'class'; expected one of 'crystal', 'missing', 'strain'"):
        data.answer("class")


@pytest.mark.slow
def test_what_the_task_leaves_possible():
    """Who knows the four crystals reads class and empty site nearly without error; the strain stays blurred."""
    data = crystals.neighbourhoods(60, 3).turned(generator=torch.Generator().manual_seed(0))
    found = [crystals.match(data.x[data.batch == i][1:]) for i in range(60)]
    assert sum(crystal != data.crystal[i] for i, (crystal, _, _) in enumerate(found)) <= 1
    assert crystals.error(torch.stack([m for _, m, _ in found]), data, "missing") < 0.02
    assert 0.05 < crystals.error(torch.stack([S for _, _, S in found]), data, "strain") < 0.35


def test_match_turns_along():
    data = crystals.neighbourhoods(4, 5)
    R = random_rotation((), torch.Generator().manual_seed(2), torch.float64)
    for i in range(4):
        x = data.x[data.batch == i][1:].double()
        (crystal, m, S), (same, m_turned, S_turned) = crystals.match(x), crystals.match(x @ R.T)
        assert crystal == same
        torch.testing.assert_close(m_turned, R @ m, atol=1e-6, rtol=0)
        torch.testing.assert_close(S_turned, R @ S @ R.T, atol=1e-6, rtol=0)
