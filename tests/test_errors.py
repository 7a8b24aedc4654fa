"""What a card says of an error is found by its message, so the messages here are torch's and Python's own."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import exercises
from course_utils.exercises.errors import EXPLANATIONS, explanation
from course_utils.grading import pages

RAISED = {
    "an axis that is not there": ["x.sum(dim=2)", "x[0, 0, 0]", "x[0][:, 0]", "torch.tensor(3)[0]", "np.ones(3)[:, 0]"],
    "an empty input": ["max([])", "empty.max()", "empty[:, None].max(dim=0)", "empty.argmax(0)", "empty[0]",
                       "torch.cat([])", "torch.stack([])", "np.ones(0).max()"],
    "shapes that do not fit": ["x * torch.rand(5)", "x.expand(5, 4)", "x[:2] + x[:3]", "x[torch.tensor([True, False])]",
                               "x[edges[:1], torch.arange(2)]", "np.ones(3) + np.ones(2)",
                               "torch.einsum('...ij,...j->...i', torch.ones(2, 3, 3), x)"],
    "a matrix product that does not fit": [
        "x @ x", "x[None] @ x[None]", "nn.Linear(4, 2)(x)", "x[0].dot(x[:, 0])", "x @ x[:, 0]", "x.dot(x)",
        "torch.einsum('ij,jk->ik', x, x)", "np.ones((2, 3)) @ np.ones((2, 3))"],
    "letters in einsum": ["torch.einsum('i,jk->ik', x, x)", "torch.einsum('ij->i', x, x)"],
    "tensors that cannot be joined": ["torch.cat([x, x[:, :2]])", "torch.cat([x, x[0]])", "torch.stack([x, x[:2]])"],
    "another number of entries": ["x.reshape(4, 4)", "x.view(4, 4)", "x.T.view(-1)", "np.ones(3).reshape(2, 2)"],
    "an index out of range": ["x[7]", "x[edges + 9]", "[1][3]", "torch.zeros(5).index_add_(0, edges[0] + 9, torch.ones(3))"],
    "an index that is not a whole number": ["x[x]", "x[1.5]", "letters[torch.tensor(1.0)]", "letters[x[0, 0]]", "range(x)"],
    "types of number that do not mix": [
        "torch.zeros(5).index_add_(0, edges[0], edges[1])", "x @ x.double().T", "nn.Linear(3, 2)(x.double())",
        "torch.zeros(3, dtype=torch.long).add_(0.5)", "torch.zeros(5).index_add_(0, x[:3, 0], torch.ones(3))"],
    "complex numbers": ["torch.linalg.eig(x[:3]).eigenvalues > 0"],
    "an operation for another type of number": [
        "edges.mean()", "edges.norm()", "torch.softmax(edges, 0)", "torch.bincount(edges)", "torch.bincount(x[:, 0])",
        "edges ** -1", "(x > 0) - (x > 1)", "-(x > 0)", "~x", "x & x", "x[0].masked_fill(edges[0], 0)"],
    "something that is None": ["None + x", "None.shape", "len(None)", "[*None]", "[2, 1].sort()[0]"],
    "more or fewer parts than names": ["pair(x)", "pair(edges.T)", "pair(edges[:1])", "pair('0e'.split('x'))"],
    "one truth value from many": ["not x", "sorted(x)", "letters if x > 0 else 0", "not x.numpy()"],
    "one number from many": ["int(x)", "x.item()", "torch.tensor([x, x])", "float(x.numpy())"],
    "gradients in NumPy": ["weights.numpy()", "np.array(weights)"],
    "changed in place": ["weights.__setitem__(0, 1)", "weights.add_(1)"],
    "rows of another width": ["torch.zeros(5, 3).index_add_(0, edges[0], torch.ones(3))",
                              "torch.zeros(5, 3).index_add_(0, edges[0], torch.ones(3, 4))"],
    "bincount of rows": ["torch.bincount(edges[0], weights=x[:3])"],
    "one index per row": [
        "torch.zeros(5).index_add_(0, edges[0], torch.ones(4))", "torch.zeros(5).index_add_(0, edges, torch.ones(3))",
        "torch.zeros(5).scatter_add_(0, edges[0], torch.ones(2))", "torch.zeros(5, 3).scatter_add_(0, edges[0], x)",
        "x.repeat_interleave(edges[0], dim=0)"],
    "classes out of range": ["nn.functional.one_hot(edges, 2)", "nn.functional.one_hot(-edges)"],
    "a text that is no number": ["int('0o+1')", "float('a')"],
    "a matrix without an inverse": ["torch.zeros(3, 3).inverse()", "np.linalg.inv(np.zeros((3, 3)))"],
    "a matrix that is not square": ["x.inverse()", "torch.linalg.det(x)"],
    "a division by zero": ["1 / 0", "1 % 0"],
    "a call with other arguments": ["pair()", "pair(x, x)", "pair(y=x)", "torch.sum(x, dims=1)", "torch.zeros_like()"],
    "an argument of another type": ["torch.eye(x)", "torch.relu([1])", "torch.cat(x, x)", "torch.stack([1, 2])"],
    "operands of different types": ["letters + 1", "x + [1, 2, 3]", "x.max(0) + 1", "x + 'a'"],
    "a number where several are expected": ["list(5)", "number[0]", "len(5)", "pair(5)", "[*torch.tensor(5)]", "len(torch.tensor(3))"],
    "a call of something that is not a function": ["x(1)", "letters(0)"],
    "a method that is not there": ["x.foo", "letters.shape", "x.numpy().new_zeros(3)", "torch.foo"],
    "a name without a value": ["nothing_of_this_name", "without_value()"],
    "a key that is not there": ["{1: 2}[3]", "{torch.tensor(1): 2}[torch.tensor(1)]"],
    "a key that may change": ["{letters: 2}", "{*[letters]}"],
    "a recursion without end": ["for_ever()"],
}


def pair(x):
    a, b = x
    return a, b


def without_value():
    if False:
        z = 1
    return z


def for_ever():
    return for_ever()


def error_of(line):
    """What a card calls the error of a line."""
    x = torch.rand(5, 3)
    names = {"x": x, "edges": torch.tensor([[0, 1, 2], [1, 2, 0]]), "weights": nn.Parameter(x), "letters": ["a", "b"],
             "empty": torch.zeros(0), "number": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as raised:  # noqa: PT011  any of them
            eval(line, globals(), names)  # noqa: S307
    return f"{type(raised.value).__name__}: {raised.value}"


@pytest.mark.parametrize("name", RAISED)
def test_an_error_is_explained_by_its_message(name):
    for line in RAISED[name]:
        error = error_of(line)
        found = explanation(error)
        assert found and found.name == name, f"{line}: {error}"


def test_every_explanation_is_tried():
    assert list(RAISED) == [each.name for each in EXPLANATIONS]
    assert len({each.says for each in EXPLANATIONS}) == len(EXPLANATIONS)


def test_of_an_error_that_nobody_knows_nothing_is_said():
    for error in ("AssertionError", "ValueError: the student's own", "your class has no method `forward`"):
        assert explanation(error) is None


def test_a_card_and_the_class_page_say_what_an_error_means():
    def degrees(edge_index, num_nodes):
        return torch.zeros(num_nodes).index_add_(0, edge_index[1], torch.ones_like(edge_index[1]))

    verdict = exercises.verdict_on(exercises.find("degrees"), degrees)
    expected = explanation("RuntimeError: must have the same dtype")
    kinds = [finding.kind for finding in verdict.findings]
    assert kinds[:3] == ["wrong", "trace", "hint"] and verdict.findings[2].text == expected.says
    assert pages._otherwise(verdict) == f"stopped with an error: {expected.name}"


def test_where_a_misconception_is_recognized_its_sentence_is_enough():
    def degrees(edge_index, num_nodes):
        if not edge_index.numel():
            raise RuntimeError("Boolean value of Tensor")
        return torch.bincount(edge_index[0], minlength=num_nodes)

    verdict = exercises.verdict_on(exercises.find("degrees"), degrees)
    assert verdict.misconception
    assert explanation("RuntimeError: Boolean value of Tensor").says not in [f.text for f in verdict.findings]
