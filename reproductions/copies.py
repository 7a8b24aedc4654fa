"""How many turned copies of an example are enough? The recurring task's strain, 64 examples, five seeds: some twelve minutes.

    python reproductions/copies.py

Writes course_utils/recorded/copies.json. The same network and budget as "coordinates" in `recurring`, on turned copies of the same
64 upright examples; "0" is the upright ones alone, "anew" turns every batch afresh, which is "augmentation" in `recurring`, and
"anew, 3000 steps" does so with ten times the steps. Of every run it holds the error on upright and on turned neighbourhoods, the
two parts of the latter (`recurring.split_error`), and how far the network is from turning along.
"""

import statistics

import torch
from record import record, rounded

from course_utils import recurring

TARGET, SIZE, SEEDS = "strain", 64, range(5)
AMOUNTS = "0", "1", "2", "4", "16", "64", "anew", "anew, 3000 steps"
SETTINGS = recurring.BUDGET | {"target": TARGET, "size": SIZE, "amounts": AMOUNTS}


def run(key: str) -> dict:
    amount, seed = key.split(", seed ")
    seed, upright = int(seed), recurring.training_set(SIZE, int(seed))
    if amount.startswith("anew"):
        model = recurring.train("augmentation", TARGET, upright, seed, steps=3000 if amount.endswith("3000 steps") else None)
    else:
        turned = recurring.turned_copies(upright, int(amount), torch.Generator().manual_seed(seed))
        model = recurring.train("coordinates", TARGET, turned, seed)
    return {"upright": rounded(recurring.test_error(model, recurring.test_set(0), TARGET)),
            "turned": rounded(recurring.test_error(model, recurring.test_set(), TARGET)),
            "parts": {part: rounded(size) for part, size in recurring.split_error(model, TARGET).items()},
            "violation": rounded(recurring.violation(model, TARGET))}


def main():
    results = record("copies", SETTINGS, [f"{amount}, seed {seed}" for amount in AMOUNTS for seed in SEEDS], run)
    for amount in AMOUNTS:
        of_seeds = [results[f"{amount}, seed {seed}"] for seed in SEEDS]
        found = {what: statistics.median(result[what] for result in of_seeds) for what in ("upright", "turned", "violation")}
        found |= {part: statistics.median(result["parts"][part] for result in of_seeds) for part in of_seeds[0]["parts"]}
        print(f"{amount:>16} copies: " + ", ".join(f"{what} {value:.3f}" for what, value in found.items()))


if __name__ == "__main__":
    main()
