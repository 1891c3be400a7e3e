"""Our few lines of signal processing against SciPy's, which the program does without."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from realtime.evidence.prosody import peaks
from realtime.evidence.spectrum import N_MELS, N_MFCC, tables
from realtime.ingest.mono import POLE, HighPass
from realtime.ingest.vad import LOW_PASS_HZ, LOW_PASS_ORDER, LOW_PASS_TAPS, low_pass
from realtime.records import SAMPLE_RATE_HZ


@pytest.mark.parametrize("plateaus", [False, True])
def test_the_same_peaks_are_found(plateaus: bool) -> None:
    rng = np.random.default_rng(0)
    for n in rng.integers(1, 120, 500):
        values_F = rng.normal(size=n).cumsum()
        values_F = np.round(values_F) if plateaus else values_F
        assert peaks(values_F, 2.0) == list(scipy.signal.find_peaks(values_F, prominence=2.0)[0])


def test_the_same_cepstrum_comes_out() -> None:
    mel_FM = np.random.default_rng(1).normal(0, 20, (50, N_MELS))
    wanted_FK = scipy.fft.dct(mel_FM, type=2, norm="ortho", axis=1)[:, 1 : N_MFCC + 1]
    np.testing.assert_allclose(mel_FM @ tables().cosines_MK, wanted_FK, atol=1e-4)


def test_an_offset_is_filtered_alike_in_any_pieces() -> None:
    samples_N = np.random.default_rng(2).normal(0.3, 0.1, 100_000).astype(np.float32)
    wanted_N, _ = scipy.signal.lfilter([1.0, -1.0], [1.0, -POLE], samples_N.astype(np.float64), zi=[-0.3])
    high_pass = HighPass(0.3)
    passed_N = np.concatenate([high_pass.push(piece) for piece in np.split(samples_N, [1, 5, 4101, 20000, 20000])])
    np.testing.assert_allclose(passed_N, wanted_N, atol=1e-6)


def test_the_low_pass_of_eight_bits_is_butterworths() -> None:
    sections = scipy.signal.butter(LOW_PASS_ORDER, LOW_PASS_HZ, fs=SAMPLE_RATE_HZ, output="sos")
    impulse_N = np.zeros(4 * LOW_PASS_TAPS)
    impulse_N[0] = 1.0
    wanted_N = scipy.signal.sosfilt(sections, impulse_N)
    np.testing.assert_allclose(low_pass(), wanted_N[:LOW_PASS_TAPS], atol=1e-12)
    assert np.abs(wanted_N[LOW_PASS_TAPS:]).max() < 1e-12
