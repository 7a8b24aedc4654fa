"""A notebook in a real browser: JupyterLab on a copy of a folder, and Chromium through Playwright.

From the command line it takes a picture of a page: python tests/browser.py page.html page.png --dark
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    *(Path(os.environ.get(variable, "")) / program
      for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
      for program in ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")),
]
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]
PATIENCE = 300  # seconds: only there to end what hangs; a busy machine is no defect
SETTINGS = {  # of JupyterLab: no question about news in front of the notebook, and only tests save
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension/themes": {"theme": "JupyterLab Light"},
}


def find_chromium() -> str | None:
    """The path of an installed Chromium, Chrome or Edge."""
    places = [shutil.which(name) for name in NAMES] + [str(place) for place in PLACES if Path(place).is_file()]
    return next((place for place in places if place), None)


@contextmanager
def chromium(**context):
    """A browser context; the arguments are Playwright's, as viewport or color_scheme."""
    path = find_chromium()
    if path is None:
        raise RuntimeError("No Chromium, Chrome or Edge was found; install one of them.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        try:
            opened = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
            opened.set_default_timeout(1000 * PATIENCE)
            yield opened
        finally:
            browser.close()


@dataclass
class Lab:
    """A running JupyterLab: its address, the token that opens it, and the folder it serves."""

    url: str
    token: str
    root: Path

    def call(self, path, method="GET"):
        """The answer of Jupyter's REST interface: parsed JSON, or None where it is empty."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def address(self, view, notebook):
        return f"{self.url}{view}/{notebook}?token={self.token}"

    def sessions(self, notebook):
        return [session for session in self.call("api/sessions") if session["path"] == notebook]

    def is_idle(self, notebook) -> bool:
        return [session["kernel"]["execution_state"] for session in self.sessions(notebook)] == ["idle"]

    def reset(self, notebook):
        """End all kernels and clear the outputs of a notebook, so that what is seen later comes from a new run."""
        for session in self.call("api/sessions"):
            self.call(f"api/sessions/{session['id']}", "DELETE")
        content = self.read(notebook)
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        (self.root / notebook).write_text(json.dumps(content), encoding="utf-8")

    def read(self, notebook):
        return json.loads((self.root / notebook).read_text(encoding="utf-8"))


@contextmanager
def jupyterlab(folder: str | Path, dark: bool = False):
    """Serve a copy of a folder with this Python's JupyterLab, as nobody's configuration changes it: a `Lab`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        home, root = Path(temporary, "home"), Path(temporary, "root")
        shutil.copytree(folder, root)
        for name, values in SETTINGS.items():
            file = home / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            if dark and "theme" in values:
                values = {"theme": "JupyterLab Dark"}
            file.write_text(json.dumps(values), encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        lab = Lab(f"http://127.0.0.1:{port}/", secrets.token_hex(16), root)
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        }
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
                   f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}",
                   f"--ServerApp.root_dir={root}"]
        log = home / "log.txt"
        with log.open("wb") as stream:
            server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            wait_for(lambda: server.poll() is not None or answers(lab), "JupyterLab to start")
            if server.poll() is not None:
                raise RuntimeError("JupyterLab did not start:\n" + log.read_text(encoding="utf-8", errors="replace"))
            yield lab
        finally:
            try:  # this way the kernels end with the server, on every system
                lab.call("api/shutdown", "POST")
                server.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                server.kill()
                server.wait()


def answers(lab: Lab) -> bool:
    try:
        return bool(lab.call("api/status"))
    except (OSError, ValueError):
        return False


def wait_for(condition, what, pause=0.1):
    """Try again until condition() is true; TimeoutError says what was waited for."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {PATIENCE} s for {what}.")
        time.sleep(pause)


def open_in_lab(page, lab: Lab, notebook: str):
    """Open a notebook (its path in the served folder) in JupyterLab and run all cells; see `wait_until_run`."""
    lab.reset(notebook)
    workspace = secrets.token_hex(4)  # a new one: another would open what was open in it last
    page.goto(lab.address(f"lab/workspaces/{workspace}/tree", notebook))
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    wait_for(lambda: lab.is_idle(notebook), "a kernel")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    wait_until_run(page, lab, notebook)


def open_in_slides(page, lab: Lab, notebook: str):
    """Open a notebook as RISE slides and run all cells from the keyboard, as one who presents can."""
    lab.reset(notebook)
    page.goto(lab.address("rise", notebook))
    page.locator(".reveal.ready .jp-Cell").first.wait_for()
    wait_for(lambda: lab.is_idle(notebook), "a kernel")
    page.locator(".reveal .present .jp-Cell").first.click()
    page.keyboard.press("Escape")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("ControlOrMeta+Enter")
    wait_until_run(page, lab, notebook)


def wait_until_run(page, lab: Lab, notebook: str):
    """Wait until every code cell has run; AssertionError with the traceback where one failed.

    What has run is read from the saved notebook: cells out of sight need not be on the page.
    """
    def done():
        wait_for(lambda: lab.is_idle(notebook), "the kernel")
        page.keyboard.press("ControlOrMeta+S")
        try:
            code = [cell for cell in lab.read(notebook)["cells"] if cell["cell_type"] == "code"]
        except ValueError:
            return False  # read while it was being saved
        for cell in code:
            for output in cell["outputs"]:
                assert output["output_type"] != "error", "".join(cell["source"]) + "\n".join(output["traceback"])
        return all(cell["execution_count"] for cell in code if "".join(cell["source"]).strip())
    wait_for(done, f"all cells of {notebook} to run", pause=0.5)  # a save that comes late is read in the next try


def drawn(page):
    """Wait until the page has been drawn anew, with all that the last key did to it."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def show(page, element):
    """Bring an element into view: turn the slides to it, as far as its fragment, or scroll."""
    slide = element.evaluate("element => element.closest('.reveal section[id]')?.id")
    if slide:
        page.evaluate("slide => { location.hash = '#/' + slide }", slide)
        page.locator(f"section.present#{slide}").wait_for()
        wait_for(lambda: element.is_visible() or page.keyboard.press("Space"), "the fragment", pause=0.5)
    element.scroll_into_view_if_needed()


def move_slider(page) -> tuple[str, str]:
    """Move the first slider that stands with an HTML figure in a VBox, by keyboard: the figure before and after."""
    box = page.locator(".widget-vbox:has([role=slider]):has(.widget-html svg)").first
    handle, figure = box.locator("[role=slider]").first, box.locator(".widget-html:has(svg)").first
    show(page, handle)
    address, before = page.url, figure.inner_html()
    at_end = float(handle.get_attribute("aria-valuenow")) >= float(handle.get_attribute("aria-valuemax"))
    handle.focus()
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    wait_for(lambda: figure.inner_html() != before, "the figure to follow the slider")
    assert page.url == address, "The key that moves the slider also turned the slides."
    return before, figure.inner_html()


def use_graph(page) -> list[str]:
    """Select nodes of the first GraphView by mouse, then by keyboard: the three descriptions that come back."""
    view = page.locator(".graph-view").first
    graph, description, nodes = view.locator("svg"), view.locator("p"), view.locator("[role=option]")
    show(page, graph)
    address, said = page.url, [description.inner_text()]

    def is_selected(node):
        return node.get_attribute("aria-selected") == "true"

    def hear():
        wait_for(lambda: description.inner_text() not in ("", said[-1]), "the kernel to describe the node")
        said.append(description.inner_text())
        assert view.locator("[aria-selected=true]").count() == 1

    node = nodes.nth(1 if is_selected(nodes.first) else 0)
    node.click()
    hear()
    assert is_selected(node)
    assert graph.evaluate("graph => graph === document.activeElement"), "A click does not give the graph the focus."
    page.keyboard.press("End")
    hear()
    assert is_selected(nodes.last)
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        if is_selected(nodes.last):
            page.keyboard.press(key)
    hear()
    assert not is_selected(nodes.last)
    assert page.url == address, "The keys that walk the graph also turned the slides."
    return said[1:]


def screenshot(source: str | Path, target: str | Path, dark: bool = False, width: int = 1200, full_page: bool = True):
    """Save a picture (PNG) of a page, given its address or the path of an HTML file."""
    address = str(source) if "://" in str(source) else Path(source).resolve(strict=True).as_uri()
    with chromium(color_scheme="dark" if dark else "light", viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.goto(address)
        try:
            page.wait_for_load_state("networkidle", timeout=10_000)
        except BrowserError:
            pass  # a page that is never silent can be looked at too
        page.screenshot(path=target, full_page=full_page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Save a picture of a page.")
    parser.add_argument("source", help="an HTML file or an address")
    parser.add_argument("target", help="the PNG file to write")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    arguments = parser.parse_args()
    screenshot(arguments.source, arguments.target, arguments.dark, arguments.width)
