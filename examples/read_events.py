"""Read a live session's events over its WebSocket, and print every label.

    python examples/read_events.py http://localhost:8080/sessions/ID SECRET

Whoever opened the session has both: the answer to the offer names them as `Location` and `Session-Secret`. After a lost
connection, ask for a new ticket and connect with `&after=` the `seq` of the last event: nothing is lost.
"""

import json
import sys
from urllib.request import Request, urlopen

from websockets.sync.client import connect

session, secret = sys.argv[1:]
request = Request(f"{session}/tickets", method="POST", headers={"Authorization": f"Bearer {secret}"})
with urlopen(request) as answer:
    ticket = json.load(answer)["ticket"]

with connect(f"{session.replace('http', 'ws', 1)}/events?ticket={ticket}") as socket:
    for line in socket:
        event = json.loads(line)
        if event["type"] == "label":
            print(f"{event['t']:7.2f} s  {event['source']:5}  {event['label']}", flush=True)
