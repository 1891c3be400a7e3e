"""The stages of nano's voices: Whisper's weights, rougher sound, and an expert that knows a person's usual."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
import torch

from realtime.errors import BadModel
from realtime.evidence.baseline import RunningMean
from realtime.model.audio import AudioTower
from realtime.model.config import AudioConfig
from realtime.model.experts import EXPERT_LABELS, VoiceExpert
from realtime.records import SAMPLE_RATE_HZ, Float32
from tests.ingest.media_files import voice
from train.arrays import Int64
from train.nano import config as nano_config
from train.nano import roughen, voice_expert, whisper
from train.nano.voice_expert import Spoken

SMALL = AudioConfig(
    num_mel_bins=8, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, d_model=12, output_dim=5
)


def ctranslate2_file(tower: AudioTower) -> bytes:
    """The tower's encoder in CTranslate2's layout: query, key and value stacked, in half precision."""
    s = {name: tensor.numpy() for name, tensor in tower.state_dict().items()}
    variables = {f"encoder/conv{k}/{kind}": s[f"conv{k}.{kind}"] for k in (1, 2) for kind in ("weight", "bias")}
    variables |= {"encoder/layer_norm/gamma": s["ln_post.weight"], "encoder/layer_norm/beta": s["ln_post.bias"]}
    for layer in range(SMALL.encoder_layers):
        theirs, ours = f"encoder/layer_{layer}/", f"layers.{layer}."
        attention = theirs + "self_attention/"
        variables[attention + "linear_0/weight"] = np.concatenate(
            [s[f"{ours}self_attn.{name}_proj.weight"] for name in "qkv"]
        )
        q, v = (s[f"{ours}self_attn.{name}_proj.bias"] for name in "qv")
        variables[attention + "linear_0/bias"] = np.concatenate([q, np.zeros_like(q), v])
        for their_name, our_name in (
            (attention + "linear_1", "self_attn.out_proj"),
            (theirs + "ffn/linear_0", "fc1"),
            (theirs + "ffn/linear_1", "fc2"),
        ):
            variables |= {f"{their_name}/{kind}": s[f"{ours}{our_name}.{kind}"] for kind in ("weight", "bias")}
        for their_name, our_name in (
            (attention + "layer_norm", "self_attn_layer_norm"),
            (theirs + "ffn/layer_norm", "final_layer_norm"),
        ):
            variables[their_name + "/gamma"] = s[f"{ours}{our_name}.weight"]
            variables[their_name + "/beta"] = s[f"{ours}{our_name}.bias"]
    variables["decoder/num_heads"] = np.array(2, np.int16)

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        kept = value if value.dtype == np.int16 else value.astype(np.float16)
        out += text(name) + struct.pack("<B", kept.ndim) + struct.pack(f"<{kept.ndim}I", *kept.shape)
        out += struct.pack("<BI", 2 if kept.dtype == np.int16 else 4, kept.nbytes) + kept.tobytes()
    return out


def test_a_whisper_encoder_becomes_the_tower() -> None:
    torch.manual_seed(0)
    theirs, ours = AudioTower(SMALL), AudioTower(SMALL)
    whisper.start_from(ours, whisper.from_ctranslate2(whisper.read_ctranslate2(ctranslate2_file(theirs))))
    mel, n_frames = torch.randn(2, SMALL.num_mel_bins, 200), torch.tensor([200, 77], dtype=torch.int32)
    with torch.inference_mode():
        wanted, got = theirs.with_moments(mel, n_frames)[1], ours.with_moments(mel, n_frames)[1]
    torch.testing.assert_close(got, wanted, atol=2e-2, rtol=2e-2)
    assert not torch.equal(ours.proj.weight, theirs.proj.weight), "the projection is our own"


def test_a_cut_file_and_another_shape_are_told() -> None:
    data = ctranslate2_file(AudioTower(SMALL))
    with pytest.raises(BadModel, match="cut off"):
        whisper.read_ctranslate2(data[: len(data) // 2])
    wider = AudioTower(AudioConfig(8, 2, 2, 24, 16, output_dim=5))
    with pytest.raises(BadModel, match=r"expected \(16, 8, 3\)"):
        whisper.start_from(wider, whisper.from_ctranslate2(whisper.read_ctranslate2(data)))


def test_moments_of_chunks_join_to_those_of_the_whole() -> None:
    """Mean and spread over a sentence are those over all positions of its chunks, without their padding."""
    from realtime.model.experts import join_moments

    torch.manual_seed(0)
    tower = AudioTower(SMALL)
    lengths = torch.tensor([200, 61], dtype=torch.int32)
    with torch.inference_mode():
        _, moments = tower.with_moments(torch.randn(2, SMALL.num_mel_bins, 200), lengths)
        kept: list[torch.Tensor] = []
        tower.layers[-1].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        torch.manual_seed(0)
        tower = tower.eval()
        mel = torch.randn(2, SMALL.num_mel_bins, 200)
        _, moments = tower.with_moments(mel, lengths)
    positions = torch.cat([kept[0][0, :100], kept[0][1, :31]])
    joined = join_moments(moments, lengths)[-1]
    torch.testing.assert_close(joined[:12], positions.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(joined[12:], positions.std(0, unbiased=False), atol=1e-4, rtol=1e-3)


SPEECH_N = voice(1.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, rng: roughen.narrow_band(x, rng),
        lambda x, rng: roughen.over_opus(x, bit_rate=24_000, loss=0.1, rng=rng),
        lambda x, rng: roughen.roughened(x, rng, noises=[roughen.hiss(8000, rng)], others=[x]),
    ],
    ids=["8 kHz", "Opus with losses", "everything"],
)
def test_rougher_sound_is_of_the_same_length_and_finite(
    change: Callable[[Float32, np.random.Generator], Float32],
) -> None:
    for seed in range(6):
        rough = change(SPEECH_N, np.random.default_rng(seed))
        assert rough.shape == SPEECH_N.shape
        assert np.isfinite(rough).all()
        again = change(SPEECH_N, np.random.default_rng(seed))
        np.testing.assert_array_equal(rough, again)


def test_a_telephone_has_nothing_above_four_kilohertz() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    power = np.abs(np.fft.rfft(roughen.narrow_band(noise, rng))) ** 2
    assert power[4500:].sum() < 1e-3 * power[:3500].sum()


def test_sounds_without_speech_differ_and_stay_in_range() -> None:
    made = [roughen.no_speech(SAMPLE_RATE_HZ, np.random.default_rng(seed), noises=[]) for seed in range(12)]
    assert all(len(sound) == SAMPLE_RATE_HZ and np.abs(sound).max() <= 1 for sound in made)
    assert len({round(float(np.abs(sound).mean()), 5) for sound in made}) == 12


def test_sessions_run_as_a_live_baseline_moves() -> None:
    rng = np.random.default_rng(0)
    x, session = rng.normal(size=(40, 3)).astype(np.float32), np.repeat([0, 1], [30, 10])
    usual: dict[int, Float32] = {}
    order: list[int] = []

    def told(rows: Int64, features: Float32, before: Float32) -> Float32:
        usual.update(zip(rows.tolist(), before.copy(), strict=True))
        order.extend(rows.tolist())
        return features

    place = voice_expert.run_sessions(x, session, told, np.random.default_rng(1))
    for one in (0, 1):
        live = RunningMean(np.zeros(3))
        for row in [row for row in order if session[row] == one]:
            assert place[row] == live.n
            np.testing.assert_allclose(usual[row], live.mean_P, atol=1e-5)
            live.push(x[row])


def people(rng: np.random.Generator, n_speakers: int = 24, per_emotion: int = 5) -> Spoken:
    """Speakers whose voices differ by more than their emotions do; only what is left of a voice tells the emotion."""
    n_features = 460
    effects = rng.normal(0, 1.0, (len(EXPERT_LABELS), n_features))
    speaker = np.repeat(np.arange(n_speakers), per_emotion * len(EXPERT_LABELS))
    labels = np.tile(np.repeat(np.arange(len(EXPERT_LABELS)), per_emotion), n_speakers)
    offset = rng.normal(0, 1.5, (n_speakers, n_features))
    clean = offset[speaker] + effects[labels] + rng.normal(0, 1.5, (len(labels), n_features))
    rough = clean + rng.normal(0, 0.5, clean.shape)
    half = ["home" if one % 2 else "abroad" for one in speaker]
    return Spoken(
        features_NS=np.concatenate([clean, rough]).astype(np.float32),
        labels=np.tile(labels, 2),
        speaker=np.tile(speaker, 2),
        session=np.concatenate([speaker, 100 + speaker]),
        corpus=half * 2,
        part=["train" if one < 18 else "test" for one in speaker] * 2,
        strong=[None] * (2 * len(labels)),
        seconds=np.full(2 * len(labels), 2.0, np.float32),
        no_speech_MS=(6 + rng.normal(0, 1, (80, n_features))).astype(np.float32),
    )


@pytest.fixture(scope="module")
def spoken() -> Spoken:
    return people(np.random.default_rng(0))


@pytest.fixture(scope="module")
def expert(spoken: Spoken) -> VoiceExpert:
    return voice_expert.fit(spoken, spoken.rows(("train",)))


def test_an_unseen_person_is_read_and_stays_read_in_one_mood(spoken: Spoken, expert: VoiceExpert) -> None:
    rows = spoken.rows(("test",))
    held = voice_expert.HeldOut.by(expert, spoken, rows)
    varied, one_mood = (
        float((log_p.argmax(1) == spoken.labels[rows]).mean()) for log_p in (held.varied, held.one_mood)
    )
    assert varied > 0.6
    assert one_mood > 0.8 * varied, "the emotion is taken for the person's usual"
    told = held.told(spoken)
    assert "home" in told
    assert "abroad" in told


def test_what_is_no_speech_is_told_from_speech(spoken: Spoken, expert: VoiceExpert) -> None:
    rows = spoken.rows(("test",))
    for features, low, high in ((spoken.features_NS[rows], 0.0, 0.2), (spoken.no_speech_MS, 0.8, 1.0)):
        x = expert.read(torch.from_numpy(features))
        _, no_speech = expert(x, torch.zeros_like(x))
        assert low <= float(no_speech.mean()) <= high


def test_the_further_from_the_training_people_the_less_sure(spoken: Spoken, expert: VoiceExpert) -> None:
    x = expert.read(torch.from_numpy(spoken.features_NS[:200]))
    distance = x.square().mean(-1).sqrt()
    usual = float(distance.median())
    expert.temperature_3.copy_(torch.tensor([1.0, 2.0, usual]))
    near, _ = expert(x, torch.zeros_like(x))
    expert.temperature_3.copy_(torch.tensor([1.0, 0.0, 1.0]))
    plain, _ = expert(x, torch.zeros_like(x))
    far, close = distance > usual + 1e-3, distance <= usual
    assert (near.exp().amax(1)[far] < plain.exp().amax(1)[far]).all()
    torch.testing.assert_close(near[close], plain[close], atol=1e-5, rtol=1e-4)
    assert torch.equal(near.argmax(1), plain.argmax(1)), "the label stays"


def test_a_temperature_is_found_that_makes_the_sure_less_sure() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 3000)
    scores = rng.normal(0, 1, (3000, 7))
    scores[np.arange(3000), labels] += 1.0
    log_p = voice_expert.log_softmax(3.0 * scores).astype(np.float32)
    base, per_distance, _ = voice_expert.fitted_temperature(
        log_p, labels, rng.uniform(0.9, 1.1, 3000).astype(np.float32)
    )
    assert 2.0 < base < 4.0
    assert per_distance < 8.0


def test_width_and_statistics_are_those_of_the_recipe() -> None:
    made = nano_config.emotion(132)
    assert made["voice_width"] == nano_config.VOICE_WIDTH
    assert VoiceExpert(20, 8).width == 8
