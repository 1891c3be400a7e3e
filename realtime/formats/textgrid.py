"""TextGrid, the annotation format of Praat: interval tiers without gaps, in its long text form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realtime.formats.spans import TextSpan, Tiers


def write(found: Tiers, media: Path | None, out: Path) -> None:
    """Write annotations to `out`."""
    del media  # Praat opens a sound and a TextGrid together; the file names none
    out.write_text("\n".join(_lines(found)) + "\n", encoding="utf-8")


def _lines(found: Tiers) -> Iterator[str]:
    # Praat refuses a file whose tiers end at different times, or an empty one.
    end_s = max(found.end_s, 0.001)
    named = found.named
    if found.started is not None:
        # The format has no place for what concerns the whole file.
        named["started_at"] = [TextSpan(0.0, end_s, found.started)]
    yield from ('File type = "ooTextFile"', 'Object class = "TextGrid"', "")
    yield from (f"xmin = 0 \nxmax = {end_s:.6f} ", "tiers? <exists> ", f"size = {len(named)} ", "item []: ")
    for number, (name, spans) in enumerate(named.items(), 1):
        filled = _filled(spans, end_s)
        yield from (f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ')
        yield from (f"        xmin = 0 \n        xmax = {end_s:.6f} ", f"        intervals: size = {len(filled)} ")
        for place, span in enumerate(filled, 1):
            yield f"        intervals [{place}]:"
            yield f"            xmin = {span.start_s:.6f} \n            xmax = {span.end_s:.6f} "
            yield f'            text = "{span.text.replace(chr(34), chr(34) * 2)}" '


def _filled(spans: list[TextSpan], end_s: float) -> list[TextSpan]:
    """The spans with empty ones between them, from 0 to `end_s`."""
    filled: list[TextSpan] = []
    at_s = 0.0
    for span in [*spans, TextSpan(end_s, end_s, "")]:
        # Six decimals are written: a shorter gap would be an interval without length, which Praat refuses.
        if span.start_s - at_s > 1e-6:
            filled.append(TextSpan(at_s, span.start_s, ""))
        if span.end_s > span.start_s:
            filled.append(TextSpan(at_s if span.start_s - at_s <= 1e-6 else span.start_s, span.end_s, span.text))
        at_s = max(at_s, span.end_s)
    return filled
