"""Calibration of a tuned model: what is read of validation people, and which models have no need of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from realtime.model.config import Calibration
from realtime.reason.calibrate import of_words
from realtime.records import LABELS, Question
from realtime.words.expert import WordsExpert
from tests.reason.windows import BOTH
from tests.train.people import people
from train.evaluation.batch import chains
from train.evaluation.judged import JudgedWindow, judgements
from train.evaluation.samples import SAMPLES
from train.tuning import calibrate


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

    label_knows = [JudgedWindow(*each) for each in zip(good, log_shares(chance), truths, strict=True)]
    texts_know = [JudgedWindow(*each) for each in zip(chance, log_shares(good), truths, strict=True)]
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
    (found,) = judgements(nano, [("happy", BOTH)])
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


def test_words_count_as_far_as_face_and_voice_show_nothing() -> None:
    """Labels are right, but where they are neutral: the words then say what is true, four times in five."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(600):
        shown, said = (LABELS[int(rng.integers(len(LABELS)))] for _ in range(2))
        truth = said if shown == "neutral" and rng.random() < 0.8 else shown
        fast, words = ({name: 0.94 if name == one else 0.01 for name in LABELS} for one in (shown, said))
        chance = dict.fromkeys(LABELS, -np.log(7))
        found.append(JudgedWindow(fast, chance, truth, words))
    weights = calibrate.fit_judged(found)
    assert weights["fast"] > 0.8
    assert 0.7 < weights["decide"] < 0.95
    before, after = calibrate.worth(found, weights)
    assert after > before + 0.05
    assert calibrate.fit_judged([replace(one, said={}) for one in found])["decide"] <= 1.0, "words that nobody knows"
    never = [replace(one, truth=max(one.fast, key=lambda name: one.fast[name])) for one in found]
    assert calibrate.fit_judged(never)["decide"] < 0.1


def test_what_words_say_alone_is_fitted_with_every_emotion_alike(tmp_path: Path) -> None:
    """Of 100 lines 60 are happy, and the expert leans to that. Read so, a sad one is happy half of the time."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "labels.txt").write_text("anger\ndisgust\nfear\njoy\nneutral\nsadness\nsurprise\n")
    number = {"joy": 3, "neutral": 4, "sadness": 5, "anger": 0, "disgust": 1, "fear": 2, "surprise": 6}
    of = {"joy": 60, "neutral": 30, **dict.fromkeys(("sadness", "anger", "disgust", "fear", "surprise"), 2)}
    lines = [f"{name} {place}\t{number[name]}\tx" for name, n in of.items() for place in range(n)]
    (tmp_path / "words" / "goemotions_ekman_dev.tsv").write_text("\n".join([*lines, "joy or sadness\t3,5\tx"]) + "\n")
    words = {"joy": "happy", "sadness": "sad", "anger": "angry"}

    class Leaning:
        def probabilities(self, text: str) -> dict[str, float] | None:
            name, _, place = text.partition(" ")
            said = words.get(name, name)
            if int(place) % 5 == 0:
                return None
            shares = {label: 0.3 if label == said else 0.02 for label in LABELS}
            return shares | {"happy": shares["happy"] + 0.3}

    expert = cast(WordsExpert, Leaning())
    temperature, bias = calibrate.fit_said(tmp_path, expert)
    fitted = Calibration(fast={"words": temperature}, bias={"words": bias})
    raw = expert.probabilities("sadness 1")
    assert raw is not None
    read = of_words(raw, fitted)
    assert max(read, key=lambda name: read[name]) == "sad"
    assert read["sad"] > 0.8 > raw["sad"]
    assert bias["happy"] == min(bias.values())


def test_what_concerns_words_can_be_fitted_alone(
    nano: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "load_served", lambda *_args, **_options: nano)
    monkeypatch.setattr(calibrate, "fit_said", lambda *_args: (0.9, dict.fromkeys(LABELS, 0.1)))
    monkeypatch.setattr(calibrate, "spoken", lambda *_args: iter(()))
    out = tmp_path / "out.json"
    words = ["calibrate", "--model", "nano", "--data", str(tmp_path / "data"), "--out", str(out), "--only-words"]
    monkeypatch.setattr("sys.argv", words)
    calibrate.main()
    fitted, own = json.loads(out.read_text()), nano.weights.config.emotion.calibration
    assert fitted["fast"] == {**own.fast, "words": 0.9}
    assert fitted["bias"] == {**own.bias, "words": dict.fromkeys(LABELS, 0.1)}
    assert (fitted["chain"], fitted["alone"], fitted["words"]) == (own.chain, own.alone, {})
