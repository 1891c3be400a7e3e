"""Training windows for nano, drawn at random: a face, a voice, what a crowd would conclude from both, and the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from realtime.evidence.baseline import population, squash
from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from realtime.records import Float32
from train.arrays import Floats
from train.coet.measured import Observation, PersonSeen, VoiceHeard, Writer
from train.nano import crowd, ferplus, voice_expert

STATES = {"both": 0.56, "face": 0.2, "voice": 0.08, "sound_only": 0.11, "nobody": 0.02, "no_picture": 0.03}
"How often a window has a face and a voice, a face, a voice with or without a picture, or nobody with or without one."
AGREE = 0.45
"Share of pairs whose voice was acted with the label of the face; others may agree by chance."
N_CANDIDATES = 6
"Number of CREMA-D clips that are considered for one voice."
N_FRAMES = {1: 0.4, 2: 0.12, 3: 0.1, 5: 0.12, 8: 0.26}
N_EARLIER = {0: 0.6, 1: 0.22, 2: 0.12, 3: 0.06}
"""How many pictures of the same people a window has, and how many sentences come before the one the chain is about.
A live window of eight seconds has up to eight frames and four sentences."""
CHANGING = 0.4
"How often the expression appears within a window of three pictures or more."
SAME_MOOD = 0.6
"How often an earlier sentence was acted like the last one."


@dataclass(frozen=True)
class DrawnWindow:
    """One window: rows into the measurements, what the observers of each modality say, and the chain."""

    face_rows: tuple[int, ...]
    voice_row: int
    "−1: no speech."
    earlier_rows: tuple[int, ...]
    "Sentences of the same person before it, oldest first."
    n_frames: int
    order: int
    "Which running order of the session the voice was measured in."
    has_picture: bool
    seen: Observation
    sections: dict[str, str]
    words: int
    "Seed of the chain's words."
    onset: int = 0
    "The picture in which the expression appears; it is faint in those before. 0: it is there from the beginning."

    @property
    def n_faces(self) -> int:
        return len(self.face_rows)

    @property
    def voice_rows(self) -> tuple[int, ...]:
        """Rows of all sentences, oldest first."""
        return (*self.earlier_rows, self.voice_row) if self.voice_row >= 0 else ()

    def with_chain_about(self, found: Mapping[str, Floats]) -> DrawnWindow:
        """The same with a chain about other shares, `found` for each label branch; without any nothing changes."""
        if not found:
            return self
        people, voice = self.seen.people, self.seen.voice
        if people:
            people = (replace(people[0], shares=found.get("face", found["both"])), *people[1:])
        if voice is not None:
            voice = replace(voice, shares=found.get("voice", found["both"]))
        seen = replace(self.seen, people=people, voice=voice, shares=found["both"])
        return replace(self, seen=seen, sections=Writer(self.words).chain(seen))


def one_label(shares_7: Floats, label: int) -> Floats:
    """The shares with `label` well ahead. Of two that are close, a model as small as nano names one twice."""
    raised: Floats = shares_7.copy()
    raised[label] = shares_7.max() + 0.25
    raised /= raised.sum()
    return raised


class WindowSampler:
    """Draws the windows of one part: `thinker` (for training), `valid` or `test`. No person is in two of them."""

    def __init__(self, data: Path, work: Path, part: str) -> None:
        self.faces, self.voices = ferplus.load(data), voice_expert.load(data, work)
        with np.load(work / "crops.npz") as file:
            self.cues, self.pose, found = file["cues"], file["pose"], file["found"]
        with np.load(work / "voice_verdicts.npz") as file:
            self.live, self.verdicts = file["live"], file["log_p"]
        rows = self.faces.part(part)
        self.face_rows = rows[found[rows]]
        own = self.voices.rows(({"thinker": "train", "valid": "valid", "test": "test"}[part],))
        self.voice_rows = np.concatenate([own, own + self.voices.n_sentences])
        # The weight of an emotion is one over the root of its frequency, so that rare ones come up.
        labels = self.faces.labels_N[self.face_rows]
        weight = (1 / np.maximum(np.bincount(labels, minlength=len(EXPERT_LABELS)), 1)) ** 0.5
        self.face_p = weight[labels] / weight[labels].sum()
        votes = crowd.load(data)
        self.teacher = crowd.Teacher.fit(votes.face, votes.voice, votes.both)
        self.expected = crowd.expected_voice_votes(votes)
        self.voice_votes = crowd.seven(votes.voice)
        heard = self.voice_votes.argmax(1)
        self.votes_by_label = [np.flatnonzero(heard == label) for label in range(len(EXPERT_LABELS))]
        stored = population()["face"]
        self.neutral = np.array([stored[name]["neutral"] for name in CUES])
        self.spread = np.array([stored[name]["spread"] for name in CUES])

    def voice_shares(self, label: int, verdict_7: Floats, rng: np.random.Generator) -> Floats:
        """(7,) what a crowd says of a voice acted as `label`: the votes of a CREMA-D clip that was heard so.

        Of a few such clips the one with the votes nearest to the expert's output `verdict_7` is taken, so that a voice
        that sounds ambiguous also has divided votes. CREMA-D has no surprise; its votes are drawn around it.
        """
        rows = self.votes_by_label[label]
        if len(rows):
            candidates = self.voice_votes[rng.choice(rows, N_CANDIDATES)]
            shares: Floats = candidates[int((candidates @ np.exp(verdict_7)).argmax())]
            return shares
        weights = np.full(len(EXPERT_LABELS), 0.4)
        weights[label] = 5.0
        return rng.dirichlet(weights)

    def draw(
        self, rng: np.random.Generator, pick_faces: Callable[[np.random.Generator], tuple[int, ...]] | None = None
    ) -> DrawnWindow:
        """Draw a window. `pick_faces` chooses who is in the picture; None takes anyone of this part."""
        state = rng.choice(list(STATES), p=list(STATES.values()))
        faces = (pick_faces or self.pick_faces)(rng) if state in ("both", "face") else ()
        voice = -1
        if state in ("both", "voice", "sound_only"):
            rows = self.voice_rows
            if faces and rng.random() < AGREE:
                same = rows[self.voices.labels[rows] == self.faces.labels_N[faces[0]]]
                rows = same if len(same) else rows
            voice = int(rng.choice(rows))
        return self.compose(faces, voice, has_picture=state not in ("sound_only", "no_picture"), rng=rng)

    def pick_faces(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the rows of one to three faces."""
        n_faces = int(rng.choice([1, 2, 3], p=[0.86, 0.1, 0.04]))
        return tuple(int(row) for row in rng.choice(self.face_rows, n_faces, p=self.face_p))

    def compose(
        self,
        faces: tuple[int, ...],
        voice: int,
        *,
        has_picture: bool,
        rng: np.random.Generator,
        order: int | None = None,
    ) -> DrawnWindow:
        people = tuple(self.person(row, index, len(faces), rng) for index, row in enumerate(faces))
        earlier = self.earlier(voice, rng) if voice >= 0 else ()
        n_frames = int(rng.choice(list(N_FRAMES), p=list(N_FRAMES.values()))) if has_picture else 0
        order = int(rng.integers(len(self.live))) if order is None else order
        heard = self.heard(voice, order, rng) if voice >= 0 else None
        shares = None
        if people and heard:
            shares = self.teacher(people[0].shares[None], self.expected[int(self.voices.labels[voice])][None])[0]
        elif people:
            shares = people[0].shares
        elif heard:
            shares = heard.shares
        seen = Observation(
            people=people,
            has_picture=has_picture,
            brightness=float(rng.beta(3, 3)),
            saturation=float(rng.choice([0.0, rng.beta(2, 4)])),
            voice=heard,
            shares=shares,
        )
        words = int(rng.integers(2**31))
        sections = Writer(words).chain(seen)
        changing = people and n_frames >= 3 and rng.random() < CHANGING
        onset = int(rng.integers(1, n_frames)) if changing else 0
        return DrawnWindow(faces, voice, earlier, n_frames, order, has_picture, seen, sections, words, onset)

    def earlier(self, voice: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Rows of what the same actor said before, through the same microphone. The chain is about what comes last."""
        n = int(rng.choice(list(N_EARLIER), p=list(N_EARLIER.values())))
        rows = self.voice_rows
        rows = rows[self.voices.session[rows] == self.voices.session[voice]]
        alike = rows[self.voices.labels[rows] == self.voices.labels[voice]]
        return tuple(int(rng.choice(alike if rng.random() < SAME_MOOD else rows)) for _ in range(n))

    def person(self, row: int, index: int, n: int, rng: np.random.Generator) -> PersonSeen:
        """The face as a session measures it that knows the person's neutral a little, or not at all."""
        own = self.neutral + rng.normal(0, 0.5, len(CUES)) * self.spread * rng.integers(0, 2)
        z = np.clip((self.cues[row] - own) / self.spread, -5, 5).astype(np.float32)
        height = float(np.exp(rng.uniform(np.log(0.12), np.log(0.8)))) / (1 + 0.5 * (n - 1))
        centre = (
            float(np.clip(rng.normal((index + 0.5) / n, 0.15), 0.05, 0.95)),
            float(np.clip(rng.normal(0.48, 0.14), 0.05, 0.95)),
        )
        yaw, pitch, roll = (float(v) for v in self.pose[row])
        if rng.random() < 0.5:
            yaw, roll = -yaw, -roll
        return PersonSeen(
            intensities=dict(zip(CUES, squash(z).tolist(), strict=True)),
            pose_deg=(yaw, pitch, roll),
            centre=centre,
            height=height,
            shares=self.faces.votes_N7[row],
        )

    def heard(self, row: int, order: int, rng: np.random.Generator) -> VoiceHeard:
        live: Float32 = self.live[order, row]
        relative = dict(zip(VOICE_VALUES, live[: len(VOICE_VALUES)].tolist(), strict=True))
        shares = self.voice_shares(int(self.voices.labels[row]), self.verdicts[order, row], rng)
        return VoiceHeard(relative, shares, self.voices.strong[row], usual_known=bool(live[-1]))
