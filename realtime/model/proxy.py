"""The proxy that the environment names for an address, and what to check where nothing answers."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_to(address: str) -> str | None:
    """The proxy that `address` is asked through, without the name and the password that may stand in it."""
    asked, proxies = urlsplit(address), getproxies()
    proxy = proxies.get(asked.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(asked.hostname or "") else proxy.rpartition("@")[2]


def does_not_answer(who: str, address: str) -> tuple[str, str]:
    """What happened and what to check where `who` at `address` does not answer; the second ends with a space."""
    proxy = proxy_to(address)
    if proxy:
        return f"{who} does not answer through the proxy {proxy}", "Check the proxy in HTTPS_PROXY, and the network. "
    return f"{who} does not answer", "Check the network; where there is a proxy, export HTTPS_PROXY=http://HOST:PORT. "
