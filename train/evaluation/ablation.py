"""Makes the ablation table in the form of the paper. Each row is a run in a folder of its own, which can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from realtime.errors import BadSettings
from train import metrics
from train.evaluation.report import report, rounded
from train.evaluation.run_folder import claim
from train.evaluation.variants import TABLE, WHOLE, Variant

Answer = Callable[[Variant, Path], tuple[list[Any], tuple[str, ...]]]
HEADS = {
    "war": "WAR", "uar": "UAR", "weighted_f1": "weighted F1", "fast_accuracy": "fast label", "ece": "ECE",
    "faithfulness": "faithfulness",
}  # fmt: skip


def table(out: Path, settings: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The table as JSON. `answer(variant, folder)` runs one variant and returns its rows and labels.

    Raises BadSettings for a set without labels.
    """
    claim(out, {**settings, "ablation": True})
    rows: dict[str, dict[str, Any]] = {}
    right: dict[str, dict[str, bool]] = {}
    for group, variants in TABLE.items():
        for variant in variants:
            if variant.name in rows:
                continue
            folder = out / folder_name(variant)
            answers, labels = answer(variant, folder)
            found = report(settings["benchmark"], settings["model"], settings["split"], answers, labels)
            if "intervals_95" not in found:
                raise BadSettings(f"{settings['benchmark']} has no labels here to compare.", "Ablate another set.")
            rows[variant.name] = {"group": group, "n": found["n"], "unparsed": found["unparsed"], **_figures(found)}
            right[variant.name] = {row["key"]: row["answer"] == row["truth"] for row in answers}
    for name, row in rows.items():
        row["minus_whole"] = minus_whole(right[name], right[WHOLE.name])
    return {**{name: settings[name] for name in ("benchmark", "split", "model")}, "rows": rows}


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: found["metrics"].get(name) for name in HEADS},
        "war_95": found["intervals_95"]["accuracy"],
    }


def minus_whole(row: Mapping[str, bool], whole: Mapping[str, bool]) -> dict[str, Any]:
    """How much more often a row is right than the model as it serves, on the same samples, with its 95 % interval."""
    both = sorted(row.keys() & whole.keys())
    gained_N = np.array([float(row[key]) - float(whole[key]) for key in both])
    interval = metrics.bootstrap(gained_N)
    return {"war": rounded(gained_N.mean()), "war_95": [rounded(interval.low), rounded(interval.high)]}


def folder_name(variant: Variant) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in variant.name.replace("δ", "d").replace("λ", "l"))


def as_markdown(result: Mapping[str, Any]) -> str:
    lines = [f"# Ablations: {result['benchmark']} ({result['split']}), {result['model']}", ""]
    lines += [f"    {result['command']}", ""] if "command" in result else []
    lines += [
        "Switches are thrown while the model answers; nothing is trained again, so a row says what the trained model",
        "leans on, not what a model trained without it would reach. `F` are focal tokens and the cue tokens of faces,",
        f"`B` background tokens, `A` everything heard. `{WHOLE.name}` is the model as it serves.",
        "The last column is the difference of WAR from it. Both answered the same samples, so it is surer.",
    ]
    # Fast labels alone say nothing that could be faithful.
    columns = [name for name in HEADS if any(row[name] is not None for row in result["rows"].values())]
    heads = [HEADS[name] for name in columns]
    for group in dict.fromkeys(row["group"] for row in result["rows"].values()):
        lines += ["", f"| {group} | n | {' | '.join(heads)} | WAR 95 % | − whole |", "| --- " * (len(heads) + 4) + "|"]
        for name, row in result["rows"].items():
            if row["group"] == group:
                values = " | ".join("" if row[column] is None else f"{row[column]:.4f}" for column in columns)
                low, high = row["war_95"]
                gained, (least, most) = row["minus_whole"]["war"], row["minus_whole"]["war_95"]
                difference = f"{gained:+.3f} ({least:+.3f} … {most:+.3f})"
                lines.append(f"| {name} | {row['n']} | {values} | {low:.3f} – {high:.3f} | {difference} |")
    return "\n".join(lines) + "\n"


def write(result: Mapping[str, Any], out: Path) -> None:
    (out / "ablation.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(as_markdown(result), encoding="utf-8")
