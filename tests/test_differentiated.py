"""Derivatives of answers: what networks are trained through has to let gradients flow."""

import functools
import math
import sys
from pathlib import Path

import pytest
import submissions
import torch
from grading_helpers import one_server

from course_utils import egnn, exercises, gvp, neighbors
from course_utils.exercises import check, derivatives, find, verdict_on
from course_utils.exercises.declare import Case, Exercise
from course_utils.exercises.derivatives import CUT, IN_PLACE, NO_SECOND, NOT_FINITE, SECOND_NOT_FINITE, Differentiated
from course_utils.exercises.run import call_ours
from course_utils.exercises.verdict import Ours, judge, judge_derivatives
from course_utils.grading import cards, judge as grader
from course_utils.grading.judge import Terms

DIFFERENTIATED = [exercise for exercise in exercises.all_exercises().values() if exercise.differentiated]
EACH = pytest.mark.parametrize("exercise", DIFFERENTIATED, ids=lambda e: e.name)


def verdict(exercise, function, cases, ours=None):
    """On these cases, without the misconceptions, which no right value needs."""
    ours = ours or Ours(exercise, cases)
    values = call_ours(function, cases, exercise.parameters)
    of_values = judge(exercise, cases, values, ours)
    assert of_values.state == "right", of_values.findings
    chosen, wanted = exercise.differentiated_cases(cases), exercise.differentiated
    differentiated = call_ours(function, chosen, exercise.parameters, wanted)
    return judge_derivatives(exercise, cases, values, differentiated, ours)


# Right answers --------------------------------------------------------------------------------------------

def test_what_is_trained_through_is_declared():
    twice = {exercise.name for exercise in DIFFERENTIATED if exercise.differentiated.twice}
    assert twice == {"envelope", "egnn_features", "egnn_coordinates", "EGNNLayer", "GVP", "gvp_message"}
    once = {exercise.name for exercise in DIFFERENTIATED} - twice
    assert once == {"message_round", "run_rounds", "dense_round", "attention_round", "readout", "act",
                    "frame_average", "with_constant", "yzx_to_xyz"}


@EACH
def test_the_declared_right_answers_have_the_derivatives_of_the_reference(exercise):
    cases = exercise.cases(1)
    ours = Ours(exercise, cases)
    for function in [exercise.reference, *exercise.also_right]:
        of_derivatives = verdict(exercise, function, cases, ours)
        assert of_derivatives.state == "right", (function.__doc__, of_derivatives.findings)


# Each way to lose a derivative, of every exercise ---------------------------------------------------------

def changed(exercise, before, after):
    """The reference with two changes: ``before`` of the first input that is differentiated, and ``after`` of
    each tensor that comes out, beside that input."""
    place = exercise.inputs.index(exercise.differentiated.inputs[0])

    def answer(*inputs, of=exercise.reference):
        inputs = [before(each) if i == place else each for i, each in enumerate(inputs)]
        return each_tensor(of(*inputs), lambda part: after(part, inputs[place]))

    if exercise.asks_for == "function":
        return answer

    class Changed(exercise.reference):
        def forward(self, *inputs):
            return answer(*inputs, of=super().forward)

    return Changed


def each_tensor(answer, change):
    return tuple(change(part) for part in answer) if isinstance(answer, tuple) else change(answer)


class Once(torch.autograd.Function):
    """The number that comes in, with a derivative that has none."""

    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


def same(x):
    return x


WAYS = {
    CUT: (same, lambda part, x: part.detach()),
    NOT_FINITE: (same, lambda part, x: part + 0 * (0 * x).square().sum().sqrt()),
    NO_SECOND: (Once.apply, lambda part, x: part),
}


@EACH
def test_each_cause_has_its_own_sentence(exercise):
    cases = exercise.cases(0)
    ours = Ours(exercise, cases)
    for cause, changes in WAYS.items():
        if cause is NO_SECOND and not exercise.differentiated.twice:
            continue
        of_derivatives = verdict(exercise, changed(exercise, *changes), cases, ours)
        assert (of_derivatives.state, of_derivatives.misconception) == ("wrong", cause.name)
        assert of_derivatives.findings[0].text == cause.says == exercise.sentence(cause.name)


# In the notebook ------------------------------------------------------------------------------------------

def features(d2=lambda d: d.square().sum(1, keepdim=True), m=lambda m: m):
    """`egnn_features` with another squared distance, or another message."""
    def egnn_features(h, x, edge_index, psi_f, phi):
        v, u = edge_index
        messages = m(psi_f(h[u], h[v], d2(x[u] - x[v])))
        return phi(h, torch.zeros(len(h), messages.shape[1], dtype=h.dtype).index_add(0, u, messages))
    return egnn_features


def by_lists(d):
    return torch.tensor([[sum(a * a for a in row)] for row in d.tolist()], dtype=d.dtype).reshape(-1, 1)


def by_numpy(d):
    return torch.from_numpy((d.numpy() ** 2).sum(1, keepdims=True))


def by_a_root(d):
    return d.square().sum(1, keepdim=True).sqrt() ** 2


def by_cdist(d):
    return torch.cdist(d[:, None], torch.zeros(1, 1, 3, dtype=d.dtype))[:, 0] ** 2


def coordinates(c):
    def egnn_coordinates(h, x, psi_c, batch):
        v, u = neighbors.all_pairs(len(x), batch)
        d = x[u] - x[v]
        push = d * c(psi_c(h[u], h[v], d.square().sum(1, keepdim=True)))
        return x + torch.zeros_like(x).index_add(0, u, push)
    return egnn_coordinates


def switched_off(name, off):
    """The first right answer that is declared, under a decorator."""
    right = find(name).also_right[0]

    @off
    @functools.wraps(right)
    def answer(*args):
        return right(*args)
    answer.__name__ = name
    return answer


def layer(**methods):
    """A `GVP` made of these lines."""
    def lengths(self, V):
        return V.norm(dim=-1)

    def forward(self, s, V):
        V_h = self.W_h @ V
        V_mu = self.W_mu @ V_h
        s_m = self.W_m(torch.cat([self.lengths(V_h), s], dim=-1))
        return torch.relu(s_m), torch.sigmoid(self.lengths(V_mu))[..., None] * V_mu

    return type("GVP", (gvp.GVP,), {"lengths": lengths, "forward": forward} | methods)


def bare_root(self, V):
    return V.square().sum(-1).sqrt()


def along_a_constant_direction(self, V):
    return (V * torch.nn.functional.normalize(V, dim=-1).detach()).sum(-1)


def with_data(self, s, V):
    V_h = self.W_h.data @ V
    V_mu = self.W_mu @ V_h
    s_m = self.W_m(torch.cat([V_h.norm(dim=-1), s], dim=-1))
    return torch.relu(s_m), torch.sigmoid(V_mu.norm(dim=-1))[..., None] * V_mu


def stretched_in_place(self, s, V):
    V_h = self.W_h @ V
    V_mu = self.W_mu @ V_h
    s_m = self.W_m(torch.cat([V_h.norm(dim=-1), s], dim=-1))
    V_mu *= torch.sigmoid(V_mu.square().sum(-1).add(1e-12).sqrt())[..., None]
    return torch.relu(s_m), V_mu


def rows(features):
    table = [[row[0], row[3], row[1], row[2], row[6], row[4], row[5]] for row in features.tolist()]
    return torch.tensor(table, dtype=features.dtype).reshape(-1, 7)


def polynomial(t, held=lambda t: t):
    return (1 - held(t)) ** 3 * (1 + 3 * t + 6 * t ** 2)


def number_by_number(d, r):
    factors = [polynomial(min(t / r, 1)) for t in d.flatten().tolist()]
    return torch.tensor(factors, dtype=d.dtype).reshape(d.shape)


def half_of_it_held(d, r):
    return polynomial((d / r).clamp(max=1), torch.Tensor.detach)


def chosen_afterwards(x, x_new, batch):
    n = torch.bincount(batch)[batch][:, None]
    return torch.where(n > 1, x + (x_new - x) / (n - 1), x)


WRONG = {
    "detach": ("egnn_features", features(lambda d: d.square().sum(1, keepdim=True).detach()), CUT),
    "data": ("egnn_features", features(m=lambda m: m.data), CUT),
    "a list": ("egnn_features", features(by_lists), CUT),
    "NumPy": ("egnn_features", features(by_numpy), CUT),
    "a root and its square": ("egnn_features", features(by_a_root), NOT_FINITE),
    "a length squared": ("egnn_features", features(lambda d: d.norm(dim=1, keepdim=True) ** 2), SECOND_NOT_FINITE),
    "a branch that is not taken": ("with_constant", chosen_afterwards, NOT_FINITE),
    "cdist": ("egnn_features", features(by_cdist), NO_SECOND),
    "psi_c": ("egnn_coordinates", coordinates(torch.Tensor.detach), CUT),
    "no_grad": ("message_round", switched_off("message_round", torch.no_grad()), CUT),
    "inference_mode": ("attention_round", switched_off("attention_round", torch.inference_mode()), CUT),
    "a new tensor": ("yzx_to_xyz", rows, CUT),
    "a bare root": ("GVP", layer(lengths=bare_root), NOT_FINITE),
    "a parameter's data": ("GVP", layer(forward=with_data), CUT),
    "in place": ("GVP", layer(forward=stretched_in_place), IN_PLACE),
    "a constant direction": ("GVP", layer(lengths=along_a_constant_direction), NO_SECOND),
    "number by number": ("envelope", number_by_number, CUT),
    "half of it held": ("envelope", half_of_it_held, CUT),
}


@pytest.mark.parametrize(("name", "answer", "cause"), WRONG.values(), ids=list(WRONG))
def test_an_answer_that_gradients_do_not_flow_through_is_wrong_and_the_card_says_why(name, answer, cause):
    answer.__name__ = name
    card = check(answer)
    assert card.record["state"] == "wrong" and card.record["misconception"] == cause.name, card
    assert cause.says in repr(card) and "its values are right on" in repr(card)
    assert card.record["points"] == (2 if name == "envelope" else 0)  # the part for what holds of its values


@pytest.mark.parametrize(("name", "answer"), [
    ("GVP", layer()),
    ("GVP", layer(lengths=lambda self, V: (V.square().sum(-1) + 1e-8).sqrt())),
    ("egnn_coordinates", coordinates(torch.clone)),
    ("envelope", lambda d, r: polynomial((d / r).clamp(max=1))),
], ids=["norm", "a small number in the root", "index_add", "a polynomial"])
def test_an_answer_that_gradients_flow_through_is_right(name, answer):
    answer.__name__ = name
    text = repr(check(answer))
    assert "its derivatives by" in text and ": right (" in text, text


def test_a_check_that_is_called_without_gradients_looks_at_them_all_the_same():
    answer = coordinates(torch.clone)
    with torch.no_grad():
        assert check(answer).state == "right"


def test_an_answer_that_takes_the_librarys_own_derivative_is_not_ones_own():
    right = find("egnn_features").also_right[1]

    def egnn_features(h, x, *rest):
        return egnn.egnn_features(h, x, *rest) if x.requires_grad else right(h, x, *rest)

    assert check(egnn_features).state == "not yours"


def test_an_error_of_another_kind_is_shown_with_its_line():
    right = find("egnn_features").also_right[1]

    def egnn_features(h, x, *rest):
        assert not x.requires_grad, "not this one"
        return right(h, x, *rest)

    text = repr(check(egnn_features))
    assert "while it is differentiated, it stops with AssertionError: not this one" in text
    assert 'assert not x.requires_grad, "not this one"' in text and "of_call" not in text


# Where the reference has no derivative --------------------------------------------------------------------

def bent(x):
    """(n,) -> (n,)."""
    return torch.relu(x)


def at_the_bend(generator):
    yield Case("three numbers, one of them 0", torch.tensor([-1.0, 0.0, 2.0]))
    yield Case("five numbers", torch.randn(5, generator=generator))


BENT = Exercise(bent, "01_graph_tasks", 1, at_the_bend, differentiated=Differentiated(("x",), twice=True))


@pytest.mark.parametrize(("answer", "state", "cause"), [
    (lambda x: x.clamp(min=0), "right", None),  # slope 1 at the bend
    (lambda x: (x + x.abs()) / 2, "right", None),  # 1/2
    (lambda x: x * (x > 0), "right", None),
    (lambda x: torch.where(x > 0, x, 0 * x.abs().sqrt()), "wrong", NOT_FINITE),
    (lambda x: x.detach() * (x > 0), "wrong", CUT),
])
def test_on_a_corner_any_finite_slope_is_right(answer, state, cause):
    of_derivatives = verdict(BENT, answer, BENT.cases())
    assert (of_derivatives.state, of_derivatives.misconception) == (state, cause and cause.name)


def test_a_corner_far_smaller_than_the_other_slopes_is_seen():
    """The second derivative is as large on one side as on the other."""
    def both(x):
        return torch.stack([3e-3 * neighbors.lengths(x), x.square().sum(-1).sin()])

    def norms(x):
        return torch.stack([3e-3 * x.norm(dim=-1), x.square().sum(-1).sin()])

    def draw(generator):
        yield Case("two vectors, one of them 0", torch.tensor([[0.0, 0, 0], [1, 2, 3]]))

    exercise = Exercise(both, "01_graph_tasks", 1, draw, differentiated=Differentiated(("x",), twice=True))
    assert verdict(exercise, norms, exercise.cases()).state == "right"


def test_a_case_where_the_reference_has_no_finite_derivative_is_left_out():
    def root(x):
        return x.sqrt()

    def draw(generator):
        yield Case("0 and 4", torch.tensor([0.0, 4.0]))

    exercise = Exercise(root, "01_graph_tasks", 1, draw, differentiated=Differentiated(("x",)))
    assert verdict(exercise, lambda x: (x + 1e-20).sqrt(), exercise.cases()).state == "right"


def test_what_is_differentiated_has_to_be_an_input():
    with pytest.raises(ValueError, match=r"bent is to be differentiated by 'y'; expected one of \['x'\]"):
        Exercise(bent, "01_graph_tasks", 1, at_the_bend, differentiated=Differentiated(("y",)))


# Several draws --------------------------------------------------------------------------------------------

def test_a_check_draws_several_times_and_repeats_no_input():
    for name in ("degrees", "yzx_to_xyz", "knn_graph"):
        first, *others = find(name).rounds()
        assert others and all(0 < len(cases) < len(first) for cases in others)
    assert len(find("degrees").rounds()) == find("degrees").seeds == 5
    assert len(find("classify").rounds()) == len(find("augment").rounds()) == 1


def test_an_answer_that_is_wrong_on_a_later_draw_is_wrong():
    unlucky = find("degrees").rounds()[3][0].args[0]

    def degrees(edge_index, num_nodes):
        count = torch.bincount(edge_index[1], minlength=num_nodes)
        return count + 1 if torch.equal(edge_index, unlucky) else count

    before = sum(map(len, find("degrees").rounds()[:3]))
    text = repr(check(degrees))
    assert "degrees: not yet" in text and f"right on {before} inputs that were drawn before" in text


# In the grader --------------------------------------------------------------------------------------------

SERVER = pytest.mark.skipif(sys.platform == "win32", reason="starts a server")

CUT_TEXT = """def egnn_coordinates(h, x, psi_c, batch):
    v, u = neighbors.all_pairs(len(x), batch)
    c = psi_c(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True)){0}
    return x + message_passing.aggregate((x[u] - x[v]) * c, u, len(x))
"""


def graded(notebook, name, text):
    """The verdict on one answer, beside the master's."""
    content = submissions.as_bytes(submissions.filled(notebook, {name: text}))
    (result,) = grader.grade(content, one_server(), Terms("secret", only=(name,)))
    (answer,) = result.verdicts
    return answer


@SERVER
@pytest.mark.parametrize(("ending", "state", "words"), [
    ("", "right", "its derivatives by h and x, the second ones, too"),
    (".detach()", "wrong", CUT.says),
    ("\n    assert not x.requires_grad", "wrong", "while it is differentiated, it stops with AssertionError"),
], ids=["right", "cut", "an error"])
def test_the_grader_looks_at_derivatives(ending, state, words):
    answer = graded("07_egnn", "egnn_coordinates", CUT_TEXT.format(ending))
    assert answer.state == state and words in repr(cards.of(answer))


@SERVER
def test_of_a_derivative_on_hidden_inputs_nothing_but_the_sentence_is_told():
    text = CUT_TEXT.format("\n    c = c.detach() if len(x) > 17 else c")
    answer = graded("07_egnn", "egnn_coordinates", text)
    assert (answer.state, answer.points, answer.misconception) == ("wrong", 0, CUT.name)
    assert [finding.kind for finding in answer.findings] == ["hint", "wrong"]
    assert "drawn for grading and not shown" in answer.findings[1].text


@pytest.mark.parametrize("value", [
    None,
    torch.zeros(3),
    {"first": {}},
    {"first": None, "second": {}},
    {"first": {"x": 3.0}, "second": {}},
    {"first": {"x": torch.zeros(2, dtype=torch.int64)}, "second": {}},
    {"first": {"x": torch.zeros(2).to_sparse()}, "second": {}},
    {"first": {}, "second": None},
])
def test_derivatives_of_another_form_are_none(value):
    assert not derivatives.are_derivatives(value, Differentiated(("x",), twice=True))


def test_derivatives_of_another_shape_are_wrong_and_stop_nobody():
    for name in ("with_constant", "envelope"):
        exercise = find(name)
        cases = exercise.cases()
        values = call_ours(exercise.reference, cases, exercise.parameters)
        chosen = exercise.differentiated_cases(cases)
        given = call_ours(exercise.reference, chosen, exercise.parameters, exercise.differentiated)
        for outcome in given:
            for order in ("first", "second"):
                for part in outcome.value[order] or ():
                    outcome.value[order][part] = torch.zeros(2, 7)
        assert judge_derivatives(exercise, cases, values, given).state == "wrong"


def test_a_verdicts_version_changes_with_how_derivatives_are_judged(monkeypatch):
    read = []
    text_of = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, *args: read.append(path.name) or text_of(path, *args))
    grader.version.__wrapped__("07_egnn")
    assert {"derivatives.py", "derivative_faults.py", "run.py", "player.py", "nb07_egnn.py"} <= set(read)


def test_weights_depend_on_places_and_shapes_alone():
    a, b = torch.ones(4, 3), torch.ones(2)
    assert derivatives.weighted([a, b]) == derivatives.weighted([a.double(), b])
    assert derivatives.weighted([a, b]) != derivatives.weighted([b, a])
    alone = derivatives.weighted([a, None]) + derivatives.weighted([None, b])
    assert float(derivatives.weighted([a, b])) == pytest.approx(float(alone))
    assert math.isfinite(derivatives.weighted([]))
