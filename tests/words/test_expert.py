"""The expert on words: the weights that ship, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import BadModel
from realtime.records import LABELS
from realtime.words.expert import WEIGHTS, WordsExpert
from realtime.words.features import features, find, places


@pytest.fixture(scope="module")
def expert() -> WordsExpert:
    return WordsExpert.load()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I'm so happy for you, congratulations!", "happy"),
        ("I miss her so much, it makes me cry.", "sad"),
        ("Shut up, I hate you!", "angry"),
        ("That is disgusting, gross.", "disgust"),
        ("I'm terrified of spiders.", "fear"),
        ("Wow, I didn't expect that!", "surprise"),
        ("The bus stops at the corner.", "neutral"),
    ],
)
def test_plain_sentences_get_their_label(expert: WordsExpert, text: str, label: str) -> None:
    said = expert.probabilities(text)
    assert said is not None
    assert max(said, key=lambda name: said[name]) == label
    assert sum(said.values()) == pytest.approx(1, abs=1e-5)
    assert tuple(said) == LABELS


def test_of_nothing_known_nothing_is_said(expert: WordsExpert) -> None:
    assert expert.probabilities("") is None
    assert expert.probabilities("漢字") is None


def test_it_is_small(expert: WordsExpert) -> None:
    n_parameters = expert.weights_N7.size + expert.bias_7.size + expert.scale_7.size + expert.rarity_N.size
    assert n_parameters <= 1_000_000
    assert WEIGHTS.stat().st_size <= 2_000_000


def test_a_feature_lies_in_one_of_two_places_and_another_is_not_taken_for_it() -> None:
    table = np.zeros(1000, np.uint16)
    first, second, fingerprint = places("whappy", 1000)
    assert find("whappy", table) is None
    table[second] = fingerprint
    assert find("whappy", table) == second
    table[first] = fingerprint
    assert find("whappy", table) == first
    others = [find(f"w{number}", table) for number in range(2000)]
    assert sum(other is not None for other in others) <= 2


def test_words_pairs_and_pieces_are_read() -> None:
    words, pieces = features("Don’t go, go!")
    assert words == {"wdon't": 1, "wgo": 2, "w,": 1, "w!": 1, "pdon't go": 1, "pgo ,": 1, "p, go": 1, "pgo !": 1}
    assert pieces["c go "] == 2
    assert pieces["cn't"] == 1


def test_other_files_are_refused_in_a_sentence(expert: WordsExpert, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="holds no expert on words"):
        WordsExpert.load(tmp_path / "none.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    with pytest.raises(BadModel, match="holds no expert on words"):
        WordsExpert.load(tmp_path / "noise.safetensors")
    cut = replace(expert, weights_N7=expert.weights_N7[:10])
    cut.save(tmp_path / "cut.safetensors")
    with pytest.raises(BadModel, match="cut off"):
        WordsExpert.load(tmp_path / "cut.safetensors")
