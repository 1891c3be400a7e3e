"""The simulator: its laws where they are known in closed form, and its command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime.cluster import __main__ as command
from realtime.cluster.sizing import service_times
from realtime.cluster.sizing.plan import demand
from realtime.cluster.sizing.service_times import ServiceTimes
from realtime.cluster.sizing.simulate import Scenario, simulate
from realtime.errors import BadSettings

FIGURES = {
    "model": "nano",
    "cpu_s_per_live_s": 0.18,
    "stage_vision_ms": {"p50": 12.0, "p95": 20.0},
    "stage_faces_ms": {"p50": 20.0},
    "stage_hear_ms": {"p50": 25.0},
    "stage_fast_ms": {"p50": 16.0},
    "stage_append_ms": {"p50": 3.0},
    "tokens_per_s": 150.0,
}
TIMES = service_times.from_figures(FIGURES)
SHORT = Scenario(seconds=20.0, warm_s=4.0)


def test_service_times_are_the_bench_s() -> None:
    assert TIMES.frame_s == pytest.approx(0.012)
    assert TIMES.ingest_s == pytest.approx(0.165)
    assert TIMES.chain_tokens == service_times.CHAIN_TOKENS
    assert service_times.from_figures({**FIGURES, "stage_chain_ms": {"p50": 400.0}}).chain_tokens == pytest.approx(60)
    assert service_times.from_figures({**FIGURES, "cluster": {"label_s": 0.002}}).label_s == pytest.approx(0.002)
    with pytest.raises(BadSettings, match="label_s"):
        service_times.from_figures({**FIGURES, "stage_fast_ms": None})


def test_an_idle_cluster_takes_the_sum_of_its_steps() -> None:
    figures = simulate(TIMES, SHORT, sessions=1, encoders=2, thinkers=2)
    alone_s = TIMES.hear_s + TIMES.append_s + TIMES.label_s + 2 * TIMES.call_s
    assert figures.percentile(figures.label_s, 0.5) == pytest.approx(alone_s, abs=2 * TIMES.step_s)
    assert figures.skipped == 0


def test_busy_time_is_what_the_sessions_bring() -> None:
    quick = ServiceTimes("m", 0.1, 0.01, 0.02, 0.002, 0.005, 0.0005, 100.0)
    sessions, replicas = 60, 12
    figures = simulate(quick, Scenario(seconds=60.0), sessions=sessions, encoders=replicas, thinkers=replicas)
    encoder_s, _ = demand(quick)
    assert figures.busy_encoder == pytest.approx(sessions * encoder_s / replicas, rel=0.15)


def test_lag_grows_with_load_and_batching_holds_it() -> None:
    def p95(sessions: int, batch_share: float) -> float:
        times = service_times.from_figures({**FIGURES, "cluster": {"batch_share": batch_share}})
        figures = simulate(times, SHORT, sessions=sessions, encoders=1, thinkers=40)
        return figures.percentile(figures.evidence_s, 0.95)

    assert p95(100, 1.0) > 4 * p95(10, 1.0)
    assert p95(100, 0.3) < p95(100, 1.0) / 2


def test_a_lost_rack_costs_prefills_and_not_its_sessions() -> None:
    lost = simulate(TIMES, Scenario(seconds=20.0, warm_s=4.0, lost_share=0.25), sessions=8, encoders=4, thinkers=16)
    whole = simulate(TIMES, SHORT, sessions=8, encoders=4, thinkers=16)
    assert len(lost.label_s) >= len(whole.label_s) - 4
    assert lost.percentile(lost.label_s, 1.0) < 2.0


def test_the_command_prints_a_table_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(FIGURES))
    assert command.main(["simulate", str(path), "--sessions", "20"]) == 0
    assert "| 20 |" in capsys.readouterr().out
    assert command.main(["simulate", str(tmp_path / "none.json")]) == 2
    assert "realtime bench --json" in capsys.readouterr().err
