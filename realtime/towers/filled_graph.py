"""Puts weights into a graph that was written without them, so that ONNX Runtime reads both from one file.

A graph of `graphs/` names its weights and has no values for them (`export.included`). A file of ONNX is one message of
protobuf, and protobuf merges messages that follow each other: repeated fields are joined. So the weights are messages
that are written after the graph, each a model with one initialiser and nothing else (protobuf.dev, "Last One Wins").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

GRAPH, INITIALIZER = 7, 5
"Fields of ModelProto and of GraphProto in onnx.proto."
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
"Fields of TensorProto."
FLOAT = 1
"float32 among the types of TensorProto."
VARINT, BYTES = 0, 2
"How the value of a field is written."


@contextmanager
def filled(graph: Path, weights: Mapping[str, Tensor]) -> Iterator[Path]:
    """A temporary file with a graph and these float32 weights, by the names that the graph has for them.

    It is removed when this is left. Raises OSError where there is no room for it.
    """
    with TemporaryDirectory(prefix="emothinker-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / graph.name
        with path.open("wb") as out:
            out.write(graph.read_bytes())
            for name, value in weights.items():
                # An array's own order of bytes is that of the processor, and ONNX wants this one.
                raw = np.asarray(value.numpy(), "<f4", order="C").tobytes()
                out.writelines((_head(name, value.shape, len(raw)), raw))
        yield path


def _head(name: str, shape: tuple[int, ...], n_bytes: int) -> bytes:
    """What stands before the values of a weight in its message."""
    dims = b"".join(_key(DIMS, VARINT) + _varint(size) for size in shape)
    kind = _key(DATA_TYPE, VARINT) + _varint(FLOAT)
    named = name.encode()
    tensor = dims + kind + _key(NAME, BYTES) + _varint(len(named)) + named + _key(RAW_DATA, BYTES) + _varint(n_bytes)
    in_graph = _key(INITIALIZER, BYTES) + _varint(len(tensor) + n_bytes)
    in_model = _key(GRAPH, BYTES) + _varint(len(in_graph) + len(tensor) + n_bytes)
    return in_model + in_graph + tensor


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
