"""Limits the requests of one address, with a token bucket for each."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from realtime.errors import TooMany

MAX_ADDRESSES = 10_000
"Addresses remembered at once. The one that was quiet for longest is forgotten first, which does it no harm."


class Rates:
    """Allows each address `burst` requests at once, then `per_s` a second."""

    def __init__(
        self,
        *,
        per_s: float,
        burst: int,
        what: str = "requests from this address",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`what` is counted, for people. An address may be any text."""
        self._what = what
        self._per_s = per_s
        self._burst = burst
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        "Of each address: how many requests were left, and when."

    def take(self, address: str) -> None:
        """Count a request. Raises TooMany if none is left; a refused request is not counted."""
        left = self._refilled(address)
        if left < 1:
            retry_after_s = math.ceil((1 - left) / self._per_s)
            raise TooMany(f"Too many {self._what}.", f"Wait {retry_after_s} s.", retry_after_s=retry_after_s)
        self.charge(address, 1)

    def charge(self, address: str, cost: float) -> None:
        """Count `cost` requests more. The debt has a limit, so that nobody is locked out for long."""
        left = max(self._refilled(address) - cost, -self._burst)
        key = _network(address)
        self._left[key] = (left, self._now_s())
        self._left.move_to_end(key)
        if len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)

    def _refilled(self, address: str) -> float:
        left, at_s = self._left.get(_network(address), (float(self._burst), self._now_s()))
        return min(self._burst, left + self._per_s * (self._now_s() - at_s))


def _network(address: str) -> str:
    """The key of an address. IPv6 addresses count by /64, because whoever has one address has 2⁶⁴ of them."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 6 and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
