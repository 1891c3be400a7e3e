"""The page on the exported towers: `realtime serve --engine onnx`, in a real browser, to the end of a chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from realtime.records import SECTIONS
from tests.browser.chromium import REAL, Visit, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 150_000
"The real model on a machine that may be short of time."


@pytest.fixture(scope="module")
def through_onnx(nano_exports: Path) -> Iterator[str]:
    with serving((*REAL, "--engine", "onnx", "--engine-dir", str(nano_exports))) as (address, _):
        yield address


@pytest.mark.timeout(900)
def test_nano_is_live_through_onnxruntime(visit: Callable[..., Visit], through_onnx: str) -> None:
    person = visit(through_onnx)
    page = person.page
    person.go_live()
    ready = page.request.get(f"{through_onnx}/readyz").json()
    assert ready["engine"] == "onnx (fp32, opset 20; exported from these weights)"
    expect(page.locator(".face").first).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "fast", timeout=WAIT_MS)
    expect(person.section("face")).to_be_visible(timeout=WAIT_MS)
    # Whoever reads holds what they read: the next window does not replace it half-way.
    page.locator("#chain").focus()
    for name in SECTIONS:
        expect(person.section(name)).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#chain")).to_have_class("chain done", timeout=WAIT_MS)
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "chain")
    assert person.complaints == []
