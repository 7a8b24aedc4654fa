"""The radius graph beside its peers, in one run, on one thread.

    python benchmarks/neighbors.py [--quick]

Points are uniform in a cube, float32, with about 20 neighbours each; "molecules" are 128 clouds of 20 atoms in one batch.
Ours is `neighbors.radius_graph` with all its checks, which returns every edge, sorted. The peers' lists are taken as they
come: scipy's holds each pair once. All contestants take turns; a table gives the median with the fastest and the slowest
repeat in milliseconds, and how many times as long as ours the peer takes. Peers that are not installed are left out.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import math
import time

import numpy as np
import torch
from scipy.spatial import cKDTree

from course_utils import neighbors

try:
    import vesin
except ImportError:
    vesin = None

NEIGHBOURS = 20


def by_scipy(x, r):
    """Each pair once, from a k-d tree built anew."""
    return cKDTree(x.double().numpy()).query_pairs(r, output_type="ndarray").T


def by_scipy_in_a_loop(x, r, batch):
    points, sizes = x.double().numpy(), np.bincount(batch.numpy())
    start = np.cumsum(sizes) - sizes
    pairs = [cKDTree(points[a:a + n]).query_pairs(r, output_type="ndarray") + a for a, n in zip(start, sizes)]
    return np.concatenate(pairs).T


def by_cdist(x, r):
    near = torch.cdist(x, x) <= r
    return near.fill_diagonal_(False).nonzero().T


def by_padded_cdist(x, r, batch):
    """Graphs of one size: no padding to add."""
    size = int((batch == 0).sum())
    x = x.view(-1, size, 3)
    near = torch.cdist(x, x) <= r
    near.diagonal(dim1=1, dim2=2).fill_(False)
    graph, u, v = near.nonzero().T
    return torch.stack([v + size * graph, u + size * graph])


def by_vesin(x, r):
    search = vesin.NeighborList(cutoff=r, full_list=True)
    return search.compute(points=x.double().numpy(), box=np.zeros((3, 3)), periodic=False, quantities="ij")


def cases(quick):
    """Name, arguments, peers by name, repeats."""
    generator = torch.Generator().manual_seed(0)
    for n, repeats in ((100, 300), (1_000, 100), (10_000, 30), (100_000, 9), (1_000_000, 5)):
        if n == 1_000_000 and quick:
            continue
        peers = {"scipy, half list": by_scipy} | ({"vesin": by_vesin} if vesin else {})
        if n <= 1_000:
            peers["torch.cdist"] = by_cdist
        r = (3 * NEIGHBOURS / (4 * math.pi * n)) ** (1 / 3)
        yield f"{n:,} points", (torch.rand(n, 3, generator=generator), r), peers, repeats
    x, batch = torch.randn(128 * 20, 3, generator=generator), torch.arange(128).repeat_interleave(20)
    peers = {"scipy in a loop, half list": by_scipy_in_a_loop, "padded torch.cdist": by_padded_cdist}
    yield "128 molecules", (x, 1.5, batch), peers, 100


def take_turns(functions, args, repeats):
    """Milliseconds of each call: a list for each function."""
    seconds = [[] for _ in functions]
    for _ in range(repeats + 1):  # the first round warms up
        for function, spent in zip(functions, seconds):
            start = time.perf_counter()
            function(*args)
            spent.append(1e3 * (time.perf_counter() - start))
    return [spent[1:] for spent in seconds]


def assert_same(ours, theirs, half):
    """The same edges, up to those at the cutoff that float32 or another sum decides otherwise."""
    n = 1 + int(ours.max())
    theirs = np.stack([np.asarray(part) for part in theirs]).astype(np.int64)
    theirs = np.hstack([theirs, theirs[::-1]]) if half else theirs
    differing = len(np.setxor1d(ours.numpy()[0] * n + ours.numpy()[1], theirs[0] * n + theirs[1]))
    assert differing <= 1e-4 * ours.shape[1] + 2, f"{differing} edges differ"


def shown(milliseconds):
    return f"{np.median(milliseconds):9.2f} ({min(milliseconds):.2f} to {max(milliseconds):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the million points")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    if vesin is None:
        print('vesin is left out; python -m pip install -c constraints.txt -e ".[bench]" brings it.')
    print(f"{'':18}{'peer':28}{'ours, ms':>30}{'peer, ms':>34}{'peer / ours':>14}")
    for name, args, peers, repeats in cases(quick):
        for peer, function in peers.items():
            assert_same(neighbors.radius_graph(*args), function(*args), "half" in peer)
        ours, *theirs = take_turns([neighbors.radius_graph, *peers.values()], args, repeats)
        for peer, spent in zip(peers, theirs):
            ratio = np.median(spent) / np.median(ours)
            print(f"{name:18}{peer:28}{shown(ours):>30}{shown(spent):>34}{ratio:14.2f}", flush=True)


if __name__ == "__main__":
    main()
