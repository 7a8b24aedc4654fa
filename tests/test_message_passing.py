import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_graphs import directed

from course_utils import graphs, message_passing

PATH = torch.tensor([[0, 1], [1, 2]])
relu = torch.relu


def by_loops(h, edge_index, W_self, W_neigh, b):
    """Algorithm 4, word for word."""
    new = []
    for u in range(len(h)):
        M_u = W_self @ h[u]
        for v in edge_index[0, edge_index[1] == u]:
            M_u = M_u + (W_neigh @ h[v] + b)
        new.append(relu(M_u))
    return torch.stack(new)


def weights(d_out=4, d_in=3):
    return torch.randn(d_out, d_in), torch.randn(d_out, d_in), torch.randn(d_out)


@given(directed())
def test_the_round_is_algorithm_4(graph):
    edge_index, n = graph
    h, ws = torch.randn(n, 3), weights()
    ours = message_passing.message_round(h, edge_index, *ws)
    torch.testing.assert_close(ours, by_loops(h, edge_index, *ws))
    torch.testing.assert_close(message_passing.dense_round(h, graphs.to_adjacency(edge_index, n), *ws), ours)


@given(directed(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_renumbering_and_rounds_may_change_places(graph, random, K):
    edge_index, n = graph
    p = torch.tensor(random.sample(range(n), n))
    h, ws = torch.randn(n, 3), weights(3, 3)
    before = message_passing.run_rounds(h, edge_index, *ws, K)[p]
    after = message_passing.run_rounds(h[p], torch.argsort(p)[edge_index], *ws, K)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@given(directed(), st.randoms(use_true_random=False))
def test_attention_follows_a_renumbering(graph, random):
    edge_index, n = graph
    p = torch.tensor(random.sample(range(n), n))
    h, scores, W = torch.randn(n, 3), torch.randn(edge_index.shape[1]), torch.randn(2, 3)
    before = message_passing.attention_round(h, edge_index, scores, W)[p]
    torch.testing.assert_close(message_passing.attention_round(h[p], torch.argsort(p)[edge_index], scores, W), before)


@pytest.mark.parametrize("K", range(5))
def test_influence_reaches_exactly_k_plus_1_hops(K):
    path = torch.stack([torch.arange(9), torch.arange(1, 10)])
    ws = torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1)
    h = torch.ones(10, 1)
    poked = h.clone()
    poked[0] += 1
    moved = (message_passing.run_rounds(poked, path, *ws, K) != message_passing.run_rounds(h, path, *ws, K)).flatten()
    assert moved.tolist() == [node <= K + 1 for node in range(10)]


@given(directed(), st.integers(0, 4))
def test_receptive_fields_are_where_gradients_come_from(graph, rounds):
    edge_index, n = graph
    fields = message_passing.receptive_fields(edge_index, n, rounds)
    ws = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda h: message_passing.run_rounds(h, edge_index, *ws, rounds - 1), torch.ones(n, 1, dtype=torch.float64))
    assert torch.equal(fields[rounds], jacobian[:, 0, :, 0] != 0)


def test_the_bias_comes_once_for_each_neighbour():
    star = torch.tensor([[1, 2, 3], [0, 0, 0]])
    zero, b = torch.zeros(1, 1), torch.tensor([0.5])
    assert message_passing.message_round(torch.ones(5, 1), star, zero, zero, b).flatten().tolist() == [1.5, 0, 0, 0, 0]


def test_messages_travel_along_the_edge():
    h, zero, one = torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(1, 1), torch.ones(1, 1)
    assert message_passing.message_round(h, PATH, zero, one, zero[0]).flatten().tolist() == [0, 1, 2]


def test_one_node_and_no_edges():
    h, ws = torch.randn(1, 3), weights(3, 3)
    torch.testing.assert_close(message_passing.message_round(h, torch.zeros(2, 0, dtype=torch.int64), *ws),
                               relu(h @ ws[0].T))


def test_algorithm_4_without_bias_is_pytorch_geometric_s_graphconv(pyg_nn):
    edge_index, h = torch.randint(0, 20, (2, 90)), torch.randn(20, 5)
    layer = pyg_nn.GraphConv(5, 7, aggr="add", bias=False)
    ours = message_passing.message_round(h, edge_index, layer.lin_root.weight, layer.lin_rel.weight, torch.zeros(7))
    torch.testing.assert_close(ours, relu(layer(h, edge_index)), rtol=1e-5, atol=1e-5)


def test_convolutional_with_kipf_s_constants_is_gcnconv(pyg_nn):
    edge_index, h = torch.randint(0, 20, (2, 90)), torch.randn(20, 5)
    layer = pyg_nn.GCNConv(5, 7)
    with_loops, c = pyg_nn.conv.gcn_conv.gcn_norm(edge_index, num_nodes=20)
    ours = message_passing.convolutional(h, with_loops, c, lambda x: x @ layer.lin.weight.T, lambda x, inbox: inbox + layer.bias)
    torch.testing.assert_close(ours, layer(h, edge_index), rtol=1e-5, atol=1e-5)


def test_attentional_with_gat_s_scores_is_gatconv(pyg_nn):
    edge_index, h = torch.randint(0, 20, (2, 90)), torch.randn(20, 5)
    layer = pyg_nn.GATConv(5, 7, add_self_loops=False, bias=False)
    W = layer.lin.weight
    v, u = edge_index
    scores = torch.nn.functional.leaky_relu(
        (h @ W.T)[v] @ layer.att_src[0, 0] + (h @ W.T)[u] @ layer.att_dst[0, 0], 0.2)
    expected = layer(h, edge_index)
    torch.testing.assert_close(message_passing.attention_round(h, edge_index, scores, W), expected, rtol=1e-5, atol=1e-5)
    alpha = message_passing.softmax_by_target(scores, u, 20)
    flavour = message_passing.attentional(h, edge_index, lambda x_u, x_v: alpha, lambda x: x @ W.T, lambda x, inbox: inbox)
    torch.testing.assert_close(flavour, expected, rtol=1e-5, atol=1e-5)


def test_each_flavour_contains_the_one_before():
    edge_index, h = torch.randint(0, 12, (2, 40)), torch.randn(12, 3)
    W, c = torch.randn(4, 3), torch.rand(40)

    def psi(x):
        return x @ W.T

    def phi(x, inbox):
        return torch.cat([x, inbox], dim=1)

    one = message_passing.convolutional(h, edge_index, c, psi, phi)
    two = message_passing.attentional(h, edge_index, lambda x_u, x_v: c, psi, phi)
    three = message_passing.general(h, edge_index, lambda x_u, x_v: c[:, None] * psi(x_v), phi)
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(one, three)


@pytest.mark.parametrize(("reduce", "expected"), [("sum", [[3, -3], [0, 0], [5, 1]]), ("mean", [[1.5, -1.5], [0, 0], [5, 1]]),
                                                  ("max", [[2, -1], [0, 0], [5, 1]])])
def test_aggregate(reduce, expected):
    messages, target = torch.tensor([[1.0, -1.0], [2.0, -2.0], [5.0, 1.0]]), torch.tensor([0, 0, 2])
    assert message_passing.aggregate(messages, target, 3, reduce).tolist() == expected
    assert message_passing.aggregate(messages[:, 0], target, 3, reduce).tolist() == [row[0] for row in expected]


def test_nan_is_not_swallowed():
    messages, target = torch.tensor([torch.nan, 1.0, 1.0, torch.nan, -1.0]), torch.tensor([0, 0, 1, 1, 2])
    for reduce in ("sum", "mean", "max"):
        answer = message_passing.aggregate(messages, target, 4, reduce)
        assert answer.isnan().tolist() == [True, True, False, False] and answer[2:].tolist() == [-1, 0]
    assert message_passing.softmax_by_target(messages, target, 4).isnan().tolist() == [True, True, True, True, False]


def test_the_largest_of_whole_numbers_too():
    messages, target = torch.tensor([3, -1, -2]), torch.tensor([0, 1, 1])
    assert message_passing.aggregate(messages, target, 3, "max").tolist() == [3, -1, 0]
    assert message_passing.aggregate(torch.tensor([-torch.inf]), target[:1], 1, "max").tolist() == [-torch.inf]


H, W, C = torch.ones(3, 2), torch.ones(2, 2), torch.ones(2)
ON_EDGES = {
    "message_round": lambda edge_index: message_passing.message_round(H, edge_index, W, W, C),
    "run_rounds": lambda edge_index: message_passing.run_rounds(H, edge_index, W, W, C, 1),
    "receptive_fields": lambda edge_index: message_passing.receptive_fields(edge_index, 3, 2),
    "attention_round": lambda edge_index: message_passing.attention_round(H, edge_index, C, W),
    "convolutional": lambda edge_index: message_passing.convolutional(H, edge_index, C, relu, torch.add),
    "attentional": lambda edge_index: message_passing.attentional(H, edge_index, lambda a, b: C, relu, torch.add),
    "general": lambda edge_index: message_passing.general(H, edge_index, torch.add, torch.add),
}


@pytest.mark.parametrize("call", ON_EDGES.values(), ids=ON_EDGES)
def test_a_bad_list_of_edges_is_explained(call):
    call(PATH)
    for edge_index, says in ((torch.tensor([[0, 1], [1, 2], [2, 0]]), r"shape \(3, 2\); expected \(2, num_edges\). Did you forget .T?"),
                             (torch.tensor([[-1, 0], [0, 1]]), "names node -1; with num_nodes = 3 the nodes are 0 to 2"),
                             (torch.tensor([[0, 1], [1, 3]]), "names node 3; .* Count nodes from 0"),
                             (PATH.float(), "dtype torch.float32; expected torch.int64")):
        with pytest.raises(ValueError, match=says):
            call(edge_index)


@pytest.mark.parametrize("weights", [torch.ones(2, 1), torch.ones(1), torch.ones(3)])
def test_weights_of_another_shape_are_explained(weights):
    calls = [lambda: message_passing.convolutional(H, PATH, weights, relu, torch.add),
             lambda: message_passing.attentional(H, PATH, lambda a, b: weights, relu, torch.add)]
    if len(weights) == 2:
        calls.append(lambda: message_passing.attention_round(H, PATH, weights, W))
    for call in calls:
        with pytest.raises(ValueError, match=r"the weights of the messages have shape .*; expected \(2,\), one number for each edge"):
            call()


@pytest.mark.parametrize(("target", "says"), [
    (torch.tensor([0, -1]), "target names node -1"), (torch.tensor([0, 3]), "target names node 3"),
    (torch.tensor([0]), r"shape \(1,\); expected torch.int64 and \(2,\), a node for each message"),
    (torch.tensor([0, 1], dtype=torch.int32), "target has dtype torch.int32"), (PATH, r"shape \(2, 2\)")])
def test_bad_targets_are_explained(target, says):
    for reduce in ("sum", "mean", "max"):
        with pytest.raises(ValueError, match=says):
            message_passing.aggregate(torch.ones(2, 4), target, 3, reduce)


def test_a_node_that_is_not_there_hears_nothing():
    for node in (-1, 3):
        with pytest.raises(ValueError, match=f"names node {node}; with num_nodes = 3"):
            message_passing.receptive_field(PATH, 3, node, 1)


def test_aggregate_explains_another_word():
    with pytest.raises(ValueError, match="'median'; expected"):
        message_passing.aggregate(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64), 1, "median")


def test_no_node_at_all():
    none, h = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, 3)
    assert message_passing.message_round(h, none, *weights()).shape == (0, 4)
    assert message_passing.attention_round(h, none, torch.zeros(0), torch.randn(4, 3)).shape == (0, 4)


def test_receptive_field_is_one_row_of_all():
    edge_index = torch.tensor([[0, 1, 2, 4], [1, 2, 3, 3]])
    assert message_passing.receptive_field(edge_index, 5, 3, 2).tolist() == [False, True, True, True, True]
    assert message_passing.receptive_field(edge_index, 5, 3, 0).nonzero().flatten().tolist() == [3]
