"""WebVTT: each answer with what was said and its argument, and each mark, as subtitles of the recording.

The page writes the same from a session.
"""

from __future__ import annotations

from pathlib import Path

from realtime.formats.percent import percent
from realtime.formats.spans import TextSpan, Tiers


def write(found: Tiers, media: Path | None, out: Path) -> None:
    """Write subtitles to `out`."""
    del media  # a subtitle does not name what it belongs to
    arguments = {span.start_s: span.text for span in found.argument}
    cues = [
        _cue(
            span,
            # Being unsure has no percentage of its own: what stands there is the likeliest label's.
            span.text if span.text == "unsure" else f"{span.text} ({percent(float(share.text))})",
            # The window of a stretch of speech ends with it.
            *(f"“{said.text}”" for said in found.words if span.start_s < said.end_s <= span.end_s),
            arguments.get(span.start_s, ""),
        )
        for span, share in zip(found.label, found.probability, strict=True)
    ]
    cues += [_cue(span, span.text) for span in found.mark]
    note = [f"NOTE {found.started}\n"] if found.started else []
    out.write_text("\n".join(["WEBVTT\n", *note, *cues]), encoding="utf-8")


def _cue(span: TextSpan, *lines: str) -> str:
    text = "\n".join(_escaped(line) for line in lines if line)
    return f"{_stamp(span.start_s)} --> {_stamp(span.end_s)}\n{text}\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
