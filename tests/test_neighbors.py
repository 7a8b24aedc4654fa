import tracemalloc

import networkx as nx
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from test_graphs import as_set, directed

from course_utils import fast_neighbors, neighbors
from course_utils.message_passing import aggregate

double = torch.float64
THREE_FORMS = {"taught by cells": neighbors.radius_graph_by_cells, "used": neighbors.radius_graph}


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lattice(side, axes):
    return torch.cartesian_prod(*[torch.arange(side)] * axes).double() / 4


def clouds(n, axes, seed):
    """Name, positions, cutoff: about n points each."""
    x = rand(n, axes, seed=seed)
    yield "random", x, 0.8
    yield "double", x.double(), 0.8
    yield "clustered", x.round() * 5 + 0.1 * rand(n, axes, seed=seed + 1), 0.3
    yield "stretched", x * torch.tensor([1e6, 1.0, 1e-3][:axes]), 1.0
    yield "very stretched", x.double() * torch.tensor([1.0, 1e12, 1.0][:axes]), 0.8
    yield "half precision", x.half(), 0.5
    yield "far from the origin", x.double() + 1e9, 0.8
    yield "one axis", x * torch.tensor([1.0, 0.0, 0.0][:axes]), 0.05
    yield "a plane", x * torch.tensor([1.0, 1.0, 0.0][:axes]), 0.3
    yield "duplicates", x[torch.arange(n) % max(n // 3, 1)], 0.5
    yield "all at one point", torch.ones(n, axes), 0.1
    yield "nobody near", 1e6 * x, 1e-3
    yield "everybody near", x, 1e6
    side = max(2, round(n ** (1 / axes)))
    for r in (0.25, 0.25 * 2**0.5, 0.5):  # ties at the cutoff: exact, and as rounded
        yield f"lattice {r:.2f}", lattice(side, axes), r
    steps = torch.randint(0, 8, (n, axes), generator=torch.Generator().manual_seed(seed)).double()
    ulps = torch.randint(-3, 4, (n, axes), generator=torch.Generator().manual_seed(seed))
    yield "on the borders of cells", 0.3 * steps * (1 + 2**-52 * ulps), 0.3


CASES = [pytest.param(x, r, id=f"{axes}-D, {len(x)}, {name}")
         for axes, n in ((2, 1), (2, 60), (3, 3), (3, 90), (3, 700), (2, 900))
         for name, x, r in clouds(n, axes, seed=axes + n)]


@pytest.mark.parametrize(("x", "r"), CASES)
def test_all_forms_give_the_same_edges_in_the_same_order(x, r):
    expected = neighbors.radius_graph_by_pairs(x, r)
    for form in THREE_FORMS.values():
        found = form(x, r)
        assert found.dtype == torch.int64 and torch.equal(found, expected)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("sizes", [[5, 1, 7], [40, 1, 1, 300, 2], [20] * 30, [600, 3, 500], [0, 4, 0, 3], [1] * 50, [1200]])
def test_graphs_of_a_batch_are_kept_apart(axes, sizes):
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))  # a size of 0 leaves its number out
    x, r = rand(len(batch), axes, seed=len(sizes)), 0.7
    expected = neighbors.radius_graph_by_pairs(x, r, batch)
    for form in THREE_FORMS.values():
        assert torch.equal(form(x, r, batch), expected)
    start = np.concatenate([[0], np.cumsum(sizes)])
    alone = [neighbors.radius_graph_by_pairs(x[a:b], r) + a for a, b in zip(start, start[1:])]
    assert torch.equal(expected, torch.cat(alone, dim=1))


METHODS = {"_by_pairs": {"ALL_PAIRS_UP_TO": 10**6}, "_by_blocks": {"ALL_PAIRS_UP_TO": 0, "TABLE": 10**6},
           "_by_tree": {"ALL_PAIRS_UP_TO": 0, "TABLE": 0}}


@pytest.fixture
def used(monkeypatch):
    """Which methods were called: a set that fills."""
    names = set()
    for name in METHODS:
        def noted(*args, name=name, method=getattr(fast_neighbors, name)):
            names.add(name)
            return method(*args)
        monkeypatch.setattr(fast_neighbors, name, noted)
    return names


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 18])
@pytest.mark.parametrize("method", METHODS)
def test_each_method_alone_gives_the_same_edges(method, at_once, monkeypatch, used):
    for constant, value in {**METHODS[method], "AT_ONCE": at_once}.items():
        monkeypatch.setattr(fast_neighbors, constant, value)
    batch = torch.arange(4).repeat_interleave(torch.tensor([30, 1, 60, 40]))
    for axes in (2, 3):
        for name, x, r in clouds(120, axes, seed=axes):
            if name in ("stretched", "very stretched", "nobody near") and method == "_by_blocks":
                continue  # the table would be huge
            for b in (None, batch[:len(x)]):
                assert torch.equal(neighbors.radius_graph(x, r, b), neighbors.radius_graph_by_pairs(x, r, b)), name
    assert used == {method}


def test_each_method_has_its_turn(used):
    few, many = fast_neighbors.ALL_PAIRS_UP_TO, fast_neighbors.ALL_PAIRS_UP_TO + 1
    for n, spread, method in ((few, 1.0, "_by_pairs"), (many, 1.0, "_by_blocks"), (many, 1e12, "_by_tree")):
        x = rand(n, 3, dtype=double) * spread
        x[::2] = x[1::2][:1] + rand(len(x[::2]), 3, seed=1, dtype=double)
        used.clear()
        assert torch.equal(neighbors.radius_graph(x, 0.7), neighbors.radius_graph_by_pairs(x, 0.7))
        assert used == {method}


def test_positions_that_need_a_gradient_or_have_few_bits():
    x = rand(500, 3)
    expected = neighbors.radius_graph(x.bfloat16().float(), 0.5)
    assert torch.equal(neighbors.radius_graph(x.bfloat16().requires_grad_(), 0.5), expected)
    assert not neighbors.radius_graph(x.requires_grad_(), 0.5).requires_grad


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", ["random", "clustered", "stretched", "a plane", "duplicates", "lattice 0.25",
                                  "lattice 0.35"])
def test_thousands_of_points_against_scipy(axes, name):
    for seed in range(2):
        x, r = next((x, r) for found, x, r in clouds(4000, axes, seed) if found == name)
        r = min(r, 0.2) if name in ("random", "a plane") else r
        pairs = cKDTree(x.double().numpy()).query_pairs(r, output_type="ndarray").T
        both = np.hstack([pairs, pairs[::-1]])
        expected = both[:, np.lexsort(both)]
        assert np.array_equal(neighbors.radius_graph(x, r).numpy(), expected)


@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([2, 3]))
def test_symmetric_without_loops_and_growing(seed, n, axes):
    x = rand(n, axes, seed=seed)
    small, large = (as_set(neighbors.radius_graph(x, r)) for r in (0.5, 1.0))
    assert small <= large and all((u, v) in large and u != v for v, u in large)
    p = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert {(int(p[v]), int(p[u])) for v, u in as_set(neighbors.radius_graph(x[p], 1.0))} == large


@pytest.mark.parametrize("spread", [1.0, 1e12])
def test_memory_is_linear(spread):
    """At most some hundred bytes a node and an edge, where all pairs, or a table of all cells, would take gigabytes."""
    x, r = torch.rand(50_000, 3, generator=torch.Generator().manual_seed(0), dtype=double), 0.045
    x[:5] *= spread
    tracemalloc.start()
    edge_index = neighbors.radius_graph(x, r)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert edge_index.shape[1] > 10 * len(x)
    assert peak < 100 * (len(x) + edge_index.shape[1])


# --- k nearest neighbours --------------------------------------------------------------------------------------------------

def nearest_by_loops(x, k, batch=None):
    x, edges = x.double(), []
    for u in range(len(x)):
        others = [v for v in range(len(x)) if v != u and (batch is None or batch[v] == batch[u])]
        others.sort(key=lambda v: (sum((a - b) ** 2 for a, b in zip(x[u].tolist(), x[v].tolist())), v))
        edges += [(v, u) for v in sorted(others[:k])]
    return torch.tensor(edges).reshape(-1, 2).T


@pytest.mark.parametrize(("x", "r"), [p for p in CASES if 3 < len(p.values[0]) < 100])
def test_nearest_neighbours_with_ties_to_the_lower_index(x, r):
    for k in (1, 3):
        assert torch.equal(neighbors.knn_graph(x, k), nearest_by_loops(x, k))


@pytest.mark.parametrize("sizes", [[5, 4, 7], [40, 6, 9], [0, 30, 0, 5]])
def test_nearest_neighbours_in_a_batch(sizes):
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    x = rand(len(batch), 3).round(decimals=1)
    for k in (1, 3):
        assert torch.equal(neighbors.knn_graph(x, k, batch), nearest_by_loops(x, k, batch))


def assert_nearest(knn_graph):
    """Node 3 has four nearest neighbours at distance 1; a dozen points are at one place."""
    x = torch.tensor([[0.0, 0, 1], [5.0, 5, 5], [1.0, 0, 0], [0.0, 0, 0], [0.0, -1, 0], [-1.0, 0, 0]])
    v, u = knn_graph(x, 2)
    assert v[u == 3].tolist() == [0, 2] and u.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    v, u = knn_graph(torch.zeros(12, 3), 2)
    assert v.tolist() == [1, 2, 0, 2] + 10 * [0, 1]


def test_ties_go_to_the_lower_index():
    assert_nearest(neighbors.knn_graph)
    mutants = {"to the higher": lambda x, k: (len(x) - 1 - neighbors.knn_graph(x.flip(0), k)).flip(1),
               "reversed": lambda x, k: neighbors.knn_graph(x, k).flip(0),
               "with oneself": lambda x, k: neighbors.knn_graph(x, k).clone().index_fill_(1, torch.tensor([0]), 0)}
    for name, mutant in mutants.items():
        with pytest.raises(AssertionError):
            assert_nearest(mutant)
            pytest.fail(name)


@pytest.mark.parametrize(("x", "k"), [(lattice(6, 3), 20), (lattice(12, 2), 5), (torch.ones(120, 3), 3),
                                      (rand(100, 3).round(), 9), (torch.cat([torch.zeros(80, 2), rand(20, 2)]), 4)])
def test_more_ties_than_the_tree_is_first_asked_for(x, k, monkeypatch):
    expected = nearest_by_loops(x, k)
    for at_once in (1 << 18, 500):
        monkeypatch.setattr(fast_neighbors, "AT_ONCE", at_once)
        assert torch.equal(neighbors.knn_graph(x, k), expected)


def test_many_nearest_neighbours_on_a_lattice():
    x = lattice(13, 3)
    v, u = neighbors.knn_graph(x, 6)
    inside = ((x > 0) & (x < 3)).all(1)
    assert len(u) == 6 * len(x) and torch.equal(u, torch.arange(len(x)).repeat_interleave(6))
    assert (x[u] - x[v]).norm(dim=1)[inside[u]].max() == 0.25


# --- all pairs, distances, envelope, components ----------------------------------------------------------------------------

@pytest.mark.parametrize("sizes", [[0], [1], [4], [3, 1, 4], [0, 2, 0, 3]])
def test_all_pairs(sizes):
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    n = len(batch)
    expected = [(v, u) for u in range(n) for v in range(n) if u != v and batch[u] == batch[v]]
    assert neighbors.all_pairs(n, batch).T.tolist() == [list(edge) for edge in expected]
    if len(sizes) == 1:
        assert torch.equal(neighbors.all_pairs(n), neighbors.all_pairs(n, batch))


def test_displacements_point_from_the_source_to_the_target():
    x = torch.tensor([[0.0, 0, 0], [3.0, 4.0, 0]])
    edge_index = torch.tensor([[0], [1]])
    assert neighbors.displacements(x, edge_index).tolist() == [[3, 4, 0]]
    assert neighbors.distances(x, edge_index).tolist() == [5]
    assert neighbors.lengths(x, keepdim=True).tolist() == [[0], [5]]


def test_distances_have_two_derivatives_and_zero_ones_at_coincident_points():
    x = rand(6, 3, dtype=double).requires_grad_()
    edge_index = neighbors.all_pairs(6)
    assert torch.autograd.gradcheck(lambda x: neighbors.distances(x, edge_index), x)
    assert torch.autograd.gradgradcheck(lambda x: neighbors.distances(x, edge_index), x)

    def assert_finite(distances):
        x = torch.ones(2, 3, dtype=double, requires_grad=True)
        slope, = torch.autograd.grad(distances(x).sum(), x, create_graph=True)
        curvature, = torch.autograd.grad(slope.sum(), x)
        assert not slope.any() and not curvature.any()

    pair = torch.tensor([[0], [1]])
    assert_finite(lambda x: neighbors.distances(x, pair))
    with pytest.raises(AssertionError):
        assert_finite(lambda x: (x[1] - x[0]).square().sum().sqrt())


def test_nan_is_not_swallowed():
    x = torch.tensor([[torch.nan, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    assert neighbors.lengths(x).isnan().tolist() == [True, False, False]
    assert neighbors.distances(x, torch.tensor([[0, 1], [2, 2]])).isnan().tolist() == [True, False]
    assert neighbors.envelope(torch.tensor([torch.nan, 0.5]), 1.0).isnan().tolist() == [True, False]
    for form in (neighbors.radius_graph_by_pairs, neighbors.radius_graph_by_cells):
        with pytest.raises(ValueError, match=r"x holds \[nan, 0.0, 0.0\] for node 0"):
            form(x, 1.0)
        with pytest.raises(ValueError, match="r is nan"):
            form(x[1:], torch.nan)


def assert_envelope(envelope):
    """1 at 0, 0 from r on, falling, and with a continuous value, slope and curvature at r."""
    r = 2.5
    d = torch.linspace(0, r, 400, dtype=double)
    value = envelope(d, r)
    assert abs(value[0] - 1) < 1e-12 and (value.diff() < 1e-12).all()
    assert not envelope(torch.tensor([r, r + 1e-9, 9.0], dtype=double), r).any()
    at = torch.tensor([r - 1e-6, r + 1e-6], dtype=double, requires_grad=True)
    value = envelope(at, r)
    for _ in range(3):
        below, above = value
        assert abs(below - above) < 1e-3
        value, = torch.autograd.grad(value.sum(), at, create_graph=True)


@pytest.mark.parametrize("p", [3, 6, 8])
def test_envelopes_by_their_properties(p):
    assert_envelope(lambda d, r: neighbors.envelope(d, r, p))


@pytest.mark.parametrize("mutant", [lambda t: (torch.cos(torch.pi * t) + 1) / 2, lambda t: 1 - t, lambda t: (1 - t) ** 2,
                                    torch.ones_like, lambda t: (1 - t) ** 3 * (1 + 9 * t)])
def test_what_is_no_envelope(mutant):
    with pytest.raises(AssertionError):
        assert_envelope(lambda d, r: torch.where(d < r, mutant(d / r), 0 * d))


@given(directed())
def test_components_are_networkx_s_numbered_by_their_lowest_node(graph):
    edge_index, n = graph
    network = nx.Graph()
    network.add_nodes_from(range(n))
    network.add_edges_from(edge_index.T.tolist())
    expected = [0] * n
    for number, members in enumerate(sorted(nx.connected_components(network), key=min)):
        for node in members:
            expected[node] = number
    assert neighbors.components(edge_index, n).tolist() == expected


# --- point 18 of what is easy to get wrong ---------------------------------------------------------------------------------

def test_a_nearest_neighbour_graph_jumps_and_a_radius_graph_leaves_nodes_alone():
    x = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [-1.0 - 1e-6, 0, 0], [9.0, 0, 0]])
    moved = x.clone()
    moved[2, 0] += 2e-6
    assert as_set(neighbors.knn_graph(x, 1)) != as_set(neighbors.knn_graph(moved, 1))
    assert 3 not in neighbors.radius_graph(x, 2.0) and (neighbors.knn_graph(x, 1)[1] == 3).any()


def test_the_envelope_mends_the_jump_at_the_cutoff():
    def energy(gap, factor):
        x = torch.tensor([[0.0, 0, 0], [gap, 0, 0]], dtype=double)
        d = neighbors.distances(x, neighbors.radius_graph(x, 2.0))
        return (torch.exp(-d) * factor(d)).sum()

    def jump(factor):
        return abs(energy(2 - 1e-9, factor) - energy(2 + 1e-9, factor))

    assert jump(torch.ones_like) > 0.2 and jump(lambda d: neighbors.envelope(d, 2.0)) < 1e-12


def test_lennard_jones_as_ase_has_it():
    """Energies and forces from our graph and autograd, of a cluster with pairs on both sides of the cutoff."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(80, 3))) * 0.1 + lattice(5, 3)[:80] * 4 * 1.15
    x.requires_grad_()
    rc = 2.6
    edge_index = neighbors.radius_graph(x, rc)
    inverse = neighbors.distances(x, edge_index) ** -6
    pair = 4 * (inverse**2 - inverse) - 4 * (rc**-12 - rc**-6)
    atomic = aggregate(pair / 2, edge_index[1], len(x))
    forces = -torch.autograd.grad(atomic.sum(), x)[0]
    atoms = Atoms(f"Ar{len(x)}", positions=x.detach().numpy())
    atoms.calc = LennardJones(sigma=1.0, epsilon=1.0, rc=rc, smooth=False)
    assert atomic.sum().item() == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
    np.testing.assert_allclose(atomic.detach().numpy(), atoms.get_potential_energies(), rtol=1e-9)
    np.testing.assert_allclose(forces.numpy(), atoms.get_forces(), rtol=1e-9, atol=1e-9)


# --- bad input -------------------------------------------------------------------------------------------------------------

X = torch.zeros(4, 3)


@pytest.mark.parametrize(("call", "says"), [
    (lambda: neighbors.radius_graph([[0.0, 0, 0]], 1.0), "x is a list; expected a tensor"),
    (lambda: neighbors.radius_graph(torch.zeros(4, 3, dtype=torch.int64), 1.0), "x is a tensor of torch.int64; expected"),
    (lambda: neighbors.radius_graph(torch.zeros(3, 9), 1.0), r"x has shape \(3, 9\); expected .* Did you forget .T?"),
    (lambda: neighbors.radius_graph(torch.zeros(4, 4), 1.0), r"x has shape \(4, 4\); expected \(num_nodes, 2\) or"),
    (lambda: neighbors.radius_graph(torch.tensor([[0.0, 0], [0.0, torch.nan]]), 1.0), r"x holds \[0.0, nan\] for node 1"),
    (lambda: neighbors.radius_graph(torch.tensor([[torch.inf, 0]]), 1.0), "expected finite coordinates"),
    (lambda: neighbors.radius_graph(torch.tensor([[0.0, 0], [1e200, 0]]).double(), 1.0), "expected finite coordinates"),
    (lambda: neighbors.radius_graph(torch.tensor([[0.0, 0], [1e150, 0]], dtype=double), 1.0), "for node 1; .* below 1e100"),
    (lambda: neighbors.radius_graph(X, 0.0), "r is 0.0; expected a positive cutoff"),
    (lambda: neighbors.radius_graph(X, 1e-170), "r is 1e-170; expected a positive cutoff"),
    (lambda: neighbors.radius_graph(X, -1), "r is -1.0"),
    (lambda: neighbors.radius_graph(X, float("inf")), "r is inf; .* all_pairs joins all nodes"),
    (lambda: neighbors.radius_graph(X, float("nan")), "r is nan"),
    (lambda: neighbors.radius_graph(X, 1.0, torch.tensor([0, 1, 0, 1])), "batch is not sorted from 0 up"),
    (lambda: neighbors.radius_graph(X, 1.0, torch.tensor([-1, 0, 0, 1])), "batch is not sorted from 0 up"),
    (lambda: neighbors.radius_graph(X, 1.0, torch.zeros(3, dtype=torch.int64)), r"batch has shape \(3,\); expected \(4,\)"),
    (lambda: neighbors.radius_graph(X, 1.0, torch.zeros(4)), "batch is a tensor of torch.float32; expected"),
    (lambda: neighbors.knn_graph(X, 4), "k is 4, and the smallest graph has 4 nodes; expected 1 <= k <= 3"),
    (lambda: neighbors.knn_graph(X, 0), "k is 0"),
    (lambda: neighbors.knn_graph(X, 2, torch.tensor([0, 0, 1, 1])), "k is 2, and the smallest graph has 2 nodes"),
    (lambda: neighbors.displacements(X, torch.zeros(5, 2, dtype=torch.int64)), "Did you forget .T?"),
    (lambda: neighbors.envelope(torch.ones(2), 0.0), "r is 0.0"),
    (lambda: neighbors.envelope(torch.ones(2), 1.0, p=2), "p is 2; expected 3 or more"),
    (lambda: neighbors.all_pairs(3, torch.tensor([0, 2, 1])), "batch is not sorted"),
])
def test_bad_input_is_explained(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_no_nodes_at_all():
    none = torch.zeros(0, 3)
    assert neighbors.radius_graph(none, 1.0).shape == neighbors.radius_graph_by_cells(none, 1.0).shape == (2, 0)
    assert neighbors.knn_graph(none, 3).shape == neighbors.all_pairs(0).shape == (2, 0)
    assert neighbors.components(torch.zeros(2, 0, dtype=torch.int64), 0).shape == (0,)


def test_the_fast_file_is_short():
    assert len(open(fast_neighbors.__file__, encoding="utf-8").readlines()) < 200
