"""Read a live session's events over its WebSocket, and print every label.

    python examples/read_events.py http://localhost:8080/sessions/ID SECRET

Whoever opened the session has both: the answer to the offer names them as `Location` and `Session-Secret`. After a lost
connection, ask for a new ticket and connect with `&after=` the `seq` of the last event: nothing is lost.
"""

import json
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from websockets.sync.client import connect

if len(sys.argv) != 3:
    sys.exit(__doc__)
session, secret = sys.argv[1:]
try:
    request = Request(f"{session}/tickets", method="POST", headers={"Authorization": f"Bearer {secret}"})
    with urlopen(request) as answer:
        ticket = json.load(answer)["ticket"]
except HTTPError as error:
    # The body says what was wrong, and what to do.
    problem = json.load(error)
    sys.exit(f"{problem['detail']} {problem['hint']}")
except URLError as error:
    sys.exit(f"{session} does not answer: {error.reason}.")
except ValueError:
    sys.exit(f"{session} is not the address of a session.")

with connect(f"{session.replace('http', 'ws', 1)}/events?ticket={ticket}") as socket:
    for line in socket:
        event = json.loads(line)
        if event["type"] == "label":
            print(f"{event['t']:7.2f} s  {event['source']:5}  {event['label']}", flush=True)
