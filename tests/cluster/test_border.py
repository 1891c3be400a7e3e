"""What of the cluster needs no cluster: refusals before any session, admission, chains that are not said twice."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

from realtime import cli
from realtime.cluster import __main__ as command
from realtime.cluster import connect
from realtime.cluster.calls import Waits
from realtime.cluster.remote import Unsaid
from realtime.cluster.wire import SCHEMA, Card
from realtime.errors import BadSettings, ClusterMismatch, ReplicaLost, ServerBusy
from realtime.metrics import Metrics
from realtime.records import ReasonDelta
from realtime.sessions import Sessions
from realtime.settings import Settings


def test_without_ray_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert command.main(["status", "--address", "127.0.0.1:1"]) == 8
    assert "pip install" in capsys.readouterr().err


def test_without_ray_a_server_says_so_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["serve", "--port", "0", "--cluster", "127.0.0.1:1"]) == 8
    assert "pip install" in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert cli.main(["serve", "--port", "0", "--cluster", f"127.0.0.1:{port}"]) == 8
    assert "ray start --head" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["cluster", "cluster:ray", ":6379"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BadSettings, match="HOST:PORT"):
        connect.join(address)


def card(model: str = "nano", adapters: tuple[str, ...] = ("",), fingerprint: str = "1") -> Card:
    return Card(SCHEMA, "0.1.0", model, fingerprint, adapters, (), "", {}, {}, {})


@pytest.mark.parametrize(
    ("found", "fix"),
    [
        (card(model="Qwen/Qwen2.5-Omni-3B"), "--model Qwen/Qwen2.5-Omni-3B"),
        (card(adapters=("", "other")), "--adapter mine=FOLDER"),
        (card(adapters=("",), fingerprint="2"), "Deploy"),
    ],
)
def test_another_deployment_is_refused_with_the_command_that_helps(found: Card, fix: str) -> None:
    with pytest.raises(ClusterMismatch) as refused:
        connect.check_model(found, model="nano", adapter="mine", fingerprint="1")
    assert fix in refused.value.hint


def test_how_far_behind_a_cluster_is_fades_with_what_was_measured() -> None:
    now_s = 0.0
    waits = Waits(lambda: now_s)
    assert waits.typical_s() == 0.0
    for _ in range(8):
        waits.add(1.5)
    assert waits.typical_s() == 1.5
    now_s = 10.0
    assert waits.typical_s() == 0.0


class Behind:
    """An engine that other nodes' sessions keep busy."""

    def stats(self) -> dict[str, float]:
        return {"behind_s": 2.0}


async def test_a_node_without_sessions_takes_none_while_the_cluster_is_behind() -> None:
    sessions = Sessions(engine=Behind(), settings=Settings(), metrics=Metrics())  # type: ignore[arg-type]
    with pytest.raises(ServerBusy, match=r"2\.0 s behind"), sessions.place():
        pass


def test_what_was_said_is_cut_off_a_chain_that_is_written_again() -> None:
    unsaid = Unsaid({"face": "The lips are "})
    pieces = [unsaid.rest(ReasonDelta("face", text)) for text in ("The ", "lips are pulled", " up.")]
    assert pieces == [None, ReasonDelta("face", "pulled"), ReasonDelta("face", " up.")]
    assert unsaid.rest(ReasonDelta("context", "One person.")) == ReasonDelta("context", "One person.")


def test_a_chain_that_parts_ways_with_what_was_said_ends() -> None:
    with pytest.raises(ReplicaLost):
        Unsaid({"face": "The lips"}).rest(ReasonDelta("face", "A smile"))


@pytest.mark.parametrize(
    "text", ["", "applications: 3", "applications:\n- name: x\n  import_path: other:app", "a: [", "\0"]
)
def test_a_file_that_is_no_serve_config_of_ours(text: str, tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(BadSettings):
        connect.read_config(path, {})


def test_the_file_in_the_repository_is_one_and_takes_our_arguments() -> None:
    wanted = connect.read_config(None, {"model": "FOLDER", "device": None})
    assert wanted["args"]["model"] == "FOLDER"
    assert wanted["args"]["device"] == "cpu"
    assert {part["name"] for part in wanted["deployments"]} == {"Encoder", "Thinker"}
