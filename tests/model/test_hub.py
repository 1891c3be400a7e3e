"""What is said where the hub cannot be reached."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from realtime.errors import BadModel
from realtime.model import backbone, checkpoint
from realtime.words.whisper import Whisper

NAME = "someone/something"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a port at which nobody listens, and an empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_the_proxy_is_named_without_its_password(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{closed}")
    with pytest.raises(BadModel) as raised:
        checkpoint.locate(NAME)
    assert f"Hugging Face does not answer through the proxy {closed}." in str(raised.value)
    assert raised.value.hint.startswith("Check the proxy in HTTPS_PROXY, and the network.")
    assert "secret" not in str(raised.value) + raised.value.hint


def test_a_backbone_says_so_too(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{closed}")
    with pytest.raises(BadModel, match=f"through the proxy http://{closed}"):
        backbone._from_hub(NAME)


def test_without_a_proxy_it_is_said_how_to_name_one(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.model.hub.snapshot_download", unanswered)
    with pytest.raises(BadModel) as raised:
        checkpoint.locate(NAME)
    assert "export HTTPS_PROXY=http://HOST:PORT" in raised.value.hint


def test_whisper_says_it_in_the_same_words(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{closed}")
    with pytest.raises(BadModel) as raised:
        Whisper("tiny.en")
    assert f"Hugging Face does not answer through the proxy {closed}." in raised.value.message
    assert raised.value.hint.startswith("Check the proxy in HTTPS_PROXY, and the network. Set speech.words_model")


class Broken(BaseHTTPRequestHandler):
    """A hub whose files break off, or a page to log in to that a network puts in its place."""

    page = False
    SIZE = 100_000

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body, promised = b"<html>Log in</html>", None
        if not self.page and "/api/" in self.path:
            file = {"type": "file", "path": "config.json", "size": self.SIZE, "oid": "b" * 40}
            body = json.dumps([file] if "/tree/" in self.path else {"id": NAME, "sha": "a" * 40}).encode()
        elif not self.page:
            body, promised = b"{" * (self.SIZE // 2), self.SIZE
        self.send_response(200)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{"c" * 40}"')
        self.send_header("Content-Length", str(promised or len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def broken(closed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # It waits a second before each of its five retries.
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_half_a_download_is_said(broken: None) -> None:
    """It ended in a traceback of the connection's."""
    with pytest.raises(BadModel, match=r"the download broke off \(.*50000 bytes.*100000") as raised:
        checkpoint.locate(NAME)
    assert raised.value.hint.startswith("Run it again: what is there is kept.")


def test_a_page_to_log_in_to_is_no_hub(broken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of hotels answer every request with such a page."""
    monkeypatch.setattr(Broken, "page", True)
    with pytest.raises(BadModel, match="something else answers in place of Hugging Face") as raised:
        checkpoint.locate(NAME)
    assert raised.value.hint.startswith("Log in to your network")


@pytest.mark.parametrize(
    ("error", "why", "fix"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left on the disk", "Make room, or set HF_HOME"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/cache/hub"),
            "/cache/hub cannot be written",
            "Set HF_HOME",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/cache/hub"), "/cache/hub cannot be written", "Set HF_HOME"),
    ],
)
def test_a_cache_that_takes_nothing_is_said(
    error: OSError, why: str, fix: str, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **options: object) -> str:
        raise error

    monkeypatch.setattr("realtime.model.hub.snapshot_download", refused)
    with pytest.raises(BadModel, match=why) as raised:
        checkpoint.locate(NAME)
    assert raised.value.hint.startswith(fix)


def test_a_hub_that_was_switched_off_is_not_laid_to_the_network(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadModel, match="HF_HUB_OFFLINE is set") as raised:
        checkpoint.locate(NAME)
    assert "HTTPS_PROXY" not in raised.value.hint


def unanswered(*args: object, **options: object) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("no answer")


def test_a_name_that_is_none_is_not_laid_to_the_network(closed: str) -> None:
    with pytest.raises(BadModel) as raised:
        checkpoint.locate("no/such/model")
    assert "network" not in raised.value.hint
