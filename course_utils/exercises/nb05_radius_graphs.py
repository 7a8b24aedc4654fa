"""Notebook 5: edges between points in space, within a radius and to the nearest, their parts, and a smooth end."""

from __future__ import annotations

import math

import torch
from scipy.spatial import cKDTree

from .. import neighbors
from .declare import Case, Exercise, Part, PropertiesOnly, Property, SameEdges, SamePartitions, wrong_form
from .derivatives import Differentiated
from .inputs import NO_EDGES, PATH, directed_edges, links, normal, path_through, shuffled, star

NOTEBOOK = "05_radius_graphs"
DOUBLE = torch.float64


def _moved(case):
    """The points a quarter turn and a shift away. Neither rounds: a distance of exactly r stays one."""
    x, number = case.args
    turned = torch.cat([-x[:, 1:2], x[:, :1], x[:, 2:]], dim=1)
    return Case(case.label + ", turned and shifted", turned + 4, number)


def _edges(value):
    """The edges of an answer, as a set of pairs. ValueError for another form: no property can be tested on it."""
    if not isinstance(value, torch.Tensor) or value.ndim != 2 or value.shape[0] != 2:
        raise ValueError("no edge list")
    return set(zip(*value.tolist()))


def _same_edges_again(case, value, again, other):
    changed = _edges(value) != _edges(other)
    return "a turn and a shift of all points changed the edges." if changed else None


def _points(*rows):
    return torch.tensor(rows, dtype=DOUBLE)


# ------------------------------------------------------------------------------------------------------ radius_graph


def _in_a_gap(x, share):
    """A cutoff that joins about this share of the pairs, in the middle between two of the distances that occur."""
    d = torch.pdist(x.double()).unique()
    i = int(share * (len(d) - 1))
    return float(d[i] + d[i + 1]) / 2


def _in_a_wide_gap(x, share):
    """A cutoff as `_in_a_gap` picks it, in the widest of twenty gaps from there on."""
    d = torch.pdist(x.double()).unique()
    first = int(share * (len(d) - 21))
    i = first + int(d[first:first + 21].diff().argmax())
    return float(d[i] + d[i + 1]) / 2


def _grid(rows, columns):
    """The points of a grid in the plane of x and y, one apart, in no order: (rows * columns, 3)."""
    points = [[i, j, 0] for i in range(rows) for j in range(columns)]
    return _points(*points)[shuffled(rows * columns)]


def _clouds(generator):
    """x and r: distances of exactly r, radii below and above 1, points in one place, a crowd, and far away."""
    yield Case("three points in a row, at distances 1, 2 and 3, r = 2", _points([0, 0, 0], [1, 0, 0], [3, 0, 0]), 2.0)
    yield Case("a single point, r = 1", _points([5, 1, 2]), 1.0)
    yield Case("the corners of a rectangle with sides 3 and 4, r = 5", _points([0, 0], [3, 0], [3, 4], [0, 4]), 5.0)
    yield Case("the corners of a rectangle with sides 0.25 and 0.5, r = 0.25",
               _points([0, 0], [0.25, 0], [0.25, 0.5], [0, 0.5]), 0.25)
    yield Case("two points in one place, a third at distance 1, r = 0.5", _points([1, 2, 0], [1, 2, 0], [2, 2, 0]), 0.5)
    yield Case("four points, two of them at distance 1, another at 1.04 and the first far away, r = 1",
               _points([9, 9, 9], [0, 0, 0], [1, 0, 0], [0, 1.04, 0]), 1.0)
    yield Case("four points too far apart, r = 0.5", _points([0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]), 0.5)
    for n, axes, size, share in ((9, 3, 4.0, 0.4), (11, 3, 0.3, 0.25), (8, 2, 2.0, 0.5)):
        x = size * normal(n, axes, generator=generator).to(DOUBLE)
        r = _in_a_gap(x, share)
        yield Case(f"{n} points {'in space' if axes == 3 else 'in the plane'}, r = {r:.3g}", x, r)
    yield Case("a grid of 6 by 6 points, r = 5", _grid(6, 6), 5.0)
    x = normal(30, 3, generator=generator) + 5000
    r = _in_a_wide_gap(x, 0.35)
    yield Case(f"30 points some 9,000 from the origin, in float32, r = {r:.3g}", x, r)


def _both_ways(case, value):
    edges = _edges(value)
    lone = next(((v, u) for v, u in sorted(edges) if (u, v) not in edges), None)
    return lone and f"{lone[0]} -> {lone[1]} is an edge and {lone[1]} -> {lone[0]} is not."


radius_graph = Exercise(neighbors.radius_graph, NOTEBOOK, 2, _clouds, SameEdges(), (
    Property("every edge has its reverse", _both_ways),
    Property("turning and shifting all points changes no edge", _same_edges_again, _moved),
))


@radius_graph.further
def _(generator):
    x = 4 * normal(45, 3, generator=generator).to(DOUBLE)
    r = _in_a_wide_gap(x, 0.5)
    yield Case(f"45 points in space, r = {r:.3g}", x, r)
    x = normal(45, 3, generator=generator) + 5000
    r = _in_a_wide_gap(x, 0.3)
    yield Case(f"45 points some 9,000 from the origin, in float32, r = {r:.3g}", x, r)
    yield Case("a grid of 7 by 6 points, r = 1", _grid(7, 6), 1.0)
    crowd = _points(*[[2, 1, 0]] * 65, [2, 2, 0])
    yield Case("65 points in one place and one at distance 1, r = 1", crowd, 1.0)


def _joined(x, near, self_loops=False):
    """The pairs for which near(difference) holds, difference (num_nodes, num_nodes, axes)."""
    mask = near(x[:, None] - x[None])
    return (mask if self_loops else mask & ~torch.eye(len(x), dtype=torch.bool)).nonzero().T


@radius_graph.misconception("self loops", "Every node is a neighbour of its own: its distance to itself is 0, which "
                            "is below r. What does v != u leave out?")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) <= r, self_loops=True)


@radius_graph.misconception("strictly below r", "A pair at a distance of exactly r is missing. Look at the sign "
                            "between |x_u - x_v| and r once more.")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) < r)


@radius_graph.misconception("strictly below r, with self loops", "Two things. A pair at a distance of exactly r is "
                            "missing; and every node is a neighbour of its own. Read the rule once more, sign by "
                            "sign.")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) < r, self_loops=True)


@radius_graph.misconception("one direction", "You list each pair once, in one direction. A message has to travel "
                            "from v to u and another from u to v: how many columns is that?")
def _(x, r):
    v, u = _joined(x, lambda d: d.norm(dim=2) <= r)
    return torch.stack([v, u])[:, v < u]


@radius_graph.misconception("one direction, the other one", "You list each pair once, in one direction. A message "
                            "has to travel from u to v and another from v to u: how many columns is that?")
def _(x, r):
    v, u = _joined(x, lambda d: d.norm(dim=2) <= r)
    return torch.stack([v, u])[:, v > u]


@radius_graph.misconception("every edge twice", "Every edge is listed twice, so that each message would count twice. "
                            "Which pairs does your list hold before you add the reverse of each?")
def _(x, r):
    edges = _joined(x, lambda d: d.norm(dim=2) <= r)
    return torch.cat([edges, edges.flip(0)], dim=1)


@radius_graph.misconception("a squared distance against r", "You compare a squared distance with r. In which unit is "
                            "the one, and in which the other?")
def _(x, r):
    return _joined(x, lambda d: d.square().sum(2) <= r)


@radius_graph.misconception("a row for each edge", "Your answer has a row for each edge. What do row 0 and "
                            "row 1 of an edge_index hold?")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) <= r).T


@radius_graph.misconception("points in one place left apart", "Two points in the same place are not joined. You seem "
                            "to leave out distance 0, to be rid of the self loops. What tells a node from another "
                            "one at the same place?")
def _(x, r):
    return _joined(x, lambda d: (d.norm(dim=2) <= r) & (d.norm(dim=2) > 0))


PRODUCTS = ("Right near the origin, and wrong far away from it: it looks as if large numbers were "
            "subtracted from each other to find a small one, as torch.cdist does with many points. The "
            "graph depends only on differences of positions. Which should come first, the difference or "
            "the square?")


@radius_graph.misconception("|x|^2 - 2 x y + |y|^2", PRODUCTS)
def _(x, r):
    x = x.float()
    squared = x.square().sum(1)
    return _joined(x, lambda d: squared[:, None] - 2 * x @ x.T + squared[None] <= r * r)


@radius_graph.misconception("lengths over the wrong axis", "Your lengths are taken across the nodes. x[:, None] - x has shape "
                            "(n, n, 3), and a distance adds up the squares over x, y and z: which of the three axes is that?")
def _(x, r):
    d = (x[:, None] - x).norm(dim=1)
    d.fill_diagonal_(torch.inf)
    return torch.stack(torch.where(d <= r))


@radius_graph.misconception("a box", "You compare each coordinate with r. That gives a box around u, whose corners "
                            "are farther than r; and the box does not turn with the points.")
def _(x, r):
    return _joined(x, lambda d: d.abs().amax(2) <= r)


@radius_graph.misconception("city blocks", "You add up the absolute differences, as one walks through a city. How "
                            "long is the straight line, the diagonal of a rectangle with sides 3 and 4?")
def _(x, r):
    return _joined(x, lambda d: d.abs().sum(2) <= r)


@radius_graph.misconception("2 r", "Points up to 2 r apart are joined: you let two balls of radius r touch. The rule "
                            "asks whether v itself lies in the ball around u.")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) <= 2 * r)


@radius_graph.misconception("r / 2", "Only points up to r / 2 apart are joined: for you, r is the width of a ball. "
                            "In the rule it is the distance from its centre.")
def _(x, r):
    return _joined(x, lambda d: d.norm(dim=2) <= r / 2)


@radius_graph.misconception("seen from above", "Only the first two coordinates count for you: points above one "
                            "another are joined. Is x always in the plane?")
def _(x, r):
    return _joined(x, lambda d: d[:, :, :2].norm(dim=2) <= r)


@radius_graph.misconception("32 neighbors at most", "Right where there are few points, and in a crowd "
                            "edges are missing. How many neighbors may a node have?")
def _(x, r):
    near = (x[:, None] - x).norm(dim=2) <= r
    near.fill_diagonal_(False)
    return (near & (near.cumsum(1) <= 32)).nonzero().T.flip(0)


@radius_graph.misconception("from the first point", "You measure from the first point alone. Every node is the "
                            "centre of a ball of its own.")
def _(x, r):
    def near(d):
        inside = d[0].norm(dim=1) <= r
        return inside[:, None] & inside
    return _joined(x, near)


@radius_graph.right
def _(x, r):
    at = x.tolist()
    edges = [(v, u) for v in range(len(x)) for u in range(len(x)) if v != u and math.dist(at[v], at[u]) <= r]
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


@radius_graph.right
def _(x, r):
    near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") <= r
    return near.fill_diagonal_(False).nonzero().T.contiguous()


@radius_graph.right
def _(x, r):
    """A k-d tree has each pair once."""
    v, u = torch.from_numpy(cKDTree(x.numpy()).query_pairs(r, output_type="ndarray")).long().T
    return torch.cat([torch.stack([v, u]), torch.stack([u, v])], dim=1)


@radius_graph.right
def _(x, r):
    v, u = neighbors.all_pairs(len(x))
    return torch.stack([v, u])[:, (x[u] - x[v]).square().sum(1) <= r ** 2].int()


# -------------------------------------------------------------------------------------------------------- components


def _in_parts(generator):
    yield Case("the directed path 0 -> 1 -> 2", PATH, 3)
    yield Case("one node without edges", NO_EDGES, 1)
    yield Case("four nodes without edges", NO_EDGES, 4)
    yield Case("two edges into one node, 1 -> 0 and 2 -> 0", torch.tensor([[1, 2], [0, 0]]), 3)
    yield Case("two edges out of one node, 2 -> 0 and 2 -> 1, and an isolated node", torch.tensor([[2, 2], [0, 1]]), 4)
    long_way = torch.tensor([3, 7, 0, 10, 5, 1, 8, 11, 2, 6, 9, 4])
    yield Case("a path through 12 nodes", torch.stack([long_way[:-1], long_way[1:]]), 12)
    down = torch.arange(8, -1, -1)
    yield Case("the path 8 -> ... -> 1 -> 0, listed from its start", torch.stack([down[:-1], down[1:]]), 9)
    triangles = torch.tensor([[0, 2, 4, 1, 3, 5], [2, 4, 0, 3, 5, 1]])
    yield Case("two triangles and two isolated nodes", torch.cat([triangles, triangles.flip(0)], 1), 8)
    yield Case("a node with a self loop among three", torch.tensor([[1], [1]]), 3)
    yield Case("two nodes joined by three edges, and a third", torch.tensor([[2, 0, 2], [0, 2, 0]]), 3)
    yield Case("a path through 30 nodes", path_through(torch.randperm(30, generator=generator)), 30)
    yield Case("the path 0 -> 1 -> ... -> 20", path_through(torch.arange(21)), 21)
    yield Case("two links and two isolated nodes, the first among them", torch.tensor([[1, 2, 3, 5], [2, 1, 5, 3]]), 6)
    yield Case("a directed graph of 11 nodes", directed_edges(11, 8, generator), 11)
    yield Case("an undirected graph of 10 nodes", links(10, 6, generator), 10)


def _renumbered(case):
    edge_index, num_nodes = case.args
    return Case(case.label + ", renumbered", torch.argsort(shuffled(num_nodes))[edge_index], num_nodes)


def _follow(case, value, again, other):
    if wrong_form(value, torch.zeros(case.args[1], dtype=torch.int64)):
        raise ValueError("no label for each node")
    return SamePartitions().difference(other, value[shuffled(case.args[1])]) and "the parts did not follow their nodes."


components = Exercise(neighbors.components, NOTEBOOK, 2, _in_parts, SamePartitions(), (
    Property("renumbering the nodes renumbers the answer", _follow, _renumbered),
))


@components.further
def _(generator):
    order = torch.randperm(70, generator=generator)
    ends_first = torch.stack([order[:35], order[35:].flip(0)], dim=1).flatten()
    shuffle = torch.randperm(69, generator=generator)
    yield Case("a path through 70 nodes", path_through(order)[:, shuffle], 70)
    to_and_fro = path_through(ends_first)
    to_and_fro[:, ::2] = to_and_fro[:, ::2].flip(0)
    yield Case("a path through 70 nodes whose arrows alternate", to_and_fro, 70)
    yield Case("a star: 60 edges into node 0, and 20 isolated nodes", star(60), 81)
    yield Case("a directed graph of 60 nodes", directed_edges(60, 45, generator), 60)


def _spread(edge_index, num_nodes, rounds):
    """The lowest number heard of after so many rounds, along the arrows."""
    label = torch.arange(num_nodes)
    for _ in range(rounds):
        label = label.scatter_reduce(0, edge_index[1], label[edge_index[0]], "amin")
    return label


def _undirected(edge_index):
    return torch.cat([edge_index, edge_index.flip(0)], dim=1)


@components.misconception("neighbours alone", "You looked one step far. On the path 0 -> 1 -> 2, are 0 and 2 in one "
                          "part?")
def _(edge_index, num_nodes):
    return _spread(_undirected(edge_index), num_nodes, 1)


def _falls_short(case, value):
    """Whether only what lies far apart is told apart: small graphs are right, and no two parts share a label."""
    expected = neighbors.components(*case.args)
    if len(expected) <= 4:
        return SamePartitions().difference(value, expected) is None
    together = value[:, None] == value
    joined = expected[:, None] == expected
    is_long = "path through" in case.label and len(expected) >= 30
    return not (together & ~joined).any() and not (is_long and torch.equal(together, joined))


@components.misconception("a fixed number of rounds", "Right where parts are small. On a long path the news has not "
                          "come through: how do you know that you may stop?", _falls_short)
def _(edge_index, num_nodes):
    return _spread(_undirected(edge_index), num_nodes, 5)


@components.misconception("along the arrows alone", "You spread labels along the arrows. With 1 -> 0 and 2 -> 0, "
                          "neither 1 nor 2 hears of anybody, and yet the three hang together. For connected parts "
                          "the direction does not count.")
def _(edge_index, num_nodes):
    return _spread(edge_index, num_nodes, num_nodes)


def _same_parts_as(wrong):
    """Whether all answers are those of a wrong function: others agree with it where there is little to join."""
    return lambda case, value: SamePartitions().difference(value, wrong(*case.args)) is None


def _there_and_back(edge_index, num_nodes):
    reach = torch.eye(num_nodes)
    reach[edge_index[0], edge_index[1]] = 1
    reach = torch.linalg.matrix_power(reach, num_nodes) > 0
    return (reach & reach.T).int().argmax(1)


components.misconception("there and back", "You ask for a way there *and* a way back. Here a link joins "
                         "two nodes, whichever way it points.",
                         _same_parts_as(_there_and_back))(_there_and_back)


def _isolated_together(edge_index, num_nodes):
    label = neighbors.components(edge_index, num_nodes) + 1
    alone = torch.ones(num_nodes, dtype=torch.bool)
    alone[edge_index[:, edge_index[0] != edge_index[1]].flatten()] = False
    return label.masked_fill(alone, 0)


components.misconception("one label for all isolated nodes", "All isolated nodes share a label. Two nodes "
                         "with no edge at all are not in one part: how many parts has a graph of four "
                         "nodes without edges?",
                         _same_parts_as(_isolated_together))(_isolated_together)


def _unlisted_together(edge_index, num_nodes):
    label = neighbors.components(edge_index, num_nodes) + 1
    return torch.where(torch.isin(torch.arange(num_nodes), edge_index), label, 0)


components.misconception("one label for all that no edge names", "All nodes that no edge names share a label. Two nodes with no edge at "
                         "all are not in one part: how many parts has a graph of four nodes without edges?",
                         _same_parts_as(_unlisted_together))(_unlisted_together)


@components.misconception("isolated nodes left out", "Isolated nodes have no label. Each is a part of its own; the "
                          "answer has num_nodes entries.")
def _(edge_index, num_nodes):
    return neighbors.components(edge_index, num_nodes)[edge_index.flatten().unique()]


@components.misconception("once through the list", "You went through the edges once and gave the label of one end to "
                          "the other. Those who had got that label earlier keep the old one. What has to happen to "
                          "all of them?")
def _(edge_index, num_nodes):
    label = list(range(num_nodes))
    for v, u in edge_index.T.tolist():
        label[u] = label[v]
    return torch.tensor(label)


@components.misconception("once through the list, the smaller", "You went through the edges once and gave both ends "
                          "the smaller label. Those who had got the larger one earlier keep it. What has to happen "
                          "to all of them?")
def _(edge_index, num_nodes):
    label = list(range(num_nodes))
    for v, u in edge_index.T.tolist():
        label[v] = label[u] = min(label[v], label[u])
    return torch.tensor(label)


def _one_part_and_the_rest(case, value):
    """Whether one of two labels at most is that of a whole part, and of nothing else."""
    part = neighbors.components(*case.args)
    if value.shape != part.shape or len(value.unique()) > 2:
        return False
    return any(torch.equal(value == value[u], part == part[u]) for u in range(len(part)))


@components.misconception("from one node", "You walked from one node, and all nodes that it did not reach "
                          "have one label. Do these hang together?", _one_part_and_the_rest)
def _(edge_index, num_nodes):
    part = neighbors.components(edge_index, num_nodes)
    return (part == part[0]).long()


@components.misconception("the parent in place of the root", "Your labels hang on each other: a node "
                          "carries the label of a node that has another label itself. How far do you have "
                          "to follow them, and when?")
def _(edge_index, num_nodes):
    parent = list(range(num_nodes))

    def root(node):
        return node if parent[node] == node else root(parent[node])

    for v, u in edge_index.T.tolist():
        parent[root(v)] = root(u)
    return torch.tensor(parent)


def _by_size(edge_index, num_nodes):
    part = neighbors.components(edge_index, num_nodes)
    return part.bincount()[part]


components.misconception("parts of one size", "Parts of the same size share a label. Two separate "
                         "triangles are two parts, however alike they are.",
                         _same_parts_as(_by_size))(_by_size)


@components.misconception("all in one", "All nodes have the same label. How many parts has a graph of four nodes "
                          "without edges?")
def _(edge_index, num_nodes):
    return torch.zeros(num_nodes, dtype=torch.int64)


@components.misconception("every node a part", "Every node is a part of its own. What does an edge between two of "
                          "them do?")
def _(edge_index, num_nodes):
    return torch.arange(num_nodes)


@components.right
def _(edge_index, num_nodes):
    """Walk from every node that has no label yet."""
    label, friends = [-1] * num_nodes, {u: set() for u in range(num_nodes)}
    for v, u in edge_index.T.tolist():
        friends[v].add(u)
        friends[u].add(v)
    for start in range(num_nodes):
        todo = [start] if label[start] < 0 else []
        while todo:
            node = todo.pop()
            if label[node] < 0:
                label[node] = start
                todo += friends[node]
    return torch.tensor(label)


@components.right
def _(edge_index, num_nodes):
    """Merge: all who have the one label get the other."""
    label = torch.arange(num_nodes)
    for v, u in edge_index.T:
        label[label == label[v]] = int(label[u])
    return label


@components.right
def _(edge_index, num_nodes):
    """By powers of the matrix."""
    A = torch.eye(num_nodes, dtype=DOUBLE)
    A[edge_index[0], edge_index[1]] = A[edge_index[1], edge_index[0]] = 1
    return (torch.linalg.matrix_power(A / num_nodes, num_nodes) > 0).int().argmax(1)


@components.right
def _(edge_index, num_nodes):
    return _spread(_undirected(edge_index), num_nodes, num_nodes)


# --------------------------------------------------------------------------------------------------------- knn_graph


def _near_ones(generator):
    """x and k: neighbours that do not see it that way, ties, points in one place."""
    yield Case("points at 0, 1, 3 and 7 on a line, k = 1", _points([0, 0, 0], [1, 0, 0], [3, 0, 0], [7, 0, 0]), 1)
    yield Case("points at 0, 1, 3 and 7 on a line, k = 2", _points([0, 0, 0], [1, 0, 0], [3, 0, 0], [7, 0, 0]), 2)
    yield Case("two points, k = 1", _points([0, 0], [1, 1]), 1)
    yield Case("the corners of a square, k = 1", _points([0, 0], [1, 0], [1, 1], [0, 1]), 1)
    ring = [[5, 0], [3, 4], [0, 5], [-3, 4], [-5, 0], [-3, -4], [0, -5], [3, -4]]
    yield Case("eight points around a ninth, k = 3", _points(*ring, [0, 0]), 3)
    yield Case("three points in one place and two others, k = 2",
               _points([4, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0], [9, 0, 0]), 2)
    yield Case("a grid of 3 by 4 points, k = 4", _grid(3, 4), 4)
    yield Case("a grid of 5 by 4 points, k = 4", _grid(5, 4), 4)
    yield Case("9 points in space, k = 3", normal(9, 3, generator=generator).to(DOUBLE), 3)
    yield Case("8 points in the plane, k = 7: all others", normal(8, 2, generator=generator).to(DOUBLE), 7)
    yield Case("10 points far from the origin, k = 2", 0.1 * normal(10, 3, generator=generator).to(DOUBLE) + 50, 2)
    in_steps = (64 * normal(13, 3, generator=generator)).round() / 64  # squares of distances are exact
    yield Case("13 points in float32, k = 5", in_steps, 5)


def _k_arrive(case, value):
    x, k = case.args
    _edges(value)
    arriving = torch.bincount(value[1].long(), minlength=len(x))
    u = int((arriving != k).int().argmax())
    return None if (arriving == k).all() else f"{int(arriving[u])} edges arrive at node {u}; expected k = {k}."


def _are_nearest(case, value):
    """Whether every node has k neighbors that are as near as its nearest, whoever goes first among equals."""
    x, k = case.args
    d2, edges = _d2(x), _edges(value)
    lengths = torch.full_like(d2, math.inf)
    for v, u in edges:
        lengths[u, v] = d2[u, v]
    nearest = d2.sort(dim=1).values[:, :k]
    return len(edges) == k * len(x) and torch.equal(lengths.sort(dim=1).values[:, :k], nearest)


def _lower_first(case, value):
    if not _are_nearest(case, value):
        return None  # there is more amiss than an order
    x, k = case.args
    d2, edges = _d2(x), _edges(value)
    for u in range(len(x)):
        as_far = (d2[u] == d2[u].sort().values[k - 1]).nonzero().flatten().tolist()
        chosen = [v for v in as_far if (v, u) in edges]
        left_out = [v for v in as_far if (v, u) not in edges]
        if left_out and left_out[0] < chosen[-1]:
            return (f"{chosen[-1]} -> {u} is an edge and {left_out[0]} -> {u} is not, though both are as long. What "
                    "does your routine promise for equal numbers?")
    return None


knn_graph = Exercise(neighbors.knn_graph, NOTEBOOK, 3, _near_ones, SameEdges(), (
    Property("k edges arrive at every node", _k_arrive),
    Property("of two at the same distance, the one with the lower index goes first", _lower_first),
    Property("turning and shifting all points changes no edge", _same_edges_again, _moved),
))


@knn_graph.further
def _(generator):
    """Many ties: a sort that is not stable keeps the order of a few equal numbers only."""
    yield Case("a grid of 8 by 7 points, k = 5", _grid(8, 7), 5)
    yield Case("40 points in one place, k = 12", _points(*[[1, 2, 0]] * 40), 12)
    yield Case("50 points in space, k = 30", normal(50, 3, generator=generator).to(DOUBLE), 30)


def _d2(x, to_itself=math.inf):
    """Squared distances (num_nodes, num_nodes), and on the diagonal whatever keeps a node from choosing itself."""
    d2 = sum((axis[:, None] - axis[None]).square() for axis in x.T)
    return d2.fill_diagonal_(to_itself)


def _to_centre(chosen):
    """Edges from the chosen (num_nodes, k), row by row, to the row's own node."""
    return torch.stack([chosen.flatten(), torch.arange(len(chosen)).repeat_interleave(chosen.shape[1])])


def _ranked(d2):
    return d2.argsort(dim=1, stable=True)


@knn_graph.misconception("oneself among the neighbours", "Everybody's nearest neighbour is itself, at distance 0, "
                         "and takes one of the k places. A node is no neighbour of its own.")
def _(x, k):
    return _to_centre(_ranked(_d2(x, -1))[:, :k])


@knn_graph.misconception("k + 1 with oneself", "k + 1 edges arrive at every node, and one of them comes from the "
                         "node itself. Who should be left out?")
def _(x, k):
    return _to_centre(_ranked(_d2(x, -1))[:, :k + 1])


@knn_graph.misconception("the first column dropped", "Right while no two points share a place. You drop the nearest, "
                         "since that is the node itself. But which comes first in the order, where another point is "
                         "at distance 0 as well?")
def _(x, k):
    return _to_centre(_ranked(_d2(x, 0))[:, 1:k + 1])


def _out_of_step(case, value):
    """Whether the sources come node by node, and the targets round after round."""
    x, k = case.args
    nodes = torch.arange(len(x))
    in_step = torch.stack([value[0], nodes.repeat_interleave(k)])
    return torch.equal(value[1], nodes.repeat(k)) and _are_nearest(case, in_step)


@knn_graph.misconception("sources and targets out of step", "Your sources come k at a time for each node, and your targets one node "
                         "after the other, again and again. Which target belongs to the second of your sources? repeat and "
                         "repeat_interleave put copies in a different order.", _out_of_step)
def _(x, k):
    return torch.stack([_ranked(_d2(x))[:, :k].flatten(), torch.arange(len(x)).repeat(k)])


@knn_graph.misconception("the centre sends", "Your edges run from the centre to its neighbours. Each node is to be "
                         "told by its k nearest: how many edges have to arrive at it?")
def _(x, k):
    return neighbors.knn_graph(x, k).flip(0)


@knn_graph.misconception("made symmetric", "You added the reverse of edges. Being among the k nearest of somebody "
                         "need not be mutual: then more than k edges arrive at some nodes. The rule asks for exactly "
                         "k.")
def _(x, k):
    edges = neighbors.knn_graph(x, k)
    return torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)


@knn_graph.misconception("mutual ones alone", "You kept an edge only where each is among the other's k nearest. Then "
                         "a remote node hears of nobody. The rule asks for k edges at every node, mutual or not.")
def _(x, k):
    v, u = neighbors.knn_graph(x, k)
    is_near = torch.zeros(len(x), len(x), dtype=torch.bool)
    is_near[v, u] = True
    return torch.stack([v, u])[:, is_near[u, v]]


def _are_farthest(case, value):
    """Whether every node has k neighbors that are as far as its farthest, whoever goes first among equals."""
    x, k = case.args
    d2 = _d2(x, -1)
    v, u = value
    chosen = torch.zeros_like(d2, dtype=torch.bool)
    chosen[u, v] = True
    lengths = d2[chosen].view(len(x), k).sort(dim=1, descending=True).values
    return bool((lengths == d2.sort(dim=1, descending=True).values[:, :k]).all())


@knn_graph.misconception("the farthest", "You chose the k farthest. topk and sort have an option that says which end "
                         "is meant.", _are_farthest)
def _(x, k):
    return _to_centre(_d2(x, -1).topk(k, dim=1).indices)


@knn_graph.misconception("oneself and the farthest", "Each node is its own neighbor, and the others are "
                         "the farthest. On the diagonal you put a number that is not to be chosen: which "
                         "end does your topk or sort begin at?")
def _(x, k):
    return _to_centre(_d2(x).topk(k, dim=1).indices)


def _in_no_order(case, value):
    """Whether the neighbors are nearest, and in the crowd their ties are in no order, up or down."""
    if not _are_nearest(case, value):
        return False
    x, k = case.args
    upside_down = Case(case.label, x.flip(0), k), len(x) - 1 - value
    return len(x) != 20 or bool(_lower_first(case, value) and _lower_first(*upside_down))


@knn_graph.misconception("ties as topk has them", "Your distances are right, and of neighbors at the same "
                         "distance you take whichever the routine puts first. What do topk and sort "
                         "promise for equal numbers, and which option makes one of them promise more?",
                         _in_no_order)
def _(x, k):
    return _to_centre(_d2(x).topk(k, dim=1, largest=False).indices)


@knn_graph.misconception("ties to the higher index", "Of two neighbours at the same distance you take the one with "
                         "the higher index. The rule names the other one; what does your sort promise for equal "
                         "numbers?")
def _(x, k):
    n = len(x)
    return _to_centre(n - 1 - _ranked(_d2(x).flip(1))[:, :k])


@knn_graph.misconception("all that are as near", "Where neighbours are equally far you take them all, and more than "
                         "k edges arrive. Of those at the same distance, who goes first?")
def _(x, k):
    d2 = _d2(x)
    return (d2 <= d2.sort(dim=1).values[:, k - 1:k]).nonzero().T.flip(0)


@knn_graph.misconception("points in one place left out", "A point in the same place as another is not among its "
                         "neighbours. You seem to leave out distance 0, to be rid of the node itself. What tells the "
                         "two apart?")
def _(x, k):
    d2 = _d2(x, 0)
    d2[d2 == 0] = math.inf
    return _to_centre(_ranked(d2)[:, :k])


@knn_graph.misconception("city blocks", "Your distances are those of a city with straight streets: absolute "
                         "differences, added up. Which neighbour is nearer as the crow flies?")
def _(x, k):
    d = (x[:, None] - x[None]).abs().sum(2).fill_diagonal_(math.inf)
    return _to_centre(_ranked(d)[:, :k])


@knn_graph.misconception("near the first point", "All nodes have the same neighbours, those nearest to the first "
                         "point. Every node is to have its own.")
def _(x, k):
    nearest = _ranked(_d2(x, -1))[0]
    return _to_centre(torch.stack([nearest[nearest != u][:k] for u in range(len(x))]))


@knn_graph.right
def _(x, k):
    edges = torch.zeros(2, len(x), k, dtype=torch.int64)
    for u in range(len(x)):
        others = sorted((math.dist(x[u].tolist(), x[v].tolist()), v) for v in range(len(x)) if v != u)
        edges[0, u] = torch.tensor([v for _, v in others[:k]])
        edges[1, u] = u
    return edges.flatten(1)


@knn_graph.right
def _(x, k):
    distance = torch.linalg.norm(x[:, None] - x, dim=2)
    distance[range(len(x)), range(len(x))] = torch.inf
    v = torch.sort(distance, stable=True).indices[:, :k]
    return torch.stack([v.reshape(-1), torch.arange(len(x)).unsqueeze(1).expand(-1, k).reshape(-1)])


@knn_graph.right
def _(x, k):
    """Sorts all others by distance, after the index, node by node."""
    columns = []
    for u in range(len(x)):
        others = torch.cat([torch.arange(u), torch.arange(u + 1, len(x))])
        nearest = others[torch.argsort((x[others] - x[u]).pow(2).sum(1), stable=True)[:k]]
        columns.append(torch.stack([nearest, torch.full((k,), u)]))
    return torch.cat(columns, dim=1)


# ---------------------------------------------------------------------------------------------------------- envelope

NEAR = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""How far below r its end is looked at, in units of r."""


def _distances(generator):
    """d and r: an even grid from 0 to far beyond r, distances that come close to r from below, some that stay far
    below it, in several shapes."""
    for r in (1.0, 2.5, 6.0):
        beyond = torch.tensor([1.0, 1.001, 1.01, 1.1, 1.25, 1.5, 2, 3, 10, 100], dtype=DOUBLE)
        even = torch.arange(40, dtype=DOUBLE) / 40
        yield Case(f"distances from 0 to beyond r = {r:g}", r * torch.cat([even, beyond]), r)
    for r in (1.0, 4.0):
        yield Case(f"distances just below r = {r:g}", r * (1 - torch.tensor(NEAR, dtype=DOUBLE)), r)
    yield Case("an even grid in float32, r = 2", torch.arange(81) / 20, 2.0)
    yield Case("six distances as a table of 2 by 3, r = 3", 6 * torch.rand(2, 3, generator=generator).to(DOUBLE), 3.0)
    yield Case("five distances below half of r = 4", 2 * torch.rand(5, generator=generator).to(DOUBLE), 4.0)
    yield Case("a column of 4 distances, r = 1.5", 2 * torch.rand(4, 1, generator=generator).to(DOUBLE), 1.5)
    yield Case("a single distance, r = 2", torch.tensor(0.7, dtype=DOUBLE), 2.0)


def _far_and_near(generator):
    for r in (0.2, 40.0):
        beyond = torch.tensor([1, 1.0001, 1.7, 50, 1e4], dtype=DOUBLE)
        d = torch.cat([torch.arange(200, dtype=DOUBLE) / 200, beyond])
        yield Case(f"distances from 0 to far beyond r = {r:g}", r * d, r)
        yield Case(f"distances just below r = {r:g}", r * (1 - torch.tensor(NEAR, dtype=DOUBLE)), r)


def _just_below(case):
    return case.label.startswith("distances just below")


def _is_grid(case):
    """Whether the distances begin at 0, in order, and go on beyond r."""
    d, r = case.args
    return d.ndim == 1 and len(d) > 0 and d[0] == 0 and d[-1] > r


def _on_grids(fault):
    """A property of the even grids; no other form of answer can be tested on it."""
    def checked(case, value):
        if _of_that_form(case, value):
            raise ValueError("not that many factors")
        return fault(*case.args, value.double()) if _is_grid(case) else None
    return checked


def _of_that_form(case, value):
    return wrong_form(value, torch.empty(case.args[0].shape))


def _one_at_zero(d, r, value):
    return None if abs(value[0] - 1) < 1e-5 else f"it is {value[0]:.6g} at distance 0; expected 1."


def _nothing_beyond(d, r, value):
    worst = value[d >= r].abs().nan_to_num(math.inf)
    i = int(worst.argmax())
    return None if worst[i] < 1e-6 else (f"it is {value[d >= r][i]:.3g} at distance {d[d >= r][i]:g}; expected 0 from "
                                         f"r = {r:g} on.")


def _something_below(d, r, value):
    inside = d < 0.9 * r
    i = int(((value > 0) & inside).int().argmin())
    return None if (value[inside] > 0).all() else f"it is {value[i]:.3g} at distance {d[i]:.3g}, well below r = {r:g}."


def _never_rises(d, r, value):
    rise = value[1:] - value[:-1]
    i = int(rise.nan_to_num(math.inf).argmax())
    return None if rise[i] < 1e-6 else (f"it rises from {value[i]:.3g} at distance {d[i]:.3g} to {value[i + 1]:.3g} at "
                                        f"{d[i + 1]:.3g}.")


def _at_the_end(order, what):
    """f(r - s) / s^order must go to 0 with s: then the derivative of that order is 0 at r, as it is beyond. The ratio
    at a small s is compared with that at a larger one: what ends like s^(order + 1/2) or flatter passes, and like
    s^order fails. In single precision rounding hides the smallest."""
    def fault(case, value):
        if _of_that_form(case, value):
            raise ValueError("not that many factors")
        if not _just_below(case):
            return None
        far, near, rounding = (0.01, 0.0001, 1e-13) if value.dtype == DOUBLE else (0.1, 0.003, 1e-6)
        at_far, at_near = (value.double().abs()[NEAR.index(s)] for s in (far, near))
        vanishes = value[-1].abs() < 1e-3 if order == 0 else at_near <= 0.5 * at_far * (near / far) ** order + rounding
        return None if vanishes else what.format(value[-1].item(), case.args[1] * (1 - NEAR[-1]), case.args[1])
    return fault


def _others_left_out(case):
    """The same distances in one row, backwards, without the smallest and the largest if there are others."""
    d, r = case.args
    fewer = _but_the_ends(d.flatten().sort().values)
    return Case(f"{case.label}, without the smallest and the largest, backwards", fewer, r)


def _but_the_ends(row):
    """All but the first and the last, backwards; of one or two, all."""
    return row[1:-1].flip(0) if len(row) > 2 else row


def _each_by_itself(case, value, fewer, other):
    if _of_that_form(case, value) or _of_that_form(fewer, other):
        raise ValueError("not that many factors")
    expected = _but_the_ends(value.flatten()[case.args[0].flatten().argsort(stable=True)])
    off = (expected.double() - other.double()).abs()
    if (off < 1e-5).all():
        return None
    i = int(off.nan_to_num(math.inf).argmax())
    return (f"at distance {fewer.args[0][i]:.3g} it is {expected[i]:.3g}, and {other[i]:.3g} if the smallest and the "
            "largest distance are left out.")


def _a_little_farther(case):
    d, r = case.args
    return Case(f"{case.label}, a little farther", d + 1e-3 * (d + r / 2), r)


envelope = Exercise(neighbors.envelope, NOTEBOOK, 3, _distances, PropertiesOnly(), (
    Property("returns the shape of d", _of_that_form),
    Property("1 at distance 0", _on_grids(_one_at_zero)),
    Property("0 from r on", _on_grids(_nothing_beyond)),
    Property("above 0 before r", _on_grids(_something_below)),
    Property("never rises", _on_grids(_never_rises)),
    Property("no jump at r", _at_the_end(0, "it is still {:.3g} at distance {:g}, and 0 from {:g} on.")),
    Property("its slope has no jump at r", _at_the_end(1, "its slope just below r is not 0, as it is beyond.")),
    Property("nor has its second derivative",
             _at_the_end(2, "its second derivative just below r is not 0, as it is beyond.")),
    Property("each factor depends only on its own distance", _each_by_itself, _others_left_out),
), parameters=("d", "r"), partly=(Part(2, (
    "returns the shape of d", "1 at distance 0", "0 from r on", "above 0 before r", "never rises", "no jump at r",
    "its slope has no jump at r")),),  # the cosine that is common in the literature
    differentiated=Differentiated(("d",), twice=True, nearby=_a_little_farther))
envelope.further(_far_and_near)


def _on_grid(test):
    """A sentence on how a factor runs is true or false of the even grids."""
    return lambda case, value: not _is_grid(case) or bool(test(*case.args, value.double()))


def _like_a_cosine(d, r, value):
    return (value - (0.5 + 0.5 * torch.cos(torch.pi * (d / r).clamp(max=1)))).abs().max() < 1e-3


@envelope.misconception("a step", "Your factor is 1 up to r and 0 beyond: that is what the radius graph does anyway, "
                        "and the jump is still there. How can a message be almost nothing already, when its edge is "
                        "cut?", _on_grid(lambda d, r, value: (value[d < 0.9 * r] == 1).all()))
def _(d, r):
    return (d < r).to(d.dtype)


@envelope.misconception("a straight line", "No jump any more, and a kink: the slope at r goes from a number to 0 at "
                        "once. The force is the slope of the energy, so now the force jumps.",
                        _on_grid(lambda d, r, value: (value - (1 - d / r).clamp(min=0)).abs().max() < 1e-3))
def _(d, r):
    return (1 - d / r).clamp(min=0)


@envelope.misconception("a kink", "No jump any more, and a kink: the slope at r goes from a number to 0 at once. The "
                        "force is the slope of the energy, so now the force jumps.")
def _(d, r):
    return (1 - (d / r) ** 2).clamp(min=0)


@envelope.misconception("a cosine", "Value and slope both end at 0. What about the second derivative, just below r "
                        "and just beyond? A network that is trained on forces uses it.",
                        _on_grid(_like_a_cosine))
def _(d, r):
    return (1 + torch.cos(torch.pi * d / r)) / 2 * (d < r)


def _flat_and_no_cosine(case, value):
    """Whether the second derivative jumps, of a factor other than the cosine, which has a sentence of its own."""
    if _just_below(case):
        return _at_the_end(2, "it jumps")(case, value) is not None
    return not _is_grid(case) or not bool(_like_a_cosine(*case.args, value.double()))


@envelope.misconception("flat, and not flat enough", "Value and slope both end at 0, and the second derivative does "
                        "not. Which power of (1 - d/r) has two derivatives that are 0 at d = r?", _flat_and_no_cosine)
def _(d, r):
    t = (d / r).clamp(max=1)
    return 1 - 3 * t ** 2 + 2 * t ** 3


@envelope.misconception("goes on beyond r, and rises again", "It is 0 at r and rises again beyond. An edge longer "
                        "than r has no business in the sum: what should your function say for d > r?",
                        _on_grid(lambda d, r, value: (value[d > 1.05 * r] > 0).any() and abs(value[d == r]) < 1e-5))
def _(d, r):
    return (1 + torch.cos(torch.pi * d / r)) / 2


@envelope.misconception("goes on beyond r, smooth and rising", "It is 0 at r and rises again beyond. An edge longer "
                        "than r has no business in the sum: what should your function say for d > r?",
                        _on_grid(lambda d, r, value: (value[d > 1.05 * r] > 0).any() and abs(value[d == r]) < 1e-5))
def _(d, r):
    return (1 - d / r) ** 4


@envelope.misconception("goes on beyond r, and becomes negative", "It is 0 at r and negative beyond. An edge longer "
                        "than r has no business in the sum: what should your function say for d > r?",
                        _on_grid(lambda d, r, value: (value[d > 1.2 * r] < 0).any() and abs(value[d == r]) < 1e-5))
def _(d, r):
    t = d / r
    return 1 - 28 * t ** 6 + 48 * t ** 7 - 21 * t ** 8


@envelope.misconception("never quite 0", "It falls and never gets to 0, so at r it jumps from what is left. However "
                        "little that is: what cuts it off?",
                        _on_grid(lambda d, r, value: value[d == r] > 1e-6 and value[-1] < 0.01))
def _(d, r):
    return torch.exp(-(2 * d / r) ** 2)


def _is_cut_off(case, value):
    """Whether it falls from 1, something is left just below r, and nothing beyond."""
    d, r = case.args
    if _just_below(case):
        return bool(value[-1] > 1e-6)
    if not _is_grid(case):
        return True
    return bool(value[0] == 1 and value[d < 0.9 * r].min() < 0.9 and (value[d > r] == 0).all())


@envelope.misconception("cut off at r", "It falls, and where it is cut off at r something is left, which is lost at "
                        "once. Small jumps are jumps.", _is_cut_off)
def _(d, r):
    return torch.exp(-(2 * d / r) ** 2) * (d < r)


@envelope.misconception("the wrong way round", "It is 0 at distance 0 and grows. Who should be heard best, "
                        "the near or the far?",
                        _on_grid(lambda d, r, value: abs(value[0]) < 1e-6 and (value.diff() > -1e-6).all()))
def _(d, r):
    return 1 - neighbors.envelope(d, r)


@envelope.misconception("in units of 1", "Your factor ends at distance 1, whatever r is. What has to become of d "
                        "before it goes into a formula that ends at 1?",
                        _on_grid(lambda d, r, value: value[d > 1.001].abs().max() < 1e-6 < value[d < 0.9].min()))
def _(d, r):
    return neighbors.envelope(d, 1.0)


BY_OTHERS = ("The factor of a distance changes with the other distances in d: the largest of them is in "
             "your formula. An edge is as long as it is, whoever else is in the list. Which length should "
             "d be measured in?")


def _ends_at_the_largest(case, value):
    """Whether the largest distance of a list has the factor 0, also where it is far below r."""
    return abs(value.flatten()[case.args[0].argmax()]) < 1e-6


@envelope.misconception("divided by the largest distance", BY_OTHERS, _ends_at_the_largest)
def _(d, r):
    return (1 - d / d.max()) ** 3


@envelope.misconception("divided by the largest below r", BY_OTHERS, _ends_at_the_largest)
def _(d, r):
    inside = d.clamp(max=r)
    return (1 - inside / inside.max()) ** 3


@envelope.misconception("divided by the largest factor", "The factor of a distance changes with the other "
                        "distances in d: your largest factor is always 1. What is the factor of an edge "
                        "that is alone in the list?",
                        lambda case, value: abs(value.max() - 1) < 1e-6)
def _(d, r):
    factor = neighbors.envelope(d, r)
    return factor / factor.max()


@envelope.misconception("one number for all", "You returned a single number. Each distance in d is to have its "
                        "factor.", lambda case, value: value.ndim == 0)
def _(d, r):
    return neighbors.envelope(d.mean(), r)


@envelope.right
def _(d, r):
    t = (d / r).clamp(max=1)
    return 1 - 10 * t ** 3 + 15 * t ** 4 - 6 * t ** 5


@envelope.right
def _(d, r):
    return torch.relu(1 - d / r) ** 3


@envelope.right
def _(d, r):
    """All derivatives are continuous."""
    t = d / r
    inside = t < 1
    return torch.where(inside, torch.exp(1 - 1 / (1 - torch.where(inside, t, 0) ** 2)), 0)


@envelope.right
def _(d, r):
    """A cosine, squared, number by number."""
    factors = [(0.5 + 0.5 * torch.cos(math.pi * (one / r).clamp(max=1))) ** 2 for one in d.flatten()]
    return torch.stack(factors).reshape(d.shape)


@envelope.right
def _(d, r):
    """In single precision, where rounding hides how it ends."""
    t = (d.float() / r).clamp(max=1)
    return 1 - 10 * t ** 3 + 15 * t ** 4 - 6 * t ** 5


@envelope.right
def _(d, r):
    """Falls over the last half alone."""
    u = ((d / r).clamp(max=1) * 2 - 1).clamp(min=0)
    return (1 - u) ** 3 * (1 + 3 * u + 6 * u ** 2)
