"""Load on a live server: real senders with real media over bad networks. A table on the screen, JSON with --json.

    python -m tests.load --sessions 3 --minutes 1                               # a server of its own, on nano
    python -m tests.load --sessions 3 --minutes 60                              # the soak
    python -m tests.load --sessions 3 --minutes 2 --loss 0.05 --jitter-ms 100   # a bad network
    python -m tests.load --sessions 1 --minutes 3 --kills 10                    # the model's process dies
    python -m tests.load --sessions 3 --minutes 0 --drops 200                   # opened and dropped at random moments
    python -m tests.load --url http://localhost:8080 --sessions 4 --minutes 1   # a server that runs already

A server of its own is offered one session more than it takes, and its memory is looked at every few seconds. Exits 1
when an event was lost, repeated or out of order, an offer got anything but 201 or 503, a session ended by itself, or
the server did not end well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.load.media import Clip, portrait, read
from tests.load.peers import Behaviour, Network, Outcome, play
from tests.load.server import Server, loop_delay_ms, metrics, serving

WARM_S = 8.0
"""Codecs, the mesh and the allocator's arenas come with the first sessions and stay; they are no leak. Before many are
dropped, a tenth of them goes ahead for the same reason."""
SETTLE_S = 16.0
"Longer than the server lets a silent peer and the events of a session that has ended linger."
SAMPLE_S = 5.0
UP_S = 10.0
"After which all sessions of a steady load are up."


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="Load on a live server.")
    parser.add_argument("--sessions", type=int, default=3, metavar="N", help="at once (default: 3)")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="how long they last (default: 1)")
    parser.add_argument("--loss", type=float, default=0.0, metavar="SHARE", help="of packets, 0–1, each way")
    parser.add_argument("--burst", type=int, default=1, metavar="N", help="packets lost in a row (default: 1)")
    parser.add_argument(
        "--jitter-ms", type=float, default=0.0, metavar="MS", help="packets are held for 0 to this long"
    )
    parser.add_argument("--come-back-s", type=float, default=15.0, metavar="S", help="readers reconnect so often")
    parser.add_argument("--slow-readers", type=int, default=0, metavar="N", help="per session: readers taking nothing")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="times the model's process is killed")
    parser.add_argument("--drops", type=int, default=0, metavar="N", help="sessions opened and dropped after all that")
    parser.add_argument("--abrupt", type=float, default=0.5, metavar="SHARE", help="of those: leave without a word")
    parser.add_argument("--media", type=Path, metavar="FILE", help="what is sent, in a loop (default: a portrait)")
    parser.add_argument("--url", help="a server that runs already (default: start one)")
    parser.add_argument("--token", help="its bearer token")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args(words)


async def _steady(
    http: httpx.AsyncClient, clip: Clip, options: argparse.Namespace, network: Network, server: Server | None
) -> dict[str, Any]:
    """`--sessions` of them for `--minutes`, and until all kills are over; one offer too many on the way."""
    seconds = options.minutes * 60
    behaviours = [
        Behaviour(
            seconds, network, options.seed + index, come_back_s=options.come_back_s, slow_readers=options.slow_readers
        )
        for index in range(options.sessions)
    ]
    before, outcomes = await metrics(http), [Outcome() for _ in behaviours]
    samples: list[dict[str, float]] = []
    killed = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        plays = [
            tasks.create_task(play(http, clip, behaviour, outcome, stay=killed))
            for behaviour, outcome in zip(behaviours, outcomes, strict=True)
        ]
        beside: list[asyncio.Task[Any]] = []
        if server is not None:
            beside.append(tasks.create_task(_sample(server, samples)))
            killing = tasks.create_task(_kill(server, options.kills, seconds, outcomes, killed))
            one_more = tasks.create_task(_one_more(http, clip, min(UP_S, seconds / 2)))
            beside += [killing, one_more]
        else:
            killed.set()
        await asyncio.wait(plays)
        for task in beside:
            task.cancel()
    figures = {**_summary(outcomes), "loop_delay_within_ms": loop_delay_ms(before, await metrics(http))}
    if server is not None:
        figures["one_more"] = one_more.result() if not one_more.cancelled() else None
        figures["kills_survived"] = killing.result() if not killing.cancelled() else None
        figures |= _memory(samples)
    return figures


async def _sample(server: Server, samples: list[dict[str, float]]) -> None:
    while True:
        samples.append({"at_s": time.monotonic(), **server.held()})
        await asyncio.sleep(SAMPLE_S)


def _memory(samples: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians of the first and the last third but the first samples, when all is still coming up."""
    if len(samples) < 9:
        return {}
    settled = samples[len(samples) // 4 :]
    third = len(settled) // 3
    early, late = (np.median([one["rss_mb"] for one in part]) for part in (settled[:third], settled[-third:]))
    passed_s = samples[-1]["at_s"] - samples[0]["at_s"]
    return {
        "rss_mb_early": round(float(early), 1),
        "rss_mb_late": round(float(late), 1),
        "rss_growth": round(float(late / early) - 1, 4),
        "cpu_cores": round((samples[-1]["cpu_s"] - samples[0]["cpu_s"]) / passed_s, 2),
        # A loop that is late on a machine without a free core is late for that, whatever it does itself.
        **{
            f"{name.removesuffix('_s')}_share": round((samples[-1][name] - samples[0][name]) / passed_s, 3)
            for name in ("loop_cpu_s", "loop_waited_s")
            if name in samples[0]
        },
    }


async def _kill(server: Server, n_kills: int, seconds: float, outcomes: Sequence[Outcome], done: asyncio.Event) -> int:
    """Kill the model's process so often; how many times events of every session went on afterwards."""
    n_survived = 0
    await asyncio.sleep(min(UP_S, seconds / 2))
    for _ in range(n_kills):
        while (pid := server.model_pid()) is None:
            await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        frames = [outcome.types["frame"] for outcome in outcomes]
        while any(outcome.types["frame"] == n for outcome, n in zip(outcomes, frames, strict=True)):
            await asyncio.sleep(0.1)
        n_survived += 1
    done.set()
    return n_survived


async def _one_more(http: httpx.AsyncClient, clip: Clip, after_s: float) -> dict[str, Any]:
    """An offer while every place is taken."""
    await asyncio.sleep(after_s)
    outcome = await play(http, clip, Behaviour(1.0))
    return {"status": outcome.status, "retry_after_s": outcome.retry_after_s}


async def _drop(
    http: httpx.AsyncClient, clip: Clip, options: argparse.Namespace, network: Network, n_drops: int
) -> dict[str, Any]:
    """So many sessions, `--sessions` at a time, each left 0–3 s after its answer."""
    dice, turns = random.Random(options.seed), asyncio.Semaphore(options.sessions)

    async def one(index: int) -> Outcome:
        behaviour = Behaviour(dice.uniform(0, 3), network, index, abrupt=dice.random() < options.abrupt)
        async with turns:
            outcome = await play(http, clip, behaviour)
            if outcome.status == 503:
                # Those who left without a word hold their places until the server is sure.
                await asyncio.sleep(1.0)
            return outcome

    n_taken = 0
    outcomes: list[Outcome] = []
    while n_taken < n_drops:
        some = await asyncio.gather(*(one(len(outcomes) + index) for index in range(options.sessions)))
        n_taken += sum(outcome.status == 201 for outcome in some)
        outcomes += some
    return _summary(outcomes)


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    taken = [outcome for outcome in outcomes if outcome.status == 201]
    firsts_s = [outcome.first_label_s for outcome in taken if outcome.first_label_s is not None]
    return {
        "offers": len(outcomes),
        "taken": len(taken),
        "refused": sum(outcome.status == 503 for outcome in outcomes),
        "refused_without_retry_after": sum(outcome.status == 503 and not outcome.retry_after_s for outcome in outcomes),
        "other_answers": sum(outcome.status not in (201, 503) for outcome in outcomes),
        "ended_by_themselves": sum(outcome.closed is not None for outcome in taken),
        "events": dict(sum((outcome.types for outcome in taken), Counter())),
        "wrong_events": sum(outcome.n_wrong for outcome in taken),
        "reads": sum(outcome.n_reads for outcome in taken),
        "errors": dict(sum((outcome.errors for outcome in taken), Counter())),
        "reduced": dict(sum((outcome.reduced for outcome in taken), Counter())),
        "max_lag_s": max((outcome.max_lag_s for outcome in taken), default=0.0),
        "first_label_p50_s": round(float(np.median(firsts_s)), 2) if firsts_s else None,
    }


async def _load(options: argparse.Namespace, url: str, server: Server | None, clip: Clip) -> dict[str, Any]:
    network = Network(options.loss, options.burst, options.jitter_ms / 1000)
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    result: dict[str, Any] = {"network": asdict(network), "sessions": options.sessions, "minutes": options.minutes}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        if server is not None:
            await asyncio.gather(
                *(play(http, clip, Behaviour(WARM_S, seed=index)) for index in range(options.sessions))
            )
            await _drop(http, clip, options, network, options.drops // 10)
            await asyncio.sleep(SETTLE_S)
            result["before"] = {**server.held(), "tasks": (await metrics(http))["emothinker_tasks"]}
        if options.minutes > 0:
            result["steady"] = await _steady(http, clip, options, network, server)
        if options.drops:
            result["dropped"] = await _drop(http, clip, options, network, options.drops)
        if server is not None:
            await asyncio.sleep(SETTLE_S)
            result["after"] = {**server.held(), "tasks": (await metrics(http))["emothinker_tasks"]}
    if server is not None:
        result["exit_code"] = await server.terminated()
    return result


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{part:<10} {name:<28} {value}"
        for part in ("steady", "dropped")
        for name, value in result.get(part, {}).items()
    ]
    for name, value in result.get("before", {}).items():
        lines.append(f"{'server':<10} {name:<28} {value} → {result['after'][name]}")
    return "\n".join(lines)


def _well(result: dict[str, Any]) -> bool:
    wrong = ("refused_without_retry_after", "other_answers", "ended_by_themselves", "wrong_events")
    parts = [result[part] for part in ("steady", "dropped") if part in result]
    return not any(part[name] for part in parts for name in wrong) and result.get("exit_code", 0) == 0


async def _run(options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        clip = read(options.media) if options.media else portrait()
        server: Server | None = None
        url = options.url
        if url is None:
            server = await stack.enter_async_context(serving("--max-sessions", str(options.sessions)))
            url = server.url
        result = await _load(options, url, server, clip)
    print(_table(result))
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if _well(result) else 1


def main(words: Sequence[str] | None = None) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return asyncio.run(_run(_options(words)))


if __name__ == "__main__":
    sys.exit(main())
