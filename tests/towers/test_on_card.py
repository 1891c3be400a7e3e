"""Both towers on the stand-in for a GPU (`tests/card.py`): CUDA graphs, and TensorRT's path, against the CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from export import trt
from export.onnx import example
from realtime.errors import EngineMissing
from realtime.model import checkpoint
from realtime.towers import choice, tensorrt_runtime, torch_runtime
from realtime.towers.artifact import Artifact, EngineMismatch, file_sha256
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, heard, selected, vision_inputs
from realtime.towers.choice import Towers
from realtime.towers.tensorrt_runtime import TensorRtTowers
from realtime.towers.torch_runtime import TorchTowers, graphs_of
from tests.card import Card, inserted
from tests.export.shapes import write_checkpoint
from tests.towers.tensorrt_stand_in import Engine, Library, Plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(path)
    return path


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with inserted(monkeypatch) as card:
        yield card


def text(n_words: int) -> Tensor:
    return torch.randn(n_words, 64, generator=torch.Generator().manual_seed(n_words))


def frames(n: int, *, n_words: int = 7, rows: int = 4, columns: int = 8) -> dict[str, Tensor]:
    made = []
    for seed in range(n):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(3, rows * 28, columns * 28, generator=generator)
        focal = torch.rand(rows * columns, generator=generator) < 0.3
        made.append(FrameInput(image, focal, drop_noise(focal, seed=seed), 0.2 * (seed % 2)))
    return vision_inputs(made, text(n_words))


def sound(n_mel: int, *, n_words: int = 7) -> dict[str, Tensor]:
    return audio_inputs(torch.randn(128, n_mel, generator=torch.Generator().manual_seed(n_mel)), text(n_words))


GIVEN = (
    ("vision", frames(1)), ("audio", sound(150)), ("vision", frames(3, rows=8)), ("audio", sound(700, n_words=3)),
    ("vision", frames(1)), ("vision", frames(5, n_words=3, columns=4)), ("audio", sound(150)),
)  # fmt: skip


def results(towers: Towers) -> list[list[Tensor]]:
    """Tokens and their order, of each frame and utterance."""
    found: list[list[Tensor]] = []
    for tower, inputs in GIVEN:
        outputs = getattr(towers, tower)(inputs)
        if tower == "vision":
            found += [[frame.tokens_ND.float().cpu(), frame.order_N] for frame in selected(outputs)]
        else:
            found.append([heard(outputs[0], inputs["n_frames"]).float().cpu()])
    return found


def assert_same(ours: list[list[Tensor]], theirs: list[list[Tensor]]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)


def test_cuda_graphs_of_the_towers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = results(TorchTowers(checkpoint.load(folder)))
    with inserted(monkeypatch) as card:
        towers = TorchTowers(checkpoint.load(folder, device="cuda"))
        for _ in range(2):
            assert_same(results(towers), expected)
        assert card.n_captures == 5


def test_inputs_wait_in_pinned_memory_until_they_are_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in raises where the host writes over what the GPU has not read yet."""
    darker = {name: value * 0.5 if name == "patches" else value for name, value in frames(1).items()}
    plain = TorchTowers(checkpoint.load(folder))
    expected = [plain.vision(inputs)[0] for inputs in (frames(1), darker)]
    with inserted(monkeypatch):
        towers = TorchTowers(checkpoint.load(folder, device="cuda"))
        ours = [towers.vision(inputs)[0] for inputs in (frames(1), darker)]
        for mine, wanted in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine.cpu(), wanted)


def test_the_graph_that_is_used_least_goes_first(folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_runtime, "MAX_CAPTURED", 2)
    towers = TorchTowers(checkpoint.load(folder, device="cuda"))
    for n_words in range(2, 6):
        towers.vision(frames(1))
        towers.vision(frames(1, n_words=n_words))
    assert card.n_captures == 5


def planned(
    folder: Path, out: Path, *, batches: Sequence[int] = (1, 4), windows: int = 4, words: int = 16
) -> tuple[Artifact, Library]:
    """An artifact of plans that stand for the graphs of the checkpoint."""
    config = checkpoint.read_config(folder)
    plans, towers, files = {}, {}, {}
    vision, audio = graphs_of(checkpoint.load(folder, device="cuda"))
    for tower, graph, outputs in (("vision", vision, vision.outputs), ("audio", audio, audio.outputs)):
        profiles = trt.profiles(config, tower, batches, windows=windows, words=words)
        kinds = {name: value.dtype for name, value in example(config, tower, torch.float32).items()}
        content = f"plan of {tower}".encode()
        (out / f"{tower}.engine").write_bytes(content)
        plans[content] = Plan(graph, kinds, outputs, profiles)
        towers[tower] = {"file": f"{tower}.engine", "profiles": profiles}
        files[f"{tower}.engine"] = {"sha256": file_sha256(out / f"{tower}.engine")}
    made = Artifact(
        folder=out, kind="trt", model="small", source_sha256="", precision="fp32", opset=20, has_text=True,
        versions={"tensorrt": "10.9.0"}, files=files, towers=towers, compute_capability="9.0",
    )  # fmt: skip
    return made, Library(plans)


def test_tensorrt(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call, shape, type, address and order of streams is checked by the stand-in."""
    expected = results(TorchTowers(checkpoint.load(folder)))
    with inserted(monkeypatch) as card:
        made, library = planned(folder, tmp_path)
        monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: library)
        towers = TensorRtTowers(made)
        for _ in range(2):
            assert_same(results(towers), expected)
        assert card.n_captures == len(library.contexts)
        assert all(context.n_launches == 2 for context in library.contexts)


def test_a_plan_of_other_sizes_than_its_manifest_tells_is_named(
    folder: Path, tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = planned(folder, tmp_path)
    _, library = planned(folder, tmp_path, batches=(2, 8))
    monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: library)
    with pytest.raises(EngineMismatch, match="sizes of profile 0 that its manifest tells"):
        TensorRtTowers(made).vision(frames(1))


def test_a_card_without_room_for_a_plan_is_named(
    folder: Path, tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, library = planned(folder, tmp_path)
    monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: library)
    monkeypatch.setattr(Engine, "create_execution_context", lambda engine: None)
    with pytest.raises(EngineMissing, match="no memory left"):
        TensorRtTowers(made).vision(frames(1))


@pytest.mark.parametrize(("fp16_s", "torch_s", "taken"), [(1.0, 2.0, "fp16"), (4.0, 2.0, "torch"), (None, 9.0, "fp32")])
def test_auto_takes_the_fastest_that_runs(
    folder: Path,
    tmp_path: Path,
    card: Card,
    monkeypatch: pytest.MonkeyPatch,
    fp16_s: float | None,
    torch_s: float,
    taken: str,
) -> None:
    """And not the first in a list. A plan that does not run is left out."""
    made, library = planned(folder, tmp_path)
    quick = replace(made, precision="fp16")
    monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: library)
    monkeypatch.setattr(choice.Checkpoint, "exported", lambda checkpoint: ([quick, made], ""))
    now_s = 0.0

    class Timed:
        def __init__(self, took_s: float | None) -> None:
            self.took_s = took_s

        def vision(self, inputs: object) -> list[Tensor]:
            nonlocal now_s
            if self.took_s is None:
                raise ZeroDivisionError("a driver's own kind of error")
            now_s += self.took_s
            return []

        audio = vision

    monkeypatch.setattr(choice, "TorchTowers", lambda model: Timed(torch_s))
    monkeypatch.setattr(
        tensorrt_runtime, "TensorRtTowers", lambda made: Timed(fp16_s if made.precision == "fp16" else 3.0)
    )
    given = choice.Checkpoint(checkpoint.load(folder, device="cuda"), folder)
    _, reason = choice.fastest_on_gpu(given, lambda: now_s)
    took_s = {"fp16": fp16_s, "torch": torch_s, "fp32": 3.0}[taken]
    assert taken in reason.split(";")[0]
    assert took_s is not None
    assert f"{2 * took_s * 1000:.1f} ms" in reason


def test_auto_on_a_card_without_plans_is_torch(
    folder: Path, tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    towers, reason = choice.choose("auto", choice.Checkpoint(checkpoint.load(folder, device="cuda"), folder))
    assert isinstance(towers, TorchTowers)
    assert reason == "torch (cuda, float32; trt towers of this checkpoint have not been exported)"


def test_auto_runs_plans_on_a_card(folder: Path, tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    made, library = planned(folder, tmp_path, windows=16, words=choice.USUAL_WORDS)
    monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: library)
    monkeypatch.setattr(choice.Checkpoint, "exported", lambda checkpoint: ([made], ""))
    given = choice.Checkpoint(checkpoint.load(folder, device="cuda"), folder)
    clock = itertools.chain([0.0, 2.0] * 6, itertools.repeat(0.0))
    towers, reason = choice.fastest_on_gpu(given, lambda: next(clock))
    assert isinstance(towers, TensorRtTowers)
    assert reason.startswith("trt (fp32, opset 20, SM 9.0; the fastest here")


def test_without_room_for_a_graph_the_towers_run_without_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is full while sizes are captured, and has room for the plain operations after that."""
    expected = results(TorchTowers(checkpoint.load(folder)))
    with inserted(monkeypatch) as card:
        towers = TorchTowers(checkpoint.load(folder, device="cuda"))
        towers.vision(frames(1))
        card.out_of_memory = lambda func: card.capture is not None
        assert_same(results(towers), expected)
        assert card.n_captures > 1
