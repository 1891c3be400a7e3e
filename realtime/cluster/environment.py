"""What Ray reads from the environment, once, as it is imported: set by the package before any of its modules does."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = "~/.ray/auth_token"
"Written by the first `ray start --head` of a machine."


def prepare() -> None:
    """What was set already stays."""
    # Nothing is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Whatever of Ray still runs when a cluster was left would start one of its own, here.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    if has_token():
        # A cluster of `ray start` asks for its token, and a driver shows it only when told to; where none is asked for,
        # none is missed.
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def has_token() -> bool:
    """Whether this machine holds a cluster's token, where Ray looks for one."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(named or TOKEN).expanduser().is_file()
