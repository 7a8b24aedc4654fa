"""Layers of the library beside their peers: forward, and backward of the sum of squares of the outputs, in float32.

"Textbook" is the same layer as it is commonly written, below: an edge gathers both ends, concatenates them and sends them
through perceptrons, and sums are scattered. Peers have the library's weights, and outputs that agree with the library's
before anything is timed, but for those that are called "a like layer":

egnn-pytorch, dense    with perceptrons as wide as ours; a node sends a message to itself, too
e3nn                   scalars and vectors of the same number, products with l <= 1 channel by channel, weights from edge_s

"The product alone" is no peer but a floor for both: h W^T, which no graph convolution can leave out, and its backward.
What PyTorch Geometric takes, divided by this, is the highest ratio that any layer could reach: 1.3 from 1,433 to 16,
and 3 from 64 to 64, where ours had 1.0 and 1.4. Edges sorted at each call, for a CSR product in scipy, gave 1.4 to 1.6
from 64 to 64; with Kipf's weights in numpy as well, 1.7 to 1.8. Kept between calls, the matrix gave 2.1 to 2.3, but 1.7
to 2.0 where PyTorch Geometric keeps its weights as well (cached=True). So the taught layer stays as it is.

egnn-pytorch's perceptrons are four times as wide as ours if one lets it choose; here it is given ours. What enters a layer
needs a gradient, as in the middle of a network; the 1,433 features of the graph convolutions are data and need none.
"""

import copy
import warnings

import timing
import torch
from torch import nn

from course_utils import egnn, graph_networks, gvp, neighbors


class TextbookEGNN(nn.Module):
    """`egnn.EGNNLayer` with neighbours_only and normalize, for a batch of graphs."""

    def __init__(self, layer):
        super().__init__()
        psi_f, psi_c = copy.deepcopy(layer.psi_f), copy.deepcopy(layer.psi_c)
        self.psi_f = nn.Sequential(psi_f.first, nn.SiLU(), psi_f.second, nn.SiLU())
        self.psi_c = nn.Sequential(psi_c.first, nn.SiLU(), psi_c.second)
        self.phi = copy.deepcopy(layer.phi)

    def forward(self, h, x, edge_index, batch):
        v, u = edge_index
        D = x[u] - x[v]
        pair = torch.cat([h[u], h[v], (D ** 2).sum(1, keepdim=True)], dim=1)
        m = self.psi_f(pair)
        inbox = torch.zeros(len(h), m.shape[1]).index_add(0, u, m)
        shift = torch.zeros_like(x).index_add(0, u, D * self.psi_c(pair))
        others = torch.bincount(batch)[batch] - 1
        return self.phi(torch.cat([h, inbox], dim=1)), x + shift / others[:, None]


class TextbookGVP(nn.Module):
    """`gvp.GVP`, Algorithm 1, with one small product a row: W @ V."""

    def __init__(self, layer):
        super().__init__()
        self.W_h, self.W_mu, self.W_m = (copy.deepcopy(part) for part in (layer.W_h, layer.W_mu, layer.W_m))
        self.sigma, self.sigma_plus = layer.sigma, layer.sigma_plus

    def forward(self, s, V):
        V_h = self.W_h @ V
        V_mu = self.W_mu @ V_h
        s_new = self.sigma(self.W_m(torch.cat([rooted(V_h), s], dim=-1)))
        return s_new, V_mu if self.sigma_plus is None else self.sigma_plus(rooted(V_mu))[..., None] * V_mu


def rooted(V):
    """Lengths, with a floor below the root."""
    return (V ** 2).sum(-1).clamp(min=1e-8).sqrt()


class TextbookGVPLayer(nn.Module):
    """`gvp.GVPLayer` without dropout."""

    def __init__(self, layer):
        super().__init__()
        self.message, self.update = (nn.ModuleList(map(TextbookGVP, part)) for part in (layer.message, layer.update))
        self.norms = nn.ModuleList(copy.deepcopy(norm.scalars) for norm in layer.norms)

    def forward(self, s, V, edge_index, edge_s, edge_V):
        v, u = edge_index
        m, M = torch.cat([s[v], edge_s], dim=1), torch.cat([V[v], edge_V], dim=1)
        for g in self.message:
            m, M = g(m, M)
        count = torch.zeros(len(s)).index_add(0, u, torch.ones(len(u))).clamp(min=1)
        s, V = self.normed(0, s + torch.zeros_like(s).index_add(0, u, m) / count[:, None],
                           V + torch.zeros_like(V).index_add(0, u, M) / count[:, None, None])
        ds, dV = s, V
        for g in self.update:
            ds, dV = g(ds, dV)
        return self.normed(1, s + ds, V + dV)

    def normed(self, which, s, V):
        return self.norms[which](s), V / ((V ** 2).sum(-1, keepdim=True).mean(1, keepdim=True) + 1e-5).sqrt()


class Called(nn.Module):
    """A peer's module, called with the library's arguments by ``call``."""

    def __init__(self, module, call):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *inputs):
        return self.call(self.module, *inputs)


def with_our_perceptrons(theirs, layer, sign):
    """egnn-pytorch's layer with the perceptrons of ours; one of its two has displacements from u to v: ``sign`` -1."""
    psi_f, psi_c = copy.deepcopy(layer.psi_f), copy.deepcopy(layer.psi_c)
    with torch.no_grad():
        for parameter in psi_c[-1].parameters():
            parameter *= sign
    theirs.edge_mlp = nn.Sequential(psi_f.first, nn.SiLU(), psi_f.second, nn.SiLU())
    theirs.coors_mlp, theirs.node_mlp = psi_c, copy.deepcopy(layer.phi)
    return theirs


def sparse_call(module, h, x, edge_index, batch):
    x, h = module(torch.cat([x, h], dim=1), edge_index, batch=batch).split([3, h.shape[1]], dim=1)
    return h, x


def dense_call(module, h, x, edge_index, batch):
    graphs = 1 + int(batch[-1])
    h, x = module(h.unflatten(0, (graphs, -1)), x.unflatten(0, (graphs, -1)))
    return h.flatten(0, 1), x.flatten(0, 1)


class LikeE3nn(nn.Module):
    """A convolution of e3nn: a linear map, tensor products with the direction of each edge, their mean, a linear map."""

    def __init__(self, o3, n, nu, n_e):
        super().__init__()
        node, edge, sent = o3.Irreps(f"{n}x0e+{nu}x1o"), o3.Irreps("1x0e+1x1o"), o3.Irreps(f"{n}x0e+{nu}x0e+{n}x1o+{nu}x1o")
        paths = [(0, 0, 0), (1, 1, 1), (0, 1, 2), (1, 0, 3)]
        self.product = o3.TensorProduct(node, edge, sent, [(*path, "uvu", True) for path in paths], shared_weights=False)
        self.before, self.after, self.itself = (o3.Linear(node, node), o3.Linear(sent, node), o3.Linear(node, node))
        self.weights = nn.Sequential(nn.Linear(n_e, 64), nn.SiLU(), nn.Linear(64, self.product.weight_numel))
        self.harmonics = o3.SphericalHarmonics(edge, normalize=True, normalization="component")

    def forward(self, s, V, edge_index, edge_s, edge_V):
        v, u = edge_index
        f = torch.cat([s, V.flatten(1)], dim=1)
        m = self.product(self.before(f)[v], self.harmonics(edge_V[:, 0]), self.weights(edge_s))
        mean = torch.zeros(len(f), m.shape[1]).index_add(0, u, m) / torch.bincount(u, minlength=len(f)).clamp(min=1)[:, None]
        return self.itself(f) + self.after(mean)


def needing_gradient(*shape):
    return torch.randn(shape).requires_grad_()


def egnn_cases(shrink, pyg):
    package = timing.peer("egnn_pytorch")
    h, x, batch = torch.randn(500 // shrink, 64), torch.randn(500 // shrink, 3), torch.arange(500 // shrink) // 5
    graphs = [(f"{len(x) // 5} graphs of 5", h, x, neighbors.all_pairs(len(x), batch), batch, 200)]
    n = 5_000 // shrink
    h, x, batch = torch.randn(n, 64), torch.randn(n, 3), torch.zeros(n, dtype=torch.int64)
    graphs.append((f"{n:,} nodes x 20", h, x, neighbors.knn_graph(x, 20), batch, 8))
    for size, h, x, edge_index, batch, repeats in graphs:
        inputs = (h.requires_grad_(), x.requires_grad_(), edge_index, batch)
        layer = egnn.EGNNLayer(64, neighbours_only=True, normalize=True)
        yield f"EGNN, {size}", layer, {"textbook": (TextbookEGNN(layer), 1e-5)}, inputs, repeats
        if package and pyg:  # on which its sparse layer stands
            layer = egnn.EGNNLayer(64, neighbours_only=True, from_messages=True, residual=True)
            sparse = with_our_perceptrons(package.EGNN_Sparse(64, m_dim=64), layer, -1)
            peers = {"egnn-pytorch, sparse": (Called(sparse, sparse_call), 1e-5)}
            if batch[-1]:
                dense = with_our_perceptrons(package.EGNN(64, m_dim=64), layer, 1)
                peers["egnn-pytorch, a like layer"] = (Called(dense, dense_call), None)
            yield f"EGNN from messages, {size}", layer, peers, inputs, repeats


def gvp_cases(shrink):
    o3 = timing.peer("e3nn.o3")
    nodes = 500 // shrink
    x = torch.randn(nodes, 3)
    edge_index = neighbors.knn_graph(x, 30)
    edge_V = neighbors.displacements(x, edge_index)[:, None]
    for n, nu in ((100, 16), (32, 8)):
        layer = gvp.GVPLayer((n, nu), (32, 1))
        inputs = (needing_gradient(nodes, n), needing_gradient(nodes, nu, 3), edge_index,
                  torch.randn(len(edge_V), 32), edge_V)
        peers = {"textbook": (TextbookGVPLayer(layer), 1e-4)}
        if o3:
            peers["e3nn, a like layer"] = (LikeE3nn(o3, n, nu, 32), None)
        yield f"GVP ({n}, {nu}), {nodes} nodes x 30", layer, peers, inputs, 8


def like_gcn(pyg, layer):
    d_out, d_in = layer.W.weight.shape
    theirs = pyg.GCNConv(d_in, d_out)
    theirs.load_state_dict({"bias": layer.b, "lin.weight": layer.W.weight})
    return theirs


def product_alone(layer):
    return Called(copy.deepcopy(layer.W), lambda W, h, edge_index: W(h))


def like_gat(pyg, layer):
    d_out, d_in = layer.W.weight.shape
    heads = len(layer.a_u)
    theirs = pyg.GATConv(d_in, d_out // heads, heads)
    theirs.load_state_dict({"att_src": layer.a_v[None], "att_dst": layer.a_u[None], "bias": layer.b,
                            "lin.weight": layer.W.weight})
    return theirs


def pyg_cases(shrink, pyg):
    shapes = ((2_708 // shrink, 10_000 // shrink, 1_433, 16, 100), (2_708 // shrink, 10_000 // shrink, 64, 64, 100),
              (20_000 // shrink, 400_000 // shrink, 64, 64, 8))
    for name, make, like in (("GCN", graph_networks.GCNLayer, like_gcn),
                             ("GAT", lambda d_in, d_out: graph_networks.GATLayer(d_in, d_out, heads=4), like_gat)):
        for n, num_edges, d_in, d_out, repeats in shapes:
            halves = torch.randint(n, (2, num_edges // 2))
            edge_index = torch.cat([halves, halves.flip(0)], dim=1)
            layer = make(d_in, d_out)
            peers = {"PyTorch Geometric": (like(pyg, layer), 1e-4)}
            if name == "GCN":
                peers["the product alone (floor)"] = (product_alone(layer), None)
            if d_in == d_out:
                yield f"{name}, {num_edges:,} edges", layer, peers, (needing_gradient(n, d_in), edge_index), repeats
                continue
            what = f"{name}, {num_edges:,} edges, {d_in:,} to {d_out}"
            yield what, layer, peers, (torch.randn(n, d_in), edge_index), repeats
            with warnings.catch_warnings():  # torch says that its sparse tensors may change
                warnings.simplefilter("ignore")
                sparse = torch.where(torch.rand(n, d_in) < 0.01, torch.randn(n, d_in), 0.0).to_sparse()
            yield f"{name}, the same, h 1 % dense", layer, peers, (sparse, edge_index), repeats


def cases(shrink=1):
    """Name, the library's layer, {peer: (module, tolerance)}, inputs, repeats.

    Outputs may differ by the tolerance, which is None for a like layer. ``shrink`` divides the numbers of nodes and edges.
    """
    torch.manual_seed(0)
    pyg = timing.peer("torch_geometric.nn")
    yield from egnn_cases(shrink, pyg)
    yield from gvp_cases(shrink)
    if pyg:
        yield from pyg_cases(shrink, pyg)


def outputs(module, inputs):
    out = module(*inputs)
    return out if isinstance(out, tuple) else (out,)


def assert_same(layer, peers, inputs):
    for name, (module, tolerance) in peers.items():
        if tolerance is not None:
            for ours, theirs in zip(outputs(layer, inputs), outputs(module, inputs), strict=True):
                torch.testing.assert_close(theirs, ours, rtol=tolerance, atol=tolerance, msg=lambda m: f"{name}: {m}")


def step(module, inputs):
    """Forward and backward, with new gradients each time."""
    leaves = [*module.parameters(), *(part for part in inputs if part.requires_grad)]

    def run():
        for leaf in leaves:
            leaf.grad = None
        sum(part.square().sum() for part in outputs(module, inputs)).backward()

    return run


def rows(quick):
    for what, layer, peers, inputs, repeats in cases():
        assert_same(layer, peers, inputs)
        steps = {name: step(module, inputs) for name, (module, _) in peers.items()}
        yield from timing.against(what, step(layer, inputs), steps, (), max(2, repeats // 4) if quick else repeats)
