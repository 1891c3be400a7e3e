"""The files that a recording's events are written to: lines, tables, subtitles, annotations, signals."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["jsonl", "csv", "parquet", "vtt", "eaf", "textgrid", "xdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
TEXT = "text"
"Words for a person to read, in place of lines of JSON. No table and no annotation is made of them."
