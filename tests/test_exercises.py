"""The checks: every misconception gets its own sentence, every right answer is accepted, nothing raises."""

import functools
import io
import os
import re
import signal
import sys
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import exercises, frames, graphs, message_passing, symmetry
from course_utils.exercises import check, find, verdict_on, yours
from course_utils.exercises.declare import Outcome, SameNumber, SameSet, unchanged
from course_utils.exercises.run import Counter, _in_time, call_all, call_once, call_ours
from course_utils.exercises.verdict import Ours, judge
from course_utils.grading import wire
from course_utils.systems import untrained

EXERCISES = list(exercises.all_exercises().values())
SEEDS = range(5)
HIDDEN_SEEDS = range(2)  # larger cases, which take longer
EACH = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
# While somebody works, one seed says most of what five say.
MANY_MISCONCEPTIONS = [pytest.param(exercise, marks=pytest.mark.slow if len(exercise.misconceptions) > 15 else ())
                       for exercise in EXERCISES]
EACH_SEED = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]


def verdict(exercise, function, seed=0):
    cases = exercise.cases(seed)
    return judge(exercise, cases, call_all(function, cases, exercise.parameters, exercise.seconds))


class Round:
    """The hidden cases of a seed, those of a check among them; each function is called once on each. Of some seeds, the
    check's alone."""

    def __init__(self, exercise, seed):
        self.exercise, self.drawn = exercise, exercise.cases(seed)
        self.hidden = exercise.hidden_cases(seed) if seed in HIDDEN_SEEDS else self.drawn
        blocks = 1 + len(exercise.derivations)
        starts = range(0, len(self.hidden), len(self.hidden) // blocks)
        self.places = [start + i for start in starts for i in range(len(self.drawn) // blocks)]
        self.on_hidden = Ours(exercise, self.hidden, self.called)
        self.on_drawn = Ours(exercise, self.drawn, self.first)

    def called(self, function):
        """Watched, if it is not the reference itself."""
        watched = None if function is self.exercise.reference else self.exercise.reference
        return [call_once(function, case, self.exercise.parameters, Counter(), watched) for case in self.hidden]

    def first(self, function):
        outcomes = self.on_hidden.outcomes(function)
        return [outcomes[i] for i in self.places]

    def verdict(self, function, cases):
        ours = self.on_drawn if cases is self.drawn else self.on_hidden
        return judge(self.exercise, cases, ours.outcomes(function), ours)


@functools.lru_cache(maxsize=1)
def round_of(exercise, seed):
    return Round(exercise, seed)


def test_a_check_draws_the_first_of_the_hidden_cases():
    for exercise in EXERCISES:
        cases = round_of(exercise, 1)
        assert [cases.hidden[i].label for i in cases.places] == [case.label for case in cases.drawn]
        assert all(unchanged(cases.hidden[i].args, case.args) for i, case in zip(cases.places, cases.drawn))
        assert len(cases.hidden) > len(cases.drawn), "declare larger or rarer cases, too"


@pytest.mark.parametrize("exercise", MANY_MISCONCEPTIONS, ids=lambda e: e.name)
@pytest.mark.parametrize("seed", EACH_SEED)
def test_each_misconception_gets_its_own_sentence_and_right_answers_are_accepted(exercise, seed):
    """On what a check draws, and on what a grader does."""
    cases = round_of(exercise, seed)
    for each in [cases.drawn, cases.hidden][:1 + (seed in HIDDEN_SEEDS)]:
        for function in (exercise.reference, *exercise.also_right):
            v = cases.verdict(function, each)
            assert (v.state, v.points) == ("right", exercise.points), v.findings
        for m in exercise.misconceptions:
            v = cases.verdict(m.wrong, each)
            most = max((part.points for part in exercise.partly), default=0)
            assert (v.state, v.misconception) == ("wrong", m.name) and v.points <= most, (
                f"the inputs of {exercise.name} do not tell {m.name!r} from "
                f"{v.misconception or 'a right answer'}; draw one that does")
            assert v.findings[0].text == m.says


@EACH
def test_a_grader_can_send_what_it_asks_and_get_the_answer(exercise):
    cases = exercise.hidden_cases(1)
    outcomes = call_ours(exercise.reference, cases, exercise.parameters)
    for message in ([case.args for case in cases], [outcome.value for outcome in outcomes]):
        wire.send(io.BytesIO(), message)  # raises ValueError if it is too large


@EACH
def test_each_exercise_is_declared_in_full(exercise):
    assert len(exercise.misconceptions) >= 3, "declare three misconceptions at least"
    assert len(exercise.also_right) >= 2, "declare two other right answers at least"
    assert len({m.name for m in exercise.misconceptions}) == len(exercise.misconceptions)
    assert find(exercise.name) is exercise


def degrees(edge_index, num_nodes):
    """In-degrees."""
    return torch.bincount(edge_index[1], minlength=num_nodes)


def named(function, name="degrees"):
    function.__name__ = name
    return function


def loops_for_ever(edge_index, num_nodes):
    while True:
        pass


def swallows_everything(edge_index, num_nodes):
    while True:
        try:
            edge_index.sum()  # no print: CPython may crash where a thread prints while pytest puts another stdout in place
        except:  # noqa: E722
            pass


def calls_itself(edge_index, num_nodes):
    return calls_itself(edge_index, num_nodes)


def changes_its_input(edge_index, num_nodes):
    answer = degrees(edge_index, num_nodes)
    edge_index += 1
    return answer


def prints_a_lot(edge_index, num_nodes):
    print("x" * 10_000_000)
    return degrees(edge_index, num_nodes)


def raises(edge_index, num_nodes):
    return undefined  # noqa: F821


def leaves(edge_index, num_nodes):
    raise SystemExit


def nan_message(h, edge_index, W_self, W_neigh, b):
    return torch.full((len(h), len(b)), torch.nan)


@pytest.mark.parametrize(("function", "state", "says"), [
    (lambda e, n: None, "wrong", "your function returned None. Is there a return, there and"),
    (lambda e, n: torch.zeros(n + 1, dtype=torch.int64), "wrong", "has shape (4,); expected (3,)"),
    (lambda e, n: torch.zeros(n), "wrong", "holds floating point numbers (torch.float32); expected integer (torch.int64)"),
    (lambda e, n: torch.zeros(n, dtype=torch.complex64), "wrong", "holds complex numbers"),
    (lambda e, n: [0] * n, "wrong", "is a list; expected a torch tensor of shape (3,)"),
    (lambda e, n: degrees(e, n).to_sparse(), "wrong", "sparse tensor; expected a dense one"),
    (lambda e, n: degrees(e, n).to("meta"), "wrong", "cannot be compared with the expected one"),
    (lambda e: e, "wrong", "cannot be called with 2 arguments; expected (edge_index, num_nodes)"),
    (changes_its_input, "wrong", "changed its input edge_index; work on a copy"),
    (raises, "wrong", "NameError: name 'undefined' is not defined"),
    (leaves, "wrong", "stopped with SystemExit"),
    (calls_itself, "wrong", "RecursionError"),
    (prints_a_lot, "right", "160,000,016 characters"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_bad_answers_get_a_useful_card(function, state, says):
    v = check(named(function))
    assert v.state == state
    assert says in repr(v)


def test_a_misconception_is_recognised_in_place_too():
    def run_rounds(h, edge_index, W_self, W_neigh, b, K):
        for _ in range(K + 1):
            for u in range(len(h)):
                h[u] = message_passing.message_round(h, edge_index, W_self, W_neigh, b)[u]
        return h

    v = verdict_on(find("run_rounds"), run_rounds)
    assert v.misconception == "nodes updated one after the other"
    assert "changed its input h" in repr(v)


def test_nan_is_shown():
    assert "is nan; expected" in repr(check(named(nan_message, "message_round")))


@pytest.mark.parametrize("function", [loops_for_ever, swallows_everything], ids=lambda f: f.__name__)
def test_a_loop_that_never_ends_is_called_that(function, monkeypatch):
    monkeypatch.setattr(find("degrees"), "seconds", 0.3)
    assert "Is there a loop that never ends?" in repr(check(named(function)))
    assert check(degrees).state == "right"  # and the next check works


def test_seconds_that_other_programs_took_do_not_count():
    ended = threading.Event()
    threading.Timer(0.4, ended.set).start()
    assert _in_time(ended, 0.2)  # it waits, and uses no processor time
    assert not _in_time(threading.Event(), 0.05)  # not for ever


@pytest.mark.skipif(os.name == "nt", reason="a signal cannot be sent to one process alone")
def test_an_interrupted_check_ends_the_loop_and_says_so():
    beats = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        text = repr(check(named(lambda e, n: [beats.append(0) for _ in iter(int, 1)])))
    finally:
        signal.signal(signal.SIGINT, before)
    assert "you interrupted the check" in text
    before = len(beats)
    time.sleep(0.1)
    assert len(beats) == before, "the loop goes on"


class Silent(Exception):
    def __str__(self):
        raise RuntimeError


class Agreeable(torch.Tensor):
    """Says yes to every comparison."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("isclose", "equal"):
            return torch.tensor(True)
        return super().__torch_function__(function, types, args, kwargs or {})


def raises_without_text(edge_index, num_nodes):
    raise Silent


def raises_at_length(edge_index, num_nodes):
    raise ValueError("x" * 5_000_000)


def checks_itself(edge_index, num_nodes):
    check(checks_itself)
    return degrees(edge_index, num_nodes)


def changes_the_type_of_its_input(edge_index, num_nodes):
    answer = degrees(edge_index, num_nodes)
    edge_index.data = edge_index.data.float()
    return answer


def closes_the_output(edge_index, num_nodes):
    sys.stdout.close()
    return degrees(edge_index, num_nodes)


def wrapped_in_itself(edge_index, num_nodes):
    return degrees(edge_index, num_nodes)


wrapped_in_itself.__wrapped__ = wrapped_in_itself


@pytest.mark.parametrize(("function", "state", "says"), [
    (raises_without_text, "wrong", "stopped with Silent"),
    (raises_at_length, "wrong", "stopped with ValueError: xxx"),
    (checks_itself, "right", "right on 16 inputs"),
    (changes_the_type_of_its_input, "wrong", "changed its input edge_index"),
    (closes_the_output, "right", "right on 16 inputs"),
    (wrapped_in_itself, "wrong", "could not be checked"),
    (lambda e, n: torch.zeros(n, dtype=torch.int64).as_subclass(Agreeable), "wrong", "entry [1] of the answer is 0; expected 1"),
    (lambda e, n: (n for _ in "a"), "wrong", "is a generator; expected a torch tensor"),
])
def test_no_function_gets_around_a_check(function, state, says):
    stdout, threads = sys.stdout, threading.active_count()
    card = check(named(function))
    assert sys.stdout is stdout and threading.active_count() == threads
    assert card.state == state and says in repr(card)
    assert len(card._html()) < 20_000


def test_an_error_on_a_derived_input_alone_is_shown():
    right = find("attention_round").also_right[0]

    def attention_round(h, edge_index, scores, W):
        assert not len(scores) or scores.mean() < 1.5, "large scores"
        return right(h, edge_index, scores, W)

    text = repr(check(attention_round))
    assert "2 added to every score: your function stopped with AssertionError: large scores" in text


def test_yours_is_not_a_function_that_was_written_after_the_check():
    def degrees(edge_index, num_nodes):
        return torch.bincount(edge_index[1], minlength=num_nodes)

    check(degrees)
    assert yours(degrees) is not graphs.degrees

    def degrees(edge_index, num_nodes):
        return torch.zeros(num_nodes)

    assert yours(degrees) is graphs.degrees


@pytest.mark.parametrize("spoil", [lambda part: part.float(), lambda part: part.repeat(1, 3)])
def test_split_links_wants_indices_and_each_edge_once(spoil):
    right = find("split_links").also_right[0]

    def split_links(edge_index, fraction, generator):
        return tuple(map(spoil, right(edge_index, fraction, generator)))

    assert check(split_links).state == "wrong"


def test_split_links_says_how_many_links_vanished():
    right = find("split_links").also_right[0]

    def split_links(edge_index, fraction, generator):
        train, test = right(edge_index, fraction, generator)
        return train, test[:, (test[0] != test[0].min()) & (test[1] != test[0].min())]

    text = repr(check(split_links))
    assert "on a triangle, one third hidden, 1 link vanished and 0 are new." in text
    assert "0 of the links are hidden; expected 1." in text


@pytest.mark.parametrize("answer", [lambda A, X: A, lambda A, X: (A.diag(), X), lambda A, X: [A], lambda A, X: (0, 0)])
def test_a_property_of_permute_says_nothing_of_an_answer_of_the_wrong_form(answer):
    def permute(A, X, p):
        return answer(A[p][:, p], X[p])

    text = repr(check(permute))
    assert "expected" in text and "afterwards" not in text and "cannot be tested" not in text


def test_a_python_list_of_no_edges_is_told_from_an_empty_edge_list():
    def to_edge_index(A):
        return torch.tensor([(v, u) for v in range(len(A)) for u in range(len(A)) if A[v, u] != 0]).t()

    text = repr(check(to_edge_index))
    assert "on one node without edges: it is empty, of shape (0,) and torch.float32. torch.tensor([]) has one axis" in text

    def to_edge_index(A):
        edges = [(v, u) for v in range(len(A)) for u in range(len(A)) if A[v, u] != 0]
        return torch.tensor([[v for v, _ in edges], [u for _, u in edges]])

    assert check(to_edge_index).state == "right"  # torch.tensor([[], []]) holds no number that could be one


def test_the_students_own_traceback_is_shown():
    text = repr(check(named(raises)))
    assert "return undefined" in text
    assert "run.py" not in text


@pytest.mark.parametrize(("given_", "says"), [
    ("degrees", "check got the text 'degrees'; expected the function itself: check(degrees), without quotes."),
    (torch.ones(3), "check got a Tensor; expected a function"),
    (lambda x: x, "a lambda has none. Write it with def."),
    (named(lambda e, n: e, "degress"), "Did you mean degrees?"),
    (named(lambda e, n: e, "qqqq"), "The exercises are to_edge_index, degrees"),
    (graphs.degrees, "this is the library's own function"),
])
def test_what_cannot_be_checked_is_explained(given_, says):
    assert says in repr(check(given_))


@pytest.mark.slow
@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()), st.builds(object)))
def test_check_never_raises(thing):
    html = check(thing)._repr_mimebundle_()[0]["text/html"]
    assert html.startswith("<div")


@pytest.mark.slow
@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.tuples(st.integers()),
                 st.dictionaries(st.text(), st.integers()), st.just(torch.ones(2, 2)), st.just((torch.ones(1), "x")),
                 st.just((torch.ones(2, 3), torch.ones(4))), st.just(torch.tensor(1))),
       st.sampled_from([e.name for e in EXERCISES]))
def test_no_return_value_upsets_a_check(value, name):
    assert verdict_on(find(name), lambda *args: value).state == "wrong"


def test_an_untouched_stub_is_not_started_and_a_touched_one_is_not():
    def degrees(edge_index, num_nodes):
        """In-degrees."""
        ...

    assert check(degrees).state == "not started"

    def degrees(edge_index, num_nodes):
        pass

    assert "returned None" in repr(check(degrees))

    def degrees(edge_index, num_nodes):
        ...
        return torch.bincount(edge_index[1], minlength=num_nodes)

    assert check(degrees).state == "right"


def test_the_summary_counts_the_points(monkeypatch):
    monkeypatch.setattr(exercises, "_checked", {})
    assert "nothing has been checked yet" in repr(check())
    check(degrees)
    summary = check()
    assert summary.title == "01_graph_tasks: 1 of 7 points"
    assert summary.record["summary"]["permute"] == "not started"


def test_yours_is_the_students_once_it_is_right(monkeypatch, capsys):
    monkeypatch.setattr(exercises, "_checked", {})
    assert yours(degrees) is graphs.degrees
    assert "has not passed its check yet" in capsys.readouterr().out
    check(degrees)
    edges = torch.tensor([[0, 1], [1, 2]])
    assert yours(degrees)(edges, 3).tolist() == [0, 1, 1]
    with pytest.raises(ValueError):  # what is wrong for both is an error for both
        yours(degrees)(edges.float(), 3)
    assert "This is the library's." in capsys.readouterr().out


@EACH
def test_a_verdict_is_a_function_of_inputs_and_outcomes_alone(exercise):
    """Outcomes that came over a pipe, as plain arrays, give the same verdict."""
    def over_a_pipe(value):
        if isinstance(value, tuple):
            return tuple(map(over_a_pipe, value))
        if isinstance(value, dict):
            return dict(value)
        if isinstance(value, int):
            return value
        return torch.from_numpy(value.numpy().copy())

    wrong = exercise.misconceptions[0].wrong
    cases = exercise.cases(3)
    here = call_all(wrong, cases, exercise.parameters, exercise.seconds)
    there = [Outcome(None if o.value is None else over_a_pipe(o.value), o.error, o.trace, o.late, o.changed, o.printed)
             for o in here]
    assert judge(exercise, exercise.cases(3), there) == judge(exercise, cases, here)


@EACH
def test_a_check_leaves_the_global_random_numbers_alone(exercise):
    before = torch.random.get_rng_state()
    verdict_on(exercise, exercise.misconceptions[0].wrong)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cards_can_be_read_without_colour_and_by_a_screen_reader():
    def degrees(edge_index, num_nodes):
        raise ValueError("<b>& bold")

    data, metadata = check(degrees)._repr_mimebundle_()
    html = data["text/html"]
    assert "<b>& bold" not in html
    assert "&lt;b&gt;&amp; bold" in html
    assert 'role="group" aria-label="degrees: not yet (0 of 1 point)"' in html
    assert "✗" in html and 'aria-label="does not hold: "' in html
    assert not re.search(r"[^-]color:(?!inherit)", html.replace("border", "")), "text keeps the page's colour"
    assert metadata["course"]["points"] == 0
    assert data["text/plain"].startswith("✗ degrees: not yet")


def test_under_nbgrader_a_card_is_its_points(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check(degrees)._repr_mimebundle_()[0]["text/plain"] == "1"
    assert check(named(raises))._repr_mimebundle_()[0]["text/plain"] == "0"


def test_right_cards_say_so_in_words():
    assert "degrees: right (1 of 1 point)" in check(degrees)._repr_mimebundle_()[0]["text/html"]


def test_reset_opens_a_cell_with_the_stub(monkeypatch, capsys):
    import IPython

    from course_utils.grading import reset

    opened = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"set_next_input": staticmethod(opened.append)}))
    reset(degrees)
    namespace = {}
    exec(opened[0], namespace)  # noqa: S102  our own stub
    assert "in-degree" not in opened[0] and "BEGIN SOLUTION" not in opened[0]
    assert namespace["degrees"](None, 3) is None
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    reset("message_round")
    assert capsys.readouterr().out.startswith("def message_round(h, edge_index, W_self, W_neigh, b):")
    with pytest.raises(KeyError):
        reset("nothing")


def test_a_set_of_frames_may_come_in_any_order_and_no_member_twice():
    four, same = torch.eye(3) * frames.SIGNS[frames.SIGNS.prod(1) > 0][:, None], SameSet("frames")
    assert same.difference(four[[2, 0, 3, 1]], four) is None
    assert same.difference(four[[2, 0, 2, 1]], four) == "numbers 0 and 2 of your frames are the same one."
    assert same.difference(-four, four).startswith("number 0 of your 4 frames is none of the expected ones; the nearest has")
    assert same.difference(four * torch.nan, four).startswith("number 0 of your 4 frames is none")
    assert same.difference(four[:1], four) == "the answer has shape (1, 3, 3); expected (4, 3, 3)."
    assert same.difference([four], four) == "the answer is a list; expected a torch tensor of shape (4, 3, 3)."


@pytest.mark.slow
def test_turned_copies_are_judged_by_what_they_are_and_not_by_the_order_of_draws():
    """Also that an even draw is not refused by bad luck: forty secrets, each with two tests of many moments."""
    for seed in range(40):
        assert verdict(find("augment"), frames.augment, seed).state == "right"


def test_rotations_that_depend_on_each_other_are_caught():
    def there_and_back(count, generator):
        R = symmetry.random_rotation((count + 1) // 2, generator)
        return torch.stack([R, R.mT], dim=1).flatten(0, 1)[:count]

    v = verdict(find("random_rotation"), there_and_back)
    assert v.state == "wrong" and "a rotation depends on the one before it" in repr(v)
    for seed in range(20):
        assert verdict(find("random_rotation"), symmetry.random_rotation, seed).state == "right"


def test_one_link_is_hidden_only_if_one_was_asked_for():
    def split_links(edge_index, fraction, generator):
        links = edge_index[:, edge_index[0] < edge_index[1]]
        links = links[:, torch.randperm(links.shape[1], generator=generator)]
        k = max(1, round(fraction * links.shape[1]))
        return graphs.both_directions(links[:, k:]), graphs.both_directions(links[:, :k])

    v = verdict(find("split_links"), split_links)
    assert v.state == "wrong" and "1 of the links is hidden; expected 0." in repr(v)
    for seed in range(40):
        assert verdict(find("split_links"), graphs.split_links, seed).state == "right"


@functools.cache
def ours_of(name):
    return Ours(find(name), find(name).cases())


def said(function, name):
    """What a check says, with the answers of the misconceptions worked out once."""
    ours = ours_of(name)
    return judge(find(name), ours.cases, ours.outcomes(function), ours)


def checker(order, same=lambda a, b: a.shape == b.shape and torch.allclose(a, b), n=7, seed=0):
    """An answer to `classify` in the words of its text: one cloud, one motion of each sort, and n points in that order."""
    random = torch.Generator().manual_seed(seed)
    x, b = torch.randn(n, 3, generator=random).double() + 1, torch.randn(3, generator=random).double()
    R = symmetry.random_rotation((), random, torch.float64)
    motions = {"permutation": lambda z: z[order], "translation": lambda z: z + b, "rotation": lambda z: z @ R.T,
               "reflection": lambda z: z @ -R.T}

    def classify(f):
        words, y = {}, f(x)
        for name, g in motions.items():
            can_move = y.shape[:1] == (n,) if name == "permutation" else y.shape[-1:] == (3,)
            equivariant = can_move and same(f(g(x)), g(y))
            words[name] = "invariant" if same(f(g(x)), y) else "equivariant" if equivariant else "neither"
        return words

    return classify


def test_a_random_order_that_leaves_points_in_place_is_accepted_and_two_points_exchanged_are_not():
    for seed in range(20):
        order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
        assert said(checker(order, seed=seed), "classify").state == "right"
    for order in ([1, 0, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 6, 5]):
        assert said(checker(order), "classify").misconception == "two points exchanged"


@pytest.mark.parametrize("same", [lambda a, b: a.shape == b.shape and bool((a == b).all()), torch.equal])
def test_numbers_compared_to_the_last_bit_are_called_that_on_any_cloud(same):
    for seed in SEEDS:
        answer = checker([3, 0, 4, 1, 6, 2, 5], same, seed=seed)
        assert said(answer, "classify").misconception == "compared to the last bit"


def test_numbers_that_are_never_the_same_are_not_called_a_comparison_to_the_last_bit():
    v = said(checker([3, 0, 4, 1, 6, 2, 5], lambda a, b: False), "classify")
    assert v.state == "wrong" and v.misconception != "compared to the last bit"


def test_a_sign_where_nothing_is_mirrored_is_not_called_a_missing_one():
    def act(kind, R, b, x):
        sign = -torch.linalg.det(R).sign() if kind == "pseudovector" else 1
        return sign * symmetry.act(kind.replace("pseudovector", "vector"), R, b, x)

    assert said(act, "act").misconception == "a pseudovector's sign without a mirror"


@pytest.mark.slow
def test_turns_that_repeat_between_clouds_are_caught():
    def pairs(x, y, kind, generator, batch):
        c = frames.centroid(x, batch)
        R = symmetry.random_rotation(len(c) // 2 + 1, generator).repeat_interleave(2, 0)[:len(c)]
        b = c - symmetry.act("vector", R, c, c)
        return symmetry.act("position", R[batch], b[batch], x), symmetry.act(kind, R, b, y)

    def as_seen_from_each_other(x, y, kind, generator, batch):
        c = frames.centroid(x, batch)
        R = symmetry.random_rotation((), generator) @ symmetry.random_rotation(len(c), torch.Generator().manual_seed(3))
        b = c - symmetry.act("vector", R, c, c)
        return symmetry.act("position", R[batch], b[batch], x), symmetry.act(kind, R, b, y)

    assert verdict(find("augment"), pairs).state == verdict(find("augment"), as_seen_from_each_other).state == "wrong"


@pytest.mark.slow
def test_any_rule_that_the_cloud_decides_is_a_canonical_pose():
    for seed in SEEDS:
        for rule in (lambda z: -(z ** 3).sum(0), lambda z: (z ** 5).sum(0), lambda z: z.amax(0) + z.amin(0)):
            def canonicalize(x, rule=rule):
                F, c = frames.pca_frames(x)[0], x.mean(0)
                first, second = rule((x - c) @ F)[1:].sign()  # of the last two axes
                F = F * torch.stack([first * second, first, second])
                return (x - c) @ F, F, c
            assert verdict(find("canonicalize"), canonicalize, seed).state == "right"


def test_a_number_is_a_number():
    same = SameNumber()
    assert same.difference(7, 7) is None and same.difference(3, 7) == "the answer is 3; expected 7."
    assert same.difference(7.0, 7) == "the answer is a float; expected a whole number, an int."
    assert "is a bool" in same.difference(True, 1) and "is a Tensor" in same.difference(torch.tensor(7), 7)


def test_the_message_function_of_the_checks_turns_along_and_sees_the_order():
    for n, nu in ((2, 3), (4, 0), (0, 1)):
        s, V, R = torch.randn(5, n).double(), torch.randn(5, nu, 3).double(), symmetry.random_rotation(dtype=torch.float64)
        (m_s, m_V), (turned_s, turned_V) = untrained.message(s, V), untrained.message(s, V @ R.T)
        torch.testing.assert_close(turned_s, m_s)
        torch.testing.assert_close(turned_V, m_V @ R.T)
    s, V = torch.randn(5, 3), torch.randn(5, 2, 3)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(untrained.message(s, V), untrained.message(s.flip(1), V.flip(1))))


def test_a_pair_mlp_that_gets_features_in_place_of_edges_says_how_it_is_called():
    reference = find("EGNNLayer").reference

    class EGNNLayer(reference):
        def forward(self, h, x, edge_index, batch):
            v, u = edge_index
            return self.psi_f(h[u], h[v], (x[u] - x[v]).square().sum(1, keepdim=True)), x

    card = repr(verdict_on(find("EGNNLayer"), EGNNLayer))
    assert "Call it as psi(h, edge_index, e): it picks h_u and h_v" in card and ".long()" not in card
