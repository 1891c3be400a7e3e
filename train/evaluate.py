"""Whole-pipeline accuracy on people a model never saw: picture or sound in, answer text out.

    python -m train.evaluate --benchmark ferplus|ravdess --data DATA --model nano --out DIR [--split test] [--limit N]

Every sample goes through the very perception and reasoning that serve a live session. FER+ faces come one by one, as
strangers; RAVDESS sentences come as one session per actor, so that the voice's running baseline settles as it does
live. Each answer is saved with its text (DIR/answers.jsonl, appended as it goes; a run that was stopped goes on where
it was), then DIR/report.json and DIR/report.md. An answer that cannot be read is wrong, and counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from realtime.loading import LoadedModel, load
from realtime.model.experts import EXPERT_LABELS
from realtime.reason.chain import read_answer
from realtime.reason.prompt import Ask
from realtime.records import Label, ReasonDone, SpeechSegment, VideoFrame, Window
from train import ferplus, ravdess
from train.coet.measured import faithful
from train.metrics import Interval, bootstrap, brier, calibration_error, recalls, weighted_f1
from train.prepare import longest_speech


@dataclass(frozen=True)
class Sample:
    key: str
    truth: str
    session: str
    "Samples of one session share its baselines, in order."
    slices: dict[str, str]
    frame: VideoFrame | None = None
    speech: SpeechSegment | None = None


def ferplus_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    faces = ferplus.load(data)
    rows = np.arange(len(faces.index_N)) if split == "all" else faces.part(split)
    if limit is not None:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:limit])
    for row in rows:
        truth = EXPERT_LABELS[int(faces.labels_N[row])]
        agreed = "clear" if faces.votes_N7[row].max() >= 0.7 else "divided"
        frame = VideoFrame(0.0, ferplus.as_camera_frame(faces.images_NHW[row]))
        key = str(int(faces.index_N[row]))
        yield Sample(key, truth, key, {"raters": agreed}, frame=frame)


def ravdess_samples(data: Path, split: str, limit: int | None) -> Iterator[Sample]:
    """One session per actor, sentences in a fixed random order (the files are sorted by emotion, which no talk is)."""
    clips = ravdess.load(data)
    wanted = {clip.actor for clip in clips} if split == "all" else set(ravdess.ACTORS[split])
    for actor in sorted(wanted):
        own = [clip for clip in clips if clip.actor == actor]
        order = np.random.default_rng(actor).permutation(len(own))
        at_s = 0.0
        for place, index in enumerate(order[:limit]):
            clip = own[index]
            part = longest_speech(ravdess.read_samples(data, clip.file))
            length = part.end_s - part.start_s
            speech = SpeechSegment(at_s, at_s + length, part.samples_N)
            at_s += length + 1.0
            when = "first 3" if place < 3 else "4th to 10th" if place < 10 else "later"
            slices = {"place in session": when, "sex": clip.sex, "actor": str(actor)}
            yield Sample(clip.file, EXPERT_LABELS[clip.label], str(actor), slices, speech=speech)


SAMPLES = {"ferplus": ferplus_samples, "ravdess": ravdess_samples}


def answer(model: LoadedModel, samples: Iterator[Sample], done: set[str]) -> Iterator[dict[str, Any]]:
    """Run each sample through perception and reasoning; what was answered before is perceived, not asked again."""
    ask, perception, session = Ask(labels=model.labels), None, None
    for sample in samples:
        if sample.session != session:
            perception, session = model.perceiver(seed=0), sample.session
        elif sample.key in done and sample.speech is None:
            continue
        assert perception is not None
        if sample.key in done and sample.speech is None:
            continue
        frames = (perception.see(sample.frame),) if sample.frame is not None else ()
        speech = (perception.hear(sample.speech),) if sample.speech is not None else ()
        if sample.key in done:
            continue  # the baseline had to hear it
        end_s = speech[0].end_s if speech else 0.0
        window = Window(0, max(0.0, end_s - 8.0), end_s, frames, speech)
        fast = model.thinker.fast_label(window, ask)
        steps = list(model.thinker.reason(window, ask))
        final = next(step for step in steps if isinstance(step, Label))
        reasoned = next(step for step in steps if isinstance(step, ReasonDone))
        read = read_answer(reasoned.sections["answer"], ask.labels)
        cues = frames[0].cues[0].intensities if frames and frames[0].cues else {}
        relative = speech[0].cues.relative if speech else {}
        told = faithful(reasoned.sections, cues, relative)
        yield {
            "key": sample.key,
            "truth": sample.truth,
            "answer": read.label,
            "told": reasoned.answer.label,
            "fast": max(fast.probabilities, key=lambda label: fast.probabilities[label]),
            "fast_probabilities": dict(fast.probabilities),
            "probabilities": dict(final.probabilities),
            "sections": dict(reasoned.sections),
            "statements": told.n_statements,
            "true_statements": told.n_true,
            "faces": len(frames[0].faces) if frames else None,
            "slices": sample.slices,
        }


def report(benchmark: str, model: str, split: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    truth = [row["truth"] for row in rows]
    given = [row["answer"] or "" for row in rows]
    hit = np.array([a == t for a, t in zip(given, truth, strict=True)])
    fast_hit = np.array([row["fast"] == row["truth"] for row in rows])
    told = np.array([row["told"] != "unsure" for row in rows])
    index = np.array([EXPERT_LABELS.index(t) for t in truth])
    p_final = np.array([[row["probabilities"][label] for label in EXPERT_LABELS] for row in rows])
    p_fast = np.array([[row["fast_probabilities"][label] for label in EXPERT_LABELS] for row in rows])
    statements = sum(row["statements"] for row in rows)
    slices: dict[str, dict[str, Any]] = {}
    for name in sorted({name for row in rows for name in row["slices"]}):
        for value in sorted({row["slices"][name] for row in rows}):
            mask = np.array([row["slices"][name] == value for row in rows])
            slices[f"{name}: {value}"] = {"n": int(mask.sum()), "accuracy": round(float(hit[mask].mean()), 4)}
    interval: Interval = bootstrap(hit)
    return {
        "benchmark": benchmark,
        "split": split,
        "model": model,
        "n": len(rows),
        "unparsed": sum(row["answer"] is None for row in rows),
        "metrics": {
            "accuracy": round(float(hit.mean()), 4),
            "accuracy_95": [round(interval.low, 4), round(interval.high, 4)],
            "uar": round(float(recalls(truth, given, EXPERT_LABELS).mean()), 4),
            "war": round(float(hit.mean()), 4),
            "weighted_f1": round(weighted_f1(truth, given, EXPERT_LABELS), 4),
            "ece": round(calibration_error(p_final, index), 4),
            "brier": round(brier(p_final, index), 4),
            "fast_accuracy": round(float(fast_hit.mean()), 4),
            "fast_ece": round(calibration_error(p_fast, index), 4),
            "told_share": round(float(told.mean()), 4),
            "told_accuracy": round(float(hit[told].mean()), 4) if told.any() else None,
            "faithfulness": round(sum(row["true_statements"] for row in rows) / statements, 4) if statements else None,
            "no_face_found": sum(row["faces"] == 0 for row in rows),
        },
        "recall": dict(zip(EXPERT_LABELS, recalls(truth, given, EXPERT_LABELS).round(4).tolist(), strict=True)),
        "slices": slices,
    }


def as_markdown(result: dict[str, Any]) -> str:
    lines = [f"# {result['benchmark']} ({result['split']}), {result['model']}", ""]
    lines += [f"{result['n']} samples, {result['unparsed']} answers that could not be read (counted as wrong).", ""]
    lines += ["| metric | value |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in result["metrics"].items()]
    lines += ["", "| class | recall |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in result["recall"].items()]
    lines += ["", "| slice | n | accuracy |", "| --- | --- | --- |"]
    lines += [f"| {name} | {part['n']} | {part['accuracy']} |" for name, part in result["slices"].items()]
    return "\n".join(lines) + "\n"


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Answers of an earlier run. A last line that a kill cut in half is taken off the file: it is answered again."""
    if not path.exists():
        return []
    whole, newline, _ = path.read_text("utf-8").rpartition("\n")
    path.write_text(whole + newline, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=sorted(SAMPLES), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "valid", "test", "all"), default="test")
    parser.add_argument("--limit", type=int, help="at most so many samples (FER+: drawn at random; RAVDESS: per actor)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "answers.jsonl"
    rows = read_answers(path)
    try:
        samples = SAMPLES[args.benchmark](args.data, args.split, args.limit)
        model = load(args.model, adapter=args.adapter)
        with path.open("a", encoding="utf-8") as file:
            for row in tqdm(answer(model, samples, {row["key"] for row in rows}), unit="sample", mininterval=5):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                rows.append(row)
    except FileNotFoundError as error:
        parser.exit(3, f"{error.filename} is missing; --data expects the layout of the data folder's README.\n")
    result = report(args.benchmark, args.model, args.split, rows)
    (args.out / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / "report.md").write_text(as_markdown(result), encoding="utf-8")
    print(json.dumps(result["metrics"]))


if __name__ == "__main__":
    main()
