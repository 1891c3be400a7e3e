"""The recording that ships with the program, so that a first try needs none: `realtime analyze sample`.

A portrait that sways a little says two sentences with a synthetic voice. `realtime export sample` makes it; NOTICE
says what it is made of.
"""

from __future__ import annotations

from pathlib import Path

NAME = "sample"
SAMPLE = Path(__file__).with_name("sample.webm")


def or_sample(file: str) -> str:
    """The path of the sample for the word `sample`, unless a file has that name; any other path as it is."""
    return str(SAMPLE) if file == NAME and not Path(file).exists() else file
