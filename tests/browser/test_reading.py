"""Reading with the page: statements and what they rest on, letters, patches, the timeline, a question of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser import events
from tests.browser.chromium import SCRIPTED, Visit, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visits = Callable[..., Visit]
WIDE = {"width": 1280, "height": 860}
LIT = re.compile(r"\blit\b")


def test_nothing_is_sent_before_the_person_begins(visit: Visits, scripted: str) -> None:
    person = visit(scripted, viewport=WIDE)
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    person.open()
    person.consent()
    page = person.page
    expect(page.locator("#ready")).to_be_visible(timeout=60_000)
    expect(page.locator("#ready video")).to_be_visible()
    # The clip speaks: the bar moves, and the page says so.
    expect(page.locator("#heard")).to_have_text("You can be heard.")
    assert page.locator("#ready select[data-kind=camera] option").count() >= 1
    page.locator("#ready select[data-kind=microphone]").select_option(index=1)
    assert not [url for url in asked if "/whip" in url or "/sessions" in url]
    page.locator("#back").click()
    expect(page.locator("#agree")).to_be_focused()
    assert person.complaints == []


def test_the_letters_of_the_chain_are_those_of_the_picture(visit: Visits) -> None:
    with serving([*SCRIPTED, "--faces", "5"]) as (address, _):
        person = visit(address, viewport=WIDE)
        person.go_live()
        page = person.page
        # The model counts from the biggest face, here the last track; the page from the first track.
        said = person.section("face").locator(".statement")
        expect(said.first).to_have_text(re.compile("^Person E: Lip corners at height 1"))
        page.locator("#chain").focus()
        expect(said).to_have_count(5)
        said.nth(1).hover()
        expect(page.locator(".face[data-track='4']")).to_have_class(LIT)
        expect(page.locator(".face.lit")).to_have_count(1)
        names = page.locator(".face-name")
        assert sorted(names.all_inner_texts()) == [f"Person {letter}" for letter in "ABCDE"]
        expect(page.locator("#faces-state")).to_have_text("5 faces")
        first = page.locator(".face[data-track='1']").bounding_box()
        page.get_by_role("button", name="Mirror").click()
        page.wait_for_timeout(500)
        mirrored = page.locator(".face[data-track='1']").bounding_box()
        assert first is not None
        assert mirrored is not None
        assert first["x"] < mirrored["x"]


def test_the_arrow_keys_go_from_statement_to_statement(visit: Visits, scripted: str) -> None:
    person = visit(scripted, viewport=WIDE)
    person.go_live()
    page = person.page
    expect(person.section("face")).to_be_visible(timeout=60_000)
    page.locator("#chain").focus()
    expect(page.locator("#chain")).to_have_class("chain done")
    assert page.locator(".statement[tabindex='0']").count() == 1
    page.locator(".statement[tabindex='0']").focus()
    page.keyboard.press("Home")
    expect(person.section("voice").locator(".statement")).to_have_class(LIT)
    expect(page.locator(".face")).not_to_have_class(LIT)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".face")).to_have_class(LIT)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(person.section("atmosphere").locator(".statement")).to_be_focused()
    expect(page.locator(".overlay")).to_have_class(re.compile("lit-picture"))
    page.keyboard.press("Enter")
    expect(page.locator("#chain")).to_contain_text("An earlier moment")


def test_patches_show_what_is_read_and_what_is_left_out(visit: Visits, scripted: str) -> None:
    person = visit(scripted, viewport=WIDE)
    person.go_live("camera")
    page = person.page
    expect(page.locator(".face").first).to_be_visible(timeout=60_000)
    patches = page.locator(".patches canvas")
    expect(patches).to_be_hidden()
    page.locator("#patches").click()
    expect(patches).to_be_visible()
    expect(page.locator(".tokens")).to_have_text("Patches: 4 in focus, 3 around, 1 dropped")
    # Alpha in the middle of the first column of the first row (dropped), the next (kept), and one that is focal.
    shades = page.evaluate(
        """() => {
          const canvas = document.querySelector(".patches canvas");
          const [wide, high] = [canvas.width / 8, canvas.height / 6];
          const pen = canvas.getContext("2d");
          const at = (column, row) => pen.getImageData((column + 0.3) * wide, (row + 0.3) * high, 1, 1).data[3];
          return [at(0, 0), at(1, 0), at(3, 2)];
        }"""
    )
    assert shades[0] > shades[1] > shades[2] == 0


def test_the_timeline_is_read_zoomed_and_shown_raw(visit: Visits, scripted: str) -> None:
    person = visit(scripted, viewport=WIDE)
    person.context.add_init_script(script=events.SOCKETS)
    person.go_live()
    page = person.page
    expect(page.locator("#link")).to_have_text("Live")
    made = events.lines(events.conversation(200), session=events.session_of(page))
    page.evaluate("(lines) => globalThis.inject(lines)", made)
    page.get_by_role("button", name="All", exact=True).click()
    readout = page.locator("#timeline-readout")
    expect(readout).to_contain_text("3:20")
    expect(readout).to_contain_text("Head turned to the person’s left by 20°.")
    chart = page.locator("#timeline-chart .u-over")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] / 2, "y": 20})
    expect(page.locator("#chain")).to_contain_text(re.compile(r"An earlier moment, 1:4\d"))
    window = page.locator("#chain").get_attribute("data-window")
    page.locator("#timeline-chart").press("ArrowLeft")
    expect(page.locator("#chain")).to_have_attribute("data-window", str(int(window or 0) - 1))
    expect(person.section("fine")).to_contain_text(f"Window {int(window or 0) - 1}.")
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=4)
    page.mouse.up()
    expect(page.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#chain")).to_have_attribute("data-window", str(int(window or 0) - 1))
    smooth = readout.inner_text()
    page.locator("#raw").click()
    expect(readout).not_to_have_text(smooth)
    page.locator("#timeline-chart").press("Escape")
    expect(page.locator("#chain")).not_to_contain_text("An earlier moment")
    assert person.complaints == []


def test_a_question_of_ones_own_is_asked_answered_and_cautioned(visit: Visits, scripted: str) -> None:
    person = visit(scripted, viewport=WIDE)
    person.go_live()
    page = person.page
    page.locator("#ask summary").click()
    page.locator("#ask-query").fill("is she joking?")
    page.locator("#ask-labels").fill("serious")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#ask-status")).to_contain_text("There is 1 label. Give 2 to 12.")
    # Refusals are answers of the server; the browser's console names them, too.
    assert all("422" in complaint for complaint in person.complaints)
    page.locator("#ask-labels").fill("serious, joking")
    page.locator("#ask-labels").press("Enter")
    expect(page.locator("#ask-status")).to_contain_text("is she joking?")
    expect(page.locator("#ask .caution")).to_be_visible()
    expect(page.locator(".bars .name")).to_have_text(["serious", "joking"])
    expect(page.locator("#chain")).to_contain_text("Asked: “is she joking?”")
    expect(page.locator("#chain .caution")).to_contain_text("not trained to tell these labels apart")
    # A summary comes below, and the question stays.
    page.get_by_role("button", name="Sum up the last two minutes").click()
    expect(page.locator("#summary-text")).to_contain_text("a summary needs a minute")
    expect(page.locator("#summary-by")).to_contain_text("No language model wrote this")
    expect(page.locator(".bars .name")).to_have_text(["serious", "joking"])
    # What is not judged, and a question that is too long, are said in the page's own words; the long one is not sent.
    page.locator("#ask-query").fill("How old is she?")
    page.locator("#ask-query").press("Enter")
    expect(page.locator("#ask-status")).to_contain_text("That is not judged here: who somebody is")
    page.locator("#ask-query").fill("is it so " * 23)
    expect(page.locator("#ask-count")).to_contain_text("206 characters. Ask in 200 or fewer")
    page.locator("#ask-query").press("Enter")
    expect(page.locator("#ask-status")).to_contain_text("That is not judged here")
    assert page.locator("#ask-query").input_value() == "is it so " * 23
    page.get_by_role("button", name="Back to the emotions").click()
    expect(page.locator("#ask-count")).to_be_hidden()
    expect(page.locator(".bars .name").first).to_have_text("happy")
    expect(page.locator("#chain .caution")).to_be_hidden()
