"""Answers to notebooks 5 to 8 that nobody declared: wrong ones that once passed or were told something false."""

import pytest
import torch

from course_utils import egnn, frames, message_passing, neighbors, symmetry
from course_utils.exercises import find
from course_utils.exercises.run import call_ours
from course_utils.exercises.verdict import judge

WRONG, RIGHT = [], []


def wrong(says, but_not=None):
    """Decorator: the function below is wrong, its card says the one thing, and it does not say the other."""
    def declare(function):
        WRONG.append(pytest.param(function, says, but_not, id=f"{function.__name__}: {says}"))
        return function
    return declare


def right(function):
    """Decorator: the function below is right."""
    RIGHT.append(pytest.param(function, id=function.__name__))
    return function


def card(function):
    """The state and the lines of the card, however long the answer takes."""
    exercise = find(function.__name__)
    cases = exercise.cases()
    verdict = judge(exercise, cases, call_ours(function, cases, exercise.parameters))
    return verdict.state, "\n".join(finding.text for finding in verdict.findings)


@pytest.mark.parametrize(("function", "says", "but_not"), WRONG)
def test_a_wrong_answer_is_told_only_what_is_true(function, says, but_not):
    state, text = card(function)
    assert state == "wrong" and says in text
    assert but_not is None or but_not not in text


@pytest.mark.parametrize("function", RIGHT)
def test_a_right_answer_is_accepted(function):
    state, text = card(function)
    assert state == "right", text


# Notebook 5 ------------------------------------------------------------------------------------------------

@wrong("What do row 0 and row 1 of an edge_index hold?", but_not="changed the edges")
def radius_graph(x, r):
    near = (x[:, None] - x).norm(dim=2) <= r
    return near.fill_diagonal_(False).nonzero()


@wrong("How many neighbors may a node have?")
def radius_graph(x, r):
    u, v = ((x[:, None] - x).norm(dim=2) <= r).fill_diagonal_(False).nonzero().T.contiguous()
    kept = [e for e in range(len(u)) if int((u[:e] == u[e]).sum()) < 32]
    return torch.stack([v[kept], u[kept]])


@wrong("Do these hang together?")
def components(edge_index, num_nodes):
    seen = [True] + [False] * (num_nodes - 1)
    for _ in range(num_nodes):
        for v, u in edge_index.T.tolist():
            seen[v] = seen[u] = seen[v] or seen[u]
    return torch.tensor(seen).int()


@wrong("though both are as long. What does your routine promise")
def knn_graph(x, k):
    d = (x[:, None] - x).norm(dim=2).fill_diagonal_(torch.inf)
    chosen = [_sorted_in_blocks(row.tolist())[:k] for row in d]
    return torch.stack([torch.tensor(chosen).flatten(), torch.arange(len(x)).repeat_interleave(k)])


def _sorted_in_blocks(numbers):
    """Indices from the smallest number on. Only up to 16 of them is the order of equal numbers kept."""
    return sorted(range(len(numbers)), key=lambda i: (numbers[i], -(i // 16), i))


@wrong("You chose the k farthest")
def knn_graph(x, k):
    v = (x[:, None] - x).norm(dim=2).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.stack([v.flatten(), torch.arange(len(x)).repeat_interleave(k)])


@wrong("changes with the other distances in d", but_not="Which power")
def envelope(d, r):
    inside = d.clamp(max=r)
    return (1 - inside / inside.max()) ** 3


@wrong("each factor depends only on its own distance: on")
def envelope(d, r):
    factor = (1 - (d / r).clamp(max=1)) ** 3
    return factor / factor.max() + 0 * d


@right
def envelope(d, r):
    factor = 1 - d / r
    factor[factor < 0] = 0
    return factor ** 4


# Notebook 6 ------------------------------------------------------------------------------------------------

def turned(x, y, kind, batch, R, R_of_label=None):
    """Clouds turned by R about their centroids, and labels by R, or by rotations of their own."""
    R_of_label = R if R_of_label is None else R_of_label
    c = frames.centroid(x, batch)
    b, b_of_label = (c - symmetry.act("vector", each, c, c) for each in (R, R_of_label))
    return symmetry.act("position", R[batch], b[batch], x), symmetry.act(kind, R_of_label, b_of_label, y)


@wrong("In which order are your rotations, and in which are the labels?", but_not="two different draws")
def augment(x, y, kind, generator, batch):
    R = symmetry.random_rotation(int(batch.max()) + 1, generator)
    return turned(x, y, kind, batch, R, R.flip(0))


@wrong("another generator gives other turns from cloud to cloud", but_not="turned by the same rotations")
def augment(x, y, kind, generator, batch):
    fixed = symmetry.random_rotation(int(batch.max()) + 1, torch.Generator().manual_seed(3))
    return turned(x, y, kind, batch, symmetry.random_rotation((), generator) @ fixed)


@wrong("are turned by the same rotation.")
def augment(x, y, kind, generator, batch):
    some = symmetry.random_rotation(1800, generator)
    return turned(x, y, kind, batch, some[torch.arange(int(batch.max()) + 1) % 1800])


@wrong("your signs depend on how the axes lie in the lab", but_not="left to the routine")
def canonicalize(x):
    c = x.mean(0)
    F = torch.linalg.eigh(frames.covariance(x)).eigenvectors.flip(1)
    F = F * F[0].sign()
    F[:, 2] = torch.linalg.cross(F[:, 0], F[:, 1])
    return (x - c) @ F, F, c


@wrong("a turned copy gets the same z", but_not="left to the routine")
def canonicalize(x):
    """The first two axes point away from the lab's origin."""
    c = x.mean(0)
    F = next(F for F in frames.pca_frames(x) if ((c @ F)[:2] > 0).all())
    return (x - c) @ F, F, c


@wrong("the order of the points decides", but_not="first point")
def canonicalize(x):
    c = x.mean(0)
    F = next(F for F in frames.pca_frames(x) if (((x - c) @ F)[-1, :2] > 0).all())
    return (x - c) @ F, F, c


@wrong("F is none of them", but_not="axes as rows")
def canonicalize(x):
    z, _, c = frames.canonicalize(x)
    return z, torch.eye(3), c


@wrong("turned back from one side alone")
def frame_average(f, x, kind):
    c, total = x.mean(0), 0
    for F in frames.pca_frames(x):
        y = f((x - c) @ F)
        total = total + (y if kind == "scalar" else y @ F.T)
    return total / 4 + (c if kind == "position" else 0)


# Notebook 7 ------------------------------------------------------------------------------------------------

@wrong("What is psi_c of Coulomb's law at distance 0")
def egnn_coordinates(h, x, psi_c, batch):
    n = len(x)
    d = x[:, None] - x
    c = psi_c(h.repeat_interleave(n, 0), h.repeat(n, 1), d.square().sum(2).view(-1, 1)).view(n, n)
    return x + (d * (c * (batch[:, None] == batch))[..., None]).sum(1)


@right
def egnn_coordinates(h, x, psi_c, batch):
    v, u = pairs = neighbors.all_pairs(len(x), batch)
    push = (x[u] - x[v]) * psi_c(h[u], h[v], egnn.squared_distances(x, pairs))
    return x.index_add(0, u, push)


@wrong("Each edge carries a message in both directions")
def egnn_features(h, x, edge_index, psi_f, phi):
    v, u = torch.cat([edge_index.flip(0), edge_index], dim=1)
    m = psi_f(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True))
    return phi(h, message_passing.aggregate(m, u, len(h)))


# Notebook 8 ------------------------------------------------------------------------------------------------

@wrong("At which sign does a term end?")
def irreps_dim(text):
    total = 0
    for term in text.split(" + "):
        many, _, ir = term.rpartition("x") if "+" not in term else term.split("+")[0].rpartition("x")
        total += int(many or 1) * (2 * int(ir[:-1]) + 1)
    return total


@wrong("You read a single digit of the multiplicity")
def irreps_dim(text):
    total = 0
    for term in text.replace(" ", "").split("+"):
        many = int(term[term.index("x") - 1]) if "x" in term else 1
        total += many * (2 * int(term.split("x")[-1][:-1]) + 1)
    return total
