"""The fast forms of `neighbors.radius_graph` and `neighbors.knn_graph`, in numpy and scipy: the same edges in order.

Small graphs compare all pairs. In a large one the points are sorted into columns as wide as the cutoff, and along each
column. Ten points that follow each other there are a block. Whatever is near one of them lies in a short run of its own
column or of one beside it: the block's candidates. With positions seen from the block's first point, all its squared
distances are one small product of targets t and candidates s:  |t - s|^2 / 2  =  (-t, 1/2, |t|^2) . (s, |s|^2, 1/2)
It is taken in float32, for many blocks at a time. A bound on its rounding tells which pairs are too near the cutoff to call;
float64 decides those. Candidates stand in the order of their numbers, so the sources of a target come out sorted. Where
points are too thin, or too far apart, for a table of the columns, a k-d tree finds the pairs.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor

from .graphs import numbers

# Measured to be fast; the edges do not depend on them.
ALL_PAIRS_UP_TO = 400  # nodes in a graph
BLOCK = 10             # targets
BINS = 6               # in a column, for each width of it
TABLE = 48             # bins for each node, at most
AT_ONCE = 1 << 18      # pairs, so that their distances stay in the cache
np.empty(1 << 21)      # 16 MB, freed unused: from then on glibc keeps freed memory at hand instead of returning it
MARGIN = 1 + 1e-6      # columns are a little too wide: rounding must not put neighbours two columns apart


def radius_graph(x: Tensor, r: float, batch: Tensor | None) -> Tensor:
    """`neighbors.radius_graph` of input that it has checked, one node at least."""
    X, size = _planes_and_sizes(x, batch)
    width = int(size.max()) if len(size) > 1 else len(x)
    if len(size) * width**2 <= ALL_PAIRS_UP_TO * len(x):
        return _by_pairs(X, r, size, width)
    corner = np.minimum.reduceat(X, size.cumsum() - size, axis=1)
    U = (X - (corner.repeat(size, axis=1) if len(size) > 1 else corner)) / (r * MARGIN)
    bins = len(size) * BINS * prod((U.max(1) + 3).tolist())
    return _by_blocks(X, U, r, size) if bins <= TABLE * len(x) else _by_tree(X, r, size)


def knn_graph(x: Tensor, k: int, batch: Tensor | None) -> Tensor:
    """`neighbors.knn_graph` of input that it has checked: a k-d tree proposes neighbours, the rule chooses."""
    X, size = _planes_and_sizes(x, batch)
    n, graph = len(x), np.arange(len(size)).repeat(size)
    points = np.vstack([X, (1 + 8 * np.abs(X).max(initial=0)) * graph]).T  # graphs lie further apart than they are wide
    tree, unsure, sources = cKDTree(points), np.arange(n), np.empty((n, k), np.int64)
    for found in (k + 9, k + 65, n):  # more, where a point that was not found may be as near as the k-th
        parts, unsure = np.array_split(unsure, 1 + len(unsure) * found // AT_ONCE), unsure[:0]
        for u in filter(len, parts):
            reach, near = tree.query(points[u], min(found, n))
            d2 = _squared_distance(X, near, u[:, None])
            d2[(near == u[:, None]) | (graph[near] != graph[u, None])] = np.inf
            best = np.lexsort((near, d2))[:, :k]  # by distance, then by number
            sources[u] = np.sort(np.take_along_axis(near, best, axis=1))
            kth = d2[np.arange(len(u)), best[:, -1]]
            unsure = np.append(unsure, u[kth >= reach[:, -1]**2 * (1 - 1e-9)])
    return torch.from_numpy(np.stack([sources.ravel(), np.arange(n).repeat(k)]))


def _planes_and_sizes(x: Tensor, batch: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """x in float64, (axes, n), and how many nodes each graph has; numbers of `batch` without nodes are left out."""
    X = numbers(x.float() if x.dtype == torch.bfloat16 else x)  # numpy lacks bfloat16
    size = np.array([len(x)]) if batch is None else np.bincount(numbers(batch))
    return X.T.astype(np.float64, order="C"), size[size > 0]


def _squared_distance(X: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    return sum((axis[u] - axis[v])**2 for axis in X)


def _by_tree(X: np.ndarray, r: float, size: np.ndarray) -> Tensor:
    n, graph = X.shape[1], np.arange(len(size)).repeat(size)
    v, u = cKDTree(np.vstack([X, 2 * r * graph]).T).query_pairs(r * MARGIN, output_type="ndarray").T
    near = _squared_distance(X, v, u) <= r * r
    u, v = np.divmod(np.sort(np.hstack([(u * n + v)[near], (v * n + u)[near]])), n)
    return torch.from_numpy(np.stack([v, u]))


def _by_pairs(X: np.ndarray, r: float, size: np.ndarray, width: int) -> Tensor:
    """All pairs of each graph's nodes; smaller graphs are padded with NaN, which is near nothing."""
    graphs, hits, step = len(size), [], max(1, AT_ONCE // (4 * width**2))
    ragged = graphs * width > X.shape[1]
    if ragged:
        is_node = np.arange(width) < size[:, None]
        X, nodes = np.full((len(X), graphs * width), np.nan), X
        X[:, is_node.ravel()] = nodes
    p = torch.from_numpy(X.reshape(-1, graphs, width))
    for g in range(0, graphs, step):
        d2 = cdist(X.T, X.T, "sqeuclidean") if graphs == 1 else np.float64(r * r)  # fast, but it may round otherwise:
        close = d2 <= r * r * (1 - 1e-12)
        if np.count_nonzero(d2 <= r * r * (1 + 1e-12)) > np.count_nonzero(close):  # where that could matter, by the rule
            d = (p[:, g:g + step, :, None] - p[:, g:g + step, None]).numpy()  # torch broadcasts short rows faster
            d *= d
            for axis in d[1:]:
                d[0] += axis
            close = d[0] <= r * r
        close = close.reshape(-1, width**2)
        close[:, ::width + 1] = False
        hits.append(close.ravel().nonzero()[0] + g * width**2)
    hits = np.concatenate(hits)
    u = hits // width
    edges = np.array([hits - (u - u // width if graphs > 1 else u) * width, u])
    return torch.from_numpy((is_node.cumsum() - 1)[edges] if ragged else edges)


def _by_blocks(X: np.ndarray, U: np.ndarray, r: float, size: np.ndarray) -> Tensor:
    """U (axes, n): positions as seen from the lower corner of their graph, in widths of a column."""
    n, extent = X.shape[1], U.max(1)
    *across, along = np.argsort(extent)
    bins, beside = len(size), np.zeros(1, np.int64)
    home = np.arange(bins).repeat(size)  # each node's bin, numbered by graph, then by column, then along the column
    for axis in across:
        columns = int(extent[axis]) + 3  # with an empty one on either side
        bins, home = bins * columns, home * columns + 1 + U[axis].astype(np.int64)
        beside = (beside[:, None] * columns + (-1, 0, 1)).ravel()
    depth = int(extent[along] * BINS) + 1 + 2 * BINS
    bins, home, beside = bins * depth, home * depth + BINS + (U[along] * BINS).astype(np.int64), beside * depth
    order = np.lexsort((home.astype(np.uint16), (home >> 16).astype(np.uint16)))  # numpy sorts 16 bits in linear time
    home, first = home.take(order), np.zeros(bins + 1, np.int64)
    np.cumsum(np.bincount(home, minlength=bins), out=first[1:])  # bin i is order[first[i]:first[i + 1]]

    begin = ((np.arange(n) - first.take(home // depth * depth)) % BLOCK == 0).nonzero()[0]
    end = np.append(begin[1:], n)
    head, tail = home.take(begin), home.take(end - 1)
    low, high = (first.take(bin[:, None] + beside) for bin in (head - BINS, tail + BINS + 1))
    total = (high - low).sum(1)
    by = np.argsort(total // -16, kind="stable")  # blocks with about as many candidates go together, the largest first
    low, run = np.column_stack([low, np.full(len(low), n)])[by], np.column_stack([high - low, -total])[by]
    slack = 2.0**-20 * (((tail - head) / BINS + 2)**2 + 4 * len(across) + extent[along] + 1)[by]
    P = np.column_stack([U, np.full(len(U), np.nan)]).astype(np.float32)
    order, places = np.append(order, n).astype(np.int32), begin[by, None] + np.arange(BLOCK)  # n is nobody, and nowhere
    targets = order.take(np.where(places < end[by, None], places, n))

    found, degree, a = [], np.zeros(n + 1, np.int64), 0
    while a < len(by):
        width = int(run[a, -1] // 16 * -16)
        b = a + max(1, AT_ONCE // (BLOCK * width))
        run[a:b, -1] += width  # so the last run is as long as it takes; it holds nobody
        length = run[a:b].ravel()
        place = (low[a:b].ravel() - length.cumsum() + length).repeat(length)
        place += np.arange(len(place))
        candidates = order.take(place, mode="clip").reshape(-1, width)
        candidates.sort(axis=1)
        found.append(_edges_of_blocks(X, r, P, targets[a:b], candidates.astype(np.int64), slack[a:b]))
        degree[found[-1][0]], a = found[-1][1], b

    stop = degree.cumsum()
    edges = np.empty((2, stop[-1]), np.int64)
    edges[1] = np.arange(n + 1).repeat(degree)
    for u, count, v in found:
        at = (stop[u] - count.cumsum()).repeat(count)
        at += np.arange(len(at))
        edges[0][at] = v
    return torch.from_numpy(edges)


def _edges_of_blocks(X, r, P, targets, candidates, slack):
    """targets (blocks, BLOCK), candidates (blocks, width): the targets, how many sources each has, and those, in order.

    slack (blocks,) bounds the error of |t - s|^2 / 2: by 2^-20 times max |s|^2 in the product, times the extent in P.
    """
    (axes, n), width = X.shape, candidates.shape[1]
    t, s = (np.empty((axes + 2, *nodes.shape), np.float32) for nodes in (targets, candidates))
    P.take(targets, axis=1, out=t[:axes], mode="wrap")  # the fastest mode
    P.take(candidates, axis=1, out=s[:axes], mode="wrap")
    s[:axes] -= t[:axes, :, :1]
    np.subtract(t[:axes, :, :1].copy(), t[:axes], out=t[:axes])
    np.einsum("kbt,kbt->bt", t[:axes], t[:axes], out=t[axes + 1])
    np.einsum("kbs,kbs->bs", s[:axes], s[:axes], out=s[axes])
    t[axes], s[axes + 1] = 0.5, 0.5
    t[axes + 1] -= 2 * slack[:, None]
    half = (t.transpose(1, 2, 0) @ s.transpose(1, 0, 2)).ravel()
    # As integers, floats below 0 come after all others. A target itself is: slack was taken off its distance, 0.
    limit, low = np.float32(MARGIN**-2 / 2), MARGIN**-2 / 2 - 2 * float(slack.max())
    close = half.view(np.uint32) <= limit.view(np.uint32)
    if low < 0 or np.count_nonzero(half < 0) > np.count_nonzero(targets < n):  # others may be where a target is
        close = ((half <= limit).reshape(-1, BLOCK, width) & (candidates[:, None] != targets[:, :, None])).ravel()
    near = _places(close & (half > low), np.uint64)
    row = near // width
    v, u = candidates.take(row // BLOCK * width + near % width), targets.take(row)
    close[near[_squared_distance(X, v, u) > r * r]] = False
    hits, row = _places(close, np.uint32), np.arange(targets.size)
    count = np.diff(hits.searchsorted(np.arange(0, len(half) + 1, width)))
    hits += ((row // BLOCK - row) * width).repeat(count)
    return targets.ravel(), count, candidates.take(hits)


def _places(close: np.ndarray, word: type) -> np.ndarray:
    """Where close is True. numpy's own search is slow where few are; words, most of which have none, go first."""
    close, shift = close.view(word), word().itemsize.bit_length() - 1
    words = (close != 0).nonzero()[0]
    hits = close.take(words).view(bool).nonzero()[0]
    hits += ((words - np.arange(len(words))) << shift).take(hits >> shift)
    return hits
