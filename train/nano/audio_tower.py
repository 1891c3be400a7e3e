"""Tune nano's audio tower on emotion and prosody, from Whisper's encoder.

    realtime train nano.audio_tower --data DATA --work WORK --encoder model.bin [--minutes 100] [--device cpu]
    realtime train nano.audio_tower --data DATA --work WORK --from TOWER

A batch holds parts of sessions: several sentences that one person said through one microphone. Each sentence is told
twice: by itself, and against what that person said before, as a live session does. So the layers learn to hold what
both need. The tokens that the language model reads learn the same from a mean over time.

The stage reads the sounds of `train.nano.voice_sounds`. It writes WORK/audio.pt every two minutes and resumes from it.
It prints the accuracy on validation speakers, by corpus. At the end it writes WORK/audio_tower.pt, the tower that is
used: half-way between the tuned weights and Whisper's (Wortsman et al., 2022, weight-space ensembles). The tuned tower
knows the few speakers that it was tuned on too well (`train/LOG.md`).

`--from` begins with a tower that was pre-trained without labels (`train.nano.masked_tower`) in Whisper's place. Then
all of its layers are tuned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.baseline import VOICE_PSEUDO_COUNT
from realtime.model.audio import AudioTower, n_tokens, split_chunks
from realtime.model.experts import EXPERT_LABELS, join_moments
from realtime.outputs import refuse_input
from realtime.records import Float32
from realtime.towers.preprocess import log_mel
from train.arrays import Bools, Int64
from train.command import run_command
from train.nano import whisper
from train.nano.budget import Budget
from train.nano.masked_tower import read_start
from train.nano.prepare import save
from train.nano.voice_layers import blank_tower
from train.nano.voice_sounds import Sounds
from train.readers import voices

SESSIONS, LENGTH = 4, 8
"Parts of sessions in a batch, and sentences of each."
FRAMES_KEPT = 400
"Mel frames kept of a sentence (4 s)."
N_PROSODY = 10
SAME_MOOD = 0.2
"Share of the sessions in which a person shows one emotion only, so that it is not taken for their usual."
HIDE_BANDS, HIDE_FRAMES = 12, 30
TUNED_SHARE = 0.5
"Share of the tuned weights in the tower that is used; the rest are Whisper's."


class SpokenMels:
    """Log-mels of the sentences of training and validation speakers, as they are and roughened."""

    def __init__(self, data: Path, work: Path, n_bins: int) -> None:
        self.spoken = voices.load(data)
        folder = work / "voices"
        path = folder / "mels.npz"
        if not path.exists():
            self._make(work, n_bins, path)
        with np.load(path) as file:
            self._mel, self._end = file["mel"], file["end"]
        assert len(self._end) == 2 * len(self.spoken)
        self.label = np.array([EXPERT_LABELS.index(voice.emotion) for voice in self.spoken])
        self.corpus = np.array([voice.corpus for voice in self.spoken])
        self.part = np.array([voice.part for voice in self.spoken])
        with np.load(folder / "clean.npz") as clean, np.load(folder / "rough.npz") as rough:
            self.prosody = np.stack([file["features"][:, :N_PROSODY] for file in (clean, rough)])
            self.session = np.stack([clean["session"], rough["session"]])
        self.speaker = self.session[0]

    def _make(self, work: Path, n_bins: int, path: Path) -> None:
        parts: list[Float32] = []
        for name in ("clean", "rough"):
            sounds = Sounds(work, name)
            for index, voice in enumerate(self.spoken):
                used = voice.part in ("train", "valid")
                mel = log_mel(sounds[index], n_bins)[:, :FRAMES_KEPT] if used else np.zeros((n_bins, 0), np.float32)
                parts.append(mel.T.astype(np.float16))
        save(path, {"mel": np.concatenate(parts), "end": np.cumsum([len(part) for part in parts])})

    def mel_of(self, row: int) -> Tensor:
        """(F, T) of a row of `voice_expert.Spoken`: all sentences as they are, then all of them roughened."""
        return self.mel(*divmod(row, len(self.spoken)))

    def mel(self, kind: int, row: int) -> Tensor:
        """(F, T) of a sentence; kind 0 as it is, 1 roughened."""
        index = kind * len(self.spoken) + row
        start = self._end[index - 1] if index else 0
        return torch.from_numpy(self._mel[start : self._end[index]].astype(np.float32).T.copy())


def audio_tokens(tower: AudioTower, mels: list[Tensor]) -> list[Tensor]:
    """Tokens of each (F, T) log-mel, (n, D)."""
    split = [split_chunks(mel) for mel in mels]
    out = tower(torch.cat([chunks for chunks, _ in split]), torch.cat([lengths for _, lengths in split]))
    result, start = [], 0
    for _, lengths in split:
        rows = out[start : start + len(lengths)]
        result.append(torch.cat([row[: n_tokens(int(n))] for row, n in zip(rows, lengths, strict=True)]))
        start += len(lengths)
    return result


class Heads(nn.Module):
    """What is read from the tower in training, and thrown away afterwards."""

    def __init__(self, tower: AudioTower) -> None:
        super().__init__()
        config = tower.config
        n_layers, width, out = config.encoder_layers, config.d_model, config.output_dim
        self.norm = nn.LayerNorm(2 * n_layers * width, elementwise_affine=False)
        self.alone = nn.Linear(2 * n_layers * width, len(EXPERT_LABELS))
        self.against = nn.Linear(2 * n_layers * width, len(EXPERT_LABELS))
        self.prosody = nn.Linear(2 * n_layers * width, N_PROSODY)
        self.token_label = nn.Sequential(nn.LayerNorm(out), nn.Linear(out, len(EXPERT_LABELS)))
        self.token_prosody = nn.Sequential(nn.LayerNorm(out), nn.Linear(out, N_PROSODY))
        self.dropout = nn.Dropout(0.3)


def encode(tower: AudioTower, mels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """(B, 2·L·D) moments of each sentence's layers, and (B, out) the mean of its tokens."""
    split = [split_chunks(mel) for mel in mels]
    device = next(tower.parameters()).device
    chunks, lengths = (torch.cat(parts).to(device) for parts in zip(*split, strict=True))
    tokens, moments = tower.with_moments(chunks, lengths)
    layers, means, at = [], [], 0
    for _, own in split:
        rows = slice(at, at + len(own))
        layers.append(join_moments(moments[rows], lengths[rows]).flatten())
        real = [row[: n_tokens(int(n))] for row, n in zip(tokens[rows], own.tolist(), strict=True)]
        means.append(torch.cat(real).mean(0))
        at += len(own)
    return torch.stack(layers), torch.stack(means)


def hidden(mel_FT: Tensor, rng: np.random.Generator) -> Tensor:
    """The mel with a band and a stretch of time hidden (SpecAugment)."""
    mel = mel_FT.clone()
    low = int(rng.integers(mel.shape[0] - HIDE_BANDS))
    mel[low : low + int(rng.integers(1, HIDE_BANDS))] = mel.mean()
    if mel.shape[1] > 2 * HIDE_FRAMES:
        start = int(rng.integers(mel.shape[1] - HIDE_FRAMES))
        mel[:, start : start + int(rng.integers(1, HIDE_FRAMES))] = mel.mean()
    return mel


def draw(heard: SpokenMels, used: Bools, rng: np.random.Generator) -> list[tuple[int, Int64]]:
    """A batch: for each session its kind and the rows of its sentences. Corpora are drawn alike."""
    batch = []
    for _ in range(SESSIONS):
        corpus = rng.choice(np.unique(heard.corpus[used]))
        kind = int(rng.integers(2))
        rows = np.flatnonzero(used & (heard.corpus == corpus))
        one = rng.choice(np.unique(heard.session[kind][rows]))
        rows = rows[heard.session[kind][rows] == one]
        if rng.random() < SAME_MOOD:
            rows = rows[heard.label[rows] == heard.label[rng.choice(rows)]]
        elif len(rows) > LENGTH:  # rare emotions come up as often as common ones
            weight = 1 / np.bincount(heard.label[rows], minlength=len(EXPERT_LABELS))[heard.label[rows]]
            rows = rng.choice(rows, LENGTH, replace=False, p=weight / weight.sum())
        batch.append((kind, rng.permutation(rows)[:LENGTH]))
    return batch


def before(features_TS: Tensor) -> Tensor:
    """(T, S) what each sentence of a session is told against: the mean of those before and of two at the prior, 0."""
    so_far = torch.cumsum(features_TS, 0) - features_TS
    return so_far / (torch.arange(len(features_TS), device=features_TS.device)[:, None] + VOICE_PSEUDO_COUNT)


def losses(
    tower: AudioTower, heads: Heads, heard: SpokenMels, batch: list[tuple[int, Int64]], rng: np.random.Generator
) -> dict[str, Tensor]:
    mels = [hidden(heard.mel(kind, int(row)), rng) for kind, rows in batch for row in rows]
    layers, tokens = encode(tower, mels)
    device = layers.device
    target = torch.from_numpy(np.concatenate([heard.label[rows] for _, rows in batch])).to(device)
    x = heads.norm(layers)
    told = torch.cat([part - before(part).detach() for part in x.split([len(rows) for _, rows in batch])])
    measured = torch.cat([prosody_of(heard, kind, rows) for kind, rows in batch]).to(device)

    def label(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, label_smoothing=0.1)

    told_by_layers, told_by_tokens = heads.prosody(x), heads.token_prosody(tokens)
    return {
        "alone": label(heads.alone(heads.dropout(x))),
        "against": label(heads.against(heads.dropout(told))),
        "tokens": label(heads.token_label(tokens)),
        "prosody": F.smooth_l1_loss(told_by_layers, measured) + F.smooth_l1_loss(told_by_tokens, measured),
    }


def prosody_of(heard: SpokenMels, kind: int, rows: Int64) -> Tensor:
    """(T, 10) prosody in spreads over all sentences."""
    every = heard.prosody[kind]
    z = (every[rows] - every.mean(0)) / (every.std(0) + 1e-6)
    return torch.from_numpy(np.clip(z, -4, 4).astype(np.float32))


@torch.no_grad()
def accuracy(tower: AudioTower, heads: Heads, heard: SpokenMels) -> str:
    """Accuracy on validation speakers, one session each: alone, against what was said before, and by the tokens."""
    tower.eval()
    heads.eval()
    hits: dict[str, list[list[bool]]] = {}
    rng = np.random.default_rng(0)
    for speaker in np.unique(heard.speaker[heard.part == "valid"]):
        rows = rng.permutation(np.flatnonzero(heard.speaker == speaker))[:60]
        parts = [encode(tower, [heard.mel(0, int(row)) for row in some]) for some in np.array_split(rows, 6)]
        x, tokens = heads.norm(torch.cat([layers for layers, _ in parts])), torch.cat([token for _, token in parts])
        guesses = heads.alone(x), heads.against(x - before(x)), heads.token_label(tokens)
        own = hits.setdefault(heard.corpus[rows[0]], [[], [], []])
        for kept, logits in zip(own, guesses, strict=True):
            kept += list(logits.argmax(1).cpu().numpy() == heard.label[rows])
    tower.train()
    heads.train()
    told = "; ".join(f"{corpus} " + " ".join(f"{np.mean(part):.3f}" for part in own) for corpus, own in hits.items())
    means = [np.mean([np.mean(own[k]) for own in hits.values()]) for k in range(3)]
    return f"valid (alone, against, tokens): {told}; mean " + " ".join(f"{value:.3f}" for value in means)


def between(tuned: AudioTower, encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the tower that is used, half-way to what it began from. What Whisper does not have is the tuned
    tower's."""
    return {
        name: tensor.cpu() if name in whisper.NEW else torch.lerp(encoder[name], tensor.cpu(), TUNED_SHARE)
        for name, tensor in tuned.state_dict().items()
    }


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    begin = parser.add_mutually_exclusive_group(required=True)
    begin.add_argument("--encoder", type=Path, help="Whisper tiny.en: model.bin or a folder")
    begin.add_argument("--from", dest="start", type=Path, metavar="TOWER", help="masked_audio_tower.pt")
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    refuse_input(args.work, args.data, args.encoder, args.start)
    torch.manual_seed(0)
    tower = blank_tower()
    encoder = read_start(args.start, tower) if args.start else whisper.read_encoder(args.encoder)
    whisper.start_from(tower, encoder)
    tower = tower.to(args.device).train()
    heard = SpokenMels(args.data, args.work, tower.config.num_mel_bins)
    heads = Heads(tower).to(args.device)
    # Whisper's convolutions and first layer hear as they did: they are general, and training is a third shorter.
    for name, parameter in tower.named_parameters():
        parameter.requires_grad_(args.start is not None or not name.startswith(("conv", "layers.0.")))
    named = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": named, "scale": 1.0}, {"params": list(heads.parameters()), "scale": 10.0}],
        lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98),
    )  # fmt: skip
    path, n_steps, spent = args.work / "audio.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        tower.load_state_dict(state["tower"])
        heads.load_state_dict(state["heads"])
        optimizer.load_state_dict(state["optimizer"])
        n_steps, spent = state["n_steps"], state["spent_s"]
    budget = Budget(optimizer, minutes=args.minutes, spent_s=spent, peak=args.lr)

    def store() -> None:
        state = {"tower": tower.state_dict(), "heads": heads.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"n_steps": n_steps, "spent_s": budget.spent_s}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    used = heard.part == "train"
    smooth: dict[str, float] = {}
    saved_at = told_at = time.monotonic()
    while budget.step():
        for group in optimizer.param_groups:
            group["lr"] *= group["scale"]
        rng = np.random.default_rng(n_steps)
        parts = losses(tower, heads, heard, draw(heard, used, rng), rng)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(named, 1.0)
        optimizer.step()
        n_steps += 1
        for name, value in parts.items():
            smooth[name] = 0.97 * smooth.get(name, value.item()) + 0.03 * value.item()
        if n_steps % 20 == 0:
            told = ", ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            print(f"step {n_steps}, {budget.spent_s:.0f} s: {told}", flush=True)
        if time.monotonic() - saved_at > 120:
            store()
            saved_at = time.monotonic()
        if time.monotonic() - told_at > 900:
            print(accuracy(tower, heads, heard), flush=True)
            told_at = time.monotonic()
    store()
    torch.save({"tower": between(tower, encoder)}, args.work / "audio_tower.pt")
    print(f"{n_steps} steps. {accuracy(tower, heads, heard)}", flush=True)


if __name__ == "__main__":
    run_command(main, "train.nano.audio_tower")
