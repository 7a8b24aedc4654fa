"""README's figure: the last figure of notebook 8, from a run of its master, on white. Needs the extra "test" and Chromium.

    python tools/readme_figure.py
"""

import html
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).parents[1]
MASTER = ROOT / "solutions" / "08_gvp.ipynb"
PICTURE = ROOT / "solutions" / "recurring.png"
TAG = "readme-figure"


def figure(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """The SVG and the alt text of the cell with the tag, of a notebook that was run."""
    cell = next(cell for cell in notebook.cells if TAG in cell.metadata.get("tags", ()))
    svg = next(o.data["text/html"] for o in reversed(cell.outputs) if "<svg" in o.get("data", {}).get("text/html", ""))
    return svg, html.unescape(re.search(r'aria-label="([^"]*)"', svg).group(1))


def main() -> None:
    sys.path.append(str(ROOT / "tests"))
    import browser

    notebook = nbformat.read(MASTER, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(MASTER.parent)}}).execute()
    svg, alt = figure(notebook)
    with browser.chromium(device_scale_factor=2) as context:
        page = context.new_page()
        page.set_content(f'<div id="page" style="display:inline-block;background:white;color:black;padding:12px">{svg}</div>')
        page.locator("#page").screenshot(path=PICTURE)
    with Image.open(PICTURE) as image:
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)  # a third of the bytes
        image.info.clear()
        said = PngInfo()
        said.add_itxt("Description", alt)
        image.save(PICTURE, pnginfo=said, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1000:.0f} kB\n{alt}")


if __name__ == "__main__":
    main()
