"""Folders that GPTQ and AWQ have quantised: what is read is what they stand for, and others are refused by name.

They are written by `packed_files.py`. No published folder was at hand.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

from realtime.errors import BadModel
from realtime.model import checkpoint, filling, layout, memory, packing
from realtime.model.fused import FusedLanguageModel
from realtime.model.products import NarrowLinear
from realtime.model.shards import MappedFile, StoredTensor
from realtime.model.tokenizer import Vocabulary
from realtime.reason.reasoner import Reasoner
from tests.model import adapter_files, packed_files
from tests.reason.windows import ASK, BOTH

FORMS: dict[str, dict[str, Any]] = {
    # Scales in bf16 and zeros of 8, which the kernel of int4 holds exactly.
    "gptq": {"method": "gptq", "symmetric": True, "scales_as": packed_files.powers},
    "gptq-asymmetric": {"method": "gptq", "group": 128},
    "gptq-ordered": {"method": "gptq", "ordered": True},
    "gptq-v2": {"method": "gptq", "form": "gptq_v2", "group": -1},
    "awq": {"method": "awq"},
}


@pytest.fixture(scope="module", params=FORMS)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param)
    return packed_files.write(folder, **FORMS[request.param])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_files.write(tmp_path_factory.mktemp("awq"), "awq")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(published, tmp_path / "packed"))


@pytest.mark.parametrize(("dtype", "joined"), [(torch.float32, True), (torch.bfloat16, False)])
def test_every_weight_is_the_one_that_was_packed(packed: Path, dtype: torch.dtype, joined: bool) -> None:
    told: list[tuple[int, int]] = []
    model = checkpoint.load(packed, dtype=dtype, joined=joined, on_read=lambda *bytes_: told.append(bytes_))
    plain = load_file(packed.parent / "plain" / checkpoint.WEIGHTS)
    state = {key: tensor for key, tensor in model.state_dict().items() if key.startswith("thinker.")}
    assert all(torch.equal(tensor, plain[key].to(dtype)) for key, tensor in state.items())
    assert told[-1][0] == told[-1][1] == max(told)[0]


def test_labels_are_those_of_the_plain_folder(packed: Path) -> None:
    found = []
    for folder in (packed, packed.parent / "plain", checkpoint.NANO):
        reasoner = Reasoner(checkpoint.load(folder, joined=True), Vocabulary.read(folder))
        found.append(reasoner.fast_label(BOTH, ASK).probabilities)
    assert found[0] == found[1] != found[2]


@torch.inference_mode()
def test_int4_keeps_every_level(packed: Path) -> None:
    """Quantised anew, a group that does not use all levels would get another grid."""
    model, planned = checkpoint.load(packed, dtype=torch.bfloat16, kept="int4"), checkpoint.plan(packed)
    exact = packed.parent.name.startswith("gptq0")
    plain = load_file(packed.parent / "plain" / checkpoint.WEIGHTS)
    assert len(filling.kept_groups(planned)) == 4 * 4
    kept = sum(each.nbytes for each in model.parameters() if not each.is_meta)
    kept += sum(each.nbytes for layer in model.modules() if isinstance(layer, NarrowLinear) for each in layer.buffers())
    quantised = model.thinker.model.quantised
    assert kept + sum(one.nbytes for one in quantised.values()) == filling.weights_bytes(
        planned.model, torch.bfloat16, "int4", filling.kept_groups(planned)
    )
    for group in layout.groups(model.config.text):
        if group.name == layout.HEAD:
            continue
        expected = torch.cat([plain[weight] for weight in group.weights]).t()
        found = quantised[group.name](torch.eye(group.n_inputs, dtype=torch.bfloat16)).float()
        if exact:
            assert torch.equal(found, expected)
        # Scale, zero and result are rounded to bf16. Another level would be four times as far.
        assert float((found - expected).abs().max()) <= float(expected.abs().max()) * 2**-6
    FusedLanguageModel(model.thinker.model, model.thinker.lm_head)


@pytest.fixture(scope="module")
def with_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_files.write(tmp_path_factory.mktemp("order"), "gptq", ordered=True)


def test_layers_that_do_not_share_an_order_are_quantised_anew(with_order: Path, tmp_path: Path) -> None:
    folder, tensors = broken(with_order, tmp_path)
    key = "thinker.model.layers.1.self_attn.k_proj.g_idx"
    packed_files.write_shards(folder, tensors | {key: tensors[key][::-1]})
    kept = filling.kept_groups(checkpoint.plan(folder))
    assert len(kept) == 15
    assert "layers.1.self_attn.q_proj" not in kept
    assert len(checkpoint.load(folder, kept="int4").thinker.model.quantised) == 17


def broken(folder: Path, tmp_path: Path) -> tuple[Path, dict[str, npt.NDArray[Any]]]:
    """A copy to break, and its tensors."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    return copy, packed_files.read_shards(copy)


def test_an_adapter_is_merged_into_what_the_weights_stand_for(published: Path, tmp_path: Path) -> None:
    """What it changes is no longer on the grid, and int4 quantises it anew."""
    changed = "thinker.model.layers.1.mlp.down_proj"
    adapter = adapter_files.write(tmp_path / "adapter", [changed], {f"{changed}.weight": (256, 896)}, seed=0)
    packed, plain = (
        checkpoint.load(each, adapter=adapter).state_dict() for each in (published, published.parent / "plain")
    )
    assert all(torch.equal(packed[key], plain[key]) for key in plain)
    kept = filling.kept_groups(checkpoint.plan(published, adapter))
    assert len(kept) == 15
    assert "layers.1.mlp.down_proj" not in kept


@pytest.mark.parametrize(("method", "word"), [("gptq", 0x76543210), ("awq", 0x75316420)])
def test_eight_values_lie_in_a_word_as_each_program_puts_them(method: str, word: int, tmp_path: Path) -> None:
    """Written by hand: output or input n has the level n."""
    one = StoredTensor(tmp_path, "", torch.int32, (1, 8) if method == "gptq" else (8, 1), 0, 0)
    zeros = StoredTensor(tmp_path, "", torch.int32, (1, 1), 0, 0)
    scales = StoredTensor(tmp_path, "", torch.float16, (1, 8), 0, 0)
    weight = packing.PackedWeight(packing.Packing(method, -1), one, zeros, scales, None)  # type: ignore[arg-type]
    stored = {
        id(one): torch.full(one.shape, word, dtype=torch.int32),
        id(zeros): torch.zeros((1, 1), dtype=torch.int32),
        id(scales): torch.ones((1, 8), dtype=torch.float16),
    }
    values = packing.PackedValues(weight, lambda part: stored[id(part)])
    ((_, found),) = values.blocks()
    expected = torch.arange(8.0).expand(8, 8)
    assert torch.equal(found, expected if method == "gptq" else expected.t())


def test_zeros_of_the_first_format_are_stored_less_one() -> None:
    """One is subtracted from the whole int32, so that a zero of 0 takes from the next."""
    one = packed_files.Rounded(
        np.zeros((8, 8), np.int64), np.array([[0, 8, 15, 1, 0, 0, 3, 8]]), np.ones((1, 8), np.float16), np.zeros(8)
    )
    written = packed_files.as_gptq("x", one, first_format=True, with_index=False)
    parts = {part: torch.from_numpy(np.ascontiguousarray(written[f"x.{part}"])) for part in ("qweight", "qzeros")}
    stored = {part: StoredTensor(Path(), part, each.dtype, tuple(each.shape), 0, 0) for part, each in parts.items()}
    scales = StoredTensor(Path(), "scales", torch.float16, (1, 8), 0, 0)
    parts["scales"] = torch.ones((1, 8), dtype=torch.float16)
    weight = packing.PackedWeight(
        packing.Packing("gptq", -1, zeros_less_one=True), stored["qweight"], stored["qzeros"], scales, None
    )
    assert packing.PackedValues(weight, lambda part: parts[part.key]).zeros_GN.tolist() == one.zeros_GN.tolist()


# Refusals: each by its name, before a weight is read.


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(MappedFile, "blocks", refuse)


def told_of(folder: Path) -> str:
    with pytest.raises(BadModel) as told:
        checkpoint.plan(folder)
    assert told.value.hint
    return told.value.message


@pytest.mark.parametrize(
    ("method", "changes", "told"),
    [
        ("gptq", {"quant_method": "fp8"}, "fp8 has quantised, which are not read. GPTQ"),
        ("gptq", {"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes has quantised, which"),
        ("gptq", {"quant_method": "compressed-tensors"}, "compressed-tensors has quantised, which"),
        ("gptq", {"quant_method": None}, "another program has quantised"),
        ("gptq", {"bits": 8}, "gptq has quantised in 8 bits"),
        ("gptq", {"bits": 3}, "gptq has quantised in 3 bits"),
        ("awq", {"bits": "4"}, "awq has quantised in '4' bits"),
        ("gptq", {"group_size": 0}, "in groups of 0"),
        ("gptq", {"checkpoint_format": "marlin"}, "gptq has quantised for marlin"),
        ("gptq", {"is_marlin_format": True}, "gptq has quantised for marlin"),
        ("gptq", {"pack_dtype": "int16"}, "into int16"),
        ("awq", {"version": "gemv"}, "awq has quantised for gemv"),
        ("awq", {"version": "exllama"}, "awq has quantised for exllama"),
        ("awq", {"version": "marlin"}, "awq has quantised for marlin"),
        ("awq", {"backend": "llm-awq"}, "awq has quantised for llm-awq"),
        ("awq", {"zero_point": False}, "awq has quantised without zeros"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inside", [False, True])
def test_another_way_of_packing(
    method: str, changes: dict[str, object], told: str, inside: bool, tmp_path: Path
) -> None:
    config = checkpoint.read_json(checkpoint.NANO / "config.json")
    packed = config | {"quantization_config": packed_files.facts(method, 64) | changes}
    whole = {"model_type": "qwen2_5_omni", "thinker_config": packed} if inside else packed
    (tmp_path / "config.json").write_text(json.dumps(whole))
    with pytest.raises(BadModel) as raised:
        checkpoint.read_config(tmp_path)
    assert told in raised.value.message
    assert raised.value.hint


Q_PROJ = "thinker.model.layers.2.self_attn.q_proj"
PLAIN_WEIGHT = np.zeros((256, 256), np.float16)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("without", "given", "told"),
    [
        (["qzeros"], {}, f"lacks {Q_PROJ}.qzeros"),
        (["scales"], {}, f"lacks {Q_PROJ}.scales"),
        (["qweight"], {}, f"lacks {Q_PROJ}.qweight"),
        ([], {"weight": PLAIN_WEIGHT}, f"holds {Q_PROJ} twice"),
        (["qweight", "qzeros", "scales"], {"weight": PLAIN_WEIGHT}, f"by half: {Q_PROJ}.weight is a plain weight"),
        ([], {"qweight": np.zeros((256, 64), np.int32)}, "is (4, 32) in"),
        ([], {"qweight": np.zeros((32, 256), np.int32)}, "is (4, 32) in"),
        ([], {"qweight": np.zeros(256, np.int32)}, "no weight packed by awq in 4 bits"),
        ([], {"qweight": np.zeros((256, 32), np.int64)}, "is int64 in"),
        ([], {"scales": np.zeros((2, 256), np.float16)}, "awq in 4 bits with groups of 64 has (4, 256)"),
        ([], {"scales": np.zeros((4, 256), np.int32)}, "expected bf16, fp16 or fp32"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit(
    folder: Path, without: list[str], given: dict[str, npt.NDArray[Any]], told: str
) -> None:
    tensors = packed_files.read_shards(folder)
    for part in without:
        del tensors[f"{Q_PROJ}.{part}"]
    packed_files.write_shards(folder, tensors | {f"{Q_PROJ}.{part}": value for part, value in given.items()})
    assert told in told_of(folder)


def test_a_plain_layer_that_the_config_names_is_read(folder: Path) -> None:
    tensors = packed_files.read_shards(folder)
    for part in ("qweight", "qzeros", "scales"):
        del tensors[f"{Q_PROJ}.{part}"]
    packed_files.write_shards(folder, tensors | {f"{Q_PROJ}.weight": PLAIN_WEIGHT})
    facts = packed_files.facts("awq", 64, modules_to_not_convert=["visual", "layers.2.self_attn"])
    packed_files.set_config(folder, quantization_config=facts)
    assert not checkpoint.load(folder).get_parameter(f"{Q_PROJ}.weight").any()


@pytest.mark.usefixtures("unread")
def test_a_config_of_another_folder(folder: Path) -> None:
    packed_files.set_config(folder, quantization_config=None)
    assert "has no quantization_config" in told_of(folder)
    plain = folder.parent / "plain"
    shutil.copytree(checkpoint.NANO, plain)
    packed_files.set_config(plain, quantization_config=packed_files.facts("awq", 64))
    assert "holds no packed weights; its config.json says that awq" in told_of(plain)


@pytest.mark.usefixtures("unread")
def test_an_order_of_inputs_that_is_missing(folder: Path) -> None:
    packed_files.set_config(folder, quantization_config=packed_files.facts("gptq", 64, desc_act=True))
    assert ".g_idx, without which gptq's weights can't be read" in told_of(folder)


def test_a_group_that_does_not_exist(with_order: Path, tmp_path: Path) -> None:
    folder, tensors = broken(with_order, tmp_path)
    packed_files.write_shards(folder, tensors | {f"{Q_PROJ}.g_idx": tensors[f"{Q_PROJ}.g_idx"] + 1})
    with pytest.raises(BadModel, match="names group 4 of 4"):
        checkpoint.load(folder)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_bias_that_the_model_lacks_may_be_zero_alone(folder: Path, value: float) -> None:
    tensors = packed_files.read_shards(folder)
    name = "thinker.model.layers.0.self_attn.o_proj.bias"
    packed_files.write_shards(folder, tensors | {name: np.full(256, value, np.float16)})
    if value:
        assert f"holds {name}, which Qwen2.5-Omni does not have" in told_of(folder)
    else:
        checkpoint.load(folder)


@pytest.mark.usefixtures("unread")
def test_too_little_memory_for_wide_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100_000_000)
    with pytest.raises(BadModel) as told:
        checkpoint.load(folder)
    assert "--weights int4, which keeps what the folder holds" in told.value.hint
