"""Chromium is started once for the module that uses it; each visit has a profile of its own.

What runs here runs on real time, in two programs that the machine may starve at any moment. So every wait has a
condition and a generous limit, and each test has one more chance, which the summary of the run shows as `RERUN`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser.camera import FakeCamera, best_there_is
from tests.browser.chromium import REAL, SCRIPTED, Visit, launch, serving

WAIT_MS = 60_000
"For a condition to hold, where a test names no limit of its own."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """What a test measures, for the summary of the run; its limits are more generous than a quiet machine needs."""
    return request.config.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if measured := config.stash.get(FIGURES, {}):
        terminalreporter.section("figures of the page")
        for name, value in measured.items():
            terminalreporter.line(f"{name:<56} {value}")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Gone with its module: its synchronous side keeps a loop running in this thread, where other tests start one."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> FakeCamera:
    return best_there_is(tmp_path_factory.mktemp("camera"))


@pytest.fixture(scope="module")
def browser(playwright: Playwright, camera: FakeCamera) -> Iterator[Browser]:
    """A Chromium whose camera and microphone play a clip, and that is always allowed to use them."""
    started = launch(playwright, *camera.flags())
    yield started
    started.close()


@pytest.fixture(scope="session")
def scripted() -> Iterator[str]:
    with serving(SCRIPTED) as (address, _):
        yield address


@pytest.fixture(scope="session")
def real() -> Iterator[str]:
    with serving(REAL) as (address, _):
        yield address


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(address: str, **options: Any) -> Visit:
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield start
    with contextlib.ExitStack() as closing:
        for each in visits:
            closing.callback(each.context.close)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves its screenshots."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder
