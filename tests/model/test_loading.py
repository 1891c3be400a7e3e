"""A checkpoint is checked by its headers, then read block by block, straight to where its weights stay."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from export import random_weights
from realtime.engine import loading
from realtime.errors import BadModel
from realtime.model import checkpoint, layout, memory, shards
from realtime.model.fused import FusedLanguageModel
from realtime.model.products import Product, Weights
from realtime.model.shards import MappedFile
from realtime.model.thinker import EmoThinker
from tests.model.random_models import SMALLER


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards in the published layout, with the talker's tensors among the Thinker's."""
    folder = tmp_path_factory.mktemp("published") / "3B"
    random_weights.write(folder, "3B", whole=True, smaller=SMALLER)
    index = json.loads((folder / checkpoint.INDEX).read_text())
    first = min(index["weight_map"].values())
    tensors = load_file(folder / first)
    # A type that would be refused if it were looked at.
    tensors |= {"talker.model.norm.weight": torch.ones(8, dtype=torch.int32), "token2wav.x": torch.ones(2, 2)}
    save_file(tensors, folder / first, metadata={"format": "pt"})
    index["weight_map"] |= {"talker.model.norm.weight": first, "token2wav.x": first}
    (folder / checkpoint.INDEX).write_text(json.dumps(index))
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(published, tmp_path / "3B"))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_tensor_is_the_files_own_and_nothing_else_is_read(
    published: Path, dtype: torch.dtype, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks smaller than most tensors.
    monkeypatch.setattr(shards, "BLOCK_BYTES", 5000)
    told: list[tuple[int, int]] = []
    model = checkpoint.load(published, dtype=dtype, joined=joined, on_read=lambda *bytes_: told.append(bytes_))
    stored = {
        checkpoint.published_name(key): tensor
        for path in checkpoint.shard_files(published)
        for key, tensor in load_file(path).items()
    }
    stored |= {f"emotion.{key}": tensor for key, tensor in load_file(published / checkpoint.EMOTION_WEIGHTS).items()}
    state = model.state_dict()
    assert all(torch.equal(tensor, stored[key].to(dtype)) for key, tensor in state.items())
    used = sum(stored[key].nbytes for key in state)
    assert told[-1] == (used, used)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_serving_model_takes_joined_weights_as_they_lie(published: Path, dtype: torch.dtype) -> None:
    plain, joined = (checkpoint.load(published, dtype=dtype, joined=each) for each in (False, True))
    where = {key: tensor.data_ptr() for key, tensor in joined.state_dict().items()}
    models = [FusedLanguageModel(model.thinker.model, model.thinker.lm_head) for model in (plain, joined)]
    assert where == {key: tensor.data_ptr() for key, tensor in joined.state_dict().items()}
    x = torch.randn(5, 256, generator=torch.Generator().manual_seed(0)).to(dtype)
    for left, right in zip(models[0]._layers, models[1]._layers, strict=True):
        torch.testing.assert_close(left.qkv(x), right.qkv(x))
        torch.testing.assert_close(left.gate_up(x), right.gate_up(x))
        assert isinstance(left.down, Product)
        assert isinstance(right.down, Product)
        torch.testing.assert_close(left.down.weight_DN, right.down.weight_DN, rtol=0, atol=0)
    torch.testing.assert_close(models[0].logits(x), models[1].logits(x))


def test_weights_that_do_not_lie_together_are_copied_together() -> None:
    apart = [torch.nn.Linear(8, n, bias=False) for n in (3, 2)]
    before = [part.weight.detach().clone() for part in apart]
    assert layout.lying_together([part.weight for part in apart]) is None
    whole = layout.joined(apart)
    assert torch.equal(whole, torch.cat(before).t())
    assert layout.joined(apart).data_ptr() == whole.data_ptr()
    assert all(torch.equal(part.weight, old) for part, old in zip(apart, before, strict=True))


PEAK = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from realtime.model import checkpoint
from realtime.model.fused import FusedLanguageModel

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

before = status("VmRSS")
model = checkpoint.load(Path(sys.argv[1]), dtype=torch.bfloat16, joined=True)
FusedLanguageModel(model.thinker.model, model.thinker.lm_head)
print(status("VmHWM") - before, sum(parameter.nbytes for parameter in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's memory")
def test_the_peak_is_the_weights_and_a_block(tmp_path: Path) -> None:
    """Read whole and beside a copy in float32, a checkpoint took more than twice its size."""
    wide = SMALLER | {"text_config": SMALLER["text_config"] | {"intermediate_size": 40_000, "vocab_size": 90_000}}
    random_weights.write(tmp_path / "3B", "3B", whole=True, smaller=wide)
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "3B")], capture_output=True, text=True, check=True
    )  # fmt: skip
    grown, weights = map(int, ran.stdout.split())
    assert weights > 200e6
    # Beside the weights: the mapped block and the one read ahead, and what importing leaves for the first use.
    assert grown < 1.05 * weights + 2 * shards.BLOCK_BYTES + 30e6


# Bad folders: each is told before anything is read.


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(MappedFile, "blocks", refuse)


def told_of(folder: Path) -> BadModel:
    with pytest.raises(BadModel) as told:
        loading.load(str(folder))
    assert told.value.hint
    return told.value


@pytest.mark.usefixtures("unread")
def test_an_index_that_names_a_missing_shard(folder: Path) -> None:
    shard = checkpoint.shard_files(folder)[1]
    shard.unlink()
    assert f"{shard.name} is missing in {folder}: {checkpoint.INDEX} names it" in told_of(folder).message


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("with_its_key", [False, True])
def test_shards_of_two_models(folder: Path, with_its_key: bool) -> None:
    """The other model's shard has other keys; where it has the same ones, its shapes differ."""
    shard = checkpoint.shard_files(folder)[-1]
    tensors = load_file(shard)
    key = next(key for key in sorted(tensors) if tensors[key].ndim == 2)
    tensors[key if with_its_key else f"{key}.other"] = torch.zeros(3, 5)
    save_file(tensors, shard, metadata={"format": "pt"})
    told = told_of(folder).message
    assert "its config says" in told if with_its_key else "files of two models" in told


@pytest.mark.usefixtures("unread")
def test_an_index_that_leaves_the_folder(folder: Path) -> None:
    (folder / checkpoint.INDEX).write_text('{"weight_map": {"x": "../other.safetensors"}}')
    assert "no file beside it" in told_of(folder).message
    (folder / checkpoint.INDEX).write_text('{"weight_map": []}')
    assert "names no tensors" in told_of(folder).message


@pytest.mark.usefixtures("unread")
def test_quantised_weights_that_the_config_does_not_tell(folder: Path) -> None:
    shard = checkpoint.shard_files(folder)[-1]
    tensors = load_file(shard)
    key = min(tensors)
    tensors[key] = torch.zeros(tensors[key].shape, dtype=torch.int8)
    save_file(tensors, shard, metadata={"format": "pt"})
    assert f"{key} in {shard.name} is int8" in told_of(folder).message


@pytest.mark.usefixtures("unread")
def test_weights_in_another_format(folder: Path) -> None:
    for path in (*checkpoint.shard_files(folder), folder / checkpoint.INDEX):
        path.unlink()
    (folder / "model-q4_k_m.gguf").write_bytes(b"GGUF")
    assert "holds weights as .gguf" in told_of(folder).message


@pytest.mark.usefixtures("unread")
def test_too_little_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 250_000_000)
    told = told_of(folder).message
    assert "does not fit into memory: it needs 0.3 GB on this machine, 0.2 GB are free" in told


def test_memory_of_a_container(tmp_path: Path) -> None:
    assert memory._left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\nactive_file 50\n")
    assert memory._left_in_group(tmp_path) == 450


def test_progress_is_told_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([0.0, 1.0, 5.5, 5.5, 6.0])
    told = loading.progress_of("big", now_s=lambda: next(clock))
    for n_read in (1, 2, 3):
        told(n_read * 10**9, 4 * 10**9)
    assert [record.getMessage() for record in caplog.records] == ["loading big: 2.0 of 4.0 GB"]


def test_progress_of_a_small_model_is_told_in_megabytes(caplog: pytest.LogCaptureFixture) -> None:
    """On a busy machine nano said “0.0 of 0.0 GB”."""
    clock = iter([0.0, 5.5, 5.5])
    loading.progress_of("nano", now_s=lambda: next(clock))(40_000_000, 133_000_000)
    assert [record.getMessage() for record in caplog.records] == ["loading nano: 40 of 133 MB"]


@pytest.mark.parametrize(("large", "instructions", "expected"), [
    (True, {"avx512_bf16": True}, torch.bfloat16), (True, {"amx_bf16": True}, torch.bfloat16),
    (True, {"avx512_bf16": False}, torch.float32), (False, {"avx512_bf16": True}, torch.float32),
])  # fmt: skip
def test_a_large_model_is_in_bf16_where_the_cpu_computes_it(
    large: bool, instructions: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert loading.cpu_dtype(large=large) == expected


@pytest.mark.parametrize(
    ("n_parameters", "device", "weights", "narrow"),
    [
        (21_000_000, "cpu", "full", None),  # nano gains nothing
        (140_000_000, "cpu", "full", "int8"),
        (140_000_000, "meta", "full", None),
        (140_000_000, "cpu", "int4", None),
        (3_000_000_000, "cpu", "full", None),
    ],
)
def test_chains_of_a_small_language_model_are_decoded_in_eight_bits(
    n_parameters: int, device: str, weights: Weights, narrow: str | None
) -> None:
    """Four bits would be sooner, but a SmolLM2 that was tuned by LoRA only repeated itself in them."""
    parameters = [torch.empty(n_parameters, device="meta")]
    model = cast(EmoThinker, SimpleNamespace(parameters=lambda: parameters, device=torch.device(device)))
    assert loading.suited(model, weights) == narrow


@pytest.mark.parametrize(
    ("n_parameters", "n_cores", "threads"),
    [(21_000_000, 8, 1), (140_000_000, 2, 1), (140_000_000, 4, 2), (140_000_000, 64, 2), (3_000_000_000, 2, 2)],
)
def test_threads_follow_the_size_of_the_model_and_leave_cores_to_others(
    n_parameters: int, n_cores: int, threads: int
) -> None:
    assert loading.threads_for(n_parameters, n_cores) == threads
