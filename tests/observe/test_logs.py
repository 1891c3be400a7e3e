from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from realtime.observe import logs


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """The root logger's handlers as they were, formatters included."""
    root = logging.getLogger()
    before = [(handler, handler.formatter) for handler in root.handlers]
    yield
    for handler, formatter in before:
        handler.setFormatter(formatter)


def test_a_line_for_programs_says_which_session_it_is_about() -> None:
    record = logging.LogRecord("realtime.x", logging.WARNING, "", 1, "%d frames", (3,), None)
    assert "session" not in json.loads(logs.JsonLines().format(record))
    token = logs.session.set("0123abcd")
    try:
        line = json.loads(logs.JsonLines().format(record))
    finally:
        logs.session.reset(token)
    assert (line["session"], line["level"], line["message"]) == ("0123abcd", "warning", "3 frames")
    assert "\n" not in logs.JsonLines().format(record)


@pytest.mark.usefixtures("own_handlers")
def test_another_process_logs_likewise() -> None:
    level = logging.getLogger().level
    logs.configure(level, "json")
    assert logs.form() == "json"
    logs.configure(level)
    assert logs.form() == "text"
