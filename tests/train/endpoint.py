"""A small chat endpoint with a script: each request takes the next behaviour, then the last one for ever."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import WITHIN_S

FRAMES = {"frames": ["A wall, nobody in it."] * 8}
VOICE = {"tone": "Steady.", "rhythm": "Even."}
CHAIN = {"chain": [{"level": "compare", "question": "Face?", "answer": "None."}] * 3}
THOUGHT = {
    "face": "No face in view.", "context": "An empty frame.", "atmosphere": "Plain.", "voice": "A steady voice.",
    "coarse": "Only the voice speaks.", "fine": "It points to neutral.", "answer": "neutral, slight",
}  # fmt: skip
ANSWERS = {"frames": FRAMES, "voice": VOICE, "chain": CHAIN, "thought": THOUGHT}


class Script:
    def __init__(self, *behaviours: Any) -> None:
        self.behaviours = list(behaviours) or ["answer"]
        self.requests: list[dict[str, Any]] = []
        self.n_at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def next(self, body: dict[str, Any]) -> Any:
        with self.lock:
            self.requests.append(body)
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


@contextmanager
def serving(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with script.lock:
                script.n_at_once += 1
                script.most_at_once = max(script.most_at_once, script.n_at_once)
            try:
                self.answer(body, script.next(body))
            finally:
                with script.lock:
                    script.n_at_once -= 1

        def answer(self, body: dict[str, Any], behaviour: Any) -> None:
            status, content = 200, ""
            if behaviour == "slow":
                # Until the caller has had enough of waiting: its end of the connection closes.
                select.select([self.connection], [], [], WITHIN_S)
            elif isinstance(behaviour, int):
                status = behaviour
            elif behaviour == "garbage":
                content = "I would rather talk about something else."
            elif isinstance(behaviour, dict):
                content = json.dumps(behaviour)
            else:
                content = json.dumps(ANSWERS[body["response_format"]["json_schema"]["name"]])
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            reply = json.dumps({"choices": [{"message": {"content": content}}], "usage": usage}).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the caller gave up waiting, as it should

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="endpoint", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
