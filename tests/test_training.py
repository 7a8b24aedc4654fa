import math

import pytest
import torch

from course_utils import training


def test_fit_finds_a_minimum_and_reports_every_step():
    w = torch.zeros(3, requires_grad=True)
    target = torch.tensor([1.0, -2.0, 3.0])
    history = training.fit([w], lambda: (w - target).pow(2).sum(), steps=400, lr=0.1, bar=False)
    torch.testing.assert_close(w.detach(), target, atol=1e-3, rtol=0)
    assert len(history) == 400 and history[0] == 14 and history[-1] < 1e-4


def test_fit_stops_where_the_loss_is_no_longer_finite():
    w = torch.ones(1, requires_grad=True)
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 0; a smaller lr than 0.01 may help"):
        training.fit([w], lambda: (w * torch.nan).sum(), steps=3, bar=False)


def test_the_rate_falls_along_half_a_cosine():
    w, seen = torch.zeros(1, requires_grad=True), []
    training.fit([w], lambda: -w.sum(), 100, lr=0.1, bar=False, cosine=True, after=lambda step: seen.append((step, w.item())))
    assert [step for step, _ in seen] == list(range(1, 101))
    moved = torch.tensor([0.0, *(value for _, value in seen)]).diff()  # Adam moves by the rate where the slope is constant
    expected = 0.05 * (1 + torch.cos(torch.pi * torch.arange(100) / 100))
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=1e-3)


def test_a_long_gradient_is_shortened(monkeypatch):
    w, lengths = torch.zeros(4, requires_grad=True), []
    training.fit([w], lambda: 100 * w.sum(), 3, bar=False, clip=1.5, after=lambda step: lengths.append(w.grad.norm().item()))
    assert lengths == pytest.approx([1.5] * 3, rel=1e-4)
    training.fit((p for p in [w]), lambda: 0.1 * w.sum(), 1, bar=False, clip=1.5, after=lambda step: lengths.append(w.grad.norm().item()))
    assert lengths[-1] == pytest.approx(0.2)


def test_the_best_weights_by_score_are_kept():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    modes = []

    def score():
        modes.append((model.training, torch.is_grad_enabled()))
        return (model.weight.item() - 0.5) ** 2  # passed on the way

    scores = training.fit_and_pick(model, lambda: -model.weight.sum(), score, steps=100, every=3, lr=0.01, bar=False)
    assert [step for step, _ in scores] == [*range(3, 100, 3), 100]
    assert abs(model.weight.item() - 0.5) < 0.02 and not model.training
    assert set(modes) == {(False, False)}


def test_minibatches_are_epochs():
    batches = training.minibatches(10, 3, torch.Generator().manual_seed(0))
    for _ in range(3):
        epoch = torch.cat([next(batches) for _ in range(3)])
        assert len(epoch.unique()) == 9 and epoch.max() < 10
    with pytest.raises(ValueError, match="size is 11; expected 1 to 10"):
        next(training.minibatches(10, 11))


def test_balanced_weights_find_a_rare_class():
    x = torch.cat([torch.randn(190, 1), torch.randn(10, 1) + 2])
    y = torch.tensor([0] * 190 + [1] * 10)
    found = {}
    for balanced in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 2)
        training.fit_classifier(model, x, y, steps=300, lr=0.1, balanced=balanced, bar=False)
        found[balanced] = training.balanced_accuracy(model(x), y)
    assert found[True] > found[False] + 0.1


def test_scores():
    logits, y = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 1, 1])
    assert training.accuracy(logits, y) == 0.75
    assert training.balanced_accuracy(logits, y) == 0.75
    assert training.balanced_accuracy(logits[:3], y[:3]) == 0.5
    assert training.auc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0])) == pytest.approx((3 + 1.5) / 6)
    assert training.auc(torch.ones(3), torch.ones(4)) == 0.5


def test_nan_is_no_score():
    logits, y = torch.tensor([[torch.nan, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    assert math.isnan(training.accuracy(logits, y)) and math.isnan(training.balanced_accuracy(logits, y))
    model, scores = torch.nn.Linear(1, 1), iter([1.0, torch.nan])
    with pytest.raises(FloatingPointError, match="the score is nan after step 2"):
        training.fit_and_pick(model, lambda: model.weight.square().sum(), lambda: next(scores), 3, 1, bar=False)
