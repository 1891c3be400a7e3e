"""XDF 1.0, the file format of Lab Streaming Layer: one stream per signal, stamped in media seconds.

The format is described at https://github.com/sccn/xdf/wiki/Specifications.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET

from realtime.publish.events import ClockEvent, Event, SessionOpenedEvent
from realtime.publish.signals import Signal, Signals, SignalSample

FILE_HEADER, STREAM_HEADER, SAMPLES, STREAM_FOOTER = 1, 2, 3, 6
"Tags of chunks."


def write(events: Iterable[Event], media: Path | None, out: Path) -> None:
    """Write the signals of one session to `out`. They are named after `media`, or the session."""
    signals = Signals()
    by_signal: dict[Signal, list[SignalSample]] = {}
    session = ""
    # LabRecorder's files have this name for when they begin.
    began: dict[str, str] = {}
    for event in events:
        session = session or event.session
        if isinstance(event, SessionOpenedEvent | ClockEvent) and event.started_at is not None:
            began = {"datetime": event.started_at, "started_at_error_ms": f"{event.started_at_error_ms}"}
        for sample in signals.samples(event):
            by_signal.setdefault(sample.signal, []).append(sample)
    with out.open("wb") as file:
        file.write(b"XDF:")
        _chunk(file, FILE_HEADER, _xml(version="1.0", **began))
        for number, (signal, samples) in enumerate(by_signal.items(), 1):
            # A label comes after its chain, when later speech may have been labelled.
            ordered = sorted(samples, key=lambda sample: sample.at_s)
            header = stream_info(signal, source=f"{session}-{number}", of=session if media is None else media.name)
            stream = struct.pack("<I", number)
            _chunk(file, STREAM_HEADER, stream + header)
            packed = b"".join(_sample(sample) for sample in ordered)
            _chunk(file, SAMPLES, stream + _length(len(ordered)) + packed)
            first, last = (f"{sample.at_s:.6f}" for sample in (ordered[0], ordered[-1]))
            footer = _xml(first_timestamp=first, last_timestamp=last, sample_count=str(len(ordered)))
            _chunk(file, STREAM_FOOTER, stream + footer)


def stream_info(signal: Signal, *, source: str, of: str) -> bytes:
    """The description of a stream, as Lab Streaming Layer gives it."""
    info = ET.Element("info")
    fields = {
        "name": f"EmoThinker {signal.name}",
        "type": "Markers" if signal.of_text else "Emotion",
        "channel_count": str(len(signal.channels)),
        "nominal_srate": "0",
        "channel_format": "string" if signal.of_text else "double64",
        "source_id": source,
    }
    for name, text in fields.items():
        ET.SubElement(info, name).text = text
    description = ET.SubElement(info, "desc")
    ET.SubElement(description, "recording").text = of
    channels = ET.SubElement(description, "channels")
    for name in signal.channels:
        ET.SubElement(ET.SubElement(channels, "channel"), "label").text = name
    encoded: bytes = ET.tostring(info, encoding="utf-8", xml_declaration=True)
    return encoded


def _xml(**texts: str) -> bytes:
    info = ET.Element("info")
    for name, text in texts.items():
        ET.SubElement(info, name).text = text
    encoded: bytes = ET.tostring(info, encoding="utf-8", xml_declaration=True)
    return encoded


def _sample(sample: SignalSample) -> bytes:
    stamp = struct.pack("<Bd", 8, sample.at_s)
    if sample.signal.of_text:
        text = str(sample.values[0]).encode()
        return stamp + _length(len(text)) + text
    return stamp + struct.pack(f"<{len(sample.values)}d", *sample.values)


def _chunk(file: BinaryIO, tag: int, content: bytes) -> None:
    file.write(_length(len(content) + 2) + struct.pack("<H", tag) + content)


def _length(n: int) -> bytes:
    """A length with the number of its own bytes before it: 1, 4 or 8."""
    for size, code in ((1, "<BB"), (4, "<BI"), (8, "<BQ")):
        if n < 1 << (8 * size):
            return struct.pack(code, size, n)
    raise AssertionError("a chunk of more than 2^64 bytes")
