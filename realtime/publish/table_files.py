"""Writes tables of events: as CSV, as Parquet, or as a DataFrame of pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from realtime.errors import ExtraMissing
from realtime.publish.events import Event
from realtime.publish.tables import Row, TableName, columns, rows
from realtime.records import SECTIONS

if TYPE_CHECKING:
    import pandas as pd


def frame_of(events: Iterable[Event], table: TableName) -> pd.DataFrame:
    """A session's table for pandas. Raises ExtraMissing."""
    try:
        import pandas as pd
    except ImportError as error:
        raise missing("pandas") from error
    made = list(rows(events, table))
    return pd.DataFrame(made, columns=columns(made, table))


def write_parquet(sessions: Iterable[Sequence[Row]], names: Sequence[str], path: Path) -> None:
    """Write the rows of each session as a group of their own, so that no more than one session is held at a time.

    Raises ExtraMissing, OSError where the disk is full.
    """
    need_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, getattr(pa, kind_of(name))()) for name in names])
    with pq.ParquetWriter(path, schema) as out:
        for made in sessions:
            out.write_table(pa.Table.from_pylist(list(made), schema))


def need_parquet() -> None:
    """Raise ExtraMissing where Parquet cannot be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise missing("pyarrow") from error


def write_csv(sessions: Iterable[Sequence[Row]], names: Sequence[str], path: Path) -> None:
    """Write the rows of each session to a CSV file (RFC 4180, UTF-8). Raises OSError where the disk is full."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(names)
        for made in sessions:
            out.writerows([_cell(row.get(name)) for name in names] for row in made)


def _cell(value: str | float | int | bool | None) -> str | float | int:
    """A leading =, +, - or @ would be run as a formula by a spreadsheet, so words never begin with one."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() if value.startswith(("=", "+", "-", "@", "\t", "\r")):
            return f"'{value}"
    return value


def missing(package: str) -> ExtraMissing:
    """The error where a package of the extra `studies` is not installed."""
    return ExtraMissing(f"A table needs {package}, which is not installed.", "pip install 'emothinker[studies]'")


def kind_of(name: str) -> Literal["string", "int64", "float64", "bool_"]:
    """The type of a column, the same in every session, also where one has no value for it."""
    return _KINDS.get(name, "float64")


_KINDS: dict[str, Literal["string", "int64", "float64", "bool_"]] = {
    **dict.fromkeys(
        (
            "file",
            "session",
            "query",
            "source",
            "label",
            "valence_basis",
            "arousal_basis",
            "person_label",
            "marks",
            "utc",
            "name",
            "data",
            "intensity",
            "text",
            "language",
            "status",
            "reason",
            *SECTIONS,
        ),
        "string",
    ),
    **dict.fromkeys(("t", "track", "window", "frames", "speaker"), "int64"),
    "chosen": "bool_",
}
