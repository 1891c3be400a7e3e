"""Environment variables that Ray reads when it is imported. The package sets them before any module imports Ray."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = "~/.ray/auth_token"
"Written by `ray get-auth-token --generate`."


def prepare() -> None:
    """Set the variables that are not set yet."""
    # Ray reports no usage statistics to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without this, a call to Ray after a cluster was left would start a cluster on this machine.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    if token():
        # A cluster of `ray start` asks for its token, and a driver sends it only in this mode. A cluster that asks for
        # none ignores it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def token() -> str | None:
    """The cluster's token, if this machine has one where Ray looks for it."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN).expanduser()
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
