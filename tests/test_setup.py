"""The set-up: files that name packages, versions and commands agree with each other and with what is installed."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from conftest import group_of, pytest_xdist_make_scheduler
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def project():
    return tomllib.loads(text("pyproject.toml"))["project"]


def pins():
    """{canonical name: version} of constraints.txt."""
    split = (line.split("==") for line in text("constraints.txt").splitlines())
    return {canonicalize_name(name): pin for name, pin in split}


def needed(requirements):
    """{canonical name: installed version} of everything that the requirements bring to this machine."""
    found, seen = {}, set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        found[canonicalize_name(wanted.name)] = metadata.version(wanted.name)
        for need in map(Requirement, metadata.requires(wanted.name) or []):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ["", *wanted.extras]):
                waiting.append(need)
    return found


def commands():
    """README's command lines that make an environment."""
    return re.findall(r"(?:python3|py) -m venv [^`\n]*(?:lab notebooks|-m pytest[^`\n]*)", text("README.md"))


def test_environment_agrees_with_pyproject():
    environment = text("environment.yml")
    python, pip, below = yaml.safe_load(environment)["dependencies"]
    assert python == f"python{project()['requires-python']}"
    assert pip == "pip" and below == {"pip": ["-c constraints.txt", "-e ."]}
    assert not re.search(r"\d", environment.replace(python, "")), "a version is said twice"


def test_the_six_packages_of_the_comment_are_dependencies():
    built_on = re.search(r"built on (.*):", text("environment.yml")).group(1).replace(" and ", ", ").split(", ")
    assert len(built_on) == 6
    assert set(built_on) <= {Requirement(line).name for line in project()["dependencies"]}


def test_no_later_widgets_are_installed_without_constraints():
    """Only the pinned pair shows a widget in slides."""
    bounds = {need.name: need.specifier for need in map(Requirement, project()["dependencies"])}
    for name in ("ipywidgets", "jupyterlab-widgets"):
        *version, last = pins()[name].split(".")
        assert pins()[name] in bounds[name]
        assert ".".join([*version, str(int(last) + 1)]) not in bounds[name]


def test_constraints_are_exact_sorted_and_single():
    lines = text("constraints.txt").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==\d+(\.\w+)*", line)] == []
    assert list(pins()) == sorted(pins()) and len(pins()) == len(lines)


def test_constraints_cover_what_is_installed():
    asked = project()["dependencies"] + project()["optional-dependencies"]["test"]
    installed = {name: version.split("+")[0] for name, version in needed(asked).items()}  # torch may be 2.13.0+cpu
    assert len(installed) > 100
    wrong = [f"{name}: {version} installed, {pins().get(name, 'nothing')} pinned"
             for name, version in installed.items() if version != pins().get(name)]
    assert not wrong, "install with `-c constraints.txt`, or pin anew: " + "; ".join(wrong)


def test_readme_has_two_commands_in_two_spellings_and_all_are_constrained():
    linux, windows = ([line for line in commands() if line.startswith(start)] for start in ("python3 ", "py "))
    assert ["jupyter lab" in line for line in linux] == [True, False] and "-m pytest" in linux[1]
    assert windows == [line.replace("python3", "py").replace(" && ", "; ").replace(".venv/bin/", ".venv\\Scripts\\")
                       for line in linux]
    for line in linux:
        assert line.count("pip install") == line.count("pip install -c constraints.txt -e ") == 1


def test_ci_finds_readmes_test_command():
    script = text(".ci/run")
    pattern = re.search(r"grep -m 1 -oE '(.*)' README\.md", script).group(1)
    found = [match.group() for line in text("README.md").splitlines() if (match := re.search(pattern, line))]
    assert found[0] in commands()
    assert 'course" build --check' in script


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_ci_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.slow
def test_what_is_loaded_is_declared():
    """Nothing works only because a package for tests or for data happens to be installed."""
    code = ("import sys\nfrom importlib import metadata\n"
            "from course_utils import datasets, egnn, exercises, frames, gvp, microscope, plotting, training, widgets\n"
            "from course_utils import graphs, neighbors\n"
            "club = datasets.karate_club()\nplotting.layout(club.edge_index, club.num_nodes)\n"
            "neighbors.radius_graph(graphs.torch.randn(500, 3), 0.5)\n"
            "owners = metadata.packages_distributions()\n"
            "print(*{owner for name in sys.modules for owner in owners.get(name.split('.')[0], [])})")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    looked_for_by_torch = {"opt-einsum"}  # it einsums without it as well
    assert {canonicalize_name(name) for name in loaded} - looked_for_by_torch <= {*needed(project()["dependencies"]), "course-utils"}


@pytest.mark.slow
@pytest.mark.parametrize("statement, heavy", [
    ("import course_utils", {"torch", "numpy", "matplotlib", "IPython", "ipywidgets", "networkx"}),
    ("import course_utils.cli", {"torch", "numpy", "matplotlib", "IPython", "ipywidgets", "networkx"}),
    ("from course_utils import egnn, frames, graphs, gvp, microscope", {"matplotlib", "IPython", "ipywidgets", "networkx"}),
])
def test_imports_are_light(statement, heavy):
    command = [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "course_utils" in loaded
    assert heavy & set(loaded) == set()


def test_processes_share_tests_by_what_they_have_in_common(pytestconfig, monkeypatch):
    def notebook_test(name, parameters):
        return group_of(f"tests/test_notebooks.py::{name}[{parameters}]")

    assert notebook_test("test_a", "01-master") == notebook_test("test_b", "01-master")
    assert notebook_test("test_a", "01-master") != notebook_test("test_a", "01-blank")
    assert group_of("tests/test_browser.py::test_a") == group_of("tests/test_browser.py::test_b[x]")
    assert group_of("tests/test_graphs.py::test_a") != group_of("tests/test_graphs.py::test_b")
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen"])
    monkeypatch.setattr(pytestconfig.option, "loadscopereorder", True)
    monkeypatch.setattr(pytestconfig.option, "dist", "load")
    scheduler = pytest_xdist_make_scheduler(pytestconfig, None)
    assert scheduler._split_scope("tests/test_browser.py::test_a") == "tests/test_browser.py"
    assert not pytestconfig.option.loadscopereorder, "slow tests would no longer come first"
    monkeypatch.setattr(pytestconfig.option, "dist", "worksteal")
    assert pytest_xdist_make_scheduler(pytestconfig, None) is None
