"""The page behind a firewall: it reaches the server through a relay, and says so where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import SCRIPTED, Visit, serving
from tests.serve.turn import SECRET, coturn

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONFINED = """
  const Direct = RTCPeerConnection;
  globalThis.peers = [];
  globalThis.RTCPeerConnection = class extends Direct {
    constructor(settings) {
      super({ ...settings, iceTransportPolicy: "relay" });
      peers.push(this);
    }
  };
"""
WAYS = """
  async () => {
    const report = [...(await peers[0].getStats()).values()];
    return report.filter((one) => one.type === "local-candidate").map((one) => one.candidateType);
  }
"""


def test_a_page_that_reaches_nobody_directly_goes_through_the_relay(
    visit: Callable[..., Visit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with coturn(tmp_path) as relay:
        monkeypatch.setenv("EMOTHINKER_ICE__TURN_URL", relay.ice().turn_url)
        monkeypatch.setenv("EMOTHINKER_ICE__TURN_SECRET", SECRET)
        # A shared machine may be slow to come to it.
        monkeypatch.setenv("EMOTHINKER_INGEST__CONNECT_S", "60")
        with serving(SCRIPTED) as (address, _):
            person = visit(address)
            person.page.add_init_script(CONFINED)
            person.go_live()
            expect(person.section("face")).to_be_visible(timeout=60_000)
            assert set(person.page.evaluate(WAYS)) == {"relay"}
            person.page.close()


def test_a_page_without_a_path_says_what_to_set(visit: Callable[..., Visit], scripted: str) -> None:
    person = visit(scripted)
    person.page.add_init_script(CONFINED)
    person.open()
    person.begin()
    expect(person.page.get_by_text("TURN")).to_be_visible(timeout=60_000)
