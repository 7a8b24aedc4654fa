"""Why a test failed: a suspicion is voiced where an experiment bears it out; else two or three, to be told apart by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import torch

from .probes import NODES
from .report import TOLERANCE

EXACT = TOLERANCE[torch.float64]
PARTNER = {"scalar": "pseudoscalar", "vector": "pseudovector", "pseudoscalar": "scalar", "pseudovector": "vector"}
AXIS_ORDERS = [torch.eye(3).double()[list(order)] for order in permutations(range(3))][1:]


def likely_cause(trial, i: int, row, turns: bool) -> str:
    """A sentence on a failing row of output i; ``turns`` says whether its rotation holds."""
    kind = trial.outputs[i].kind

    def exact(test, cases=trial.cases[:2], kind=kind, order=torch.eye(3).double()):
        """Whether a test holds, on generic and wide input, for an output of another kind, or with its axes in another order."""
        def expect(what, motion):
            if what is not trial.outputs[i]:
                return what, motion
            return replace(what, kind=kind), replace(motion, R=order @ motion.R @ order.T)

        try:
            return all(trial.compare(test, case, expect=expect)[i] < EXACT for case in cases for _ in range(4))
        except Exception:  # the experiment may be one that f cannot take
            return False

    (exactly, where), (roughly, there) = row.worst.values()
    if exactly < EXACT:
        return (f"exact in float64; float32 loses its digits on {there} input. Are two large numbers subtracted, or is something "
                "steep: a high power or frequency?")
    if exact(row.test):
        return (f"exact on generic input, of {NODES['generic']} nodes, wrong on {where} input, of {NODES[where]}. What is special "
                "there, and what does f decide by it?")
    if exactly < 1e-5:
        return "wrong by no more than float32 rounds. Is there a .float() inside, or a distance from cdist's matrix product?"
    if row.test == "batching":
        return ("a graph feels the others of its batch. Is something summed or averaged over all nodes, without batch, or is a "
                "graph's number used?")
    if row.test == "permutation":
        return _order(trial, exact)
    if row.test == "translation":
        if kind == "vector" and exact("translation", kind="position"):
            return "the output shifts along with the points: it is a position, no vector. Is x_u where x_u - x_v should be?"
        if kind == "position" and exact("translation", kind="vector"):
            return "the output stays where it is when all points shift: it is a vector, no position. Is x_u + ... missing?"
        return "absolute positions enter. Where is x_u without - x_v, or without the centroid taken off?"
    if turns:
        if kind in PARTNER and exact("reflection", kind=PARTNER[kind]):
            return (f"exact under rotation, and under reflection all but the sign: the output is a {PARTNER[kind]}. Is there one "
                    "cross product or determinant in it, or among the inputs?")
        return ("exact under rotation, not under reflection: either a cross product is added to or multiplied with a vector, or the "
                "sign of a volume or an angle decides something. Without the cross product, does it hold?")
    return _direction(trial, i, exact)


def _order(trial, exact) -> str:
    if "edge_index" not in trial.inputs:
        return ("the order of the nodes enters: either a node's place is used (x[0], a flatten, a sort, weights for each place), or "
                "nodes are changed one after the other and read what others have just been given.")
    if exact("node order"):
        return "the order of the edges enters. Does one message overwrite another, as in M[u] = ... or M[u] += ...?"
    generic = trial.cases[0]
    values = [value[:, :0] if what == "edge_index" else value[:0] if what != "batch" and what.level == "edge" else value
              for what, value in zip(trial.inputs, generic.values)]
    if exact("node order", [replace(generic, name="no edges", values=values, edge_index=generic.edge_index[:, :0])]):
        return ("a node's number enters, and only through the edges. Are nodes updated in place, one after the other, so that some "
                "read features of this round and some of the last? Or is there arithmetic with v and u, or a sort of the edges?")
    return "a node's number enters, without any edge too. Is there an arange, a flatten, x[0], or a weight for each place?"


def _direction(trial, i: int, exact) -> str:
    kind = trial.outputs[i].kind
    if kind != "scalar" and exact("rotation", kind="scalar"):
        return "the output does not turn at all: it is made of invariants. Is the turn back from a frame missing?"
    for axis in "xyz":
        if exact(f"turn about {axis}"):
            return f"exact for turns about {axis} alone: a fixed direction, or that one coordinate, enters."
    if kind in ("vector", "pseudovector"):
        if any(exact("rotation", order=order) for order in AXIS_ORDERS):
            return "exact if the components are taken in another order. Are they y, z, x, where x, y, z is expected?"
        if sentence := _from_nowhere(trial, i):
            return sentence
    if exact("turn about 1,1,1"):
        return ("exact for turns about (1, 1, 1) alone: the components are summed or averaged, or the same number is added to "
                "each.")
    if exact("cycle of axes"):
        return "exact where x, y, z change places, and not for other turns: a nonlinearity acts on the components."
    return ("x, y and z are not treated alike. Has each weights of its own (a linear layer or a flatten over components)? Does a "
            "reshape mix components with channels? Or does f use a direction or a frame that is not among its inputs: does it hold "
            "once that is one?")


def _from_nowhere(trial, i: int) -> str:
    """What it means that a vector comes out where none went in."""
    generic = trial.cases[0]
    values = [value if isinstance(what, str) or "scalar" in what.kind else 0 * value
              for what, value in zip(trial.inputs, generic.values)]
    try:
        found = trial.call(replace(generic, values=values))[i]
    except Exception:
        return ""
    if not found.isfinite().all() or found.abs().max() <= EXACT * trial.size[i]:
        return ""
    if (found - found[:1]).abs().max() < EXACT * trial.size[i]:
        return ("with all vectors 0 the output is not 0, and the same in each row: a constant vector. Is it a bias, or a sigmoid or "
                "softmax of components?")
    if (found - found[..., :1]).abs().max() < EXACT * trial.size[i]:
        return "with all vectors 0, x, y and z of the output are one number: scalars are added to components."
    return ("with all vectors 0 the output is not 0: f has vectors that are not among its vector inputs, so they do not turn. Are "
            "there edge vectors computed beforehand, or passed as scalars?")
