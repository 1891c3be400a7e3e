from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from realtime.bench import bench
from realtime.bench import growth as growing
from realtime.bench.batching import batching
from realtime.bench.floors import floors
from realtime.bench.growth import beside_each_other
from realtime.bench.live import _per_call
from realtime.bench.paired import paired
from realtime.engine.loading import LoadedModel
from realtime.errors import NotMedia
from realtime.model.fused import FusedLanguageModel
from realtime.reason.sequence import text_positions
from realtime.settings import ModelSettings, Settings
from tests.counting import lines_run
from tests.scripted import ScriptedModel

pytestmark = pytest.mark.slow
IN_A_THREAD = Settings(model=ModelSettings(worker="thread"))


def test_a_recording_is_played_at_the_pace_of_life_and_the_figures_end_in_one_line(
    a_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    began_s = time.monotonic()
    with out.open("w") as file:
        assert bench([str(a_recording)], ScriptedModel, IN_A_THREAD, seconds=3.0, out=file) == 0
    assert time.monotonic() - began_s > 4

    figures = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert figures["live_s"] == pytest.approx(5, abs=0.3)
    assert figures["spoken_windows"] == 1
    # The scripted model takes no time, so what is left is the quiet that the segmenter waits for: 300 ms.
    assert 0 <= figures["label_ms"]["p50"] < 1_000
    quiet_ms = figures["label_after_speech_ms"]["p50"] - figures["label_ms"]["p50"]
    assert quiet_ms == pytest.approx(300, abs=30)
    assert figures["label_ms"]["p50"] <= figures["first_word_ms"]["p50"] <= figures["total_ms"]["p50"]
    assert figures["lag_s"]["p50"] < 5
    assert 0 < figures["evidence_ms"]["n"] <= 5
    assert {"cpu_s_per_live_s", "rss_mb", "rss_growth_mb", "loop_delay_ms", "skipped_frames"} <= set(figures)


def test_several_sessions_share_the_model(a_recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench([str(a_recording)], ScriptedModel, IN_A_THREAD, seconds=2.0, sessions=3) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["sessions"] == figures["spoken_windows"] == 3
    assert figures["live_s"] == pytest.approx(15, abs=1)


def test_what_sessions_share_is_told_per_call() -> None:
    counted = {"seen_frames": 7.0, "seen_calls": 2.0, "appended": 3.0, "append_passes": 3.0, "heard_calls": 0.0}
    assert _per_call(counted) == {"per_call": {"frames": 3.5, "appends": 1.0}}
    assert _per_call({"restarts": 0.0}) == {}


def test_the_plain_model_has_our_weights(nano: LoadedModel) -> None:
    """What we compare ourselves with is the same model: logits of a random text agree."""
    pytest.importorskip("transformers")
    from realtime.bench.plain import plain_thinker

    plain = plain_thinker(nano)
    x, positions = torch.randn(1, 12, 256), text_positions(12, 3)[:, None]
    theirs = plain.lm_head(plain.model.language_model(inputs_embeds=x, position_ids=positions).last_hidden_state)
    mask = torch.ones(12, 12, dtype=torch.bool).tril()
    ours = nano.weights.thinker.lm_head(nano.weights.thinker.model(x, positions, mask))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_same_windows_are_answered_by_both(nano: LoadedModel, a_recording: Path) -> None:
    pytest.importorskip("transformers")
    figures = paired([str(a_recording)], nano, Settings(), repeats=1)
    assert figures["paired_windows"] == 1
    assert figures["ratio_label"] > 2
    assert figures["ratio_first_word"] > 2
    assert figures["tokens_per_s"] > 0
    floor = floors(nano, figures)
    assert 0 < floor["tokens_per_s_reached"] < 1.5


def test_chains_are_decoded_apart_and_as_a_batch(
    nano: LoadedModel, a_recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    decode_step = FusedLanguageModel.decode_step

    def counted(self: FusedLanguageModel, x: Tensor, *args: Any) -> Tensor:
        rows.append(x.shape[0])
        return decode_step(self, x, *args)

    monkeypatch.setattr(FusedLanguageModel, "decode_step", counted)
    figures = batching([str(a_recording)], nano, Settings(), sizes=(2,), repeats=1)["chains_2"]
    assert min(figures.values()) > 0
    assert set(rows) == {2}, "two chains share each decode step; a chain alone takes another path"


def test_minutes_do_not_make_a_second_dearer(
    nano: LoadedModel, a_recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame of the second minute appends as many tokens to as full a KV cache as one of the first minute.

    The bench's own figures are held too, on a clock that counts the lines of Python that run.
    """
    extend, append = FusedLanguageModel.extend, growing._append
    work: list[tuple[int, int]] = []
    minutes: list[set[tuple[int, int]]] = []

    def counted(
        self: FusedLanguageModel, x: Tensor, cos: Tensor, sin: Tensor, cache: Any, *args: Any, **options: Any
    ) -> Tensor:
        work.append((x.shape[0], cache.n_used))
        return extend(self, x, cos, sin, cache, *args, **options)

    def minute(*args: Any) -> list[float]:
        work.clear()
        took = append(*args)
        minutes.append(set(work))
        return took

    monkeypatch.setattr(growing, "MINUTES", (1, 2))
    monkeypatch.setattr(growing, "_append", minute)
    monkeypatch.setattr(FusedLanguageModel, "extend", counted)
    # Of what is counted and not timed, one is as good as nine.
    monkeypatch.setattr(growing, "LABELS_TIMED", 1)
    monkeypatch.setattr(growing, "_ms", lambda device, job, *args: float(lines_run(job, *args, package="realtime")))
    figures = growing.growth([str(a_recording)], nano, Settings(), minutes=2)
    assert minutes[0] == minutes[1] != set()
    assert figures["minute_1"]["ring_mb"] == figures["minute_2"]["ring_mb"] > 0
    assert figures["minute_1"]["append_ms"] > 100
    assert figures["last_to_first_append"] == pytest.approx(1, abs=0.02)
    assert figures["minute_2"]["label_ms"] == pytest.approx(figures["minute_1"]["label_ms"], rel=0.02)
    assert 100 < figures["window_2s_label_ms"] <= figures["window_8s_label_ms"]
    assert figures["pictures_1"].keys() == figures["pictures_5"].keys() == {"faces", "see_ms", "label_ms"}


def test_a_crowd_is_the_picture_several_times_over() -> None:
    picture_HW3 = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    crowd = beside_each_other(picture_HW3, 3)
    assert crowd.shape == (4, 8, 3)
    assert (crowd[2:, :4] == picture_HW3).all()
    assert not crowd[2:, 4:].any()


def test_a_folder_without_recordings_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMOTHINKER_DATA", str(tmp_path))
    with pytest.raises(NotMedia, match="no recordings"):
        bench([], ScriptedModel, IN_A_THREAD, seconds=1.0, out=None)


def test_without_a_recording_the_sample_is_played(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It asked for recordings that nobody has."""
    monkeypatch.delenv("EMOTHINKER_DATA", raising=False)
    assert bench([], ScriptedModel, IN_A_THREAD, seconds=1.0, out=None) == 0
    figures = json.loads(capsys.readouterr().out)
    # A recording that has begun is played to its end.
    assert figures["spoken_windows"] == 2
