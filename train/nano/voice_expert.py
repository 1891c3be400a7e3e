"""Train the voice expert on RAVDESS, relative to each speaker's running baseline, as in a live session.

    python -m train.nano.voice_expert --data DATA --work WORK [--epochs 40]

The stage writes WORK/voice_expert.pt, which is trained on all training actors, and WORK/voice_verdicts.npz. The latter
has the log-probabilities of every sentence, in several running orders, from an expert that was not trained on its actor
(four-fold cross-fitting for training actors). So the Thinker learns from outputs as good as those it will get live.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.baseline import VOICE_PSEUDO_COUNT, Z_LIMIT, population
from realtime.model.experts import VoiceExpert
from realtime.records import Float32
from train.arrays import Int64
from train.command import run_command
from train.nano import ravdess

FOLDS = 4
ORDERS = 6
"Number of running orders: every sentence is judged early in a session and late."


def live_features(features_NP: Float32, sessions_N: Int64, rng: np.random.Generator) -> tuple[Float32, Int64]:
    """Features relative to `VoiceBaseline` in one random order of each session, and each sentence's place in it."""
    stored = population()["voice"]
    mean, spread = np.array(stored["mean"]), np.array(stored["spread"])
    out, place = np.zeros_like(features_NP), np.zeros(len(features_NP), np.int64)
    for session in np.unique(sessions_N):
        rows = rng.permutation(np.flatnonzero(sessions_N == session))
        so_far = np.cumsum(features_NP[rows], axis=0) - features_NP[rows]
        counts = np.arange(len(rows))[:, None] + VOICE_PSEUDO_COUNT
        running = (so_far + VOICE_PSEUDO_COUNT * mean) / counts
        out[rows] = np.clip((features_NP[rows] - running) / spread, -Z_LIMIT, Z_LIMIT)
        place[rows] = np.arange(len(rows))
    return out.astype(np.float32), place


def augment_mel(mel_BFT: Tensor, generator: torch.Generator) -> Tensor:
    """Hide one band and one stretch of time of each log-mel (SpecAugment)."""
    x = mel_BFT.clone()
    for row in range(x.shape[0]):
        band, start = torch.randint(0, 118, (2,), generator=generator).tolist()
        x[row, band : band + 10] = 0
        x[row, :, start : start + 25] = 0
    return x


class Voices:
    """The labels of all sentences, and what `train.nano.prepare` measured of them."""

    def __init__(self, data: Path, work: Path) -> None:
        self.clips = ravdess.load(data)
        with np.load(work / "voices.npz") as file:
            self.features, self.mel, self.n_frames = file["features"], file["mel"], file["n_frames"]
        # Rows are all sentences as they are, then all of them roughened, which counts as another session of the actor.
        self.labels = np.tile([clip.label for clip in self.clips], 2)
        self.actors = np.tile([clip.actor for clip in self.clips], 2)
        self.sessions = self.actors + 100 * np.repeat([0, 1], len(self.clips))
        self.clean = self.sessions < 100


def fit(voices: Voices, rows: Int64, *, epochs: int, seed: int) -> VoiceExpert:
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    model = VoiceExpert(voices.features.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    batch, total = 64, epochs * (len(rows) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=total, pct_start=0.15)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(epochs):
        live, _ = live_features(voices.features[rows], voices.sessions[rows], rng)
        model.train()
        order = rng.permutation(len(rows))
        for start in range(0, len(order) - batch + 1, batch):
            picked = order[start : start + batch]
            mel = augment_mel(torch.from_numpy(voices.mel[rows[picked]].astype(np.float32)), generator)
            features = torch.from_numpy(live[picked])
            features = features + 0.3 * torch.randn(features.shape, generator=generator)
            target = torch.from_numpy(voices.labels[rows[picked]])
            # Targets are smoothed: acted emotions overlap, and an output that is never certain is easier to weigh.
            loss = sum(
                loss_of(vote, target)
                for vote in model.votes(mel, torch.from_numpy(voices.n_frames[rows[picked]]), features)
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def verdicts(model: VoiceExpert, voices: Voices, rows: Int64, live: Float32) -> Float32:
    """(len(rows), 7) log-probabilities of an expert. `live`: features of the rows, relative to the baseline."""
    parts = [
        model(
            torch.from_numpy(voices.mel[part].astype(np.float32)),
            torch.from_numpy(voices.n_frames[part]),
            torch.from_numpy(live[part]),
        ).numpy()
        for part in np.array_split(rows, max(1, len(rows) // 64))
    ]
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    voices = Voices(args.data, args.work)
    train = np.flatnonzero(np.isin(voices.actors, list(ravdess.ACTORS["train"])))
    other = np.flatnonzero(~np.isin(voices.actors, list(ravdess.ACTORS["train"])))
    orders = [live_features(voices.features, voices.sessions, np.random.default_rng(100 + k)) for k in range(ORDERS)]
    out = np.zeros((ORDERS, len(voices.labels), 7), np.float32)
    started = time.monotonic()
    for fold in range(FOLDS):
        held = np.isin(voices.actors, list(ravdess.ACTORS["train"])[fold::FOLDS])
        model = fit(voices, np.setdiff1d(train, np.flatnonzero(held)), epochs=args.epochs, seed=fold)
        rows = np.flatnonzero(held)
        for k, (live, _) in enumerate(orders):
            out[k, rows] = verdicts(model, voices, rows, live)
        rows = rows[voices.clean[rows]]
        hit = out[:, rows].argmax(2) == voices.labels[rows]
        print(f"fold {fold}: held-out actors {hit.mean():.3f}, {time.monotonic() - started:.0f} s", flush=True)
    model = fit(voices, train, epochs=args.epochs, seed=FOLDS)
    for k, (live, _) in enumerate(orders):
        out[k, other] = verdicts(model, voices, other, live)
    places = np.stack([place for _, place in orders])
    for name in ("valid", "test"):
        rows = np.flatnonzero(np.isin(voices.actors, list(ravdess.ACTORS[name])) & voices.clean)
        hit, place = out[:, rows].argmax(2) == voices.labels[rows], places[:, rows]
        parts = {"first 3": place < 3, "4th to 10th": (place >= 3) & (place < 10), "later": place >= 10}
        told = ", ".join(f"{part} {hit[mask].mean():.3f}" for part, mask in parts.items())
        print(f"{name} actors: {hit.mean():.3f} ({told})", flush=True)
        with torch.no_grad():
            inputs = torch.from_numpy(voices.mel[rows].astype(np.float32)), torch.from_numpy(voices.n_frames[rows])
            by_itself = model.votes(*inputs, torch.from_numpy(orders[0][0][rows]))
        alone = [(vote.argmax(1).numpy() == voices.labels[rows]).mean() for vote in by_itself]
        print(f"  convolutions alone {alone[0]:.3f}, statistics alone {alone[1]:.3f}", flush=True)
    live = np.stack([features for features, _ in orders])
    np.savez(args.work / "voice_verdicts.npz", log_p=out, place=places, live=live)
    torch.save(model.state_dict(), args.work / "voice_expert.pt")


if __name__ == "__main__":
    run_command(main, "train.nano.voice_expert")
