"""Equivariance without equivariant layers: the slides "Achieving equivariance", "Augmentation" and "Canonicalization".

    here                    what it is
    c                       the centroid of a cloud
    F                       a frame: three orthonormal axes, the columns of a matrix (3, 3)
    (x - c) @ F             the cloud seen from the frame; the same for every turned copy, if F rotates with it
    act(kind, F, c, y)      an answer y given in the frame, turned back

Where ``batch`` (num_nodes,) is given, x holds several clouds, and each has a centroid and a frame of its own: c is then
(num_graphs, 3), F (num_graphs, 3, 3), and a node's are c[batch] and F[batch]. A PCA frame exists only where the three
variances of the cloud differ: see `relative_gap`. Where two agree every value here is still finite, but the frame is an
accident of rounding, and gradients through it are NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .graphs import count_graphs
from .message_passing import aggregate
from .neighbors import require_positions
from .symmetry import act, random_rotation, require_kind

SIGNS = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * 3)  # (8, 3), the first is + + +


def centroid(x: Tensor, batch: Tensor | None = None) -> Tensor:
    """The mean position: x (num_nodes, 3) -> (3,), with batch (num_graphs, 3)."""
    require_positions(x)
    return x.mean(0) if batch is None else aggregate(x, batch, count_graphs(batch, len(x)), "mean")


def centre(x: Tensor, batch: Tensor | None = None) -> Tensor:
    """x less the centroid: (num_nodes, 3). Where the cloud stands no longer matters."""
    return x - (centroid(x) if batch is None else centroid(x, batch)[batch])


def covariance(x: Tensor, batch: Tensor | None = None) -> Tensor:
    """The mean of (x_u - c)(x_u - c)^T over the nodes: (3, 3), with batch (num_graphs, 3, 3)."""
    x = centre(x, batch)
    outer = x[:, :, None] * x[:, None, :]
    return outer.mean(0) if batch is None else aggregate(outer, batch, count_graphs(batch, len(x)), "mean")


def pca_frames(x: Tensor, batch: Tensor | None = None, reflections: bool = False) -> Tensor:
    """The frames along the principal axes, the longest first: (4, 3, 3), with batch (num_graphs, 4, 3, 3).

    An axis has no sign, so there are eight frames, four of which have det +1. With ``reflections`` all eight are returned.
    For a turned cloud the *set* of frames is turned: which of them stands first is arbitrary. Source: Puny et al.,
    "Frame averaging for invariant and equivariant network design" (2022).
    """
    _require_space(x)
    axes = torch.linalg.eigh(covariance(x, batch)).eigenvectors.flip(-1)
    axes = axes * torch.linalg.det(axes)[..., None, None].sign()
    signs = SIGNS if reflections else SIGNS[SIGNS.prod(1) > 0]
    return axes[..., None, :, :] * signs[:, None, :].to(x)


def relative_gap(x: Tensor, batch: Tensor | None = None) -> Tensor:
    """How far a cloud is from having no PCA frame: (), with batch (num_graphs,), from 0 (no frame) to 1/2.

    The smaller difference of neighbouring variances, next to the largest variance. Noise of relative size e turns the
    frame by e / gap or less, and the less the more points there are.
    """
    _require_space(x)
    variance = torch.linalg.eigvalsh(covariance(x, batch))
    return variance.diff(dim=-1).amin(-1) / variance[..., -1].clamp(min=torch.finfo(x.dtype).tiny)


def turn_between(F: Tensor, frames: Tensor) -> Tensor:
    """The smallest turn, in degrees, that takes F (..., 3, 3) to one of several frames (..., count, 3, 3): (...).

    Of two frames of the same cloud this is 0, whatever their signs. From the length of the difference, so that a millionth of
    a degree is seen, too.
    """
    apart = torch.linalg.matrix_norm(frames - F[..., None, :, :]).amin(-1)  # sqrt(8) sin(angle / 2)
    return 2 * torch.asin((apart / 8**0.5).clamp(max=1)).rad2deg()


def canonicalize(x: Tensor, batch: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Turn each cloud into its own frame: (z, F, c) with z = (x - c) @ F, (num_nodes, 3), the same for turned copies.

    Of the four proper PCA frames it takes the one that makes the third moments of z along the first two axes positive. F is
    (3, 3) and c (3,), with batch (num_graphs, 3, 3) and (num_graphs, 3); ``act(kind, F, c, answer)`` turns an answer back.
    A mirror image keeps its handedness. Where a third moment is 0, as in a cloud that is its own inverted, mirrored or half
    turned copy, rounding chooses the sign, however wide the gap.
    """
    frames, centred = pca_frames(x, batch), centre(x, batch)
    where = torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch
    axes = frames[..., 0, :, :].reshape(-1, 3, 3)
    moments = aggregate(_seen_from(axes, centred, where) ** 3, where, len(axes))
    first, second = torch.where(moments[:, :2] < 0, -1.0, 1.0).to(x.dtype).unbind(1)
    F = axes * torch.stack([first, second, first * second], dim=1)[:, None, :]
    return _seen_from(F, centred, where), F[0] if batch is None else F, centroid(x, batch)


def frame_average(f: Callable[[Tensor], Tensor], x: Tensor, kind: str, batch: Tensor | None = None,
                  reflections: bool = False) -> Tensor:
    """The mean over all PCA frames of f((x - c) @ F), turned back: invariant or equivariant under motions, whatever f is.

    f maps positions (num_nodes, 3) to a quantity of that kind: one for all, with batch one for each graph or each
    node. "graph vector" or "node vector" says which; a kind alone goes by the number of rows. The mean runs over 4
    frames, or with ``reflections`` over 8.
    """
    frames, c, centred = pca_frames(x, batch, reflections), centroid(x, batch), centre(x, batch)
    answers = [_act(kind, F, c, f(_seen_from(F, centred, batch)), batch) for F in frames.unbind(-3)]
    return torch.stack(answers).mean(0)


def augment(x: Tensor, y: Tensor, kind: str, generator: torch.Generator | None = None, batch: Tensor | None = None,
            reflections: bool = False) -> tuple[Tensor, Tensor]:
    """A randomly turned copy of each cloud and its label: x (num_nodes, 3), y -> the same shapes.

    y is of the ``kind`` (see `symmetry.act`): a class stays, a vector or tensor rotates with its cloud. There is one y for
    all, or with batch one for each graph or each node: "graph vector" or "node vector" says which, and a kind alone
    goes by the number of rows. Each cloud turns about its centroid by a rotation of its own, uniform on SO(3); with
    ``reflections`` half of them are mirrored as well. Source: the slide "Augmentation".
    """
    _require_space(x)
    R = random_rotation(() if batch is None else count_graphs(batch, len(x)), generator, x.dtype).to(x.device)
    if reflections:
        device = generator.device if generator else None
        mirrored = torch.randint(2, R.shape[:-2], generator=generator, device=device)
        R = R * (1 - 2 * mirrored)[..., None, None].to(x)
    c = centroid(x, batch)
    b = c - act("vector", R, c, c)  # the motion x -> R (x - c) + c
    return _act("node position", R, b, x, batch), _act(kind, R, b, y, batch)


def _seen_from(F: Tensor, centred: Tensor, batch: Tensor | None) -> Tensor:
    """(x - c) @ F, each row in the frame of its own cloud."""
    return centred @ F if batch is None else torch.einsum("ni,nij->nj", centred, F[batch])


def _act(kind: str, R: Tensor, b: Tensor, y: Tensor, batch: Tensor | None) -> Tensor:
    """`act` on one y for all, or with a motion a graph on one y for each graph or for each node."""
    level, kind = _level_and_kind(kind)
    if batch is not None:
        if _is_of_nodes(level, kind, y, batch, len(R)):
            R, b = R[batch], b[batch]
        channels = (1,) * (y.ndim - 1 - require_kind(kind))
        R, b = R.view(-1, *channels, 3, 3), b.view(-1, *channels, 3)
    return act(kind, R, b, y)


def _level_and_kind(text: str) -> tuple[str, str]:
    """"node vector" as ("node", "vector"), and "vector" as ("", "vector")."""
    level, _, kind = text.rpartition(" ")
    if level not in ("", "node", "graph"):
        raise ValueError(f'kind is {text!r}; expected a kind, with "node" or "graph" or nothing in front of it.')
    return level, kind


def _is_of_nodes(level: str, kind: str, y: Tensor, batch: Tensor, num_graphs: int) -> bool:
    """Whether the rows of y belong to nodes, not to graphs. Raises ValueError where they fit neither, or both."""
    num_rows = {"node": [len(batch)], "graph": [num_graphs], "": [len(batch), num_graphs]}[level]
    if not y.ndim or len(y) not in num_rows:
        raise ValueError(f"there are {len(y) if y.ndim else 'no'} rows of a {kind}; expected {num_graphs}, one for each "
                         f"graph, or {len(batch)}, one for each node.")
    if level:
        return level == "node"
    one_each = torch.arange(num_graphs, device=batch.device)
    if len(batch) == num_graphs and not torch.equal(batch, one_each):
        raise ValueError(f"there are {num_graphs} nodes and as many graphs, some without nodes, so the rows of a {kind} "
                         f'can belong to either; expected "node {kind}" or "graph {kind}" as the kind.')
    return len(y) == len(batch)


def _require_space(x: Tensor) -> None:
    require_positions(x)
    if x.shape[1] != 3 or not len(x):
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (num_nodes, 3) with at least one node: frames are of three axes.")
