"""Whether derivatives are right, as plain data: beside the reference's, or differences of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .declare import Case, Close, wrong_form
from .derivatives import CUT, NO_SECOND, NOT_FINITE, SECOND_NOT_FINITE, Cause, Differentiated, Gradients
from .derivatives import flat, is_floating, weighted

TOLERANCE = 2e-3  # of the largest entry: single precision, and the same operations in another order
BY_DIFFERENCES = 2e-2  # of what is gained in a small step
ROUNDING = 2e-6  # of numbers near 1, in single precision
A_HAIR = 1e-4  # how far inputs are moved to look for a kink,
KINK = 5e-2  # and by how much of their largest entry derivatives then differ


@dataclass(frozen=True)
class Fault:
    """What is wrong with a derivative; ``cause`` is None where nothing is known of it."""

    cause: Cause | None
    text: str


def fault(given: Gradients, expected: Gradients, order: str = "first") -> Fault | None:
    """Where the derivatives of that order differ from the expected ones; None where they are the same.

    What the reference has no finite derivative by is left out.
    """
    largest = max((_largest(right) for right in expected.values()), default=0.0)
    for name, right in expected.items():
        if right is None or not right.isfinite().all():
            continue
        what = f"the {order} derivative by {name}"
        value = given.get(name)
        allowed = ROUNDING + TOLERANCE * max(_largest(right), 1e-2 * largest)
        if value is None:
            if _largest(right) > allowed:
                return Fault(_cause(order), f"{what} is missing: {NO_WAY} {name}.")
            continue
        difference = Close(0, allowed).difference(value, right, what)
        if difference:
            return Fault(_cause(order, bool(value.isfinite().all())), difference)
    return None


def not_finite(given: Gradients, order: str = "first") -> Fault | None:
    """Which derivative of that order is NaN or infinite; None where none is."""
    for name, gradient in given.items():
        if gradient is not None and not gradient.isfinite().all():
            return Fault(_cause(order, is_finite=False), f"the {order} derivative by {name} is not finite.")
    return None


NO_WAY = "backward finds no way from the answer to"


def _cause(order: str, is_finite: bool = True) -> Cause:
    if order == "second":
        return NO_SECOND if is_finite else SECOND_NOT_FINITE
    return CUT if is_finite else NOT_FINITE


def _largest(gradient: Tensor | None) -> float:
    """The largest finite size of an entry, or 0 where there is none."""
    if gradient is None or not gradient.numel():
        return 0.0
    return float(gradient.abs().nan_to_num(0, 0, 0).max())


def fault_by_differences(x: dict[str, tuple[Tensor, Tensor]], y: tuple[Any, Any],
                         given: tuple[Gradients, Gradients], order: str = "first") -> Fault | None:
    """Where the derivatives at two points close together disagree with what was gained from one to the other.

    By the trapezoidal rule, S(x') - S(x) is the sum of 1/2 (dS/dx + dS/dx') (x' - x) over all inputs x.
    """
    gained = float(weighted(flat(y[1])) - weighted(flat(y[0])))
    predicted = size = 0.0
    for name, (here, there) in x.items():
        for gradient in (gradients.get(name) for gradients in given):
            if gradient is None:
                continue
            what = f"the {order} derivative by {name}"
            if problem := wrong_form(gradient, here, what):
                return Fault(None, problem)
            if not gradient.isfinite().all():
                return Fault(_cause(order, is_finite=False), f"{what} is not finite.")
            steps = gradient.double() * (there - here).double() / 2
            predicted += float(steps.sum())
            size += float(steps.abs().sum())
    rounding = ROUNDING * sum(float(part.double().abs().sum()) for part in flat(y[0]) if is_floating(part))
    if abs(gained - predicted) <= BY_DIFFERENCES * (size + abs(gained)) + rounding:
        return None
    names = " and ".join(x)
    what = f"the {order} derivative by {names}"
    if all(gradients.get(name) is None for gradients in given for name in x):
        return Fault(_cause(order), f"{what} is missing: {NO_WAY} {names}.")
    text = f"{what} predicts a change of {predicted:.3g} for a small step; in fact it is {gained:.3g}."
    return Fault(_cause(order), text)


def is_kink(before: Gradients | str | None, after: Gradients | str | None) -> bool:
    """Whether derivatives a hair apart differ so much that in between there is no derivative to speak of."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return True
    for name, gradient in before.items():
        if gradient is None or after[name] is None:
            continue
        largest = max(_largest(gradient), _largest(after[name]))
        if not bool(((after[name] - gradient).abs() <= KINK * largest).all()):
            return True
    return False


def shifted(case: Case, names: Sequence[str], wanted: Differentiated, sign: int) -> Case:
    """The case with all that it is differentiated by moved by a hair, to one side or to the other."""
    generator = torch.Generator().manual_seed(1 << 20)  # not along the weights of `weighted`
    args = list(case.args)
    for place, name in enumerate(names):
        if name in wanted.inputs and is_floating(args[place]):
            step = torch.randn(args[place].shape, generator=generator, dtype=torch.float64)
            args[place] = args[place] + (sign * A_HAIR * step).to(args[place].dtype)
    return Case(case.label, *args)
