"""Log lines, for people or for programs. Counts and durations only: no words, no faces, no feelings.

With `server.log = "json"` a line that belongs to a session has the first eight letters of the session's id in a field.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TALKATIVE = ("aioice", "aiortc", "uvicorn", "websockets", "httpx")
"Libraries that log peers' addresses, or paths with session ids, at levels below warning."

session: ContextVar[str] = ContextVar("session", default="")
"The session of the task that logs. Tasks that a session's task begins inherit it."


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if session.get():
            line["session"] = session.get()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: int, form: Form = "text") -> None:
    """Log to the standard error. It may be called again for another form."""
    logging.basicConfig(level=level, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(TEXT))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def form() -> Form:
    """The form in which this process logs, for a process that it starts."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    return "json" if any(isinstance(formatter, JsonLines) for formatter in formatters) else "text"
