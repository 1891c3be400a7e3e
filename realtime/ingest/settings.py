"""Settings of ingest, whatever the source. Those of the speech segmenter are in speech.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IngestSettings:
    sample_period_s: float = 1.0
    "Media time between two frames that are looked at."
    max_side_px: int = 1280
    "Sampled frames with a longer side are scaled down to it."
    peer_silent_s: float = 6.0
    "A peer that sends no media for this long is gone, whatever its connection says."
    connect_s: float = 15.0
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
    "`turn:host:port?transport=udp|tcp` or `turns:…`; relays when no direct path exists."
    turn_username: str = ""
    turn_password: str = ""
