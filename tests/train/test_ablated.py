"""A row of the ablation table is trained on the evidence that it is measured with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings, RealtimeError
from realtime.records import Question, VideoFrame
from realtime.sample import SAMPLE
from train.evaluate import trained_row
from train.evaluation.retrained import as_markdown, table
from train.evaluation.variants import WHOLE, Variant, VariedPerception, named
from train.readers.perceived import Perceived, watch
from train.tuning.ablated import TRAINABLE, focal_of, without
from train.tuning.clip_tokens import ClipTokens
from train.tuning.run import refuse_other_data

ASK = Question()


@pytest.fixture(scope="module")
def clip(nano: LoadedModel) -> Perceived:
    """A face and a sentence of the sample."""
    return watch(SAMPLE, nano, start_s=0.0, end_s=6.0)


def sizes(nano: LoadedModel, clip: Perceived, variant: Variant) -> tuple[list[int], list[int]]:
    """Tokens of each frame and utterance in training."""
    text = nano.thinker.query_embeddings(ASK)
    made = ClipTokens(nano.weights, cues_off=0.0, variant=variant).make(without(clip, variant), text, draw=0)
    return [each.x_ND.shape[0] for each in made.frames], [each.x_ND.shape[0] for each in made.speech]


def served_sizes(nano: LoadedModel, clip: Perceived, variant: Variant) -> list[int]:
    """Tokens of each frame in evaluation."""
    config = nano.weights.config
    perception = VariedPerception(nano, variant, ASK)
    try:
        seen = [perception.see(VideoFrame(frame.evidence.at_s, frame.rgb_HW3)) for frame in clip.frames]
    finally:
        perception.close()
        nano.weights.config = config
    return [each.tokens_ND.shape[0] for each in seen if each is not None]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINABLE)
def test_a_row_has_as_many_tokens_in_training_as_in_evaluation(nano: LoadedModel, clip: Perceived, name: str) -> None:
    variant = named(name)
    frames, speech = sizes(nano, clip, variant)
    # Training has the pictures in 256 steps, by which an adaptive share may round to another token.
    off = 1 if variant.adaptive else 0
    assert frames == pytest.approx(served_sizes(nano, clip, variant), abs=off)
    assert bool(speech) == ("A" in variant.parts)


@torch.inference_mode()
def test_parts_and_margins_change_what_is_learnt_from(nano: LoadedModel, clip: Perceived) -> None:
    whole, _ = sizes(nano, clip, WHOLE)
    focal, background = (sizes(nano, clip, named(name))[0] for name in ("F", "B"))
    faces = [bool(frame.evidence.faces) for frame in clip.frames]
    assert any(faces)
    for few, back, every, face in zip(focal, background, whole, faces, strict=True):
        assert 0 < few < every
        assert 0 < back <= every
        assert (back < every) == face
    assert sizes(nano, clip, named("A"))[0] == []
    frame = next(frame for frame in clip.frames if frame.evidence.faces)
    own = nano.weights.config.emotion.dilation_patches
    assert torch.equal(focal_of(frame, replace(WHOLE, dilation=own)), frame.focal_N)
    assert int(focal_of(frame, named("λ = 16")).sum()) > int(frame.focal_N.sum())


def test_an_adapter_is_measured_as_the_row_that_it_was_trained_as(tmp_path: Path) -> None:
    assert trained_row(None) is None
    assert trained_row(tmp_path) is None
    for row, expected in ((WHOLE.name, None), ("F + B", "F + B"), ("something", None)):
        (tmp_path / "run.json").write_text(json.dumps({"variant": row}))
        assert trained_row(tmp_path) == expected


def test_a_run_goes_on_with_its_own_row_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    described = {"model": "nano", "data_sha256": "0", "seed": 0, "stage": "cot-lora"}
    (tmp_path / "run.json").write_text(json.dumps(described))
    refuse_other_data(tmp_path, described | {"variant": WHOLE.name}, fresh=False)
    with pytest.raises(RealtimeError, match=r"another variant \(F \+ B \+ A, now F\)"):
        refuse_other_data(tmp_path, described | {"variant": "F"}, fresh=False)


def finished(work: Path, name: str, right: str) -> None:
    folder = work / name.replace(" ", "_")
    for part in ("adapter", "conflict"):
        (folder / part).mkdir(parents=True)
    run = {"variant": name, "model": "nano", "n_records": 3, "settings": {"steps": 40, "seed": 0}}
    (folder / "adapter" / "run.json").write_text(json.dumps(run))
    rows = [
        {"key": str(at), "truth": "sad", "answer": "sad" if hit == "1" else "happy"} for at, hit in enumerate(right)
    ]
    (folder / "conflict" / "answers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_rows_are_compared_with_the_whole_model_on_the_same_samples(tmp_path: Path) -> None:
    finished(tmp_path, "F", "1100")
    with pytest.raises(BadSettings, match="no whole model"):
        table(tmp_path)
    finished(tmp_path, WHOLE.name, "1110")
    finished(tmp_path, "A", "10")  # not all answered yet
    result = table(tmp_path)
    rows = result["benchmarks"]["conflict"]
    assert list(rows) == ["F", WHOLE.name]
    assert rows["F"]["right"] == 0.5
    assert rows["F"]["minus_whole"]["war"] == -0.25
    assert (result["model"], result["settings"]["steps"]) == ("nano", 40)
    assert "| F | 4 | 0.500 |" in as_markdown(result)


def scored(path: Path, rows: Sequence[tuple[str, float]]) -> None:
    """Answers between two labels, each with its truth and the probability of "sad"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = [
        {"key": str(at), "truth": truth, "answer": "sad" if sad > 0.5 else "happy"}
        | ({"fast_probabilities": {"happy": 1 - sad, "sad": sad}} if sad else {})
        for at, (truth, sad) in enumerate(rows)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in told))


def test_a_rows_own_bias_is_fitted_on_validation_people(tmp_path: Path) -> None:
    # This row says "happy" far too often, but says it less surely where it is wrong. The last sample showed nothing.
    shown = [("sad", 0.3), ("happy", 0.1), ("sad", 0.3), ("happy", 0.0)]
    finished(tmp_path, "F", "0000")
    finished(tmp_path, WHOLE.name, "1111")
    scored(tmp_path / "F" / "conflict" / "answers.jsonl", shown)
    whole = tmp_path / WHOLE.name.replace(" ", "_")
    scored(whole / "conflict" / "answers.jsonl", [("sad", 0.9), ("happy", 0.1), ("sad", 0.9), ("happy", 0.1)])
    scored(tmp_path / "F" / "prior" / "agree" / "answers.jsonl", [("sad", 0.3), ("happy", 0.1)] * 20)
    assert "prior" not in table(tmp_path)["benchmarks"]["conflict"]["F"], "the whole has none to compare with"
    scored(whole / "prior" / "agree" / "answers.jsonl", [("sad", 0.9), ("happy", 0.1)] * 20)
    result = table(tmp_path)
    row = result["benchmarks"]["conflict"]["F"]
    assert (row["right"], row["minus_whole"]["war"]) == (0.5, -0.5)
    assert (row["prior"]["right"], row["prior"]["minus_whole"]["war"]) == (1.0, 0.0)
    assert list(result["benchmarks"]) == ["conflict"], "answers of validation people are no benchmark"
    assert as_markdown(result).count("| F | 4 |") == 2
