"""List a server's open sessions, and make an address by which a program may follow one of them and do nothing else.

    realtime serve --token-file TOKEN --operator-token-file OPERATOR
    python examples/share_session.py http://localhost:8080 OPERATOR
    python examples/share_session.py http://localhost:8080 OPERATOR study-7

OBS, GStreamer, FFmpeg and phones never show the secret of their session. The operator's token stands for it. `study-7`
is a session's id or its name: whatever sends to http://localhost:8080/whip?name=study-7 has it. Enter revokes the
address.
"""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

server, operator_file, *wanted = sys.argv[1:]
operator = {"Authorization": f"Bearer {Path(operator_file).read_text().strip()}"}


def call(method: str, path: str) -> Any:
    try:
        with urlopen(Request(server + path, method=method, headers=operator)) as answer:
            return json.loads(answer.read() or "null")
    except HTTPError as error:
        problem = json.load(error)
        sys.exit(f"{problem['detail']} {problem['hint']}")


if not wanted:
    for session in call("GET", "/sessions")["sessions"]:
        print(session["id"], session["name"] or "", f"{session['t']:.0f} s")
else:
    path = f"/sessions/{wanted[0]}"
    ticket = call("POST", f"{path}/tickets?lasting=true")
    print(f"{server}{path}#{ticket['ticket']}", flush=True)
    input()
    call("DELETE", f"{path}/tickets/{ticket['id']}")
    print("Revoked.")
