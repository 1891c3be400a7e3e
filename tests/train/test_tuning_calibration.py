"""Calibration of a tuned model: what is read of validation people, and which models have no need of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from realtime.records import LABELS, Question
from tests.ingest.media_files import voice as spoken
from tests.reason.windows import BOTH
from train.evaluation.batch import chains
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
    found = calibrate.labelled(nano, calibrate.seen_of(nano, data, faces=1, each=2))
    assert read == ["a", "a"], "of each speaker as many as were asked for"
    for one in found:
        assert (one.state, one.log_p.shape) == ("voice", (7,))
        assert np.exp(one.log_p).sum() == pytest.approx(1, abs=1e-3)
        assert one.target.sum() == 1


def test_what_is_judged_after_the_texts_counts_as_much_as_it_is_worth() -> None:
    """A label that is right nine times in ten, and a judgement by chance; then the other way round."""
    rng = np.random.default_rng(0)

    def shares(right: float) -> list[dict[str, float]]:
        likely = [truth if rng.random() < right else LABELS[int(rng.integers(len(LABELS)))] for truth in truths]
        return [{name: 0.7 if name == each else 0.05 for name in LABELS} for each in likely]

    truths = [LABELS[int(at)] for at in rng.integers(len(LABELS), size=400)]
    good, chance = shares(0.9), shares(0.0)

    def log_shares(sides: list[dict[str, float]]) -> list[dict[str, float]]:
        return [{name: float(np.log(share)) for name, share in each.items()} for each in sides]

    label_knows = [calibrate.JudgedWindow(*each) for each in zip(good, log_shares(chance), truths, strict=True)]
    texts_know = [calibrate.JudgedWindow(*each) for each in zip(chance, log_shares(good), truths, strict=True)]
    weights = calibrate.fit_judged(label_knows)
    assert weights["fast"] > 0.8 > 0.2 > weights["judged"]
    weights = calibrate.fit_judged(texts_know)
    assert weights["judged"] > 0.8 > 0.2 > weights["fast"]
    before, after = calibrate.worth(texts_know, weights)
    assert before < 0.3 < 0.8 < after
    assert calibrate.kept_weights("texts", texts_know) == weights
    assert calibrate.kept_weights("texts", label_knows) == {}, "no more labels become right"
    assert calibrate.fit_judged([replace(label_knows[0], judged={})]) == {}, "a chain that judges nothing"


def test_a_judgement_is_that_of_the_whole_chain(nano: LoadedModel) -> None:
    """It is read before the argument, which is left out here."""
    (whole,) = chains(nano, [BOTH], Question())
    (found,) = calibrate.judgements(nano, [("happy", BOTH)])
    assert found.fast == pytest.approx(whole.label.probabilities)
    assert found.judged == pytest.approx(dict(whole.judged), abs=1e-4)
    assert found.truth == "happy"


def test_a_calibrated_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted on top of a calibration, the temperatures would be those of other scores."""
    words = ["calibrate", "--model", "nano", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(BadSettings, match="calibrated already"):
        calibrate.main()
    assert not (tmp_path / "out.json").exists()
