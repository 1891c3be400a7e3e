"""A WHIP sender made with GStreamer's webrtcbin, for the system's Python, whose `gi` GStreamer's packages bring.

`python3 gstreamer.py URL WAV [data channel]`

It sends a test picture and the sound of the file, and prints one JSON object a line: the `Location` and the secret of
its session, and the state of its connection whenever that changes.
"""

from __future__ import annotations

import json
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 - the versions have to be named first


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


VIDEO = (
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 ! videoconvert "
    "! vp8enc deadline=1 keyframe-max-dist=15 ! rtpvp8pay ! application/x-rtp,media=video,encoding-name=VP8,payload=96 "
    "! web."
)
# `identity` lets the file pass as fast as it was spoken.
AUDIO = (
    'filesrc location="{}" ! wavparse ! identity sync=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay '
    "! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! web."
)


def main() -> None:
    url, wav, *extras = sys.argv[1:]
    Gst.init(None)
    pipeline = Gst.parse_launch(f"webrtcbin name=web bundle-policy=max-bundle {AUDIO.format(wav)} {VIDEO}")
    web = pipeline.get_by_name("web")
    loop = GLib.MainLoop()

    def negotiate() -> bool:
        # An offer names a track only once its pad knows what comes.
        if not all(web.get_static_pad(f"sink_{index}").get_current_caps() for index in range(2)):
            return bool(GLib.SOURCE_CONTINUE)
        for transceiver in (web.emit("get-transceiver", index) for index in range(2)):
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        web.emit("create-offer", None, Gst.Promise.new_with_change_func(offered, None))
        return bool(GLib.SOURCE_REMOVE)

    def offered(promise: Gst.Promise, _: object) -> None:
        # Held by name: the offer belongs to the reply.
        reply = promise.get_reply()
        web.emit("set-local-description", reply.get_value("offer"), None)

    def gathered(*_: object) -> None:
        if web.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        body = web.get_property("local-description").sdp.as_text().encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/sdp"})
        with urllib.request.urlopen(request) as reply:
            say(location=reply.headers["Location"], secret=reply.headers["Session-Secret"])
            _, sdp = GstSdp.SDPMessage.new_from_text(reply.read().decode())
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        web.emit("set-remote-description", answer, None)

    web.connect("notify::ice-gathering-state", gathered)
    web.connect("notify::connection-state", lambda *_: say(state=web.get_property("connection-state").value_nick))
    pipeline.set_state(Gst.State.PLAYING)
    channels = []
    if "data channel" in extras:
        channels.append(web.emit("create-data-channel", "chat", None))
        channels[0].connect("on-close", lambda *_: say(channel="closed"))
    GLib.timeout_add(50, negotiate)
    loop.run()


if __name__ == "__main__":
    main()
