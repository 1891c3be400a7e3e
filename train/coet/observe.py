"""Turns the measurements of a clip into the observation that chains are written from and checked against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.measurements import mean_relative, peak_intensities
from realtime.words.expert import WordsExpert
from train.arrays import Float64
from train.coet.measured import Observation, PersonSeen, VoiceHeard, WordsRead
from train.readers.clip import Clip
from train.readers.perceived import FrameSeen, Perceived, SpeechHeard

TRUST_IN_LABEL = 0.75
"The weight of a data set's label where it has no votes; the rest is what the experts say of face and voice."
EVEN = np.full(len(EXPERT_LABELS), 1 / len(EXPERT_LABELS))


@dataclass(frozen=True)
class SeenClip:
    """The input of an annotator: a clip, its media and its measurements."""

    clip: Clip
    perceived: Perceived
    whole: Observation
    by_frame: tuple[tuple[float, Observation], ...]
    by_speech: tuple[tuple[float, float, Observation], ...]

    @property
    def cues(self) -> Mapping[str, float]:
        return self.whole.people[0].intensities if self.whole.people else {}

    @property
    def relative(self) -> Mapping[str, float]:
        return self.whole.voice.relative if self.whole.voice else {}

    @property
    def settled(self) -> str:
        """The label of the data set: its observers' first choice, else its label; empty where it has neither."""
        if self.clip.votes and self.whole.shares is not None:
            return EXPERT_LABELS[int(self.whole.shares.argmax())]
        return self.clip.label

    def facts(self) -> dict[str, Any]:
        """The measurements as they are stored in the record."""
        seen, window = self.whole, self.perceived.window
        return {
            "window_s": [round(window.start_s, 3), round(window.end_s, 3)],
            "n_frames": len(self.by_frame),
            "speech_s": round(window.speech_s, 3),
            "has_picture": self.perceived.has_picture,
            "has_sound": self.perceived.has_sound,
            "brightness": round(seen.brightness, 3),
            "saturation": round(seen.saturation, 3),
            "people": [
                {
                    "cues": {name: round(float(value), 3) for name, value in person.intensities.items()},
                    "pose_deg": [round(float(angle), 1) for angle in person.pose_deg],
                    "shares": shares_by_label(person.shares),
                }
                for person in seen.people
            ],
            "voice": None
            if seen.voice is None
            else {"relative": dict(seen.voice.relative), "shares": shares_by_label(seen.voice.shares)},
            "words": None
            if seen.words is None or seen.shares is None
            else {"shares": shares_by_label(seen.words.shares), "shares_with": shares_by_label(seen.shares)},
            "notes": list(self.perceived.notes),
        }


def shares_by_label(shares_7: Float64) -> dict[str, float]:
    return {label: round(float(share), 3) for label, share in zip(EXPERT_LABELS, shares_7, strict=True)}


def observe(clip: Clip, perceived: Perceived, reader: WordsExpert | None = None) -> SeenClip:
    """Join the measurements with the labels of the data set. The clip's label must be in `LABELS`, or empty.

    With a `reader` the words of the clip are read, too, where there are any and speech was heard. The observers' votes
    are then of face and voice, and the label is what all three come to.
    """
    people = people_of(perceived.frames)
    voice = voice_of(perceived.speech)
    words = words_of(clip.text, reader) if reader is not None and voice is not None else None
    scenes = [seen.evidence.scene for seen in perceived.frames]
    whole = Observation(
        people=people,
        has_picture=bool(perceived.frames),
        brightness=float(np.mean([scene.brightness for scene in scenes])) if scenes else 0.5,
        saturation=float(np.mean([scene.saturation for scene in scenes])) if scenes else 0.3,
        voice=voice,
        shares=joint_shares(clip, people, voice, words),
        words=words,
    )
    frames = [
        (
            seen.evidence.at_s,
            Observation(
                people=people_of([seen]),
                brightness=seen.evidence.scene.brightness,
                saturation=seen.evidence.scene.saturation,
            ),
        )
        for seen in perceived.frames
    ]
    speech = [
        (heard.evidence.start_s, heard.evidence.end_s, Observation(has_picture=False, voice=voice_of([heard])))
        for heard in perceived.speech
    ]
    return SeenClip(clip, perceived, whole, tuple(frames), tuple(speech))


def people_of(frames: Sequence[FrameSeen]) -> tuple[PersonSeen, ...]:
    """The people of the newest frame that has any, each with the peak of every cue over the window."""
    newest = next((seen for seen in reversed(frames) if seen.evidence.cues), None)
    if newest is None:
        return ()
    people = []
    for cues in newest.evidence.cues:
        peak = peak_intensities([seen.evidence for seen in frames], cues.track)
        verdicts = []
        for seen in frames:
            for index, other in enumerate(seen.evidence.cues):
                if other.track != cues.track:
                    continue
                faces = seen.cues.get("faces", [])
                if index < len(faces) and faces[index].verdict_7.numel():
                    verdicts.append(faces[index].verdict_7.exp().numpy())
        x, y, w, h = next(face.box for face in newest.evidence.faces if face.track == cues.track)
        shares = np.mean(verdicts, axis=0) if verdicts else EVEN
        centre = (x + w / 2, y + h / 2)
        people.append(PersonSeen(peak, cues.pose_deg, centre, h, shares / shares.sum()))
    return tuple(people)


def voice_of(speech: Sequence[SpeechHeard]) -> VoiceHeard | None:
    """The voice over all speech segments, weighted by their lengths. None where there is no speech."""
    if not speech:
        return None
    lengths = np.array([max(part.evidence.end_s - part.evidence.start_s, 1e-3) for part in speech])
    weights = lengths / lengths.sum()
    relative = mean_relative([part.evidence for part in speech])
    shares = np.zeros(len(EXPERT_LABELS))
    for weight, part in zip(weights, speech, strict=True):
        verdict = part.cues.get("verdict_7")
        shares += weight * (verdict.exp().numpy() if verdict is not None and verdict.numel() else EVEN)
    moved = np.mean([min(abs(z), 2.0) for z in relative.values()])
    known = speech[-1].evidence.cues.usual_known
    return VoiceHeard(relative, shares / shares.sum(), strong=bool(moved > 1.0), usual_known=known)


def words_of(text: str, reader: WordsExpert) -> WordsRead | None:
    """What words alone say; None where there are none that the reader knows."""
    told = reader.probabilities(text) if text.strip() else None
    return None if told is None else WordsRead(text, np.array([told[label] for label in EXPERT_LABELS]))


def joint_shares(
    clip: Clip, people: Sequence[PersonSeen], voice: VoiceHeard | None, words: WordsRead | None = None
) -> Float64 | None:
    """(7,) shares for all evidence together: the observers' votes, else the data set's label, else the experts'.

    With words the label is added to votes that come to another. None where there are neither votes nor a label nor a
    face or voice.
    """
    if clip.votes:
        votes = np.array([clip.votes.get(label, 0.0) for label in EXPERT_LABELS])
        if votes.sum() > 0:
            shares: Float64 = votes / votes.sum()
            if words is not None and clip.label and clip.label != EXPERT_LABELS[int(shares.argmax())]:
                shares = TRUST_IN_LABEL * one_hot(clip.label) + (1 - TRUST_IN_LABEL) * shares
            return shares
    heard = [voice.shares] if voice else []
    alone = [np.asarray(part) for part in [*(person.shares for person in people[:1]), *heard]]
    product = np.exp(np.mean([np.log(part + 1e-3) for part in alone], axis=0)) if alone else EVEN
    joint: Float64 = product / product.sum()
    if clip.label:
        return TRUST_IN_LABEL * one_hot(clip.label) + (1 - TRUST_IN_LABEL) * joint
    return joint if alone else None


def one_hot(label: str) -> Float64:
    """(7,) all for one label."""
    found: Float64 = np.eye(len(EXPERT_LABELS))[EXPERT_LABELS.index(label)]
    return found
