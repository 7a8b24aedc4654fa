"""What the message of an error means, in words for a beginner.

Each sentence is true of every error that has those words, whatever line raised it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """What is said of errors whose "type: message" has a pattern. ``name`` is for a class's statistics."""

    name: str
    pattern: str
    says: str


EXPLANATIONS = (
    Explanation("an axis that is not there", (
        r"Dimension out of range|too many indices for (tensor|array)|index of a 0-dim tensor"), (
        "You asked for an axis that the tensor does not have. Indexing, as in `x[0]`, and sums along "
        "`dim` take an axis away; `keepdim=True` keeps it, and `x[:, None]` adds one. Which shape does "
        "the tensor have just before this line?")),
    Explanation("an empty input", (
        r"Expected reduction dim .*(numel\(\) == 0|non-zero size)|arg is an empty sequence"
        r"|iterable argument is empty|non-empty (list of Tensors|TensorList)|zero-size array"
        r"|index 0 is out of bounds .* size 0$"), (
        "Something is empty here, and its largest entry, its first entry or a stack of its parts was "
        "asked for. A graph may have no edges, a node no neighbors, a list no entries. What should your "
        "answer be then? If you count nodes by the largest index: not every node has an edge. If you "
        "chose by ==: rounding may leave nothing.")),
    Explanation("shapes that do not fit", (
        r"The size of tensor a|The expanded size of the tensor|shape mismatch|be broadcast"
        r"|covered by ellipsis|The shape of the mask"), (
        "Two shapes that meet in this line do not fit. Compare them from the last axis backwards: two "
        "sizes must be equal, or one of them 1. What does each axis stand for? A number per row, of "
        "shape (E,), meets (E, F) as `w[:, None]`, and a row per graph meets the nodes as `c[batch]`. "
        "If one of the two has no such axis, perhaps they should not meet.")),
    Explanation("a matrix product that does not fit", (
        r"shapes cannot be multiplied|size mismatch, got|inconsistent tensor size, expected"
        r"|1D tensors expected|Expected size for first two dimensions of batch2|einsum\(\): subscript "
        r"|matmul: Input operand"), (
        "A product sums over an axis that both factors share, so it must have the same size in both. In "
        "`A @ B`, that is the last axis of A and the last but one of B; a linear layer takes the "
        "features along the last axis. Is one of them transposed, or does its axis mean something else?")),
    Explanation("letters in einsum", r"einsum\(\): ", (
        "The letters of `einsum` name the axes of each factor, so their numbers have to agree. A tensor "
        "may come with or without its first axis: `...` stands for any number of axes, as in "
        "`ij,...j->...i`.")),
    Explanation("tensors that cannot be joined", (
        r"Sizes of tensors must match except|Tensors must have same number of dim"
        r"|stack expects each tensor to be equal"), (
        "`torch.cat` joins tensors that have equally many axes and differ along one axis only; "
        "`torch.stack` joins tensors of the same shape. Which shapes do these have, and along which "
        "axis do you join them?")),
    Explanation("another number of entries", (
        r"is invalid for input of size|cannot reshape array|view size is not comp"), (
        "A new shape keeps the number of entries, and `view` also needs them to lie in order, which "
        "`reshape` does not. Which shape does the tensor have before, and which axes do you mean to "
        "join or to split?")),
    Explanation("an index out of range", r"index -?\d+ is out of bounds|index out of range", (
        "An index points past the end: n entries have the numbers 0 to n - 1. Does this axis count what "
        "you think: nodes, edges, graphs or features?")),
    Explanation("an index that is not a whole number", (
        r"used as indices must be|only integers, slices|only integer tensors|indices must be integers"), (
        "A whole number is needed here; as an index, a tensor of them or a mask of booleans does, too. "
        "This is something else. Is it a weight or a feature, or did a division make floats of whole "
        "numbers?")),
    Explanation("types of number that do not mix", (
        r"expected scalar type|must have the same (dtype|scalar type)|dtypes match"
        r"|to have the same dtype|can't be cast to the desired output type|Expected dtype int32/int64"), (
        "Two types of number meet in an operation that does not convert them. `torch.zeros(n)` holds "
        "float32, indices and counts are int64, and an input may be float64. Which type has each tensor "
        "of this line? `x.new_zeros(...)`, `torch.zeros_like(x)` and `.to(x.dtype)` take the type of x.")),
    Explanation("complex numbers", r"not implemented for 'Complex", (
        "This tensor holds complex numbers, and they have no order. `torch.linalg.eig` returns complex "
        "numbers even for a real matrix; for a symmetric one, `eigh` returns real ones.")),
    Explanation("an operation for another type of number", (
        r"could not infer output dtype|Expected a floating point or complex|not implemented for '"
        r"|with two bool tensors|on a bool tensor|only supports boolean masks"
        r"|only implemented on integer|only supports 1-d non-negative integral"
        r"|Integers to negative integer powers"), (
        "This operation does not work on this type of number. Roots, means, norms and negative powers "
        "need floats (`.float()`), a matrix product needs numbers and not booleans, counting and "
        "indexing need whole numbers (`.long()`), and masks need booleans. Which type does the tensor "
        "have here?")),
    Explanation("something that is None", r"NoneType", (
        "Something that you use here is None. Which function or method did it come from, and does that "
        "return anything? `list.append` and `list.sort`, for example, return nothing; and an argument "
        "may be None by default.")),
    Explanation("more or fewer parts than names", r"values to unpack", (
        "On the left of this line there are more or fewer names than there are parts. Looping over a "
        "tensor gives the rows of its first axis: a tensor of shape (2, E) has two, its transpose has "
        "E. A text that is split has as many parts as it has.")),
    Explanation("one truth value from many", r"Boolean value of Tensor|truth value of an array", (
        "One truth value is asked for, and this tensor has several, one per entry: `if`, `and`, `or`, "
        "`not` and `in` do so, and so do `sorted` and `max`. `&`, `|` and `~` work entry by entry; "
        "`.any()` and `.all()` make one of many.")),
    Explanation("one number from many", (
        r"only one element tensors|cannot be converted to Scalar|only (size-1|length-1"
        r"|0-dimensional) arrays"), (
        "A single number is asked for, and this tensor has several entries, or none. Which entry do you "
        "mean, or what should happen to all of them? `torch.stack` makes one tensor of a list of "
        "tensors.")),
    Explanation("gradients in NumPy", r"numpy\(\) on Tensor that requires grad", (
        "NumPy does not follow gradients, so torch does not hand it a tensor that is trained. Use "
        "torch's functions only: almost every one of NumPy's has its counterpart there.")),
    Explanation("changed in place", r"in-place operation|inplace operation", (
        "A tensor that is trained must not be changed in place, as `+=` and `x[...] = ...` do. Make a "
        "new tensor.")),
    Explanation("rows of another width", r"source tensor shape must match self tensor shape", (
        "What you add has another shape than the rows that it is added to. The tensor that collects "
        "messages needs a row per node, as wide as a message: which two shapes meet here?")),
    Explanation("bincount of rows", r"weights should be 1-d", (
        "`torch.bincount` adds up one number per entry, and no gradient flows through it. `index_add` "
        "adds up whole rows.")),
    Explanation("one index per row", (
        r"Number of indices|Index is supposed to be a vector|Index tensor must have|Expected index \["
        r"|repeats must have the same size"), (
        "Each row needs one index that says where it goes: `index_add_(0, index, rows)` takes an index "
        "of shape (E,) for rows of shape (E, F). `scatter_add_` takes an index of the shape of the "
        "rows.")),
    Explanation("classes out of range", r"Class values must be", (
        "`one_hot` takes classes from 0 to num_classes - 1, and these numbers go beyond. Can they be "
        "any whole numbers? `x.unique(return_inverse=True)` numbers them from 0 on.")),
    Explanation("a text that is no number", r"invalid literal for int|could not convert string to float", (
        "A number is read from a text that has something else in it, which the message quotes. Which "
        "part of your text is that, and where did you cut it?")),
    Explanation("a matrix without an inverse", r"matrix is singular|Singular matrix", (
        "This matrix has no inverse. Do the points of this input lie in one plane or on one line, or "
        "are two rows equal? What should your answer be then?")),
    Explanation("a matrix that is not square", r"batches of square matrices", (
        "Inverse, determinant and eigenvalues exist for square matrices only, and the last two axes of "
        "this tensor have different sizes. Which matrix do you mean?")),
    Explanation("a division by zero", r"^ZeroDivisionError", (
        "A divisor is 0 for this input. What is counted or measured there, and when is it 0: without "
        "edges, without neighbors, for points in the same place?")),
    Explanation("a call with other arguments", (
        r"^TypeError: .*(positional argument|keyword argument|multiple values for"
        r"|invalid combination of arguments)"), (
        "A function is called with more, fewer or other arguments than it takes. Which ones does it "
        "take, and in which order? In a cell of its own, its name followed by ? shows that. What comes "
        "after a * in the list, as `generator` often does, is passed by name: `generator=generator`.")),
    Explanation("an argument of another type", (
        r"^TypeError: (.*argument '\w+' \(position \d+\) must be|expected Tensor as element)"), (
        "An argument has another type than this function takes, and the message names both. "
        "`torch.tensor(...)` makes a tensor of numbers, `int(...)` a number of a tensor with one entry, "
        "and `torch.cat([a, b])` takes a list.")),
    Explanation("operands of different types", (
        r"^TypeError: (unsupported operand type|can only concatenate)"), (
        "Two things are combined that do not go together, and the message names their types. A list is "
        "not a tensor: `torch.tensor` or `torch.stack` makes one of it. `x.max(dim)` and `x.sort()` "
        "return two tensors, `.values` and `.indices`.")),
    Explanation("a number where several are expected", (
        r"'(int|float)' object is not (iterable|subscriptable)|of a 0-d tensor|over a 0-d tensor"
        r"|non-iterable (int|float)|object of type '(int|float)' has no len"), (
        "This is a single number, and you loop over it, unpack it, index it or ask for its length. To "
        "count up to n, write `range(n)`; the number of rows of a tensor is `len(x)`.")),
    Explanation("a call of something that is not a function", r"object is not callable", (
        "Round brackets after a name call it, and this is not a function. A product is `A @ x` or `a * "
        "x`, an entry is `x[i]`. Or did a variable take the name of a function?")),
    Explanation("a method that is not there", r"^AttributeError: .*has no attribute", (
        "This has no method or attribute of that name. Tensors, NumPy arrays, lists and numbers each "
        "have their own, and `type(x)` tells you which one you have.")),
    Explanation("a name without a value", r"^(NameError|UnboundLocalError)", (
        "This name has no value when the line runs. Is it misspelled, is it set only inside an `if` or "
        "a loop that was not entered, or is it defined in a cell that has not run?")),
    Explanation("a key that is not there", r"^KeyError", (
        "The dictionary does not have this key. Which keys does it have when this line runs? Two "
        "tensors that hold the same number are different keys, and a table of examples may not hold "
        "every case.")),
    Explanation("a key that may change", r"unhashable type", (
        "A key of a dictionary or a member of a set must not be able to change. Use a tuple for a list, "
        "and `tuple(x.tolist())` for a tensor.")),
    Explanation("a recursion without end", r"^RecursionError", (
        "A function calls itself without end, directly or through another one. When should it stop, and "
        "does every call come closer to that?")),
)


def explanation(error: str) -> Explanation | None:
    """What is known of an error, given as "type: message"; None if nothing is."""
    return next((each for each in EXPLANATIONS if re.search(each.pattern, error)), None)
