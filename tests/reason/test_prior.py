"""A stock checkpoint: its labels less what the prompt alone says, its prompt and its chain. Small, random weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export import random_weights
from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.engine.models import Models
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.config import EMOTION_CONFIG, STOCK
from realtime.reason import prior, prompt
from realtime.reason.prior import PriorCorrection, Scores
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Question, SpeechEvidence, Window
from tests.model.random_models import SMALLER
from tests.reason.chains import run
from tests.reason.windows import ASK, BOTH, FACE_ONLY, NOTHING, VOICE_ONLY

VOCABULARY = {"text_config": {**SMALLER["text_config"], "vocab_size": 5000}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout with nothing of ours beside it."""
    folder = tmp_path_factory.mktemp("stock") / "3B"
    random_weights.write(folder, "3B", whole=True, smaller=SMALLER | VOCABULARY)
    (folder / EMOTION_CONFIG).unlink()
    (folder / checkpoint.EMOTION_WEIGHTS).unlink()
    return folder


@pytest.fixture(scope="module")
def stock(folder: Path) -> LoadedModel:
    return loading.load(str(folder), engine="torch")


def test_a_folder_without_our_file_is_a_stock_model_and_says_so(
    folder: Path, stock: LoadedModel, nano: LoadedModel
) -> None:
    info = Models(stock).info()
    assert (info.stock, info.open_labels) == (True, True)
    assert not Models(nano).info().stock
    assert checkpoint.read_config(folder).emotion == STOCK


def test_lora_alone_makes_it_a_model_of_ours(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert checkpoint.read_config(folder, tmp_path).emotion.prompt == "omni"
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(BadModel, match="is no adapter"):
        checkpoint.read_config(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("window", [BOTH, FACE_ONLY, VOICE_ONLY, NOTHING], ids=["both", "face", "voice", "nothing"])
def test_it_is_served_from_the_label_to_the_answer(stock: LoadedModel, window: Window) -> None:
    fast, _, _, done = run(stock, window)
    assert tuple(done.sections) == prompt.SECTIONS
    assert sum(fast.probabilities.values()) == pytest.approx(1.0)
    assert not fast.calibrated
    assert (fast.conflict is not None) == (window is BOTH)
    assert done.answer.label in (*LABELS, prompt.UNSURE)
    if window is NOTHING:
        assert fast.label == prompt.UNSURE


def test_the_fused_and_the_plain_path_are_corrected_alike(stock: LoadedModel) -> None:
    fast, plain = stock.thinker.fast_label(BOTH, ASK), stock.thinker.read_plainly(BOTH, ASK).label
    assert fast.probabilities == pytest.approx(plain.probabilities, abs=1e-4)
    assert fast.conflict is not None
    assert plain.conflict is not None
    assert fast.conflict.face == pytest.approx(plain.conflict.face, abs=1e-4)


def test_of_evidence_that_says_nothing_every_label_is_as_likely(
    stock: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores themselves are far from even: that is the words' frequency."""
    monkeypatch.setattr(prior, "CONTENT_FREE", ("N/A",))
    reasoner = Reasoner(stock.weights, stock.thinker.vocabulary)
    tokens_ND = reasoner._embedded("N/A")
    positions = np.tile(np.arange(len(tokens_ND), dtype=np.int64), (3, 1))
    heard = SpeechEvidence(0.0, VOICE_ONLY.end_s, VOICE_ONLY.speech[0].cues, tokens_ND, positions)
    labelled = reasoner.label_window(replace(VOICE_ONLY, speech=(heard,)), ASK)
    assert labelled.label.probabilities == pytest.approx(dict.fromkeys(LABELS, 1 / 7), abs=1e-4)
    assert labelled.label.label == prompt.UNSURE
    raw = labelled.scored.scores["both"]
    assert max(raw.values()) - min(raw.values()) > 0.1
    said = reasoner.label_window(VOICE_ONLY, ASK).label.probabilities
    assert max(said.values()) - min(said.values()) > 0.01


def test_a_label_that_always_wins_wins_by_evidence_alone() -> None:
    often = {"happy": math.log(0.9), "sad": math.log(0.1)}
    asked: list[str] = []

    def score(evidence: Window, window: Window, question: Question) -> Scores:
        asked.append(f"{len(evidence.frames)} {len(evidence.speech)}")
        return {"both": often}

    correction = PriorCorrection(lambda text: np.zeros((len(text), 4), np.float32), score)
    seen = {"both": {"happy": math.log(0.8), "sad": math.log(0.2)}}
    less = correction.corrected(seen, VOICE_ONLY, ASK)["both"]
    # Happier than usual it is not: 0.8 of an expected 0.9, against 0.2 of 0.1.
    assert less == pytest.approx({"happy": math.log(8 / 9), "sad": math.log(2)})
    correction.corrected(seen, replace(VOICE_ONLY, index=7), ASK)
    assert asked == ["0 1"] * len(prior.CONTENT_FREE)
    correction.corrected(seen, BOTH, ASK)
    assert asked[len(prior.CONTENT_FREE) :] == ["1 1"] * len(prior.CONTENT_FREE)
    correction.corrected(seen, BOTH, Question(query="Do they agree?"))
    assert len(asked) == 3 * len(prior.CONTENT_FREE)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior, "KEPT", 2)
    n_scored = 0

    def score(*_: object) -> Scores:
        nonlocal n_scored
        n_scored += 1
        return {"both": {"happy": 0.0, "sad": 0.0}}

    correction = PriorCorrection(lambda text: np.zeros((1, 4), np.float32), score)
    for query in ("a", "b", "c", "b", "c", "a"):
        correction.corrected({"both": {"happy": 0.0, "sad": 0.0}}, BOTH, Question(query=query))
    assert n_scored == 4 * len(prior.CONTENT_FREE)


def test_a_label_without_any_prior_does_not_become_certain() -> None:
    mean = prior.mean_log_probabilities([{"both": {"happy": 0.0, "sad": -1000.0}}])
    assert mean["both"]["sad"] == pytest.approx(math.log(1e-12))


def test_its_prompt_offers_to_be_unsure() -> None:
    assert f"one label or {prompt.UNSURE}" in prompt.prefix_text("stock", ASK)
    assert prompt.query_text("stock", ASK) == prompt.query_text("omni", ASK)
