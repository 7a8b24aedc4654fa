"""An atom crosses the cutoff: energies of networks whose edges fade, and of the same ones without that."""

import pytest
import torch

from course_utils import egnn, graph_networks, gvp, message_passing, neighbors

R = 2.0
STEP = 1e-7
REST = torch.tensor([[0.0, 0, 0], [1.1, 0.3, 0], [-0.4, 1.2, 0.5]], dtype=torch.float64)


class General(torch.nn.Module):
    """Two layers of the general form on the distances, as notebook 5 has it."""

    def __init__(self, reduce):
        super().__init__()
        layers = [graph_networks.MPNNLayer(d_in, 4, d_edge=8, reduce=reduce) for d_in in (1, 4)]
        self.layers = torch.nn.ModuleList(layers)

    def forward(self, h, x, edge_index, fade=None):
        edge_attr, _ = gvp.edge_geometry(x, edge_index, R)
        for layer in self.layers:
            h = layer(h, edge_index, edge_attr, fade)
        return h


class Moving(torch.nn.Module):
    """An EGNN among neighbours, whose coordinates move from round to round."""

    def __init__(self, **options):
        super().__init__()
        self.net = egnn.EGNN(1, 4, 1, 2, neighbours_only=True, **options)
        for layer in self.net.layers:  # far enough to be seen
            torch.nn.init.normal_((layer.psi_c[-1] if layer.from_messages else layer.psi_c.second).bias)

    def forward(self, h, x, edge_index, fade=None):
        out, moved = self.net(h, x, edge_index, fade=fade)
        return out + moved.sin().sum(1, keepdim=True)


class Perceptrons(torch.nn.Module):
    """A network of GVPs. A ReLU would put a bend of its own into the forces."""

    def __init__(self, vector_gate):
        super().__init__()
        self.net = gvp.GVPNetwork((1, 0), (8, 1), (4, 2), (1, 1), 2, vector_gate=vector_gate)
        for layer in self.net.modules():
            if isinstance(layer, gvp.GVP) and layer.sigma is torch.relu:
                layer.sigma = torch.tanh

    def forward(self, h, x, edge_index, fade=None):
        edge_s, edge_V = gvp.edge_geometry(x, edge_index, R)
        s, V = self.net(h, h.new_zeros(len(h), 0, 3), edge_index, edge_s, edge_V, fade=fade)
        return s + V.square().sum((1, 2))[:, None]


def steerable(l_max):
    from course_utils.steerable import SteerableNetwork

    return SteerableNetwork(1, 3, "1x0e", 2, l_max, R)


NETWORKS = {"general, sum": lambda: General("sum"), "general, mean": lambda: General("mean"), "EGNN": Moving,
            "EGNN, mean and messages": lambda: Moving(mean_messages=True, from_messages=True, attention=True),
            "GVP": lambda: Perceptrons(False), "gated GVP": lambda: Perceptrons(True),
            "steerable": lambda: steerable(1), "steerable, scalars only": lambda: steerable(0)}


def jumps(network, fades, start=R):
    """How far energy and forces move while the last atom moves outwards, across a distance of start."""
    values = []
    for distance in (start - STEP, start + STEP):
        last = distance * torch.tensor([[0.0, -0.6, 0.8]], dtype=torch.float64)
        x = torch.cat([REST, last]).requires_grad_()
        edge_index = neighbors.radius_graph(x, R)
        fade = neighbors.envelope(neighbors.distances(x, edge_index), R) if fades else None
        energy = network(x.new_ones(4, 1), x, edge_index, fade).sum()
        values.append((energy.detach(), torch.autograd.grad(energy, x)[0], edge_index.shape[1]))
    (energy, forces, num_edges), (energy_after, forces_after, num_edges_after) = values
    assert num_edges == num_edges_after + 2 * (start == R)
    return (energy - energy_after).abs().item(), (forces - forces_after).abs().max().item()


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_energy_and_forces_do_not_jump_where_edges_fade(make):
    network = make().double()
    with_jump, _ = jumps(network, fades=False)
    assert with_jump > 1e-4  # the form of the lecture
    energy, forces = jumps(network, fades=True)
    nearby_energy, nearby_forces = jumps(network, fades=True, start=R + 0.01)
    assert energy < 2 * nearby_energy + 1e-12 and forces < 1e-4
    assert nearby_energy < 1e-5 and nearby_forces < 1e-4


def test_an_edge_that_has_faded_is_no_edge_and_a_full_one_is_one():
    messages, target = torch.randn(4, 2, 3), torch.tensor([0, 0, 1, 1])
    fade = torch.tensor([1.0, 0.0, 0.0, 0.0])
    for reduce, parts in (("sum", 1), ("mean", 2)):
        faded = message_passing.aggregate_faded(messages, target, 3, reduce, fade)
        torch.testing.assert_close(faded[0], messages[0] / parts)
        assert not faded[1:].any()
        plain = message_passing.aggregate_faded(messages, target, 3, reduce)
        assert torch.equal(plain, message_passing.aggregate(messages, target, 3, reduce))


def test_bad_fades_are_explained():
    layer, edge_index = graph_networks.MPNNLayer(1, 2, reduce="max"), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="reduce is 'max' and fade is given; expected \"sum\" or \"mean\""):
        layer(torch.ones(2, 1), edge_index, fade=torch.ones(1))
    with pytest.raises(ValueError, match=r"shape \(1, 1\); expected \(1,\), .* Did you forget \[:, 0\]"):
        graph_networks.MPNNLayer(1, 2)(torch.ones(2, 1), edge_index, fade=torch.ones(1, 1))
