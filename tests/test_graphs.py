import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import graphs


@st.composite
def directed(draw, max_nodes=9):
    """(edge_index, num_nodes), of every size from one node without edges on."""
    num_nodes = draw(st.integers(1, max_nodes))
    pairs = [(v, u) for v in range(num_nodes) for u in range(num_nodes) if v != u]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T, num_nodes


def as_set(edge_index):
    return set(map(tuple, edge_index.T.tolist()))


@given(directed())
def test_matrix_and_list_hold_the_same_edges(graph):
    edge_index, n = graph
    assert as_set(graphs.to_edge_index(graphs.to_adjacency(edge_index, n))) == as_set(edge_index)


@given(directed(), st.randoms(use_true_random=False))
def test_degrees_follow_a_renumbering(graph, random):
    edge_index, n = graph
    p = torch.tensor(random.sample(range(n), n))
    A, X = graphs.to_adjacency(edge_index, n), torch.arange(n).float()[:, None]
    B, Y = graphs.permute(A, X, p)
    assert torch.equal(graphs.degrees(graphs.to_edge_index(B), n), graphs.degrees(edge_index, n)[p])
    assert torch.equal(Y[:, 0].long(), p)
    P = torch.eye(n)[p]
    assert torch.equal(B, P @ A @ P.T)


def test_an_edge_that_is_listed_twice_counts_twice():
    edge_index = torch.tensor([[0, 0], [1, 1]])
    assert graphs.to_adjacency(edge_index, 2).tolist() == [[0, 2], [0, 0]]
    assert graphs.degrees(edge_index, 2).tolist() == [0, 2]


@given(st.integers(3, 12), st.floats(0, 1), st.integers(0, 10_000))
def test_split_links_loses_and_leaks_nothing(n, fraction, seed):
    links = graphs.both_directions(torch.combinations(torch.arange(n)).T)
    train, test = graphs.split_links(links, fraction, torch.Generator().manual_seed(seed))
    assert as_set(train) | as_set(test) == as_set(links)
    assert not as_set(train) & as_set(test.flip(0))
    assert test.shape[1] == 2 * round(fraction * links.shape[1] / 2)


def test_split_links_hides_every_link_equally_often():
    links = graphs.both_directions(torch.combinations(torch.arange(5)).T)
    hidden = torch.zeros(5, 5)
    for seed in range(2000):
        _, test = graphs.split_links(links, 0.3, torch.Generator().manual_seed(seed))
        hidden[test[0], test[1]] += 1
    shares = hidden[links[0], links[1]] / 2000
    assert (shares - 0.3).abs().max() < 0.06  # over five standard deviations


@given(directed())
def test_hop_distances_are_networkx_s(graph):
    edge_index, n = graph
    network = nx.DiGraph()
    network.add_nodes_from(range(n))
    network.add_edges_from(edge_index.T.tolist())
    ours = graphs.hop_distances(graphs.to_adjacency(edge_index, n))
    for v, lengths in nx.all_pairs_shortest_path_length(network):
        for u in range(n):
            assert ours[v, u] == lengths.get(u, torch.inf)


def test_hop_distances_of_padded_graphs_at_once():
    path = graphs.to_adjacency(torch.tensor([[0, 1], [1, 2]]), 3)
    both = torch.stack([path, path.T])
    assert torch.equal(graphs.hop_distances(both), torch.stack([graphs.hop_distances(path), graphs.hop_distances(path.T)]))


@given(directed())
def test_has_ring_is_networkx_s(graph):
    edge_index, n = graph
    links = graphs.both_directions(edge_index)
    network = nx.Graph(links.T.tolist())
    network.add_nodes_from(range(n))
    assert graphs.has_ring(graphs.to_adjacency(links, n)).item() is not nx.is_forest(network)


def test_has_ring_of_padded_graphs_at_once():
    path = graphs.both_directions(torch.stack([torch.arange(6), torch.arange(1, 7)]))
    ring_with_a_tail = torch.cat([path, torch.tensor([[0, 3], [3, 0]])], dim=1)
    both = torch.stack([graphs.to_adjacency(links, 9) for links in (path, ring_with_a_tail)])
    assert graphs.has_ring(both).tolist() == [False, True]
    assert graphs.has_ring(both[:, None]).shape == (2, 1) and not graphs.has_ring(torch.zeros(0, 0))
    for A in (both + torch.eye(9), both.triu()):
        with pytest.raises(ValueError, match="expected an undirected graph without self loops"):
            graphs.has_ring(A)


def test_batch_graphs_keeps_graphs_apart():
    one = graphs.Graph(torch.tensor([[0], [1]]), 2, h=torch.ones(2, 3), y=torch.tensor(1))
    two = graphs.Graph(torch.tensor([[2, 0], [0, 1]]), 3, h=torch.zeros(3, 3), y=torch.tensor(0))
    both = graphs.batch_graphs([one, two])
    assert both.edge_index.tolist() == [[0, 4, 2], [1, 2, 3]]
    assert both.batch.tolist() == [0, 0, 1, 1, 1]
    assert both.y.tolist() == [1, 0]
    assert both.x is None


@pytest.mark.parametrize(("edge_index", "says"), [
    (torch.zeros(7436, 2, dtype=torch.int64), "shape (7436, 2); expected (2, num_edges). Did you forget .T?"),
    (torch.zeros(2, 4), "dtype torch.float32; expected torch.int64"),
    (torch.tensor([[0, 5], [1, 0]]), "names node 5; with num_nodes = 3 the nodes are 0 to 2"),
    (torch.tensor([[0, -1], [1, 0]]), "names node -1"),
    ([[0, 1], [1, 2]], "is a list; expected a tensor"),
])
def test_bad_edge_lists_are_explained(edge_index, says):
    with pytest.raises(ValueError) as error:
        graphs.Graph(edge_index, 3)
    assert says in str(error.value)


def test_other_bad_input_is_explained():
    edges = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="h has 3 rows; expected one for each of the 2 nodes"):
        graphs.Graph(edges, 2, h=torch.ones(3, 1))
    with pytest.raises(ValueError, match="expected a square matrix"):
        graphs.to_edge_index(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="both_directions"):
        graphs.split_links(edges, 0.5, torch.Generator())
    with pytest.raises(ValueError, match="empty list"):
        graphs.batch_graphs([])


def test_a_matrix_with_nan_is_no_graph():
    A = torch.tensor([[0, torch.nan], [torch.nan, 0]])
    for f in (graphs.to_edge_index, graphs.hop_distances, graphs.has_ring):
        with pytest.raises(ValueError, match="A holds NaN in 2 places; expected 0 where there is no edge"):
            f(A)
        with pytest.raises(ValueError, match="expected a square matrix"):
            f(torch.zeros(2, 3))


def test_the_number_of_graphs():
    none = torch.zeros(2, 0, dtype=torch.int64)
    one, empty = graphs.Graph(none, 2), graphs.Graph(none, 0)
    assert one.num_graphs == empty.num_graphs == 1
    assert graphs.batch_graphs([one, empty]).num_graphs == graphs.batch_graphs([empty, empty]).num_graphs == 2
    assert graphs.Graph(none, 3, batch=torch.tensor([0, 0, 4])).num_graphs == 5
    with pytest.raises(ValueError, match="num_graphs is 1, and batch numbers graphs up to 1"):
        graphs.Graph(none, 2, batch=torch.tensor([0, 1]), num_graphs=1)
