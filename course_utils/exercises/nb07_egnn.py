"""Notebook 7: the two lines of the slide, the paper's constant C, and both lines as a layer."""

from __future__ import annotations

from functools import partial

import torch

from .. import egnn, neighbors, symmetry
from ..message_passing import aggregate
from .declare import Case, Close, Exercise, Named, Property, drawn_parameters
from .derivatives import Differentiated
from .inputs import NO_EDGES, PATH, directed_edges, large_graphs, normal, shuffled, small_graphs

NOTEBOOK = "07_egnn"
PSI_F, PSI_C, PHI = (Named(f"systems.untrained.{name}") for name in ("psi_f", "psi_c", "phi"))
COULOMB = Named("systems.untrained.coulomb")  # infinite where v = u


def _motion(k, n):
    """A rotation, or for odd n a reflection, and a shift: what the k-th property does to a cloud of n points."""
    generator = torch.Generator().manual_seed(10 * n + k)
    draw = symmetry.random_reflection if n % 2 else symmetry.random_rotation
    return draw((), generator), normal(3, generator=generator)


def _moved(x, k=0):
    R, b = _motion(k, len(x))
    return x @ R.to(x.dtype).T + b.to(x.dtype)


def _cloud(n, generator):
    """Generic points, off the origin."""
    return normal(n, 3, generator=generator) + torch.tensor([1.0, -0.5, 0.7])


def _same(case, value, again, other):
    _require_rows(value, len(case.args[0]))
    return None if Close(1e-3, 1e-4).difference(other, value) is None else "the answer changed."


def _require_rows(value, count, columns=None):
    """ValueError unless there are so many rows of numbers: no property can be tested on another answer."""
    numbers = isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim == 2
    if not numbers or len(value) != count or columns not in (None, value.shape[1]):
        raise ValueError("no row for each node")


def _rows_follow(case, value, again, other):
    _require_rows(value, len(case.args[0]))
    same = Close(1e-3, 1e-4).difference(other, value[shuffled(len(value))]) is None
    return None if same else "the rows did not follow their nodes."


def _turned_along(case, value, again, other):
    _require_rows(value, len(value), 3)
    return None if Close(1e-3, 1e-4).difference(other, _moved(value)) is None else "x' did not move along with x."


# ---------------------------------------------------------------------------------------------------- egnn_features


def _features(generator):
    for (label, edge_index, n), d in zip(small_graphs(generator), (2, 3, 4, 2, 5)):
        yield Case(label, normal(n, d, generator=generator), _cloud(n, generator), edge_index, PSI_F, PHI)
    x = _cloud(4, generator)
    x[1] = x[0]
    yield Case("four nodes, two of them in one place", normal(4, 3, generator=generator), x,
               directed_edges(4, 9, generator), PSI_F, PHI)
    yield Case("a directed graph of 7 nodes in double precision", normal(7, 2, generator=generator).double(),
               _cloud(7, generator).double(), directed_edges(7, 20, generator), PSI_F, PHI)


def _renumbered_graph(case):
    h, x, edge_index, *rest = case.args
    p = shuffled(len(h))
    return Case(f"{case.label}, renumbered", h[p], x[p], torch.argsort(p)[edge_index], *rest)


def _moved_graph(case):
    h, x, *rest = case.args
    return Case(f"{case.label}, moved", h, _moved(x), *rest)


egnn_features = Exercise(egnn.egnn_features, NOTEBOOK, 2, _features, properties=(
    Property("renumbering the nodes renumbers the answer", _rows_follow, _renumbered_graph),
    Property("turning, mirroring and shifting the points changes nothing", _same, _moved_graph),
), differentiated=Differentiated(("h", "x"), twice=True), seeds=3)


@egnn_features.further
def _(generator):
    for (label, edge_index, n), d in zip(large_graphs(generator), (3, 9)):
        yield Case(label, normal(n, d, generator=generator), _cloud(n, generator), edge_index, PSI_F, PHI)


def _line_one(h, x, edge_index, psi_f, phi, of_edge=None, read="uv", at="u", reduce="sum"):
    """The first line in parts, any of which a misconception replaces: what psi_f reads in place of d^2, whose
    features, and where messages go."""
    v, u = edge_index
    ends = {"u": u, "v": v}
    d2 = egnn.squared_distances(x, edge_index) if of_edge is None else of_edge(x[u], x[v])
    m = psi_f(h[ends[read[0]]], h[ends[read[1]]], d2)
    return phi(h, aggregate(m, ends[at], len(h), reduce))


ONE_END = ("psi_f gets the features of one end twice. Which two nodes does an edge join, and which of them "
           "is named first?")


@egnn_features.misconception("f_v twice", ONE_END)
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, read="vv")


@egnn_features.misconception("f_u twice", ONE_END)
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, read="uu")


@egnn_features.misconception("squared twice", "Your psi_f reads the square of the squared distance. What "
                             "is squared already in egnn.squared_distances, and what is the unit of d2?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi,
                     lambda a, b: (a - b).square().sum(1, keepdim=True).square())


@egnn_features.misconception("the distance is not squared", "Your psi_f reads the distance, the slide's its square. "
                             "Besides, what is the derivative of a root where two points coincide?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, lambda a, b: (a - b).norm(dim=1, keepdim=True))


@egnn_features.misconception("f_u and f_v exchanged", "psi_f gets the two ends of an edge in the wrong order. The "
                             "slide names the receiver u first: is that row 0 or row 1 of edge_index?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, read="vu")


@egnn_features.misconception("back to the sender", "The messages are right, and are added at the wrong end of their "
                             "edges. On the path 0 -> 1 -> 2, which node hears of nobody?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, at="v")


@egnn_features.misconception("against the arrow", "Your messages travel against their edges. N(u) holds the sources "
                             "of the edges that arrive at u. Which row of edge_index are they in?")
def _(h, x, edge_index, psi_f, phi):
    return egnn.egnn_features(h, x, edge_index.flip(0), psi_f, phi)


@egnn_features.misconception("both ways", "Each edge carries a message in both directions. N(u) holds the "
                             "sources of the edges that arrive at u. On the path 0 -> 1 -> 2, which node "
                             "receives no message?")
def _(h, x, edge_index, psi_f, phi):
    return egnn.egnn_features(h, x, torch.cat([edge_index, edge_index.flip(0)], 1), psi_f, phi)


@egnn_features.misconception("features summed, without psi_f", "Your phi reads the sum of the neighbors' "
                             "features. What becomes of a feature, and of the distance, before the sum?")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    return phi(h, aggregate(h[v], u, len(h)))


@egnn_features.misconception("all pairs", "Every node hears of every other one. The sum of the first line runs over "
                             "N(u) alone: which argument says who that is?")
def _(h, x, edge_index, psi_f, phi):
    return egnn.egnn_features(h, x, neighbors.all_pairs(len(h)), psi_f, phi)


@egnn_features.misconception("a mean", "You took the mean of the messages. The aggregation is handed to phi as a "
                             "sum here, and the paper adds, too: a node can then count its neighbours.")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, reduce="mean")


@egnn_features.misconception("the largest message", "Your aggregation keeps the largest entry of the messages. What "
                             "does the exercise ask you to do with them?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, reduce="max")


@egnn_features.misconception("phi before the sum", "You let phi see each message by itself, and added up what it "
                             "said. In which order do phi and the large plus sign stand on the slide?")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    return aggregate(phi(h[u], psi_f(h[u], h[v], egnn.squared_distances(x, edge_index))), u, len(h))


@egnn_features.misconception("without phi", "Your answer is the sum of the messages. What does phi make of it, and "
                             "what else does it read?")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    return aggregate(psi_f(h[u], h[v], egnn.squared_distances(x, edge_index)), u, len(h))


@egnn_features.misconception("no message arrives", "phi sees zeros in place of the messages. If you used index_add: "
                             "does it change the tensor before the dot, or return another one?")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    m = psi_f(h[u], h[v], egnn.squared_distances(x, edge_index))
    return phi(h, m.new_zeros(len(h), m.shape[1]))


@egnn_features.misconception("one message is left", "Each inbox keeps one message and loses the others. M[u] += m "
                             "with a node several times in u adds only once for it. Which operation accumulates?")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    m = psi_f(h[u], h[v], egnn.squared_distances(x, edge_index))
    M = m.new_zeros(len(h), m.shape[1])
    for e, node in enumerate(u.tolist()):
        M[node] = m[e]
    return phi(h, M)


@egnn_features.misconception("a node is its own neighbour", "Each node also sends a message to itself, from "
                             "distance 0. N(u) does not hold u: what f_u is, phi is told anyway.")
def _(h, x, edge_index, psi_f, phi):
    loops = torch.arange(len(h)).repeat(2, 1)
    return egnn.egnn_features(h, x, torch.cat([edge_index, loops], 1), psi_f, phi)


@egnn_features.misconception("the sum is squared", "You added the three coordinates of x_u - x_v and squared the "
                             "sum. Turned, the points then give another number. Which comes first in the square of "
                             "a length?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, lambda a, b: (a - b).sum(1, keepdim=True).square())


@egnn_features.misconception("a mean over x, y, z", "What your psi_f reads is a third of the squared distance: a "
                             "mean over the three axes in place of a sum.")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, lambda a, b: (a - b).square().mean(1, keepdim=True))


@egnn_features.misconception("the difference of two lengths", "Your psi_f reads how far each point is from the "
                             "origin. Shift all the points: should it notice? The slide takes the difference first, "
                             "and then the length.")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi,
                     lambda a, b: (a.norm(dim=1, keepdim=True) - b.norm(dim=1, keepdim=True)).square())


@egnn_features.misconception("f and its change", "You added f_u to what phi returns. Many codes do; on the slide f' "
                             "is phi(...) alone.")
def _(h, x, edge_index, psi_f, phi):
    new = egnn.egnn_features(h, x, edge_index, psi_f, phi)
    d = min(h.shape[1], new.shape[1])  # such codes have one width for both
    return torch.cat([new[:, :d] + h[:, :d], new[:, d:]], dim=1)


@egnn_features.misconception("the difference itself", "Your psi_f reads x_u - x_v, three numbers that turn. Turn all the "
                             "points: should f' change? d2 is one number for each edge.")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, lambda a, b: a - b)


@egnn_features.misconception("three squares", "Your psi_f reads the squares of x, y and z one by one, and each of them "
                             "changes when the points turn. What has to be done with the three?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, phi, lambda a, b: (a - b).square())


@egnn_features.misconception("phi reads the messages first", "phi gets the messages and then f. In which order does the "
                             "slide name them?")
def _(h, x, edge_index, psi_f, phi):
    return _line_one(h, x, edge_index, psi_f, lambda f, m: phi(m, f))


@egnn_features.misconception("the sum before psi_f", "You added up what psi_f reads, and called it once for each node. On "
                             "the slide psi_f stands inside of the sum: it is called for each edge.")
def _(h, x, edge_index, psi_f, phi):
    v, u = edge_index
    return phi(h, psi_f(h, aggregate(h[v], u, len(h)), aggregate(egnn.squared_distances(x, edge_index), u, len(h))))


@egnn_features.right
def _(h, x, edge_index, psi_f, phi):
    """Node by node."""
    M = []
    for u in range(len(h)):
        inbox = torch.zeros(1, 5, dtype=h.dtype)
        for v in edge_index[0, edge_index[1] == u].tolist():
            d2 = ((x[u] - x[v]) ** 2).sum()
            inbox = inbox + psi_f(h[u:u + 1], h[v:v + 1], d2.reshape(1, 1))
        M.append(inbox)
    return phi(h, torch.cat(M))


@egnn_features.right
def _(h, x, edge_index, psi_f, phi):
    """With index_add, in double precision."""
    h, x = h.double(), x.double()
    v, u = edge_index
    d = x.index_select(0, u) - x.index_select(0, v)
    m = psi_f(h[u], h[v], (d * d).sum(-1)[:, None])
    return phi(h, torch.zeros(len(h), m.shape[-1], dtype=m.dtype).index_add_(0, u, m))


@egnn_features.right
def _(h, x, edge_index, psi_f, phi):
    """With a matrix of zeros and ones, and squares from products."""
    v, u = edge_index
    G = x.double() @ x.double().T
    d2 = (G[u, u] + G[v, v] - 2 * G[u, v])[:, None].to(x.dtype)
    arrives = (torch.arange(len(h))[:, None] == u).to(h.dtype)
    return phi(h, arrives @ psi_f(h[u], h[v], d2))


# ------------------------------------------------------------------------------------------------- egnn_coordinates


def _batch(*sizes):
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def _clouds(generator, label, d, *sizes, dtype=torch.float32, psi_c=PSI_C):
    n = sum(sizes)
    h, x = normal(n, d, generator=generator), _cloud(n, generator)
    return Case(label, h.to(dtype), x.to(dtype), psi_c, _batch(*sizes))


def _coordinates(generator):
    case = partial(_clouds, generator)
    yield case("two particles", 2, 2)
    yield case("one particle alone", 3, 1)
    yield case("a cloud of 5 particles", 4, 5)
    yield case("two clouds, of 3 and 4 particles", 2, 3, 4)
    yield case("three clouds, of 2, 1 and 6 particles", 3, 2, 1, 6)
    cloud = case("four particles, two of them in one place", 2, 4)
    cloud.args[1][2] = cloud.args[1][1]
    yield cloud
    yield case("a cloud of 8 particles in double precision", 5, 8, dtype=torch.float64)
    yield case("two clouds, of 3 and 5 charges, with Coulomb's psi_c",
               2, 3, 5, dtype=torch.float64, psi_c=COULOMB)


def _renumbered_cloud(case):
    """Within each cloud, since graphs of a batch stand one after the other."""
    h, x, psi_c, batch = case.args
    p = _order(batch)
    return Case(f"{case.label}, renumbered", h[p], x[p], psi_c, batch)


def _order(batch):
    return torch.cat([(batch == k).nonzero()[:, 0].roll(1) for k in range(int(batch.max()) + 1)])


def _particles_follow(case, value, again, other):
    _require_rows(value, len(case.args[-1]))
    same = Close(1e-3, 1e-4).difference(other, value[_order(case.args[-1])]) is None
    return None if same else "the rows did not follow their particles."


def _moved_cloud(case):
    h, x, *rest = case.args
    return Case(f"{case.label}, moved", h, _moved(x), *rest)


egnn_coordinates = Exercise(egnn.egnn_coordinates, NOTEBOOK, 3, _coordinates, properties=(
    Property("renumbering the particles renumbers the answer", _particles_follow, _renumbered_cloud),
    Property("x' turns, mirrors and shifts with x", _turned_along, _moved_cloud),
), parameters=("h", "x", "psi_c", "batch"), differentiated=Differentiated(("h", "x"), twice=True), seeds=2)


@egnn_coordinates.further
def _large_clouds(generator):
    yield _clouds(generator, "a cloud of 18 particles", 6, 18)
    yield _clouds(generator, "eleven clouds, of 1 to 10 particles", 3, 3, 1, 10, 2, 2, 5, 1, 4, 2, 1, 2)


def _line_two(h, x, psi_c, batch, towards=lambda x, u, v: x[u] - x[v], read="uv", at="u", d2=None, pairs=None):
    """The second line in parts, any of which a misconception replaces: what is multiplied by psi_c, whose features it
    reads, and who is moved by it."""
    pairs = neighbors.all_pairs(len(x), batch) if pairs is None else pairs
    v, u = pairs
    ends = {"u": u, "v": v}
    d2 = egnn.squared_distances(x, pairs) if d2 is None else d2(x[u], x[v])
    return x + aggregate(towards(x, u, v) * psi_c(h[ends[read[0]]], h[ends[read[1]]], d2), ends[at], len(x))


@egnn_coordinates.misconception("x_v - x_u", "Your particles move the other way: where psi_c is positive, they "
                                "should be pushed apart. From where to where does x_u - x_v point? No equivariance "
                                "test can see this.")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, lambda x, u, v: x[v] - x[u])


@egnn_coordinates.misconception("without x_u", "Your answer is the sum alone: how far each particle moves, not "
                                "where it arrives. Shift all particles, and it stays: is it a position?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch) - x


@egnn_coordinates.misconception("f_u and f_v exchanged", "psi_c gets the features in the wrong order. Whose come "
                                "first on the slide, those of the particle that moves or of the other one?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, read="vu")


@egnn_coordinates.misconception("the batch is ignored", "Particles of one cloud move those of another. Several "
                                "clouds come in one batch, and know nothing of each other: which pairs are there?")
def _(h, x, psi_c, batch):
    return egnn.egnn_coordinates(h, x, psi_c)


def _only_the_last_stays(case, value):
    x, batch = case.args[1], case.args[3]
    last = batch == batch.max()
    return torch.equal(value[last], x[last]) and (bool(last.all()) or not torch.equal(value, x))


@egnn_coordinates.misconception("the last cloud left alone", "The particles of the last cloud have not moved. Clouds are numbered from "
                                "0: if `batch` ends with 2, how many are there, and where does your loop end?",
                                _only_the_last_stays)
def _(h, x, psi_c, batch):
    return torch.where((batch == batch.max())[:, None], x, egnn.egnn_coordinates(h, x, psi_c, batch))


@egnn_coordinates.misconception("divided by n - 1", "Your sums are divided by the number of other particles. That "
                                "constant stands in the paper and not on the slide: it is the next exercise.")
def _(h, x, psi_c, batch):
    return egnn.with_constant(x, egnn.egnn_coordinates(h, x, psi_c, batch), batch)


@egnn_coordinates.misconception("divided by n", "Your sums are divided by the number of particles. The slide has a "
                                "sum here, and no constant.")
def _(h, x, psi_c, batch):
    return x + (egnn.egnn_coordinates(h, x, psi_c, batch) - x) / torch.bincount(batch)[batch][:, None]


@egnn_coordinates.misconception("the distance is not squared", "Your psi_c reads the distance, the slide's its "
                                "square. Besides, what is the derivative of a root where two points coincide?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, d2=lambda a, b: (a - b).norm(dim=1, keepdim=True))


@egnn_coordinates.misconception("unit vectors", "You divided x_u - x_v by its length. The slide does not: psi_c "
                                "alone says how strong the push is. And what happens where two particles coincide?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, lambda x, u, v: torch.nn.functional.normalize(x[u] - x[v], dim=1))


@egnn_coordinates.misconception("each pair once", "Of each pair, only one particle moves. The sum for u runs over "
                                "every v, so how often does a pair occur in all of the sums?")
def _(h, x, psi_c, batch):
    pairs = neighbors.all_pairs(len(x), batch)
    return _line_two(h, x, psi_c, batch, pairs=pairs[:, pairs[0] > pairs[1]])


@egnn_coordinates.misconception("each pair once, from below", "Of each pair, only one particle moves. The sum for u "
                                "runs over every v, so how often does a pair occur in all of the sums?")
def _(h, x, psi_c, batch):
    pairs = neighbors.all_pairs(len(x), batch)
    return _line_two(h, x, psi_c, batch, pairs=pairs[:, pairs[0] < pairs[1]])


@egnn_coordinates.misconception("the other one moves", "What is meant to move u is added to v. Which of the two "
                                "indices does the sum run over, and which one is left?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, at="v")


@egnn_coordinates.misconception("positions in place of differences", "You added up the positions of the others, "
                                "times psi_c. Shift everything by b: how far does your sum move? What has to be "
                                "subtracted, for it not to notice?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, lambda x, u, v: x[v])


@egnn_coordinates.misconception("one after the other", "Some particles were already moved when others looked at "
                                "them, so the result depends on the numbering. All x on the right of the equation "
                                "are the old ones.")
def _(h, x, psi_c, batch):
    x = x.clone()
    for u in range(len(x)):
        x[u] = egnn.egnn_coordinates(h, x, psi_c, batch)[u]
    return x


@egnn_coordinates.misconception("one push is left", "Each particle feels one of the others and forgets the rest. "
                                "x[u] += ... with a particle several times in u adds only once for it. Which "
                                "operation accumulates?")
def _(h, x, psi_c, batch):
    v, u = neighbors.all_pairs(len(x), batch)
    push = (x[u] - x[v]) * psi_c(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True))
    new = x.clone()
    for e, node in enumerate(u.tolist()):
        new[node] = x[node] + push[e]
    return new


@egnn_coordinates.misconception("x_u once for each neighbour", "Your x_u came once for every other particle. Does "
                                "it stand inside or outside of the sum?")
def _(h, x, psi_c, batch):
    v, u = neighbors.all_pairs(len(x), batch)
    push = (x[u] - x[v]) * psi_c(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True))
    return aggregate(x[u] + push, u, len(x))


@egnn_coordinates.misconception("nothing moves", "Your particles stay where they are. If you used index_add: does "
                                "it change the tensor before the dot, or return another one?")
def _(h, x, psi_c, batch):
    return x.clone()


@egnn_coordinates.misconception("x changed inside of the loop", "After the first push, your x_u is a new one already, and "
                                "the next difference is measured from there. All x on the right of the equation are the "
                                "old ones.")
def _(h, x, psi_c, batch):
    x = x.clone()
    for u in range(len(x)):
        for v in range(len(x)):
            if v != u and batch[v] == batch[u]:
                d = x[u] - x[v]
                x[u] = x[u] + d * psi_c(h[u][None], h[v][None], d.square().sum().view(1, 1))[0]
    return x


@egnn_coordinates.misconception("without psi_c", "You added up the differences as they are. What is each "
                                "of them multiplied by on the slide?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, lambda f_u, f_v, d2: torch.ones_like(d2), batch)


@egnn_coordinates.misconception("without the difference", "You added up psi_c, the same number for x, y "
                                "and z. In which direction does v push u?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, lambda x, u, v: torch.ones_like(x[u]))


@egnn_coordinates.misconception("v = u left in", "Your sum has a term for v = u, too. Its x_u - x_v is 0, "
                                "and hides it as long as psi_c is finite. What is psi_c of Coulomb's law "
                                "at distance 0, and what is 0 times that?")
def _(h, x, psi_c, batch):
    u, v = pairs = (batch[:, None] == batch).nonzero().T
    return _line_two(h, x, psi_c, batch, pairs=pairs)


REACTION = ("You also pushed v back, by what pushes u. That is a law of nature, and not on the slide: psi_c(f_u, f_v, ...) and "
            "psi_c(f_v, f_u, ...) may differ, and each has its place in a sum.")


@egnn_coordinates.misconception("action and reaction, twice", REACTION)
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch) - _line_two(h, x, psi_c, batch, at="v") + x


@egnn_coordinates.misconception("action and reaction", REACTION)
def _(h, x, psi_c, batch):
    pairs = neighbors.all_pairs(len(x), batch)
    pairs = pairs[:, pairs[0] > pairs[1]]
    return _line_two(h, x, psi_c, batch, pairs=pairs) - _line_two(h, x, psi_c, batch, pairs=pairs, at="v") + x


@egnn_coordinates.misconception("action and reaction, from below", REACTION)
def _(h, x, psi_c, batch):
    pairs = neighbors.all_pairs(len(x), batch)
    pairs = pairs[:, pairs[0] < pairs[1]]
    return _line_two(h, x, psi_c, batch, pairs=pairs) - _line_two(h, x, psi_c, batch, pairs=pairs, at="v") + x


@egnn_coordinates.misconception("two sums multiplied", "You added up the differences, and the psi_c, and multiplied the two "
                                "sums. On the slide each difference is multiplied by its own psi_c first.")
def _(h, x, psi_c, batch):
    v, u = pairs = neighbors.all_pairs(len(x), batch)
    c = psi_c(h[u], h[v], egnn.squared_distances(x, pairs))
    return x + aggregate(x[u] - x[v], u, len(x)) * aggregate(c, u, len(x))


@egnn_coordinates.misconception("the sum is squared", "You added the three coordinates of x_u - x_v and squared the sum. "
                                "Turned, the points then give another number. Which comes first in the square of a length?")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, d2=lambda a, b: (a - b).sum(1, keepdim=True).square())


@egnn_coordinates.misconception("a mean over x, y, z", "What your psi_c reads is a third of the squared distance: a mean over "
                                "the three axes in place of a sum.")
def _(h, x, psi_c, batch):
    return _line_two(h, x, psi_c, batch, d2=lambda a, b: (a - b).square().mean(1, keepdim=True))


@egnn_coordinates.right
def _(h, x, psi_c, batch):
    """Particle by particle."""
    rows = []
    for u in range(len(x)):
        new = x[u]
        for v in range(len(x)):
            if v != u and batch[v] == batch[u]:
                new = new + (x[u] - x[v]) * psi_c(h[u][None], h[v][None], ((x[u] - x[v]) ** 2).sum().view(1, 1))[0]
        rows.append(new)
    return torch.stack(rows)


@egnn_coordinates.right
def _(h, x, psi_c, batch):
    """As a table of all pairs, with distance 1 on its diagonal: x_u - x_u is 0, and psi_c stays finite."""
    n, h, x = len(x), h.double(), x.double()
    d = x[:, None] - x
    d2 = d.square().sum(-1) + torch.eye(n)
    c = psi_c(h.repeat_interleave(n, 0), h.repeat(n, 1), d2.view(-1, 1)).view(n, n)
    c = c * (batch[:, None] == batch)
    return x + (d * c[..., None]).sum(1)


@egnn_coordinates.right
def _(h, x, psi_c, batch):
    """Cloud by cloud."""
    new = x
    for k in batch.unique():
        own = (batch == k).nonzero()[:, 0]
        u, v = own.repeat_interleave(len(own)), own.repeat(len(own))
        u, v = u[u != v], v[u != v]
        push = (x[u] - x[v]) * psi_c(h[u], h[v], (x[u] - x[v]).pow(2).sum(1, keepdim=True))
        new = new.index_add(0, u, push)
    return new


# ---------------------------------------------------------------------------------------------------- with_constant


def _summed(generator, clouds=_coordinates):
    for case in clouds(generator):
        h, x, _, batch = case.args
        v, u = neighbors.all_pairs(len(x), batch)
        weight = h[u, :1] + 2 * h[v, 1:2]  # the sum over v != u of some psi_c
        yield Case(case.label, x, x + aggregate((x[u] - x[v]) * weight, u, len(x)), batch)


def _renumbered_pair(case):
    x, x_new, batch = case.args
    p = _order(batch)
    return Case(f"{case.label}, renumbered", x[p], x_new[p], batch)


def _moved_pair(case):
    x, x_new, batch = case.args
    return Case(f"{case.label}, moved", _moved(x), _moved(x_new), batch)


def _one_more_cloud(case):
    """The same clouds with another one behind them."""
    x, x_new, batch = case.args
    more = torch.tensor([[0.0, 0, 0], [1, 2, 3], [3, 1, 2]], dtype=x.dtype)
    return Case(f"{case.label}, and one more cloud", torch.cat([x, more]), torch.cat([x_new, 2 * more]),
                torch.cat([batch, batch.new_full((3,), int(batch.max()) + 1)]))


def _untouched(case, value, again, other):
    _require_rows(value, len(case.args[0]))
    same = Close(1e-3, 1e-4).difference(other[:len(value)], value) is None
    return None if same else "the answer for a cloud depends on another one."


def _somebody_is_alone(case):
    """Then x_new is x there, and the two may stand for each other."""
    return bool((torch.bincount(case.args[2]) == 1).any())


with_constant = Exercise(egnn.with_constant, NOTEBOOK, 2, _summed, properties=(
    Property("renumbering the particles renumbers the answer", _particles_follow, _renumbered_pair),
    Property("the answer turns, mirrors and shifts with x and x'", _turned_along, _moved_pair),
    Property("a cloud more in the batch changes nothing for the others", _untouched, _one_more_cloud),
), parameters=("x", "x_new", "batch"), differentiated=Differentiated(("x", "x_new"), left_out=_somebody_is_alone))


@with_constant.further
def _(generator):
    return _summed(generator, _large_clouds)


def _sizes(batch):
    return torch.bincount(batch)[batch][:, None]


@with_constant.misconception("C times all of x'", "You multiplied x' by C, and x_u stands in x', too. Shift "
                             "everything by b: by how much does your answer shift? Where does C stand, in front of "
                             "what?")
def _(x, x_new, batch):
    return x_new / (_sizes(batch) - 1).clamp(min=1)


@with_constant.misconception("without x", "Your answer is how far each particle moves. Where does it arrive?")
def _(x, x_new, batch):
    return (x_new - x) / (_sizes(batch) - 1).clamp(min=1)


@with_constant.misconception("n of the whole batch", "Your n counts all particles of the batch, so what a cloud "
                             "does depends on who else is in the batch. Whose n is it?")
def _(x, x_new, batch):
    return x + (x_new - x) / max(len(x) - 1, 1)


@with_constant.misconception("divided by n", "You divided by n. Over how many v does the sum run?")
def _(x, x_new, batch):
    return x + (x_new - x) / _sizes(batch)


@with_constant.misconception("the number of pairs", "You divided by the number of all pairs of a cloud. Over how "
                             "many v does the sum of a single u run?")
def _(x, x_new, batch):
    n = _sizes(batch)
    return x + (x_new - x) / (n * (n - 1)).clamp(min=1)


@with_constant.misconception("0 / 0 where a particle is alone", "A particle that is alone becomes NaN: its sum is "
                             "empty, and you divided 0 by 0. Where should it be?")
def _(x, x_new, batch):
    return x + (x_new - x) / (_sizes(batch) - 1)


@with_constant.misconception("alone, and sent to the origin", "A particle that is alone lands at the origin. You "
                             "replaced a NaN by 0 after x was added. Which part of the sum is to be 0, and where "
                             "should the particle be?")
def _(x, x_new, batch):
    return torch.nan_to_num(x + (x_new - x) / (_sizes(batch) - 1))


@with_constant.misconception("the number of clouds", "You divided by the number of clouds in the batch. n counts "
                             "the particles of one cloud.")
def _(x, x_new, batch):
    return x + (x_new - x) / (int(batch.max()) + 1)


@with_constant.misconception("times n - 1", "You multiplied by n - 1. C is 1 / (n - 1): the cloud explodes faster "
                             "now.")
def _(x, x_new, batch):
    return x + (x_new - x) * (_sizes(batch) - 1)


@with_constant.misconception("one n for all", "You took the same n for all clouds: the mean of their sizes, "
                             "perhaps. Which n does a particle need?")
def _(x, x_new, batch):
    return x + (x_new - x) / max(len(x) / (int(batch.max()) + 1) - 1, 1)


@with_constant.misconception("moved the other way", "Your particles move the other way. x_new - x is what the sum "
                             "has moved, and it is to be shortened, not turned round.")
def _(x, x_new, batch):
    return x - (x_new - x) / (_sizes(batch) - 1).clamp(min=1)


@with_constant.misconception("x' as it was", "Your answer is x', as it came in. C does nothing yet.")
def _(x, x_new, batch):
    return x_new.clone()


@with_constant.misconception("from x' on", "Your particles start from x' and move on by C times the sum, so the whole sum is "
                             "still in. Where do they start on the slide?")
def _(x, x_new, batch):
    return x_new + (x_new - x) / (_sizes(batch) - 1).clamp(min=1)


@with_constant.misconception("C times x', added to x", "You multiplied x' by C and added x. But x_u stands in x', too: take it "
                             "out first. What is left is the sum, and C stands in front of that.")
def _(x, x_new, batch):
    return x + x_new / (_sizes(batch) - 1).clamp(min=1)


@with_constant.misconception("n of the largest cloud", "You took the n of the largest cloud for all. Which n does a particle "
                             "need?")
def _(x, x_new, batch):
    return x + (x_new - x) / max(int(_sizes(batch).max()) - 1, 1)


@with_constant.misconception("n of the first cloud", "You took the n of the first cloud for all. Which n does a particle need?")
def _(x, x_new, batch):
    return x + (x_new - x) / max(int(_sizes(batch)[0]) - 1, 1)


@with_constant.right
def _(x, x_new, batch):
    """Cloud by cloud."""
    out = x.clone()
    for k in batch.unique():
        own = batch == k
        if own.sum() > 1:
            out[own] = x[own] + (x_new[own] - x[own]) / (own.sum() - 1)
    return out


@with_constant.right
def _(x, x_new, batch):
    """By the pairs, in double precision, with a small number against 0 / 0."""
    n = (batch[:, None] == batch).sum(1, keepdim=True)
    return x.double() + (x_new.double() - x.double()) / (n - 1 + 1e-9)


@with_constant.right
def _(x, x_new, batch):
    """As a mean of the two ends, NaN mended before x is added."""
    C = torch.nan_to_num(1 / (_sizes(batch) - 1), posinf=0.0)
    return (1 - C) * x + C * x_new


# -------------------------------------------------------------------------------------------------------- EGNNLayer


def _within(sizes, num_edges, generator):
    """Directed edges inside of clouds that stand one after the other."""
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return torch.cat([start + directed_edges(n, num_edges, generator) for start, n in zip(starts, sizes)], dim=1)


def _layer(generator, label, d, hidden, edge_index, *sizes, dtype=torch.float32):
    options, n = {"d": d, "hidden": hidden}, sum(sizes)
    numbers = drawn_parameters(egnn.EGNNLayer, options, generator)
    numbers = {name: part.to(dtype) for name, part in numbers.items()}
    h, x = normal(n, d, generator=generator).to(dtype), _cloud(n, generator).to(dtype)
    return Case(label, options, numbers, h, x, edge_index, _batch(*sizes))


def _layers(generator):
    case = partial(_layer, generator)
    yield case("a directed path of three nodes", 2, 3, PATH, 3)
    yield case("one node without edges", 3, 2, NO_EDGES, 1)
    yield case("a path of three and two isolated nodes", 4, 5, PATH, 5)
    yield case("two clouds, of 3 and 5 nodes", 2, 5, _within((3, 5), 5, generator), 3, 5)
    coincident = case("four nodes, two of them in one place", 3, 4, directed_edges(4, 7, generator), 4)
    coincident.args[3][2] = coincident.args[3][1]
    yield coincident
    yield case("a directed graph of 7 nodes in double precision", 5, 3, directed_edges(7, 20, generator), 7,
               dtype=torch.float64)


def _renumbered_layer(case):
    options, numbers, h, x, edge_index, batch = case.args
    p = _order(batch)
    return Case(f"{case.label}, renumbered", options, numbers, h[p], x[p], torch.argsort(p)[edge_index], batch)


def _both_follow(case, value, again, other):
    for part in value:
        _require_rows(part, len(case.args[-1]))
    p = _order(case.args[-1])
    same = Close(1e-3, 1e-4).difference(tuple(other), tuple(part[p] for part in value)) is None
    return None if same else "the rows did not follow their nodes."


def _moved_layer(case):
    options, numbers, h, x, *rest = case.args
    return Case(f"{case.label}, moved", options, numbers, h, _moved(x), *rest)


def _features_stay(case, value, again, other):
    _require_rows(value[0], len(case.args[-1]))
    return None if Close(1e-3, 1e-4).difference(other[0], value[0]) is None else "f' changed."


def _positions_follow(case, value, again, other):
    return _turned_along(case, value[1], again, other[1])


EGNNLayer = Exercise(egnn.EGNNLayer, NOTEBOOK, 3, _layers, properties=(
    Property("renumbering the nodes renumbers both answers", _both_follow, _renumbered_layer),
    Property("f' stays when the points move", _features_stay, _moved_layer),
    Property("x' turns, mirrors and shifts with x", _positions_follow, _moved_layer),
), parameters=("h", "x", "edge_index", "batch"),
    differentiated=Differentiated(("h", "x"), parameters=True, twice=True), seeds=2)


def _squared(x, pairs):
    return egnn.squared_distances(x, pairs)


@EGNNLayer.further
def _(generator):
    yield _layer(generator, "a cloud of 12 nodes", 9, 12, directed_edges(12, 60, generator), 12)
    sizes = (2, 4, 3, 2, 3, 2)
    yield _layer(generator, "six clouds, of 2 to 4 nodes", 3, 6, _within(sizes, 2, generator), *sizes)


def _both_lines(layer, h, x, edge_index, batch, *, pairs_f=None, pairs_c=None, squared=_squared, reduce="sum",
                inbox_of=1, seen=lambda f, m: [f, m], f_c=lambda f, f_new: f, flip_f=False, flip_c=False,
                moves=1):
    """Both lines in parts, any of which a misconception replaces; returns f' and the sum that moves x."""
    pairs_f = edge_index if pairs_f is None else pairs_f
    m = layer.psi_f(h, pairs_f.flip(0) if flip_f else pairs_f, squared(x, pairs_f))
    f_new = layer.phi(torch.cat(seen(h, aggregate(m, pairs_f[inbox_of], len(h), reduce)), dim=1))
    v, u = pairs = neighbors.all_pairs(len(x), batch) if pairs_c is None else pairs_c
    c = layer.psi_c(f_c(h, f_new), pairs.flip(0) if flip_c else pairs, squared(x, pairs))
    return f_new, aggregate((x[u] - x[v]) * c, pairs[moves], len(x))


def _misread(name, says):
    """Declares a layer whose ``forward`` is the function below, which gets the layer for self."""
    def declare(forward):
        EGNNLayer.misconception(name, says)(type("EGNNLayer", (egnn.EGNNLayer,), {"forward": forward}))
        return forward
    return declare


@_misread("the second line reads the new f", "Your psi_c reads f', which the first line has just made. Which f "
          "stand in the second line, with a prime or without? No equivariance test can see this.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, f_c=lambda f, f_new: f_new)
    return f_new, x + shift


@_misread("N(u) in the second line", "In your second line a node is moved by its neighbours alone. Read what stands "
          "under the second sum. Where does an isolated node go?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, pairs_c=edge_index)
    return f_new, x + shift


@_misread("N(u) and the new f in the second line", "Your second line reads f' and sums over N(u). Go through it "
          "sign by sign: which f has no prime, and what stands under the sum?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, pairs_c=edge_index, f_c=lambda f, f_new: f_new)
    return f_new, x + shift


@_misread("both ways in the first line", "In your first line each edge carries a message in both "
          "directions. N(u) holds the sources of the edges that arrive at u. On the path 0 -> 1 -> 2, "
          "which node receives no message?")
def _(self, h, x, edge_index, batch):
    both_ways = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    f_new, shift = _both_lines(self, h, x, edge_index, batch, pairs_f=both_ways)
    return f_new, x + shift


@_misread("the two sums exchanged", "Your first line sums over all others and your second one over N(u). It is the other way "
          "round: read what stands under each sum.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, pairs_f=neighbors.all_pairs(len(x), batch),
                               pairs_c=edge_index)
    return f_new, x + shift


@_misread("only psi_f reads a root", "Your psi_f reads the distance, and the slide's its square.")
def _(self, h, x, edge_index, batch):
    f_new, _ = _both_lines(self, h, x, edge_index, batch, squared=lambda x, pairs: _squared(x, pairs).sqrt())
    return f_new, x + _both_lines(self, h, x, edge_index, batch)[1]


@_misread("only psi_c reads a root", "Your psi_c reads the distance, and the slide's its square.")
def _(self, h, x, edge_index, batch):
    _, shift = _both_lines(self, h, x, edge_index, batch, squared=lambda x, pairs: _squared(x, pairs).sqrt())
    return _both_lines(self, h, x, edge_index, batch)[0], x + shift


@_misread("all pairs in the first line", "In your first line every node hears of every other one. Read what stands "
          "under the first sum. What does an isolated node hear?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, pairs_f=neighbors.all_pairs(len(x), batch))
    return f_new, x + shift


@_misread("x_v - x_u", "Your particles move the other way: where psi_c is positive, they should be pushed apart. "
          "From where to where does x_u - x_v point? No equivariance test can see this.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch)
    return f_new, x - shift


@_misread("without x_u", "Your second answer is the sum alone: how far each particle moves, not where it arrives. "
          "Shift all particles, and it stays: is it a position?")
def _(self, h, x, edge_index, batch):
    return _both_lines(self, h, x, edge_index, batch)


@_misread("the distance is not squared", "Your psi_f and psi_c read the distance, the slide's its square. Besides, "
          "what is the derivative of a root where two points coincide?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, squared=lambda x, pairs: _squared(x, pairs).sqrt())
    return f_new, x + shift


@_misread("the batch is ignored", "Particles of one cloud move those of another. Several clouds come in one batch, "
          "and know nothing of each other: which pairs are there?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, None)
    return f_new, x + shift


@_misread("divided by n - 1", "Your sum over the others is divided by their number. That constant is the paper's; "
          "this exercise asks for the slide's two lines as they stand.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch)
    return f_new, egnn.with_constant(x, x + shift, batch)


@_misread("a mean of the messages", "You took the mean of the messages. Here the large plus sign is a sum, as in "
          "exercise 1.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, reduce="mean")
    return f_new, x + shift


@_misread("the largest message", "Your aggregation keeps the largest entry of the messages. Here the large plus sign "
          "is a sum, as in exercise 1.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, reduce="max")
    return f_new, x + shift


@_misread("f and its change", "You added f_u to what phi returns. Many codes do; on the slide f' is phi(...) alone.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch)
    return h + f_new, x + shift


@_misread("phi reads the messages first", "phi gets the messages and then f_u. In which order does the slide name "
          "them? Its first matrix has columns of its own for each of the two.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, seen=lambda f, m: [m, f])
    return f_new, x + shift


@_misread("back to the sender", "The messages of the first line are added at the wrong end of their edges. On the "
          "path 0 -> 1 -> 2, which node hears of nobody?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, inbox_of=0)
    return f_new, x + shift


@_misread("row 0 taken for u", "You took row 0 of the edges for u, in both lines: messages return to their senders, "
          "and psi_c gets the features in the wrong order. Which row holds the targets?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, inbox_of=0, flip_c=True)
    return f_new, x + shift


@_misread("f_u and f_v exchanged in psi_f", "In your first line psi_f gets the features in the wrong order. "
          "PairMLP takes row 1 of its edges for u: is that the node that receives?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, flip_f=True)
    return f_new, x + shift


@_misread("f_u and f_v exchanged in psi_c", "In your second line psi_c gets the features in the wrong order. "
          "PairMLP takes row 1 of its edges for u: is that the particle that moves?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, flip_c=True)
    return f_new, x + shift


@_misread("the first line reads the new x", "Your first line measures distances after the particles have moved. On "
          "the slide both lines read the old x.")
def _(self, h, x, edge_index, batch):
    _, shift = _both_lines(self, h, x, edge_index, batch)
    f_new, _ = _both_lines(self, h, x + shift, edge_index, batch)
    return f_new, x + shift


@_misread("the other one moves", "In your second line, what is meant to move u is added to v. Which of the two does "
          "the sum run over, and which one is left?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, moves=0)
    return f_new, x + shift


@_misread("nothing moves", "Your second answer is x, as it came in. If you used index_add: does it change the "
          "tensor before the dot, or return another one?")
def _(self, h, x, edge_index, batch):
    return _both_lines(self, h, x, edge_index, batch)[0], x.clone()


@_misread("no message arrives", "Your phi sees zeros in place of the messages. If you used index_add: does it "
          "change the tensor before the dot, or return another one?")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch, seen=lambda f, m: [f, 0 * m])
    return f_new, x + shift


@_misread("f as it was", "Your first answer is f, as it came in. The first line is missing.")
def _(self, h, x, edge_index, batch):
    return h.clone(), x + _both_lines(self, h, x, edge_index, batch)[1]


@_misread("x before f", "You returned x' first and then f'. The docstring names f' first.")
def _(self, h, x, edge_index, batch):
    f_new, shift = _both_lines(self, h, x, edge_index, batch)
    return x + shift, f_new


@EGNNLayer.right
class _ByTheTwoFunctions(egnn.EGNNLayer):
    """From exercises 1 and 2; a perceptron is called on the concatenation."""

    def forward(self, h, x, edge_index, batch):
        def concatenated(psi):
            def of(f_u, f_v, d2):
                out = psi.second(torch.nn.functional.silu(psi.first(torch.cat([f_u, f_v, d2], dim=1))))
                return psi.last(out) if psi.last else out
            return of

        f_new = egnn.egnn_features(h, x, edge_index, concatenated(self.psi_f),
                                   lambda f, m: self.phi(torch.cat([f, m], 1)))
        return f_new, egnn.egnn_coordinates(h, x, concatenated(self.psi_c), batch)


@EGNNLayer.right
class _ByLoops(egnn.EGNNLayer):
    """Node by node, with a pair at a time."""

    def forward(self, h, x, edge_index, batch):
        def of(psi, u, v):
            d2 = ((x[u] - x[v]) ** 2).sum().view(1, 1)
            return psi(h, torch.tensor([[v], [u]]), d2)[0]

        f_new, x_new = [], []
        for u in range(len(h)):
            inbox = torch.zeros(self.psi_f.second.out_features, dtype=h.dtype)
            for v in edge_index[0, edge_index[1] == u].tolist():
                inbox = inbox + of(self.psi_f, u, v)
            f_new.append(self.phi(torch.cat([h[u], inbox])))
            others = [v for v in range(len(h)) if v != u and batch[v] == batch[u]]
            x_new.append(sum(((x[u] - x[v]) * of(self.psi_c, u, v) for v in others), x[u]))
        return torch.stack(f_new), torch.stack(x_new)


@EGNNLayer.right
class _ByIndexAdd(egnn.EGNNLayer):
    """All pairs by comparing batches, the diagonal among them: x_u - x_u is 0."""

    def forward(self, h, x, edge_index, batch):
        m = self.psi_f(h, edge_index, (x[edge_index[0]] - x[edge_index[1]]).pow(2).sum(-1, keepdim=True))
        inbox = m.new_zeros(len(h), m.shape[1]).index_add(0, edge_index[1], m)
        u, v = pairs = (batch[:, None] == batch).nonzero().T
        d = x[u] - x[v]
        push = d * self.psi_c(h, pairs.flip(0), (d * d).sum(1)[:, None])
        return self.phi(torch.hstack([h, inbox])), x.clone().index_add_(0, u, push)
