"""The samples of the benchmarks: pictures and sentences of people that no model was trained on, as sessions."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.records import SpeechSegment, VideoFrame
from train.arrays import Int64
from train.nano import crowd, ferplus, ravdess
from train.nano.twins import twins
from train.readers import sound, voices
from train.readers.clip import Clip, DataSet
from train.readers.sound import longest_speech

LEARNT = "also a training picture"
PAIR_GAP_S = 30.0
"Time between two pairs of a session, longer than a face track lives: every face is new, while the voice stays."
PAIR_ROUNDS, MOST_PAIRS = 3, 360
"How often each sentence is paired with a face, and how many pairs a speaker has at most."
SPLITS = ("train", "valid", "test", "valid+test", "all")


@dataclass(frozen=True)
class Sample:
    """One question of a benchmark: a picture, a sentence, both, or a clip."""

    key: str
    truth: str
    session: str
    "Samples of one session are answered in order and share its baselines."
    slices: Mapping[str, str]
    frame: VideoFrame | None = None
    speech: SpeechSegment | None = None
    clip: Clip | None = None
    "A part of a recording, in place of a picture and a sentence."


def wanted_faces(faces: ferplus.Faces, split: str) -> Int64:
    """The rows of one split, of several joined by +, or of `all`."""
    if split == "all":
        return np.arange(len(faces.index_N))
    return np.concatenate([faces.part(part) for part in split.split("+")])


def wanted_actors(clips: Sequence[ravdess.ActedSentence], split: str) -> set[int]:
    """The actors of a split that the folder holds."""
    there = {clip.actor for clip in clips}
    return there if split == "all" else there & {a for part in split.split("+") for a in ravdess.ACTORS[part]}


def ferplus_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    """Faces of FER+. A slice tells those of which training holds nearly the same picture."""
    faces = ferplus.load(data)
    rows = wanted_faces(faces, split)
    if limit is not None:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:limit])
    learnt = twins(faces.images_NHW[rows], faces.images_NHW[faces.part("train")])
    for row, is_learnt in zip(rows, learnt, strict=True):
        truth = EXPERT_LABELS[int(faces.labels_N[row])]
        agreed = "clear" if faces.votes_N7[row].max() >= 0.7 else "divided"
        frame = VideoFrame(0.0, ferplus.as_camera_frame(faces.images_NHW[row]))
        key = str(int(faces.index_N[row]))
        yield Sample(key, truth, key, {"raters": agreed, LEARNT: "yes" if is_learnt else "no"}, frame=frame)


def ravdess_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    """One session per actor, with sentences in a fixed random order: the files are sorted by emotion, unlike speech."""
    clips = ravdess.load(data)
    for actor in sorted(wanted_actors(clips, split)):
        own = [clip for clip in clips if clip.actor == actor]
        order = np.random.default_rng(actor).permutation(len(own))
        at_s = 0.0
        for place, index in enumerate(order[:limit]):
            clip = own[index]
            part = longest_speech(ravdess.read_samples(data, clip.file))
            length = part.end_s - part.start_s
            speech = SpeechSegment(at_s, at_s + length, part.samples_N)
            at_s += length + 1.0
            slices = {"place in session": place_in_session(place), "sex": clip.sex, "actor": str(actor)}
            yield Sample(clip.file, EXPERT_LABELS[clip.label], str(actor), slices, speech=speech)


def voice_samples(data: Path, split: str, limit: int | None, *, one_emotion: bool) -> Iterator[Sample]:
    """The sentences of every corpus in the data folder, one session per speaker in a fixed random order.

    With `one_emotion` a session holds what a speaker said with one emotion only. Whoever is angry from the first word
    to the last must stay angry, though a session has nothing else to compare with.
    """
    for session, own in voice_sessions(data, split, one_emotion=one_emotion).items():
        at_s = 0.0
        for place, voice in enumerate(own[:limit]):
            part = longest_speech(sound.read(voice.path))
            length = part.end_s - part.start_s
            slices = {"corpus": voice.corpus, "place in session": place_in_session(place), "sex": voice.sex or "untold"}
            yield Sample(
                voice.key,
                voice.emotion,
                session,
                slices,
                speech=SpeechSegment(at_s, at_s + length, part.samples_N),
            )
            at_s += length + 1.0


def voice_sessions(data: Path, split: str, *, one_emotion: bool) -> dict[str, list[voices.Voice]]:
    """Session → its sentences in a random order that is the same each time."""
    parts = voices.PARTS if split == "all" else split.split("+")
    found: dict[str, list[voices.Voice]] = {}
    for voice in voices.load(data):
        if voice.part in parts:
            session = f"{voice.speaker} {voice.emotion}" if one_emotion else voice.speaker
            found.setdefault(session, []).append(voice)
    return {
        session: [found[session][index] for index in np.random.default_rng(number).permutation(len(found[session]))]
        for number, session in enumerate(sorted(found))
    }


def place_in_session(place: int) -> str:
    return "first 3" if place < 3 else "4th to 10th" if place < 10 else "later"


def pair_samples(data: Path, split: str, limit: int | None, *, agree: bool) -> Iterator[Sample]:
    """Pairs of a face and a sentence with the same emotion, or not. The truth is the crowd's conclusion from both.

    The crowd is a regression fitted on CREMA-D's votes (`train.nano.crowd`). Its inputs are the votes on the face, and
    the mean vote on voices that act the emotion of the sentence. A session has one speaker, of any corpus.
    """
    faces = ferplus.load(data)
    pool = wanted_faces(faces, split)
    by_label = [pool[faces.labels_N[pool] == label] for label in range(len(EXPERT_LABELS))]
    votes = crowd.load(data)
    teacher, heard = crowd.Teacher.fit(votes.face, votes.voice, votes.both), crowd.expected_voice_votes(votes)
    for speaker, own in paired_speakers(data, split).items():
        rng = np.random.default_rng(zlib.crc32(speaker.encode()))
        at_s = 0.0
        rounds = [rng.permutation(len(own)) for _ in range(PAIR_ROUNDS)]
        for index in np.concatenate(rounds)[: MOST_PAIRS if limit is None else min(limit, MOST_PAIRS)]:
            voice = own[index]
            acted = EXPERT_LABELS.index(voice.emotion)
            others = [label for label, rows in enumerate(by_label) if label != acted and len(rows)]
            row = int(rng.choice(by_label[acted if agree else int(rng.choice(others))]))
            expected = int(teacher(faces.votes_N7[row][None], heard[acted][None])[0].argmax())
            part = longest_speech(sound.read(voice.path))
            end_s = at_s + part.end_s - part.start_s
            face = int(faces.labels_N[row])
            sides = {face: "the face", acted: "the voice"} if face != acted else {face: "both"}
            yield Sample(
                f"{voice.key} {faces.index_N[row]} {at_s:.0f}",
                EXPERT_LABELS[expected],
                speaker,
                {
                    "the crowd goes with": sides.get(expected, "neither"),
                    "corpus": voice.corpus,
                    "sex of the voice": voice.sex or "untold",
                },
                frame=VideoFrame(end_s, ferplus.as_camera_frame(faces.images_NHW[row])),
                speech=SpeechSegment(at_s, end_s, part.samples_N),
            )
            at_s = end_s + PAIR_GAP_S


def paired_speakers(data: Path, split: str) -> dict[str, list[voices.Voice]]:
    """Speaker → their sentences, in the order of the corpora's labels."""
    parts = voices.PARTS if split == "all" else split.split("+")
    found: dict[str, list[voices.Voice]] = {}
    for voice in voices.load(data):
        if voice.part in parts:
            found.setdefault(voice.speaker, []).append(voice)
    return found


def clip_samples(data: DataSet, split: str, fold: int | None, limit: int | None) -> list[Sample]:
    """Clips of an official set, grouped by recording and sorted by their ends."""
    clips = list(data.part(split, fold))
    if limit is not None:
        chosen = np.sort(np.random.default_rng(0).permutation(len(clips))[:limit])
        clips = [clips[place] for place in chosen]
    clips.sort(key=lambda clip: (str(clip.path), clip.end_s or 0.0, clip.key))
    return [Sample(clip.key, clip.label, str(clip.path), clip.slices, clip=clip) for clip in clips]


def count(benchmark: str, data: Path, split: str, limit: int | None) -> int:
    """The number of samples, for the progress bar."""
    if benchmark == "ferplus":
        n = len(wanted_faces(ferplus.load(data), split))
        return n if limit is None else min(n, limit)
    if benchmark in VOICES:
        own = voice_sessions(data, split, one_emotion=VOICES[benchmark]).values()
        return sum(len(part[:limit]) for part in own)
    if benchmark in PAIRS:
        pairs = [min(PAIR_ROUNDS * len(own), MOST_PAIRS) for own in paired_speakers(data, split).values()]
        return sum(n if limit is None else min(n, limit) for n in pairs)
    clips = ravdess.load(data)
    per_actor = [sum(clip.actor == actor for clip in clips) for actor in wanted_actors(clips, split)]
    return sum(n if limit is None else min(n, limit) for n in per_actor)


def skipped(benchmark: str, data: Path) -> tuple[str, ...]:
    """Rows of the benchmark's label file that are not used because they are not of its set."""
    return () if benchmark == "ferplus" else ravdess.load_and_skip(data)[1]


def sessions(samples: Iterable[Sample], *, at_least: int) -> Iterator[list[Sample]]:
    """Whole sessions in parts of at least `at_least` samples, one part per task of a worker."""
    part: list[Sample] = []
    for sample in samples:
        if len(part) >= at_least and sample.session != part[-1].session:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


VOICES = {"voices": False, "one-emotion": True}
"Benchmark → whether a session has one emotion only."
PAIRS = {"agree": True, "conflict": False}
"Benchmark → whether face and voice of a pair show one emotion."
SAMPLES: Mapping[str, Callable[[Path, str, int | None], Iterator[Sample]]] = {
    "ferplus": ferplus_samples,
    "ravdess": ravdess_samples,
    **{name: partial(pair_samples, agree=agree) for name, agree in PAIRS.items()},
    **{name: partial(voice_samples, one_emotion=one_emotion) for name, one_emotion in VOICES.items()},
}
