"""The trial of a model that was never trained on our chain; and what is trained from a stock model is one no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from realtime.cluster.backbone import only_worded_anew
from realtime.errors import BadSettings
from realtime.model import checkpoint
from realtime.model.backbone import TextBackbone
from realtime.model.config import EMOTION_CONFIG, ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS
from tests.export.shapes import small_config
from tests.model import packed_files
from tests.model.backbone_files import llama, write_folder
from train.evaluation.stock import FILE, Tried, chains, lines, summary, text_model, tried, window_of
from train.merge import stored_dtype, write_model
from train.tuning.initial_model import emotion_json

ROWS = [("I am so glad", "3"), ("Go away", "0"), ("Well well", "3,6"), ("A chair", "4"), ("He is gone", "5")]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("anger\ndisgust\nfear\njoy\nneutral\nsadness\nsurprise")
    (tmp_path / FILE).write_text("".join(f"{text}\t{labels}\tid\n" for text, labels in ROWS))
    return tmp_path


def test_lines_of_one_label_each_are_taken(words: Path, tmp_path: Path) -> None:
    assert sorted(lines(words, 2, seed=0)) == [
        ("A chair", "neutral"), ("Go away", "angry"), ("He is gone", "sad"), ("I am so glad", "happy"),
    ]  # fmt: skip
    with pytest.raises(BadSettings, match=r"has no labels\.txt"):
        lines(tmp_path / "elsewhere", 2, seed=0)


@pytest.mark.slow
def test_a_text_model_reads_words_and_writes_a_chain(words: Path, tmp_path: Path) -> None:
    model, vocabulary = text_model(TextBackbone.open(str(write_folder(llama(), tmp_path / "llama"))))
    assert model.config.emotion.stock
    reasoner = Reasoner(model, vocabulary)
    given = lines(words, 1, seed=0)
    found = list(tried(reasoner, model, given))
    assert [one.meant for one in found] == [label for _, label in given]
    assert {one.corrected for one in found} <= set(LABELS)
    (speech,) = window_of(model, vocabulary, " I am so glad ").speech
    assert speech.tokens_ND.shape == (len(vocabulary.ids('The person says: "I am so glad"')), 64)
    (told,) = chains(reasoner, model, given[:1])
    assert told.startswith(f"“{given[0][0]}” ({given[0][1]}) → ")
    assert "\n  answer:" in told


def test_the_summary_by_hand() -> None:
    found = [
        Tried("happy", "happy", "happy", "happy"), Tried("sad", "happy", "sad", "unsure"),
        Tried("fear", "happy", "sad", "sad"), Tried("fear", "happy", "fear", "unsure"),
    ]  # fmt: skip
    assert summary(found) == {
        "n": 4,
        "raw": {"accuracy": 0.25, "most": "happy", "most_share": 1.0},
        "corrected": {"accuracy": 0.75, "most": "sad", "most_share": 0.5},
        "sure": {"share": 0.5, "accuracy": 0.5},
    }


def test_a_model_merged_from_a_stock_one_is_none(tmp_path: Path) -> None:
    """Without additions it had no `emothinker.json`, and would now be served with the prompt of untrained models."""
    source, merged = tmp_path / "source", tmp_path / "merged"
    source.mkdir()
    config = small_config()
    (source / "config.json").write_text(json.dumps(config))
    assert checkpoint.read_config(source).emotion.stock
    assert emotion_json(source) == {"prompt": "omni"}
    model = EmoThinker(ModelConfig.parse(config)).eval()
    checkpoint.save(model, source, config, {})
    (source / EMOTION_CONFIG).unlink()
    (source / checkpoint.EMOTION_WEIGHTS).unlink()
    write_model(model, source, emotion_json(source), merged)
    assert checkpoint.load(merged).config.emotion.prompt == "omni"


def test_lora_on_a_stock_backbone_shares_its_weights() -> None:
    stock, trained = ModelConfig.parse(small_config()), ModelConfig.parse(small_config(), {})
    assert stock != trained
    assert only_worded_anew(trained, stock)
    assert not only_worded_anew(ModelConfig.parse(small_config(), {"selector_dim": 16}), stock)
    assert not only_worded_anew(stock, trained)


def test_a_model_merged_from_a_quantised_one_is_plain(tmp_path: Path) -> None:
    """An adapter's merged folder has wide weights, and a config that says so."""
    published = packed_files.write(tmp_path, "awq")
    (published / "quant_config.json").write_text("{}")
    dtype = stored_dtype(published)
    assert dtype.is_floating_point
    model = checkpoint.load(published, dtype=dtype)
    write_model(model, published, emotion_json(published), tmp_path / "merged")
    assert "quantization_config" not in checkpoint.read_json(tmp_path / "merged" / "config.json")
    assert not (tmp_path / "merged" / "quant_config.json").exists()
    again = checkpoint.load(tmp_path / "merged", dtype=dtype).state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in model.state_dict().items())
