"""H.264 in an offer: which of its profiles can be decoded, and the form in which aiortc takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

H264_RTPMAP = re.compile(r"a=rtpmap:(\d{1,3}) H264/90000", re.IGNORECASE)
H264_PROFILES = frozenset({0x2C, 0x42, 0x4D, 0x64, 0x6E, 0x7A, 0xF4})
"profile_idc of what FFmpeg decodes: Baseline, Main, High, and its forms with more bits and colours."
H264_SHOWN = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
"How aiortc is shown each H.264 that can be decoded. It knows two profiles; its depacketizer and FFmpeg know more."


def payloads_of(section: Sequence[str]) -> dict[str, str]:
    """Payload types of H.264 and their format parameters, empty where the offer gives none."""
    found = [match[1] for line in section if (match := H264_RTPMAP.match(line))]
    return {payload: _parameters(section, payload) for payload in found}


def refusal(parameters: str) -> str | None:
    """What of these format parameters cannot be decoded, or None."""
    given = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";"))
    if given.get("packetization-mode", "0") not in ("0", "1"):
        return f"packetization-mode={given['packetization-mode'][:8]}"
    profile = given.get("profile-level-id", "42e01f")
    try:
        decodable = len(profile) == 6 and int(profile[:2], 16) in H264_PROFILES
    except ValueError:
        decodable = False
    return None if decodable else f"profile-level-id={profile[:8]}"


def shown_to_aiortc(section: list[str]) -> list[str]:
    """The section with each H.264 that can be decoded in the one form that aiortc takes."""
    shown = {payload for payload, given in payloads_of(section).items() if refusal(given) is None}
    others = [line for line in section if not line.startswith(tuple(f"a=fmtp:{payload} " for payload in shown))]
    return others + [f"a=fmtp:{payload} {H264_SHOWN}" for payload in sorted(shown)]


def _parameters(section: Sequence[str], payload: str) -> str:
    start = f"a=fmtp:{payload} "
    return next((line.removeprefix(start) for line in section if line.startswith(start)), "")
