"""Receive sessions from an MQTT broker and print every label, as a dashboard or a Node-RED flow would.

    pip install 'emothinker[mqtt]'
    python examples/mqtt_reader.py BROKER 1883
    realtime watch 'http://localhost:8080/sessions/ID#SECRET' --mqtt mqtt://BROKER:1883

Each event is a message on `emothinker/SESSION/TYPE`, and its text is the event's JSON.
"""

import json
import sys
from contextlib import suppress

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

if len(sys.argv) != 3:
    sys.exit(__doc__)
broker, port = sys.argv[1], int(sys.argv[2])


def subscribe(client: Client, *_: object) -> None:
    # Called after every connection: a broker that was away has forgotten us.
    client.subscribe("emothinker/+/label", qos=1)


def show(client: Client, data: object, message: MQTTMessage) -> None:
    event = json.loads(message.payload)
    print(f"{event['t']:7.2f} s  {event['source']:5}  {event['label']}", flush=True)


client = Client(CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = subscribe, show
client.on_subscribe = lambda *_: print(f"Listening to {broker}:{port}", flush=True)
try:
    client.connect(broker, port)
except OSError as error:
    sys.exit(f"No MQTT broker answers at {broker}:{port}: {error}. Is it running?")
with suppress(KeyboardInterrupt):
    client.loop_forever()
