"""Notebooks that train for a moment only, for tests that do not look at what training gives."""

import nbformat

CUT_SHORT = """
def cut_training_short():
    from course_utils import training

    tqdm = training.tqdm
    training.tqdm = lambda steps, **options: tqdm(steps[:20], **options)

cut_training_short()
"""


def with_short_training(notebook):
    """Put a cell in front of a notebook, after which training ends after 20 steps."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell(CUT_SHORT))
    return notebook
