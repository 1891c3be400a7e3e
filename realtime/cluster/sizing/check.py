"""Compares the simulator with a real run: the same kind of sessions on a real cluster and on a simulated one.

    python -m realtime.cluster check --address A [--sessions 3] [--seconds 60]         one line of JSON

One session that has the cluster to itself first measures what each piece of work takes. The comparison is of the times
when several sessions share the replicas. Evidence includes finding faces, which the simulator leaves to ingest nodes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from realtime.cluster import connect
from realtime.cluster.engine import RayEngine, started
from realtime.cluster.sizing.service_times import TOKENS_PER_STEP, ServiceTimes
from realtime.cluster.sizing.simulate import SPEECH_S, Figures, Scenario, simulate
from realtime.cluster.sizing.synthetic import SyntheticSession, SyntheticSource, percentile_ms
from realtime.observe.metrics import Metrics
from realtime.records import SAMPLE_RATE_HZ, FrameEvidence, Question, SpeechSegment, VideoFrame, Window
from realtime.settings import ModelSettings

ALONE = 12
"Number of times that each piece of work is measured alone."
WARM = 3
SIMULATED_S = 1200.0
"Simulated time, long enough for stable percentiles."
NEAR = 2.0
"Factor by which the label's percentiles may differ, either way."


async def alone(engine: RayEngine, model: str) -> ServiceTimes:
    """Median times as one session measures them, with calls, empty queues and perception."""
    client = await engine.open(0, Question())
    noise = np.random.default_rng(0)
    speech_s = sum(SPEECH_S) / 2
    took: dict[str, list[float]] = {name: [] for name in ("call", "see", "hear", "label", "chain", "steps")}

    def since(began_s: float, name: str) -> float:
        took[name].append(time.perf_counter() - began_s)
        return time.perf_counter()

    frames: list[FrameEvidence] = []
    for index in range(WARM + ALONE):
        if index == WARM:
            took = {name: [] for name in took}
        at_s = time.perf_counter()
        await client.route.thinker().waited_s.remote()
        at_s = since(at_s, "call")
        picture = noise.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        frames = [*frames[-7:], await client.see(VideoFrame(float(index), picture))]
        at_s = since(at_s, "see")
        sound_N = (0.1 * noise.standard_normal(round(speech_s * SAMPLE_RATE_HZ))).astype(np.float32)
        heard = await client.hear(SpeechSegment(index - speech_s, float(index), sound_N))
        at_s = since(at_s, "hear")
        window = Window(index, frames[0].at_s, float(index), tuple(frames), (heard,))
        await client.fast_label(window, Question())
        at_s = since(at_s, "label")
        took["steps"].append(float(len([step async for step in client.reason(window, Question())])))
        since(at_s, "chain")
    client.close()
    typical = {name: median(values) for name, values in took.items()}
    call_s = typical["call"] / 2
    tokens = TOKENS_PER_STEP * typical["steps"]
    return ServiceTimes(
        model=model,
        ingest_s=0.0,
        frame_s=typical["see"] - call_s,
        hear_s=typical["hear"] - call_s,
        # The Thinker prefills an utterance in the call for its label.
        append_s=0.0,
        label_s=max(0.0, typical["label"] - call_s),
        token_s=typical["chain"] / tokens,
        chain_tokens=tokens,
        call_s=call_s,
    )


async def real(engine: RayEngine, *, sessions: int, seconds: float) -> dict[str, float]:
    """Run sessions on the cluster and return their figures."""
    ran = [SyntheticSession(SyntheticSource(seconds, seed), engine) for seed in range(sessions)]
    await asyncio.gather(*(session.run() for session in ran))
    total = Figures()
    for session in ran:
        total.add(session.figures)
    return summary(total) | {
        "events_wrong": sum(session.n_wrong for session in ran),
        "errors": sum(len(session.errors) for session in ran),
    }


def simulated(times: ServiceTimes, *, sessions: int, encoders: int, thinkers: int) -> dict[str, float]:
    drawn = Scenario(seconds=SIMULATED_S)
    return summary(simulate(times, drawn, sessions=sessions, encoders=encoders, thinkers=thinkers))


def summary(figures: Figures) -> dict[str, float]:
    return {
        "labels": len(figures.label_s),
        "label_p50_ms": percentile_ms(figures.label_s, 50),
        "label_p95_ms": percentile_ms(figures.label_s, 95),
        "evidence_p50_ms": percentile_ms(figures.evidence_s, 50),
        "evidence_p95_ms": percentile_ms(figures.evidence_s, 95),
        "chains": figures.chains,
    }


async def check(address: str, model: str, *, sessions: int, seconds: float) -> dict[str, Any]:
    """Measure, run, simulate and compare. Raises what joining a cluster raises."""
    async with started(address, ModelSettings(name=model), metrics=Metrics(), sessions=sessions + 1) as engine:
        replicas = await asyncio.to_thread(connect.replicas)
        times = await alone(engine, model)
        measured = await real(engine, sessions=sessions, seconds=seconds)
    drawn = simulated(times, sessions=sessions, encoders=replicas["Encoder"], thinkers=replicas["Thinker"])
    return {
        "sessions": sessions,
        "seconds": seconds,
        "replicas": replicas,
        "service": {name: value if name == "model" else round(value, 4) for name, value in asdict(times).items()},
        "real": measured,
        "simulated": drawn,
    }


def near(figures: dict[str, Any]) -> bool:
    """Whether no event was wrong and the label's percentiles agree within the factor `NEAR`."""
    measured, drawn = figures["real"], figures["simulated"]
    return not measured["events_wrong"] and all(
        1 / NEAR <= measured[name] / drawn[name] <= NEAR for name in ("label_p50_ms", "label_p95_ms")
    )
