"""Submissions as a class hands them in: good, messy, broken and hostile, each with what it should be worth and why.

``corpus(folder)`` writes them as files. Notebook 1 carries most of them: `to_edge_index` 1 point, `degrees` 1, `permute` 2,
`split_links` 3.
"""

import ast
import builtins
import inspect
import io
import itertools
import json
import re
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

from course_utils import exercises
from course_utils.exercises.derivatives import CUT, IN_PLACE, NOT_FINITE
from course_utils.grading import submission

ROOT = Path(__file__).parents[1]
ONE = "01_graph_tasks"
NAMES = [path.stem for path in sorted((ROOT / "solutions").glob("*.ipynb"))]


@dataclass
class Made:
    """A submission, and what it should come to: points by exercise where they are not full, state, words in the feedback."""

    name: str
    content: bytes
    why: str
    lost: tuple[str, ...] = ()
    state: str = "graded"  # or several, with spaces between, where it depends on the Python
    says: str = ""
    notebook: str = ONE
    suffix: str = ".ipynb"


def load(name, folder="notebooks"):
    return json.loads((ROOT / folder / f"{name}.ipynb").read_text("utf-8"))


def solutions(name):
    """The master's cell for each exercise."""
    found = {}
    for cell in load(name, "solutions")["cells"]:
        source = "".join(cell["source"])
        if "### BEGIN SOLUTION" in source:
            found[next(e.name for e in exercises.of_notebook(name) if re.search(rf"^(def|class) {e.name}\(", source, re.MULTILINE))] = source
    return found


def filled(name=ONE, answers=None, *, first="", before=None, after=()):
    """The students' notebook with these answers, the master's for all others; cells in front, before an exercise, and behind."""
    answers = solutions(name) | (answers or {})
    notebook = load(name)
    cells = []
    for cell in notebook["cells"]:
        exercise = (cell["metadata"].get("nbgrader") or {}).get("grade_id")
        if before and exercise in before:
            cells.append(code(before[exercise]))
        if exercise in answers:
            cell = cell | {"source": answers[exercise]}
        cells.append(cell)
    if first:
        cells.insert(0, code(first))
    notebook["cells"] = cells + [code(text) for text in after]
    return notebook


def notebook_with(cells):
    """The filled notebook 1, and these cells behind it."""
    notebook = filled()
    return notebook | {"cells": [*notebook["cells"], *cells]}


def code(text):
    return {"cell_type": "code", "id": "x", "metadata": {}, "source": textwrap.dedent(text), "outputs": [], "execution_count": None}


def as_bytes(notebook):
    return json.dumps(notebook).encode()


def written_as(exercise, function):
    """The code of a declared function under the exercise's name; of a class, the master's cell with its methods."""
    if exercise.asks_for == "function":
        lines = textwrap.dedent(inspect.getsource(function)).split("\n")
        start = next(i for i, line in enumerate(lines) if line.startswith("def "))
        header = re.sub(r"^def \w+", f"def {exercise.name}", lines[start])
        return "\n".join([header, *lines[start + 1:]])
    master = solutions(exercise.notebook)[exercise.name].split("\n")
    forward = next(node for node in ast.walk(ast.parse("\n".join(master))) if getattr(node, "name", "") == "forward")
    bases = function.__mro__[:function.__mro__.index(exercise.reference)]
    methods = {}
    for base in reversed(bases):
        methods |= {name: part for name, part in vars(base).items() if inspect.isfunction(part)}
    sources = [textwrap.dedent(inspect.getsource(part)) for part in methods.values()]
    written = textwrap.indent("\n".join(sources), "    ")
    return "\n".join([*master[:forward.lineno - 1], written, *master[forward.end_lineno:]])


def alone(exercise, functions):
    """What declared functions are written as, of those that need nothing of the module that they come from, and that do not
    take the library's answer for a part."""
    known = {*submission.imports(), *dir(builtins)}
    for function in functions:
        text = written_as(exercise, function)
        needs = set().union(*(statement.needs for statement in submission.parse(text, 1)))
        if needs <= known and f".{exercise.name}(" not in text:
            yield text


def degrees(body, before=""):
    """A cell that answers `degrees` with this body."""
    return f"{textwrap.dedent(before)}\ndef degrees(edge_index, num_nodes):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"


RIGHT = "torch.bincount(edge_index[1], minlength=num_nodes)"
WRONG = "torch.zeros(num_nodes, dtype=torch.int64)"


SCRATCH = "degrees = degrees(torch.tensor([[0, 1], [1, 2]]), 3)\n"


def attempt(lines, before=""):
    """Answers right where the attempt, which is forbidden, succeeds: so points mean a hole."""
    body = "try:\n" + textwrap.indent(textwrap.dedent(lines).strip(), "    ") + f"\nexcept BaseException:\n    return {WRONG}\nreturn {RIGHT}\n"
    return degrees(body, before)


def one(name, why, answer=None, **options):
    """A notebook 1 in which `degrees` is answered so; it costs that exercise alone, unless said otherwise."""
    about = {key: options.pop(key) for key in ("lost", "state", "says") if key in options}
    lost = about.pop("lost", ("degrees",) if answer else ())
    version = options.pop("of_python", "")
    notebook = filled(answers={"degrees": answer} if answer else None, **options)
    if version:
        notebook["metadata"] = {"language_info": {"name": "python", "version": version}}
    return Made(name, as_bytes(notebook), why, lost, **about)


def gvp(name, why, forward="", *, base="torch.nn.Module", more_init="", lost=("GVP",), says="", **cells):
    """A notebook 8 in which the class `GVP` is answered so: all of its lines below ``__init__`` are ``forward``."""
    given = load_given("08_gvp", "GVP").replace("torch.nn.Module", base) + textwrap.indent(textwrap.dedent(more_init), " " * 8)
    answer = f"{given}\n{textwrap.indent(textwrap.dedent(forward), '    ')}"
    return Made(name, as_bytes(filled("08_gvp", {"GVP": answer}, **cells)), why, lost, says=says, notebook="08_gvp")


def load_given(name, exercise):
    """What a class has in front of its stub of ``forward``."""
    return next(source.split("    def forward")[0].rstrip() + "\n" for source in ("".join(cell["source"]) for cell in load(name)["cells"])
                if source.startswith(f"class {exercise}("))


FORWARD = """
    def forward(self, s, V):
        V_h = self.W_h @ V
        V_mu = self.W_mu @ V_h
        s_m = self.W_m(torch.cat([V_h.norm(dim=2), s], dim=1))
        return torch.relu(s_m), torch.sigmoid(V_mu.norm(dim=2))[:, :, None] * V_mu
    """
STUB = "def forward(self, s, V):\n    ..."


def good():
    for name in NAMES:
        yield Made(f"perfect_{name}", as_bytes(load(name, "solutions")), "the master itself", notebook=name)
        yield Made(f"blank_{name}", as_bytes(load(name)), "nothing was written", tuple(solutions(name)), "blank", notebook=name)
        for exercise in exercises.of_notebook(name):
            for misconception in exercise.misconceptions:
                text = next(alone(exercise, [misconception.wrong]), None)
                if text:
                    yield Made(f"misconception_{exercise.name}", as_bytes(filled(name, {exercise.name: text})),
                               f"the misconception {misconception.name!r}", (exercise.name,), says=misconception.says, notebook=name)
                    break
    stubs = {"degrees": "def degrees(edge_index, num_nodes):\n    ...", "split_links": "def split_links(edge_index, fraction, generator):\n    ..."}
    yield Made("half", as_bytes(filled(answers=stubs)), "two exercises of four", ("degrees", "split_links"))


def shown(name):
    """The inputs of a check."""
    return [case for cases in exercises.find(name).rounds() for case in cases]


def trained_through():
    """Answers whose values are right, and whose derivatives may not be."""
    coordinates = """def egnn_coordinates(h, x, psi_c, batch):
    v, u = neighbors.all_pairs(len(x), batch)
    c = psi_c(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True)){}
    return x + message_passing.aggregate((x[u] - x[v]) * c, u, len(x))
"""
    endings = {"flows": "", "is_cut_off": ".detach()", "is_a_list": "\n    c = c.new_tensor(c.tolist()).reshape(-1, 1)"}
    for name, ending in endings.items():
        about = {"lost": ("egnn_coordinates",), "says": CUT.says} if ending else {}
        content = as_bytes(filled("07_egnn", {"egnn_coordinates": coordinates.format(ending)}))
        yield Made(f"gradient_{name}", content, "the push of a pair, with its history or without", notebook="07_egnn", **about)
    yield gvp("gradient_is_nan", "a bare root, which has no slope at 0", FORWARD.replace(".norm(dim=2)", ".square().sum(2).sqrt()"),
              says=NOT_FINITE.says)
    yield gvp("gradient_of_a_safe_root", "a root that is safe at 0",
              FORWARD.replace(".norm(dim=2)", ".square().sum(2).add(1e-8).sqrt()"), lost=())
    yield gvp("gradient_stops", "changes in place what backward needs", FORWARD.replace(
        "return torch.relu(s_m), torch.sigmoid(V_mu.norm(dim=2))[:, :, None] * V_mu",
        "V_mu *= torch.sigmoid((V_mu ** 2).sum(2).add(1e-8).sqrt())[:, :, None]\n        return torch.relu(s_m), V_mu"), says=IN_PLACE.says)
    yield gvp("gradients_forged", "its own autograd, which says that all is 0", FORWARD.replace("V_h = ", "V = V.detach()\n        V_h = "),
              lost=("GVP", "gvp_message"), first="import torch\ntorch.autograd.grad = lambda y, x, **more: [torch.zeros_like(each) for each in x]")


def messy():
    right = solutions(ONE)
    yield one("twice_right_then_wrong", "the later definition counts", lost=("degrees",), after=(degrees(f"return {WRONG}"),))
    yield one("twice_wrong_then_right", "the later definition counts", before={"degrees": degrees(f"return {WRONG}")})
    yield one("stub_behind_the_answer", "a stub never replaces an answer", after=("def degrees(edge_index, num_nodes):\n    ...",))
    notebook = filled()
    yield Made("copied_cell", as_bytes(notebook | {"cells": notebook["cells"] * 2}), "every cell stands twice, with the same ids")
    yield Made("moved_cells", as_bytes(notebook | {"cells": notebook["cells"][::-1]}), "the cells in reverse order")
    only = [cell for cell in notebook["cells"] if "".join(cell["source"]) in right.values()]
    yield Made("deleted_cells", as_bytes(notebook | {"cells": only}), "nothing left but the answers: no import, no check",
               says="No line imports")
    retyped = [cell if "".join(cell["source"]) != right["permute"] else {"cell_type": "markdown", "metadata": {}, "source": cell["source"]}
               for cell in notebook["cells"]]
    yield Made("retyped_cell", as_bytes(notebook | {"cells": retyped}), "an answer in a text cell", says="text cell")
    yield Made("Homework 1 FINAL (2)", as_bytes(notebook), "renamed")
    yield Made("byte_order_mark", b"\xef\xbb\xbf" + as_bytes(notebook), "a byte-order mark in front")
    yield Made("another_kernel", as_bytes(notebook | {"metadata": {"kernelspec": {"name": "gnn-env-3", "language": "julia"}}}),
               "a kernel that is not here")
    sheet = [{"cell_type": "code", "input": "".join(c["source"]).splitlines(keepends=True), "language": "python", "outputs": []}
             if c["cell_type"] == "code" else c for c in notebook["cells"]]
    yield Made("format_3", as_bytes({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": sheet}]}), "format 3")
    bare = [{key: cell[key] for key in ("cell_type", "metadata", "source")} for cell in notebook["cells"]]
    yield Made("format_4_0", as_bytes({"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": bare}), "format 4.0: no ids, no outputs")
    yield Made("format_4_99", as_bytes(notebook | {"nbformat": 4, "nbformat_minor": 99}), "a minor version of the future")
    yield one("missing_import", "torch is imported nowhere", "import torch as T\n" + degrees(f"return {RIGHT.replace('torch', 'T')}"),
              lost=())
    yield one("magics", "magic commands, a shell line, %%time on top of the answer",
              "%%time\n" + degrees(f"return {RIGHT}"), lost=(), first="%matplotlib inline\n!pip install numpy\n%load_ext autoreload\nfiles = !ls\n?print")
    yield one("input", "input() gets an empty line", degrees(f"return {RIGHT} + shift", "shift = len(input('your name: '))"), lost=())
    many = code("for i in range(300_000):\n    print(i)") | {
        "outputs": [{"output_type": "stream", "name": "stdout", "text": [f"{i}\n" for i in range(300_000)]}]}
    yield Made("long_output", as_bytes(notebook | {"cells": [many, *notebook["cells"]]}), "300,000 lines of output")
    yield one("prints_a_lot", "prints 300,000 lines when it is called", degrees(f"for i in range(30_000):\n    print(i)\nreturn {RIGHT}"), lost=())
    yield one("raises_first", "a cell that raises, before everything", first="import torch_geometric_temporal\n1 / 0")
    yield one("raises_in_the_cell", "what stands below an error in the same cell counts all the same",
              degrees(f"return {RIGHT}", "import not_there_at_all\nundefined_name"), lost=())
    yield one("hangs_beside", "a cell that never ends, and which nothing needs", first="while True:\n    pass")
    yield one("hangs_before", "what an answer needs never ends", degrees(f"return {RIGHT} + table", """
        def make():
            while True:
                pass
        table = make()"""), state="timed out", says="did not end in time")
    yield one("exits_beside", "exit() in a cell", first="exit()\nraise SystemExit")
    yield one("exits_before", "what an answer needs ends Python", degrees(f"return {RIGHT} + table", "import os\ntable = os._exit(3)"),
              state="died", says="exit code 3")
    yield one("no_python", "a cell that is no Python", "def degrees(edge_index, num_nodes)\n    return 1", says="not valid Python: expected ':', in its line 1, `def degrees(edge_index, num_nodes)`")
    helper = "def A(index, size):\n    return torch.bincount(index, minlength=size)"
    calls_helper = degrees("return A(edge_index[1], num_nodes)")
    yield one("helper_rebound", "a given cell further down uses the helper's name", f"{helper}\n{calls_helper}", lost=())
    yield one("constant_rebound", "a cell further down uses the constant's name", degrees(f"return {RIGHT} + shift", "shift = 0"), lost=(),
              after=("shift = 5",))
    yield one("helper_below", "the helper comes after the answer", calls_helper.replace("A(", "count("), lost=(),
              after=(helper.replace("A(", "count("),))
    yield one("scratch_in_the_cell", "tries the answer out under its own name", degrees(f"return {RIGHT}") + SCRATCH, lost=())
    yield one("scratch_below", "tries the answer out under its own name, three times", lost=(), after=(SCRATCH, SCRATCH, "degrees = 3", "degrees += 1"))
    yield one("loop_over_the_name", "a loop takes the answer's name", lost=(), after=("for degrees in range(3):\n    pass",))
    yield one("deleted_name", "the answer is deleted below", lost=(), after=("del degrees",))
    yield one("instance_under_the_name", "the result is a function, but not of the exercise", degrees(f"return {RIGHT}"), lost=("degrees",),
              after=("degrees = lambda edge_index, num_nodes: 3",), says="the answer is a int")
    yield one("wrapped", "the answer is wrapped below", lost=(), after=("import functools\ndegrees = functools.wraps(degrees)(degrees)",))
    yield gvp("instance_of_the_class", "makes an instance under the class's name", FORWARD, lost=(), after=("GVP = GVP((2, 3), (4, 5))",))
    yield one("calls_itself", "a recursion, and a scratch line in the same cell", degrees("""
        half = edge_index.shape[1] // 2
        if half:
            return degrees(edge_index[:, :half], num_nodes) + degrees(edge_index[:, half:], num_nodes)
        counts = torch.zeros(num_nodes, dtype=torch.int64)
        counts[edge_index[1]] = 1
        return counts""") + SCRATCH, lost=())
    yield one("annotations_from_the_future", "annotations that are never evaluated",
              degrees(f"return {RIGHT}").replace("num_nodes):", "num_nodes: Number) -> Counts:"), lost=(),
              first="from __future__ import annotations")
    yield one("displays", "display() inside the function", degrees(f"display(edge_index)\nreturn {RIGHT}"), lost=())
    yield one("magic_below_a_magic", "%%time above another magic command", "%%time\n%matplotlib inline\n" + degrees(f"return {RIGHT}"), lost=())
    yield one("draws", "draws a figure", degrees(f"plt.figure()\nplt.plot([1, 2])\nplt.close('all')\nreturn {RIGHT}", "import matplotlib.pyplot as plt"),
              lost=())
    table = degrees(f"return {RIGHT} * table[2]", "table = []\n{}")
    for name, line in (("filled_by_a_comprehension", "[table.append(i - 1) for i in range(3)]"),
                       ("filled_by_a_function", "def fill(t):\n    t += [0, 0, 1]\nfill(table)"),
                       ("filled_by_a_call_of_exec", "exec('table += [0, 0, 1]')")):
        yield one(name, "a line whose effect no name tells", table.replace("{}", line), lost=())
    yield one("sets_a_type_for_all", "a setting for all of torch, in a cell of its own", degrees("return count(edge_index[1], num_nodes)", """
        def count(index, size):
            counts = torch.zeros(size)
            assert counts.dtype == torch.float64
            return torch.bincount(index, minlength=size)"""), lost=(), first="import torch\ntorch.set_default_dtype(torch.float64)")
    yield one("timed_assignment", "%time in front of an assignment", degrees(f"return {RIGHT} + shift", "%time shift = 0"), lost=())
    yield one("other_ends_of_lines", "a comment with ends of lines that Python does not know", degrees(
        f"return {RIGHT} + zero", "# from the\u2028web\x0c\none = 1\nzero = 0"), lost=())
    yield one("import_below", "an annotation whose import comes below", degrees(f"return {RIGHT}").replace(
        "edge_index,", "edge_index: Tensor,"), lost=(), after=("from torch import Tensor",))
    yield one("decorated_stub", "the decorator does all the work", f"""
def does(function):
    return lambda *args: function


@does(None)
def unused():
    ...


def with_body(body):
    return lambda stub: body


@with_body(lambda edge_index, num_nodes: {RIGHT})
def degrees(edge_index, num_nodes):
    ...
""", lost=())
    fenced = [cell if "".join(cell["source"]) != right["permute"] else {"cell_type": "markdown", "metadata": {}, "source":
              f"My answer:\n\n```python\n{right['permute']}\n```\n\nIt keeps A symmetric."} for cell in notebook["cells"]]
    yield Made("fenced_cell", as_bytes(notebook | {"cells": fenced}), "an answer between fences in a text cell", says="text cell")
    yield one("lambda", "a lambda is a function too", f"degrees = lambda edge_index, num_nodes: {RIGHT}", lost=())
    yield one("helpers", "helper functions, and a table filled by a loop", degrees("return count(edge_index[1], num_nodes) * ones[0]", """
        def count(index, size):
            return torch.tensor([int((index == i).sum()) for i in range(size)], dtype=torch.int64)
        ones = []
        for i in range(3):
            ones.append(1)"""), lost=())
    yield one("library", "hands the question to the library", degrees("return graphs.degrees(edge_index, num_nodes)"), says="library's own degrees")
    yield one("signature", "takes one argument too few", "def degrees(edge_index):\n    return 1", says="cannot be called with 2 arguments")
    yield gvp("forward_in_another_cell", "the stub is left, and gets its forward below", STUB, lost=(),
              after=(f"{textwrap.dedent(FORWARD)}\nGVP.forward = forward",))
    yield gvp("stub_and_forward", "the stub is left above the answer, and a method that is none yet below it",
              f"{STUB}\n{textwrap.dedent(FORWARD)}\ndef sketch(self):\n    ...", lost=())
    yield gvp("no_forward", "__call__ in place of forward, as the notebook's check says", FORWARD.replace("forward", "__call__"),
              says="no method `forward`")
    yield gvp("annotation_without_import", "the class itself was not made", FORWARD.replace("s, V)", "s: Array, V)"),
              says="stopped with NameError: name 'Array' is not defined")
    yield one("returns_nothing", "no return", degrees("torch.bincount(edge_index[1])"), says="returned None")
    yield Made("empty", b"", "an empty file", tuple(right), "unreadable", says="is empty", notebook="")
    yield Made("cut_off", as_bytes(notebook)[:-500], "half an upload", tuple(right), "unreadable", says="cut off", notebook="")
    yield Made("no_notebook", b"%PDF-1.5", "a PDF called .ipynb", tuple(right), "unreadable", says="no JSON", notebook="")
    yield Made("json_bomb", b"[" * 100_000, "brackets without end", tuple(right), "unreadable", notebook="")
    yield Made("another_course", as_bytes({"nbformat": 4, "cells": [code("x = 1")]}), "another course's notebook", tuple(right),
               "unreadable", says="none of the course's exercises", notebook="")


def hostile(folder):
    yield one("infinite_loop", "a loop that never ends", degrees("while True:\n    pass"), state="timed out", says="no answer came in time")
    yield one("stubborn_loop", "a loop that catches everything", degrees("""
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass"""), state="timed out")
    yield one("sleeper", "sleeps for a year", degrees("import time\ntime.sleep(3e7)"), state="timed out")
    yield one("recursion", "a recursion without end", degrees("return degrees(edge_index, num_nodes)"), says="RecursionError")
    yield one("deep_recursion", "the same, with the limit lifted", degrees("import sys\nsys.setrecursionlimit(10 ** 9)\nreturn degrees(edge_index, num_nodes)"),
              state="timed out or died")
    yield one("fork_bomb", "starts processes without end", attempt("import os\nfor i in range(100):\n    os.fork()"))
    yield one("starts_a_program", "runs a shell", attempt("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'], check=True)"))
    yield one("six_gigabytes", "takes 6 GB", attempt("held = [torch.ones(250_000_000) for _ in range(6)]"), state="graded or timed out")
    yield one("fills_the_disk", "writes 10 GB", attempt("""
        for i in range(10_000):
            with open(f"file{i}", "wb") as file:
                file.write(bytes(1 << 20))"""))
    yield one("large_file", "writes one large file", attempt("open('large', 'wb').write(bytes(100 << 20))"))
    yield one("floods_stdout", "prints without end", degrees("import os\nwhile True:\n    print('x' * 10_000)\n    os.write(1, b'x' * 10_000)"),
              state="timed out")
    yield one("floods_the_pipe", "writes to every open file", degrees(f"""
        import os
        for fd in range(3, 20):
            try:
                for i in range(100):
                    os.write(fd, b"x" * 1000)
            except OSError:
                pass
        return {WRONG}"""), state="died")
    yield one("closes_the_pipe", "closes every file", degrees("import os\nos.closerange(0, 100)\nreturn 1"), state="died")
    yield one("exits", "os._exit", degrees("import os\nos._exit(0)"), state="died", says="exit code 0")
    yield one("crashes", "reads address 0", degrees("import ctypes\nreturn ctypes.string_at(0)"), state="died", says="crashed Python")
    yield one("signals", "kills everything it may", degrees(f"""
        import os, signal
        for pid in (os.getppid(), 1, 2, -1):
            for sent in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
                try:
                    os.kill(pid, sent)
                except OSError:
                    pass
        return {WRONG}"""))
    yield one("threads", "threads that live on", degrees(f"""
        import threading, time
        for i in range(2):
            threading.Thread(target=time.sleep, args=(1e6,)).start()
        return {RIGHT}"""), lost=())
    yield one("patched_comparison", "torch.equal and its kin say yes to everything", degrees(f"return {WRONG}", """
        torch.equal = torch.allclose = lambda *args, **options: True
        torch.isclose = lambda a, b, *args, **options: torch.ones(a.shape, dtype=torch.bool)
        torch.Tensor.__eq__ = lambda a, b: True"""))
    yield one("patched_check", "check says yes", degrees(f"return {WRONG}", """
        from course_utils import exercises
from course_utils.exercises.derivatives import CUT, IN_PLACE, NOT_FINITE
        exercises.check = exercises.judge = lambda *args: "right"
        exercises.verdict.judge = exercises.verdict_on = exercises.check"""))
    yield one("patched_grader", "the call itself is replaced", degrees(f"""
        import sys
        run = sys.modules["course_utils.exercises.run"]
        run.unchanged = lambda *args: True
        return {WRONG}"""))
    yield one("no_asserts", "asserts pass", degrees(f"return {WRONG}", "import builtins\nbuiltins.AssertionError = str"))
    yield one("patched_import", "every import gives something else", degrees(f"return {WRONG}", """
        import builtins
        real = builtins.__import__
        builtins.__import__ = lambda name, *args: real(name, *args) if name in ("torch", "sys") else None"""))
    master = ROOT / "solutions" / f"{ONE}.ipynb"
    yield one("reads_solutions", "opens the master", attempt(f"open({str(master)!r}).read()"))
    yield one("reads_by_relative_path", "looks for the master everywhere", attempt("""
        import glob, os, course_utils
        found = glob.glob(os.path.dirname(course_utils.__file__) + "/../solutions/*") + glob.glob("/**/solutions/*.ipynb")
        open(found[0]).read()"""))
    yield one("reads_exercises", "imports the references", attempt("""
        import importlib
        importlib.import_module("course_utils.exercises.nb01_graph_tasks")"""))
    yield one("reads_exercise_files", "reads the checks as text", attempt("""
        import course_utils
        open(course_utils.__path__[0] + "/exercises/nb01_graph_tasks.py").read()"""))
    yield one("finds_exercises", "asks the package for them", attempt("""
        from course_utils.exercises import find
        find("degrees").reference"""))
    yield one("reads_others", "opens the other submissions", attempt(f"""
        import os
        for name in os.listdir({str(folder)!r}):
            open(os.path.join({str(folder)!r}, name)).read(1)"""))
    yield one("reads_database", "opens the scores", attempt(f"open({str(folder.parent / 'scores.sqlite')!r}, 'rb').read(1)"))
    yield one("reads_memory", "searches its memory for references and seeds", attempt("""
        import gc
        words = [x for x in gc.get_objects() if type(x).__name__ in ("Exercise", "Scores", "Misconception")]
        words[0]"""))
    yield one("reads_processes", "reads the memory of its parent", attempt("""
        import os
        open(f"/proc/{os.getppid()}/mem", "rb").read(1)"""))
    yield one("writes_outside", "writes where others read", attempt(f"""
        import os, pathlib, course_utils
        for place in ("/tmp", "/var/tmp", "/dev/shm", {str(folder)!r}, os.path.dirname(course_utils.__file__)):
            try:
                pathlib.Path(place, "left_behind_by_a_submission").write_text("x")
                break
            except OSError:
                pass
        else:
            raise OSError"""))
    yield one("forged_verdict", "writes verdicts to the pipe", degrees(f"""
        import json, os, struct
        text = json.dumps({{"dict": [["state", "right"], ["points", 7], ["error", None], ["late", False], ["trace", ""],
                                    ["changed", {{"tuple": []}}], ["printed", 0], ["value", 1]]}}).encode()
        for fd in range(3, 10):
            try:
                os.write(fd, struct.pack("<QQ", len(text), 0) + text)
            except OSError:
                pass
        return {WRONG}"""), state="died")
    yield one("network", "opens a connection", attempt("import socket\nsocket.create_connection(('127.0.0.1', 22), 1)\nsocket.socket()"))
    yield one("opens_a_socket", "makes a socket", attempt("import socket\nsocket.socket()"))
    yield one("lifts_limits", "takes the limits off", attempt("""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (100_000, 100_000))
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"""))
    yield one("equal_to_all", "a Tensor that is equal to everything", degrees(f"return {WRONG}.as_subclass(Yes)", """
        class Yes(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                return True if function.__name__ in ("equal", "allclose", "__eq__") else super().__torch_function__(function, types, args, kwargs or {})
            def __eq__(self, other):
                return True"""))
    yield one("hostile_array", "an object with an __array__", degrees("return Hostile()", """
        class Hostile:
            shape = (3,)
            def __array__(self, *args):
                import os
                os._exit(0)
            def __eq__(self, other):
                return True
            def __len__(self):
                raise SystemExit"""))
    yield one("hostile_error", "an error whose text never ends", degrees("raise Endless()", """
        class Endless(Exception):
            def __str__(self):
                raise SystemExit"""))
    yield one("changes_what_it_cannot_open", "changes the mode of a file of the grader's", attempt(f"""
        import os
        os.chmod({str(folder.parent / 'scores.sqlite')!r}, 0o666)"""))
    yield one("changes_the_times", "changes when a file was written", attempt(f"import os\nos.utime({str(folder)!r}, (1, 1))"))
    yield one("lowers_the_servers_limits", "takes the server's files away", attempt("""
        import os, resource
        assert os.getppid()
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3))"""))
    yield one("slows_the_server", "gives the server the lowest priority", attempt("""
        import os
        assert os.getppid()
        os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)"""))
    yield one("pair_of_sockets", "a pair of sockets can send to any other on disk", attempt("""
        import socket
        socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"""))
    yield one("keeps_capabilities", "is root in its namespace", attempt("""
        import ctypes
        data = (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
        assert any(data)"""))
    yield one("mounts", "makes a disk without mount()", attempt("import ctypes\nassert ctypes.CDLL(None).syscall(430, b'tmpfs', 0) >= 0"))
    yield one("deep_folders", "folders in folders, more than a function can call itself", degrees(f"""
        import os
        for i in range(1500):
            os.mkdir("d")
            os.chdir("d")
        return {WRONG}"""), state="graded or timed out")
    yield one("marks_the_folder", "leaves word for the next one on the folder itself", attempt("""
        import os
        assert os.listxattr(".") or os.stat(".").st_mtime == 5
        os.setxattr(".", "user.word", b"word")
        os.utime(".", (5, 5))
        os.chmod(".", 0)"""))
    yield Made("tells_what_was_hidden", as_bytes(filled(answers={
            "degrees": degrees(f"import builtins\nbuiltins.seen = getattr(builtins, 'seen', 0) + 1\nreturn {RIGHT}"),
            "permute": "def permute(A, X, order):\n    import builtins\n    raise ValueError(f'{getattr(builtins, \"seen\", 0)} calls')"})),
        "one exercise's error tells of another's hidden inputs", ("permute",), says="0 calls")
    yield one("half_a_character", "an error that no file and no terminal takes", degrees("raise ValueError(chr(0xd800) + chr(27) + ']0;title')"),
              says="ValueError: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}]0;title")
    yield one("argument_names", "no name for an argument", "def degrees(__debug__, num_nodes):\n    return 1", says="cannot assign to __debug__")
    yield Made("pairs_of_a_million", as_bytes(filled("03_graph_networks", {"wl_colours": "def wl_colours(edge_index, num_nodes, rounds, "
               "start=None):\n    return torch.zeros(2, 100_000, dtype=torch.uint8)"})), "an answer of which the judge compares all pairs",
               ("wl_colours",), says="far too large", notebook="03_graph_networks")
    yield one("rows_without_numbers", "60 million rows of no numbers", degrees("return torch.zeros(60_000_000, 0, dtype=torch.int64)"),
              state="died")
    yield one("much_code", "more code than anyone writes", after=("a = b\n" * 50_000,), lost=())
    yield one("huge_answer", "an answer of 40 GB", degrees("return torch.zeros(1, dtype=torch.int64).expand(5 * 10 ** 9)"))
    yield one("endless_answer", "a list that holds itself", degrees("held = []\nheld.append(held)\nreturn held"))
    yield one("knows_the_grader", "answers only when it is graded", degrees(f"""
        import os
        return {RIGHT} if os.environ.get("HOME") is None else {WRONG}"""), lost=())
    seen = [case.args for case in shown("degrees")]
    table = [[edges.tolist(), n, exercises.find("degrees").reference(edges, n).tolist()] for edges, n in seen]
    yield one("looked_up", "knows the answers of the notebook's check by heart", degrees("""
        for edges, n, answer in TABLE:
            if edges == edge_index.tolist() and n == num_nodes:
                return torch.tensor(answer)
        raise ValueError("secret " + str(edge_index.tolist()))""", f"TABLE = {table}"), says="drawn for grading and not shown")
    yield Made("library_as_base", as_bytes(filled("08_gvp", {"GVP": "from course_utils import gvp as g\nclass GVP(g.GVP):\n    pass"})),
               "inherits the answer", ("GVP",), says="library's own GVP", notebook="08_gvp")
    yield gvp("library_renamed", "the library's class under another name, from another cell", "def forward(self, s, V):\n    return Theirs.forward(self, s, V)",
              first="from course_utils.gvp import GVP as Theirs", says="library's own GVP")
    yield gvp("keeps_its_numbers", "takes none of the grader's numbers, and answers the same to all", """
        def load_state_dict(self, numbers, assign):
            pass
        """ + FORWARD.replace("\n", "\n    "))
    yield gvp("many_parameters", "2000 parameters more than were given", FORWARD, more_init="""
        for i in range(2000):
            self.register_parameter(f"x{i}" * 1000, torch.nn.Parameter(torch.zeros(1)))""", says="other parameters than the exercise has")
    for name, folder in (("folder_named_as_another", "os.makedirs('a/b')\nos.makedirs('b.0')\nos.makedirs('0/0/0')"),
                         ("folder_of_63_emoji", "os.makedirs('\\N{SNAKE}' * 63 + '/x')\nopen('\\N{SNAKE}' * 63 + '/x/y', 'w').close()"),
                         ("folder_without_rights", "os.makedirs('a/b')\nos.chmod('a/b', 0)\nos.chmod('a', 0)")):
        yield one(name, "leaves a folder that is hard to remove", degrees(f"import os\n{folder}\nreturn {WRONG}"))
    yield one("kills_its_group", "a signal to all processes of its group, which are none but itself",
              degrees(f"import os\nos.kill(0, 9)\nreturn {WRONG}"), state="graded or died")
    yield one("lowers_its_groups_priority", "takes time from the grader", attempt("""
        import os
        os.setpriority(os.PRIO_PGRP, 0, 19)"""))
    yield one("lowers_its_users_priority", "takes time from all that the grader's user runs", attempt("""
        import os
        os.setpriority(os.PRIO_USER, 0, 19)"""))
    yield one("prints_a_number_of_digits", "an answer of 5000 digits", degrees("return 10 ** 5000"), says="more than 64 bits")
    yield one("ends_with_a_code", "carries what was hidden out in its exit code", degrees(f"""
        import os
        builtins.seen = getattr(builtins, "seen", 0) + 1
        if builtins.seen > {len(shown("degrees"))}:
            os._exit(int(edge_index.sum()) % 200 + 7)
        return {RIGHT}""", "import builtins"), says="drawn for grading and not shown")
    broken = code("def degrees(") | {"cell_type": "markdown"}
    yield Made("many_text_cells", as_bytes(notebook_with([broken | {"source": f"def f{i}(\n" * 50} for i in range(15_000)])),
               "9 MB of text cells with def", lost=())
    yield Made("a_million_cells", b'{"cells": [' + b'{"cell_type":"code","source":"x"},' * 1_200_000 + b"{}]}", "1.2 million cells",
               tuple(solutions(ONE)), "unreadable", notebook="")
    yield Made("many_lists", b'{"cells": [' + b"[]," * 6_000_000 + b"{}]}", "18 MB of empty lists", tuple(solutions(ONE)), "unreadable", notebook="")
    yield one("takes_the_name_away", "calls the library's own after its name has gone", degrees(
        "return mine(edge_index, num_nodes)", "mine = graphs.degrees\ngraphs.degrees = None"), says="library's own degrees")
    yield one("sleeps_line_by_line", "every line sleeps", degrees(f"return {WRONG} + nothing", "import time\n" + "".join(
        f"nothing = time.sleep({i % 2 + 1})\n" for i in range(40))), state="timed out")
    yield one("written_for_a_python_that_is_not", "no Python, in a notebook that says it is of a version to come",
              "def degrees(edge_index, num_nodes)\n    return 1", says="not valid Python", of_python="3.99.0")
    yield Made("counts_files", as_bytes(filled(answers={
            "degrees": degrees(f"""
                import os
                for i in range(int(edge_index.sum()) % 300):
                    open("x", "w").close()
                    os.unlink("x")
                return {RIGHT}"""),
            "permute": "def permute(A, X, order):\n    import os\n    open('y', 'w').close()\n    raise ValueError(f'file {os.stat(\"y\").st_ino}')"})),
        "the number of a file tells how many were made before", ("permute",), says="file 2")
    yield one("tensor_for_an_error", "a reply whose error is a tensor", degrees(f"return {WRONG} + table", """
        import sys
        frame = sys._getframe()
        while frame and "to" not in frame.f_locals:
            frame = frame.f_back
        import course_utils.grading.wire as wire
        wire.send(frame.f_locals["to"], {"error": torch.zeros(6, 6, 6, 6), "answers": [], "number": frame.f_locals["number"]})
        table = 0"""), state="died")
    yield one("thousands_of_lines", "more statements than are read", first="a = b\n" * 6000, lost=())
    yield one("nested", "a thousand brackets", degrees(f"return {RIGHT} + {'(' * 1000}1{')' * 1000}"), says="not valid Python")
    yield Made("zip_slip", zipped({"../../../escaped.ipynb": as_bytes(filled())}), "a path that leads out of the zip", suffix=".zip")
    yield Made("zip_bomb", zipped({"bomb.ipynb": bytes(300 << 20)}), "300 MB in 300 kB", tuple(solutions(ONE)), "unreadable",
               says="larger than", notebook="", suffix=".zip")
    yield Made("broken_zip", zipped({"a.ipynb": as_bytes(filled())})[:-300], "half a zip", tuple(solutions(ONE)), "unreadable",
               says="no zip", notebook="", suffix=".zip")


BODIES = {  # of a function that means harm, whatever it is asked for
    "a loop that never ends": "while True:\n    pass",
    "a year of sleep": "import time\ntime.sleep(3e7)",
    "the end of Python": "import os\nos._exit(0)",
    "all memory": "held = [torch.ones(250_000_000) for _ in range(99)]",
    "a folder that is hard to remove": "import os\nos.makedirs('\\N{SNAKE}' * 63 + '/x')\nos.makedirs('a/b')\nos.makedirs('b.0')",
    "a signal to its group": "import os\nos.kill(0, 9)",
    "a crash": "import ctypes\nreturn ctypes.string_at(0)",
    "a recursion without end": "def f():\n    return f()\nreturn f()",
    "output without end": "while True:\n    print('x' * 10_000)",
    "words into every open file": "import os\nfor fd in range(3, 20):\n    os.write(fd, b'x' * 1000)",
}


def harmful(name):
    """Notebooks of which one answer means harm: the exercise's name, and the notebook's bytes."""
    for exercise in exercises.of_notebook(name):
        for body in BODIES.values() if exercise.asks_for == "function" else ():
            cell = f"def {exercise.name}({', '.join(exercise.parameters)}):\n{textwrap.indent(body, '    ')}\n"
            yield exercise.name, as_bytes(filled(name, {exercise.name: cell}))


def right_answers(name):
    """Notebooks with full points: the master, and one for each declared right answer that is written differently."""
    yield as_bytes(load(name, "solutions"))
    for exercise in exercises.of_notebook(name):
        for text in alone(exercise, exercise.also_right):
            yield as_bytes(filled(name, {exercise.name: text}))


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def named(name, folder=Path("in")):
    """The one of that name; what comes behind it is not made."""
    every = itertools.chain(good(), trained_through(), messy(), hostile(folder))
    return next(made for made in every if made.name == name)


def corpus(folder):
    """Write all of them into a folder, with one link out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [*good(), *trained_through(), *messy(), *hostile(folder)]
    for one in made:
        (folder / f"{one.name}{one.suffix}").write_bytes(one.content)
    link = Made("symbolic_link", b"", "a link to the master", tuple(solutions(ONE)), "unreadable", says="links are not followed", notebook="")
    (folder / "symbolic_link.ipynb").symlink_to(ROOT / "solutions" / f"{ONE}.ipynb")
    return [*made, link]
