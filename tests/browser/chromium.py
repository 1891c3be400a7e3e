"""A real Chromium on a real server: how both are started, and what a visit to the page must never do."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Response

ROOT = Path(__file__).parents[2]
SCRIPTED = ("-m", "tests.browser.scripted_server")
REAL = ("-m", "realtime.cli", "serve", "--port", "0")
START_S = 180
"A cold start loads torch and the model."
END_S = 20
"Open sessions are ended first."
SHIFTS = """
  globalThis.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const place = ({ x, y, height }) => `${x}, ${y}, ${height} high`;
      const moved = entry.sources.map(({ node, previousRect: from, currentRect: to }) =>
        `${node?.className || node?.nodeName}: ${place(from)} → ${place(to)}`);
      globalThis.shifts.push({ atMs: entry.startTime, value: entry.value, moved });
    }
  }).observe({ type: "layout-shift", buffered: true });
"""


def executable() -> str:
    """The browser CHROMIUM names, or the one on the PATH."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise RuntimeError("There is no Chromium on the PATH. Install one, or name it: CHROMIUM=/path/to/chrome")
    return found


@contextmanager
def serving(command: Sequence[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of its own process; yields its address once it listens, and ends it, whatever happens meanwhile."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("Open "):
            raise RuntimeError(f"The server did not start within {START_S} s; it said {line!r}.")
        yield line.removeprefix("Open ").strip(), process
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def launch(playwright: Playwright, *flags: str) -> Browser:
    return playwright.chromium.launch(
        executable_path=executable(),
        args=[*flags, "--no-sandbox", "--disable-background-networking", "--autoplay-policy=no-user-gesture-required"],
    )


class Visit:
    """One visit to the page, and what it did on the way."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.complaints: list[str] = []
        "Errors and warnings of the console, and exceptions nobody caught."
        self.strangers: list[str] = []
        "Requests that went anywhere but to the server."
        self.session: tuple[str, str] = ("", "")
        "Address and secret of the newest session, as the server gave them to the page."
        self.context: BrowserContext = browser.new_context(**{"locale": "en-GB", **options})
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url))
        self.page.on("websocket", lambda socket: self._requested(socket.url))
        self.page.on("response", self._answered)
        self.page.add_init_script(SHIFTS)

    def _said(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def _requested(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.address).netloc:
            self.strangers.append(url)

    def _answered(self, answer: Response) -> None:
        if "session-secret" in answer.headers:
            self.session = (urljoin(answer.url, answer.headers["location"]), answer.headers["session-secret"])

    def state(self) -> dict[str, Any]:
        """What the server says of the session."""
        address, secret = self.session
        answer = self.page.request.get(address, headers={"Authorization": f"Bearer {secret}"})
        return {"status": answer.status, **answer.json()}

    def open(self) -> None:
        self.page.goto(self.address)

    def consent(self, choice: str = "both") -> None:
        self.page.locator(f"input[value={choice}]").check()
        self.page.locator("#attest").check()
        self.page.locator("#agree").click()

    def begin(self, choice: str = "both") -> None:
        """Consent, look at the preview, and start."""
        self.consent(choice)
        self.page.locator("#begin").click(timeout=60_000)

    def go_live(self, choice: str = "both") -> None:
        self.open()
        self.begin(choice)
        self.page.locator("#live").wait_for(timeout=60_000)

    def shifts_since(self, at_ms: float) -> list[dict[str, Any]]:
        shifts: list[dict[str, Any]] = self.page.evaluate("globalThis.shifts")
        return [shift for shift in shifts if shift["atMs"] > at_ms]

    def now_ms(self) -> float:
        return float(self.page.evaluate("performance.now()"))

    def overflow_px(self) -> float:
        """How far the page reaches beyond the window's width."""
        return float(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def section(self, name: str) -> Any:
        return self.page.locator(f".section[data-section={name}]")


class Meter:
    """What the page's main thread has done, in its own processor time: a busy machine does not count."""

    def __init__(self, person: Visit) -> None:
        self._devtools = person.context.new_cdp_session(person.page)
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def read(self) -> dict[str, float]:
        return {each["name"]: each["value"] for each in self._devtools.send("Performance.getMetrics")["metrics"]}

    def work_s(self) -> float:
        return self.read()["TaskDuration"]

    def heap_bytes(self) -> float:
        self._devtools.send("HeapProfiler.collectGarbage")
        return self.read()["JSHeapUsedSize"]
