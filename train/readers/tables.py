"""Reads CSV and TSV tables of published sets and checks their columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from train.readers.clip import DataMissing


def read(path: Path, columns: Iterable[str], *, tabs: bool = False) -> list[dict[str, str]]:
    """Rows by column name. Raises DataMissing for a file that is not this table (a wrong split file, say).

    `tabs`: columns are separated by tabs, and a quotation mark is part of the text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            reader = (
                csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
                if tabs
                else csv.DictReader(lines, restval="")
            )
            rows, header = list(reader), list(reader.fieldnames or [])
    except (OSError, csv.Error) as error:
        raise DataMissing(f"{path} cannot be read: {error}.", "Fetch the file again.") from error
    lacking = [column for column in columns if column not in header]
    if lacking:
        raise DataMissing(
            f"{path} has no column {', '.join(lacking)}; it has {', '.join(header) or 'none'}.",
            "Is it the set's own file? Fetch it again.",
        )
    if not rows:
        raise DataMissing(f"{path} has no rows.", "Fetch the file again.")
    return rows
