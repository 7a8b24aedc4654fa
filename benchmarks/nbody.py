"""The paper's 7,000 trajectories of charged particles beside a plain loop over trajectories and steps.

Ours is `nbody.paper_splits`, which draws and simulates all of them; the loop draws and simulates 20, and its time is
multiplied by 350. The loop is compared with ours before it is timed.
"""

import timing
import numpy as np

from course_utils.systems import nbody

LOOPED, ALL = 20, 7_000


def by_loops(count, seed=43, n=5, last=4100):
    """Positions after ``last`` steps: (count, n, 3)."""
    rng = np.random.RandomState(seed)
    reached = []
    for _ in range(count):
        q = np.where(rng.random_sample(n) < 0.5, -1.0, 1.0)
        x = rng.standard_normal((3, n)).T * (n / 5) ** (1 / 3)
        v = rng.standard_normal((3, n)).T
        rng.standard_normal(2 * nbody.FRAMES * 3 * n)
        v = nbody.SPEED * v / np.linalg.norm(v, axis=1, keepdims=True)
        assert np.abs(x).max() < nbody.BOX, "a particle starts outside of the box; choose another seed or fewer trajectories"
        qq = np.outer(q, q)
        np.fill_diagonal(qq, 0.0)
        for step in range(last + 1):
            if step:
                x = x + nbody.STEP * v
            D = x[:, None] - x[None]
            d = np.sqrt((D ** 2).sum(-1))
            np.fill_diagonal(d, 1.0)
            F = ((qq / d ** 3)[..., None] * D).sum(1)
            v = v + nbody.STEP * np.clip(F, -nbody.FORCE_UP_TO, nbody.FORCE_UP_TO)
        reached.append(x)
    return np.stack(reached)


def rows(quick):
    ours = nbody.charged_particles(LOOPED, steps=(4100,)).x[:, 0].numpy()
    # where two particles nearly meet, 4,100 steps make a difference of rounding large
    assert np.median(np.abs(by_loops(LOOPED) - ours)) < 1e-5
    (row,) = timing.against("N-body, 7,000 trajectories", nbody.paper_splits,
                            {"numpy loop, 20 times 350": lambda: by_loops(LOOPED)}, (), 1 if quick else 5)
    yield timing.Row(row.what, row.peer, row.ours, [ALL / LOOPED * t for t in row.theirs])
