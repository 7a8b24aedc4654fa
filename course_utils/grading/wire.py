"""Plain data between two processes: JSON, and behind it the bytes of the tensors. Never pickle, since one of the two runs
a stranger's code; everything that comes in has its sizes checked before memory is taken for it.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..exercises.declare import Named, Other, Seed

LIMIT = 1 << 22  # bytes of a message's JSON, and of its tensors; the largest of ours has 160,000
LARGEST_INTEGER = 1 << 63  # thousands of digits are no text that Python would write
HEADER = struct.Struct("<QQ")
DTYPES = {str(d).removeprefix("torch."): d for d in (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32,
    torch.float64, torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64)}


class Malformed(ValueError):
    """What came in is no message of ours."""


def send(to: BinaryIO, message: Any, limit: int = LIMIT) -> None:
    """Write a message: numbers, texts, tensors, lists, tuples and dictionaries of them, seeds and names of functions.

    ValueError where it is over the limit, in bytes.
    """
    tensors: list[bytes] = []
    text = json.dumps(_encode(message, tensors, limit)).encode()
    blob = b"".join(tensors)
    if max(len(text), len(blob)) > limit:
        raise ValueError(f"{max(len(text), len(blob)):,} bytes; at most {limit:,} can be sent")
    to.write(HEADER.pack(len(text), len(blob)) + text + blob)
    to.flush()


def receive(source: BinaryIO, limit: int = LIMIT) -> Any:
    """Read a message. EOFError at the end of the stream, Malformed where it is none of ours or over the limit, in bytes."""
    lengths = HEADER.unpack(_exactly(source, HEADER.size))
    if max(lengths) > limit:
        raise Malformed(f"a message of {max(lengths):,} bytes")
    text, blob = (_exactly(source, length) for length in lengths)
    try:
        return _decode(json.loads(text), memoryview(bytearray(blob)), limit)
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001  json alone raises four kinds
        raise Malformed(type(error).__name__) from None


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length) if length else b""
    if len(data or b"") < length:
        raise EOFError
    return data


def _encode(value: Any, tensors: list[bytes], limit: int) -> Any:
    if type(value) is int and abs(value) >= LARGEST_INTEGER:
        raise ValueError("a whole number of more than 64 bits")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor) and value.layout != torch.strided:
        return {"sparse": list(value.shape)}
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            return {"other": f"tensor of {value.dtype}"}
        if value.numel() * value.element_size() > limit:
            raise ValueError(f"a tensor of {value.numel():,} numbers; too many to be sent")
        tensors.append(bytes(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()))
        return {"tensor": [dtype, list(value.shape), value.requires_grad]}
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(part, tensors, limit) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(part, tensors, limit) for part in pair] for pair in value.items()]}
    for kind, form in FORMS.items():
        if isinstance(value, form):
            return {kind: next(iter(vars(value).values()))}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


FORMS = {"seed": Seed, "named": Named, "other": Other}


def _decode(part: Any, blob: memoryview, limit: int) -> Any:
    place = 0

    def tensor(dtype: str, shape: list[int], requires_grad: bool) -> Tensor:
        nonlocal place
        count = _count(shape, limit)
        size = count * DTYPES[dtype].itemsize
        if place + size > len(blob):
            raise Malformed("a tensor without its bytes")
        data, place = blob[place:place + size], place + size
        if not count:
            made = torch.empty(shape, dtype=DTYPES[dtype])
        elif dtype == "bool":
            made = torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)  # a byte of 7 would be no bool
        else:
            made = torch.frombuffer(bytearray(data), dtype=DTYPES[dtype]).reshape(shape)
        return made.requires_grad_(requires_grad)

    def decode(part: Any) -> Any:
        if not isinstance(part, dict):
            if isinstance(part, list):
                raise Malformed("a list without its kind")
            if type(part) is int and abs(part) >= LARGEST_INTEGER:
                raise Malformed("a whole number of more than 64 bits")
            return part
        (kind, content), = part.items()
        if kind == "tensor":
            return tensor(*content)
        if kind == "sparse":
            _count(content, limit)
            return torch.sparse_coo_tensor(size=content)
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](map(decode, content))
        if kind == "dict":
            return {decode(key): decode(value) for key, value in content}
        return FORMS[kind](content)

    return decode(part)


def _count(shape: list[int], limit: int) -> int:
    # As if no axis were empty: four million rows of no numbers are none to send, and four million to go through.
    if len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape) or math.prod(n or 1 for n in shape) > limit:
        raise Malformed("a shape that no tensor has")
    return math.prod(shape)
