"""The whole way on the real model: consent, live, face box, label, all sections, conclusion, withdrawn."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import expect

from realtime.records import SECTIONS
from tests.browser.chromium import REAL, Visit, serving
from tests.model.taught import TaughtMethod, adapter_of
from train import merge

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 150_000
"The real model: a machine that is short of time lets chains wait and leaves out moments, until it has caught up."
NO_SHIFT = 0.02
"What counts as none: a rounding of half a pixel somewhere. Google calls 0.1 good."


@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [(1280, 860), (390, 844)], ids=["wide", "phone"])
def test_a_person_watches_reads_and_withdraws(
    visit: Callable[..., Visit], real: str, pictures: Path, size: tuple[int, int], figures: dict[str, str]
) -> None:
    person = visit(real, viewport={"width": size[0], "height": size[1]})
    shift = watch_read_and_withdraw(person, pictures)
    figures[f"layout shift once live, {size[0]} px wide (wanted: 0)"] = f"{shift:.3f}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", get_args(TaughtMethod))
def test_a_model_of_another_method_goes_the_same_way(
    visit: Callable[..., Visit],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: TaughtMethod,
) -> None:
    adapter = adapter_of(method, tmp_path / "adapter")
    merged = tmp_path / "merged"
    monkeypatch.setattr(sys, "argv", ["merge", "--model", "nano", "--adapter", str(adapter), "--out", str(merged)])
    merge.main()
    with serving((*REAL, "--model", str(merged))) as (address, _):
        person = visit(address, viewport={"width": 1280, "height": 860})
        watch_read_and_withdraw(person, pictures)


def watch_read_and_withdraw(person: Visit, pictures: Path) -> float:
    """Go the whole way, and return how far the page's layout shifted once it was live."""
    page = person.page
    person.open()
    expect(page.locator("#consent")).to_contain_text("Article 50(3)")
    page.screenshot(path=pictures / "consent.png", full_page=True)
    person.consent()
    expect(page.locator("#ready")).to_contain_text("Nothing is sent until you begin")
    page.screenshot(path=pictures / "ready.png", full_page=True)
    page.locator("#begin").click()

    expect(page.locator("#live")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#link")).to_have_text("Live")
    live_ms = person.now_ms()
    expect(page.locator(".face").first).to_be_visible(timeout=WAIT_MS)
    box = page.locator(".face").first.bounding_box()
    picture = page.locator(".picture").bounding_box()
    assert box is not None
    assert picture is not None
    assert box["width"] > 0.05 * picture["width"]
    assert box["x"] >= picture["x"] - 1
    expect(page.locator("#speech-state")).to_have_text("Speech", timeout=WAIT_MS)
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "fast", timeout=WAIT_MS)
    expect(page.locator("#label")).not_to_have_text("")

    expect(person.section("face")).to_be_visible(timeout=WAIT_MS)
    # Whoever reads holds what they read: without that, the next window would replace it half-way.
    page.locator("#chain").focus()
    for name in SECTIONS:
        expect(person.section(name)).to_be_visible(timeout=WAIT_MS)
        expect(person.section(name).locator("p")).to_have_text(re.compile(r"\w{2}"))
    expect(page.locator("#chain")).to_have_class("chain done", timeout=WAIT_MS)
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "chain")
    # A conclusion tells its confidence; an unsure one, which is a conclusion too, the two likeliest shares instead.
    expect(page.locator("#conclusion")).to_contain_text(re.compile(r"\d+\s% confidence|\d+\s% and (<\s)?\d+\s%"))
    page.screenshot(path=pictures / "live.png", full_page=True)
    shifts = person.shifts_since(live_ms)
    shifted = sum(float(shift["value"]) for shift in shifts)
    assert shifted < NO_SHIFT, shifts

    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        page.locator("#withdraw").click()
    assert ended.value.status == 200
    expect(page.locator("#ended")).to_contain_text("Consent withdrawn")
    state = person.state()
    assert state["status"] == 404 or state["state"] == "ended"
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.srcObject === null)")
    page.screenshot(path=pictures / "ended.png", full_page=True)
    assert person.complaints == []
    assert person.strangers == []
    return shifted
