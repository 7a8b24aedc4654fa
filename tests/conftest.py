import os

import hypothesis
import pytest
import torch

# Examples come from a fixed seed, and none has a deadline: a slow machine is no defect.
hypothesis.settings.register_profile("course", derandomize=True, deadline=None, max_examples=40)
hypothesis.settings.load_profile("course")

torch.set_num_threads(1)  # small tensors: on a busy machine more threads take many times as long
os.environ["OMP_NUM_THREADS"] = "1"  # so it is for a notebook's kernel
torch.backends.opt_einsum.enabled = False  # students do not have it, and its search takes longer than our products


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# Tests that share what takes long to start: all of a file, or those of a file whose parameters are the same.
SHARED_BY_FILE = {"tests/test_browser.py", "tests/test_corpus.py", "tests/test_crowd.py", "tests/test_release.py"}
SHARED_BY_PARAMETERS = {"tests/test_notebooks.py"}


def group_of(nodeid: str) -> str:
    """What the tests of one group have in common; pytest-xdist gives a group to one process."""
    file, _, test = nodeid.partition("::")
    if file in SHARED_BY_FILE:
        return file
    if file in SHARED_BY_PARAMETERS and "[" in test:
        return file + test[test.index("["):]
    return nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under ``-n``: each process takes the next group when it is done with one. Other values of ``--dist`` stay as they are."""
    if config.getoption("dist") != "load":
        return None

    from xdist.scheduler import LoadScopeScheduling

    class InOrder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return InOrder(config, log)


def pytest_collection_modifyitems(config, items):
    """Under ``-n``, slow tests come first, so that in the end no process works on one while the others wait."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (item.get_closest_marker("slow") is None, group_of(item.nodeid) == item.nodeid))


@pytest.fixture(scope="session")
def pyg_nn():
    """PyTorch Geometric's layers. It takes seconds to load, as much as torch."""
    import torch_geometric.nn

    return torch_geometric.nn


@pytest.fixture(scope="session")
def o3():
    """e3nn's rotations and irreps. It takes a second or two to load."""
    from e3nn import o3

    return o3


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
