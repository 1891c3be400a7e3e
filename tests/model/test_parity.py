"""With every switch off we are exactly Qwen2.5-Omni: two ways to compute it, one test to bind them.

Weights are random and scaled up: as initialised, logits barely see pictures or positions, and bugs hide.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from realtime.engine import loading
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.audio import n_tokens, split_chunks
from realtime.model.language import BatchKVCache, chunk_mask
from realtime.model.thinker import EmoThinker
from realtime.model.vision import window_plan
from realtime.records import Float32
from realtime.sample import SAMPLE
from realtime.towers import preprocess

transformers = pytest.importorskip("transformers")

Theirs = Any
"A model of transformers: its parts have no types."
IDS = {"audio": 500, "image": 501, "video": 502, "a_bos": 503, "a_eos": 504, "v_bos": 505, "v_eos": 506}


def stock_model() -> Theirs:
    """A small Qwen2.5-Omni Thinker of transformers' own, random weights scaled up."""
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as c

    text = c.Qwen2_5OmniTextConfig(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    )  # fmt: skip
    vision = c.Qwen2_5OmniVisionEncoderConfig(
        depth=4, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=64, fullatt_block_indexes=[1, 3],
        window_size=112, patch_size=14, spatial_merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
    audio = c.Qwen2_5OmniAudioEncoderConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64, num_mel_bins=128, n_window=100,
        output_dim=64,
    )  # fmt: skip
    config = c.Qwen2_5OmniThinkerConfig(
        text_config=text, vision_config=vision, audio_config=audio, audio_token_index=IDS["audio"],
        image_token_index=IDS["image"], video_token_index=IDS["video"], audio_start_token_id=IDS["a_bos"],
        audio_end_token_id=IDS["a_eos"], position_id_per_seconds=25, seconds_per_chunk=2, tie_word_embeddings=False,
    )  # fmt: skip
    config.vision_start_token_id, config.vision_end_token_id = IDS["v_bos"], IDS["v_eos"]
    torch.manual_seed(0)
    model = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
            elif "bias" in name:
                parameter.normal_(0, 0.2)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def stock() -> Theirs:
    return stock_model()


@pytest.fixture(scope="module")
def folder(stock: Theirs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in the published layout: sharded safetensors, keys prefixed with `thinker.`."""
    path = tmp_path_factory.mktemp("published")
    write_published(stock, path)
    return path


def write_published(stock: Theirs, path: Path) -> None:
    import json

    from safetensors.torch import save_file

    state = {}
    for key, tensor in stock.state_dict().items():
        bare = key.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        state["thinker." + bare.replace("model.audio_tower.", "audio_tower.")] = tensor.clone()
    keys = sorted(state)
    halves = [keys[: len(keys) // 2], keys[len(keys) // 2 :]]
    names = [f"model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
    for name, half in zip(names, halves, strict=True):
        save_file({key: state[key] for key in half}, path / name, metadata={"format": "pt"})
    weight_map = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (path / checkpoint.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = {"model_type": "qwen2_5_omni", "thinker_config": stock.config.to_dict()}
    (path / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def ours(folder: Path) -> EmoThinker:
    return checkpoint.load(folder)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (8, 8), (10, 22), (2, 2), (18, 12)])
def test_vision_tower_equals_transformers_for_ragged_windows(
    stock: Theirs, ours: EmoThinker, rows: int, columns: int
) -> None:
    patches = torch.randn(rows * columns, 1176, generator=torch.Generator().manual_seed(rows))
    reference = stock.model.visual(patches, grid_thw=torch.tensor([[1, rows, columns]])).pooler_output
    plan = window_plan(rows, columns)
    tokens = ours.thinker.visual(patches[plan.gather_N][None], plan.positions_N2[None], plan.valid_N[None])
    assert relative(tokens[0, plan.token_M], reference) < 1e-5


@pytest.mark.parametrize("n_frames", [3, 30, 199, 200, 201, 277, 400, 433])
def test_audio_tower_equals_transformers_for_every_tail(stock: Theirs, ours: EmoThinker, n_frames: int) -> None:
    mel = torch.randn(128, n_frames, generator=torch.Generator().manual_seed(n_frames))
    reference = stock.model.audio_tower(mel, feature_lens=torch.tensor([n_frames])).last_hidden_state
    chunks, lengths = split_chunks(mel)
    out = ours.thinker.audio_tower(chunks, lengths)
    tokens = torch.cat([row[: n_tokens(int(n))] for row, n in zip(out, lengths, strict=True)])
    assert tokens.shape == reference.shape
    assert relative(tokens, reference) < 1e-5


def mixed_input(stock: Theirs) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    n_image, n_mel = 16 * 12 // 4, 233
    n_audio = n_tokens(200) + n_tokens(33)
    ids = [1, 2, 3, IDS["v_bos"], *[IDS["image"]] * n_image, IDS["v_eos"]]
    ids += [IDS["a_bos"], *[IDS["audio"]] * n_audio, IDS["a_eos"], 4, 5, 6]
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "pixel_values": torch.randn(16 * 12, 1176, generator=generator),
        "image_grid_thw": torch.tensor([[1, 16, 12]]),
        "input_features": torch.randn(1, 128, n_mel, generator=generator),
        "feature_attention_mask": torch.ones(1, n_mel, dtype=torch.long),
    }


def our_embeddings(ours: EmoThinker, given: dict[str, Tensor]) -> Tensor:
    ids = given["input_ids"][0]
    x = ours.embed(ids).clone()
    _, rows, columns = given["image_grid_thw"][0].tolist()
    plan = window_plan(rows, columns)
    vision = ours.thinker.visual(
        given["pixel_values"][plan.gather_N][None], plan.positions_N2[None], plan.valid_N[None]
    )
    chunks, lengths = split_chunks(given["input_features"][0])
    audio = ours.thinker.audio_tower(chunks, lengths)
    x[ids == IDS["image"]] = vision[0, plan.token_M]
    x[ids == IDS["audio"]] = torch.cat([row[: n_tokens(int(n))] for row, n in zip(audio, lengths, strict=True)])
    return x[None]


def test_logits_equal_transformers_with_every_switch_off(stock: Theirs, ours: EmoThinker) -> None:
    given = mixed_input(stock)
    reference = stock(**given).logits
    positions, _ = stock.get_rope_index(
        given["input_ids"], image_grid_thw=given["image_grid_thw"], attention_mask=given["attention_mask"],
        audio_seqlens=torch.tensor([given["input_features"].shape[2]]),
    )  # fmt: skip
    x = our_embeddings(ours, given)
    mask = chunk_mask([], n_prefix=x.shape[1], n_branch=0)
    logits = ours.thinker.lm_head(ours.thinker.model(x, positions, mask))
    assert relative(logits, reference) < 1e-5
    # A control: the same input at wrong positions must not pass, or the test could not see positions at all.
    wrong = ours.thinker.lm_head(ours.thinker.model(x, positions.flip(0), mask))
    assert relative(wrong, reference) > 1e-3


def test_key_value_slots_in_any_order_equal_one_pass(ours: EmoThinker) -> None:
    """A trunk, three chunks put into shuffled slots, a branch token by token: equal to one pass under `chunk_mask`."""
    chunks, n_prefix, n_branch = [5, 7, 6], 4, 3
    n = n_prefix + sum(chunks) + n_branch
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, n, 64, generator=generator)
    positions = torch.arange(n).expand(3, 1, n).contiguous()
    mask = chunk_mask(chunks, n_prefix=n_prefix, n_branch=n_branch)
    whole = ours.thinker.model(x, positions, mask)
    cache = BatchKVCache(ours.config.text, 40, dtype=torch.float32, device=torch.device("cpu"))
    places = torch.randperm(40, generator=generator)[:n]
    parts, start = [], 0
    for size in [n_prefix, *chunks, *[1] * n_branch]:
        rows = slice(start, start + size)
        seen = torch.zeros(size, 40, dtype=torch.bool)
        seen[:, places] = mask[rows]
        parts.append(ours.thinker.model(x[:, rows], positions[:, :, rows], seen, cache, places[rows]))
        start += size
    assert relative(torch.cat(parts, 1), whole) < 1e-5


def spoken() -> Float32:
    """The sound of the recording that ships with the program."""
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.mark.parametrize("n_samples", [33_333, 32_000, 31_999, 400])
@pytest.mark.parametrize("kind", ["noise", "speech"])
def test_log_mel_equals_whispers_extractor(kind: str, n_samples: int) -> None:
    extractor = transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=300)
    noise = (np.random.RandomState(0).randn(33_333) * 0.1).astype(np.float32)
    # From where somebody speaks.
    samples = (noise if kind == "noise" else spoken()[48_000:])[:n_samples]
    reference = extractor(samples, sampling_rate=16_000, return_tensors="np", padding="longest")["input_features"][0]
    ours = preprocess.log_mel(samples)
    np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_truncated_shard_is_told_plainly(folder: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shard = broken / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(BadModel, match="can't be read as safetensors"):
        checkpoint.load(broken)
    shard.unlink()
    with pytest.raises(BadModel, match="is missing"):
        checkpoint.load(broken)


@pytest.mark.parametrize(
    "name", ["config.json", "emothinker.json", "emothinker.safetensors", "model.safetensors", "tokenizer.json"]
)
def test_a_folder_that_is_half_there_is_told_plainly(tmp_path: Path, name: str) -> None:
    """Each file of nano's is missed when it is gone, cut in the middle or empty."""
    half = tmp_path / "half"
    half.mkdir()
    for file in checkpoint.NANO.iterdir():
        if file.is_file() and file.name != name:
            (half / file.name).symlink_to(file)
    whole = (checkpoint.NANO / name).read_bytes()
    for content in (None, whole[: len(whole) // 2], b""):
        if content is not None:
            (half / name).write_bytes(content)
        # Missing tensors are named as such.
        with pytest.raises(BadModel, match=name.partition(".")[0].replace("thinker", "")) as told:
            loading.load(str(half))
        assert told.value.hint


def test_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BadModel, match="expected qwen2_5_omni"):
        checkpoint.load(tmp_path)
