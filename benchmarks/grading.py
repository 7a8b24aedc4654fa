"""A class of 700 graded, beside nbgrader on ten perfect submissions, in one run.

    python benchmarks/grading.py [--notebook NAME ...] [--submissions 700] [--nbgrader 10] [--seconds 10]

The submissions of a notebook are perfect, blank, half done, or answer an exercise with a declared misconception
or another right answer; those of notebook 1 are messy, too. Each is a file of its own content, and one in twenty
means harm. ``--seconds`` is the grader's, and shorter than its own, since what a harmful notebook uses up is
waited for twice. Printed are the seconds in all, with the pages of feedback, those that a submission took
(median, fastest, slowest), and the memory of the grader and all that it started. Needs the extra `test`.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import submissions  # noqa: E402

from course_utils.grading import store  # noqa: E402


COURSE = [sys.executable, "-c", "import sys; from course_utils.cli import main; sys.exit(main())"]


def marked(content: bytes, number: int) -> bytes:
    """A notebook with a cell of its own, so that it is the same as no other."""
    notebook = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
    for sheet in notebook.get("worksheets", [notebook]):
        sheet["cells"].append({"cell_type": "markdown", "metadata": {}, "source": f"Handed in by number {number}."})
    return json.dumps(notebook).encode()


def write_class(folder: Path, number: int, name: str) -> None:
    """So many submissions of a notebook, none the same as another."""
    folder.mkdir()
    usual = [one.content for one in [*submissions.good(), *submissions.messy()] if one.notebook == name and one.suffix == ".ipynb"
             and one.name != "long_output" and one.state in ("graded", "blank")]
    usual = itertools.cycle([*usual, *submissions.right_answers(name)])
    harmful = itertools.cycle([content for _, content in submissions.harmful(name)])
    for i in range(number):
        content = next(harmful if i % 20 == 19 else usual)
        (folder / f"student{i:04}.ipynb").write_bytes(marked(content, i))


def watched(process: subprocess.Popen) -> float:
    """The most memory, in MB, that a process and its children had at once until it ended; what they share counts once."""
    most, tree = 0, psutil.Process(process.pid)

    def look():
        nonlocal most
        while process.poll() is None:
            total = 0
            try:
                for one in [tree, *tree.children(recursive=True)]:
                    total += one.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            most = max(most, total)
            time.sleep(0.5)

    thread = threading.Thread(target=look)
    thread.start()
    process.wait()
    thread.join()
    return most / 1e6


def grade(folder: Path, number: int, name: str, seconds: int) -> float:
    """The milliseconds that a submission takes: the whole run over the number."""
    folder.mkdir()
    write_class(folder / "in", number, name)
    start = time.perf_counter()
    options = ["--scores", folder / "scores.sqlite", "--out", folder / "report", "--seconds", str(seconds)]
    command = [*COURSE, "grade", folder / "in", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    memory = watched(process)
    total = time.perf_counter() - start
    print(process.stdout.read().splitlines()[-1])
    scores = store.Scores(folder / "scores.sqlite")
    spent = [1e3 * row.graded.seconds for row in scores.rows()]
    pages = len(list((folder / "report" / "students").iterdir()))
    print(f"{name}: {number} submissions, {pages} pages of feedback, {os.cpu_count()} cores: {total:.0f} s in all; a submission "
          f"{statistics.median(spent):.0f} ms ({min(spent):.0f} to {max(spent):.0f}); {memory:,.0f} MB at most")
    return 1e3 * total / number


def nbgrader(folder: Path, number: int, name: str) -> float:
    """The milliseconds of a submission, of that many perfect ones, one after the other as nbgrader takes them."""
    folder.mkdir()
    (folder / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'gnn'\n"
                                               "c.ExecutePreprocessor.timeout = 300\n")
    (folder / "source" / "hw").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "source" / "hw")
    for i in range(number):
        (folder / "submitted" / f"student{i}" / "hw").mkdir(parents=True)
        (folder / "submitted" / f"student{i}" / "hw" / f"{name}.ipynb").write_bytes(
            submissions.as_bytes(submissions.filled(name)))
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "nbgrader"]
    subprocess.run([*command, "generate_assignment", "hw"], cwd=folder, env=env, check=True, capture_output=True)
    start = time.perf_counter()
    subprocess.run([*command, "autograde", "hw"], cwd=folder, env=env, check=True, capture_output=True)
    each = 1e3 * (time.perf_counter() - start) / number
    print(f"{name}: nbgrader, {number} perfect submissions: {each:,.0f} ms a submission")
    return each


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=700)
    parser.add_argument("--nbgrader", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--notebook", nargs="*", choices=submissions.NAMES, default=[submissions.ONE])
    options = parser.parse_args()
    for name in options.notebook:
        with tempfile.TemporaryDirectory() as folder:
            theirs = nbgrader(Path(folder, "nbgrader"), options.nbgrader, name)
            ours = grade(Path(folder, "ours"), options.submissions, name, options.seconds)
        print(f"{name}: nbgrader takes {theirs / ours:.0f} times as long: {theirs:,.0f} ms for {ours:.0f} ms, both the whole run "
              "over the number")


if __name__ == "__main__":
    main()
