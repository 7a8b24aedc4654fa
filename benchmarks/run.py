"""The library beside its peers, in one run, on one thread.

    python benchmarks/run.py [--quick] [--only neighbors|layers|nbody|imports] [--plot PATH]

All contestants take turns. A table gives the median with the fastest and the slowest repeat in milliseconds of processor
time, and how many times as long as ours the peer takes; a plot shows these ratios. Peers that are not installed are left
out. Ratios of one run can be compared, times of two runs cannot.
"""

import timing  # first, because it asks for one thread

import argparse
from pathlib import Path

import imports
import layers
import nbody
import neighbors

GROUPS = {"neighbors": neighbors, "layers": layers, "nbody": nbody, "imports": imports}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, and no million points")
    parser.add_argument("--only", choices=GROUPS, help="one group")
    parser.add_argument("--plot", type=Path, default=Path(__file__).with_name("ratios.png"), help="where the plot goes")
    options = parser.parse_args()
    print(timing.HEADER)
    rows = []
    for name in [options.only] if options.only else GROUPS:
        for row in GROUPS[name].rows(options.quick):
            print(row, flush=True)
            rows.append(row)
    timing.plot(rows, options.plot)
    print(f"The ratios are drawn in {options.plot}.")


if __name__ == "__main__":
    main()
