"""The fly's task: three layers, four choices of direction, 0 to 6 rounds, five seeds: about six minutes on one thread.

    python reproductions/fly.py

Eichler et al. (2017) published the connectome and not this task; what is asked is said in `course_utils.fly`. Writes
course_utils/recorded/fly.json, the balanced accuracy on the left side, trained on, and on the right one.
"""

from itertools import product
from statistics import mean

from record import record, rounded

from course_utils import fly

SEEDS = range(5)
SETTINGS = {"steps": fly.STEPS, "lr": fly.LR, "width": fly.WIDTH}
RUNS = {fly.key(*run): run for run in product(fly.LAYERS, fly.DIRECTIONS, fly.ROUNDS, SEEDS)}


def run(key: str) -> dict:
    return dict(zip(("left", "right"), map(rounded, fly.train(*RUNS[key]))))


def main():
    results = record("fly", SETTINGS, RUNS, run)
    print(f"mean balanced accuracy of {len(SEEDS)} seeds, left / right\n{'':27}" + "".join(f"{k:>10} rounds" for k in fly.ROUNDS))
    for layer, direction in product(fly.LAYERS, fly.DIRECTIONS):
        cells = []
        for rounds in fly.ROUNDS:
            runs = [results[fly.key(layer, direction, rounds, seed)] for seed in SEEDS]
            cells.append(f"{mean(r['left'] for r in runs):.2f} / {mean(r['right'] for r in runs):.2f}")
        print(f"{layer:10}{direction:17}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
