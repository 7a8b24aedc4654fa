"""The fly's task of notebook 3: a network is trained on the left mushroom body and tested on the right one.

    asked           the class of each neuron, one of `datasets.CELL_CLASSES`
    known           the wiring alone: every neuron starts with the same feature, 1
    layers          `LAYERS`: Kipf's, attention, the general form; in each a network 16 wide, with a linear map behind
    directions      `DIRECTIONS`: whose messages arrive (below)
    budget          100 steps of Adam on the left, every class of the same weight
    scored by       balanced accuracy, on each side: a guess that ignores its input gets one in four

Neurons have no number, no place and no name here: those mean nothing on the other side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from . import datasets, graph_networks, graphs, training
from .recorded import load

LAYERS = {"Kipf": graph_networks.GCNLayer, "attention": graph_networks.GATLayer, "general": graph_networks.MPNNLayer}
DIRECTIONS = ("in-edges", "out-edges", "both, mixed", "both, told apart")
"""From those a neuron hears; from those it writes to; from either, as if links had no direction; from either, by layers of their own."""
ROUNDS, STEPS, LR, WIDTH = range(7), 100, 0.01, 16


def edges(graph: graphs.Graph, direction: str) -> torch.Tensor:
    """The edges that messages travel along: (2, num_edges)."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {direction!r}; expected one of {', '.join(map(repr, DIRECTIONS))}.")
    return {"out-edges": graph.edge_index.flip(0), "both, mixed": graphs.both_directions(graph.edge_index)}.get(direction, graph.edge_index)


def network(layer: str | Callable, direction: str, rounds: int) -> graph_networks.GraphNetwork:
    """From one feature to a logit for each class; layer is one of `LAYERS`, or what makes a layer of two widths."""
    if not callable(layer) and layer not in LAYERS:
        raise ValueError(f"layer is {layer!r}; expected one of {', '.join(map(repr, LAYERS))}, or a layer's class.")
    make = layer if callable(layer) else LAYERS[layer]
    if direction == "both, told apart":
        make = functools.partial(graph_networks.TwoWayLayer, make)
    return graph_networks.GraphNetwork(make, 1, WIDTH, len(datasets.CELL_CLASSES), rounds)


def train(layer: str | Callable, direction: str, rounds: int, seed: int = 0) -> tuple[float, float]:
    """The balanced accuracy on the left side, which the network is trained on, and on the right side. About a second."""
    inputs = {}
    for side in ("left", "right"):
        graph = datasets.fly_connectome(side)
        inputs[side] = (torch.ones(graph.num_nodes, 1), edges(graph, direction)), graph.y
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network(layer, direction, rounds)
    training.fit_classifier(model, *inputs["left"], steps=STEPS, lr=LR, balanced=True, bar=False)
    with torch.no_grad():
        return tuple(training.balanced_accuracy(model(*given), y) for given, y in inputs.values())


def key(layer: str, direction: str, rounds: int, seed: int) -> str:
    """The name of a run in the recorded file."""
    return f"{layer}; {direction}; {rounds} rounds; seed {seed}"


def curve(layer: str, direction: str, side: str = "right", seeds: range = range(5)) -> list[list[float]]:
    """Recorded: for each number of rounds the balanced accuracy of each seed."""
    runs = load("fly")["runs"]
    return [[runs[key(layer, direction, rounds, seed)][side] for seed in seeds] for rounds in ROUNDS]
