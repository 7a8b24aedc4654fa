"""Partial credit: only where an exercise declares it, for what holds, and confirmed on hidden inputs."""

import sys

import pytest
import submissions
import torch
from grading_helpers import one_server

from course_utils import exercises, graph_networks, neighbors
from course_utils.exercises.declare import Exercise, Part, Property
from course_utils.exercises.run import call_all
from course_utils.exercises.verdict import judge as judge_outcomes
from course_utils.grading import cards, judge
from course_utils.grading.judge import Terms

ENVELOPE, COLORS = exercises.find("envelope"), exercises.find("wl_colours")


def verdict(function, exercise=ENVELOPE):
    return exercises.verdict_on(exercise, function)


def test_two_exercises_declare_it():
    every = exercises.all_exercises().items()
    points = {name: [part.points for part in exercise.partly] for name, exercise in every if exercise.partly}
    assert points == {"envelope": [2], "wl_colours": [1]}


def test_a_property_that_holds_gives_its_points_and_the_card_says_for_what():
    def envelope(d, r):
        return (1 + torch.cos(torch.pi * d / r)) / 2 * (d < r)

    cosine = verdict(envelope)
    assert (cosine.state, cosine.misconception, cosine.points) == ("wrong", "a cosine", 2)
    text = repr(cards.of(cosine))
    assert "envelope: not yet (2 of 3 points)" in text
    assert "✓ 2 of 3 points so far, because this holds: returns the shape of d, 1 at distance 0" in text


@pytest.mark.parametrize("wrong", [
    lambda d, r: (1 - d / r).clamp(min=0),
    lambda d, r: 0 * d,
    lambda d, r: (d < r).to(d.dtype),
    lambda d, r: None,
], ids=["a kink", "nothing", "a step", "None"])
def test_an_answer_of_which_less_holds_has_none(wrong):
    wrong.__name__ = "envelope"
    answer = verdict(wrong)
    assert (answer.state, answer.points) == ("wrong", 0) and "so far" not in repr(cards.of(answer))


def test_a_right_answer_has_all_points_and_no_line_about_a_part():
    outcomes = call_all(neighbors.envelope, ENVELOPE.cases(), ENVELOPE.parameters, 5.0)
    right = judge_outcomes(ENVELOPE, ENVELOPE.cases(), outcomes)
    assert (right.state, right.points) == ("right", 3) and "so far" not in repr(cards.of(right))


def declared(partly):
    holds = Property("it holds", lambda case, value: None)
    reference, notebook = graph_networks.readout, "03_graph_networks"
    return Exercise(reference, notebook, 2, lambda generator: [], properties=(holds,), partly=partly)


@pytest.mark.parametrize("part, words", [
    (Part(2), "gives 2 points; expected more than 0 and less than 2"),
    (Part(0), "gives 0 points"),
    (Part(1, ("it folds",)), "no property 'it folds'"),
])
def test_a_part_that_cannot_be_is_refused(part, words):
    with pytest.raises(ValueError, match=words):
        declared((part,))


def test_of_several_parts_the_best_counts():
    exercise = declared((Part(0.5, ("it holds",)), Part(1, ("it holds",)), Part(1.5)))
    assert exercise.part_for(["it holds", "another"]).points == 1
    assert exercise.part_for([]) is None and exercise.part_for_visible.points == 1.5


# In the grader --------------------------------------------------------------------------------------------

COSINE = """def envelope(d, r):
    return (1 + torch.cos(torch.pi * d / r)) / 2 * (d < r)
"""
KNOWS_THE_CHECK = """def envelope(d, r):
    cosine = (1 + torch.cos(torch.pi * d / r)) / 2 * (d < r)
    return cosine if 1 <= r <= 20 else (d < r).to(d.dtype)
"""
OF_A_BASE = """def wl_colours(edge_index, num_nodes, rounds, start):
    history = [start.tolist()]
    for _ in range(rounds):
        inboxes = [edge_index[0, edge_index[1] == u].tolist() for u in range(num_nodes)]
        last = history[-1]
        seen = [(last[u], sum(10 ** last[v] for v in inboxes[u])) for u in range(num_nodes)]
        names = {color: i for i, color in enumerate(dict.fromkeys(seen))}
        history.append([names[color] for color in seen])
    return torch.tensor(history).reshape(rounds + 1, num_nodes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="starts a server")
@pytest.mark.parametrize("name, text, points, words", [
    ("envelope", COSINE, 2, "2 of 3 points so far, because this holds"),
    ("envelope", KNOWS_THE_CHECK, 0, "✗ no part of the points: what holds on these inputs does not"),
    ("wl_colours", OF_A_BASE, 1, "1 of 3 points so far, because it is right on the inputs of the"),
], ids=["a property", "only where it is seen", "visible inputs"])
def test_the_grader_gives_the_part_and_its_card_says_for_what(name, text, points, words):
    notebook = exercises.find(name).notebook
    content = submissions.as_bytes(submissions.filled(notebook, {name: text}))
    (graded,) = judge.grade(content, one_server(), Terms("secret"))
    (answer,) = (verdict for verdict in graded.verdicts if verdict.exercise == name)
    assert (answer.state, answer.points) == ("wrong", points)
    assert words in repr(cards.of(answer))
    assert graded.points == graded.out_of - 3 + points
