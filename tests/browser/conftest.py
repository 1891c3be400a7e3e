"""Chromium is started once for the module that uses it; each visit has a profile of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.camera import FakeCamera, best_there_is
from tests.browser.chromium import REAL, SCRIPTED, Visit, launch, serving


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Gone with its module: its synchronous side keeps a loop running in this thread, where other tests start one."""
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
    for each in visits:
        each.context.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves its screenshots."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder
