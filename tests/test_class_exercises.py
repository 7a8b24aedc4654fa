"""Exercises that ask for a class: ``__init__`` is given, ``forward`` is the student's."""

import copy
import linecache
import textwrap

import pytest
import torch
from torch import nn

from course_utils import exercises
from course_utils.exercises import check, verdict_on, yours
from course_utils.exercises.declare import Case, Exercise, drawn_parameters


class Gated(nn.Module):
    """(count, n), (count, m) -> (count, m)."""

    def __init__(self, n, m):
        super().__init__()
        self.W = nn.Linear(n, m)
        self.scale = nn.Parameter(torch.ones(m))

    def forward(self, s, g):
        return self.scale * self.W(s) * torch.sigmoid(g)


def draw(generator):
    for n, m, count in [(2, 3, 4), (5, 1, 2), (3, 4, 1)]:
        options = {"n": n, "m": m}
        yield Case(f"n = {n}, m = {m}", options, drawn_parameters(Gated, options, generator),
                   torch.randn(count, n, generator=generator), torch.randn(count, m, generator=generator))
    yield Case("double precision", options, {name: part.double() for name, part in drawn_parameters(Gated, options, generator).items()},
               torch.randn(2, 3, generator=generator).double(), torch.randn(2, 4, generator=generator).double())


EXERCISE = Exercise(Gated, "01_graph_tasks", 2, draw)


@EXERCISE.misconception("no gate", "What is g for?")
class Ungated(Gated):
    def forward(self, s, g):
        return self.scale * self.W(s)


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    monkeypatch.setattr(exercises, "_declared", lambda: {"Gated": EXERCISE})
    monkeypatch.setattr(exercises, "_checked", {})


GIVEN = """
def __init__(self, n, m):
    super().__init__()
    self.W = nn.Linear(n, m)
    self.scale = nn.Parameter(torch.ones(m))
"""
RIGHT = "return self.scale * self.W(s) * torch.sigmoid(g)"


def written(forward=RIGHT, given=GIVEN, base="(nn.Module)", signature="self, s, g"):
    """The class as a notebook's cell defines it, where ``inspect`` finds the source of functions alone."""
    cell = (f"class Gated{base}:\n" + textwrap.indent(given.strip(), "    ")
            + (f"\n\n    def forward({signature}):\n{textwrap.indent(forward, '        ')}\n" if forward else "\n"))
    name = f"<cell {abs(hash(cell))}>"
    linecache.cache[name] = len(cell), None, cell.splitlines(keepends=True), name
    space = {"nn": nn, "torch": torch, "__name__": "__main__"}
    exec(compile(cell, name, "exec"), space)
    return space["Gated"]


def test_the_numbers_of_a_case_go_into_the_students_instance():
    card = check(written())
    assert card.state == "right" and card.record["points"] == 2 and "right on 20 inputs" in repr(card)


def test_a_misconception_is_a_class_too():
    card = check(written("return self.W(s) * self.scale"))
    assert card.record["misconception"] == "no gate" and "What is g for?" in repr(card)


def test_an_untouched_forward_is_not_started_and_one_without_a_return_says_so():
    assert check(written('"""What it returns."""\n...')).state == "not started"
    assert "your class returned None" in repr(check(written("self.W(s)")))


def test_a_forward_that_was_put_in_place_of_the_stub_counts():
    made = written("...")
    made.forward = written().forward
    assert check(made).state == "right"
    assert check(written("...", GIVEN + "\ndef sketch(self):\n    ...")).state == "not started"
    assert check(written(given=GIVEN + "\ndef sketch(self):\n    ...")).state == "right"


@pytest.mark.parametrize(("made", "says"), [
    (dict(given=GIVEN.replace("self.W =", "self.V =")),
     "W.weight is missing; W.bias is missing; V.weight is one too many; V.bias is one too many. __init__ is given: put it back"),
    (dict(given=GIVEN.replace("Linear(n, m)", "Linear(n, n)")), "W.weight has shape (2, 2), not (3, 2); W.bias has shape (2,), not (3,)"),
    (dict(given=GIVEN.replace("nn.Parameter(torch.ones(m))", "torch.ones(m)")), "scale is missing"),
    (dict(given=GIVEN.replace("self, n, m", "self, n")), "unexpected keyword argument 'm'"),
    (dict(given=GIVEN.replace("super().__init__()", "pass")), "cannot assign module before Module.__init__() call"),
    (dict(base="", given="def __init__(self, n, m):\n    self.W = 1"), "an instance that is no nn.Module. The first line of the class is given"),
    (dict(forward=None), "no method `forward`, which is what the exercise asks for"),
    (dict(signature="self, s"), "`Gated.forward(self, s)` cannot be called with 2 arguments; expected (self, s, g)"),
    (dict(signature="s, g", forward="return s"), "`Gated.forward(s, g)` cannot be called with 2 arguments; expected (self, s, g)"),
    (dict(forward="return torch.sigmoid(g) * self.W(g)"), "your class stopped with RuntimeError: mat1 and mat2"),
    (dict(forward="s *= 2\n" + RIGHT), "changed its input s"),
    (dict(forward="self.scale.data *= 2\n" + RIGHT), "changed its input parameters"),
])
def test_what_is_wrong_with_a_class_is_told(made, says):
    assert says in repr(check(written(**made)))


def test_a_traceback_begins_in_the_students_class():
    text = repr(check(written("return self.W(undefined)")))
    assert "return self.W(undefined)" in text and "module.py" not in text and "run.py" not in text


def test_a_class_where_a_function_is_asked_for_and_the_other_way_round(monkeypatch):
    def Gated(n, m):  # noqa: N802
        return n

    assert "`Gated` is a function; expected the class" in repr(check(Gated))
    monkeypatch.setattr(exercises, "_declared", lambda: {"Gated": Exercise(Gated, "01_graph_tasks", 1, draw)})
    assert "`Gated` is a class; expected a function" in repr(check(written()))


def test_the_librarys_own_class_earns_nothing():
    assert verdict_on(EXERCISE, EXERCISE.reference).state == "not yours"
    assert verdict_on(EXERCISE, type("Gated", (EXERCISE.reference,), {})).state == "not yours"
    made = written("return Theirs.forward(self, s, g)")
    made.forward.__globals__["Theirs"] = Gated
    assert check(made).state == "not yours"


def test_yours_is_the_students_class_and_falls_back_call_by_call(capsys):
    assert yours(written()) is Gated
    assert "has not passed its check yet" in capsys.readouterr().out
    mine = written("assert len(s) < 5, 'too many'\n" + RIGHT)
    check(mine)
    layer = yours(mine)(2, 3)
    assert isinstance(layer, mine)
    s, g = torch.randn(6, 2), torch.randn(6, 3)
    in_parts = torch.cat([layer(s[:3], g[:3]), layer(s[3:], g[3:])])
    torch.testing.assert_close(layer(s, g), in_parts)  # with the same numbers
    assert "Your Gated stopped with AssertionError: too many. This is the library's." in capsys.readouterr().out
    twice = copy.deepcopy(layer).double()  # as the microscope makes them
    with torch.no_grad():
        twice.scale *= 2
    for count in (3, 6):
        torch.testing.assert_close(twice(s[:count].double(), g[:count].double()), 2 * layer(s[:count], g[:count]).double(),
                                   check_dtype=True, atol=1e-5, rtol=0)


def test_a_check_draws_no_number_that_the_notebook_would_miss():
    state = torch.get_rng_state()
    EXERCISE.cases(3)
    check(written())
    assert torch.equal(state, torch.get_rng_state())
