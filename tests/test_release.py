"""What students get, what Gradescope runs, and nbgrader on the same notebooks."""

import csv
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest
import submissions
from grading_helpers import one_server
from short_training import with_short_training

from course_utils.cli import main
from course_utils.grading import judge
from course_utils.grading.judge import Terms

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    assert main(["release", str(folder / "student.zip"), "--root", str(ROOT)]) == 0
    with zipfile.ZipFile(folder / "student.zip") as archive:
        archive.extractall(folder)
    return folder / "student"


def test_students_get_no_master_no_solution_and_no_instructors_cell(packed):
    files = [path for path in packed.rglob("*") if path.is_file()]
    assert {path.stem for path in packed.glob("notebooks/*")} == set(submissions.NAMES)
    assert not [path for path in files if "solutions" in path.parts or "tests" in path.parts]
    for path in packed.glob("notebooks/*.ipynb"):
        text = path.read_text()
        assert "### BEGIN SOLUTION" not in text and '"instructor"' not in text
        assert json.loads(text)["cells"] == submissions.load(path.stem)["cells"]


def test_the_students_readme_works_when_it_is_followed(packed):
    """Its command, in an environment that has the dependencies already; in place of JupyterLab a notebook; then an exercise is
    taken back. That the dependencies are those that the library loads is tested in test_setup.py."""
    command = re.search(r"```sh\n(.*)\n```", (packed / "README.md").read_text())[1]
    assert command.endswith(".venv/bin/jupyter lab notebooks")
    run_notebook = "python -m nbconvert --execute --to notebook --output ran notebooks/01_graph_tasks.ipynb"
    command = command.replace("jupyter lab notebooks", run_notebook)
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", packed / ".venv"], check=True)
    (site,) = packed.glob(".venv/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    done = subprocess.run(["bash", "-c", command], cwd=packed, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"state": "not started"' in (packed / "notebooks" / "ran.ipynb").read_text()
    taken_back = subprocess.run([packed / ".venv" / "bin" / "python", "-c", "from course_utils.grading import reset; reset('degrees')"],
                                cwd=packed / "notebooks", env=env, capture_output=True, text=True, check=True)
    assert taken_back.stdout.strip().startswith("def degrees(edge_index, num_nodes):") and "..." in taken_back.stdout


def test_the_gradescope_zip_runs_as_gradescope_runs_it(tmp_path, capsys):
    assert main(["grade", "--gradescope-zip", str(tmp_path / "autograder.zip"), "--root", str(ROOT)]) == 0
    source = tmp_path / "source"
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(source)
    assert not [path for path in source.rglob("*") if "solutions" in path.parts]
    setup = (source / "setup.sh").read_text()
    assert 'pip install -c course/constraints.txt -e "course[grade]"' in setup
    subprocess.run(["bash", "-n", source / "setup.sh"], check=True)
    # This environment stands in for the one that setup.sh makes, and imports the packed library.
    (source / "venv" / "bin").mkdir(parents=True)
    course = source / "venv" / "bin" / "course"
    course.write_text(f"#!/bin/sh\nPYTHONPATH={source}/course exec {sys.executable} -c 'from course_utils.cli import main; raise SystemExit(main())' \"$@\"\n")
    course.chmod(0o755)
    for folder in ("submission", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "submission" / "my work.ipynb").write_bytes(submissions.named("half").content)
    done = subprocess.run(["bash", source / "run_autograder"], env=os.environ | {"AUTOGRADER": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert (results["score"], [test["score"] for test in results["tests"]]) == (3, [1, 0, 2, 0])
    assert results["extra_data"]["level"] in ("full", "container")


def test_nbgrader_gives_the_same_points(tmp_path):
    """`nbgrader autograde` on a perfect, a half and a blank notebook 1, as they are handed out."""
    pytest.importorskip("nbgrader")
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'gnn'\nc.ExecutePreprocessor.timeout = 120\n")
    perfect = submissions.as_bytes(submissions.filled())
    half, blank = (submissions.named(name).content for name in ("half", f"blank_{submissions.ONE}"))
    folders = {"source": blank, "submitted/perfect": perfect, "submitted/half": half, "submitted/blank": blank}
    for name, content in folders.items():
        folder = tmp_path / name / "hw"
        folder.mkdir(parents=True)
        notebook = nbformat.reads(content.decode(), as_version=4)
        nbformat.write(with_short_training(notebook), folder / f"{submissions.ONE}.ipynb")
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # nbgrader calls alembic by name
    for command in (["generate_assignment", "hw", "--force"], ["autograde", "hw", "--force"], ["export"]):
        done = subprocess.run([sys.executable, "-m", "nbgrader", *command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    points = {line["student_id"]: float(line["raw_score"]) for line in csv.DictReader(open(tmp_path / "grades.csv"))}
    assert points == {"perfect": 7.0, "half": 3.0, "blank": 0.0}
    for name, expected in points.items():
        content = (tmp_path / "submitted" / name / "hw" / f"{submissions.ONE}.ipynb").read_bytes()
        (graded,) = judge.grade(content, one_server(), Terms("secret"))
        assert graded.points == expected
