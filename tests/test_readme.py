"""The README and the other pages against what is in the repository."""

import re
import textwrap
from pathlib import Path
from statistics import median

import nbformat
import pytest
import torch

from course_utils import graphs, recorded
from course_utils.exercises import nb01_graph_tasks, of_notebook
from course_utils.exercises.run import call_all
from course_utils.exercises.verdict import judge
from course_utils.microscope import check_equivariance

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WRITTEN = {path.stem for path in (ROOT / "solutions").glob("[0-9][0-9]_*.ipynb")}


def table(heading):
    """The rows of the table under a heading, as lists of cells."""
    lines = README[README.index(heading):].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_slide_title_is_in_the_table_with_a_section_that_exists():
    where = {title.upper(): place for title, place in table("## Every slide of the lecture")}
    titles = (Path(__file__).parent / "slide_titles.txt").read_text(encoding="utf-8").splitlines()
    assert set(titles) == set(where)
    for place in where.values():
        links = re.findall(r"\[\d+, ([^\]]+)\]\(notebooks/(\w+)\.ipynb\)", place)
        for section, notebook in links:
            cells = nbformat.read(ROOT / "solutions" / f"{notebook}.ipynb", as_version=4).cells
            assert section == "opening" or any(f"## {section}" in cell.source.splitlines() for cell in cells), place
        assert links or place.startswith(("this page", "not yet written", "references"))
        for number in re.findall(r"not yet written.*?notebooks? (\d+)(?: and (\d+))?", place):
            assert not any(name.startswith(f"{int(n):02}_") for n in number if n for name in WRITTEN), place


def test_the_table_of_notebooks_says_which_are_written():
    rows = table("## The notebooks")
    assert [row[0] for row in rows] == [str(n) for n in range(1, 13)]
    assert WRITTEN <= set(re.findall(r"`(\d\d_\w+)`", "".join(row[1] for row in rows)))
    for row in rows:
        name = re.search(r"`(\d\d_\w+)`", row[1]).group(1)
        assert ("not yet written" not in row[1]) == (name in WRITTEN)


def test_the_library_is_listed_with_slides_that_exist():
    titles = {title.upper() for title in (Path(__file__).parent / "slide_titles.txt").read_text(encoding="utf-8").splitlines()}
    section = README[README.index("## The library"):README.index("## How to present")]
    for module, slides, _ in table("then the code in the same letters."):
        assert slides == "the same" or {slide.upper() for slide in slides.split("; ")} <= titles, module
    listed = set(re.findall(r"`(\w+)`", section))
    modules = {path.stem for path in (ROOT / "course_utils").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__"} <= listed


def test_what_the_microscope_says_in_the_readme():
    shown = re.search(r"```text\n>>> from.*?\n>>> (.*?)\n(.*?)\n```", README, flags=re.S)
    report = eval(shown.group(1), {"torch": torch, "check_equivariance": check_equivariance})  # noqa: S307  our own page
    figure = re.compile(r"\de[-+]\d\d( [a-z]+( point)?\b)?")  # rounding, and where it is worst, differ between machines

    def words(text):
        return [figure.sub("", line).split() for line in text.splitlines()]

    assert words(shown.group(2)) == words(repr(report))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "solutions/README.md"])
def test_links_and_named_files_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    for name in re.findall(r"`((?:course_utils|tests|tools|solutions|notebooks)/[\w./]+)`", text):
        assert "NN" in name or "NAME" in name or (ROOT / name).exists(), name


def test_the_figure_is_said_to_show_what_is_recorded():
    runs = recorded.load("recurring_missing")["runs"]
    alt = re.search(r"!\[(.*?)\]\(solutions/recurring\.png\)", README)[1]
    said = re.findall(r"(?<=[:,] )([A-Za-z ]+) (\d\.\d{3})(?=[,.])", alt)
    assert len(said) == 6
    assert said == [(m, f"{median(runs[f'{m}, 256, seed {k}']['turned'] for k in range(5)):.3f}") for m, _ in said]


def test_the_instructors_page_lists_every_exercise_with_its_points():
    text = (ROOT / "solutions" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \|", text, flags=re.M)
    assert listed == [(e.name, str(e.points)) for name in sorted(WRITTEN) for e in of_notebook(name)], (
        "list every exercise in solutions/README.md, in the order of its declaration")


def test_the_example_in_contributing_works(monkeypatch):
    """The exercise that CONTRIBUTING.md adds, word for word."""
    def out_degrees(edge_index, num_nodes):
        return torch.bincount(edge_index[0], minlength=num_nodes)

    monkeypatch.setattr(graphs, "out_degrees", out_degrees, raising=False)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = dict(vars(nb01_graph_tasks))
    for block in re.findall(r"   ```python\n(.*?)   ```", text, flags=re.S):
        exec(textwrap.dedent(block), names)  # noqa: S102  our own page
    exercise = names["out_degrees"]
    cases = exercise.cases()
    for function, state in ((out_degrees, "right"), (exercise.misconceptions[0].wrong, "wrong")):
        found = judge(exercise, cases, call_all(function, cases, exercise.parameters, 5))
        assert found.state == state
    assert found.misconception == "in-degree"
