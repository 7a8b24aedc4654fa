"""The data: counts, conventions, labels, checksums, cards. What a data card says is compared with the data."""

import hashlib
import importlib.util
import itertools
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils import datasets, graphs
from course_utils.datasets import CELL_CLASSES, CHIRALITIES, ELEMENTS
from course_utils.graphs import batch_graphs

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "course_utils" / "data"
NPZ = sorted(DATA.glob("*.npz"))


@pytest.fixture(scope="module")
def sides():
    return {side: datasets.fly_connectome(side) for side in ("left", "right")}


@pytest.fixture(scope="module")
def heavy():
    return datasets.molecules()


@pytest.fixture(scope="module")
def whole():
    return datasets.molecules(hydrogens=True)


def check_graph(graph, undirected):
    assert graph.edge_index.dtype == torch.int64 and graph.edge_index.is_contiguous()
    assert graph.edge_attr.dtype == torch.float32
    v, u = graph.edge_index
    edge, reverse = v * graph.num_nodes + u, u * graph.num_nodes + v
    assert len(edge.unique()) == graph.num_edges, "an edge is listed twice"
    assert (v != u).all(), "a self loop"
    if undirected:
        assert torch.equal(edge.sort().values, reverse.sort().values), "a link is there in one direction only"
        assert torch.equal(graph.edge_attr[edge.argsort()], graph.edge_attr[reverse.argsort()])


def card(name):
    return " ".join((DATA / f"{name}.md").read_text(encoding="utf-8").split())


# --- karate club


def test_karate_club():
    club = datasets.karate_club()
    check_graph(club, undirected=True)
    assert (club.num_nodes, club.num_edges) == (34, 156)
    assert club.y.dtype == torch.int64 and club.y.bincount().tolist() == [17, 17]
    assert (club.names[0], club.names[8], club.names[33]) == ("Mr. Hi", "member 9", "Officer")
    assert club.y[[0, 8, 33]].tolist() == [0, 0, 1]
    assert club.edge_attr.sum() == 2 * 231 and (club.edge_attr.min(), club.edge_attr.max()) == (1, 7)
    same = club.y[club.edge_index[0]] == club.y[club.edge_index[1]]
    assert same.float().mean() > 0.8   # labels and nodes are in the same order


# --- fly connectome


def class_table(graph):
    """Edges from one class (row) to another (column)."""
    pairs = len(CELL_CLASSES) * graph.y[graph.edge_index[0]] + graph.y[graph.edge_index[1]]
    return pairs.bincount(minlength=16).reshape(4, 4)


def flows_from_smell_to_output(table):
    kc, _, mbon, pn = range(4)
    return bool(table[pn, kc] > 400 and table[:, pn].sum() == 0 and table[pn].sum() == table[pn, kc]
                and table[kc, mbon] > 1400 and table[mbon, kc] == 0)


@pytest.mark.parametrize("side, neurons, edges, synapses", [("left", 209, 7425, 25322), ("right", 213, 7536, 26371)])
def test_fly_connectome_counts(sides, side, neurons, edges, synapses):
    graph = sides[side]
    check_graph(graph, undirected=False)
    assert (graph.num_nodes, graph.num_edges, int(graph.edge_attr.sum())) == (neurons, edges, synapses)
    assert graph.y.dtype == torch.int64 and len(set(graph.names)) == neurons
    assert Counter(name.split()[0] for name in graph.names) == dict(zip(CELL_CLASSES, graph.y.bincount().tolist()))
    assert all(name.startswith(CELL_CLASSES[c] + " ") for name, c in zip(graph.names, graph.y.tolist()))
    for number in (neurons, edges, synapses):
        assert f"{number:,}" in card("fly_connectome")


@pytest.mark.parametrize("side", ["left", "right"])
def test_edges_run_from_presynaptic_to_postsynaptic(sides, side):
    table = class_table(sides[side])
    assert flows_from_smell_to_output(table)
    assert not flows_from_smell_to_output(table.T), "the test would not see edges the other way round"


def test_the_classes_mean_the_same_on_both_sides(sides):
    """Of all ways to match the classes of the two sides by how they connect, the one by name fits best."""
    def density(side):
        size = sides[side].y.bincount()
        return class_table(sides[side]) / torch.outer(size, size)

    left, right = density("left"), density("right")
    misfit = {p: float((left - right[list(p)][:, list(p)]).abs().sum()) for p in itertools.permutations(range(4))}
    assert min(misfit, key=misfit.get) == (0, 1, 2, 3)
    assert misfit[0, 1, 2, 3] < 0.5 * min(value for p, value in misfit.items() if p != (0, 1, 2, 3))


def test_the_card_shows_the_table_of_classes(sides):
    tables = [class_table(sides[side]) for side in ("left", "right")]
    for row, cell_class in enumerate(CELL_CLASSES):
        cells = [f"{left:,} / {right:,}" if left or right else "0 / 0" for left, right in
                 zip(tables[0][row].tolist(), tables[1][row].tolist())]
        assert f"| {cell_class} | {' | '.join(cells)} |" in card("fly_connectome")


@pytest.mark.parametrize("side", ["Left", "both", "", None, 0, ["left"]])
def test_an_unknown_side_is_named(side):
    with pytest.raises(ValueError, match='expected "left" or "right"') as error:
        datasets.fly_connectome(side)
    assert repr(side) in str(error.value)


# --- molecules


def test_molecules(heavy):
    assert len(heavy) == 2307
    ids = [m.id for m in heavy]
    assert ids == sorted(set(ids))
    batch = batch_graphs([m.graph for m in heavy])
    check_graph(batch, undirected=True)
    assert batch.h.shape == (28381, len(ELEMENTS)) and batch.x.shape == (28381, 3)
    assert batch.h.dtype == batch.x.dtype == torch.float32
    assert [ELEMENTS[i] for i in batch.h.argmax(1)] == list(batch.names)
    assert set(batch.h.unique().tolist()) == {0, 1} and (batch.h.sum(1) == 1).all()
    assert set(batch.edge_attr.tolist()) == {1, 1.5, 2, 3}
    assert batch.y.dtype == torch.int64 and [CHIRALITIES[y] for y in batch.y] == [m.chirality for m in heavy]
    sizes = batch.batch.bincount()
    assert (sizes.min(), sizes.max(), sizes.median()) == (5, 16, 13)
    assert torch.isfinite(batch.x).all()
    centroid = torch.zeros(2307, 3).index_add_(0, batch.batch, batch.x) / sizes[:, None]
    assert centroid.abs().max() < 0.001
    length = (batch.x[batch.edge_index[0]] - batch.x[batch.edge_index[1]]).norm(dim=1)
    assert 1 < length.min() and length.max() < 2.3   # angstrom


def test_molecules_are_connected(whole):
    batch = batch_graphs([m.graph for m in whole])
    v, u = batch.edge_index
    component = torch.arange(batch.num_nodes)
    for _ in range(50):
        component = component.scatter_reduce(0, u, component[v], "amin")
    assert len(component.unique()) == len(whole)


def test_hydrogens_come_after_the_heavy_atoms(heavy, whole):
    small, large = batch_graphs([m.graph for m in heavy]), batch_graphs([m.graph for m in whole])
    check_graph(large, undirected=True)
    is_heavy = large.h[:, ELEMENTS.index("H")] == 0
    number = is_heavy.cumsum(0) - 1
    inside = is_heavy[large.edge_index].all(0)
    assert torch.equal(number[large.edge_index[:, inside]], small.edge_index)
    assert torch.equal(large.edge_attr[inside], small.edge_attr)
    for name in ("h", "x", "batch"):
        assert torch.equal(getattr(large, name)[is_heavy], getattr(small, name))
    for few, many in zip(heavy, whole, strict=True):
        assert "H" not in many.graph.names[:few.graph.num_nodes]
        assert (few.id, few.stereocentre, few.chirality) == (many.id, many.stereocentre, many.chirality)


def neighbours(molecule, node):
    v, u = molecule.graph.edge_index
    return v[u == node].tolist()


def test_the_stereocentre_is_a_carbon_with_four_neighbours(whole):
    for m in whole:
        assert m.graph.names[m.stereocentre] == "C" and len(neighbours(m, m.stereocentre)) == 4
        assert [m.graph.names[i] for i in neighbours(m, m.stereocentre)].count("H") <= 1


def hand(molecule, x):
    """R or S where the four neighbours are four elements, so that atomic numbers alone rank them; else None."""
    atoms = sorted(neighbours(molecule, molecule.stereocentre), reverse=True,
                   key=lambda i: ELEMENTS.index(molecule.graph.names[i]))
    if len({molecule.graph.names[i] for i in atoms}) < 4:
        return None
    # seen with the lowest one behind, highest to third run clockwise in R: a left-handed triple
    a, b, c = (x[i] - x[atoms[3]] for i in atoms[:3])
    return "R" if torch.dot(a, torch.linalg.cross(b, c)) < 0 else "S"


def test_labels_agree_with_the_geometry(whole):
    hands = [(m.chirality, hand(m, m.graph.x), hand(m, -m.graph.x)) for m in whole if hand(m, m.graph.x)]
    assert len(hands) == 85 and f"In {len(hands)} of the molecules" in card("molecules")
    assert all(label == seen for label, seen, _ in hands)
    assert not any(label == mirrored for label, _, mirrored in hands)
    assert min(Counter(label for label, *_ in hands).values()) > 20


def test_textbook_labels(heavy):
    label = {m.id: m.chirality for m in heavy}
    assert {code: label[code] for code in ("ALA", "DAL", "SER", "CYS", "GLU", "LAC", "2OP")} == {
        "ALA": "S", "DAL": "R", "SER": "S", "CYS": "R", "GLU": "S", "LAC": "R", "2OP": "S"}


def test_molecules_of_one_constitution_have_the_same_atoms_and_bonds(heavy):
    found = defaultdict(list)
    for m in heavy:
        bonds = zip(*([m.graph.names[i] for i in row] for row in m.graph.edge_index), m.graph.edge_attr.tolist())
        found[m.constitution].append((sorted(m.graph.names), sorted(bonds), m.id, m.chirality))
    assert sorted(found) == list(range(2042))
    assert all(atoms == same[0][0] and bonds == same[0][1] for same in found.values() for atoms, bonds, *_ in same)
    by_id = {m.id: m for m in heavy}
    assert by_id["ALA"].constitution == by_id["DAL"].constitution != by_id["SER"].constitution
    assert sum(len({hand for *_, hand in same}) == 2 for same in found.values()) == 260


def test_the_card_says_what_is_in_the_molecules(heavy, whole):
    labels = Counter(m.chirality for m in heavy)
    hold = Counter(name for m in heavy for name in set(m.graph.names))
    for text in (f"{len(heavy):,} molecules", f"{labels['S']:,} S ({labels['S'] / len(heavy):.1%})".replace("%", " %"),
                 f"{labels['R']} R", f"{sum(m.graph.num_nodes for m in heavy):,} heavy atoms",
                 f"{sum(m.graph.names.count('H') for m in whole):,} hydrogens",
                 f"{sum(m.graph.num_edges for m in heavy) // 2:,} bonds",
                 f"{sum(m.graph.num_edges for m in whole) // 2:,} in all", "2,042 constitutions: 260 of them",
                 ", ".join(f"{name} {n:,}" for name, n in hold.most_common() if name != "C")):
        assert text in card("molecules")


# --- lysozyme


def dihedral(a, b, c, d):
    """The angle in degrees between the planes abc and bcd, seen along b -> c: IUPAC's sign."""
    n1, n2 = torch.linalg.cross(b - a, c - b), torch.linalg.cross(c - b, d - c)
    axis = (c - b) / (c - b).norm(dim=1, keepdim=True)
    return torch.rad2deg(torch.atan2((torch.linalg.cross(n1, n2) * axis).sum(1), (n1 * n2).sum(1)))


def test_the_atlas_holds_every_graph_of_up_to_seven_nodes_once():
    atlas = datasets.graph_atlas()
    sizes = torch.tensor([g.num_nodes for g in atlas])
    assert torch.bincount(sizes).tolist() == [0, 1, 2, 4, 11, 34, 156, 1044]  # how many there are: OEIS A000088
    for g in atlas[::50]:
        A = graphs.to_adjacency(g.edge_index, g.num_nodes)
        assert torch.equal(A, A.T) and A.max() <= 1 and not A.diagonal().any()


def test_bonds_of_lysozyme_are_as_long_as_bonds():
    protein = datasets.lysozyme()
    v, u = protein.bonds
    length = (protein.x.flatten(0, 1)[u] - protein.x.flatten(0, 1)[v]).norm(dim=1)
    assert 1.1 < length.min() and length.max() < 1.7
    assert len(v) == 2 * (4 * len(protein) - 1)  # a tree: N, CA, C in a row, an O at each C
    first = datasets.Backbone(protein.x[:1], protein.sequence[:1])
    assert first.bonds.T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2]]


def test_lysozyme_is_a_protein():
    protein = datasets.lysozyme()
    x = protein.x
    assert len(protein) == 162 and x.shape == (162, 4, 3) and x.dtype == torch.float32
    N, CA, C, O = x.unbind(1)
    for a, b, length in ((N, CA, 1.46), (CA, C, 1.53), (C, O, 1.23), (C[:-1], N[1:], 1.33), (CA[:-1], CA[1:], 3.80)):
        bond = (a - b).norm(dim=1)
        assert (bond / length - 1).abs().max() < 0.09 and (bond.mean() / length - 1).abs() < 0.02
    torch.testing.assert_close(CA.mean(0), torch.zeros(3), atol=6e-4, rtol=0)
    phi, psi = dihedral(C[:-1], N[1:], CA[1:], C[1:])[:-1], dihedral(N[:-1], CA[:-1], C[:-1], N[1:])[1:]
    helix = ((phi + 60).abs() < 30) & ((psi + 45).abs() < 30)
    assert f"{helix.double().mean():.0%}".replace("%", " %") in card("lysozyme") and (phi < 0).double().mean() > 0.9
    omega = dihedral(CA[:-1], C[:-1], N[1:], CA[1:]).abs()
    assert omega.min() > 150  # every peptide bond is trans
    assert (protein.sequence[98], protein.sequence[53], protein.sequence[96], protein.sequence.count("H")) == ("A", "T", "A", 1)
    assert set(protein.sequence) <= set(datasets.RESIDUES) and protein.sequence.startswith("MNIFEMLRIDEGLRL")
    assert f"{len(protein)} residues, {x.shape[0] * x.shape[1]} atoms" in card("lysozyme")


# --- the files


def test_checksums_are_those_of_the_files():
    lines = (DATA / "checksums.txt").read_bytes().decode().replace("\r\n", "\n").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}   # as sha256sum writes them
    assert listed == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in NPZ}


def test_every_data_file_has_a_card_and_they_are_small():
    assert NPZ
    for name in [file.stem for file in NPZ] + ["karate_club"]:
        for word in ("Source", "Cite", "Licence", "Size", "Loader", "## Quirks"):
            assert word in card(name), f"{name}.md says nothing under {word}"
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 5e6
    assert sum((DATA / f"{name}.npz").stat().st_size for name in ("fly_connectome", "molecules")) < 1e6


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The data in a folder that a test may damage."""
    (tmp_path / "data").mkdir()
    for file in [*NPZ, DATA / "checksums.txt"]:
        (tmp_path / "data" / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(datasets.resources, "files", lambda package: tmp_path)
    assert len(datasets.molecules()) == 2307
    return tmp_path / "data"


def test_a_damaged_file_is_named(copied):
    content = bytearray((copied / "molecules.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "molecules.npz").write_bytes(content)
    with pytest.raises(RuntimeError, match="course_utils/data/molecules.npz is damaged.*git checkout"):
        datasets.molecules()
    assert datasets.fly_connectome("left").num_nodes == 209


@pytest.mark.parametrize("name", ["fly_connectome.npz", "checksums.txt"])
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(RuntimeError, match=f"{name} is missing.*git checkout"):
        datasets.fly_connectome("right")


def test_checksums_with_windows_line_ends_still_hold(copied):
    text = (copied / "checksums.txt").read_bytes()
    (copied / "checksums.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    assert datasets.fly_connectome("right").num_nodes == 213


def test_files_are_written_with_the_same_bytes_here(tmp_path):
    """The arrays that ship, written once more by the rebuilding script, give the bytes that ship."""
    spec = importlib.util.spec_from_file_location("rebuild_data", ROOT / "tools" / "rebuild_data.py")
    rebuild_data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rebuild_data)
    assert sorted(rebuild_data.BUILDERS) == [file.name for file in NPZ]
    for file in NPZ:
        with np.load(file, allow_pickle=False) as arrays:
            rebuild_data.write_npz(tmp_path / file.name, dict(arrays))
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_the_import_is_light():
    code = "import sys, course_utils.datasets; print({'networkx', 'biotite', 'matplotlib'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "set()"
