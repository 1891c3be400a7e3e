"""Lines of an offer that aiortc could not read and that nothing depends on: they are left out, not the sender.

aiortc raises of any line that it knows by name and that is written otherwise than it expects. Most such lines only
describe the media further: an `ssrc` without a name, an `extmap` with attributes (RFC 8285), an `fmtp` of a format that
is not there. Without them the media is received all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPARE = {
    "c": re.compile(r"IN IP[46] \S+"),
    "a=extmap": re.compile(r"\d{1,5}(/\w+)? \S+"),
    "a=fingerprint": re.compile(r"\S+ \S+"),
    "a=fmtp": re.compile(r"\d{1,3} .+"),
    "a=group": re.compile(r"\S+( \S+)*"),
    "a=max-message-size": re.compile(r"\d{1,10}"),
    "a=msid-semantic": re.compile(r"\s*\S+( \S+)*"),
    "a=rtcp": re.compile(r"\d{1,5}( IN IP[46] \S+)?"),
    "a=rtcp-fb": re.compile(r"(\*|\d{1,3}) \S.*"),
    "a=rtpmap": re.compile(r"\d{1,3} [^/]+/\d{1,9}(/\d{1,3})?"),
    "a=sctp-port": re.compile(r"\d{1,5}"),
    "a=sctpmap": re.compile(r"\d{1,5} .+"),
    "a=ssrc": re.compile(r"\d{1,10} [^:]+:.*"),
    "a=ssrc-group": re.compile(r"\S+( \d{1,10})*"),
}
"By the line's name: what aiortc reads after it."


def readable(lines: Sequence[str], *, static: Iterable[str] = ()) -> list[str]:
    """The lines without those that could not be read. `static`: payload types whose `rtpmap` may be left out."""
    kept = [line for line in lines if _reads(line)]
    mapped = {line.removeprefix("a=rtpmap:").partition(" ")[0] for line in kept if line.startswith("a=rtpmap:")}
    known = mapped | set(static)
    return [
        line
        for line in kept
        if not line.startswith("a=fmtp:") or line.removeprefix("a=fmtp:").partition(" ")[0] in known
    ]


def _reads(line: str) -> bool:
    name, mark, value = line.partition("=") if line.startswith("c=") else line.partition(":")
    form = SPARE.get(name)
    return form is None or (mark != "" and form.fullmatch(value) is not None)
