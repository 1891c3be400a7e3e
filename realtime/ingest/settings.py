"""Settings of ingest, whatever the source. Those of the speech segmenter are in speech.py."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class IngestSettings:
    sample_period_s: float = 1.0
    "Media time between two frames that are looked at."
    max_side_px: int = 1280
    "Sampled frames with a longer side are scaled down to it."
    peer_silent_s: float = 6.0
    "A peer that sends no media for this long is gone, whatever its connection says."
    connect_s: float = 10.0
    "Time for the first media to arrive after the answer; then there is no path."

    def __post_init__(self) -> None:
        for name in ("sample_period_s", "peer_silent_s", "connect_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"ingest.{name} must be positive, got {getattr(self, name)}")
        if self.max_side_px < 64:
            raise ValueError(f"ingest.max_side_px must be at least 64, got {self.max_side_px}")


@dataclass(frozen=True)
class IceSettings:
    """How peers on other networks reach this one. Empty: by our own addresses only, and nobody outside is asked."""

    stun_url: str = ""
    "`stun:host:port`; tells a peer our address as the outside sees it."
    turn_url: str = ""
    "`turn:host:port?transport=udp|tcp` or `turns:…`, several with commas; relays when no direct path exists."
    turn_secret: str = ""
    "The relay's `static-auth-secret`; peers get passwords made from it, which end after `turn_ttl_s`."
    turn_ttl_s: int = 3600
    public_address: str = ""
    "Stands in answers for our private addresses: where a router or a cloud hands its ports on to us."
    announce_private: bool = False
    "Name private addresses to everyone. Otherwise only to a peer of a private network, and only the one it came to."

    def __post_init__(self) -> None:
        for url, schemes in ((self.stun_url, ("stun",)), *((url, ("turn", "turns")) for url in self.turn_urls)):
            if url and not (url.startswith(tuple(f"{scheme}:" for scheme in schemes)) and _is_plain(url)):
                raise ValueError(f"ice: {url!r} has to look like {schemes[0]}:host:port")
        if self.turn_urls and not self.turn_secret:
            raise ValueError("ice.turn_url needs ice.turn_secret, the static-auth-secret of the relay")
        if not 60 <= self.turn_ttl_s <= 86_400:
            raise ValueError(f"ice.turn_ttl_s must lie between 60 and 86400, got {self.turn_ttl_s}")
        if self.public_address:
            ipaddress.ip_address(self.public_address)

    @property
    def turn_urls(self) -> tuple[str, ...]:
        return tuple(url.strip() for url in self.turn_url.split(",") if url.strip())


def _is_plain(url: str) -> bool:
    """Whether it can stand in a Link header."""
    return url.isascii() and url.isprintable() and not set(url) & set(' <>",;')
