"""What is said where the hub cannot be reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.errors import BadModel
from realtime.model import backbone, checkpoint

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


def unanswered(*args: object, **options: object) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("no answer")


def test_a_name_that_is_none_is_not_laid_to_the_network(closed: str) -> None:
    with pytest.raises(BadModel) as raised:
        checkpoint.locate("no/such/model")
    assert "network" not in raised.value.hint
