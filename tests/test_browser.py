"""Notebooks as a reader sees them: in JupyterLab and as slides, in a real browser."""

import json
import math
import os
import re
from pathlib import Path

import nbformat
import pytest
import torch
from short_training import with_short_training

import browser
from course_utils.graph_view import GraphView

MASTERS = Path(__file__).parents[1] / "solutions"
SAYS = {  # notebook: what its first interaction says after a key moved its slider
    "03_graph_networks": "Just trained: Kipf, in-edges, 2 rounds",
    "04_invariance_and_equivariance": "before and after they moved",
    "05_radius_graphs": "30 points joined within r = 1.0: 42 edges",
    "06_augmentation_and_canonicalization": "noise of 1e-5 turned the frame by",
    "07_egnn": "of 6 particles are in sight",
    "08_gvp": "Four objects with arrows made of columns a, b, c",
}
EDGES = torch.tensor([[0, 1, 1, 2, 2], [1, 0, 2, 0, 2]])
PLACES = [[0, 0], [1, 0.2], [0.4, 1]]


@pytest.fixture(scope="module")
def context():
    if browser.find_chromium() is None:
        reason = "No Chromium, Chrome or Edge was found; install one of them to run the tests in a browser."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with browser.chromium() as context:
        yield context


@pytest.fixture
def page(context):
    """A page in which no script may raise."""
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


@pytest.fixture(scope="module")
def lab(context, tmp_path_factory):
    """One JupyterLab for all tests: notebook 2, the others as far as their first interaction, and one that raises."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name in ("02_message_passing", *SAYS):
        notebook = nbformat.read(MASTERS / f"{name}.ipynb", as_version=4)
        if name in SAYS:
            first = next(number for number, cell in enumerate(notebook.cells) if re.search(r"^widgets\.", cell.source, re.M))
            notebook.cells = notebook.cells[:first + 1]
        nbformat.write(with_short_training(notebook), folder / f"{name}.ipynb")
    broken = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
                                      cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(broken, folder / "broken.ipynb")
    with browser.jupyterlab(folder) as lab:
        yield lab


def use_notebook_2(page):
    before, after = browser.move_slider(page)
    assert "after 1 round." in before and "after 2 rounds." in after
    descriptions = browser.use_graph(page)
    assert all(re.fullmatch(r"Node \d is selected. Its inbox in round 0 is in the table.", text) for text in descriptions)


@pytest.mark.slow
@pytest.mark.parametrize("open_and_run", [browser.open_in_lab, browser.open_in_slides])
def test_notebook_2_runs_from_the_menu_and_from_the_keyboard(page, lab, open_and_run):
    open_and_run(page, lab, "02_message_passing.ipynb")
    use_notebook_2(page)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_the_first_interaction_follows_the_keyboard(page, lab, name):
    browser.open_in_lab(page, lab, f"{name}.ipynb")
    browser.move_slider(page)
    figure = page.locator(".widget-vbox:has([role=slider]) .widget-html:has(svg)").first
    browser.wait_for(lambda: SAYS[name] in figure.inner_html(), "the figure that belongs to the slider")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAYS)[1:])  # notebook 3 has graphs beside its sliders, as notebook 2
def test_a_slider_keeps_its_keys_in_slides_without_a_graph_beside_it(page, lab, name):
    browser.open_in_slides(page, lab, f"{name}.ipynb")
    browser.move_slider(page)
    if name == "08_gvp":
        press_buttons_of_a_row(page)


def press_buttons_of_a_row(page):
    """Arrows press the buttons, and neither they nor the number of a slider turn a slide."""
    row = page.locator(".widget-toggle-buttons").first.locator(".widget-toggle-button")
    browser.show(page, row.first)
    address = page.url
    row.first.focus()
    for key, pressed in [("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowUp", 6), ("ArrowDown", 0), ("Home", 0)]:
        page.keyboard.press(key)
        browser.wait_for(lambda: "mod-active" in row.nth(pressed).get_attribute("class"), f"{key} to press a button")
        assert page.url == address, key
    page.locator(".widget-readout").first.focus()
    page.keyboard.press("Home")
    browser.drawn(page)
    assert page.url == address


@pytest.mark.slow
def test_a_notebook_that_raises_is_noticed(page, lab):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        browser.open_in_lab(page, lab, "broken.ipynb")


@pytest.fixture
def draw(page):
    """draw(view) shows a GraphView in a page of its own, with a model that has no kernel behind it; returns its svg."""
    def show(view):
        state = json.dumps({name: value for name, value in view.get_state().items() if name != "layout"})
        page.goto("about:blank")
        page.set_content('<body style="margin: 0"><div id="here" style="width: 640px"></div>')
        page.evaluate("""async ([state, source]) => {
            const {default: widget} = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
            const calls = {};
            const tell = (name) => (calls[name] ?? []).forEach((call) => call());
            window.saves = 0;
            window.model = {get: (name) => state[name], save_changes() { window.saves += 1; throw Error("no kernel"); },
                            set(name, value) { state[name] = value; tell(`change:${name}`); tell("change"); },
                            on: (name, call) => (calls[name] ??= []).push(call), off() {}};
            widget.render({model: window.model, el: document.getElementById("here")});
        }""", [json.loads(state), str(view._esm)])
        return page.locator("svg")
    return show


def held(page, name):
    return page.evaluate("name => window.model.get(name)", name)


@pytest.mark.slow
def test_graph_works_without_a_kernel(page, draw):
    svg = draw(GraphView(EDGES, PLACES, labels=["a", "b", "c"], groups=[0, 1, 0], alt="A ring."))
    assert svg.get_attribute("aria-label") == "A ring."
    options = svg.locator("[role=option]")
    assert options.nth(1).get_attribute("aria-label") == "node 1, b, group 1, edges from 0, to 0, 2"
    page.keyboard.press("Tab")
    for key, selected in [("ArrowUp", 0), ("ArrowUp", 2), ("ArrowRight", 1), ("ArrowRight", 1), ("ArrowLeft", 0),
                          ("Home", 0), ("End", 2), ("Escape", None)]:
        page.keyboard.press(key)
        assert held(page, "selected") == selected, key
    options.nth(1).click()
    assert held(page, "selected") == 1
    assert svg.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    page.keyboard.press("Shift+ArrowUp")
    assert held(page, "positions") == PLACES  # not movable


@pytest.mark.slow
def test_nodes_move_by_mouse_and_keyboard(page, draw):
    svg = draw(GraphView(EDGES, PLACES, movable=True, alt="A ring."))
    box = svg.locator("[role=option]").nth(2).bounding_box()
    x, y = box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("window.saves = 0; window.began = performance.now()")
    page.mouse.move(x + 100, y + 100, steps=200)
    seconds, saves = page.evaluate("[(performance.now() - window.began) / 1000, window.saves]")
    page.mouse.up()
    assert 1 <= saves <= 30 * seconds + 2
    wide, high = 640 - 2 * 36, 384 - 2 * 36
    assert held(page, "positions")[2] == pytest.approx([0.4 + 100 / wide, 1 - 100 / high])
    page.mouse.move(x, y)
    page.keyboard.press("Shift+ArrowLeft")
    assert held(page, "positions")[2] == pytest.approx([0.38 + 100 / wide, 1 - 100 / high])
    for _ in range(50):
        page.keyboard.press("Shift+ArrowUp")
    assert held(page, "positions")[2][1] == 1
    assert held(page, "positions")[:2] == PLACES[:2]


def heads(svg):
    """Where the arrows of a drawing end."""
    paths = svg.locator("path[fill=currentColor]").evaluate_all("paths => paths.map((path) => path.getAttribute('d'))")
    return [tuple(map(float, path[1:].split("L")[0].split())) for path in paths if path]


@pytest.mark.slow
def test_arrows_stop_at_the_rim(draw):
    edges = torch.tensor([[0, 1], [1, 0]])
    tips = heads(draw(GraphView(edges, [[0, 0.5], [1, 0.5]], alt="Two nodes.")))
    for (x, y), centre in zip(tips, (640 - 36, 36)):
        assert math.hypot(x - centre, y - 192) == pytest.approx(26 + 2, abs=0.2)
    assert (tips[0][1] - 192) * (tips[1][1] - 192) < 0  # each bent to its own left
    assert heads(draw(GraphView(edges, [[0, 0.5], [1, 0.5]], directed=False, alt="Two nodes."))) == []


@pytest.mark.slow
def test_pulse_runs_once_and_not_where_motion_is_unwelcome(page, draw):
    view = GraphView(EDGES, PLACES, alt="A ring.")
    view.active_edges = EDGES[1] == 0
    draw(view)
    watch = """async (number) => {  // the most dots seen at once, and those left over
        window.model.set("_pulses", number);
        const dots = () => document.querySelectorAll("svg > circle").length;
        let most = 0;
        for (let frame = 0; frame < 30 || (dots() && frame < 3000); frame += 1) {
            await new Promise(requestAnimationFrame);
            most = Math.max(most, dots());
        }
        return [most, dots()];
    }"""
    assert page.evaluate(watch, 1) == [2, 0]
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(watch, 2) == [0, 0]


@pytest.mark.parametrize("change, message", [
    ({"edge_index": EDGES.T}, "Did you forget .T"),
    ({"edge_index": EDGES + 1}, "names node 3"),
    ({"positions": {0: [0, 0], 1: [1, 1], 2: [0, 1]}}, "positions are a dict"),
    ({"positions": [[0, 0], [1, 1], [0]]}, "positions are a list"),
    ({"positions": torch.rand(3, 3)}, r"have shape \(3, 3\); expected numbers of shape \(3, 2\)"),
    ({"positions": [[0, 0], [1, 1], [0, -1]]}, "from -1 to 1; expected 0 to 1"),
    ({"positions": [[0, 0], [1, 1], [0, math.nan]]}, "expected 0 to 1"),
    ({"labels": "ab"}, "labels has 2 entries; expected one for each of the 3 nodes"),
    ({"groups": [0, 1, 5]}, "from 0 to 5; expected whole numbers from 0 to 4"),
    ({"selected": 3}, "selected is 3; expected None or a node from 0 to 2"),
    ({"active_edges": [0, 5]}, "names edge 5; with 5 edges they are 0 to 4"),
    ({"edge_labels": ["m"]}, "edge_labels has 1 entries; expected one for each of the 5 edges"),
])
def test_bad_input_is_named(change, message):
    good = {"edge_index": EDGES, "positions": PLACES, "alt": "A ring."}
    with pytest.raises(ValueError, match=message):
        GraphView(**{**good, **change})
    view, (name, value) = GraphView(**good), *change.items()
    before = getattr(view, name)
    with pytest.raises(ValueError, match=message):
        setattr(view, name, value)
    assert getattr(view, name) is before


def test_what_the_reader_does_is_observed():
    view, seen = GraphView(EDGES, PLACES, movable=True, alt="A ring."), []
    view.observe(lambda change: seen.append((change["name"], change["new"])), ["selected", "positions"])
    view.set_state({"selected": 2})
    view.set_state({"positions": [[0, 0], [1, 0.2], [0.5, 1]]})
    assert seen == [("selected", 2), ("positions", [[0, 0], [1, 0.2], [0.5, 1]])]


def test_new_edges_forget_what_was_said_of_the_old():
    view = GraphView(EDGES, PLACES, labels=torch.tensor([0.25, 1.0, 1 / 3]), alt="A ring.")
    assert view.labels == ["0.25", "1", "0.333"]
    view.active_edges, view.edge_labels = EDGES[1] == 2, range(5)
    assert (view.active_edges, view.edge_labels) == ([2, 4], ["0", "1", "2", "3", "4"])
    view.edge_index = EDGES[:, :2]
    assert (view.active_edges, view.edge_labels) == ([], [])
