"""The benchmarks, without measuring: what is compared is the same, and what they write is readable."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tqdm import tqdm

from course_utils.systems.nbody import charged_particles

FOLDER = Path(__file__).parents[1] / "benchmarks"
GROUPS = ("neighbors", "layers", "nbody", "imports")
HINT = 'is left out; python -m pip install -c constraints.txt -e ".[bench]" brings it.'


@pytest.fixture
def load(monkeypatch):
    """A benchmark's module by its name; afterwards nothing of them is left in sys.modules."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # a peer shows progress; the thread that watches it would stay
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in ("run", "timing", *GROUPS):
        sys.modules.pop(name, None)


def gradients(module, inputs, leaves):
    """Of the sum of cubes, since squares hardly change behind a norm."""
    out = module(*inputs)
    return torch.autograd.grad(sum(part.pow(3).sum() for part in (out if isinstance(out, tuple) else (out,))), leaves)


@pytest.mark.slow
def test_textbook_layers_and_peers_compute_what_the_librarys_do(load):
    layers, compared = load("layers"), set()
    for what, layer, peers, inputs, _ in layers.cases(shrink=10):
        layers.assert_same(layer, peers, inputs)
        leaves = [part for part in inputs if part.requires_grad]
        for name, (module, tolerance) in peers.items():
            layers.step(module, inputs)()
            if tolerance is not None and leaves:
                for theirs, ours in zip(gradients(module, inputs, leaves), gradients(layer, inputs, leaves)):
                    assert (theirs - ours).norm() <= 1e-3 * ours.norm(), (what, name)
            compared.add((what.split()[0].strip(","), name))
    assert {("EGNN", "textbook"), ("GVP", "textbook")} <= compared


def test_the_floor_of_a_graph_convolution_is_its_product(load):
    floors = [(layer, peers["the product alone (floor)"][0], inputs)
              for what, layer, peers, inputs, _ in load("layers").cases(shrink=10) if what.startswith("GCN")]
    assert len(floors) == 4  # dense and sparse features, a wide layer, a large graph
    for layer, floor, (h, edge_index) in floors:
        torch.testing.assert_close(floor(h, edge_index), layer.W(h))


def test_a_layer_that_differs_is_not_timed(load):
    layers = load("layers")
    what, layer, peers, inputs, _ = next(layers.cases(shrink=10))
    layer.phi[-1].bias.data += 0.01
    with pytest.raises(AssertionError, match="textbook"):
        layers.assert_same(layer, peers, inputs)


def test_peers_radius_graphs_are_ours(load):
    neighbors = load("neighbors")
    for name, args, peers, _ in neighbors.cases(quick=True):
        if "100,000" not in name:
            for peer, function in peers.items():
                neighbors.assert_same(neighbors.neighbors.radius_graph(*args), function(*args), "half" in peer)


def test_the_loop_reaches_what_the_library_reaches(load):
    found = load("nbody").by_loops(3, last=200)
    np.testing.assert_allclose(found, charged_particles(3, steps=(200,)).x[:, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("peer, group, shown_as", [
    ("vesin", "neighbors", "vesin"), ("matscipy.neighbours", "neighbors", "matscipy"),
    ("egnn_pytorch", "layers", "egnn-pytorch"), ("e3nn.o3", "layers", "e3nn"),
    ("torch_geometric.nn", "layers", "PyTorch Geometric")])
def test_a_missing_peer_is_left_out_with_a_hint(load, monkeypatch, capsys, peer, group, shown_as):
    monkeypatch.setitem(sys.modules, peer, None)
    cases = list(load("layers").cases(shrink=10) if group == "layers" else load("neighbors").cases(quick=True))
    assert f"{peer} {HINT}" in capsys.readouterr().out.splitlines()
    names = [name for case in cases for part in case if isinstance(part, dict) for name in part]
    assert names and not any(name.startswith(shown_as) for name in names)


def test_table_and_plot_are_written(load, monkeypatch, capsys, tmp_path):
    run, timing = load("run"), load("timing")
    rows = [timing.Row("sum", "abacus", [1.0, 2.0, 3.0], [4.0, 4.0, 5.0]), timing.Row("sum", "fingers", [2.0], [500.0]),
            timing.Row("product", "slide rule", [2.0], [0.5])]
    assert [row.ratio for row in rows] == [2, 250, 0.25]
    for group in GROUPS:
        monkeypatch.setattr(load(group), "rows", lambda quick, which=group: rows if which == "layers" else [])
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "layers", "--plot", str(tmp_path / "ratios.png")])
    run.main()
    header, *lines, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["peer", "ours,", "ms", "peer,", "ms", "peer", "/", "ours"]
    assert lines[0].split() == "sum abacus 2.00 (1.00 to 3.00) 4.00 (4.00 to 5.00) 2.00".split()
    assert len(lines) == 3 and "slide rule" in lines[2] and lines[2].split()[-1] == "0.25"
    assert len({len(line) for line in [header, *lines]}) == 1
    assert imread(tmp_path / "ratios.png").std() > 0.01


def test_turns_are_taken(load):
    order = []
    spent = load("timing").take_turns([lambda: order.append("a"), lambda: order.append("b")], (), 3)
    assert "".join(order) == "abababab" and [len(part) for part in spent] == [3, 3]
