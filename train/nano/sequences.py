"""Drawn windows as training sequences. The random choices and the tokens are made here; `train/layout.py` lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.tokens import (
    ALL_CUES,
    CueSwitches,
    FaceFeatures,
    face_measures,
    frame_tokens,
    scene_measures,
    speech_tokens,
)
from realtime.model.experts import EXPERT_LABELS
from realtime.model.selectors import keep_background
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import branch_names, labels_before_sections, n_faces
from realtime.reason.parts import labels_before_argument
from realtime.reason.sequence import Tokens, WindowTokens
from realtime.records import Face, Float32, FrameEvidence, Scene, SpeechEvidence, TokenCounts, VoiceCues, Window
from train.coet.measured import EXPRESSION, Observation, Writer
from train.coet.questions import KnownQuestion, ask
from train.coet.wordings import KINDS
from train.layout import (
    JUDGED,
    TrainingBranch,
    TrainingSequence,
    append,
    asked_branch,
    chain_branches,
    judged_branch,
    label_branch,
    lay_out,
)
from train.nano import synthetic_frames
from train.nano.cue_sentences import IN_WORDS, appended, face_words, voice_words
from train.nano.drawn_windows import DrawnWindow, one_label
from train.nano.thinker_inputs import PooledFrames, ThinkerInputs

QUESTION_SHARE = 0.35
"How often a window is asked another question than the usual one."
N_OTHERS = 10
"Further questions about each window, of different kinds."
ASKED_WEIGHT = 4.0
"Weight of a token of their answers in the loss."
WORDS_SHARE = 0.08
"How often cues are given as sentences instead of tokens (`cue_sentences.py`)."
CUES_OFF_SHARE = 0.05
"How often each kind of cue token is left out, so that the model works with and without."
DRAWN_LABELS_SHARE = 0.5
"How often a label that a chain is told, or tells, is drawn by its share instead of being the likeliest."
ANY_LABEL_SHARE = 0.6
"""How often a drawn judgement is any label, whatever its share. A calibrated judgement may be neither what was named of
the face nor of the voice; a chain that rarely learns from such windows argues for one of these two."""
SECTION_WEIGHTS = {"face": 2.0, "voice": 2.0, "coarse": 2.0, "fine": 4.0, "answer": 8.0}
"Weight of a token in the loss, by section; 1 elsewhere. Sections that depend on the evidence weigh more."
NAMED_WEIGHT = 4.0
"Further factor for a token that names an emotion: a section has two or three of them, and the rest is about them."
DECIDING_WEIGHT = 12.0
"Further factor for the word by which `coarse` says whether face and voice agree: one token, on which the rest hangs."
FRAME_TOKENS = 65
"About how many tokens a picture has, without its cues and markers."
FACE_BOX = (0.4, 0.4, 0.2, 0.2)
"Box of every face in a window's records. Only their number is read there; cue tokens take the place from the picture."
FAINT = (0.05, 0.25)
"How strong an expression is before it appears, as a share of what it becomes."
AT_REST = 0.82
"Probability of neutral by the face expert for a face without any expression."
NO_TOKENS_ND = np.zeros((0, 0), np.float32)
NO_OFFSETS_3N = np.zeros((3, 0), np.int64)


class NanoLayout:
    """Makes a drawn window's tokens with the model as it is, and lays the window out."""

    def __init__(self, model: EmoThinker, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.label_ids = [vocabulary.ids(label)[0] for label in EXPERT_LABELS]
        words = {*EXPERT_LABELS, *(words[0] for words in EXPRESSION.values())}
        self.naming = {token for word in words for token in vocabulary.ids(f" {word}")}
        "Tokens of words that name an emotion within a sentence."
        self.deciding = {vocabulary.ids(word)[0] for word in (" Both", " Face")}

    def length(self, inputs: ThinkerInputs, drawn: DrawnWindow) -> int:
        """About how many tokens the sequence has, to batch windows of similar length."""
        n_sound = sum(inputs.sound[row].shape[0] for row in drawn.voice_rows)
        return FRAME_TOKENS * drawn.n_frames + n_sound + sum(len(text) for text in drawn.sections.values()) // 5

    # Random augmentations: chosen before a window is laid out.

    def asked(self, drawn: DrawnWindow, rng: np.random.Generator) -> KnownQuestion | None:
        """Draw another question than the usual one, or none."""
        if rng.random() >= QUESTION_SHARE:
            return None
        return ask(KINDS[int(rng.integers(len(KINDS)))], drawn.seen, rng)

    def switches(self, rng: np.random.Generator) -> CueSwitches:
        """Draw which cues are given as tokens or as sentences."""
        on = rng.random(4) >= CUES_OFF_SHARE
        return IN_WORDS if rng.random() < WORDS_SHARE else CueSwitches(*(bool(v) for v in on))

    def times(
        self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator
    ) -> tuple[list[float], list[tuple[float, float]]]:
        """Draw when each picture is seen, and when each sentence begins and ends, in window seconds.

        Speech ends about when the last picture is seen, as in a live window, which ends with the speech it is about.
        """
        first_s = float(rng.integers(0, 5)) if drawn.n_frames < 5 else 0.0
        seen_s = [first_s + second for second in range(drawn.n_frames)]
        end_s = (seen_s[-1] if seen_s else first_s) + float(rng.uniform(-0.3, 0.9))
        heard: list[tuple[float, float]] = []
        for row in reversed(drawn.voice_rows):
            length_s = inputs.sound[row].shape[0] / self.model.config.position_id_per_seconds
            heard.insert(0, (end_s - length_s, end_s))
            end_s -= length_s + float(rng.uniform(0.3, 2))
        back_s = min([0.0, *(start_s for start_s, _ in heard)])  # a window begins with its first evidence
        return [at_s - back_s for at_s in seen_s], [(start_s - back_s, stop_s - back_s) for start_s, stop_s in heard]

    def pictures(self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator) -> PooledFrames:
        """The stored pictures of the window's people; without people, of an empty scene that is drawn."""
        pool = inputs.frames
        return pool.by_rows[drawn.face_rows] if drawn.face_rows else pool.empty[int(rng.integers(len(pool.empty)))]

    # Tokens.

    def tokens(
        self,
        inputs: ThinkerInputs,
        drawn: DrawnWindow,
        rng: np.random.Generator,
        question: prompt.Question,
        switches: CueSwitches = ALL_CUES,
    ) -> tuple[Window, WindowTokens]:
        """The window's records, still without tokens, and its tokens, with gradients."""
        query = self.vocabulary.ids(prompt.query_text(self.model.config.emotion.prompt, question))
        text_QD = self.model.embed(torch.tensor(query))
        seen_s, heard = self.times(inputs, drawn, rng)
        frames, speech = [], []
        if drawn.has_picture:
            stored = self.pictures(inputs, drawn, rng).frames
            for number in range(drawn.n_frames):
                frame = stored[number % len(stored)]
                strength = 1.0 if number >= drawn.onset else float(rng.uniform(*FAINT))
                frames.append(self.frame_tokens(inputs, drawn, frame, text_QD, rng, switches, strength))
        for row in drawn.voice_rows:
            speech.append(self.speech_tokens(inputs, drawn, row, text_QD, switches))
        return window_of(drawn, seen_s, heard), WindowTokens(frames, speech)

    def speech_tokens(
        self, inputs: ThinkerInputs, drawn: DrawnWindow, row: int, text_QD: Tensor, switches: CueSwitches
    ) -> Tokens:
        measures_11 = torch.from_numpy(inputs.live[drawn.order, row])
        verdict_7 = torch.from_numpy(inputs.voice_verdicts[drawn.order, row])
        x, offsets = speech_tokens(
            self.model,
            inputs.sound[row].float(),
            text_QD=text_QD,
            measures_11=measures_11,
            verdict_7=verdict_7,
            switches=switches,
        )
        if switches is IN_WORDS:
            x, offsets = appended(self.model, self.vocabulary, x, offsets, voice_words(measures_11, verdict_7))
        return Tokens(x, offsets)

    def frame_tokens(
        self,
        inputs: ThinkerInputs,
        drawn: DrawnWindow,
        frame: int,
        text_QD: Tensor,
        rng: np.random.Generator,
        switches: CueSwitches,
        strength: float,
    ) -> Tokens:
        focal_N, faces = inputs.frames.focal[frame], []
        for person, row, box in zip(drawn.seen.people, drawn.face_rows, inputs.frames.boxes[frame], strict=True):
            intensities = {cue: value * strength for cue, value in person.intensities.items()}
            measures = face_measures(intensities, person.pose_deg, centre=person.centre, height=person.height)
            geometry_936 = torch.from_numpy(inputs.geometry[row].astype(np.float32))
            mean_936 = self.model.emotion.geometry_mean
            faces.append(
                FaceFeatures(
                    measures_20=torch.from_numpy(measures),
                    geometry_936=mean_936 + (geometry_936 - mean_936) * strength,
                    verdict_7=torch.from_numpy(fainter(inputs.face_verdicts[row], strength)),
                    centre_in_view=(box[0] + box[2] / 2, box[1] + box[3] / 2),
                )
            )
        drop, seed = self.model.config.emotion.drop, int(rng.integers(2**31))
        x, offsets = frame_tokens(
            self.model,
            inputs.frames.tokens[frame].float(),
            columns=synthetic_frames.SIDE,
            focal_N=focal_N,
            keep_N=keep_background(focal_N, drop=drop, seed=seed),
            text_QD=text_QD,
            faces=faces,
            scene_3=torch.from_numpy(scene_measures(scene_of(drawn), len(faces))),
            switches=switches,
        )
        for face in faces if switches is IN_WORDS else ():
            x, offsets = appended(self.model, self.vocabulary, x, offsets, face_words(face))
        return Tokens(x, offsets)

    # Sequences.

    def sequence(self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator) -> TrainingSequence:
        """Lay out the window with label branches and chain, in the form in which the model is served."""
        form = self.model.config.emotion.chain_form
        if form == "evidence_first":
            return self.with_evidence_first(inputs, drawn, rng)
        return (self.with_first_look if form == "first_look" else self.told_nothing)(inputs, drawn, rng)

    def told_nothing(self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator) -> TrainingSequence:
        """Lay out label branches that learn from observers, and a plain chain, which is given no label."""
        asked = self.asked(drawn, rng)
        window, sequence = self.with_labels(inputs, drawn, rng, label_shares(drawn), asked)
        return self.with_chain(sequence, window, drawn, {}, asked)

    def with_evidence_first(
        self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator
    ) -> TrainingSequence:
        """Lay out label branches, what is found in each modality alone, and the judgement and argument after it.

        Labels, words and judgement follow the mean of what observers say and what the experts find. The model knows the
        observers' answers for its training people by heart; the experts, who never met them, keep it from being as sure
        of strangers.

        In some windows the emotions that the texts name are drawn by their shares. The argument then is what the crowd
        concludes from those, so that it learns to follow the chain's own words and not to say them again from evidence.
        In some the label that was judged is drawn too, so that the argument is for the label that it is told.
        """
        found = inputs.instrument_shares(drawn)
        mixed = {
            name: (shares + torch.from_numpy(found[name].astype(np.float32))) / 2 if name in found else shares
            for name, shares in label_shares(drawn).items()
        }
        asked = self.asked(drawn, rng)
        window, sequence = self.with_labels(inputs, drawn, rng, {**mixed, JUDGED: mixed["both"]}, asked)
        told = {name: mixed[name].numpy().astype(np.float64) for name in found}
        if told and rng.random() < DRAWN_LABELS_SHARE:
            alone = [name for name in told if name != "both"] or ["both"]
            labels = {name: int(rng.choice(len(told[name]), p=told[name] / told[name].sum())) for name in alone}
            told |= {name: one_label(told[name], label) for name, label in labels.items()}
            if len(labels) == 2:
                told["both"] = inputs.concluded(told["face"], labels["voice"])
        if len(told) > 1 and rng.random() < DRAWN_LABELS_SHARE:
            shares = told["both"] / told["both"].sum()
            any_label = rng.random() < ANY_LABEL_SHARE
            judged = int(rng.integers(len(shares)) if any_label else rng.choice(len(shares), p=shares))
            told["both"] = one_label(shares, judged)
        retold = drawn.with_chain_about(told)
        kinds = rng.choice(len(KINDS), N_OTHERS, replace=False)
        others = [ask(KINDS[int(kind)], drawn.seen, rng) for kind in kinds]
        shares = retold.seen.shares
        label = prompt.UNSURE if shares is None else EXPERT_LABELS[int(shares.argmax())]
        looked = {prompt.ARGUMENT: labels_before_argument(label, retold.sections, EXPERT_LABELS)}
        return self.with_chain(sequence, window, retold, looked, asked, others)

    def with_first_look(self, inputs: ThinkerInputs, drawn: DrawnWindow, rng: np.random.Generator) -> TrainingSequence:
        """Lay out label branches, and a chain that is given labels while it is written, as in serving.

        In serving these are the model's own fast labels. Here they come from the experts, which were never trained on
        these people, and the chain's text follows the same labels. The model knows the answers of its training people
        by heart. A chain that learnt to correct a given label with that knowledge would correct wrongly on strangers.

        Some labels are drawn instead of the likeliest, because the cue tokens hold the experts' outputs too: a chain
        that reads them there contradicts the label it was given. The label branches learn half from observers and half
        from the experts, which know nothing by heart.
        """
        found, told = inputs.instrument_shares(drawn), {}
        for name, shares in found.items():
            by_share = rng.random() < DRAWN_LABELS_SHARE
            told[name] = int(rng.choice(len(shares), p=shares / shares.sum()) if by_share else shares.argmax())
        mixed = {
            name: (shares + torch.from_numpy(found[name].astype(np.float32))) / 2 if name in found else shares
            for name, shares in label_shares(drawn).items()
        }
        asked = self.asked(drawn, rng)
        window, sequence = self.with_labels(inputs, drawn, rng, mixed, asked)
        looked = labels_before_sections(
            {name: EXPERT_LABELS[label] for name, label in told.items()},
            has_face=n_faces(window) > 0,
            has_speech=bool(window.speech),
        )
        retold = drawn.with_chain_about({name: one_label(shares, told[name]) for name, shares in found.items()})
        return self.with_chain(sequence, window, retold, looked, asked)

    def with_labels(
        self,
        inputs: ThinkerInputs,
        drawn: DrawnWindow,
        rng: np.random.Generator,
        shares: Mapping[str, Tensor],
        asked: KnownQuestion | None,
    ) -> tuple[Window, TrainingSequence]:
        """The window's records, and its evidence laid out with the label branches, which learn `shares`."""
        question = prompt.Question(query=asked.text if asked is not None else None)
        window, tokens = self.tokens(inputs, drawn, rng, question, self.switches(rng))
        sequence = lay_out(self.model, self.vocabulary, window, tokens, question)
        for name in branch_names(window):
            sequence = append(self.model, sequence, label_branch(self.vocabulary, window, name))
        return window, replace(sequence, label_shares=shares)

    def with_chain(
        self,
        sequence: TrainingSequence,
        window: Window,
        drawn: DrawnWindow,
        looked: Mapping[str, tuple[str, ...]],
        asked: KnownQuestion | None,
        others: Sequence[KnownQuestion] = (),
    ) -> TrainingSequence:
        """Append the chain, which answers what was asked, and the judgement that an evidence-first one has.

        An evidence-first chain is asked the `others` too, each in a branch of its own.
        """
        emotion, seen = self.model.config.emotion, timed(drawn, window)
        form = emotion.chain_form
        sections = Writer(drawn.words).chain(seen)
        if asked is not None:
            sections |= {"answer": f"{asked.answer(seen)}. {sections['answer']}"}
        question = prompt.Question(query=asked.text if asked is not None else None)
        for branch in chain_branches(
            self.vocabulary, window, sections, looked, form, question, measured=emotion.measured
        ):
            sequence = append(self.model, sequence, self.weighted(branch))
        if form == "evidence_first":
            for number, other in enumerate(others):
                branch = asked_branch(self.vocabulary, f"asked {number}", other.text, f"{other.answer(seen)}.")
                weights = [weight * ASKED_WEIGHT for weight in branch.weights]
                sequence = append(self.model, sequence, replace(branch, weights=weights))
            sequence = append(self.model, sequence, judged_branch(self.vocabulary, window))
        return sequence

    def weighted(self, branch: TrainingBranch) -> TrainingBranch:
        """A part of a chain with its tokens weighted by section and by what they name. Nano learns opening tags too."""
        weights = list(branch.weights)
        for name, (first, end) in branch.sections.items():
            for at in range(first, end):
                token = branch.ids[at]
                decides = name == "coarse" and token in self.deciding
                factor = DECIDING_WEIGHT if decides else NAMED_WEIGHT if token in self.naming else 1.0
                weights[at] = SECTION_WEIGHTS.get(name, 1.0) * factor
        return replace(branch, weights=weights)

    def served_window(
        self,
        inputs: ThinkerInputs,
        drawn: DrawnWindow,
        rng: np.random.Generator,
        question: prompt.Question | None = None,
    ) -> Window:
        """The window with its tokens, as a session with this question would give it to the Thinker."""
        with torch.no_grad():
            window, tokens = self.tokens(inputs, drawn, rng, question or prompt.Question())
        return replace(
            window,
            frames=tuple(
                replace(frame, tokens_ND=made.x_ND.numpy(), positions_3N=made.offsets_3N.numpy())
                for frame, made in zip(window.frames, tokens.frames, strict=True)
            ),
            speech=tuple(
                replace(part, tokens_ND=made.x_ND.numpy(), positions_3N=made.offsets_3N.numpy())
                for part, made in zip(window.speech, tokens.speech, strict=True)
            ),
        )


def label_shares(drawn: DrawnWindow) -> dict[str, Tensor]:
    """Label branch → the shares (7,) of its observers; uniform where there is nobody."""
    seen = drawn.seen
    uniform = np.full(len(EXPERT_LABELS), 1 / len(EXPERT_LABELS))
    out = {"both": uniform if seen.shares is None else seen.shares}
    if seen.people:
        out["face"] = seen.people[0].shares
    if seen.voice is not None:
        out["voice"] = seen.voice.shares
    return {name: torch.from_numpy(np.asarray(shares, np.float32)) for name, shares in out.items()}


def scene_of(drawn: DrawnWindow) -> Scene:
    return Scene(drawn.seen.brightness, drawn.seen.saturation)


def fainter(log_p_7: Float32, strength: float) -> Float32:
    """(7,) log-probabilities of a face whose expression has this strength, 0–1: mixed with those of a face at rest."""
    n = len(EXPERT_LABELS)
    rest_7 = np.full(n, (1 - AT_REST) / (n - 1), np.float32)
    rest_7[EXPERT_LABELS.index("neutral")] = AT_REST
    mixed: Float32 = np.log(strength * np.exp(log_p_7) + (1 - strength) * rest_7).astype(np.float32)
    return mixed


def timed(drawn: DrawnWindow, window: Window) -> Observation:
    """What is known of the window, with how long ago the first face's expression appeared and the last speech began."""
    seen = drawn.seen
    if seen.people and drawn.onset:
        appeared_s = window.end_s - window.frames[drawn.onset].at_s
        seen = replace(seen, people=(replace(seen.people[0], appeared_s=appeared_s), *seen.people[1:]))
    if seen.voice is not None and window.speech:
        seen = replace(seen, voice=replace(seen.voice, began_s=window.end_s - window.speech[-1].start_s))
    return seen


def window_of(drawn: DrawnWindow, seen_s: Sequence[float], heard: Sequence[tuple[float, float]]) -> Window:
    """The window's records without tokens: times, number of faces, and scene, as serving's layout reads them."""
    faces = tuple(Face(track, FACE_BOX, 1.0, None) for track in range(drawn.n_faces))
    frames = tuple(
        FrameEvidence(
            at_s=at_s,
            faces=faces,
            cues=(),
            scene=scene_of(drawn),
            counts=TokenCounts(0, 0, 0),
            tokens_ND=NO_TOKENS_ND,
            positions_3N=NO_OFFSETS_3N,
        )
        for at_s in seen_s
    )
    cues = VoiceCues({}, {}, np.zeros(0, np.float32))
    speech = tuple(SpeechEvidence(start_s, end_s, cues, NO_TOKENS_ND, NO_OFFSETS_3N) for start_s, end_s in heard)
    end_s = max([1.0, *seen_s, *(part.end_s for part in speech)])
    return Window(0, 0.0, end_s, frames, speech)
