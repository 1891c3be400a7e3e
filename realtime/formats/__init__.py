"""The files that a recording's events are written to: lines, tables, subtitles, annotations, signals."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["jsonl", "csv", "parquet", "vtt", "eaf", "textgrid", "xdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
