"""Why a test failed. A cause is named if an experiment bears it out; else two, with the experiment that
tells them apart.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import torch
from torch import Tensor

from ..symmetry import KINDS, rotation_about
from .irreps import other_parity
from .probes import NODES, Case, Motion, draw_case, normal
from .report import TOLERANCE

EXACT = TOLERANCE[torch.float64]
REPEATS = 4
PARTNER = {"scalar": "pseudoscalar", "vector": "pseudovector"}
PARTNER |= {partner: kind for kind, partner in PARTNER.items()}
AXIS_ORDERS = [torch.eye(3).double()[list(order)] for order in permutations(range(3))][1:]

CDIST = ("From 26 points on torch.cdist takes a matrix product, which subtracts large numbers. Does it "
         "hold with the length of x[:, None] - x? Else look for another difference of large numbers.")


def likely_cause(trial, i: int, row, turns: bool) -> str:
    """A sentence on a failing row of output i; ``turns`` says whether its rotation holds."""
    test, kind = row.test, trial.outputs[i].kind
    exactly, (_, there) = row.worst[torch.float64][0], row.worst[torch.float32]
    holds = Experiment(trial, i, exactly)

    if exactly < EXACT and there == "crowded":
        return "exact in float64; float32 loses its digits on crowded input. " + CDIST
    if exactly < EXACT:
        return (f"exact in float64; float32 loses its digits on {there} input. Are two large numbers "
                "subtracted, or a mean far from 0?")
    if any(trial.forgets(case) for case in holds.cases for _ in range(REPEATS)):
        trial.two_answers()
        return ""
    if "generic" not in row.failed and holds(test, repeats=3 * REPEATS):
        return _special(trial, i, row)
    if exactly < 1e-5 and trial.rounds(i):
        return "wrong by no more than float32 rounds: a .float() inside. Does f keep the dtype of its input?"
    if test == "batching":
        return _batching(trial, i)
    if test == "reflection" and turns:
        partner = PARTNER.get(kind) or (other_parity(kind) if kind not in KINDS else None)
        if partner and holds("reflection", kind=partner):
            return ("exact under rotation, and under reflection all but the sign: the output is a "
                    f"{partner}. Is there one cross product or determinant in it, or among the inputs?")
    if holds(test, up_to_sign=True):
        return ("exact but for the sign: either the sign of an eigenvector or singular vector is left to "
                "the routine, or a rule for the sign looks at one coordinate or one place. Does v v^T "
                "hold, or |v| of a number? Then only the sign is wrong.")
    if test == "permutation":
        return _order(trial, holds)
    if (test == "translation" or test == "reflection" and turns) and holds.sometimes(test):
        return ("holds for some draws and fails for others: a comparison looks at what the motion changes, such as a "
                "threshold on a coordinate. Which one flips?")
    if test == "translation":
        if kind == "vector" and holds("translation", kind="position"):
            return ("the output shifts with the points: it is a position, not a vector. Is x_u where "
                    "x_u - x_v should be?")
        if kind == "position" and holds("translation", kind="vector"):
            return ("the output stays when all points shift: it is a vector, not a position. Is x_u + ... "
                    "missing?")
        return "absolute positions enter. Where is x_u without - x_v, or without the centroid taken off?"
    if test == "reflection" and turns:
        return ("exact under rotation, not under reflection: either a cross product is added to or "
                "multiplied with a vector, or the sign of a volume or an angle decides something. Without "
                "the cross product, does it hold?")
    return _direction(trial, i, holds)


class Experiment:
    """Whether a test holds in float64 on generic and wide input, each time, for output i or something else
    in its place.
    """

    def __init__(self, trial, i: int, gap: float = 1.0):
        """``gap`` is the violation that is to be explained."""
        self.trial, self.i, self.gap = trial, i, gap
        self.cases = [case for case in trial.cases if case.name in ("generic", "wide")]

    def __call__(self, test: str, kind: str = "", order: Tensor | None = None, axis: Tensor | None = None,
                 cases: list[Case] | None = None, repeats: int = REPEATS, up_to_sign: bool = False,
                 tolerance: float = 0.01) -> bool:
        """The output may be taken for another ``kind``, its components in another ``order``; ``axis`` is
        what to rotate about.
        """
        def expect(what, motion):
            if what is not self.trial.outputs[self.i]:
                return what, motion
            if order is not None:
                motion = replace(motion, R=order @ motion.R @ order.T)
            return replace(what, kind=kind or what.kind), motion

        try:
            for case in repeats * (cases or self.cases):
                gaps = self.trial.compare(test, case, axis=axis, expect=expect, up_to_sign=up_to_sign)
                if not gaps[self.i] < min(EXACT, tolerance * self.gap):
                    return False
        except Exception:  # the experiment may be one that f cannot take
            return False
        return True

    def sometimes(self, test: str) -> bool:
        """Whether it holds in one draw at least."""
        return any(self(test, cases=[case], repeats=1) for case in self.cases for _ in range(REPEATS))


def _special(trial, i: int, row) -> str:
    """Generic input is right, and another is wrong."""
    size, where = row.worst[torch.float64]
    n = len(next(case.batch for case in trial.cases if case.name == where))
    first = _first_wrong(trial, i, row.test) if where == "crowded" else None
    if first and size < 1e-5:
        return f"exact up to {first - 1} nodes, wrong from {first} on by no more than float32 rounds. {CDIST}"
    if first:
        return (f"exact on clouds of up to {first - 1} nodes, wrong from {first} on. Is the number of "
                "neighbors or nodes limited, or is there a sort that is stable only on short lists?")
    return (f"exact on generic input, of {NODES['generic']} nodes, wrong on {where} input, of {n}. What is "
            "special there, and what does f decide by it?")


def _first_wrong(trial, i: int, test: str) -> int | None:
    """The smallest crowd on which the test fails."""
    for n in range(NODES["generic"] + 1, NODES["crowded"] + 1):
        crowd = draw_case(f"crowd of {n}", trial.inputs, trial.random, n)
        if not Experiment(trial, i)(test, cases=[crowd], repeats=2):
            return n
    return None


def _batching(trial, i: int) -> str:
    """Others in a batch get other values: does the first graph feel it?"""
    generic = trial.cases[0]
    own = {"node": generic.batch == 0, "edge": generic.batch[generic.edge_index[0]] == 0,
           "graph": torch.arange(int(generic.batch[-1]) + 1) == 0}
    values = []
    for what, value in zip(trial.inputs, generic.values):
        if not isinstance(what, str):
            value, others = value.clone(), ~own[what.level]
            value[others] += normal(value[others].shape, trial.random)
        values.append(value)
    mine = own[trial.outputs[i].level]
    before = trial.still[generic.name, torch.float64][i]
    after = trial.call(replace(generic, values=values))[i]
    if trial.relative(i, after[mine], before[mine]) > EXACT:
        return ("a graph feels the values of the others in its batch: something is summed, averaged or "
                "sorted over all nodes, without batch.")
    return ("a graph feels the others of its batch, but not their values: either the number of all nodes "
            "or graphs is used, or the graph's own number is. Put one graph into a batch twice: only in "
            "the latter case do the two differ.")


def _order(trial, holds: Experiment) -> str:
    if "edge_index" not in trial.inputs:
        return ("the order of the nodes enters: either a node's place is used (x[0], a flatten, a sort, "
                "weights for each place), or nodes are changed one after the other and read what others "
                "have just been given. Does it hold if all are read from a copy made before? Then it is "
                "the latter.")
    if holds("node order"):
        return ("the order of the edges enters: either one message overwrites another, as in M[u] = ... "
                "or M[u] += ..., or an edge's place in the list is used. Does it hold with `aggregate`? "
                "Then it is the former.")
    generic = trial.cases[0]
    values = []
    for what, value in zip(trial.inputs, generic.values):
        if what == "edge_index":
            value = value[:, :0]
        elif what != "batch" and what.level == "edge":
            value = value[:0]
        values.append(value)
    without = replace(generic, name="no edges", values=values, edge_index=generic.edge_index[:, :0])
    if holds("node order", cases=[without]):
        return ("a node's number enters, and only through the edges: either nodes are updated in place, "
                "one after the other, and read some features of this round and some of the last, or the "
                "numbers v and u are used (v < u, a sort of the edges). Does it hold if all features are "
                "read from a copy? Then it is the former.")
    return ("a node's number enters, without any edge too: its place is used, as by arange, a flatten, x[0], "
            "or a weight for each.")


def _direction(trial, i: int, holds: Experiment) -> str:
    kind = trial.outputs[i].kind
    if kind != "scalar" and holds("rotation", kind="scalar"):
        return ("the output does not rotate at all: it is made of invariants. Is the way back from a frame "
                "missing?")
    if kind == "scalar" and holds("rotation", kind="vector"):
        return "the output rotates with the input: it is a vector, not three scalars."
    if holds("small rotation", tolerance=1e-6):
        return ("exact for small rotations, not for large ones: either a sort, a sign or a threshold of "
                "single coordinates decides something, or a routine does that looks at them, as for an "
                "eigenvector. Does it hold once distances decide?")
    vector = kind in ("vector", "pseudovector", "1o", "1e")
    if vector and any(holds("rotation", order=order) for order in AXIS_ORDERS):
        return ("exact if the components are taken in another order. Are they y, z, x, where x, y, z is "
                "expected?")
    axis = _axis(trial, i)
    if axis is not None and holds("rotation", axis=axis):
        name = ", ".join(f"{component:.2g}" for component in axis.tolist())
        if axis.count_nonzero() == 1:
            name = "xyz"[int(axis.abs().argmax())]
        elif (axis == axis[0]).all():
            return _along_the_diagonal(trial, i, vector)
        return (f"exact for rotations about {name} only: a fixed direction enters, or one coordinate. Is "
                "that direction among the inputs?")
    if vector and (sentence := _from_nowhere(trial, i)):
        return sentence
    if holds("cycle of axes"):
        return ("exact if x, y, z change places, and not for other rotations: a nonlinearity acts on the "
                "components.")
    return ("x, y and z are not treated alike: either each has weights of its own (a linear layer, a "
            "flatten or a reshape over components), or f uses a direction or a frame that is not among "
            "its inputs. Does it hold once that is one? Then it is the latter.")


def _axis(trial, i: int) -> Tensor | None:
    """The one direction about which a small rotation is exact on generic input, if there is one: (3,), of
    length 1.
    """
    generic, step = trial.cases[0], 1e-5
    slopes = []
    for direction in torch.eye(3).double():
        ends = []
        for angle in (step, -step):
            motion = Motion(torch.arange(len(generic.batch)), torch.arange(generic.edge_index.shape[1]),
                            rotation_about(direction, angle), torch.zeros(3).double())
            expected = motion.act(trial.outputs[i], trial.still[generic.name, torch.float64][i])
            ends.append(trial.call(trial.moved(generic, motion))[i] - expected)
        slopes.append((ends[0] - ends[1]).flatten() / (2 * step))
    slopes = torch.stack(slopes)
    if slopes.is_complex():
        slopes = torch.view_as_real(slopes).flatten(1)
    if not slopes.isfinite().all():
        return None
    directions, sizes, _ = torch.linalg.svd(slopes, full_matrices=False)
    if len(sizes) < 3 or sizes[2] > 1e-3 * sizes[1] or sizes[1] < 1e-3 * sizes[0]:
        return None
    axis = directions[:, 2] * directions[:, 2].sum().sign()
    simple = (axis / axis.abs().max()).round()
    simple = simple / torch.linalg.vector_norm(simple)
    return simple if (simple - axis).abs().max() < 1e-3 else axis


def _along_the_diagonal(trial, i: int, vector: bool) -> str:
    """(1, 1, 1) is singled out if components are added, or something is added to each of them."""
    if vector and (sentence := _from_nowhere(trial, i)):
        return sentence
    return ("exact for rotations about (1, 1, 1) only: either the components are summed or averaged, or "
            "one number is added to each. Are the components of the output equal? Then it is the former.")


def _from_nowhere(trial, i: int) -> str:
    """What it means that a vector comes out if none goes in."""
    generic = trial.cases[0]
    values = [value if isinstance(what, str) else torch.where(what.moves, 0, value)
              for what, value in zip(trial.inputs, generic.values)]
    noise = EXACT * float(trial.size[i].max())
    try:
        found = trial.call(replace(generic, values=values))[i]
    except Exception:
        return ""
    if not found.isfinite().all() or found.abs().max() <= noise:
        return ""
    if (found - found[:1]).abs().max() < noise:
        return ("with all vectors 0 the output is not 0, and the same in each row: a constant vector. Is "
                "it a bias, or a function of the components that is not 0 at 0, such as a sigmoid? "
                "Without the bias, does it hold?")
    if (found - found[..., :1]).abs().max() < noise:
        return "with all vectors 0, x, y and z of the output are one number: scalars are added to components."
    return ("with all vectors 0 the output is not 0: f has vectors that are not among its vector inputs, "
            "so they do not rotate. Are they computed beforehand, or passed as scalars?")
