"""How long an import takes in a fresh process: modules of the library beside packages.

Python's own start is included, and so is torch, which all of them import.
"""

import os
import subprocess
import sys
import time

import timing

OURS = ("course_utils.neighbors", "course_utils.egnn")
PEERS = ("torch", "torch_geometric", "e3nn.o3")


def imported(name):
    return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


def in_other_processes():
    """Seconds of processor time in those that have ended; Windows does not say, and there it is the wall clock."""
    return time.perf_counter() if os.name == "nt" else sum(os.times()[2:4])


def rows(quick):
    peers = [name for name in PEERS if timing.peer(name)]
    spent = timing.take_turns([imported(name) for name in (*OURS, *peers)], (), 2 if quick else 5, in_other_processes)
    for ours, ours_spent in zip(OURS, spent):
        for name, theirs in zip(peers, spent[len(OURS):]):
            yield timing.Row(f"import {ours}", f"import {name}", ours_spent, theirs)
