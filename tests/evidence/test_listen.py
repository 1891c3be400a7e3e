"""What is heard ahead against hearing afresh: the same evidence, less left to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.evidence import listen
from realtime.evidence.listen import Listener
from realtime.evidence.perceive import Perception
from realtime.records import SAMPLE_RATE_HZ, Float32, SpeechEvidence, SpeechSegment, SpeechSoFar
from tests.ingest.media_files import room, voice
from tests.recorded import clip, sound_of

SOUND_N = np.concatenate(
    [
        voice(2.6),
        room(0.3),
        voice(
            1.6,
        ),
    ]
).astype(np.float32)


def part(sound_N: Float32, end_s: float, start_s: float = 3.0) -> SpeechSegment:
    n = round(end_s * SAMPLE_RATE_HZ)
    return SpeechSegment(start_s, start_s + end_s, sound_N[:n])


def afresh(nano: LoadedModel, segment: SpeechSegment) -> SpeechEvidence:
    return nano.perceiver(seed=0).hear(segment)


def listener_of(perception: Perception) -> Listener:
    return perception._listener


def assert_same(a: SpeechEvidence, b: SpeechEvidence) -> None:
    np.testing.assert_allclose(a.tokens_ND, b.tokens_ND, atol=1e-5)
    np.testing.assert_array_equal(a.positions_3N, b.positions_3N)
    assert (a.start_s, a.end_s, a.cues.values, a.cues.relative) == (b.start_s, b.end_s, b.cues.values, b.cues.relative)


def test_a_pause_that_was_the_end_was_heard_already(nano: LoadedModel) -> None:
    perception, segment = nano.perceiver(seed=0), part(SOUND_N, 2.6)
    perception.hear_ahead(SpeechSoFar(segment, paused=True))
    n_encoded = listener_of(perception).n_encoded
    assert_same(perception.hear(segment), afresh(nano, segment))
    assert listener_of(perception).n_ahead == 1
    assert listener_of(perception).n_encoded == n_encoded


def test_a_pause_that_was_none_changes_nothing(nano: LoadedModel) -> None:
    """They went on: what was heard at the pause leaves no trace, in the ring, the baseline or the evidence."""
    perception = nano.perceiver(seed=0)
    whole = part(SOUND_N, 4.4)
    perception.hear_ahead(SpeechSoFar(part(SOUND_N, 2.6), paused=True))
    first = perception.hear(whole)
    assert_same(first, afresh(nano, whole))
    assert listener_of(perception).n_ahead == 0
    ring = nano.thinker._rings[first.ring].ring
    assert ring.chunk(first.number) is not None
    assert ring.n_chunks == 1

    other = nano.perceiver(seed=0)
    other.hear(whole)
    again = part(SOUND_N, 2.0, start_s=20.0)
    assert_same(perception.hear(again), other.hear(again))


def test_the_voice_expert_judges_what_it_hears(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sound that it cannot read, each label is as likely as any other. A sentence is not such a sound."""
    perception, told = nano.perceiver(seed=0), []
    made = listener_of(perception)._voice_cues

    def noted(*arguments: Any, verdict_7: Tensor, **others: Any) -> tuple[Tensor, Tensor]:
        told.append(verdict_7)
        return made(*arguments, verdict_7=verdict_7, **others)

    monkeypatch.setattr(listener_of(perception), "_voice_cues", noted)
    perception.hear(part(SOUND_N, 2.6))
    (verdict_7,) = told
    assert float(verdict_7.exp().sum()) == pytest.approx(1.0, abs=1e-4)
    assert float(verdict_7.exp().max()) > 0.3


def test_a_finished_chunk_is_encoded_once(nano: LoadedModel) -> None:
    perception, whole = nano.perceiver(seed=0), part(SOUND_N, 4.4)
    for end_s in (2.04, 4.05):
        perception.hear_ahead(SpeechSoFar(part(SOUND_N, end_s), paused=False))
    assert listener_of(perception).n_encoded == 2
    assert_same(perception.hear(whole), afresh(nano, whole))
    assert listener_of(perception).n_encoded == 3, "of 4.4 s only the tail was left"


def test_a_chunk_under_which_the_floor_rose_is_encoded_again(nano: LoadedModel) -> None:
    """Mel is cut off 80 dB below the loudest moment; a shout after a whisper changes the whisper's quiet parts."""
    sound_N = np.concatenate([1e-4 * voice(2.6), voice(1.8)]).astype(np.float32)
    perception, whole = nano.perceiver(seed=0), part(sound_N, 4.4)
    perception.hear_ahead(SpeechSoFar(part(sound_N, 2.04), paused=False))
    assert_same(perception.hear(whole), afresh(nano, whole))
    assert listener_of(perception).n_encoded == 4


def test_another_baseline_is_another_verdict(nano: LoadedModel) -> None:
    """The stretch before was heard late: what was heard ahead of it is told against an older baseline."""
    perception, other = nano.perceiver(seed=0), nano.perceiver(seed=0)
    said = sound_of(clip("ANG"))
    before, segment = SpeechSegment(3.0, 3.0 + len(said) / SAMPLE_RATE_HZ, said), part(SOUND_N, 2.6, start_s=9.0)
    perception.hear_ahead(SpeechSoFar(segment, paused=True))
    ahead = listener_of(perception)._ahead
    listener_of(perception)._ahead = None
    perception.hear(before)
    listener_of(perception)._ahead = ahead
    other.hear(before)
    assert_same(perception.hear(segment), other.hear(segment))
    assert listener_of(perception).n_ahead == 0


def test_sound_without_a_voice_does_not_move_the_baseline(nano: LoadedModel) -> None:
    perception, other = nano.perceiver(seed=0), nano.perceiver(seed=0)
    for start_s in (0.0, 2.0, 4.0):
        noise = perception.hear(SpeechSegment(start_s, start_s + 1.0, room(1.0, seed=round(start_s))))
        assert noise.cues.values["voiced_ratio"] == 0
    segment = part(SOUND_N, 2.6, start_s=9.0)
    assert perception.hear(segment).cues.relative == other.hear(segment).cues.relative


def test_a_long_session_keeps_a_bounded_number_of_encoded_chunks(
    nano: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "KEPT_CHUNKS", 1)
    perception = nano.perceiver(seed=0)
    perception.hear(part(SOUND_N, 4.4))
    assert len(listener_of(perception)._chunks) == 1


def test_closing_forgets_the_voice_and_what_was_encoded(nano: LoadedModel) -> None:
    perception, segment = nano.perceiver(seed=0), part(SOUND_N, 2.6)
    listener = listener_of(perception)
    perception.hear(segment)
    perception.hear_ahead(SpeechSoFar(segment, paused=True))
    known = listener._baseline
    perception.close()
    assert listener._baseline is not known
    assert listener._ahead is None
    assert not listener._chunks
