"""Every notebook, run from top to bottom: the masters and a fresh build of the students' versions.

The build goes to a temporary folder, so that notebooks somebody works on are neither tested nor touched.
"""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from course_utils import graphs, message_passing
from course_utils.cli import main
from course_utils.exercises import of_notebook

ROOT = Path(__file__).parents[1]
MASTERS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem for path in MASTERS]
CELL_SECONDS = 120  # only there to end a cell that hangs

# What the prose claims, word for word, and how a run of the notebook computes it.
CLAIMS = {
    "01_graph_tasks": {
        "Nodes are the 34 members": "club.num_nodes == 34",
        "The Kenyon cells do not answer them: that block is empty.":
            "graphs.to_adjacency(fly.edge_index, 209)[fly.y == 0][:, fly.y == 3].sum() == 0 and "
            "graphs.to_adjacency(fly.edge_index, 209)[fly.y == 3][:, fly.y == 0].sum() > 400",
        "its list saves less than two thirds": "0.6 < 1 - 2 * fly.num_edges / fly.num_nodes ** 2 < 2 / 3",
        "Nearly half of the neurons are Kenyon cells, and only a tenth are input neurons":
            "0.47 < counts[0] / fly.num_nodes < 0.5 and round(counts[1] / fly.num_nodes, 1) == 0.1",
        "Some numberings turn a sure yes into a sure no":
            "(lambda A, orders: (lambda said: max(said) > 0.95 and min(said) < 0.05)([mlp_says(A[p][:, p]) for p in orders]))("
            "graphs.to_adjacency(molecule.edge_index, 12), "
            "[torch.randperm(12, generator=torch.Generator().manual_seed(k)) for k in range(1, 21)])",
        "Renumbered, it gets about one in three wrong": "seen == 1 and 0.28 < 1 - seen_shuffled < 0.38",
        "Counting is always right": "counted == 1",
        "The cheat seems to beat every honest method": "min(edge_result['cheat, careless split']) > "
            "max(edge_result['shared neighbours, honest split']) and edge_result['cheat, honest split'] == [0.5] * 5",
        "The wiring alone says almost all about the size":
            "graph_result['mean number of bonds between atoms'][0] > 0.9 > 0.6 > graph_result['number of atoms'][0]",
        "A turn changes every coordinate and no distance":
            "(coordinates[:, :2].abs() > 1e-3).all() and distances.abs().max() < 1e-5",
    },
    "02_message_passing": {
        "The bias came three times": "len(inbox) == 3 and total.item() == -1.75",
        "exactly $K+1$ hops": "moved.tolist() == list(range(6)) and K == 4",
        "209 neurons on the left side of its brain, and 36 incoming edges for each on average":
            "fly.num_nodes == 209 and round(fly.num_edges / 209) == 36",
        "None does.": "all(len(set(message_passing.aggregate(value, owner, 3, r).tolist())) < 3 for r in ('sum', 'mean', 'max'))",
        "the sum does tell all three apart":
            "len(set(message_passing.aggregate(value + 0.25, owner, 3).tolist())) == 3",
        "the guess is blind": "all(abs(a - 0.25) < 1e-6 for a in accuracy[0])",
        "The wiring alone gives most of the classes away": "all(a > 0.65 for a in accuracy[2])",
    },
}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    assert main(["build", "--root", str(ROOT), "--out", str(folder)]) == 0
    return folder


def path_of(name, kind, built):
    return (ROOT / "solutions" if kind == "master" else built) / f"{name}.ipynb"


@pytest.mark.parametrize("kind", ["master", "student"])
@pytest.mark.parametrize("name", NAMES)
def test_nbval_runs_every_cell(name, kind, built):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}", "-q",
         "-p", "no:cacheprovider", "--rootdir", str(built), str(path_of(name, kind, built))],
        capture_output=True, text=True, cwd=built)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def run(path, extra=()):
    """The notebook with its outputs, after a run in a kernel of its own; ``extra`` are cells to run behind the last."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in extra]
    NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
                   record_timing=True).execute()
    return notebook


def cards(notebook):
    """What the check cells recorded, in order."""
    return [output.metadata["course"] for cell in notebook.cells if cell.cell_type == "code"
            for output in cell.outputs if "course" in output.get("metadata", {})]


@pytest.mark.parametrize("name", NAMES)
def test_a_master_scores_full_points_and_its_prose_is_true(name):
    claims = CLAIMS[name]
    notebook = run(path_of(name, "master", None), [f"import json; print(json.dumps([bool(_) for _ in [{','.join(claims.values())}]]))"])
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for claim, holds in zip(claims, json.loads(notebook.cells[-1].outputs[0].text), strict=True):
        assert claim in prose, f"the notebook no longer says: {claim}"
        assert holds, f"the notebook says, and computes otherwise: {claim}"
    *checks, summary = cards(notebook)
    assert [card["exercise"] for card in checks] == [e.name for e in of_notebook(name)]
    assert all(card["state"] == "right" for card in checks)
    assert summary["points"] == summary["out_of"] == sum(e.points for e in of_notebook(name))
    figures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            assert "image/png" not in output.get("data", {}), "a figure without alt text"
            for svg in re.findall(r"<svg[^>]*>", html):
                figures += 1
                assert re.search(r'role="img" aria-label="[^"]{20,}"', svg), svg
    assert figures >= 3
    seconds = {cell_number: _seconds(cell) for cell_number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"}
    slowest = max(seconds, key=seconds.get)
    print(f"\n{name}: {sum(seconds.values()):.0f} s in all, the longest cell (number {slowest}) {seconds[slowest]:.1f} s")


def _seconds(cell):
    times = cell.metadata.get("execution", {})
    start, end = (datetime.fromisoformat(times[key]) for key in ("iopub.status.busy", "iopub.status.idle"))
    return (end - start).total_seconds()


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_notebook_runs_to_the_end_with_every_check_not_started(name, built):
    notebook = run(path_of(name, "student", built))
    *checks, summary = cards(notebook)
    assert [card["exercise"] for card in checks] == [e.name for e in of_notebook(name)]
    assert all(card["state"] == "not started" for card in checks)
    assert summary["points"] == 0
    said = "".join(output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "stream")
    assert said.count("has not passed its check yet") == len(checks)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_keeps_to_the_measure(name):
    cells = nbformat.read(path_of(name, "master", None), as_version=4).cells
    code = [[line for line in cell.source.splitlines() if line.strip()] for cell in cells if cell.cell_type == "code"]
    words = sum(len(re.findall(r"\w[\w'’.-]*", cell.source)) for cell in cells
                if cell.cell_type == "markdown" and "instructor" not in cell.metadata.get("tags", []))
    lengths = sorted(map(len, code))
    print(f"\n{name}: {len(code)} code cells, {words} words, longest cell {lengths[-1]} lines, median {lengths[len(code) // 2]}")
    assert 20 <= len(code) <= 30
    assert 1500 <= words <= 2500
    assert lengths[-1] <= 25
    assert lengths[len(code) // 2] <= 8
    assert 3 <= len(of_notebook(name)) <= 6


@pytest.mark.parametrize("name", NAMES)
def test_a_master_presents_as_slides_and_answers_its_discussion(name):
    cells = nbformat.read(path_of(name, "master", None), as_version=4).cells
    kinds = [cell.metadata.get("slideshow", {}).get("slide_type", "-") for cell in cells]
    assert kinds[0] == "slide" and kinds.count("slide") >= 5
    for cell, kind in zip(cells, kinds):
        if "### BEGIN SOLUTION" in cell.source:
            assert kind == "subslide", "a solution stays below its exercise until asked for"
        if "instructor" in cell.metadata.get("tags", []):
            assert kind == "notes" and "instructor" in cell.source
    assert any(cell.source.startswith("### Discussion") for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_pytorch_geometric_runs_and_agrees(name):
    cells = nbformat.read(path_of(name, "master", None), as_version=4).cells
    code = "\n".join(re.findall(r"```python\n(.*?)```", "\n".join(cell.source for cell in cells), flags=re.S))
    A = torch.tensor([[0, 1.0, 1], [0, 0, 1], [0, 0, 0]])
    h = torch.randn(3, 4)
    names = {"torch": torch, "A": A, "num_nodes": 3, "h": h, "edge_index": graphs.to_edge_index(A), "in_channels": 4, "out_channels": 5}
    exec(code, names)  # noqa: S102  our own notebook
    if name == "01_graph_tasks":
        assert torch.equal(names["edge_index"], graphs.to_edge_index(A))
        assert torch.equal(names["in_degree"].long(), graphs.degrees(graphs.to_edge_index(A), 3))
    if name == "02_message_passing":
        layer = names["layer"]
        ours = message_passing.message_round(h, names["edge_index"], layer.lin_root.weight, layer.lin_rel.weight, torch.zeros(5))
        torch.testing.assert_close(names["h_new"], ours)


@pytest.mark.skipif(os.environ.get("CI") is None, reason="compares the committed notebooks, which a reader may be working in")
def test_the_committed_notebooks_are_a_fresh_build():
    assert main(["build", "--root", str(ROOT), "--check"]) == 0
