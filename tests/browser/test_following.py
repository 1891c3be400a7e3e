"""Following from a program: the box on the page, the viewer and the overlay, and the JavaScript client in Node."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.chromium import ROOT, SCRIPTED, Visit, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
Visits = Callable[..., Visit]
REFUSED = 77
"Exit code of the Python program where its ticket opens nothing."


def shared(person: Visit) -> dict[str, str]:
    """Open the box, make an address, and return the three that it offers."""
    page = person.page
    page.locator("#follow summary").click()
    page.locator("#share").click()
    expect(page.locator("#follow-program")).to_have_value(re.compile(r"^http://localhost:\d+/sessions/\w+#[\w-]+$"))
    return {kind: page.locator(f"#follow-{kind}").input_value() for kind in ("program", "watch", "overlay")}


@pytest.mark.example("follow.mjs")
def test_a_session_is_followed_by_viewer_overlay_and_node_until_it_is_revoked(
    visit: Visits, scripted: str, client: Path, tmp_path: Path
) -> None:
    person = visit(
        scripted,
        viewport={"width": 1280, "height": 860},
        permissions=["camera", "microphone", "clipboard-read", "clipboard-write"],
    )
    person.go_live()
    addresses = shared(person)
    _, secret = person.session
    assert all(secret not in address for address in addresses.values())
    person.page.get_by_role("button", name="Copy: For a program").click()
    expect(person.page.locator("#follow-status")).to_have_text("Copied.")
    assert person.page.evaluate("navigator.clipboard.readText()") == addresses["program"]

    viewer, overlay = visit(addresses["watch"]), visit(addresses["overlay"])
    viewed = messages_of(viewer)
    viewer.open()
    overlay.open()
    expect(viewer.page.locator(".face")).to_be_visible()
    expect(viewer.section("face")).to_be_visible()
    expect(viewer.page.locator("#label")).not_to_be_empty()
    # Whoever follows has read no consent page.
    expect(viewer.page.locator(".conclusion")).to_contain_text("Not a readout of feelings")
    expect(viewer.page.locator("#ask")).to_be_hidden()
    viewer.page.locator("select.language").select_option("de")
    expect(viewer.page.locator(".conclusion")).to_contain_text("Kein Ablesen von Gefühlen")
    expect(viewer.page.locator("#label")).not_to_be_empty()
    viewer.page.locator("select.language").select_option("en")
    expect(viewer.page.locator(".conclusion")).to_contain_text("Not a readout of feelings")
    assert viewer.page.evaluate("document.querySelector('video').srcObject") is None
    expect(overlay.page.locator("#label")).not_to_be_empty()
    expect(overlay.page.locator("#notice")).to_have_text("Not a readout of feelings")
    assert overlay.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    assert float(overlay.page.evaluate("parseFloat(getComputedStyle(document.querySelector('#label')).fontSize)")) > 80

    for each in (viewer, overlay):
        each.page.evaluate(AXE.read_text())
        found = each.page.evaluate("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })")
        # White letters with a dark edge: axe sees the letters alone, on nothing.
        wrong = [rule["id"] for rule in found["violations"] if (each, rule["id"]) != (overlay, "color-contrast")]
        assert wrong == []

    # All at once: the page, the viewer, the overlay, Python, JavaScript and Lab Streaming Layer.
    lines = tmp_path / "watched.jsonl"
    with in_python(addresses["program"], n_events=40) as following, by_lsl(addresses["program"], lines) as inlet:
        events = in_node(client, addresses["program"], n_events=40)
        read, _ = following.communicate(timeout=120)
        stamps = [inlet.pull_sample(timeout=60)[1] for _ in range(2)]
        stamps += inlet.pull_chunk()[1]
    # The last line may have been cut off.
    watched = [json.loads(line) for line in lines.read_text().rpartition("\n")[0].splitlines()]
    assert [event["seq"] for event in watched] == list(range(1, len(watched) + 1))
    assert len(watched) > 30
    assert [event["seq"] for event in events] == list(range(1, 41))
    assert events[0]["type"] == "session.opened"
    assert [json.loads(line) for line in read.splitlines()] == [[event["seq"], event["type"]] for event in events]
    every_fast_label_once(watched, stamps, lsl_time_of)
    # The viewer has what the session has had up to now: the same events, once and in order.
    reached = person.state()["seq"]
    until_s = time.monotonic() + 60
    while not viewed or viewed[-1]["seq"] < reached:
        assert time.monotonic() < until_s, f"the viewer has event {viewed[-1:]}, the session {reached}"
        viewer.page.wait_for_timeout(20)
    assert [event["seq"] for event in viewed] == list(range(1, len(viewed) + 1))
    assert viewed[: len(watched)] == watched[: len(viewed)]

    with example(client, addresses["program"]) as line:
        assert re.fullmatch(r" *[\d.]+ s  (fast |chain)  \w+", line)

    person.page.locator("#unshare").click()
    expect(person.page.locator("#follow-status")).to_contain_text("Revoked")
    expect(viewer.page.locator("#link")).to_have_attribute("data-state", "over")
    # The session goes on, so nothing is said of its end, and there is nothing here to delete.
    expect(viewer.page.locator("#ended h1")).to_have_text("You no longer follow this session.")
    expect(viewer.page.locator("#ended")).not_to_contain_text("Camera and microphone")
    expect(viewer.page.locator("#forget")).to_be_hidden()
    refused = in_node(client, addresses["program"], n_events=1)
    assert refused == [{"why": "closed"}]
    with in_python(addresses["program"], n_events=1) as following:
        following.communicate(timeout=120)
        assert following.returncode == REFUSED
    expect(person.page.locator("#link")).to_have_attribute("data-state", "open")
    for each in (person, viewer, overlay):
        assert each.strangers == []
    assert person.complaints == []


def messages_of(visit: Visit) -> list[dict[str, Any]]:
    """The events that the page's socket will bring, as they come. Ask before the page is opened."""
    came: list[dict[str, Any]] = []

    def opened(socket: WebSocket) -> None:
        socket.on("framereceived", lambda message: came.append(json.loads(message)))

    visit.page.on("websocket", opened)
    return came


def lsl_time_of(wall: str) -> float:
    """Lab Streaming Layer's time at that moment."""
    pylsl = pytest.importorskip("pylsl")
    return float(pylsl.local_clock() - (time.time() - datetime.fromisoformat(wall).timestamp()))


def every_fast_label_once(
    watched: Sequence[dict[str, Any]], stamps_s: Sequence[float], zero_s: Callable[[str], float]
) -> None:
    """Check that samples are of the fast labels that the watcher printed, from the first sample on: none missing or
    twice. Those before it were sent before the receiver was there. `stamps_s`: of the samples. `zero_s`: the same clock
    at a `started_at`.
    """
    ends_s = {event["window"]: event["end"] for event in watched if event["type"] == "window"}
    labelled_s: list[float] = []
    for event in watched:
        if "started_at" in event:
            began_s = zero_s(event["started_at"])
        elif event["type"] == "label" and event["source"] == "fast":
            labelled_s.append(began_s + ends_s[event["window"]])
    # This process compared its clocks at another moment than the watcher.
    near_s = 0.05
    assert len(stamps_s) >= 2
    (first,) = [index for index, end_s in enumerate(labelled_s) if abs(end_s - stamps_s[0]) < near_s]
    assert labelled_s[first : first + len(stamps_s)] == pytest.approx(list(stamps_s), abs=near_s)


@pytest.mark.parametrize("name", ["watch", "overlay"])
def test_without_an_address_the_viewers_ask_for_one_by_keyboard(visit: Visits, scripted: str, name: str) -> None:
    viewer = visit(f"{scripted}/{name}")
    viewer.open()
    page = viewer.page
    expect(page.locator("#session-address")).to_be_focused()
    page.keyboard.type("https://elsewhere.example/sessions/1#key")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-status")).to_contain_text("no address of a session")
    page.locator("#session-address").fill(f"{scripted}/sessions/none#wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-status")).to_contain_text("The server has no such session")
    assert viewer.strangers == []


def test_a_wrong_key_is_told_from_a_session_that_has_ended(visit: Visits, scripted: str) -> None:
    person, viewer = visit(scripted), visit(f"{scripted}/watch")
    person.go_live()
    address, _ = person.session
    viewer.page.goto(f"{scripted}/watch#session={address.rpartition('/')[2]}&key=wrong")
    expect(viewer.page.locator("#viewer-status")).to_contain_text("The key at the end of this address is wrong")


@pytest.fixture(scope="module")
def client() -> Path:
    """The built npm package's one file."""
    if shutil.which("npm") is None:
        pytest.skip("There is no npm here; the client is tested where there is one.")
    subprocess.run(["npm", "run", "--silent", "build:client"], cwd=ROOT / "web", check=True, timeout=300)
    return ROOT / "web" / "client" / "dist" / "index.js"


def test_a_stranger_installs_the_package_and_compiles_against_its_types(client: Path, tmp_path: Path) -> None:
    """Its types named valibot, which it does not bring, and under `nodenext` everything in them was `any`."""
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    packed = run(["npm", "pack", "--silent", str(client.parents[1])], check=True).stdout.strip()
    (tmp_path / "package.json").write_text('{"name": "study", "version": "1.0.0", "type": "module"}')
    quiet = ("--offline", "--no-audit", "--no-fund", "--silent")
    assert run(["npm", "install", *quiet, f"./{packed}"]).returncode == 0
    assert [path.name for path in (tmp_path / "node_modules").glob("[!.]*")] == ["emothinker-client"]
    (tmp_path / "study.ts").write_text(STUDY)
    tsc = str(ROOT / "web" / "node_modules" / ".bin" / "tsc")
    for module, resolution in (("nodenext", "nodenext"), ("esnext", "bundler")):
        how = ["--strict", "--skipLibCheck", "false", "--module", module, "--moduleResolution", resolution]
        compiled = run([tsc, *how, "--target", "es2022", "--outDir", "compiled", "study.ts"])
        assert (compiled.returncode, compiled.stdout) == (0, ""), resolution
    assert run([*node(), "compiled/study.js"], check=True).stdout == "address\n"


STUDY = """
import { follow, FollowFailure, openCamera } from "emothinker-client";
import type { CameraSession, LabelEvent, WireEvent } from "emothinker-client";

export async function firstLabel(address: string): Promise<LabelEvent | null> {
  for await (const event of follow(address)) if (event.type === "label") return event;
  return null;
}
export const shareOf = (label: LabelEvent): number => label.probabilities[label.label] ?? 0;
export const open = (server: string): Promise<CameraSession> => openCamera({ server });
// @ts-expect-error There is no such type. It is no error where the types of events are not found, but `any`.
export const isNone = (event: WireEvent): boolean => event.type === "none";

firstLabel("http://localhost/").catch((error) => console.log(error instanceof FollowFailure ? error.why : error));
"""
"A program of somebody who has the package alone."


@contextmanager
def another_site() -> Iterator[str]:
    """A site of somebody else, which has the examples and the client; its address."""

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(ROOT))) as site:
        serving_it = threading.Thread(target=site.serve_forever)
        serving_it.start()
        try:
            yield f"http://localhost:{site.server_port}"
        finally:
            site.shutdown()
            serving_it.join()


@pytest.mark.example("camera.html")
def test_a_listed_site_opens_a_camera_with_the_client_and_another_one_gets_nothing(
    visit: Visits, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.is_file()
    with another_site() as listed, another_site() as foreign:
        monkeypatch.setenv("EMOTHINKER_SERVER__ALLOW_ORIGINS", listed)
        with serving(SCRIPTED) as (server, _):
            study, stranger = (visit(f"{site}/examples/camera.html#{server}/") for site in (listed, foreign))
            for each in (study, stranger):
                each.open()
                each.page.locator("#begin").click()
            page = study.page
            expect(page.locator("#label")).not_to_be_empty()
            expect(page.locator("#faces")).to_have_text("1")
            expect(page.locator("#address")).to_have_text(re.compile(rf"^{server}/sessions/\w+#[\w-]+$"))
            page.locator("#revoke").click()
            expect(page.locator("#status")).to_have_text("Revoked.")
            page.locator("#end").click()
            expect(page.locator("#status")).to_have_text("Ended: The session was ended by its owner.")
            tracks = "document.querySelector('video').srcObject.getTracks().map((track) => track.readyState)"
            assert page.evaluate(tracks) == ["ended", "ended"], "the camera and the microphone are off"
            expect(stranger.page.locator("#status")).to_have_text("The server takes no session: server-gone")
            expect(stranger.page.locator("#label")).to_be_empty()


@contextmanager
def example(client: Path, address: str) -> Iterator[str]:
    """The first line that `examples/follow.mjs` prints."""
    assert client.is_file()
    command = [*node(), str(ROOT / "examples" / "follow.mjs"), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running.stdout.readline().rstrip()
        finally:
            running.terminate()


@contextmanager
def by_lsl(address: str, out: Path) -> Iterator[Any]:
    """The stream of the fast labels' probabilities that `realtime watch --lsl` sends, while it prints to `out`."""
    pylsl = pytest.importorskip("pylsl")
    command = [sys.executable, "-m", "realtime", "watch", address, "--lsl"]
    with out.open("w") as lines, subprocess.Popen(command, stdout=lines, cwd=ROOT) as running:
        try:
            streams = pylsl.resolve_byprop("name", "EmoThinker probabilities", timeout=120)
            assert streams
            inlet = pylsl.StreamInlet(streams[0])
            inlet.open_stream()
            yield inlet
        finally:
            running.terminate()


@contextmanager
def in_python(address: str, *, n_events: int) -> Iterator[subprocess.Popen[str]]:
    """A program that prints number and type of the first events that `emothinker.follow` gives it."""
    program = f"""
import itertools, json, sys
import emothinker
from realtime.errors import NotAllowed
try:
    for event in itertools.islice(emothinker.follow({address!r}), {n_events}):
        print(json.dumps([event.seq, event.type]))
except NotAllowed:
    sys.exit({REFUSED})
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            yield running
        finally:
            running.terminate()


def in_node(client: Path, address: str, *, n_events: int) -> list[dict[str, Any]]:
    """The first events that the built client gives a program in Node, or why it gave none."""
    program = f"""
      import {{ follow }} from {json.dumps(client.as_uri())};
      let n = 0;
      try {{
        for await (const event of follow({json.dumps(address)})) {{
          console.log(JSON.stringify(event));
          if (++n === {n_events}) break;
        }}
      }} catch (error) {{
        console.log(JSON.stringify({{ why: error.why }}));
      }}
    """
    command = [*node(), "--input-type=module", "--eval", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def node() -> list[str]:
    """Node, with its WebSocket where that has to be asked for."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    old = int(version.removeprefix("v").partition(".")[0]) < 22
    return ["node", "--no-warnings", *(["--experimental-websocket"] if old else [])]
