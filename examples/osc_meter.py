"""Receive a session by Open Sound Control and print how happy it looks, as a patch in Max or TouchDesigner would.

    pip install 'emothinker[osc]'
    python examples/osc_meter.py 9000
    realtime watch 'http://localhost:8080/sessions/ID#SECRET' --osc 127.0.0.1:9000

Every address is listed in docs/studies.md. `--mqtt mqtt://HOST:1883/TOPIC` sends the events themselves to a broker.
"""

import sys
from contextlib import suppress

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer


def show(address: str, share: float) -> None:
    print(f"{address.rsplit('/', 1)[-1]:8}", "#" * round(40 * share), flush=True)


dispatcher = Dispatcher()
dispatcher.map("/emothinker/probabilities/*", show)
with BlockingOSCUDPServer(("127.0.0.1", int(sys.argv[1])), dispatcher) as server:
    print(f"Listening at 127.0.0.1:{server.server_address[1]}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
