"""Measures the accuracy of the whole pipeline on people that no model was trained on: media in, answer text out.

    realtime train evaluate --benchmark NAME --data DATA --model nano --out DIR [--split test] [--fold N] [--limit N]
                             [--ablate | --variant NAME | --robust | --baselines] [--fast]
                             [--predictions FILE | --peer-url URL --peer-model NAME]
                             [--judge-url URL --judge-model NAME [--judge-baselines FILE …]]
    realtime train evaluate --compare A B

The benchmarks by what they read:

- the data folder: `ferplus`, `ravdess`, the pairs of both that `agree` or `conflict` (their truth is what the crowd
  concludes), the `voices` of all corpora (also reported by corpus), and these voices in sessions of `one-emotion`;
- the official layout of a set: `dfew`, `iemocap`, `meld`, `mustard`, `ur-funny`, `emer`, `crema-d`;
- three tables: `ca-mer` (`train/readers/camer.py`).

Every sample goes through the perception and reasoning of a live session. Answers are saved in DIR/answers.jsonl as they
come, and the same command goes on where it stopped. Then DIR/report.json, report.md and confusion.png are written. An
answer that cannot be parsed counts as wrong. The last line printed is the report's metrics as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from realtime.asking.question import question_of
from realtime.commands.program_parser import ProgramParser
from realtime.engine.pair import LABELLER, nano_labels
from realtime.errors import BadSettings, RealtimeError
from realtime.model import assembly
from realtime.outputs import refuse_input
from realtime.records import LABELS
from train.chat import ChatSettings
from train.evaluation import ablation, answering, baselines, judge, peers, predictions, robustness
from train.evaluation.answering import ModelUnderTest, Row
from train.evaluation.compare import compare
from train.evaluation.report import report, write
from train.evaluation.run_folder import Answers, Unfinished, claim, weights_sha256
from train.evaluation.samples import SAMPLES, SPLITS, Sample, clip_samples, count, sessions, skipped
from train.evaluation.served import add_label_argument
from train.evaluation.variants import TABLE, WHOLE, Variant, named
from train.readers import sets
from train.readers.clip import SHOWN, DataMissing

KEY_VARIABLE = "EMOTHINKER_EVALUATE_KEY"
VARIANTS = tuple(variant.name for variants in TABLE.values() for variant in variants)
PART = 64
"The most samples per task of a worker."
OFFICIAL = tuple(name for name in sets.READERS if name not in SAMPLES)


@dataclass(frozen=True)
class Task:
    """One evaluation: the samples, their number, and the model."""

    samples: Iterable[Sample]
    n: int
    asked: ModelUnderTest
    settings: dict[str, Any]
    whole_folds: bool = False
    "Whether the samples cover whole official folds, so that metrics by fold have a meaning."
    skipped: tuple[str, ...] = ()
    "Files and rows of the folder that are not used because they are not of the set."
    described: bool = False
    "Whether people have described the samples, so that a judge can compare."


def parser() -> argparse.ArgumentParser:
    args = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--benchmark", choices=(*SAMPLES, *OFFICIAL))
    args.add_argument("--data", type=Path)
    args.add_argument("--model", default="nano")
    args.add_argument("--adapter", type=Path)
    add_label_argument(args)
    args.add_argument("--out", type=Path)
    args.add_argument("--split", choices=SPLITS, default="test")
    args.add_argument("--fold", type=positive, help="test part of one official fold (dfew, iemocap, mustard)")
    args.add_argument("--limit", type=positive, help="at most so many samples (RAVDESS and pairs: per actor)")
    args.add_argument("--fast", action="store_true", help="the fast labels alone: no chain is written")
    args.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes, each with a model")
    args.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="is run B better than run A?")
    tables = args.add_mutually_exclusive_group()
    tables.add_argument("--ablate", action="store_true", help="make the ablation table instead of one run")
    tables.add_argument(
        "--variant",
        choices=VARIANTS,
        metavar="NAME",
        help="one row of the ablation table alone (default: the row that the adapter was trained as)",
    )
    tables.add_argument(
        "--robust", action="store_true", help="agree, conflict: a table of missing and shifted modalities"
    )
    args.add_argument(
        "--baselines", action="store_true", help="also measure baselines (ferplus, ravdess, agree, conflict)"
    )
    args.add_argument("--predictions", type=Path, help="score these saved answers (CSV or JSON lines) instead")
    args.add_argument(
        "--labels", nargs="+", metavar="LABEL", help="the labels of --predictions that bring their own truth"
    )
    peer = args.add_argument_group("peer: any OpenAI-compatible multimodal endpoint instead of a checkpoint")
    peer.add_argument("--peer-url", help="up to and with /v1")
    peer.add_argument("--peer-model")
    judged = args.add_argument_group("judge (emer)")
    judged.add_argument("--judge-url", help="up to and with /v1")
    judged.add_argument("--judge-model")
    judged.add_argument("--judge-baselines", type=Path, nargs="+", default=[], help="CSV of published descriptions")
    args.add_argument("--concurrency", type=positive, default=8, help="requests at a time to an endpoint")
    return args


def positive(text: str) -> int:
    """An argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def prepare(args: argparse.Namespace) -> Task:
    """Read the set and check the arguments before a model is loaded. Raises BadSettings or DataMissing."""
    settings = {
        "benchmark": args.benchmark,
        "split": args.split,
        "fold": args.fold,
        "limit": args.limit,
        "model": Path(args.model).name if "/" in args.model else args.model,
        "adapter": args.adapter.name if args.adapter else None,
    }
    if args.peer_url:
        settings["model"] = f"{args.peer_model} (endpoint)"
    elif not args.predictions:
        settings["weights_sha256"] = weights_sha256(assembly.locate(args.model), args.adapter)
        if nano_labels(args.label, args.model, adapter=args.adapter, engine="torch", device="cpu"):
            settings["label_model"] = LABELLER
    variant = named(args.variant) if args.variant else WHOLE
    if args.variant:
        settings["variant"] = args.variant
    if args.fast:
        settings["fast"] = True
    if args.benchmark in SAMPLES:
        if args.fold is not None:
            raise BadSettings(f"{args.benchmark} has no folds.", "Leave out --fold.")
        try:
            samples = SAMPLES[args.benchmark](args.data, args.split, args.limit)
            n = count(args.benchmark, args.data, args.split, args.limit)
        except FileNotFoundError as error:
            raise DataMissing(
                f"{error.filename} is missing.", "--data expects the layout of the data folder's README."
            ) from error
        if n == 0:
            raise DataMissing(f"{args.data} holds nothing of {args.split} for {args.benchmark}.", "Choose --split.")
        left_out = skipped(args.benchmark, args.data)
        asked = ModelUnderTest(args.model, args.adapter, variant=variant, label=args.label, chains=not args.fast)
        return Task(samples, n, asked, settings, skipped=left_out)
    read = sets.read(args.benchmark, args.data)
    own_model = not args.peer_url and not args.predictions
    if own_model and not assembly.read_config(args.model, args.adapter).emotion.open_labels:
        # Before minutes of work: a model of fixed labels knows no emotion for `sarcastic`.
        question_of(read.question, read.labels)
    clips = clip_samples(read, args.split, args.fold, args.limit)
    return Task(
        clips, len(clips),
        ModelUnderTest(args.model, args.adapter, read.labels, read.question, variant, args.label, not args.fast),
        settings,
        whole_folds=read.whole_folds(args.split, args.fold),
        skipped=read.skipped,
        described=any(clip.reference for clip in read.clips),
    )  # fmt: skip


def trained_row(adapter: Path | None) -> str | None:
    """The row of the ablation table that an adapter was trained as; None for the whole model."""
    path = adapter / "run.json" if adapter else None
    if path is None or not path.is_file():
        return None
    row = json.loads(path.read_text(encoding="utf-8")).get("variant")
    return row if row in VARIANTS and row != WHOLE.name else None


def answer_all(args: argparse.Namespace, task: Task, out: Path) -> list[Row]:
    """The rows of all samples, including those of earlier runs. Answers are saved as they come. Raises Unfinished."""
    claim(out, task.settings)
    kept = Answers(out / "answers.jsonl")
    try:
        with tqdm(total=task.n, initial=len(kept.rows), unit="sample", mininterval=5) as bar:
            for rows in _answers(args, task, kept.done):
                kept.add(rows)
                bar.update(len(rows))
    except KeyboardInterrupt:
        raise Unfinished(
            f"Stopped: {len(kept.rows)} of {task.n} answers are kept.", "The same command goes on."
        ) from None
    except BrokenProcessPool as error:
        raise Unfinished(
            f"A worker died (no memory left?); {len(kept.rows)} of {task.n} answers are kept.",
            "Run the same command again, with fewer --workers.",
        ) from error
    return kept.rows


def _answers(args: argparse.Namespace, task: Task, done: frozenset[str]) -> Iterator[list[Row]]:
    if not args.peer_url:
        parts = sessions(task.samples, at_least=min(PART, max(1, task.n // (2 * args.workers))))
        yield from answering.answers(task.asked, parts, done, n_workers=args.workers)
        return
    peer = ChatSettings(args.peer_url, args.peer_model, KEY_VARIABLE)
    for row in peers.answers(peer, task.asked, task.samples, done, concurrency=args.concurrency):
        yield [row]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate as the arguments say. Returns the result, which is written into --out."""
    if args.predictions:
        return finish(args, _scored(args))
    task = prepare(args)
    if args.judge_url and not task.described:
        raise BadSettings(f"{args.benchmark} has no descriptions to judge against.", "Judge emer.")
    if args.baselines:
        baselines.refuse(args.benchmark, args.split)
    if (args.ablate or args.variant) and task.settings.get("label_model"):
        raise BadSettings("Switches are for one model, and nano gives this one's labels.", "Add --label own.")
    if (args.ablate or args.variant) and args.peer_url:
        raise BadSettings("Switches are for a checkpoint, and an endpoint has none.", "Leave out --peer-url.")
    if args.fast and (args.peer_url or args.judge_url):
        raise BadSettings("An endpoint has no fast label, and a judge reads chains.", "Leave out --fast.")
    if args.robust:
        return _robust(args, task)
    if args.ablate:
        result = ablation.table(args.out, task.settings, lambda variant, out: _varied(args, variant, out))
        ablation.write(result | {"command": command(args)}, args.out)
        return result
    rows = answer_all(args, task, args.out)
    split = args.split if args.fold is None else f"fold {args.fold}"
    result = report(
        args.benchmark, task.settings["model"], split, rows, task.asked.labels, folds=task.whole_folds
    )  # fmt: skip
    result["skipped"] = list(task.skipped)
    tell_left_out(result)
    if args.baselines:
        found = baselines.measure(args.benchmark, args.data, args.split, args.out, args.model)
        result["baselines"] = found
        result["tables"] = {"Baselines, which never met these people": baselines.table(found, result)}
    finish(args, result)
    if args.judge_url:
        # The report is already written, so a judge that is down loses nothing.
        result["judged"] = _judged(args, rows)
        result.setdefault("tables", {})["Clue and label overlap"] = judge.table(result["judged"])
        finish(args, result)
    return result


def tell_left_out(result: dict[str, Any]) -> None:
    """Count and name on stderr what of the set has no answer; the report has all names and reasons."""
    lost = [f"{key} ({reason})" for key, reason in result["not_perceived"].items()]
    for what, names in (("are no part of the set and were skipped", result["skipped"]), ("counted as wrong", lost)):
        if names:
            more = f" and {len(names) - SHOWN} more, see report.json" if len(names) > SHOWN else ""
            print(f"{len(names)} {what}: {'; '.join(names[:SHOWN])}{more}", file=sys.stderr)


def finish(args: argparse.Namespace, result: dict[str, Any]) -> dict[str, Any]:
    result["command"] = command(args)
    write(result, args.out)
    return result


def _scored(args: argparse.Namespace) -> dict[str, Any]:
    """Score saved predictions. The parsed answers are kept as those of a run are, so that --compare takes them."""
    known, labels, whole = None, tuple(args.labels or LABELS), False
    settings = {
        "benchmark": args.benchmark, "split": args.split, "fold": args.fold, "limit": args.limit,
        "model": args.predictions.name,
    }  # fmt: skip
    if args.benchmark:
        task = prepare(args)
        known = {sample.key: answering.begun(sample) for sample in task.samples}
        labels, whole = task.asked.labels, task.whole_folds
    rows = predictions.score(args.predictions, known, labels)
    claim(args.out, settings)
    Answers(args.out / "answers.jsonl").replace(rows)
    name = args.benchmark or "saved predictions"
    return report(name, args.predictions.name, args.split, rows, labels, folds=whole)


def _varied(args: argparse.Namespace, variant: Variant, out: Path) -> tuple[list[Row], tuple[str, ...]]:
    task = prepare(args)
    asked = replace(task.asked, variant=variant)
    rows = answer_all(args, Task(task.samples, task.n, asked, task.settings | {"variant": variant.name}), out)
    return rows, asked.labels


def _robust(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    robustness.refuse(args.benchmark)
    if args.peer_url:
        raise BadSettings("An endpoint is not told when it was seen and heard.", "--robust is for checkpoints.")
    read = partial(SAMPLES[args.benchmark], args.data, args.split, args.limit)
    n, settings = task.n * len(robustness.DAMAGES), task.settings | {"robust": True}
    rows = answer_all(args, Task(robustness.samples(read), n, task.asked, settings), args.out)
    result = robustness.table(settings, rows, task.asked.labels)
    robustness.write(result | {"command": command(args)}, args.out)
    return result


def _judged(args: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    truth = {row["key"]: row["reference"] for row in rows if row.get("reference")}
    told = {row["key"]: " ".join(row.get("sections", {}).values()) or row.get("text") or "" for row in rows}
    systems = {"this model": told, **judge.read_baselines(args.judge_baselines)}
    settings = ChatSettings(args.judge_url, args.judge_model, KEY_VARIABLE)
    return judge.judge(settings, truth, systems, args.out, concurrency=args.concurrency)


def command(args: argparse.Namespace) -> str:
    """The command behind this report, without the paths of this machine."""
    words = ["realtime train evaluate"]
    if args.benchmark:
        words.append(f"--benchmark {args.benchmark} --data DATA --split {args.split}")
    if args.predictions:
        words.append(f"--predictions {args.predictions.name}")
    elif args.peer_url:
        words.append(f"--peer-url URL --peer-model {args.peer_model}")
    else:
        words.append(f"--model {Path(args.model).name}")
    words += [f"--label {args.label}"] if args.label != "auto" else []
    words += [f"--{name} {getattr(args, name)}" for name in ("fold", "limit") if getattr(args, name) is not None]
    words += [f'--variant "{args.variant}"'] if args.variant else []
    words += [f"--{name}" for name in ("ablate", "robust", "baselines", "fast") if getattr(args, name)]
    return " ".join([*words, "--out OUT"])


def main() -> None:
    args = parser().parse_args()
    try:
        if args.compare:
            print(json.dumps(compare(*args.compare)))
            return
        for name in ("out",) if args.predictions and not args.benchmark else ("benchmark", "data", "out"):
            if getattr(args, name) is None:
                raise BadSettings(f"--{name} is missing.", "See realtime train evaluate --help.")
        for one in ("peer", "judge"):
            if getattr(args, f"{one}_url") and not getattr(args, f"{one}_model"):
                raise BadSettings(f"--{one}-model is missing.", f"Name the model that --{one}-url serves.")
        if not (args.ablate or args.robust or args.variant):
            args.variant = trained_row(args.adapter)
        refuse_input(args.out, args.data, args.model, args.adapter)
        refuse_input(args.out / "answers.jsonl", args.predictions, *args.judge_baselines)
        result = run(args)
    except RealtimeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(result.get("metrics", result.get("rows"))))


if __name__ == "__main__":
    main()
