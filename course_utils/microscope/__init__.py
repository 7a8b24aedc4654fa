"""The symmetry microscope: does f(g x) = g f(x) hold, by how much does it fail, on which input, and why?

Permutation, translation, rotation and reflection are tried one by one, since a function may have any of them
without the others. Beside each result stands a control: the same comparison with the input spoiled, where
each point has also moved by itself, or some nodes stand in for others. It must fail. Where it does not, f
does not see what moved, and the result, which is then called blind, says nothing.
"""

from .report import Report, Row
from .trial import check_equivariance

__all__ = ["Report", "Row", "check_equivariance"]
