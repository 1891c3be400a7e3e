"""Windows that are staged for questions that one picture cannot answer, and whether a rule tells them right.

The truth is known from how a window was made, not from what was measured in it:

    when, order, changed   another person's neutral face becomes the sample's own at a drawn moment, in the same place;
                           or nothing changes. A picture comes each second, with a camera's noise. The sentence is
                           somewhere in the window
    who                    two faces side by side, each of which was measured alone before; which emotion each shows
                           is known
    before                 a sentence, then the same louder or quieter, or played faster and so higher, or unchanged

The benchmark has one picture of each person. So a face changes from one second to the next, and not over several.
Questions are asked in wordings that were written before the rules that read them (`paraphrases.json`). No chain is
written: its answer begins with what the rule says, and the label after it is no part of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from realtime.asking.question import read
from realtime.asking.sayings import ENGLISH, SECONDS_AGO
from realtime.errors import BadAsk, BadSettings, NotJudged
from realtime.evidence.baseline import FaceBaseline
from realtime.evidence.cues import CUES, measure_face
from realtime.evidence.faces import FaceFinder
from realtime.evidence.perceive import Perception
from realtime.evidence.scene import measure_scene
from realtime.reason.answers import ONE_EVENT_S, by_rule
from realtime.records import FrameEvidence, SpeechSegment, TokenCounts, VideoFrame, Window
from train.evaluation.samples import Sample
from train.evaluation.served import Served

StagedKind = Literal["when", "order", "changed", "who", "before"]
STAGED: tuple[StagedKind, ...] = ("when", "order", "changed", "who", "before")
PARAPHRASES = Path(__file__).with_name("paraphrases.json")
WINDOW_S = 8
"Length of a window, with a picture in each second."
LEAST_S = 1.0
"A face changes at least this long from the window's ends."
STILL_SHARE = 0.25
"Share of windows in which the face does not change."
MOVED, STILL = 0.25, 0.1
"A cue that is asked for differs by at least the first between two faces, or by less than the second."
SHOWN = 0.35
"Least intensity of a cue in the person who shows more of it."
FACE, FACE_PARTS = "face", 4
"""What a question about the whole faces of two people asks for. A face moves by the sum of its cues, of which a quarter
counts: a single cue from none to full is just enough to tell two faces apart by."""
NOT_MEASURED = "not_measured"
"What is asked for where no cue is it, such as a raised chin."
GAIN_DB, FASTER = 6.0, 1.2
NOISE, FLICKER = 6, 4
"Levels of 255 by which a camera's pixels, and its light, vary from picture to picture."


@dataclass(frozen=True)
class Paraphrase:
    """A question as somebody may put it."""

    text: str
    about: str = ""
    "The cue, emotion or measure that it asks for, or `FACE`; empty: nothing by itself."


@dataclass(frozen=True)
class Staged:
    """A window, the question asked of it, and the beginnings of the answers that are right."""

    kind: StagedKind
    window: Window
    asked: Paraphrase
    right: tuple[str, ...]


def paraphrases(path: Path = PARAPHRASES) -> dict[str, list[Paraphrase]]:
    """The paraphrases of each kind that a file has some of. Raises BadSettings for a file of another form."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {
            kind: [Paraphrase(each["text"], each.get("cue") or each.get("of", "")) for each in own]
            for kind, own in stored.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSettings(f"{path} is no file of wordings.", 'It has {"KIND": [{"text": "…"}]}.') from error


def told(staged: Staged) -> str | None:
    """What the rule answers; None where the question is refused, or is read as one of another kind."""
    try:
        about = read(staged.asked.text).about
    except (BadAsk, NotJudged):
        return None
    if about is None or about.kind != staged.kind:
        return None
    return by_rule(about, staged.window, ENGLISH)[0]


def is_right(staged: Staged, answer: str | None) -> bool:
    return answer is not None and answer.startswith(staged.right)


def all_staged(
    model: Served,
    samples: Sequence[Sample],
    n: int,
    rng: np.random.Generator,
    said: Mapping[str, list[Paraphrase]],
) -> Iterator[Staged]:
    """Windows with questions of each kind in these wordings, about `n` of each."""
    moving, resting = [[each for each in samples if (each.truth == "neutral") == rest] for rest in (False, True)]
    for number in range(n):
        sample, other = moving[int(rng.integers(len(moving)))], moving[int(rng.integers(len(moving)))]
        rest = resting[int(rng.integers(len(resting)))]
        alone = {each.key: shown_alone(each) for each in (sample, other, rest)}
        perception = model.perceiver(seed=0)
        try:
            changes = rng.random() >= STILL_SHARE
            if (found := changing(perception, sample, rest, rng, changes=changes)) is not None:
                yield from of_time(*found, said, alone[sample.key], alone[rest.key], rng)
            window = two_people(perception, sample, other) if "who" in said else None
            if window is not None and (asked := of_two(said["who"], alone[sample.key], alone[other.key], number)):
                yield Staged("who", window, *asked)
            if "before" in said:
                yield twice(perception, sample, said["before"], rng)
        finally:
            perception.close()


class FaceMeter:
    """Measures the faces of a session as it does itself, and makes no tokens of them, which no rule reads."""

    def __init__(self) -> None:
        self._finder = FaceFinder()
        self._neutrals: dict[int, FaceBaseline] = {}

    def see(self, frame: VideoFrame) -> FrameEvidence:
        height, width = frame.rgb_HW3.shape[:2]
        faces = self._finder.find(frame.rgb_HW3, frame.at_s)
        neutrals = [self._neutrals.setdefault(face.track, FaceBaseline(CUES)) for face in faces]
        measured = [measure_face(face, own, width, height) for face, own in zip(faces, neutrals, strict=True)]
        cues = tuple(each for each in measured if each is not None)
        none_ND, nowhere_3N = np.zeros((0, 0), np.float32), np.zeros((3, 0), np.int64)
        return FrameEvidence(
            frame.at_s, faces, cues, measure_scene(frame.rgb_HW3), TokenCounts(0, 0, 0), none_ND, nowhere_3N
        )


def shown_alone(sample: Sample) -> Mapping[str, float]:
    """What a face shows by itself: its cues as measured, its emotion as it is known, and how much it moves in all.

    Empty where no face is measured.
    """
    assert sample.frame is not None
    cues = FaceMeter().see(sample.frame).cues
    if not cues:
        return {}
    measured = cues[0].intensities
    return {**measured, sample.truth: 1.0, FACE: sum(measured.values()) / FACE_PARTS}


def changing(
    perception: Perception, sample: Sample, rest: Sample, rng: np.random.Generator, *, changes: bool = True
) -> tuple[Window, float | None] | None:
    """The window in which a face at rest becomes the sample's, and the media second in which it does.

    The sentence ends somewhere in the window. None where no face was measured in one of the pictures.
    """
    assert sample.frame is not None
    assert rest.frame is not None
    assert sample.speech is not None
    length_s = min(sample.speech.end_s - sample.speech.start_s, WINDOW_S - 2 * LEAST_S)
    # Live, a window ends with the sentence, or up to 4 s later in quiet; here it may be anywhere.
    end_s = sample.speech.end_s + float(rng.uniform(0.0, WINDOW_S - LEAST_S - length_s))
    at_s = end_s - WINDOW_S + float(rng.uniform(LEAST_S, WINDOW_S - LEAST_S)) if changes else None
    frames, measuring = list[FrameEvidence](), FaceMeter()
    for second in range(WINDOW_S):
        seen_s = end_s - WINDOW_S + second + 0.5
        picture = rest.frame if at_s is not None and seen_s < at_s else sample.frame
        frames.append(measuring.see(noisy(replace(picture, at_s=seen_s), rng)))
    heard = perception.hear(sample.speech)
    if heard is None or not all(frame.cues for frame in frames):
        return None
    return Window(0, end_s - WINDOW_S, end_s, tuple(frames), (heard,)), at_s


def noisy(picture: VideoFrame, rng: np.random.Generator) -> VideoFrame:
    """The picture with the noise of a camera."""
    noise_HW1 = rng.integers(-NOISE, NOISE + 1, picture.rgb_HW3.shape[:2])[..., None]
    levels = picture.rgb_HW3.astype(int) + noise_HW1 + int(rng.integers(-FLICKER, FLICKER + 1))
    return replace(picture, rgb_HW3=np.clip(levels, 0, 255).astype(np.uint8))


def of_time(
    window: Window,
    at_s: float | None,
    said: Mapping[str, Sequence[Paraphrase]],
    after: Mapping[str, float],
    before: Mapping[str, float],
    rng: np.random.Generator,
) -> Iterator[Staged]:
    """The questions about a window in which the face changed `at_s`, or did not."""
    kinds: tuple[StagedKind, ...] = ("when", "order", "changed")
    for kind in (kind for kind in kinds if kind in said):
        # A cue or an emotion is asked for where it came with the face.
        asked = [
            each
            for each in said[kind]
            if not each.about
            or (at_s is not None and abs(after.get(each.about, 0) - before.get(each.about, 0)) >= MOVED)
        ]
        chosen = asked[int(rng.integers(len(asked)))]
        yield Staged(kind, window, chosen, right_of_time(kind, window, at_s))


def right_of_time(kind: StagedKind, window: Window, at_s: float | None) -> tuple[str, ...]:
    """The beginnings of answers that are right. A moment may be told a second early or late."""
    if at_s is None:
        return ("The face did not change", "No change", "Nothing that is measured changed")
    ago = round(window.end_s - at_s)
    moments = tuple(SECONDS_AGO[n].capitalize() + "," for n in (ago - 1, ago, ago + 1) if 0 <= n < len(SECONDS_AGO))
    if kind != "order":
        return moments
    voice_s = window.speech[-1].start_s
    face_first = tuple(
        f"{what.capitalize()} first, at" for what in (ENGLISH.the_face, *(w for w, _ in ENGLISH.cues.values()))
    )
    order = ("The voice first, at",) if voice_s < at_s else face_first
    return (*order, "Within about a second") if abs(voice_s - at_s) < ONE_EVENT_S else order


def side_by_side(one: VideoFrame, other: VideoFrame) -> VideoFrame:
    """Both pictures in one, at the time of the first."""
    return VideoFrame(one.at_s, np.concatenate([one.rgb_HW3, other.rgb_HW3], axis=1))


def two_people(perception: Perception, sample: Sample, other: Sample) -> Window | None:
    """The window in which both are in view; None where not both were measured."""
    assert sample.frame is not None
    assert other.frame is not None
    seen = perception.see(side_by_side(sample.frame, other.frame))
    end_s = sample.frame.at_s
    return Window(0, max(0.0, end_s - WINDOW_S), end_s, (seen,), ()) if len(seen.cues) == 2 else None


def of_two(
    said: Sequence[Paraphrase], left: Mapping[str, float], right: Mapping[str, float], number: int
) -> tuple[Paraphrase, tuple[str, ...]] | None:
    """A question about what one of the two clearly shows more of, and the side on which they are."""
    for place in range(len(said)):
        asked = said[(number + place) % len(said)]
        one, other = left.get(asked.about, 0.0), right.get(asked.about, 0.0)
        if abs(one - other) >= MOVED and max(one, other) >= SHOWN:
            side = ENGLISH.left if one > other else ENGLISH.right
            return asked, (f"Person A, {side}", f"Person B, {side}")
    return None


def twice(perception: Perception, sample: Sample, said: Sequence[Paraphrase], rng: np.random.Generator) -> Staged:
    """The window of a sentence and of the same one once more, which is as it was, or has more or less of something."""
    assert sample.speech is not None
    asked = said[int(rng.integers(len(said)))]
    more = int(rng.integers(-1, 2))
    first_N = sample.speech.samples_N
    if asked.about == "loudness":
        again_N = first_N * np.float32(10 ** (more * GAIN_DB / 20))
    else:
        n = round(len(first_N) / FASTER**more)
        again_N = np.interp(np.linspace(0, len(first_N) - 1, n), np.arange(len(first_N)), first_N).astype(np.float32)
    rate = len(first_N) / (sample.speech.end_s - sample.speech.start_s)
    start_s, begin_s = sample.speech.start_s, sample.speech.end_s + 0.5
    end_s = begin_s + len(again_N) / rate
    heard = [perception.hear(part) for part in (sample.speech, SpeechSegment(begin_s, end_s, again_N))]
    window = Window(0, min(start_s, end_s - WINDOW_S), end_s, (), tuple(part for part in heard if part is not None))
    key = {"loudness": "loudness_db", "pitch": "pitch_hz", "rate": "rate_hz"}[asked.about]
    right = ENGLISH.as_before if not more else ENGLISH.differs[key][more > 0].capitalize()
    return Staged("before", window, asked, (right,))
