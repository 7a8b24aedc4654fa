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
