"""Narrows a WHIP offer to the sections that we receive, and widens the answer to all sections of the offer.

We receive one audio and one video track. aiortc refuses a whole offer because of one section it cannot use, and opens
every section it can. So it only gets the sections that we receive. The answer holds the others open with nothing sent
(`inactive`) where they share a transport that is there anyway, and rejects them (port 0) where they do not: aiortc's
clients and werift never connect while one section of a bundle is rejected.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from realtime.errors import BadOffer, NoMediaOffered

MAX_CANDIDATES = 32
"Candidates used per section. Each costs a connectivity check towards an address that the sender names."
MAX_CREDENTIAL = 256
"Longest ICE user fragment and password (RFC 8839)."
CANDIDATE_KIND = re.compile(r"^a=candidate:[^\r\n]* typ (host|srflx|prflx|relay)\b", re.MULTILINE)
H264_RTPMAP = re.compile(r"a=rtpmap:(\d{1,3}) H264/90000", re.IGNORECASE)
OPEN_SECTION = re.compile(r"m=\w+ [1-9]\d* ")
KNOWN_KINDS = ("m=audio ", "m=video ", "m=application ")
MID = re.compile(r"[\w!#$%&'*+.^`{|}~-]{1,32}", re.ASCII)
FINGERPRINTS = frozenset({"sha-256", "sha-384", "sha-512"})
TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate", "end-of-candidates")
CREDENTIALS = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
INVISIBLE = {0x00A0: " ", **dict.fromkeys((0xFEFF, 0x200B, 0x200C, 0x200D, 0x2060))}
SEND_HINT = "Send Opus, G.722 or G.711 audio, VP8 or H.264 video, or both."
STATIC_RTPMAPS = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
"Payload types that need no rtpmap (RFC 3551), of those we decode."
H264_PROFILES = frozenset({0x2C, 0x42, 0x4D, 0x64, 0x6E, 0x7A, 0xF4})
"profile_idc of what FFmpeg decodes: Baseline, Main, High, and its forms with more bits and colours."
H264_SHOWN = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
"How aiortc is shown each H.264 that can be decoded. It knows two profiles; its depacketizer and FFmpeg know more."
# What aiortc's parser raises on text that is almost SDP.
PARSE_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """An offer of at most one audio and one video section, with the sections it was made from."""

    sdp: str
    kinds: tuple[str, ...]
    "The kinds that will be received, `audio` and `video`, in the order of the offer."
    _sections: tuple[tuple[str, ...], ...]
    _taken: tuple[int, ...]
    _idle: tuple[int, ...]
    "Sections that are not taken, bundled with one that is; they are answered, but nothing runs in them."
    _bundle: tuple[str, ...]
    "Mids that share a transport, in the order of the offer."
    n_unusable: int = 0
    "Candidates that were left out, because they cannot be read or name no address."

    @property
    def has_data_channel(self) -> bool:
        """Whether the answer takes a data channel."""
        return any(self._sections[index][0].startswith("m=application ") for index in self._idle)

    @property
    def candidate_kinds(self) -> str:
        """How many candidates of which kind the offer has, such as `2 host, 1 relay, 1 unusable`."""
        kinds = Counter(match[1] for match in CANDIDATE_KIND.finditer(self.sdp))
        kinds.update({"unusable": self.n_unusable} if self.n_unusable else {})
        return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))

    def widen(self, answer: str) -> str:
        """The answer to the whole offer: it rejects the sections that were not taken, each in its place."""
        head, answered = _split(answer)
        waiting = iter(answered)
        leader = next((one for one in answered if _attribute(one, "mid") in self._bundle), answered[0])
        sections = []
        for index, section in enumerate(self._sections):
            if index in self._taken:
                sections.append(_echoed(next(waiting), section))
            else:
                sections.append(_not_taken(section, like=leader, idle=index in self._idle))
        # In the order of the offer, so that its first section carries the transport here too. aiortc needs that.
        head = [line for line in head if not line.startswith("a=group:BUNDLE")]
        head += [f"a=group:BUNDLE {' '.join(self._bundle)}"] if self._bundle else []
        return "".join(f"{line}\r\n" for line in [*head, *(line for section in sections for line in section)])


def narrow(offer: str) -> Narrowed:
    """Narrow an offer. Raises BadOffer if it is no SDP offer of a WebRTC sender, NoMediaOffered if we cannot use it."""
    # What editors, web pages and C programs leave in a text: marks without width, spaces that do not break, a last NUL.
    offer = offer.rstrip("\0").translate(INVISIBLE)
    if not offer.lstrip().startswith("v="):
        raise BadOffer(
            "The body is not SDP: it does not begin with a v= line.", "Send the sender's offer as application/sdp."
        )
    if not offer.translate({ord(mark): None for mark in "\r\n\t"}).isprintable():
        # Python's splitlines, which aiortc uses, breaks lines at some of these.
        raise BadOffer("The offer contains control characters.", "Send the offer exactly as the WebRTC sender made it.")
    head, whole = _split(offer)
    # One address that cannot be used says nothing about the others: it is left out, not the sender.
    sections = [[line for line in section if _is_usable(line)] for section in whole]
    if not sections:
        raise NoMediaOffered("The offer has no media section (m= line).", SEND_HINT)
    bundle = next((line.split()[1:] for line in head if line.startswith("a=group:BUNDLE")), [])
    leader = next((section for section in sections if bundle and _attribute(section, "mid") == bundle[0]), None)

    taken: dict[int, list[str]] = {}
    kinds: list[str] = []
    refusals: list[str] = []
    for index, section in enumerate(sections):
        kind = section[0].removeprefix("m=").split(" ")[0]
        if kind not in ("audio", "video") or kind in kinds:
            continue
        unnamed = not any(line.startswith("a=mid") for line in section)
        named = [*section, f"a=mid:{_free_mid([*sections, *taken.values()])}"] if unnamed else section
        complete = _complete(head, named, leader if _attribute(section, "mid") in bundle else None)
        refusal = _refusal(kind, head, complete)
        if refusal:
            refusals.append(refusal)
            continue
        taken[index] = complete
        kinds.append(kind)
    if not taken:
        raise NoMediaOffered(" ".join(refusals) or "The offer has neither an audio nor a video section.", SEND_HINT)

    mids = [_attribute(section, "mid") for section in taken.values()]
    if len(set(mids)) < len(mids):
        raise BadOffer(f"Two sections of the offer are both called a=mid:{mids[0]}.", "Give every section its own mid.")
    kept = [mid for mid in bundle if mid in mids]
    unsent = {index: section for index, section in enumerate(sections) if index not in taken and kept}
    idle = {index: _attribute(section, "mid") for index, section in unsent.items() if _idles(section, bundle)}
    lines = [line for line in head if not line.startswith("a=group:")]
    lines += [f"a=group:BUNDLE {' '.join(kept)}"] if kept else []
    lines += [line for section in taken.values() for line in section]
    return Narrowed(
        sdp="".join(f"{line}\r\n" for line in lines),
        kinds=tuple(kinds),
        _sections=tuple(map(tuple, sections)),
        _taken=tuple(taken),
        _idle=tuple(idle),
        _bundle=tuple(mid for mid in bundle if mid in (*kept, *idle.values())),
        n_unusable=sum(map(len, whole)) - sum(map(len, sections)),
    )


def announce(answer: str, *, reached: str | None, public_address: str = "") -> str:
    """The answer without the addresses of our private networks.

    `reached` stays: it is the private address that a peer of our own network used, so it knows it. `public_address`,
    where given, replaces all others. If no address is left, the path has to come from a relay or the peer's address.
    """
    lines = []
    for line in answer.splitlines():
        if line.startswith("a=candidate:"):
            words = line.split(" ")
            if words[4] != reached and not _is_global(words[4]):
                if not public_address or (":" in public_address) != (":" in words[4]):
                    continue
                words[4] = public_address
            for name, hidden in (("raddr", "0.0.0.0"), ("rport", "0")):
                if name in words:
                    words[words.index(name) + 1] = hidden
            line = " ".join(words)
        elif line.startswith("c=IN ") and not _is_global(line.split(" ")[2]) and line.split(" ")[2] != reached:
            # The default address, which browsers do not use. This value points to the candidates (RFC 8838).
            line = "c=IN IP4 0.0.0.0"
        elif line.startswith("a=rtcp:"):
            line = "a=rtcp:9 IN IP4 0.0.0.0"
        lines.append(line)
    return "".join(f"{line}\r\n" for line in lines)


def _is_usable(line: str) -> bool:
    """Whether a line is no candidate, or one that a connectivity check can be sent to."""
    if not line.startswith("a=candidate:"):
        return True
    try:
        candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
        # Browsers hide addresses behind names of this kind (mDNS), which are resolved later.
        if not candidate.ip.endswith(".local"):
            ipaddress.ip_address(candidate.ip)
    except PARSE_ERRORS:
        return False
    return 0 < candidate.port < 65536


def _is_global(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _split(sdp: str) -> tuple[list[str], list[list[str]]]:
    """Session lines, and the lines of each media section."""
    lines = [line.rstrip() for line in re.split(r"\r\n|\n|\r", sdp.strip())]
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    return lines[: starts[0]], [lines[a:b] for a, b in itertools.pairwise(starts)]


def _attribute(section: Sequence[str], name: str, end: str = ":") -> str | None:
    return next((line.removeprefix(f"a={name}{end}") for line in section if line.startswith(f"a={name}{end}")), None)


def _free_mid(sections: list[list[str]]) -> str:
    """A mid that no section has, for one without: it is optional where nothing is bundled (RFC 5888)."""
    mids = {_attribute(section, "mid") for section in sections}
    return next(mid for mid in map(str, itertools.count()) if mid not in mids)


def _h264_payloads(section: Sequence[str]) -> dict[str, str]:
    """Payload types of H.264 and their format parameters, empty where the offer gives none."""
    payloads = [match[1] for line in section if (match := H264_RTPMAP.match(line))]
    return {payload: _attribute(section, f"fmtp:{payload} ", "") or "" for payload in payloads}


def _h264_refusal(parameters: str) -> str | None:
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


def _with_h264_shown(section: list[str]) -> list[str]:
    """The section with each H.264 that can be decoded in the one form that aiortc takes."""
    shown = {payload for payload, given in _h264_payloads(section).items() if _h264_refusal(given) is None}
    others = [line for line in section if not line.startswith(tuple(f"a=fmtp:{payload} " for payload in shown))]
    return others + [f"a=fmtp:{payload} {H264_SHOWN}" for payload in sorted(shown)]


def _complete(head: list[str], section: list[str], leader: list[str] | None) -> list[str]:
    """The section completed by its bundle: only the first section of a bundle has to carry the transport."""
    lines = list(section)
    if leader is not None and _attribute(head + section, "ice-ufrag") is None:
        lines += [line for line in leader if line.startswith(tuple(f"a={name}" for name in TRANSPORT))]
    if not any(f"a={direction}" in head + lines for direction in DIRECTIONS):
        lines.append("a=sendrecv")
    if lines[0].startswith("m=audio "):
        lines += [
            f"a=rtpmap:{payload} {STATIC_RTPMAPS[payload]}"
            for payload in lines[0].split(" ")[3:]
            if payload in STATIC_RTPMAPS and _attribute(lines, f"rtpmap:{payload} ", "") is None
        ]
    else:
        lines = _with_h264_shown(lines)
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    beyond = set(candidates[MAX_CANDIDATES:])
    return [line for line in lines if line not in beyond]


def _refusal(kind: str, head: list[str], section: list[str]) -> str | None:
    """Why this audio or video section cannot be received, or None. Raises BadOffer when it cannot be read."""
    try:
        media = SessionDescription.parse("\r\n".join([*head, *section])).media[0]
    except PARSE_ERRORS as error:
        raise BadOffer(
            f"The {kind} section of the offer cannot be read ({type(error).__name__}).",
            "Send the offer exactly as the WebRTC sender made it.",
        ) from error
    direction = media.direction or next((name for name in DIRECTIONS if f"a={name}" in head), "sendrecv")
    if direction not in ("sendrecv", "sendonly") or (media.port == 0 and "a=bundle-only" not in section):
        return f"The {kind} section does not send ({'port 0' if media.port == 0 else direction})."
    common = [codec for codec in find_common_codecs(CODECS[kind], media.rtp.codecs) if not is_rtx(codec)]
    if not common:
        h264 = {payload: _h264_refusal(given) for payload, given in _h264_payloads(section).items()}
        offered = sorted(
            {
                " with ".join(filter(None, (codec.mimeType.split("/")[1], h264.get(str(codec.payloadType)))))
                for codec in media.rtp.codecs
                if not is_rtx(codec)
            }
        )
        return f"The {kind} section offers {', '.join(offered) or 'no codec'}, none of which we decode."
    missing = _missing(media, section)
    if missing:
        raise BadOffer(
            f"The {kind} section of the offer lacks {missing}.", "Send the offer of a WebRTC sender, complete."
        )
    return None


def _missing(media: MediaDescription, section: list[str]) -> str | None:
    """The first line that every WebRTC sender writes and this section lacks, or None."""
    ufrag = (media.ice and media.ice.usernameFragment) or ""
    password = (media.ice and media.ice.password) or ""
    needs = {
        "one a=mid": [line for line in section if line.startswith("a=mid")] == [f"a=mid:{media.rtp.muxId}"]
        and MID.fullmatch(media.rtp.muxId) is not None,
        "a usable a=ice-ufrag and a=ice-pwd": 0 < len(ufrag) <= MAX_CREDENTIAL and 0 < len(password) <= MAX_CREDENTIAL,
        "a=setup": media.dtls is not None,
        "a SHA-2 a=fingerprint": media.dtls is None
        or any(print_.algorithm.lower() in FINGERPRINTS for print_ in media.dtls.fingerprints),
        "a=rtcp-mux": media.rtcp_mux,
    }
    return next((what for what, there in needs.items() if not there), None)


def _echoed(answered: list[str], offered: Sequence[str]) -> list[str]:
    """What aiortc answered to a section as it was shown, as an answer to the section as it was offered."""
    h264 = _h264_payloads(offered)
    protocol = offered[0].split(" ")[2]
    kind, port, _, formats = answered[0].split(" ", 3)
    lines = [f"{kind} {port} {protocol} {formats}"]
    for line in answered[1:]:
        payload = line.removeprefix("a=fmtp:").partition(" ")[0] if line.startswith("a=fmtp:") else None
        if payload in h264:
            if h264[payload]:
                lines.append(f"a=fmtp:{payload} {h264[payload]}")
        elif not line.startswith("a=mid:") or _attribute(offered, "mid") is not None:
            lines.append(line)
    return lines


def _idles(section: list[str], bundle: list[str]) -> bool:
    """Whether a section that is not taken can be answered without a transport of its own."""
    is_open = OPEN_SECTION.match(section[0]) is not None or "a=bundle-only" in section
    return is_open and section[0].startswith(KNOWN_KINDS) and _attribute(section, "mid") in bundle


def _not_taken(section: Sequence[str], *, like: list[str], idle: bool) -> list[str]:
    """The answer to a section that is not taken: refused with port 0, or `idle`, with nothing sent either way.

    It has all that stacks look for in any section: aiortc and werift want the transport, and a codec they know, even
    where the port is 0. `like` is a section that was taken. The first section of a bundle has the candidates of all, so
    each that may be the first gets them.
    """
    kind, _, rest = section[0].removeprefix("m=").partition(" ")
    formats = ("a=rtpmap:", "a=fmtp:", "a=sctp-port:", "a=sctpmap:", "a=max-message-size:", "a=mid:")
    transport = tuple(f"a={name}" for name in TRANSPORT) if idle else CREDENTIALS
    return [
        f"m={kind} {like[0].split(' ')[1] if idle else 0} {rest.partition(' ')[2]}",
        "c=IN IP4 0.0.0.0",
        *(line for line in section if line.startswith(formats)),
        *(["a=inactive", "a=rtcp-mux"] if kind in ("audio", "video") else []),
        *(line for line in like if line.startswith(transport)),
    ]
