"""A probability as people read it."""

from __future__ import annotations


def percent(share: float) -> str:
    """Whole percent, and never a certainty that nobody has: neither 0 nor 100."""
    if share < 0.01:
        return "<1 %"
    return ">99 %" if share > 0.99 else f"{share * 100:.0f} %"
