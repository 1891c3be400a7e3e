"""Lines for a person who waits: what is fetched, put together or read. They are logged at every level of the log."""

from __future__ import annotations

import logging

progress = logging.getLogger("realtime.progress")
progress.setLevel(logging.INFO)
