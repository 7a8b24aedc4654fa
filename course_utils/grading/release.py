"""Packing: what students get, and what Gradescope runs."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

from .. import exercises
from . import build

COURSE = ("pyproject.toml", "constraints.txt", "environment.yml", "LICENSE", "CITATION.cff")
FOR_STUDENTS = """# Graph neural networks and rotational equivariance

Notebooks, and the library that they import. You need Python 3.11 to 3.13, and no network once it is installed.

## Open the course

In this folder; the first time takes some minutes. Linux and macOS:

```sh
{posix}
```

Windows (PowerShell):

```powershell
{windows}
```

With conda: `conda env create -f environment.yml`, `conda activate gnn-course`, `jupyter lab notebooks`.

## Work on a notebook

Run it from top to bottom once. Where you read `...`, write your answer, run the cell, and then the cell `check(...)` below
it: the card says what holds, and what to think about next. `check()` at the end sums up. `reset(your_function)` opens a
fresh copy of an exercise in a new cell. Hand in the notebook itself, with its code: outputs do not matter, and you may
rename the file.
"""
SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when its image is built.
set -euo pipefail
cd "${AUTOGRADER:-/autograder}/source"
newest() { for version in 3.13 3.12 3.11; do command -v "python$version" && return; done; }
if ! newest >/dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y python3.11 python3.11-venv
fi
"$(newest)" -m venv venv
venv/bin/python -m pip install -c course/constraints.txt -e "course[grade]"
# A submission runs as another user, who may use the library and must not read exercises and grader.
chmod -R go+rX venv course
chmod -R go= course/course_utils/exercises course/course_utils/grading
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission.
cd "${AUTOGRADER:-/autograder}"
source/venv/bin/course grade submission --jobs 1 --results results/results.json{notebook}
"""


def students(root: Path, path: Path) -> str:
    """Write the zip for students: notebooks as built from the masters, library, environment, and a README of its own."""
    readme = (root / "README.md").read_text("utf-8")
    command = {"posix": re.search(r"python3 -m venv [^`\n]*jupyter lab notebooks", readme)[0],
               "windows": re.search(r"py -m venv [^`\n]*jupyter lab notebooks", readme)[0]}
    parts = _course(root) | {f"notebooks/{name}.ipynb": content
                             for name, content in build.students_notebooks(root, build.declared).items()}
    parts["README.md"] = FOR_STUDENTS.format(**command).encode()
    parts["course_utils/grading/stubs.json"] = json.dumps({name: build.stub(name, root) for name in exercises.all_exercises()}).encode()
    return _written(path, {f"{path.stem}/{name}": content for name, content in parts.items()})


def gradescope(root: Path, path: Path, notebook: str = "") -> str:
    """Write the zip that Gradescope takes as an autograder; ``notebook`` is the only one that gives points there."""
    parts = {f"course/{name}": content for name, content in _course(root).items()}
    parts["course/README.md"] = b"The library of the course, with its grader.\n"
    command = RUN.replace("{notebook}", f" --notebook {notebook}" if notebook else "")
    return _written(path, parts | {"setup.sh": SETUP.encode(), "run_autograder": command.encode()})


def _course(root: Path) -> dict[str, bytes]:
    package = [p for p in sorted((root / "course_utils").rglob("*")) if p.is_file() and p.suffix != ".pyc"]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in [*(root / name for name in COURSE), *package]}


def _written(path: Path, parts: dict[str, bytes]) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))  # the same bytes every time
            info.external_attr = (0o755 if content.startswith(b"#!") else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    build.write(path, packed.getvalue())
    return f"{path}: {len(parts)} files, {len(packed.getvalue()) / 1e6:.1f} MB."
