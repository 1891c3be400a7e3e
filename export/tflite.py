"""Reads TensorFlow Lite files: the graph of one model, with its weights as arrays.

A .tflite file is a FlatBuffer. The field numbers are those of TensorFlow's `schema.fbs`; only what the face models use
is read. Anything else is refused, so that a graph is never converted in part.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.folder import ExportFailed

AnyArray = npt.NDArray[Any]

OPERATORS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE", 6: "DEQUANTIZE",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 34: "PAD", 45: "STRIDED_SLICE",
    54: "PRELU", 124: "DENSIFY",
}  # fmt: skip
CUSTOM = 32
KINDS: dict[int, type[np.generic]] = {0: np.float32, 1: np.float16, 2: np.int32}
"Element types of tensors."
INDEX_CODES = {1: "i", 2: "H", 3: "B"}
"Types of the indices of a sparse tensor: vectors of int32, uint16 or uint8."


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    shape: tuple[int, ...]
    value: AnyArray | None
    "The weights; None for what is computed."


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    name: str
    inputs: tuple[int, ...]
    "Numbers of tensors; -1 for an optional input that is left out."
    outputs: tuple[int, ...]
    options: _Table | None
    "The operator's own table, whose fields `option` reads."
    custom: bytes
    "Options of a custom operator, as a FlexBuffer."

    def option(self, field: int, code: str, default: int = 0) -> int:
        return int(self.options.scalar(field, code, default)) if self.options else default


@dataclass(frozen=True, slots=True)
class TfliteGraph:
    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    "In the order in which they run."
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: Path) -> TfliteGraph:
    """The first graph of a file. Raises ExportFailed for an operator or a layout that the face models do not have."""
    data = path.read_bytes()
    model = _Table(data, struct.unpack_from("<I", data)[0])
    # An operator beyond 127 has its number in a later field of the same table.
    codes = [(max(code.scalar(0, "b"), code.scalar(3, "i")), code.text(1)) for code in model.tables(1)]
    (graph,) = model.tables(2)
    buffers = [buffer.bytes(0) for buffer in model.tables(4)]
    tensors = tuple(_tensor(table, buffers[table.scalar(2, "I")]) for table in graph.tables(0))
    operators = []
    for table in graph.tables(3):
        number, custom_name = codes[table.scalar(0, "I")]
        name = custom_name if number == CUSTOM else OPERATORS.get(number)
        if name is None:
            raise ExportFailed(f"{path.name} has operator {number}, which is not known here.", "Add it to OPERATORS.")
        operators.append(
            TfliteOperator(name, table.vector(1, "i"), table.vector(2, "i"), table.table(4), table.bytes(5))
        )
    return TfliteGraph(tensors, tuple(operators), graph.vector(1, "i"), graph.vector(2, "i"))


class _Table:
    """A table of the FlatBuffer at `position`. Fields that were left out have their defaults."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        self._fields = position - struct.unpack_from("<i", data, position)[0]
        self._n_bytes = struct.unpack_from("<H", data, self._fields)[0]

    def scalar(self, field: int, code: str, default: int = 0) -> int:
        offset = self._offset(field)
        return int(struct.unpack_from(f"<{code}", self._data, self._position + offset)[0]) if offset else default

    def table(self, field: int) -> _Table | None:
        start = self._start(field)
        return None if start is None else _Table(self._data, start)

    def tables(self, field: int) -> list[_Table]:
        start = self._start(field)
        if start is None:
            return []
        places = [start + 4 + 4 * index for index in range(self._u32(start))]
        return [_Table(self._data, place + self._u32(place)) for place in places]

    def vector(self, field: int, code: str) -> tuple[int, ...]:
        start = self._start(field)
        return () if start is None else struct.unpack_from(f"<{self._u32(start)}{code}", self._data, start + 4)

    def bytes(self, field: int) -> bytes:
        start = self._start(field)
        return b"" if start is None else self._data[start + 4 : start + 4 + self._u32(start)]

    def text(self, field: int) -> str:
        return self.bytes(field).decode()

    def _offset(self, field: int) -> int:
        place = 4 + 2 * field
        return int(struct.unpack_from("<H", self._data, self._fields + place)[0]) if place < self._n_bytes else 0

    def _start(self, field: int) -> int | None:
        offset = self._offset(field)
        return self._position + offset + self._u32(self._position + offset) if offset else None

    def _u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self._data, at)[0])


def _tensor(table: _Table, stored: bytes) -> TfliteTensor:
    shape = table.vector(0, "i")
    if not stored:
        return TfliteTensor(shape, None)
    values: AnyArray = np.frombuffer(stored, KINDS[table.scalar(1, "b")])
    sparsity = table.table(6)
    return TfliteTensor(shape, values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity))


def _dense(values: AnyArray, shape: tuple[int, ...], sparsity: _Table) -> AnyArray:
    """A sparse tensor whose last dimension alone is compressed: for each row, where its values lie."""
    *outer, last = sparsity.tables(2)
    order = sparsity.vector(0, "i")
    if order != tuple(range(len(shape))) or last.scalar(0, "b") != 1 or any(each.scalar(0, "b") for each in outer):
        raise ExportFailed("A sparse tensor is laid out in another way than the face models are.", "Extend `_dense`.")
    segments, indices = (_indices(last, field) for field in (2, 4))
    dense: AnyArray = np.zeros((int(np.prod(shape[:-1])), shape[-1]), values.dtype)
    for row, (begin, end) in enumerate(pairwise(segments)):
        dense[row, list(indices[begin:end])] = values[begin:end]
    return dense.reshape(shape)


def _indices(dimension: _Table, field: int) -> tuple[int, ...]:
    """A union: its type is in `field`, its table, whose first field is the vector, in the next."""
    table: Any = dimension.table(field + 1)
    numbers: tuple[int, ...] = table.vector(0, INDEX_CODES[dimension.scalar(field, "B")])
    return numbers
