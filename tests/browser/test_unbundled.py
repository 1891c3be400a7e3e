"""A sender in a real browser whose sections share no transport, as old gateways offer them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.chromium import Visit
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SEND = """
  async () => {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-compat" });
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    const channel = peer.createDataChannel("chat");
    for (const track of media.getTracks()) peer.addTransceiver(track, { direction: "sendonly" });
    peer.addTransceiver(media.getVideoTracks()[0].clone(), { direction: "sendonly" });
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
    const offer = peer.localDescription.sdp.replace(/a=group:BUNDLE.*\\r\\n/, "");
    const headers = { "Content-Type": "application/sdp" };
    const reply = await fetch("whip", { method: "POST", body: offer, headers });
    await peer.setRemoteDescription({ type: "answer", sdp: await reply.text() });
    globalThis.sent = { peer, channel };
  }
"""
LOOK = """
  async () => {
    const report = [...(await sent.peer.getStats()).values()];
    const frames = report.filter((one) => one.type === "outbound-rtp" && one.kind === "video");
    return {
      transports: report.filter((one) => one.type === "transport").map((one) => one.dtlsState),
      sending: frames.filter((one) => one.packetsSent > 0).length,
    };
  }
"""


def test_chromium_without_a_bundle_connects_every_section_and_is_watched(
    visit: Callable[..., Visit], scripted: str
) -> None:
    """Field report: sections with transports of their own."""
    person = visit(scripted)
    person.open()
    person.page.evaluate(SEND)
    wait_until(lambda: person.page.evaluate("sent.peer.connectionState") == "connected", "the connection")
    # It ends with the first data, which is its own greeting.
    wait_until(lambda: person.page.evaluate("sent.channel.readyState") == "closed", "the channel's end")
    address, secret = person.session
    bearer = {"Authorization": f"Bearer {secret}"}
    wait_until(lambda: person.page.request.get(address, headers=bearer).json()["t"] >= 2.0, "two seconds of media")
    seen = person.page.evaluate(LOOK)
    assert seen["transports"] == ["connected"] * 4
    # The second camera stays dark.
    assert seen["sending"] == 1
    assert person.page.request.delete(address, headers=bearer).status == 200
