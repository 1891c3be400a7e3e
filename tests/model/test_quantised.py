"""Products whose weights are kept in 8 or 4 bits alone, and a checkpoint that is read straight into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from export import random_weights
from realtime.engine import loading
from realtime.errors import BadModel
from realtime.model import checkpoint, filling, products, shards
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.products import Quantised, Weights, quantised_bytes
from realtime.records import Question, SpeechSegment, Window
from realtime.towers.torch_runtime import graphs_of
from tests.card import Card, inserted

SMALLER = {
    "text_config": {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "num_key_value_heads": 1, "vocab_size": 496},
    "vision_config": {"depth": 1, "hidden_size": 64, "num_heads": 2, "intermediate_size": 96, "out_hidden_size": 256},
    "audio_config": {"encoder_layers": 1, "d_model": 64, "encoder_attention_heads": 2, "encoder_ffn_dim": 96,
                     "output_dim": 256},
}  # fmt: skip
LARGEST_ERROR = {"int8": 0.015, "int4": 0.12}
"Of a product with normal weights. Half a step of 254 or 15 over six deviations, and bf16."


def drawn(n_outputs: int, n_inputs: int) -> torch.Tensor:
    return torch.randn(n_outputs, n_inputs, generator=torch.Generator().manual_seed(n_outputs))


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("n_rows", [1, 3, 8, 9, 40])
def test_a_product_is_the_full_one_within_the_steps_of_its_format(
    kind: Weights, dtype: torch.dtype, n_rows: int
) -> None:
    # Several blocks of rows, the last one short; inputs far from zero in the mean, as after a gate.
    weight = drawn(20_016, 512).to(dtype)
    product = Quantised(weight, kind)
    x = (drawn(n_rows, 512) + 0.3).to(dtype)
    plus = drawn(1, 20_016)[0].to(dtype)
    expected = x.float() @ weight.float().t() + plus.float()
    out = product(x, plus)
    assert out.dtype == dtype
    assert float((out.float() - expected).norm() / expected.norm()) < LARGEST_ERROR[kind]
    assert product.nbytes == quantised_bytes(20_016, 512, kind)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize(("n_inputs", "group"), [(256, 128), (576, 64), (96, 32)])
def test_weights_on_the_grid_are_kept_as_they_are(kind: Weights, n_inputs: int, group: int) -> None:
    """A control of the grid itself: its zero, its step, the order of the bits, and groups that divide 576 (SmolLM2)."""
    steps = torch.randint(0, 16, (64, n_inputs), generator=torch.Generator().manual_seed(0))
    steps[:, ::group], steps[:, 1::group] = 0, 15
    weight = (steps - 8).float() / 8 if kind == "int4" else (steps * 16 - 120).clamp(-127, 127).float() / 128
    if kind == "int8":
        weight[:, 0] = 127 / 128
    out = Quantised(weight, kind)(torch.eye(n_inputs))
    torch.testing.assert_close(out, weight.t(), atol=0.004, rtol=0.004)
    assert Quantised(weight, kind).nbytes == quantised_bytes(64, n_inputs, kind)


def test_a_shape_that_the_kernel_does_not_take_is_told() -> None:
    with pytest.raises(BadModel, match="multiples of 16 × 32") as told:
        Quantised(drawn(16, 100), "int4")
    assert "int8" in told.value.hint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "3B"
    random_weights.write(path, "3B", whole=True, smaller=SMALLER)
    return path


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_checkpoint_is_read_into_few_bits_and_nothing_beside(folder: Path, kind: Weights) -> None:
    full = checkpoint.load(folder, dtype=torch.bfloat16, joined=True)
    few = checkpoint.load(folder, dtype=torch.bfloat16, kept=kind)
    assert (few.dtype, few.device) == (torch.bfloat16, torch.device("cpu"))
    quantised = few.thinker.model.quantised
    assert len(quantised) == 4 * 2 + 1
    kept = sum(each.nbytes for each in few.state_dict().values() if not each.is_meta)
    assert kept + sum(product.nbytes for product in quantised.values()) == filling.weights_bytes(
        full, torch.bfloat16, kind
    )
    outs = []
    for model in (full, few):
        language = FusedLanguageModel(model.thinker.model, model.thinker.lm_head)
        cache = KVCache(language.config, 32, dtype=torch.bfloat16, device=model.device)
        x = model.embed(torch.arange(20))
        hidden = language.extend(x, *language.text_rotary(0, 20), cache)
        step = language.extend(x[:1], *language.text_rotary(20, 1), cache)
        outs.append(language.logits(torch.cat([hidden, step])).float())
    towers = []
    for model in (full, few):
        vision, audio = graphs_of(model)
        text = torch.ones(1, 3, 256, dtype=torch.bfloat16)
        valid = torch.ones(1, 3, dtype=torch.int32)
        sound = audio(drawn(128, 200)[None].to(torch.bfloat16), torch.tensor([200], dtype=torch.int32), text, valid)
        patches = drawn(64, 1176)[None].to(torch.bfloat16)
        seen = vision.tower(patches, torch.zeros(1, 64, 2, dtype=torch.int32), torch.ones(1, 64, dtype=torch.int32))
        towers.append(torch.cat([sound[0].flatten(), seen.flatten()]).float())
    assert 0 < float((towers[0] - towers[1]).norm() / towers[0].norm()) < 2 * LARGEST_ERROR["int8"]
    # The errors of nine products add up.
    assert 0 < float((outs[0] - outs[1]).norm() / outs[0].norm()) < 2 * LARGEST_ERROR[kind]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what lies where")
def test_embeddings_in_few_bits_stay_in_their_file_on_a_cpu(folder: Path) -> None:
    model, full = (checkpoint.load(folder, dtype=torch.bfloat16, kept=kind) for kind in ("int4", "full"))
    embeddings = model.thinker.model.embed_tokens.weight
    assert torch.equal(embeddings, full.thinker.model.embed_tokens.weight)
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = {tuple(int(end, 16) for end in line[0].split("-")): line[-1] for line in lines}
    at = next(name for (first, last), name in spans.items() if first <= embeddings.data_ptr() < last)
    assert Path(at).parent == folder
    # Of another type than the file's they are read, as everything else.
    assert checkpoint.load(folder, kept="int4").thinker.model.embed_tokens.weight.dtype == torch.float32


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_nano_labels_and_writes_in_few_bits(kind: Weights) -> None:
    full, few = (loading.load("nano", engine="torch", weights=each) for each in ("full", kind))
    sound = SpeechSegment(0.0, 1.0, 0.1 * drawn(16_000, 1)[:, 0].numpy())
    probabilities = []
    for model in (full, few):
        speech = model.perceiver(0).hear(sound)
        window = Window(0, 0.0, 1.0, (), (speech,))
        label = model.thinker.fast_label(window, Question(labels=model.labels))
        probabilities.append(label.probabilities)
    apart = max(abs(probabilities[0][name] - probabilities[1][name]) for name in probabilities[0])
    assert 0 < apart < (0.05 if kind == "int8" else 0.3)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with inserted(monkeypatch) as card:
        yield card


@pytest.mark.parametrize("n_inputs", [256, 576, 96])
def test_four_bits_on_a_card_are_those_of_the_cpu(card: Card, n_inputs: int) -> None:
    """576 (SmolLM2) is no multiple of the 128 inputs that the kernel takes at most at a time."""
    weight, x = drawn(64, n_inputs), drawn(3, n_inputs)
    out = Quantised(weight.to("cuda"), "int4")(x.to("cuda"))
    torch.testing.assert_close(out.cpu(), Quantised(weight, "int4")(x), atol=0.05, rtol=0.02)


def test_a_card_that_is_too_old_for_four_bits_is_named(folder: Path, card: Card) -> None:
    card.capability = (7, 5)
    with pytest.raises(BadModel, match=r"SM 7\.5\) has no products in 4 bits") as told:
        checkpoint.load(folder, dtype=torch.float16, device="cuda", kept="int4")
    assert "int8" in told.value.hint


class Compiler:
    """What `torch.compile` hands graphs to. It counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
        self.n_compiled = 0
        self._fault, compiled = fault, torch.compile
        monkeypatch.setattr(torch, "compile", lambda function, **how: compiled(function, backend=self._take, **how))

    def _take(self, graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        if self._fault is not None:
            raise self._fault
        self.n_compiled += 1
        return graph.forward


SHAPES = [(32, 48), (32, 32), (32, 96), (64, 32), (32, 160)]
"Five products, as a language model with a head has them."


def test_every_shape_of_a_decode_step_has_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, kernel = Compiler(monkeypatch), products.GpuKernel()
    for _ in range(2):
        for n_inputs, n_outputs in SHAPES:
            weight, scale = drawn(n_inputs, n_outputs).to(torch.int8), drawn(1, n_outputs)[0]
            for n_rows in range(1, 9):
                x = drawn(n_rows, n_inputs)
                torch.testing.assert_close(kernel(x, weight, scale), products.widened(x, weight, scale))
    assert compiler.n_compiled == len(SHAPES) * len(products.ROWS)


def test_without_a_compiler_products_are_slow_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Compiler(monkeypatch, RuntimeError("Failed to find C compiler."))
    kernel, weight, scale = products.GpuKernel(), drawn(32, 48).to(torch.int8), drawn(1, 48)[0]
    for n_rows in (1, 2):
        x = drawn(n_rows, 32)
        torch.testing.assert_close(kernel(x, weight, scale), products.widened(x, weight, scale))
    told = [record.message for record in caplog.records if record.name == products.__name__]
    assert ["install gcc" in each for each in told] == [True]


@torch.inference_mode()
def test_the_head_is_widened_and_read_block_by_block(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = drawn(1_000, 96), drawn(20, 96)
    product = Quantised(weight, "int8")
    whole, widened = product(x), products.widened
    sizes: list[int] = []

    def noted(x_TD: torch.Tensor, weight_DN: torch.Tensor, scale_N: torch.Tensor) -> torch.Tensor:
        sizes.append(weight_DN.shape[1])
        return widened(x_TD, weight_DN, scale_N)

    head = checkpoint.load(folder, kept="int8").thinker.model.quantised["lm_head"]
    monkeypatch.setattr(shards, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(products, "WIDENED_VALUES", 96 * 128)
    monkeypatch.setattr(products, "widened", noted)
    torch.testing.assert_close(product(x), whole)
    assert sizes == [128] * 7 + [104]
    in_blocks = checkpoint.load(folder, kept="int8").thinker.model.quantised["lm_head"]
    eye = torch.eye(256)[:4]
    assert torch.equal(in_blocks(eye), head(eye))
