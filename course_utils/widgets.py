"""The live interactions. Each is driven by mouse or keyboard, and stands beside a figure that says the same without it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import permutations
from math import radians

import ipywidgets
import torch
from torch import Tensor

from . import egnn, fly, frames, graph_networks, graphs, message_passing, neighbors, plotting, symmetry
from .graph_view import GraphView, KeepKeys


def explore(render: Callable[..., plotting.Picture], busy: str = "", **controls: ipywidgets.Widget) -> ipywidgets.VBox:
    """Controls above the figure ``render(**values)`` makes of their values. What was drawn once is kept.

    ``busy`` is what is to be read while a figure takes its time.
    """
    render = functools.cache(render)
    shown = ipywidgets.HTML()

    def update(change=None):
        if busy:
            shown.value = f'<div role="status" style="font-size:18px">{escape(busy)}</div><div style="opacity:.35">{shown.value}</div>'
        shown.value = render(**{name: control.value for name, control in controls.items()}).html

    for control in controls.values():
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"}), shown])


def slider(description: str, low: int, high: int, value: int) -> ipywidgets.IntSlider:
    """A slider over whole numbers, wide enough to be seen from the back row."""
    return ipywidgets.IntSlider(value, low, high, description=description, style={"description_width": "initial"},
                                layout={"width": "380px"})


def shuffler(graph: graphs.Graph, positions: Tensor, predict: Callable[[Tensor], float], question: str,
             orders: int = 20) -> ipywidgets.VBox:
    """One graph under several numberings of its nodes: the picture, the adjacency matrix, and what ``predict`` says.

    predict takes an adjacency matrix (num_nodes, num_nodes) and returns a probability; ``question`` is what it answers.
    """
    A = graphs.to_adjacency(graph.edge_index, graph.num_nodes)
    view = GraphView(graph.edge_index, positions, directed=False, aspect=0.8, layout={"width": "380px"},
                     alt="A molecule; each atom shows its number, and only the numbers change.")
    numbering = slider("numbering", 0, orders, 0)
    table = ipywidgets.HTML()

    def update(change=None):
        generator = torch.Generator().manual_seed(numbering.value)
        p = torch.randperm(len(A), generator=generator) if numbering.value else torch.arange(len(A))
        view.labels = torch.argsort(p).tolist()
        rings = graph.num_edges // 2 - graph.num_nodes + 1
        table.value = (f'<div style="font-size:18px;line-height:1.6">{_squares(A[p][:, p])}<div role="status">'
                       f"{escape(question)}<br>MLP on the matrix: <b>{predict(A[p][:, p]):.0%} yes</b><br>"
                       f"links − atoms + 1 = <b>{rings}</b></div></div>")

    numbering.observe(update, "value")
    update()
    return ipywidgets.VBox([numbering, ipywidgets.HBox([view, table], layout={"flex_flow": "row wrap",
                                                                             "align_items": "center", "grid_gap": "24px"})])


def _squares(A: Tensor) -> str:
    """An adjacency matrix as squares, written by hand: a slider redraws it at every step."""
    n = len(A)
    squares = "".join(f'<rect x="{u}" y="{v}" width="1" height="1"/>' for v, u in A.nonzero().tolist())
    return (f'<svg viewBox="-.1 -.1 {n + .2} {n + .2}" role="img" aria-label="Its adjacency matrix under this numbering." '
            f'style="width:240px;max-width:100%"><g fill="{plotting.COLOURS[0]}">{squares}</g><rect width="{n}" height="{n}" '
            f'fill="none" stroke="{plotting.GREY}" stroke-width=".1"/></svg>')


def choice(description: str, options: Sequence[str]) -> ipywidgets.ToggleButtons:
    """Buttons of which one is down, the first at the start."""
    return ipywidgets.ToggleButtons(options=options, description=description, style={"button_width": "auto", "description_width": "initial"})


def retrain() -> ipywidgets.VBox:
    """The fly's task (`fly`): choose layer, direction and depth, and a network is trained, in about a second, and marked on
    the recorded curves of five seeds."""
    rounds = slider("rounds", fly.ROUNDS[0], fly.ROUNDS[-1], 1)
    rounds.continuous_update = False  # or a drag would train at every number that it passes

    def render(layer, direction, rounds):
        scores = dict(zip(("left, trained on", "right, new"), fly.train(layer, direction, rounds)))
        curves = {name: fly.curve(layer, direction, name.split(",")[0]) for name in scores}
        said = ", ".join(f"{name.split(',')[0]} {score:.0%}" for name, score in scores.items())
        return plotting.lines(
            fly.ROUNDS, curves | {"blind guess": [0.25] * len(fly.ROUNDS)}, xlabel="rounds", ylabel="balanced accuracy",
            percent=True, limits=(0.15, 1.04), marks={name: (rounds, score) for name, score in scores.items()},
            title=f"{rounds} round{'s' if rounds != 1 else ''}, just trained: {said}", width=7.6,
            alt=f"Just trained: {layer}, {direction}, {rounds} rounds: {said}. Behind it the recorded curves of five seeds.")

    return explore(render, "training ...", layer=choice("layer", list(fly.LAYERS)), direction=choice("messages from", fly.DIRECTIONS),
                   rounds=rounds)


def smoothing(edge_index: Tensor, start: Tensor, groups: Tensor, group_names: Sequence[str], rounds: int = 40) -> ipywidgets.VBox:
    """Two features a node, start (num_nodes, 2), after each of so many rounds of Kipf's sum without weights, by a slider."""
    def render(k):
        return smoothed(edge_index, start, groups, k, group_names, width=5.4, height=5.0)

    return explore(render, k=slider("rounds", 0, rounds, 0))


def smoothed(edge_index: Tensor, start: Tensor, groups: Tensor, k: int, group_names: Sequence[str] = (), **size) -> plotting.Picture:
    """One picture of `smoothing`, enlarged to fill its frame: its title says how much."""
    h = start
    for _ in range(k):
        h = graph_networks.weighted_sum(h, *graph_networks.gcn_norm(edge_index, len(h)))
    reach = h.norm(dim=1).max()
    enlarged = "" if k == 0 else f", × {start.norm(dim=1).max() / reach:.0f}"
    return plotting.scatter(h, groups, title=f"{k} round{'s' if k != 1 else ''}{enlarged}", group_names=group_names, **size,
                            alt=f"The two features of each node after {k} rounds; the farthest is {reach:.2f} from 0.")


def coloured_pairs(pairs: Sequence[tuple[graphs.Graph, graphs.Graph]], rounds: int = 4) -> ipywidgets.VBox:
    """Two graphs side by side, coloured round by round (`graph_networks.wl_colours`): a slider for the pair, one for the round."""
    which, k = slider("pair", 1, len(pairs), 1), slider("rounds", 0, rounds, 0)
    said, views = ipywidgets.HTML(), ipywidgets.HBox(layout={"flex_flow": "row wrap", "grid_gap": "24px"})

    def show_pair(change=None):
        views.children = [GraphView(g.edge_index, plotting.layout(g.edge_index, g.num_nodes), directed=False, aspect=0.8,
                                    layout={"width": "340px"}, alt=f"The {side} graph; nodes of one colour are told apart by no message.")
                          for side, g in zip(("left", "right"), pairs[which.value - 1])]
        show_round()

    def show_round(change=None):
        pair = pairs[which.value - 1]
        colours = _common_colours(pair, k.value)
        for view, colour in zip(views.children, colours):
            view.groups = colour
        same = "the same, equally often" if torch.equal(*(colour.sort().values for colour in colours)) else "different"
        said.value = (f'<div role="status" style="font-size:18px">Colours after {k.value} round{"s" if k.value != 1 else ""}: {same}. '
                      "Triangles: <b>{}</b> and <b>{}</b>.</div>".format(*map(_triangles, pair)))

    which.observe(show_pair, "value")
    k.observe(show_round, "value")
    show_pair()
    return ipywidgets.VBox([ipywidgets.HBox([which, k], layout={"flex_flow": "row wrap"}), views, said])


def coloured(pair: tuple[graphs.Graph, graphs.Graph], rounds: int = 4) -> plotting.Picture:
    """One picture of `coloured_pairs`."""
    return plotting.row(*[plotting.graph(g.edge_index, plotting.layout(g.edge_index, g.num_nodes), groups=colour, width=2.3, height=2.3,
                                         alt=f"{g.num_nodes} nodes, {g.num_edges // 2} links; colours: {len(colour.unique())}; "
                                             f"triangles: {_triangles(g)}.")
                          for g, colour in zip(pair, _common_colours(pair, rounds))])


def _common_colours(pair: Sequence[graphs.Graph], rounds: int) -> Sequence[Tensor]:
    both = graphs.batch_graphs(pair)
    return graph_networks.wl_colours(both.edge_index, both.num_nodes, rounds)[-1].split([g.num_nodes for g in pair])


def _triangles(g: graphs.Graph) -> int:
    A = graphs.to_adjacency(g.edge_index, g.num_nodes)
    return int((A @ A @ A).trace()) // 6


_WEIGHT_SELF, _WEIGHT_NEIGH, _BIAS = 0.5, 1.0, 0.25


def inbox(edge_index: Tensor, positions: Tensor, start: Tensor, rounds: int = 4) -> ipywidgets.VBox:
    """Algorithm 4 with one number a node, round by round: click a node to open its inbox.

    start (num_nodes,) holds h^(0). The weights are 0.5 for self and 1 for neighbours, the bias 0.25, sigma is ReLU.
    """
    W_self, W_neigh, b = torch.tensor([[_WEIGHT_SELF]]), torch.tensor([[_WEIGHT_NEIGH]]), torch.tensor([_BIAS])
    h = [start.float()[:, None]]
    for _ in range(rounds):
        h.append(message_passing.message_round(h[-1], edge_index, W_self, W_neigh, b))
    view = GraphView(edge_index, positions, selected=min(2, len(start) - 1), alt="A directed graph; each node shows its value h.")
    k = slider("round k", 0, rounds - 1, 0)
    table = ipywidgets.HTML()

    def update(change=None):
        u = view.selected
        view.labels = plotting.named("h", h[k.value].flatten())
        if u is None:
            view.active_edges, view.description = [], "No node is selected."
            table.value = "Click a node, or press Tab and use the arrow keys."
            return
        view.active_edges = edge_index[1] == u
        view.description = f"Node {u} is selected. Its inbox in round {k.value} is in the table."
        table.value = inbox_table(h[k.value][:, 0], edge_index, u, h[k.value + 1][u, 0].item(), k.value)
        view.pulse()

    view.observe(update, "selected")
    k.observe(update, "value")
    update()
    return ipywidgets.VBox([k, ipywidgets.HBox([view, table], layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "24px"})])


def inbox_table(h: Tensor, edge_index: Tensor, u: int, updated: float, k: int) -> str:
    """Round k at node u, term by term, as an HTML table: the messages, the bias counted, the total, the update."""
    senders = edge_index[0, edge_index[1] == u].tolist()
    rows = [(f"from node {v}", f"{_WEIGHT_NEIGH:g} × {h[v]:.4g} + {_BIAS}", _WEIGHT_NEIGH * h[v].item() + _BIAS)
            for v in senders]
    rows.append(("from itself", f"{_WEIGHT_SELF} × {h[u]:.4g}", _WEIGHT_SELF * h[u].item()))
    total = sum(value for _, _, value in rows)
    rows.append((f"sum M, the bias {len(senders)} time{'s' if len(senders) != 1 else ''} in it", "", total))
    rows.append((f"update h of round {k + 1}", f"ReLU({total:.4g})", updated))
    cells = "".join(f'<tr><th scope="row" style="text-align:left;font-weight:normal;padding:.1em .8em .1em 0">{name}</th>'
                    f'<td style="text-align:left;padding-right:.8em">{sum_}</td>'
                    f'<td style="text-align:right"><b>{value:.4g}</b></td></tr>' for name, sum_, value in rows)
    return (f'<table style="font-size:18px;line-height:1.7;border:0"><caption style="text-align:left;font-weight:bold">'
            f"The inbox of node {u}</caption>{cells}</table>")


def reach(edge_index: Tensor, y: Tensor, class_names: tuple[str, ...], neuron: int, rounds: int = 5) -> ipywidgets.VBox:
    """Whom one node has heard of after 0, 1, ... rounds: the share of each class, by a slider."""
    heard = message_passing.receptive_fields(edge_index, len(y), rounds)

    def render(k):
        seen = heard[k][neuron]
        share = {f"{name} ({int((y == c).sum())})": [seen[y == c].float().mean().item()]
                 for c, name in enumerate(class_names)}
        rounds_made = f"after {k} round{'s' if k != 1 else ''}"
        return plotting.bars(share, f"The neuron has heard of {int(seen.sum()) - 1} others {rounds_made}.", xlabel="heard of",
                             title=f"{rounds_made}: {int(seen.sum()) - 1} of {len(y) - 1} others",
                             top=1.0)

    return explore(render, k=slider("rounds", 0, rounds, 1))


# No two of the points, nor of what the mystery functions make of them, hide each other.
CLOUD = torch.tensor([[1.7, 0.2, -0.8], [-0.8, 0.8, 1.2], [2.0, -0.7, 0.7], [2.0, 1.4, 1.1], [-1.8, 1.6, 1.1],
                      [0.5, 1.3, 0.1]], dtype=torch.float64)


def mystery(functions: Sequence[Callable[[Tensor], Tensor]]) -> ipywidgets.VBox:
    """Functions of a cloud, named A, B, C, ...: move it, see what the output does, and say what each one is.

    It counts how many of the four words are right, and does not say which.
    """
    which = ipywidgets.Dropdown(options=[(chr(ord("A") + k), k) for k in range(len(functions))], description="function")
    turn, tilt = slider("turn, in degrees", -180, 180, 0), slider("tilt, in degrees", -180, 180, 0)
    shift, renumber = slider("shift", -4, 4, 0), slider("renumber", 0, 12, 0)
    mirror = ipywidgets.Checkbox(description="mirror", indent=False)
    words = {name: ipywidgets.ToggleButtons(options=("invariant", "equivariant", "neither"), value=None, description=name,
                                            style={"button_width": "108px"}, layout={"width": "370px"})
             for name in symmetry.MOTIONS}
    shown, score = ipywidgets.HTML(), ipywidgets.HTML()
    truth = functools.cache(lambda k: symmetry.classify(functions[k]))

    def draw(change=None):
        x_axis, _, z_axis = torch.eye(3, dtype=CLOUD.dtype)
        R = symmetry.rotation_about(x_axis, radians(tilt.value)) @ symmetry.rotation_about(z_axis, radians(turn.value))
        R = R @ torch.diag(1 - 2 * mirror.value * x_axis)
        b = shift.value * torch.tensor([0.3, 0.2, 0.2], dtype=CLOUD.dtype)
        order = torch.randperm(len(CLOUD), generator=torch.Generator().manual_seed(renumber.value))
        order = order if renumber.value else torch.arange(len(CLOUD))
        f = functions[which.value]
        alt = f"Six points and what function {chr(ord('A') + which.value)} makes of them, before and after they moved."
        shown.value = (plotting.motions(f, CLOUD, R, b, alt, order).html
                       + _before_and_after(f(CLOUD), f((CLOUD @ R.T + b)[order])))

    def judge(change=None):
        chosen = {name: row.value for name, row in words.items()}
        right = sum(chosen[name] == word for name, word in truth(which.value).items())
        text = "Choose a word for each of the four." if None in chosen.values() else f"{right} of 4 are right."
        score.value = f'<div role="status" style="font-size:18px">{text}</div>'

    def begin(change):
        for row in words.values():
            row.value = None
        draw()

    which.observe(begin, "value")
    for control in (turn, tilt, shift, renumber, mirror):
        control.observe(draw, "value")
    for row in words.values():
        row.observe(judge, "value")
    draw()
    judge()
    controls, answers = (ipywidgets.HBox(row, layout={"flex_flow": "row wrap"})
                         for row in ([which, turn, tilt, shift, renumber, mirror], list(words.values())))
    return ipywidgets.VBox([controls, shown, answers, score, KeepKeys()])


def _before_and_after(before: Tensor, after: Tensor) -> str:
    """An output of `mystery` in numbers, as a table: a column for each point, or a single one."""
    n = len(CLOUD) if before.shape[:1] == (len(CLOUD),) else 1
    head = "".join(f'<th scope="col" style="text-align:right;padding-left:1em">point {i}</th>' for i in range(n))
    rows = ""
    for name, y in (("before", before), ("after", after)):
        cells = ("<br>".join(map(plotting.decimals, column.tolist())) for column in y.reshape(n, -1))
        rows += f'<tr><th scope="row" style="text-align:left">{name}</th>' + "".join(
            f'<td style="text-align:right;padding-left:1em">{cell}</td>' for cell in cells) + "</tr>"
    return (f'<div role="status"><table style="font-size:16px;line-height:1.3;border:0">'
            f'{f"<tr><td></td>{head}</tr>" * (n > 1)}{rows}</table></div>')


def cutoff(x: Tensor, centre: int, tenths: tuple[int, int] = (5, 45)) -> ipywidgets.VBox:
    """The radius graph of points x (n, 2), its radius from and to so many tenths: edges, parts, isolated nodes."""
    r = slider("cutoff r, in tenths", *tenths, 9)
    shown = ipywidgets.HTML()

    def draw(change=None):
        shown.value = within(x, centre, r.value / 10).html

    r.observe(draw, "value")
    draw()
    return ipywidgets.VBox([r, shown, KeepKeys()])


def within(x: Tensor, centre: int, r: float, width: int = 700) -> plotting.Picture:
    """One picture of `cutoff`, with the ball around the node ``centre``."""
    edge_index = neighbors.radius_graph(x, r)
    parts = int(neighbors.components(edge_index, len(x)).max()) + 1
    isolated = len(x) - len(edge_index[1].unique())
    title = f"r = {r:.1f}: {edge_index.shape[1]} edges, {parts} part{'s' if parts != 1 else ''}, {isolated} isolated"
    return plotting.in_space(x, edge_index, f"{len(x)} points joined within {title}.", ball=(centre, r), title=title,
                             width=width, frame=_frame(x))


def _frame(x: Tensor, margin: float = 0.6) -> tuple[float, float, float, float]:
    (left, bottom), (right, top) = (x.amin(0) - margin).tolist(), (x.amax(0) + margin).tolist()
    return left, right, bottom, top


CHARGES = torch.tensor([1, -1, 1, -1, 1, -1, 1], dtype=torch.float64)
"""Of the atom that moves in `crossing`, and of the six that it passes."""
WAY = tuple(torch.linspace(-3.4, 3.8, 121, dtype=torch.float64).tolist())
_FIXED = ((-1.6, 0.7), (-0.9, -0.8), (-0.1, 1.0), (0.7, -0.7), (1.4, 0.8), (2.1, -0.6))


def place(s: float) -> Tensor:
    """The seven atoms of `crossing` where the first has come to s on its way: (7, 2)."""
    return torch.tensor(((s, 0.0), *_FIXED), dtype=torch.float64)


Rule = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def crossing(energy: Callable[[Tensor, Tensor, Callable], Tensor], rules: Mapping[str, Rule],
             r: float) -> ipywidgets.VBox:
    """One charged atom moves past six others, and the energy as it goes.

    A rule is two functions: positions x (7, 2) to edge_index, and distances to factors. ``energy(x, edge_index,
    factor)`` is a number. The ball of radius r is drawn where a rule is a radius graph.
    """
    rule, step = choice("edges", list(rules)), slider("position of the atom", 0, len(WAY) - 1, 0)
    step.layout.width = "560px"
    shown = ipywidgets.HTML()

    def draw(change=None):
        shown.value = crossed(energy, rules, r, rule.value, step.value).html

    for control in (rule, step):
        control.observe(draw, "value")
    draw()
    return ipywidgets.VBox([rule, step, shown, KeepKeys()])


@functools.lru_cache(maxsize=32)
def _energies(energy, edges, factor):
    return [float(energy(place(s), edges(place(s)), factor)) for s in WAY]


def crossed(energy: Callable, rules: Mapping[str, Rule], r: float, name: str, step: int) -> plotting.Picture:
    """One picture of `crossing`: on the left the atoms, on the right the energy along the whole way."""
    curves = {name: _energies(energy, *rule) for name, rule in rules.items()}
    values, every = curves[name], [0, *(value for curve in curves.values() for value in curve)]
    gap = 0.08 * (max(every) - min(every))
    edges, x, start = rules[name][0], place(WAY[step]), place(WAY[0])
    is_radius_graph = torch.equal(edges(start), neighbors.radius_graph(start, r))
    left = plotting.in_space(
        x, edges(x), f"The atom that moves, the six that it passes, and the edges: {name}.", title=name, width=470,
        groups=[1] + [0] * (len(x) - 1), labels=["+" if q > 0 else "−" for q in CHARGES],
        ball=(0, r) if is_radius_graph else None,
        frame=_frame(torch.cat([place(WAY[0]), place(WAY[-1])]), 0.5))
    largest = max(abs(b - a) for a, b in zip(values, values[1:]))
    right = plotting.track(
        values, step, f"{name}: the energy is {values[step]:.3f} here; from one position to the next it changes by up "
                      f"to {largest:.3f}.",
        xlabel="position of the atom", ylabel="energy", low=min(every) - gap, high=max(every) + gap)
    return plotting.row(left, right)


def noisy_frames(clouds: Mapping[str, Tensor]) -> ipywidgets.VBox:
    """Clouds x (n, 3) and their principal axes before and after some noise, of which one slider sets the size and one the draw."""
    size, draw = slider("noise, ten to the power of", -12, -1, -6), slider("draw", 1, 30, 3)
    size.layout.width = "440px"
    shown = ipywidgets.HTML()

    def update(change=None):
        pictures, said = [], []
        for name, x in clouds.items():
            pictures.append(framed_before_and_after(x, name, 10.0**size.value, draw.value))
            said.append(pictures[-1].alt)
        shown.value = (plotting.row(*pictures).html + '<div role="status" style="font-size:18px">' + "<br>".join(map(escape, said))
                       + '</div><div style="font-size:16px">Each arrow is a principal axis, 1 the longest. Grey and dashed: before the '
                       "noise, with the signs that fit best.</div>")

    for control in (size, draw):
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([ipywidgets.HBox([size, draw], layout={"flex_flow": "row wrap"}), shown, KeepKeys()])


def framed_before_and_after(x: Tensor, name: str, noise: float, draw: int, width: int = 300) -> plotting.Picture:
    """One picture of `noisy_frames`: the axes of x, and those after noise of that size, the draw numbered."""
    x = frames.centre(x)
    noisy = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    F, four = frames.pca_frames(noisy)[0], frames.pca_frames(x)
    turn = frames.turn_between(F, four).item()
    nearest = four[(four - F).square().sum((1, 2)).argmin()]
    reach, view = x.norm(dim=1).max(), _VIEW.T  # rows on the right of a product are seen from there
    turned = f"{turn:.0f}" if turn >= 1 else f"{turn:.3f}" if turn > 0.001 else _power(turn)
    return plotting.framed(
        noisy @ view, f"{name}: noise of {_power(noise)} turned the frame by {turned} degrees.", arrows=list(reach * F.T @ view),
        before=list(reach * nearest.T @ view), names="123", title=f"{name}: turned by {turned}°", reach=1.3 * reach.item(), width=width)


_VIEW = symmetry.rotation_about(torch.tensor([1.0, -0.8, 0.3], dtype=torch.float64), 0.7)
"""From where `framed_before_and_after` looks: along none of the axes x, y, z, which `eigh` returns of a perfect crystal."""


def _power(size: float) -> str:
    return f"{size:.0e}".replace("e-0", "e-")


def exploding(psi: float = 0.1) -> ipywidgets.VBox:
    """A cloud after some rounds of the EGNN's second line with psi_c = psi: one slider for its particles, one for the rounds."""
    particles, rounds = slider("number of particles", 2, 100, 5), slider("rounds", 0, 6, 4)
    particles.layout.width = "480px"
    shown = ipywidgets.HTML()

    def update(change=None):
        picture, table = exploded(particles.value, rounds.value, psi)
        shown.value = picture.html + table

    for control in (particles, rounds):
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([ipywidgets.HBox([particles, rounds], layout={"flex_flow": "row wrap"}), shown, KeepKeys()])


def spreads(n: int, rounds: int, psi: float, C: bool, seed: int = 0) -> tuple[list[Tensor], list[float]]:
    """A normal cloud of n particles before and after each round of `egnn.egnn_coordinates` with psi_c = psi, with the constant or
    without: the clouds (n, 3), and their spread, relative to the first."""
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    clouds, h = [x - x.mean(0)], x[:, :0]
    for _ in range(rounds):
        x = clouds[-1]
        x_new = egnn.egnn_coordinates(h, x, lambda f_u, f_v, d2: torch.full_like(d2, psi))
        clouds.append(egnn.with_constant(x, x_new) if C else x_new)
    return clouds, [(x.std() / clouds[0].std()).item() for x in clouds]


def exploded(n: int, rounds: int, psi: float = 0.1) -> tuple[plotting.Picture, str]:
    """One picture of `exploding`, and the spread round by round as an HTML table."""
    pictures, rows = [], ""
    for name, C in (("as on the slide", False), ("with C", True)):
        clouds, sizes = spreads(n, rounds, psi, C)
        left = int((clouds[-1][:, :2].abs() <= 4).all(1).sum())
        alt = f"{name}: after {rounds} rounds {left} of {n} particles are in sight, and the cloud is {_times(sizes[-1])} times as wide."
        pictures.append(plotting.trails(clouds, alt, title=f"{name}: {left} of {n} in sight", reach=4, width=350))
        rows += (f'<tr><th scope="row" style="text-align:left;padding-right:1em">{name}</th>'
                 + "".join(f'<td style="text-align:right;padding-left:1em">{_times(size)}</td>' for size in sizes) + "</tr>")
    head = "".join(f'<th scope="col" style="text-align:right;padding-left:1em">{k}</th>' for k in range(rounds + 1))
    return plotting.row(*pictures), (
        f'<div role="status"><table style="font-size:18px;line-height:1.6;border:0;margin:0"><tr><th style="text-align:left">width after round'
        f"</th>{head}</tr>{rows}</table></div>")


def _times(size: float) -> str:
    return f"{size:,.2f}" if size < 100 else f"{size:,.0f}"


COLUMNS = "abcdefg"
"""The names of the columns in `vector_game`, whatever they hold."""
_OBJECTS = torch.tensor([[-1.0, 0.5, 0.4], [0.2, 1.1, -0.7], [1.1, -0.1, 0.9], [-0.2, -1.0, -0.4]], dtype=torch.float64)


def hidden_rows(number: int) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Round ``number`` of `vector_game`: two tables (4, 7), a rotation R (3, 3), and what is in each column.

    A row is a mass, a velocity and an acceleration, "m vx vy vz ax ay az", its columns shuffled; the second table is the first after
    everything was turned by R. R is far enough from the identity, and from turns that renaming axes would hide.
    """
    random = torch.Generator().manual_seed(number)
    while True:
        mass = 1 + 3 * torch.rand(4, 1, generator=random, dtype=torch.float64)
        v, a = torch.randn(2, 4, 3, generator=random, dtype=torch.float64)
        R = symmetry.random_rotation((), random, torch.float64)
        renamed = torch.stack([R[list(order)][:, list(order)] for order in permutations(range(3))])
        if (renamed[1:] - R).abs().amax((1, 2)).min() > 0.5:
            break
    p = torch.randperm(7, generator=random)
    before, after = torch.cat([mass, v, a], dim=1), torch.cat([mass, v @ R.T, a @ R.T], dim=1)
    return before[:, p], after[:, p], R, ["m vx vy vz ax ay az".split()[k] for k in p.tolist()]


def vector_game(rounds: int = 20) -> ipywidgets.VBox:
    """Two tables of four objects, before and after everything was turned: which three columns are a vector, in which order?

    It draws the three chosen as arrows, and says what goes wrong.
    """
    number = slider("round", 1, rounds, 1)
    axes = [choice(f"{axis}:", COLUMNS) for axis in "xyz"]
    for axis, column in zip(axes, COLUMNS):
        axis.value = column
        axis.style.button_width = "40px"
    shown = ipywidgets.HTML()

    def draw(change=None):
        shown.value = vector_guess(number.value, "".join(axis.value for axis in axes)).html

    for control in (number, *axes):
        control.observe(draw, "value")
    draw()
    return ipywidgets.VBox([number, ipywidgets.HBox(axes, layout={"flex_flow": "row wrap", "grid_gap": "18px"}), shown, KeepKeys()])


def vector_guess(number: int, columns: str, table: bool = True) -> plotting.Picture:
    """One picture of `vector_game`: the columns such as "bdf" taken for x, y and z; without ``table``, only the arrows."""
    before, after, R, _ = hidden_rows(number)
    chosen = [COLUMNS.index(column) for column in columns]
    old, new = before[:, chosen], after[:, chosen]
    said = f"{', '.join(columns)}: {_said_of_columns(old, new, R, chosen)}"
    moved = _OBJECTS @ R.T
    left = plotting.arrows_at(_OBJECTS, 0.8 * old, f"Four objects with arrows made of columns {', '.join(columns)}, before the turn.", labels="1234",
                              title="before", reach=(3.0, 2.1), width=330)
    right = plotting.arrows_at(moved, 0.8 * new, f"After the turn. {said}", expected=0.8 * old @ R.T, labels="1234",
                               title="after; dashed: turned along", reach=(3.0, 2.1), width=330)
    status = f'<div role="status" style="font-size:18px">{escape(said)}</div>'
    html = (_tables(before, after, chosen) if table else "") + plotting.row(left, right).html + status
    return plotting.Picture(html, f"{left.alt} {right.alt}")


def _said_of_columns(old: Tensor, new: Tensor, R: Tensor, chosen: Sequence[int]) -> str:
    if len(set(chosen)) < 3:
        return "x, y and z need three different columns."
    lengths, turned = old.norm(dim=1), new.norm(dim=1)
    if (worst := (turned - lengths).abs()).max() > 1e-9:
        i = int(worst.argmax())
        return f"object {i + 1} had length {lengths[i]:.2f} and now has {turned[i]:.2f}. A turn keeps lengths: no vector."
    for order in permutations(range(3)):
        order = list(order)
        if (new[:, order] - old[:, order] @ R.T).abs().max() < 1e-9:
            if order == [0, 1, 2]:
                return "every arrow turned along with the objects. A vector, in its order."
            cyclic = torch.linalg.det(torch.eye(3)[order]) > 0
            return ("all lengths stay, so the three belong together. But they turn otherwise than the objects: "
                    + ("go on round the circle, x to y to z." if cyclic else "two of them are in each other's place."))
    return "all lengths stay."


def _tables(before: Tensor, after: Tensor, chosen: Sequence[int]) -> str:
    """Both tables, side by side; the chosen columns are shaded, and say for what they are taken."""
    def cells(row, tag="td"):
        return "".join(f'<{tag} style="text-align:right;padding:0 .45em;{"background:#c9621a40" if k in chosen else ""}">{text}</{tag}>'
                       for k, text in enumerate(row))

    names = [f"{column}<br>{'=' if k in chosen else ''}{','.join(axis for axis, c in zip('xyz', chosen) if c == k) or '&nbsp;'}"
             for k, column in enumerate(COLUMNS)]
    gap = '<td style="padding:0 .5em"></td>'

    def numbers(row):
        return cells(f"{value:.2f}".replace("-", "−") for value in row.tolist())

    rows = "".join(f'<tr><th scope="row" style="text-align:left">{i + 1}</th>{numbers(before[i])}{gap}{numbers(after[i])}</tr>'
                   for i in range(len(before)))
    return (f'<table style="font-size:17px;line-height:1.45;border:0;margin:0;font-variant-numeric:tabular-nums"><caption style="text-align:left">'
            "Four objects before the turn (left) and after it (right)</caption>"
            f"<tr><td></td>{cells(names, 'th')}{gap}{cells(names, 'th')}</tr>{rows}</table>")


def mirror(x: Tensor, arrows: Callable[[Tensor], Tensor], answers: Mapping[str, Callable[[Tensor], Tensor]]) -> ipywidgets.VBox:
    """A stretch of a protein's backbone x (residues, 4, 3), turned by a slider and mirrored by a button.

    ``arrows`` makes a vector for each residue of it, ``answers`` a number each.
    """
    turn, how = slider("turn, in degrees", -180, 180, 0), choice("", ["as it is", "mirrored"])
    shown = ipywidgets.HTML()

    def draw(change=None):
        shown.value = mirrored(x, arrows, answers, turn.value, how.value == "mirrored").html

    for control in (turn, how):
        control.observe(draw, "value")
    draw()
    return ipywidgets.VBox([ipywidgets.HBox([turn, how], layout={"flex_flow": "row wrap"}), shown, KeepKeys()])


def mirrored(x: Tensor, arrows: Callable[[Tensor], Tensor], answers: Mapping[str, Callable[[Tensor], Tensor]], degrees: float = 0,
             mirror: bool = False, width: int = 640) -> plotting.Picture:
    """One picture of `mirror`: arrows of the moved backbone; dashed, those of the unmoved, moved as vectors; and the answers."""
    x = x - x[:, 1].mean(0)
    x = x @ frames.canonicalize(x[:, 1])[1]  # along the page, as long as it is
    M = symmetry.rotation_about(torch.tensor([1.0, 0.0, 0.0], dtype=x.dtype), radians(degrees))
    M = M @ torch.diag(torch.tensor([1.0, 1.0, -1.0 if mirror else 1.0], dtype=x.dtype))
    moved = x @ M.T
    found, expected = arrows(moved), arrows(x) @ M.T
    apart = torch.rad2deg(torch.arccos((torch.nn.functional.normalize(found, dim=1) * torch.nn.functional.normalize(expected, dim=1))
                                       .sum(1).clamp(-1, 1))).mean().item()
    said = {name: (answer(x).item(), answer(moved).item()) for name, answer in answers.items()}
    what = f"turned by {degrees:g} degrees" + (" and mirrored" if mirror else "")
    words = "; ".join(f"{name} {old:.4f} before and {new:.4f} now" for name, (old, new) in said.items())
    reach = moved[:, 1, :2].norm(dim=1).max().item() + 3.5
    picture = plotting.arrows_at(moved[:, 1], 3.2 * found, f"{len(x)} residues, {what}: their arrows are {apart:.0f} degrees from where "
                                 f"vectors would be. {words}.", expected=3.2 * expected, linked=True,
                                 title=f"{what}: arrows are {apart:.0f}° off", reach=(reach, 0.34 * reach), width=width)
    rows = "".join(f'<tr><th scope="row" style="text-align:left;font-weight:normal;padding-right:1em">{escape(name)}</th>'
                   f'<td style="padding-right:1em">{old:.4f}</td><td><b>{new:.4f}</b></td></tr>' for name, (old, new) in said.items())
    table = (f'<table role="status" style="font-size:18px;line-height:1.5;border:0;margin:0"><tr><th scope="col" style="text-align:left">a network with</th>'
             f'<th scope="col" style="padding-right:1em">before</th><th scope="col">now</th></tr>{rows}</table>')
    return plotting.Picture(picture.html + table, picture.alt)
