"""Reads pickles of published sets without running code in them: plain values and NumPy arrays only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import IO, Any

from train.readers.clip import DataMissing

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    # Arrays of pickle's protocol 5, in which Python 3.14 writes.
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("__builtin__", "set"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("builtins", "list"),
    ("builtins", "dict"),
}


class PlainUnpickler(pickle.Unpickler):
    """Refuses every class and function that is not in `ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no table of numbers needs")
        return super().find_class(module, name)


def load(file: IO[bytes]) -> Any:
    return PlainUnpickler(file, encoding="latin1").load()


def read(path: Path) -> Any:
    """The value of a pickle. Raises DataMissing where it holds anything but plain values and arrays."""
    try:
        with path.open("rb") as file:
            return load(file)
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, ImportError, IndexError) as error:
        raise DataMissing(f"{path} cannot be read: {error}.", "Fetch the file again.") from error
