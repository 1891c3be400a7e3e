"""Settings of ingest, whatever the source. Those of the speech segmenter are in speech.py."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

MAX_CUE_FPS = 10.0
"Beyond it nothing is gained: syllables come up to eight times a second."


@dataclass(frozen=True)
class IngestSettings:
    """When a WebRTC peer or a camera counts as gone, and how often faces are measured."""

    peer_silent_s: float = 6.0
    "A peer that sends no media for this many seconds is gone, whatever the state of its connection."
    connect_s: float = 10.0
    "Seconds within which the first media has to arrive after the answer. After that there is no network path."

    cue_fps: float = 0.0
    """Measurements of faces a second, up to 10, between the one frame a second that the model reads. 0: none. They tell
    whose mouth moves with the voice. Each costs as much as finding the faces in a frame."""

    def __post_init__(self) -> None:
        if not 0 <= self.cue_fps <= MAX_CUE_FPS:
            raise ValueError(f"ingest.cue_fps must be between 0 and {MAX_CUE_FPS:g}, got {self.cue_fps}")
        for name in ("peer_silent_s", "connect_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"ingest.{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class IceSettings:
    """How peers on other networks reach this server. By default only by its own addresses; nobody else is asked."""

    stun_url: str = ""
    "`stun:host:port` of a server that tells a peer its address as the outside sees it."
    turn_url: str = ""
    "`turn:host:port?transport=udp|tcp` or `turns:…` of relays, for when there is no direct path; several with commas."
    turn_secret: str = ""
    "The relay's `static-auth-secret`. Peers get passwords made from it, which are good for an hour."
    public_address: str = ""
    """Address that answers name instead of private ones, where a router or a cloud forwards its ports to this server. A
    peer of a private network is told the private address that it came to, and no other."""

    def __post_init__(self) -> None:
        for url, schemes in ((self.stun_url, ("stun",)), *((url, ("turn", "turns")) for url in self.turn_urls)):
            if url and not (url.startswith(tuple(f"{scheme}:" for scheme in schemes)) and _is_plain(url)):
                raise ValueError(f"ice: {url!r} has to look like {schemes[0]}:host:port")
        if self.turn_urls and not self.turn_secret:
            raise ValueError("ice.turn_url needs ice.turn_secret, the static-auth-secret of the relay")
        if self.public_address:
            ipaddress.ip_address(self.public_address)

    @property
    def turn_urls(self) -> tuple[str, ...]:
        return tuple(url.strip() for url in self.turn_url.split(",") if url.strip())


def _is_plain(url: str) -> bool:
    """Whether it can stand in a Link header."""
    return url.isascii() and url.isprintable() and not set(url) & set(' <>",;')
