"""Derivatives of an answer: backward runs through it, and what comes out is compared like a value.

An answer y may be several tensors. Fixed random weights w make one number of them, so one pass tells of all:

    S = sum_i w_i y_i          first:  dS / dz for every input and parameter z
    S' = sum_i w'_i dS/dx_i    second: dS' / dz, where x are the inputs: a loss on forces has this form
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Gradients = dict[str, Tensor | None]  # by name of an input or parameter; None: backward finds no way to it


@dataclass(frozen=True)
class Differentiated:
    """By which inputs an answer is differentiated, and of a class, whether by its parameters.

    ``twice``: a network is trained on a derivative, such as a force, so the second one counts. ``nearby`` is
    for answers that are judged by their properties, and so need not be the reference's. It makes a case whose
    inputs lie close to those of another; the difference of the answers says what the derivative has to be.
    ``left_out(case)`` says on which cases right answers have different derivatives, all of them finite.
    """

    inputs: tuple[str, ...]
    parameters: bool = False
    twice: bool = False
    nearby: Callable[[Any], Any] | None = None
    left_out: Callable[[Any], bool] | None = None

    @property
    def text(self) -> str:
        """What a card says of an answer whose derivatives are right."""
        names = [*self.inputs, *(["the parameters"] if self.parameters else [])]
        by = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"its derivatives by {by}" + (", the second ones, too" if self.twice else "")


@dataclass(frozen=True)
class Cause:
    """Why a derivative is not right though the values are, and what a student is told."""

    name: str
    says: str


CUT = Cause("backward is cut off", (
    "Your numbers are right, but gradients do not flow back through them: on the way from the input to the "
    "answer, a number loses its history. That happens in detach and .data, .item(), .tolist() and float(), "
    "in NumPy, in torch.tensor(...) of numbers, and under no_grad. Which of your lines does one of these?"))
NOT_FINITE = Cause("a derivative that is NaN", (
    "Your numbers are right, but backward gives NaN or infinity, and one of these spoils every weight in a "
    "single training step. Which of your operations has no finite slope at this input? Think of a root at 0, "
    "and of a division by something that can be 0. `where` also differentiates the branch that it does not take."))
NO_SECOND = Cause("the second derivative is lost", (
    "Your first derivatives are right, but the second ones are not. A force is a first derivative, so "
    "training on forces needs the second. Which number do you treat as a constant though it changes with the "
    "input, or which operation cannot be differentiated twice?"))
SECOND_NOT_FINITE = Cause("a second derivative that is NaN", (
    "Your first derivatives are right, but the second ones are NaN or infinite. A force is a first derivative, "
    "so training on forces needs the second. Which of your operations has no second derivative at this input? "
    "A root that is squared again has none at 0."))
IN_PLACE = Cause("changed in place", (
    "Your numbers are right, but backward stops: it still needs the old content of a tensor that was changed "
    "in place. Which of your lines writes into a tensor, by +=, by x[...] = ..., or by a method whose name "
    "ends in _? Let it make a new tensor."))
CAUSES = (CUT, NOT_FINITE, NO_SECOND, SECOND_NOT_FINITE, IN_PLACE)

_IN_ERRORS = {"numpy() on Tensor that requires grad": CUT, "Tensors that require gradients": CUT,
              "in-place operation": IN_PLACE, "inplace operation": IN_PLACE, "Inplace update": IN_PLACE}


def cause_of(error: str) -> Cause | None:
    """What torch's message says, when a call fails only because its inputs are differentiated."""
    return next((cause for words, cause in _IN_ERRORS.items() if words in error), None)


def of_call(function: Callable, inputs: Mapping[str, Any], parameters: Mapping[str, Tensor],
            wanted: Differentiated) -> dict[str, Any]:
    """The derivatives of what the function answers: {"first": `Gradients`, "second": `Gradients`}.

    Without ``twice``, "second" is None. Where the first derivatives cannot be differentiated, it is torch's
    message.
    """
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a tensor that becomes a plain number: the card says more
        x = {name: inputs[name].requires_grad_() for name in wanted.inputs if is_floating(inputs[name])}
        z = {**x, **parameters} if wanted.parameters else x
        first = _gradients(weighted(flat(function(*inputs.values()))), z, wanted.twice)
        second = None
        if wanted.twice:
            try:
                second = _gradients(weighted([first[name] for name in x]), z, False)
            except RuntimeError as error:
                second = f"RuntimeError: {error}"[:1000]
        return {"first": first, "second": second}


def are_derivatives(value: Any, wanted: Differentiated) -> bool:
    """Whether a value, perhaps a stranger's, has the form of what `of_call` returns, but for names and shapes."""
    if not isinstance(value, dict) or value.keys() != {"first", "second"}:
        return False
    second = value["second"]
    if wanted.twice:
        return _are_gradients(value["first"]) and (isinstance(second, str) or _are_gradients(second))
    return _are_gradients(value["first"]) and second is None


def _are_gradients(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(part is None or is_floating(part) and part.layout == torch.strided for part in value.values())


def is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def flat(answer: Any) -> list[Any]:
    if isinstance(answer, tuple | list):
        return [part for each in answer for part in flat(each)]
    return [answer]


def weighted(parts: Sequence[Any]) -> Tensor:
    """The number S of the floating-point tensors among the parts: (). Places and shapes give the weights."""
    total = torch.zeros((), dtype=torch.float64)
    for place, part in enumerate(parts):
        if is_floating(part):
            generator = torch.Generator().manual_seed(place)
            w = torch.randn(part.shape, generator=generator, dtype=torch.float64)
            total = total + (w * part.double()).sum()
    return total


def _gradients(number: Tensor, z: Mapping[str, Tensor], again: bool) -> Gradients:
    if not number.requires_grad:
        return dict.fromkeys(z)
    found = torch.autograd.grad(number, list(z.values()), create_graph=again, allow_unused=True)
    return dict(zip(z, found))
