"""One function under the microscope."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from ..symmetry import KINDS
from .causes import likely_cause
from .gradients import gradient_row
from .probes import NODES, Case, Quantity, draw_case, draw_motion, normal, rows, spoil
from .report import TOLERANCE, Report, Row

DRAWS, CONTROLS, NUDGES = 3, 5, 8


def check_equivariance(f: Callable, inputs: str | Sequence[str], outputs: str | Sequence[str], seed: int = 0) -> Report:
    """Try each symmetry on f(*inputs): a `Report` of what holds, what fails, on which input, and the likely cause.

    f is a function, or a module, of which a copy is converted to each dtype. inputs and outputs say what f takes and
    returns, in words: "node scalar 8" is (num_nodes, 8), "edge vector" (num_edges, 3), "graph tensor" (3, 3), and
    (num_graphs, 3, 3) where "batch" is an input; "edge_index" and "batch" are the graph. Channels of outputs need not be
    given. Inputs are drawn here: generic; ten times as wide; one point; two coincident points, and vectors that are zero;
    collinear; planar; symmetric (an octahedron, all joined, all scalars 1). Tensors have no symmetry of their own. Where f
    jumps on a degenerate input, or refuses it with an exception, that is remarked and not counted.

    Besides: "batching", that each graph alone gives what it gives among others; "gradient", that autograd agrees with finite
    differences; and where an output is not finite, a row that says so. Raises ValueError where an output has another shape
    than its words say, and passes on what f raises on generic input.
    """
    inputs, outputs = ([Quantity.read(text) for text in ([words] if isinstance(words, str) else words)]
                       for words in (inputs, outputs))
    if any(isinstance(what, str) for what in outputs):
        raise ValueError(f"outputs are quantities, such as \"node vector\"; {outputs} has words that stand for the graph.")
    return Trial(f, inputs, outputs, seed).report()


class Trial:
    """f in each dtype, the inputs drawn for it, and the comparisons."""

    def __init__(self, f: Callable, inputs: list[Quantity | str], outputs: list[Quantity], seed: int):
        self.inputs, self.outputs, self.random = inputs, outputs, torch.Generator().manual_seed(seed)
        self.f = {dtype: copy.deepcopy(f).to(dtype) if isinstance(f, torch.nn.Module) else f for dtype in TOLERANCE}
        self.faults, self.remarks = [], []
        self.cases, self.still = [], {}
        for name in NODES:
            case = draw_case(name, inputs, self.random)
            try:
                self.still |= {(name, dtype): self.call(case, dtype) for dtype in TOLERANCE}
            except Exception as error:
                if name == "generic":
                    error.add_note("f is called in float64 and in float32. Hand over a module itself, which is converted; and in "
                                   "a function, let new tensors take the dtype of its inputs.")
                    raise
                self.remark(f"{name}: {type(error).__name__}: {error}")
            else:
                self.cases.append(case)
        exactly, roughly = ([float(value.abs().nan_to_num(0, 0).max()) if value.numel() else 0.0
                             for value in self.still["generic", dtype]] for dtype in TOLERANCE)
        self.size = [inf if a < 1e-5 * b else a for a, b in zip(exactly, roughly)]
        for i, size in enumerate(self.size):
            if size == inf:
                self.remark(f"output {i} is 0 but for rounding.")
        if any(self.relative(i, *pair) > 0 for i, pair in enumerate(zip(self.call(self.cases[0]), self.still["generic", torch.float64]))):
            self.fault("f gives two answers to the same input. Is dropout on (f.eval() turns it off), or does f keep something from "
                       "call to call?")

    def fault(self, text: str) -> None:
        self.faults += [text] * (text not in self.faults)

    def remark(self, text: str) -> None:
        self.remarks += [text] * (text not in self.remarks)

    def report(self) -> Report:
        kinds = {what.kind for what in self.inputs + self.outputs if isinstance(what, Quantity)}
        tried = {"permutation": any(what != "batch" and (what == "edge_index" or what.level != "graph") for what in self.inputs),
                 "translation": "position" in kinds, "rotation": kinds - {"scalar", "pseudoscalar"},
                 "reflection": kinds != {"scalar"}, "batching": "batch" in self.inputs}
        of_tests = [self.rows(test) for test, worth in tried.items() if worth]
        found = []
        for i, of_output in enumerate(zip(*of_tests)):
            failing = {row.test: row for row in of_output if row.verdict == "fails"}
            if not self.faults:
                for row in failing.values():
                    row.cause = likely_cause(self, i, row, turns="rotation" not in failing)
            found += [*of_output, *self.finite(i)]
        gradients = [gradient_row(self, k) for k, what in enumerate(self.inputs) if isinstance(what, Quantity)]
        return Report(found + [row for row in gradients if row], self.faults, self.remarks)

    def rows(self, test: str) -> list[Row]:
        """For each output the worst of all cases and draws in each dtype; jumps on degenerate inputs are left out."""
        worst = [dict.fromkeys(TOLERANCE, (0.0, "generic")) for _ in self.outputs]
        for case in self.cases:
            for dtype in TOLERANCE:
                try:
                    draws = [self.compare(test, case, dtype) for _ in range(DRAWS)]
                except Exception as error:
                    if case.name == "generic":
                        raise
                    self.remark(f"{case.name}, moved: {type(error).__name__}: {error}")
                    continue
                for i, gap in enumerate(map(max, zip(*draws))):
                    if gap > TOLERANCE[dtype] and self.jumps(i, case, dtype):
                        self.remark(f"output {i} jumps on {case.name} input: the smallest nudge changes it.")
                    elif gap > worst[i][dtype][0]:
                        worst[i][dtype] = gap, case.name
        controls = zip(*(self.compare(test, self.cases[0], spoiled=True) for _ in range(CONTROLS)))
        return [Row(f"{i}: {what}", test, worst[i], max(control)) for i, (what, control) in enumerate(zip(self.outputs, controls))]

    def finite(self, i: int) -> list[Row]:
        """A row where output i is not finite on some input."""
        seen = {dtype: [case.name for case in self.cases if not self.still[case.name, dtype][i].isfinite().all()]
                for dtype in TOLERANCE}
        if not any(seen.values()):
            return []
        worst = {dtype: (inf, names[0]) if names else (0.0, "generic") for dtype, names in seen.items()}
        return [Row(f"{i}: {self.outputs[i]}", "finite", worst, 1.0, (
            f"not finite on {', '.join(seen[torch.float64])} input. Is something divided by 0 (a length, a spread, a number of "
            "neighbours), a root or a log taken of less than 0, or an exp or a power too large?" if seen[torch.float64] else
            f"finite in float64, and not in float32 on {', '.join(seen[torch.float32])} input: a number over 3e38, or a sum of "
            "weights that all became 0. Is there an exp or a power?"))]

    def compare(self, test: str, case: Case, dtype: torch.dtype = torch.float64, spoiled: bool = False,
                expect: Callable = lambda what, motion: (what, motion)) -> list[float]:
        """How far f(g x) is from g f(x) in each output, for a g drawn for the test.

        With ``spoiled`` x is no longer what it was, while the same is expected. ``expect`` changes what is expected: from an
        output's quantity and g to another quantity, or another g.
        """
        if test == "batching":
            return self.compare_alone(case, dtype, spoiled)
        motion = draw_motion(test, case, self.random)
        values = [motion.act(what, spoil(test, what, value, self.random) if spoiled else value)
                  for what, value in zip(self.inputs, case.values)]
        found, still = self.call(replace(case, values=values), dtype), self.still.get((case.name, dtype)) or self.call(case, dtype)
        expected = [g.act(what, value) for (what, g), value in zip((expect(what, motion) for what in self.outputs), still)]
        return [self.relative(i, *pair) for i, pair in enumerate(zip(found, expected))]

    def compare_alone(self, case: Case, dtype: torch.dtype, spoiled: bool) -> list[float]:
        """How far what each graph of a batch gives alone is from what it gives among the others."""
        worst, still = [0.0] * len(self.outputs), self.still[case.name, dtype]
        for k in range(int(case.batch[-1]) + 1):
            own = {"node": case.batch == k, "edge": case.batch[case.edge_index[0]] == k, "graph": torch.tensor([k])}
            batch = torch.zeros(int(own["node"].sum()), dtype=torch.int64)
            edge_index = case.edge_index[:, own["edge"]] - int((case.batch < k).sum())
            values = [{"edge_index": edge_index, "batch": batch}[what] if isinstance(what, str) else
                      (spoil("batching", what, value, self.random) if spoiled else value)[own[what.level]]
                      for what, value in zip(self.inputs, case.values)]
            try:
                alone = self.call(Case(f"{case.name}, graph {k}", values, edge_index, batch), dtype)
            except Exception as error:
                self.remark(f"a graph of {len(batch)} nodes alone: {type(error).__name__}: {error}")
                continue
            worst = [max(gap, self.relative(i, value, among[own[self.outputs[i].level]]))
                     for i, (gap, value, among) in enumerate(zip(worst, alone, still))]
        return worst

    def call(self, case: Case, dtype: torch.dtype = torch.float64, detach: bool = True) -> list[Tensor]:
        """The outputs of f, in float64, their shapes checked."""
        given = [v.to(dtype) if v.is_floating_point() else v for v in case.values]
        handed, default = [v.clone() for v in given], torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)
            found = self.f[dtype](*handed)
        finally:
            torch.set_default_dtype(default)
        for k, (before, after) in enumerate(zip(given, handed)):
            if not torch.equal(before, after):
                self.fault(f"f changes its input {k} in place: the caller's own data. x = x + ... makes new data.")
        found = [found] if isinstance(found, Tensor) else found
        if not isinstance(found, tuple | list) or not all(isinstance(value, Tensor) for value in found):
            raise ValueError(f"f returned a {type(found).__name__}; expected a tensor, or a tuple of tensors.")
        if len(found) != len(self.outputs):
            raise ValueError(f"f returned {len(found)} outputs; expected {len(self.outputs)}: {', '.join(map(str, self.outputs))}.")
        for i, (what, value) in enumerate(zip(self.outputs, found)):
            start, end = rows(what.level, case.edge_index, case.batch, "batch" in self.inputs), (3,) * KINDS[what.kind]
            middle = tuple(value.shape[len(start): value.ndim - len(end)])
            if value.shape != (*start, *middle, *end) or what.channels not in ((), middle):
                raise ValueError(f"output {i} has shape {tuple(value.shape)}; expected a {what}, {(*start, *what.channels, *end)}"
                                 f"{'' if what.channels else ', with any channels in between'}.")
        return [(value.detach() if detach else value).double() for value in found]

    def relative(self, i: int, found: Tensor, expected: Tensor) -> float:
        """The largest difference between two values of output i, next to its size; what is finite in neither is left out."""
        if found.shape != expected.shape:
            return inf
        both = found.isfinite() & expected.isfinite()
        if (found.isfinite() != expected.isfinite()).any():
            return inf
        if not both.any():
            return 0.0
        found, expected = found[both], expected[both]
        return float((found - expected).abs().max()) / (max(float(expected.abs().max()), self.size[i]) or 1.0)

    def jumps(self, i: int, case: Case, dtype: torch.dtype = torch.float64) -> bool:
        """Whether a degenerate input is one where output i jumps, or nearly so: a nudge changes it a thousand times as much."""
        def nudged(value):
            return value + TOLERANCE[dtype] / 1000 * normal(value.shape, self.random) if value.is_floating_point() else value

        return case.name not in ("generic", "wide") and any(
            TOLERANCE[dtype] < self.relative(i, self.call(replace(case, values=list(map(nudged, case.values))))[i],
                                             self.still[case.name, torch.float64][i]) < inf for _ in range(NUDGES))
