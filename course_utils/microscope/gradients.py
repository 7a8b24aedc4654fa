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
    """Of input k, autograd's derivative along a direction against central differences; None where both are 0.

    Compared on generic input; on degenerate input the derivative must be finite, unless an output jumps there. The control
    takes the differences along other directions.
    """
    name, generic = f"input {k}: {trial.inputs[k]}", trial.cases[0]

    def row(size, case, control, cause):
        return Row(name, "gradient", {torch.float64: (size, case)}, control, cause, TOLERANCE)

    for case in trial.cases:
        try:
            slope = _slope(trial, k, case)
        except Exception as error:
            return row(inf, case.name, 1.0, f"f raises {type(error).__name__} where its input asks for a gradient. Does it go "
                                            "through numpy, or call backward?")
        if not slope.isfinite().all() and not any(trial.jumps(i, case) for i in range(len(trial.outputs))):
            return row(inf, case.name, 1.0, f"the derivative is not finite on {case.name} input. A square root of 0, an "
                                            "eigenvector where there is none, a division by 0, or an exp too large?")

    slope, (along, *others) = _slope(trial, k, generic), (normal(generic.values[k].shape, trial.random) for _ in range(4))
    own = float((slope * along).sum())
    differences = [(_total(trial, k, generic, generic.values[k] + STEP * d)
                    - _total(trial, k, generic, generic.values[k] - STEP * d)).item() / (2 * STEP) for d in (along, *others)]
    size = max(abs(own), abs(differences[0]))
    if size < 1e-8 * len(trial.outputs):
        trial.remark(f"{name} changes no output, or by jumps alone.")
        return None
    gap, *control = (abs(own - finite) / size for finite in differences)
    cause = ""
    if gap > TOLERANCE[torch.float64]:
        cause = ("autograd disagrees with the values: a part of the way is cut. Is there a detach, a round, a .float(), or a "
                 "comparison?" if own else "autograd says 0 where the values change: no gradient arrives. Is there a detach, a "
                 "no_grad, or a grad without create_graph?")
    return row(gap, "generic", max(control), cause)


def _total(trial, k: int, case: Case, value: Tensor) -> Tensor:
    """A sum of all outputs, each next to its size and with fixed random weights, as a function of input k."""
    random, values = torch.Generator().manual_seed(0), [*case.values[:k], value, *case.values[k + 1:]]
    found = trial.call(replace(case, values=values), detach=False)
    return sum((output * normal(output.shape, random)).sum() / (size or 1.0) for output, size in zip(found, trial.size))


def _slope(trial, k: int, case: Case) -> Tensor:
    leaf = case.values[k].clone().requires_grad_()
    total = _total(trial, k, case, leaf)
    return torch.autograd.grad(total, leaf, materialize_grads=True)[0] if total.requires_grad else torch.zeros_like(leaf)
