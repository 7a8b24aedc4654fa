"""Two derivatives of every taught function and layer whose mathematics has them, by all of its inputs."""

import pytest
import torch

from course_utils import egnn, frames, graph_networks, gvp, message_passing, neighbors, symmetry

E = torch.tensor([[0, 1, 2, 1, 3, 0, 3], [1, 0, 1, 2, 0, 2, 3]])  # a self loop among them; node 4 has no edge
BATCH = torch.tensor([0, 0, 0, 1, 1])
EDGES, TARGET = neighbors.all_pairs(5), E[1]
H, C = torch.ones(5, 2, dtype=torch.float64), torch.arange(7.0, dtype=torch.float64)


def plus(h, inbox):
    return torch.tanh(h) + inbox


def psi(f_u, f_v, d2):
    return torch.tanh(f_u * f_v).sum(1, keepdim=True) * torch.exp(-d2)


def act(kind):
    return lambda R, b, x: symmetry.act(kind, R, b, x)


def aggregate(reduce):
    return lambda m: message_passing.aggregate(m, TARGET, 5, reduce)


def aggregate_faded(reduce):
    return lambda m, fade: message_passing.aggregate_faded(m, TARGET, 5, reduce, fade)


def readout(reduce):
    return lambda h: graph_networks.readout(h, BATCH, reduce, 3)


def attentional(h):
    return message_passing.attentional(h, E, lambda a, b: (a * b).sum(1), torch.tanh, plus)


def energy(x):
    c = neighbors.envelope(neighbors.distances(x, EDGES), 4.0)
    return graph_networks.weighted_sum(x.new_ones(5, 1), EDGES, c).square().sum()


def augment(x, y):
    return frames.augment(x, y, "graph vector", torch.Generator().manual_seed(0), BATCH)


def gvp_message(s, V, edge_s, edge_V):
    return gvp.gvp_message(s, V, E, edge_s, edge_V, lambda s, V: (s.exp(), V.square()))


# name: (the function, the shapes of what it is differentiated by)
FUNCTIONS = {
    **{f"aggregate {reduce}": (aggregate(reduce), [(7, 2)]) for reduce in ("sum", "mean", "max")},
    **{f"aggregate_faded {reduce}": (aggregate_faded(reduce), [(7, 2), (7,)]) for reduce in ("sum", "mean")},
    "message_round": (lambda h, *ws: message_passing.message_round(h, E, *ws, torch.tanh),
                      [(5, 2), (3, 2), (3, 2), (3,)]),
    "run_rounds": (lambda h, *ws: message_passing.run_rounds(h, E, *ws, 1, torch.tanh),
                   [(5, 2), (2, 2), (2, 2), (2,)]),
    "dense_round": (lambda h, A, *ws: message_passing.dense_round(h, A, *ws, torch.tanh),
                    [(5, 2), (5, 5), (3, 2), (3, 2), (3,)]),
    "softmax_by_target": (lambda scores: message_passing.softmax_by_target(scores, TARGET, 5), [(7,)]),
    "attention_round": (lambda h, scores, W: message_passing.attention_round(h, E, scores, W),
                        [(5, 2), (7,), (3, 2)]),
    "convolutional": (lambda h, c: message_passing.convolutional(h, E, c, torch.tanh, plus), [(5, 2), (7,)]),
    "attentional": (attentional, [(5, 2)]),
    "general": (lambda h: message_passing.general(h, E, torch.mul, plus, "mean"), [(5, 2)]),
    "weighted_sum": (lambda h, c: graph_networks.weighted_sum(h, E, c), [(5, 2), (7,)]),
    "weighted_sum, c only": (lambda c: graph_networks.weighted_sum(H, E, c), [(7,)]),
    "weighted_sum, h only": (lambda h: graph_networks.weighted_sum(h, E, C), [(5, 2)]),
    "energy through an envelope": (energy, [(5, 3)]),
    **{f"readout {reduce}": (readout(reduce), [(5, 2)]) for reduce in ("sum", "mean", "max")},
    "displacements": (lambda x: neighbors.displacements(x, E), [(5, 3)]),
    "lengths": (neighbors.lengths, [(5, 3)]),
    "distances": (lambda x: neighbors.distances(x, EDGES), [(5, 3)]),
    "envelope": (lambda d: neighbors.envelope(d, 1.0), [(9,)]),
    "centroid": (lambda x: frames.centroid(x, BATCH), [(5, 3)]),
    "centre": (lambda x: frames.centre(x, BATCH), [(5, 3)]),
    "covariance": (lambda x: frames.covariance(x, BATCH), [(5, 3)]),
    "pca_frames": (frames.pca_frames, [(5, 3)]),
    "relative_gap": (frames.relative_gap, [(5, 3)]),
    "canonicalize": (lambda x: frames.canonicalize(x)[0], [(5, 3)]),
    "frame_average": (lambda x: frames.frame_average(lambda z: z.exp().sum(0), x, "vector"), [(5, 3)]),
    "augment": (augment, [(5, 3), (2, 3)]),
    "rotation_about": (symmetry.rotation_about, [(2, 3), (2,)]),
    **{f"act {kind}": (act(kind), [(3, 3), (3,), (4, *[3] * axes)]) for kind, axes in symmetry.KINDS.items()},
    "egnn_features": (lambda h, x: egnn.egnn_features(h, x, E, psi, plus), [(5, 2), (5, 3)]),
    "egnn_coordinates": (lambda h, x: egnn.egnn_coordinates(h, x, psi, BATCH), [(5, 2), (5, 3)]),
    "with_constant": (lambda x, x_new: egnn.with_constant(x, x_new, BATCH), [(5, 3), (5, 3)]),
    "edge_geometry": (lambda x: gvp.edge_geometry(x, E, 4.0, 3), [(5, 3)]),
    "gvp_message": (gvp_message, [(5, 1), (5, 2, 3), (7, 1), (7, 1, 3)]),
}

# name: (how to make the layer, the call, the shapes of what it is differentiated by beside the parameters)
LAYERS = {
    "GCN": (lambda: graph_networks.GCNLayer(2, 2), lambda layer, h: layer(h, E), [(5, 2)]),
    "GAT": (lambda: graph_networks.GATLayer(2, 2, heads=2), lambda layer, h: layer(h, E), [(5, 2)]),
    "MPNN": (lambda: graph_networks.MPNNLayer(2, 2), lambda layer, h: layer(h, E), [(5, 2)]),
    "MPNN with edges that fade": (lambda: graph_networks.MPNNLayer(2, 2, d_edge=1, reduce="mean"),
                                  lambda layer, h, e, fade: layer(h, E, e, fade), [(5, 2), (7, 1), (7,)]),
    "PairMLP": (lambda: graph_networks.PairMLP(2, 1, 2, 1),
                lambda layer, h, e: layer(h, E, e), [(5, 2), (7, 1)]),
    "two ways": (lambda: graph_networks.TwoWayLayer(graph_networks.GCNLayer, 2, 2),
                 lambda layer, h: layer(h, E), [(5, 2)]),
    "EGNN": (lambda: egnn.EGNN(1, 2, 1, 1, "sum"), lambda net, h, x: net(h, x, E, BATCH), [(5, 1), (5, 3)]),
    "EGNN with edges that fade": (
        lambda: egnn.EGNN(1, 2, 1, 1, "sum", neighbours_only=True, mean_messages=True),
        lambda net, h, x, fade: net(h, x, E, BATCH, fade=fade), [(5, 1), (5, 3), (7,)]),
    "GVP": (lambda: gvp.GVP(1, 2, 2, 1, sigma=torch.tanh),
            lambda layer, s, V: layer(s, V), [(5, 1), (5, 2, 3)]),
    "LayerNorm": (lambda: gvp.LayerNorm(2), lambda layer, s, V: layer(s, V), [(5, 2), (5, 2, 3)]),
    "GVP layer with edges that fade": (lambda: gvp.GVPLayer((1, 1), (1, 1)),
                                       lambda layer, s, V, e_s, e_V, fade: layer(s, V, E, e_s, e_V, fade),
                                       [(5, 1), (5, 1, 3), (7, 1), (7, 1, 3), (7,)]),
}


def drawn(shapes):
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def assert_two_derivatives(f, inputs):
    """By all inputs as one vector, in a random direction: a test of each number would take minutes."""
    shapes = [value.shape for value in inputs]

    def of_vector(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        outputs = f(*(part.view(shape) for part, shape in zip(parts, shapes)))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return torch.cat([output.flatten() for output in outputs])

    vector = torch.cat([value.detach().flatten() for value in inputs]).requires_grad_()
    assert torch.autograd.gradcheck(of_vector, vector, fast_mode=True)
    assert torch.autograd.gradgradcheck(of_vector, vector, fast_mode=True, atol=1e-4)


@pytest.mark.parametrize(("f", "shapes"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_have_two_derivatives(f, shapes):
    assert_two_derivatives(f, drawn(shapes))


@pytest.mark.parametrize(("make", "call", "shapes"), LAYERS.values(), ids=LAYERS)
def test_layers_have_two_derivatives(make, call, shapes):
    layer = make().double()
    names = [name for name, _ in layer.named_parameters()]
    inputs = drawn(shapes)
    weights = [p.detach().clone().requires_grad_() for p in layer.parameters()]

    class Call(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, *inputs):
            return call(self.layer, *inputs)

    def of_all(*values):
        parameters = {f"layer.{name}": value for name, value in zip(names, values[len(inputs):])}
        return torch.func.functional_call(Call(), parameters, values[:len(inputs)])

    assert_two_derivatives(of_all, [*inputs, *weights])


def test_steerable_features_have_two_derivatives(o3):
    from course_utils.steerable import SteerableNetwork, tensor_of_degree_2

    network = SteerableNetwork(1, 2, "1x0e + 1x2e", 1, 2, r=4.0, num_radial=2).double()
    h, x = drawn([(5, 1), (5, 3)])

    def fading(h, x):
        return network(h, x, E, neighbors.envelope(neighbors.distances(x, E), 4.0))

    assert_two_derivatives(fading, [h, x])
    assert_two_derivatives(tensor_of_degree_2, drawn([(4, 5)]))


def test_the_largest_message_gets_the_whole_gradient():
    for value in (0.0, -1.0, 2.0):
        messages = torch.tensor([value, value - 1], requires_grad=True)
        message_passing.aggregate(messages, torch.zeros(2, dtype=torch.int64), 2, "max").sum().backward()
        assert messages.grad.tolist() == [1, 0]


def test_training_on_forces_through_an_envelope():
    """The mixed derivative of the energy by positions and weights, against differences of forces."""
    def forces(scale):
        x = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3).sin().requires_grad_()
        c = neighbors.envelope(neighbors.distances(x, EDGES), 4.0)
        energy = graph_networks.weighted_sum((scale * x.new_ones(5, 2)).tanh(), EDGES, c).square().sum()
        return torch.autograd.grad(energy, x, create_graph=True)[0]

    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(forces(scale).square().sum(), scale)
    step = 1e-5
    differences = forces(scale + step).square().sum() - forces(scale - step).square().sum()
    torch.testing.assert_close(slope, differences / (2 * step), rtol=1e-6, atol=1e-8)
