"""The parts of the cluster that need no cluster: refusals, admission, and chains that no reader gets twice."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

import grpc
from ray.exceptions import RayActorError, RayTaskError

from realtime import cli
from realtime.cluster import __main__ as command
from realtime.cluster import config, connect
from realtime.cluster.app import ARGS
from realtime.cluster.messages import SCHEMA, DeploymentManifest
from realtime.cluster.probe import ALIVE, probe_head
from realtime.cluster.remote import SentText
from realtime.cluster.retry import RecentWaits, call_replica
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.errors import BadSettings, ClusterMismatch, ClusterUnreachable, ReplicaLost, ServerBusy
from realtime.observe.metrics import Metrics
from realtime.records import ReasonDelta
from realtime.serve.sessions import Sessions
from realtime.settings import Settings
from realtime.settings_sources import load
from tests.scripted import ScriptedModel


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


async def test_something_else_that_listens_is_told_within_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Ray's own dashboard, say: to join it Ray would try for minutes."""
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(command.main, ["status", "--address", f"127.0.0.1:{port}"]) == 8
    assert "is not the head of a Ray cluster" in capsys.readouterr().err


@pytest.fixture
def guarded_head() -> Iterator[str]:
    """What answers as a head does that asks for the token RIGHT."""

    def alive(request: bytes, context: grpc.ServicerContext) -> bytes:
        if ("authorization", "Bearer RIGHT") not in [(item.key, item.value) for item in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return b""

    service, _, method = ALIVE.strip("/").partition("/")
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        handler = grpc.unary_unary_rpc_method_handler(alive)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


@pytest.mark.parametrize(("ours", "told"), [(None, "holds none"), ("WRONG", "holds another"), ("RIGHT", None)])
def test_a_token_that_is_not_the_cluster_s_is_told_at_once(
    ours: str | None, told: str | None, guarded_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth_token"
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    if ours is not None:
        path.write_text(f"{ours}\n")
    if told is None:
        probe_head(guarded_head)
        return
    with pytest.raises(ClusterUnreachable, match=told):
        probe_head(guarded_head)


def test_of_what_a_replica_died_of_its_first_and_last_line_are_told() -> None:
    died = "It failed to start.\n  File x.py, line 3\n    raise BadModel()\n\nBadModel: no such model\n"
    assert connect.first_and_last(died) == "It failed to start. BadModel: no such model"
    assert [connect.first_and_last(text) for text in ("", "one", "one\ntwo")] == ["", "one", "one two"]


@pytest.mark.parametrize("address", ["cluster", "cluster:ray", ":6379", "ray://head:10001", "head:637900"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BadSettings, match="HOST:PORT"):
        connect.join(address)


def manifest(model: str = "nano", adapters: tuple[str, ...] = ("",), fingerprint: str = "1") -> DeploymentManifest:
    return DeploymentManifest(SCHEMA, "0.1.0", model, fingerprint, adapters, (), "", {}, {}, {})


@pytest.mark.parametrize(("there", "mode"), [(True, "token"), (False, "none")])
def test_the_token_of_a_cluster_is_shown_where_this_machine_holds_one(there: bool, mode: str, tmp_path: Path) -> None:
    """`ray start` asks for it by default, and Ray reads its environment once: a process of its own."""
    token = tmp_path / "auth_token"
    if there:
        token.write_text("5" * 64)
    code = "import os, realtime.cluster; print(os.environ.get('RAY_AUTH_MODE', 'none'))"
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**given, "RAY_AUTH_TOKEN_PATH": str(token)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert found.stdout.strip() == mode


@pytest.mark.parametrize(
    ("found", "fix"),
    [
        (manifest(model="Qwen/Qwen2.5-Omni-3B"), "--model Qwen/Qwen2.5-Omni-3B"),
        (manifest(adapters=("", "other")), "--adapter mine=FOLDER"),
        (manifest(adapters=("",), fingerprint="2"), "Deploy"),
    ],
)
def test_another_deployment_is_refused_with_the_command_that_helps(found: DeploymentManifest, fix: str) -> None:
    with pytest.raises(ClusterMismatch) as refused:
        connect.check_model(found, model="nano", adapter="mine", fingerprint="1")
    assert fix in refused.value.hint


def test_how_far_behind_a_cluster_is_fades_with_what_was_measured() -> None:
    now_s = 0.0
    waits = RecentWaits(lambda: now_s)
    assert waits.typical_s() == 0.0
    for _ in range(8):
        waits.add(1.5)
    assert waits.typical_s() == 1.5
    now_s = 10.0
    assert waits.typical_s() == 0.0


class Replica:
    """Answers calls as it was told to: an exception is what becomes of that call."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.attempts: list[int] = []

    def __call__(self, attempt: int) -> Replica:
        self.attempts.append(attempt)
        return self

    def result(self, timeout_s: float) -> object:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def raised(cause: Exception) -> RayTaskError:
    """As Ray hands on what a replica raised."""
    error: RayTaskError = RayTaskError("label", "", cause)
    return error


def test_what_a_lost_replica_was_asked_is_asked_again_and_only_so_often() -> None:
    waits, replica = RecentWaits(), Replica(RayActorError(), TimeoutError(), "answer")
    assert call_replica(replica, timeout_s=1.0, waits=waits) == "answer"
    assert (replica.attempts, waits.n_retries) == ([0, 1, 2], 2)
    with pytest.raises(ReplicaLost, match="3 attempts"):
        call_replica(Replica(*(RayActorError() for _ in range(3))), timeout_s=1.0, waits=waits)


def test_a_replica_that_is_full_is_not_the_last_word_and_one_that_fails_is() -> None:
    waits, full = RecentWaits(), Replica(raised(OverflowError("256 requests wait")), "answer")
    assert call_replica(full, timeout_s=1.0, waits=waits) == "answer"
    failing = Replica(raised(ValueError("no frame")), "answer")
    with pytest.raises(ValueError, match="no frame"):
        call_replica(failing, timeout_s=1.0, waits=waits)
    assert failing.attempts == [0]


class Behind(LocalEngine):
    """An engine that other nodes' sessions keep busy."""

    def stats(self) -> dict[str, float]:
        return {"behind_s": 2.0}


async def test_a_node_without_sessions_takes_none_while_the_cluster_is_behind() -> None:
    with ModelWorker() as worker:
        sessions = Sessions(engine=Behind(ScriptedModel(), worker), settings=Settings(), metrics=Metrics())
        with pytest.raises(ServerBusy, match=r"2\.0 s behind"), sessions.place():
            pass


def test_text_that_was_sent_is_cut_off_a_chain_that_is_decoded_again() -> None:
    sent = SentText({"face": "The lips are "})
    pieces = [sent.cut_off(ReasonDelta("face", text)) for text in ("The ", "lips are pulled", " up.")]
    assert pieces == [None, ReasonDelta("face", "pulled"), ReasonDelta("face", " up.")]
    assert sent.cut_off(ReasonDelta("context", "One person.")) == ReasonDelta("context", "One person.")


def test_a_chain_that_differs_from_the_text_that_was_sent_ends() -> None:
    with pytest.raises(ReplicaLost):
        SentText({"face": "The lips"}).cut_off(ReasonDelta("face", "A smile"))


@pytest.mark.parametrize(
    "text", ["", "applications: 3", "applications:\n- name: x\n  import_path: other:app", "a: [", "\0"]
)
def test_a_file_that_is_no_serve_config_of_ours(text: str, tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(BadSettings):
        config.read(path, {})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_ongoing": 9}, "no setting max_ongoing of Thinker"),
        ({"name": "Thinkr"}, "no deployment Thinkr"),
        ({"autoscaling_config": {"max_replica": 9}}, "no setting max_replica of Thinker.autoscaling_config"),
        ({"autoscaling_config": {"min_replicas": 3, "max_replicas": 2}}, "greater than or equal to min_replicas"),
        ({"ray_actor_options": {"num_gpu": 1}}, "num_gpu"),
        ({"ray_actor_options": {"num_gpus": 1.5}}, "a share of one or several whole ones"),
        ({"ray_actor_options": {"num_gpus": -1}}, "num_gpus: Input should be greater"),
    ],
)
def test_a_deployment_that_cannot_be_is_told_before_it_is_waited_for(
    wrong: dict[str, Any], told: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(config.FILE.read_text())
    content["applications"][0]["deployments"][1] |= wrong
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BadSettings, match=told):
        config.built(config.read(path, {}))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"device": "gpu"}, "cpu, cuda"),
        ({"device": "cuda"}, "no share of a GPU"),
        ({"engine": "tensorrt"}, "auto, torch, onnx, trt"),
        ({"n_threads": "two"}, "n_threads is two"),
        ({"adapters": ["folder"]}, "NAME: FOLDER"),
        ({"modle": "nano"}, "modle is not an argument"),
    ],
)
def test_arguments_that_no_replica_can_take_are_told_by_name(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        config.built(config.read(None, wrong))


def test_shares_of_a_gpu_and_adapters_are_what_serve_deploys(tmp_path: Path) -> None:
    """The sizes for 3B of docs/cluster.md; that several replicas share a GPU is Ray's to place."""
    content = yaml.safe_load(config.FILE.read_text())
    for item, share in zip(content["applications"][0]["deployments"], (0.1, 0.2), strict=True):
        item["ray_actor_options"]["num_gpus"] = share
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    adapters = {"one": "/one", "two": "/two"}
    thinker = config.built(config.read(path, {"device": "cuda", "adapters": adapters}))._bound_deployment
    encoder = thinker.init_args[0]._bound_deployment
    assert [part.ray_actor_options["num_gpus"] for part in (encoder, thinker)] == [0.1, 0.2]
    assert [part.init_args[-1] for part in (encoder, thinker)] == [adapters, adapters]
    assert [part.init_kwargs["device"] for part in (encoder, thinker)] == ["cuda", "cuda"]


def test_the_kubernetes_file_deploys_and_sets_what_there_is(tmp_path: Path) -> None:
    service, ingest = yaml.safe_load_all(config.FILE.with_name("kuberay.yaml").read_text())
    path = tmp_path / "serve.yaml"
    path.write_text(service["spec"]["serveConfigV2"])
    wanted = config.read(path, {})
    assert set(wanted["args"]) <= ARGS
    assert [part["name"] for part in wanted["deployments"]] == ["Encoder", "Thinker"]
    config.built(wanted)
    (container,) = ingest["spec"]["template"]["spec"]["containers"]
    names = {item["name"]: item.get("value", "x") for item in container["env"]}
    settings = load(environ={**names, "EMOTHINKER_SERVER__NODE": "n1"})
    assert settings.server.node == "n1"
    assert settings.ice.turn_secret == "x"
    assert f"--model {wanted['args']['model']} " in container["command"][-1]


def test_the_file_in_the_repository_is_one_and_takes_our_arguments() -> None:
    wanted = config.read(None, {"model": "FOLDER", "device": None})
    assert wanted["args"]["model"] == "FOLDER"
    assert wanted["args"]["device"] == "cpu"
    assert {part["name"] for part in wanted["deployments"]} == {"Encoder", "Thinker"}
    config.built(config.read(None, {"weights": "int4"}))
    with pytest.raises(BadSettings, match="weights is int2; there are full, int8, int4"):
        config.built(config.read(None, {"weights": "int2"}))
