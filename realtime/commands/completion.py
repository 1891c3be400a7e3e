"""`realtime completion SHELL`: prints what the shell completes our commands and flags with, made by shtab."""

from __future__ import annotations

import argparse

from realtime.errors import ExtraMissing

SHELLS = ("bash", "zsh", "tcsh")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The text for the shell to read. Raises ExtraMissing."""
    try:
        import shtab
    except ImportError as error:
        raise ExtraMissing(
            "Completion needs shtab, which is not installed.", "pip install 'emothinker[completion]'"
        ) from error
    return str(shtab.complete(parser, shell))
