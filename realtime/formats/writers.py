"""Writes one session's events in the formats that have a file for each: subtitles, annotations, signals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from realtime.formats import Format, elan, subtitles, textgrid, xdf
from realtime.formats.spans import Tiers, tiers
from realtime.publish.events import Event

SUFFIXES: dict[Format, str] = {"vtt": ".vtt", "eaf": ".eaf", "textgrid": ".TextGrid", "xdf": ".xdf"}
"The endings of their files."

_OF_TIERS: dict[Format, Callable[[Tiers, Path | None, Path], None]] = {
    "vtt": subtitles.write,
    "eaf": elan.write,
    "textgrid": textgrid.write,
}


def write(form: Format, events: Iterable[Event], media: Path | None, out: Path) -> None:
    """Write the events of one session to `out`; `media` is the recording that they are about, where there is one.

    Raises KeyError for a format that has no file for each session.
    """
    if form == "xdf":
        xdf.write(events, media, out)
    else:
        _OF_TIERS[form](tiers(events), media, out)
