"""MQTT: each event as its line of JSON, on the topic `emothinker/SESSION/TYPE` or one of your own."""

from __future__ import annotations

import ssl
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit

from realtime.errors import BadSettings, Unreachable
from realtime.publish.events import Event, encode
from realtime.publish.sinks import missing

WAITING = 1_000
"Messages that wait while the broker is away. Newer ones are dropped then."
LAST_S = 2.0
CONNECT_S = 5.0


class MqttSink:
    """Publishes the events of a session at a broker, at least once each (QoS 1), as long as there is room."""

    def __init__(self, url: str) -> None:
        """`url` is `mqtt://USER:PASSWORD@HOST:PORT/TOPIC`, or `mqtts://` for TLS; all but the host may be left out.

        Raises ExtraMissing without paho-mqtt, BadSettings for another kind of address, Unreachable where no broker
        answers or takes us.
        """
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise missing("paho-mqtt", "mqtt") from error
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BadSettings("That is no address of an MQTT broker.", "It looks like mqtt://HOST:1883/TOPIC.")
        self.n_dropped = 0
        self._topic = parts.path.strip("/") or "emothinker"
        self._accepted = mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(WAITING)
        self._client.connect_timeout = CONNECT_S
        self._newest: mqtt.MQTTMessageInfo | None = None
        self._n_accepted, self._n_confirmed = 0, 0
        "Events that the client has taken from us, and those that the broker has taken from it."
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        where = f"{parts.hostname}:{parts.port or (8883 if parts.scheme == 'mqtts' else 1883)}"
        try:
            self._client.connect(parts.hostname, int(where.rpartition(":")[2]))
        except OSError as error:
            raise Unreachable(
                f"No MQTT broker answers at {where}: {error.strerror or error}.", "Is it running?"
            ) from error
        answers: SimpleQueue[Any] = SimpleQueue()
        self._client.on_connect = lambda client, data, flags, reason, properties: answers.put(reason)
        self._client.on_publish = self._count_confirmed
        self._client.loop_start()
        try:
            reason = answers.get(timeout=CONNECT_S)
        except Empty:
            reason = "no answer"
        if reason != 0:
            self.close()
            raise Unreachable(f"The MQTT broker at {where} does not take us: {reason}.", "Check user and password.")

    def send(self, event: Event) -> None:
        line = encode(event, session=event.session, seq=event.seq, at_s=event.t)
        sent = self._client.publish(f"{self._topic}/{event.session}/{event.type}", line, qos=1)
        # Without a connection it waits in the queue, and is sent when the broker is back.
        if sent.rc in self._accepted:
            self._newest = sent
            self._n_accepted += 1
        else:
            self.n_dropped += 1

    def close(self) -> None:
        if self._newest is not None:
            # RuntimeError, ValueError: the connection was lost, so that nobody takes it.
            with suppress(RuntimeError, ValueError):
                self._newest.wait_for_publish(LAST_S)
        self._client.disconnect()
        self._client.loop_stop()
        # What still waited for a broker that did not come back is lost with the client.
        self.n_dropped += self._n_accepted - self._n_confirmed
        self._n_accepted = self._n_confirmed

    def _count_confirmed(self, *_: object) -> None:
        """Called in the client's thread, for each message that the broker has confirmed."""
        self._n_confirmed += 1
