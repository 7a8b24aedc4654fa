"""Notebook 3: Kipf's weights, the receptive field, one vector for a graph, and what colours cannot tell apart."""

from __future__ import annotations

import torch

from .. import graph_networks, graphs, message_passing
from .declare import Case, Close, Exercise, Part, Property, SamePartitions, SameWeightedEdges
from .derivatives import Differentiated
from .inputs import NO_EDGES, PATH, directed_edges, links, normal, path_through, shuffled, star

NOTEBOOK = "03_graph_networks"


def _renumbered_graph(case):
    """edge_index and num_nodes come first; a node among the rest is the caller's to renumber."""
    edge_index, num_nodes, *rest = case.args
    return Case(case.label + ", renumbered", torch.argsort(shuffled(num_nodes))[edge_index], num_nodes, *rest)


# --------------------------------------------------------------------------------------------------------- gcn_norm


def _graphs(generator):
    """edge_index and num_nodes; directed, and with degrees that differ at both ends."""
    yield Case("a directed path of three nodes", PATH, 3)
    yield Case("one node without edges", NO_EDGES, 1)
    yield Case("a path of three and two isolated nodes", PATH, 5)
    yield Case("an undirected graph of 6 nodes", links(6, 8, generator), 6)
    yield Case("a directed graph of 7 nodes", directed_edges(7, 17, generator), 7)
    loops = torch.tensor([[2, 4], [2, 4]])
    yield Case("a directed graph with two self loops", torch.cat([directed_edges(8, 19, generator), loops], 1), 8)


def _follows_edges(case, value, again, other):
    if SameWeightedEdges().difference(value, value):
        raise ValueError("no edges with weights, each once")
    (edges, weight), (edges_again, weight_again) = value, other
    rank = torch.argsort(shuffled(case.args[1]))
    fault = SameWeightedEdges().difference((edges_again, weight_again), (rank[edges], weight))
    return fault and "the weights did not follow their edges."


gcn_norm = Exercise(graph_networks.gcn_norm, NOTEBOOK, 3, _graphs, same=SameWeightedEdges(), properties=(
    Property("renumbering the nodes renumbers the edges, and changes no weight", _follows_edges, _renumbered_graph),
))


@gcn_norm.further
def _(generator):
    yield Case("a star: 300 edges into node 0", star(300), 301)
    yield Case("an undirected graph of 40 nodes", links(40, 120, generator), 40)


def _normalised(edge_index, num_nodes, d_u, d_v=None, loops=True):
    """The edges and 1 / sqrt(d_u d_v), from the degrees that are handed in; nodes of degree 0 get 0."""
    edges = graph_networks.with_self_loops(edge_index, num_nodes) if loops else edge_index
    v, u = edges
    d_u, d_v = d_u.float(), (d_u if d_v is None else d_v).float()
    return edges, (d_u[u] * d_v[v]).rsqrt().nan_to_num(posinf=0)


def _arriving(edge_index, num_nodes):
    return torch.bincount(edge_index[1], minlength=num_nodes)


@gcn_norm.misconception("no self loops", "Your edges have no u -> u. In Kipf's sum over N(u) and u, how does u's own "
                        "feature get in, and what becomes of an isolated node?")
def _(edge_index, num_nodes):
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    return _normalised(edges, num_nodes, _arriving(edges, num_nodes), loops=False)


_BEFORE = ("The edges are right. Your degrees do not count the self loop that you added: d belongs to A + I. How large is d for an "
           "isolated node?")


@gcn_norm.misconception("degrees counted before the self loops", _BEFORE)
def _(edge_index, num_nodes):
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    return _normalised(edges, num_nodes, _arriving(edges, num_nodes))


@gcn_norm.misconception("degrees before the loops, at least 1", _BEFORE)
def _(edge_index, num_nodes):
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    return _normalised(edges, num_nodes, _arriving(edges, num_nodes).clamp(min=1))


@gcn_norm.misconception("degrees before the loops, divided by 0", _BEFORE)
def _(edge_index, num_nodes):
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    d = _arriving(edges, num_nodes).float()
    edges = graph_networks.with_self_loops(edges, num_nodes)
    return edges, (d[edges[0]] * d[edges[1]]).rsqrt()


@gcn_norm.misconception("a mean", "You divided by d_u alone, which gives a mean. Kipf's weight asks both ends, each by its "
                        "square root. On an undirected graph, is your weight of u -> v that of v -> u?")
def _(edge_index, num_nodes):
    edges, _ = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges, 1 / _arriving(edges, num_nodes).float()[edges[1]]


@gcn_norm.misconception("divided by the sender's degree", "You divided by d_v alone, the sender's degree. Kipf's weight "
                        "asks both ends, each by its square root. On an undirected graph, is your weight of u -> v that of "
                        "v -> u?")
def _(edge_index, num_nodes):
    edges, _ = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges, 1 / _arriving(edges, num_nodes).float()[edges[0]]


@gcn_norm.misconception("no root", "You divided by d_u d_v. The root is missing: on a graph where every node has degree d, "
                        "counted with its loop, the d weights of an inbox should add up to 1.")
def _(edge_index, num_nodes):
    edges, c = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges, c * c


@gcn_norm.misconception("the root without the division", "Your weights grow with the degrees. D stands to the power of "
                        "minus one half.")
def _(edge_index, num_nodes):
    edges, c = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges, 1 / c


@gcn_norm.misconception("out-degrees", "You counted the edges that leave. Right on undirected graphs; here the inbox "
                        "counts. On the path 0 -> 1 -> 2 with its self loops, how many edges arrive at node 0, and how many "
                        "at node 2?")
def _(edge_index, num_nodes):
    edges = graph_networks.with_self_loops(edge_index, num_nodes)
    return _normalised(edge_index, num_nodes, _arriving(edges.flip(0), num_nodes))


@gcn_norm.misconception("out-degree at the source", "You took the in-degree at the target and the out-degree at the source. "
                        "That is a sensible choice for directed graphs, and not the one that was asked for: the in-degree "
                        "at both ends.")
def _(edge_index, num_nodes):
    edges = graph_networks.with_self_loops(edge_index, num_nodes)
    return _normalised(edge_index, num_nodes, _arriving(edges, num_nodes), _arriving(edges.flip(0), num_nodes))


@gcn_norm.misconception("degree plus 1, loops or not", "Your degrees are right at most nodes. Where a node had a self loop already, you "
                        "counted it twice: as an edge that arrives, and as the one that you add. How many loops does such "
                        "a node have in your list of edges?")
def _(edge_index, num_nodes):
    return _normalised(edge_index, num_nodes, _arriving(edge_index, num_nodes) + 1)


_BOTH_ENDS = ("You counted an edge at both of its ends: in-degree plus out-degree. Here d counts the edges that arrive. On the path "
              "0 -> 1 -> 2 with its self loops, how many arrive at node 0?")


@gcn_norm.misconception("in-degree plus out-degree", _BOTH_ENDS)
def _(edge_index, num_nodes):
    edges = graph_networks.with_self_loops(edge_index, num_nodes)
    return _normalised(edge_index, num_nodes, _arriving(edges, num_nodes) + _arriving(edges.flip(0), num_nodes))


@gcn_norm.misconception("in-degree plus out-degree, one loop", _BOTH_ENDS)
def _(edge_index, num_nodes):
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    return _normalised(edge_index, num_nodes, 1 + _arriving(edges, num_nodes) + _arriving(edges.flip(0), num_nodes))


@gcn_norm.misconception("edges reversed", "Your edges point backwards. Sources stay in row 0 and targets in row 1: in which order do "
                        "you return them?")
def _(edge_index, num_nodes):
    edges, c = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges.flip(0), c


@gcn_norm.misconception("self loops only if there were none", "If some nodes have a self loop, you give none to the others. "
                        "What was asked for is exactly one at every node. Which nodes still lack theirs in that graph?")
def _(edge_index, num_nodes):
    if (edge_index[0] == edge_index[1]).any():
        return _normalised(edge_index, num_nodes, _arriving(edge_index, num_nodes), loops=False)
    return graph_networks.gcn_norm(edge_index, num_nodes)


@gcn_norm.misconception("self loops only at nodes with edges", "A node without edges gets no self loop. It is a node all the same, "
                        "and without its loop no feature reaches it. Which number tells you how many nodes there are?")
def _(edge_index, num_nodes):
    edges, c = graph_networks.gcn_norm(edge_index, num_nodes)
    there = torch.isin(edges[1], edge_index)
    return edges[:, there], c[there]


@gcn_norm.misconception("made undirected", "You added the reverse of each edge. Kipf's graphs have both directions already, and these may not: "
                        "which edges does the exercise ask you to add?")
def _(edge_index, num_nodes):
    return graph_networks.gcn_norm(torch.cat([edge_index, edge_index.flip(0)], 1).unique(dim=1), num_nodes)


@gcn_norm.misconception("the root at one end", "You divided by the root of one degree only. Kipf's weight asks both ends, each by its "
                        "square root: what is your weight of u -> v, next to that of v -> u?")
def _(edge_index, num_nodes):
    edges, _ = graph_networks.gcn_norm(edge_index, num_nodes)
    return edges, _arriving(edges, num_nodes).float()[edges[1]].rsqrt()


@gcn_norm.misconception("a second loop", "A node that had a self loop already has two now. A + I with loops in A gives them "
                        "a 2; what was asked for is one loop for each node.")
def _(edge_index, num_nodes):
    edges = torch.cat([edge_index, torch.arange(num_nodes).repeat(2, 1)], 1)
    d = _arriving(edges, num_nodes).float()
    return edges, (d[edges[0]] * d[edges[1]]).rsqrt()


@gcn_norm.right
def _(edge_index, num_nodes):
    A = torch.eye(num_nodes, dtype=torch.float64)
    A[edge_index[0], edge_index[1]] = 1
    root = A.sum(0).pow(-0.5)
    edges = A.nonzero().T
    return edges, (root[:, None] * A * root)[edges[0], edges[1]]


@gcn_norm.right
def _(edge_index, num_nodes):
    edges = {(v, u) for v, u in edge_index.T.tolist()} | {(u, u) for u in range(num_nodes)}
    d = [sum(u == node for _, u in edges) for node in range(num_nodes)]
    return (torch.tensor(sorted(edges, reverse=True)).T,
            torch.tensor([(d[v] * d[u]) ** -0.5 for v, u in sorted(edges, reverse=True)]))


# -------------------------------------------------------------------------------------------------- receptive_field


def _near(generator):
    path = torch.stack([torch.arange(6), torch.arange(1, 7)])
    yield Case("node 4 of the path 0 -> 1 -> ... -> 6, k = 2", path, 7, 4, 2)
    yield Case("node 4 of that path, k = 0", path, 7, 4, 0)
    yield Case("the first node of that path, k = 3", path, 7, 0, 3)
    yield Case("one node without edges, k = 2", NO_EDGES, 1, 0, 2)
    ring = torch.stack([torch.arange(6), torch.arange(1, 7) % 6])
    yield Case("a directed ring of 6 nodes, k = 9", ring, 6, 3, 9)
    # 2 is reached from 0 by way of 1 too, one step later: whoever marks it as done on the long way misses 4.
    short_and_long = torch.tensor([[1, 2, 2, 1, 3, 4], [0, 0, 1, 2, 1, 2]])
    yield Case("a directed graph of 5 nodes with a short and a long way, k = 2", short_and_long, 5, 0, 2)
    crowd = torch.cat([graphs.to_edge_index(1 - torch.eye(5)), torch.tensor([[0, 6], [5, 5]])], 1)
    yield Case("a directed graph of 7 nodes, five of them joined to each other, k = 100", crowd, 7, 5, 100)
    yield Case("a directed graph of 9 nodes, k = 1", directed_edges(9, 14, generator), 9, 5, 1)
    yield Case("a directed graph of 11 nodes, k = 2", directed_edges(11, 16, generator), 11, 6, 2)
    yield Case("an undirected graph of 10 nodes, k = 3", links(10, 10, generator), 10, 2, 3)


def _renumbered_with_node(case):
    derived = _renumbered_graph(case)
    edge_index, num_nodes, node, k = derived.args
    return Case(derived.label, edge_index, num_nodes, int(torch.argsort(shuffled(num_nodes))[node]), k)


def _follows_nodes(case, value, again, other):
    if value.shape != (case.args[1],):
        raise ValueError("not one entry for each node")
    return None if torch.equal(other, value[shuffled(case.args[1])]) else "the answer did not follow its nodes."


receptive_field = Exercise(message_passing.receptive_field, NOTEBOOK, 2, _near, properties=(
    Property("renumbering the nodes renumbers the answer", _follows_nodes, _renumbered_with_node),
))


@receptive_field.further
def _(generator):
    order = torch.randperm(80, generator=generator)
    yield Case("the end of a path through 80 nodes, k = 70", path_through(order), 80, int(order[-1]), 70)
    yield Case("a node of that path, k = 13", path_through(order), 80, int(order[40]), 13)
    yield Case("a star: 300 edges into node 0, k = 1", star(300), 301, 0, 1)
    # Whoever marks nodes while going through these edges gets from one end to the other at once.
    backwards = path_through(torch.arange(9)).flip(1)
    yield Case("the end of a path through 9 nodes, listed from its end, k = 2", backwards, 9, 8, 2)
    yield Case("a directed graph of 60 nodes, k = 3", directed_edges(60, 90, generator), 60, 17, 3)


def _reached(edge_index, num_nodes, start, steps, keep=True):
    """Nodes reached against the arrows; without ``keep`` only those at the end of a walk of exactly so many steps."""
    v, u = edge_index
    for _ in range(steps):
        new = start.clone() if keep else torch.zeros_like(start)
        new[v[start[u]]] = True
        start = new
    return start


def _only(node, num_nodes):
    return torch.arange(num_nodes) == node


@receptive_field.misconception("along the arrows", "You followed the arrows, to the nodes that hear of this one. The "
                               "receptive field is the other way round: whose features can arrive here?")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index.flip(0), num_nodes, _only(node, num_nodes), k)


@receptive_field.misconception("both ways", "You followed the edges in both directions. Messages travel from source to "
                               "target alone.")
def _(edge_index, num_nodes, node, k):
    return _reached(torch.cat([edge_index, edge_index.flip(0)], 1), num_nodes, _only(node, num_nodes), k)


@receptive_field.misconception("without the node itself", "The node itself is missing. After 0 rounds, whose features does "
                               "its answer depend on?")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), k) & ~_only(node, num_nodes)


@receptive_field.misconception("exactly k steps", "You have the nodes that are exactly k steps away. The update also reads "
                               "what the node knows already, so what came earlier is kept.")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), k, keep=False)


def _only_wrong_for_large_k(case, value):
    is_right = torch.equal(value, message_passing.receptive_field(*case.args))
    return is_right if case.args[3] < 10 else not is_right or case.args[3] < 100


@receptive_field.misconception("walks counted until they overflow", "Right for small k. The powers of A + I count walks, and soon there are "
                               "more than float32 can hold. You need to know only whether there is one: what may each entry "
                               "become after a step?", _only_wrong_for_large_k)
def _(edge_index, num_nodes, node, k):
    A = graphs.to_adjacency(edge_index, num_nodes) + torch.eye(num_nodes)
    return torch.linalg.matrix_power(A, k)[:, node] > 0


@receptive_field.misconception("neighbours only", "Your answer stops at the node's own inbox. In the second round its "
                               "neighbours pass on what they heard in the first.")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), min(k, 1))


@receptive_field.misconception("k + 1 rounds", "You made one step too many. Here k counts rounds, as in the slider above, "
                               "and not the K of Algorithm 4: for k = 0 nothing has been sent yet.")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), k + 1)


@receptive_field.misconception("k - 1 rounds", "You made one step too few. After k = 1 round a node has heard of its direct senders: "
                               "how often does your loop run for k = 1?")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), max(k - 1, 0))


@receptive_field.misconception("two steps in one round", "In your first round news went further than one step. All nodes of a round act at "
                               "once: look only at what had been reached before it.")
def _(edge_index, num_nodes, node, k):
    seen = _only(node, num_nodes)
    for _ in range(k):
        for v, u in edge_index.T.tolist():
            seen[v] |= seen[u]
    return seen


@receptive_field.misconception("k ignored", "You have everybody who can ever be heard, after however many rounds. How often does your loop run?")
def _(edge_index, num_nodes, node, k):
    return _reached(edge_index, num_nodes, _only(node, num_nodes), num_nodes)


@receptive_field.right
def _(edge_index, num_nodes, node, k):
    seen = {node}
    for _ in range(k):
        seen |= {v for v, u in edge_index.T.tolist() if u in seen}
    return torch.tensor([i in seen for i in range(num_nodes)])


@receptive_field.right
def _(edge_index, num_nodes, node, k):
    A = torch.eye(num_nodes, dtype=torch.int64)
    A[edge_index[0], edge_index[1]] = 1
    return torch.linalg.matrix_power(A.double(), k)[:, node] > 0


@receptive_field.right
def _(edge_index, num_nodes, node, k):
    """Pokes every node and looks what moves, as notebook 2 does."""
    h = torch.eye(num_nodes)
    for _ in range(k):
        h = h + message_passing.aggregate(h[edge_index[0]], edge_index[1], num_nodes)
    return h[node] > 0


# ---------------------------------------------------------------------------------------------------------- readout


def _batches(generator):
    yield Case("two graphs, of 2 and 3 nodes", normal(5, 3, generator=generator), torch.tensor([0, 0, 1, 1, 1]))
    yield Case("one graph of a single node", normal(1, 4, generator=generator), torch.tensor([0]))
    yield Case("three graphs, of 4, 1 and 2 nodes", normal(7, 2, generator=generator), torch.tensor([0, 0, 0, 0, 1, 2, 2]))
    yield Case("graphs 0 and 2, while graph 1 has no node", normal(4, 3, generator=generator), torch.tensor([0, 2, 2, 2]))
    yield Case("graphs 1 and 2, while graph 0 has no node", normal(3, 2, generator=generator), torch.tensor([1, 1, 2]))
    yield Case("six graphs", normal(9, 2, generator=generator), torch.tensor([0, 1, 1, 2, 3, 4, 5, 5, 5]))


def _shuffled_within(case):
    h, batch = case.args
    order = (batch + torch.rand(len(batch), generator=torch.Generator().manual_seed(1))).argsort()
    return Case(case.label + ", nodes of each graph in another order", h[order], batch)


def _unchanged(case, value, again, other):
    return None if Close().difference(other, value) is None else "the answer changed."


def _added(case, value):
    h, batch = case.args
    return None if value.shape[1:] == h.shape[1:] and Close().difference(value.sum(0), h.sum(0)) is None else \
        "the rows do not add up to the sum over all nodes."


readout = Exercise(graph_networks.readout, NOTEBOOK, 2, _batches, parameters=("h", "batch"), properties=(
    Property("the order of a graph's nodes does not matter", _unchanged, _shuffled_within),
    Property("every node is counted, once", _added),
), differentiated=Differentiated(("h",)))


@readout.further
def _(generator):
    batch = torch.randint(60, (150,), generator=generator).sort().values
    yield Case("60 graphs, some without a node", normal(150, 4, generator=generator), batch)
    batch, h = torch.tensor([3] * 300 + [7] * 20), normal(320, 2, generator=generator)
    yield Case("a graph of 300 nodes, and gaps of three graphs without a node", h, batch)


@readout.misconception("a mean", "You took the mean. It cannot tell a graph from two copies of it; here the sum was asked "
                       "for.")
def _(h, batch):
    return graph_networks.readout(h.float(), batch, "mean")


@readout.misconception("a mean, 0 / 0 for no node", "You took the mean. It cannot tell a graph from two copies of it, and of no node it is "
                       "0 / 0. Here the sum was asked for.")
def _(h, batch):
    return torch.stack([h[batch == g].mean(0) for g in range(int(batch.max()) + 1)])


@readout.misconception("a row for each node", "Your answer has as many rows as there are nodes. A graph needs one row: how many graphs does "
                       "`batch` number?")
def _(h, batch):
    return h.new_zeros(h.shape).index_add(0, batch, h)


@readout.misconception("a maximum", "You took the largest value in each column. Here the sum was asked for.")
def _(h, batch):
    return graph_networks.readout(h, batch, "max")


@readout.misconception("one sum for all", "You summed over all nodes, those of other graphs too. `batch` says which rows "
                       "belong together.")
def _(h, batch):
    return h.sum(0, keepdim=True).repeat(int(batch.max()) + 1, 1)


@readout.misconception("only the last node counts", "Of each graph one node is left. out[batch] = h writes into the same "
                       "row again and again. Which operation accumulates?")
def _(h, batch):
    out = h.new_zeros(int(batch.max()) + 1, h.shape[1])
    for row, g in zip(h, batch):
        out[g] = row
    return out


@readout.misconception("a graph without nodes is left out", "A graph without a node has no row in your answer, so that "
                       "those behind it have the wrong number. What is a sum over nothing, and how many graphs does `batch` "
                       "number?")
def _(h, batch):
    return torch.stack([h[batch == g].sum(0) for g in batch.unique()])


def _only_the_first_column(case, value):
    first = graph_networks.readout(*case.args)[:, 0].to(value.dtype)
    return torch.allclose(value[:, 0], first, atol=1e-4) and not value[:, 1:].any()


@readout.misconception("only the first feature", "The first column of your answer is right, and all others are 0. "
                       "scatter_add_ adds only as many entries as its index has: which shape does your index have, and which "
                       "does h have?", _only_the_first_column)
def _(h, batch):
    return h.new_zeros(int(batch.max()) + 1, h.shape[1]).scatter_add(0, batch[:, None], h)


@readout.misconception("columns summed away", "You summed over the features as well. A graph needs a row of d numbers, one "
                       "for each column of h.")
def _(h, batch):
    return graph_networks.readout(h, batch).sum(1)


@readout.right
def _(h, batch):
    return torch.stack([h[batch == g].sum(0) for g in range(int(batch.max()) + 1)])


@readout.right
def _(h, batch):
    return torch.nn.functional.one_hot(batch).T.to(h.dtype) @ h


@readout.right
def _(h, batch):
    return h.new_zeros(int(batch[-1]) + 1, h.shape[1]).scatter_add(0, batch[:, None].expand_as(h), h)


# -------------------------------------------------------------------------------------------------------- wl_colours


def _coloured(generator):
    """edge_index, num_nodes, rounds and the colours at the start."""
    def start(num_nodes, colours=1):
        return torch.randint(colours, (num_nodes,), generator=generator)

    yield Case("a path of four nodes, 2 rounds", torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]), 4, 2, start(4))
    yield Case("one node without edges, 1 round", NO_EDGES, 1, 1, start(1))
    yield Case("a directed path of three and two isolated nodes, 3 rounds, two colours at the start", PATH, 5, 3,
               torch.tensor([1, 1, 0, 0, 1]))
    yield Case("a path of three, 0 rounds, three colours at the start", PATH, 3, 0, torch.tensor([7, 3, 5]))
    ring = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    yield Case("a ring of six with a chord, 3 rounds", torch.cat([ring, ring.flip(0)], 1), 6, 3, start(6))
    yield Case("a directed graph of 9 nodes, 4 rounds", directed_edges(9, 17, generator), 9, 4, start(9))
    yield Case("a directed graph of 8 nodes, 2 rounds, three colours at the start", directed_edges(8, 14, generator), 8, 2,
               torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
    # Inboxes with the same sum, the same largest color, and the same mean, of nodes that start with the same color.
    inboxes = ((1, 1), (0, 2), (2, 2), (0, 3), (1, 2), (3,), (1, 3))
    senders = torch.tensor([color for inbox in inboxes for color in inbox])
    receivers = torch.arange(len(inboxes)).repeat_interleave(torch.tensor([len(inbox) for inbox in inboxes]))
    edge_index = torch.stack([len(inboxes) + torch.arange(len(senders)), receivers])
    yield Case("seven nodes that hear one or two others, 1 round, four colors at the start", edge_index,
               len(inboxes) + len(senders), 1, torch.cat([torch.zeros(len(inboxes), dtype=torch.int64), senders]))
    yield Case("two linked nodes of different colours, 1 round", torch.tensor([[0, 1], [1, 0]]), 2, 1, torch.tensor([0, 1]))
    yield Case("two pairs of linked nodes, 1 round, colours 1, 11, 12 and 2", torch.tensor([[0, 2, 1, 3], [2, 0, 3, 1]]), 4, 1,
               torch.tensor([1, 11, 12, 2]))
    yield Case("an undirected graph of 10 nodes, 3 rounds, two colours at the start", links(10, 13, generator), 10, 3, start(10, 2))


def _renumbered_colours(case):
    derived = _renumbered_graph(case)
    edge_index, num_nodes, rounds, start = derived.args
    return Case(derived.label, edge_index, num_nodes, rounds, start[shuffled(num_nodes)])


def _follows_rows(case, value, again, other):
    if value.ndim != 2 or value.shape[1] != case.args[1]:
        raise ValueError("not one column for each node")
    fault = SamePartitions().difference(other, value[:, shuffled(case.args[1])])
    return fault and "the colours did not follow their nodes."


def _never_merge(case, value):
    together = value[:, :, None] == value[:, None, :]
    return None if not (together[1:] & ~together[:-1]).any() else "two nodes of different colours have the same one a round later."


wl_colours = Exercise(
    graph_networks.wl_colours, NOTEBOOK, 3, _coloured, same=SamePartitions(),
    parameters=("edge_index", "num_nodes", "rounds", "start"), properties=(
        Property("renumbering the nodes renumbers the colours", _follows_rows, _renumbered_colours),
        Property("what was told apart once stays apart", _never_merge),
    ), partly=(Part(1),))  # an inbox as one number is the right idea, and collides in a large graph


@wl_colours.further
def _(generator):
    path, same = path_through(torch.randperm(14, generator=generator)), torch.zeros(14, dtype=torch.int64)
    yield Case("a directed path through 14 nodes, 8 rounds", path, 14, 8, same)
    # A node that receives so many messages of color 0, beside one that receives a single message of color 1.
    # Whoever writes an inbox as a number in that base takes the two for the same.
    sizes = [size for base in (8, 10, 16) for size in (base, 1)]
    hubs, leaves = torch.arange(len(sizes)), torch.arange(len(sizes), len(sizes) + sum(sizes))
    edge_index = torch.stack([leaves, hubs.repeat_interleave(torch.tensor(sizes))])
    start = torch.cat([0 * hubs, (hubs % 2).repeat_interleave(torch.tensor(sizes))])
    label = "hubs with 8, 10 and 16 messages, 2 rounds, two colors at the start"
    yield Case(label, edge_index, len(start), 2, start)
    start = torch.randint(300, (40,), generator=generator)
    label = "an undirected graph of 40 nodes, 3 rounds, 300 colors at the start"
    yield Case(label, links(40, 60, generator), 40, 3, start)


def _recoloured(edge_index, num_nodes, rounds, start, key):
    """Colours by key(own colour, list of heard colours)."""
    history = [start.tolist()]
    for _ in range(rounds):
        seen = [key(history[-1][u], [history[-1][v] for v, to in edge_index.T.tolist() if to == u]) for u in range(num_nodes)]
        number = {colour: i for i, colour in enumerate(dict.fromkeys(seen))}
        history.append([number[colour] for colour in seen])
    return torch.tensor(history).reshape(rounds + 1, num_nodes)


@wl_colours.misconception("a set instead of a multiset", "You looked at which colours a node hears, and not at how often it "
                          "hears each. A sum of messages counts; what should two equal colours in an inbox be?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, *sorted(set(heard))))


@wl_colours.misconception("its own colour forgotten", "Your new colour depends on the inbox alone, so that nodes which were "
                          "told apart may become equal again. What else does the update phi read?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: tuple(sorted(heard)))


@wl_colours.misconception("itself among those heard", "You put a node's own colour among the colours that it hears. Then a node of colour 0 that "
                          "hears a 1 looks like one of colour 1 that hears a 0. How do you keep the two apart?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: tuple(sorted([own, *heard])))


@wl_colours.misconception("digits run together", "Your names of inboxes run together: the colour 1 that hears 12 and the colour 11 that hears 2 are both 112. "
                          "What keeps two numbers apart?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: str(own) + "".join(map(str, sorted(heard))))


@wl_colours.misconception("the order of the edges counts", "Your colours depend on the order in which the edges are listed. "
                          "An inbox has no order: which two lists should give the same colour?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, *heard))


@wl_colours.misconception("colours added up", "You added the numbers of the colours. Colours are names: 1 + 1 and 0 + 2 are "
                          "different inboxes with the same sum. How can a list of names be compared as a whole?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, sum(heard)))


@wl_colours.misconception("the largest color", "You looked at the largest of the colors that a node hears. Colors are names: of two "
                          "inboxes with the same largest one, can the rest differ?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, max(heard, default=None)))


@wl_colours.misconception("the smallest color", "You looked at the smallest of the colors that a node hears. Colors are names: of two "
                          "inboxes with the same smallest one, can the rest differ?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, min(heard, default=None)))


def _a_color_of_its_own(case, value):
    """Whether from the first round on all nodes have different colors."""
    return all(len(row.unique()) == case.args[1] for row in value[1:])


@wl_colours.misconception("tensors as keys", "After the first round every node has a color of its own. Nodes that start alike and "
                          "receive the same colors should share one. Do you compare numbers, or objects that hold them? Two "
                          "tensors with the same number are two different keys of a dictionary.", _a_color_of_its_own)
def _(edge_index, num_nodes, rounds, start):
    later = torch.arange(num_nodes).expand(rounds, -1)
    return torch.cat([start[None], later])


@wl_colours.misconception("nodes updated one after the other", "Some nodes read colors that are new in this round. All nodes of a round "
                          "act at once: into which list do you write, and which one do you read?")
def _(edge_index, num_nodes, rounds, start):
    color, number, history = start.tolist(), {}, [start.tolist()]
    first_new = max(color, default=0) + 1
    for _ in range(rounds):
        for u in range(num_nodes):
            heard = sorted(color[v] for v, to in edge_index.T.tolist() if to == u)
            color[u] = number.setdefault((color[u], *heard), first_new + len(number))
        history.append(list(color))
    return torch.tensor(history).reshape(rounds + 1, num_nodes)


def _both_ways(edge_index, num_nodes, rounds, start):
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    return _recoloured(both, num_nodes, rounds, start, lambda own, heard: (own, *sorted(heard)))


@wl_colours.misconception("both ways along an edge", "Your nodes also read the colors of those that they write to. A message travels along its "
                          "edge from row 0 to row 1, and not back.",
                          lambda case, value: SamePartitions().difference(value, _both_ways(*case.args)) is None)
def _(edge_index, num_nodes, rounds, start):
    return _both_ways(edge_index, num_nodes, rounds, start)


@wl_colours.misconception("the start left out", "Your first row is the one after the first round, and one row is missing. Row 0 is before any "
                          "message: which colors are those?")
def _(edge_index, num_nodes, rounds, start):
    return graph_networks.wl_colours(edge_index, num_nodes, rounds, start)[1:]


@wl_colours.misconception("a mean of colors", "You took the mean of the colors. Colors are names: 1 and 1 have the same mean as 0 and 2, "
                          "and as a single 1. How can a list of names be compared as a whole?")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start,
                       lambda own, heard: (own, sum(heard) / len(heard) if heard else None))


@wl_colours.misconception("a count in place of colours", "You only counted how many messages arrive, whatever their colour. "
                          "Round 2 then knows no more than round 1.")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index, num_nodes, rounds, start, lambda own, heard: (own, len(heard)))


@wl_colours.misconception("against the arrow", "Your nodes read the colours of those they write to. Row 0 of edge_index is "
                          "where a message comes from.")
def _(edge_index, num_nodes, rounds, start):
    return _recoloured(edge_index.flip(0), num_nodes, rounds, start, lambda own, heard: (own, *sorted(heard)))


@wl_colours.misconception("a round ahead", "Your colours are those of one round later. Row 0 is before any message: which "
                          "colours are those?")
def _(edge_index, num_nodes, rounds, start):
    return graph_networks.wl_colours(edge_index, num_nodes, rounds + 1, start)[1:]


@wl_colours.misconception("the start forgotten", "Your nodes all begin with the same colour. What they are told apart by "
                          "before the first message is in `start`: elements, say.")
def _(edge_index, num_nodes, rounds, start):
    return graph_networks.wl_colours(edge_index, num_nodes, rounds)


@wl_colours.misconception("all different from the start", "Every node has a colour of its own from the start: you gave the "
                          "nodes their numbers. All that a node knows of itself at the start is in `start`.")
def _(edge_index, num_nodes, rounds, start):
    return torch.arange(num_nodes).repeat(rounds + 1, 1)


@wl_colours.right
def _(edge_index, num_nodes, rounds, start):
    colour, history = start.tolist(), []
    for k in range(rounds + 1):
        history.append([colour.index(c) for c in colour])
        inbox = [edge_index[0, edge_index[1] == u].tolist() for u in range(num_nodes)]
        colour = [(history[-1][u], tuple(sorted(history[-1][v] for v in inbox[u]))) for u in range(num_nodes)]
    return torch.tensor(history)


@wl_colours.right
def _(edge_index, num_nodes, rounds, start):
    """By random numbers: equal multisets have equal sums, others almost never."""
    generator = torch.Generator().manual_seed(0)
    history = [start.unique(return_inverse=True)[1]]
    for _ in range(rounds):
        name = torch.randint(1 << 40, (num_nodes,), generator=generator)
        heard = torch.zeros(num_nodes, dtype=torch.int64).index_add(0, edge_index[1], name[history[-1][edge_index[0]]])
        seen = torch.stack([history[-1], heard], dim=1)
        history.append(seen.unique(dim=0, return_inverse=True)[1])
    return torch.stack(history)
