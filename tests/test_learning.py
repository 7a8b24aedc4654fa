"""The networks learn: energies and forces of charges, from a hundred clouds, tested on a hundred others."""

import pytest
import torch

from course_utils import egnn, gvp, neighbors
from course_utils.graph_networks import readout
from course_utils.message_passing import aggregate
from course_utils.training import fit


def charges(seed, num_graphs=100, n=6):
    """h, x, edge_index, batch, and the targets: a vector a node and a number a graph."""
    generator = torch.Generator().manual_seed(seed)
    q, x = torch.randn(num_graphs * n, 1, generator=generator), torch.randn(num_graphs * n, 3, generator=generator)
    batch = torch.arange(num_graphs).repeat_interleave(n)
    v, u = edge_index = neighbors.all_pairs(len(x), batch)
    D = neighbors.displacements(x, edge_index)
    pair = q[u] * q[v] / (1 + D.square().sum(1, keepdim=True))
    return (q, x, edge_index, batch), aggregate(pair * D, u, len(x)), readout(aggregate(pair, u, len(x)), batch)


def by_egnn(network, h, x, edge_index, batch):
    out, x_new = network(h, x, edge_index, batch)
    return x_new - x, out


def by_gvp(network, h, x, edge_index, batch):
    s, V = network(h, h.new_zeros(len(h), 0, 3), edge_index, *gvp.edge_geometry(x, edge_index, 8.0))
    return V[:, 0], readout(s, batch)


MODELS = {
    "EGNN as on the slide": (lambda: egnn.EGNN(1, 32, 1, 3, reduce="sum"), by_egnn, 0.25, 0.7),
    "EGNN with C": (lambda: egnn.EGNN(1, 32, 1, 3, reduce="sum", normalize=True), by_egnn, 0.15, 0.5),
    "gated GVP": (lambda: gvp.GVPNetwork((1, 0), (8, 1), (32, 8), (1, 1), 2, vector_gate=True), by_gvp, 0.25, 0.7),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "predict", "vector_error", "scalar_error"), MODELS.values(), ids=MODELS)
def test_invariant_and_equivariant_targets_are_learned(make, predict, vector_error, scalar_error):
    """Errors are shares of the variance: 1 is what a blind guess has."""
    (train, *targets), (test, *unseen) = charges(0), charges(1)
    network = make()

    def errors(inputs, wanted):
        return [(found - y).square().mean() / y.var(correction=0) for found, y in zip(predict(network, *inputs), wanted)]

    fit(network.parameters(), lambda: sum(errors(train, targets)), steps=150, lr=3e-3, bar=False)
    with torch.no_grad():
        vector, scalar = errors(test, unseen)
    assert vector < vector_error and scalar < scalar_error, (vector, scalar)
