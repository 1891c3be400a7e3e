"""Guessed tokens: the chain is the same, in fewer passes; a table that is damaged is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from realtime.engine.loading import LoadedModel
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.products import FEW_ROWS
from realtime.reason import batched_decoder
from realtime.reason.phrases import LOOKED_AT, Phrases, as_tensor
from realtime.reason.reasoner import Reasoner
from realtime.records import Question, ReasonDelta, ReasonDone, Window
from tests.reason.windows import BOTH, FACE_ONLY, VOICE_ONLY
from train.tuning.phrases import counted

QUESTION = Question()


def chain(reasoner: Reasoner, window: Window) -> tuple[ReasonDone, str]:
    steps = list(reasoner.reason(window, QUESTION))
    done = next(step for step in steps if isinstance(step, ReasonDone))
    return done, "".join(step.text for step in steps if isinstance(step, ReasonDelta))


def of_chains(nano: LoadedModel, chains: list[Mapping[str, str]]) -> Phrases:
    """What is counted when each chain was seen twice."""
    return Phrases(counted([*chains, *chains], nano.thinker.vocabulary))


@pytest.mark.parametrize("window", [BOTH, FACE_ONLY, VOICE_ONLY], ids=["both", "face", "voice"])
def test_a_chain_is_the_same_in_fewer_passes(nano: LoadedModel, window: Window) -> None:
    plain = Reasoner(nano.weights, nano.thinker.vocabulary)
    before, text = chain(plain, window)
    guessing = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=of_chains(nano, [dict(before.sections)]))
    after, same = chain(guessing, window)
    assert (after.sections, after.answer, same) == (before.sections, before.answer, text)
    assert after.timings_ms["chain_tokens"] == before.timings_ms["chain_tokens"]
    assert guessing.n_passes < 0.5 * plain.n_passes


def test_wrong_guesses_change_nothing(nano: LoadedModel) -> None:
    """Every guess is a token that the model never writes there."""
    plain = Reasoner(nano.weights, nano.thinker.vocabulary)
    before, text = chain(plain, BOTH)
    n_tokens = nano.weights.config.text.vocab_size
    wrong = Phrases({(token,): (token + 7) % n_tokens for token in range(n_tokens)})
    misled = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=wrong)
    after, same = chain(misled, BOTH)
    assert (after.sections, same) == (before.sections, text)
    assert misled.n_passes > 0.9 * plain.n_passes


def test_two_chains_at_once_have_their_own_words(nano: LoadedModel) -> None:
    """Beside another chain nothing is guessed, and what lies ahead of one is its own."""
    plain = Reasoner(nano.weights, nano.thinker.vocabulary)
    alone = [chain(plain, window)[0] for window in (BOTH, VOICE_ONLY)]
    guessing = Reasoner(
        nano.weights, nano.thinker.vocabulary, phrases=of_chains(nano, [dict(each.sections) for each in alone])
    )
    going = [guessing.reason(window, QUESTION) for window in (BOTH, VOICE_ONLY)]
    done: list[ReasonDone | None] = [None, None]
    head_start = [next(going[0], None) for _ in range(9)]
    while not all(done):
        for at, steps in enumerate(going):
            step = next(steps, None)
            done[at] = step if isinstance(step, ReasonDone) else done[at]
    assert len(head_start) == 9
    assert [each and each.sections for each in done] == [each.sections for each in alone]


def test_a_full_cache_is_not_guessed_into(nano: LoadedModel) -> None:
    thinker = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=Phrases({(5,): 6, (6,): 7, (7,): 8, (8,): 5}))
    cache = thinker.label_window(BOTH, QUESTION).cached.cache
    n_used = cache.n_used
    small = cache.copy(torch.arange(n_used), n_more=3)
    slot = thinker.decoder.open_slot(small, next_position=n_used, next_token=5)
    for _ in range(3):
        slot.append(5)
        slot.next_token()
        assert small.n_used <= small.n_slots
    slot.close()
    assert small.n_used == n_used + 3


def test_the_longest_context_decides_and_a_chain_of_guesses_goes_on() -> None:
    phrases = Phrases({(1,): 2, (9, 1): 3, (3,): 4, (4,): 5})
    assert phrases.after([1], 3) == [2]
    assert phrases.after([9, 1], 3) == [3, 4, 5]
    assert phrases.after([9, 1], 2) == [3, 4]
    assert phrases.after([9, 1], 0) == []
    assert phrases.after([], 3) == []


def test_a_table_counts_what_is_often_so(nano: LoadedModel) -> None:
    vocabulary = nano.thinker.vocabulary
    chains = [{"voice": "loud"}] * 3 + [{"voice": "high"}]
    found = counted(chains, vocabulary)
    opening, loud = vocabulary.ids("<voice>"), vocabulary.ids("loud</voice>")
    assert found[tuple(opening[-LOOKED_AT:])] == loud[0]
    assert tuple(vocabulary.ids("high")[-1:]) not in found, "seen once"
    assert Phrases(found).after(opening, len(loud)) == loud


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    following = {(1,): 2, (9, 1): 3, (7, 9, 1): 0}
    save_file({"next": as_tensor(following)}, tmp_path / checkpoint.PHRASES)
    read = Phrases.read(tmp_path, n_tokens=10)
    assert read is not None
    assert read._following == following
    assert Phrases.read(tmp_path / "none", n_tokens=10) is None


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"other": torch.zeros(1, 4, dtype=torch.int32)}, "holds no table"),
        ({"next": torch.zeros(1, 3, dtype=torch.int32)}, "holds no table"),
        ({"next": torch.zeros(1, 4)}, "holds no table"),
        ({"next": torch.tensor([[-1, -1, 1, 10]], dtype=torch.int32)}, "does not know"),
        ({"next": torch.tensor([[-1, -1, 1, -1]], dtype=torch.int32)}, "does not know"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    save_file(tensors, tmp_path / checkpoint.PHRASES)
    with pytest.raises(BadModel, match=message):
        Phrases.read(tmp_path, n_tokens=10)


def test_no_more_than_a_few_tokens_are_guessed() -> None:
    """A pass of more rows than integer products take as they are would widen the weights."""
    assert batched_decoder.GUESSED + 1 <= FEW_ROWS
