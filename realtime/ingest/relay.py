"""STUN and TURN as peers are told of them. TURN passwords are made on the spot and are soon worth nothing.

The scheme is coturn's `use-auth-secret` ("TURN REST API"): the user name is when it ends, the password its HMAC under a
secret that only the relay and we know. Relays of any make know it.
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
        """As RTCPeerConnection takes it."""
        if not self.username:
            return {"urls": self.url}
        return {"urls": self.url, "username": self.username, "credential": self.credential}

    def link(self) -> str:
        """A Link header of a WHIP answer (RFC 9725, section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username:
            link += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return link


def ice_servers(ice: IceSettings, *, relay: bool = True, now_s: Callable[[], float] = time.time) -> list[IceServer]:
    """What is set under [ice], with credentials that hold for `TURN_TTL_S`; without `relay` STUN alone."""
    servers = [IceServer(ice.stun_url)] if ice.stun_url else []
    if relay and ice.turn_urls:
        # The random part tells callers apart in the relay's quotas.
        username = f"{int(now_s() + TURN_TTL_S)}:{secrets.token_hex(4)}"
        # SHA-1 is what the scheme says; as an HMAC it is sound.
        digest = hmac.digest(ice.turn_secret.encode(), username.encode(), hashlib.sha1)
        credential = base64.b64encode(digest).decode()
        servers += [IceServer(url, username, credential) for url in ice.turn_urls]
    return servers
