"""What is asked of a model: pictures and sentences of people it never saw, grouped into the sessions they come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.records import SpeechSegment, VideoFrame
from train import ferplus, ravdess
from train.prepare import longest_speech

SPLITS = ("train", "valid", "test", "valid+test", "all")


@dataclass(frozen=True)
class Sample:
    key: str
    truth: str
    session: str
    "Samples of one session share its baselines, in order."
    slices: Mapping[str, str]
    frame: VideoFrame | None = None
    speech: SpeechSegment | None = None


def ferplus_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    faces = ferplus.load(data)
    parts = [faces.part(part) for part in split.split("+")] if split != "all" else [np.arange(len(faces.index_N))]
    rows = np.concatenate(parts)
    if limit is not None:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:limit])
    for row in rows:
        truth = EXPERT_LABELS[int(faces.labels_N[row])]
        agreed = "clear" if faces.votes_N7[row].max() >= 0.7 else "divided"
        frame = VideoFrame(0.0, ferplus.as_camera_frame(faces.images_NHW[row]))
        key = str(int(faces.index_N[row]))
        yield Sample(key, truth, key, {"raters": agreed}, frame=frame)


def ravdess_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    """One session per actor, sentences in a fixed random order (the files are sorted by emotion, which no talk is)."""
    clips = ravdess.load(data)
    wanted = {clip.actor for clip in clips}
    if split != "all":
        wanted &= {actor for part in split.split("+") for actor in ravdess.ACTORS[part]}
    for actor in sorted(wanted):
        own = [clip for clip in clips if clip.actor == actor]
        order = np.random.default_rng(actor).permutation(len(own))
        at_s = 0.0
        for place, index in enumerate(order[:limit]):
            clip = own[index]
            part = longest_speech(ravdess.read_samples(data, clip.file))
            length = part.end_s - part.start_s
            speech = SpeechSegment(at_s, at_s + length, part.samples_N)
            at_s += length + 1.0
            when = "first 3" if place < 3 else "4th to 10th" if place < 10 else "later"
            slices = {"place in session": when, "sex": clip.sex, "actor": str(actor)}
            yield Sample(clip.file, EXPERT_LABELS[clip.label], str(actor), slices, speech=speech)


def sessions(samples: Iterator[Sample], *, at_least: int) -> Iterator[list[Sample]]:
    """Whole sessions in parts of at least `at_least` samples: what one worker answers in one go."""
    part: list[Sample] = []
    for sample in samples:
        if len(part) >= at_least and sample.session != part[-1].session:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


SAMPLES = {"ferplus": ferplus_samples, "ravdess": ravdess_samples}
