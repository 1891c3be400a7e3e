"""A test of an example may not be skipped where CI is set: every example is run there, or nobody runs it."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let it fail there, and say which examples are meant."""
    report = yield
    marked = item.get_closest_marker("example")
    if report.skipped and marked is not None and os.environ.get("CI"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Nothing runs {', '.join(marked.args)} of examples/ here. {why}"
    return report
