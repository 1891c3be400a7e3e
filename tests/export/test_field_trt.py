"""Field report: a question that the API takes needed 170 tokens, and the plans held 128, so every frame failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export import onnx as onnx_export
from export import trt
from realtime.model import checkpoint
from realtime.model.config import ModelConfig
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.records import MAX_LABEL_CHARS, MAX_LABELS, MAX_QUERY_CHARS, MAX_QUERY_TOKENS, Question
from realtime.towers import tensorrt_runtime
from realtime.towers.artifact import Artifact, EngineMismatch
from realtime.towers.tensorrt_runtime import PlanRunner, fits_here


@pytest.fixture(scope="module")
def nano() -> Path:
    return checkpoint.locate("nano")


@pytest.fixture(scope="module")
def config(nano: Path) -> ModelConfig:
    return checkpoint.read_config(nano)


@pytest.mark.parametrize("letter", ["e", "é", "字", "𠜎", "க"])
def test_the_longest_question_that_is_taken_fits_the_profile(nano: Path, letter: str) -> None:
    labels = tuple(letter * (MAX_LABEL_CHARS - n) for n in range(MAX_LABELS))
    text = prompt.query_text("nano", Question(letter * MAX_QUERY_CHARS, labels))
    n_tokens = len(Vocabulary.read(nano).ids(text))
    assert n_tokens <= len(text.encode()) <= MAX_QUERY_TOKENS <= onnx_export.MAX_WORDS


def profiles(config: ModelConfig, tower: str) -> list[trt.Profile]:
    return trt.profiles(config, tower, (1, 4), windows=4, words=trt.WORDS)


@pytest.mark.parametrize("tower", ["vision", "audio"])
def test_the_last_profile_holds_the_longest_question(config: ModelConfig, tower: str) -> None:
    made = profiles(config, tower)
    sizes = [(profile["text"][0], profile["text"][1]) for profile in made]
    assert sizes == [(1, trt.WORDS), (4, trt.WORDS), (1, MAX_QUERY_TOKENS)]


def artifact(towers: dict[str, object]) -> Artifact:
    return Artifact(
        folder=Path("trt-fp16"), kind="trt", model="nano", source_sha256="", precision="fp16", opset=23, has_text=True,
        versions={"tensorrt": "11.0"}, files={}, towers=towers, compute_capability="9.0",
    )  # fmt: skip


def test_a_plan_with_too_small_a_profile_is_refused_at_start(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(tensorrt_runtime, "runtime_version", lambda _: "11.0")
    now = artifact({tower: {"profiles": profiles(config, tower)} for tower in ("vision", "audio")})
    before = artifact({tower: {"profiles": profiles(config, tower)[:2]} for tower in ("vision", "audio")})
    build = "realtime export trt --model nano"
    assert fits_here([before, now], build=build) == now
    with pytest.raises(EngineMismatch, match=r"questions of up to 128 tokens, and people may ask one of 1976") as told:
        fits_here([before], build=build)
    assert build in told.value.hint
    assert fits_here([replace(before, has_text=False)], build=build).has_text is False


class Recorded:
    """A bucket that notes which profile was run with how many rows."""

    runs: list[tuple[int, int]] = []  # noqa: RUF012

    def __init__(self, trt: object, engine: object, index: int, profile: object) -> None:
        self._index = index

    def run(self, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        self.runs.append((self._index, inputs["text"].shape[0]))
        return [inputs["text"][:, :1]]


@pytest.mark.parametrize(
    ("batch", "n_words", "runs"),
    [(1, 5, [(0, 1)]), (3, 128, [(1, 3)]), (5, 128, [(1, 4), (0, 1)]), (3, 170, [(2, 1)] * 3), (1, 1976, [(2, 1)])],
)
def test_long_questions_run_in_their_own_profile_and_others_as_before(
    config: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    n_words: int,
    runs: list[tuple[int, int]],
) -> None:
    monkeypatch.setattr(tensorrt_runtime, "Bucket", Recorded)
    monkeypatch.setattr(Recorded, "runs", [])
    runner = PlanRunner.__new__(PlanRunner)
    runner._trt = runner._engine = None
    runner._profiles, runner._buckets = profiles(config, "audio"), {}
    inputs = {
        name: torch.zeros(batch, n_words, *shape[2:])
        if name in ("text", "text_valid")
        else torch.zeros(batch, *shape[1:])
        for name, shape in runner._profiles[0].items()
    }
    (out,) = runner(inputs)
    assert out.shape[0] == batch
    assert Recorded.runs == runs
    with pytest.raises(EngineMismatch, match="No profile of the plan has room"):
        runner({**inputs, "text": torch.zeros(1, 1977, inputs["text"].shape[2])})
