"""Makes the report of a run from its answers, as JSON, as Markdown and as a picture of the confusion matrix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.prompt import UNSURE
from train import metrics
from train.arrays import Bools, Int64
from train.coet.checks import contradicts_itself
from train.evaluation.turned import as_table, turned

Row = Mapping[str, Any]
NOT_PERCEIVED = "not perceived: "
"What the `parse` of a sample begins with that could not be perceived; its reason follows."
FEW = 20
"Slices with fewer samples say little; the Markdown marks them."


def report(
    benchmark: str,
    model: str,
    split: str,
    rows: Sequence[Row],
    labels: Sequence[str] = EXPERT_LABELS,
    *,
    folds: bool = True,
) -> dict[str, Any]:
    """The metrics of all rows. Metrics of fields that the rows lack (probabilities, sections) are left out.

    Rows without a truth (EMER has descriptions, and labels for some) count in `n` and `unparsed` alone. With
    `folds`, metrics of each official fold are added; pass False where the rows hold only parts of some folds.
    """
    if not rows:
        raise ValueError("a report needs at least one answer")
    known = [row for row in rows if row["truth"]]
    result: dict[str, Any] = {
        "benchmark": benchmark,
        "split": split,
        "model": model,
        "n": len(rows),
        "unparsed": sum(row["answer"] is None for row in rows),
        "not_perceived": {row["key"]: row["parse"].removeprefix(NOT_PERCEIVED) for row in rows if _failed(row)},
        "metrics": {
            **dict.fromkeys(("accuracy", "uar", "war", "weighted_f1", "macro_f1")),
            **(classes(known, labels) if known else {}),
            **faithfulness(rows),
            **contradictions(rows),
        },
        "parses": dict(Counter(str(row["parse"]) for row in rows if "parse" in row).most_common(12)),
        "slices": slices(known, labels),
    }
    if len(known) < len(rows):
        result["without_truth"] = len(rows) - len(known)
    if known:
        counts = confusion(known, labels)
        recall = metrics.recalls(*both(known), labels)
        result |= {
            "intervals_95": {
                name: [rounded(interval.low), rounded(interval.high)]
                for name, interval in metrics.intervals(counts).items()
            },
            "recall": dict(zip(labels, (rounded(value) for value in recall), strict=True)),
            "confusion": {"labels": list(labels), "rows": counts.tolist(), "last_column": "none of the labels"},
        }
        if changed := turned(known):
            result["turned"] = changed
    if folds and (found := by_fold(known, labels)):
        result["folds"] = found
    return result


def _failed(row: Row) -> bool:
    return str(row.get("parse", "")).startswith(NOT_PERCEIVED)


def both(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Truths and answers."""
    return [row["truth"] for row in rows], [row["answer"] or "" for row in rows]


def confusion(rows: Sequence[Row], labels: Sequence[str]) -> Int64:
    return metrics.with_unread(*both(rows), labels)


def hits(rows: Sequence[Row]) -> Bools:
    return np.array([row["answer"] == row["truth"] for row in rows], bool)


def classes(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    """The metrics that need a true label."""
    truth, given = both(rows)
    hit, counts = hits(rows), confusion(rows, labels)
    return {
        "accuracy": rounded(hit.mean()),
        "uar": rounded(metrics.uar(truth, given, labels)),
        "war": rounded(np.trace(counts) / counts.sum()),
        "weighted_f1": rounded(metrics.weighted_f1(truth, given, labels)),
        "macro_f1": rounded(metrics.macro_f1(truth, given, labels)),
        **certainty(rows, labels, "probabilities", ""),
        **fast_label(rows, labels),
        **modalities(rows),
        **told(rows, hit),
    }


def rounded(value: SupportsFloat) -> float:
    return round(float(value), 4)


def certainty(rows: Sequence[Row], labels: Sequence[str], field: str, prefix: str) -> dict[str, float]:
    """Calibration error and Brier score, over the rows with a distribution (all rows of our models have one)."""
    own = [row for row in rows if row.get(field)]
    if not own:
        return {}
    p_NL = np.array([[*map(row[field].get, labels, repeat(0.0))] for row in own], np.float64)
    index_N = metrics.places([row["truth"] for row in own], labels)
    return {
        f"{prefix}ece": rounded(metrics.calibration_error(p_NL, index_N)),
        f"{prefix}ece_floor": rounded(metrics.calibration_floor(p_NL)),
        f"{prefix}brier": rounded(metrics.brier(p_NL, index_N)),
    }


def fast_label(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, float]:
    if not any("fast" in row for row in rows):
        return {}
    truth, fast = [row["truth"] for row in rows], [row.get("fast") or "" for row in rows]
    hits = np.array([a == t for a, t in zip(fast, truth, strict=True)])
    return {
        "fast_accuracy": rounded(hits.mean()),
        "fast_uar": rounded(metrics.uar(truth, fast, labels)),
        **certainty(rows, labels, "fast_probabilities", "fast_"),
    }


def modalities(rows: Sequence[Row]) -> dict[str, Any]:
    """The accuracy of each modality alone, over windows that have both."""
    pairs = [row for row in rows if row.get("alone")]
    if not pairs:
        return {}
    hits = {name: np.mean([row["alone"].get(name) == row["truth"] for row in pairs]) for name in ("face", "voice")}
    return {
        "face_alone": rounded(hits["face"]),
        "voice_alone": rounded(hits["voice"]),
        "better_single": rounded(max(hits.values())),
    }


def told(rows: Sequence[Row], hit_N: Bools) -> dict[str, Any]:
    """How often the outcome is a label and not `unsure`, and how often it is then right."""
    if not any("told" in row for row in rows):
        return {}
    sure = np.array([row.get("told", UNSURE) != UNSURE for row in rows])
    result: dict[str, Any] = {"told_share": rounded(sure.mean())}
    if sure.any():
        result["told_accuracy"] = rounded(hit_N[sure].mean())
    if any(row.get("faces") is not None for row in rows):
        result["no_face_found"] = sum(row.get("faces") == 0 for row in rows)
    return result


def contradictions(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of chains that contradict themselves among those with one emotion each for face and voice.

    Beside it, how many arguments were written again because they contradicted, and how many of these in vain.
    """
    told = [contradicts_itself(row.get("sections", {})) for row in rows]
    n = sum(one is not None for one in told)
    if not n:
        return {}
    result: dict[str, Any] = {"contradictions": rounded(sum(one is True for one in told) / n), "compared": n}
    again = Counter(row["rewritten"] for row in rows if "rewritten" in row)
    if again:
        result |= {"rewritten": again["yes"], "rewritten_in_vain": again["in vain"]}
    return result


def faithfulness(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of the chains' statements on cues and prosody that agree with the measurements of the window.

    Beside it, how often the model was kept from beginning one (`reason/grounded.py`): how faithful it is by itself.
    """
    n = sum(row.get("statements", 0) for row in rows)
    if not n:
        return {}
    true = sum(row.get("true_statements", 0) for row in rows)
    result: dict[str, Any] = {"faithfulness": rounded(true / n), "statements": n}
    if any("withheld" in row for row in rows):
        result["withheld"] = sum(row.get("withheld", 0) for row in rows)
    return result


def slices(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Accuracy with its interval, and the calibration error, of each part of the samples."""
    found: dict[str, dict[str, Any]] = {}
    hit_N = hits(rows)
    for name in sorted({name for row in rows for name in row.get("slices", {})}):
        for value in sorted({str(row["slices"][name]) for row in rows if name in row.get("slices", {})}):
            mask = np.array([str(row.get("slices", {}).get(name)) == value for row in rows])
            own = [row for row, here in zip(rows, mask, strict=True) if here]
            interval = metrics.bootstrap(hit_N[mask])
            found[f"{name}: {value}"] = {
                "n": int(mask.sum()),
                "accuracy": rounded(hit_N[mask].mean()),
                "low": rounded(interval.low),
                "high": rounded(interval.high),
                **certainty(own, labels, "probabilities", ""),
            }
    return found


def by_fold(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """The metrics of each official fold's test part, and their mean."""
    numbers = sorted({fold for row in rows for fold in row.get("folds", ())})
    result = {}
    for number in numbers:
        own = [row for row in rows if number in row.get("folds", ())]
        truth, given = [row["truth"] for row in own], [row["answer"] or "" for row in own]
        result[str(number)] = {
            "n": float(len(own)),
            "war": rounded(np.mean([a == t for a, t in zip(given, truth, strict=True)])),
            "uar": rounded(metrics.uar(truth, given, labels)),
            "weighted_f1": rounded(metrics.weighted_f1(truth, given, labels)),
        }
    if len(result) > 1:
        names = ("n", "war", "uar", "weighted_f1")
        result["mean"] = {name: rounded(np.mean([fold[name] for fold in result.values()])) for name in names}
    return result


def as_markdown(result: Mapping[str, Any]) -> str:
    lines = [f"# {result['benchmark']} ({result['split']}), {result['model']}", ""]
    lines += [f"{result['n']} samples, {result['unparsed']} answers that could not be read (counted as wrong).", ""]
    if "without_truth" in result:
        lines += [f"{result['without_truth']} have no label of the set to be compared with.", ""]
    if "command" in result:
        lines += [f"    {result['command']}", ""]
    intervals = result.get("intervals_95", {})
    lines += ["| metric | value | 95 % |", "| --- | --- | --- |"]
    for name, value in result["metrics"].items():
        if value is None:
            continue
        low_high = " – ".join(f"{end:.4f}" for end in intervals[name]) if name in intervals else ""
        lines.append(f"| {name} | {value} | {low_high} |")
    if "confusion" in result:
        labels, rows = result["confusion"]["labels"], result["confusion"]["rows"]
        lines += ["", "Rows are the truth.", "", f"| | {' | '.join(labels)} | none | recall |"]
        lines.append("| --- " * (len(labels) + 3) + "|")
        for label, row in zip(labels, rows, strict=True):
            lines.append(f"| {label} | {' | '.join(map(str, row))} | {result['recall'][label]} |")
        if "picture" in result:
            lines += ["", f"![Confusion matrix]({result['picture']})"]
    if "folds" in result:
        lines += ["", "| fold | n | WAR | UAR | weighted F1 |", "| --- | --- | --- | --- | --- |"]
        for name, fold in result["folds"].items():
            lines.append(f"| {name} | {fold['n']:.0f} | {fold['war']} | {fold['uar']} | {fold['weighted_f1']} |")
    if result["slices"]:
        lines += ["", "| slice | n | accuracy | 95 % | calibration error |", "| --- | --- | --- | --- | --- |"]
        for name, part in result["slices"].items():
            few = " (few)" if part["n"] < FEW else ""
            between = f"{part['low']} – {part['high']}"
            lines.append(f"| {name} | {part['n']}{few} | {part['accuracy']} | {between} | {part.get('ece', '')} |")
    if "turned" in result:
        lines += ["", "## Answers that the chain turned", "", *as_table(result["turned"])]
    for title, table in result.get("tables", {}).items():
        lines += ["", f"## {title}", "", *table]
    return "\n".join(lines) + "\n"


def draw_confusion(result: Mapping[str, Any], path: Path) -> None:
    """Draw the confusion matrix: colours are shares of each true class, numbers are counts."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = [*result["confusion"]["labels"], "none"]
    counts = np.array(result["confusion"]["rows"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(1.2 + 0.75 * len(labels), 0.9 + 0.62 * len(counts)), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(counts)), labels[:-1])
    axes.set_xlabel("answered")
    axes.set_ylabel("truth")
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.55
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_title(f"{result['benchmark']} ({result['split']}), n = {result['n']}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(result: dict[str, Any], out: Path) -> None:
    """Write report.json, report.md and confusion.png. Each file is complete or absent."""
    if "confusion" in result:
        draw_confusion(result, out / "confusion.png")
        result["picture"] = "confusion.png"
    for name, text in (
        ("report.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n"),
        ("report.md", as_markdown(result)),
    ):
        temporary = out / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)
