"""Whoever calls the library's own version of an answer is seen, by whatever name, and nobody else is."""

import functools
import inspect
import pickle
import threading
import types

import pytest
import torch
from torch import nn

from course_utils import exercises, graph_networks, graphs, gvp, message_passing, symmetry
from course_utils.exercises import check, find, run, verdict_on
from course_utils.exercises.declare import Case, Exercise, Named, fresh
from course_utils.exercises.run import Counter, call_all, call_once
from course_utils.exercises.watch import Watch

EDGES = torch.tensor([[0, 1], [1, 2]])
PARAMETERS = ("edge_index", "num_nodes")
DEF = "def degrees(edge_index, num_nodes):\n    "
LIBRARY = {
    "the module's name": DEF + "return graphs.degrees(edge_index, num_nodes)",
    "an alias in the cell above": "f = graphs.degrees\n" + DEF + "return f(edge_index, num_nodes)",
    "an alias of the module": "lib = graphs\n" + DEF + "return lib.degrees(edge_index, num_nodes)",
    "a lambda above": "f = lambda e, n: graphs.degrees(e, n)\n" + DEF + "return f(edge_index, num_nodes)",
    "a star import": """
from course_utils.graphs import *
f = degrees
def degrees(edge_index, num_nodes):
    return f(edge_index, num_nodes)
""",
    "a name put together": DEF + "return getattr(graphs, 'deg' + 'rees')(edge_index, num_nodes)",
    "the module's dictionary": DEF + "return vars(graphs)['degrees'](edge_index, num_nodes)",
    "map": DEF + "return next(map(graphs.degrees, [edge_index], [num_nodes]))",
    "an alias inside": """
def degrees(edge_index, num_nodes):
    f = graphs.degrees
    return f(edge_index, num_nodes)
""",
    "a helper above": """
def count(*args):
    return graphs.degrees(*args)
def degrees(edge_index, num_nodes):
    return count(edge_index, num_nodes)
""",
    "an import inside": """
def degrees(edge_index, num_nodes):
    from course_utils.graphs import degrees as f
    return f(edge_index, num_nodes)
""",
    "an import under try": """
try:
    from course_utils.graphs import degrees as f
except ImportError:
    f = None
def degrees(edge_index, num_nodes):
    return f(edge_index, num_nodes)
""",
    "a partial": """
import functools
def degrees(edge_index, num_nodes):
    return functools.partial(graphs.degrees, edge_index)(num_nodes)
""",
    "a thread": """
from concurrent.futures import ThreadPoolExecutor
def degrees(edge_index, num_nodes):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(graphs.degrees, edge_index, num_nodes).result()
""",
    "a module of torch": """
class Count(nn.Module):
    forward = staticmethod(graphs.degrees)
def degrees(edge_index, num_nodes):
    return Count()(edge_index, num_nodes)
""",
    "an error that is caught": """
def degrees(edge_index, num_nodes):
    try:
        graphs.degrees(edge_index.T.float(), num_nodes)
    except ValueError:
        return torch.bincount(edge_index[1], minlength=num_nodes)
""",
}
GIVEN = """
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
    "its forward": f"class GVP(nn.Module):{GIVEN}\n    forward = gvp.GVP.forward",
    "super()": """
class GVP(gvp.GVP):
    def forward(self, s, V):
        return super().forward(s, V)
""",
    "a composed instance": """
class GVP(nn.Module):
    def __init__(self, n, nu, m, mu):
        super().__init__()
        self.inner = [gvp.GVP(n, nu, m, mu)]
        self.W_h, self.W_mu, self.W_m = self.inner[0].W_h, self.inner[0].W_mu, self.inner[0].W_m

    def forward(self, s, V):
        self.inner[0].load_state_dict(self.state_dict(), assign=True)
        return self.inner[0](s, V)
""",
    "an instance made inside": f"""
class GVP(nn.Module):{GIVEN}
    def forward(self, s, V):
        inner = gvp.GVP(s.shape[1], V.shape[1], len(self.W_m.bias), len(self.W_mu))
        inner.load_state_dict(self.state_dict(), assign=True)
        return inner(s, V)
""",
}


def cell(source, name):
    """What a notebook's cell defines under that name."""
    space = {"torch": torch, "nn": nn, "graphs": graphs, "gvp": gvp, "__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), space)
    return space[name]


def taken(answer, reference, parameters=PARAMETERS, case=Case("a path", EDGES, 3)):
    """Whether the call takes the answer from the reference."""
    return call_once(answer, case, parameters, Counter(), reference).taken


@pytest.mark.parametrize("way", LIBRARY)
def test_a_function_that_takes_the_librarys_is_told_and_earns_nothing(way):
    code = graphs.degrees.__code__
    card = check(cell(LIBRARY[way], "degrees"))
    assert card.state == "not yours" and card.record["points"] == 0
    assert "the library's own degrees" in repr(card)
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
    for answer in (own, copied, functools.partial(own), functools.lru_cache(own)):
        assert taken(answer, own)


def test_a_child_that_knows_no_exercise_is_told_the_name():
    exercise = find("degrees")
    assert exercise.library == Named("graphs.degrees") and find("GVP").library == Named("gvp.GVP")
    assert taken(lambda e, n: graphs.degrees(e, n), fresh(exercise.library))
    assert not taken(lambda e, n: graphs.to_adjacency(e, n), fresh(exercise.library))


def test_a_notebook_may_put_its_own_function_into_the_library(monkeypatch):
    def degrees(edge_index, num_nodes):
        return torch.bincount(edge_index[1], minlength=num_nodes)

    library = fresh(find("degrees").library)
    monkeypatch.setattr(graphs, "degrees", degrees)
    assert not taken(degrees, library)
    assert taken(lambda e, n: library(e, n), library)
    monkeypatch.delattr(graphs, "degrees")
    assert not taken(degrees, library)


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
    """GCNLayer calls gcn_norm, by way of torch."""
    layer = graph_networks.GCNLayer(2, 3)

    def answer(edge_index, num_nodes):
        return layer(torch.ones(num_nodes, 2), edge_index)

    assert not taken(answer, graph_networks.gcn_norm)
    assert taken(lambda e, n: graph_networks.gcn_norm(e, n), graph_networks.gcn_norm)


def test_what_is_called_back_by_the_library_is_the_students():
    def error(f, kind, R, b, x):
        return symmetry.equivariance_error(lambda z: symmetry.act("vector", R, b, f(z)), kind, R, b, x)

    def of_library(f, kind, R, b, x):
        return symmetry.equivariance_error(f, kind, R, b, x)

    case = find("equivariance_error").cases(0)[2]
    assert taken(error, symmetry.act, "fkRbx", case)
    assert not taken(of_library, symmetry.act, "fkRbx", case)


def test_a_trace_tells_nothing_of_the_watch():
    def degrees(edge_index, num_nodes):
        try:
            return graphs.degrees(edge_index.T.float(), num_nodes)
        except ValueError as error:
            raise TypeError("again") from error

    exercise = find("degrees")
    outcome = call_once(degrees, exercise.cases(0)[0], exercise.parameters, Counter(), exercise.reference)
    assert outcome.taken and "require_edge_index(edge_index, num_nodes)" in outcome.trace
    assert "TypeError: again" in outcome.trace
    plain = call_once(degrees, exercise.cases(0)[0], exercise.parameters, Counter())
    assert outcome.trace == plain.trace


def test_what_looks_at_the_reference_sees_it_as_it_is():
    def seen():
        return inspect.getsource(graphs.degrees), graphs.degrees.__name__, pickle.dumps(graphs.degrees)

    before = seen()
    with Watch(graphs.degrees) as watch:
        assert seen() == before
        assert pickle.loads(before[2]) is graphs.degrees and graphs.degrees.__doc__
        assert not watch.taken
        assert graphs.degrees(EDGES, num_nodes=3).tolist() == [0, 1, 1]
    assert watch.taken
    with Watch(message_passing.message_round):  # with a default
        W = torch.ones(1, 1)
        answer = message_passing.message_round(torch.ones(3, 1), EDGES, W, W, W[0])
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
            taken(answer, graphs.degrees)
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
    outcomes = call_all(stuck, cases, PARAMETERS, 0.1, graphs.degrees)
    assert [o.late for o in outcomes] == [True] and graphs.degrees.__code__ is own
    thread, = (t for t in run._never_ended if t.is_alive())

    def answer(edge_index, num_nodes):
        over.set()
        thread.join()
        return torch.bincount(edge_index[1], minlength=num_nodes)

    outcomes = call_all(answer, cases, PARAMETERS, 10, graphs.degrees)
    assert len(outcomes) == len(cases) and not any(o.taken for o in outcomes)
    assert graphs.degrees.__code__ is own and len(calls) <= 1


def test_a_thread_that_ends_is_not_kept():
    before = set(run._never_ended)
    for _ in range(20):
        call_all(lambda e, n: None, find("degrees").cases(0), PARAMETERS, 10, graphs.degrees)
    assert set(run._never_ended) == before


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
    (Super, "is decorated, made inside of another function, or uses super()"),
])
def test_a_reference_that_cannot_be_watched_is_refused_when_it_is_declared(reference, says):
    with pytest.raises(ValueError, match="an exercise's reference") as error:
        Exercise(reference, "01_graph_tasks", 1, lambda generator: ())
    assert says in str(error.value)


@pytest.mark.parametrize("exercise", exercises.all_exercises().values(), ids=lambda e: e.name)
def test_the_courses_own_answers_may_use_the_library(exercise):
    for function in (exercise.also_right[0], exercise.misconceptions[0].wrong):
        assert verdict_on(exercise, function).state in ("right", "wrong")
