"""Compares the cluster with the local engine in one run, on the work of a session.

    python -m realtime.cluster measure --address A [--windows 60] [--kill]          one line of JSON

label      An utterance is heard and labelled on both engines in alternation. The figure is what the cluster adds (p95).
batching   Frames of four sessions are encoded in one call, and chains of four sessions are decoded together, each
           compared with one after the other. Chains are most of a session's cost. Windows are labelled before, as in
           a session. `frames_*_gflop_s` is the arithmetic speed of a frame, in such a call and alone; `core_gflop_s`
           is this core's best speed, and `frames_least_share` the share of the time that four frames take at it.
kill       (`--kill`) Of two sessions, the Thinker replica of one is killed in the middle of a chain. The figures are
           the time until its next label, events that are missing, repeated or wrong, and the other's longest label.
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
from realtime.cluster.sizing.synthetic import (
    PlacedEngine,
    SyntheticSession,
    SyntheticSource,
    open_placed,
    percentile_ms,
)
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
"Limits, on 2 cores with nano."
KILL_S, SETTLED_S = 30.0, 8.0
"How long the sessions of `--kill` last, and how long before a Thinker is killed."
KILL_WRONG = ("killed_events_wrong", "killed_errors", "other_events_wrong", "other_errors")


class NoiseSession:
    """Windows of new noise, for a client."""

    def __init__(self, client: EngineClient, seed: int) -> None:
        self._client = client
        self._noise = np.random.default_rng(seed)
        self._frames: list[FrameEvidence] = []
        self._at_s = 0.0

    async def window(self, index: int) -> tuple[Window, float]:
        """The next second with an utterance. Also returns how long hearing and label took, in ms."""
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
    """Hear and label on both engines in alternation, so that other load on the machine affects both."""
    sessions = {"local": NoiseSession(here, 1), "cluster": NoiseSession(there, 1)}
    took: dict[str, list[float]] = {name: [] for name in sessions}
    for index in range(windows + 5):
        for name, session in sessions.items():
            took[name].append((await session.window(index))[1])
    # The first windows are slow because they load and compile what later ones use.
    local, cluster = (np.array(took[name][5:]) for name in ("local", "cluster"))
    percentiles = {
        f"{name}_p{share}_ms": round(float(np.percentile(values, share)), 1)
        for name, values in (("local", local), ("cluster", cluster))
        for share in (50, 95)
    }
    return {**percentiles, "added_p95_ms": round(percentiles["cluster_p95_ms"] - percentiles["local_p95_ms"], 1)}


def frames(model: str) -> dict[str, float]:
    """Encode frames of four sessions in one call, and in four calls, in alternation. Returns medians."""
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
    """Decode chains of four sessions on one Thinker replica together, and one after the other. Returns medians."""
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
    """Median times, and the median of their ratio."""
    return {
        f"{what}_together_ms": round(1000 * median(together), 1),
        f"{what}_apart_ms": round(1000 * median(apart), 1),
        f"{what}_share": round(median(one / other for one, other in zip(together, apart, strict=True)), 2),
    }


async def kill(engine: RayEngine) -> dict[str, float]:
    """Run two sessions and kill the Thinker replica of one at the first words of a chain.

    Raises ClusterUnreachable where the replica is on another machine.
    """
    client, pid = await open_placed(engine)
    elsewhere, _ = await open_placed(engine, elsewhere=pid)
    killed_s = labelled_s = 0.0

    def happens(event: dict[str, Any]) -> None:
        nonlocal killed_s, labelled_s
        if not killed_s and event["type"] == "reason.delta" and event["t"] >= SETTLED_S:
            killed_s = time.monotonic()
            # On Windows SIGTERM ends a process as suddenly.
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        elif killed_s and not labelled_s and event["type"] == "label" and event["source"] == "fast":
            labelled_s = time.monotonic()

    sources = [SyntheticSource(KILL_S, seed, speech_s=(1.0, 1.5), pause_s=1.0) for seed in (1, 2)]
    mine = SyntheticSession(sources[0], PlacedEngine(engine, client), happens)
    other = SyntheticSession(sources[1], PlacedEngine(engine, elsewhere))
    try:
        await asyncio.gather(mine.run(), other.run())
    except ProcessLookupError as error:
        raise ClusterUnreachable("The replica is on another machine.", "Measure --kill on a single one.") from error
    return {
        # 0 on a machine that is too slow for chains: there is none to interrupt.
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
    """Measure on the cluster at `address`. Raises what joining a cluster raises."""
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
    """Whether the limits are met."""
    return (
        figures["added_p95_ms"] <= ADDED_P95_MS
        and figures["chains_share"] <= BATCH_SHARE
        and figures.get("killed", 1.0) == 1.0
        and figures.get("next_label_s", 0.0) <= NEXT_LABEL_S
        and not any(figures.get(name) for name in KILL_WRONG)
    )
