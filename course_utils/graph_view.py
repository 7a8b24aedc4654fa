"""A small graph to click, to walk with the arrow keys, and to drag: a live widget, drawn by graph_view.js."""

from __future__ import annotations

from pathlib import Path

import anywidget
import numpy as np
import traitlets

from . import plotting
from .graphs import require_edge_index


class KeepKeys(anywidget.AnyWidget):
    """Nothing to be seen: beside a slider it leaves the arrow keys to whoever has the focus, so no slide is turned."""

    _esm = Path(__file__).with_name("graph_view.js")


class GraphView(anywidget.AnyWidget):
    """A graph of up to some 60 nodes; whatever is set on it later is drawn at once.

    edge_index (2, num_edges); positions (num_nodes, 2) in 0..1, (0, 0) at the lower left, see `plotting.layout`;
    labels, one short text or number a node (None: its number); groups, an int in 0..4 a node, its colour and shape;
    alt, one sentence that says what is to be seen. With directed=False the two directions of a link are one line.
    To set later: active_edges, numbers of edges or a mask (num_edges,), drawn strongly; edge_labels, one text an edge;
    description, a line below; aspect, height over width. A new edge_index empties active_edges and edge_labels.
    To observe: selected, a node or None, which changes with a click or the keys (arrows, Home, End, Escape); and
    positions, where movable, which change as a node is dragged or pushed with Shift and an arrow.
    Raises ValueError for what does not fit the graph.
    """

    _esm = Path(__file__).with_name("graph_view.js")
    edge_index = traitlets.Any().tag(sync=True, to_json=lambda edges, view: edges.tolist())
    positions = traitlets.Any().tag(sync=True)
    labels = traitlets.Any().tag(sync=True)
    groups = traitlets.Any().tag(sync=True)
    directed = traitlets.Bool(True).tag(sync=True)
    selected = traitlets.Int(None, allow_none=True).tag(sync=True)
    movable = traitlets.Bool(False).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    aspect = traitlets.Float(0.6).tag(sync=True)
    active_edges = traitlets.Any([]).tag(sync=True)
    edge_labels = traitlets.Any([]).tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    _colours = traitlets.List(list(plotting.COLOURS)).tag(sync=True)
    _pulses = traitlets.Int(0).tag(sync=True)

    def __init__(self, edge_index, positions, labels=None, groups=None, directed=True, selected=None, movable=False, *,
                 alt, **later):
        self.num_nodes = len(positions)
        later.setdefault("layout", {"flex": "1 1 auto", "min_width": "min(320px, 100%)", "max_width": "720px"})
        super().__init__(edge_index=edge_index, positions=positions,
                         labels=range(self.num_nodes) if labels is None else labels,
                         groups=[0] * self.num_nodes if groups is None else groups,
                         directed=directed, selected=selected, movable=movable, alt=alt, **later)

    def pulse(self):
        """Send a dot along each active edge, from source to target, once."""
        self._pulses += 1

    @traitlets.validate("edge_index")
    def _check_edge_index(self, proposal):
        require_edge_index(proposal["value"], self.num_nodes)
        return proposal["value"]

    @traitlets.observe("edge_index")
    def _forget_edges(self, change):
        if change["old"] is not None:
            self.active_edges = self.edge_labels = []

    @traitlets.validate("positions")
    def _check_positions(self, proposal):
        try:
            x = np.asarray(proposal["value"], dtype=float)
        except (TypeError, ValueError):
            x = np.empty(())
        if x.shape != (self.num_nodes, 2):
            given = f"have shape {x.shape}" if x.shape else f"are a {type(proposal['value']).__name__}"
            raise ValueError(f"positions {given}; expected numbers of shape ({self.num_nodes}, 2), x and y of each "
                             "node. plotting.layout(edge_index, num_nodes) makes some.")
        if not ((x >= -1e-6) & (x <= 1 + 1e-6)).all():
            raise ValueError(f"positions go from {x.min():.3g} to {x.max():.3g}; expected 0 to 1. Subtract the "
                             "smallest of each column, then divide by the largest.")
        return x.clip(0, 1).tolist()

    @traitlets.validate("labels", "groups", "edge_labels")
    def _check_length(self, proposal):
        name, of_edges = proposal["trait"].name, proposal["trait"].name == "edge_labels"
        values = [value.item() if hasattr(value, "item") else value for value in proposal["value"]]
        expected = self.edge_index.shape[1] if of_edges else self.num_nodes
        if len(values) != expected and (values or not of_edges):
            raise ValueError(f"{name} has {len(values)} entries; expected one for each of the {expected} "
                             f"{'edges' if of_edges else 'nodes'}.")
        if name != "groups":
            return [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
        if any(value not in range(len(self._colours)) for value in values):
            raise ValueError(f"groups go from {min(values)} to {max(values)}; expected whole numbers from 0 to "
                             f"{len(self._colours) - 1}: there are no more shapes that can be told apart.")
        return [int(value) for value in values]

    @traitlets.validate("selected")
    def _check_selected(self, proposal):
        node = proposal["value"]
        if node is not None and not 0 <= node < self.num_nodes:
            raise ValueError(f"selected is {node}; expected None or a node from 0 to {self.num_nodes - 1}.")
        return node

    @traitlets.validate("active_edges")
    def _check_active_edges(self, proposal):
        edges, num_edges = proposal["value"], self.edge_index.shape[1]
        edges = np.asarray(edges)
        if edges.dtype == bool:
            if edges.shape != (num_edges,):
                raise ValueError(f"active_edges is a mask of shape {edges.shape}; expected ({num_edges},).")
            edges = edges.nonzero()[0]
        edges = [int(k) for k in edges]
        wrong = [k for k in edges if not 0 <= k < num_edges]
        if wrong:
            raise ValueError(f"active_edges names edge {wrong[0]}; with {num_edges} edges they are 0 to "
                             f"{num_edges - 1}.")
        return edges
