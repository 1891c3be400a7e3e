from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from realtime.bench import bench
from realtime.errors import NotMedia
from realtime.settings import Settings
from tests.scripted import ScriptedModel


def test_a_recording_is_played_at_the_pace_of_life_and_the_figures_end_in_one_line(
    a_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    began_s = time.monotonic()
    with out.open("w") as file:
        assert bench([str(a_recording)], ScriptedModel(), Settings(), seconds=3.0, out=file) == 0
    assert 4 < time.monotonic() - began_s < 12

    figures = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert figures["live_s"] == pytest.approx(5, abs=0.3)
    assert figures["spoken_windows"] == 1
    # The scripted model takes no time, so what is left is the quiet that the segmenter waits for.
    assert figures["label_ms"]["p50"] == pytest.approx(300, abs=100)
    assert figures["label_ms"]["p50"] <= figures["first_word_ms"]["p50"] <= figures["total_ms"]["p50"]
    assert figures["lag_s"]["p50"] < 0.5
    assert {"cpu_s_per_live_s", "rss_mb", "rss_growth_mb", "loop_delay_ms", "skipped_frames"} <= set(figures)


def test_without_recordings_it_asks_for_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMOTHINKER_DATA", str(tmp_path))
    with pytest.raises(NotMedia, match="no recordings"):
        bench([], ScriptedModel(), Settings(), seconds=1.0, out=None)
