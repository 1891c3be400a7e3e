"""What an engine says of its chains (`Engine.stats`), as Prometheus metrics of the server that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime.engine.chains import MAX_TOGETHER

GAUGES = {
    "chains_wanted": ("emothinker_chains_wanted", "Chains whose next step somebody waits for"),
    "chains_left_out": ("emothinker_chains_left_out", "Of those, how many the last round had no place for"),
    "chain_longest_wait_s": (
        "emothinker_chain_longest_wait_seconds",
        "For how long, in the last round, whoever waited longest had waited",
    ),
}


class ChainMetrics(Collector):
    """Read when the server is scraped. Counts begin anew with a new process of the model, as Prometheus expects."""

    def __init__(self, stats: Callable[[], Mapping[str, float]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        rounds = CounterMetricFamily(
            "emothinker_chain_rounds", "Rounds of a token each, by how many chains were in them", labels=["chains"]
        )
        for n in range(1, MAX_TOGETHER + 1):
            rounds.add_metric([str(n)], stats.get(f"rounds_of_{n}", 0.0))
        yield rounds
        yield CounterMetricFamily(
            "emothinker_chain_seconds", "Wall time spent on chains", value=stats.get("chain_s", 0.0)
        )
        for name, (title, what) in GAUGES.items():
            yield GaugeMetricFamily(title, what, value=stats.get(name, 0.0))
