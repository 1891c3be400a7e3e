"""Train nano's Thinker with its selectors and cue projectors on stored tower outputs.

    python -m train.thinker --data DATA --work WORK [--minutes 45]

One example is one window: trunk, frames, speech, then four branches that do not see each other: the fast label from
both modalities, from the face alone, from the voice alone, and the chain. Evidence chunks attend to the trunk and
themselves only, as in serving. Writes WORK/thinker.pt every two minutes and resumes from it; prints losses
and accuracy on people it never saw.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from realtime.evidence.tokens import ALL_CUES, CueSwitches, FaceFeatures, frame_tokens, speech_tokens
from realtime.model.config import ModelConfig
from realtime.model.experts import EXPERT_LABELS, FaceExpert
from realtime.model.language import chunk_mask
from realtime.model.selectors import keep_background
from realtime.model.thinker import EmoThinker
from realtime.reason import prompt
from realtime.reason.sequence import Chunk, marked, text_positions
from train import nano_config, scenes
from train.coet.measured import as_text
from train.corpus import EXTRA_QUESTIONS, Corpus, Example, TextEncoder
from train.face_expert import log_probabilities
from train.towers import Budget, audio_tokens, geometry_basis, vision_tokens

BATCH = 8
EXTRA_QUESTION_SHARE = 0.08
CUES_OFF_SHARE = 0.05
"How often each kind of cue token is withheld, so that the model works with and without."
LABEL_WEIGHTS = {"both": 1.0, "face": 0.5, "voice": 0.5}


@dataclass(frozen=True)
class PoolEntry:
    rows: tuple[int, ...]
    frames: tuple[int, ...]
    "Indices into the pool's tokens: the same people in one to three pictures."


class FramePool:
    """Composed frames with the tower's outputs, made once."""

    def __init__(self, corpus: Corpus, work: Path, tower: nn.Module, *, n_entries: int, name: str) -> None:
        path = work / f"frames_{name}.pt"
        if not path.exists():
            self._make(corpus, work, tower, n_entries, path)
        state = torch.load(path, weights_only=True)
        self.tokens, self.focal, self.boxes = state["tokens"], state["focal"], state["boxes"]
        self.entries = [PoolEntry(tuple(rows), tuple(frames)) for rows, frames in state["entries"]]
        self.empty = [entry for entry in self.entries if not entry.rows]
        self.with_faces = [entry for entry in self.entries if entry.rows]
        self.by_rows = {entry.rows: entry for entry in self.with_faces}

    def _make(self, corpus: Corpus, work: Path, tower: nn.Module, n_entries: int, path: Path) -> None:
        with np.load(work / "crops.npz") as file:
            meshes = file["mesh"]
        rng = np.random.default_rng(n_entries)
        tokens, focal, boxes, entries = [], [], [], []
        pending: list[scenes.SceneFrame] = []
        started = time.monotonic()

        def flush() -> None:
            if pending:
                with torch.no_grad():
                    tokens.append(vision_tokens(tower, pending).half())  # type: ignore[arg-type]
                pending.clear()

        for index in range(n_entries):
            rows = () if index % 40 == 0 else corpus.pick_faces(rng)
            n_frames = int(rng.choice([1, 2, 3], p=[0.8, 0.14, 0.06]))
            first = len(focal)
            for _ in range(n_frames):
                frame = scenes.compose(corpus.faces.images_NHW, meshes, list(rows), rng)
                pending.append(frame)
                focal.append(frame.focal)
                boxes.append([face.box for face in frame.faces])
                if len(pending) == 16:
                    flush()
            entries.append((list(rows), list(range(first, first + n_frames))))
            if index % 1000 == 999:
                print(f"frames of {index + 1}/{n_entries} windows, {time.monotonic() - started:.0f} s", flush=True)
        flush()
        state = {"tokens": torch.cat(tokens), "focal": torch.stack(focal), "boxes": boxes, "entries": entries}
        torch.save(state, path)

    def pick(self, rng: np.random.Generator) -> tuple[int, ...]:
        return self.with_faces[int(rng.integers(len(self.with_faces)))].rows


class Material:
    """One part's people with everything the sequences are built from."""

    def __init__(self, data: Path, work: Path, part: str, *, n_entries: int, towers: EmoThinker) -> None:
        self.corpus = Corpus(data, work, part)
        self.frames = FramePool(self.corpus, work, towers.thinker.visual, n_entries=n_entries, name=part)
        with np.load(work / "crops.npz") as file:
            self.geometry = file["geometry"]
            crops = file["crops"]
        expert = FaceExpert()
        expert.load_state_dict(torch.load(work / "face_expert.pt", weights_only=True)["model"])
        rows = self.corpus.face_rows
        self.face_verdicts = np.zeros((len(crops), 7), np.float32)
        self.face_verdicts[rows] = log_probabilities(expert, crops[rows])
        with np.load(work / "voice_verdicts.npz") as file:
            self.voice_verdicts, self.live = file["log_p"], file["live"]
        voices, self.sound = self.corpus.voices, {}
        with torch.no_grad():
            for part_rows in np.array_split(self.corpus.voice_rows, max(1, len(self.corpus.voice_rows) // 16)):
                mels = [torch.from_numpy(voices.mel[r][:, : voices.n_frames[r]].astype(np.float32)) for r in part_rows]
                for row, tokens in zip(part_rows, audio_tokens(towers.thinker.audio_tower, mels), strict=True):
                    self.sound[int(row)] = tokens.half()

    def draw(self, rng: np.random.Generator) -> Example:
        return self.corpus.draw(rng, self.frames.pick)


@dataclass
class Sequence:
    """One example laid out: embeddings, positions, mask, and where each branch's targets are."""

    x_TD: Tensor
    positions_3T: Tensor
    mask_TT: Tensor
    label_at: dict[str, int]
    "Branch name → index of the token whose next token is the label."
    chain_from: int
    chain_ids: list[int]


class Layout:
    """Builds sequences with the very functions that serving uses."""

    def __init__(self, model: EmoThinker, encoder: TextEncoder) -> None:
        self.model, self.encoder = model, encoder
        self.label_ids = [encoder.ids(label)[0] for label in EXPERT_LABELS]

    def query(self, ask: prompt.Ask | None = None) -> str:
        return prompt.query_text("nano", ask or prompt.Ask())

    def entry(self, material: Material, example: Example, rng: np.random.Generator) -> PoolEntry:
        pool = material.frames
        return pool.by_rows[example.face_rows] if example.face_rows else pool.empty[int(rng.integers(len(pool.empty)))]

    def chunks(
        self, material: Material, example: Example, ask: prompt.Ask, rng: np.random.Generator, switches: CueSwitches
    ) -> tuple[list[int], list[Chunk]]:
        trunk_ids = self.encoder.ids(prompt.trunk_text("nano", ask))
        text = self.model.embed(torch.tensor(self.encoder.ids(self.query(ask))))
        base = len(trunk_ids)
        chunks: list[Chunk] = []
        start_s = float(rng.integers(0, 5))
        if example.has_picture:
            for second, frame in enumerate(self.entry(material, example, rng).frames):
                x, positions = self.frame(material, example, frame, text, rng, switches)
                t = base + round(25 * (start_s + second))
                positions = positions + torch.tensor([[t], [base], [base]])
                markers = (prompt.VISION_START, prompt.VISION_END)
                chunks.append(marked(self.model, self.encoder, x, positions, t, markers, "face"))
        if example.voice_row >= 0:
            x, positions = self.speech(material, example, text, switches)
            t = base + round(25 * max(0.0, start_s + float(rng.uniform(-2, 2))))
            markers = (prompt.AUDIO_START, prompt.AUDIO_END)
            chunks.append(marked(self.model, self.encoder, x, positions + t, t, markers, "voice"))
        return trunk_ids, chunks

    def speech(
        self, material: Material, example: Example, text: Tensor, switches: CueSwitches = ALL_CUES
    ) -> tuple[Tensor, Tensor]:
        live = material.live[example.order, example.voice_row]
        return speech_tokens(
            self.model,
            material.sound[example.voice_row].float(),
            text_QD=text,
            measures_10=torch.from_numpy(live[:10]),
            verdict_7=torch.from_numpy(material.voice_verdicts[example.order, example.voice_row]),
            switches=switches,
        )

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
        return frame_tokens(
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

    def sequence(self, material: Material, example: Example, rng: np.random.Generator) -> Sequence:
        ask = prompt.Ask()
        if rng.random() < EXTRA_QUESTION_SHARE:
            ask = prompt.Ask(query=EXTRA_QUESTIONS[int(rng.integers(len(EXTRA_QUESTIONS)))])
        on = rng.random(4) >= CUES_OFF_SHARE
        trunk_ids, chunks = self.chunks(material, example, ask, rng, CueSwitches(*(bool(v) for v in on)))
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
        state = {"n_faces": example.n_faces, "has_picture": example.has_picture, "has_speech": has["voice"]}
        head = self.encoder.ids(prompt.branch_text(**state, opening=""))
        chain_ids = self.encoder.ids(as_text(example.sections) + prompt.END_OF_TURN)
        branches.append(("chain", None, head + chain_ids))
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
        chain_from = at - len(chain_ids)
        del label_at["chain"]
        return Sequence(torch.cat(parts), torch.cat(positions, 1), mask, label_at, chain_from, chain_ids)

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


def forward(model: EmoThinker, sequences: list[Sequence]) -> Tensor:
    """Hidden states (B, T, D) of padded sequences."""
    longest = max(s.x_TD.shape[0] for s in sequences)
    x = torch.stack([F.pad(s.x_TD, (0, 0, 0, longest - s.x_TD.shape[0])) for s in sequences])
    positions = torch.stack([F.pad(s.positions_3T, (0, longest - s.x_TD.shape[0])) for s in sequences], 1)
    mask = torch.zeros(len(sequences), 1, longest, longest, dtype=torch.bool)
    for row, s in enumerate(sequences):
        n = s.x_TD.shape[0]
        mask[row, 0, :n, :n] = s.mask_TT
        mask[row, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
    return model.thinker.model(x, positions, mask)  # type: ignore[no-any-return]


def losses(model: EmoThinker, layout: Layout, batch: list[Example], sequences: list[Sequence]) -> dict[str, Tensor]:
    hidden = forward(model, sequences)
    label_rows, label_targets, weights, chain_rows, chain_targets = [], [], [], [], []
    for row, (example, s) in enumerate(zip(batch, sequences, strict=True)):
        targets = layout.targets(example)
        for name, at in s.label_at.items():
            label_rows.append(hidden[row, at])
            label_targets.append(targets[name])
            weights.append(LABEL_WEIGHTS[name])
        n = len(s.chain_ids)
        chain_rows.append(hidden[row, s.chain_from - 1 : s.chain_from + n - 1])
        chain_targets += s.chain_ids
    head = model.thinker.lm_head
    label_logp = torch.log_softmax(head(torch.stack(label_rows)), -1)[:, layout.label_ids]
    label = -(torch.stack(label_targets) * label_logp).sum(1)
    chain = F.cross_entropy(head(torch.cat(chain_rows)), torch.tensor(chain_targets))
    return {"label": (label * torch.tensor(weights)).sum() / len(batch), "chain": chain}


@torch.no_grad()
def validate(model: EmoThinker, layout: Layout, material: Material, n: int = 240) -> str:
    """Fast label against the majority of its target, by branch, on people unseen in training; chain loss."""
    model.eval()
    hits: dict[str, list[bool]] = {"both": [], "face": [], "voice": [], "conflict": []}
    chain = []
    for start in range(0, n, 16):
        rng = np.random.default_rng(start)
        batch = [material.draw(rng) for _ in range(16)]
        sequences = [layout.sequence(material, example, rng) for example in batch]
        hidden = forward(model, sequences)
        chain.append(float(losses(model, layout, batch, sequences)["chain"]))
        for row, (example, s) in enumerate(zip(batch, sequences, strict=True)):
            targets = layout.targets(example)
            if example.seen.verdict is None:
                continue
            for name, at in s.label_at.items():
                guess = model.thinker.lm_head(hidden[row, at])[layout.label_ids].argmax()
                hit = bool(guess == targets[name].argmax())
                kind = name
                if name == "both" and not (example.n_faces and example.voice_row >= 0):
                    kind = "face" if example.n_faces else "voice"
                elif name == "both" and targets["face"].argmax() != targets["voice"].argmax():
                    hits["conflict"].append(hit)
                hits[kind].append(hit)
    model.train()
    told = ", ".join(f"{name} {np.mean(values):.3f} ({len(values)})" for name, values in hits.items() if values)
    return f"valid: {told}, chain loss {np.mean(chain):.3f}"


def build(data: Path, work: Path, tokenizer: Tokenizer) -> EmoThinker:
    """nano with trained towers, experts and mesh components, and a fresh language model."""
    with np.load(work / "voice_verdicts.npz") as file:
        n_statistics = file["live"].shape[2]
    config = ModelConfig.parse(nano_config.config(tokenizer.get_vocab_size()), nano_config.emotion(n_statistics))
    torch.manual_seed(0)
    model = EmoThinker(config)
    depth = config.text.num_hidden_layers
    for name, parameter in model.thinker.model.named_parameters():
        if parameter.dim() > 1:
            scale = 0.03 / math.sqrt(2 * depth) if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.03
            nn.init.normal_(parameter, 0.0, scale)
    nn.init.normal_(model.thinker.lm_head.weight, 0.0, 0.02)
    model.thinker.visual.load_state_dict(torch.load(work / "vision.pt", weights_only=True)["tower"])
    model.thinker.audio_tower.load_state_dict(torch.load(work / "audio.pt", weights_only=True)["tower"])
    emotion = model.emotion
    assert emotion.face_expert is not None
    assert emotion.voice_expert is not None
    emotion.face_expert.load_state_dict(torch.load(work / "face_expert.pt", weights_only=True)["model"])
    emotion.voice_expert.load_state_dict(torch.load(work / "voice_expert.pt", weights_only=True))
    from train import ferplus

    faces = ferplus.load(data)
    with np.load(work / "crops.npz") as file:
        geometry, found = file["geometry"], file["found"]
    rows = faces.part("expert")
    mean, basis = geometry_basis(geometry[rows[found[rows]]])
    emotion.geometry_mean.copy_(torch.from_numpy(mean))
    emotion.geometry_basis.copy_(torch.from_numpy(basis))
    for name, parameter in emotion.named_parameters():
        if name.endswith("gate"):
            parameter.data.fill_(1.0)  # there is no stock model to leave as it is: all is learnt together
    return model


def trainable(model: EmoThinker) -> list[tuple[str, nn.Parameter]]:
    frozen = ("thinker.visual", "thinker.audio_tower", "emotion.face_expert", "emotion.voice_expert")
    return [(name, p) for name, p in model.named_parameters() if not name.startswith(frozen)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--windows", type=int, default=5000)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    model = build(args.data, args.work, tokenizer)
    train = Material(args.data, args.work, "thinker", n_entries=args.windows, towers=model)
    valid = Material(args.data, args.work, "valid", n_entries=args.windows // 10, towers=model)
    layout = Layout(model, TextEncoder(tokenizer))
    named = trainable(model)
    optimizer = torch.optim.AdamW([p for _, p in named], lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    path, n_steps, spent = args.work / "thinker.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        n_steps, spent = state["n_steps"], state["spent_s"]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in dict(named))
    budget = Budget(optimizer, minutes=args.minutes, spent_s=spent, peak=args.lr)

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"n_steps": n_steps, "spent_s": budget.spent_s}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    model.train()
    smooth: dict[str, float] = {}
    saved_at = validated_at = time.monotonic()
    while budget.step():
        rng = np.random.default_rng(n_steps)
        batch = [train.draw(rng) for _ in range(BATCH)]
        sequences = [layout.sequence(train, example, rng) for example in batch]
        parts = losses(model, layout, batch, sequences)
        optimizer.zero_grad(set_to_none=True)
        (parts["label"] + 2.0 * parts["chain"]).backward()
        nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizer.step()
        n_steps += 1
        for name, value in parts.items():
            smooth[name] = 0.97 * smooth.get(name, value.item()) + 0.03 * value.item()
        if n_steps % 20 == 0:
            told = ", ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            print(f"step {n_steps}, {budget.spent_s:.0f} s: {told}; {sequences[0].x_TD.shape[0]} tokens", flush=True)
        if time.monotonic() - validated_at > 420:
            print(validate(model, layout, valid), flush=True)
            validated_at = time.monotonic()
        if time.monotonic() - saved_at > 120:
            save()
            saved_at = time.monotonic()
    save()
    print(f"{n_steps} steps of {BATCH}. {validate(model, layout, valid, 960)}", flush=True)


if __name__ == "__main__":
    main()
