import math

import numpy as np
import pytest
import torch

from course_utils.egnn import EGNN
from course_utils.microscope import check_equivariance
from course_utils.systems import nbody

# What the code published with the paper gives for seed 43: the first trajectory at step 4100 and the twelfth.
PUBLISHED = {
    0: ([-1, 1, -1, -1, -1], [[4.16549984, 2.19130914, -1.3826188], [-0.54932232, 0.54709679, 1.80778736],
                              [-0.59687131, 0.39296191, 1.90581962], [0.17929105, 0.62606554, -2.52487066],
                              [0.01571501, -3.5165465, -2.32072659]]),
    11: ([-1, 1, -1, 1, -1], [[-2.8608102, 0.98242863, 1.27634561], [-2.25239425, 0.17186026, 0.6275993],
                              [-2.17781917, 1.23492442, -3.86893093], [1.59233347, -2.15202925, 2.00842692],
                              [1.04915346, 1.91344837, -1.22340279]])}


@pytest.mark.parametrize("number", PUBLISHED)
def test_a_seed_gives_the_trajectories_of_the_published_code(number):
    data = nbody.charged_particles(12)
    charges, x = PUBLISHED[number]
    assert data.charges[number].tolist() == charges
    torch.testing.assert_close(data.x[number, 1], torch.tensor(x), atol=5e-7, rtol=0)


def test_the_steps_once_more_by_loops():
    """One trajectory, particle by particle, in the order of draws that the docstring states."""
    n, seed, steps = 4, 7, (1, 2, 150)
    rng = np.random.RandomState(seed)
    q = [1.0 if rng.random_sample() >= 0.5 else -1.0 for _ in range(n)]
    x = rng.standard_normal((3, n)).T * (n / 5) ** (1 / 3)
    v = rng.standard_normal((3, n)).T
    v = v / np.linalg.norm(v, axis=1, keepdims=True) / 2
    seen = {}
    for step in range(steps[-1] + 1):
        if step:
            x = x + 0.001 * v
        seen[step] = x, v
        F = np.array([sum((q[u] * q[w] * (x[u] - x[w]) / np.linalg.norm(x[u] - x[w]) ** 3 for w in range(n) if w != u))
                      for u in range(n)])
        v = v + 0.001 * np.clip(F, -100, 100)
    data = nbody.charged_particles(1, seed, n, steps)
    for i, step in enumerate(steps):
        np.testing.assert_allclose(data.x[0, i], seen[step][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(data.v[0, i], seen[step][1], rtol=1e-5, atol=1e-6)


def test_trajectories_do_not_depend_on_what_else_is_asked_for():
    data = nbody.charged_particles(2300, steps=(100,))  # more than are simulated at once
    for skip in (0, 1200, 2290):
        few = nbody.charged_particles(10, steps=(50, 100), skip=skip)
        assert torch.equal(few.charges, data.charges[skip:skip + 10])
        torch.testing.assert_close(few.x[:, 1], data.x[skip:skip + 10, 0], atol=1e-6, rtol=0)
    assert not torch.equal(nbody.charged_particles(3, seed=1, steps=(1,)).x, nbody.charged_particles(3, seed=2, steps=(1,)).x)


def test_momentum_stays_and_the_system_is_what_it_says():
    data = nbody.charged_particles(300, steps=(1, 2000))
    gained = (data.v[:, 0].sum(1) - data.v[:, 1].sum(1)).norm(dim=1)
    assert gained.median() < 1e-4  # some gain where two nearly met and a force was cut
    assert data.charges.unique().tolist() == [-1, 1] and 0.45 < (data.charges == 1).float().mean() < 0.55
    assert 0.95 < data.x[:, 0].std() < 1.05
    torch.testing.assert_close(data.v[:, 0].norm(dim=-1), torch.full((300, 5), 0.5), atol=0.2, rtol=0)
    assert nbody.charged_particles(1, n=40, steps=(1,)).x.std() > 1.5  # 2: more particles begin further apart


def test_two_particles_attract_if_their_charges_differ():
    data = nbody.charged_particles(200, n=2, steps=(1, 200))
    apart = (data.x[:, :, 0] - data.x[:, :, 1]).norm(dim=-1)
    drift = ((data.x[:, 0, 0] - data.x[:, 0, 1]) + 0.199 * (data.v[:, 0, 0] - data.v[:, 0, 1])).norm(dim=-1)
    alike = data.charges.prod(1) > 0
    assert (apart[alike, 1] > drift[alike]).all() and (apart[~alike, 1] < drift[~alike]).double().mean() > 0.95


class Predictor(torch.nn.Module):
    """The paper's network on one trajectory, from charges, positions and velocities."""

    def __init__(self):
        super().__init__()
        self.model = EGNN(1, 8, 1, 2, velocity=True, normalize=True, neighbours_only=True, d_edge=2, from_messages=True)

    def forward(self, q, x, v):
        return self.model(**nbody.question(nbody.Trajectories(q[None, :, 0], x[None, None], v[None, None])))[1]


def test_the_question_is_equivariant_to_answer():
    data = nbody.charged_particles(3)
    question = nbody.question(data)
    assert question["edge_index"].shape == (2, 60) and question["batch"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    v, u = question["edge_index"]
    torch.testing.assert_close(question["edge_attr"][:, 0], data.charges.flatten()[u] * data.charges.flatten()[v])
    torch.testing.assert_close(question["h"][:, 0], data.v[:, 0].reshape(-1, 3).norm(dim=1))
    assert torch.equal(nbody.answer(data), data.x[:, 1].reshape(15, 3))
    report = check_equivariance(Predictor(), ["node scalar 1", "node position", "node vector"], "node position")
    assert report.holds, report


@pytest.mark.slow
def test_the_papers_splits_do_not_overlap():
    train, validation, test = nbody.paper_splits()
    assert [len(part) for part in (train, validation, test)] == [3000, 2000, 2000]
    starts = torch.cat([part.x[:, 0].flatten(1) for part in (train, validation, test)])
    assert len(starts.unique(dim=0)) == 7000
    still = math.sqrt((nbody.question(test)["x"] - nbody.answer(test)).square().mean())
    assert 0.5 < still < 0.8  # standing still is far from the answer


@pytest.mark.parametrize("steps", [(), (0,), (5000,), (200, 100), (100, 100)])
def test_bad_steps_are_explained(steps):
    with pytest.raises(ValueError, match="expected rising numbers from 1 to 4900"):
        nbody.charged_particles(1, steps=steps)


@pytest.mark.slow
def test_both_networks_learn_and_the_one_that_knows_turns_learns_more():
    data, held_out = nbody.charged_particles(300), nbody.charged_particles(300, skip=10_000)
    start = nbody.question(held_out)
    errors = {"straight on": nbody.error(start["x"] + start["velocity"], held_out)}
    for name, make in (("coordinates", lambda: nbody.CoordinateNetwork(16, 2)),
                       ("EGNN", lambda: EGNN(1, 16, 1, 2, velocity=True, normalize=True, d_edge=2))):
        torch.manual_seed(0)
        model = nbody.train(make(), data, steps=150, bar=False)
        with torch.no_grad():
            errors[name] = nbody.error(model(**start)[1], held_out)
    assert errors["EGNN"] < 0.8 * errors["coordinates"] < 0.5 * errors["straight on"]
    assert nbody.error(nbody.answer(held_out), held_out) == 0
