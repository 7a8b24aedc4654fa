"""What the scripts in ``reproductions/`` found, in small files that the notebooks show beside what they have just run."""

from __future__ import annotations

import json
from importlib import resources


def load(name: str) -> dict:
    """``{"settings": ..., "runs": {name of a run: its result}}``, as ``reproductions/NAME.py`` wrote it.

    Raises FileNotFoundError, with the names there are, for another.
    """
    folder = resources.files(__name__)
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))
        raise FileNotFoundError(f"nothing is recorded as {name!r}; expected one of {', '.join(known)}.") from None
