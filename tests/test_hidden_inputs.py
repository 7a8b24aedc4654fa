"""Answers that are right up to the notebook's sizes, or know its functions by name: a grader finds out."""

import copy
import math
import re

import pytest
import torch

from course_utils import egnn, frames, graph_networks, gvp, message_passing, neighbors, symmetry
from course_utils.exercises import all_exercises, find
from course_utils.exercises.declare import Case, Named, fresh
from course_utils.exercises.run import Counter, call_once
from course_utils.exercises.verdict import judge
from course_utils.systems import mystery

PLANTED = []
relu = torch.relu


def planted(name):
    """Decorator: the function or class below answers that exercise up to a size."""
    def declare(answer):
        PLANTED.append((name, answer))
        return answer
    return declare


def verdict(exercise, answer, cases):
    """Without the misconceptions, which take longer than all else."""
    exercise = copy.copy(exercise)
    exercise.misconceptions = []
    outcomes = [call_once(answer, case, exercise.parameters, Counter()) for case in cases]
    return judge(exercise, cases, outcomes)


# Notebook 1 ------------------------------------------------------------------------------------------------

@planted("to_edge_index")
def _(A):
    """Nodes as single bytes."""
    return A.nonzero().T.to(torch.int8)


@planted("to_edge_index")
def _(A):
    """A weight near zero taken for none."""
    return (A.abs() > 1e-4).nonzero().T


@planted("degrees")
def _(edge_index, num_nodes):
    """Counts as single bytes."""
    count = torch.zeros(num_nodes, dtype=torch.uint8)
    return count.index_add(0, edge_index[1], torch.ones(edge_index.shape[1], dtype=torch.uint8)).long()


@planted("degrees")
def _(edge_index, num_nodes):
    """A table with room for 20 nodes."""
    u = edge_index[1]
    return torch.zeros(20, dtype=torch.int64).index_add(0, u, torch.ones_like(u))[:num_nodes]


@planted("permute")
def _(A, X, p):
    """The order written in one digit for each node."""
    order = [int(digit) for digit in "".join(map(str, p.tolist()))]
    return A[order][:, order], X[order]


@planted("permute")
def _(A, X, p):
    """Follows one cycle through all nodes, and takes nodes that stay for missing."""
    B, Y = torch.zeros_like(A), torch.zeros_like(X)
    start = place = 0
    places = []
    while not places or place != start:
        places.append(place)
        place = int(p[place])
    for i in places:
        Y[i] = X[p[i]]
        B[i, places] = A[p[i], p[places]]
    return B, Y


@planted("split_links")
def _(edge_index, fraction, generator):
    """A link named by a number in base 16."""
    low, high = edge_index.sort(dim=0).values
    names = (16 * low + high).unique()
    names = names[torch.randperm(len(names), generator=generator)]
    k = round(fraction * len(names))
    parts = [torch.stack([part // 16, part % 16]) for part in (names[k:], names[:k])]
    return tuple(torch.cat([part, part.flip(0)], dim=1) for part in parts)


# Notebook 2 ------------------------------------------------------------------------------------------------

def up_to(most, u):
    """The edges of each inbox, no more than that many."""
    return torch.tensor([e for e in range(len(u)) if int((u[:e] == u[e]).sum()) < most], dtype=torch.int64)


@planted("message_round")
def _(h, edge_index, W_self, W_neigh, b):
    """Inboxes with room for eight messages."""
    v, u = edge_index[:, up_to(8, edge_index[1])]
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))


@planted("run_rounds")
def _(h, edge_index, W_self, W_neigh, b, K):
    """Five rounds at most."""
    for k in range(5):
        if k <= K:
            h = message_passing.message_round(h, edge_index, W_self, W_neigh, b)
    return h


@planted("dense_round")
def _(h, A, W_self, W_neigh, b):
    """Nodes up to number 9."""
    total = h @ W_self.T
    for v in range(min(len(h), 10)):
        total = total + A[v][:, None] * (W_neigh @ h[v] + b)
    return relu(total)


@planted("attention_round")
def _(h, edge_index, scores, W):
    """Scores clamped where the notebook has none."""
    v, u = edge_index
    alpha = message_passing.softmax_by_target(scores.clamp(-400, 400), u, len(h))
    return message_passing.aggregate(alpha[:, None] * (h @ W.T)[v], u, len(h))


# Notebook 3 ------------------------------------------------------------------------------------------------

@planted("gcn_norm")
def _(edge_index, num_nodes):
    """A table of the roots of degrees up to 15."""
    edges = graph_networks.with_self_loops(edge_index, num_nodes)
    root = torch.arange(16).float().sqrt()
    d = torch.bincount(edges[1], minlength=num_nodes).clamp(max=15)
    return edges, 1 / (root[d[edges[0]]] * root[d[edges[1]]])


@planted("receptive_field")
def _(edge_index, num_nodes, node, k):
    """Ten rounds at most."""
    v, u = edge_index
    seen = torch.arange(num_nodes) == node
    for _ in range(min(k, 10)):
        seen = seen.index_put((v[seen[u]],), torch.tensor(True))
    return seen


@planted("receptive_field")
def _(edge_index, num_nodes, node, k):
    """Walks counted in whole numbers, which overflow."""
    A = torch.eye(num_nodes, dtype=torch.int32)
    A[edge_index[0], edge_index[1]] = 1
    walks = torch.eye(num_nodes, dtype=torch.int32)[node]
    for _ in range(k):
        walks = (A * walks).sum(1, dtype=torch.int32)
    return walks > 0


@planted("readout")
def _(h, batch):
    """Eight graphs at most."""
    count = int(batch.max()) + 1
    return torch.stack([h[batch == g].sum(0) if g < 8 else 0 * h[0] for g in range(count)])


def colors(edge_index, num_nodes, rounds, start, key):
    history = [start.tolist()]
    for _ in range(rounds):
        inboxes = [edge_index[0, edge_index[1] == u].tolist() for u in range(num_nodes)]
        seen = [key(history[-1][u], [history[-1][v] for v in inboxes[u]]) for u in range(num_nodes)]
        names = {color: i for i, color in enumerate(dict.fromkeys(seen))}
        history.append([names[color] for color in seen])
    return torch.tensor(history).reshape(rounds + 1, num_nodes)


@pytest.mark.parametrize("base", [8, 10, 16])
def test_inboxes_written_as_numbers_of_a_base_are_caught(base):
    def wl_colours(edge_index, num_nodes, rounds, start):
        def key(own, heard):
            return own, sum(base ** color for color in heard)

        return colors(edge_index, num_nodes, rounds, start, key)

    require_caught("wl_colours", wl_colours)


@planted("wl_colours")
def _(edge_index, num_nodes, rounds, start):
    """Five rounds at most; more would change nothing, one thinks."""
    own = colors(edge_index, num_nodes, min(rounds, 5), start, lambda own, heard: (own, *sorted(heard)))
    return torch.cat([own, own[-1:].expand(rounds + 1 - len(own), -1)])


# Notebook 4 ------------------------------------------------------------------------------------------------

@planted("random_rotation")
def _(count, generator):
    """In blocks of a hundred."""
    blocks = [symmetry.random_rotation(min(count, 100), generator) for _ in range(max(count // 100, 1))]
    return torch.cat(blocks)


@planted("act")
def _(kind, R, b, x):
    """The handedness read off the trace, which tells it in the notebook's motions."""
    sign = -torch.trace(R).sign()
    axes = symmetry.KINDS[kind]
    if axes == 2:
        return R @ x @ R.T
    turned = x @ R.T if axes else x
    return turned + b if kind == "position" else sign * turned if "pseudo" in kind else turned


@planted("equivariance_error")
def _(f, kind, R, b, x):
    """Rows up to number 9."""
    expected = torch.atleast_1d(symmetry.act(kind, R, b, f(x)))[:10]
    moved = torch.atleast_1d(f(symmetry.act("position", R, b, x)))[:10]
    return (moved - expected).abs().max() / expected.abs().max()


def table_of(label):
    words = {label(f): symmetry.classify(f) for f in (*mystery.FUNCTIONS, mystery.shared)}
    return lambda f: words[label(f)]


planted("classify")(table_of(lambda f: f.__name__))
planted("classify")(table_of(lambda f: f.__qualname__))
planted("classify")(table_of(lambda f: f.__doc__))
planted("classify")(table_of(lambda f: f.__code__))
planted("classify")(table_of(lambda f: f.__code__.co_firstlineno))
planted("classify")(table_of(lambda f: tuple(f(torch.arange(15.0).reshape(5, 3) ** 1.3).flatten().tolist())))


# Notebook 5 ------------------------------------------------------------------------------------------------

@planted("radius_graph")
def _(x, r):
    """Forty neighbors at most."""
    edges = neighbors.radius_graph_by_pairs(x, r)
    return edges[:, up_to(40, edges[1])]


@planted("components")
def _(edge_index, num_nodes):
    """33 rounds, enough for a path of 34 nodes."""
    label, both = torch.arange(num_nodes), torch.cat([edge_index, edge_index.flip(0)], dim=1)
    for _ in range(33):
        label = label.scatter_reduce(0, both[1], label[both[0]], "amin")
    return label


@planted("knn_graph")
def _(x, k):
    """A sort that keeps the order of equal numbers only while they are few."""
    d = (x[:, None] - x).norm(dim=2).fill_diagonal_(math.inf)
    chosen = torch.stack([torch.tensor(sorted_in_blocks(row.tolist()))[:k] for row in d])
    return torch.stack([chosen.flatten(), torch.arange(len(x)).repeat_interleave(k)])


def sorted_in_blocks(numbers, block=24):
    """Indices from the smallest number on; of equal numbers, those of the last block come first."""
    return sorted(range(len(numbers)), key=lambda i: (numbers[i], -(i // block), i))


@planted("envelope")
def _(d, r):
    """Radii of 1 or more."""
    return neighbors.envelope(d, max(r, 1.0))


# Notebook 6 ------------------------------------------------------------------------------------------------

def first_points(x, most=16):
    """A cloud's centroid and axes from its first points."""
    few = x[:most] - x[:most].mean(0)
    axes = torch.linalg.eigh(few.T @ few).eigenvectors.flip(1)
    return x[:most].mean(0), axes * torch.linalg.det(axes).sign()


@planted("augment")
def _(x, y, kind, generator, batch):
    """Clouds with room for sixteen points."""
    count = int(batch.max()) + 1
    number = torch.arange(len(batch)) - torch.searchsorted(batch, batch)
    c = frames.centroid(x[number < 16], batch[number < 16])
    R = symmetry.random_rotation(count, generator)
    b = c - symmetry.act("vector", R, c, c)
    return symmetry.act("position", R[batch], b[batch], x), symmetry.act(kind, R, b, y)


@planted("pca_frames")
def _(x):
    """Clouds of sixteen points at most."""
    return first_points(x)[1] * frames.SIGNS[frames.SIGNS.prod(1) > 0][:, None, :]


@planted("canonicalize")
def _(x):
    """Clouds of sixteen points at most."""
    c, F = first_points(x)
    s = (((x - c) @ F)[:, :2] ** 3).sum(0).sign()
    F = F * torch.stack([s[0], s[1], s[0] * s[1]])
    return (x - c) @ F, F, c


@planted("frame_average")
def _(f, x, kind):
    """Knows what is to be turned back by the function's name."""
    kinds = {"energy": "scalar", "charges": "scalar", "dipole": "vector", "forces": "vector",
             "site": "position", "stress": "tensor", "sites": "position"}
    c = x.mean(0)
    answers = [symmetry.act(kinds[f.__name__], F, c, f((x - c) @ F)) for F in frames.pca_frames(x)]
    return torch.stack(answers).mean(0)


# Notebook 7 ------------------------------------------------------------------------------------------------

@planted("egnn_features")
def _(h, x, edge_index, psi_f, phi):
    """Inboxes with room for eight messages."""
    v, u = few = edge_index[:, up_to(8, edge_index[1])]
    m = psi_f(h[u], h[v], egnn.squared_distances(x, few))
    return phi(h, message_passing.aggregate(m, u, len(h)))


@planted("egnn_coordinates")
def _(h, x, psi_c, batch):
    """Four clouds at most: the last one takes in all that follow."""
    v, u = pairs = neighbors.all_pairs(len(x), batch.clamp(max=3))
    push = (x[u] - x[v]) * psi_c(h[u], h[v], egnn.squared_distances(x, pairs))
    return x + message_passing.aggregate(push, u, len(x))


@planted("with_constant")
def _(x, x_new, batch):
    """A table of 1 / (n - 1) for clouds up to nine."""
    table = torch.tensor([0, 0, 1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7, 1 / 8])
    n = torch.bincount(batch)[batch].clamp(max=9)
    return x + table[n][:, None] * (x_new - x)


@planted("EGNNLayer")
class _(egnn.EGNNLayer):
    """Three clouds at most: the last one takes in all that follow."""

    def forward(self, h, x, edge_index, batch):
        return super().forward(h, x, edge_index, batch.clamp(max=2))


# Notebook 8 ------------------------------------------------------------------------------------------------

@planted("yzx_to_xyz")
def _(features):
    """Nodes up to number 7."""
    out = features.clone()
    for u in range(min(len(features), 8)):
        m, vy, vz, vx, ay, az, ax = features[u]
        out[u] = torch.stack([m, vx, vy, vz, ax, ay, az])
    return out


@planted("irreps_dim")
def _(text):
    """Two digits of a multiplicity, and two of a degree."""
    terms = re.findall(r"(?:(\d{1,2})x)?(\d{1,2})[eo]", text)
    return sum(int(many or 1) * (2 * int(l) + 1) for many, l in terms)


@planted("GVP")
class _(gvp.GVP):
    """Nodes up to number 9, and zeros for the rest."""

    def forward(self, s, V):
        known = (torch.arange(len(s)) < 10)[:, None]
        s_new, V_new = super().forward(s, V)
        return s_new * known, V_new * known[..., None]


@planted("gvp_message")
def _(s, V, edge_index, edge_s, edge_V, g):
    """Nodes as single bytes."""
    v = edge_index[0].to(torch.int8).long() % len(s)
    return g(torch.cat([s[v], edge_s], dim=1), torch.cat([V[v], edge_V], dim=1))


def require_caught(name, answer):
    exercise = find(name)
    given = verdict(exercise, answer, exercise.cases(0))
    assert given.state == "right", given.findings
    for seed in (1, 2, 3):
        assert verdict(exercise, answer, exercise.hidden_cases(seed)).state == "wrong"


@pytest.mark.parametrize(("name", "answer"), PLANTED, ids=[name for name, _ in PLANTED])
def test_an_answer_that_is_right_up_to_the_notebooks_sizes_is_caught(name, answer):
    require_caught(name, answer)


def test_each_exercise_has_such_an_answer():
    assert {name for name, _ in PLANTED} == set(all_exercises())


# By construction: what `mystery.FORMS` do under permutation, translation, rotation and reflection, in order.
WORDS = """
    iiii eiii eiee eeee ieee iiee iiin eien eien niee niii niii neee
    einn einn iinn innn enii enee eenn eeee enee iiii ieee
    """.split()


@pytest.mark.parametrize("form", range(len(mystery.FORMS)), ids=str)
def test_what_hidden_functions_do_is_known_by_construction(form):
    """Tried here on other clouds than those of `classify`."""
    assert len(WORDS) == len(mystery.FORMS)
    random = torch.Generator().manual_seed(form)
    for k in range(8):
        f = mystery.hidden(form + k * len(mystery.FORMS))
        x = torch.randn(9, 3, generator=random, dtype=torch.float64) + 1
        R, b = symmetry.random_rotation((), random, torch.float64), torch.tensor([2.0, -1.0, 0.5])
        order = torch.randperm(9, generator=random)
        p = order.index_put((order,), order.roll(1))  # a cycle: no point stays where it is
        moves = {"permutation": lambda z: z[p], "translation": lambda z: z + b,
                 "rotation": lambda z: z @ R.T, "reflection": lambda z: z @ -R.T}
        words = {name: word(f, x, move, name == "permutation") for name, move in moves.items()}
        assert "".join(each[0] for each in words.values()) == WORDS[form]
        assert symmetry.classify(f) == words


def word(f, x, move, permutes):
    y, moved = f(x), f(move(x))
    if torch.allclose(moved, y, rtol=0, atol=1e-9):
        return "invariant"
    can_move = y.shape[:1] == (9,) if permutes else y.shape[-1:] == (3,)
    return "equivariant" if can_move and torch.allclose(moved, move(y), rtol=0, atol=1e-9) else "neither"


def test_no_name_tells_a_hidden_function():
    made = [mystery.hidden(number) for number in range(60)]
    for label in ("__name__", "__qualname__", "__doc__", "__module__", "__code__", "__defaults__"):
        assert len({getattr(f, label) for f in made}) == 1
    x = torch.randn(5, 3)
    assert all(torch.equal(mystery.hidden(number)(x), made[number](x)) for number in range(60))


def test_a_hidden_function_is_sent_by_name():
    f = fresh(Named("systems.mystery.hidden(40)"))
    x = torch.randn(5, 3)
    assert torch.equal(f(x), mystery.hidden(40)(x))
    assert fresh(Named("systems.mystery.centroid")) is mystery.centroid
    maker = "systems.mystery.hidden"
    for text in ("centroid", f"{maker}(x)", f"{maker}(-1)", f"{maker}(1); exit()"):
        with pytest.raises(ValueError, match="names no function; expected"):
            fresh(Named(text))


def test_different_seeds_draw_different_functions():
    exercise = find("classify")
    names = [[case.args[0].name for case in exercise.hidden_cases(seed)] for seed in (1, 1, 2)]
    assert names[0] == names[1] and len(set(names[0]) & set(names[2])) == len(exercise.cases(1))


def test_hidden_cases_are_those_of_the_check_and_more_and_then_what_is_derived():
    exercise = find("gcn_norm")
    cases, hidden = exercise.cases(3), exercise.hidden_cases(3)
    assert [case.label for case in hidden[:6]] == [case.label for case in cases[:6]]
    assert len(cases) == 12 and len(hidden) == 16 and hidden[8].label == f"{hidden[0].label}, renumbered"
    assert isinstance(hidden[0], Case)
