"""Tensors in safetensors files: what a file holds, by its header alone, and blocks of them, straight from the file.

A file is mapped, not read: a block's pages come when they are copied and are given back after that. So reading a
shard of 5 GB takes the memory of a block, and what nobody asks for is never read.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from realtime.errors import BadModel

BLOCK_BYTES = 32 << 20
"Bytes of a file that are in memory at a time. Larger blocks are not read sooner."
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"The format's names of types."


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that lies in a file."""

    path: Path
    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    "Offset of its first byte in the file."
    n_bytes: int


def contents(path: Path) -> list[StoredTensor]:
    """What a file holds, in the file's order. Raises BadModel when it is missing, cut off or no safetensors file."""
    if not path.exists():
        raise BadModel(
            f"{path.name} is missing in {path.parent}.", hint="Fetch the missing shard, or the folder again."
        )
    try:
        # The library checks the header: that it fits the file, and that its tensors fill it.
        with safe_open(path, framework="pt"):
            pass
        with path.open("rb") as file:
            (n_header,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(n_header))
        header.pop("__metadata__", None)
        found = [
            StoredTensor(
                path, key, DTYPES[facts["dtype"]], tuple(facts["shape"]), 8 + n_header + first, last - first
            )
            for key, facts in header.items()
            for first, last in [facts["data_offsets"]]
        ]  # fmt: skip
    except (SafetensorError, OSError, ValueError, KeyError, struct.error) as error:
        raise BadModel(
            f"{path} can't be read as safetensors ({path.stat().st_size} bytes): {error}.",
            hint="The file is cut off or damaged; fetch it again.",
        ) from error
    return sorted(found, key=lambda stored: stored.start)


class MappedFile:
    """A safetensors file in the address space. Its pages are read when they are looked at."""

    def __init__(self, path: Path) -> None:
        """Raises BadModel when the system does not map it."""
        try:
            with path.open("rb") as file:
                # A private mapping: torch wants its buffers writable, and nothing here writes to them.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise BadModel(
                f"{path} can't be read: {error}.", hint="Check the disk, and fetch the file again."
            ) from error

    def read(self, stored: StoredTensor) -> Tensor:
        """A copy of a tensor, in its own type."""
        whole = torch.empty(stored.shape, dtype=stored.dtype)
        for rows, block in self.blocks(stored):
            as_rows(whole)[rows] = block
        return whole

    def mapped(self, stored: StoredTensor) -> Tensor:
        """A tensor where it lies: the system reads what is looked at, and drops it when memory is wanted."""
        n_values = stored.n_bytes // stored.dtype.itemsize
        flat = torch.frombuffer(self._map, dtype=stored.dtype, count=n_values, offset=stored.start)
        return flat.view(stored.shape)

    def blocks(self, stored: StoredTensor) -> Iterator[tuple[slice, Tensor]]:
        """A tensor in blocks of rows, each with its rows. Copy a block before the next: its pages are given back.

        A scalar comes as a tensor of one row.
        """
        if stored.n_bytes == 0:
            return
        shape = stored.shape or (1,)
        n_row = stored.n_bytes // shape[0]
        n_rows = max(1, BLOCK_BYTES // n_row)
        for first in range(0, shape[0], n_rows):
            rows = slice(first, min(first + n_rows, shape[0]))
            begin, n = stored.start + first * n_row, (rows.stop - first) * n_row
            self._expect(begin, n + BLOCK_BYTES)
            flat = torch.frombuffer(self._map, dtype=stored.dtype, count=n // stored.dtype.itemsize, offset=begin)
            yield rows, flat.view(-1, *shape[1:])
            del flat
            self._give_back(begin, n)

    def _expect(self, begin: int, n_bytes: int) -> None:
        """Let the system read these bytes and those after them, in larger steps than it would by itself."""
        if hasattr(mmap, "MADV_WILLNEED"):
            aligned = begin - begin % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, aligned, min(begin + n_bytes, len(self._map)) - aligned)

    def _give_back(self, begin: int, n_bytes: int) -> None:
        # The first page may hold the end of the tensor before, which was copied already; not so on every system.
        if hasattr(mmap, "MADV_DONTNEED"):
            aligned = begin - begin % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, aligned, begin + n_bytes - aligned)


def as_rows(tensor: Tensor) -> Tensor:
    """The tensor, or a scalar as a tensor of one row."""
    return tensor if tensor.ndim else tensor.view(1)
