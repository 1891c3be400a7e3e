"""The counters of an engine's chains and evidence (`Engine.stats`) as Prometheus metrics of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime.engine.scheduler.timing import MAX_CHAINS

GAUGES = {
    "chains_wanted": ("emothinker_chains_wanted", "Chains whose client waits for the next step"),
    "chains_left_out": ("emothinker_chains_left_out", "Chains that waited and found no room in the last decode step"),
    "chain_longest_wait_s": (
        "emothinker_chain_longest_wait_seconds",
        "How long the chain that had waited longest had waited at the last decode step",
    ),
}
COUNTERS = {
    "seen_frames": ("emothinker_frames_together", "Frames that a GPU saw, alone or with those of other sessions"),
    "seen_calls": ("emothinker_frame_calls", "Calls of the towers for these frames"),
    "heard_sounds": ("emothinker_sounds_together", "Sounds that a GPU heard, alone or with those of other sessions"),
    "heard_calls": ("emothinker_sound_calls", "Times that it heard one or more of these sounds at once"),
    "appended": ("emothinker_appends", "Frames and utterances that a GPU prefilled as they came"),
    "append_passes": ("emothinker_append_passes", "Forward passes that prefilled them, some for several sessions"),
}


class EngineMetrics(Collector):
    """Read when the server is scraped. A new model process begins to count at 0, as Prometheus expects."""

    def __init__(self, stats: Callable[[], Mapping[str, float]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        rounds = CounterMetricFamily(
            "emothinker_chain_rounds",
            "Decode steps of one token per chain, by the number of chains that took part",
            labels=["chains"],
        )
        for n in range(1, MAX_CHAINS + 1):
            rounds.add_metric([str(n)], stats.get(f"rounds_of_{n}", 0.0))
        yield rounds
        yield CounterMetricFamily(
            "emothinker_chain_seconds", "Wall time spent on decoding chains", value=stats.get("chain_s", 0.0)
        )
        for name, (title, what) in COUNTERS.items():
            yield CounterMetricFamily(title, what, value=stats.get(name, 0.0))
        for name, (title, what) in GAUGES.items():
            yield GaugeMetricFamily(title, what, value=stats.get(name, 0.0))
