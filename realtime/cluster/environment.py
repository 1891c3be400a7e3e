"""What Ray reads from the environment, once, as it is imported: set by the package before any of its modules does."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = "~/.ray/auth_token"
"Written by `ray get-auth-token --generate`."


def prepare() -> None:
    """What was set already stays."""
    # Nothing is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Whatever of Ray still runs when a cluster was left would start one of its own, here.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    if token():
        # A cluster of `ray start` asks for its token, and a driver shows it only when told to; where none is asked for,
        # none is missed.
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def token() -> str | None:
    """The cluster's token, where this machine holds one in a place where Ray looks for it."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN).expanduser()
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
