"""The recurring task: every method, every target, eight sizes of the training set, five seeds: about two hours on one thread.

    python reproductions/recurring.py [crystal] [missing] [strain]

Writes course_utils/recorded/recurring_TARGET.json, one for each target, so that they can be made side by side. Of every run it
holds the error on the turned test set and, with 64 examples or more, on test sets turned by one angle; "match" is what the
task leaves possible (`systems.crystals.match`). By one run of 20 steps for each method, a test sees in seconds whether the
code still does what it did. Needs e3nn.
"""

import statistics
import sys

import torch
from record import record, rounded

from course_utils import recurring
from course_utils.systems import crystals

FEW, MANY = (4, 8, 16, 32), (64, 256, 1024, 4096)
SIZES, SEEDS, ANGLES = FEW + MANY, range(5), (0, 10, 20, 30, 45, 60, 90, 135, 180)
SETTINGS = recurring.BUDGET | {"noise": crystals.NOISE, "strain": crystals.STRAIN, "angles": ANGLES}


def match(target: str) -> dict:
    data = recurring.test_set()
    found = zip(*(crystals.match(data.x[data.batch == i][1:]) for i in range(len(data))))
    crystal, missing, strain = (torch.tensor(part) if isinstance(part[0], int) else torch.stack(part) for part in found)
    answers = {"crystal": torch.eye(4)[crystal], "missing": missing, "strain": strain}
    return {"turned": rounded(crystals.error(answers[target], data, target))}


def run(key: str, target: str) -> dict:
    if key == "match":
        return match(target)
    method, size, seed, *steps = key.split(", ")
    size, seed = int(size), int(seed.removeprefix("seed "))
    steps = int(steps[0].removesuffix(" steps")) if steps else None
    model = recurring.train(method, target, recurring.training_set(size, seed), seed, steps=steps)
    turned = {"turned": rounded(recurring.test_error(model, recurring.test_set(), target))}
    if size in FEW or steps:
        return turned
    by_angle = [rounded(recurring.test_error(model, recurring.test_set(angle), target)) for angle in ANGLES]
    return turned | {"by angle": by_angle}


def main():
    for target in sys.argv[1:] or crystals.TARGETS:
        keys = ["match"] + [f"{method}, {size}, seed {seed}" for method in recurring.METHODS for size in SIZES for seed in SEEDS]
        keys += [f"{method}, 64, seed 0, 20 steps" for method in recurring.METHODS]
        results = record(f"recurring_{target}", SETTINGS, keys, lambda key: run(key, target))
        print(f"\n{target}: median error on turned neighbourhoods (lowest to highest of {len(SEEDS)} seeds); "
              f"match {results['match']['turned']:.3f}\n{'':18}" + "".join(f"{size:>24}" for size in SIZES))
        for method in recurring.METHODS:
            cells = []
            for size in SIZES:
                errors = [results[f"{method}, {size}, seed {seed}"]["turned"] for seed in SEEDS]
                cells.append(f"{statistics.median(errors):.3f} ({min(errors):.3f} to {max(errors):.3f})")
            print(f"{method:18}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
