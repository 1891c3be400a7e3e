"""Opens the sinks that somebody asks for. What each needs is imported only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from realtime.publish.sinks import Sink


@contextmanager
def opened(
    *, lsl: bool = False, mqtt: str | None = None, osc: str | None = None, place: str | None = None
) -> Iterator[list[Sink]]:
    """The sinks that were asked for; they are closed when left.

    `place` tells this session from others that run at once: in the names of LSL's streams, and in OSC's addresses.
    MQTT's topics name the session anyway.

    Raises ExtraMissing where a sink's package is not installed, BadSettings for an address that is none, Unreachable
    where no broker answers.
    """
    with ExitStack() as closing:
        sinks: list[Sink] = []

        def add(sink: Sink) -> None:
            closing.callback(sink.close)
            sinks.append(sink)

        if lsl:
            from realtime.publish.lsl import LslSink

            add(LslSink("EmoThinker" if place is None else f"EmoThinker {place}"))
        if mqtt is not None:
            from realtime.publish.mqtt import MqttSink

            add(MqttSink(mqtt))
        if osc is not None:
            from realtime.publish.osc import OscSink

            add(OscSink(osc, place))
        yield sinks
