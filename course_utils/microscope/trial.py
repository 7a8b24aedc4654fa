"""One function under the microscope."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, prod

import torch
from torch import Tensor

from .causes import likely_cause
from .gradients import gradient_row
from .probes import NODES, Case, Motion, Quantity, draw_case, draw_motion, normal, read_example, rows, spoil
from .report import TOLERANCE, Report, Row

DRAWS, CONTROLS, NUDGES = 3, 5, 8
ROUNDINGS = 10  # f may answer as if its inputs were off by so many of the smallest changes
DIGITS = 20     # a channel that float32 gets wrong by a twentieth or more is compared with that error


def check_equivariance(f: Callable, inputs: str | Sequence[str], outputs: str | Sequence[str], seed: int = 0,
                       examples: Sequence[tuple] = ()) -> Report:
    """Try each symmetry on f(*inputs): a `Report` of what holds, what fails, on which input, and the likely
    cause.

    f is a function, or a module, of which a copy is converted to each dtype. inputs and outputs say what f
    takes and returns, in words: "node scalar 8" is (num_nodes, 8), "edge vector" (num_edges, 3), "graph
    tensor" (3, 3), and (num_graphs, 3, 3) if "batch" is an input; "edge_index" and "batch" are the graph. A
    kind may also be features as e3nn writes and orders them: "node 2e" is (num_nodes, 5), "node 1o + 0e"
    (num_nodes, 4). Channels of outputs need not be given. Inputs are drawn here: generic; ten times as wide;
    a crowd of 40; one point; two coincident points, and vectors that are zero; collinear; planar; symmetric
    (an octahedron, all joined, all scalars 1). Tensors have no symmetry of their own. ``examples`` are your
    own inputs, tried beside these: a list of tuples, each in the order of f's arguments. If f jumps on an
    input, or is so steep there that rounding the input explains the difference, that is remarked and not
    counted; so is an exception on a degenerate input.

    Differences are relative to the size of the output; in float64 each channel is compared with its own
    size. Complex outputs move with their real and imaginary parts. Besides: "batching", that each graph by
    itself gives what it gives among others; "gradient", that autograd agrees with finite differences; and a
    row that says so if an output is not finite. Raises ValueError if an output has another shape than its
    words say, or an example than the inputs', and passes on what f raises on generic input or on an example.
    """
    inputs, outputs = ([Quantity.read(text) for text in ([words] if isinstance(words, str) else words)]
                       for words in (inputs, outputs))
    if any(isinstance(what, str) for what in outputs):
        raise ValueError(f"outputs are quantities, such as \"node vector\"; {outputs} has words that stand for "
                         "the graph.")
    return Trial(f, inputs, outputs, seed, examples).report()


class Trial:
    """f in each dtype, the inputs drawn for it, and the comparisons."""

    def __init__(self, f: Callable, inputs: list[Quantity | str], outputs: list[Quantity], seed: int,
                 examples: Sequence):
        self.inputs, self.outputs, self.random = inputs, outputs, torch.Generator().manual_seed(seed)
        self.f = dict.fromkeys(TOLERANCE, f)
        if isinstance(f, torch.nn.Module):
            self.f = {dtype: copy.deepcopy(f).to(dtype) for dtype in TOLERANCE}
        self.faults, self.remarks, self.varies = [], [], False
        self.cases, self.still = [], {}
        drawn = [draw_case(name, inputs, self.random) for name in NODES]
        for case in drawn + [read_example(k, inputs, values) for k, values in enumerate(examples)]:
            try:
                self.still |= {(case.name, dtype): self.call(case, dtype) for dtype in TOLERANCE}
            except Exception as error:
                if self.may_refuse(case):
                    self.remark(f"{case.name}: {type(error).__name__}: {error}")
                    continue
                error.add_note(f"f is called in float64 and in float32, here on {case.name} input. Hand "
                               "over a module itself, which is converted; and in a function, let new "
                               "tensors take the dtype of its inputs.")
                raise
            self.cases.append(case)
        self.size = [self.size_of(i) for i in range(len(outputs))]
        if any(self.forgets(case) for case in self.cases if case.name in ("generic", "crowded")):
            self.two_answers()

    def size_of(self, i: int) -> Tensor:
        """The size of each channel of output i on generic input, infinite if the output is nothing but
        rounding.
        """
        exact, rough = (torch.where(value.isfinite(), value, 0)
                        for value in (self.still["generic", dtype][i] for dtype in TOLERANCE))
        if float(self.largest(i, exact).max()) < 1e-5 * float(self.largest(i, rough).max()):
            self.remark(f"output {i} is 0 but for rounding.")
            return torch.full_like(self.largest(i, exact), inf)
        return torch.maximum(self.largest(i, exact), DIGITS * self.largest(i, exact - rough))

    def forgets(self, case: Case) -> bool:
        """Whether f answers the same input in another way than before."""
        pairs = zip(self.call(case), self.still[case.name, torch.float64])
        return any(self.relative(i, *pair) > 0 for i, pair in enumerate(pairs))

    def rounds(self, i: int) -> bool:
        """Whether output i is rounded to float32 on the way: then its second difference along a tiny step is
        not 0.
        """
        generic = self.cases[0]
        steps = [value.is_floating_point() * normal(value.shape, self.random) for value in generic.values]

        def at(size):
            values = [value + (size * step).to(value.dtype) for value, step in zip(generic.values, steps)]
            return self.call(replace(generic, values=values))[i]

        middle = 1e-3  # away from the grid, on which rounding up and down cancel
        return 1e-10 < self.relative(i, (at(middle + 1e-6) + at(middle - 1e-6)) / 2, at(middle)) < 1e-5

    def two_answers(self) -> None:
        self.varies = True
        self.fault("f gives two answers to the same input. Is dropout on (f.eval() turns it off), or does "
                   "f keep something from call to call?")

    def may_refuse(self, case: Case) -> bool:
        """An exception is remarked on what we drew, but for generic input; on the user's own input it is
        raised.
        """
        return case.name in NODES and case.name != "generic"

    def fault(self, text: str) -> None:
        self.faults += [text] * (text not in self.faults)

    def remark(self, text: str) -> None:
        self.remarks += [text] * (text not in self.remarks)

    def report(self) -> Report:
        quantities = [what for what in self.inputs + self.outputs if isinstance(what, Quantity)]
        tried = {"permutation": any(what != "batch" and (what == "edge_index" or what.level != "graph")
                                    for what in self.inputs),
                 "translation": any(what.kind == "position" for what in quantities),
                 "rotation": any(max(what.degrees, default=0) > 0 for what in quantities),
                 "reflection": any(what.moves.any() for what in quantities),
                 "batching": "batch" in self.inputs}
        of_tests = [self.rows(test) for test, worth in tried.items() if worth]
        found = []
        for i, of_output in enumerate(zip(*of_tests)):
            failing = {row.test: row for row in of_output if row.verdict == "fails"}
            for row in failing.values():
                if not self.faults:
                    row.cause = likely_cause(self, i, row, turns="rotation" not in failing)
            found += [*of_output, *self.finite(i)]
        if self.varies:
            self.remark("the gradient, since there is not one function to take it of.")
            return Report(found, self.faults, self.remarks)
        for k, what in enumerate(self.inputs):
            if isinstance(what, Quantity) and (row := gradient_row(self, k)):
                found.append(row)
        return Report(found, self.faults, self.remarks)

    def rows(self, test: str) -> list[Row]:
        """For each output the worst of all cases and draws in each dtype; what rounding explains is left
        out.
        """
        worst = [dict.fromkeys(TOLERANCE, (0.0, "generic")) for _ in self.outputs]
        failed = [[] for _ in self.outputs]
        for case in self.cases:
            # in a crowd one motion says enough, and batching draws none
            repeats = 1 if case.name == "crowded" or test == "batching" else DRAWS
            for dtype in TOLERANCE:
                try:
                    draws = [self.attempt(test, case, dtype) for _ in range(repeats)]
                except Exception as error:
                    if not self.may_refuse(case):
                        raise
                    self.remark(f"{case.name}, moved: {type(error).__name__}: {error}")
                    continue
                for i in range(len(self.outputs)):
                    gap, moved = max(((gaps[i], moved) for gaps, moved in draws), key=lambda pair: pair[0])
                    if gap > TOLERANCE[dtype] and case.name not in failed[i]:
                        if self.explained(i, gap, case, moved, dtype):
                            continue
                        if dtype == torch.float64:
                            failed[i].append(case.name)
                    if gap > worst[i][dtype][0]:
                        worst[i][dtype] = gap, case.name
        controls = zip(*(self.compare(test, self.cases[0], spoiled=True) for _ in range(CONTROLS)))
        return [Row(f"{i}: {what}", test, worst[i], max(control), failed=failed[i])
                for i, (what, control) in enumerate(zip(self.outputs, controls))]

    def explained(self, i: int, gap: float, case: Case, moved: Case, dtype: torch.dtype) -> bool:
        """Whether rounding the moved input changes output i so much that it explains the gap; if so, that is
        remarked.

        A jump on generic input in float64 is never explained: otherwise f could jump everywhere.
        """
        if self.varies or case.name == "generic" and dtype == torch.float64 and gap > 1e-3:
            return False
        change = self.change(i, moved, dtype)
        if gap > ROUNDINGS * change:
            return False
        if change > 1e-3:
            self.remark(f"output {i} jumps on {case.name} input: the smallest nudge changes it.")
        else:
            self.remark(f"output {i} is steep on {case.name} input: changes of the input as small as rounding "
                        f"in {str(dtype)[6:]} explain the difference.")
        return True

    def change(self, i: int, case: Case, dtype: torch.dtype = torch.float64) -> float:
        """How much output i changes, in float64, if its input changes about as little as the dtype rounds.

        The most of several tries; those between a finite and an infinite number say nothing.
        """
        still, changes = self.call(case)[i], [0.0]
        for _ in range(NUDGES):
            changes.append(self.relative(i, self.call(self.nudged(case, dtype))[i], still, dtype))
        return max(change for change in changes if change < inf)

    def nudged(self, case: Case, dtype: torch.dtype) -> Case:
        """Off by a thousandth of the tolerance, or by one rounding of large coordinates if that is more."""
        values = []
        for value in case.values:
            if value.is_floating_point() and value.numel():
                spread, largest = (value - value.mean()).abs().max(), value.abs().max()
                size = max(TOLERANCE[dtype] / 1000 * spread, torch.finfo(dtype).eps * largest)
                value = value + size * normal(value.shape, self.random)
            values.append(value)
        return replace(case, values=values)

    def finite(self, i: int) -> list[Row]:
        """A row if output i is not finite on some input."""
        seen = {dtype: [case.name for case in self.cases if not self.still[case.name, dtype][i].isfinite().all()]
                for dtype in TOLERANCE}
        if not any(seen.values()):
            return []
        worst = {dtype: (inf, names[0]) if names else (0.0, "generic") for dtype, names in seen.items()}
        names = ", ".join(seen[torch.float64] or seen[torch.float32])
        values = [self.still[name, torch.float64][i] for name in seen[torch.float64]]
        if not values:
            cause = (f"finite in float64, and not in float32 on {names} input: a number over 3e38, or a "
                     "sum of weights that all became 0. Does it stay finite if the largest exponent is "
                     "subtracted first?")
        elif any(value.isnan().any() for value in values):
            cause = (f"not finite on {names} input. Is something divided by 0 (a length, a number of "
                     "neighbors), or a root or a logarithm taken of less than 0? It is the former if 1e-6 "
                     "added to each divisor mends it.")
        else:
            cause = (f"infinite on {names} input. Is something divided by 0, or is an exp or a power too "
                     "large? It is the latter if an input ten times as small mends it.")
        return [Row(f"{i}: {self.outputs[i]}", "finite", worst, 1.0, cause)]

    def attempt(self, test: str, case: Case, dtype: torch.dtype) -> tuple[list[float], Case]:
        """`compare` with a motion drawn for the test, and the input that was moved."""
        if test == "batching":
            return self.compare_apart(case, dtype), case
        motion = draw_motion(test, case, self.random)
        moved = self.moved(case, motion)
        return self.gaps(case, motion, moved, dtype), moved

    def compare(self, test: str, case: Case, spoiled: bool = False, axis: Tensor | None = None,
                **options) -> list[float]:
        """How far f(g x) is from g f(x) in each output, in float64, for a g drawn for the test, or a
        rotation about ``axis``.

        With ``spoiled`` x is no longer what it was, while the same is expected. The options are those of
        `gaps`.
        """
        if test == "batching":
            return self.compare_apart(case, torch.float64, spoiled)
        motion = draw_motion(test, case, self.random, axis)
        return self.gaps(case, motion, self.moved(case, motion, test if spoiled else None), **options)

    def moved(self, case: Case, motion: Motion, spoil_for: str | None = None) -> Case:
        values = []
        for what, value in zip(self.inputs, case.values):
            if spoil_for:
                value = spoil(spoil_for, what, value, self.random)
            values.append(motion.act(what, value))
        return replace(case, values=values)

    def gaps(self, case: Case, motion: Motion, moved: Case, dtype: torch.dtype = torch.float64,
             expect: Callable = lambda what, motion: (what, motion),
             up_to_sign: bool = False) -> list[float]:
        """How far f of the moved input is from the moved output, for each output.

        ``expect`` changes what is expected: from an output's quantity and g to another quantity, or another
        g. With ``up_to_sign`` each scalar, vector or tensor may have the other sign.
        """
        found, still = self.call(moved, dtype), self.still.get((case.name, dtype)) or self.call(case, dtype)
        gaps = []
        for i, (what, value) in enumerate(zip(self.outputs, still)):
            what, g = expect(what, motion)
            expected = g.act(what, value)
            if up_to_sign and found[i].shape == expected.shape:
                axes = tuple(range(-len(what.axes), 0))
                overlap = found[i] * expected
                overlap = overlap.sum(axes, keepdim=True) if axes else overlap
                found[i] = torch.where(overlap < 0, -found[i], found[i])
            gaps.append(self.relative(i, found[i], expected, dtype))
        return gaps

    def compare_apart(self, case: Case, dtype: torch.dtype, spoiled: bool = False) -> list[float]:
        """How far what each graph of a batch gives by itself is from what it gives among the others."""
        worst, still = [0.0] * len(self.outputs), self.still[case.name, dtype]
        for k in range(int(case.batch[-1]) + 1):
            own = {"node": case.batch == k, "edge": case.batch[case.edge_index[0]] == k,
                   "graph": torch.tensor([k])}
            batch = torch.zeros(int(own["node"].sum()), dtype=torch.int64)
            edge_index = case.edge_index[:, own["edge"]] - int((case.batch < k).sum())
            values = []
            for what, value in zip(self.inputs, case.values):
                if isinstance(what, str):
                    values.append({"edge_index": edge_index, "batch": batch}[what])
                    continue
                if spoiled:
                    value = spoil("batching", what, value, self.random)
                values.append(value[own[what.level]])
            try:
                apart = self.call(Case(f"{case.name}, graph {k}", values, edge_index, batch), dtype)
            except Exception as error:
                self.remark(f"a graph of {len(batch)} nodes by itself: {type(error).__name__}: {error}")
                continue
            for i, (value, among) in enumerate(zip(apart, still)):
                worst[i] = max(worst[i], self.relative(i, value, among[own[self.outputs[i].level]], dtype))
        return worst

    def call(self, case: Case, dtype: torch.dtype = torch.float64, detach: bool = True) -> list[Tensor]:
        """The outputs of f, in float64 or complex128, their shapes checked."""
        given = [value.to(dtype) if value.is_floating_point() else value for value in case.values]
        handed, default = [value.clone() for value in given], torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)
            found = self.f[dtype](*handed)
        finally:
            torch.set_default_dtype(default)
        for k, (before, after) in enumerate(zip(given, handed)):
            if not torch.equal(before, after):
                self.fault(f"f changes its input {k} in place: the caller's own data. x = x + ... makes new "
                           "data.")
        found = [found] if isinstance(found, Tensor) else found
        if not isinstance(found, tuple | list) or not all(isinstance(value, Tensor) for value in found):
            raise ValueError(f"f returned a {type(found).__name__}; expected a tensor, or a tuple of "
                             "tensors.")
        if len(found) != len(self.outputs):
            raise ValueError(f"f returned {len(found)} outputs; expected {len(self.outputs)}: "
                             f"{', '.join(map(str, self.outputs))}.")
        for i, (what, value) in enumerate(zip(self.outputs, found)):
            start = rows(what.level, case.edge_index, case.batch, "batch" in self.inputs)
            middle = tuple(value.shape[len(start): value.ndim - len(what.axes)])
            if value.shape != (*start, *middle, *what.axes) or what.channels not in ((), middle):
                expected = (*start, *what.channels, *what.axes)
                between = "" if what.channels else ", with any channels in between"
                raise ValueError(f"output {i} has shape {tuple(value.shape)}; expected a {what}, "
                                 f"{expected}{between}.")
        if detach:
            found = [value.detach() for value in found]
        return [value.to(torch.complex128 if value.is_complex() else torch.float64) for value in found]

    def channels(self, i: int, value: Tensor) -> list[Tensor]:
        """A value of output i in parts (rows, channels, width), by `Quantity.widths`."""
        what = self.outputs[i]
        start = int(what.level != "graph" or "batch" in self.inputs)
        num_rows, middle = prod(value.shape[:start]), prod(value.shape[start:value.ndim - len(what.axes)])
        return list(value.reshape(num_rows, middle, prod(what.axes)).split(what.widths, dim=2))

    def largest(self, i: int, value: Tensor) -> Tensor:
        """The largest entry in each channel of a value of output i: (channels,), 0 if there are no rows."""
        parts = [part.abs() for part in self.channels(i, value)]
        if not value.numel():
            return torch.cat([part.new_zeros(part.shape[1]) for part in parts])
        return torch.cat([part.amax((0, 2)) for part in parts])

    def relative(self, i: int, found: Tensor, expected: Tensor, dtype: torch.dtype = torch.float64) -> float:
        """The largest difference between two values of output i, next to its size; what is finite in neither
        is left out.

        In float64 each channel has its own size. In float32 a small channel may be rounding of a large one:
        there all share the size of the largest.
        """
        finite = expected.isfinite()
        if found.shape != expected.shape or not torch.equal(found.isfinite(), finite):
            return inf
        gap = self.largest(i, torch.where(finite, found - expected, 0))
        if not len(gap):
            return 0.0
        size = torch.maximum(self.largest(i, torch.where(finite, expected, 0)), self.size[i])
        if dtype == torch.float32:
            gap, size = gap.max(), size.max()
        return float((gap / torch.where(size == 0, 1, size)).max())
