"""What the lecture says and readers get wrong: for each point a claim that the library meets and wrong readings do not.

Points 1 to 5 are Algorithm 4's, in test_message_passing.py. The numbers are those of the course's list; each claim is a
function that takes an implementation and asserts.
"""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import egnn, frames, graph_networks, gvp, message_passing, neighbors, symmetry
from course_utils.graphs import degrees
from course_utils.message_passing import aggregate
from course_utils.microscope import check_equivariance

double = torch.float64
CLAIMS = {}  # (point, what is claimed): (claim, right, wrong readings by name)


def claim(point, right, **wrong):
    def declare(function):
        CLAIMS[point, function.__name__] = function, right, wrong
        return function
    return declare


def rand(*shape):
    return torch.randn(*shape, dtype=double)


# --- 6: Kipf's network and Algorithm 4 --------------------------------------------------------------------------------

DIRECTED = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 2, 0, 0, 1, 3]])


def kipf(h, edge_index, W, b, d=None, loops=True):
    with_loops, _ = graph_networks.gcn_norm(edge_index, len(h))
    edges = with_loops if loops else edge_index
    v, u = edges
    d = (degrees(edges, len(h)) if d is None else d(edges, len(h))).clamp(min=1).to(h.dtype)
    return aggregate((h @ W.T)[v] / (d[u] * d[v]).sqrt()[:, None], u, len(h)) + b


def gcn_layer(h, edge_index, W, b):
    layer = graph_networks.GCNLayer(4, 3).double()
    layer.load_state_dict({"W.weight": W, "b": b})
    return layer(h, edge_index)


@claim(6, gcn_layer, algorithm_4=lambda h, e, W, b: message_passing.message_round(h, e, W, W, b, sigma=lambda M: M),
       without_self_loops=lambda h, e, W, b: kipf(h, e, W, b, loops=False),
       out_degree=lambda h, e, W, b: kipf(h, e, W, b, d=lambda e, n: degrees(e.flip(0), n)),
       degree_before_the_loops=lambda h, e, W, b: kipf(h, e, W, b, d=lambda e, n: degrees(e, n) - 1),
       bias_for_each_neighbour=lambda h, e, W, b: kipf(h, e, W, 0) + b * (degrees(e, len(h))[:, None] + 1))
def kipf_adds_u_to_its_neighbours_and_counts_in_degrees(layer):
    from torch_geometric.nn import GCNConv  # takes seconds to load

    h, W, b = rand(5, 4), rand(3, 4), rand(3)
    theirs = GCNConv(4, 3).double()
    theirs.load_state_dict({"lin.weight": W, "bias": b})
    torch.testing.assert_close(layer(h, DIRECTED, W, b), theirs(h, DIRECTED).detach())


@claim(6, message_passing.message_round, u_is_its_own_neighbour=lambda h, e, W_self, W, b, sigma:
       message_passing.message_round(h, torch.cat([e, torch.arange(5).expand(2, 5)], 1), W_self, W, b, sigma),
       one_weight_for_all=lambda h, e, W_self, W, b, sigma: message_passing.message_round(h, e, W, W, b, sigma))
def algorithm_4_leaves_u_out_of_its_neighbours(round_):
    h, W_self, W = rand(5, 4), rand(4, 4), rand(4, 4)
    alone = round_(h, DIRECTED[:, :0], W_self, W, rand(4), torch.tanh)
    torch.testing.assert_close(alone, torch.tanh(h @ W_self.T))


# --- 7: letters ---------------------------------------------------------------------------------------------------------

@claim(7, lambda h, x, e: egnn.EGNNLayer(3).double()(h, x, e),
       the_other_slides_letters=lambda h, x, e: egnn.EGNNLayer(3).double()(x, h, e),
       coordinates_first=lambda h, x, e: egnn.EGNNLayer(3).double()(h, x, e)[::-1])
def h_is_what_the_slides_call_f_and_x_is_a_position(layer):
    h, x, b = rand(5, 3), rand(5, 3), rand(3)
    torch.manual_seed(0)
    h_new, x_new = layer(h, x, DIRECTED)
    torch.manual_seed(0)
    h_shifted, x_shifted = layer(h, x + b, DIRECTED)
    torch.testing.assert_close(h_shifted, h_new)
    torch.testing.assert_close(x_shifted, x_new + b)


def test_7_every_module_says_once_which_letter_is_which():
    for module, letters in ((message_passing, "h_u, x_u"), (graph_networks, "x_u, h_u"), (egnn, "f_u"), (egnn, "x_u"), (gvp, "s, V"),
                            (neighbors, "x_u"), (symmetry, "R x + b")):
        assert "the slide's letter    here" in module.__doc__
        assert sum(line.startswith(f"    {letters} ") for line in module.__doc__.splitlines()) == 1


# --- 8: the distance is squared ----------------------------------------------------------------------------------------

@claim(8, egnn.squared_distances, a_distance=lambda x, e: neighbors.distances(x, e)[:, None],
       the_square_of_a_root=lambda x, e: neighbors.displacements(x, e).square().sum(1, keepdim=True).sqrt().square())
def egnn_takes_the_squared_distance_and_coincident_points_have_finite_gradients(squared):
    x = torch.tensor([[0.0, 0, 0], [1.0, 2, 2], [0.0, 0, 0]], dtype=double, requires_grad=True)
    d2 = squared(x, torch.tensor([[0, 0], [1, 2]]))
    torch.testing.assert_close(d2.detach(), torch.tensor([[9.0], [0.0]], dtype=double))
    assert torch.autograd.grad(d2.sum(), x)[0].isfinite().all()


# --- 9 to 12: what is summed over whom, and with which sign --------------------------------------------------------------

def psi_c(f_u, f_v, d2):
    return torch.tanh(f_u.sum(1, keepdim=True) + 2 * f_v.sum(1, keepdim=True) - d2 / 9)


def psi_f(f_u, f_v, d2):
    return torch.cat([f_v, d2 / 9], dim=1)


def slide(h, x, edge_index, pairs_f=None, pairs_c=None, sign=1.0, C=None, new_f=False, psi_c=psi_c):
    """The slide's two lines, with everything that can be read in another way as an argument."""
    f_new = egnn.egnn_features(h, x, edge_index if pairs_f is None else pairs_f, psi_f, lambda f, m: torch.cat([f, m], dim=1))
    v, u = pairs = neighbors.all_pairs(len(x)) if pairs_c is None else pairs_c
    f = f_new if new_f else h
    shift = aggregate((x[u] - x[v]) * psi_c(f[u], f[v], egnn.squared_distances(x, pairs)), u, len(x))
    return f_new, x + sign * shift * (1 if C is None else C(len(x)))


def library(h, x, edge_index, psi_c=psi_c):
    return (egnn.egnn_features(h, x, edge_index, psi_f, lambda f, m: torch.cat([f, m], dim=1)),
            egnn.egnn_coordinates(h, x, psi_c))


def default_layer(h, x, edge_index):
    torch.manual_seed(0)
    return egnn.EGNNLayer(3).double()(h, x, edge_index)


def layer_of_neighbours(h, x, edge_index):
    torch.manual_seed(0)
    return egnn.EGNNLayer(3, neighbours_only=True).double()(h, x, edge_index)


def features_hear_the_component_and_coordinates_hear_everybody(layer):
    h, x = rand(6, 3), rand(6, 3)
    two = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    moved = x + 0.1 * rand(6, 3) * (torch.arange(6) >= 3)[:, None]
    (f, x_new), (g, y_new) = layer(h, x, two), layer(h, moved, two)
    assert torch.equal(f[:3], g[:3])
    assert (x_new[:3] - y_new[:3]).abs().min() > 0


claim(9, library, all_pairs_in_both=lambda h, x, e: slide(h, x, e, pairs_f=neighbors.all_pairs(6)),
      neighbours_in_both=lambda h, x, e: slide(h, x, e, pairs_c=e))(features_hear_the_component_and_coordinates_hear_everybody)
claim("9, the layer", default_layer, the_papers_option=layer_of_neighbours)(features_hear_the_component_and_coordinates_hear_everybody)


@claim(10, library, the_papers_C=lambda h, x, e, psi_c: slide(h, x, e, C=lambda n: 1 / (n - 1), psi_c=psi_c),
       a_mean=lambda h, x, e, psi_c: slide(h, x, e, C=lambda n: 1 / n, psi_c=psi_c))
def there_is_no_constant_and_the_cloud_explodes(layer):
    none = torch.zeros(2, 0, dtype=torch.int64)

    def constant(c):
        return lambda f_u, f_v, d2: torch.full_like(d2, c)

    h, x = rand(5, 3), rand(5, 3)
    torch.testing.assert_close(layer(h, x, none, constant(0.7))[1], x + 0.7 * 5 * (x - x.mean(0)))
    h, cloud = rand(100, 3), rand(100, 3)
    start = cloud.std()
    for _ in range(4):
        cloud = layer(h, cloud, none, constant(0.1))[1]
    assert 1e4 < cloud.std() / start < 2e4  # 11 to the fourth


def reads_new_features(h, x, e, psi_c=psi_c):
    return slide(h, x, e, new_f=True, psi_c=psi_c)


@claim(11, library, x_v_minus_x_u=lambda h, x, e, **o: slide(h, x, e, sign=-1.0, **o), reads_the_new_f=reads_new_features)
def a_positive_psi_repels_and_reads_the_old_features(layer):
    x = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]], dtype=double)
    one = torch.tensor([[2.0], [3.0]], dtype=double)
    pair = torch.tensor([[0, 1], [1, 0]])
    _, x_new = layer(one, x, pair, psi_c=lambda f_u, f_v, d2: f_v.sum(1, keepdim=True) * d2)
    torch.testing.assert_close(x_new, torch.tensor([[-3.0, 0, 0], [3.0, 0, 0]], dtype=double))


@pytest.mark.parametrize("mutant", [lambda h, x, e: slide(h, x, e, sign=-1.0), reads_new_features])
def test_11_no_equivariance_test_sees_either(mutant):
    report = check_equivariance(lambda h, x, e: mutant(h, x, e)[1], ["node scalar 3", "node position", "edge_index"], "node position")
    assert report.holds, report


def with_absolute_z(h, x, e, psi_c=psi_c):
    return slide(torch.cat([h, x[:, 2:]], dim=1), x, e, psi_c=psi_c)


def with_cross_product(h, x, e, psi_c=psi_c):
    f, x_new = slide(h, x, e, psi_c=psi_c)
    first, second = x[1:2] - x[:1], x[2:3] - x[:1]
    return f, x_new + 0.1 * torch.linalg.cross(first, second)


@claim(12, library, a_normal_direction=with_cross_product)
def a_planar_cloud_stays_planar(layer):
    h, x = rand(6, 3), rand(6, 3) * torch.tensor([1.0, 1.0, 0.0])
    for _ in range(3):
        x = layer(h, x, DIRECTED)[1]
    assert x[:, 2].abs().max() == 0


@claim("12, invariants", library, the_height_among_the_features=with_absolute_z)
def psi_gets_invariants_only(layer):
    report = check_equivariance(lambda h, x, e: layer(h, x, e)[1], ["node scalar 3", "node position", "edge_index"], "node position")
    assert report["rotation"].verdict == report["translation"].verdict == "holds", report


@claim("12, centroid", library, centred_by_force=lambda h, x, e, psi_c=psi_c: (
    None, frames.centre(library(h, x, e, psi_c=psi_c)[1]) + x.mean(0)))
def the_centroid_stays_only_where_psi_is_symmetric(layer):
    h, x = rand(5, 3), rand(5, 3)
    symmetric = layer(h, x, DIRECTED, psi_c=lambda f_u, f_v, d2: torch.exp(-d2) * (f_u + f_v).sum(1, keepdim=True))[1]
    torch.testing.assert_close(symmetric.mean(0), x.mean(0))
    assert (layer(h, x, DIRECTED)[1].mean(0) - x.mean(0)).abs().max() > 1e-3


# --- 13: R x + b ----------------------------------------------------------------------------------------------------------

@claim(13, symmetry.act, rows_times_R=lambda kind, R, b, x: symmetry.act(kind, R.mT, b, x),
       vectors_shift=lambda kind, R, b, x: symmetry.act("position" if kind == "vector" else kind, R, b, x),
       positions_do_not_shift=lambda kind, R, b, x: symmetry.act("vector" if kind == "position" else kind, R, b, x),
       scalars_are_mirrored=lambda kind, R, b, x: symmetry.act("pseudoscalar" if kind == "scalar" else kind, R, b, x))
def positions_go_to_Rx_plus_b_and_vectors_to_Rx(act):
    x, b = rand(4, 3), rand(3)
    for draw in (symmetry.random_rotation, symmetry.random_reflection):
        R = draw(dtype=double)
        assert (R - R.mT).abs().max() > 0.01
        torch.testing.assert_close(act("position", R, b, x), torch.stack([R @ row + b for row in x]))
        torch.testing.assert_close(act("vector", R, b, x), torch.stack([R @ row for row in x]))
        torch.testing.assert_close(act("scalar", R, b, x[:, 0]), x[:, 0])


def handedness(x):
    """Signed volumes of tetrahedra, cubed so that they do not cancel: invariant under rotations only."""
    n = len(x)
    volume = torch.linalg.det(torch.stack([x[(torch.arange(n) + k) % n] - x for k in (1, 2, 3)], dim=1))
    return volume.pow(3).sum()


def test_13_three_points_are_too_few_and_the_microscope_takes_more():
    x, R = rand(3, 3), symmetry.random_reflection(dtype=double)
    assert abs(handedness(x @ R.mT) - handedness(x)) < 1e-12  # three points cannot tell
    x = rand(5, 3)
    assert abs(handedness(x @ R.mT) - handedness(x)) > 1e-3
    assert check_equivariance(handedness, "node position", "graph scalar")["reflection"].verdict == "fails"


# --- 14, 15: the GVP ------------------------------------------------------------------------------------------------------

def gvp_read(layer, s, V, concat="s_h first", norm=-1, gate="V_mu", lengths_of="V_h", bias=0.0, b=True):
    V_h = layer.W_h @ V
    V_mu = layer.W_mu @ V_h + bias
    mu = len(layer.W_mu)
    s_h = (V_mu if lengths_of == "V_mu" and mu == len(V_h[0]) else V_h).norm(dim=norm)
    s_m = layer.W_m(torch.cat([s_h, s] if concat == "s_h first" else [s, s_h], dim=-1))
    v_mu = (V_mu if gate == "V_mu" else V_h[..., :mu, :]).norm(dim=-1)
    return torch.relu(s_m if b else s_m - layer.W_m.bias), (torch.sigmoid(v_mu)[..., None] if gate else 1) * V_mu


@claim(14, lambda layer, s, V: layer(s, V), s_first=lambda *a: gvp_read(*a, concat="s first"),
       norm_over_channels=lambda *a: gvp_read(*a, norm=-2), gate_from_V_h=lambda *a: gvp_read(*a, gate="V_h"),
       no_gate=lambda *a: gvp_read(*a, gate=None), lengths_of_V_mu=lambda *a: gvp_read(*a, lengths_of="V_mu"),
       no_bias_on_scalars=lambda *a: gvp_read(*a, b=False),
       bias_on_vectors=lambda *a: gvp_read(*a, bias=0.1))
def the_gvp_is_algorithm_1_in_order_and_in_every_axis(apply):
    from test_gvp import algorithm_1
    for sizes in ((4, 2, 5, 3), (5, 3, 4, 2), (3, 2, 5, 4), (3, 6, 5, 4)):  # all different, nu on both sides of mu
        layer = gvp.GVP(*sizes).double()
        s, V = rand(7, sizes[0]), rand(7, sizes[1], 3)
        found = [out.detach() for out in apply(layer, s, V)]
        for i in range(7):
            for ours, expected in zip((found[0][i], found[1][i]), algorithm_1(layer, s[i], V[i])):
                torch.testing.assert_close(ours, expected.detach())


class NarrowGVP(gvp.GVP):
    """h = min(nu, mu)."""

    def __init__(self, n, nu, m, mu):
        super().__init__(n, nu, m, mu)
        h = min(nu, mu)
        self.W_h, self.W_mu, self.W_m = nn.Parameter(torch.randn(h, nu)), nn.Parameter(torch.randn(mu, h)), nn.Linear(h + n, m)


class BiasedGVP(gvp.GVP):
    def forward(self, s, V):
        s, V = super().forward(s, V)
        return s, V + 0.1


@claim("14, sizes", gvp.GVP, h_is_the_smaller=NarrowGVP, a_bias_on_vectors=BiasedGVP)
def h_is_the_larger_and_zero_vectors_stay_zero(make):
    for n, nu, m, mu in ((3, 2, 5, 4), (3, 6, 5, 4)):
        layer = make(n, nu, m, mu)
        assert tuple(layer.W_h.shape) == (max(nu, mu), nu) and tuple(layer.W_mu.shape) == (mu, max(nu, mu))
        assert tuple(layer.W_m.weight.shape) == (m, max(nu, mu) + n) and layer.W_m.bias is not None
        assert not layer(torch.ones(2, n), torch.zeros(2, nu, 3))[1].any()


def gvp_of(vectors):
    layer = gvp.GVP(1, 3, 4, 2)
    return lambda x: layer.to(x.dtype)(x.new_ones(len(x), 1), vectors(x))


def three_displacements(x):
    return torch.stack([x - x.roll(k, 0) for k in (1, 2, 3)], dim=1)


@claim(15, three_displacements, positions=lambda x: torch.stack([x, x.roll(1, 0), x.roll(2, 0)], dim=1),
       a_cross_product=lambda x: torch.cat([d := three_displacements(x)[:, :2], torch.linalg.cross(d[:, :1], d[:, 1:])], dim=1))
def V_holds_polar_displacements(vectors):
    report = check_equivariance(gvp_of(vectors), "node position", ["node scalar", "node vector"])
    assert all(report[test].verdict == "holds" for test in ("translation", "rotation", "reflection")), report


def test_15_a_signed_dihedral_is_right_under_rotations_and_wrong_in_a_mirror():
    def signed(a, b, c):
        """Like the sine of the dihedral along a, b, c, but smooth where it is not defined."""
        first, second = torch.linalg.cross(a, b), torch.linalg.cross(b, c)
        return (torch.linalg.cross(first, second) * b).sum(1) / (1 + (first * second).sum(1).square())

    report = check_equivariance(signed, ["node vector"] * 3, "node scalar")
    assert report["rotation"].verdict == "holds" and report["reflection"].verdict == "fails", report
    assert check_equivariance(signed, ["node vector"] * 3, "node pseudoscalar").holds


@claim("15, the norm", neighbors.lengths, a_plain_root=lambda V: V.square().sum(-1).sqrt())
def the_norm_has_a_finite_gradient_at_zero(lengths):
    V = torch.zeros(2, 3, dtype=double, requires_grad=True)
    slope, = torch.autograd.grad(lengths(V).sum(), V, create_graph=True)
    assert slope.isfinite().all() and torch.autograd.grad(slope.sum(), V)[0].isfinite().all()


# --- 16: y, z, x ------------------------------------------------------------------------------------------------------------

@claim(16, symmetry.yzx_to_xyz, taken_as_it_is=lambda rows: rows, turned_the_other_way=lambda rows: rows[..., [0, 2, 3, 1, 5, 6, 4]],
       mass_last=lambda rows: symmetry.yzx_to_xyz(rows)[..., [1, 2, 3, 4, 5, 6, 0]])
def the_rows_list_y_z_x(to_xyz):
    m, v, a = rand(4, 1), rand(4, 3), rand(4, 3)
    R = symmetry.random_rotation(dtype=double)

    def rows(v, a):
        """As the lecture writes them: [m, vy, vz, vx, ay, az, ax]."""
        return torch.cat([m, v[:, [1, 2, 0]], a[:, [1, 2, 0]]], dim=1)

    turned = to_xyz(rows(v @ R.T, a @ R.T))
    found = to_xyz(rows(v, a))
    torch.testing.assert_close(turned[:, :1], m)
    for columns in (slice(1, 4), slice(4, 7)):
        torch.testing.assert_close(turned[:, columns], found[:, columns] @ R.T)
    torch.testing.assert_close(found[:, 1:4], v)


# --- 17: forces -----------------------------------------------------------------------------------------------------------

def atomic_energies(x):
    """E_i: half of each pair's energy, and an embedding that is not linear in its neighbours, so that E_i is no share of a sum."""
    v, u = edge_index = neighbors.all_pairs(len(x))
    d = neighbors.distances(x, edge_index)
    density = aggregate(torch.exp(-d), u, len(x))
    return aggregate(torch.exp(-2 * d) / 2, u, len(x)) - density.sqrt()


def forces(x):
    x = x.clone().requires_grad_()
    return -torch.autograd.grad(atomic_energies(x).sum(), x)[0]


def forces_of_E_i_alone(x):
    x = x.clone().requires_grad_()
    return -torch.stack([torch.autograd.grad(atomic_energies(x)[i], x)[0][i] for i in range(len(x))])


def direct_forces(x):
    """Equivariant, and sums to zero: and no gradient of anything."""
    v, u = edge_index = neighbors.all_pairs(len(x))
    d = neighbors.displacements(x, edge_index)
    density = aggregate(torch.exp(-neighbors.distances(x, edge_index)), u, len(x))
    return aggregate(d * (density[u] * density[v]).sqrt()[:, None], u, len(x))


@claim(17, forces, of_E_i_alone=forces_of_E_i_alone, uphill=lambda x: -forces(x), direct=direct_forces)
def forces_are_minus_the_gradient_of_the_total_energy(forces):
    x, step = rand(6, 3), 1e-5
    F = forces(x)
    for i, k in product(range(6), range(3)):
        nudge = torch.zeros(6, 3, dtype=double)
        nudge[i, k] = step
        slope = (atomic_energies(x + nudge).sum() - atomic_energies(x - nudge).sum()) / (2 * step)
        torch.testing.assert_close(F[i, k], -slope, rtol=1e-6, atol=1e-8)


@claim("17, conservation", forces, of_E_i_alone=forces_of_E_i_alone, direct=direct_forces)
def forces_and_torques_vanish_and_the_jacobian_is_symmetric(forces):
    x, step = rand(6, 3), 1e-5
    F = forces(x)
    assert F.sum(0).abs().max() < 1e-12 and torch.linalg.cross(x, F).sum(0).abs().max() < 1e-12
    columns = [(forces(x + e.view(6, 3)) - forces(x - e.view(6, 3))).flatten() / (2 * step) for e in step * torch.eye(18, dtype=double)]
    J = torch.stack(columns, dim=1)
    assert (J - J.T).abs().max() < 1e-6 * J.abs().max()


def test_17_equivariance_does_not_make_forces_conservative():
    report = check_equivariance(direct_forces, "node position", "node vector")
    assert all(report[test].verdict == "holds" for test in ("permutation", "translation", "rotation", "reflection")), report


# --- 18: edges (more of it in test_neighbors.py) ----------------------------------------------------------------------------

@claim(18, neighbors.radius_graph, strictly_below=lambda x, r: neighbors.radius_graph(x, r * (1 - 1e-12)),
       with_oneself=lambda x, r: torch.cat([neighbors.radius_graph(x, r), torch.arange(len(x)).expand(2, -1)], dim=1),
       in_single_precision=lambda x, r: (torch.cdist(x.float(), x.float()) <= r).fill_diagonal_(False).nonzero().T,
       coincident_points_apart=lambda x, r: (e := neighbors.radius_graph(x, r))[:, neighbors.distances(x, e) > 0])
def the_rule_for_radius_graphs(radius_graph):
    x = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0.0, 0, 0], [0.5 + 1e-12, 0, 0.0], [9.0, 0, 0]], dtype=double)
    edges = set(map(tuple, radius_graph(x, 0.5).T.tolist()))
    assert edges == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1), (1, 3), (3, 1)}


@claim("18, nearest", neighbors.knn_graph, the_centre_is_the_source=lambda x, k: neighbors.knn_graph(x, k).flip(0),
       made_symmetric=lambda x, k: torch.unique(torch.cat([neighbors.knn_graph(x, k), neighbors.knn_graph(x, k).flip(0)], 1), dim=1))
def nearest_neighbours_are_sources_and_not_symmetric(knn_graph):
    x = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
    assert set(map(tuple, knn_graph(x, 1).T.tolist())) == {(1, 0), (0, 1), (1, 2)}


# --- 19: no frame for a symmetric shell ------------------------------------------------------------------------------------------

def shells():
    """The nearest neighbours of an atom in four crystals, at distance 1."""
    signs = np.array(list(product((-1, 0, 1), repeat=3)), dtype=float)
    count = np.abs(signs).sum(1)
    fcc, bcc, sc = signs[count == 2] / 2**0.5, signs[count == 3] / 3**0.5, signs[count == 1]
    angle = np.arange(6) * np.pi / 3
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    above = np.stack([np.cos(angle[::2] + np.pi / 6) / 3**0.5, np.sin(angle[::2] + np.pi / 6) / 3**0.5, 0 * angle[::2] + (2 / 3)**0.5], 1)
    hcp = np.concatenate([ring, above, above * [1, 1, -1]])
    return {name: torch.from_numpy(shell) for name, shell in (("fcc", fcc), ("hcp", hcp), ("bcc", bcc), ("sc", sc))}


def best_turn(x, noise):
    """The angle between a frame of x and the nearest frame of x with noise, in degrees: the best of the proper sign choices."""
    F, near = frames.pca_frames(x)[0], frames.pca_frames(x + noise)
    cosine = ((near.mT @ F).diagonal(dim1=1, dim2=2).sum(1).max() - 1) / 2
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).item()


@claim(19, frames.relative_gap, the_largest_variance_alone=lambda x: torch.linalg.eigvalsh(frames.covariance(x))[-1])
def crystal_shells_have_no_frame_and_a_generic_cloud_has(gap):
    for name, shell in shells().items():
        assert len(shell) == {"fcc": 12, "hcp": 12, "bcc": 8, "sc": 6}[name]
        torch.testing.assert_close(shell.norm(dim=1), torch.ones(len(shell), dtype=double))
        assert gap(shell) < 1e-12
    assert gap(rand(12, 3)) > 0.01


def test_19_noise_of_a_millionth_turns_a_shells_frame_anywhere_and_a_generic_clouds_hardly():
    shell, cloud = shells()["fcc"], rand(12, 3)
    turns = [best_turn(shell, 1e-6 * rand(12, 3)) for _ in range(500)]
    assert 70 < np.median(turns) < 86
    assert np.median([best_turn(cloud, 1e-6 * rand(12, 3)) for _ in range(100)]) < 1e-3


@claim("19, how many", frames.pca_frames, one_frame=lambda x, reflections=False: frames.pca_frames(x, reflections=reflections)[:1],
       signs_without_det=lambda x, reflections=False: frames.pca_frames(x, reflections=True))
def four_proper_frames_eight_with_reflections(pca_frames):
    four, eight = pca_frames(rand(6, 3)), pca_frames(rand(6, 3), reflections=True)
    assert len(four) == 4 and len(eight) == 8 and (torch.linalg.det(four) > 0).all()


# --- 20: what augmentation gives, and parts that turn alone -----------------------------------------------------------------------

def plain_network(clouds, augmented):
    """A perceptron on raw coordinates that learns the largest distance from the centroid, with and without augmentation."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(15, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    batch, target = torch.arange(len(clouds)).repeat_interleave(5), clouds.norm(dim=2).amax(1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        x = frames.augment(clouds.flatten(0, 1), target, "scalar", generator, batch)[0].view_as(clouds) if augmented else clouds
        optimizer.zero_grad()
        (network(x.flatten(1))[:, 0] - target).square().mean().backward()
        optimizer.step()
    return lambda x: network(x.flatten(1))[:, 0].detach()


@pytest.mark.slow
def test_20_an_augmented_network_is_nearly_equivariant_and_no_more():
    clouds = torch.randn(200, 5, 3)
    clouds = clouds - clouds.mean(1, keepdim=True)
    turned = clouds @ symmetry.random_rotation(200, torch.Generator().manual_seed(1)).mT

    def violation(f):
        return ((f(turned) - f(clouds)).abs().mean() / f(clouds).std()).item()

    plain, augmented = (violation(plain_network(clouds, augmented=a)) for a in (False, True))
    invariant = violation(lambda x: torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").amax((1, 2)))
    assert invariant < 1e-5 < 0.02 < augmented < 0.7 * plain


def local_network(h, x, r=1.5):
    edge_index = neighbors.radius_graph(x, r)
    network = egnn.EGNN(3, 8, 4, rounds=2, neighbours_only=True).double()
    return network(h, x, edge_index)


def slide_network(h, x, r=1.5):
    network = egnn.EGNN(3, 8, 4, rounds=2).double()
    return network(h, x, neighbors.radius_graph(x, r))


@claim(20, local_network, sums_over_all_pairs=slide_network)
def a_part_that_turns_alone_is_not_felt_beyond_the_receptive_field(network):
    h, x = rand(10, 3), rand(10, 3) / 2 + 20 * (torch.arange(10) >= 5)[:, None]
    R, part = symmetry.random_rotation(dtype=double), torch.arange(10) >= 5
    turned = x.clone()
    turned[part] = frames.centre(x[part]) @ R.T + x[part].mean(0)
    (f, x_new), (g, y_new) = (torch.manual_seed(0) and network(h, where) for where in (x, turned))
    torch.testing.assert_close(g[~part], f[~part])
    torch.testing.assert_close(y_new[~part], x_new[~part])


def test_20_parts_within_reach_feel_each_other():
    near, h, R = rand(10, 3) / 2, rand(10, 3), symmetry.random_rotation(dtype=double)
    turned = torch.cat([near[:5], near[5:] @ R.T])
    before, after = (torch.manual_seed(0) and local_network(h, x)[0][:5] for x in (near, turned))
    assert (before - after).abs().max() > 1e-4


# --- all of them ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("point, name", CLAIMS)
def test_the_library_reads_it_right(point, name):
    function, right, wrong = CLAIMS[point, name]
    assert wrong
    function(right)


@pytest.mark.parametrize("point, name, mutant", [(*key, mutant) for key, (_, _, wrong) in CLAIMS.items() for mutant in wrong])
def test_a_wrong_reading_is_caught(point, name, mutant):
    function, _, wrong = CLAIMS[point, name]
    with pytest.raises(AssertionError):
        function(wrong[mutant])


def test_every_point_has_a_claim():
    assert {int(str(point).split(",")[0]) for point, _ in CLAIMS} == set(range(6, 21))
