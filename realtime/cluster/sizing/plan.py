"""Plans a cluster for a number of sessions, from the bench's figures.

    realtime bench --json bench.json
    python -m realtime.cluster simulate bench.json [--sessions 100 1000 10000 100000] [--markdown]

Replicas are added until the 95th percentiles of label lag and evidence lag are within their limits in steady state, and
until label lag stays within twice its limit in a burst and when a rack is lost.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from realtime.cluster.sizing import service_times
from realtime.cluster.sizing.service_times import ServiceTimes
from realtime.cluster.sizing.simulate import MAX_SIMULATED, PAUSE_S, QUIET_EVERY_S, SPEECH_S, Scenario, simulate

SESSIONS = (100, 1_000, 10_000, 100_000)
GROWTH = 1.15
MAX_TRIES = 24
UTILISED = 0.7
"Utilisation at which sizing begins. Above it, queues grow long."


@dataclass(frozen=True)
class Machines:
    """What nodes consist of and what they cost an hour. These are assumptions from the command line."""

    replicas_per_gpu: float
    "Thinker or encoder replicas that share a GPU; 0 means that they run on CPU cores."
    gpus_per_node: int
    cores_per_node: int
    cores_per_replica: float
    gpu_hour: float
    core_hour: float


@dataclass(frozen=True)
class Row:
    """A cluster for a number of sessions, and its simulated figures."""

    sessions: int
    encoders: int
    thinkers: int
    gpus: int
    nodes: int
    ingest_nodes: int
    label_p50_s: float
    label_p95_s: float
    label_p99_s: float
    evidence_p95_s: float
    burst_label_p95_s: float
    rack_label_p95_s: float
    chains_skipped: float
    "Share of all chains."
    busy: float
    "Utilisation of the Thinkers."
    cost_per_session_hour: float
    within: bool
    "Whether the limits are met."


def demand(times: ServiceTimes) -> tuple[float, float]:
    """Seconds that a session needs of the encoder and of the Thinker per live second."""
    turn_s = sum(SPEECH_S) / 2 + PAUSE_S
    labels = 1 / turn_s + 0.5 / QUIET_EVERY_S
    encoder_s = times.frame_s + times.hear_s / turn_s
    thinker_s = times.append_s + labels * (times.label_s + times.chain_tokens * times.token_s)
    return encoder_s, thinker_s


def size(
    times: ServiceTimes, machines: Machines, sessions: int, *, label_s: float, evidence_s: float, racks: int, seed: int
) -> Row:
    """The smallest cluster that stays within the limits, found in steps of 15 %."""
    encoder_s, thinker_s = demand(times)
    # One rack more than is busy, so that enough is left when one is lost.
    spare = racks / (racks - 1)
    encoders = max(2, math.ceil(sessions * encoder_s * spare / UTILISED))
    thinkers = max(2, math.ceil(sessions * thinker_s * spare / UTILISED))
    for _ in range(MAX_TRIES):
        row = _measure(times, machines, sessions, encoders, thinkers, label_s, evidence_s, racks, seed)
        if row.within:
            break
        if row.evidence_p95_s > evidence_s:
            encoders = math.ceil(encoders * GROWTH)
        thinkers = math.ceil(thinkers * GROWTH)
    return row


def _measure(
    times: ServiceTimes,
    machines: Machines,
    sessions: int,
    encoders: int,
    thinkers: int,
    label_s: float,
    evidence_s: float,
    racks: int,
    seed: int,
) -> Row:
    def run(scenario: Scenario) -> tuple[float, float, float, float, float, float]:
        figures = simulate(times, scenario, sessions=sessions, encoders=encoders, thinkers=thinkers, seed=seed)
        label = [figures.percentile(figures.label_s, share) for share in (0.5, 0.95, 0.99)]
        skipped = figures.skipped / max(1, figures.skipped + figures.chains)
        return (*label, figures.percentile(figures.evidence_s, 0.95), skipped, figures.busy_thinker)  # type: ignore[return-value]

    p50, p95, p99, evidence, skipped, busy = run(Scenario())
    burst = run(Scenario("burst", burst=3.0))[1]
    rack = run(Scenario("rack", lost_share=1 / racks))[1]
    n_replicas = encoders + thinkers
    gpus = math.ceil(n_replicas / machines.replicas_per_gpu) if machines.replicas_per_gpu else 0
    cores = n_replicas * machines.cores_per_replica
    nodes = math.ceil(gpus / machines.gpus_per_node) if gpus else math.ceil(cores / machines.cores_per_node)
    ingest_cores = sessions * times.ingest_s / UTILISED
    ingest_nodes = max(2, math.ceil(ingest_cores / machines.cores_per_node))
    paid_cores = ingest_nodes * machines.cores_per_node + (0 if gpus else nodes * machines.cores_per_node)
    cost = (nodes * machines.gpus_per_node * machines.gpu_hour if gpus else 0.0) + paid_cores * machines.core_hour
    within = p95 <= label_s and evidence <= evidence_s and burst <= 2 * label_s and rack <= 2 * label_s
    return Row(
        sessions=sessions,
        encoders=encoders,
        thinkers=thinkers,
        gpus=gpus,
        nodes=nodes,
        ingest_nodes=ingest_nodes,
        label_p50_s=round(p50, 3),
        label_p95_s=round(p95, 3),
        label_p99_s=round(p99, 3),
        evidence_p95_s=round(evidence, 3),
        burst_label_p95_s=round(burst, 3),
        rack_label_p95_s=round(rack, 3),
        chains_skipped=round(skipped, 3),
        busy=round(busy, 2),
        cost_per_session_hour=round(cost / sessions, 4),
        within=within,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bench", type=Path, metavar="BENCH.json", help="what `realtime bench --json` wrote")
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SESSIONS), metavar="N")
    parser.add_argument("--label-s", type=float, default=1.0, help="95th percentile of a label's lag (default: 1)")
    parser.add_argument("--evidence-s", type=float, default=0.5, help="the same for a second's evidence (default: 0.5)")
    parser.add_argument("--racks", type=int, default=8, help="number of racks, of which one is lost (default: 8)")
    parser.add_argument(
        "--replicas-per-gpu", type=float, default=0.0, metavar="R", help="0 (default): replicas run on CPU cores"
    )
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--cores-per-node", type=int, default=64)
    parser.add_argument("--cores-per-replica", type=float, default=1.0)
    parser.add_argument("--gpu-hour", type=float, default=3.0, help="price of a GPU hour (an assumption; default: 3)")
    parser.add_argument(
        "--core-hour", type=float, default=0.03, help="price of a core hour (an assumption; default: 0.03)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    times = service_times.read(options.bench)
    machines = Machines(
        replicas_per_gpu=options.replicas_per_gpu,
        gpus_per_node=options.gpus_per_node,
        cores_per_node=options.cores_per_node,
        cores_per_replica=options.cores_per_replica,
        gpu_hour=options.gpu_hour,
        core_hour=options.core_hour,
    )
    rows = [
        size(
            times,
            machines,
            sessions,
            label_s=options.label_s,
            evidence_s=options.evidence_s,
            racks=options.racks,
            seed=options.seed,
        )
        for sessions in options.sessions
    ]
    if options.json:
        print(json.dumps({"service": asdict(times), "rows": [asdict(row) for row in rows]}))
    else:
        print(table(times, rows))
    return 0 if all(row.within for row in rows) else 1


def table(times: ServiceTimes, rows: Sequence[Row]) -> str:
    head = (
        "sessions | encoders | Thinkers | GPUs | nodes | ingest nodes | label p50 / p95 / p99 s | evidence p95 s | "
        "burst p95 s | rack lost p95 s | chains skipped | per session-hour"
    )
    lines = [
        f"{times.model}: frame {times.frame_s * 1000:.1f} ms, hear {times.hear_s * 1000:.1f} ms, append "
        f"{times.append_s * 1000:.1f} ms, label {times.label_s * 1000:.1f} ms, {1 / times.token_s:.0f} tokens/s, "
        f"chain {times.chain_tokens:.0f} tokens, "
        f"batch share {times.batch_share:.2f}, call {times.call_s * 1000:.0f} ms",
        f"(at most {MAX_SIMULATED} sessions are simulated, of a cluster in proportion)",
        "",
        f"| {head} |",
        f"| {' | '.join('---:' for _ in head.split('|'))} |",
    ]
    for row in rows:
        cells = (
            f"{row.sessions:,}",
            f"{row.encoders:,}",
            f"{row.thinkers:,}",
            f"{row.gpus:,}",
            f"{row.nodes:,}",
            f"{row.ingest_nodes:,}",
            f"{row.label_p50_s:.2f} / {row.label_p95_s:.2f} / {row.label_p99_s:.2f}",
            f"{row.evidence_p95_s:.2f}",
            f"{row.burst_label_p95_s:.2f}",
            f"{row.rack_label_p95_s:.2f}",
            f"{100 * row.chains_skipped:.0f} %",
            f"{row.cost_per_session_hour:.4f}" + ("" if row.within else " (limits not met)"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
