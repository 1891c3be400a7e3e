"""Compares methods that were trained alike (`train/runs/methods.sh`): one table, with intervals and costs.

    realtime train evaluation.methods WORK --out DIR [--model nano]

WORK has a folder per run, `METHOD-SEED`, and `untrained` for the model that all began from. A run has a folder per
benchmark with what `train.evaluate` wrote, and the files of `train.evaluation.questions`, `.probes` and, of runs that
read words, `.said --judged`. Those that are not finished yet are left out. DIR gets methods.json and methods.md.

A figure is the mean over a method's seeds. Its interval draws seeds and samples with replacement, and so does that of
the difference from EmoThinker's method, where both have the same seeds and samples in each draw.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from realtime.bench.paired import collect_windows
from realtime.bench.steps import window_costs
from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import load
from realtime.errors import RealtimeError
from realtime.outputs import refuse_input
from realtime.records import LABELS
from realtime.sample import SAMPLE
from realtime.settings import Settings
from train import metrics
from train.arrays import Float64
from train.evaluation.compare import gaps
from train.evaluation.report import rounded
from train.evaluation.run_folder import Row, read_answers
from train.readers.clip import DataMissing

REFERENCE = "emothinker"
UNTRAINED = "untrained"
RUN = re.compile(r"(.+)-(\d+)")
VOICES = "voices"
KIND = "kind"
"The slice that tells the kind of a counted answer."
BENCHMARKS = {
    "ferplus": "FER+",
    VOICES: "voices",
    "agree": "agree",
    "conflict": "conflict",
}
"Folder of a benchmark → its column. Their answers are the fast labels."
QUESTIONS = "questions"
"What a model was not tuned for and should not forget: questions about what is measured, such as how many people."
COUNTED = {QUESTIONS: "questions right", "probes": "read off its states"}
"File of counted answers → its column."
WORDS = "words"
"What is judged with words and without; each kind of words has a column."
CHAINS = "chains"
"Folder of the conflicting pairs about which chains were written, too."
WHOLE = ("ferplus", VOICES, "agree", "conflict")
"The benchmarks that the calibration error is of: those that were answered as serving answers."
N_DRAWS = 2000

Seeds = Mapping[int, Mapping[str, Mapping[str, Row]]]
"Seed → benchmark → key of a sample → its row."
Runs = Mapping[str, Seeds]
"Method → its runs. The model that all began from stands beside each seed of the reference."


def read_runs(work: Path) -> Runs:
    """The finished benchmarks of all runs.

    Raises DataMissing where there is none of the reference, and where runs were asked different questions.
    """
    runs: dict[str, dict[int, dict[str, dict[str, Row]]]] = {}
    sessions: dict[Path, set[str]] = {}
    for folder in sorted(path for path in work.iterdir() if path.is_dir()) if work.is_dir() else ():
        match = RUN.fullmatch(folder.name)
        if match is None and folder.name != UNTRAINED:
            continue
        method, seed = (match[1], int(match[2])) if match else (UNTRAINED, 0)
        for benchmark in (*BENCHMARKS, CHAINS):
            if (folder / benchmark / "report.json").is_file():
                rows = read_answers(folder / benchmark / "answers.jsonl")
                known = {str(row["key"]): row for row in rows if row["truth"]}
                runs.setdefault(method, {}).setdefault(seed, {})[benchmark] = known
        for name in (*COUNTED, WORDS):
            if (asked := folder / f"{name}.json").is_file():
                runs.setdefault(method, {}).setdefault(seed, {})[name] = answered(asked)
                if name == QUESTIONS:
                    sessions[asked] = {key.rpartition(" ")[0] for key in runs[method][seed][name]}
    if REFERENCE not in runs:
        raise DataMissing(
            f"{work} holds no finished benchmark of {REFERENCE}.", "Run train/runs/methods.sh; it goes on where it was."
        )
    refuse_other_questions(sessions)
    if UNTRAINED in runs:
        runs[UNTRAINED] = dict.fromkeys(runs[REFERENCE], runs[UNTRAINED][0])
    return runs


def refuse_other_questions(sessions: Mapping[Path, set[str]]) -> None:
    """Raise DataMissing where the runs' sessions are not the same. A session of one number is then another in each."""
    for path, own in sessions.items():
        first, wanted = next(iter(sessions.items()))
        if own != wanted:
            raise DataMissing(
                f"{path} and {first} were asked other questions.",
                "Remove those of one run and their .done, and run train/runs/methods.sh with one GENERAL and SESSIONS.",
            )


def answered(path: Path) -> dict[str, Row]:
    """Answers that were counted by kind, as rows. Raises DataMissing where the file is another one."""
    try:
        kinds = json.loads(path.read_text("utf-8"))["kinds"]
        hits = {(kind, at): hit for kind, figures in kinds.items() for at, hit in figures["hits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataMissing(
            f"{path} holds no answers that were counted by kind: {error}.", "Remove it and its .done, and run again."
        ) from error
    return {
        f"{kind} {at}": {"truth": "right", "answer": "right" if hit else "wrong", "slices": {KIND: kind}}
        for (kind, at), hit in hits.items()
    }


@dataclass(frozen=True)
class Draws:
    """How often each seed and each sample is drawn; the first row is everything once."""

    seeds_DS: Float64
    samples_DN: Float64

    @classmethod
    def of(cls, n_seeds: int, n_samples: int) -> Draws:
        rng = np.random.default_rng(0)
        seeds, samples = (
            np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), N_DRAWS)])
            for n in (n_seeds, n_samples)
        )
        return cls(seeds, samples)

    def ratio(self, part_SN: Float64, whole_SN: Float64) -> Float64:
        """(D,) sum of the parts by the sum of the wholes; NaN where a draw has no whole."""
        part_D, whole_D = (((self.seeds_DS @ each) * self.samples_DN).sum(1) for each in (part_SN, whole_SN))
        return np.divide(part_D, whole_D, out=np.full(len(whole_D), np.nan), where=whole_D > 0)

    def calibration(self, gaps_SNB: Float64) -> Float64:
        """(D,) calibration error of each draw, the mean over its seeds. `gaps_SNB` are as in `compare.gaps`."""
        n_seeds, n = gaps_SNB.shape[:2]
        error_DS = np.stack([np.abs(self.samples_DN @ each).sum(1) / n for each in gaps_SNB], axis=1)
        error_D: Float64 = (self.seeds_DS * error_DS).sum(1) / n_seeds
        return error_D


@dataclass(frozen=True)
class Compared:
    """What a method's runs and the reference's both answered: (seeds, samples) rows of each side."""

    own: Sequence[Sequence[Row]]
    reference: Sequence[Sequence[Row]]

    @classmethod
    def of(cls, own: Seeds, reference: Seeds, benchmarks: Sequence[str]) -> Compared | None:
        """None where no seed has all benchmarks on both sides, or no sample is in all of them."""
        wanted = set(benchmarks)
        seeds = [seed for seed in own if seed in reference and wanted <= own[seed].keys() & reference[seed].keys()]
        runs = [
            {(name, key): row for name in benchmarks for key, row in side[seed][name].items()}
            for side in (own, reference)
            for seed in seeds
        ]
        shared = sorted(set.intersection(*map(set, runs))) if runs else []
        if not shared:
            return None
        rows = [[run[key] for key in shared] for run in runs]
        return cls(rows[: len(seeds)], rows[len(seeds) :])

    def figure(self, name: str) -> dict[str, Any]:
        """`accuracy`, `calibration error` or `faithfulness`: value, 95 % interval, and the same of the difference."""
        draws = Draws.of(len(self.own), len(self.own[0]))
        own_D, reference_D = (FIGURES[name](draws, rows) for rows in (self.own, self.reference))
        difference_D = own_D - reference_D
        return {
            "n": len(self.own[0]),
            "seeds": len(self.own),
            "value": rounded(own_D[0]),
            "value_95": interval(own_D),
            "difference": rounded(difference_D[0]),
            "difference_95": interval(difference_D),
        }


def interval(figure_D: Float64) -> list[float]:
    return [rounded(end) for end in np.nanpercentile(figure_D[1:], [2.5, 97.5])]


def accuracy(draws: Draws, rows: Sequence[Sequence[Row]]) -> Float64:
    """(D,) share of answers that are right."""
    hits_SN = np.array([[row["answer"] == row["truth"] for row in run] for run in rows], np.float64)
    return draws.ratio(hits_SN, np.ones_like(hits_SN))


def calibration_error(draws: Draws, rows: Sequence[Sequence[Row]]) -> Float64:
    """(D,) expected calibration error of the answers' probabilities. What was not perceived has none: all zeros."""
    p_SNL = np.array([[[row.get("probabilities", {}).get(x, 0.0) for x in LABELS] for row in run] for run in rows])
    truth_N = metrics.places([row["truth"] for row in rows[0]], LABELS)
    return draws.calibration(np.stack([gaps(p_NL, truth_N) for p_NL in p_SNL]))


def faithfulness(draws: Draws, rows: Sequence[Sequence[Row]]) -> Float64:
    """(D,) share of the statements on cues and prosody that agree with the measurements."""
    told = [[(row.get("true_statements", 0), row.get("statements", 0)) for row in run] for run in rows]
    true_SN, all_SN = np.moveaxis(np.array(told, np.float64), -1, 0)
    return draws.ratio(true_SN, all_SN)


FIGURES = {"accuracy": accuracy, "calibration error": calibration_error, "faithfulness": faithfulness}


def compared(runs: Runs, method: str) -> dict[str, dict[str, Any]]:
    """The figures of a method by column."""
    found: dict[str, dict[str, Any]] = {}
    for benchmark, column in BENCHMARKS.items():
        if each := Compared.of(runs[method], runs[REFERENCE], [benchmark]):
            found[column] = each.figure("accuracy")
    for benchmark, slice_name in ((VOICES, "corpus"), (WORDS, KIND)):
        rows = [row for run in runs[method].values() for row in run.get(benchmark, {}).values()]
        for part in dict.fromkeys(row["slices"].get(slice_name, "") for row in rows):
            own, reference = (only(part, slice_name, benchmark, runs[name]) for name in (method, REFERENCE))
            if part and (each := Compared.of(own, reference, [benchmark])):
                found[f"{benchmark}, {part}"] = each.figure("accuracy")
    for name, column in COUNTED.items():
        if each := Compared.of(runs[method], runs[REFERENCE], [name]):
            found[column] = each.figure("accuracy")
    for name, benchmarks in {"calibration error": WHOLE, "faithfulness": (CHAINS,)}.items():
        if each := Compared.of(runs[method], runs[REFERENCE], benchmarks):
            found[name] = each.figure(name)
    return found


def only(part: str, slice_name: str, benchmark: str, seeds: Seeds) -> Seeds:
    """Of each run that has this benchmark, the samples of one part of a slice, such as one corpus of the voices."""
    return {
        seed: {benchmark: {key: row for key, row in run[benchmark].items() if row["slices"].get(slice_name) == part}}
        for seed, run in seeds.items()
        if benchmark in run
    }


@torch.inference_mode()
def costs(model: str, tuned: Path | None) -> dict[str, float]:
    """Tokens and CPU milliseconds, on one thread, of the packaged recording's first sentence and its frames.

    `tuned` is what the second stage wrote, an adapter or (`--full`) a whole model.
    """
    if tuned is not None and (tuned / "model").is_dir():
        model, tuned = str(tuned / "model"), None
    loaded = load(model, adapter=tuned, engine="torch", threads=1)
    (spoken,) = collect_windows([str(SAMPLE)], Settings(), 1)
    perceiver = loaded.perceiver(0)
    try:
        seen = [frame for frame in map(perceiver.see, spoken.frames) if frame is not None]
        heard = perceiver.hear(spoken.segment)
    finally:
        perceiver.close()
    tokens = {
        "tokens_of_a_frame": float(np.mean([len(frame.tokens_ND) for frame in seen])),
        "tokens_of_the_speech": float(len(heard.tokens_ND)),
    }
    parts = ("frame_ms", "speech_ms", "label_ms")
    return tokens | {name: value for name, value in window_costs(loaded).items() if name in parts}


def table(work: Path, model: str) -> dict[str, Any]:
    """The whole table. Raises DataMissing, and BadModel where a run's adapter cannot be loaded."""
    runs = read_runs(work)
    order = [name for name in (UNTRAINED, REFERENCE) if name in runs]
    order += sorted(runs.keys() - set(order))
    rows: dict[str, Any] = {}
    for method in order:
        seeds = sorted(runs[method])
        first = None if method == UNTRAINED else work / f"{method}-{seeds[0]}" / "adapter"
        rows[method] = {
            "seeds": [] if method == UNTRAINED else seeds,
            "trained": [trained(work / f"{method}-{seed}") for seed in seeds] if first else [],
            "figures": compared(runs, method),
            "costs": costs(model, first),
        }
    return {"model": Path(model).name, "reference": REFERENCE, "draws": N_DRAWS, "rows": rows}


def trained(run: Path) -> dict[str, Any]:
    """What the second stage's run.json says of its training."""
    try:
        told = json.loads((run / "adapter" / "run.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataMissing(
            f"{run / 'adapter' / 'run.json'} cannot be read: {error}.", "Train that run again, or remove its folder."
        ) from error
    return {"parameters": told["n_trained"], **told["result"]}


def as_markdown(result: Mapping[str, Any]) -> str:
    rows: Mapping[str, Mapping[str, Any]] = result["rows"]
    columns = list(dict.fromkeys(name for row in rows.values() for name in row["figures"]))
    lines = [
        f"# Methods, trained alike from {result['model']}",
        "",
        *([f"    {result['command']}", ""] if "command" in result else []),
        "Accuracy of the fast labels, unless the column says something else. In brackets is the difference from",
        f"`{result['reference']}` with its 95 % interval, from {result['draws']:,} draws of seeds and samples.",
        f"`{UNTRAINED}` is the model that all began from.",
        "",
        f"| method | seeds | {' | '.join(columns)} |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for method, row in rows.items():
        cells = [cell(row["figures"].get(name), of_reference=method == result["reference"]) for name in columns]
        lines.append(f"| {method} | {len(row['seeds']) or ''} | {' | '.join(cells)} |")
    lines += ["", "| method | samples |", "| --- | --- |"]
    for method, row in rows.items():
        counts = [f"{name} {figure['n']}" for name, figure in row["figures"].items()]
        lines.append(f"| {method} | {', '.join(counts)} |")
    names = list(next(iter(rows.values()))["costs"])
    lines += ["", f"| method | {' | '.join(name.replace('_', ' ') for name in names)} |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for method, row in rows.items():
        lines.append(f"| {method} | {' | '.join(format(row['costs'][name], '.1f') for name in names)} |")
    return "\n".join(lines) + "\n"


def cell(figure: Mapping[str, Any] | None, *, of_reference: bool) -> str:
    if figure is None:
        return ""
    if of_reference:
        low, high = figure["value_95"]
        return f"{figure['value']:.3f} ({low:.3f} … {high:.3f})"
    low, high = figure["difference_95"]
    return f"{figure['value']:.3f} ({figure['difference']:+.3f}, {low:+.3f} … {high:+.3f})"


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--model", default="nano", help="the model that all began from (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    try:
        refuse_input(args.out, args.work, args.model)
        result = table(args.work, args.model)
        result["command"] = "WORK=WORK DATA=DATA bash train/runs/methods.sh"
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "methods.json").write_text(
            json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (args.out / "methods.md").write_text(as_markdown(result), encoding="utf-8")
    except RealtimeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(as_markdown(result), end="")


if __name__ == "__main__":
    main()
