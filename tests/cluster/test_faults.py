"""Parts of a real cluster are killed while sessions run: what it costs whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

from realtime.cluster.engine import RayEngine
from realtime.cluster.sizing.synthetic import open_placed
from realtime.errors import BadOffer
from realtime.observe.metrics import Metrics
from realtime.records import Question, Window
from realtime.roles import Source
from realtime.serve.app import LiveServer
from realtime.settings import ServerSettings, Settings
from tests.cluster.live import PATIENCE_S, Interrupted, Watched
from tests.load.peers import SDP, Opened
from tests.load.server import serving
from tests.scripted import picture
from tests.serve.live_server import sender

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]
RETRY_AFTER_S = 7


async def eventually(reached: Callable[[], Awaitable[bool]], what: str) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not await reached():
        assert time.monotonic() < give_up_s, f"not {what} within {PATIENCE_S:.0f} s"
        await asyncio.sleep(0.1)


async def processes(engine: RayEngine, deployment: int, n: int) -> list[int]:
    """Of `n` replicas that answer, encoders (0) or Thinkers (1)."""
    found: set[int] = set()

    async def all_of_them() -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S / 3):
                found.add((await engine.handles[deployment].counts.remote())["pid"])
        return len(found) >= n

    await eventually(all_of_them, f"{n} replicas")
    return sorted(found)


async def test_a_thinker_killed_in_the_middle_of_a_chain_costs_its_session_a_moment_and_others_nothing(
    engine: RayEngine,
) -> None:
    client, pid = await open_placed(engine)
    killed_s = labelled_s = 0.0

    def kill() -> None:
        nonlocal killed_s
        os.kill(pid, signal.SIGKILL)
        killed_s = time.monotonic()

    mine = Watched(engine, Interrupted(client, kill))
    other = Watched(engine, (await open_placed(engine, elsewhere=pid))[0])

    async def labelled() -> None:
        nonlocal labelled_s
        await mine.until("label", 1)
        labelled_s = time.monotonic()

    mine.script(lambda: mine.until("reason.delta", 0))
    mine.items.insert(-2, labelled)
    other.script(lambda: mine.until("reason.delta", 0))
    await asyncio.gather(mine.run(), other.run())
    # 5 s on a machine of its own (python -m realtime.cluster measure --kill); here others may be at work.
    assert 0 < labelled_s - killed_s < PATIENCE_S / 3
    mine.check()
    other.check()


async def test_a_lost_encoder_costs_a_retry(engine: RayEngine) -> None:
    """Serve retries a call that has not reached the replica, `retry.call_replica` one that has."""
    clients = [await engine.open(seed, Question()) for seed in range(12)]
    victim, _ = await processes(engine, 0, 2)
    seeing = [asyncio.create_task(client.see(picture(float(at_s)))) for at_s, client in enumerate(clients)]
    # Once the first is answered, others are under way.
    await asyncio.wait(seeing, return_when=asyncio.FIRST_COMPLETED)
    os.kill(victim, signal.SIGKILL)
    seen = await asyncio.gather(*seeing)
    assert [frame.at_s for frame in seen] == [float(at_s) for at_s in range(len(clients))]
    assert all(frame.tokens_ND.shape[0] > 0 for frame in seen)
    for client in clients:
        client.close()


async def test_a_lost_ingest_node_costs_its_sessions_a_reconnect_and_others_nothing(
    deployed: str, engine: RayEngine
) -> None:
    client, _ = await open_placed(engine)
    mine = Watched(engine, client)
    async with serving("--cluster", deployed) as node, sender() as peer:

        async def lose() -> None:
            await peer.setLocalDescription(await peer.createOffer())
            async with httpx.AsyncClient(base_url=node.url, timeout=60) as http:
                reply = await http.post("/whip", content=peer.localDescription.sdp, headers=SDP)
                assert reply.status_code == 201, reply.text
                there = Opened(http, reply.headers["location"], reply.headers["session-secret"])
                async with there.events(0) as lines:
                    first = json.loads(await anext(aiter(lines)))
                    assert first["type"] == "session.opened"
                    assert "ray" in first["engine"]
                    node.program.kill()
                    await node.program.wait()

        mine.script(lose)
        await mine.run()
    mine.check()
    # Whoever comes back is taken by a node that is left.
    again = await engine.open(1, Question())
    frames = [await again.see(picture(float(at_s))) for at_s in range(2)]
    assert (await again.fast_label(Window(0, 0.0, 2.0, tuple(frames), ()), Question())).probabilities
    again.close()


@asynccontextmanager
async def asked(engine: RayEngine) -> AsyncIterator[httpx.AsyncClient]:
    """A server on that engine whose offers are all bad: 400 is to be taken, 503 is not to be."""

    async def answer(offer: str) -> tuple[str, Source]:
        raise BadOffer("It offers nothing.", "Offer something.")

    settings = Settings(server=ServerSettings(retry_after_s=RETRY_AFTER_S))
    live = LiveServer(engine=engine, settings=settings, metrics=Metrics(), answer=answer)
    transport = httpx.ASGITransport(app=live.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=SDP) as http:
        yield http


async def test_a_cluster_that_cannot_keep_up_takes_no_session_and_says_when_to_ask_again(engine: RayEngine) -> None:
    """By what is measured: how long work waits there. Thinkers that are stopped never come to theirs."""
    stopped = await processes(engine, 1, 2)
    async with asked(engine) as http:
        replies: list[httpx.Response] = []

        async def is_(status: int) -> bool:
            replies.append(await http.post("/whip", content="v=0"))
            return replies[-1].status_code == status

        await eventually(lambda: is_(400), "taken")
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            await eventually(lambda: is_(503), "refused")
            assert replies[-1].headers["retry-after"] == str(RETRY_AFTER_S)
            assert replies[-1].json()["code"] == "busy"
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        await eventually(lambda: is_(400), "taken again")
