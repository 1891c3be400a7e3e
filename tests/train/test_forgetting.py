"""What tuning made a language model forget: the questions, how an answer is read, and a model that was not tuned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.errors import BadSettings
from tests.model.backbone_files import composed_on_llama
from train.evaluation.forgetting import TextOnly, before_and_after, compare, lost, names, table
from train.evaluation.general_questions import QUESTIONS, GeneralQuestion

TEA = GeneralQuestion("sense", "Did they drink tea or coffee?", "Tea", ("Coffee", "Milk", "Tea and milk"))


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model on a small random Llama, before any training."""
    folder = tmp_path_factory.mktemp("forgetting")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield composed_on_llama(folder)


def test_questions_have_one_right_answer_each() -> None:
    assert len({asked.text for asked in QUESTIONS}) == len(QUESTIONS) == 96
    for asked in QUESTIONS:
        assert len({option.lower() for option in (asked.right, *asked.wrong)}) == 4, asked.text
        assert all((asked.text, asked.right, *asked.wrong)), asked.text


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Tea.", True),
        ("They drank tea", True),
        ("I would say: tea, of course", True),
        ("They drank coffee, of course.", False),
        ("A steam engine", False),
        ("Milk and tea", False),
        ("", False),
    ],
)
def test_an_answer_names_the_right_word_and_no_wrong_one(text: str, right: bool) -> None:
    assert names(text, TEA) == right


def test_a_wrong_answer_that_the_question_holds_may_be_repeated() -> None:
    assert names("Tea, and not coffee", TEA)
    assert not names("Tea, and not coffee", replace(TEA, text="What did they drink?"))


def test_points_lost_by_hand() -> None:
    before, after = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 1.0])
    found = lost(before, after)
    assert found["points"] == 25.0
    assert found["low"] < 0 < 25 < found["high"]
    assert lost(before, before) == {"points": 0.0, "low": 0.0, "high": 0.0}


def test_a_model_that_was_not_tuned_has_forgotten_nothing(composed: Path) -> None:
    before, after = before_and_after(str(composed))
    result = compare(before, after, QUESTIONS[::24])
    for measure in ("chosen", "said"):
        assert result[measure]["before"] == result[measure]["after"]
        assert result[measure]["lost"]["points"] == 0.0
    assert result["examples"] == []
    assert "lost 0.0 points" in "\n".join(table(result))


def test_a_model_that_was_changed_answers_otherwise(composed: Path) -> None:
    """The scores are the model's: with other weights other answers are chosen."""
    before, after = before_and_after(str(composed))
    language = after._language
    torch.manual_seed(0)
    language.embeddings_VD.copy_(torch.randn_like(language.embeddings_VD))
    chosen = [[side.answer(asked).text for asked in QUESTIONS[:6]] for side in (before, after)]
    assert chosen[0] != chosen[1]


def test_scoring_leaves_the_conversation_as_it_was(composed: Path) -> None:
    before, _ = before_and_after(str(composed))
    cache, logits_V = before._read(TEA.text)
    n_used = cache.n_used
    alone = [before._score(cache, logits_V, option) for option in TEA.wrong]
    assert cache.n_used == n_used
    assert alone == [before._score(cache, logits_V, option) for option in TEA.wrong]
    assert isinstance(before, TextOnly)


def test_a_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(BadSettings, match="was not composed on a text backbone"):
        before_and_after("nano")
