"""The STUN and TURN servers that peers are told to use. A TURN password is made for each peer and expires soon.

The scheme is coturn's `use-auth-secret` ("TURN REST API"), which other relays know as well: the user name is the time
of expiry, and the password is its HMAC under a secret that only the relay and this server have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from realtime.ingest.settings import IceSettings

TURN_TTL_S = 3600
"Seconds for which the password of a TURN relay is good."


@dataclass(frozen=True, slots=True)
class IceServer:
    url: str
    username: str = ""
    credential: str = ""

    def for_browser(self) -> dict[str, str]:
        """The form that RTCPeerConnection takes."""
        if not self.username:
            return {"urls": self.url}
        return {"urls": self.url, "username": self.username, "credential": self.credential}

    def link(self) -> str:
        """The value of a Link header of a WHIP answer (RFC 9725, section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username:
            link += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return link


def ice_servers(ice: IceSettings, *, relay: bool = True, now_s: Callable[[], float] = time.time) -> list[IceServer]:
    """The servers set under [ice], relays with a password that is good for `TURN_TTL_S`. Without `relay`: STUN only."""
    servers = [IceServer(ice.stun_url)] if ice.stun_url else []
    if relay and ice.turn_urls:
        # The random part lets the relay count callers apart in its quotas.
        username = f"{int(now_s() + TURN_TTL_S)}:{secrets.token_hex(4)}"
        # The scheme prescribes SHA-1, which is sound in an HMAC.
        digest = hmac.digest(ice.turn_secret.encode(), username.encode(), hashlib.sha1)
        credential = base64.b64encode(digest).decode()
        servers += [IceServer(url, username, credential) for url in ice.turn_urls]
    return servers
