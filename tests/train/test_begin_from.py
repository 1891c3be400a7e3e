"""nano's Thinker goes on from a packaged nano whose towers, experts or measures were others."""

from __future__ import annotations

import torch

from realtime.model import checkpoint
from realtime.model.selectors import CueProjector
from realtime.model.thinker import N_VOICE_MEASURES, EmoThinker
from train.nano.thinker import begin_from, trainable


def test_all_that_is_trained_is_taken_over() -> None:
    packaged = checkpoint.load(checkpoint.NANO)
    model = EmoThinker(packaged.config)
    assert begin_from(model, checkpoint.NANO) == []
    stored = dict(packaged.named_parameters())
    for name, parameter in trainable(model):
        torch.testing.assert_close(parameter.detach(), stored[name].detach(), msg=name)


def test_a_new_measure_changes_nothing_yet() -> None:
    packaged = checkpoint.load(checkpoint.NANO)
    model = EmoThinker(packaged.config)
    old = packaged.emotion.voice_measures
    assert old is not None
    model.emotion.voice_measures = CueProjector(
        N_VOICE_MEASURES + 1, packaged.config.text.hidden_size, bounds=old.bounds
    )
    assert begin_from(model, checkpoint.NANO) == []
    measures = torch.linspace(-2, 2, N_VOICE_MEASURES)
    for new in (-1.0, 3.0):
        told = model.emotion.voice_measures(torch.cat([measures, torch.tensor([new])]))
        torch.testing.assert_close(told, old(measures))


def test_what_has_another_shape_begins_afresh() -> None:
    model = EmoThinker(checkpoint.read_config(checkpoint.NANO))
    model.emotion.voice_measures = CueProjector(
        N_VOICE_MEASURES, model.config.text.hidden_size, bounds=(-1, 1), inner=7
    )
    fresh = begin_from(model, checkpoint.NANO)
    assert "emotion.voice_measures.layers.2.weight" in fresh or "emotion.voice_measures.layers.0.weight" in fresh
    assert all(name.startswith("emotion.voice_measures.") for name in fresh)
