"""Recordings and pictures through the whole pipeline, with nano: rows, switches, and files that are no media."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.asking.question import question_of
from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.errors import UnknownLabels
from realtime.reason.prompt import UNSURE
from realtime.records import LABELS, Label, ReasonDone, SpeechSegment, VideoFrame, Window
from tests.ingest.media_files import voice
from train.evaluation.answering import ModelUnderTest, answer_with, begun, perceive
from train.evaluation.experts import expert_probabilities
from train.evaluation.report import report
from train.evaluation.samples import Sample
from train.evaluation.variants import TABLE, Variant, named
from train.readers import camer
from train.readers.clip import Clip
from train.readers.perceived import measuring


def of_clip(key: str, path: Path, start_s: float | None = None, end_s: float | None = None) -> Sample:
    clip = Clip(key, path, "happy", start_s=start_s, end_s=end_s, folds=frozenset({2}), reference="They smile.")
    return Sample(key, "happy", str(path), {"sex": "female"}, clip=clip)


@pytest.fixture(scope="module")
def picture() -> Sample:
    skimage = pytest.importorskip("skimage.data")
    return Sample("p", "happy", "p", {}, frame=VideoFrame(0.0, np.ascontiguousarray(skimage.astronaut())))


@pytest.mark.slow
def test_clips_of_one_recording_are_cut_out_of_it_and_a_broken_file_is_counted(
    nano: LoadedModel, a_recording: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no media")
    samples = [of_clip("first", a_recording, 0.0, 2.5), of_clip("whole", a_recording), of_clip("x", broken)]
    perceived, failed = perceive(nano, ModelUnderTest("nano"), samples, frozenset())
    first, whole = (window for _, window in perceived)
    assert [frame.at_s for frame in first.frames] == [0.0, 1.0, 2.0]
    assert len(whole.frames) == 5
    assert len(first.speech) == len(whole.speech) == 1
    assert [sample.key for sample, _ in failed] == ["x"]
    rows = answer_with(nano, ModelUnderTest("nano"), samples, frozenset({"first"}))
    told = {row["key"]: row for row in rows}
    assert set(told) == {"whole", "x"}
    assert told["x"]["answer"] is None
    assert told["x"]["parse"].startswith("not perceived")
    assert told["whole"]["reference"] == "They smile."
    assert told["whole"]["folds"] == [2]
    assert sum(told["whole"]["probabilities"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_switches_take_away_what_they_say(nano: LoadedModel, picture: Sample) -> None:
    emotion = nano.weights.config.emotion

    def window(variant: Variant) -> int:
        ((_, seen),), _ = perceive(nano, ModelUnderTest("nano", variant=variant), [picture], frozenset())
        return seen.frames[0].tokens_ND.shape[0] if seen.frames else 0

    config = nano.weights.config
    try:
        whole = window(Variant("λ = 0, δ = 0", drop=0.0, dilation=0))
        focal, background = window(Variant("F", "F", dilation=0)), window(Variant("B", "B", dilation=0))
        assert window(Variant("A", "A")) == 0
        assert 0 < focal < whole
        (off,) = (variant.cues for variant in TABLE["Cue tokens"] if variant.name == "no cue tokens")
        silent = window(Variant("no cues", drop=0.0, dilation=0, cues=off))
        assert silent < whole
        random = window(Variant("random", drop=0.5, dilation=0))
        assert window(Variant("attention", drop=0.5, dilation=0, attention=True)) == random < whole
        assert background < whole
    finally:
        nano.weights.config = config
    assert nano.weights.config.emotion == emotion


@pytest.mark.slow
def test_cue_tokens_alone_leave_zeros_where_a_tower_spoke(nano: LoadedModel, picture: Sample) -> None:
    sample = replace(picture, speech=SpeechSegment(0.0, 1.0, voice(1.0)))

    def seen(variant: Variant) -> Window:
        ((_, window),), _ = perceive(nano, ModelUnderTest("nano", variant=variant), [sample], frozenset())
        return window

    config = nano.weights.config
    try:
        whole, alone = seen(Variant("as served", drop=0.2)), seen(named("cue tokens alone"))
    finally:
        nano.weights.config = config
    frames, speech = (whole.frames[0], alone.frames[0]), (whole.speech[0], alone.speech[0])
    pairs = [[each.tokens_ND for each in one] for one in (frames, speech)]
    counts = whole.frames[0].counts
    for (full, cut), n in zip(pairs, (counts.focal + counts.background, len(pairs[1][0]) - 2), strict=True):
        assert full[:n].any(-1).all()
        assert not cut[:n].any()
        assert 0 < len(full) - n < n, "the cue tokens"
        np.testing.assert_array_equal(full[n:], cut[n:])


@pytest.mark.slow
def test_switches_are_thrown_in_half_precision_too(a_recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces and voices are measured in float32 beside such a model. Every row of `small` ended with a type error."""
    monkeypatch.setattr(loading, "cpu_dtype", lambda **_options: torch.bfloat16)
    half = loading.load("nano", engine="torch")
    assert half.instruments is not None
    for variant in (Variant("λ = 0, δ = 0.5", drop=0.5, dilation=0), Variant("attention", drop=0.5, attention=True)):
        asked = ModelUnderTest("nano", variant=variant, chains=False)
        (row,) = answer_with(half, asked, [of_clip("whole", a_recording)])
        assert row["fast"] in LABELS
        assert half.instruments.config.emotion.drop == half.weights.config.emotion.drop == 0.5


@pytest.mark.slow
def test_without_chains_the_answer_is_the_label_that_they_begin_from(nano: LoadedModel, picture: Sample) -> None:
    whole, fast = (answer_with(nano, ModelUnderTest("nano", chains=chains), [picture]) for chains in (True, False))
    assert fast[0]["answer"] == fast[0]["fast"] == whole[0]["fast"]
    assert fast[0]["probabilities"] == fast[0]["fast_probabilities"] == whole[0]["fast_probabilities"]
    assert fast[0].keys() < whole[0].keys()
    assert "sections" not in fast[0]
    found = report("ferplus", "nano", "test", fast)
    assert found["metrics"]["accuracy"] == found["metrics"]["fast_accuracy"] == 1.0
    assert "faithfulness" not in found["metrics"]


@pytest.mark.slow
def test_every_row_of_the_table_answers(nano: LoadedModel, picture: Sample) -> None:
    config = nano.weights.config
    try:
        for variants in TABLE.values():
            (row,) = answer_with(nano, ModelUnderTest("nano", variant=variants[0]), [picture])
            assert row["fast"] in LABELS
            nano.weights.config = config
    finally:
        nano.weights.config = config


@pytest.mark.slow
def test_labels_of_a_set_are_told_as_a_session_tells_them(nano: LoadedModel, picture: Sample) -> None:
    """`worried` of CA-MER got a probability of 1e-74: nano was asked for a softmax over words that it does not know."""
    asked = ModelUnderTest("nano", labels=camer.LABELS)
    question = question_of(None, list(camer.LABELS), tuple(nano.labels))
    ((_, window),), _ = perceive(nano, asked, [picture], frozenset())
    before, steps = nano.thinker.fast_label(window, question), list(nano.thinker.reason(window, question))
    after = next(step for step in steps if isinstance(step, Label))
    done = next(step for step in steps if isinstance(step, ReasonDone))
    (row,) = answer_with(nano, asked, [picture])
    assert row["fast_probabilities"] == pytest.approx(before.probabilities, abs=1e-4)
    assert row["probabilities"] == pytest.approx(after.probabilities, abs=1e-4)
    assert row["told"] == done.answer.label
    assert set(row["probabilities"]) == {*camer.LABELS, UNSURE}
    assert row["probabilities"]["worried"] > 1e-9
    assert row["answer"] == row["fast"] == row["judged"] == "happy"


def test_labels_that_the_model_knows_no_emotion_for_are_refused(nano: LoadedModel, picture: Sample) -> None:
    """nano was scored on sarcasm: by the words' tokens, which it never met."""
    with pytest.raises(UnknownLabels, match="sarcastic"):
        answer_with(nano, ModelUnderTest("nano", labels=("sarcastic", "happy")), [picture])


def test_what_is_known_before_an_answer_names_the_truth(picture: Sample) -> None:
    assert begun(picture) == {"key": "p", "truth": "happy", "slices": {}}


def test_the_instruments_speak_for_themselves_and_a_face_that_is_not_there_does_not(
    nano: LoadedModel, picture: Sample
) -> None:
    """What a later sample of the session is told does not come from an earlier one."""
    assert picture.frame is not None
    tone = (0.3 * np.sin(2 * np.pi * 150 * np.arange(24_000) / 16_000)).astype(np.float32)
    blank = np.full((240, 320, 3), 128, np.uint8)
    session = [
        replace(picture, frame=VideoFrame(1.5, picture.frame.rgb_HW3), speech=SpeechSegment(0.0, 1.5, tone)),
        replace(picture, frame=VideoFrame(33.0, blank), speech=SpeechSegment(31.5, 33.0, tone[::-1].copy())),
    ]
    (face, voice), (nobody, other) = expert_probabilities(measuring(nano), session)
    assert nobody is None
    assert face is not None
    for shares in (face, voice, other):
        assert shares.sum() == pytest.approx(1.0, abs=1e-4)
    assert not np.allclose(voice, other)


@pytest.mark.slow
def test_an_adaptive_share_moves_tokens_from_frame_to_frame(nano: LoadedModel, a_recording: Path) -> None:
    """The variant works on a model whose towers do not tell the spread of attention."""
    config = nano.weights.config
    clip = of_clip("c", a_recording)
    try:
        dropped = {}
        for variant in (Variant("random", drop=0.5), Variant("adaptive", drop=0.5, adaptive=True, attention=True)):
            ((_, seen),), _ = perceive(nano, ModelUnderTest("nano", variant=variant), [clip], frozenset())
            dropped[variant.name] = [frame.counts.dropped for frame in seen.frames]
            nano.weights.config = config
    finally:
        nano.weights.config = config
    assert len(set(dropped["random"])) == 1
    assert len(set(dropped["adaptive"])) > 1
    assert sum(dropped["adaptive"]) == pytest.approx(sum(dropped["random"]), rel=0.1)
