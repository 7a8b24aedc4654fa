"""A pytest plugin: when nbval has run a notebook, the notebook is saved with the outputs that nbval received.

    python -m pytest --nbval-lax -p nbval_record --record-to executed.ipynb notebook.ipynb

The metadata of each code cell then hold ``seconds``, the time that the cell took.
"""

import time

import nbformat
import pytest


def pytest_addoption(parser):
    parser.addoption("--record-to", help="the file to which the notebook is saved after its run")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    start = time.perf_counter()
    try:
        return (yield)
    finally:
        item.cell.metadata["seconds"] = time.perf_counter() - start
        item.cell.outputs = item.test_outputs or []


def pytest_sessionfinish(session):
    if session.items:
        nbformat.write(session.items[0].parent.nb, session.config.option.record_to)
