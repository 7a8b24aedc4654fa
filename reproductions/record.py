"""What every reproduction needs: a small file of results that a stopped script goes on with."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tqdm import tqdm

import course_utils.recorded

FOLDER = Path(course_utils.recorded.__file__).parent


def record(name: str, settings: dict, keys: Iterable[str], run: Callable[[str], dict], folder: Path = FOLDER) -> dict[str, dict]:
    """Do ``run(key)`` for every key that the file ``name.json`` lacks, and return all results by key.

    The file is written after each run, so whatever stops the script, the next start goes on. To each result the seconds that
    it took are added. Runs of other settings are never mixed: where the file was made with others, the script stops and says
    so. One torch thread.
    """
    torch.set_num_threads(1)
    path, keys = folder / f"{name}.json", list(keys)
    settings = json.loads(json.dumps(settings))
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"settings": settings, "runs": {}}
    if found["settings"] != settings:
        sys.exit(f"{path} was recorded with other settings: {found['settings']}, now {settings}. Delete it to record anew.")
    results = {key: found["runs"][key] for key in keys if key in found["runs"]}
    for key in tqdm([key for key in keys if key not in results], initial=len(results), total=len(keys), desc=name):
        start = time.perf_counter()
        results[key] = run(key)
        results[key]["seconds"] = round(time.perf_counter() - start, 1)
        runs = {key: results[key] for key in keys if key in results}
        lines = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(result)}" for key, result in runs.items())
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(f'{{"settings": {json.dumps(settings)},\n "runs": {{\n  {lines}}}}}\n', encoding="utf-8")
        os.replace(unfinished, path)
    return results


def rounded(value: float, digits: int = 4) -> float:
    """To so many significant digits: more would be noise, and make files large."""
    return float(f"{value:.{digits}g}")
