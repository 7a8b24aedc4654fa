"""Notebook 2: one round of Algorithm 4, several rounds, the same with a matrix, and attention."""

from __future__ import annotations

import torch

from .. import graphs, message_passing
from .declare import Case, Close, Exercise, Property
from .derivatives import Differentiated
from .inputs import directed_edges, large_graphs, normal, path_through, shuffled, small_graphs

NOTEBOOK = "02_message_passing"
BY_WEIGHTS = Differentiated(("h", "W_self", "W_neigh", "b"))
relu = torch.relu


def _weights(d_out, d_in, generator):
    """W_self, W_neigh and b."""
    return (normal(d_out, d_in, generator=generator), normal(d_out, d_in, generator=generator),
            normal(d_out, generator=generator))


def _renumbered(case):
    """The case with its nodes in another order; see `_follows` for what the answer must do."""
    h, edge_index, *rest = case.args
    p = shuffled(len(h))
    return Case(case.label + ", renumbered", h[p], torch.argsort(p)[edge_index], *rest)


def _follows(case, value, again, other):
    if value.ndim == 0 or len(value) != len(case.args[0]):
        raise ValueError("not one row for each node")  # which rows follow cannot be told
    return None if Close().difference(other, value[shuffled(len(value))]) is None else "the rows did not follow their nodes."


EQUIVARIANT = Property("renumbering the nodes renumbers the answer, and changes nothing else", _follows, _renumbered)

# ---------------------------------------------------------------------------------------------------- message_round


def _with_loops(generator):
    """`small_graphs`, and one in which two nodes write to themselves."""
    yield from small_graphs(generator)
    loops = torch.tensor([[1, 4], [1, 4]])
    yield "a directed graph with two self loops", torch.cat([directed_edges(7, 12, generator), loops], 1), 7


def _rounds(generator):
    sizes = ((4, 4), (4, 3), (3, 3), (5, 2), (4, 7), (3, 5))
    for (label, edge_index, num_nodes), (d_out, d_in) in zip(_with_loops(generator), sizes):
        yield Case(label, normal(num_nodes, d_in, generator=generator), edge_index, *_weights(d_out, d_in, generator))


message_round = Exercise(message_passing.message_round, NOTEBOOK, 3, _rounds, properties=(EQUIVARIANT,),
                         differentiated=BY_WEIGHTS)


@message_round.further
def _large_rounds(generator):
    for (label, edge_index, num_nodes), (d_out, d_in) in zip(large_graphs(generator), ((3, 5), (12, 20))):
        h = normal(num_nodes, d_in, generator=generator)
        yield Case(label, h, edge_index, *_weights(d_out, d_in, generator))


@message_round.misconception("bias once a node", "Your bias is added once to every node. Look where b stands in Algorithm 4: "
                             "how often does it reach a node with three neighbours, and how often an isolated one?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T, u, len(h)) + b)


@message_round.misconception("against the arrow", "Your messages travel against their edges. M_{v->u} goes from the source v "
                             "(row 0) to the target u (row 1). On the path 0 -> 1 -> 2, which node has an empty inbox?")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, edge_index.flip(0), W_self, W_neigh, b)


@message_round.misconception("a node is its own neighbour", "Each node also sent a message to itself. Without an edge "
                             "u -> u, N(u) does not hold u: the self message has a weight of its own, and no bias.")
def _(h, edge_index, W_self, W_neigh, b):
    loops = torch.arange(len(h)).repeat(2, 1)
    return message_passing.message_round(h, torch.cat([edge_index, loops], 1), W_self, W_neigh, b)


@message_round.misconception("mean instead of sum", "You took the mean of each inbox. Algorithm 4 adds the messages up, so a "
                             "node can tell two equal messages from one.")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h), "mean"))


@message_round.misconception("only one message arrives", "Each inbox keeps one message and loses the others. M[u] += messages "
                             "with a node several times in u adds only once for it. Which operation accumulates?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    M = h @ W_self.T
    M[u] += h[v] @ W_neigh.T + b
    return relu(M)


@message_round.misconception("no activation", "Your result is M_u. One step of Algorithm 4 is left: the update.")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h))


@message_round.misconception("activation before the sum", "You applied sigma to each message. In Algorithm 4 the messages and "
                             "the self message are added first, and sigma sees the total.")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T) + message_passing.aggregate(relu(h[v] @ W_neigh.T + b), u, len(h))


@message_round.misconception("weights not transposed", "h @ W multiplies by the wrong side of W, which goes unnoticed while W "
                             "is square. A node's features are a row here, a column in W h_v. W has shape (d', d): how do "
                             "you get from (num_nodes, d) to (num_nodes, d')?")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, edge_index, W_self.T, W_neigh.T, b)


@message_round.misconception("the two weights swapped", "The neighbours' messages went through W_self and the self message "
                             "through W_neigh.")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, edge_index, W_neigh, W_self, b)


@message_round.misconception("no message arrives", "Your answer is sigma of the self message alone: no message arrives. If you "
                             "used index_add: does it change the tensor before the dot, or return another one?")
def _(h, edge_index, W_self, W_neigh, b):
    return relu(h @ W_self.T)


@message_round.misconception("the wrong end of the edge", "The messages into u are made from u's own features. M_{v->u} is made at "
                             "one end of the edge and arrives at the other: which end is which?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(h[u] @ W_neigh.T + b, u, len(h)))


@message_round.misconception("sigma twice", "You applied sigma to each message, and again to the total. How often does it stand in "
                             "Algorithm 4, and what does it see there?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(relu(h[v] @ W_neigh.T + b), u, len(h)))


@message_round.misconception("no bias", "The bias is missing: every message carries it.")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, edge_index, W_self, W_neigh, torch.zeros_like(b))


@message_round.misconception("back to the sender", "Each message is made by v, and added to v itself. M_{v->u} goes into "
                             "the inbox of u: on the path 0 -> 1 -> 2, what does node 2 get from you?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, v, len(h)))


@message_round.misconception("no self message", "The self message is missing. A node that nobody writes to becomes 0 in "
                             "your round: what of its own should it keep?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))


@message_round.misconception("a self message with each message", "The self message came once with every message. How "
                             "often does M_self stand in the total, and is it inside or outside of the sum over N(u)?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(message_passing.aggregate(h[v] @ W_neigh.T + b + h[u] @ W_self.T, u, len(h)))


@message_round.misconception("self loops dropped", "You left out the edges from a node to itself. A message travels along such an "
                             "edge, too, beside the self message: which W and which b does it use?")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, edge_index[:, edge_index[0] != edge_index[1]], W_self, W_neigh, b)


@message_round.misconception("one node after the other", "Some nodes read the new features of others within the same round, so the "
                             "result depends on the numbering. All messages are made from the h that came in: which line "
                             "of yours overwrites it?")
def _(h, edge_index, W_self, W_neigh, b):
    h = h.clone()
    for node in range(len(h)):
        v = edge_index[0, edge_index[1] == node]
        h[node] = relu(W_self @ h[node] + (h[v] @ W_neigh.T + b).sum(0))
    return h


@message_round.misconception("isolated nodes become 0", "A node without an incoming edge comes out as 0. Its sum over N(u) is empty: "
                             "what is left of M_u then?")
def _(h, edge_index, W_self, W_neigh, b):
    receives = torch.bincount(edge_index[1], minlength=len(h)) > 0
    return message_passing.message_round(h, edge_index, W_self, W_neigh, b) * receives[:, None]


@message_round.misconception("both ways along an edge", "Your messages travel along each edge both ways. Without an edge u -> v of "
                             "its own, v receives nothing from u: on the path 0 -> 1 -> 2, whose inbox is empty?")
def _(h, edge_index, W_self, W_neigh, b):
    return message_passing.message_round(h, torch.cat([edge_index, edge_index.flip(0)], 1), W_self, W_neigh, b)


@message_round.misconception("a message from both ends", "Your message v -> u is made from the features of both ends. In Algorithm 4, "
                             "whose features stand in M_{v->u}?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate((h[v] + h[u]) @ W_neigh.T + b, u, len(h)))


@message_round.misconception("bias once per inbox", "Your bias comes once to every node that has an inbox, however full it is. Look where "
                             "b stands in Algorithm 4: how often does it reach a node with three neighbors?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    receives = torch.bincount(u, minlength=len(h)) > 0
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T, u, len(h)) + receives[:, None] * b)


@message_round.misconception("the largest message", "You took the largest message of each inbox, entry by entry. Algorithm 4 adds the "
                             "messages up.")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h), "max"))


@message_round.misconception("sigma on a part of the total", "You applied sigma to the sum over N(u), and added the self message then. In "
                             "Algorithm 4 they are added first, and sigma sees the total.")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return h @ W_self.T + relu(message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))


@message_round.misconception("bias in the self message, too", "The bias came once too often: node 5 of the notebook's "
                             "picture gets one, and hears nobody. Which of the two kinds of message carries b?")
def _(h, edge_index, W_self, W_neigh, b):
    v, u = edge_index
    return relu(h @ W_self.T + b + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))


@message_round.right
def _(h, edge_index, W_self, W_neigh, b):
    rows = []
    for node in range(len(h)):
        M = W_self @ h[node]
        for v, u in edge_index.T.tolist():
            if u == node:
                M = M + W_neigh @ h[v] + b
        rows.append(relu(M))
    return torch.stack(rows)


@message_round.right
def _(h, edge_index, W_self, W_neigh, b):
    A = graphs.to_adjacency(edge_index, len(h)).double()
    h, W_self, W_neigh, b = (t.double() for t in (h, W_self, W_neigh, b))
    return torch.clamp(h @ W_self.T + A.T @ h @ W_neigh.T + A.sum(0)[:, None] * b, min=0)


@message_round.right
def _(h, edge_index, W_self, W_neigh, b):
    total = (h @ W_self.T).index_add(0, edge_index[1], (h @ W_neigh.T + b)[edge_index[0]])
    return total * (total > 0)


# ------------------------------------------------------------------------------------------------------- run_rounds


def _repeated(generator):
    for (label, edge_index, num_nodes), d, K in zip(_with_loops(generator), (3, 2, 3, 5, 4, 2), (1, 0, 2, 0, 3, 2)):
        # Weights of about 1 / sqrt(d) keep h of the same size over the rounds.
        weights = [W / d**0.5 for W in _weights(d, d, generator)]
        yield Case(f"{label}, K = {K}", normal(num_nodes, d, generator=generator), edge_index, *weights, K)


run_rounds = Exercise(message_passing.run_rounds, NOTEBOOK, 2, _repeated, properties=(EQUIVARIANT,),
                      differentiated=BY_WEIGHTS)


@run_rounds.further
def _(generator):
    order = torch.randperm(30, generator=generator)
    graphs_and_rounds = (("a path through 30 nodes", path_through(order), 30, 20),
                         ("a directed graph of 25 nodes", directed_edges(25, 40, generator), 25, 9))
    for label, edge_index, num_nodes, K in graphs_and_rounds:
        W_self, W_neigh, b = _weights(6, 6, generator)
        # Orthogonal matrices: over many rounds h neither dies out nor outgrows what float32 can tell apart.
        W_self, W_neigh = (torch.linalg.qr(W)[0] for W in (W_self, W_neigh))
        h = normal(num_nodes, 6, generator=generator)
        yield Case(f"{label}, K = {K}", h, edge_index, W_self, W_neigh / 2, b, K)


@run_rounds.misconception("K rounds", "You made K rounds. In Algorithm 4, k runs over 0, 1, ..., K, and the output is "
                          "h^(K+1). How many rounds is that for K = 0?")
def _(h, edge_index, W_self, W_neigh, b, K):
    for _ in range(K):
        h = message_passing.message_round(h, edge_index, W_self, W_neigh, b)
    return h


def _all_rounds(case, value):
    """Whether a row of features was returned for several rounds, the right one last."""
    expected = message_passing.run_rounds(*case.args)
    return value.ndim == 3 and value.shape[1:] == expected.shape and torch.allclose(value[-1].float(), expected.float(), atol=1e-4)


@run_rounds.misconception("the features of every round", "You return the features of every round. The output of the algorithm "
                          "is the last of them alone, h^(K+1). Which shape should it have?", _all_rounds)
def _(h, edge_index, W_self, W_neigh, b, K):
    states = [h]
    for _ in range(K + 1):
        states.append(message_passing.message_round(states[-1], edge_index, W_self, W_neigh, b))
    return torch.stack(states)


@run_rounds.misconception("always from the start", "Your answer is h^(1), whatever K is: only one round counts. What does the "
                          "second round read, and is it reached at all?")
def _(h, edge_index, W_self, W_neigh, b, K):
    return message_passing.message_round(h, edge_index, W_self, W_neigh, b)


@run_rounds.misconception("nodes updated one after the other", "Some nodes read their neighbours' new features within the same "
                          "round, so the result depends on the numbering. All messages of round k are made from h^(k).")
def _(h, edge_index, W_self, W_neigh, b, K):
    h = h.clone()
    for _ in range(K + 1):
        for u in range(len(h)):
            h[u] = message_passing.message_round(h, edge_index, W_self, W_neigh, b)[u]
    return h


@run_rounds.misconception("activation only at the end", "You applied sigma once, after the last round. Without it between the "
                          "rounds, they are one linear map. It is part of every update.")
def _(h, edge_index, W_self, W_neigh, b, K):
    for _ in range(K + 1):
        h = message_passing.message_round(h, edge_index, W_self, W_neigh, b, sigma=lambda M: M)
    return relu(h)


@run_rounds.misconception("K + 2 rounds", "You made one round too many. k runs over 0, 1, ..., K: count the values.")
def _(h, edge_index, W_self, W_neigh, b, K):
    return message_passing.run_rounds(h, edge_index, W_self, W_neigh, b, K + 1)


@run_rounds.misconception("at least one round", "For every K above 0 you made one round too few. k runs over 0, 1, ..., K: how "
                          "many rounds is that for K = 1?")
def _(h, edge_index, W_self, W_neigh, b, K):
    for _ in range(max(K, 1)):
        h = message_passing.message_round(h, edge_index, W_self, W_neigh, b)
    return h


@run_rounds.misconception("no round for K = 0", "For K = 0 you hand h back as it came in, and for other K your answer is right. k runs over "
                          "0, 1, ..., K: which values are those for K = 0?")
def _(h, edge_index, W_self, W_neigh, b, K):
    return h if K == 0 else message_passing.run_rounds(h, edge_index, W_self, W_neigh, b, K)


@run_rounds.misconception("messages from the start", "Every round delivered the same messages, those made from h^(0). Which h do the "
                          "messages of round k read, and in which line of yours are they made?")
def _(h, edge_index, W_self, W_neigh, b, K):
    v, u = edge_index
    received = message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h))
    for _ in range(K + 1):
        h = relu(h @ W_self.T + received)
    return h


@run_rounds.misconception("the two weights swapped", "The neighbours' messages went through W_self and the self message through "
                          "W_neigh. Both are square here, so that no shape complains: in which order does `message_round` "
                          "take them?")
def _(h, edge_index, W_self, W_neigh, b, K):
    return message_passing.run_rounds(h, edge_index, W_neigh, W_self, b, K)


@run_rounds.misconception("the last round without sigma", "The last round lacks its activation. In Algorithm 4, is there a k whose "
                          "update has no sigma?")
def _(h, edge_index, W_self, W_neigh, b, K):
    for k in range(K + 1):
        h = message_passing.message_round(h, edge_index, W_self, W_neigh, b, relu if k < K else lambda M: M)
    return h


@run_rounds.misconception("against the arrow", "Your messages travel against their edges: row 0 of edge_index holds the sources. On the "
                          "path 0 -> 1 -> 2, which node has an empty inbox in every round?")
def _(h, edge_index, W_self, W_neigh, b, K):
    return message_passing.run_rounds(h, edge_index.flip(0), W_self, W_neigh, b, K)


@run_rounds.misconception("rounds added up", "You added what each round gave to what came before. The update of Algorithm 4 replaces "
                          "h^(k): what of the old features does M_self keep?")
def _(h, edge_index, W_self, W_neigh, b, K):
    for _ in range(K + 1):
        h = h + message_passing.message_round(h, edge_index, W_self, W_neigh, b)
    return h


@run_rounds.misconception("self message from the start", "Every round made the self message from h^(0), and the others "
                          "from the newest h. Which h stands in each of the two in round k?")
def _(h, edge_index, W_self, W_neigh, b, K):
    v, u = edge_index
    M_self = h @ W_self.T
    for _ in range(K + 1):
        h = relu(M_self + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))
    return h


@run_rounds.right
def _(h, edge_index, W_self, W_neigh, b, K):
    h = message_passing.message_round(h, edge_index, W_self, W_neigh, b)
    return h if K == 0 else run_rounds.reference(h, edge_index, W_self, W_neigh, b, K - 1)


@run_rounds.right
def _(h, edge_index, W_self, W_neigh, b, K):
    A = graphs.to_adjacency(edge_index, len(h)).double()
    h, W_self, W_neigh, b = (t.double() for t in (h, W_self, W_neigh, b))
    k = 0
    while k <= K:
        h = relu(h @ W_self.T + A.T @ (h @ W_neigh.T + b))
        k += 1
    return h


# ------------------------------------------------------------------------------------------------------ dense_round


def _dense(generator, rounds=_rounds):
    for case in rounds(generator):
        h, edge_index, *weights = case.args
        yield Case(case.label, h, graphs.to_adjacency(edge_index, len(h)), *weights)


def _renumbered_matrix(case):
    h, A, *rest = case.args
    p = shuffled(len(h))
    return Case(case.label + ", renumbered", h[p], A[p][:, p], *rest)


dense_round = Exercise(message_passing.dense_round, NOTEBOOK, 2, _dense, properties=(
    Property(EQUIVARIANT.name, _follows, _renumbered_matrix),
), differentiated=BY_WEIGHTS)


@dense_round.further
def _(generator):
    return _dense(generator, _large_rounds)


@dense_round.misconception("A instead of its transpose", "Row v of A lists where v sends. You need where u receives from. On "
                           "the path 0 -> 1 -> 2, which row and which column of A belong to node 0?")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A.T, W_self, W_neigh, b)


@dense_round.misconception("bias once a node", "The bias reaches every node once. In Algorithm 4 it travels with each message. "
                           "Is b inside or outside of what A multiplies?")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ h @ W_neigh.T + b)


@dense_round.misconception("no bias", "The bias is missing: every message carries it.")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ h @ W_neigh.T)


@dense_round.misconception("ones on the diagonal", "You added the identity to A, which makes every node its own neighbour. "
                           "The self message has a weight of its own, and no bias.")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A + torch.eye(len(A)), W_self, W_neigh, b)


@dense_round.misconception("rows divided by the degree", "You divided by the number of neighbours, which gives a mean. "
                           "Algorithm 4 takes the sum.")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A / A.sum(0).clamp(min=1), W_self, W_neigh, b)


@dense_round.misconception("the two weights swapped", "The neighbours' messages went through W_self and the self message through "
                           "W_neigh.")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A, W_neigh, W_self, b)


@dense_round.misconception("weights not transposed", "h @ W multiplies by the wrong side of W, which goes unnoticed while W is "
                           "square. A node's features are a row here, a column in W h_v.")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A, W_self.T, W_neigh.T, b)


@dense_round.misconception("no activation", "Your result is M_u. One step of Algorithm 4 is left: the update.")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A, W_self, W_neigh, b, sigma=lambda M: M)


@dense_round.misconception("bias by the out-degree", "Your bias comes once for each edge that leaves a node. It belongs "
                           "to the messages that arrive: which sum of A counts those, the one over rows or the one over "
                           "columns?")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ h @ W_neigh.T + A.sum(1)[:, None] * b)


@dense_round.misconception("activation before the sum", "You applied sigma to the self message and to each message, and added up "
                           "then. In Algorithm 4 they are added first, and sigma sees the total.")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T) + A.T @ relu(h @ W_neigh.T + b)


@dense_round.misconception("sigma on the two parts", "You applied sigma to the self message and to the sum of the others, each by "
                           "itself. In Algorithm 4 they are added first, and sigma sees the total.")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T) + relu(A.T @ (h @ W_neigh.T + b))


@dense_round.misconception("bias in the self message, too", "The bias came once too often, and reaches nodes that hear nobody. Which "
                           "of the two kinds of message carries b?")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + b + A.T @ (h @ W_neigh.T + b))


@dense_round.misconception("no self message", "The self message is missing. A node that nobody writes to becomes 0 in your round: "
                           "what of its own should it keep?")
def _(h, A, W_self, W_neigh, b):
    return relu(A.T @ (h @ W_neigh.T + b))


@dense_round.misconception("bias once per inbox", "Your bias comes once to every node that has an inbox, however full it is. Is b inside "
                           "or outside of what A multiplies?")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ h @ W_neigh.T + (A.sum(0) > 0)[:, None] * b)


@dense_round.misconception("the self message through A", "A multiplies your self message, too, so that a node's own features go to its "
                           "neighbors and not to itself. Which of the two messages travels along edges?")
def _(h, A, W_self, W_neigh, b):
    return relu(A.T @ (h @ W_self.T + h @ W_neigh.T + b))


@dense_round.misconception("sigma on the self message", "You applied sigma to the self message, and not to the total. In Algorithm 4 the "
                           "messages are added first.")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T) + A.T @ (h @ W_neigh.T + b)


_BOTH_WAYS = ("Your messages travel along each edge both ways. On the path 0 -> 1 -> 2, what does A hold for the way from 1 "
              "to 0?")


@dense_round.misconception("both ways along an edge", _BOTH_WAYS)
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A + A.T, W_self, W_neigh, b)


@dense_round.misconception("both ways, and once between two nodes", _BOTH_WAYS)
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, (A + A.T).clamp(max=1), W_self, W_neigh, b)


@dense_round.misconception("self loops dropped", "You left out the diagonal of A. A node that has an edge to itself receives a message "
                           "over it, beside the self message: which W and which b does it use?")
def _(h, A, W_self, W_neigh, b):
    return message_passing.dense_round(h, A - torch.diag(A.diag()), W_self, W_neigh, b)


@dense_round.misconception("sigma on each message", "You applied sigma to each message, and again to the total. How often "
                           "does it stand in Algorithm 4, and what does it see there?")
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ relu(h @ W_neigh.T + b))


@dense_round.right
def _(h, A, W_self, W_neigh, b):
    return relu(h @ W_self.T + A.T @ h @ W_neigh.T + A.sum(0)[:, None] * b)


@dense_round.right
def _(h, A, W_self, W_neigh, b):
    M = torch.einsum("vu,vd->ud", A.double(), h.double() @ W_neigh.double().T + b.double())
    return torch.clamp(M + h.double() @ W_self.double().T, min=0)


# -------------------------------------------------------------------------------------------------- attention_round


def _scored(generator):
    sizes = ((3, 2), (2, 3), (4, 3), (5, 4), (3, 6), (4, 2))
    for (label, edge_index, num_nodes), (d_out, d_in) in zip(_with_loops(generator), sizes):
        num_edges = edge_index.shape[1]
        yield Case(label, normal(num_nodes, d_in, generator=generator), edge_index,
                   normal(num_edges, generator=generator), normal(d_out, d_in, generator=generator))
        if num_edges > 20:
            # Even nodes have scores near -150 alone in their inbox, odd nodes both kinds: no one number for the whole graph
            # makes all of them fit for exp, nor does the mean of an inbox, or the score that happens to come last.
            high = (edge_index[1] % 2) * (torch.arange(num_edges) % 2)
            large = 300.0 * high - 150 + normal(num_edges, generator=generator)
            yield Case(f"{label}, with scores of 150 and -150", normal(num_nodes, d_in, generator=generator), edge_index,
                       large, normal(d_out, d_in, generator=generator))


def _shifted_scores(case):
    h, edge_index, scores, W = case.args
    return Case(case.label + ", 2 added to every score", h, edge_index, scores + 2, W)


def _unchanged(case, value, again, other):
    return None if Close().difference(other, value) is None else "the answer changed."


attention_round = Exercise(message_passing.attention_round, NOTEBOOK, 3, _scored, properties=(
    EQUIVARIANT,
    Property("adding the same number to every score changes nothing", _unchanged, _shifted_scores),
), differentiated=Differentiated(("h", "scores", "W")))


@attention_round.further
def _(generator):
    for (label, edge_index, num_nodes), d_out in zip(large_graphs(generator), (3, 7)):
        num_edges = edge_index.shape[1]
        # Sixty-fourths, to which 2 can be added without rounding
        scores = (64 * normal(num_edges, generator=generator)).round() / 64
        scores = scores + 1000 * (torch.arange(num_edges) % 3 - 1)
        h, W = normal(num_nodes, 4, generator=generator), normal(d_out, 4, generator=generator)
        yield Case(f"{label}, with scores near -1000, 0 and 1000", h, edge_index, scores, W)


def _weighted(h, edge_index, alpha, W):
    v, u = edge_index
    return message_passing.aggregate(alpha[:, None] * (h @ W.T)[v], u, len(h))


@attention_round.misconception("one softmax over all edges", "Your weights sum to 1 over the whole graph. Each node shares out "
                               "its own attention: over which edges must they sum to 1?")
def _(h, edge_index, scores, W):
    return _weighted(h, edge_index, torch.softmax(scores, 0), W)


@attention_round.misconception("softmax over what a node sends", "Your weights sum to 1 over the edges that leave a node. It is "
                               "the receiver that divides its attention.")
def _(h, edge_index, scores, W):
    return _weighted(h, edge_index, message_passing.softmax_by_target(scores, edge_index[0], len(h)), W)


@attention_round.misconception("weights not normalised", "You weighted by exp(score) and did not divide. A node with twice as "
                               "many neighbours then gets about twice as large a result.")
def _(h, edge_index, scores, W):
    return _weighted(h, edge_index, torch.exp(scores), W)


@attention_round.misconception("scores used as weights", "You weighted by the scores themselves. They can be negative and sum to "
                               "anything. What turns them into weights that are positive and sum to 1?")
def _(h, edge_index, scores, W):
    return _weighted(h, edge_index, scores, W)


@attention_round.misconception("exp overflows", "The weights are right until scores are large: exp(150) is more than float32 can "
                               "hold, and inf / inf is NaN. A softmax does not change when you subtract the same number "
                               "from all scores of one inbox. Which number keeps exp small?")
def _(h, edge_index, scores, W):
    weights = torch.exp(scores)
    return _weighted(h, edge_index, weights / message_passing.aggregate(weights, edge_index[1], len(h))[edge_index[1]], W)


@attention_round.misconception("against the arrow", "Your attention looks along the edges, from a node to those it points at. On "
                               "the path 0 -> 1 -> 2, which node hears nothing, and which one gets 0 from you?")
def _(h, edge_index, scores, W):
    return message_passing.attention_round(h, edge_index.flip(0), scores, W)


@attention_round.misconception("a small number in the denominator", "Your weights are right until scores are large. A floor under the "
                               "denominator avoids 0 / 0, but by then exp(150) is inf already, and exp(-150) is 0. "
                               "Where does the trouble begin: in the division, or before it?")
def _(h, edge_index, scores, W):
    weights = torch.exp(scores)
    total = message_passing.aggregate(weights, edge_index[1], len(h)) + 1e-9
    return _weighted(h, edge_index, weights / total[edge_index[1]], W)


_ONE_MAXIMUM = ("What you subtract keeps exp(150) small. But in an inbox whose scores are all near -150, every exp is still 0, "
                "and so is their sum. Which number does each inbox need?")


@attention_round.misconception("one maximum, and a floor under the sum", _ONE_MAXIMUM)
def _(h, edge_index, scores, W):
    largest = scores.max() if len(scores) else 0.0
    weights = torch.exp(scores - largest)
    total = message_passing.aggregate(weights, edge_index[1], len(h)).clamp(min=1e-12)
    return _weighted(h, edge_index, weights / total[edge_index[1]], W)


@attention_round.misconception("one maximum for the whole graph", _ONE_MAXIMUM)
def _(h, edge_index, scores, W):
    largest = scores.max() if len(scores) else 0.0
    weights = torch.exp(scores - largest)
    return _weighted(h, edge_index, weights / message_passing.aggregate(weights, edge_index[1], len(h))[edge_index[1]], W)


@attention_round.misconception("every neighbour weighs the same", "All your weights in an inbox are equal: the scores have no "
                               "effect.")
def _(h, edge_index, scores, W):
    v, u = edge_index
    return message_passing.aggregate((h @ W.T)[v], u, len(h), "mean")


@attention_round.misconception("shifted, not divided", "You subtracted the largest score of each inbox, and the weights "
                               "are not yet a softmax: the largest of them is 1, so what do they sum to?")
def _(h, edge_index, scores, W):
    u = edge_index[1]
    return _weighted(h, edge_index, torch.exp(scores - message_passing.aggregate(scores, u, len(h), "max")[u]), W)


@attention_round.misconception("0 / 0 in an empty inbox", "Nodes that hear nothing are NaN: there you divided by an empty "
                               "sum. What are the weights for, the nodes or the edges, and how many has such a node?")
def _(h, edge_index, scores, W):
    u = edge_index[1]
    weights = torch.exp(scores - message_passing.aggregate(scores, u, len(h), "max")[u])
    return _weighted(h, edge_index, weights, W) / message_passing.aggregate(weights, u, len(h))[:, None]


@attention_round.misconception("shifted by the mean", "You subtracted the mean of each inbox. Where one score is near 150 "
                               "and the rest near -150, the mean leaves a number that exp cannot hold. Which number "
                               "leaves none above 0?")
def _(h, edge_index, scores, W):
    u = edge_index[1]
    weights = torch.exp(scores - message_passing.aggregate(scores, u, len(h), "mean")[u])
    return _weighted(h, edge_index, weights / message_passing.aggregate(weights, u, len(h))[u], W)


@attention_round.misconception("shifted by some score", "You subtracted one score of each inbox, whichever came last. In "
                               "shift[u] = scores a node that stands several times in u keeps one of them. Where that one "
                               "is -150, what is left of 150?")
def _(h, edge_index, scores, W):
    u = edge_index[1]
    shift = scores.new_zeros(len(h))
    for edge, node in enumerate(u.tolist()):
        shift[node] = scores[edge]
    weights = torch.exp(scores - shift[u])
    return _weighted(h, edge_index, weights / message_passing.aggregate(weights, u, len(h))[u], W)


@attention_round.misconception("scores clamped", "You clamped the scores. Two that are too large then become equal, and "
                               "so do two that are too small. What can be done to the scores of an inbox that keeps "
                               "their differences?")
def _(h, edge_index, scores, W):
    return message_passing.attention_round(h, edge_index, scores.clamp(-80, 80), W)


@attention_round.misconception("the wrong end of the edge", "Your weighted sum is over the features of the node that receives. Which "
                               "end of the edge v -> u does the message come from?")
def _(h, edge_index, scores, W):
    v, u = edge_index
    alpha = message_passing.softmax_by_target(scores, u, len(h))
    return message_passing.aggregate(alpha[:, None] * (h @ W.T)[u], u, len(h))


@attention_round.misconception("a self message added", "Every node also got W times its own features. There is no self message in this "
                               "formula: what does a node that hears nothing get?")
def _(h, edge_index, scores, W):
    return message_passing.attention_round(h, edge_index, scores, W) + h @ W.T


@attention_round.misconception("divided twice", "Your weights of an inbox already sum to 1, and you divided by the number of messages on "
                               "top of that. What do the weights sum to then, in an inbox of three?")
def _(h, edge_index, scores, W):
    v, u = edge_index
    alpha = message_passing.softmax_by_target(scores, u, len(h))
    return message_passing.aggregate(alpha[:, None] * (h @ W.T)[v], u, len(h), "mean")


@attention_round.misconception("each node attends to itself, too", "Every node also weighed its own features, with a score of 0. There "
                               "is no self message here: over which edges does the softmax of u run?")
def _(h, edge_index, scores, W):
    loops = torch.arange(len(h)).repeat(2, 1)
    more = torch.cat([scores, scores.new_zeros(len(h))])
    return message_passing.attention_round(h, torch.cat([edge_index, loops], 1), more, W)


@attention_round.misconception("an activation at the end", "Your answer has no negative entry: there is a ReLU at its "
                               "end. Does the formula have one?")
def _(h, edge_index, scores, W):
    return relu(message_passing.attention_round(h, edge_index, scores, W))


@attention_round.right
def _(h, edge_index, scores, W):
    out = torch.zeros(len(h), len(W), dtype=torch.float64)
    for u in range(len(h)):
        arriving = edge_index[1] == u
        if arriving.any():
            alpha = torch.softmax(scores[arriving].double(), 0)
            out[u] = alpha @ (h[edge_index[0, arriving]].double() @ W.double().T)
    return out


@attention_round.right
def _(h, edge_index, scores, W):
    dense = torch.full((len(h), len(h)), -torch.inf)
    dense[edge_index[1], edge_index[0]] = scores
    return torch.nan_to_num(torch.softmax(dense, 1)) @ h @ W.T
