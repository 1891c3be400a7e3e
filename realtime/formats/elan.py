"""EAF, the annotation format of ELAN (schema EAFv3.0): a tier each for labels, speech, marks and so on."""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from realtime.formats.spans import Tiers

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TYPE = "default-lt"


def write(found: Tiers, media: Path | None, out: Path) -> None:
    """Write annotations to `out`; ELAN finds `media` by its path, or beside the file, and asks where there is none."""
    ET.register_namespace("xsi", INSTANCE)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document = ET.Element(
        "ANNOTATION_DOCUMENT",
        {"AUTHOR": "EmoThinker", "DATE": now, "FORMAT": "3.0", "VERSION": "3.0"}
        | {f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA},
    )
    header = ET.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if media is not None:
        kind = mimetypes.guess_type(media.name)[0] or "unknown"
        ET.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            {"MEDIA_URL": media.resolve().as_uri(), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{media.name}"},
        )
    told = {"started_at": found.started_at, "started_at_error_ms": found.started_at_error_ms}
    for name, value in told.items():
        if value is not None:
            ET.SubElement(header, "PROPERTY", {"NAME": name}).text = str(value)
    times = ET.SubElement(document, "TIME_ORDER")
    n_annotations = 0
    for name, spans in found.named.items():
        tier = ET.SubElement(document, "TIER", {"LINGUISTIC_TYPE_REF": TYPE, "TIER_ID": name})
        for span in spans:
            n_annotations += 1
            slots = [_slot(times, seconds) for seconds in (span.start_s, span.end_s)]
            annotation = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{n_annotations}", "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]},
            )
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = span.text
    ET.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": TYPE, "TIME_ALIGNABLE": "true"},
    )
    # ELAN expects the time slots in the order of their times.
    times[:] = sorted(times, key=lambda slot: int(slot.attrib["TIME_VALUE"]))
    ET.indent(document)
    ET.ElementTree(document).write(out, encoding="utf-8", xml_declaration=True)


def _slot(times: ET.Element, seconds: float) -> str:
    name = f"ts{len(times) + 1}"
    ET.SubElement(times, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(round(seconds * 1000))})
    return name
