"""One training loop, and the scores that the notebooks and the reproductions report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm


def fit(parameters: Iterable[Tensor], loss: Callable[[], Tensor], steps: int, lr: float = 0.01, weight_decay: float = 0.0,
        bar: bool = True, cosine: bool = False, clip: float | None = None,
        after: Callable[[int], None] | None = None) -> list[float]:
    """Minimise ``loss()`` over the parameters with Adam, in place; returns the loss before each step.

    ``cosine`` lets the learning rate fall to 0 along half a cosine; ``clip`` shortens a gradient to that length, over all
    parameters; ``after(step)`` is called behind each step, the first being 1. Raises FloatingPointError, with the step, where the loss is no longer finite.
    """
    parameters = list(parameters)
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if cosine else None
    history = []
    with tqdm(range(steps), desc="training", leave=False, disable=not bar, mininterval=0.2) as progress:
        for step in progress:
            optimizer.zero_grad()
            value = loss()
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} at step {step}; a smaller lr than {lr} may help.")
            value.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            if schedule:
                schedule.step()
            history.append(value.item())
            if after:
                after(step + 1)
    return history


def fit_and_pick(model: torch.nn.Module, loss: Callable[[], Tensor], score: Callable[[], float], steps: int, every: int,
                 **options) -> list[tuple[int, float]]:
    """`fit`, and leave the model with those of its weights that had the lowest score; returns (step, score), all of them.

    ``score()`` is taken after every ``every`` steps and after the last, without gradients and with the model in eval mode.
    It belongs to validation data, so that test data have no say in which weights are kept.
    """
    scores, best = [], {}

    def after(step: int) -> None:
        if step % every and step != steps:
            return
        model.eval()
        with torch.no_grad():
            scores.append((step, float(score())))
        if math.isnan(scores[-1][1]):
            raise FloatingPointError(f"the score is nan after step {step}; expected a number, to pick the best "
                                     "weights. A smaller lr may help.")
        model.train()
        if scores[-1][1] <= min(value for _, value in scores):
            best.update({name: value.clone() for name, value in model.state_dict().items()})

    fit(model.parameters(), loss, steps, after=after, **options)
    model.load_state_dict(best)
    model.eval()
    return scores


def minibatches(count: int, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
    """Indices of ``size`` samples at a time, without end: every sample once an epoch, in a new order; a rest is left out."""
    if not 1 <= size <= count:
        raise ValueError(f"size is {size}; expected 1 to {count}, the number of samples.")
    while True:
        order = torch.randperm(count, generator=generator, device=generator.device if generator else None)
        yield from order[:count - count % size].split(size)


def fit_classifier(model: torch.nn.Module, inputs: Tensor | tuple[Tensor, ...], y: Tensor, steps: int = 300,
                   balanced: bool = False, **options) -> list[float]:
    """`fit` the cross-entropy of model(inputs), or of model(*inputs), with logits (num_samples, classes), y (num_samples,).

    ``balanced`` gives every class the same total weight, however many samples it has.
    """
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)

    def loss():
        logits = model(*inputs)
        count = torch.bincount(y, minlength=logits.shape[1])
        return F.cross_entropy(logits, y, weight=len(y) / count / (count > 0).sum() if balanced else None)

    return fit(model.parameters(), loss, steps, **options)


def accuracy(logits: Tensor, y: Tensor) -> float:
    """The share of samples whose largest logit is the right one: logits (num_samples, classes), y (num_samples,)."""
    if logits.isnan().any():
        return torch.nan
    return (logits.argmax(1) == y).double().mean().item()


def balanced_accuracy(logits: Tensor, y: Tensor) -> float:
    """The mean over the classes of each class's own accuracy: a guess that ignores its input gets 1 / classes."""
    if logits.isnan().any():
        return torch.nan
    right = (logits.argmax(1) == y).double()
    return torch.stack([right[y == k].mean() for k in torch.unique(y)]).mean().item()


def auc(positive: Tensor, negative: Tensor) -> float:
    """How often a positive example scores above a negative one, ties counting half: 0.5 is a blind guess."""
    if torch.cat([positive, negative]).isnan().any():
        return torch.nan
    negative = negative.sort().values
    below, up_to = (torch.searchsorted(negative, positive, right=right).double() for right in (False, True))
    return ((below + up_to) / 2 / len(negative)).mean().item()
