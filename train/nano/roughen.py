"""Other microphones, rooms and lines for clean speech, and sounds that are no speech. All of it for training.

Every change is drawn from a generator, so a seed gives the same sound again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.signal import fftconvolve, lfilter, resample_poly

from realtime.records import SAMPLE_RATE_HZ, Float32
from train.arrays import Floats

SOUND_M_S = 343.0
OPUS_RATE_HZ = 48_000
PACKET = 960
"Samples of an Opus packet at 48 kHz: 20 ms."


def room(rng: np.random.Generator) -> Float32:
    """An impulse response of a box-shaped room by the image method (Allen and Berkley 1979), direct sound first.

    Rooms are 2–8 m wide; the walls reflect 0.3–0.85 of the pressure, which gives reverberation times of 0.1 to 0.9 s.
    """
    size = rng.uniform((2.0, 2.5, 2.2), (6.0, 8.0, 3.5))
    source, microphone = (rng.uniform(0.1, 0.9, 3) * size for _ in range(2))
    reflect = rng.uniform(0.3, 0.85)
    n = np.arange(-7, 8)
    grid = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 1, 3)
    side = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(1, -1, 3)
    image = (1 - 2 * side) * source + 2 * grid * size
    distance = np.linalg.norm(image - microphone, axis=-1).ravel()
    n_walls = (np.abs(grid - side) + np.abs(grid)).sum(-1).ravel()
    at = np.round((distance - distance.min()) / SOUND_M_S * SAMPLE_RATE_HZ).astype(np.int64)
    kept = at < SAMPLE_RATE_HZ // 2
    response = np.zeros(SAMPLE_RATE_HZ // 2)
    np.add.at(response, at[kept], (reflect**n_walls / np.maximum(distance, 0.2))[kept])
    out: Float32 = (response / response[0]).astype(np.float32)
    return out


def rms(samples_N: Float32 | Floats) -> float:
    return float(np.sqrt(np.mean(np.square(samples_N)))) + 1e-9


def looped(sound_N: Float32, n: int, rng: np.random.Generator) -> Float32:
    """`n` samples of a sound from a random start, repeated where it is too short."""
    start = int(rng.integers(len(sound_N)))
    return np.resize(np.roll(sound_N, -start), n)


def mixed(samples_N: Float32, noise_N: Float32, *, snr_db: float) -> Float32:
    """Speech with noise `snr_db` below it."""
    out: Float32 = samples_N + noise_N * (rms(samples_N) / rms(noise_N) * 10 ** (-snr_db / 20))
    return out


def coloured(n: int, rng: np.random.Generator) -> Float32:
    """Noise between white and brown."""
    out: Float32 = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.98)], rng.standard_normal(n)).astype(np.float32)
    return out


def narrow_band(samples_N: Float32, rng: np.random.Generator) -> Float32:
    """The sound through 8 kHz, in half of all cases with µ-law's eight bits too, as a telephone has it."""
    low = resample_poly(samples_N, 1, 2)
    if rng.random() < 0.5:
        squeezed = np.sign(low) * np.log1p(255 * np.abs(low).clip(0, 1)) / np.log(256)
        squeezed = np.round(squeezed * 127) / 127
        low = np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255
    out: Float32 = resample_poly(low, 2, 1)[: len(samples_N)].astype(np.float32)
    return out


def over_opus(samples_N: Float32, *, bit_rate: int, loss: float, rng: np.random.Generator) -> Float32:
    """The sound as a call carries it; a share `loss` of the packets is missing, each heard as 20 ms that fade out."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = OPUS_RATE_HZ, "mono", av.AudioFormat("s16")
    encoder.bit_rate = bit_rate
    wide = resample_poly(samples_N, 3, 1)
    wide = np.pad(wide, (0, -len(wide) % PACKET))
    pcm = np.round(wide * 32767).clip(-32768, 32767).astype(np.int16)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = OPUS_RATE_HZ, "mono"
    heard: list[Float32] = []

    def decode(packets: Sequence[av.Packet[Any]]) -> None:
        for packet in packets:
            for decoded in decoder.decode(packet):
                part = decoded.to_ndarray().reshape(-1).astype(np.float32)
                part = part / 32768 if decoded.format.name.startswith("s16") else part
                if heard and rng.random() < loss:
                    part = np.resize(heard[-1], len(part)) * np.linspace(0.7, 0, len(part), dtype=np.float32)
                heard.append(part)

    for start in range(0, len(pcm), PACKET):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + PACKET], format="s16", layout="mono")
        frame.sample_rate, frame.pts = OPUS_RATE_HZ, start
        decode(encoder.encode(frame))
    decode(encoder.encode(None))
    out: Float32 = resample_poly(np.concatenate(heard), 1, 3).astype(np.float32)
    return np.resize(out, len(samples_N)) if len(out) < len(samples_N) else out[: len(samples_N)]


def roughened(
    samples_N: Float32, rng: np.random.Generator, *, noises: Sequence[Float32], others: Sequence[Float32]
) -> Float32:
    """The sentence through another microphone, room and line. `noises` and `others` (voices) sound behind it."""
    x = samples_N.astype(np.float32)
    n = len(x)
    if rng.random() < 0.4:
        x = fftconvolve(x, room(rng))[:n].astype(np.float32)
        x *= rms(samples_N) / rms(x)
    kind = rng.random()
    if kind < 0.3 and noises:
        x = mixed(x, looped(noises[int(rng.integers(len(noises)))], n, rng), snr_db=rng.uniform(-5, 20))
    elif kind < 0.5 and others:
        babble = sum(looped(others[int(k)], n, rng) for k in rng.integers(len(others), size=5))
        x = mixed(x, np.asarray(babble, np.float32), snr_db=rng.uniform(3, 20))
    elif kind < 0.8:
        x = mixed(x, coloured(n, rng), snr_db=rng.uniform(5, 35))
    x = x * 10 ** (rng.uniform(-18, 6) / 20)
    if rng.random() < 0.15:
        x = x * (1.5 * 10 ** (rng.uniform(0, 9) / 20) / max(float(np.abs(x).max()), 1e-6))
    if rng.random() < 0.1:
        x = x + rng.uniform(-0.1, 0.1)
    x = np.clip(x, -1, 1).astype(np.float32)
    if rng.random() < 0.12:
        x = narrow_band(x, rng)
    if rng.random() < 0.3:
        loss = rng.uniform(0, 0.1) if rng.random() < 0.5 else 0.0
        x = over_opus(x, bit_rate=int(rng.uniform(16_000, 32_000)), loss=loss, rng=rng)
    return x


# Sounds that are no speech, beside recorded noise.


def hiss(n: int, rng: np.random.Generator) -> Float32:
    """A fan, a microphone's own noise, wind: steady noise of any colour."""
    return coloured(n, rng)


def breath(n: int, rng: np.random.Generator) -> Float32:
    """Noise through a mouth's resonances, that rises and falls every one to three seconds."""
    at_s = np.arange(n) / SAMPLE_RATE_HZ
    x = rng.standard_normal(n)
    for _ in range(3):
        hz, width = rng.uniform(300, 3500), rng.uniform(150, 800)
        radius, angle = np.exp(-np.pi * width / SAMPLE_RATE_HZ), 2 * np.pi * hz / SAMPLE_RATE_HZ
        x = x + lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], x)
    swell = np.clip(np.sin(2 * np.pi * at_s / rng.uniform(1, 3) + rng.uniform(0, 6)), 0, None) ** rng.uniform(0.5, 2)
    out: Float32 = (x * (swell + 0.02)).astype(np.float32)
    return out


def typing(n: int, rng: np.random.Generator) -> Float32:
    """Keys and clicks: short bursts of noise that ring for some milliseconds."""
    x = 0.003 * rng.standard_normal(n)
    at = 0.0
    while (start := int(at * SAMPLE_RATE_HZ)) < n:
        length = min(int(rng.uniform(0.004, 0.05) * SAMPLE_RATE_HZ), n - start)
        ring = np.exp(-np.arange(length) / (rng.uniform(0.001, 0.012) * SAMPLE_RATE_HZ))
        x[start : start + length] += rng.uniform(0.2, 1) * ring * rng.standard_normal(length)
        at += rng.exponential(0.18) + 0.04
    return x.astype(np.float32)


def melody(n: int, rng: np.random.Generator) -> Float32:
    """Notes with overtones, alone or as chords, plucked or held, with vibrato or without."""
    x = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        at, held = 0, int(rng.uniform(0.12, 1.2) * SAMPLE_RATE_HZ)
        decay = rng.uniform(0.1, 3) * SAMPLE_RATE_HZ
        weights = rng.dirichlet(np.ones(6) * rng.uniform(0.3, 2))
        shake_hz, depth = rng.uniform(4, 7), rng.choice([0.0, rng.uniform(0, 0.02)])
        while at < n:
            length = min(int(held * rng.choice([0.5, 1, 1, 2])), n - at)
            hz = 440 * 2 ** (rng.integers(-24, 20) / 12)
            t = np.arange(length) / SAMPLE_RATE_HZ
            phase = 2 * np.pi * hz * (t + depth * np.sin(2 * np.pi * shake_hz * t) / (2 * np.pi * shake_hz))
            tones = sum(w * np.sin((k + 1) * phase) for k, w in enumerate(weights) if hz * (k + 1) < 7500)
            x[at : at + length] += tones * np.exp(-np.arange(length) / decay) * np.minimum(1, t / 0.01)
            at += length
    return x.astype(np.float32)


def hum(n: int, rng: np.random.Generator) -> Float32:
    """Mains hum and its overtones, or an engine's, with a little noise."""
    hz = rng.choice([50.0, 60.0, rng.uniform(30, 300)])
    t = np.arange(n) / SAMPLE_RATE_HZ
    tones = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * k * hz * t + rng.uniform(0, 6)) for k in range(1, 12))
    out: Float32 = (tones + 0.05 * rng.standard_normal(n)).astype(np.float32)
    return out


MADE = (hiss, breath, typing, melody, hum)


def no_speech(n: int, rng: np.random.Generator, *, noises: Sequence[Float32]) -> Float32:
    """A sound that nobody speaks in, at any level: two in three are recorded, the others are made."""
    if noises and rng.random() < 0.67:
        x = looped(noises[int(rng.integers(len(noises)))], n, rng)
    else:
        x = MADE[int(rng.integers(len(MADE)))](n, rng)
        if rng.random() < 0.3:
            x = mixed(x, MADE[int(rng.integers(len(MADE)))](n, rng), snr_db=rng.uniform(0, 15))
    if rng.random() < 0.4:
        x = fftconvolve(x, room(rng))[:n]
    x = x / max(float(np.abs(x).max()), 1e-6) * 10 ** (rng.uniform(-35, 0) / 20)
    if rng.random() < 0.15:
        x = narrow_band(x.astype(np.float32), rng)
    return np.clip(x, -1, 1).astype(np.float32)


def read_noises(folder: Path) -> list[tuple[str, str, Path]]:
    """(file, type, path) of each noise of DATA/noises, in the order of its labels; empty where there is no such set."""
    labels = folder / "labels.csv"
    if not labels.exists():
        return []
    rows = [line.rsplit(",", 1) for line in labels.read_text(encoding="utf-8").splitlines()[1:] if line]
    return [(file, kind, folder / file) for file, kind in rows]
