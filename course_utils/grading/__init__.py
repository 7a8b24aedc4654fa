"""Masters to students' notebooks (`build`), an exercise brought back to how it was (`reset`), and grading (`judge`, `run`)."""

from __future__ import annotations

from collections.abc import Callable


def reset(exercise: Callable | str, /) -> None:
    """Open a cell below with the exercise as it was; the cell that you have written in stays.

    Takes the function or its name. Raises KeyError where there is no such exercise, ValueError where its master is not
    at hand.
    """
    from IPython import get_ipython

    from .build import stub

    fresh = stub(exercise if isinstance(exercise, str) else exercise.__name__)
    shell = get_ipython()
    if shell is None:
        print(fresh)
    else:
        shell.set_next_input(fresh)
