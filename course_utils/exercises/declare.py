"""How an exercise is declared.

An exercise says what is asked (a reference), on what it is tried (``draw``), when two answers are the same, which
properties a right answer has, and what people get wrong. The notebook and a grader use the same declaration.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .derivatives import CAUSES, Differentiated
from .watch import watched


@dataclass(frozen=True)
class Seed:
    """Stands for a torch.Generator among the inputs, so that inputs stay plain data; each call gets a fresh one."""

    value: int


@dataclass(frozen=True)
class Named:
    """Stands for one of the library's functions among the inputs, as "module.function" inside course_utils.

    "module.maker(17)" stands for the function that the maker returns for a number: one that no name tells.
    """

    name: str


@dataclass(frozen=True)
class Other:
    """Stands for an answer that is no plain data, by the name of its type: a judge meets none of a student's objects."""

    type: str


def fresh(value: Any) -> Any:
    """A copy that shares nothing with the value, tensors in lists, dictionaries and graphs included."""
    if isinstance(value, Seed):
        return torch.Generator().manual_seed(value.value)
    if isinstance(value, Named):
        return _function(value.name)
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(map(fresh, value))
    if isinstance(value, dict):
        return {key: fresh(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: fresh(getattr(value, f.name)) for f in fields(value)})
    return value


def _function(name: str) -> Callable:
    """What a `Named` stands for. Raises ValueError for a text of another form."""
    found = re.fullmatch(r"([\w.]+)\.(\w+)(?:\((\d+)\))?", name)
    if not found:
        raise ValueError(f"{name!r} names no function; expected module.function, or module.maker(17) with "
                         "a whole number.")
    module, function, number = found.groups()
    made = getattr(importlib.import_module(f"course_utils.{module}"), function)
    return made if number is None else made(int(number))


def unchanged(before: Any, after: Any) -> bool:
    """Whether a `fresh` copy still holds what it was made from; NaN equals NaN."""
    if isinstance(before, Seed | Named):
        return True
    if isinstance(before, Tensor):
        return (isinstance(after, Tensor) and (before.dtype, before.shape) == (after.dtype, after.shape)
                and (torch.equal(before, after) or bool(torch.isclose(before, after, 0, 0, equal_nan=True).all())))
    if isinstance(before, tuple | list):
        return len(before) == len(after) and all(map(unchanged, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(unchanged(before[key], after[key]) for key in before)
    if is_dataclass(before) and not isinstance(before, type):
        return all(unchanged(getattr(before, f.name), getattr(after, f.name)) for f in fields(before))
    return before == after


def drawn_parameters(reference: type, options: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Normal numbers for each parameter of ``reference(**options)``, by its name; weights are scaled to keep sizes near 1."""
    with torch.device("meta"):  # names and shapes alone; no number is drawn that the notebook would miss
        shapes = {name: part.shape for name, part in reference(**options).state_dict().items()}
    return {name: torch.randn(shape, generator=generator) * (max(shape[-1], 1) ** -0.5 if len(shape) > 1 else 1)
            for name, shape in shapes.items()}


class Case:
    """One input: a label that completes "on ..." and the arguments, in the order of the exercise's parameters."""

    def __init__(self, label: str, *args: Any):
        self.label, self.args = label, args

    def fresh_args(self) -> list[Any]:
        """The arguments as copies of their own, generators made from their seeds."""
        return [fresh(a) for a in self.args]


@dataclass(frozen=True)
class Outcome:
    """What one call did: its value, or how it failed. Plain data: it can come from a call or over a pipe.

    ``error`` is the exception's type name and message, ``trace`` the student's part of the traceback, ``changed`` the
    names of the arguments that the call changed in place, ``printed`` the number of characters it wrote,
    ``taken`` whether the library's own version was called for it.
    """

    value: Any = None
    error: str | None = None
    trace: str = ""
    late: bool = False
    changed: tuple[str, ...] = ()
    printed: int = 0
    taken: bool = False


@dataclass(frozen=True)
class Misconception:
    """A wrong answer that a real student would write, and the sentence that leads to the right thought.

    Where the same thought gives many answers, ``fits(case, value)`` says whether the sentence is true of one; if it is of all,
    they are the misconception's, unless they are exactly those of another.
    """

    name: str
    says: str
    wrong: Callable
    fits: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Property:
    """Something every right answer has.

    ``fault(case, value)`` returns None where it holds and else a short reason. With ``derive``, a second case is made
    from each case and ``fault(case, value, derived_case, derived_value)`` compares the two answers.
    """

    name: str
    fault: Callable[..., str | None]
    derive: Callable[[Case], Case] | None = None


@dataclass(frozen=True)
class Part:
    """Points for an answer that is not right, but whose properties ``holds``, by their names, hold on every input.

    Without names: for one that is right on the inputs of the check, and wrong only on others that a grader draws.
    """

    points: float
    holds: tuple[str, ...] = ()


def _kind(value: Tensor) -> str:
    return ("boolean" if value.dtype == torch.bool else "complex" if value.is_complex() else
            "floating point" if value.is_floating_point() else "integer")


def _type(value: Any) -> str:
    name = value.type if isinstance(value, Other) else type(value).__name__
    return {"ndarray": "NumPy array"}.get(name, name)


def wrong_form(value: Any, expected: Any, what: str = "the answer") -> str | None:
    """What is wrong with the type, shape or dtype of a value, next to the expected one; None where nothing is.

    The kind of number has to fit (boolean, integer, floating point), its width does not.
    """
    if isinstance(expected, tuple):
        if not isinstance(value, tuple | list):
            return f"{what} is a {_type(value)}; expected {len(expected)} results, as in return a, b."
        if len(value) != len(expected):
            return f"{what} has {len(value)} parts; expected {len(expected)}."
        faults = (wrong_form(v, e, f"result {i}") for i, (v, e) in enumerate(zip(value, expected), 1))
        return next((fault for fault in faults if fault), None)
    if not isinstance(value, Tensor):
        return f"{what} is a {_type(value)}; expected a torch tensor of shape {tuple(expected.shape)}."
    if value.layout != torch.strided:
        return f"{what} is a sparse tensor; expected a dense one. .to_dense() makes it so."
    if _kind(value) != _kind(expected):
        return f"{what} holds {_kind(value)} numbers ({value.dtype}); expected {_kind(expected)} ({expected.dtype})."
    if value.ndim != expected.ndim or value.shape != expected.shape:
        return f"{what} has shape {tuple(value.shape)}; expected {tuple(expected.shape)}."
    return None


def _short(number: Tensor) -> str:
    return f"{number.item():.4g}" if number.is_floating_point() else str(number.item())


class Close:
    """Two answers are the same where every entry agrees, up to rounding in single precision."""

    def __init__(self, rtol: float = 1e-4, atol: float = 1e-5):
        self.rtol, self.atol = rtol, atol

    def difference(self, value: Any, expected: Any, what: str = "the answer") -> str | None:
        """None where the two are the same, else the first entry that is not."""
        if fault := wrong_form(value, expected, what):
            return fault
        if isinstance(expected, tuple):
            faults = (self.difference(v, e, f"result {i}") for i, (v, e) in enumerate(zip(value, expected), 1))
            return next((fault for fault in faults if fault), None)
        wide = torch.complex128 if expected.is_complex() else torch.float64
        same = torch.isclose(value.to(wide), expected.to(wide), self.rtol, self.atol, equal_nan=True)
        if same.all():
            return None
        first = tuple((~same).nonzero()[0].tolist())
        place = f"entry {list(first)}" if first else "the value"
        share = f" {int((~same).sum())} of {same.numel()} entries differ." if same.numel() > 1 else ""
        return f"{place} of {what} is {_short(value[first])}; expected {_short(expected[first])}.{share}"


class SameEdges:
    """Two edge lists are the same where they hold the same edges, in any order; see `SameWeightedEdges`."""

    def difference(self, value: Any, expected: Any, what: str = "the answer") -> str | None:
        """None where the two are the same, else one edge that is missing, too many or listed twice."""
        flipped = isinstance(value, Tensor) and value.ndim == 2 and value.shape[1] == 2 != value.shape[0]
        if flipped:
            return f"{what} has shape {tuple(value.shape)}; expected (2, num_edges)."
        if isinstance(value, Tensor) and value.shape == (2, 0):
            value = value.long()  # torch.tensor([[], []]) is a list without edges, and has no number that could be one
        if isinstance(value, Tensor) and not value.numel() and value.is_floating_point():
            return (f"it is empty, of shape {tuple(value.shape)} and {value.dtype}. torch.tensor([]) has one axis and is "
                    "float; a list without edges has shape (2, 0) and holds integers.")
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[0] != 2 or _kind(value) != "integer":
            return wrong_form(value, expected, what) or f"{what} is no edge list."
        given, wanted = (Counter(map(tuple, edges.T.tolist())) for edges in (value, expected))
        for edge, times in given.items():
            if edge not in wanted:
                return f"the edge {edge[0]} -> {edge[1]} is in your list and not in the graph."
            if times > 1:
                return f"the edge {edge[0]} -> {edge[1]} is listed {times} times."
        missing = next((edge for edge in wanted if edge not in given), None)
        return f"the edge {missing[0]} -> {missing[1]} is missing." if missing else None


class SameWeightedEdges:
    """Answers (edge_index, weight) are the same where they hold the same edges with the same weights, in any order."""

    def difference(self, value: Any, expected: Any) -> str | None:
        """None where the two are the same, else an edge that is not the same in both."""
        if not isinstance(value, tuple | list) or len(value) != 2:
            return wrong_form(value, expected)
        (edges, weight), (wanted, right) = value, expected
        if fault := SameEdges().difference(edges, wanted, "result 1"):
            return fault
        place = {edge: i for i, edge in enumerate(zip(*wanted.tolist()))}
        order = torch.tensor([place[edge] for edge in zip(*edges.tolist())], dtype=torch.int64)
        if fault := wrong_form(weight, right, "result 2"):
            return fault
        different = ~torch.isclose(weight.double(), right[order].double(), 1e-4, 1e-5, equal_nan=True)
        if not different.any():
            return None
        first = int(different.nonzero()[0])
        v, u = edges[:, first].tolist()
        return (f"the weight of {v} -> {u} is {_short(weight[first])}; expected {_short(right[order[first]])}. "
                f"{int(different.sum())} of {len(order)} weights differ.")


class SamePartitions:
    """Rows of labels are the same where in each row the same places share a label, whatever the labels are. A single
    row may come without the first axis."""

    def difference(self, value: Any, expected: Any) -> str | None:
        """None where the two are the same, else two places that are together in one row and apart in the other's."""
        if fault := wrong_form(value, expected):
            return fault
        for k, (row, wanted) in enumerate(zip(torch.atleast_2d(value), torch.atleast_2d(expected))):
            together, apart = ((labels[:, None] == labels) for labels in (row, wanted))
            if not torch.equal(together, apart):
                i, j = (together != apart).nonzero()[0].tolist()
                say = "the same label; expected different ones." if together[i, j] else "different labels; expected the same."
                where = f"in row {k}, places" if expected.ndim == 2 else "nodes"
                return f"{where} {i} and {j} have {say}"
        return None


class SameWords:
    """Answers are dictionaries from words to words, and the same where every word is."""

    def difference(self, value: Any, expected: Any) -> str | None:
        """None where the two are the same, else the first word that is not."""
        if type(value) is not dict:
            return f"the answer is a {_type(value)}; expected a dictionary with the keys {', '.join(expected)}."
        if value.keys() != expected.keys():
            return f"the answer has the keys {', '.join(map(str, value))}; expected {', '.join(expected)}."
        wrong = next((key for key in expected if value[key] != expected[key]), None)
        return wrong and f"{wrong} is {value[wrong]!r}; expected {expected[wrong]!r}."


class SameNumber:
    """Answers are whole numbers, and the same where they are equal."""

    def difference(self, value: Any, expected: Any) -> str | None:
        """None where the two are the same, else what was given."""
        if type(value) is not int:
            return f"the answer is a {_type(value)}; expected a whole number, an int."
        return None if value == expected else f"the answer is {value}; expected {expected}."


class SameSet:
    """Answers (count, ...) are the same where they have the same members along the first axis, in any order."""

    def __init__(self, members: str = "members", atol: float = 1e-3):
        self.members, self.atol = members, atol

    def difference(self, value: Any, expected: Any) -> str | None:
        """None where the two are the same, else a member that is too many or occurs twice."""
        if fault := wrong_form(value, expected):
            return fault
        apart = (value.double()[:, None] - expected.double()).abs().flatten(2).amax(2).nan_to_num(torch.inf)  # (given, expected)
        for i, row in enumerate(apart):
            if row.min() > self.atol:
                return (f"number {i} of your {len(value)} {self.members} is none of the expected ones; the nearest has an entry "
                        f"that differs by {row.min():.2g}.")
        nearest = apart.argmin(1).tolist()
        twice = next(((nearest.index(k), i) for i, k in enumerate(nearest) if nearest.index(k) < i), None)
        return f"numbers {twice[0]} and {twice[1]} of your {self.members} are the same one." if twice else None


class PropertiesOnly:
    """Any answer that has all the properties is right: for random results, and where many answers are good."""

    def difference(self, value: Any, expected: Any) -> str | None:
        return None


@dataclass(eq=False)
class Exercise:
    """One exercise, found by the name of its reference.

    ``draw(generator)`` yields cases, the simplest first; so do the functions under `further`, which only a
    grader calls. ``seconds`` is how long all calls together may take. ``parameters`` are the names of what
    is passed; if not given, those of the reference that have no default.

    The reference may be a class of ``nn.Module`` whose ``__init__`` is given, and whose ``forward`` is asked for. Then
    ``parameters`` are those of ``forward``, and in front of them a case has two arguments more: the options of ``__init__``,
    and the numbers that go into the instance, by the names of its parameters (`drawn_parameters`).

    ``partly`` says what a wrong answer can still earn; of several parts the best counts. Without it, all or nothing.
    ``differentiated`` says by which inputs an answer is differentiated that networks are trained through. A check
    draws with so many ``seeds``, fewer where cases take long. ValueError if a part gives all points, or names a
    property that the exercise does not have, and if ``differentiated`` names what is no input.
    """

    reference: Callable
    notebook: str
    points: int
    draw: Callable[[torch.Generator], Iterable[Case]]
    same: Any = field(default_factory=Close)
    properties: tuple[Property, ...] = ()
    seconds: float = 5.0
    parameters: tuple[str, ...] = ()
    misconceptions: list[Misconception] = field(default_factory=list)
    also_right: list[Callable] = field(default_factory=list)
    further_draws: list[Callable] = field(default_factory=list)
    partly: tuple[Part, ...] = ()
    differentiated: Differentiated | None = None
    seeds: int = 5

    @property
    def name(self) -> str:
        return self.reference.__name__

    @property
    def library(self) -> Named:
        """Where the reference is, for one who is not to see the exercise."""
        module = self.reference.__module__.removeprefix("course_utils.")
        return Named(f"{module}.{self.name}")

    @property
    def asks_for(self) -> str:
        return "class" if inspect.isclass(self.reference) else "function"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the student's own function, or ``forward``, is called with."""
        return self.parameters[2:] if self.asks_for == "class" else self.parameters

    def __post_init__(self):
        watched(self.reference)
        if not self.parameters:
            asked = self.reference.forward if self.asks_for == "class" else self.reference
            parameters = inspect.signature(asked).parameters.values()
            self.parameters = tuple(p.name for p in parameters if p.default is p.empty and p.name != "self")
        if self.asks_for == "class":
            self.parameters = "options", "parameters", *self.parameters
        self._check_parts()
        for name in self.differentiated.inputs if self.differentiated else ():
            if name not in self.inputs:
                raise ValueError(f"{self.name} is to be differentiated by {name!r}; expected one of "
                                 f"{list(self.inputs)}.")

    def _check_parts(self):
        known = [p.name for p in self.properties]
        for part in self.partly:
            unknown = [name for name in part.holds if name not in known]
            if unknown:
                raise ValueError(f"{self.name} has no property {unknown[0]!r}; expected some of {known}.")
            if not 0 < part.points < self.points:
                raise ValueError(f"a part of {self.name} gives {part.points:g} points; expected more than 0 and less than "
                                 f"{self.points}, which a right answer gives.")

    def part_for(self, holding: Iterable[str]) -> Part | None:
        """The best part whose properties are all among those that hold."""
        holding = set(holding)
        parts = [part for part in self.partly if part.holds and holding.issuperset(part.holds)]
        return max(parts, key=lambda part: part.points, default=None)

    @property
    def part_for_visible(self) -> Part | None:
        """The part for what is right on the inputs of the check, and wrong on hidden ones."""
        return next((part for part in self.partly if not part.holds), None)

    def misconception(self, name: str, says: str, fits: Callable[..., bool] | None = None) -> Callable[[Callable], Callable]:
        """Decorator: the function below is wrong in the way that ``name`` names, and a student is told ``says``."""
        return lambda wrong: self.misconceptions.append(Misconception(name, says, wrong, fits)) or wrong

    def right(self, function: Callable) -> Callable:
        """Decorator: the function below is a right answer, written differently."""
        self.also_right.append(function)
        return function

    def further(self, draw: Callable) -> Callable:
        """Decorator: the function below yields, from a generator, larger or rarer cases than a check draws.

        They catch answers that are right up to the notebook's sizes. What students were not told to expect
        has no place here, since a right answer must pass.
        """
        self.further_draws.append(draw)
        return draw

    def cases(self, seed: int = 0) -> list[Case]:
        """The inputs drawn with a seed, and behind them those that the properties derive, property by property."""
        return self._with_derived(self.draw(torch.Generator().manual_seed(seed)))

    def hidden_cases(self, seed: int) -> list[Case]:
        """What `cases` draws, the `further` inputs, and what the properties derive from all of them."""
        generator = torch.Generator().manual_seed(seed)
        drawn = list(self.draw(generator))
        for draw in self.further_draws:
            drawn += draw(generator)
        return self._with_derived(drawn)

    def rounds(self) -> list[list[Case]]:
        """The inputs of a check, seed by seed: those of `cases`, and of every further seed those that are new."""
        first = self.cases(0)
        drawn = first[:self.num_drawn(first)]
        rounds = [first]
        for seed in range(1, self.seeds):
            again = list(self.draw(torch.Generator().manual_seed(seed)))
            new = [case for i, case in enumerate(again) if i >= len(drawn) or not _same_inputs(case, drawn[i])]
            if new:
                rounds.append(self._with_derived(new))
        return rounds

    @property
    def derivations(self) -> list[Callable[[Case], Case]]:
        """What makes further cases of each drawn one: of the properties, and last `Differentiated.nearby`."""
        made = [p.derive for p in self.properties if p.derive]
        if self.differentiated and self.differentiated.nearby:
            made.append(self.differentiated.nearby)
        return made

    def num_drawn(self, cases: Sequence[Case]) -> int:
        """How many of these cases were drawn, and not derived; they are the first."""
        return len(cases) // (1 + len(self.derivations))

    def differentiated_cases(self, cases: Sequence[Case]) -> list[Case]:
        """On which of these cases derivatives are looked at: the drawn ones, and behind them those nearby."""
        if self.differentiated is None:
            return []
        n = self.num_drawn(cases)
        return [*cases[:n], *(cases[-n:] if self.differentiated.nearby else ())]

    def sentence(self, name: str | None) -> str | None:
        """What is said of a misconception, or of a cause for a wrong derivative, by its name."""
        return next((each.says for each in [*self.misconceptions, *CAUSES] if each.name == name), None)

    def _with_derived(self, drawn: Iterable[Case]) -> list[Case]:
        drawn = list(drawn)
        return drawn + [derive(case) for derive in self.derivations for case in drawn]


def _same_inputs(case: Case, other: Case) -> bool:
    """Whether two cases ask the same question; generators are told apart by their seeds."""
    pairs = zip(case.args, other.args)
    return all(a == b if isinstance(a, Seed | Named) else unchanged(a, b) for a, b in pairs)
