"""A hub on this machine, as far as the client asks one when a model is pushed: accounts, repositories, commits, LFS.

It is written from what huggingface_hub 2.4 asks. No real hub was there to hold it to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "hf_of_the_owner"
API = re.compile(r"/api/models/([^/]+/[^/?]+)(?:/(\w+))?")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    seen_by_all: bool = False
    "Whether it was public at a commit."


@dataclass
class Hub:
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    "What came over LFS, by its SHA-256."
    refuses: int | None = None
    "The status of every answer to a write, if it is set."
    loses_files: bool = False
    "Whether what comes over LFS is refused."


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if not self.signed_in():
                return
            if self.path.startswith("/api/whoami-v2"):
                self.answer({"name": "owner", "type": "user", "orgs": []})
                return
            name, what = self.named()
            repository = hub.repositories.get(name)
            if repository is None:
                self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            elif what == "tree":
                self.answer([
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in repository.files.items()
                ])  # fmt: skip
            else:
                self.answer({"id": name, "private": repository.private, "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self.body()
            if self.path.startswith("/api/validate-yaml"):
                self.answer({"errors": [], "warnings": []})
                return
            if not self.signed_in() or not self.writes():
                return
            if self.path.startswith("/api/repos/create"):
                asked = json.loads(body)
                name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
                there = name in hub.repositories
                if not there:
                    hub.repositories[name] = Repository(
                        bool(asked.get("private") or asked.get("visibility") == "private")
                    )
                self.answer({"url": f"{hub.url}/{name}"}, 409 if there else 200)
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    one | {"actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
                    for one in json.loads(body)["objects"]
                ]
                self.answer({"transfer": "basic", "objects": objects})
            elif self.named()[1] == "preupload":
                self.answer({"files": [
                    {"path": one["path"], "shouldIgnore": False,
                     "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular"}
                    for one in json.loads(body)["files"]
                ]})  # fmt: skip
            else:
                self.commit(hub.repositories[self.named()[0]], [json.loads(line) for line in body.splitlines()])

        def do_PUT(self) -> None:
            body = self.body()
            if self.path.startswith("/lfs/"):
                if hub.loses_files:
                    self.answer({"error": "no room"}, 403)
                    return
                hub.stored[self.path.removeprefix("/lfs/")] = body
                self.answer({})
            elif self.signed_in() and self.writes():
                asked = json.loads(body)
                private = asked["private"] if "private" in asked else asked["visibility"] == "private"
                hub.repositories[self.named()[0]].private = private
                self.answer({})

        def commit(self, repository: Repository, lines: list[dict[str, Any]]) -> None:
            for line in lines:
                value = line["value"]
                match line["key"]:
                    case "header":
                        repository.commits.append(value["summary"])
                    case "file":
                        repository.files[value["path"]] = base64.b64decode(value["content"])
                    case "lfsFile":
                        repository.files[value["path"]] = hub.stored[value["oid"]]
                    case "deletedFile":
                        del repository.files[value["path"]]
            repository.seen_by_all |= not repository.private
            name = self.named()[0]
            oid = f"{len(repository.commits):040x}"
            self.answer({"commitUrl": f"{hub.url}/{name}/commit/{oid}", "commitOid": oid, "hookOutput": ""})

        def named(self) -> tuple[str, str]:
            found = API.match(self.path)
            assert found is not None, f"the fake hub knows no {self.path}"
            return found[1], found[2] or ""

        def signed_in(self) -> bool:
            right = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if not right:
                self.answer({"error": "Invalid username or password."}, 401)
            return right

        def writes(self) -> bool:
            if hub.refuses is not None:
                self.answer({"error": "no"}, hub.refuses)
            return hub.refuses is None

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while n_bytes := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(n_bytes))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def answer(self, said: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
