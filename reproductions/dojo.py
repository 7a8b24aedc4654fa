"""The Geometric GNN Dojo's three experiments with the course's networks: about twenty minutes on one thread.

    python reproductions/dojo.py

Every network is trained on the two clouds of a pair, anew for each of five seeds, and asked which is which. 100 % says that it
can tell them apart, 50 % that it answers the same to both. Beside the spokes, the chains and the first two counterexamples stand
controls in which the same networks succeed, so that 50 % cannot come from one that has not learned. In float64: the layer norms of a GVP network scale what
rounding leaves of a sum that is 0 by some 10^5, and in float32 it learned to read that. Writes
course_utils/recorded/dojo.json. Needs e3nn.
Source: Joshi et al., "On the expressive power of geometric graph neural networks" (2023), tables 1 to 3.
"""

import torch
from record import record
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.egnn import EGNN
from course_utils.graph_networks import MPNNLayer, readout
from course_utils.graphs import Graph
from course_utils.gvp import GVPNetwork, edge_geometry
from course_utils.neighbors import all_pairs
from course_utils.steerable import SteerableNetwork, natural
from course_utils.systems import dojo
from course_utils.training import fit

SETTINGS = {"steps": 1000, "lr": 0.005, "width": 32, "vectors": 8, "channels": 8, "radial": 32}
SEEDS, FOLDS, CHAINS, DEGREES = range(5), (2, 3, 5, 10), (2, 4), (1, 2, 3, 5, 10)
WIDTH, VECTORS, CHANNELS, RADIAL = (SETTINGS[name] for name in ("width", "vectors", "channels", "radial"))


class Reader(nn.Module):
    """A network and a linear map of what it says of all nodes together: a `Graph` of two clouds -> logits (2, 2).

    ``invariant`` reads scalars alone, through one hidden layer; else vectors and tensors are read too, component by component.
    """

    def __init__(self, network: str, rounds: int, r: float, invariant: bool):
        super().__init__()
        self.network, self.r, self.invariant = network, r, invariant
        if network == "EGNN":
            self.net = EGNN(1, WIDTH, WIDTH, rounds, neighbours_only=True, d_edge=RADIAL)
            width = WIDTH + 3 * (not invariant)
            for layer in self.net.layers:  # what x' tells of directions shall not begin near nothing, as it does in an `EGNN`
                layer.psi_c.second.reset_parameters()
        elif network == "GVP":
            self.net = GVPNetwork((1, 0), (RADIAL, 1), (WIDTH, VECTORS), (WIDTH, VECTORS), rounds, vector_gate=True)
            width = WIDTH + 3 * VECTORS * (not invariant)
        elif network == "distances":
            self.net, width = nn.ModuleList(MPNNLayer(1 if k == 0 else WIDTH, WIDTH, d_edge=RADIAL) for k in range(rounds)), WIDTH
        else:
            l_max = int(network.removeprefix("steerable, l = "))
            irreps = f"{WIDTH}x0e" if invariant else natural(CHANNELS, l_max)
            self.net = SteerableNetwork(1, CHANNELS, irreps, rounds, l_max, r, num_radial=RADIAL)
            width = self.net.head.irreps_out.dim
        self.head = (nn.Sequential(nn.Linear(width, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2)) if invariant
                     else nn.Linear(width, 2))

    def forward(self, g: Graph) -> Tensor:
        edge_s, edge_V = edge_geometry(g.x, g.edge_index, self.r, RADIAL)
        if self.network == "EGNN":
            f, x = self.net(g.h, g.x, g.edge_index, g.batch, edge_attr=edge_s)
            parts = [f, x]
        elif self.network == "GVP":
            s, V = self.net(g.h, g.x.new_zeros(len(g.x), 0, 3), g.edge_index, edge_s, edge_V)
            parts = [s, V.flatten(1)]
        elif self.network == "distances":
            f = g.h
            for layer in self.net:
                f = layer(f, g.edge_index, edge_s)
            parts = [f]
        else:
            parts = [self.net(g.h, g.x, g.edge_index)]
        return self.head(readout(torch.cat(parts[:1] if self.invariant else parts, dim=1), g.batch))


def percent(reader: Reader, pair: Graph) -> float:
    """100, 50 or 0: how many of the two it gets right. Where it gives both classes the same chance it gets half."""
    for _ in range(SETTINGS["steps"] // 100):
        if fit(reader.parameters(), lambda: F.cross_entropy(reader(pair), pair.y), 100, SETTINGS["lr"], bar=False)[-1] < 0.01:
            break
    with torch.no_grad():
        chance = torch.softmax(reader(pair), dim=1)[torch.arange(2), pair.y]
    return 100 * torch.where((chance - 0.5).abs() < 0.01, 0.5, (chance > 0.5).double()).mean().item()


def rows() -> dict[str, tuple]:
    """What is run, by the key it is recorded under: network, rounds, cutoff, invariant, and the function that makes a seed's pair."""
    todo = {}
    for fold in FOLDS:
        networks = ["EGNN", "GVP", *(f"steerable, l = {l}" for l in DEGREES)]
        for network in networks:
            todo[f"{fold} spokes | {network}"] = network, 1, 4.0, False, lambda s, n=fold: dojo.rotational_symmetry(n, 1 + s % n)
        for network in networks[:2]:
            todo[f"{fold} spokes | {network} and a marker"] = (
                network, 1, 4.0, False, lambda s, n=fold: dojo.rotational_symmetry(n, 1 + s % n, marker=True))
    for k in CHAINS:
        for network in ("EGNN", "GVP", "distances", "steerable, l = 1"):
            for rounds in range(k // 2, k // 2 + 4):
                todo[f"chain of {k} | {network}, {rounds} rounds"] = network, rounds, 1.5, True, lambda s, n=k: dojo.k_chains(n)
    for which in dojo.COUNTEREXAMPLES:
        for network in ("EGNN", "GVP"):
            todo[f"{which} | {network}"] = network, 1, 8.0, True, lambda s, w=which: _at_scale(dojo.counterexample(w))
            if which in dojo.COUNTEREXAMPLES[:2]:
                todo[f"{which} | {network}, all pairs, 3 rounds"] = (
                    network, 3, 12.0, True, lambda s, w=which: _all_pairs(_at_scale(dojo.counterexample(w))))
    return todo


def _at_scale(g: Graph) -> Graph:
    """The farthest neighbour at distance 2, so that the networks' inputs are of order one."""
    return Graph(g.edge_index, g.num_nodes, h=g.h, x=g.x / g.x.norm(dim=1).max() * 2, y=g.y, batch=g.batch)


def _all_pairs(g: Graph) -> Graph:
    return Graph(all_pairs(g.num_nodes, g.batch), g.num_nodes, h=g.h, x=g.x, y=g.y, batch=g.batch)


def main():
    torch.set_default_dtype(torch.float64)
    todo = rows()

    def run(key: str) -> dict:
        network, rounds, r, invariant, pair = todo[key]
        found = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            found.append(percent(Reader(network, rounds, r, invariant), pair(seed)))
        return {"percent": found}

    results = record("dojo", SETTINGS, todo, run)
    for key, result in results.items():
        print(f"{key:48}{sum(result['percent']) / len(result['percent']):6.0f} %    {result['percent']}")


if __name__ == "__main__":
    main()
