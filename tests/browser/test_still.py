"""Nothing on the page moves by itself while a person reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOLLOWS_A_FACE = "face-name"
"The name at a face's box moves with the face."


@pytest.mark.parametrize("size", [(1280, 860), (390, 844)], ids=["wide", "phone"])
def test_the_first_label_and_its_reasons_move_nothing(
    visit: Callable[..., Visit], scripted: str, size: tuple[int, int]
) -> None:
    """What waits took more room than what it waits for: the reasons went up by 7 px, on a phone the bars by 21."""
    person = visit(scripted, viewport={"width": size[0], "height": size[1]})
    person.go_live()
    live_ms = person.now_ms()
    expect(person.page.locator("#chain")).to_have_class("chain done")
    shifts = [moved for shift in person.shifts_since(live_ms) for moved in shift["moved"]]
    assert [moved for moved in shifts if not moved.startswith(FOLLOWS_A_FACE)] == []
