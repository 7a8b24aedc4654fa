"""The fly's task: what the recorded file holds, that a run gives it again, and what was found."""

from statistics import mean

import pytest
import torch

from course_utils import datasets, fly, graph_networks
from course_utils.recorded import load

BLIND = 0.25


def means(layer, direction, side="right"):
    return [mean(seeds) for seeds in fly.curve(layer, direction, side)]


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "direction", "rounds"), [("Kipf", "out-edges", 1), ("general", "both, told apart", 1),
                                                            ("attention", "in-edges", 2)])
def test_a_recorded_run_can_be_made_again(layer, direction, rounds):
    """Rounding differs between machines and training amplifies it, so a little is allowed."""
    before = torch.random.get_rng_state()
    again = fly.train(layer, direction, rounds, seed=1)
    recorded = load("fly")["runs"][fly.key(layer, direction, rounds, 1)]
    assert again == pytest.approx((recorded["left"], recorded["right"]), abs=0.05)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("layer", fly.LAYERS)
@pytest.mark.parametrize("direction", fly.DIRECTIONS)
def test_without_a_round_every_guess_is_blind(layer, direction):
    assert fly.curve(layer, direction)[0] == fly.curve(layer, direction, "left")[0] == [BLIND] * 5


def test_attention_from_equal_features_is_blind_at_every_depth():
    for direction in fly.DIRECTIONS:
        assert fly.curve("attention", direction) == [[BLIND] * 5] * len(fly.ROUNDS)


def test_both_directions_told_apart_find_most_and_mixed_no_more_than_one():
    apart = means("general", "both, told apart")
    assert min(apart[1:]) > 0.88
    for direction in ("in-edges", "out-edges", "both, mixed"):
        assert apart[3] > max(means("general", direction)) + 0.04
    assert max(means("general", "both, mixed")) < max(means("general", "in-edges")) + 0.05


def test_kipfs_weights_learn_one_side_by_heart():
    left, right = means("Kipf", "both, told apart", "left"), means("Kipf", "both, told apart")
    assert min(left[2:]) > 0.95 and max(right[2:]) < 0.65 and right[6] < right[2] < right[1]


def test_directions():
    left = datasets.fly_connectome("left")
    assert torch.equal(fly.edges(left, "in-edges"), left.edge_index)
    assert torch.equal(fly.edges(left, "out-edges"), left.edge_index.flip(0))
    mixed = fly.edges(left, "both, mixed")
    assert set(map(tuple, mixed.T.tolist())) == {e for v, u in left.edge_index.T.tolist() for e in ((v, u), (u, v))}
    assert isinstance(fly.network("Kipf", "both, told apart", 1).layers[0], graph_networks.TwoWayLayer)


def test_what_is_unknown_is_named():
    with pytest.raises(ValueError, match="direction is 'up'; expected one of 'in-edges', 'out-edges'"):
        fly.train("Kipf", "up", 1)
    with pytest.raises(ValueError, match="layer is 'GCN'; expected one of 'Kipf', 'attention', 'general', or a layer's class"):
        fly.network("GCN", "in-edges", 1)
