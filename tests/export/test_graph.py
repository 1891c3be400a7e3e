"""The static graphs select exactly what training's own functions select."""

from __future__ import annotations

import pytest
import torch

from realtime.evidence.tokens import frame_tokens, speech_tokens
from realtime.model.selectors import keep_background
from realtime.model.thinker import EmoThinker
from realtime.model.vision import window_plan
from realtime.towers import torch_runtime as in_torch
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, heard, selected, vision_inputs
from realtime.towers.graph import AudioGraph, VisionGraph
from tests.export.shapes import write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmoThinker:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def frame(rows: int, columns: int, *, focal_share: float, drop: float, seed: int) -> FrameInput:
    """Rows and columns of tokens."""
    generator = torch.Generator().manual_seed(seed)
    focal = torch.rand(rows * columns, generator=generator) < focal_share
    return FrameInput(
        torch.rand(3, rows * 28, columns * 28, generator=generator), focal, drop_noise(focal, seed=seed), drop
    )


@pytest.mark.parametrize("drop", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("focal_share", [0.0, 0.4, 1.0])
def test_a_mixed_batch_equals_training_frame_by_frame(model: EmoThinker, focal_share: float, drop: float) -> None:
    sizes = [(4, 4), (5, 3), (1, 1), (8, 9)]
    frames = [frame(*size, focal_share=focal_share, drop=drop, seed=index) for index, size in enumerate(sizes)]
    text = torch.randn(5, 64, generator=torch.Generator().manual_seed(9))
    graph = VisionGraph(model.thinker.visual, model.emotion.visual_selector)
    results = selected(graph(*vision_inputs(frames, text).values()))
    for seed, ((rows, columns), given, result) in enumerate(zip(sizes, frames, results, strict=True)):
        plan = window_plan(rows * 2, columns * 2)
        alone = vision_inputs([given], text)
        tower = model.thinker.visual(alone["patches"], alone["positions"], alone["valid"])[0, plan.token_M]
        wanted, offsets = frame_tokens(
            model, tower, columns=columns, focal_N=given.focal_N, faces=(), scene_3=torch.zeros(3), text_QD=text,
            keep_N=keep_background(given.focal_N, drop=drop, seed=seed),
        )  # fmt: skip
        torch.testing.assert_close(result.tokens_ND, wanted, atol=2e-5, rtol=1e-5)
        assert torch.equal(result.order_N, offsets[1] * columns + offsets[2])
        assert result.n_focal == int(given.focal_N.sum())


def test_padding_of_the_text_changes_nothing(model: EmoThinker) -> None:
    graph = VisionGraph(model.thinker.visual, model.emotion.visual_selector)
    inputs = vision_inputs([frame(4, 4, focal_share=0.3, drop=0.2, seed=3)], torch.randn(5, 64))
    padded = dict(inputs)
    padded["text"] = torch.cat([inputs["text"], torch.randn(1, 3, 64)], 1)
    padded["text_valid"] = torch.cat([inputs["text_valid"], torch.zeros(1, 3, dtype=torch.int32)], 1)
    torch.testing.assert_close(graph(*padded.values())[0], graph(*inputs.values())[0])


@pytest.mark.parametrize("n_frames", [3, 30, 199, 200, 433])
def test_speech_equals_training(model: EmoThinker, n_frames: int) -> None:
    mel = torch.randn(128, n_frames, generator=torch.Generator().manual_seed(n_frames))
    text = torch.randn(5, 64)
    inputs = audio_inputs(mel, text)
    graph = AudioGraph(model.thinker.audio_tower, model.emotion.audio_extractor)
    tower = heard(model.thinker.audio_tower(inputs["mel"], inputs["n_frames"]), inputs["n_frames"])
    wanted, _ = speech_tokens(model, tower, text_QD=text, measures_11=torch.zeros(11), verdict_7=torch.zeros(7))
    torch.testing.assert_close(heard(graph(*inputs.values())[0], inputs["n_frames"]), wanted)


def test_without_room_for_a_cuda_graph_the_plain_one_answers_and_room_is_made(
    model: EmoThinker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator fails where it would on a GPU, without the GPU."""
    towers = in_torch.TorchTowers(model)
    mel, text = torch.randn(2, 128, 200), torch.randn(5, 64)
    given = {"mel": mel, "n_frames": torch.full((2,), 200, dtype=torch.int32), "text": text.expand(2, -1, -1),
             "text_valid": torch.ones(2, 5, dtype=torch.int32)}  # fmt: skip
    plain = list(towers.audio(given))
    captured: list[bool] = []

    class Graph(in_torch.Captured):
        def __init__(self, *_: object) -> None:
            captured.append(len(captured) != 1)
            if not captured[-1]:
                raise torch.OutOfMemoryError("CUDA out of memory")

        def replay(self, _: list[torch.Tensor]) -> list[torch.Tensor]:
            return plain

    monkeypatch.setattr(in_torch, "Captured", Graph)
    towers._captures = True
    assert towers.audio(given) is plain
    one = {name: value[:1] for name, value in given.items()}
    torch.testing.assert_close(list(towers.audio(one)), [output[:1] for output in plain])
    assert not towers._captured
    assert towers.audio(one) is plain, "captured once there is room"
    assert captured == [True, False, True]
