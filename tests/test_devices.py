"""The library runs wherever its inputs are: on their device, and inside of torch.func's transforms."""

import pytest
import torch
from test_derivatives import BATCH, EDGES, FUNCTIONS, LAYERS, E, drawn

from course_utils import (egnn, frames, graph_networks, graphs, gvp, message_passing, neighbors, symmetry,
                          training)

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
A = graphs.to_adjacency(E, 5)
LINKS = graphs.both_directions(E[:, :-1])


def seeded():
    return torch.Generator().manual_seed(0)


def batched():
    both = graphs.batch_graphs([graphs.Graph(E, 5, x=X), graphs.Graph(E, 5, x=X)])
    return both.edge_index, both.batch, both.x


# name: a function whose answer cannot be differentiated
OTHERS = {
    "to_edge_index": lambda: graphs.to_edge_index(A),
    "to_adjacency": lambda: graphs.to_adjacency(E, 5),
    "degrees": lambda: graphs.degrees(E, 5),
    "hop_distances": lambda: graphs.hop_distances(A),
    "has_ring": lambda: graphs.has_ring(graphs.to_adjacency(LINKS, 5)),
    "split_links": lambda: graphs.split_links(LINKS, 0.5, seeded()),
    "batch_graphs": batched,
    "receptive_fields": lambda: message_passing.receptive_fields(E, 5, 2),
    "receptive_field": lambda: message_passing.receptive_field(E, 5, 0, 2),
    "with_self_loops": lambda: graph_networks.with_self_loops(E, 5),
    "gcn_norm": lambda: graph_networks.gcn_norm(E, 5),
    "wl_colours": lambda: graph_networks.wl_colours(E, 5, 2),
    "readout of one graph": lambda: graph_networks.readout(X),
    "all_pairs": lambda: neighbors.all_pairs(5, BATCH),
    "radius_graph": lambda: neighbors.radius_graph(X, 2.0, BATCH),
    "radius_graph without nodes": lambda: neighbors.radius_graph(X[:0], 2.0),
    "radius_graph_by_pairs": lambda: neighbors.radius_graph_by_pairs(X, 2.0),
    "radius_graph_by_cells": lambda: neighbors.radius_graph_by_cells(X, 2.0),
    "radius_graph_by_cells without nodes": lambda: neighbors.radius_graph_by_cells(X[:0], 2.0),
    "knn_graph": lambda: neighbors.knn_graph(X, 2),
    "components": lambda: neighbors.components(E, 5),
    "egnn_coordinates without a batch": lambda: egnn.egnn_coordinates(X, X, lambda a, b, d2: d2),
    "with_constant without a batch": lambda: egnn.with_constant(X, 2 * X),
    "pca_frames, all eight": lambda: frames.pca_frames(X, BATCH, reflections=True),
    "turn_between": lambda: frames.turn_between(torch.eye(3, device="cpu").double(), frames.pca_frames(X)),
    "canonicalize": lambda: frames.canonicalize(X, BATCH),
    "augment with mirrors": lambda: frames.augment(X, X, "vector", seeded(), BATCH, reflections=True),
    "random_rotation": lambda: symmetry.random_rotation(2, seeded()),
    "random_reflection": lambda: symmetry.random_reflection(2, seeded()),
    "minibatches": lambda: next(training.minibatches(5, 2, seeded())),
    "accuracy": lambda: torch.tensor(training.balanced_accuracy(X, BATCH), device="cpu"),
    "auc": lambda: torch.tensor(training.auc(X[:, 0], X[:, 1]), device="cpu"),
}


def assert_on_its_inputs_device(call):
    """What is made without a device lands on "meta" here, where it has no numbers and mixes with nothing."""
    expected = call()
    with torch.device("meta"):
        answer = call()
    torch.testing.assert_close(answer, expected, equal_nan=True)


@pytest.mark.parametrize("call", OTHERS.values(), ids=OTHERS)
def test_functions_run_on_the_device_of_their_inputs(call):
    assert_on_its_inputs_device(call)


@pytest.mark.parametrize(("f", "shapes"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_differentiable_functions_run_on_the_device_of_their_inputs(f, shapes):
    inputs = drawn(shapes)
    assert_on_its_inputs_device(lambda: f(*inputs))


@pytest.mark.parametrize(("make", "call", "shapes"), LAYERS.values(), ids=LAYERS)
def test_layers_run_on_the_device_of_their_inputs(make, call, shapes):
    layer, inputs = make().double(), drawn(shapes)
    assert_on_its_inputs_device(lambda: call(layer, *inputs))


def test_the_test_of_devices_sees_a_tensor_without_one():
    with pytest.raises((AssertionError, RuntimeError)):
        assert_on_its_inputs_device(lambda: X + torch.ones(5, 3))


# --- torch.func ---------------------------------------------------------------------------------------

def energy(x):
    """With the graph found inside, as a potential has it."""
    edges = neighbors.radius_graph(x, 2.0)
    part = neighbors.components(edges, len(x))
    c = neighbors.envelope(neighbors.distances(x, edges), 2.0)
    h = graph_networks.weighted_sum(x.new_ones(len(x), 2), edges, c)
    return graph_networks.readout(h.square(), part).sum()


def test_gradients_and_hessians_through_a_graph_that_is_found_inside():
    x = X.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(energy)(X), torch.autograd.grad(energy(x), x)[0])
    torch.testing.assert_close(torch.func.grad(energy)(x), torch.autograd.grad(energy(x), x)[0])
    expected = torch.autograd.functional.hessian(energy, X)
    assert expected.abs().max() > 0.1
    for hessian in (torch.func.hessian(energy), torch.func.jacrev(torch.func.jacrev(energy)),
                    torch.func.jacfwd(torch.func.jacfwd(energy))):
        torch.testing.assert_close(hessian(X), expected)


def test_a_batch_may_be_an_argument_of_what_is_differentiated():
    def f(x, batch):
        pairs = neighbors.knn_graph(x, 1, batch)
        return graph_networks.readout(neighbors.displacements(x, pairs).exp(), pairs[1] * 0).sum()

    expected = torch.autograd.functional.jacobian(lambda x: f(x, BATCH), X)
    torch.testing.assert_close(torch.func.grad(f)(X, BATCH), expected)


# name: a function of one cloud that finds no edges
OF_CLOUDS = {
    "pca_frames": frames.pca_frames, "canonicalize": lambda x: frames.canonicalize(x)[0],
    "edge_geometry": lambda x: gvp.edge_geometry(x, EDGES, 3.0)[0],
    "egnn_coordinates": lambda x: egnn.egnn_coordinates(x, x, lambda a, b, d2: (-d2).exp()),
    "weighted_sum": lambda x: graph_networks.weighted_sum(x, *graph_networks.gcn_norm(E, 5, x.dtype)),
    "aggregate max": lambda x: message_passing.aggregate(x[E[0]], E[1], 5, "max"),
    "attention_round": lambda x: message_passing.attention_round(x, E, x[E[0], 0], torch.ones(2, 3).double()),
}


@pytest.mark.parametrize("f", OF_CLOUDS.values(), ids=OF_CLOUDS)
def test_many_clouds_at_once_and_derivatives_forwards(f):
    clouds = torch.stack([X, X.flip(0) + 1, 2 * X])
    torch.testing.assert_close(torch.func.vmap(f)(clouds), torch.stack([f(x) for x in clouds]))
    step = 1e-6 * X.cos()
    _, slope = torch.func.jvp(f, (X,), (X.cos(),))
    torch.testing.assert_close(slope, (f(X + step) - f(X - step)) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("f", [lambda x: neighbors.radius_graph(x, 1.0), lambda x: neighbors.knn_graph(x, 1)])
def test_edges_of_many_clouds_at_once_are_refused(f):
    with pytest.raises(ValueError, match="expected a call for each graph. Make edge_index or batch first"):
        torch.func.vmap(f)(torch.stack([X, X]))


def test_many_clouds_of_which_one_has_no_place():
    with pytest.raises(ValueError, match="x holds .*nan.* expected finite coordinates"):
        torch.func.vmap(frames.pca_frames)(torch.stack([X, X * torch.nan]))
