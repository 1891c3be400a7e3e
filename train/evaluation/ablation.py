"""Makes the ablation table in the form of the paper. Each row is a run in a folder of its own, which can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings
from train.evaluation.report import report
from train.evaluation.run_folder import claim
from train.evaluation.variants import TABLE, WHOLE, Variant

Answer = Callable[[Variant, Path], tuple[list[Any], tuple[str, ...]]]
COLUMNS = ("war", "uar", "weighted_f1", "fast_accuracy", "ece", "faithfulness")
HEADS = ("WAR", "UAR", "weighted F1", "fast label", "ECE", "faithfulness")


def table(out: Path, settings: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The table as JSON. `answer(variant, folder)` runs one variant and returns its rows and labels.

    Raises BadSettings for a set without labels.
    """
    claim(out, {**settings, "ablation": True})
    rows: dict[str, dict[str, Any]] = {}
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
    return {**{name: settings[name] for name in ("benchmark", "split", "model")}, "rows": rows}


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: found["metrics"].get(name) for name in COLUMNS},
        "war_95": found["intervals_95"]["accuracy"],
    }


def folder_name(variant: Variant) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in variant.name.replace("δ", "d").replace("λ", "l"))


def as_markdown(result: Mapping[str, Any]) -> str:
    lines = [f"# Ablations: {result['benchmark']} ({result['split']}), {result['model']}", ""]
    lines += [f"    {result['command']}", ""] if "command" in result else []
    lines += [
        "Switches are thrown while the model answers; nothing is trained again, so a row says what the trained model",
        "leans on, not what a model trained without it would reach. `F` are focal tokens and the cue tokens of faces,",
        f"`B` background tokens, `A` everything heard. `{WHOLE.name}` is the model as it serves.",
    ]
    for group in dict.fromkeys(row["group"] for row in result["rows"].values()):
        lines += ["", f"| {group} | n | {' | '.join(HEADS)} | WAR 95 % |", "| --- " * (len(HEADS) + 3) + "|"]
        for name, row in result["rows"].items():
            if row["group"] == group:
                values = " | ".join("" if row[column] is None else f"{row[column]:.4f}" for column in COLUMNS)
                low, high = row["war_95"]
                lines.append(f"| {name} | {row['n']} | {values} | {low:.3f} – {high:.3f} |")
    return "\n".join(lines) + "\n"


def write(result: Mapping[str, Any], out: Path) -> None:
    (out / "ablation.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(as_markdown(result), encoding="utf-8")
