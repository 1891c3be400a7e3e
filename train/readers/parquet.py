"""Reads Parquet as a label file: one file or a folder of files, with the columns of `labels.csv` (`folder.py`).

`file` is relative to the folder of the Parquet file. Where the nodes share no disk, the column `bytes` holds the
recordings; only Ray's workers read it (`rows_with_recordings`, `coet/on_ray.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings
from train.readers import folder
from train.readers.clip import Clip

BYTES = "bytes"
ROWS = 8
"Rows that are read at a time where they hold recordings."
INSTALL = "pip install 'emothinker[ray]'"


def is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))


def files(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def home(path: Path) -> Path:
    """The folder to which `file` is relative."""
    return (path if path.is_dir() else path.parent).resolve()


def columns(path: Path) -> list[str]:
    """The names of the columns. Raises BadSettings."""
    return list(_dataset(path).schema.names)


def read(path: Path) -> list[Clip]:
    """The clips in the order of files and rows. Recordings are not read. Raises BadSettings."""
    return folder.clips(home(path), _rows(path), path)


def rows_with_recordings(file: Path) -> Iterator[list[dict[str, Any]]]:
    """All columns of one Parquet file, a few rows at a time."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=ROWS):
            yield batch.to_pylist()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    dataset = _dataset(path)
    try:
        for batch in dataset.to_batches(columns=[name for name in dataset.schema.names if name != BYTES]):
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _dataset(path: Path) -> Any:
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise BadSettings("Parquet is read with pyarrow, which is not installed.", f"{INSTALL}.") from error
    if not path.exists():
        raise BadSettings(f"There is no {path}.", "Name the Parquet file, or the folder of them.")
    try:
        return dataset.dataset([str(file) for file in files(path)], format="parquet")
    # Arrow's errors are ValueErrors and OSErrors.
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BadSettings:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return BadSettings(f"{path} cannot be read: {said}", "Write it again; the files of a folder share their columns.")
