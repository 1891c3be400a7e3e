"""Narrows a WHIP offer to the sections that we receive, and widens the answer to all sections of the offer.

We receive one audio and one video track. aiortc refuses a whole offer because of one section it cannot use, and opens
every section it can. So it only gets the sections that we receive. The answer holds the others open with nothing sent
(`inactive`): aiortc's clients and werift never connect while a section is rejected (port 0). A section that shares no
transport with one that we receive gets one of its own, up to `MAX_ALONE` of them.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription

from realtime.errors import BadOffer, NoMediaOffered
from realtime.ingest import h264
from realtime.ingest.addresses import PARSE_ERRORS, is_usable
from realtime.ingest.sdp_lines import readable

MAX_CANDIDATES = 32
"Candidates used per section. Each costs a connectivity check towards an address that the sender names."
MAX_ALONE = 4
"Sections that are not received and still get a transport of their own. Each costs sockets and a handshake."
MAX_CREDENTIAL = 256
"Longest ICE user fragment and password (RFC 8839)."
CANDIDATE_KIND = re.compile(r"^a=candidate:[^\r\n]* typ (host|srflx|prflx|relay)\b", re.MULTILINE)
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
    alone: Mapping[int, str] = field(default_factory=dict)
    """By its place: each section that is not taken and shares no transport, as an offer of one silent PCMU section, for
    aiortc to answer. `widen` takes the answers."""
    n_unusable: int = 0
    "Candidates that were left out, because they cannot be read or name no address."

    @property
    def has_data_channel(self) -> bool:
        """Whether the answer takes a data channel on the transport of a section that is received."""
        return any(map(self.is_data_channel, self._idle))

    def is_data_channel(self, index: int) -> bool:
        """Whether the section at this place of the offer is a data channel."""
        return self._sections[index][0].startswith("m=application ")

    @property
    def candidate_kinds(self) -> str:
        """How many candidates of which kind the offer has, such as `2 host, 1 relay, 1 unusable`."""
        kinds = Counter(match[1] for match in CANDIDATE_KIND.finditer(self.sdp))
        kinds.update({"unusable": self.n_unusable} if self.n_unusable else {})
        return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))

    def widen(self, answer: str, alone: Mapping[int, str] | None = None) -> str:
        """The answer to the whole offer, with the sections that were not taken each in its place.

        `alone`: aiortc's answers to those of the offers of that name that it answered; the other sections are rejected.
        """
        held = {index: _split(sdp)[1][0] for index, sdp in (alone or {}).items()}
        head, answered = _split(answer)
        waiting = iter(answered)
        leader = next((one for one in answered if _attribute(one, "mid") in self._bundle), answered[0])
        sections = []
        for index, section in enumerate(self._sections):
            if index in self._taken:
                sections.append(_echoed(next(waiting), section))
            else:
                like = held.get(index, leader)
                sections.append(_not_taken(section, like=like, idle=index in held or index in self._idle))
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
    usable = [[line for line in section if is_usable(line)] for section in whole]
    head, sections = readable(head), [readable(section, static=STATIC_RTPMAPS) for section in usable]
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
    others = [index for index in range(len(sections)) if index not in taken and index not in idle]
    plain = [line for line in head if not line.startswith("a=group:")]
    lines = list(plain)
    lines += [f"a=group:BUNDLE {' '.join(kept)}"] if kept else []
    lines += [line for section in taken.values() for line in section]
    return Narrowed(
        sdp="".join(f"{line}\r\n" for line in lines),
        kinds=tuple(kinds),
        _sections=tuple(map(tuple, sections)),
        _taken=tuple(taken),
        _idle=tuple(idle),
        _bundle=tuple(mid for mid in bundle if mid in (*kept, *idle.values())),
        alone=dict(itertools.islice(_alone(plain, sections, others), MAX_ALONE)),
        n_unusable=sum(map(len, whole)) - sum(map(len, usable)),
    )


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
        lines = h264.shown_to_aiortc(lines)
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
        faults = {payload: h264.refusal(given) for payload, given in h264.payloads_of(section).items()}
        offered = sorted(
            {
                " with ".join(filter(None, (codec.mimeType.split("/")[1], faults.get(str(codec.payloadType)))))
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
    given = h264.payloads_of(offered)
    protocol = offered[0].split(" ")[2]
    kind, port, _, formats = answered[0].split(" ", 3)
    lines = [f"{kind} {port} {protocol} {formats}"]
    for line in answered[1:]:
        payload = line.removeprefix("a=fmtp:").partition(" ")[0] if line.startswith("a=fmtp:") else None
        if payload in given:
            if given[payload]:
                lines.append(f"a=fmtp:{payload} {given[payload]}")
        elif not line.startswith("a=mid:") or _attribute(offered, "mid") is not None:
            lines.append(line)
    return lines


def _idles(section: list[str], bundle: list[str]) -> bool:
    """Whether a section that is not taken can be answered without a transport of its own."""
    is_open = OPEN_SECTION.match(section[0]) is not None or "a=bundle-only" in section
    return is_open and section[0].startswith(KNOWN_KINDS) and _attribute(section, "mid") in bundle


def _alone(head: list[str], sections: list[list[str]], others: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The places of the sections among `others` that a transport can be made for, with an offer for aiortc."""
    for index in others:
        section = sections[index]
        if OPEN_SECTION.match(section[0]) is None or not section[0].startswith(KNOWN_KINDS):
            continue
        transport = [line for line in section if line.startswith(tuple(f"a={name}" for name in TRANSPORT))]
        # What it would carry does not matter, so aiortc is shown a kind that it always takes.
        shown = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", "a=mid:0", "a=inactive", "a=rtcp-mux", *transport]
        complete = _complete(head, shown, None)
        try:
            media = SessionDescription.parse("\r\n".join([*head, *complete])).media[0]
        except PARSE_ERRORS:
            continue
        muxed = section[0].startswith("m=application ") or "a=rtcp-mux" in section
        if muxed and _missing(media, complete) is None:
            yield index, "".join(f"{line}\r\n" for line in [*head, *complete])


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
