import os

import hypothesis
import pytest
import torch

# Examples come from a fixed seed, and none has a deadline: a slow machine is no defect.
hypothesis.settings.register_profile("course", derandomize=True, deadline=None, max_examples=40)
hypothesis.settings.load_profile("course")

torch.set_num_threads(1)  # small tensors: on a busy machine more threads take many times as long
os.environ["OMP_NUM_THREADS"] = "1"  # so it is for a notebook's kernel


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


LEVELS = {}  # of the grader: level -> what was proved, or why nothing was


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["levels"] = LEVELS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    LEVELS.update(getattr(node, "workeroutput", {}).get("levels", {}))


def pytest_terminal_summary(terminalreporter):
    for level, said in LEVELS.items():
        terminalreporter.write_line(f"grader, level {level!r}: {said}")
