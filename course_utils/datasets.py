"""The data of the course: the slides "Graph data", "Graph tasks" and "Geometric information".

Every function returns `Graph`s (see `graphs`). Each data set has a card in ``course_utils/data``; its file, where it
has one, is made from its source by ``tools/rebuild_data.py``. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from course_utils.graphs import Graph, both_directions

CELL_CLASSES = ("KC", "MBIN", "MBON", "PN")
"""Kenyon cells, mushroom-body input neurons, mushroom-body output neurons, projection neurons."""

ELEMENTS = ("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I")
"""The columns of a molecule's h, by atomic number."""

CHIRALITIES = ("R", "S")
"""The labels of a stereocentre; a molecule's y is an index into them."""


BACKBONE = ("N", "CA", "C", "O")
"""The backbone's atoms of a residue, in this order; the chain goes N, CA, C, then N of the next residue."""

RESIDUES = {"A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS", "I": "ILE", "K": "LYS", "L": "LEU",
            "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN", "R": "ARG", "S": "SER", "T": "THR", "V": "VAL", "W": "TRP", "Y": "TYR"}
"""The twenty amino acids: letter and name."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """The backbone of a protein: x (residues, 4, 3), in angstrom, the atoms those of `BACKBONE`; sequence, a letter each."""

    x: Tensor
    sequence: str

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def bonds(self) -> Tensor:
        """N to CA, CA to C, C to O and C to the next N, in both directions: (2, num_edges). Atoms count by residues."""
        i = 4 * torch.arange(len(self))
        links = [(i, i + 1), (i + 1, i + 2), (i + 2, i + 3), (i[:-1] + 2, i[1:])]
        return both_directions(torch.cat([torch.stack(pair) for pair in links], dim=1))


@dataclass(frozen=True, eq=False)
class Molecule:
    """One molecule with one stereocentre, a carbon with four different groups on it.

    id and name are those of the Chemical Component Dictionary; stereocentre is the node that carries the label
    chirality, "R" or "S". Molecules with the same atoms and bonds, such as mirror images, share a constitution: keep
    them on the same side of a split.
    """

    graph: Graph
    id: str
    name: str
    stereocentre: int
    chirality: str
    constitution: int


def karate_club() -> Graph:
    """Zachary's karate club: 34 members, 78 links, each in both directions.

    y (34,) is the faction that a member joined when the club split, 0 for Mr. Hi's and 1 for the Officer's;
    edge_attr (156,) counts the settings in which the two met. Source: networkx; see karate_club.md.
    """
    import networkx

    club = networkx.karate_club_graph()
    links, meetings = zip(*(((v, u), count) for v, u, count in club.edges(data="weight")))
    edge_index, edge_attr = _both_directions(torch.tensor(links), torch.tensor(meetings, dtype=torch.float32))
    return Graph(
        edge_index=edge_index,
        num_nodes=len(club),
        y=torch.tensor([int(faction == "Officer") for _, faction in club.nodes(data="club")]),
        names=("Mr. Hi", *(f"member {number}" for number in range(2, len(club))), "Officer"),
        edge_attr=edge_attr,
    )


def graph_atlas() -> list[Graph]:
    """All graphs of 1 to 7 nodes, one of each kind up to renumbering: 1,252, ordered by nodes, then links.

    Source: Read and Wilson, "An atlas of graphs" (1998), from networkx; nothing is known of a node but its links.
    """
    import networkx

    found = []
    for graph in networkx.graph_atlas_g()[1:]:  # the first has no node
        links = torch.tensor(list(graph.edges), dtype=torch.int64).reshape(-1, 2)
        found.append(Graph(torch.cat([links, links.flip(1)]).T.contiguous(), len(graph)))
    return found


def fly_connectome(side: str) -> Graph:
    """The mushroom body of a fly larva's brain, side "left" (209 neurons) or "right" (213).

    An edge v -> u says that neuron v has synapses onto neuron u, and edge_attr (num_edges,) how many; y (num_nodes,)
    is the cell class, an index into `CELL_CLASSES`. Neurons are listed class by class, so a neuron's number gives its
    class away. Raises ValueError for another side. Source: Eichler et al. 2017; see fly_connectome.md.
    """
    if side not in ("left", "right"):
        raise ValueError(f'side is {side!r}; expected "left" or "right", the half of the brain.')
    data = _load("fly_connectome.npz")
    y = data[f"{side}_class"].long()
    number = torch.nn.functional.one_hot(y).cumsum(0).gather(1, y[:, None])[:, 0]
    return Graph(
        edge_index=data[f"{side}_edges"].long().T.contiguous(),
        num_nodes=len(y),
        y=y,
        names=tuple(f"{CELL_CLASSES[c]} {n}" for c, n in zip(y.tolist(), number.tolist())),
        edge_attr=data[f"{side}_synapses"].float(),
    )


def molecules(hydrogens: bool = False) -> list[Molecule]:
    """The small molecules of the Chemical Component Dictionary with one stereocentre, ordered by id.

    In each graph h (num_nodes, 12) is the element, one-hot over `ELEMENTS`; x (num_nodes, 3) are positions in angstrom,
    float32, given to 0.001, with the centroid of the heavy atoms at the origin; y is the label, an index into
    `CHIRALITIES`; names are element symbols; edge_attr (num_edges,) is the bond order, 1, 2, 3, or 1.5 where aromatic,
    and every bond is there in both directions. Heavy atoms come first and hydrogens, if asked for, after them: a heavy
    atom has the same number either way. Source: the wwPDB; see molecules.md.
    """
    data = _load("molecules.npz")
    ids, names = (bytes(data[text].numpy()).decode().split("\n") for text in ("ids", "names"))
    elements, bonds = data["elements"].long(), data["bonds"].long()
    num_atoms, num_bonds = data["num_atoms"].long(), data["num_bonds"].long()
    x = data["milliangstrom"] / 1000
    h = torch.nn.functional.one_hot(elements, len(ELEMENTS)).float()
    orders = data["half_orders"] / 2
    if not hydrogens:
        heavy = elements != ELEMENTS.index("H")
        starts = num_atoms.cumsum(0) - num_atoms
        between_heavy = heavy[bonds + starts.repeat_interleave(num_bonds)[:, None]].all(1)
        num_atoms, num_bonds = _count(heavy, num_atoms), _count(between_heavy, num_bonds)
        elements, h, x = elements[heavy], h[heavy], x[heavy]
        bonds, orders = bonds[between_heavy], orders[between_heavy]
    edge_index, edge_attr = _both_directions(bonds, orders)
    symbols = [ELEMENTS[element] for element in elements.tolist()]
    sizes, num_edges = num_atoms.tolist(), (2 * num_bonds).tolist()
    stops = num_atoms.cumsum(0).tolist()
    graphs = [
        Graph(edges.contiguous(), size, h=h_m, x=x_m, y=y_m, names=tuple(symbols[stop - size:stop]), edge_attr=attr)
        for edges, size, h_m, x_m, y_m, stop, attr in zip(
            edge_index.split(num_edges, dim=1), sizes, h.split(sizes), x.split(sizes), data["chirality"].long(), stops,
            edge_attr.split(num_edges))
    ]
    chirality = [CHIRALITIES[label] for label in data["chirality"].tolist()]
    return [Molecule(*fields) for fields in zip(graphs, ids, names, data["stereocentre"].tolist(), chirality,
                                                data["constitution"].tolist())]


def lysozyme() -> Backbone:
    """T4 lysozyme, an enzyme of 162 residues here, mostly helices; the centroid of its CA atoms is the origin.

    Source: openmmtools; see lysozyme.md.
    """
    data = _load("lysozyme.npz")
    return Backbone(data["milliangstrom"] / 1000, bytes(data["sequence"].numpy()).decode())


def _both_directions(links: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """links (n, 2) as edge_index (2, 2n), each followed by its reverse; values (n,) as edge_attr (2n,)."""
    return torch.stack([links, links.flip(1)], 1).reshape(-1, 2).T.contiguous(), values.repeat_interleave(2)


def _count(mask: Tensor, sizes: Tensor) -> Tensor:
    """How many of each group are in the mask, where consecutive groups have these sizes."""
    total = torch.cat([sizes.new_zeros(1), mask.cumsum(0)])
    stops = sizes.cumsum(0)
    return total[stops] - total[stops - sizes]


def _load(name: str) -> dict[str, Tensor]:
    """The arrays of a data file, once its checksum is seen to be right."""
    folder = resources.files("course_utils") / "data"
    advice = ("In a clone, `git checkout course_utils/data` restores the file; elsewhere, install course_utils again. "
              "tools/rebuild_data.py makes it anew, if it is listed there.")
    try:
        content = (folder / name).read_bytes()
        listed = (folder / "checksums.txt").read_text(encoding="utf-8").split()
    except FileNotFoundError as error:
        raise RuntimeError(f"The data file {error.filename} is missing. {advice}") from None
    if hashlib.sha256(content).hexdigest() != dict(zip(listed[1::2], listed[::2])).get(name):
        raise RuntimeError(f"The data file course_utils/data/{name} is damaged: its sha256 is not the one in "
                           f"checksums.txt. {advice}")
    with np.load(io.BytesIO(content)) as arrays:
        return {key: torch.from_numpy(array) for key, array in arrays.items()}
