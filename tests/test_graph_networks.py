import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networkx.generators.atlas import graph_atlas_g
from test_graphs import directed

from course_utils import graph_networks, graphs, message_passing
from course_utils.microscope import check_equivariance

NONE = torch.zeros(2, 0, dtype=torch.int64)
LAYERS = {"GCN": graph_networks.GCNLayer, "GAT": lambda a, b: graph_networks.GATLayer(a, b, heads=2),
          "MPNN": graph_networks.MPNNLayer}


def as_weights(edge_index, c):
    return {(v, u): weight for (v, u), weight in zip(edge_index.T.tolist(), c.tolist())}


@given(directed())
def test_gcn_norm_is_pytorch_geometrics(pyg_nn, graph):
    edge_index, n = graph
    ours, expected = graph_networks.gcn_norm(edge_index, n), pyg_nn.conv.gcn_conv.gcn_norm(edge_index, num_nodes=n)
    assert as_weights(*ours) == pytest.approx(as_weights(*expected))
    assert ours[0].shape == expected[0].shape


def test_a_self_loop_that_is_there_is_not_doubled():
    edge_index, c = graph_networks.gcn_norm(torch.tensor([[0, 0], [0, 1]]), 2)
    assert as_weights(edge_index, c) == pytest.approx({(0, 1): 2 ** -0.5, (0, 0): 1.0, (1, 1): 0.5})


def test_gcn_layer_is_gcnconv_and_the_convolutional_form(pyg_nn):
    edge_index, h = torch.randint(0, 20, (2, 90)), torch.randn(20, 5)
    ours, theirs = graph_networks.GCNLayer(5, 7), pyg_nn.GCNConv(5, 7)
    theirs.lin.weight, theirs.bias = ours.W.weight, ours.b
    torch.nn.init.normal_(ours.b)
    expected = theirs(h, graphs.both_directions(edge_index))
    torch.testing.assert_close(ours(h, graphs.both_directions(edge_index)), expected, rtol=1e-5, atol=1e-5)
    with_loops, c = graph_networks.gcn_norm(edge_index, 20)
    flavour = message_passing.convolutional(h, with_loops, c, ours.W, lambda x, inbox: inbox + ours.b)
    torch.testing.assert_close(ours(h, edge_index), flavour, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 3])
def test_gat_layer_is_gatconv(pyg_nn, heads):
    edge_index, h = graphs.both_directions(torch.randint(0, 20, (2, 60))), torch.randn(20, 5)
    ours, theirs = graph_networks.GATLayer(5, 6, heads), pyg_nn.GATConv(5, 6 // heads, heads)
    theirs.lin.weight, theirs.bias = ours.W.weight, ours.b
    theirs.att_dst, theirs.att_src = (torch.nn.Parameter(a[None]) for a in (ours.a_u, ours.a_v))
    torch.nn.init.normal_(ours.b)
    torch.testing.assert_close(ours(h, edge_index), theirs(h, edge_index), rtol=1e-5, atol=1e-5)


def test_two_way_layer_is_the_sum_of_both_directions(pyg_nn):
    edge_index = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 0, 1]])
    ours = graph_networks.TwoWayLayer(graph_networks.GCNLayer, 4, 3)
    theirs = pyg_nn.DirGNNConv(pyg_nn.GCNConv(4, 3), alpha=0.5, root_weight=False)
    for conv, layer in ((theirs.conv_in, ours.along), (theirs.conv_out, ours.against)):
        conv.load_state_dict({"lin.weight": layer.W.weight, "bias": layer.b})
        conv.add_self_loops = True  # which DirGNNConv turns off
    h = torch.randn(4, 4)
    torch.testing.assert_close(ours(h, edge_index), 2 * theirs(h, edge_index))  # theirs is the mean of the two


def test_the_first_product_of_a_pair_may_be_made_at_the_nodes():
    edge_index, h, e = torch.randint(0, 9, (2, 30)), torch.randn(9, 4), torch.randn(30, 2)
    psi = graph_networks.PairMLP(4, 2, 8, 3)
    v, u = edge_index
    expected = psi.second(torch.nn.functional.silu(psi.first(torch.cat([h[u], h[v], e], dim=1))))
    torch.testing.assert_close(psi(h, edge_index, e), expected)


def test_mpnn_layer_is_the_general_form():
    edge_index, h, e = torch.randint(0, 9, (2, 30)), torch.randn(9, 4), torch.randn(30, 2)
    layer = graph_networks.MPNNLayer(4, 5, 8, d_edge=2, reduce="mean")
    expected = message_passing.general(
        h, edge_index, lambda x_u, x_v: torch.nn.functional.silu(layer.psi.second(torch.nn.functional.silu(
            layer.psi.first(torch.cat([x_u, x_v, e], dim=1))))), lambda x, m: layer.phi(torch.cat([x, m], dim=1)), "mean")
    torch.testing.assert_close(layer(h, edge_index, e), expected)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_and_networks_are_equivariant_and_keep_graphs_apart(make):
    report = check_equivariance(make(4, 6), ["node scalar 4", "edge_index"], "node scalar")
    assert report.holds, report
    network = graph_networks.GraphNetwork(make, 4, 6, 3, rounds=2, reduce="mean")
    report = check_equivariance(network, ["node scalar 4", "edge_index", "batch"], "graph scalar")
    assert report.holds, report


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_small_graphs_and_isolated_nodes(make):
    layer = make(3, 4)
    assert layer(torch.zeros(0, 3), NONE).shape == (0, 4)
    alone = layer(torch.ones(1, 3), NONE)
    among = layer(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]]))
    assert alone.isfinite().all()
    torch.testing.assert_close(among[3], alone[0])  # node 3 is isolated


@pytest.mark.parametrize("make", [graph_networks.GCNLayer, graph_networks.GATLayer])
def test_sparse_features_stay_sparse_and_give_the_same(make):
    h, edge_index = (torch.rand(30, 50) < 0.05).float(), torch.randint(0, 30, (2, 80))
    for network in (make(50, 4), *(graph_networks.GraphNetwork(make, 50, 8, 3, rounds) for rounds in (0, 2))):
        network.zero_grad()
        dense = network(h, edge_index)
        dense.square().sum().backward()
        gradients = [p.grad.clone() for p in network.parameters()]
        network.zero_grad()
        sparse = network(h.to_sparse(), edge_index)
        torch.testing.assert_close(sparse, dense, rtol=1e-5, atol=1e-5)
        sparse.square().sum().backward()
        for p, expected in zip(network.parameters(), gradients):
            torch.testing.assert_close(p.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduce", [None, "sum", "max"])
def test_the_network_is_its_parts(reduce):
    network = graph_networks.GraphNetwork(graph_networks.GCNLayer, 4, 6, 3, rounds=2, reduce=reduce)
    assert len(network.layers) == 2
    h, edge_index, batch = torch.randn(5, 4), torch.tensor([[0, 1, 3], [1, 2, 4]]), torch.tensor([0, 0, 0, 1, 1])
    ours = network(h, edge_index, batch)
    for layer in network.layers:
        h = torch.relu(layer(h, edge_index))
    torch.testing.assert_close(ours, network.head(graph_networks.readout(h, batch, reduce) if reduce else h))


@pytest.mark.parametrize(("reduce", "expected"), [("sum", [[3, 1], [0, 0], [7, 2]]), ("mean", [[1.5, 0.5], [0, 0], [7, 2]]),
                                                  ("max", [[2, 3], [0, 0], [7, 2]])])
def test_readout(reduce, expected):
    h, batch = torch.tensor([[1.0, 3.0], [2.0, -2.0], [7.0, 2.0]]), torch.tensor([0, 0, 2])
    assert graph_networks.readout(h, batch, reduce).tolist() == expected
    assert graph_networks.readout(h[:2], reduce=reduce).tolist() == expected[0]
    assert graph_networks.readout(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)).shape == (0, 2)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_graphs_without_nodes_are_read_out_too(reduce):
    """The last one, which no entry of batch speaks of, and one in between."""
    empty = graphs.Graph(NONE, 0, h=torch.zeros(0, 2), y=torch.tensor(5))
    full = graphs.Graph(torch.tensor([[0], [1]]), 2, h=torch.ones(2, 2), y=torch.tensor(4))
    batch = graphs.batch_graphs([full, empty, full, empty, empty])
    assert batch.num_graphs == 5 and batch.y.tolist() == [4, 5, 4, 5, 5]
    out = graph_networks.readout(batch.h, batch.batch, reduce, batch.num_graphs)
    assert (out != 0).any(1).tolist() == [True, False, True, False, False]
    network = graph_networks.GraphNetwork(graph_networks.GCNLayer, 2, 4, 3, 1, reduce)
    out = network(batch.h, batch.edge_index, batch.batch, batch.num_graphs)
    torch.testing.assert_close(out[[1, 3, 4]], network.head.bias.expand(3, -1))
    with pytest.raises(ValueError, match="num_graphs is 2, and batch numbers graphs up to 2; expected 3 or more"):
        graph_networks.readout(batch.h, batch.batch, reduce, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kipf_s_weights_of_many_neighbours_in_half_precision(dtype):
    """A degree of 300 at both ends: 300 * 300 is more than float16 holds."""
    everybody = torch.cartesian_prod(torch.arange(300), torch.arange(300)).T
    _, c = graph_networks.gcn_norm(everybody, 300, dtype)
    assert c.dtype == dtype
    torch.testing.assert_close(c.float(), torch.full((90000,), 1 / 300), rtol=4e-3, atol=0)


def test_bad_edges_and_weights_of_a_sum_are_explained():
    h, edge_index = torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]])
    for c in (torch.ones(2), torch.ones(2, requires_grad=True)):
        with pytest.raises(ValueError, match="names node -1"):
            graph_networks.weighted_sum(h, edge_index - 1, c)
        with pytest.raises(ValueError, match=r"weights of the messages have shape \(1,\); expected \(2,\)"):
            graph_networks.weighted_sum(h, edge_index, c[:1])


# --- colours ----------------------------------------------------------------------------------------------------------

def of_networkx(graph):
    edges = torch.tensor(list(graph.edges), dtype=torch.int64).reshape(-1, 2).T
    return graphs.both_directions(edges), graph.number_of_nodes()


def histograms(one, two, rounds=6):
    """How often each colour occurs in two graphs that are coloured together."""
    (a, n), (b, m) = one, two
    colours = graph_networks.wl_colours(torch.cat([a, b + n], dim=1), n + m, rounds)[-1]
    return colours[:n].sort().values.tolist(), colours[n:].sort().values.tolist()


def test_colours_tell_graphs_apart_as_networkx_does():
    """All pairs of graphs of the atlas with six nodes and seven edges."""
    some = [graph for graph in graph_atlas_g() if graph.number_of_nodes() == 6 and graph.number_of_edges() == 7]
    hashes = [nx.weisfeiler_lehman_graph_hash(graph, iterations=6) for graph in some]
    assert len(some) > 20 and len(set(hashes)) < len(some)
    for i, one in enumerate(some):
        for j in range(i):
            a, b = histograms(of_networkx(one), of_networkx(some[j]))
            assert (a == b) == (hashes[i] == hashes[j])


def test_two_triangles_are_a_hexagon():
    triangles, hexagon = nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3)), nx.cycle_graph(6)
    a, b = histograms(of_networkx(triangles), of_networkx(hexagon))
    assert a == b
    edge_index, _ = of_networkx(nx.disjoint_union(triangles, hexagon))
    for make in LAYERS.values():
        out = graph_networks.GraphNetwork(make, 1, 8, 2, rounds=4)(torch.ones(12, 1), edge_index)
        torch.testing.assert_close(out, out[:1].expand_as(out))


@given(directed(), st.randoms(use_true_random=False))
def test_colours_follow_a_renumbering_and_only_get_finer(graph, random):
    edge_index, n = graph
    colours = graph_networks.wl_colours(edge_index, n, 3)
    assert colours.shape == (4, n)
    p = torch.tensor(random.sample(range(n), n))
    assert torch.equal(graph_networks.wl_colours(p.argsort()[edge_index], n, 3), colours[:, p])
    for before, after in zip(colours, colours[1:]):
        pairs = set(zip(after.tolist(), before.tolist()))
        assert len(pairs) == len(set(after.tolist()))  # a new colour has one old colour


@given(directed())
def test_nodes_of_one_colour_get_the_same_from_algorithm_4(graph):
    edge_index, n = graph
    h = torch.ones(n, 3, dtype=torch.float64)
    ws = torch.randn(3, 3, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    out = message_passing.run_rounds(h, edge_index, *ws, K=2, sigma=torch.tanh)
    colours = graph_networks.wl_colours(edge_index, n, 3)[-1]
    for colour in colours.unique():
        torch.testing.assert_close(out[colours == colour], out[colours == colour][:1].expand(int((colours == colour).sum()), 3))


def test_colours_count_and_listen_to_sources():
    star = torch.tensor([[1, 2, 3, 3], [0, 0, 0, 4]])
    assert len(set(graph_networks.wl_colours(star, 5, 1)[1].tolist())) == 3  # heard of three, of one, of nobody
    path = torch.tensor([[0, 1], [1, 2]])
    assert [len(set(row.tolist())) for row in graph_networks.wl_colours(path, 3, 2)] == [1, 2, 3]
    start = torch.tensor([5, 5, 7])
    assert graph_networks.wl_colours(NONE, 3, 1, start)[1].tolist() == [0, 0, 1]


def test_kipf_s_weights_see_degrees_one_round_ahead_of_the_colours():
    path = graphs.both_directions(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]))
    assert graph_networks.wl_colours(path, 5, 1)[1].tolist() == [0, 1, 1, 1, 0]
    gcn, mpnn = (layer(torch.ones(5, 1), path) for layer in (graph_networks.GCNLayer(1, 4), graph_networks.MPNNLayer(1, 4)))
    assert (gcn[1] - gcn[2]).abs().max() > 1e-3 and torch.allclose(mpnn[1], mpnn[2])


def test_on_a_directed_graph_the_matrix_is_transposed():
    edge_index, h, layer = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]]), torch.randn(3, 4), graph_networks.GCNLayer(4, 2)
    A = graphs.to_adjacency(edge_index, 3) + torch.eye(3)
    D = A.sum(0).rsqrt().diag()
    torch.testing.assert_close(layer(h, edge_index), (D @ A @ D).T @ layer.W(h) + layer.b)


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="d_out is 5 and heads is 2; expected a multiple"):
        graph_networks.GATLayer(3, 5, heads=2)
    with pytest.raises(ValueError, match="batch is not sorted"):
        graph_networks.readout(torch.zeros(3, 2), torch.tensor([1, 0, 1]))
    for layer in (graph_networks.MPNNLayer(3, 5), graph_networks.GATLayer(3, 5)):
        with pytest.raises(ValueError, match="Did you forget .T?"):
            layer(torch.zeros(4, 3), torch.zeros(7, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="Did you forget .T?"):
        graph_networks.GCNLayer(3, 5)(torch.zeros(4, 3), torch.zeros(7, 2, dtype=torch.int64))
