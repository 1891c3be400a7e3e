"""What operators deploy fits the program: metrics, settings, flags and files that are there, and a probe that works.

Images are not built here; what can be known of them without a container runtime is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime.cli import _parser
from realtime.engine.metrics import EngineMetrics
from realtime.observe.metrics import Metrics
from realtime.settings_sources import load
from tests.serve.live_server import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "realtime/deploy"


def instructions(name: str) -> list[str]:
    """What follows `name` in the Dockerfile, long lines joined."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def test_the_dashboard_asks_for_metrics_there_are() -> None:
    metrics = Metrics()
    metrics.registry.register(EngineMetrics(dict))
    there = {family.name for family in metrics.registry.collect()}
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        re.sub(r"_(bucket|total)$", "", name)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"(?:emothinker|process)_\w+", target["expr"])
    }
    assert asked <= there, asked - there
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(places) + 1))


def test_the_compose_file_sets_settings_there_are() -> None:
    service = compose()["services"]["emothinker"]
    names = [name for name in service["environment"] if name.startswith("EMOTHINKER_")]
    assert names
    values = {"EMOTHINKER_ICE__TURN_URL": "turn:h:1,turn:h:2", "EMOTHINKER_ICE__PUBLIC_ADDRESS": "203.0.113.7"}
    assert load(environ={name: values.get(name, "x") for name in names}).server.token == "x"
    # What is asked for without a default, the instructions name.
    text = (ROOT / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{(\w+)", text))
    told = text.partition("services:")[0]
    assert all(name in told for name in wanted), wanted


class Overriding(yaml.SafeLoader):  # type: ignore[misc]
    """Reads Compose's own tag as what it stands for."""


Overriding.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def test_the_file_for_a_gpu_fits_the_other_and_the_image() -> None:
    text = (ROOT / "compose.cuda.yaml").read_text()
    service = yaml.load(text, Overriding)["services"]["emothinker"]
    assert set(yaml.load(text, Overriding)["services"]) <= set(compose()["services"])
    arguments = service["build"]["args"]
    assert set(arguments) <= {argument.partition("=")[0] for argument in instructions("ARG")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(arguments["EXTRAS"].split(",")) <= set(extras)
    given = {"EMOTHINKER_MODEL__NAME": "Qwen/Qwen2.5-Omni-3B", "EMOTHINKER_SERVER__MAX_SESSIONS": "16"}
    given["EMOTHINKER_MODEL__BUILD_PLANS"] = service["environment"]["EMOTHINKER_MODEL__BUILD_PLANS"]
    assert service["environment"].keys() == given.keys()
    assert load(environ=given).model.build_plans
    assert load(environ=given).model.name == given["EMOTHINKER_MODEL__NAME"]
    assert load(environ=given).server.max_sessions == 16
    # The same folders as without a GPU, and programs that are compiled there can be loaded.
    assert [folder.removesuffix(":exec") for folder in service["tmpfs"]] == compose()["services"]["emothinker"]["tmpfs"]
    told = text.partition("services:")[0]
    assert all(name in told for name in re.findall(r"\$\{(\w+)", text))


def test_the_compose_file_mounts_what_is_there() -> None:
    mounted = [volume.split(":") for service in compose()["services"].values() for volume in service.get("volumes", [])]
    ours = [source for source, *_ in mounted if source.startswith("./realtime")]
    assert ours
    for source in ours:
        assert (ROOT / source).is_file(), source
    folder = {target for _, target, *_ in mounted}
    for flag in ("--tls-cert", "--tls-key"):
        command = compose()["services"]["emothinker"]["command"]
        assert str(Path(command[command.index(flag) + 1]).parent) in folder


def test_prometheus_looks_where_the_compose_file_serves() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert target == f"127.0.0.1:{load().server.port}"
    assert job["scheme"] == "https"
    ready = compose()["services"]["emothinker"]["environment"]["READY_URL"]
    assert ready.startswith(f"https://{target}/")


@pytest.mark.skipif(shutil.which("turnserver") is None, reason="needs coturn")
def test_the_relay_knows_its_flags() -> None:
    known = subprocess.run(["turnserver", "--help"], capture_output=True, text=True, check=False)
    for flag in compose()["services"]["coturn"]["command"]:
        assert flag.partition("=")[0] in known.stdout + known.stderr, flag


def test_commands_of_containers_and_units_are_commands() -> None:
    unit = (DEPLOY / "emothinker.service").read_text()
    (start,) = re.findall(r"^ExecStart=\S+/realtime (.+)$", unit, re.MULTILINE)
    (entry,), (default,) = map(instructions, ("ENTRYPOINT", "CMD"))
    assert json.loads(entry) == ["realtime"]
    for command in (shlex.split(start), json.loads(default), compose()["services"]["emothinker"]["command"]):
        assert callable(_parser().parse_args(command).run)


def test_the_image_copies_what_is_there_and_may_be_sent() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for copied in instructions("COPY"):
        *sources, _ = copied.split()
        if sources[0].startswith("--from="):
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in sent, source
    # The page is built to where the image takes it from.
    assert 'outDir: "../realtime/web_dist"' in (ROOT / "web/vite.config.ts").read_text()
    assert "--from=page /src/realtime/web_dist realtime/web_dist" in instructions("COPY")
    # What the package is made of is in the image before it is installed.
    project = (ROOT / "pyproject.toml").read_text()
    for package in re.findall(
        r'"(\w+)\*"', project.partition("[tool.setuptools.packages.find]")[2].partition("\n[")[0]
    ):
        assert f"{package} {package}" in instructions("COPY")


def test_the_page_needs_nothing_that_is_not_sent_to_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    sources = [path for path in (ROOT / "web").rglob("*.ts") if path.relative_to(ROOT).parts[1] != "node_modules"]
    sent = [path for path in sources if f"web/{path.relative_to(ROOT).parts[1]}" not in ignored]
    assert len(sent) > 10
    for path in sent:
        for imported in re.findall(r'from "(\.[^"]+)"', path.read_text("utf-8")):
            assert (path.parent / imported).resolve().is_relative_to(ROOT / "web"), f"{path} imports {imported}"


async def probe(url: str) -> int | None:
    (health,) = instructions("HEALTHCHECK")
    _, *command = json.loads(health.partition("CMD ")[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**os.environ, "READY_URL": url}, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def test_the_probe_of_the_image_tells_a_server_that_is_ready() -> None:
    async with serving() as running:
        address = f"http://127.0.0.1:{running.port}/readyz"
        assert await probe(address) == 0
        await running.live.drain()
        assert await probe(address) == 1
    assert await probe(address) == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own tools")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = (DEPLOY / "emothinker.service").read_text().replace("/opt/emothinker/bin/realtime", sys.executable)
    (tmp_path / "emothinker.service").write_text(unit)
    read = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "emothinker.service")], capture_output=True, text=True, check=False
    )
    # It also speaks of other units of the machine.
    assert "emothinker.service" not in read.stdout + read.stderr, read.stderr
