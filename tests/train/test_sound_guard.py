"""The command that counts the errors of the guard against noise: its sounds, and its halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime.evidence.voice import high_band, is_narrow_band, voice_features
from realtime.records import SAMPLE_RATE_HZ, Float32
from tests.evidence.sounds import spoken
from tests.ingest.media_files import write_clip
from train.nano import sound_guard
from train.readers.voices import COLUMNS


def bands_db(samples_N: Float32) -> Float32:
    """(8,) energy of each kilohertz."""
    power_F = np.abs(np.fft.rfft(samples_N)) ** 2
    return np.asarray([10 * np.log10(band.sum()) for band in np.array_split(power_F, 8)], np.float32)


def test_a_whisper_keeps_the_mouth_and_loses_the_voice() -> None:
    loud_N = spoken(120)
    whisper_N = sound_guard.whispered(loud_N, seed=0)
    assert voice_features(loud_N)[0]["voiced_ratio"] > 0.5
    assert voice_features(whisper_N)[0]["voiced_ratio"] < 0.1
    wanted_8 = bands_db(loud_N)
    # Where the vowel has no energy to speak of, sixteen poles cannot follow it.
    heard_8 = wanted_8 > wanted_8.max() - 30
    np.testing.assert_allclose(bands_db(whisper_N)[heard_8], wanted_8[heard_8], atol=6)


@pytest.mark.parametrize("mu_law", [False, True])
def test_the_telephone_ends_at_four_kilohertz(mu_law: bool) -> None:
    sound_N = (spoken(120) + np.random.default_rng(0).normal(0, 0.01, 2 * SAMPLE_RATE_HZ)).astype(np.float32)
    assert not is_narrow_band(sound_N)
    assert is_narrow_band(sound_guard.through_telephone(sound_N, mu_law=mu_law))
    assert high_band(np.zeros(0, np.float32)) == float("inf")


def test_speakers_and_noises_are_in_one_half_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reported is of speakers and recordings that no threshold was fitted on."""
    noises, corpus = tmp_path / "noises", tmp_path / "voices" / "own"
    noises.mkdir()
    corpus.mkdir(parents=True)
    rng = np.random.default_rng(0)
    levels = iter(np.linspace(0.02, 0.2, 6))

    def write(path: Path) -> None:
        write_clip(path, sound_N=rng.normal(0, next(levels), 8_000).astype(np.float32), audio_codec="flac")

    for index in range(4):
        write(noises / f"n{index}.flac")
    (noises / "labels.csv").write_text("file,type\n" + "".join(f"n{index}.flac,wind\n" for index in range(4)))
    lines = [",".join(COLUMNS)]
    for index in range(2):
        write(corpus / f"s{index}.flac")
        lines.append(f"s{index}.flac,speaker{index},,sad,,0.5,")
    (corpus / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(sound_guard, "stretches", lambda samples_N: [samples_N])
    fit, held_out = sound_guard.halves(tmp_path, 3)
    assert (len(fit.noises), len(held_out.noises), len(fit.sentences), len(held_out.sentences)) == (2, 2, 1, 1)
    assert (len(fit.whispers), len(fit.wide_db), len(fit.narrow_db)) == (1, 1, 1)
    fitted, reported = (
        {one.values["loudness_db"] for one in (*half.noises, *half.sentences)} for half in (fit, held_out)
    )
    assert len(fitted) == len(reported) == 3
    assert not fitted & reported
