"""Open Sound Control over UDP, for TouchDesigner, Max, Pure Data and the like: a message for each channel.

    /emothinker/face/TRACK/lip_corner_pull 0.64        /emothinker/probabilities/happy 0.81
    /emothinker/voice/pitch_hz 214.6                   /emothinker/affect/valence 0.42
    /emothinker/marker "label happy fast"

The messages of one moment come as one bundle.
"""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from realtime.errors import BadSettings
from realtime.publish.events import Event
from realtime.publish.signals import Signals, SignalSample
from realtime.publish.sinks import missing

NOT_IN_ADDRESS = re.compile(r"[^\w.+-]+", re.ASCII)
"What OSC keeps for patterns, and what not every receiver takes."


class OscSink:
    """Sends a session's signals to one receiver. UDP tells nobody whether they arrive."""

    def __init__(self, address: str, place: str | None = None) -> None:
        """`address` is `HOST:PORT`; `place` comes after `/emothinker`, where several sessions send to one receiver.

        Raises ExtraMissing without python-osc, BadSettings for another kind of address."""
        try:
            from pythonosc import osc_bundle_builder, osc_message_builder, udp_client
        except ImportError as error:
            raise missing("python-osc", "osc") from error
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or port is None:
            raise BadSettings(f"{address} is no address of an OSC receiver.", "It looks like 127.0.0.1:9000.")
        self.n_dropped = 0
        self._bundles, self._messages = osc_bundle_builder, osc_message_builder
        self._signals = Signals()
        self._root = "/emothinker" if place is None else f"/emothinker/{NOT_IN_ADDRESS.sub('_', place)}"
        try:
            self._client = udp_client.UDPClient(host, port)
        except OSError as error:
            raise BadSettings(f"{host} is not known: {error.strerror}.", "Name the receiver's address.") from error

    def send(self, event: Event) -> None:
        for sample in self._signals.samples(event):
            bundle = self._bundles.OscBundleBuilder(self._bundles.IMMEDIATELY)
            for address, value in _messages(sample, self._root):
                message = self._messages.OscMessageBuilder(address)
                message.add_arg(value)
                bundle.add_content(message.build())
            try:
                self._client.send(bundle.build())
            except OSError:
                # Nobody listens there at the moment.
                self.n_dropped += 1

    def close(self) -> None:
        self._client.close()


def _messages(sample: SignalSample, root: str) -> list[tuple[str, float | str]]:
    if sample.signal.of_text:
        return [(f"{root}/marker", str(sample.values[0]))]
    values = dict(zip(sample.signal.channels, map(float, sample.values), strict=True))
    place = f"{root}/{sample.signal.name}"
    if "track" in values:
        place += f"/{values.pop('track'):.0f}"
    # A value that was not measured is left out: receivers have no use for NaN.
    return [
        (f"{place}/{NOT_IN_ADDRESS.sub('_', name)}", value) for name, value in values.items() if not math.isnan(value)
    ]
