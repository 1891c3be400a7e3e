"""Imports what receives media when somebody comes, and not before.

WebRTC, codecs and cryptography take 40 MB and a third of a second, and a server that waits has no use for them. Whoever
opens the page has them imported while they read what is asked of them. Another sender waits for it once.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
from functools import cache

MODULES = ("realtime.ingest.webrtc", "realtime.serve.hume.stream", "realtime.serve.openai.socket")


async def media_imported() -> None:
    """Returns when it is imported. The event loop goes on meanwhile."""
    await asyncio.to_thread(_import)


@cache
def _import() -> None:
    for name in MODULES:
        importlib.import_module(name)
    # Imported modules stay. Looking for garbage in them would stop the loop for 30 ms each time.
    gc.collect()
    gc.freeze()
