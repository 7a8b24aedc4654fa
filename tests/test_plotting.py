import functools
import re
import time
import warnings

import pytest
import torch

from course_utils import datasets, graphs, neighbors, plotting, recurring, symmetry, widgets
from course_utils.systems import crystals, dojo, mystery, nbody

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])


THREE = torch.eye(3)


def moved(f):
    return plotting.motions(f, widgets.CLOUD, THREE.double(), torch.ones(3), f"What <{f.__name__}> does.", torch.arange(6).roll(1))


FIGURES = {  # how to draw one of each kind
    "graph": lambda: plotting.graph(EDGES, plotting.layout(EDGES, 4), "A graph of four.", labels="abcd", groups=[0, 1, 2, 3],
                                    directed=True, marked=[1], group_names=["p", "q", "r", "s"]),
    "matrix": lambda: plotting.matrix(torch.eye(4), "The <identity> & more.", blocks=[("first", 1), ("rest", 3)]),
    "bars": lambda: plotting.bars({"one": [0.2, 0.4], "two": [0.9]}, "Bars.", xlabel="share", blind=0.5),
    "bars and diamonds": lambda: plotting.bars({"one": [0.2, 0.4], "two": [0.9]}, "Bars and diamonds.", xlabel="share",
                                               published={"one": 0.5, "two": 0.1}),
    "lines": lambda: plotting.lines(range(3), {"up": [[0, 1], [1, 2], [2, 3]], "down": [2, 1, 0]}, "Lines.", xlabel="x", ylabel="y"),
    "lines with a mark": lambda: plotting.lines(range(2), {"up": [0, 1]}, "Lines with a mark.", xlabel="x", ylabel="y",
                                                marks={"up": (1, 0.5)}, limits=(0, 2)),
    "scatter": lambda: plotting.scatter(torch.eye(2), [0, 1], "Two points.", group_names=["p", "q"]),
    "molecule": lambda: plotting.molecule(next(m for m in datasets.molecules() if m.id == "ALA"), "Alanine.", up="N", title="L"),
    "recurring": lambda: plotting.recurring("crystal", {"distances": {"turned": 0.05, "by angle": [0.05] * 9}}, 256, ["coordinates"]),
    "in space": lambda: plotting.in_space(THREE, EDGES, "Three points, one way and <both>.", groups=[1, 0, 0], labels="abc",
                                          ball=(0, 0.5), title="t"),
    "track": lambda: plotting.track([0.5, -0.5, 1.0], 1, "A track.", xlabel="x", ylabel="y", low=-1, high=1),
    "decades": lambda: plotting.decades([1e-3, 1e-2, 1e-1], {"up": [1, 10, 100], "level": [2, 2, 2]}, "Decades.",
                                        xlabel="x", ylabel="y"),
    "framed": lambda: plotting.framed(THREE, "Three points and <axes>.", arrows=list(THREE), before=[torch.ones(3)], names="123",
                                      gone=torch.ones(3), title="a & b"),
    "particles": lambda: plotting.particles(torch.tensor([1, -1, 1]), THREE, "Three <charges>.", v=torch.ones(3, 3),
                                            start=torch.zeros(3, 3), guess=-THREE, title="a & b"),
    "trails": lambda: plotting.trails([THREE, 2 * THREE, 9 * THREE], "Three <trails>.", reach=4, title="a & b"),
    "nbody": lambda: plotting.nbody(0.012, 15_000, {"straight on": 0.1}, {"psi_c of messages": ""}),
    "arrows at points": lambda: plotting.arrows_at(THREE, torch.ones(3, 3), "Three points with <arrows>.", expected=THREE,
                                                   linked=True, labels="123", title="a & b"),
    "one position moves": lambda: moved(mystery.repelled),
    "one vector moves": lambda: moved(mystery.centroid),
    "a number each": lambda: moved(mystery.heights),
    "a number": lambda: moved(mystery.radius),
}


@functools.cache
def draw(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a name far outside leaves no room for the axes
        return FIGURES[name]()


def ids_in(figure):
    return set(re.findall(r'\bid="([^"]+)"', figure.html))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_alt_text_and_takes_the_pages_text_color(name):
    figure = draw(name)
    data = figure._repr_mimebundle_()
    html = data["text/html"]
    assert html.count('role="img"') == 1
    assert re.search(r'aria-label="([^"]+)"', html).group(1)
    assert figure.alt in data["text/plain"]
    assert "currentColor" in html and plotting._INK not in html
    assert "<identity>" not in html


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_name_of_a_line_stands_at_its_end():
    html = plotting.lines(range(3), {"up": [0, 5, 100], "down": [2, 1, 0]}, "Lines.", xlabel="x", ylabel="y").html
    ends = [float(path.split()[-1]) for path in re.findall(r'<path d="(M [-\d. LM\n]+)" clip-path[^>]*stroke-width: 2.2', html)]
    names = {colour: float(y) for colour, y in re.findall(r'<g style="fill: (#\w+)" transform="translate\([\d.]+ ([\d.]+)\)', html)}
    assert len(ends) == 2 and [names[colour] for colour in plotting.COLOURS[:2]] == pytest.approx(ends, abs=8)


def test_ids_of_two_figures_in_one_page_differ():
    graph, matrix = ids_in(draw("graph")), ids_in(draw("matrix"))
    assert graph and matrix and not graph & matrix


@pytest.mark.parametrize("name", FIGURES)
def test_every_reference_inside_a_figure_is_resolved(name):
    figure = draw(name)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', figure.html)
    assert {first or second for first, second in references} <= ids_in(figure)


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*plotting.COLOURS, *plotting._MORE, plotting.GREY])
@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_colours_stand_out_on_white_and_on_black(colour, page):
    light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_the_same_figure_is_the_same_svg():
    assert FIGURES["graph"]().html == FIGURES["graph"]().html


def test_bars_in_words():
    assert plotting.in_words({"one": [0.2, 0.4], "two": [0.9]}) == "one: 30%; two: 90%."


def test_a_row_has_the_alt_text_of_all():
    graph, matrix = draw("graph"), draw("matrix")
    assert plotting.row(graph, matrix).alt == f"{graph.alt} {matrix.alt}"


def test_mirror_images_are_drawn_as_mirror_images():
    """L-alanine, with the hydrogen towards the viewer, reads CO, R, N clockwise; D-alanine the other way round."""
    turns = {}
    for m in datasets.molecules():
        if m.id in ("ALA", "DAL"):
            seen = plotting.seen_around_centre(m, up="N")
            around = m.graph.edge_index[1, m.graph.edge_index[0] == m.stereocentre].tolist()
            oxygens = [i for i in around if any(m.graph.names[j] == "O" for j in
                                                m.graph.edge_index[1, m.graph.edge_index[0] == i].tolist())]
            nitrogen = next(i for i in around if m.graph.names[i] == "N")
            rest = next(i for i in around if i not in (oxygens[0], nitrogen))
            (ax, ay), (bx, by) = seen[oxygens[0]].tolist(), seen[rest].tolist()
            turns[m.id] = ax * by - ay * bx
            assert seen[nitrogen, 1] > 0 and abs(seen[nitrogen, 0]) < 1e-4
    assert turns["ALA"] < 0 < turns["DAL"]  # clockwise is negative where y points up


def test_a_value_is_not_written_across_the_line_of_the_blind_guess():
    def places(html):  # where the texts stand
        return [float(x) for x in re.findall(r'<g style="fill: currentColor" transform="translate\(([\d.]+) ', html)]

    free, moved = (plotting.bars({"one": [0.47]}, "A bar.", xlabel="x", blind=blind, top=1.0).html for blind in (0.9, 0.5))
    assert free != moved and places(moved)[-1] != places(free)[-1]


@pytest.mark.parametrize("target", crystals.TARGETS)
def test_the_recurring_figure_takes_every_method_and_target_and_says_what_was_just_run(target):
    found = {"turned": 0.125, "by angle": [0.25] * len(recurring.ANGLES)}
    figure = plotting.recurring(target, {"EGNN": found}, 1024, list(recurring.METHODS))
    assert all(f"{method}, 1024 examples: recorded medians" in figure.alt for method in recurring.METHODS)
    assert figure.alt.count("just run") == 1 and "just run, 0.250 upright and 0.125 at random turns" in figure.alt
    fewer = plotting.recurring(target, {}, 64, ["GVP"])
    assert "GVP, 64 examples" in fewer.alt and "EGNN" not in fewer.alt and "just run" not in fewer.alt


def test_the_recurring_figure_says_what_is_not_recorded():
    with pytest.raises(ValueError, match="nothing is recorded of MLP; expected some of coordinates, .*steerable"):
        plotting.recurring("crystal", {}, 256, ["MLP"])
    with pytest.raises(ValueError, match="no angles are recorded for size 100; expected one of 64, 256"):
        plotting.recurring("crystal", {}, 100, ["EGNN"])
    with pytest.raises(ValueError, match="no angles are recorded for size 8; expected one of 64, 256"):
        plotting.recurring("missing", {}, 8, ["EGNN"])


def test_points_in_space_show_who_is_isolated_and_which_edges_have_no_reverse():
    x = torch.tensor([[0.0, 0], [1, 0], [0, 1], [3, 3]])
    html = plotting.in_space(x, torch.tensor([[0, 1, 2], [1, 0, 0]]), "Four points.").html
    assert (html.count("<circle"), html.count("<rect"), html.count("stroke-dasharray"), html.count('stroke-width="2"')) == (3, 1, 1, 1)


# ------------------------------------------------------------------------------------------------------ interactions


def test_the_shuffler_moves_numbers_and_matrix_and_not_the_graph():
    m = next(m.graph for m in datasets.molecules() if m.id == "PHE")
    box = widgets.shuffler(m, plotting.layout(m.edge_index, m.num_nodes), lambda A: A[0].sum().item() / 10, "Ring?")
    numbering, (view, table) = box.children[0], box.children[1].children
    before = list(view.labels), view.positions, table.value
    numbering.value = 3
    assert sorted(view.labels, key=int) == sorted(before[0], key=int) and view.labels != before[0]
    assert view.positions == before[1]
    assert table.value != before[2]
    assert "<b>1</b>" in table.value  # one ring, whatever the numbering


def test_the_inbox_counts_the_bias_and_follows_the_slider():
    edges = torch.tensor([[0, 1, 3], [1, 2, 2]])
    box = widgets.inbox(edges, plotting.layout(edges, 5), torch.tensor([2.0, 1.0, -1.0, 0.0, 4.0]))
    k, (view, table) = box.children[0], box.children[1].children
    assert "the bias 2 times in it" in table.value
    view.selected = 4
    assert "the bias 0 times in it" in table.value and view.active_edges == []
    assert view.labels == ["h₀ = 2", "h₁ = 1", "h₂ = -1", "h₃ = 0", "h₄ = 4"]
    k.value = 1
    assert view.labels == ["h₀ = 1", "h₁ = 2.75", "h₂ = 1", "h₃ = 0", "h₄ = 2"]
    view.selected = None
    assert "Click a node" in table.value


def test_reach_follows_the_slider():
    fly = datasets.fly_connectome("left")
    box = widgets.reach(fly.edge_index, fly.y, datasets.CELL_CLASSES, neuron=100)
    controls, shown = box.children
    before = shown.value
    controls.children[0].value = 3
    assert shown.value != before and "after 3 rounds." in shown.value


def test_retraining_marks_what_was_trained_on_the_recorded_curves(monkeypatch):
    trained = []
    monkeypatch.setattr(widgets.fly, "train", lambda *choice: trained.append(choice) or (0.5, 0.75))
    box = widgets.retrain()
    controls, shown = box.children[0].children, box.children[1]
    for control, value in zip(controls, ("general", "both, told apart", 3)):
        control.value = value
    assert trained == [("Kipf", "in-edges", 1), ("general", "in-edges", 1), ("general", "both, told apart", 1),
                       ("general", "both, told apart", 3)]
    assert "Just trained: general, both, told apart, 3 rounds: left 50%, right 75%." in shown.value and "training ..." not in shown.value
    controls[0].value = "general"
    controls[2].value = 1
    assert len(trained) == 4, "what was trained once is kept"


def test_smoothing_ends_with_the_roots_of_the_degrees():
    club = datasets.karate_club()
    h = torch.randn(club.num_nodes, 2)
    box = widgets.smoothing(club.edge_index, h, club.y, ["one", "other"], rounds=3)
    box.children[0].children[0].value = 3
    assert "after 3 rounds" in box.children[1].value


def test_coloured_pairs_show_the_same_colours_and_the_triangles():
    hexagon = torch.stack([torch.arange(6), torch.arange(1, 7) % 6])
    triangles = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    star = torch.tensor([[0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    ring, two, spokes = (graphs.Graph(graphs.both_directions(edges), 6) for edges in (hexagon, triangles, star))
    box = widgets.coloured_pairs([(ring, two), (ring, spokes)])
    (which, k), views, said = box.children[0].children, box.children[1], box.children[2]
    k.value = 4
    assert "the same, equally often" in said.value and "Triangles: <b>0</b> and <b>2</b>" in said.value
    which.value = 2
    assert "different" in said.value and sorted(views.children[1].groups) != sorted(views.children[0].groups)
    assert "6 nodes, 6 links; colours: 1; triangles: 2." in widgets.coloured((ring, two)).alt


def test_the_mystery_widget_draws_every_function_under_every_motion():
    box = widgets.mystery(mystery.FUNCTIONS)
    (which, *motions), shown = box.children[0].children, box.children[1]
    assert [name for name, _ in which.options][:3] == ["A", "B", "C"] and len(which.options) == len(mystery.FUNCTIONS)
    for k in range(len(mystery.FUNCTIONS)):
        which.value = k
        for control in motions:
            before = shown.value
            for value in (control.max, control.min, 0) if hasattr(control, "max") else (True, False):
                control.value = value
                assert 'aria-label="Six points and what function' in shown.value and 'role="status"' in shown.value
                assert "nan" not in shown.value and "currentColor" in shown.value
                assert min(map(int, re.findall(r'font-size[=:]"?(\d+)', shown.value))) >= 15
            assert shown.value == before


def test_the_mystery_widget_shows_what_did_not_change_and_what_moved_along():
    box = widgets.mystery([mystery.radius, mystery.twist, mystery.centroid])
    (which, turn, tilt, shift, renumber, mirror), shown = box.children[0].children, box.children[1]

    def numbers():
        return re.findall(r"-?\d\.\d{3}", shown.value[shown.value.index("<table"):])

    turn.value, shift.value, mirror.value = 35, 2, True
    before, after = numbers()
    assert before == after
    which.value = 1
    before, after = numbers()
    assert float(before) == -float(after) != 0
    which.value, turn.value, mirror.value = 2, 0, False
    gaps = [float(b) - float(a) for a, b in zip(numbers()[:3], numbers()[3:])]
    assert gaps == pytest.approx([0.6, 0.4, 0.4], abs=2e-3)
    turn.value, shift.value = 90, 0
    (a, b, c), (d, e, g) = (list(map(float, numbers()[k:k + 3])) for k in (0, 3))
    assert (d, e, g) == pytest.approx((-b, a, c))
    shown_with, tilt.value = shown.value, 20
    assert shown.value != shown_with and renumber.value == 0


def test_the_mystery_widget_counts_and_does_not_say_which():
    box = widgets.mystery([mystery.centroid, mystery.twist])
    which, rows, score = box.children[0].children[0], box.children[2].children, box.children[3]
    assert [row.description for row in rows] == list(symmetry.MOTIONS)
    assert "Choose a word for each of the four." in score.value
    for row in rows:
        row.value = "invariant"
    assert "1 of 4 are right." in score.value and 'role="status"' in score.value
    for row in rows[1:]:
        row.value = "equivariant"
    assert "4 of 4 are right." in score.value
    which.value = 1
    assert all(row.value is None for row in rows) and "Choose a word for each of the four." in score.value


def test_a_moved_picture_draws_each_shape_in_its_own_way():
    x, R, b = widgets.CLOUD, -torch.eye(3).double(), torch.zeros(3)
    drawn = {f: plotting.motions(f, x, R, b, "A cloud.").html for f in mystery.FUNCTIONS}
    for f, html in drawn.items():
        shape = tuple(f(x).shape)
        assert html.count("<circle") == (24 if shape == (6, 3) else 12)
        assert html.count("<rect") == {(): 2, (6,): 12}.get(shape, 0)
        assert html.count("Z\"") == (2 if shape == (3,) else 0)
    assert "-0.000" not in "".join(drawn.values())


def test_the_cutoff_slider_counts_edges_parts_and_isolated_nodes():
    x = torch.tensor([[0.0, 0], [1, 0], [2, 0], [4, 0]])
    r, shown, _ = widgets.cutoff(x, centre=1).children
    for tenths, says in ((9, "r = 0.9: 0 edges, 4 parts, 4 isolated"), (10, "r = 1.0: 4 edges, 2 parts, 1 isolated"),
                         (20, "r = 2.0: 8 edges, 1 part, 0 isolated")):
        r.value = tenths
        assert says in shown.value and f"4 points joined within {says}." in shown.value
    assert widgets.within(x, 1, 2.0).html == shown.value


def energy_of_pairs(x, edge_index, c):
    d = neighbors.distances(x, edge_index)
    return (widgets.CHARGES[edge_index].prod(0) * torch.exp(-d) * c(d)).sum() / 2


RULES = {"radius": (lambda x: neighbors.radius_graph(x, 1.5), torch.ones_like),
         "smooth": (lambda x: neighbors.radius_graph(x, 1.5), lambda d: neighbors.envelope(d, 1.5)),
         "nearest": (lambda x: neighbors.knn_graph(x, 3), torch.ones_like)}


def test_the_crossing_atom_makes_the_energy_jump_where_no_envelope_is():
    rule, step, shown, _ = widgets.crossing(energy_of_pairs, RULES, 1.5).children
    jumps = {}
    for name in RULES:
        rule.value = name
        step.value = 60
        energy, jumps[name] = map(float, re.search(rf"{name}: the energy is (-?[\d.]+) here; .* by up to ([\d.]+)\.", shown.value).groups())
        x = widgets.place(widgets.WAY[60])
        assert energy == pytest.approx(energy_of_pairs(x, RULES[name][0](x), RULES[name][1]).item(), abs=6e-4)
        assert ("fill-opacity" in shown.value) == (name != "nearest"), "the ball belongs to a radius graph"
    assert jumps["smooth"] < 0.05 < 0.2 < min(jumps["radius"], jumps["nearest"])


def test_sliders_are_followed_in_a_tenth_of_a_second_of_the_processor():
    seconds = []
    for box in (widgets.cutoff(crystals.flake(), 10), widgets.crossing(energy_of_pairs, RULES, 1.5)):
        control = box.children[-3]
        for value in range(20, 30):
            start = time.process_time()
            control.value = value
            seconds.append(time.process_time() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.1


def test_the_noise_slider_turns_the_frame_of_a_shell_and_not_of_a_generic_cloud():
    generic = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    box = widgets.noisy_frames({"fcc": crystals.SITES["fcc"], "generic": generic})
    (size, draw), shown = box.children[0].children, box.children[1]

    def degrees():
        return [float(number) for number in re.findall(r"turned the frame by (\S+) degrees\.<", shown.value.replace("</div>", "<"))]

    seen, seconds = [], []
    for draw.value in (1, 2, 3):
        for exponent in (-12, -6, -3, -1):
            start = time.process_time()
            size.value = exponent
            seconds.append(time.process_time() - start)
            fcc, other = degrees()
            assert other < 500 * 10.0**exponent or exponent == -1
            assert "nan" not in shown.value and 'role="status"' in shown.value
            seen.append(fcc)
    assert min(seen) > 3 and sorted(seconds)[len(seconds) // 2] < 0.1
    assert min(map(int, re.findall(r'font-size[=:]"?(\d+)', shown.value))) >= 15


def test_a_framed_cloud_says_what_is_before_and_what_is_gone():
    html = plotting.framed(torch.eye(3), "Points.", arrows=list(torch.eye(3)), before=list(torch.eye(3)), gone=torch.ones(3)).html
    assert html.count("<circle") == 4 and html.count("stroke-dasharray") == 4 and html.count("stroke-width=\"4\"") == 3


def test_the_exploding_cloud_follows_its_sliders():
    box = widgets.exploding()
    (particles, rounds), shown = box.children[0].children, box.children[1]
    seconds = []
    for particles.value in (2, 3, 50, 99, 100):
        start = time.process_time()
        rounds.value = 3 if rounds.value == 4 else 4
        seconds.append(time.process_time() - start)
    assert rounds.value == 3 and sorted(seconds)[len(seconds) // 2] < 0.1
    rounds.value = 4
    assert "as on the slide: after 4 rounds 0 of 100 particles are in sight, and the cloud is 14,641 times as wide." in shown.value
    assert "1.10" in shown.value and "1.47" in shown.value and "nan" not in shown.value and 'role="status"' in shown.value
    particles.value, rounds.value = 2, 0
    assert shown.value.count("2 of 2 particles are in sight, and the cloud is 1.00 times as wide") == 2
    assert min(map(int, re.findall(r'font-size[=:]"?(\d+)', shown.value))) >= 16


def test_what_leaves_the_picture_is_drawn_to_its_rim():
    html = plotting.trails([torch.zeros(2, 3), torch.tensor([[9.0, -3, 0], [1, 1, 0]])], "Two trails.", reach=3, width=300).html
    assert re.findall(r'<path d="M([^"]+)"', html) == ["150.0 150.0L300.0 200.0", "150.0 150.0L200.0 100.0"]
    assert html.count("<circle") == 1


def test_clouds_of_a_batch_stand_side_by_side_on_one_scale():
    html = plotting.clouds(dojo.rotational_symmetry(3), ("as it is", "turned")).html
    one, two = html.split("<svg")[1:]
    assert one.count("<circle") == two.count("<circle") == 4 and one.count("<path") == two.count("<path") == 3
    assert "4 points and their links: turned." in two and one.split("viewBox")[1][:30] == two.split("viewBox")[1][:30]


def test_a_trajectory_says_how_far_the_guess_is_off():
    data = nbody.charged_particles(3, steps=(100, 200))
    picture = plotting.trajectories(data, nbody.answer(data) + torch.tensor([0.0, 0.3, 0.4]), (2, 0))
    assert picture.alt.count("the guess is off by 0.50 in the mean") == 2 and "Trajectory 2: start" in picture.alt


def test_arrows_start_at_their_points_and_what_was_expected_is_dashed():
    x, arrows = torch.tensor([[0.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 1, 0], [0, -1, 0]])
    html = plotting.arrows_at(x, arrows, "Arrows.", reach=(2, 2), width=416).html  # 100 pixels a unit
    assert re.findall(r"M(\S+ \S+)L\S+ \S+M(\S+ \S+)L", html) == [("208.0 208.0", "208.0 108.0"), ("308.0 208.0", "308.0 308.0")]
    assert "dasharray" not in html and plotting.arrows_at(x, arrows, "Arrows.", expected=arrows).html.count("dasharray") == 2


def test_the_vector_game_says_what_is_wrong_with_each_guess():
    for number in range(1, 21):
        before, after, R, names = widgets.hidden_rows(number)
        assert sorted(names) == sorted("m vx vy vz ax ay az".split()) and torch.linalg.det(R) > 0.99
        columns = dict(zip(names, widgets.COLUMNS))
        assert torch.equal(before[:, names.index("m")], after[:, names.index("m")])
        for q in "va":
            x, y, z = (columns[f"{q}{axis}"] for axis in "xyz")
            assert "A vector, in its order." in widgets.vector_guess(number, x + y + z).alt
            for guess in (y + z + x, z + x + y):
                assert "go on round the circle" in widgets.vector_guess(number, guess).alt
            for guess in (x + z + y, y + x + z, z + y + x):
                assert "in each other's place" in widgets.vector_guess(number, guess).alt
            for guess in (x + y + columns["m"], x + y + columns["az" if q == "v" else "vz"]):
                assert "A turn keeps lengths: no vector." in widgets.vector_guess(number, guess).alt
            assert "three different columns" in widgets.vector_guess(number, x + x + y).alt
    number, axes, shown, _ = widgets.vector_game().children
    seen, seconds = set(), []
    for control, value in [(number, 2), (axes.children[0], "d"), (axes.children[1], "e"), (axes.children[2], "a")]:
        start = time.process_time()
        control.value = value
        seconds.append(time.process_time() - start)
        seen.add(shown.value)
    assert len(seen) == 4 and max(seconds) < 0.1 and "d, e, a: " in shown.value
    assert min(map(int, re.findall(r'font-size[=:]"?(\d+)', shown.value))) >= 16


def test_the_mirror_turns_vectors_along_and_not_cross_products():
    x = datasets.lysozyme().x[58:81].double()

    def across(x):
        return torch.nn.functional.normalize(torch.linalg.cross(x[:, 0] - x[:, 1], x[:, 2] - x[:, 1]), dim=1)

    answers = {"a size": lambda x: x.std(), "a volume": lambda x: torch.linalg.det(x[:3, 1])}
    for arrows, off in ((lambda x: x[:, 0] - x[:, 1], 0), (across, 180)):
        for mirror in (False, True):
            figure = widgets.mirrored(x, arrows, answers, 50, mirror)
            assert f"are {off * mirror} degrees from" in figure.alt
            (size, same), (volume, other) = ((float(old), float(new)) for old, new in re.findall(r"(\S+) before and (\S+) now", figure.alt))
            assert size == same and volume == pytest.approx(-other if mirror else other, abs=2e-4) and volume != 0
    controls, shown, _ = widgets.mirror(x, across, answers).children
    turn, how = controls.children
    start = time.process_time()
    turn.value, how.value = 30, "mirrored"
    assert time.process_time() - start < 0.2 and "turned by 30 degrees and mirrored: arrows are 180° off" in shown.value


def test_the_recurring_figure_says_what_was_different_in_the_run():
    found = {"turned": 0.125, "by angle": [0.25] * len(recurring.ANGLES)}
    figure = plotting.recurring("missing", {"GVP": found}, 256, note="80 of 300 steps")
    assert "just run, 80 of 300 steps, 0.250 upright" in figure.alt


def test_arrows_of_particles_start_at_the_rim_and_keep_their_length():
    html = plotting.particles(torch.ones(1), torch.zeros(1, 3), "One.", v=torch.tensor([[0.05, 0, 0]]), reach=1, width=236).html
    assert "M156.0 118.0" not in html and "M129.0 118.0L130.0 118.0M139.0 118.0" in html  # 100 pixels a unit, two units of time


def test_titles_of_drawings_shrink_until_they_fit():
    sizes = [int(re.search(r'font-size="(\d+)" font-weight="bold">a', plotting.trails([torch.zeros(1, 3)], "One.", title="a" * n, reach=1).html)[1])
             for n in (10, 32)]
    assert sizes == [18, 15]
