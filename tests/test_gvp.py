import pytest
import torch
from torch import nn

from course_utils import fast_gvp, gvp, neighbors, symmetry
from course_utils.graph_networks import readout
from course_utils.message_passing import aggregate
from course_utils.microscope import check_equivariance

double = torch.float64
EDGES = torch.tensor([[0, 1, 2, 1, 4], [1, 0, 1, 2, 0]])
NODE = ["node scalar 3", "node vector 2"]
GRAPH = [*NODE, "edge_index", "edge scalar 4", "edge vector 1"]
OPTIONS = {"lecture": {}, "gated": {"vector_gate": True}}
SIZES = [(3, 2, 5, 4), (3, 4, 5, 2), (1, 3, 2, 3)]  # nu below, above and at mu


def algorithm_1(layer, s, V, sigma=torch.relu, sigma_plus=torch.sigmoid):
    """Algorithm 1 for one node, number by number."""
    (h, nu), mu = layer.W_h.shape, len(layer.W_mu)
    assert h == max(nu, mu)
    V_h = [[sum(layer.W_h[i, j] * V[j, k] for j in range(nu)) for k in range(3)] for i in range(h)]
    V_mu = [[sum(layer.W_mu[i, j] * V_h[j][k] for j in range(h)) for k in range(3)] for i in range(mu)]
    s_h = [sum(c * c for c in row) ** 0.5 for row in V_h]
    v_mu = [sum(c * c for c in row) ** 0.5 for row in V_mu]
    s_hn = s_h + list(s)
    s_m = [layer.W_m.bias[i] + sum(w * c for w, c in zip(layer.W_m.weight[i], s_hn)) for i in range(layer.W_m.out_features)]
    return (torch.stack([sigma(c) for c in s_m]), torch.stack([torch.stack([sigma_plus(length) * c for c in row])
                                                               for length, row in zip(v_mu, V_mu)]))


@pytest.mark.parametrize("sizes", SIZES)
def test_the_gvp_is_algorithm_1(sizes):
    n, nu, m, mu = sizes
    layer = gvp.GVP(*sizes).double()
    s, V = torch.randn(6, n, dtype=double), torch.randn(6, nu, 3, dtype=double)
    s_new, V_new = layer(s, V)
    assert s_new.shape == (6, m) and V_new.shape == (6, mu, 3)
    for i in range(6):
        for ours, expected in zip((s_new[i], V_new[i]), algorithm_1(layer, s[i], V[i])):
            torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_turns_and_mirrors_with_its_input(sizes, options):
    n, nu, _, _ = sizes
    report = check_equivariance(gvp.GVP(*sizes, **options), [f"node scalar {n}", f"node vector {nu}"], ["node scalar", "node vector"])
    assert report.holds, report


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_e3nn_says_so_too(o3, options):
    from e3nn.util.test import equivariance_error

    layer = gvp.GVP(3, 2, 5, 4, **options)

    def flat(x):
        s, V = layer(x[:, :3], x[:, 3:].unflatten(1, (2, 3)))
        return torch.cat([s, V.flatten(1)], dim=1)

    irreps_in, irreps_out = o3.Irreps("3x0e + 2x1o"), o3.Irreps("5x0e + 4x1o")
    errors = equivariance_error(flat, [irreps_in.randn(8, -1)], [irreps_in], [irreps_out], do_translation=False, ntrials=4)
    assert {key[0] for key in errors} == {0, 1} and max(e.max() for e in errors.values()) < 1e-4


def test_no_bias_on_vectors_and_none_missing_on_scalars():
    for options in OPTIONS.values():
        s, V = gvp.GVP(3, 2, 5, 4, sigma=None, **options)(torch.zeros(1, 3), torch.zeros(1, 2, 3))
        assert torch.equal(V, torch.zeros(1, 4, 3)) and (s != 0).all()


def test_the_gate_reads_the_scalars_before_sigma():
    layer = gvp.GVP(3, 2, 5, 4, vector_gate=True)
    s, V = torch.randn(7, 3), torch.randn(7, 2, 3)
    s_new, V_new = layer(s, V)
    V_h = layer.W_h @ V
    s_m = layer.W_m(torch.cat([V_h.norm(dim=-1), s], dim=1))
    gate = torch.sigmoid(layer.W_g(torch.sigmoid(s_m)))
    torch.testing.assert_close(V_new, gate[:, :, None] * (layer.W_mu @ V_h))
    torch.testing.assert_close(s_new, s_m.relu())


@pytest.mark.parametrize("nu, mu", [(0, 2), (2, 0), (0, 0)])
def test_without_vectors_on_either_side(nu, mu):
    s, V = gvp.GVP(3, nu, 5, mu)(torch.randn(4, 3), torch.randn(4, nu, 3))
    assert s.shape == (4, 5) and V.shape == (4, mu, 3) and not V.any()


def test_the_message_reads_source_and_edge_and_no_target():
    s, V = torch.randn(5, 3), torch.randn(5, 2, 3)
    edge_s, edge_V = torch.randn(5, 4), torch.randn(5, 1, 3)
    m, M = gvp.gvp_message(s, V, EDGES, edge_s, edge_V, lambda s, V: (s, V))
    v = EDGES[0]
    assert torch.equal(m, torch.cat([s[v], edge_s], dim=1)) and torch.equal(M, torch.cat([V[v], edge_V], dim=1))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("node, edge", [((3, 2), (4, 1)), ((3, 0), (4, 1)), ((3, 2), (0, 0)), ((3, 0), (0, 0))])
def test_the_fast_mean_is_the_mean_of_the_messages(node, edge, options):
    g = gvp.GVPLayer(node, edge, **options).double().message
    of_nodes = torch.randn(6, node[0], dtype=double), torch.randn(6, node[1], 3, dtype=double)
    of_edges = torch.randn(5, edge[0], dtype=double), torch.randn(5, edge[1], 3, dtype=double)
    for edges in (EDGES, EDGES[:, :0]):  # some inboxes are empty, then all
        plainly = gvp.gvp_message(*of_nodes, edges, *(part[:edges.shape[1]] for part in of_edges), g)
        for fast, plain in zip(fast_gvp.mean_message(*of_nodes, edges, *(part[:edges.shape[1]] for part in of_edges), g), plainly):
            torch.testing.assert_close(fast, aggregate(plain, edges[1], 6, "mean"))


def test_the_fast_mean_explains_shapes():
    g = gvp.GVPLayer((3, 2), (4, 1)).message
    right = [(5, 3), (5, 2, 3), (5, 4), (5, 1, 3)]
    for which, wrong in enumerate([(5, 4), (5, 1, 3), (1, 4), (1, 1, 3)]):
        s, V, edge_s, edge_V = (torch.randn(wrong if i == which else shape) for i, shape in enumerate(right))
        with pytest.raises(ValueError, match="s, V, edge_s and edge_V have shapes"):
            fast_gvp.mean_message(s, V, EDGES, edge_s, edge_V, g)
    with pytest.raises(ValueError, match="Did you forget .T?"):
        fast_gvp.mean_message(torch.zeros(5, 3), torch.zeros(5, 2, 3), EDGES.T, edge_s, torch.zeros(5, 1, 3), g)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_layer_is_equations_3_to_5(options):
    layer = gvp.GVPLayer((3, 2), (4, 1), **options).double().eval()
    for norm in layer.norms:  # no two alike
        nn.init.normal_(norm.scalars.weight), nn.init.normal_(norm.scalars.bias)
    assert [len(layer.message), len(layer.update)] == [3, 2]
    assert all((g.W_g is not None) == bool(options) for g in [*layer.message, *layer.update])
    s, V, edge_s, edge_V = (torch.randn(*shape, dtype=double) for shape in ((5, 3), (5, 2, 3), (5, 4), (5, 1, 3)))
    ours = layer(s, V, EDGES, edge_s, edge_V)
    for u in range(5):
        inbox = [layer.message(torch.cat([s[v], edge_s[i]]), torch.cat([V[v], edge_V[i]]))
                 for i, (v, w) in enumerate(EDGES.T.tolist()) if w == u]
        ds = sum(m for m, _ in inbox) / max(len(inbox), 1)
        dV = sum(M for _, M in inbox) / max(len(inbox), 1)
        a, A = layer.norms[0](s[u] + ds, V[u] + dV)
        b, B = layer.update(a, A)
        for value, expected in zip(ours, layer.norms[1](a + b, A + B)):
            torch.testing.assert_close(value[u], expected)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_layers_and_networks_are_equivariant(options):
    report = check_equivariance(gvp.GVPLayer((3, 2), (4, 1), **options), GRAPH, ["node scalar", "node vector"])
    assert report.holds, report
    network = gvp.GVPNetwork((3, 2), (4, 1), (8, 4), (2, 3), rounds=2, **options)
    report = check_equivariance(network, GRAPH, ["node scalar", "node vector"])
    assert report.holds, report
    network = gvp.GVPNetwork((3, 2), (4, 1), (8, 4), (2, 3), rounds=2, reduce="mean", **options)
    report = check_equivariance(network, [*GRAPH, "batch"], ["graph scalar", "graph vector"])
    assert report.holds, report


@pytest.mark.slow
def test_a_network_on_positions_knows_nothing_of_where_they_are():
    network = gvp.GVPNetwork((4, 0), (8, 1), (8, 4), (1, 1), rounds=2, reduce="sum")

    def on_positions(h, x, edge_index, batch):
        dtype = h.dtype
        return network.to(dtype)(h, h.new_zeros(len(h), 0, 3), edge_index, *gvp.edge_geometry(x, edge_index, 40.0), batch)

    report = check_equivariance(on_positions, ["node scalar 4", "node position", "edge_index", "batch"], ["graph scalar", "graph vector"])
    assert report.holds, report


def test_vector_norm_and_dropout_keep_directions():
    V = torch.randn(6, 4, 3)
    _, normed = gvp.LayerNorm(2)(torch.randn(6, 2), V)
    torch.testing.assert_close(normed.square().sum(-1).mean(-1), torch.ones(6), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.linalg.cross(normed, V), torch.zeros(6, 4, 3), atol=1e-6, rtol=0)
    assert torch.equal(gvp.LayerNorm(2)(torch.randn(6, 2), torch.zeros(6, 4, 3))[1], torch.zeros(6, 4, 3))
    _, dropped = gvp.Dropout(0.5)(torch.ones(6, 2), V)
    whole = (dropped == 0).all(-1) | torch.isclose(dropped, 2 * V).all(-1)
    assert whole.all() and 0 < (dropped == 0).all(-1).float().mean() < 1
    assert torch.equal(gvp.Dropout(0.5).eval()(torch.ones(6, 2), V)[1], V)


def test_edge_geometry():
    x = torch.tensor([[0.0, 0, 0], [3.0, 4.0, 0], [0.0, 0, 0]], dtype=double)
    edge_index = torch.tensor([[0, 1, 0], [1, 0, 2]])
    edge_s, edge_V = gvp.edge_geometry(x, edge_index, r=10.0, count=5)
    fade = neighbors.envelope(torch.tensor(5.0, dtype=double), 10.0)
    torch.testing.assert_close(edge_s[0], fade * torch.exp(-((5 - torch.arange(0, 11, 2.5, dtype=double)) / 2.5) ** 2 / 2))
    torch.testing.assert_close(edge_V[:, 0], torch.tensor([[0.6, 0.8, 0], [-0.6, -0.8, 0], [0, 0, 0]], dtype=double)
                               * torch.tensor([fade, fade, 1.0], dtype=double)[:, None])
    assert not gvp.edge_geometry(x, edge_index, r=5.0)[0][0].any()  # at the cutoff nothing is left


def test_two_derivatives_at_zero_vectors_too():
    for options in OPTIONS.values():
        layer = gvp.GVP(2, 2, 3, 3, sigma=torch.tanh, **options).double()
        s, V = torch.randn(4, 2, dtype=double, requires_grad=True), torch.randn(4, 2, 3, dtype=double, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (s, V)) and torch.autograd.gradgradcheck(layer, (s, V))
        zero = torch.zeros(4, 2, 3, dtype=double, requires_grad=True)
        slope, = torch.autograd.grad(sum(out.sum() for out in layer(s, zero)), zero, create_graph=True)
        curvature, = torch.autograd.grad(slope.square().sum(), zero)
        assert slope.isfinite().all() and curvature.isfinite().all()


@pytest.mark.slow
def test_two_derivatives_of_a_layer_and_of_an_energy():
    layer = gvp.GVPLayer((2, 2), (3, 1)).double().eval()
    s, V, edge_V = (torch.randn(*shape, dtype=double, requires_grad=True) for shape in ((5, 2), (5, 2, 3), (5, 1, 3)))
    edge_s = torch.randn(5, 3, dtype=double)
    assert torch.autograd.gradcheck(lambda s, V, e: layer(s, V, EDGES, edge_s, e), (s, V, edge_V))
    assert torch.autograd.gradgradcheck(lambda s, V, e: layer(s, V, EDGES, edge_s, e), (s, V, edge_V), atol=1e-4)
    network = gvp.GVPNetwork((1, 0), (4, 1), (4, 2), (1, 0), rounds=1, reduce="sum").double()
    x = torch.randn(4, 3, dtype=double, requires_grad=True)
    edge_index = neighbors.all_pairs(4)

    def energy(x):
        return network(x.new_ones(4, 1), x.new_zeros(4, 0, 3), edge_index, *gvp.edge_geometry(x, edge_index, 9.0, 4))[0]

    assert torch.autograd.gradcheck(energy, x) and torch.autograd.gradgradcheck(energy, x, atol=1e-4)


def test_small_graphs():
    none = torch.zeros(2, 0, dtype=torch.int64)
    network = gvp.GVPNetwork((3, 2), (4, 1), (8, 4), (2, 3), rounds=2)
    for n in (0, 1, 3):
        s, V = network(torch.randn(n, 3), torch.randn(n, 2, 3), none, torch.zeros(0, 4), torch.zeros(0, 1, 3))
        assert s.shape == (n, 2) and V.shape == (n, 3, 3) and s.isfinite().all() and V.isfinite().all()


def test_chirality_is_seen_only_with_a_pseudovector_among_the_vectors():
    """Why a protein network is SO(3)-equivariant alone: n x c is a pseudovector, and V cannot tell it from a vector."""
    layer = gvp.GVP(1, 3, 4, 2)

    def polar(a, b):
        return layer.to(a.dtype)(a.new_ones(len(a), 1), torch.stack([a, b, a + b], dim=1))

    def with_side_chains(a, b):
        return layer.to(a.dtype)(a.new_ones(len(a), 1), torch.stack([a, b, torch.linalg.cross(a, b)], dim=1))

    assert check_equivariance(polar, ["node vector", "node vector"], ["node scalar", "node vector"]).holds
    report = check_equivariance(with_side_chains, ["node vector", "node vector"], ["node scalar", "node vector"])
    assert report["rotation"].verdict == "holds" and report["reflection"].verdict == "fails", report


def test_yzx_snippet():
    """The lecture's rows: mass, then velocity and acceleration in the order y, z, x."""
    row = torch.tensor([5.0, 12.0, 13.0, 11.0, 22.0, 23.0, 21.0])
    assert symmetry.yzx_to_xyz(row).tolist() == [5, 11, 12, 13, 21, 22, 23]


def test_in_algorithm_1_scalars_never_reach_vectors_and_with_a_gate_they_do():
    s, V = torch.randn(2, 6, 3), torch.randn(6, 2, 3)
    for options, same in (({}, True), ({"vector_gate": True}, False)):
        layer = gvp.GVP(3, 2, 5, 4, **options)
        assert torch.equal(layer(s[0], V)[1], layer(s[1], V)[1]) == same


@pytest.mark.parametrize("s, V", [((4, 3), (4, 6)), ((4, 3), (4, 3, 2)), ((4, 2), (4, 2, 3)), ((4, 3), (5, 2, 3)), ((4, 3), (2, 3))])
def test_other_shapes_are_explained(s, V):
    with pytest.raises(ValueError, match=r"expected \(..., 3\) and \(..., 2, 3\), the same in front"):
        gvp.GVP(3, 2, 5, 4)(torch.zeros(s), torch.zeros(V))


@pytest.mark.parametrize("reduce", [None, "sum", "mean"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_network_is_its_parts(reduce, options):
    network = gvp.GVPNetwork((3, 2), (4, 1), (8, 4), (2, 3), rounds=2, reduce=reduce, dropout=0.3, **options).eval()
    assert len(network.layers) == 2 and len(network.head) == 2 and network.layers[0].dropout.drop.p == 0.3
    s, V, edge_s, edge_V = torch.randn(5, 3), torch.randn(5, 2, 3), torch.randn(5, 4), torch.randn(5, 1, 3)
    batch = torch.tensor([0, 0, 0, 1, 1])
    ours = network(s, V, EDGES, edge_s, edge_V, batch)
    s, V = network.embed(s, V)
    for layer in network.layers:
        s, V = layer(s, V, EDGES, edge_s, edge_V)
    expected = network.head(s, V)
    for value, wanted in zip(ours, expected):
        torch.testing.assert_close(value, readout(wanted, batch, reduce) if reduce else wanted)


def test_a_layer_drops_in_training_alone():
    layer, inputs = gvp.GVPLayer((3, 2), (4, 1), dropout=0.5), (torch.randn(5, 3), torch.randn(5, 2, 3), EDGES, torch.randn(5, 4),
                                                                torch.randn(5, 1, 3))
    assert not torch.equal(layer(*inputs)[1], layer(*inputs)[1])
    assert torch.equal(layer.eval()(*inputs)[1], layer(*inputs)[1])


def test_the_largest_components_are_no_vector():
    with pytest.raises(ValueError, match="reduce is 'max'; expected \"sum\" or \"mean\""):
        gvp.GVPNetwork((3, 2), (4, 1), (8, 4), (2, 3), rounds=1, reduce="max")
    with pytest.raises(ValueError, match="Did you forget .T?"):
        gvp.gvp_message(torch.zeros(5, 3), torch.zeros(5, 2, 3), EDGES.T, torch.zeros(5, 4), torch.zeros(5, 1, 3), gvp.GVP(7, 3, 1, 1))
