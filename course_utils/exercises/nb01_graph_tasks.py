"""Notebook 1: representing a graph, renumbering it, and splitting its links without a leak."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import graphs
from .declare import Case, Exercise, PropertiesOnly, Property, SameEdges, Seed
from .inputs import NO_EDGES, PATH, directed_edges, links, normal, star

NOTEBOOK = "01_graph_tasks"

# ---------------------------------------------------------------------------------------------------- to_edge_index


def _matrices(generator):
    path = graphs.to_adjacency(PATH, 3)
    yield Case("a directed path of four nodes", graphs.to_adjacency(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4))
    yield Case("one edge, from node 0 to node 1", torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    yield Case("one node without edges", torch.zeros(1, 1))
    yield Case("one link between two nodes", torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    yield Case("a path whose last node has an edge to itself", path + torch.diag(torch.tensor([0.0, 0.0, 1.0])))
    for num_nodes, num_edges in ((5, 8), (7, 17)):
        v, u = directed_edges(num_nodes, num_edges, generator)
        weighted = torch.zeros(num_nodes, num_nodes)
        weighted[v, u] = normal(num_edges, generator=generator)
        yield Case(f"a directed graph of {num_nodes} nodes with weights above and below zero", weighted)


to_edge_index = Exercise(graphs.to_edge_index, NOTEBOOK, 1, _matrices, SameEdges())


@to_edge_index.further
def _(generator):
    v, u = directed_edges(140, 300, generator)
    A = torch.zeros(140, 140)
    A[v, u] = normal(300, generator=generator)
    yield Case("a directed graph of 140 nodes with weights", A)
    v, u = directed_edges(8, 24, generator)
    A = torch.zeros(8, 8)
    A[v, u] = 10.0 ** -torch.arange(24)
    yield Case("weights from 1 down to almost nothing", A)


@to_edge_index.misconception("rows and columns swapped", "Every edge came out backwards. A[v, u] belongs to the edge "
                             "v -> u: which of the two indices is the source, and in which row of edge_index do "
                             "sources stand?")
def _(A):
    return A.T.nonzero().T


@to_edge_index.misconception("one row an edge", "Your list has one row for each edge. Here an edge is a column: two "
                             "rows, and as many columns as edges.")
def _(A):
    return A.nonzero()


_ONE_TRIANGLE = ("You looked at one triangle of A. That would do if every edge had its reverse. What about a graph in which "
                 "only one of 2 -> 0 and 0 -> 2 exists?")


@to_edge_index.misconception("only one triangle of the matrix", _ONE_TRIANGLE)
def _(A):
    return torch.triu(A).nonzero().T


@to_edge_index.misconception("only the lower triangle", _ONE_TRIANGLE)
def _(A):
    return torch.tril(A).nonzero().T


@to_edge_index.misconception("nodes counted from 1", "Your nodes are numbered from 1. Rows, columns and nodes are numbered from 0 here: "
                             "which row of h would your last node have?")
def _(A):
    return A.nonzero().T + 1


@to_edge_index.misconception("only entries equal to one", "You kept the entries equal to 1. In a weighted graph an edge's "
                             "entry is its weight. Which entries mean that there is no edge?")
def _(A):
    return (A == 1).nonzero().T


@to_edge_index.misconception("only positive entries", "You kept the positive entries. A weight can be negative (an "
                             "inhibiting synapse, say). Which entries mean that there is no edge?")
def _(A):
    return (A > 0).nonzero().T


@to_edge_index.misconception("weights made whole numbers", "Edges with a weight between -1 and 1 are missing: made a whole "
                             "number, such a weight is 0. The edge list holds whole numbers, since it names nodes. What "
                             "may the entries of A be?")
def _(A):
    return A.long().nonzero().T


@to_edge_index.misconception("self loops dropped", "You left out the diagonal. A[v, v] that is not zero is an edge from v "
                             "to itself, and this exercise asks for every edge.")
def _(A):
    return (A - torch.diag(torch.diag(A))).nonzero().T


@to_edge_index.misconception("reshaped, not transposed", "The shape is right, and the columns are no edges of the graph. "
                             "reshape and view keep the numbers in the order in which they stand in memory, row after row. "
                             "What turns rows into columns?")
def _(A):
    return A.nonzero().reshape(2, -1)


_UNDIRECTED = ("Your list has edges that the graph does not have: the reverse of each edge is there, too. A[v, u] and A[u, v] "
               "are two entries of the matrix. What does the one say of the other?")


@to_edge_index.misconception("made undirected", _UNDIRECTED)
def _(A):
    return graphs.both_directions(A.nonzero().T)


@to_edge_index.misconception("each edge and its reverse", _UNDIRECTED)
def _(A):
    edges = A.nonzero().T
    return torch.cat([edges, edges.flip(0)], 1)


@to_edge_index.right
def _(A):
    edges = [(v, u) for v in range(len(A)) for u in range(len(A)) if A[v, u] != 0]
    return torch.tensor(edges, dtype=torch.int32).reshape(-1, 2).T


@to_edge_index.right
def _(A):
    return torch.stack(torch.where(A != 0)).flip(1)


# ---------------------------------------------------------------------------------------------------------- degrees


def _edge_lists(generator):
    yield Case("a directed path of three nodes", PATH, 3)
    yield Case("one node without edges", NO_EDGES, 1)
    yield Case("a star: four edges into node 0", torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]]), 5)
    yield Case("a path of three and two isolated nodes behind it", PATH, 5)
    yield Case("nodes 1 and 3 of five receive a message", torch.tensor([[0, 4], [1, 3]]), 5)
    yield Case("an edge from node 0 to itself, and a node 1 that nothing reaches",
               torch.tensor([[0, 1, 2, 3], [0, 0, 3, 2]]), 4)
    for num_nodes, num_edges in ((6, 13), (9, 31)):
        yield Case(f"a directed graph of {num_nodes} nodes", directed_edges(num_nodes, num_edges, generator), num_nodes)


def _counts_every_edge(case, value):
    num_edges = case.args[0].shape[1]
    return None if int(value.sum()) == num_edges else f"the counts add up to {int(value.sum())}, with {num_edges} edges."


degrees = Exercise(graphs.degrees, NOTEBOOK, 1, _edge_lists, properties=(
    Property("every edge is counted once", _counts_every_edge),
))


@degrees.further
def _(generator):
    yield Case("a star: 300 edges into node 0", star(300), 301)
    yield Case("a directed graph of 60 nodes", directed_edges(60, 1500, generator), 60)
    yield Case("a path of three and 200 isolated nodes", PATH, 203)


@degrees.misconception("out-degree", "You counted the edges that leave each node. A message travels along its edge, so what "
                       "u receives comes over the edges that arrive. Which row holds the places of arrival?")
def _(edge_index, num_nodes):
    return torch.bincount(edge_index[0], minlength=num_nodes)


@degrees.misconception("both ends counted", "You counted each edge at both of its ends. An undirected link already stands in "
                       "edge_index twice, once in each direction.")
def _(edge_index, num_nodes):
    return torch.bincount(edge_index.flatten(), minlength=num_nodes)


@degrees.misconception("indexing does not accumulate", "The counts stop at 1. In count[u] += 1 with a tensor u in which a "
                       "node stands several times, PyTorch adds once for each different node. Look for an operation that "
                       "accumulates.")
def _(edge_index, num_nodes):
    count = torch.zeros(num_nodes, dtype=torch.int64)
    count[edge_index[1]] += 1
    return count


@degrees.misconception("the last nodes are missing", "Your result ends at the last node that has an incoming edge. An "
                       "isolated node is a node too: the answer has num_nodes entries.")
def _(edge_index, num_nodes):
    return torch.bincount(edge_index[1])


@degrees.misconception("nodes without edges are missing", "Your result lists only nodes with at least one incoming edge, so "
                       "entry i is no longer about node i. Nodes that receive nothing have degree 0.")
def _(edge_index, num_nodes):
    return torch.unique(edge_index[1], return_counts=True)[1]


@degrees.misconception("each node counted as well", "Every count is one too large. Only edges count here, and a node has an edge to "
                       "itself only if edge_index lists one. What should a node without edges get?")
def _(edge_index, num_nodes):
    return torch.bincount(edge_index[1], minlength=num_nodes) + 1


@degrees.misconception("self loops dropped", "You left out the edges from a node to itself. A message travels along such "
                       "an edge, too: who receives it?")
def _(edge_index, num_nodes):
    return torch.bincount(edge_index[1, edge_index[0] != edge_index[1]], minlength=num_nodes)


@degrees.right
def _(edge_index, num_nodes):
    return torch.tensor([sum(u == node for u in edge_index[1].tolist()) for node in range(num_nodes)])


@degrees.right
def _(edge_index, num_nodes):
    return graphs.to_adjacency(edge_index, num_nodes).sum(0).to(torch.int32)


# ---------------------------------------------------------------------------------------------------------- permute


def _renumberings(generator):
    yield Case("a directed path of three nodes in the order 1, 2, 0", graphs.to_adjacency(PATH, 3),
               torch.tensor([[10.0], [11.0], [12.0]]), torch.tensor([1, 2, 0]))
    yield Case("one node", torch.ones(1, 1), torch.ones(1, 2), torch.tensor([0]))
    for num_nodes, num_edges, d in ((5, 9, 3), (8, 20, 2)):
        A = graphs.to_adjacency(directed_edges(num_nodes, num_edges, generator), num_nodes)
        X = normal(num_nodes, d, generator=generator)
        yield Case(f"a directed graph of {num_nodes} nodes", A, X, _cycle(num_nodes, generator))
    A, X = _weighted(6, 14, generator), normal(6, 4, generator=generator)
    yield Case("a directed graph of 6 nodes with weights above and below zero", A, X, _cycle(6, generator))


def _cycle(n, generator):
    """An order that leaves no node in place, and is not its own inverse from n = 3 on: one cycle through all nodes."""
    cycle = torch.randperm(n, generator=generator)
    p = torch.empty_like(cycle)
    p[cycle] = cycle.roll(1)
    return p


def _weighted(num_nodes, num_edges, generator):
    """The matrix (num_nodes, num_nodes) of a directed graph with normal weights, one of them on the diagonal."""
    A = torch.zeros(num_nodes, num_nodes)
    v, u = directed_edges(num_nodes, num_edges, generator)
    A[v, u] = normal(num_edges, generator=generator)
    A[1, 1] = normal(generator=generator)
    return A


def _number(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _of_two_matrices(fault):
    """The property on answers of the right form alone: of another one, its reason would not be true."""
    def checked(case, value):
        if not isinstance(value, tuple | list) or [part.shape for part in value] != [part.shape for part in case.args[:2]]:
            raise ValueError("not a graph of this size")
        return fault(case, value)
    return checked


def _no_edge_lost(case, value):
    given, now = int(case.args[0].count_nonzero()), int(value[0].count_nonzero())
    return None if given == now else f"the graph had {_number(given, 'edge')} and has {now} afterwards."


def _features_stay_with_their_node(case, value):
    def nodes(A, X):
        return sorted(zip(A.sort(1).values.tolist(), A.T.sort(1).values.tolist(), X.tolist()))

    same = nodes(*case.args[:2]) == nodes(*value)
    return None if same else "some node has lost edges, weights or features of its own, or got another node's."


permute = Exercise(graphs.permute, NOTEBOOK, 2, _renumberings, properties=(
    Property("no edge is lost", _of_two_matrices(_no_edge_lost)),
    Property("each node keeps its own edges and features", _of_two_matrices(_features_stay_with_their_node)),
))


@permute.further
def _(generator):
    A = graphs.to_adjacency(directed_edges(40, 300, generator), 40)
    p = torch.randperm(40, generator=generator)
    yield Case("a directed graph of 40 nodes", A, normal(40, 5, generator=generator), p)
    A = graphs.to_adjacency(directed_edges(6, 14, generator), 6)
    yield Case("two nodes exchanged", A, normal(6, 2, generator=generator), torch.tensor([0, 4, 2, 3, 1, 5]))


@permute.misconception("rows alone", "The rows of A moved and its columns did not, so each node now has another node's "
                       "neighbours. A node has one row and one column.")
def _(A, X, p):
    return A[p], X[p]


@permute.misconception("A[p, p]", "A[p, p] pairs the two lists up: entries (p[0], p[0]), (p[1], p[1]), and so on, the "
                       "diagonal. You want every row with every column: one index after the other.")
def _(A, X, p):
    return A[p, p], X[p]


@permute.misconception("features left behind", "A is in the new order, X still in the old one. Whose features does row 0 of "
                       "X hold now?")
def _(A, X, p):
    return A[p][:, p], X


@permute.misconception("the inverse order", "You sent node i to place p[i]. Here p lists who stands where: place i is "
                       "taken by node p[i]. The two are inverse to each other.")
def _(A, X, p):
    q = torch.argsort(p)
    return A[q][:, q], X[q]


@permute.misconception("A one way, X the other", "A and X went in opposite directions: one by p, the other by its inverse. "
                       "With the matrix P of the text, A becomes P A P^T: check which factor carries the transpose.")
def _(A, X, p):
    P = torch.eye(len(p))[p]
    return P.T @ A @ P, P @ X


@permute.misconception("rows twice", "The second index moved the rows once more, and the columns never moved. A[p] is a matrix "
                       "again: which axis does an index take that stands alone in its brackets?")
def _(A, X, p):
    return A[p][p], X[p]


@permute.misconception("columns alone", "The columns of A moved and its rows did not. A node has one row and one column.")
def _(A, X, p):
    return A[:, p], X[p]


@permute.misconception("P A P", "The rows of A went by p, and its columns by the inverse of p. In P A P^T, what does the factor on "
                       "the left do to A, and what the factor on the right?")
def _(A, X, p):
    P = torch.eye(len(p))[p]
    return P @ A @ P, P @ X


@permute.misconception("X by the inverse", "A is in the new order, and X went the other way, by the inverse of p. Row i of X has to "
                       "tell of the same node as row i of A.")
def _(A, X, p):
    return A[p][:, p], X[torch.argsort(p)]


@permute.misconception("transposed on the way", "The nodes are in the new order, and every edge is reversed. A.T swaps "
                       "rows and columns: how often do you turn A round, and how often back?")
def _(A, X, p):
    return A[p].T[p], X[p]


@permute.misconception("weights turned into 1", "Every edge is where it belongs, and its weight has become 1. An entry of A that "
                       "is not 0 may be any number: what happens to it on the way into your list of edges, and back?")
def _(A, X, p):
    return (A[p][:, p] != 0).float(), X[p]


@permute.right
def _(A, X, p):
    P = torch.eye(len(p), dtype=torch.float64)[p]
    return P @ A.double() @ P.T, P @ X.double()


@permute.right
def _(A, X, p):
    B, Y = torch.empty_like(A), torch.empty_like(X)
    for i in range(len(p)):
        Y[i] = X[p[i]]
        for j in range(len(p)):
            B[i, j] = A[p[i], p[j]]
    return B, Y


# ------------------------------------------------------------------------------------------------------ split_links


MANY = 110  # links, enough to see whether neighbors in the list are hidden together


def _undirected(generator):
    triangle = graphs.both_directions(torch.tensor([[0, 1, 2], [1, 2, 0]]))
    yield Case("a triangle, one third hidden", triangle, 1 / 3, Seed(1))
    yield Case("a triangle, a tenth hidden, which is no link", triangle, 0.1, Seed(2))
    yield Case("a triangle, all of it hidden", triangle, 1.0, Seed(3))
    for num_nodes, num_links, fraction in ((12, 40, 0.24), (15, 61, 0.4), (16, MANY, 0.5)):
        yield Case(f"{num_nodes} nodes and {num_links} links, {fraction:.0%} hidden",
                   links(num_nodes, num_links, generator), fraction, Seed(num_nodes))


def _edges(edge_index: Tensor) -> set[tuple[int, int]]:
    return set(zip(*edge_index.tolist()))


def _links(edge_index: Tensor) -> set[tuple[int, int]]:
    return _edges(edge_index.sort(dim=0).values)


def _two_edge_lists(case, value):
    if not isinstance(value, tuple | list) or len(value) != 2:
        return "expected two results, as in return train, test."
    shapes = [tuple(getattr(part, "shape", ())) for part in value]
    if any(len(shape) != 2 or shape[0] != 2 for shape in shapes):
        return f"the shapes are {shapes[0]} and {shapes[1]}; expected (2, num_edges) for both."
    for name, part in zip(("train", "test"), value):
        if part.is_floating_point() and part.numel():
            return f"{name} has dtype {part.dtype}; expected whole numbers, which can be used as indices."
        if len(_edges(part)) < part.shape[1]:
            return f"{name} lists some edge more than once."
    return None


def _of_two_edge_lists(fault):
    """The property on answers of the right form alone; no other answer can be tested on it."""
    def checked(case, value, *more):
        if len(value) != 2 or any(not isinstance(part, Tensor) or part.ndim != 2 or part.shape[0] != 2 for part in value):
            raise ValueError("not two edge lists")
        return fault(case, value, *more)
    return checked


def _nothing_lost(case, value):
    before, after = _links(case.args[0]), _links(value[0]) | _links(value[1])
    if before == after:
        return None
    lost, new = len(before - after), len(after - before)
    return f"{_number(lost, 'link')} vanished and {new} {'is' if new == 1 else 'are'} new."


def _no_link_in_both(case, value):
    shared = _links(value[0]) & _links(value[1])
    return f"{len(shared)} of the {len(_links(value[1]))} hidden links can still be read off train." if shared else None


def _both_ways(case, value):
    for name, part in zip(("train", "test"), value):
        lone = sum(edge[::-1] not in _edges(part) for edge in _edges(part))
        if lone:
            return f"{_number(lone, 'edge')} in {name} {'lacks its' if lone == 1 else 'lack their'} reverse there."
    return None


def _right_share(case, value):
    wanted = round(case.args[1] * len(_links(case.args[0])))
    given = len(_links(value[1]))
    return None if given == wanted else f"{given} of the links {'is' if given == 1 else 'are'} hidden; expected {wanted}."


def _in_lists(case, value):
    """Whether each of many links is hidden, in the orders in which one may go through them: as one of its directions is
    listed, and sorted by the lower or by the higher end."""
    v, u = case.args[0]
    up, down = (list(zip(*case.args[0][:, side].sort(dim=0).values.tolist())) for side in (v < u, v > u))
    hidden, by_higher_end = _links(value[1]), sorted(up, key=lambda link: link[::-1])
    return [torch.tensor([link in hidden for link in order]) for order in (up, down, sorted(up), by_higher_end)]


def _neighbors_agree(hidden):
    """How often two links that follow each other are both hidden or both not, in standard errors from one half."""
    together = hidden[1:] == hidden[:-1]
    return float(2 * (together.double().mean() - 0.5) * len(together) ** 0.5)


def _drawn_singly(case, value):
    """To seven standard errors: half of the links, drawn fairly, fail less than once in a million times."""
    links = len(_links(case.args[0]))
    if links < MANY or case.args[1] != 0.5:
        return None
    if not 0.25 < len(_links(value[1])) / links < 0.75:
        raise ValueError("far from half of the links are hidden")
    if all(abs(_neighbors_agree(hidden)) < 7 for hidden in _in_lists(case, value)):
        return None
    return "whether a link is hidden depends on the link before it."


def _with_seed(shift):
    return lambda case: Case(case.label, *case.args[:2], Seed(case.args[2].value + shift))


def _repeats(case, value, again, other):
    return None if _edges(value[1]) == _edges(other[1]) else "two calls with equal generators hid different links."


def _varies(case, value, again, other):
    links = len(_links(case.args[0]))
    few_ways = links < 100 or round(case.args[1] * links) in (0, links)
    if not few_ways and len(_links(value[1])) in (0, links):
        raise ValueError("nothing was drawn")
    if few_ways or _edges(value[1]) != _edges(other[1]):
        return None
    return "two calls with different generators hid the same links."


split_links = Exercise(graphs.split_links, NOTEBOOK, 3, _undirected, PropertiesOnly(), (
    Property("returns two edge lists, train and test", _two_edge_lists),
    Property("no link is lost or invented", _of_two_edge_lists(_nothing_lost)),
    Property("no hidden link is left in train, in either direction", _of_two_edge_lists(_no_link_in_both)),
    Property("each part holds both directions of its links", _of_two_edge_lists(_both_ways)),
    Property("the right number of links is hidden", _of_two_edge_lists(_right_share)),
    Property("each link is drawn by itself", _of_two_edge_lists(_drawn_singly)),
    Property("the same generator gives the same split", _of_two_edge_lists(_repeats), _with_seed(0)),
    Property("another generator gives another split", _of_two_edge_lists(_varies), _with_seed(1)),
))


@split_links.further
def _(generator):
    for num_nodes, num_links, fraction in ((40, 120, 0.07), (300, 70, 0.8)):
        yield Case(f"{num_nodes} nodes and {num_links} links, {fraction:.0%} hidden",
                   links(num_nodes, num_links, generator), fraction, Seed(num_nodes))


def _hidden(case, value):
    """How many links are hidden, how many should be, and how many there are."""
    links = len(_links(case.args[0]))
    return len(_links(value[1])), round(case.args[1] * links), links


def _is_swapped(case, value):
    hidden, wanted, links = _hidden(case, value)
    return hidden == links - wanted


def _is_doubled(case, value):
    hidden, wanted, links = _hidden(case, value)
    return abs(hidden - min(2 * wanted, links)) <= 1


def _leaks(case, value):
    """Whether of the hidden edges many have their reverse in train, and few are there themselves."""
    train, test = map(_edges, value)
    reverse = sum(edge[::-1] in train for edge in test)
    return len(test) < 20 or (reverse > 0.1 * len(test) and not train & test)


def _in_both_and_in_neither(case, value):
    train, test = map(_links, value)
    return len(_links(case.args[0])) < 50 or bool(train & test and _links(case.args[0]) - train - test)


def _still_in_train(case, value):
    return _edges(value[1]) <= _edges(value[0])


@split_links.misconception("the reverse edge leaks", "For many hidden edges v -> u the reverse u -> v is still in train, so a "
                           "model needs no insight to find them. What is the unit that has to be drawn, and where in "
                           "edge_index do its two columns stand?", _leaks)
def _(edge_index, fraction, generator):
    order = torch.randperm(edge_index.shape[1], generator=generator)
    k = round(fraction * edge_index.shape[1])
    return edge_index[:, order[k:]], edge_index[:, order[:k]]


_ONE_SPLIT = ("Different generators hide the same links, so nobody can try a second, independent split. Which line of yours "
              "makes a choice, and where does that choice come from? A generator comes with its seed.")


@split_links.misconception("a seed of its own", _ONE_SPLIT)
def _(edge_index, fraction, generator):
    return graphs.split_links(edge_index, fraction, torch.Generator().manual_seed(0))


@split_links.misconception("the same links every time", _ONE_SPLIT)
def _(edge_index, fraction, generator):
    one_way = edge_index[:, edge_index[0] < edge_index[1]]
    k = round(fraction * one_way.shape[1])
    return graphs.both_directions(one_way[:, k:]), graphs.both_directions(one_way[:, :k])


@split_links.misconception("the generator is not used", "Two calls with equal generators gave different splits, so nobody can "
                           "repeat your experiment. Pass the generator on to the function that draws.")
def _(edge_index, fraction, generator):
    unseeded = torch.Generator()
    unseeded.seed()
    return graphs.split_links(edge_index, fraction, unseeded)


@split_links.misconception("the two parts swapped", "The fraction went to train. It says how many links are hidden: the test "
                           "part. And train is returned first.", _is_swapped)
def _(edge_index, fraction, generator):
    return graphs.split_links(edge_index, fraction, generator)[::-1]


@split_links.misconception("columns counted as links", "You hid twice as many links as you were asked to. A link is two columns "
                           "of edge_index: the fraction of which number did you take?", _is_doubled)
def _(edge_index, fraction, generator):
    return graphs.split_links(edge_index, min(2 * fraction, 1.0), generator)


@split_links.misconception("about the right number", "Links are drawn, and not as many as were asked for. Does your draw give "
                           "round(fraction * number of links) links every time, and each link at most once?")
def _(edge_index, fraction, generator):
    one_way = edge_index[:, edge_index[0] < edge_index[1]]
    hidden = torch.rand(one_way.shape[1], generator=generator) < fraction
    return graphs.both_directions(one_way[:, ~hidden]), graphs.both_directions(one_way[:, hidden])


@split_links.misconception("a block of the list", "The links that you hide are not drawn one by one: whether a link is hidden "
                           "depends on its neighbors in the list, and the first ones may well belong to the same few nodes. "
                           "Which order of the links gives each set of links the same chance?")
def _(edge_index, fraction, generator):
    links = edge_index[:, edge_index[0] < edge_index[1]]
    num_links = links.shape[1]
    start = int(torch.randint(num_links, (), generator=generator))
    rolled, k = links.roll(start, 1), round(fraction * num_links)
    return graphs.both_directions(rolled[:, k:]), graphs.both_directions(rolled[:, :k])


@split_links.misconception("one direction lost", "Some links stand in their part in one direction only. Whoever passes messages "
                           "over train would send them one way. The input had both directions of each link; so should "
                           "the parts.")
def _(edge_index, fraction, generator):
    train, test = graphs.split_links(edge_index, fraction, generator)
    return train[:, train[0] < train[1]], test[:, test[0] < test[1]]


def _listed_twice(case, value):
    """Whether each edge is there twice in one direction, and not in the other."""
    return all(2 * len(edges) == part.shape[1] and not any(edge[::-1] in edges for edge in edges)
               for part in value for edges in [_edges(part)])


@split_links.misconception("columns flipped in place of rows", "Each edge is listed twice in the same direction, and its "
                           "reverse is missing. The reverse of an edge has its source and its target exchanged: are these "
                           "two rows of edge_index, or two columns?", _listed_twice)
def _(edge_index, fraction, generator):
    train, test = graphs.split_links(edge_index, fraction, generator)
    one_way = [part[:, part[0] < part[1]] for part in (train, test)]
    return tuple(torch.cat([part, part.flip(1)], 1) for part in one_way)


@split_links.misconception("test links stay in train", "The hidden links are still in train. A test on what was shown in "
                           "training measures memory.", _still_in_train)
def _(edge_index, fraction, generator):
    return edge_index, graphs.split_links(edge_index, fraction, generator)[1]


@split_links.misconception("every other column", "Some links are in both parts, and others in neither. Do both parts come from "
                           "one and the same draw? And does your list of links hold each link once? edge_index promises "
                           "no order of its columns.", _in_both_and_in_neither)
def _(edge_index, fraction, generator):
    one_way = edge_index[:, ::2]
    order = torch.randperm(one_way.shape[1], generator=generator)
    k = round(fraction * one_way.shape[1])
    return graphs.both_directions(one_way[:, order[k:]]), graphs.both_directions(one_way[:, order[:k]])


@split_links.right
def _(edge_index, fraction, generator):
    pairs = sorted({(min(e), max(e)) for e in edge_index.T.tolist()})
    order = torch.randperm(len(pairs), generator=generator).tolist()
    k = round(fraction * len(pairs))
    parts = [[pairs[i] for i in order[k:]], [pairs[i] for i in order[:k]]]
    return tuple(torch.tensor(part + [(u, v) for v, u in part]).reshape(-1, 2).T for part in parts)


@split_links.right
def _(edge_index, fraction, generator):
    one_way = edge_index[:, edge_index[0] > edge_index[1]]
    noise = torch.rand(one_way.shape[1], generator=generator)
    hidden = torch.zeros(len(noise), dtype=torch.bool)
    hidden[noise.argsort()[:round(fraction * len(noise))]] = True
    return tuple(torch.cat([part, part.flip(0)], 1) for part in (one_way[:, ~hidden], one_way[:, hidden]))
