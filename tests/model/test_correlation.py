"""The aggregator of voice and words: nothing at first, tolerant to a second of shift, and it learns what belongs."""

from __future__ import annotations

import numpy as np
import torch

from realtime.evidence.cue_model import cue_model, cue_weights
from realtime.model import checkpoint
from realtime.model.methods.correlation import SHIFT, CorrelationAggregator, same_size, shifted_correlation
from train.layout import JUDGED
from train.tuning.correlation import TaughtWords
from train.tuning.initial_model import with_additions

DIM, INNER = 32, 16


def aggregator() -> CorrelationAggregator:
    torch.manual_seed(0)
    return CorrelationAggregator(DIM, INNER)


def test_it_adds_nothing_at_first_and_can_be_read_from_the_first_step_on() -> None:
    found, (voice, words) = aggregator(), (torch.randn(40, DIM), torch.randn(7, DIM))
    assert not found.added(voice, words).any()
    found.added(voice, words).sum().backward()  # type: ignore[no-untyped-call]
    for summary in (found.agree, found.discord):
        assert summary.weight.grad is not None
        assert summary.weight.grad.any()


def test_words_a_second_before_or_after_the_voice_belong_to_it() -> None:
    voice = torch.randn(4 * SHIFT, INNER, generator=torch.Generator().manual_seed(0))
    for by in (-SHIFT, 0, SHIFT):
        r = shifted_correlation(voice, voice.roll(by, 0))
        inside = slice(SHIFT, -SHIFT)
        torch.testing.assert_close(r[inside], torch.ones_like(r[inside]))
    assert float(shifted_correlation(voice, voice.roll(SHIFT // 2, 0)).max()) < 0.9
    short = voice[:SHIFT]
    torch.testing.assert_close(shifted_correlation(short, short), torch.ones(SHIFT))


def test_words_are_added_where_they_correlate_and_the_summaries_tell_them_apart() -> None:
    found = aggregator()
    words = torch.randn(3, DIM)
    found.voice.weight.data = found.words.weight.data.clone()
    found.slope.data.fill_(40.0)
    found.offset.data.fill_(-20.0)
    spoken, against = words[0] * 3, -words.sum(0)
    plain, moved = found.voice(same_size(torch.stack([spoken, against]))).detach(), []
    for token, before in zip((spoken, against), plain, strict=True):
        moved.append(float((found(token[None], words).voice_I.detach() - before).norm() / before.norm()))
    assert moved[0] > 0.3 > 0.01 > moved[1]
    with torch.no_grad():
        made = found(torch.stack([spoken, against]), words)
    assert float(made.correlation_N[0]) > 0.5 > 0 > float(made.correlation_N[1])
    assert float(made.agree_I @ plain[0]) > float(made.discord_I @ plain[0])


def test_it_learns_which_words_belong_to_a_voice_and_skips_ironic_ones() -> None:
    """Voices that carry the sum of their words' embeddings."""
    found, rng = aggregator(), torch.Generator().manual_seed(1)
    heard = torch.linalg.qr(torch.randn(DIM, DIM, generator=rng))[0]
    taught, losses = TaughtWords(found), []
    optimizer = torch.optim.AdamW(found.parameters(), lr=1e-2)
    for _ in range(40):
        for _ in range(4):
            words = torch.randn(5, DIM, generator=rng)
            found(words.mean(0) @ heard + 0.1 * torch.randn(8, DIM, generator=rng), words)
            taught.of_window({"voice": "happy", JUDGED: "happy"})
        told = taught.outputs()["correlation"]
        losses.append(told.item())
        optimizer.zero_grad()
        told.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    found(torch.randn(8, DIM), torch.randn(5, DIM))
    taught.of_window({"voice": "happy", JUDGED: "sad"})
    assert taught.outputs() == {}


def test_a_model_gets_one_where_it_reads_words_and_it_stays_with_the_thinker() -> None:
    model, emotion = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat", words=True, dtype=torch.float32
    )
    assert "correlation" in emotion["emochat"]
    assert model.emotion.correlation is not None
    beside = cue_model(model.config, cue_weights(model))
    assert beside.emotion.correlation is None
    silent, emotion = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat", dtype=torch.float32
    )
    assert "correlation" not in emotion["emochat"]
    assert silent.emotion.correlation is None
