"""Training windows as sequences: laid out by the very functions that serving uses, with every branch in one pass.

One sequence is trunk, frames, speech, then branches that do not see each other: the fast label from both modalities,
from the face alone, from the voice alone, and the chain. Evidence chunks attend to the trunk and themselves only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.tokens import ALL_CUES, CueSwitches, FaceFeatures, frame_tokens, speech_tokens
from realtime.model.experts import EXPERT_LABELS
from realtime.model.language import chunk_mask
from realtime.model.selectors import keep_background
from realtime.model.thinker import EmoThinker
from realtime.reason import prompt
from realtime.reason.branches import look_ids, told_before
from realtime.reason.sequence import Chunk, marked, text_positions
from realtime.records import Face, FrameEvidence, Scene, SpeechEvidence, TokenCounts, VoiceCues, Window
from train.coet.measured import EXPRESSION, VOICE_WORDS
from train.nano import scenes
from train.nano.corpus import EXTRA_QUESTIONS, Example, TextEncoder, one_label
from train.nano.material import Material, PoolEntry
from train.nano.words import IN_WORDS, appended, face_words, voice_words

EXTRA_QUESTION_SHARE = 0.08
WORDS_SHARE = 0.08
"How often cues are told in words instead of tokens (`nano/words.py`)."
CUES_OFF_SHARE = 0.05
"How often each kind of cue token is withheld, so that the model works with and without."
DRAWN_LOOKS_SHARE = 0.3
"How often a label that a chain is told is drawn by its share instead of being the likeliest."
SECTION_WEIGHTS = {"face": 2.0, "voice": 2.0, "coarse": 2.0, "fine": 4.0, "answer": 8.0}
"Of a token in the loss, by section; 1 elsewhere. Where the words hang on the evidence they count for more."

NAMED_WEIGHT = 4.0
"Of a word that names an emotion, times its section's: two or three of a section's words, and what the rest is about."


@dataclass
class Sequence:
    """One example laid out: embeddings, positions, mask, and where each branch's targets are."""

    x_TD: Tensor
    positions_3T: Tensor
    mask_TT: Tensor
    label_at: dict[str, int]
    "Branch name → index of the token whose next token is the label."
    n_evidence: int
    branch_position: int
    "Where every branch begins."
    targets: dict[str, Tensor]
    "Branch name → shares (7,) that its label is to have."
    chain_from: int = 0
    chain_ids: list[int] = field(default_factory=list)
    chain_weights: list[float] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    "Section → from its opening tag to before its closing one, counted in the chain's tokens."


class Layout:
    """Builds sequences with the very functions that serving uses."""

    def __init__(self, model: EmoThinker, encoder: TextEncoder) -> None:
        self.model, self.encoder = model, encoder
        self.label_ids = [encoder.ids(label)[0] for label in EXPERT_LABELS]
        words = {*EXPERT_LABELS, *(words[0] for words in EXPRESSION.values())}
        self.naming = {token for word in words for token in encoder.ids(f" {word}")}
        "Tokens of words that name an emotion within a sentence."

    def length(self, material: Material, example: Example) -> int:
        """About how many tokens the sequence of an example has; for batching alike with alike."""
        n_sound = sum(material.sound[row].shape[0] for row in said(example))
        return 65 * example.n_frames + n_sound + sum(len(text) for text in example.sections.values()) // 5

    def query(self, ask: prompt.Question | None = None) -> str:
        return prompt.query_text("nano", ask or prompt.Question())

    def entry(self, material: Material, example: Example, rng: np.random.Generator) -> PoolEntry:
        pool = material.frames
        return pool.by_rows[example.face_rows] if example.face_rows else pool.empty[int(rng.integers(len(pool.empty)))]

    def chunks(
        self,
        material: Material,
        example: Example,
        ask: prompt.Question,
        rng: np.random.Generator,
        switches: CueSwitches,
    ) -> tuple[list[int], list[Chunk]]:
        trunk_ids = self.encoder.ids(prompt.trunk_text("nano", ask))
        text = self.model.embed(torch.tensor(self.encoder.ids(self.query(ask))))
        base = len(trunk_ids)
        chunks: list[Chunk] = []
        seen_s, heard_s = self.times(example, rng)
        if example.has_picture:
            pool = self.entry(material, example, rng).frames
            for index, at_s in enumerate(seen_s):
                x, positions = self.frame(material, example, pool[index % len(pool)], text, rng, switches)
                t = base + round(25 * at_s)
                positions = positions + torch.tensor([[t], [base], [base]])
                markers = (prompt.VISION_START, prompt.VISION_END)
                chunks.append(marked(self.model, self.encoder, x, positions, t, markers, "face"))
        for row, start_s in zip(said(example), heard_s, strict=True):
            x, positions = self.speech(material, example, row, text, switches)
            t = base + round(25 * start_s)
            markers = (prompt.AUDIO_START, prompt.AUDIO_END)
            chunks.append(marked(self.model, self.encoder, x, positions + t, t, markers, "voice"))
        return trunk_ids, chunks

    def times(self, example: Example, rng: np.random.Generator) -> tuple[list[float], list[float]]:
        """When each picture is seen and each sentence begins, in seconds of the window: the last sentence ends it."""
        first_s = float(rng.integers(0, 5)) if example.n_frames < 5 else 0.0
        seen_s = [first_s + second for second in range(example.n_frames)]
        heard_s = [(seen_s[-1] if seen_s else first_s) + float(rng.uniform(-2, 2))] if example.voice_row >= 0 else []
        for _ in example.earlier_rows:
            heard_s.insert(0, heard_s[0] - float(rng.uniform(1.2, 4)))
        back_s = min([0.0, *heard_s])  # a window begins where its first evidence does
        return [at_s - back_s for at_s in seen_s], [at_s - back_s for at_s in heard_s]

    def speech(
        self, material: Material, example: Example, row: int, text: Tensor, switches: CueSwitches = ALL_CUES
    ) -> tuple[Tensor, Tensor]:
        measures_10 = torch.from_numpy(material.live[example.order, row][:10])
        verdict_7 = torch.from_numpy(material.voice_verdicts[example.order, row])
        x, positions = speech_tokens(
            self.model,
            material.sound[row].float(),
            text_QD=text,
            measures_10=measures_10,
            verdict_7=verdict_7,
            switches=switches,
        )
        if switches is IN_WORDS:
            return appended(self.model, self.encoder, x, positions, voice_words(measures_10, verdict_7))
        return x, positions

    def frame(
        self,
        material: Material,
        example: Example,
        frame: int,
        text: Tensor,
        rng: np.random.Generator,
        switches: CueSwitches = ALL_CUES,
    ) -> tuple[Tensor, Tensor]:
        focal, faces = material.frames.focal[frame], []
        for person, row, box in zip(example.seen.people, example.face_rows, material.frames.boxes[frame], strict=True):
            pose = [angle / 45 for angle in person.pose_deg]
            values = [*person.intensities.values(), *pose, *person.centre, person.height]
            faces.append(
                FaceFeatures(
                    measures_20=torch.tensor(values, dtype=torch.float32),
                    geometry_936=torch.from_numpy(material.geometry[row].astype(np.float32)),
                    verdict_7=torch.from_numpy(material.face_verdicts[row]),
                    centre_in_view=(box[0] + box[2] / 2, box[1] + box[3] / 2),
                )
            )
        seen = example.seen
        x, positions = frame_tokens(
            self.model,
            material.frames.tokens[frame].float(),
            columns=scenes.SIDE,
            focal_N=focal,
            keep_N=keep_background(focal, drop=0.2, seed=int(rng.integers(2**31))),
            text_QD=text,
            faces=faces,
            scene_3=torch.tensor([seen.brightness, seen.saturation, len(faces) / 5]),
            switches=switches,
        )
        for face in faces if switches is IN_WORDS else ():
            x, positions = appended(self.model, self.encoder, x, positions, face_words(face))
        return x, positions

    def asked(self, material: Material, example: Example, rng: np.random.Generator) -> Sequence:
        """Evidence and label branches: what a first look reads."""
        ask = prompt.Question()
        if rng.random() < EXTRA_QUESTION_SHARE:
            ask = prompt.Question(query=EXTRA_QUESTIONS[int(rng.integers(len(EXTRA_QUESTIONS)))])
        on = rng.random(4) >= CUES_OFF_SHARE
        switches = IN_WORDS if rng.random() < WORDS_SHARE else CueSwitches(*(bool(v) for v in on))
        trunk_ids, chunks = self.chunks(material, example, ask, rng, switches)
        n_trunk = len(trunk_ids)
        start = 1 + max([n_trunk - 1, *(int(chunk.positions_3N.max()) for chunk in chunks)])
        parts = [self.model.embed(torch.tensor(trunk_ids)), *(chunk.x_ND for chunk in chunks)]
        positions = [text_positions(n_trunk, 0), *(chunk.positions_3N for chunk in chunks)]
        sizes = [chunk.x_ND.shape[0] for chunk in chunks]
        n_evidence = n_trunk + sum(sizes)
        has = {"face": example.n_faces > 0, "voice": example.voice_row >= 0}
        branches: list[tuple[str, str | None, list[int]]] = []
        for name in ("both", "face", "voice"):
            if name != "both" and not (has["face"] and has["voice"]):
                continue  # alone it is the same question as both
            state = {
                "n_faces": 0 if name == "voice" else example.n_faces,
                "has_picture": example.has_picture and name != "voice",
                "has_speech": has["voice"] and name != "face",
            }
            hidden = {"both": None, "face": "voice", "voice": "face"}[name]
            branches.append((name, hidden, self.encoder.ids(prompt.branch_text(**state, opening=prompt.LABEL_TAG))))
        mask = chunk_mask(sizes, n_trunk=n_trunk, n_branch=sum(len(ids) for _, _, ids in branches))
        label_at, at = {}, n_evidence
        for name, hidden, ids in branches:
            rows = slice(at, at + len(ids))
            mask[rows, n_evidence:at] = False  # branches do not see each other
            if hidden is not None:
                column = n_trunk
                for chunk in chunks:
                    if chunk.modality == hidden:
                        mask[rows, column : column + chunk.x_ND.shape[0]] = False
                    column += chunk.x_ND.shape[0]
            parts.append(self.model.embed(torch.tensor(ids)))
            positions.append(text_positions(len(ids), start))
            label_at[name] = at + len(ids) - 1
            at += len(ids)
        targets = self.targets(example)
        return Sequence(torch.cat(parts), torch.cat(positions, 1), mask, label_at, n_evidence, start, targets)

    def with_first_look(self, material: Material, example: Example, rng: np.random.Generator) -> Sequence:
        """Evidence, label branches, and a chain that is told labels as it goes, as serving tells it its own.

        Here they are those of instruments that never met these people, and so are the words about the face and the
        voice alone and what the chain comes to: of people it learns from, the model knows the answer by heart, and a
        chain that learns to correct what it was told with that corrects it wrongly on strangers. Some are drawn: the
        cue tokens hold what the instruments say too, and a chain that reads it there contradicts what it was told.
        The label branches learn half from observers and half from the instruments, which know nothing by heart.
        """
        looks, drawn = material.looks(example), {}
        for name, shares in looks.items():
            by_share = rng.random() < DRAWN_LOOKS_SHARE
            drawn[name] = int(rng.choice(len(shares), p=shares / shares.sum()) if by_share else shares.argmax())
        asked = self.asked(material, example, rng)
        found = {name: torch.from_numpy(shares.astype(np.float32)) for name, shares in looks.items()}
        mixed = {name: (shares + found.get(name, shares)) / 2 for name, shares in asked.targets.items()}
        looked = told_before(
            {name: EXPERT_LABELS[label] for name, label in drawn.items()},
            has_face=example.n_faces > 0,
            has_speech=example.voice_row >= 0,
        )
        told = example.told({name: one_label(shares, drawn[name]) for name, shares in looks.items()})
        return self.with_chain(replace(asked, targets=mixed), told, looked)

    def with_chain(self, asked: Sequence, example: Example, looked: Mapping[str, tuple[str, ...]]) -> Sequence:
        """The same with the chain's branch, which is told the labels `looked` before its sections."""
        has_speech = example.voice_row >= 0
        state = {"n_faces": example.n_faces, "has_picture": example.has_picture, "has_speech": has_speech}
        head = self.encoder.ids(prompt.branch_text(**state, opening=""))
        ids, weights, spans = self.chain(example, looked)
        x = self.model.embed(torch.tensor(head + ids))
        n_before, n = asked.x_TD.shape[0], x.shape[0]
        mask = torch.zeros(n_before + n, n_before + n, dtype=torch.bool)
        mask[:n_before, :n_before] = asked.mask_TT
        mask[n_before:, : asked.n_evidence] = True
        mask[n_before:, n_before:] = torch.ones(n, n, dtype=torch.bool).tril()
        return replace(
            asked,
            x_TD=torch.cat([asked.x_TD, x]),
            positions_3T=torch.cat([asked.positions_3T, text_positions(n, asked.branch_position)], 1),
            mask_TT=mask,
            chain_from=n_before + len(head),
            chain_ids=ids,
            chain_weights=weights,
            spans=spans,
        )

    def chain(
        self, example: Example, looked: Mapping[str, tuple[str, ...]]
    ) -> tuple[list[int], list[float], dict[str, tuple[int, int]]]:
        """Token ids of the chain as the Thinker is to write it, the weight of each in the loss, the sections' spans."""
        ids: list[int] = []
        weights: list[float] = []
        spans = {}
        for name in prompt.SECTIONS:
            given = look_ids(self.encoder, looked.get(name, ()))
            ids += given
            weights += [0.0] * len(given)
            section = self.encoder.ids(f"<{name}>{example.sections[name]}</{name}>")
            spans[name] = (len(ids), len(ids) + len(section) - 1)
            ids += section
            weight = SECTION_WEIGHTS.get(name, 1.0)
            weights += [weight * (NAMED_WEIGHT if token in self.naming else 1.0) for token in section]
        return ids + self.encoder.ids(prompt.END_OF_TURN), [*weights, 1.0], spans

    def measured(self, example: Example) -> dict[str, Tensor]:
        """What each section is written from, about −1 … 1; of windows with several faces the face is left out."""
        seen = example.seen
        out: dict[str, list[float]] = {}
        if len(seen.people) == 1:
            person = seen.people[0]
            out["face"] = list(person.intensities.values())
            out["context"] = [*(angle / 45 for angle in person.pose_deg), *person.centre, person.height]
        if seen.has_picture:
            out["atmosphere"] = [seen.brightness, seen.saturation]
        if seen.voice is not None:
            out["voice"] = [max(-3.0, min(3.0, seen.voice.relative[key])) / 3 for key in VOICE_WORDS]
        return {name: torch.tensor(values) for name, values in out.items()}

    def targets(self, example: Example) -> dict[str, Tensor]:
        """Soft label targets (7,) of each label branch."""
        seen = example.seen
        uniform = np.full(len(EXPERT_LABELS), 1 / len(EXPERT_LABELS))
        out = {"both": uniform if seen.verdict is None else seen.verdict}
        if seen.people:
            out["face"] = seen.people[0].shares
        if seen.voice is not None:
            out["voice"] = seen.voice.shares
        return {name: torch.from_numpy(np.asarray(shares, np.float32)) for name, shares in out.items()}

    def window(self, material: Material, example: Example, rng: np.random.Generator) -> Window:
        """A drawn example as the window that the live program would hand to the Thinker."""
        text = self.model.embed(torch.tensor(self.encoder.ids(self.query())))
        frames: list[FrameEvidence] = []
        with torch.no_grad():
            seen_s, heard_s = self.times(example, rng)
            if example.has_picture:
                pool = self.entry(material, example, rng).frames
                for number, at_s in enumerate(seen_s):
                    x, positions = self.frame(material, example, pool[number % len(pool)], text, rng)
                    people = range(example.n_faces)
                    faces = tuple(Face(i, (0.4, 0.4, 0.2, 0.2), 1.0, None) for i in people)
                    frames.append(
                        FrameEvidence(
                            at_s=at_s,
                            faces=faces,
                            cues=(),
                            scene=Scene(example.seen.brightness, example.seen.saturation),
                            counts=TokenCounts(0, 0, 0),
                            tokens_ND=x.numpy(),
                            positions_3N=positions.numpy(),
                        )
                    )
            speech: list[SpeechEvidence] = []
            for row, start_s in zip(said(example), heard_s, strict=True):
                x, positions = self.speech(material, example, row, text)
                cues = VoiceCues({}, {}, np.zeros(0, np.float32))
                speech.append(SpeechEvidence(start_s, start_s + 2.0, cues, x.numpy(), positions.numpy()))
        end_s = max([1.0, *seen_s, *(part.end_s for part in speech)])
        return Window(0, 0.0, end_s, tuple(frames), tuple(speech))


def said(example: Example) -> tuple[int, ...]:
    """Voice rows of a window, oldest first."""
    return (*example.earlier_rows, example.voice_row) if example.voice_row >= 0 else ()
