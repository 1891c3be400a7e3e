"""The recording that ships: small, readable, and what its NOTICE and `export/sample.py` say."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from realtime import cli
from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import DISAGREE_BITS, SpeechSegment, VideoFrame
from realtime.sample import SAMPLE, or_sample


def test_it_is_small_and_holds_two_sentences_and_a_moving_picture() -> None:
    assert SAMPLE.stat().st_size <= 300_000
    items = list(MediaSource.open(str(SAMPLE), ingest=IngestSettings(), speech=SpeechSettings()).read())
    first, second = (item for item in items if isinstance(item, SpeechSegment))
    assert first.end_s < second.start_s
    pictures = [item.rgb_HW3 for item in items if isinstance(item, VideoFrame)]
    assert len(pictures) >= 10
    assert all(not np.array_equal(one, other) for one, other in itertools.pairwise(pictures))


def test_a_file_of_that_name_wins_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert or_sample("sample") == str(SAMPLE)
    assert or_sample("talk.mp4") == "talk.mp4"
    (tmp_path / "sample").touch()
    assert or_sample("sample") == "sample"


@pytest.mark.slow
def test_a_first_try_needs_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the included model: the smile is seen, and the flat second sentence speaks against it."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["analyze", "sample"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fast = [event for event in events if event["type"] == "label" and event["source"] == "fast"]
    assert [event["label"] for event in fast[:2]] == ["happy", "happy"]
    agreeing, conflicting = (event["conflict"]["score"] for event in fast[:2])
    assert agreeing < conflicting
    told = [event for event in events if event["type"] == "label" and event["conflict"]["score"] >= DISAGREE_BITS]
    assert told
    assert all(max(event["probabilities"].values()) <= 0.99 for event in told), "of people who disagree, no >99 %"
    # The README shows the second one whole; that of an older model stood there for a while.
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    shown = json.loads(readme.split("```json\n")[1].split("```")[0])
    assert (shown["t"], shown["label"], shown["window"]) == (fast[1]["t"], fast[1]["label"], fast[1]["window"])
    assert shown["probabilities"] == pytest.approx(fast[1]["probabilities"], abs=0.02)
    assert shown["conflict"]["voice"] == pytest.approx(fast[1]["conflict"]["voice"], abs=0.02)
    assert shown["conflict"]["score"] == pytest.approx(conflicting, abs=0.02)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng")
def test_the_kept_program_makes_it_again(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    from export import sample

    made = tmp_path / "sample.webm"
    assert sample.make(made) == 0
    shipped, again = (
        [
            (type(item), round(item.at_s, 2))
            for item in MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings()).read()
            if isinstance(item, VideoFrame)
        ]
        for path in (SAMPLE, made)
    )
    assert again == shipped
