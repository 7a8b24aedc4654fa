"""The build: what students get, what stops it, and that it never loses work."""

import copy
import json
import os
import re
import subprocess
import sys
import types
import zlib

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import course_utils
from course_utils import cli
from course_utils.grading import build as builder
from course_utils.grading.build import BEGIN, END, BuildError, build, differences, student_version

EXERCISES = {"double": 2, "negate": 3}


def cell(source, kind="code", id=None, **metadata):
    made = {"cell_type": kind, "id": id or f"{zlib.crc32(source.encode()):08x}", "metadata": metadata, "source": source}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def text(source, **metadata):
    return cell(source, "markdown", **metadata)


def solution(name="double", body="return 2 * x", **metadata):
    return cell(f'def {name}(x):\n    """Of x."""\n    {BEGIN}\n    {body}\n    {END}', **metadata)


def check(name="double", **metadata):
    return cell(f"check({name})", **metadata)


def notebook(*cells, **metadata):
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def master():
    return notebook(text("# Doubling"), cell("import math\nfrom course_utils.exercises import check"),
                    text("the answer: 42", tags=["instructor"]), solution(), check(),
                    solution("negate", "return -x"), check("negate"), cell("check()"))


def ran(cells, count=7):
    """The same cells as after Run All in Jupyter."""
    output = {"data": {"text/plain": ["42"]}, "execution_count": count, "metadata": {}, "output_type": "execute_result"}
    return [c | {"execution_count": count, "outputs": [output],
                 "metadata": c["metadata"] | {"execution": {"iopub.execute_input": "2030-01-01T00:00:00Z"}}}
            if c["cell_type"] == "code" else c for c in cells]


def save(path, made, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{json.dumps(made, **({'indent': 1, 'ensure_ascii': False} | how))}\n".encode())
    return path


def load(path):
    made = json.loads(path.read_bytes())
    for c in made["cells"]:
        c["source"] = "".join(c["source"])
    return made


def exercises_of(name):
    return EXERCISES if name == "01_first" else {}


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path):
    """A course of two notebooks that was built."""
    (tmp_path / "pyproject.toml").touch()
    save(tmp_path / "solutions" / "01_first.ipynb", master())
    save(tmp_path / "solutions" / "02_second.ipynb", notebook(text("# Nothing to do")))
    build(tmp_path, exercises_of)
    return tmp_path


@pytest.fixture
def first(root):
    return root / "notebooks" / "01_first.ipynb"


def edit(path, at, source):
    made = load(path)
    made["cells"][at]["source"] = source
    save(path, made)


# What students get

def test_students_get_stubs_locked_checks_and_no_instructor_cells():
    made = student_version(master(), EXERCISES)
    nbformat.validate(nbformat.from_dict(made))
    assert [c["source"] for c in made["cells"]] == [
        "# Doubling", "import math\nfrom course_utils.exercises import check",
        'def double(x):\n    """Of x."""\n    ...', "check(double)",
        'def negate(x):\n    """Of x."""\n    ...', "check(negate)", "check()"]
    assert made["cells"][2]["metadata"] == {"nbgrader": {
        "grade": False, "grade_id": "double", "locked": False, "schema_version": 3, "solution": False, "task": False}}
    assert made["cells"][5]["metadata"] == {"deletable": False, "editable": False, "nbgrader": {
        "grade": True, "grade_id": "check_negate", "locked": True, "points": 3, "schema_version": 3, "solution": False,
        "task": False}}
    assert made["cells"][6]["metadata"] == {}, "check() sums up, and is not a check of an exercise"


def test_traces_of_running_go_and_what_the_author_set_stays():
    chosen = {"tags": ["wide"], "slideshow": {"slide_type": "fragment"}, "editable": False, "jupyter":
              {"outputs_hidden": True, "source_hidden": True}}
    traces = {"ExecuteTime": {"end_time": "2030"}, "collapsed": True, "execution": {}, "scrolled": "auto",
              "trusted": True, "nbgrader": {"grade_id": "old", "grade": False}}
    picture = {"a.png": {"image/png": "AAAA"}}
    given = notebook(cell("1 + 1", **chosen, **traces), text("![](attachment:a.png)") | {"attachments": picture},
                     cell("raw", "raw", format="text/html"), widgets={"state": {}}, language_info={"version": "3.99"})
    made = student_version(given | {"cells": ran(given["cells"])}, {})
    assert [c["metadata"] for c in made["cells"]] == [chosen, {}, {"format": "text/html"}]
    assert made["cells"][1]["attachments"] == picture
    assert made["cells"][0]["outputs"] == [] and made["cells"][0]["execution_count"] is None
    assert set(made["metadata"]) == {"kernelspec", "language_info", "course"}
    assert made["metadata"]["language_info"] == {"name": "python"}
    assert given["cells"][0]["metadata"] == chosen | traces, "the master that was given is not changed"


def test_a_solution_that_a_master_hides_is_shown_as_a_stub():
    hidden = solution(jupyter={"source_hidden": True}, tags=["wide"])
    made = student_version(notebook(hidden, check()), {"double": 1})["cells"][0]["metadata"]
    assert made["jupyter"] == {} and made["tags"] == ["wide"]
    assert hidden["metadata"] == {"jupyter": {"source_hidden": True}, "tags": ["wide"]}


def test_ids_stay_and_a_cell_without_one_gets_the_same_at_each_build():
    given = notebook(text("a", id="mine"), text("b"), text("b"))
    del given["cells"][1]["id"], given["cells"][2]["id"]
    once, twice = student_version(given, {}), student_version(copy.deepcopy(given), {})
    ids = [c["id"] for c in once["cells"]]
    assert ids == [c["id"] for c in twice["cells"]] and ids[0] == "mine" and len(set(ids)) == 3
    nbformat.validate(nbformat.from_dict(once))


SECRET = ["secret_1 = h @ W", "return secret_2", "for secret_3 in range(3):\n    secret_4 += 1", "# secret_5", "",
          'secret_6 = """\nsecret_7\n  ..."""', "def secret_8():\n    return secret_9"]
GIVEN = ["h = x", "# a hint", "", "if x:\n    pass", "...", 'y = "### END"', "return x"]
ABOVE = ["import math", "%matplotlib inline", "!pip list", "# é", "", "def helper(x):\n    return x", "a = !ls"]


@st.composite
def exercise_cells(draw):
    """A cell with its solutions, and the same cell as it should look for a student."""
    space = draw(st.sampled_from(["    ", "  ", "\t"]))
    above = draw(st.lists(st.sampled_from(ABOVE), max_size=3))
    head = draw(st.sampled_from(["def double(x):", "async def double(x, *, y=2):", "@cached\ndef double(\n  x,\n):",
                                 "class double(Base):\n" + space + "def forward(self, x):"]))
    depth = 2 if head.startswith("class") else 1
    full, stub = [*above, *head.split("\n")], [*above, *head.split("\n")]

    def add(lines, source, at):
        lines.extend(space * at + line if line else line for line in source.split("\n"))

    if draw(st.booleans()):
        for lines in (full, stub):
            add(lines, '"""Rows are nodes; h^(k+1) = … of shape (n, d)."""', depth)
    for _ in range(draw(st.integers(1, 3))):
        for statement in draw(st.lists(st.sampled_from(GIVEN), max_size=2)):
            add(full, statement, depth)
            add(stub, statement, depth)
        at = depth + (nested := draw(st.booleans()))
        for lines in (full, stub):
            add(lines, "while x:", depth) if nested else None
            add(lines, BEGIN if lines is full else "...", at)
        for statement in draw(st.lists(st.sampled_from(SECRET), max_size=4)) + ["secret_0 = 1"]:
            add(full, statement, at)
        add(full, END, draw(st.sampled_from([0, at])))
    return "\n".join(full), "\n".join(stub)


@given(exercise_cells())
def test_a_stub_is_its_solution_minus_the_solution(cells):
    full, stub = cells
    made = student_version(notebook(*ran([cell(full)]), check()), {"double": 1})
    assert made["cells"][0]["source"] == stub
    assert not any(leak in json.dumps(made) for leak in ("secret", "BEGIN", "END SOLUTION"))


# What stops the build

MALFORMED = {
    "no end": ([cell(f"def double(x):\n    {BEGIN}\n    return x")],
               r"cell 1 \('def double\(x\):'\): line 2 begins a solution that has no end\. Put ### END SOLUTION below"),
    "no beginning": ([text("a"), cell(f"def double(x):\n    return x\n    {END}")],
                     r"cell 2 .*line 3 ends a solution that has no beginning\. Put ### BEGIN SOLUTION above"),
    "nested": ([cell(f"def double(x):\n    {BEGIN}\n    {BEGIN}\n    return x\n    {END}\n    {END}")],
               r"line 3 begins a solution inside the one that begins on line 2"),
    "misspelt": ([cell("def double(x):\n    ### Begin solution\n    return x\n    ### End solution")],
                 r"line 2 is '### Begin solution', and students would see .* Write ### BEGIN SOLUTION"),
    "marker after code": ([cell(f"def double(x):\n    return x  {BEGIN}")], r"line 2 is 'return x  ### BEGIN SOL"),
    "unknown check": ([check("duoble")], r"duoble is not an exercise of this notebook\. Did you mean double\?"),
    "unknown check, nothing close": ([cell("exercises.check(zzz)")], r"zzz is not .* Declared are: double, negate\."),
    "the library's own": ([cell("check(graphs.negate)")], r"graphs\.negate is not .* Did you mean negate\?"),
    "unknown solution": ([solution("doubled")], r"doubled is not an exercise .* Did you mean double\?"),
    "no check": ([solution(), solution("negate"), check("negate")],
                 r"double, in cell 1, has no check\. Add a cell with check\(double\)"),
    "no solution": ([check(), solution("negate"), check("negate")],
                    r"no cell holds the solution of double, which is declared .* Define it"),
    "checked twice": ([solution(), check(), cell("check( double )")],
                      r"cell 3 .*cell 2 is the check of this exercise already\. Keep one"),
    "solved twice": ([solution(), solution(body="return x + x")], r"cell 2 .*cell 1 is the solution of this exercise"),
    "two in a cell": ([cell("check(double)\ncheck(negate)")],
                      r"it holds check\(double\), check\(negate\)\. Give each exercise, and each check, a cell"),
    "solution and check": ([cell(solution()["source"] + "\ncheck(double)")], r"it holds double, check\(double\)\."),
    "bare solution": ([cell(f"{BEGIN}\ndef double(x):\n    return x\n{END}")],
                      r"the solution is not in the body of a function or class\. Put ### BEGIN SOLUTION below the sig"),
    "solution in a text": ([cell(f'def double(x):\n    """\n    {BEGIN}\n    {END}\n    """')], r"not in the body of"),
    "invalid without it": ([cell(f"def double(x):\n    {BEGIN}\n    if x:\n        {END}\n        return x")],
                           r"without the solution, the cell is not valid Python: .*line 3\)"),
    "a break without its loop": ([cell(f"def double(x):\n        {BEGIN}\n    while x:\n        {END}\n        break")],
                                 r"without the solution, the cell is not valid Python: 'break' outside loop"),
    "invalid": ([cell("import math\nx = = 2")], r"cell 1 \('import math'\): the cell is not valid Python: .*line 2\)"),
    "null byte": ([cell("x = 1\0")], r"is not valid Python: source code (string )?cannot contain null bytes"),
    "in a text": ([text(f"Think.\n{BEGIN}\n42\n{END}")], r"it is a markdown cell, and only code .* tag `instructor`"),
    "same id": ([text("a", id="one"), text("b", id="one")], r"cell 2 \('b'\): its id 'one' is that of cell 1 too"),
    "bad id": ([text("a", id="not an id")], r"cell 1, id: 'not an id' does not match"),
    "bad tags": ([text("a"), text("b", tags="instructor")], r"cell 2, metadata, tags: 'instructor' is not of type"),
    "misspelt tag": ([text("a", tags=["Instuctor"])], r"students would see it with its tag 'Instuctor'\."),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_master_stops_the_build_before_anything_is_written(root, case):
    cells, message = MALFORMED[case]
    save(root / "solutions" / "01_first.ipynb", notebook(*ran(cells)))
    save(root / "solutions" / "02_second.ipynb", notebook(*ran([text("# New"), cell("1")])))
    before = snapshot(root)
    with pytest.raises(BuildError, match=r"^solutions/01_first\.ipynb: .*" + message):
        build(root, exercises_of, force=True)
    assert snapshot(root) == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"cells": []}',
                                     b'{"nbformat": 4, "metadata": {}, "cells": 3}',
                                     b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}',
                                     b'{"nbformat": 3, "worksheets": [], "metadata": {}}'])
def test_a_master_that_is_no_notebook_stops_the_build(root, content):
    (root / "solutions" / "02_second.ipynb").write_bytes(content)
    before = snapshot(root)
    with pytest.raises(BuildError, match=r"solutions/02_second\.ipynb: it cannot be read as a notebook: .*version con"):
        build(root, exercises_of)
    assert snapshot(root) == before


def test_all_malformed_masters_are_told_at_once(root):
    save(root / "solutions" / "01_first.ipynb", notebook(check("doubble")))
    save(root / "solutions" / "02_second.ipynb", notebook(cell("x =")))
    with pytest.raises(BuildError, match=r"(?s)01_first.*doubble.*\n.*02_second.*not valid Python"):
        build(root, exercises_of)


@pytest.mark.parametrize("source", [
    "%matplotlib inline\n!pip list\nx = !ls\ngraph?", "%%time\nx = 1", "%%html\n<b>check(me)</b>", "await later()",
    "print('check(me)')  # check(me)", "checked(me)", "grader.check(me)", "x = (7\n     % 4)"])
def test_cells_that_are_fine(source):
    assert student_version(notebook(cell(source)), {})["cells"][0]["source"] == source


def test_what_an_instructors_cell_does_is_not_asked():
    given = notebook(solution(), check(), cell("check(wrong)", tags=["instructor"]), check(tags=["instructor"], id="b"))
    assert len(student_version(given, {"double": 1})["cells"]) == 2


# Stable bytes

def test_a_second_build_changes_nothing(root):
    before = snapshot(root)
    done, refused = build(root, exercises_of)
    assert done == ["notebooks/01_first.ipynb is up to date.", "notebooks/02_second.ipynb is up to date."]
    assert not refused and snapshot(root) == before and differences(root, exercises_of) == []


def test_the_same_master_saved_by_another_program_gives_the_same_bytes(root):
    def reordered(value):
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in reversed(value)}
        return [reordered(v) for v in value] if isinstance(value, list) else value

    picture = {"a.svg": {"image/svg+xml": "<svg>\n</svg>"}}
    given = master() | {"cells": [*master()["cells"], text("Größe\u2028\x0cé\n") | {"attachments": picture}]}
    path = root / "solutions" / "01_first.ipynb"
    save(path, given)
    build(root, exercises_of)
    before = (root / "notebooks" / "01_first.ipynb").read_bytes()

    split = copy.deepcopy(given)
    for c in split["cells"]:
        c["source"] = c["source"].splitlines(keepends=True)
    split["cells"][-1]["attachments"]["a.svg"]["image/svg+xml"] = ["<svg>\n", "</svg>"]
    save(path, reordered(split), indent=4, ensure_ascii=True)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert differences(root, exercises_of) == []
    assert before.endswith(b"\n}\n") and b"\r" not in before and "Größe".encode() in before
    made = json.loads(before)
    assert before == f"{json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()


def test_a_build_strips_its_masters_and_nothing_else_in_them(root):
    path = root / "solutions" / "01_first.ipynb"
    clean = master() | {"metadata": {"widgets": {"kept": 1}, "authors": ["é"]}}
    for c in clean["cells"]:
        c["source"] = c["source"].splitlines(keepends=True)
    dirty = copy.deepcopy(clean)
    dirty["cells"][1]["execution_count"] = 3
    dirty["cells"][3]["outputs"] = [{"name": "stdout", "output_type": "stream", "text": ["42\n"]}]
    save(path, dirty)
    [found] = differences(root, exercises_of)
    assert found == "solutions/01_first.ipynb, cell 2 stores an output or an execution count."
    assert json.loads(path.read_bytes()) == dirty, "looking changes nothing"
    done, _ = build(root, exercises_of)
    assert "solutions/01_first.ipynb has lost the outputs and execution counts of 2 cells." in done
    assert path.read_bytes() == f"{json.dumps(clean, indent=1, ensure_ascii=False)}\n".encode()


def test_out_writes_there_and_nowhere_else(root, tmp_path_factory):
    save(root / "solutions" / "01_first.ipynb", notebook(*ran(master()["cells"])))
    before, out = snapshot(root), tmp_path_factory.mktemp("out") / "new" / "folder"
    done, refused = build(root, exercises_of, out=out)
    assert snapshot(root) == before and sorted(p.name for p in out.iterdir()) == ["01_first.ipynb", "02_second.ipynb"]
    assert (out / "01_first.ipynb").read_bytes() == (root / "notebooks" / "01_first.ipynb").read_bytes()


# A student's work

def test_work_is_left_alone_and_the_others_are_written(root, first):
    save(first, load(first) | {"cells": ran(load(first)["cells"])})
    edit(first, 2, "def double(x):\n    return x + x")
    save(root / "solutions" / "02_second.ipynb", notebook(text("# New")))
    before = first.read_bytes()
    done, refused = build(root, exercises_of)
    assert first.read_bytes() == before and done == ["notebooks/02_second.ipynb is written."]
    assert len(refused) == 1 and refused[0].startswith(
        'notebooks/01_first.ipynb holds work, so it is left as it is: cell 3:\n    expected:     """Of x."""\n'
        "    found:        return x + x\n")
    assert "--force" in refused[0]


def test_force_keeps_a_copy_under_the_next_free_name(root, first):
    fresh = first.read_bytes()
    edit(first, 0, "my notes")
    mine = first.read_bytes()
    taken = first.with_name("01_first.kept-1.ipynb")
    taken.write_bytes(b"older")
    done, refused = build(root, exercises_of, force=True)
    assert done[0] == "notebooks/01_first.ipynb is written. What it held is in 01_first.kept-2.ipynb." and not refused
    assert first.read_bytes() == fresh and taken.read_bytes() == b"older"
    assert first.with_name("01_first.kept-2.ipynb").read_bytes() == mine
    assert differences(root, exercises_of) == [], "kept copies are not extra notebooks"
    build(root, exercises_of, force=True)
    assert len(list(first.parent.glob("*.kept-*"))) == 2, "where there is no work, nothing is copied"


@st.composite
def lives(draw):
    """What may happen to a notebook in Jupyter: a function of it, and whether that is work."""
    at = draw(st.integers(0, 6))
    what = draw(st.sampled_from(["run", "empty", "metadata", "no ids", "type", "delete", "insert", "move", "text"]))
    new = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))

    def live(made):
        cells = made["cells"]
        if what == "run":
            made["cells"] = ran(cells)
        elif what == "empty":
            cells.insert(at, cell(" \n", id="fresh"))
        elif what == "metadata":
            made["metadata"]["language_info"]["version"] = new
            cells[at]["metadata"]["collapsed"] = True
        elif what == "no ids":
            made["nbformat_minor"] = 4
            for c in cells:
                del c["id"]
        elif what == "type":
            cells[at]["cell_type"] = "raw"
        elif what == "delete":
            del cells[at]
        elif what == "insert":
            cells.insert(at, text(new, id="fresh"))
        elif what == "move":
            cells.insert((at + 1) % 7, cells.pop(at))
        elif what == "text":
            cells[at]["source"] += new
        return made
    return live, what in ("type", "delete", "insert", "move", "text")


@settings(max_examples=60)
@given(life=lives(), changed_master=st.booleans())
def test_whatever_is_done_to_a_notebook_work_is_kept_and_running_is_not_work(tmp_path_factory, life, changed_master):
    live, is_work = life
    path = tmp_path_factory.mktemp("student") / "01_first.ipynb"
    given = master()
    save(path, live(student_version(given, EXERCISES)))
    if changed_master:
        given["cells"][0]["source"] = "# A new title"
    content = f"{nbformat.v4.writes(nbformat.from_dict(student_version(given, EXERCISES)))}\n".encode()
    assert bool(builder.students_work(path, content)) == is_work


@pytest.mark.parametrize("content", [b"", b"<<<<<<< HEAD\n{", b"\xff", b"[1]", b'{"nbformat": 4}'])
def test_a_notebook_that_cannot_be_read_is_kept(root, first, content):
    first.write_bytes(content)
    _, refused = build(root, exercises_of)
    assert first.read_bytes() == content and "cannot be read as a notebook" in refused[0]
    build(root, exercises_of, force=True)
    assert first.with_name("01_first.kept-1.ipynb").read_bytes() == content and load(first)["nbformat"] == 4


def test_without_a_digest_only_what_would_be_written_anyway_is_overwritten(root, first):
    made = load(first)
    del made["metadata"]["course"]
    save(first, made)
    assert build(root, exercises_of)[0][0] == "notebooks/01_first.ipynb is written."
    made["cells"][0]["source"] = "# Tripling"
    save(first, made)
    assert "expected: # Doubling\n    found:    # Tripling" in build(root, exercises_of)[1][0]


def test_notebooks_without_a_master_are_left_alone(root):
    mine = save(root / "notebooks" / "my_own.ipynb", notebook(text("mine")))
    before = mine.read_bytes()
    build(root, exercises_of, force=True)
    assert mine.read_bytes() == before


@pytest.mark.parametrize("broken", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_old_notebook(root, first, monkeypatch, broken, error):
    save(root / "solutions" / "01_first.ipynb", notebook(text("# New"), *master()["cells"]))
    before = snapshot(root)

    def breaks(*args):
        raise error
    monkeypatch.setattr(os, broken, breaks)
    with pytest.raises(type(error)):
        build(root, exercises_of)
    assert snapshot(root) == before


# What --check says

def test_differences_name_the_notebook_the_cell_and_the_lines(root, first):
    given = master()
    given["cells"][1]["source"] = "import math\nfrom course_utils import graphs"
    save(root / "solutions" / "01_first.ipynb", given)
    (root / "notebooks" / "02_second.ipynb").unlink()
    save(root / "notebooks" / "03_third.ipynb", notebook())
    save(root / "notebooks" / "01_first.kept-4.ipynb", notebook())
    save(root / "notebooks" / "._01_first.ipynb", notebook())
    save(root / "notebooks" / ".ipynb_checkpoints" / "01_first-checkpoint.ipynb", notebook())
    before = snapshot(root)
    assert differences(root, exercises_of) == [
        "notebooks/01_first.ipynb, cell 2:\n    expected: from course_utils import graphs\n"
        "    found:    from course_utils.exercises import check",
        "notebooks/02_second.ipynb is missing.",
        "notebooks/03_third.ipynb has no master in solutions."]
    assert snapshot(root) == before


@pytest.mark.parametrize("change, message", [
    (lambda cells: cells.pop(), r"cell 7 \('check\(\)'\) is missing\."),
    (lambda cells: cells.append(cell("more")), r"cell 8 \('more'\) is one more than expected\."),
    (lambda cells: cells[1].update(execution_count=3),
     r'cell 2:\n    expected:  "execution_count": null,\n    found:     "execution_count": 3,'),
    (lambda cells: cells[3]["metadata"].pop("editable"), r'cell 4:\n    expected:   "editable": false,\n    found: '),
    (lambda cells: cells[0].update(source="# Doubling\nmore"),
     r"cell 1:\n    expected: \(no line\)\n    found:    more"),
    (lambda cells: cells[0].update(cell_type="raw"), r"cell 1:\n(.|\n)*markdown(.|\n)*raw"),
])
def test_the_first_difference_of_a_cell_is_shown(root, first, change, message):
    made = load(first)
    change(made["cells"])
    save(first, made)
    [found] = differences(root, exercises_of)
    assert re.match(rf"notebooks/01_first\.ipynb, {message}", found), found


@pytest.mark.parametrize("old, new, message", [
    (b'"name": "python"', b'"name": "Python"', ", the notebook's metadata:\n    expected: "),
    (b"\n", b"\r\n", ", written otherwise (the order of keys, the indentation or the ends of lines)"),
    (b"{", b"", ": it cannot be read as a notebook")])
def test_differences_outside_of_the_cells_are_told_too(root, first, old, new, message):
    first.write_bytes(first.read_bytes().replace(old, new))
    [found] = differences(root, exercises_of)
    assert found.startswith(f"notebooks/01_first.ipynb{message}")


def test_another_order_of_keys_is_told_as_such(root, first):
    made = load(first)
    save(first, made | {"cells": [dict(reversed(c.items())) for c in made["cells"]]})
    assert "written otherwise (the order of keys" in differences(root, exercises_of)[0]


# The command

@pytest.fixture
def declared(monkeypatch):
    """Stands for course_utils.exercises: three declarations, without the import of torch."""
    made = [types.SimpleNamespace(name=name, points=points, notebook="01_first") for name, points in EXERCISES.items()]
    module = types.SimpleNamespace(find={e.name: e for e in made}.__getitem__,
                                   of_notebook=lambda notebook: [e for e in made if e.notebook == notebook])
    monkeypatch.setitem(sys.modules, "course_utils.exercises", module)
    monkeypatch.setattr(course_utils, "exercises", module, raising=False)


def test_stub_is_the_students_cell(root, declared, monkeypatch):
    assert builder.stub("double", root) == 'def double(x):\n    """Of x."""\n    ...'
    monkeypatch.chdir(root / "notebooks")
    assert builder.stub("negate").endswith("...")
    with pytest.raises(KeyError):
        builder.stub("nothing", root)


def test_the_course_is_found_from_below_from_the_package_or_not_at_all(root, tmp_path_factory, monkeypatch):
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert builder.find_root().samefile(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(builder, "__file__", str(root / "course_utils" / "grading" / "build.py"))
    assert builder.find_root().samefile(root)
    monkeypatch.setattr(builder, "__file__", str(elsewhere / "a" / "b" / "build.py"))
    with pytest.raises(BuildError, match="holds pyproject.toml and solutions.*--root"):
        builder.find_root()


def test_exit_codes_and_streams(root, first, declared, capsys, monkeypatch):
    def course(*arguments):
        code = cli.main([*map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    at = ("--root", root)
    assert course("build", "--check", *at) == (0, "notebooks and masters agree.\n", "")
    edit(first, 2, "def double(x): return x")
    code, out, err = course("build", *at)
    assert code == 1 and "02_second.ipynb is up to date" in out and "01_first.ipynb holds work" in err
    code, out, err = course("build", "--check", *at)
    assert code == 1 and "found:    def double(x): return x" in out and not err
    code, out, err = course("build", "--force", *at)
    assert code == 0 and "kept-1" in out and not err
    assert course("build", "--check", *at)[0] == 0
    monkeypatch.chdir(root / "notebooks")
    assert course("build", "--check", "--out", root / "new")[1].count("is missing") == 2

    code, out, err = course("build", "--root", root / "notebooks")
    assert code == 2 and "holds no notebook" in err and "--root" in err
    save(root / "solutions" / "01_first.ipynb", notebook(check("doubble")))
    assert course("build", "--check", *at)[0] == course("build", *at)[0] == 2
    with pytest.raises(SystemExit) as stopped:
        cli.main(["build", "--check", "--force"])
    assert stopped.value.code == 2


def test_a_file_that_cannot_be_written_is_told(root, declared, capsys, monkeypatch):
    save(root / "solutions" / "02_second.ipynb", notebook(text("# New")))

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))
    monkeypatch.setattr(os, "replace", refuse)
    assert cli.main(["build", "--root", str(root)]) == 1
    assert "02_second.ipynb" in (err := capsys.readouterr().err) and "Permission denied" in err


def test_help_is_printed_without_loading_what_it_does_not_need():
    code = ("import sys; from course_utils import cli; assert cli.main([]) == 0\n"
            "from course_utils.grading import build\n"
            "sys.exit(' '.join({'torch', 'nbformat', 'course_utils.exercises'} & set(sys.modules)) or 0)")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60)
    assert "build" in ended.stdout
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
