"""Speech segments: the segmenter by decisions alone, the cutter by sound."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from realtime.ingest.speech import Began, Ended, Segmenter, SpeechCutter, SpeechSettings
from realtime.ingest.vad import FRAME_S
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SpeechSegment, SpeechSoFar, SpeechStarted
from tests.ingest.media_files import room, voice

SETTINGS = SpeechSettings()


def segments(decisions: str, settings: SpeechSettings = SETTINGS) -> list[tuple[int, Began | Ended]]:
    """What a string of decisions (v: voiced) settles, each with the number of frames heard by then."""
    segmenter = Segmenter(settings)
    settled = []
    for n_heard, decision in enumerate(decisions, start=1):
        settled += [(n_heard, event) for event in segmenter.push(decision == "v")]
    return settled + [(len(decisions), event) for event in segmenter.flush()]


def test_a_stretch_is_padded_and_known_to_be_over_after_the_hangover() -> None:
    (n_began, began), (n_ended, ended) = segments("." * 20 + "v" * 30 + "." * 30)
    assert (n_began, began) == (28, Began(14))
    # 90 % of ten frames unvoiced: one voiced frame may still be in sight.
    assert (n_ended, ended) == (59, Ended(14, 55))


def test_short_pauses_do_not_split() -> None:
    settled = segments("." * 20 + "vvvvvvvvvv......vvvvvvvvvv" + "." * 20)
    assert [type(event) for _, event in settled] == [Began, Ended]


def test_a_click_is_never_announced() -> None:
    assert segments("." * 20 + "vvvvvv" + "." * 20) == []


def test_scattered_decisions_are_not_speech() -> None:
    assert segments("v..v..v.." * 20) == []


def test_two_stretches_do_not_overlap() -> None:
    settled = [event for _, event in segments("v" * 20 + "." * 10 + "v" * 20 + "." * 20)]
    first, second = settled[1], settled[3]
    assert isinstance(first, Ended)
    assert isinstance(second, Ended)
    assert first.end <= second.first


def test_a_long_stretch_is_cut_and_goes_on() -> None:
    settings = SpeechSettings(max_segment_ms=3000)
    settled = [event for _, event in segments("." * 10 + "v" * 250 + "." * 20, settings)]
    ended = [event for event in settled if isinstance(event, Ended)]
    assert [type(event) for event in settled] == [Began, Ended] * 3
    assert [stretch.end - stretch.first for stretch in ended[:2]] == [100, 100]
    assert [stretch.first for stretch in ended[1:]] == [stretch.end for stretch in ended[:-1]]
    assert ended[-1].end == 265


def test_stopping_right_after_a_cut_announces_no_silence() -> None:
    settings = SpeechSettings(max_segment_ms=3000)
    settled = [event for _, event in segments("v" * 101 + "." * 60, settings)]
    assert settled == [Began(0), Ended(0, 100)]


def test_the_end_of_the_sound_ends_the_stretch() -> None:
    assert [event for _, event in segments("." * 10 + "v" * 20)] == [Began(4), Ended(4, 30)]


@pytest.mark.parametrize("change", [{"aggressiveness": 4}, {"hangover_ms": 120}, {"max_segment_ms": 720}])
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"speech\."):
        dataclasses.replace(SETTINGS, **change)


def cut(
    sound_N: Float32, *, chunk_s: float = 0.02, start_s: float = 0.0, missing: frozenset[int] = frozenset()
) -> tuple[list[SpeechSegment], SpeechCutter, list[float]]:
    """Cut sound that comes in chunks, some of which are lost; with when each segment was known."""
    cutter = SpeechCutter(SETTINGS)
    step = round(chunk_s * SAMPLE_RATE_HZ)
    found, known_s = [], []
    for index, start in enumerate(range(0, sound_N.size, step)):
        if index in missing:
            continue
        chunk = AudioChunk(start_s + start / SAMPLE_RATE_HZ, sound_N[start : start + step])
        for event in cutter.push(chunk):
            if isinstance(event, SpeechSegment):
                found.append(event)
                known_s.append(cutter.heard_s)
            else:
                assert isinstance(event, SpeechStarted | SpeechSoFar)
    found += cutter.flush()
    return found, cutter, known_s


SENTENCE = np.concatenate([room(1.0), voice(1.5), room(1.0)])


@pytest.mark.parametrize("chunk_s", [0.01, 0.02, 0.0261, 0.5, 4.0])
def test_speech_is_found_where_it_is_whatever_the_chunks(chunk_s: float) -> None:
    (segment,), cutter, _ = cut(SENTENCE, chunk_s=chunk_s, start_s=7.0)
    assert segment.start_s == pytest.approx(8.0 - 0.18, abs=0.1)
    assert segment.end_s == pytest.approx(9.5 + 0.15, abs=0.1)
    first = round((segment.start_s - 7.0) * SAMPLE_RATE_HZ)
    np.testing.assert_array_equal(segment.samples_N, SENTENCE[first : first + segment.samples_N.size])
    assert segment.samples_N.size == round((segment.end_s - segment.start_s) * SAMPLE_RATE_HZ)
    assert cutter.n_filled_gaps == cutter.n_resets == cutter.n_overlaps == 0


def test_the_end_is_known_within_the_hangover() -> None:
    _, _, (known_s,) = cut(SENTENCE)
    assert 0.2 < known_s - 2.5 < 0.3 + 3 * FRAME_S


def test_lost_packets_are_filled_and_counted() -> None:
    """Two holes of 60 ms in the sentence: its times stay right, since silence stands where the sound was lost."""
    (segment,), cutter, _ = cut(SENTENCE, missing=frozenset([70, 71, 72, 100, 101, 102]))
    assert segment.end_s == pytest.approx(2.65, abs=0.1)
    assert cutter.n_filled_gaps == 2
    assert cutter.heard_s == pytest.approx(3.5, abs=0.06)


def test_a_long_hole_ends_the_stretch_and_counting_begins_anew() -> None:
    sound_N = np.concatenate([voice(1.5), np.zeros(5 * SAMPLE_RATE_HZ, np.float32), voice(1.5), room(1.0)])
    found, cutter, _ = cut(sound_N, missing=frozenset(range(75, 325)))
    assert [segment.start_s for segment in found] == pytest.approx([0.0, 6.5], abs=0.1)
    assert cutter.n_resets == 1


def test_sound_that_comes_twice_is_heard_once() -> None:
    cutter = SpeechCutter(SETTINGS)
    for start_s in (0.0, 0.5, 0.5, 1.0):
        list(cutter.push(AudioChunk(start_s, room(0.5))))
    assert cutter.heard_s == pytest.approx(1.5, abs=FRAME_S)
    assert cutter.n_overlaps == 1


def test_a_muted_microphone_is_digital_silence_and_a_quiet_room_is_not() -> None:
    cutter = SpeechCutter(SETTINGS)
    list(cutter.push(AudioChunk(0.0, room(1.0))))
    assert cutter.silent_s == 0.0
    list(cutter.push(AudioChunk(1.0, np.zeros(6 * SAMPLE_RATE_HZ, np.float32))))
    assert cutter.silent_s == pytest.approx(6.0, abs=2 * FRAME_S)
    list(cutter.push(AudioChunk(7.0, room(0.1))))
    assert cutter.silent_s == 0.0


def test_a_quiet_voice_in_a_quiet_room_is_heard() -> None:
    """As quiet as the quieter half of RAVDESS, where the bare detector hears nothing."""
    (segment,), _, _ = cut((0.03 * SENTENCE).astype(np.float32))
    assert segment.start_s == pytest.approx(1.0 - 0.18, abs=0.1)


def test_a_quiet_room_is_not_speech() -> None:
    assert cut(room(20.0))[0] == []


@pytest.mark.parametrize("loud", [1.0, 10.0])
def test_a_fan_and_a_hum_are_taken_for_speech_only_until_they_are_known(loud: float) -> None:
    t_N = np.arange(20 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    hum_N = (0.02 * np.sin(2 * np.pi * 50 * t_N)).astype(np.float32)
    found, _, _ = cut((loud * (10 * room(20.0) + hum_N)).astype(np.float32))
    assert sum(segment.end_s - segment.start_s for segment in found) < 1.5


def test_speech_over_a_fan_is_heard() -> None:
    sound_N = np.concatenate([room(3.0), 0.5 * voice(1.5), room(1.0)]) + 10 * room(5.5, seed=1)
    (segment,), _, _ = cut(sound_N)
    assert segment.start_s == pytest.approx(3.0 - 0.18, abs=0.15)
    assert segment.end_s == pytest.approx(4.5 + 0.15, abs=0.15)


def test_a_pause_hands_on_the_very_segment_that_ends() -> None:
    """What can be done at a pause is done before the end is certain: more than a tenth of a second sooner."""
    cutter, open_stretches, known_s = SpeechCutter(SETTINGS), [], []
    for start in range(0, SENTENCE.size, 320):
        for event in cutter.push(AudioChunk(start / SAMPLE_RATE_HZ, SENTENCE[start : start + 320])):
            if isinstance(event, SpeechSoFar):
                open_stretches.append(event)
                known_s.append(cutter.heard_s)
            elif isinstance(event, SpeechSegment):
                last = open_stretches[-1]
                assert last.paused
                assert (last.segment.start_s, last.segment.end_s) == (event.start_s, event.end_s)
                np.testing.assert_array_equal(last.segment.samples_N, event.samples_N)
                assert cutter.heard_s - known_s[-1] >= 0.1
                return
    raise AssertionError("the sentence did not end")


def test_long_speech_is_handed_on_each_two_seconds() -> None:
    found = list(SpeechCutter(SETTINGS).push(AudioChunk(0.0, voice(5.0))))
    ends_s = [event.segment.end_s - event.segment.start_s for event in found if isinstance(event, SpeechSoFar)]
    assert ends_s == pytest.approx([2.04, 4.05], abs=0.04)
