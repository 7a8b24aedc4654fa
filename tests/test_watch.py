"""Whoever calls the library's own version of an answer is seen, by whatever name, and nobody else is."""

import functools
import inspect
import pickle
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from course_utils import exercises, graphs, gvp, message_passing, symmetry
from course_utils.exercises import check, find, run, verdict_on
from course_utils.exercises.declare import Case, Exercise, Named
from course_utils.exercises.run import Counter, call_all, call_once
from course_utils.exercises.watch import Watch

EDGES = torch.tensor([[0, 1], [1, 2]])
LIBRARY = {
    "the module's name": ("", "return graphs.degrees(edge_index, num_nodes)"),
    "an alias in the cell above": ("f = graphs.degrees", "return f(edge_index, num_nodes)"),
    "an alias of the module": ("lib = graphs", "return lib.degrees(edge_index, num_nodes)"),
    "an alias inside": ("", "f = graphs.degrees\nreturn f(edge_index, num_nodes)"),
    "a helper above": ("def count(*args):\n    return graphs.degrees(*args)", "return count(edge_index, num_nodes)"),
    "a lambda": ("count = lambda e, n: graphs.degrees(e, n)", "return count(edge_index, num_nodes)"),
    "an import inside": ("", "from course_utils.graphs import degrees as f\nreturn f(edge_index, num_nodes)"),
    "an import under try": ("try:\n    from course_utils.graphs import degrees as f\nexcept ImportError:\n    f = None",
                            "return f(edge_index, num_nodes)"),
    "a star import": ("from course_utils.graphs import *\nf = degrees", "return f(edge_index, num_nodes)"),
    "a name put together": ("", "return getattr(graphs, 'deg' + 'rees')(edge_index, num_nodes)"),
    "the module's dictionary": ("", "return vars(graphs)['degrees'](edge_index, num_nodes)"),
    "a partial": ("import functools", "return functools.partial(graphs.degrees, edge_index)(num_nodes)"),
    "map": ("", "return next(map(graphs.degrees, [edge_index], [num_nodes]))"),
    "a thread": ("from concurrent.futures import ThreadPoolExecutor",
                 "with ThreadPoolExecutor(1) as pool:\n    return pool.submit(graphs.degrees, edge_index, num_nodes).result()"),
    "a module of torch": ("class Count(nn.Module):\n    forward = staticmethod(graphs.degrees)",
                          "return Count()(edge_index, num_nodes)"),
    "an error that is caught": ("", "try:\n    graphs.degrees(edge_index.T.float(), num_nodes)\nexcept ValueError:\n"
                                "    return torch.bincount(edge_index[1], minlength=num_nodes)"),
}
PARAMETERS = """
    def __init__(self, n, nu, m, mu):
        super().__init__()
        h = max(nu, mu)
        self.W_h = nn.Parameter(torch.empty(h, nu))
        self.W_mu = nn.Parameter(torch.empty(mu, h))
        self.W_m = nn.Linear(h + n, m)
"""
LIBRARY_CLASS = {
    "a base": "class GVP(gvp.GVP):\n    pass",
    "an alias as base": "Base = gvp.GVP\nclass GVP(Base):\n    pass",
    "a base of a base": "class Mine(gvp.GVP):\n    pass\nclass GVP(Mine):\n    pass",
    "super()": "class GVP(gvp.GVP):\n    def forward(self, s, V):\n        return super().forward(s, V)",
    "its forward": f"class GVP(nn.Module):{PARAMETERS}\n    forward = gvp.GVP.forward",
    "a composed instance": "class GVP(nn.Module):\n    def __init__(self, n, nu, m, mu):\n        super().__init__()\n"
                           "        inner = gvp.GVP(n, nu, m, mu)\n        self.W_h, self.W_mu, self.W_m = inner.W_h, inner.W_mu, inner.W_m\n"
                           "        self.inner = [inner]\n    def forward(self, s, V):\n        inner, = self.inner\n"
                           "        inner.load_state_dict(self.state_dict(), assign=True)\n        return inner(s, V)",
    "an instance made inside": f"class GVP(nn.Module):{PARAMETERS}\n    def forward(self, s, V):\n"
                               "        inner = gvp.GVP(s.shape[1], V.shape[1], len(self.W_m.bias), len(self.W_mu))\n"
                               "        inner.load_state_dict(self.state_dict(), assign=True)\n        return inner(s, V)",
}


def cell(source, name):
    """What a notebook's cell defines under that name."""
    space = {"torch": torch, "nn": nn, "graphs": graphs, "gvp": gvp, "__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), space)
    return space[name]


def with_body(above, body):
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return cell(f"{above}\ndef degrees(edge_index, num_nodes):\n{lines}\n", "degrees")


@pytest.mark.parametrize("way", LIBRARY)
def test_a_function_that_takes_the_librarys_is_told_and_earns_nothing(way):
    code = graphs.degrees.__code__
    card = check(with_body(*LIBRARY[way]))
    assert card.state == "not yours" and "the library's own degrees" in repr(card) and card.record["points"] == 0
    assert graphs.degrees.__code__ is code


@pytest.mark.parametrize("way", LIBRARY_CLASS)
def test_a_class_that_takes_the_librarys_is_told_and_earns_nothing(way):
    code = gvp.GVP.forward.__code__
    card = check(cell(LIBRARY_CLASS[way], "GVP"))
    assert card.state == "not yours" and card.record["points"] == 0
    assert gvp.GVP.forward.__code__ is code


def test_the_reference_is_known_by_its_code():
    own = graphs.degrees
    copied = types.FunctionType(own.__code__, own.__globals__, "degrees")
    assert check(copied).state == check(own).state == "not yours"
    case = Case("a path", EDGES, 3)
    for answer in (own, copied, functools.partial(own), functools.lru_cache(own)):
        assert call_once(answer, case, ("edge_index", "num_nodes"), Counter(), own).taken


def test_a_child_that_knows_no_exercise_is_told_the_name():
    exercise = find("degrees")
    assert exercise.library == Named("graphs.degrees") and find("GVP").library == Named("gvp.GVP")
    case = Case("a path", EDGES, 3)
    taken = call_once(lambda e, n: graphs.degrees(e, n), case, exercise.parameters, Counter(), exercise.library)
    assert taken.taken and taken.value.tolist() == [0, 1, 1]


def test_a_notebook_may_put_its_own_function_into_the_library(monkeypatch):
    def degrees(edge_index, num_nodes):
        return torch.bincount(edge_index[1], minlength=num_nodes)

    exercise = find("degrees")
    monkeypatch.setattr(graphs, "degrees", degrees)
    assert not call_once(degrees, Case("a path", EDGES, 3), exercise.parameters, Counter(), exercise.library).taken
    monkeypatch.delattr(graphs, "degrees")
    assert not call_once(degrees, Case("a path", EDGES, 3), exercise.parameters, Counter(), exercise.library).taken


def test_who_uses_other_functions_of_the_library_is_not_accused():
    def degrees(edge_index, num_nodes):
        return graphs.to_adjacency(edge_index, num_nodes).sum(0).long()

    def message_round(h, edge_index, W_self, W_neigh, b):
        v, u = edge_index
        return torch.relu(h @ W_self.T + message_passing.aggregate(h[v] @ W_neigh.T + b, u, len(h)))

    def run_rounds(h, edge_index, W_self, W_neigh, b, K):
        for _ in range(K + 1):
            h = message_passing.message_round(h, edge_index, W_self, W_neigh, b)
        return h

    def attention_round(h, edge_index, scores, W):
        """Calls a function that calls the library's."""
        alpha = message_passing.softmax_by_target(scores, edge_index[1], len(h))
        return message_passing.aggregate(alpha[:, None] * (h @ W.T)[edge_index[0]], edge_index[1], len(h))

    for function in (degrees, message_round, run_rounds, attention_round):
        assert check(function).state == "right"


def test_the_library_may_call_the_reference_itself():
    """GCNLayer calls gcn_norm, and frames.frame_average calls pca_frames, of which others are asked."""
    layer = cell("from course_utils import graph_networks\nlayer = graph_networks.GCNLayer(2, 3)", "layer")

    def answer(edge_index, num_nodes):
        return layer(torch.ones(num_nodes, 2), edge_index)

    exercise = find("gcn_norm")
    assert not call_once(answer, Case("a path", EDGES, 3), exercise.parameters, Counter(), exercise.reference).taken


def test_what_is_called_back_by_the_library_is_the_students():
    def error(f, kind, R, b, x):
        return symmetry.equivariance_error(lambda z: symmetry.act("vector", R, b, f(z)), kind, R, b, x)

    case = find("equivariance_error").cases(0)[2]
    assert call_once(error, case, "fkRbx", Counter(), symmetry.act).taken
    assert not call_once(lambda f, *rest: symmetry.equivariance_error(f, *rest), case, "fkRbx", Counter(), symmetry.act).taken


def test_a_trace_tells_nothing_of_the_watch():
    def degrees(edge_index, num_nodes):
        try:
            return graphs.degrees(edge_index.T.float(), num_nodes)
        except ValueError as error:
            raise TypeError("again") from error

    exercise = find("degrees")
    outcome = call_once(degrees, exercise.cases(0)[0], exercise.parameters, Counter(), exercise.reference)
    assert outcome.taken and "require_edge_index(edge_index, num_nodes)" in outcome.trace
    assert "TypeError: again" in outcome.trace and "watch.py" not in outcome.trace.replace("test_watch.py", "")
    plain = call_once(degrees, exercise.cases(0)[0], exercise.parameters, Counter())
    assert outcome.trace == plain.trace


def test_what_looks_at_the_reference_sees_it_as_it_is():
    before = inspect.getsource(graphs.degrees), graphs.degrees.__name__, pickle.dumps(graphs.degrees)
    with Watch(graphs.degrees) as watch:
        assert (inspect.getsource(graphs.degrees), graphs.degrees.__name__, pickle.dumps(graphs.degrees)) == before
        assert pickle.loads(before[2]) is graphs.degrees and graphs.degrees.__doc__
        assert not watch.taken
        assert graphs.degrees(EDGES, num_nodes=3).tolist() == [0, 1, 1]
    assert watch.taken
    with Watch(message_passing.message_round):  # with a default
        answer = message_passing.message_round(torch.ones(3, 1), EDGES, *[torch.ones(1, 1)] * 2, torch.ones(1))
    assert answer.tolist() == [[1], [3], [3]]


class Interrupt(BaseException):
    pass


def test_the_reference_gets_its_code_back_whatever_happens():
    own = graphs.degrees.__code__
    for error in (KeyboardInterrupt, run.Stopped, SystemExit, Interrupt):
        def answer(edge_index, num_nodes, error=error):
            assert graphs.degrees.__code__ is not own
            raise error

        try:
            call_once(answer, Case("a path", EDGES, 3), ("edge_index", "num_nodes"), Counter(), graphs.degrees)
        except (KeyboardInterrupt, run.Stopped):
            pass
        assert graphs.degrees.__code__ is own


def test_a_call_that_never_ends_is_watched_no_longer_and_accuses_nobody():
    own, over, calls = graphs.degrees.__code__, threading.Event(), []

    def stuck(edge_index, num_nodes):
        over.wait()  # nothing can stop a thread that waits
        calls.append(graphs.degrees(edge_index, num_nodes))
        raise Interrupt

    cases = find("degrees").cases(0)
    outcomes = call_all(stuck, cases, ("edge_index", "num_nodes"), 0.1, graphs.degrees)
    assert [o.late for o in outcomes] == [True] and graphs.degrees.__code__ is own
    thread, = (t for t in run._never_ended if t.is_alive())

    def answer(edge_index, num_nodes):
        over.set()
        thread.join()
        return torch.bincount(edge_index[1], minlength=num_nodes)

    assert not any(o.taken for o in call_all(answer, cases, ("edge_index", "num_nodes"), 10, graphs.degrees))
    assert graphs.degrees.__code__ is own and len(calls) <= 1


def test_two_watches_at_once_leave_the_reference_as_it_was():
    own = graphs.degrees.__code__
    first, second = Watch(graphs.degrees).__enter__(), Watch(graphs.degrees).__enter__()
    graphs.degrees(EDGES, 3)
    assert second.taken and not first.taken
    first.__exit__()
    second.__exit__()
    assert graphs.degrees.__code__ is own


def doubled(function):
    @functools.wraps(function)
    def twice(x):
        return 2 * function(x)
    return twice


@doubled
def decorated(x):
    return x


class NoForward(nn.Module):
    pass


class Static(nn.Module):
    @staticmethod
    def forward(x):
        return x


class Super(nn.Sequential):
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize(("reference", "says"), [
    (decorated, "decorated, an exercise's reference, is decorated"),
    (functools.lru_cache(graphs.degrees), "is a _lru_cache_wrapper; expected a function written with def"),
    (functools.partial(graphs.degrees, num_nodes=3), "is a partial; expected a function written with def"),
    (torch.relu, "is a builtin_function_or_method"),
    (NoForward, "NoForward.forward, an exercise's reference, is a NoneType"),
    (Static, "Static.forward, an exercise's reference, is a staticmethod"),
    (Super, "Super.forward, an exercise's reference, is decorated, made inside of another function, or uses super()"),
])
def test_a_reference_that_cannot_be_watched_is_refused_when_it_is_declared(reference, says):
    with pytest.raises(ValueError, match="an exercise's reference") as error:
        Exercise(reference, "01_graph_tasks", 1, lambda generator: ())
    assert says in str(error.value)


@pytest.mark.parametrize("exercise", exercises.all_exercises().values(), ids=lambda e: e.name)
def test_the_courses_own_answers_may_use_the_library(exercise):
    for function in (exercise.also_right[0], exercise.misconceptions[0].wrong):
        assert verdict_on(exercise, function).state in ("right", "wrong")
