"""What masked pre-training adds at 1 %, 10 % and 100 % of the labels, for faces and for voices.

    realtime train evaluation.selfsupervised --data DATA --work WORK --out DIR [--table]

WORK has the towers of `train.nano.masked_tower`; `train/runs/selfsupervised.sh` makes them and calls this. Each start
is taught with the same labels, steps and seeds: `scratch` (untrained weights), `masked` (pre-trained without labels)
and, frozen only, `nano` (the tower that is included, which learnt from all of these labels: a reference, no rival).
Every finished run is kept in WORK/runs, and the same command goes on with the next one. `--table` trains nothing and
tells what is finished. DIR gets selfsupervised.json and selfsupervised.md.

A figure is the mean over the seeds. Its interval draws seeds and test samples with replacement, and so does that of the
difference from `scratch`, where both have the same seeds and samples in each draw.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import load
from realtime.errors import BadSettings
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input, write_whole
from realtime.records import Float32
from train.arrays import AnyArray, Float64, Int64
from train.command import run_command
from train.evaluation.label_shares import FaceSense, Sense, VoiceSense, labelled, layers_of, regress, tune
from train.evaluation.methods import Draws, interval
from train.evaluation.report import rounded
from train.nano.masked_tower import read_start
from train.nano.prepare import save
from train.readers.clip import DataMissing

SHARES = (0.01, 0.1, 1.0)
SENSES = {"faces": "vision", "voices": "audio"}
"The sense → its tower."
STARTS = ("scratch", "masked")
INCLUDED = "nano"
"The reference: the tower that is included."
FROZEN_SEEDS = 5
"Draws of the labels where only a regression is fitted. With all labels there is one."


@dataclass(frozen=True)
class Lesson:
    """One tower that is taught with one draw of the labels."""

    sense: str
    how: str
    start: str
    share: float
    seed: int

    def path(self, work: Path) -> Path:
        return work / "runs" / f"{self.sense}-{self.how}-{self.start}-{self.share:g}-{self.seed}.json"


def planned(n_seeds: int, senses: Sequence[str] = tuple(SENSES)) -> list[Lesson]:
    """All lessons. What is compared comes first, the cheap ones before the others, and the reference last."""

    def frozen(starts: Sequence[str]) -> list[Lesson]:
        return [
            Lesson(sense, "frozen", start, share, seed)
            for sense, start, share in itertools.product(senses, starts, SHARES)
            for seed in range(FROZEN_SEEDS if share < 1 else 1)
        ]

    tuned = [
        Lesson(sense, "tuned", start, share, seed)
        for seed, sense, share, start in itertools.product(range(n_seeds), senses, SHARES, STARTS)
    ]
    return [*frozen(STARTS), *tuned, *frozen((INCLUDED,))]


class Teaching:
    """Runs what is not finished. Samples and towers are read when the first run needs them."""

    def __init__(self, data: Path, work: Path, settings: Mapping[str, Any]) -> None:
        self.data, self.work, self.settings = data, work, settings
        self._senses: dict[str, Sense] = {}
        self._layers: tuple[tuple[str, str], Float32, Float32] | None = None

    def sense(self, name: str) -> Sense:
        if name not in self._senses:
            sense: Sense
            sense = FaceSense(self.data, self.settings["side"]) if name == "faces" else VoiceSense(self.data, self.work)
            self._senses[name] = sense
            if not (path := self.work / f"truth_{name}.npz").exists():
                save(path, {"truth": sense.truth_M, "groups": sense.groups_M})
        return self._senses[name]

    def tower(self, sense: str, start: str, seed: int) -> nn.Module:
        if start == INCLUDED:
            thinker = load(INCLUDED, engine="torch").weights.thinker
            return thinker.visual if sense == "faces" else thinker.audio_tower
        torch.manual_seed(seed)
        tower = self.sense(sense).blank()
        if start == "masked":
            weights = read_start(self.work / f"masked_{SENSES[sense]}_tower.pt", tower)
            # What the masked autoencoder does not train is as in `scratch`; nothing here reads it.
            tower.load_state_dict(weights)
        return tower

    def layers(self, sense: str, start: str) -> tuple[Float32, Float32]:
        """What the tower's layers say of the training samples and of the test's; kept in WORK."""
        if self._layers is None or self._layers[0] != (sense, start):
            path = self.work / f"layers_{sense}_{start}.npz"
            if not path.exists():
                tower, own = self.tower(sense, start, 0), self.sense(sense)
                found = {name: layers_of(own, tower, test=name == "test", bf16=self.bf16) for name in ("train", "test")}
                save(path, dict(found))
            with np.load(path) as file:
                self._layers = ((sense, start), file["train"], file["test"])
        return self._layers[1:]

    @property
    def bf16(self) -> bool:
        return bool(self.settings["precision"] == "bf16")

    def predict(self, run: Lesson) -> tuple[Int64, int]:
        """(M,) labels of the test samples, and how many labels were told."""
        sense = self.sense(run.sense)
        rows = labelled(sense.targets_N7, run.share, run.seed)
        if run.how == "frozen":
            return regress(*self.layers(run.sense, run.start), sense.targets_N7, rows), len(rows)
        n_steps, batch = self.settings["steps"][run.sense], self.settings["batch"][run.sense]
        tower = self.tower(run.sense, run.start, run.seed)
        return tune(sense, tower, rows, n_steps=n_steps, batch=batch, seed=run.seed, bf16=self.bf16), len(rows)

    def finish(self, runs: Sequence[Lesson]) -> None:
        (self.work / "runs").mkdir(exist_ok=True)
        for run in runs:
            if run.path(self.work).exists():
                continue
            started = time.monotonic()
            predicted, n_labels = self.predict(run)
            seconds = round(time.monotonic() - started, 1)
            told = {"labels": n_labels, "seconds": seconds, "predicted": predicted.tolist()}
            with write_whole(run.path(self.work)) as part:
                part.write_text(json.dumps(told) + "\n", encoding="utf-8")
            right = np.mean(predicted == self.sense(run.sense).truth_M)
            print(f"{run.path(self.work).stem}: {right:.4f}, {seconds} s", flush=True)


def keep_settings(work: Path, settings: Mapping[str, Any]) -> None:
    """Keep the settings beside the runs. Raises BadSettings where runs of other settings are there."""
    path = work / "teaching.json"
    if not path.exists():
        path.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    elif (kept := json.loads(path.read_text("utf-8"))) != settings:
        raise BadSettings(f"{work} has runs with {kept}.", "Name another --work, or give these settings.")


def accuracy(draws: Draws, hits_SN: Float64, truth_N: Int64, groups_N: AnyArray) -> Float64:
    """(D,) share that is right, the mean over the corpora."""
    return over_groups(draws, hits_SN, groups_N)


def uar(draws: Draws, hits_SN: Float64, truth_N: Int64, groups_N: AnyArray) -> Float64:
    """(D,) mean of the labels' recalls, over all corpora together."""
    return over_groups(draws, hits_SN, truth_N)


def over_groups(draws: Draws, hits_SN: Float64, groups_N: AnyArray) -> Float64:
    each = []
    for group in np.unique(groups_N):
        own_SN = np.broadcast_to((groups_N == group).astype(np.float64), hits_SN.shape)
        each.append(draws.ratio(hits_SN * own_SN, own_SN))
    out: Float64 = np.mean(each, axis=0)
    return out


FIGURES: Mapping[str, Callable[[Draws, Float64, Int64, AnyArray], Float64]] = {"accuracy": accuracy, "uar": uar}


def row_of(
    work: Path, runs: Sequence[Lesson], reference: Sequence[Lesson], truth_N: Int64, groups_N: AnyArray
) -> dict[str, Any]:
    """The figures of runs that differ in the seed alone, and their difference from those of the reference."""
    told = [json.loads(run.path(work).read_text("utf-8")) for run in runs]
    hits_SN = np.array([each["predicted"] for each in told]) == truth_N
    row: dict[str, Any] = {"seeds": len(runs), "labels": told[0]["labels"], "n": len(truth_N)}
    row["commonest"] = commonest(truth_N, groups_N)
    draws = Draws.of(len(runs), len(truth_N))
    figures = {name: figure(draws, hits_SN.astype(np.float64), truth_N, groups_N) for name, figure in FIGURES.items()}
    for name, figure_D in figures.items():
        row[name] = {"value": rounded(figure_D[0]), "value_95": interval(figure_D)}
    row["by corpus"] = {str(group): rounded(hits_SN[:, groups_N == group].mean()) for group in np.unique(groups_N)}
    same = [run for run in reference if run.seed in {each.seed for each in runs}]
    if len(same) == len(runs) and same != list(runs):
        theirs = np.array([json.loads(run.path(work).read_text("utf-8"))["predicted"] for run in same]) == truth_N
        for name, figure in FIGURES.items():
            gap_D = figures[name] - figure(draws, theirs.astype(np.float64), truth_N, groups_N)
            row[name] |= {"difference": rounded(gap_D[0]), "difference_95": interval(gap_D)}
    row["seconds"] = rounded(np.mean([each["seconds"] for each in told]))
    return row


def table(work: Path, n_seeds: int) -> dict[str, Any]:
    """What is finished. Only seeds that both starts have are compared. Raises DataMissing where nothing is."""
    done = [run for run in planned(n_seeds) if run.path(work).exists()]
    if not done:
        raise DataMissing(f"{work} holds no finished run.", "Run it without --table.")
    rows = []
    for (sense, how, share), group in itertools.groupby(
        sorted(done, key=lambda run: (run.sense, run.how, run.share, run.start != STARTS[0], run.start, run.seed)),
        key=lambda run: (run.sense, run.how, run.share),
    ):
        with np.load(work / f"truth_{sense}.npz") as file:
            truth_N, groups_N = file["truth"], file["groups"]
        by_start = {start: list(runs) for start, runs in itertools.groupby(group, key=lambda run: run.start)}
        shared = set.intersection(*({run.seed for run in by_start.get(start, ())} for start in STARTS))
        kept = {start: [run for run in runs if run.seed in shared] for start, runs in by_start.items()}
        for start, runs in kept.items():
            if not runs:
                continue
            row = row_of(work, runs, kept[STARTS[0]], truth_N, groups_N)
            rows.append({"sense": sense, "how": how, "start": start, "share": share, **row})
    settings = json.loads((work / "teaching.json").read_text("utf-8"))
    pretrained = {name: told for name in SENSES.values() if (told := pretraining(work, name))}
    return {"settings": settings, "pretraining": pretrained, "rows": rows}


def commonest(truth_N: Int64, groups_N: AnyArray) -> float:
    """Accuracy of one answer for all: the label that is commonest in the test."""
    hits_1N = (truth_N == np.bincount(truth_N).argmax()).astype(np.float64)[None]
    return rounded(accuracy(Draws.of(1, len(truth_N)), hits_1N, truth_N, groups_N)[0])


def pretraining(work: Path, tower: str) -> dict[str, Any]:
    """How a tower was pre-trained, out of its checkpoint."""
    path = work / f"masked_{tower}.pt"
    return dict(torch.load(path, weights_only=True, map_location="cpu")["made"]) if path.exists() else {}


def as_markdown(result: Mapping[str, Any]) -> str:
    lines = [
        "# Masked pre-training, by the share of the labels",
        "",
        f"    {result['command']}",
        "",
        "Accuracy and the mean recall of the seven labels (UAR) on people whom nothing was trained on; for voices",
        "accuracy is the mean over the corpora. In brackets is the difference from `scratch` with its 95 % interval,",
        "from 2,000 draws of seeds and samples.",
        "",
    ]
    for tower, made in result["pretraining"].items():
        told = ", ".join(f"{key} {value}" for key, value in made.items() if key != "tower")
        lines.append(f"- Pre-trained, {tower} tower: {told}.")
    settings = result["settings"]
    if settings:
        told = ", ".join(f"{sense} {n} steps of {settings['batch'][sense]}" for sense, n in settings["steps"].items())
        lines.append(f"- Tuned: {told}; {settings['precision']}, faces of {settings['side']} px.")
    for sense, how in itertools.product(SENSES, ("frozen", "tuned")):
        rows = [row for row in result["rows"] if (row["sense"], row["how"]) == (sense, how)]
        if not rows:
            continue
        lines += ["", f"## {sense.capitalize()}, {how} ({rows[0]['n']} test samples)", ""]
        lines += [f"The commonest label for all has an accuracy of {rows[0]['commonest']:.3f}.", ""]
        corpora = list(rows[0]["by corpus"]) if len(rows[0]["by corpus"]) > 1 else []
        lines += [f"| {' | '.join(['labels', 'start', 'seeds', 'accuracy', 'UAR', *corpora])} |"]
        lines += ["| --- " * (5 + len(corpora)) + "|"]
        for row in rows:
            cells = [f"{row['share']:.0%} ({row['labels']})", row["start"], str(row["seeds"])]
            cells += [cell(row["accuracy"]), cell(row["uar"])]
            cells += [f"{row['by corpus'][name]:.3f}" for name in corpora]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(figure: Mapping[str, Any]) -> str:
    if "difference" not in figure:
        low, high = figure["value_95"]
        return f"{figure['value']:.3f} ({low:.3f} … {high:.3f})"
    low, high = figure["difference_95"]
    return f"{figure['value']:.3f} ({figure['difference']:+.3f}, {low:+.3f} … {high:+.3f})"


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sense", choices=tuple(SENSES), help="teach this one alone (default: both)")
    parser.add_argument("--side", type=int, default=56, help="pixels of a face, as in the pre-training")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the tuned towers (default: %(default)s)")
    parser.add_argument("--face-steps", type=int, default=150, help="of 32 faces (default: %(default)s)")
    parser.add_argument("--voice-steps", type=int, default=100, help="of 16 sentences (default: %(default)s)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--table", action="store_true", help="train nothing, and tell what is finished")
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    refuse_input(args.out, args.data, args.work)
    settings = {
        "side": args.side,
        "steps": {"faces": args.face_steps, "voices": args.voice_steps},
        "batch": {"faces": 32, "voices": 16},
        "precision": args.precision,
    }
    if args.seeds < 1 or min(args.face_steps, args.voice_steps) < 1:
        raise BadSettings("--seeds, --face-steps and --voice-steps begin at 1.", "Give larger numbers.")
    if not args.table:
        args.work.mkdir(parents=True, exist_ok=True)
        keep_settings(args.work, settings)
        senses = (args.sense,) if args.sense else tuple(SENSES)
        Teaching(args.data, args.work, settings).finish(planned(args.seeds, senses))
    result = table(args.work, args.seeds)
    result["labels"] = list(EXPERT_LABELS)
    result["command"] = "DATA=DATA WORK=WORK bash train/runs/selfsupervised.sh"
    args.out.mkdir(parents=True, exist_ok=True)
    with write_whole(args.out / "selfsupervised.json") as part:
        part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with write_whole(args.out / "selfsupervised.md") as part:
        part.write_text(as_markdown(result), encoding="utf-8")
    print(as_markdown(result), end="")


if __name__ == "__main__":
    run_command(main, "train.evaluation.selfsupervised")
