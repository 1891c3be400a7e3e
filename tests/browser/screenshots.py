"""Makes the pictures of the README:  python -m tests.browser.screenshots [--scripted] [OUT]

Starts the server, has Chromium watch the public-domain portrait with a synthetic voice, and writes PNG files to
web/screenshots. `--scripted` uses the scripted model, where the weights are missing. Prints each file with its size.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Browser, Locator, ViewportSize, expect, sync_playwright

from tests.browser.camera import portrait
from tests.browser.chromium import REAL, ROOT, SCRIPTED, Visit, launch, serving

WIDE: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
LIMIT_BYTES = 300_000
WAIT_MS = 120_000
A4: ViewportSize = {"width": 794, "height": 1123}
COURSE_S = 75
"A session of this length has something to show over time."


def main(argv: list[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", nargs="?", type=Path, default=ROOT / "web" / "screenshots")
    options.add_argument("--scripted", action="store_true", help="the scripted model instead of nano")
    chosen = options.parse_args(argv)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        camera = portrait(Path(folder))
        with serving(SCRIPTED if chosen.scripted else REAL) as (address, _):
            browser = launch(playwright, *camera.flags())
            consent(browser, address, chosen.out)
            session(browser, address, chosen.out)
            live(browser, address, chosen.out / "dark.png", WIDE, "dark")
            live(browser, address, chosen.out / "phone.png", PHONE, "light")
            browser.close()


def consent(browser: Browser, address: str, out: Path) -> None:
    person = Visit(browser, address, viewport=WIDE)
    person.open()
    save(person, out / "consent.png")
    person.context.close()


def live(browser: Browser, address: str, file: Path, size: ViewportSize, scheme: str) -> None:
    person = Visit(browser, address, viewport=size, color_scheme=scheme)
    read_something_said(person)
    save(person, file)
    leave(person)


def session(browser: Browser, address: str, out: Path) -> None:
    """One session on a wide window, then what can be taken from it."""
    person = Visit(browser, address, viewport=WIDE, color_scheme="light")
    page = person.page
    read_something_said(person)
    page.locator("#patches").click()
    person.section("voice").locator(".statement").first.hover()
    page.wait_for_timeout(400)  # the strip is painted 15 times a second, the timeline four times
    save(person, out / "live.png")
    page.mouse.move(0, 0)
    save(person, out / "conflict.png", page.locator(".conflict"))
    page.wait_for_timeout(1_000 * max(0, COURSE_S - int(person.now_ms() / 1_000)))
    page.locator("#timeline-chart").press("ArrowLeft")
    page.wait_for_timeout(400)
    save(person, out / "timeline.png", page.locator("#timeline"))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size(A4)
    # What the printer leaves white around the page.
    page.evaluate("document.body.style.padding = '48px'")
    save(person, out / "report.png")
    page.emulate_media(media="screen")
    page.set_viewport_size(WIDE)
    leave(person)


def read_something_said(person: Visit) -> None:
    """A finished chain about something that was said, with face and voice compared."""
    person.go_live()
    page = person.page
    # The first sentence teaches the session this voice's baseline; the picture is of a later one.
    expect(page.locator("#history button.spoken:not(.writing)").nth(2)).to_be_attached(timeout=WAIT_MS)
    expect(page.locator("#speech-state")).to_have_text("Speech", timeout=WAIT_MS)
    expect(page.locator("#speech-state")).to_have_text("Quiet", timeout=WAIT_MS)
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "fast", timeout=WAIT_MS)
    page.locator("#chain").evaluate("(chain) => chain.focus({ preventScroll: true })")
    expect(page.locator("#chain")).to_have_class("chain done", timeout=WAIT_MS)


def leave(person: Visit) -> None:
    person.page.locator("#withdraw").click()
    expect(person.page.locator("#ended")).to_be_visible()
    person.context.close()


def save(person: Visit, file: Path, part: Locator | None = None) -> None:
    """The window, or one part of it, as PNG.

    Where that is large, the camera's picture loses its finest shades; the page loses none.
    """
    shot = Image.open(io.BytesIO((part or person.page).screenshot())).convert("RGB")
    shot.save(file, optimize=True)
    picture = person.page.locator(".picture").bounding_box()
    for bits in (7, 6, 5):
        if file.stat().st_size <= LIMIT_BYTES or picture is None or part is not None:
            break
        x, y, width, height = (round(picture[side]) for side in ("x", "y", "width", "height"))
        region = (x, y, x + width, y + height)
        shot.paste(ImageOps.posterize(shot.crop(region), bits), region)
        shot.save(file, optimize=True)
    print(f"{file} {file.stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
