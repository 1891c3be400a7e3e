"""The clips that `realtime.bench.folder` cuts can be analysed, and what it measures is of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.bench.folder import cut_sample, measured
from tests.ingest.media_files import Received, open_media


async def test_clips_of_the_sample_have_both_streams_and_their_length(tmp_path: Path) -> None:
    folder = cut_sample(tmp_path / "clips", 2, 2.5)
    starts = []
    for path in sorted(folder.iterdir()):
        received = Received()
        await received.all_of(open_media(path))
        assert 2.3 <= max(received.clock_s) <= 2.7
        assert len(received.frames) == 3
        starts.append(received.frames[0].rgb_HW3.mean())
    assert len(starts) == 2
    assert starts[0] != starts[1], "they are cut at different places"


@pytest.mark.slow
def test_a_folder_is_measured_whole(tmp_path: Path) -> None:
    figures = measured(cut_sample(tmp_path / "clips", 1, 2.0), tmp_path / "out")
    assert (figures["clips"], figures["failed"]) == (1, 0)
    assert 1.8 <= figures["media_s"] <= 2.2
    assert figures["times_real_time"] == pytest.approx(figures["media_s"] / figures["wall_s"], abs=0.05)
    assert figures["cpu_s"] > 0.5
