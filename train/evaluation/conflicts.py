"""Measures whether a model follows the face or the voice where the two conflict, in the three subsets of CA-MER.

    realtime train evaluation.conflicts RUN … --data DATA [--json FILE]

RUN is a folder of `train.evaluate` for `conflict`, `agree` or `ca-mer`; several are read together. Pairs of `conflict`
are video-aligned where the crowd concludes what the face shows, and audio-aligned where it concludes what the voice
says; pairs of `agree` are consistent. Pairs of which it concludes a third thing are counted and left out of the
subsets. Prints a table, and as its last line JSON. DATA is needed for our pairs alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from train import metrics
from train.command import run_command, tell_result
from train.evaluation.report import certainty, hits, rounded
from train.evaluation.run_folder import Row, finished
from train.nano import ferplus
from train.readers import voices
from train.readers.camer import AUDIO, LABELS, SUBSET, SUBSETS, VIDEO

ALIGNED = {"the face": "video-aligned", "the voice": "audio-aligned", "both": "consistent"}
"What the crowd goes with (`samples.pair_samples`) → subset."


@dataclass(frozen=True)
class Told:
    """One answer, and what each modality says where that is known."""

    row: Row
    subset: str | None
    "None: the true label is neither what the face shows nor what the voice says."
    face: str | None
    voice: str | None

    @property
    def conflicting(self) -> bool:
        return self.face is not None and self.voice is not None and self.face != self.voice


def of_clips(rows: Sequence[Row]) -> list[Told]:
    """Answers to clips of CA-MER. The modality that a subset is named after shows the true label."""
    found = []
    for row in rows:
        slices, truth = row["slices"], row["truth"]
        face, voice = slices.get(VIDEO), slices.get(AUDIO)
        if slices[SUBSET] != "audio-aligned":
            face = truth
        if slices[SUBSET] != "video-aligned":
            voice = truth
        found.append(Told(row, slices[SUBSET], face, voice))
    return found


def of_pairs(rows: Sequence[Row], data: Path) -> list[Told]:
    """Answers to pairs, whose keys name the sentence and the number of the face."""
    spoken = {voice.key: voice.emotion for voice in voices.load(data)}
    faces = ferplus.load(data)
    shown = dict(zip(faces.index_N.tolist(), (EXPERT_LABELS[label] for label in faces.labels_N), strict=True))
    found = []
    for row in rows:
        sentence, number, _ = row["key"].rsplit(" ", 2)
        subset = ALIGNED.get(row["slices"]["the crowd goes with"])
        found.append(Told(row, subset, shown[int(number)], spoken[sentence]))
    return found


def measure(told: Sequence[Told], labels: Sequence[str]) -> dict[str, Any]:
    """The figures of each subset, the gap between the two conflicting ones, and what is followed in a conflict."""
    subsets = {name: [each.row for each in told if each.subset == name] for name in SUBSETS}
    result: dict[str, Any] = {
        "n": len(told),
        "neither": sum(each.subset is None for each in told),
        "subsets": {name: _subset(rows, labels) for name, rows in subsets.items() if rows},
    }
    if all(subsets[name] for name in SUBSETS[:2]):
        video, audio = (hits(subsets[name]) for name in SUBSETS[:2])
        result["gap"] = _difference(video, audio)
    conflicting = [each for each in told if each.conflicting]
    if conflicting:
        result["follows"] = {
            who: _follows([(each.face, each.voice, each.row[field]) for each in conflicting])
            for who, field in (("model", "answer"), ("crowd", "truth"))
        }
    return result


def _subset(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    hit_N = hits(rows)
    interval = metrics.bootstrap(hit_N)
    truth, given = [row["truth"] for row in rows], [row["answer"] or "" for row in rows]
    return {
        "n": len(rows),
        "accuracy": rounded(hit_N.mean()),
        "accuracy_95": [rounded(interval.low), rounded(interval.high)],
        "uar": rounded(metrics.uar(truth, given, labels)),
        **certainty(rows, labels, "probabilities", ""),
    }


def _difference(a_N: np.ndarray[Any, Any], b_M: np.ndarray[Any, Any], *, n_draws: int = 2000) -> dict[str, Any]:
    """Mean A − mean B of two unlike sets of samples, with its 95 % interval."""
    rng = np.random.default_rng(0)
    draws = [rng.binomial(len(values), values.mean(), n_draws) / len(values) for values in (a_N, b_M)]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    return {"value": rounded(a_N.mean() - b_M.mean()), "interval_95": [rounded(low), rounded(high)]}


def _follows(answers: Sequence[tuple[str | None, str | None, str | None]]) -> dict[str, Any]:
    """The share of (face, voice, answer) whose answer is the face's, the voice's, or neither."""
    shares: dict[str, Any] = {}
    for name, place in (("face", 0), ("voice", 1)):
        own_N = np.array([each[2] == each[place] for each in answers])
        interval = metrics.bootstrap(own_N)
        shares[name] = rounded(own_N.mean())
        shares[f"{name}_95"] = [rounded(interval.low), rounded(interval.high)]
    return {"n": len(answers), **shares, "neither": rounded(1 - shares["face"] - shares["voice"])}


def table(result: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| subset | n | accuracy | 95 % | UAR | calibration error |", "| --- | --- | --- | --- | --- | --- |"]
    for name, row in result["subsets"].items():
        low, high = row["accuracy_95"]
        lines.append(
            f"| {name} | {row['n']} | {row['accuracy']} | {low} – {high} | {row['uar']} | {row.get('ece', '')} |"
        )
    if "gap" in result:
        low, high = result["gap"]["interval_95"]
        lines += ["", f"Video-aligned minus audio-aligned: {result['gap']['value']:+} ({low:+} … {high:+})."]
    if "follows" in result:
        lines += ["", "| in a conflict | n | the face's | the voice's | neither |", "| --- | --- | --- | --- | --- |"]
        for who, row in result["follows"].items():
            lines.append(f"| the {who} says | {row['n']} | {row['face']} | {row['voice']} | {row['neither']} |")
    return lines


def read(runs: Sequence[Path], data: Path | None) -> tuple[list[Told], Sequence[str]]:
    """The answers of all runs, and their labels. Raises BadSettings for runs that do not belong together."""
    told: list[Told] = []
    kinds = set()
    for run in runs:
        settings, rows = finished(run, ("conflict", "agree", "ca-mer"))
        kinds.add(settings["benchmark"] == "ca-mer")
        if settings["benchmark"] == "ca-mer":
            told += of_clips(rows)
        elif data is None:
            raise BadSettings("--data is missing.", "It says what the face and the voice of a pair show.")
        else:
            told += of_pairs(rows, data)
    if len(kinds) > 1:
        raise BadSettings("These runs are of our pairs and of CA-MER's clips.", "Measure them apart.")
    return told, LABELS if kinds.pop() else EXPERT_LABELS


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, *(run / "answers.jsonl" for run in args.runs))
    result = measure(*read(args.runs, args.data))
    tell_result(result, args.json, table(result))
    return 0


if __name__ == "__main__":
    run_command(main, "train.evaluation.conflicts")
