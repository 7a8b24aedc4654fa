import pytest
import torch

from course_utils import egnn, neighbors
from course_utils.graph_networks import readout
from course_utils.microscope import check_equivariance

double = torch.float64
INPUTS = ["node scalar 4", "node position", "edge_index", "batch"]
EDGES = torch.tensor([[0, 1, 2, 1, 4], [1, 0, 1, 2, 0]])
OPTIONS = {"slide": {}, "normalize": {"normalize": True}, "neighbours": {"neighbours_only": True}, "attention": {"attention": True},
           "residual": {"residual": True}, "mean": {"mean_messages": True},
           "from messages": {"neighbours_only": True, "from_messages": True},
           "all": {"normalize": True, "neighbours_only": True, "attention": True, "residual": True, "mean_messages": True,
                   "from_messages": True}}


def by_loops(layer, h, x, edge_index):
    """The slide's two equations, word for word, for one graph; psi reads the concatenation."""
    def psi(mlp, u, v):
        pair = torch.cat([h[u], h[v], (x[u] - x[v]).square().sum()[None]])
        out = mlp.second(torch.nn.functional.silu(mlp.first(pair)))
        return mlp.last(out) if mlp.last else out

    f_new, x_new = [], []
    for u in range(len(h)):
        inbox = torch.zeros(layer.psi_f.second.out_features, dtype=h.dtype)
        for v in edge_index[0, edge_index[1] == u]:
            inbox = inbox + psi(layer.psi_f, u, v)
        f_new.append(layer.phi(torch.cat([h[u], inbox])))
        x_new.append(x[u] + sum((x[u] - x[v]) * psi(layer.psi_c, u, v) for v in range(len(h)) if v != u))
    return torch.stack(f_new), torch.stack(x_new)


def test_the_layer_is_the_slide():
    layer = egnn.EGNNLayer(4, 6).double()
    h, x = torch.randn(5, 4, dtype=double), torch.randn(5, 3, dtype=double)
    for ours, expected in zip(layer(h, x, EDGES), by_loops(layer, h, x, EDGES)):
        torch.testing.assert_close(ours, expected)


def test_the_two_lines_are_the_layer():
    layer = egnn.EGNNLayer(4, 6).double()
    h, x = torch.randn(5, 4, dtype=double), torch.randn(5, 3, dtype=double)
    batch = torch.tensor([0, 0, 0, 1, 1])

    def concatenated(mlp):
        def psi(f_u, f_v, d2):
            out = mlp.second(torch.nn.functional.silu(mlp.first(torch.cat([f_u, f_v, d2], dim=1))))
            return mlp.last(out) if mlp.last else out
        return psi

    f_new, x_new = layer(h, x, EDGES, batch)
    torch.testing.assert_close(f_new, egnn.egnn_features(h, x, EDGES, concatenated(layer.psi_f),
                                                         lambda f, m: layer.phi(torch.cat([f, m], dim=1))))
    torch.testing.assert_close(x_new, egnn.egnn_coordinates(h, x, concatenated(layer.psi_c), batch))


def test_the_papers_coordinates_are_moved_by_messages():
    """Equation 4 once more, by loops, and a mean in place of the sum in equation 6."""
    layer = egnn.EGNNLayer(4, 6, neighbours_only=True, from_messages=True, mean_messages=True).double()
    h, x = torch.randn(5, 4, dtype=double), torch.randn(5, 3, dtype=double)
    f_new, x_new = layer(h, x, EDGES)
    m = layer.psi_f(h, EDGES, egnn.squared_distances(x, EDGES))
    for u in range(5):
        inbox = (EDGES[1] == u).nonzero()[:, 0]
        torch.testing.assert_close(x_new[u], x[u] + sum(((x[u] - x[EDGES[0, e]]) * layer.psi_c(m[e]) for e in inbox),
                                                        torch.zeros(3, dtype=double)))
        mean = m[inbox].mean(0) if len(inbox) else torch.zeros(6, dtype=double)
        torch.testing.assert_close(f_new[u], layer.phi(torch.cat([h[u], mean])))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_form_is_equivariant(options):
    report = check_equivariance(egnn.EGNNLayer(4, 6, **options), INPUTS, ["node scalar", "node position"])
    assert report.holds, report


class WithVelocity(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = egnn.EGNNLayer(4, 6, velocity=True, d_edge=2, neighbours_only=True)

    def forward(self, h, x, edge_index, batch, velocity, edge_attr):
        return self.layer(h, x, edge_index, batch, velocity=velocity, edge_attr=edge_attr)


def test_velocity_and_edge_attributes():
    report = check_equivariance(WithVelocity(), [*INPUTS, "node vector", "edge scalar 2"],
                                ["node scalar", "node position", "node vector"])
    assert report.holds, report
    layer = WithVelocity().layer.double()
    h, x, v = torch.randn(5, 4, dtype=double), torch.randn(5, 3, dtype=double), torch.randn(5, 3, dtype=double)
    _, x_new, v_new = layer(h, x, EDGES, velocity=v, edge_attr=torch.zeros(5, 2, dtype=double))
    torch.testing.assert_close(x_new, x + v_new)
    torch.testing.assert_close(v_new[3], layer.phi_v(h[3]) * v[3])  # node 3 has no neighbour


def test_each_argument_changes_what_it_says():
    h, x = torch.randn(5, 4), torch.randn(5, 3)
    batch = torch.tensor([0, 0, 0, 1, 1])

    def pair(**options):
        torch.manual_seed(1)
        slide = egnn.EGNNLayer(4, 6)
        changed = egnn.EGNNLayer(4, 6, **options)
        changed.load_state_dict(slide.state_dict(), strict=False)
        return slide(h, x, EDGES, batch), changed(h, x, EDGES, batch)

    (f, x_new), (g, y_new) = pair(normalize=True)
    torch.testing.assert_close(f, g)
    torch.testing.assert_close(y_new - x, (x_new - x) / torch.tensor([2.0, 2, 2, 1, 1])[:, None])
    (f, x_new), (g, y_new) = pair(neighbours_only=True)
    torch.testing.assert_close(f, g)
    assert torch.equal(y_new[3], x[3]) and not torch.equal(x_new[3], x[3])
    (f, x_new), (g, y_new) = pair(residual=True)
    torch.testing.assert_close(g, f + h)
    torch.testing.assert_close(y_new, x_new)
    (f, x_new), (g, y_new) = pair(attention=True)
    torch.testing.assert_close(y_new, x_new)
    assert torch.equal(f[3], g[3]) and not torch.allclose(f[0], g[0])  # node 3 gets no message


@pytest.mark.parametrize("reduce", [None, "sum", "mean"])
def test_the_network_has_invariant_and_equivariant_targets(reduce):
    network = egnn.EGNN(4, 8, 2, rounds=2, reduce=reduce, normalize=True)
    report = check_equivariance(network, INPUTS, ["graph scalar" if reduce else "node scalar", "node position"])
    assert report.holds, report


@pytest.mark.parametrize("reduce", [None, "sum", "mean"])
def test_the_network_is_its_parts(reduce):
    network = egnn.EGNN(1, 8, 2, rounds=3, reduce=reduce, velocity=True, neighbours_only=True, d_edge=1)
    assert len(network.layers) == 3 and all(layer.residual for layer in network.layers)
    assert all(layer.psi_c.second.weight.abs().max() < 0.01 and not layer.psi_c.second.bias.any() for layer in network.layers)
    x, velocity, h = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 1)
    edge_index, edge_attr, batch = neighbors.all_pairs(5), torch.randn(20, 1), torch.tensor([0, 0, 0, 1, 1])
    out, x_new, v_new = network(h, x, edge_index, batch, velocity=velocity, edge_attr=edge_attr)
    h = network.embed(h)
    for layer in network.layers:  # the first velocity in every round
        h, x, last = layer(h, x, edge_index, batch, velocity=velocity, edge_attr=edge_attr)
    torch.testing.assert_close(out, network.head(readout(h, batch, reduce) if reduce else h))
    torch.testing.assert_close(x_new, x)
    torch.testing.assert_close(v_new, last)


def test_messages_end_in_a_nonlinearity_and_attention_is_a_share():
    layer, h = egnn.EGNNLayer(4, 6, attention=True), torch.randn(5, 4)
    assert layer.psi_f.last is torch.nn.functional.silu and layer.psi_c.last is None
    share = layer.attention(100 * torch.randn(50, 6))
    assert share.min() >= 0 and share.max() <= 1 and share.std() > 0.1
    assert layer.psi_f(100 * h, EDGES, torch.zeros(5, 1)).min() > -0.28  # the lowest value of SiLU


def test_C_counts_the_nodes_of_the_graph_with_neighbours_only_too():
    h, x = torch.randn(5, 4), torch.randn(5, 3)
    plain, scaled = egnn.EGNNLayer(4, neighbours_only=True), egnn.EGNNLayer(4, neighbours_only=True, normalize=True)
    scaled.load_state_dict(plain.state_dict())
    torch.testing.assert_close(scaled(h, x, EDGES)[1] - x, (plain(h, x, EDGES)[1] - x) / 4)


def test_the_constant_is_one_for_each_graph_and_leaves_alone_who_is_alone():
    h, x = torch.randn(6, 2), torch.randn(6, 3)
    batch = torch.tensor([0, 0, 0, 1, 2, 2])
    x_new = egnn.egnn_coordinates(h, x, lambda f_u, f_v, d2: torch.full_like(d2, 0.5), batch)
    found = egnn.with_constant(x, x_new, batch)
    for nodes in ([0, 1, 2], [3], [4, 5]):  # x + c n / (n - 1) (x - mean)
        part, n = x[nodes], len(nodes)
        torch.testing.assert_close(found[nodes], part + 0.5 * n / max(n - 1, 1) * (part - part.mean(0)))
    torch.testing.assert_close(egnn.with_constant(x[:3], x_new[:3]), found[:3])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_two_derivatives_everywhere(options):
    layer = egnn.EGNNLayer(2, 3, **options).double()
    h, x = torch.randn(5, 2, dtype=double, requires_grad=True), torch.randn(5, 3, dtype=double)
    x[1] = x[0]  # coincident points, joined by an edge
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda h, x: layer(h, x, EDGES), (h, x))
    assert torch.autograd.gradgradcheck(lambda h, x: layer(h, x, EDGES), (h, x))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_small_graphs_without_edges(n):
    none = torch.zeros(2, 0, dtype=torch.int64)
    h, x = torch.randn(n, 4), torch.randn(n, 3)
    for options in OPTIONS.values():
        f_new, x_new = egnn.EGNNLayer(4, 6, **options)(h, x, none)
        assert f_new.shape == h.shape and x_new.shape == x.shape and f_new.isfinite().all() and x_new.isfinite().all()
        if n < 2:
            assert torch.equal(x_new, x)


def test_bad_input_is_explained():
    h, x = torch.randn(5, 4), torch.randn(5, 3)
    with pytest.raises(ValueError, match="h has 5 rows and x has 4"):
        egnn.EGNNLayer(4)(h, x[:4], EDGES)
    with pytest.raises(ValueError, match="velocity is missing; a layer made with velocity=True takes velocity=..., by name"):
        egnn.EGNNLayer(4, velocity=True)(h, x, EDGES)
    with pytest.raises(ValueError, match="from_messages is True and neighbours_only False; expected both"):
        egnn.EGNNLayer(4, from_messages=True)
    with pytest.raises(ValueError, match="velocity is given"):
        egnn.EGNN(4, 8, 1, 1)(h, x, EDGES, velocity=x)
    with pytest.raises(ValueError, match=r"edge_attr has shape None; expected \(num_edges, 2\)"):
        egnn.EGNNLayer(4, d_edge=2)(h, x, EDGES)
    with pytest.raises(ValueError, match=r"h has shape \(5,\) .* expected \(num_nodes, 4\)"):
        egnn.EGNNLayer(4)(h[:, 0], x, EDGES)
    with pytest.raises(ValueError, match="Did you forget .T?"):
        egnn.EGNNLayer(4)(h, x, EDGES.T)
