"""What the cluster costs against the local engine, measured in the same run on what a session does.

    python -m realtime.cluster measure --address A [--windows 60] [--kill]          figures as a line of JSON

label      one stretch of speech heard and labelled, on both engines by turns; what the cluster adds (p95)
batching   frames of four sessions in one call of an encoder, chains of four sessions written together by a Thinker,
           each against one after the other; chains are by far the most of what a session costs. Windows have their
           labels before, as in a session. `frames_*_gflop_s`: how quick a frame's arithmetic is, alone and in such a
           call; `core_gflop_s`: this core's quickest products, and `frames_least_share`: of four frames at that speed
kill       (`--kill`) of two sessions, the Thinker replica of one is killed in the middle of a chain: how long until its
           next label, whether any event of either is missing, repeated or wrong, the longest label of the other
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from realtime.bench.floors import arithmetic_per_s
from realtime.cluster.encoder import EncoderReplica, packed_frames
from realtime.cluster.engine import RayEngine, started
from realtime.cluster.messages import EncodeRequest, SessionKey, WindowRequest, slim
from realtime.cluster.sizing.people import Life, Person, Placed, percentile_ms, placed
from realtime.cluster.thinker import ThinkerReplica
from realtime.engine import loading
from realtime.engine.process import ProcessEngine
from realtime.engine.start import load_model
from realtime.errors import ClusterUnreachable
from realtime.observe.metrics import Metrics
from realtime.records import SAMPLE_RATE_HZ, FrameEvidence, Question, SpeechSegment, VideoFrame, Window
from realtime.roles import EngineClient
from realtime.settings import ModelSettings
from realtime.towers.batch import FrameInput, drop_noise, vision_inputs

SESSIONS = 4
BATCHES, CHAINS = 20, 5
SPEECH_S = 1.5
ADDED_P95_MS, BATCH_SHARE, NEXT_LABEL_S = 30.0, 0.6, 5.0
"What has to be reached: on 2 cores, with nano."
KILL_S, SETTLED_S = 30.0, 8.0
"How long the sessions of `--kill` last, and after how much of it a Thinker is killed."
KILL_WRONG = ("killed_events_wrong", "killed_errors", "other_events_wrong", "other_errors")


class Scene:
    """A session's media, drawn: noise for pictures and sound, new with every window."""

    def __init__(self, client: EngineClient, seed: int) -> None:
        self._client = client
        self._noise = np.random.default_rng(seed)
        self._frames: list[FrameEvidence] = []
        self._at_s = 0.0

    async def window(self, index: int) -> tuple[Window, float]:
        """Another second and another stretch of speech; and how long that and its label took, in ms."""
        self._at_s += 1.0
        picture = self._noise.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        self._frames = [*self._frames[-3:], await self._client.see(VideoFrame(self._at_s, picture))]
        sound = (0.1 * self._noise.standard_normal(round(SPEECH_S * SAMPLE_RATE_HZ))).astype(np.float32)
        began_s = time.perf_counter()
        heard = await self._client.hear(SpeechSegment(self._at_s - SPEECH_S, self._at_s, sound))
        window = Window(index, self._frames[0].at_s, self._at_s, tuple(self._frames), (heard,))
        await self._client.fast_label(window, Question())
        return window, (time.perf_counter() - began_s) * 1000


async def added(here: EngineClient, there: EngineClient, windows: int) -> dict[str, float]:
    """Hearing and label on both, by turns, so that whatever else the machine does concerns both."""
    scenes = {"local": Scene(here, 1), "cluster": Scene(there, 1)}
    took: dict[str, list[float]] = {name: [] for name in scenes}
    for index in range(windows + 5):
        for name, scene in scenes.items():
            took[name].append((await scene.window(index))[1])
    # The first ones pay for what is done once.
    local, cluster = (np.array(took[name][5:]) for name in ("local", "cluster"))
    percentiles = {
        f"{name}_p{share}_ms": round(float(np.percentile(values, share)), 1)
        for name, values in (("local", local), ("cluster", cluster))
        for share in (50, 95)
    }
    return {**percentiles, "added_p95_ms": round(percentiles["cluster_p95_ms"] - percentiles["local_p95_ms"], 1)}


def frames(model: str) -> dict[str, float]:
    """The median over some batches: a call with four sessions' frames, and four calls, by turns."""
    encoder = EncoderReplica(model, engine="torch")
    noise = torch.Generator().manual_seed(0)
    text_QD = torch.zeros(1, 1)

    def request() -> EncodeRequest:
        focal = torch.rand(64, generator=noise) < 0.2
        frame = FrameInput(torch.rand(3, 224, 224, generator=noise), focal, drop_noise(focal, seed=0), 0.2)
        return EncodeRequest("", Question(), packed_frames(vision_inputs([frame], text_QD)))

    def seconds(work: Callable[[], Any]) -> float:
        began_s = time.perf_counter()
        work()
        return time.perf_counter() - began_s

    together, apart = [], []
    for _ in range(BATCHES):
        requests = [request() for _ in range(SESSIONS)]
        together.append(seconds(partial(encoder.encode_frames, requests)))
        apart.append(sum(seconds(partial(encoder.encode_frames, [one])) for one in requests))
    with FlopCounterMode(display=False) as counter:
        encoder.encode_frames(requests)
    flop, flop_s = counter.get_total_flops(), arithmetic_per_s()
    return {
        **shares("frames", together, apart),
        "frame_gflop": round(flop / SESSIONS / 1e9, 2),
        "frames_together_gflop_s": round(flop / median(together) / 1e9, 1),
        "frames_apart_gflop_s": round(flop / median(apart) / 1e9, 1),
        "core_gflop_s": round(flop_s / 1e9, 1),
        "frames_least_share": round(flop / flop_s / median(apart), 2),
    }


async def chains(model: str) -> dict[str, float]:
    """The same of four sessions' chains on one Thinker replica, each after its label: at once, and one by one."""
    thinker = ThinkerReplica(model)
    perceives, noise = loading.load(model, engine="torch"), np.random.default_rng(0)
    questions = []
    for session in range(SESSIONS):
        perceiver = perceives.perceiver(session)
        seen = [
            perceiver.see(VideoFrame(float(s), noise.integers(0, 256, (240, 320, 3), dtype=np.uint8))) for s in range(4)
        ]
        perceiver.close()
        parts = tuple(slim(replace(part, number=number)) for number, part in enumerate(seen, start=1))
        who = SessionKey(str(session), "", Question())
        await thinker.append(who, parts)
        questions.append(WindowRequest.of(Window(0, 0.0, 4.0, parts, ()), who))  # type: ignore[arg-type]

    async def write(question: WindowRequest) -> None:
        async for _ in thinker.reason(question):
            pass

    async def at_once() -> None:
        await asyncio.gather(*(write(question) for question in questions))

    async def one_by_one() -> None:
        for question in questions:
            await write(question)

    together: list[float] = []
    apart: list[float] = []
    for _ in range(CHAINS):
        for way, seconds in ((at_once, together), (one_by_one, apart)):
            for question in questions:
                await thinker.label(question)
            began_s = time.perf_counter()
            await way()
            seconds.append(time.perf_counter() - began_s)
    thinker.end()
    return shares("chains", together, apart)


def shares(what: str, together: list[float], apart: list[float]) -> dict[str, float]:
    return {
        f"{what}_together_ms": round(1000 * median(together), 1),
        f"{what}_apart_ms": round(1000 * median(apart), 1),
        f"{what}_share": round(median(one / other for one, other in zip(together, apart, strict=True)), 2),
    }


async def kill(engine: RayEngine) -> dict[str, float]:
    """Two people's sessions, the Thinker replica of one killed at the first words of a chain of its.

    Raises ClusterUnreachable when the replica is on another machine.
    """
    client, pid = await placed(engine)
    elsewhere, _ = await placed(engine, elsewhere=pid)
    killed_s = labelled_s = 0.0

    def happens(event: dict[str, Any]) -> None:
        nonlocal killed_s, labelled_s
        if not killed_s and event["type"] == "reason.delta" and event["t"] >= SETTLED_S:
            killed_s = time.monotonic()
            os.kill(pid, signal.SIGKILL)
        elif killed_s and not labelled_s and event["type"] == "label" and event["source"] == "fast":
            labelled_s = time.monotonic()

    people = [Person(KILL_S, seed, speech_s=(1.0, 1.5), pause_s=1.0) for seed in (1, 2)]
    mine = Life(people[0], Placed(engine, client), happens)
    other = Life(people[1], Placed(engine, elsewhere))
    try:
        await asyncio.gather(mine.run(), other.run())
    except ProcessLookupError as error:
        raise ClusterUnreachable("The replica is on another machine.", "Measure --kill on a single one.") from error
    return {
        # A machine that is too slow for chains has none to be interrupted.
        "killed": float(bool(labelled_s)),
        "next_label_s": round(labelled_s - killed_s, 2) if labelled_s else 0.0,
        "killed_chains": mine.figures.chains,
        "killed_events_wrong": mine.n_wrong,
        "killed_errors": len(mine.errors),
        "other_events_wrong": other.n_wrong,
        "other_errors": len(other.errors),
        "other_label_max_ms": percentile_ms(other.figures.label_s, 100),
    }


async def measure(address: str, model: str, *, windows: int, kills: bool) -> dict[str, float]:
    """Raises what joining a cluster raises."""
    wanted = ModelSettings(name=model)
    async with started(address, wanted, metrics=Metrics(), sessions=SESSIONS) as there:
        async with ProcessEngine(partial(load_model, wanted), Metrics()) as here:
            local, remote = await here.open(0, Question()), await there.open(0, Question())
            figures = await added(local, remote, windows=windows)
            local.close()
            remote.close()
        figures |= await asyncio.to_thread(frames, model)
        figures |= await chains(model)
        if kills:
            figures |= await kill(there)
    return figures


def reached(figures: dict[str, float]) -> bool:
    return (
        figures["added_p95_ms"] <= ADDED_P95_MS
        and figures["chains_share"] <= BATCH_SHARE
        and figures.get("killed", 1.0) == 1.0
        and figures.get("next_label_s", 0.0) <= NEXT_LABEL_S
        and not any(figures.get(name) for name in KILL_WRONG)
    )
