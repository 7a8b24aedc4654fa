"""The scripts of reproductions/: that a stopped one goes on, that the files hold what they say, and what was found."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from course_utils import recorded
from course_utils.systems import dojo, synthetic

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "reproductions"))

import record  # noqa: E402

SCRIPTS = sorted(path.stem for path in (ROOT / "reproductions").glob("*.py") if path.stem != "record")


def test_a_stopped_script_goes_on(tmp_path):
    done, stops = [], iter([True, False])

    def run(key):
        if key == "c" and next(stops):
            raise KeyboardInterrupt
        done.append(key)
        return {"error": 0.5}

    with pytest.raises(KeyboardInterrupt):
        record.record("task", {"steps": 3}, "abcd", run, tmp_path)
    assert list(json.loads((tmp_path / "task.json").read_text())["runs"]) == ["a", "b"]
    results = record.record("task", {"steps": 3}, "abcd", run, tmp_path)
    assert done == list("abcd") and list(results) == list("abcd") and results["a"]["error"] == 0.5 and "seconds" in results["a"]
    assert [file.name for file in tmp_path.iterdir()] == ["task.json"]
    record.record("task", {"steps": 3}, "abcd", run, tmp_path)
    assert done == list("abcd")
    with pytest.raises(SystemExit, match="recorded with other settings.*Delete it to record anew"):
        record.record("task", {"steps": 4}, "abcd", run, tmp_path)


def test_rounding_keeps_significant_digits():
    assert record.rounded(0.00712345) == 0.007123 and record.rounded(123456.0) == 123500 and record.rounded(0.0) == 0


def test_an_unknown_record_is_named():
    with pytest.raises(FileNotFoundError, match="nothing is recorded as 'nothing'; expected one of .*nbody"):
        recorded.load("nothing")


def load(script):
    """The module of a script. It is not left in sys.modules: a benchmark may have the same name."""
    spec = importlib.util.spec_from_file_location(script, ROOT / "reproductions" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_does_and_is_recorded(script):
    """The settings of the file are those in the script: what is recorded can be made again."""
    text = (ROOT / "reproductions" / f"{script}.py").read_text(encoding="utf-8")
    assert f"python reproductions/{script}.py" in text
    names = re.findall(r"course_utils/recorded/(\w+)\.json", text)[0]
    for name in ([f"recurring_{target}" for target in ("crystal", "missing", "strain")] if script == "recurring" else [names]):
        found = recorded.load(name)
        assert found["runs"] and all("seconds" in result for result in found["runs"].values())
        assert json.loads(json.dumps(load(script).SETTINGS)) == found["settings"]


def test_the_nbody_error_is_the_papers_or_less():
    runs = recorded.load("nbody")["runs"]
    errors, of_the_lecture = (torch.tensor([runs[f"{form}seed {seed}"]["test"] for seed in range(3)])
                              for form in ("", "the lecture's psi_c, "))
    assert len(runs) == 6 and errors.max() <= 0.0071 and of_the_lecture.median() <= 0.0071
    assert of_the_lecture.max() > 0.01  # one seed of three explodes, and does not recover
    for run in runs.values():
        epochs, validation = zip(*run["curve"])
        assert run["validation"] == min(validation) and run["epoch"] == epochs[validation.index(min(validation))]
        assert run["seconds"] < 15 * 60


def percents():
    return {key: run["percent"] for key, run in recorded.load("dojo")["runs"].items()}


@pytest.mark.parametrize("fold", [2, 3, 5, 10])
def test_vectors_cannot_tell_how_spokes_are_turned(fold):
    found = {key.split(" | ")[1]: value for key, value in percents().items() if key.startswith(f"{fold} spokes")}
    for network in "EGNN", "GVP":
        assert found[network] == [50.0] * 5
        assert found[f"{network} and a marker"] == [100.0] * 5  # the control: it can learn, if there is something to see
    for network in found:
        if network.startswith("steerable"):
            assert found[network] == [100.0 if int(network.rsplit(" ", 1)[1]) >= fold else 50.0] * 5, network


@pytest.mark.parametrize("k", [2, 4])
def test_chains_need_depth_and_more_than_distances(k):
    for key, value in percents().items():
        if key.startswith(f"chain of {k} "):
            network, rounds = re.search(r"\| (.*), (\d) rounds", key).groups()
            if network == "distances" or int(rounds) <= k // 2:
                assert value == [50.0] * 5, key
    for network in "EGNN", "GVP", "steerable, l = 1":
        best = max(sum(value) for key, value in percents().items() if key.startswith(f"chain of {k} | {network},"))
        assert best >= 400, network


def test_counterexamples_of_one_layer():
    found = percents()
    assert all(found[f"{which} | EGNN"] == [50.0] * 5 for which in dojo.COUNTEREXAMPLES)
    assert [found[f"{which} | GVP"] for which in dojo.COUNTEREXAMPLES] == [[100.0] * 5, [50.0] * 5, [50.0] * 5, [50.0] * 5]
    assert found["two-body | EGNN, all pairs, 3 rounds"] == [100.0] * 5


def synthetic_errors():
    """{(network, task): the test errors of all seeds}"""
    found = {}
    for key, run in recorded.load("synthetic")["runs"].items():
        found.setdefault(tuple(key.split(", ")[:2]), []).append(run["test"])
    return found


def test_both_networks_learn_the_synthetic_tasks():
    """1 is the best constant. The runs are alike: the same seeds and steps, and about as many parameters."""
    runs = recorded.load("synthetic")["runs"]
    assert len(runs) == 2 * 3 * 2 and all(len(errors) == 2 for errors in synthetic_errors().values())
    for run in runs.values():
        steps, validation = zip(*run["curve"])
        assert run["validation"] == min(validation) and steps[-1] == 2400
        assert abs(run["parameters"] / 22_000 - 1) < 0.05
    assert max(max(errors) for errors in synthetic_errors().values()) < 0.5


def test_without_vectors_off_centre_is_learnt_as_well():
    """The paper has 0.871 without and 0.206 with vectors: here the two networks' seeds overlap."""
    without, with_vectors = (synthetic_errors()[network, "off-centre"] for network in ("GNN", "GVP"))
    assert max(without) < 0.871 / 2 and min(without) < max(with_vectors) and min(with_vectors) < max(without)


def test_the_script_says_the_synthetic_errors():
    text = (ROOT / "reproductions" / "synthetic.py").read_text(encoding="utf-8")
    for task in synthetic.TASKS:
        printed = re.search(rf"    {task} +([\d.]+) and ([\d.]+) \S+ +([\d.]+) and ([\d.]+) ", text).groups()
        errors = synthetic_errors()["GNN", task] + synthetic_errors()["GVP", task]
        assert [f"{error:.2f}" for error in errors] == list(printed)
