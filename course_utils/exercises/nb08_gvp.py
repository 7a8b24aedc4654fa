"""Notebook 8: the order of components, how long a row of features is, Algorithm 1, and messages made of it."""

from __future__ import annotations

import re
from functools import partial

import torch

from .. import gvp, symmetry
from .declare import Case, Close, Exercise, Named, Property, SameNumber, drawn_parameters
from .derivatives import Differentiated
from .inputs import NO_EDGES, PATH, directed_edges, normal

NOTEBOOK = "08_gvp"

# ------------------------------------------------------------------------------------------------------- yzx_to_xyz


def _rows(generator):
    yield Case("one node", normal(1, 7, generator=generator))
    yield Case("5 nodes", normal(5, 7, generator=generator))
    yield Case("7 nodes", normal(7, 7, generator=generator))
    yield Case("a node without an acceleration", normal(1, 7, generator=generator) * torch.tensor([1, 1, 1, 1, 0, 0, 0]))
    yield Case("3 nodes in double precision", normal(3, 7, generator=generator).double())
    yield Case("no nodes", torch.zeros(0, 7))


yzx_to_xyz = Exercise(symmetry.yzx_to_xyz, NOTEBOOK, 1, _rows, differentiated=Differentiated(("features",)))


@yzx_to_xyz.further
def _(generator):
    yield Case("300 nodes", normal(300, 7, generator=generator))


@yzx_to_xyz.misconception("the inverse permutation", "Your order is the right one for the way back, from x, y, z to y, z, x. "
                          "Which column of the old row holds x, and where in the new row does it have to stand?")
def _(features):
    return features[:, [0, 2, 3, 1, 5, 6, 4]]


@yzx_to_xyz.misconception("as it is", "Nothing has moved. In which column is vx now, and in which should it be?")
def _(features):
    return features.clone()


@yzx_to_xyz.misconception("only the velocity", "The velocity is in order, and the acceleration still in the old one. There "
                          "are two vectors in a row.")
def _(features):
    return features[:, [0, 3, 1, 2, 4, 5, 6]]


@yzx_to_xyz.misconception("only the acceleration", "The acceleration is in order, and the velocity still in the old one. "
                          "There are two vectors in a row.")
def _(features):
    return features[:, [0, 1, 2, 3, 6, 4, 5]]


@yzx_to_xyz.misconception("reversed", "You read the three backwards. y, z, x backwards is x, z, y: two of them are still in "
                          "each other's place, and that makes a mirror.")
def _(features):
    return features[:, [0, 3, 2, 1, 6, 5, 4]]


@yzx_to_xyz.misconception("y and z changed places", "You swapped the first two of each three. That gives z, y, x. No single "
                          "swap does it: all three move.")
def _(features):
    return features[:, [0, 2, 1, 3, 5, 4, 6]]


@yzx_to_xyz.misconception("z and x changed places", "You swapped the last two of each three. That gives y, x, z. No single "
                          "swap does it: all three move.")
def _(features):
    return features[:, [0, 1, 3, 2, 4, 6, 5]]


@yzx_to_xyz.misconception("a new tensor made of numbers", "Without nodes your answer has no columns. torch.tensor makes a new tensor of "
                          "numbers: an empty list has no columns, and no gradient finds its way back. Which columns of "
                          "`features` do you want, and in which order?")
def _(features):
    return torch.tensor([[m, vx, vy, vz, ax, ay, az] for m, vy, vz, vx, ay, az, ax in features.tolist()])


@yzx_to_xyz.misconception("the mass at the end", "Your vectors are in order, and the mass stands behind them. Scalars stay "
                          "where they were: a row is 0e + 1o + 1o.")
def _(features):
    return features[:, [3, 1, 2, 6, 4, 5, 0]]


@yzx_to_xyz.misconception("the mass left out", "The mass is gone. It has no components to put in order, but it is still a "
                          "feature.")
def _(features):
    return features[:, [3, 1, 2, 6, 4, 5]]


@yzx_to_xyz.misconception("the mass counted in", "You numbered the columns as if the velocity began at 0. The mass stands "
                          "there.")
def _(features):
    return features[:, [2, 0, 1, 5, 3, 4, 6]]


@yzx_to_xyz.misconception("the two vectors exchanged", "Both vectors are in order, and the acceleration now stands in front "
                          "of the velocity.")
def _(features):
    return features[:, [0, 6, 4, 5, 3, 1, 2]]


@yzx_to_xyz.misconception("component by component", "You sorted by component: both x, then both y, then both z. A vector's "
                          "three numbers stay together.")
def _(features):
    return features[:, [0, 3, 6, 1, 4, 2, 5]]


@yzx_to_xyz.misconception("the six rolled as one", "You rolled six numbers as if they were one vector, so the velocity got a "
                          "number of the acceleration. Cut them into two threes first.")
def _(features):
    return torch.cat([features[:, :1], features[:, 1:].roll(1, dims=1)], dim=1)


@yzx_to_xyz.misconception("rolled across nodes", "Numbers went from one node to another. torch.roll without dims rolls the "
                          "whole table as one long list.")
def _(features):
    return torch.cat([features[:, :1], features[:, 1:4].roll(1), features[:, 4:].roll(1)], dim=1)


@yzx_to_xyz.misconception("the whole row rolled", "You rolled the whole row, mass and all. Each vector has to be put in "
                          "order by itself.")
def _(features):
    return features.roll(1, dims=1)


@yzx_to_xyz.misconception("a table for each vector", "Your answer has an extra axis. The row stays a row of 7 numbers; "
                          "flatten what you took apart.")
def _(features):
    return features[:, 1:].view(-1, 2, 3).roll(1, dims=2)


@yzx_to_xyz.misconception("overwritten", "Each of your vectors holds the same number more than once: a column was overwritten "
                          "before it was read. A slice of a tensor is no copy; read from the old table, write into a new one.")
def _(features):
    out = features.clone()
    for start in (1, 4):
        for k in range(3):
            out[:, start + k] = out[:, start + (k + 2) % 3]
    return out


@yzx_to_xyz.misconception("the acceleration by the inverse", "The velocity is in order. The acceleration was put in the order "
                          "of the way back: it stands as y, z, x, just as the velocity does.")
def _(features):
    return features[:, [0, 3, 1, 2, 5, 6, 4]]


@yzx_to_xyz.misconception("the velocity by the inverse", "The acceleration is in order. The velocity was put in the order of the "
                          "way back: it stands as y, z, x, just as the acceleration does.")
def _(features):
    return features[:, [0, 2, 3, 1, 6, 4, 5]]


@yzx_to_xyz.right
def _(features):
    m, v, a = features.split([1, 3, 3], dim=1)
    return torch.cat([m, v.roll(1, dims=1), a.roll(1, dims=1)], dim=1)


@yzx_to_xyz.right
def _(features):
    """By a matrix, in double precision."""
    P = torch.zeros(7, 7, dtype=torch.float64)
    for new, old in enumerate([0, 3, 1, 2, 6, 4, 5]):
        P[new, old] = 1
    return features.double() @ P.T


@yzx_to_xyz.right
def _(features):
    """Column by column, into a copy."""
    out = features.clone()
    for start in (1, 4):
        y, z, x = features[:, start:start + 3].unbind(1)
        out[:, start], out[:, start + 1], out[:, start + 2] = x, y, z
    return out


# ------------------------------------------------------------------------------------------------------- irreps_dim


def _texts(generator):
    def number(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    many = 10 * number(1, 4) + number(5, 10)  # its two digits differ, and so do those of many - 1
    few, l = number(3, 10), number(3, 7)
    yield Case('"0e + 1o + 1o"', "0e + 1o + 1o")
    yield Case('"0e"', "0e")
    for text in (f"{few}x0e", f"{few}x1o", "2e", f"8x0e + {few}x1o", f"{many}x0e + {many - 1}x1o + {few}x2e",
                 f"{few}x0o+1e", f"{few + 1}x1e+2e+0o", f"{few}x{l}o + 2e + {number(2, 5)}x0e", f"0x1o + {few}x1e",
                 f"{number(2, 5)}x{number(12, 15)}e"):
        yield Case(f'"{text}"', text)


irreps_dim = Exercise(symmetry.irreps_dim, NOTEBOOK, 2, _texts, SameNumber())


@irreps_dim.further
def _(generator):
    def number(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    every_degree = " + ".join(f"{number(1, 30)}x{l}{'oe'[l % 2]}" for l in range(16))
    for text in (f"{number(200, 900)}x0e + {number(100, 200)}x{number(20, 90)}o", f"{number(2000, 9000)}x1o",
                 f"{number(100, 200)}e", every_degree):
        yield Case(f'"{text}"', text)


def _sum(text, size=lambda l, parity: 2 * l + 1, each=lambda multiplicity, size: multiplicity * size, one=1):
    """An answer in its parts, any of which a misconception replaces."""
    total = 0
    for term in text.replace(" ", "").split("+"):
        multiplicity, ir = term.split("x") if "x" in term else (one, term)
        total += each(int(multiplicity), size(int(ir[:-1]), ir[-1]))
    return total


@irreps_dim.misconception("multiplicities left out", "You counted each term once. What does the 4 in 4x1o say?")
def _(text):
    return _sum(text, each=lambda multiplicity, size: size)


@irreps_dim.misconception("features counted", "You counted features, not numbers. How many numbers does it take to write "
                          "down one vector, 1o?")
def _(text):
    return _sum(text, size=lambda l, parity: 1)


@irreps_dim.misconception("terms counted", "You counted the terms between the plus signs. How many numbers are there in "
                          "each?")
def _(text):
    return len(text.split("+"))


@irreps_dim.misconception("2 l numbers", "A scalar, l = 0, got no number at all. How many do you need for one?")
def _(text):
    return _sum(text, size=lambda l, parity: 2 * l)


@irreps_dim.misconception("l + 1 numbers", "Scalars are right, and a vector got two numbers. Which formula gives 1 for "
                          "l = 0, 3 for l = 1 and 5 for l = 2?")
def _(text):
    return _sum(text, size=lambda l, parity: l + 1)


@irreps_dim.misconception("l numbers", "You took the degree l for the number of components. A scalar has l = 0, and is one "
                          "number.")
def _(text):
    return _sum(text, size=lambda l, parity: l)


@irreps_dim.misconception("3 to the power of l", "Scalars and vectors are right. You gave l = 2 nine numbers, as a 3 x 3 "
                          "matrix has; but a symmetric one without trace has fewer that are free. How many?")
def _(text):
    return _sum(text, size=lambda l, parity: 3 ** l)


@irreps_dim.misconception("scalars and vectors alone", "Scalars and vectors are right. What is of degree 2 or more got "
                          "three numbers as well: how many components has it?")
def _(text):
    return _sum(text, size=lambda l, parity: 1 if l == 0 else 3)


@irreps_dim.misconception("e for scalar, o for vector", "You read e as a scalar and o as a vector. The letter is the "
                          "parity, what an inversion does; the number in front of it is the degree.")
def _(text):
    return _sum(text, size=lambda l, parity: 1 if parity == "e" else 3)


@irreps_dim.misconception("odd ones negative", "You let the odd parity count negative. It says what an inversion does to "
                          "the numbers, not how many there are.")
def _(text):
    return _sum(text, size=lambda l, parity: (2 * l + 1) * (1 if parity == "e" else -1))


@irreps_dim.misconception("terms multiplied", "You multiplied the terms. The plus says that they stand one "
                          "after the other in a row.")
def _(text):
    total = 1
    for term in text.split("+"):
        total *= _sum(term)
    return total


@irreps_dim.misconception("one digit of the multiplicity", "You read a single digit of the multiplicity. 16x0e is sixteen "
                          "scalars, not one and not six.")
def _(text):
    return sum(int(term.strip()[0]) * _sum(term.split("x")[-1]) if "x" in term else _sum(term) for term in text.split("+"))


@irreps_dim.misconception("the last digit of the multiplicity", "You read a single digit of the "
                          "multiplicity. 16x0e is sixteen scalars, not one and not six.")
def _(text):
    total = 0
    for term in text.replace(" ", "").split("+"):
        multiplicity, ir = term.split("x") if "x" in term else ("1", term)
        total += int(multiplicity[-1]) * _sum(ir)
    return total


def _split_at_spaces(text):
    return sum(_sum(term.split("+")[0]) for term in text.split(" + "))


@irreps_dim.misconception("split at the spaces", "Terms may be written without spaces, and of those you "
                          "counted only the first. At which sign does a term end?",
                          lambda case, value: value == _split_at_spaces(*case.args))
def _(text):
    return _split_at_spaces(text)


@irreps_dim.misconception("one digit of the degree", "You read a single digit of the degree. 10e is of degree 10.")
def _(text):
    return _sum(text, size=lambda l, parity: 2 * int(str(l)[-1]) + 1)


@irreps_dim.misconception("the first digit of the degree", "You read a single digit of the degree. 10e is of degree 10.")
def _(text):
    return _sum(text, size=lambda l, parity: 2 * int(str(l)[0]) + 1)


@irreps_dim.misconception("single digits everywhere", "You read single digits. 16x0e is sixteen scalars, "
                                                      "and 10e is of degree 10.")
def _(text):
    return sum(int(many or 1) * (2 * int(l) + 1) for many, l in re.findall(r"(?:(\d)x)?(\d)[eo]", text))


@irreps_dim.misconception("0 taken for none", "A term with multiplicity 0 counts for you. How many vectors "
                                              "does 0x1o hold?")
def _(text):
    return _sum(text, each=lambda multiplicity, size: (multiplicity or 1) * size)


@irreps_dim.misconception("terms without an x left out", "A term without an x was not counted. 1o is short for 1x1o.")
def _(text):
    return _sum(text, one=0)


@irreps_dim.misconception("multiplicity inside", "You put the multiplicity inside the formula. 4x1o is four vectors side by "
                          "side, each of 2 l + 1 numbers.")
def _(text):
    total = 0
    for term in text.replace(" ", "").split("+"):
        multiplicity, ir = term.split("x") if "x" in term else (1, term)
        total += 2 * int(multiplicity) * int(ir[:-1]) + 1
    return total


@irreps_dim.misconception("2 to the power of l", "Scalars are right, and a vector got two numbers. Which formula gives 1 for "
                          "l = 0, 3 for l = 1 and 5 for l = 2?")
def _(text):
    return _sum(text, size=lambda l, parity: 2 ** l)


@irreps_dim.misconception("only the first term", "You counted the first term alone. Is there a return inside of the loop?")
def _(text):
    return _sum(text.split("+")[0])


@irreps_dim.misconception("only the last term", "You counted the last term alone. Does your total start anew with each term?")
def _(text):
    return _sum(text.split("+")[-1])


@irreps_dim.misconception("multiplicity added", "You added the multiplicity to 2 l + 1. 4x1o is four vectors of three numbers "
                          "each.")
def _(text):
    return _sum(text, each=lambda multiplicity, size: multiplicity + size)


@irreps_dim.misconception("(l + 1) squared", "You counted all degrees up to l. A term has one degree, and 2 l + 1 numbers.")
def _(text):
    return _sum(text, size=lambda l, parity: (l + 1) ** 2)


@irreps_dim.misconception("3 times l", "Scalars and vectors are right. Three for each l gives 6 for l = 2: look at 2e in the "
                          "table.")
def _(text):
    return _sum(text, size=lambda l, parity: 3 * l or 1)


@irreps_dim.misconception("scalars and vectors, and nothing else", "Scalars and vectors are right. What is of degree 2 or more "
                          "was not counted at all: how many components has it?")
def _(text):
    return _sum(text, size=lambda l, parity: {0: 1, 1: 3}.get(l, 0))


@irreps_dim.misconception("only the odd ones", "You counted the terms that end in o alone. The letter is the parity, and says "
                          "nothing about how many numbers there are.")
def _(text):
    return _sum(text, size=lambda l, parity: (2 * l + 1) * (parity == "o"))


@irreps_dim.right
def _(text):
    """By regular expressions."""
    return sum(int(many or 1) * (2 * int(l) + 1) for many, l in re.findall(r"(?:(\d+)\s*x\s*)?(\d+)[eo]", text))


@irreps_dim.right
def _(text):
    """Written out as a list with an entry for each number."""
    numbers = []
    for term in text.split("+"):
        many, _, ir = term.strip().rpartition("x")
        for _ in range(int(many) if many else 1):
            l = int(ir.strip("eo"))
            numbers.extend(range(-l, l + 1))
    return len(numbers)


# -------------------------------------------------------------------------------------------------------------- GVP


def _layer(generator, label, num_nodes, n, nu, m, mu, dtype=torch.float32, zero=False):
    options = {"n": n, "nu": nu, "m": m, "mu": mu}
    parameters = drawn_parameters(gvp.GVP, options, generator)
    parameters = {name: part.to(dtype) for name, part in parameters.items()}
    s, V = normal(num_nodes, n, generator=generator), normal(num_nodes, nu, 3, generator=generator)
    if zero:
        V[:-1] = 0
    return Case(label, options, parameters, s.to(dtype), V.to(dtype))


def _layers(generator):
    case = partial(_layer, generator)
    yield case("3 nodes, and 3 of everything", 3, 3, 3, 3, 3)
    yield case("5 nodes, n = 4, nu = 2, m = 6, mu = 3", 5, 4, 2, 6, 3)
    yield case("4 nodes, n = 3, nu = 5, m = 6, mu = 2", 4, 3, 5, 6, 2)
    yield case("one node, n = 2, nu = 4, m = 5, mu = 3", 1, 2, 4, 5, 3)
    yield case("6 nodes, as many vectors out as in", 6, 2, 4, 5, 4)
    yield case("2 nodes of which one has zero vectors", 2, 5, 3, 4, 2, zero=True)
    yield case("double precision", 4, 3, 2, 5, 6, dtype=torch.float64)


def _layer_turned(case):
    options, parameters, s, V = case.args
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(s)), V.dtype)
    return Case(f"{case.label}, turned", options, parameters, s, V @ R.T)


def _require_pair(value, count):
    """ValueError unless there are so many rows of scalars and of vectors: no property can be tested on others."""
    s, V = value
    rows = s.is_floating_point() and V.is_floating_point() and len(s) == len(V) == count
    if not rows or s.ndim != 2 or V.ndim != 3 or V.shape[2] != 3:
        raise ValueError("no scalars and vectors for each row")


def _layer_turns_along(case, value, turned, other):
    _require_pair(value, len(case.args[2]))
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(case.args[2])), torch.float64)
    expected = value[0].double(), value[1].double() @ R.T
    return Close(1e-3, 1e-4).difference(tuple(other), expected) and "V turned, and the answer did not turn along."


def _nothing_from_nothing(case, value):
    nowhere = (case.args[3] == 0).all(dim=(1, 2)) if case.args[3].numel() else torch.zeros(0, dtype=torch.bool)
    return "a node without any vector got one." if value[1][nowhere].abs().sum() > 0 else None


# A length made safe at 0 by a small number inside the root, as the paper's own code has it, is a right answer.
GVP = Exercise(gvp.GVP, NOTEBOOK, 4, _layers, Close(1e-3, 1e-3), (
    Property("where V turns, s' stays and V' turns along", _layer_turns_along, _layer_turned),
    Property("V = 0 gives V' = 0", _nothing_from_nothing),
), differentiated=Differentiated(("s", "V"), parameters=True, twice=True), seeds=3)


@GVP.further
def _(generator):
    yield _layer(generator, "60 nodes, n = 20, nu = 12, m = 15, mu = 9", 60, 20, 12, 15, 9)
    yield _layer(generator, "7 nodes, n = 1, nu = 1, m = 2, mu = 14", 7, 1, 1, 2, 14)


class _Read(gvp.GVP):
    """Algorithm 1 in its parts, any of which a misconception replaces."""

    def V_h(self, V):
        return self.W_h @ V

    def V_mu(self, V, V_h):
        return self.W_mu @ V_h

    def lengths(self, V):
        return V.norm(dim=-1)

    def s_h(self, V_h, V_mu):
        return self.lengths(V_h)

    def s_hn(self, s_h, s):
        return torch.cat([s_h, s], dim=-1)

    def s_m(self, s_hn):
        return self.W_m(s_hn)

    def s_new(self, s_m):
        return torch.relu(s_m)

    def gate(self, V_h, V_mu, s_m):
        return torch.sigmoid(self.lengths(V_mu))

    def V_new(self, gate, V_mu):
        return gate[..., None] * V_mu

    def forward(self, s, V):
        V_h = self.V_h(V)
        V_mu = self.V_mu(V, V_h)
        s_m = self.s_m(self.s_hn(self.s_h(V_h, V_mu), s))
        return self.s_new(s_m), self.V_new(self.gate(V_h, V_mu, s_m), V_mu)


@GVP.misconception("lengths over the wrong axis", "Your lengths are taken across the vectors, not over x, y and z. A length "
                   "mixes the three components of one vector: which axis of (num_nodes, h, 3) has them?")
class _(_Read):
    def lengths(self, V):
        return V.norm(dim=-2)


ONE_NODE = ("These are the lines for one node. With nodes in front, every axis has moved back by one: V_h is (num_nodes, h, 3). Over "
            "which axis do lengths go now, and where does the factor's new axis belong?")


@GVP.misconception("the lines for one node", ONE_NODE)
class _(_Read):
    def lengths(self, V):
        return V.norm(dim=1)

    def V_new(self, gate, V_mu):
        return gate[:, None] * V_mu


@GVP.misconception("s_h as for one node", ONE_NODE)
class _(_Read):
    def s_h(self, V_h, V_mu):
        return V_h.norm(dim=1)


@GVP.misconception("the gate as for one node", ONE_NODE)
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return torch.sigmoid(V_mu.norm(dim=1))


@GVP.misconception("the stretching as for one node", ONE_NODE)
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return torch.sigmoid(V_mu.norm(dim=1))

    def V_new(self, gate, V_mu):
        return gate[:, None] * V_mu


@GVP.misconception("the scalars first", "You put s in front of s_h. W_m has weights of its own for each place: in which order "
                   "does concat have them?")
class _(_Read):
    def s_hn(self, s_h, s):
        return torch.cat([s, s_h], dim=-1)


@GVP.misconception("the gate from V_h", "You stretch V_mu by lengths of V_h. Whose length does the slide put into sigma+?")
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return torch.sigmoid(self.lengths(V_h))


@GVP.misconception("s_h from V_mu", "The scalars got the lengths of V_mu. Which of the two lengths does the slide concatenate "
                   "with s?")
class _(_Read):
    def s_h(self, V_h, V_mu):
        return self.lengths(V_mu)


@GVP.misconception("W_mu on V", "You applied W_mu to V. Look at the second line: what does W_mu multiply there?")
class _(_Read):
    def V_mu(self, V, V_h):
        return self.W_mu @ V


@GVP.misconception("ReLU on components", "Your vectors went through a ReLU, number by number. Which components are negative "
                   "depends on how the axes lie; what of a vector does not?")
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate[..., None] * torch.relu(V_mu)


@GVP.misconception("ReLU on V_mu, no gate", "Your V' is a ReLU of V_mu, number by number. Which components are negative "
                   "depends on how the axes lie; sigma+ is applied to something else.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return torch.relu(V_mu)


@GVP.misconception("sigma+ of the vectors", "Your V' is the sigmoid of V_mu, component by component, so a zero vector becomes "
                   "(1/2, 1/2, 1/2). sigma+ is applied to lengths, and the result stretches V_mu.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return torch.sigmoid(V_mu)


@GVP.misconception("sigma+ of the vectors, times the vectors", "You multiplied V_mu by its own sigmoid, component by "
                   "component. All three components of a vector have to be stretched alike: by what?")
class _(_Read):
    def V_new(self, gate, V_mu):
        return torch.sigmoid(V_mu) * V_mu


@GVP.misconception("no gate", "Your V' is V_mu as it is. The last line stretches each of its rows.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return V_mu


@GVP.misconception("stretched by the length", "You stretched each vector by its length as it is. What has to be done to the "
                   "length first?")
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return self.lengths(V_mu)


ALONG = ("Your factors met the wrong axis. A row of V_mu is a vector, and (num_nodes, mu) has to meet (num_nodes, mu, 3): which "
         "axis is missing, and where?")


@GVP.misconception("the gate without an axis", ALONG)
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate * V_mu


@GVP.misconception("the gate along x, y and z", ALONG)
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate[:, None] * V_mu


@GVP.misconception("made unit vectors first", "You divided V_mu by its length before you stretched it. The slide does not, and "
                   "a zero vector has no direction.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate[..., None] * torch.nn.functional.normalize(V_mu, dim=-1)


@GVP.misconception("V_h comes out", "You returned the vectors in between, V_h. Which of the two has mu rows?")
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate[..., None] * self.kept

    def V_mu(self, V, V_h):
        self.kept = V_h
        return self.W_mu @ V_h


@GVP.misconception("without b", "Your scalars have lost their bias b. Calling self.W_m adds it; its weight alone does not.")
class _(_Read):
    def s_m(self, s_hn):
        return s_hn @ self.W_m.weight.T


@GVP.misconception("b on the vectors", "You added something constant to the vectors. It points the same way however the rest "
                   "is turned. b is for the scalars alone.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate[..., None] * V_mu + self.W_m.bias.mean()


@GVP.misconception("lengths squared", "Your lengths are squared: there is a root missing.")
class _(_Read):
    def lengths(self, V):
        return V.square().sum(-1)


@GVP.misconception("sums in place of lengths", "You added x, y and z of each vector up. A sum of components changes when the "
                   "axes turn; which quantity does not?")
class _(_Read):
    def lengths(self, V):
        return V.sum(-1)


@GVP.misconception("sigma left out", "Your scalars are s_m as it is, some of them negative. What does the line for s' do to "
                   "them?")
class _(_Read):
    def s_new(self, s_m):
        return s_m


OTHER_FUNCTIONS = "sigma is the ReLU here, and sigma+ the sigmoid. In which line is yours another function?"


@GVP.misconception("SiLU on the scalars", OTHER_FUNCTIONS)
class _(_Read):
    def s_new(self, s_m):
        return torch.nn.functional.silu(s_m)


@GVP.misconception("tanh on the lengths", OTHER_FUNCTIONS)
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return torch.tanh(self.lengths(V_mu))


@GVP.misconception("sigmoid on the scalars", "You used the sigmoid for the scalars, too. It is sigma+, for lengths; sigma is "
                   "the ReLU.")
class _(_Read):
    def s_new(self, s_m):
        return torch.sigmoid(s_m)


@GVP.misconception("the gate from s_m", "You stretch the vectors by the scalars s_m. That is the vector gate of a later paper; "
                   "in Algorithm 1 a vector is stretched by what is made of its own length.")
class _(_Read):
    def gate(self, V_h, V_mu, s_m):
        return torch.sigmoid(s_m)


@GVP.misconception("vectors first", "You returned V' and then s'. The scalars come first.")
class _(_Read):
    def forward(self, s, V):
        return super().forward(s, V)[::-1]


@GVP.misconception("lengths come out", "Your second result is lengths, one number a vector. The last line multiplies the rows "
                   "of V_mu by them.")
class _(_Read):
    def V_new(self, gate, V_mu):
        return gate


@GVP.misconception("transposed", "You multiplied by the transpose of W_h or of W_mu. W_h is (h, nu) and mixes the rows of V: W_h "
                   "@ V has h of them.")
class _(_Read):
    def V_h(self, V):
        return self.W_h.T @ V

    def V_mu(self, V, V_h):
        return self.W_mu.T @ V_h


@GVP.misconception("the scalars alone", "Your s' does not know the vectors: it is made of s alone. Where do the lengths come "
                   "in?")
class _(_Read):
    def s_hn(self, s_h, s):
        return torch.cat([0 * s_h, s], dim=-1)


@GVP.misconception("s_h from V", "The scalars got the lengths of V as it came in. s_h are the lengths of V_h.")
class _(_Read):
    def forward(self, s, V):
        V_mu = self.W_mu @ (self.W_h @ V)
        return torch.relu(self.W_m(torch.cat([V.norm(dim=-1), s], dim=-1))), self.gate(None, V_mu, None)[..., None] * V_mu


@GVP.misconception("x, y and z mixed", "You multiplied from the right, as with rows of features. That mixes x, y and z of a "
                   "vector where nu is 3, and fails elsewhere. W_h mixes the vectors: it stands on the left of V.")
class _(_Read):
    def V_h(self, V):
        return V @ self.W_h.T

    def V_mu(self, V, V_h):
        return V_h @ self.W_mu.T


@GVP.misconception("b twice", "Your scalars got their bias twice. self.W_m is a Linear, and calling it adds b already.")
class _(_Read):
    def s_m(self, s_hn):
        return self.W_m(s_hn) + self.W_m.bias


@GVP.misconception("sigma and sigma+ exchanged", "You took the sigmoid for the scalars and the ReLU for the lengths. sigma is "
                   "the ReLU, for scalars; sigma+ is the sigmoid. What would a ReLU do to a length?")
class _(_Read):
    def s_new(self, s_m):
        return torch.sigmoid(s_m)

    def gate(self, V_h, V_mu, s_m):
        return torch.relu(self.lengths(V_mu))


@GVP.right
class _(gvp.GVP):
    """By einsum, with a root of its own, which is safe at 0."""

    def forward(self, s, V):
        V_h = torch.einsum("hi,bik->bhk", self.W_h, V)
        V_mu = torch.einsum("mh,bhk->bmk", self.W_mu, V_h)
        v_mu = ((V_mu ** 2).sum(2) + 1e-8).sqrt()
        s_m = torch.cat([((V_h ** 2).sum(2) + 1e-8).sqrt(), s], 1) @ self.W_m.weight.T + self.W_m.bias
        return s_m.clamp(min=0), V_mu * torch.sigmoid(v_mu).unsqueeze(-1)


@GVP.right
class _(_Read):
    """Lengths that are safe at 0."""

    def lengths(self, V):
        return V.square().sum(-1).clamp(min=1e-8).sqrt()


@GVP.right
class _(gvp.GVP):
    """Node by node, as on the slide."""

    def forward(self, s, V):
        scalars, vectors = [], []
        for s_u, V_u in zip(s, V):
            V_h = self.W_h @ V_u
            V_mu = self.W_mu @ V_h
            scalars.append(torch.relu(self.W_m(torch.cat([V_h.norm(dim=1), s_u]))))
            vectors.append(torch.diag(torch.sigmoid(V_mu.norm(dim=1))) @ V_mu)
        return torch.stack(scalars), torch.stack(vectors)


@GVP.right
class _(_Read):
    """W_m in two parts, in double precision."""

    def forward(self, s, V):
        s, V = s.double(), V.double()
        V_h = self.W_h.double() @ V
        V_mu = self.W_mu.double() @ V_h
        W_lengths, W_scalars = self.W_m.weight.double().split([len(self.W_h), s.shape[1]], dim=1)
        s_m = torch.linalg.norm(V_h, dim=2) @ W_lengths.T + s @ W_scalars.T + self.W_m.bias.double()
        return torch.nn.functional.relu(s_m), torch.linalg.norm(V_mu, dim=2, keepdim=True).sigmoid() * V_mu


# ------------------------------------------------------------------------------------------------------ gvp_message

G = Named("systems.untrained.message")


def _graph(generator, label, num_nodes, edge_index, n, nu, n_e, nu_e):
    num_edges = edge_index.shape[1]
    s, V = normal(num_nodes, n, generator=generator), normal(num_nodes, nu, 3, generator=generator)
    edge_s = normal(num_edges, n_e, generator=generator)
    edge_V = normal(num_edges, nu_e, 3, generator=generator)
    return Case(label, s, V, edge_index, edge_s, edge_V, G)


def _graphs(generator):
    case = partial(_graph, generator)
    yield case("the path 0 -> 1 -> 2", 3, PATH, 2, 2, 1, 1)
    yield case("5 nodes, 8 directed edges", 5, directed_edges(5, 8, generator), 4, 3, 2, 1)
    yield case("6 nodes and 9 edges with as many features each", 6, directed_edges(6, 9, generator), 3, 2, 3, 2)
    yield case("edges that have directions and no scalars", 4, directed_edges(4, 7, generator), 3, 2, 0, 1)
    yield case("edges that have scalars and no directions", 4, directed_edges(4, 6, generator), 2, 3, 2, 0)
    yield case("nodes that have no vectors yet", 5, directed_edges(5, 9, generator), 4, 0, 2, 1)
    yield case("one node without edges", 1, NO_EDGES, 2, 1, 3, 2)


def _turned(case):
    s, V, edge_index, edge_s, edge_V, g = case.args
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(s)))
    return Case(f"{case.label}, turned", s, V @ R.T, edge_index, edge_s, edge_V @ R.T, g)


def _turns_along(case, value, turned, other):
    _require_pair(value, case.args[2].shape[1])
    R = symmetry.random_rotation((), torch.Generator().manual_seed(len(case.args[0])))
    expected = value[0].float(), value[1].float() @ R.T
    return Close(1e-3, 1e-4).difference(tuple(other), expected) and "the messages did not turn along."


gvp_message = Exercise(gvp.gvp_message, NOTEBOOK, 2, _graphs, Close(), (
    Property("where all vectors turn, scalars stay and vectors turn along", _turns_along, _turned),
), differentiated=Differentiated(("s", "V", "edge_s", "edge_V"), twice=True))


@gvp_message.further
def _(generator):
    many, few = directed_edges(40, 150, generator), directed_edges(300, 40, generator)
    yield _graph(generator, "40 nodes, 150 directed edges", 40, many, 9, 7, 6, 8)
    yield _graph(generator, "300 nodes, 40 directed edges", 300, few, 2, 1, 1, 2)


def _cat(s, edge_s, V, edge_V):
    return torch.cat([s, edge_s], dim=-1), torch.cat([V, edge_V], dim=-2)


@gvp_message.misconception("the target's features", "You took the features of the node that listens. In m of v -> u, whose "
                           "features travel?")
def _(s, V, edge_index, edge_s, edge_V, g):
    u = edge_index[1]
    return g(*_cat(s[u], edge_s, V[u], edge_V))


MIXED = ("Scalars and vectors of a message come from different nodes here. In m of v -> u, whose features travel, both "
         "parts of them?")


@gvp_message.misconception("the target's vectors", MIXED)
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(*_cat(s[v], edge_s, V[u], edge_V))


@gvp_message.misconception("the target's scalars", MIXED)
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(*_cat(s[u], edge_s, V[v], edge_V))


@gvp_message.misconception("the edge in front", "You put the edge's features in front of the node's. g has weights of its "
                           "own for each place: in concat(h_v, h_{v->u}), who stands first?")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(*_cat(edge_s, s[v], edge_V, V[v]))


@gvp_message.misconception("the edge's vectors in front", "Your scalars are in the right order, and the edge's vectors "
                           "stand in front of the node's. Both parts have the same order: the node, then the edge.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(torch.cat([s[v], edge_s], dim=1), torch.cat([edge_V, V[v]], dim=1))


@gvp_message.misconception("the edge's scalars in front", "Your vectors are in the right order, and the edge's scalars "
                           "stand in front of the node's. Both parts have the same order: the node, then the edge.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(torch.cat([edge_s, s[v]], dim=1), torch.cat([V[v], edge_V], dim=1))


@gvp_message.misconception("both ends", "You handed over the features of both ends. This message knows its source and its "
                           "edge; the target comes in later, when it is updated.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(torch.cat([s[v], s[u], edge_s], dim=1), torch.cat([V[v], V[u], edge_V], dim=1))


@gvp_message.misconception("without the edge", "Your messages know nothing of the edge. Where do its scalars and vectors "
                           "come in?")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(s[v], V[v])


@gvp_message.misconception("without the edge's vectors", "The edge's scalars are in, and its vectors are not.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(torch.cat([s[v], edge_s], dim=1), V[v])


@gvp_message.misconception("the edge alone", "Your messages know the edge and not who sends them. Where do the features of "
                           "v come in?")
def _(s, V, edge_index, edge_s, edge_V, g):
    return g(edge_s, edge_V)


@gvp_message.misconception("components among the scalars", "You flattened the edge's vectors and put their components among "
                           "the scalars. These change when the graph turns, and then they are no scalars.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(torch.cat([s[v], edge_s, edge_V.flatten(1)], dim=1), V[v])


@gvp_message.misconception("differences of node vectors", "You took differences of the nodes' vectors. What a message needs "
                           "of space is in edge_V already; a node's own vectors go in as they are.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(*_cat(s[v], edge_s, V[u] - V[v], edge_V))


@gvp_message.misconception("differences, the other way", "You took differences of the nodes' vectors. What a message needs "
                           "of space is in edge_V already; a node's own vectors go in as they are.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(*_cat(s[v], edge_s, V[v] - V[u], edge_V))


@gvp_message.misconception("differences of all features", "You took differences of the two ends. This message carries the "
                           "features of its source, as they are.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(*_cat(s[v] - s[u], edge_s, V[v] - V[u], edge_V))


@gvp_message.misconception("without the node's vectors", "The node's scalars are in, and its vectors are not.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return g(torch.cat([s[v], edge_s], dim=1), edge_V)


@gvp_message.misconception("summed at the target", "You added the messages up. That is the next step: here every edge keeps "
                           "a message of its own.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    m_s, m_V = g(*_cat(s[v], edge_s, V[v], edge_V))
    return (m_s.new_zeros(len(s), *m_s.shape[1:]).index_add(0, u, m_s), m_V.new_zeros(len(s), *m_V.shape[1:]).index_add(0, u, m_V))


@gvp_message.misconception("averaged at the target", "You averaged the messages. That is the next step: here every edge "
                           "keeps a message of its own.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    m_s, m_V = g(*_cat(s[v], edge_s, V[v], edge_V))
    count = torch.bincount(u, minlength=len(s)).clamp(min=1)
    return (m_s.new_zeros(len(s), *m_s.shape[1:]).index_add(0, u, m_s) / count[:, None],
            m_V.new_zeros(len(s), *m_V.shape[1:]).index_add(0, u, m_V) / count[:, None, None])


@gvp_message.misconception("no edges, no g", "Without edges your messages are as wide as the nodes' features. How wide a message is, only g "
                           "knows: what does it make of tensors without rows?")
def _(s, V, edge_index, edge_s, edge_V, g):
    if not edge_index.numel():
        return torch.zeros(0, s.shape[1]), torch.zeros(0, V.shape[1], 3)
    v = edge_index[0]
    return g(*_cat(s[v], edge_s, V[v], edge_V))


@gvp_message.misconception("what goes into g", "You returned what g is to be given. The message is what g makes of it.")
def _(s, V, edge_index, edge_s, edge_V, g):
    v = edge_index[0]
    return _cat(s[v], edge_s, V[v], edge_V)


@gvp_message.right
def _(s, V, edge_index, edge_s, edge_V, g):
    v, u = edge_index
    return g(torch.cat((s[v], edge_s), 1), torch.cat((V[v], edge_V), 1))


@gvp_message.right
def _(s, V, edge_index, edge_s, edge_V, g):
    """Edge by edge."""
    messages = [g(torch.cat([s[v], edge_s[e]]), torch.cat([V[v], edge_V[e]])) for e, v in enumerate(edge_index[0].tolist())]
    if not messages:
        return torch.zeros(0, 5), torch.zeros(0, 2, 3)
    return torch.stack([m[0] for m in messages]), torch.stack([m[1] for m in messages])


@gvp_message.right
def _(s, V, edge_index, edge_s, edge_V, g):
    """In double precision, gathered by a product."""
    at = torch.nn.functional.one_hot(edge_index[0], len(s)).double()
    return g(torch.cat([at @ s.double(), edge_s.double()], dim=1),
             torch.cat([torch.einsum("ev,vkc->ekc", at, V.double()), edge_V.double()], dim=1))
