"""From answers to figures: the report that is kept, as JSON and as a page of Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from train.metrics import Interval, bootstrap, brier, calibration_error, recalls, weighted_f1


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
    singles = {
        f"{name}_alone": round(float(np.mean([row["alone"].get(name) == row["truth"] for row in rows])), 4)
        for name in ("face", "voice")
        if any(name in row["alone"] for row in rows)
    }
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
            **singles,
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
