"""The GVP paper's synthetic tasks with the course's networks, on less data: about an hour on one thread.

    python reproductions/synthetic.py

A network that passes scalars alone (GNN), among them each edge's length and three dot products, against one that passes
vectors as well (GVP): three layers each, of about as many parameters. Appendix B of Jing et al. (2021), table 5, has
16,000 structures to train with, five splits, and the best of three seeds each. Here it is 6,400, seen six times, 400 to
validate, 1,000 to test, and two seeds with structures of their own, both reported. The error is the mean square over
the variance, 1 for the best constant. The weights are those with the lowest validation error; the test data are looked
at once. Scalars are summed over a structure, the rate falls along a cosine and gradients are clipped. Readout and rate
were picked for each network by its error on other structures, off centre and on the perimeter, and came out the same:
at 0.002 or 0.003, or with a mean, some runs stayed at the best constant. Writes course_utils/recorded/synthetic.json.

The paper's contrast does not come out (test errors of the two seeds; the paper's in brackets):

               GNN                       GVP
    off-centre 0.22 and 0.32 (0.871)     0.24 and 0.39 (0.206)
    perimeter  0.28 and 0.28 (0.128)     0.34 and 0.36 (0.106)
    combined   0.31 and 0.45 (0.421)     0.18 and 0.45 (0.155)

Off centre the GNN is as good as the GVP, in about a third of the time. Lengths suffice for more than one thinks: how
far a point is from the centre shows, in part, in the lengths of its edges (`tests/test_synthetic.py`). Why the paper's
GNN did so much worse is not known here. On the combined task the GVP is better with one seed and not with the other:
two seeds decide nothing there. Nor are these errors the best that either network can reach. On validation data, half of
the steps left the GVP at 0.4 off centre, and in one trial a rate of 0.003 behind a warm-up, which is not used here,
brought it below 0.3 on the perimeter.
"""

import statistics

import torch
from record import record, rounded
from torch import Tensor, nn

from course_utils.gvp import GVPNetwork
from course_utils.systems import synthetic
from course_utils.training import fit_and_pick, minibatches

SETTINGS = {"train": 6400, "validate": 400, "test": 1000, "batch": 16, "epochs": 6, "clip": 1.0, "rounds": 3,
            "GNN": {"width": (24, 0), "readout": "sum", "lr": 0.001},
            "GVP": {"width": (20, 4), "readout": "sum", "lr": 0.001}}
SEEDS = range(2)


class Network(nn.Module):
    """One number a structure. GVP: nodes know their unit vector, edges their length and direction.

    GNN: no vector at all; edges know their length and the three dot products of `synthetic`.
    """

    def __init__(self, name: str):
        super().__init__()
        chosen, self.vectors = SETTINGS[name], name == "GVP"
        node, edge = ((2, 1), (1, 1)) if self.vectors else ((2, 0), (4, 0))
        self.net = GVPNetwork(node, edge, chosen["width"], chosen["width"], SETTINGS["rounds"], chosen["readout"],
                              vector_gate=True)
        self.head = nn.Linear(chosen["width"][0], 1)

    def forward(self, g: dict[str, Tensor]) -> Tensor:
        V, edge_V, edge_s = g["direction"][:, None], g["edge_direction"][:, None], g["length"] / synthetic.APART
        if not self.vectors:
            V, edge_V, edge_s = V[:, :0], edge_V[:, :0], torch.cat([edge_s, g["products"]], dim=1)
        s, _ = self.net(g["h"], V, g["edge_index"], edge_s, edge_V, g["batch"])
        return self.head(s)[:, 0]


def run(key: str) -> dict:
    name, task, seed = key.split(", ")
    seed = int(seed.removeprefix("seed "))
    torch.manual_seed(seed)
    model = Network(name)
    train, validation, test = (synthetic.structures(SETTINGS[part], 10 * seed + i)
                               for i, part in enumerate(("train", "validate", "test")))
    mean, sd = train.answer(task).mean(), train.answer(task).std()

    def batches(structures: synthetic.Structures) -> list[tuple[dict[str, Tensor], Tensor]]:
        """Graphs, made once since that takes as long as a step of the GNN, and answers, in standard deviations."""
        parts = [structures[index] for index in torch.arange(len(structures)).split(SETTINGS["batch"])]
        return [(part.graph(), (part.answer(task) - mean) / sd) for part in parts]

    def loss(few: list[tuple[dict[str, Tensor], Tensor]]) -> Tensor:
        return torch.cat([(model(g) - answer).square() for g, answer in few]).mean()

    def error(few: list[tuple[dict[str, Tensor], Tensor]]) -> float:
        """The paper's: the mean square over the variance, so that their mean, as a constant, has 1."""
        return (loss(few) / torch.cat([answer for _, answer in few]).var(correction=0)).item()

    train, validation, test = batches(train), batches(validation), batches(test)
    order = minibatches(len(train), 1, torch.Generator().manual_seed(seed))
    steps = SETTINGS["epochs"] * len(train)
    curve = fit_and_pick(model, lambda: loss([train[next(order)]]), lambda: error(validation), steps, steps // 8,
                         lr=SETTINGS[name]["lr"], cosine=True, clip=SETTINGS["clip"], bar=False)
    with torch.no_grad():
        found = error(test)
    return {"test": rounded(found), "validation": rounded(min(score for _, score in curve)),
            "curve": [[step, rounded(score)] for step, score in curve],
            "parameters": sum(p.numel() for p in model.parameters())}


def main():
    keys = [f"{name}, {task}, seed {seed}" for seed in SEEDS for name in synthetic.PUBLISHED for task in synthetic.TASKS]
    results = record("synthetic", SETTINGS, keys, run)
    print(f"median error (lowest to highest of {len(SEEDS)} seeds)\n{'':8}"
          + "".join(f"{task:>40}" for task in synthetic.TASKS))
    for name, published in synthetic.PUBLISHED.items():
        cells = []
        for task, number in published.items():
            found = [results[f"{name}, {task}, seed {seed}"]["test"] for seed in SEEDS]
            cells.append(f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f}; paper {number})")
        print(f"{name:8}" + "".join(f"{cell:>40}" for cell in cells))


if __name__ == "__main__":
    main()
