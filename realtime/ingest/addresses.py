"""The addresses in an offer and an answer: those that a connectivity check can be sent to, and those we tell."""

from __future__ import annotations

import ipaddress

# What aiortc's parser raises on text that is almost SDP.
PARSE_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError)


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


def is_usable(line: str) -> bool:
    """Whether a line is no candidate, or one that a connectivity check can be sent to."""
    if not line.startswith("a=candidate:"):
        return True
    # Whoever has an offer has imported aiortc. A server without a caller has not (`commands/serve.py`).
    from aiortc.sdp import candidate_from_sdp

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
