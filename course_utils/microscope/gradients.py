"""Whether autograd's derivative is that of the values: a detached coordinate leaves every value right."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from .probes import Case, normal
from .report import Row

STEP, TOLERANCE = 1e-5, {torch.float64: 1e-4}  # central differences are good to about 1e-8


def gradient_row(trial, k: int) -> Row | None:
    """Of input k, autograd's derivative along a direction against central differences; None where both are
    0.

    Compared on generic input; on degenerate input the derivative must be finite, unless an output jumps
    there. The control takes the differences along other directions.
    """
    name, generic = f"input {k}: {trial.inputs[k]}", trial.cases[0]

    def row(size, case, control, cause):
        return Row(name, "gradient", {torch.float64: (size, case)}, control, cause, TOLERANCE)

    for case in trial.cases:
        try:
            slope = _slope(trial, k, case)
        except Exception as error:
            return row(inf, case.name, 1.0, f"f raises {type(error).__name__} if its input asks for a "
                                            "gradient. Does it go through numpy, or call backward?")
        if slope.isfinite().all():
            continue
        if not any(trial.change(i, case) > TOLERANCE[torch.float64] for i in range(len(trial.outputs))):
            return row(inf, case.name, 1.0, f"the derivative is not finite on {case.name} input: either a "
                                            "root is taken of 0 (a length), or eigenvectors of equal "
                                            "eigenvalues. It is the former if 1e-12 added under each root "
                                            "mends it.")

    value, differences = generic.values[k], []
    directions = [normal(value.shape, trial.random) for _ in range(4)]
    own = float((_slope(trial, k, generic) * directions[0]).sum())
    for d in directions:
        change = _total(trial, k, generic, value + STEP * d) - _total(trial, k, generic, value - STEP * d)
        differences.append(change.item() / (2 * STEP))
    size = max(abs(own), abs(differences[0]))
    if size < 1e-8 * len(trial.outputs):
        trial.remark(f"{name} changes no output, or by jumps alone.")
        return None
    gap, *control = (abs(own - finite) / size for finite in differences)
    cause = ""
    if gap > TOLERANCE[torch.float64]:
        cause = _cause(trial, own)
    return row(gap, "generic", max(control), cause)


def _cause(trial, own: float) -> str:
    if any(trial.rounds(i) for i in range(len(trial.outputs))):
        return ("the values are rounded to float32 on the way: a .float() inside. Does f keep the dtype of its "
                "input?")
    if own:
        return ("autograd disagrees with the values: a part of the way is cut, by a detach or by numbers "
                "taken out of the graph (item, tolist, torch.tensor); or a backward written by hand is "
                "wrong.")
    return ("autograd says 0 although the values change: no gradient arrives. Either there is a detach or "
            "a no_grad, or f itself takes a derivative without create_graph=True.")


def _total(trial, k: int, case: Case, value: Tensor) -> Tensor:
    """A sum of all outputs, each channel next to its size and with fixed random weights, as a function of
    input k.
    """
    random, values = torch.Generator().manual_seed(0), [*case.values[:k], value, *case.values[k + 1:]]
    total = torch.zeros((), dtype=torch.float64)
    for i, output in enumerate(trial.call(replace(case, values=values), detach=False)):
        parts = trial.channels(i, output)
        sizes = trial.size[i].split([part.shape[1] for part in parts])
        for part, size in zip(parts, sizes):
            part = part / torch.where(size == 0, 1, size)[:, None]
            part = torch.view_as_real(part) if part.is_complex() else part
            total = total + (part * normal(part.shape, random)).sum()
    return total


def _slope(trial, k: int, case: Case) -> Tensor:
    leaf = case.values[k].clone().requires_grad_()
    total = _total(trial, k, case, leaf)
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    return torch.autograd.grad(total, leaf, materialize_grads=True)[0]
