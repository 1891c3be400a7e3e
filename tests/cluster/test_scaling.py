"""A queue brings another Thinker onto a GPU that is shared already, its end takes it away, and no chain breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

import ray

from realtime.cluster import config, connect
from realtime.cluster.engine import RayClient, RayEngine
from realtime.records import Label, Question, ReasonDone, Window
from tests.cluster.nodes import SMALL
from tests.scripted import picture

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]
SESSIONS = 20
"Chains at once: more than two Thinkers are to have by `target_ongoing_requests`, as serve.yaml has it."
SHARES = {"Encoder": 0.1, "Thinker": 0.2}
"Of a GPU: those of docs/cluster.md for 3B."
PATIENCE_S = 240.0


@pytest.fixture
def shared_gpu(cluster: Any, deployed: str, tmp_path: Path) -> Iterator[None]:
    """A node with one GPU, as far as Ray knows, and all replicas on it; as it was before when left."""
    content = yaml.safe_load(config.FILE.read_text())
    for item in content["applications"][0]["deployments"]:
        item["ray_actor_options"]["num_gpus"] = SHARES[item["name"]]
        item["autoscaling_config"]["downscale_delay_s"] = 2
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    node = cluster.add_node(num_cpus=4, num_gpus=1, **SMALL)
    try:
        connect.deploy(config.read(path, {}))
        yield
    finally:
        connect.deploy(config.read(None, {}))
        cluster.remove_node(node)


def placed() -> tuple[int, float]:
    """Thinkers that run, and how much of the GPU is taken."""
    taken = ray.cluster_resources()["GPU"] - ray.available_resources().get("GPU", 0.0)
    return connect.replicas()["Thinker"], round(taken, 3)


async def until_thinkers(n: int) -> None:
    """Until so many run, all replicas on the GPU."""
    wanted = n, round(2 * SHARES["Encoder"] + n * SHARES["Thinker"], 3)
    give_up_s = time.monotonic() + PATIENCE_S
    while (there := await asyncio.to_thread(placed)) != wanted:
        assert time.monotonic() < give_up_s, f"(Thinkers, share of the GPU): {there}, not {wanted}"
        await asyncio.sleep(0.5)


async def session(engine: RayEngine, seed: int) -> tuple[RayClient, Window, Label]:
    """A client, a window of its own, and what it is labelled."""
    client = await engine.open(seed, Question())
    frames = [await client.see(picture(float(at_s))) for at_s in range(seed % 3 + 1)]
    window = Window(0, 0.0, 3.0, tuple(frames), ())
    return client, window, await client.fast_label(window, Question())


@pytest.mark.usefixtures("shared_gpu")
async def test_a_queue_brings_a_thinker_and_its_end_takes_it_away(engine: RayEngine) -> None:
    await until_thinkers(2)
    sessions = [await session(engine, seed) for seed in range(SESSIONS)]
    busy = True

    async def chains(client: RayClient, window: Window) -> int:
        """How many were written, each to its end."""
        n_written = 0
        while busy:
            last = [step async for step in client.reason(window, Question())][-1]
            assert isinstance(last, ReasonDone)
            n_written += 1
        return n_written

    async def relabelled() -> None:
        """Whoever holds a session by now holds what it needs to know."""
        for client, window, before in sessions:
            label = await client.fast_label(window, Question())
            assert label.probabilities == pytest.approx(before.probabilities, abs=1e-4)

    async with asyncio.TaskGroup() as group:
        writing = [group.create_task(chains(client, window)) for client, window, _ in sessions]
        await until_thinkers(3)
        await relabelled()
        busy = False
    assert all(task.result() for task in writing)
    await until_thinkers(2)
    await relabelled()
    for client, _, _ in sessions:
        client.close()
