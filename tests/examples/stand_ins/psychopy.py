"""Stands in for PsychoPy, which needs a display: what a trial shows goes to the standard error, and a trial lasts until
a line comes on the standard input."""

import sys
from types import SimpleNamespace


class Window:
    def __init__(self, fullscr: bool) -> None:
        self.drawn = ""

    def flip(self) -> None:
        sys.stderr.write(f"{self.drawn}\n")
        sys.stderr.flush()

    def close(self) -> None:
        pass


class TextStim:
    def __init__(self, window: Window, text: str) -> None:
        self._window, self._text = window, text

    def draw(self) -> None:
        self._window.drawn = self._text


core = SimpleNamespace(wait=lambda seconds: sys.stdin.readline())
visual = SimpleNamespace(Window=Window, TextStim=TextStim)
