"""Calibration of a tuned model: what is read of validation people, and which models have no need of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from tests.ingest.media_files import voice as spoken
from train.evaluation.samples import SAMPLES
from train.readers import sound
from train.tuning import calibrate


def people(folder: Path) -> Path:
    """One person for validation and one for tests, who say three sentences each."""
    (folder / "voices" / "ours").mkdir(parents=True)
    lines = ["file,speaker,sex,emotion,language,seconds,text,split"]
    for speaker, split in (("a", "valid"), ("b", "test")):
        for number, emotion in enumerate(("happy", "sad", "angry")):
            file = f"{speaker}_{number}.flac"
            sound.write(folder / "voices" / "ours" / file, spoken(1.2))
            lines.append(f"{file},{speaker},female,{emotion},en,1.2,,{split}")
    (folder / "voices" / "ours" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_validation_people_alone_are_read(nano: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, read = people(tmp_path), list[str]()
    voices = SAMPLES["voices"]

    def watched(data: Path, split: str, limit: int | None) -> list[object]:
        samples = list(voices(data, split, limit))
        read.extend(sample.session for sample in samples)
        return samples  # type: ignore[return-value]

    monkeypatch.setattr(calibrate, "BENCHMARKS", ("voices",))
    monkeypatch.setattr(calibrate, "SAMPLES", {"voices": watched})
    found = calibrate.labelled(nano, data, faces=1, each=2)
    assert read == ["a", "a"], "of each speaker as many as were asked for"
    for one in found:
        assert (one.state, one.log_p.shape) == ("voice", (7,))
        assert np.exp(one.log_p).sum() == pytest.approx(1, abs=1e-3)
        assert one.target.sum() == 1


def test_a_calibrated_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted on top of a calibration, the temperatures would be those of other scores."""
    words = ["calibrate", "--model", "nano", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(BadSettings, match="calibrated already"):
        calibrate.main()
    assert not (tmp_path / "out.json").exists()
