"""The page's types and readers are those of the event classes."""

from __future__ import annotations

from pathlib import Path

from realtime.publish.typescript import typescript

GENERATED = Path(__file__).parents[2] / "web" / "src" / "wire" / "generated.ts"


def test_the_generated_file_is_current() -> None:
    command = "python -m realtime.publish.typescript > web/src/wire/generated.ts"
    assert GENERATED.read_text("utf-8") == typescript(), f"run `{command}` and commit the file"
