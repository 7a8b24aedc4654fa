"""The radius graph beside its peers.

Points are uniform in a cube, float32, with about 20 neighbours each; "molecules" are 128 clouds of 20 atoms in one batch.
Ours is `neighbors.radius_graph` with all its checks, which returns every edge, sorted. The peers' lists are taken as they
come: scipy's holds each pair once. Each is compared with ours before it is timed.
"""

import math

import timing
import numpy as np
import torch
from scipy.spatial import cKDTree

from course_utils import neighbors

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


def by_vesin(vesin):
    def search(x, r):
        listed = vesin.NeighborList(cutoff=r, full_list=True)
        return listed.compute(points=x.double().numpy(), box=np.zeros((3, 3)), periodic=False, quantities="ij")
    return search


def by_matscipy(matscipy):
    return lambda x, r: matscipy.neighbour_list("ij", positions=x.double().numpy(), cutoff=r)


def cases(quick):
    """Name, arguments, peers by name, repeats."""
    generator = torch.Generator().manual_seed(0)
    vesin, matscipy = timing.peer("vesin"), timing.peer("matscipy.neighbours")
    for n, repeats in ((100, 300), (1_000, 100), (10_000, 30), (100_000, 9), (1_000_000, 5)):
        if n == 1_000_000 and quick:
            continue
        peers = {"scipy, half list": by_scipy}
        if vesin:
            peers["vesin"] = by_vesin(vesin)
        if matscipy and 1_000 <= n <= 100_000:
            peers["matscipy"] = by_matscipy(matscipy)
        if n <= 1_000:
            peers["torch.cdist"] = by_cdist
        r = (3 * NEIGHBOURS / (4 * math.pi * n)) ** (1 / 3)
        yield f"radius graph, {n:,} points", (torch.rand(n, 3, generator=generator), r), peers, repeats
    x, batch = torch.randn(128 * 20, 3, generator=generator), torch.arange(128).repeat_interleave(20)
    peers = {"scipy in a loop, half list": by_scipy_in_a_loop, "padded torch.cdist": by_padded_cdist}
    yield "radius graph, 128 molecules", (x, 1.5, batch), peers, 100


def assert_same(ours, theirs, half):
    """The same edges, up to those at the cutoff that float32 or another sum decides otherwise."""
    n = 1 + int(ours.max())
    theirs = np.stack([np.asarray(part) for part in theirs]).astype(np.int64)
    theirs = np.hstack([theirs, theirs[::-1]]) if half else theirs
    differing = len(np.setxor1d(ours.numpy()[0] * n + ours.numpy()[1], theirs[0] * n + theirs[1]))
    assert differing <= 1e-4 * ours.shape[1] + 2, f"{differing} edges differ"


def rows(quick):
    for name, args, peers, repeats in cases(quick):
        for peer, function in peers.items():
            assert_same(neighbors.radius_graph(*args), function(*args), "half" in peer)
        yield from timing.against(name, neighbors.radius_graph, peers, args, repeats)
