"""Prometheus metrics of one server. Counts and durations only: no words, no faces, no feelings, no session ids."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0)
LOOP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
LAG_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
TOKEN_BUCKETS_PER_S = (5, 10, 20, 40, 80, 120, 160, 240, 320, 480, 640, 960)


def rss_mb() -> float:
    """Resident memory of this process, in MB: the peak of it on macOS, 0 on Windows, whose Python tells neither."""
    try:
        import resource
    except ImportError:
        return 0.0
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6
    # macOS counts it in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def device_mb() -> Mapping[str, float]:
    """Memory of the GPU that torch uses, in MB: used by any process, and total. Empty if torch uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"device_used_mb": (total - free) / 1e6, "device_total_mb": total / 1e6}


class Metrics:
    """The metrics of one server. Each has a registry of its own, so that several servers can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.sessions = Gauge("emothinker_sessions", "Sessions open now", registry=self.registry)
        self.opened = Counter("emothinker_sessions_opened", "Sessions opened", registry=self.registry)
        self.refused = Counter(
            "emothinker_sessions_refused", "Offers not taken, by problem code", ["code"], registry=self.registry
        )
        self.readers = Gauge("emothinker_event_readers", "WebSocket readers connected", registry=self.registry)
        self.slow_readers = Counter(
            "emothinker_slow_readers", "Readers disconnected for taking nothing", registry=self.registry
        )
        self.events = Counter("emothinker_events", "Events written, by type", ["type"], registry=self.registry)
        self.errors = Counter("emothinker_errors", "Error events, by code", ["code"], registry=self.registry)
        self.skipped_frames = Counter(
            "emothinker_skipped_frames", "Sampled frames a newer one replaced", registry=self.registry
        )
        self.skipped_cue_frames = Counter(
            "emothinker_skipped_cue_frames", "Measurements between frames that were left out", registry=self.registry
        )
        self.skipped_windows = Counter(
            "emothinker_skipped_windows", "Analyses a newer one replaced", registry=self.registry
        )
        self.skipped_words = Counter(
            "emothinker_skipped_words", "Utterances whose words were not written down", registry=self.registry
        )
        self.contradictions = Counter(
            "emothinker_contradictions",
            "Chains told as unsure, by what they contradict",
            ["what"],
            registry=self.registry,
        )
        self.rewritten = Counter(
            "emothinker_rewritten_arguments",
            "Arguments written again as they contradicted or strayed: whether one holds, or was late",
            ["holds"],
            registry=self.registry,
        )
        self.summaries = Counter(
            "emothinker_summaries",
            "Summaries that were asked for, by who wrote them",
            ["source"],
            registry=self.registry,
        )
        self.unsupported = Counter(
            "emothinker_unsupported_statements",
            "Statements about cues and prosody that the measurements do not bear out",
            registry=self.registry,
        )
        self.withheld = Counter(
            "emothinker_withheld_statements",
            "Statements about cues and prosody that measurements kept from being written",
            registry=self.registry,
        )
        self.answered = Counter(
            "emothinker_answered_questions",
            "Chains that answered a person's question, by what the answer is from",
            ["source"],
            registry=self.registry,
        )
        self.turned = Counter(
            "emothinker_turned_answers",
            "Answers that are not the fast label, by what turned them; one that several turned counts for each",
            ["by"],
            registry=self.registry,
        )
        self.reduced = Counter(
            "emothinker_reduced", "Times a session went to this step of doing without", ["step"], registry=self.registry
        )
        self.loop_delay = Histogram(
            "emothinker_loop_delay_seconds",
            "How much later than asked for the event loop came round, sampled",
            buckets=LOOP_BUCKETS_S,
            registry=self.registry,
        )
        self.tasks = Gauge("emothinker_tasks", "Tasks of the event loop", registry=self.registry)
        self.queued = Histogram(
            "emothinker_worker_queued_seconds",
            "Wall time a job waited for the model worker, by rank",
            ["rank"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.stage = Histogram(
            "emothinker_stage_seconds", "Wall time by stage", ["stage"], buckets=STAGE_BUCKETS_S, registry=self.registry
        )
        self.lag = Histogram(
            "emothinker_lag_seconds", "Media seconds behind, sampled", buckets=LAG_BUCKETS_S, registry=self.registry
        )
        self.waiting = Gauge("emothinker_worker_waiting", "Jobs waiting for the model worker", registry=self.registry)
        self.model_restarts = Counter(
            "emothinker_model_restarts", "Processes of the model that ended and were replaced", registry=self.registry
        )
        self.deltas = Counter("emothinker_reason_deltas", "Pieces of reasoning text written", registry=self.registry)
        self.tokens = Counter("emothinker_reason_tokens", "Tokens of finished chains", registry=self.registry)
        self.token_rate = Histogram(
            "emothinker_reason_tokens_per_second",
            "Tokens a second of each finished chain, its waiting for others included",
            buckets=TOKEN_BUCKETS_PER_S,
            registry=self.registry,
        )
        self.model_memory = Gauge(
            "emothinker_model_memory_bytes", "Memory of the model's own process", registry=self.registry
        )
        self.device_memory = Gauge(
            "emothinker_device_memory_bytes",
            "Memory of the model's GPU, whoever uses it; no samples without one",
            ["kind"],
            registry=self.registry,
        )

    def chain_written(self, n_tokens: float, chain_ms: float) -> None:
        if n_tokens and chain_ms:
            self.tokens.inc(n_tokens)
            self.token_rate.observe(n_tokens / (chain_ms / 1000))

    def take(self, stats: Mapping[str, float]) -> None:
        """Take over the figures of an engine (`Engine.stats`)."""
        if stats.get("rss_mb"):
            self.model_memory.set(stats["rss_mb"] * 1e6)
        for kind in ("used", "total"):
            if f"device_{kind}_mb" in stats:
                self.device_memory.labels(kind).set(stats[f"device_{kind}_mb"] * 1e6)

    def text(self) -> bytes:
        return generate_latest(self.registry)
