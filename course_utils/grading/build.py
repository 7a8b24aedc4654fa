"""Master notebooks to students' notebooks: `course build`.

``solutions/`` holds the masters, the one source. A students' notebook is its master without the cells tagged
``instructor``, and with ``...`` in place of each solution and of the two lines around it:

    ### BEGIN SOLUTION
    ### END SOLUTION

Check cells are locked, and checks and exercises carry nbgrader's metadata (its schema version 3). Here an exercise is a
name and its points; `course_utils.exercises`, which takes a second to load, is asked only for these.

Students type in ``notebooks/``, and what they typed is never lost. A notebook's metadata holds the digest of its cells
as the build wrote them; one whose cells no longer have that digest is left alone, or copied first. Outputs and
execution counts are not work, as they come back by running. Nor are empty cells: Jupyter adds one below the last cell.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import difflib
import hashlib
import itertools
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
ALMOST_A_MARKER = re.compile(r"#\s*(BEGIN|END)[\s_-]*SOLUTION", re.IGNORECASE)
DROPPED = {"ExecuteTime", "collapsed", "execution", "nbgrader", "scrolled", "trusted"}
KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}

Notebook = dict[str, Any]
Cell = dict[str, Any]
Exercises = Mapping[str, float]
ExercisesOf = Callable[[str], Exercises]


class BuildError(ValueError):
    """What the build cannot use: which notebook and cell, why, and the next step."""


@contextlib.contextmanager
def located(where: str) -> Iterator[None]:
    try:
        yield
    except BuildError as problem:
        raise BuildError(f"{where}: {problem}") from None


# From a master to the students' version

def student_version(master: Notebook, exercises: Exercises) -> Notebook:
    """The students' notebook of a master for which these exercises are declared, name -> points.

    Raises BuildError, naming the cell, for a solution that is not closed or not inside an exercise, for Python that is
    not valid with or without it, and for an exercise that is unknown, or is not solved once and checked once.
    """
    cells: list[Cell] = []
    with_id: dict[str, int] = {}
    graded: dict[str, int] = {}
    for number, cell in enumerate(master["cells"], start=1):
        with located(f"cell {number} ({first_line(cell)!r})"):
            id_ = cell.get("id") or digest([cell], number)[:8]
            if with_id.setdefault(id_, number) != number:
                raise BuildError(f"its id {id_!r} is that of cell {with_id[id_]} too. Copy its text into a new cell, "
                                 "and delete this one.")
            if for_instructors(cell):
                continue
            cells.append(student_cell(cell, exercises) | {"id": id_})
            if (name := grade_id(cells[-1])) and graded.setdefault(name, number) != number:
                what = "solution" if name in exercises else "check"
                raise BuildError(f"cell {graded[name]} is the {what} of this exercise already. Keep one of the two, or "
                                 "tag the other `instructor`.")
    for name in exercises:
        if name not in graded:
            raise BuildError(f"no cell holds the solution of {name}, which is declared for this notebook. Define it, "
                             f"with its body between {BEGIN} and {END}, or remove the declaration.")
        if f"check_{name}" not in graded:
            raise BuildError(f"{name}, in cell {graded[name]}, has no check. Add a cell with check({name}), or remove "
                             "the declaration of the exercise.")
    return {"cells": cells, "metadata": copy.deepcopy(KERNEL) | {"course": {"built": digest(cells)}},
            "nbformat": 4, "nbformat_minor": 5}


def for_instructors(cell: Cell) -> bool:
    for tag in cell["metadata"].get("tags", ()):
        if tag != "instructor" and difflib.get_close_matches(tag.lower(), ["instructor"], cutoff=0.8):
            raise BuildError(f"students would see it with its tag {tag!r}. Write `instructor`, or another word.")
    return "instructor" in cell["metadata"].get("tags", ())


def student_cell(cell: Cell, exercises: Exercises) -> Cell:
    source, stubs = without_solutions(cell["source"])
    metadata = {key: copy.deepcopy(value) for key, value in cell["metadata"].items() if key not in DROPPED}
    student = {"cell_type": cell["cell_type"], "metadata": metadata, "source": source}
    if cell["cell_type"] != "code":
        if stubs:
            raise BuildError(f"it is a {cell['cell_type']} cell, and only code can be between {BEGIN} and {END}. Put "
                             "an answer in words in a cell of its own, with the tag `instructor`.")
        return student | ({"attachments": cell["attachments"]} if "attachments" in cell else {})

    checked = names_checked(python(cell["source"], "the cell"))
    solved = {exercise_around(line, source) for line in stubs}
    for name in sorted(checked | solved):
        if name not in exercises:
            raise unknown(name, exercises)
    if len(checked) + len(solved) > 1:
        raise BuildError(f"it holds {', '.join([*sorted(solved), *(f'check({name})' for name in sorted(checked))])}. "
                         "Give each exercise, and each check, a cell of its own.")
    for name in checked:
        metadata |= {"deletable": False, "editable": False}
        metadata["nbgrader"] = nbgrader(f"check_{name}", grade=True, locked=True, points=exercises[name])
    for name in solved:
        metadata["nbgrader"] = nbgrader(name)  # as a "solution", nbgrader would replace the whole stub by its own
        metadata.get("jupyter", {}).pop("source_hidden", None)  # a master hides it until asked; here students type
    return student | {"execution_count": None, "outputs": []}


def nbgrader(grade_id: str, **changes: Any) -> dict[str, Any]:
    return {"grade": False, "grade_id": grade_id, "locked": False, "schema_version": 3, "solution": False,
            "task": False} | changes


def without_solutions(source: str) -> tuple[str, list[int]]:
    """The source with ``...`` for each solution, and the numbers of the lines that are such."""
    lines: list[str] = []
    stubs: list[int] = []
    opened = 0
    for number, line in enumerate(source.split("\n"), start=1):
        marker = line.strip()
        if marker == BEGIN:
            if opened:
                raise BuildError(f"line {number} begins a solution inside the one that begins on line {opened}. Put "
                                 f"{END} above it, or delete it.")
            opened = number
            lines.append(line[:line.index(BEGIN)] + "...")
            stubs.append(len(lines))
        elif marker == END:
            if not opened:
                raise BuildError(f"line {number} ends a solution that has no beginning. Put {BEGIN} above it.")
            opened = 0
        elif ALMOST_A_MARKER.search(line):
            raise BuildError(f"line {number} is {marker!r}, and students would see what it marks. Write {BEGIN} or "
                             f"{END}, alone on its line.")
        elif not opened:
            lines.append(line)
    if opened:
        raise BuildError(f"line {opened} begins a solution that has no end. Put {END} below it.")
    return "\n".join(lines), stubs


def exercise_around(line: int, source: str) -> str:
    """The name of the top-level function or class in which that line is a statement."""
    for node in python(source, "without the solution, the cell").body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if any(isinstance(inner, ast.Expr) and inner.lineno == line for inner in ast.walk(node)):
                return node.name
    raise BuildError(f"the solution is not in the body of a function or class. Put {BEGIN} below the signature and the "
                     "docstring, which students keep.")


def names_checked(tree: ast.Module) -> set[str]:
    """What the cell passes to ``check`` or ``exercises.check``. Without an argument these sum up, and check nothing."""
    return {ast.unparse(node.args[0]) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args
            and ast.unparse(node.func) in ("check", "exercises.check")}


def python(source: str, what: str) -> ast.Module:
    """The syntax tree of a cell, as IPython would run it."""
    from IPython.core.inputtransformer2 import TransformerManager
    try:
        text = TransformerManager().transform_cell(source)
        compile(text, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)  # finds a stray `break`
        return ast.parse(text, "cell")
    except (SyntaxError, ValueError) as problem:
        raise BuildError(f"{what} is not valid Python: {problem}. Run it in Jupyter and mend it there.") from None


def unknown(name: str, exercises: Exercises) -> BuildError:
    close = difflib.get_close_matches(name, exercises, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Declared are: {', '.join(exercises) or 'none'}."
    return BuildError(f"{name} is not an exercise of this notebook. {hint} Correct the name, or declare the exercise "
                      "in course_utils/exercises.")


def grade_id(cell: Cell) -> str | None:
    return (cell["metadata"].get("nbgrader") or {}).get("grade_id")


def first_line(cell: Cell) -> str:
    return next((line.strip()[:60] for line in cell["source"].split("\n") if line.strip()), "")


def digest(cells: list[Cell], *more: Any) -> str:
    typed = [[cell["cell_type"], cell["source"]] for cell in cells if cell["source"].strip()]
    return hashlib.sha256(json.dumps([typed, *more]).encode()).hexdigest()


# All of them, as files

def build(root: Path, exercises_of: ExercisesOf, out: Path | None = None, force: bool = False) -> tuple[list, list]:
    """Write the students' notebooks of all masters. Returns what was done and what was refused, as texts.

    They go to root/notebooks, and the masters lose their outputs; with ``out`` nothing outside that folder is touched.
    A notebook that holds a student's work is refused; with ``force`` it is copied beside itself first.
    Raises BuildError, before anything is written, where a master is malformed.
    """
    folder = out or root / "notebooks"
    done, refused = [], []
    for name, content in students_notebooks(root, exercises_of).items():
        path = folder / f"{name}.ipynb"
        work = students_work(path, content)
        if work and not force:
            refused.append(f"{short(path)} holds work, so it is left as it is: {work}\n"
                           "  `course build --force` copies it beside itself first.")
        elif path.exists() and path.read_bytes() == content:
            done.append(f"{short(path)} is up to date.")
        else:
            kept = f" What it held is in {keep(path).name}." if work else ""
            write(path, content)
            done.append(f"{short(path)} is written.{kept}")
    for path in [] if out else masters(root):
        master = read(path)
        if ran := cells_that_ran(master):
            for number in ran:
                master["cells"][number - 1] |= {"execution_count": None, "outputs": []}
            write(path, as_file(master))
            done.append(f"{short(path)} has lost the outputs and execution counts of {len(ran)} cells.")
    return done, refused


def differences(root: Path, exercises_of: ExercisesOf, out: Path | None = None) -> list[str]:
    """What a build would change: for each notebook, the first line that differs. Nothing is written."""
    folder = out or root / "notebooks"
    expected = students_notebooks(root, exercises_of)
    found = [f"{short(path)}, cell {number} stores an output or an execution count." for path in masters(root)
             for number in cells_that_ran(read(path))[:1]]
    for name, content in expected.items():
        path = folder / f"{name}.ipynb"
        try:
            if not path.exists():
                found.append(f"{short(path)} is missing.")
            elif path.read_bytes() != content:
                found.append(f"{short(path)}, {first_difference(parsed(content), read(path))}")
        except BuildError as problem:
            found.append(f"{short(path)}: {problem}")
    return found + [f"{short(path)} has no master in solutions." for path in notebooks_in(folder)
                    if path.stem not in expected and ".kept-" not in path.name]


def students_notebooks(root: Path, exercises_of: ExercisesOf) -> dict[str, bytes]:
    """What a build writes, by the notebooks' names. One BuildError tells of all masters that are malformed."""
    import nbformat  # takes a second or two, and putting an exercise back needs none of it
    notebooks, problems = {}, []
    for path in masters(root):
        try:
            with located(short(path)):
                master = read(path)
                require_schema(master)
                version = student_version(master, exercises_of(path.stem))
            notebooks[path.stem] = f"{nbformat.v4.writes(nbformat.v4.to_notebook(version))}\n".encode()
        except BuildError as problem:
            problems.append(str(problem))
    if problems:
        raise BuildError("\n".join(problems))
    return notebooks


def require_schema(master: Notebook) -> None:
    from nbformat.validator import iter_validate
    with_ids = master | {"cells": [{"id": "none"} | cell for cell in master["cells"]]}
    for error in iter_validate(with_ids, version=4, version_minor=5):
        where = [*error.relative_path]
        if where[:1] == ["cells"]:
            where[:2] = [f"cell {where[1] + 1}"]
        raise BuildError(f"{', '.join(map(str, where or ['the notebook']))}: {error.message}. Mend it in a text "
                         "editor, or copy the text into a new cell.")


def students_work(path: Path, content: bytes) -> str:
    """Where a notebook first differs from what the build would write, if a student changed it; else nothing."""
    if not path.exists():
        return ""
    try:
        found = read(path)
    except BuildError as problem:
        return str(problem)
    expected = parsed(content)
    if {"built": digest(found["cells"])} in (found["metadata"].get("course"), expected["metadata"]["course"]):
        return ""
    return first_difference(expected, found, only_sources=True)


def first_difference(expected: Notebook, found: Notebook, only_sources: bool = False) -> str:
    def sides(cell):
        rest = {key: cell[key] for key in cell if key != "source" and not (only_sources and key != "cell_type")}
        return cell["source"].split("\n"), as_lines(rest)

    for number, (ours, theirs) in enumerate(itertools.zip_longest(expected["cells"], found["cells"]), start=1):
        if ours is None or theirs is None:
            what = "is one more than expected" if ours is None else "is missing"
            return f"cell {number} ({first_line(ours or theirs)!r}) {what}."
        for lines in zip(sides(ours), sides(theirs)):
            if lines[0] != lines[1]:
                return f"cell {number}:{first_differing_line(*lines)}"
    metadata = as_lines(expected["metadata"]), as_lines(found["metadata"])
    if metadata[0] != metadata[1]:
        return f"the notebook's metadata:{first_differing_line(*metadata)}"
    return "written otherwise (the order of keys, the indentation or the ends of lines), with the same content."


def first_differing_line(expected: list[str], found: list[str]) -> str:
    pairs = itertools.zip_longest(expected, found, fillvalue="(no line)")
    return "\n    expected: {}\n    found:    {}".format(*next(pair for pair in pairs if pair[0] != pair[1]))


def as_lines(value: Any) -> list[str]:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).split("\n")


# One exercise back to its stub

def stub(name: str, root: Path | None = None) -> str:
    """The source of an exercise's cell as students get it. KeyError where no exercise has that name."""
    from .. import exercises
    notebook, packed = exercises.find(name).notebook, Path(__file__).with_name("stubs.json")
    if not root and packed.exists():  # in what students get, there are no masters
        return json.loads(packed.read_text("utf-8"))[name]
    root = root or find_root()
    path = root / "solutions" / f"{notebook}.ipynb"
    with located(short(path)):
        version = student_version(read(path), declared(notebook))
    return next(cell["source"] for cell in version["cells"] if grade_id(cell) == name)


def read(path: Path) -> Notebook:
    try:
        return parsed(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise BuildError(f"it cannot be read as a notebook: {problem}. Mend it, or take it back from version "
                         "control.") from None


def parsed(content: bytes) -> Notebook:
    """A notebook's JSON in the file's own order, with the source of each cell as one text."""
    def is_cell(cell):
        return (isinstance(cell, dict) and cell.get("cell_type") in ("code", "markdown", "raw")
                and isinstance(cell.get("metadata"), dict) and isinstance(cell.get("source"), str | list)
                and all(isinstance(line, str) for line in cell["source"]))

    notebook = json.loads(content.decode("utf-8-sig"))
    if not (isinstance(notebook, dict) and notebook.get("nbformat") == 4 and isinstance(notebook.get("metadata"), dict)
            and isinstance(notebook.get("cells"), list) and all(map(is_cell, notebook["cells"]))):
        raise ValueError("the file is JSON, but not a notebook of format 4")
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def as_file(notebook: Notebook) -> bytes:
    """The reverse of `parsed`, as Jupyter writes it."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return f"{json.dumps(notebook | {'cells': cells}, ensure_ascii=False, indent=1)}\n".encode()


def write(path: Path, content: bytes) -> None:
    """All or nothing: until the new file is complete, the old one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write_new(part, content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def keep(path: Path) -> Path:
    """Copy a notebook beside itself, to the next free name."""
    content = path.read_bytes()
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            kept = path.with_name(f"{path.stem}.kept-{number}.ipynb")
            write_new(kept, content)
            return kept


def write_new(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def cells_that_ran(notebook: Notebook) -> list[int]:
    return [number for number, cell in enumerate(notebook["cells"], start=1)
            if cell.get("outputs") or cell.get("execution_count") is not None]


def masters(root: Path) -> list[Path]:
    found = notebooks_in(root / "solutions")
    if not found:
        raise BuildError(f"{root / 'solutions'} holds no notebook. Name the course's folder with --root.")
    return found


def notebooks_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))


def short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def find_root() -> Path:
    """The course's folder: the current one or one above it, or else the one that holds this package."""
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2]):
        if (folder / "pyproject.toml").is_file() and (folder / "solutions").is_dir():
            return folder
    raise BuildError(f"neither {Path.cwd()} nor a folder above it holds pyproject.toml and solutions. Change to the "
                     "course's folder, or name it with --root.")


def declared(notebook: str) -> dict[str, float]:
    """The exercises that `course_utils.exercises` declares for a notebook: name -> points."""
    from .. import exercises
    return {exercise.name: exercise.points for exercise in exercises.of_notebook(notebook)}
