"""Makes the table of missing and shifted modalities: each row has the same pairs, damaged in one way.

Beside each figure is its difference from the complete pairs, paired sample by sample. The truth is always what the
crowd concludes from both modalities. So a row says how often that conclusion is still reached with less evidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realtime.errors import BadSettings
from train import metrics
from train.evaluation.compare import paired, paired_calibration
from train.evaluation.damage import COMPLETE, Damage, damaged
from train.evaluation.report import hits, rounded
from train.evaluation.run_folder import Row
from train.evaluation.samples import PAIRS, Sample

SHARES = (0.25, 0.5, 0.75)
BOTH = tuple(Damage(f"{share:.0%} of both", share, share) for share in SHARES)
TABLE: Mapping[str, tuple[Damage, ...]] = {
    "Complete": (COMPLETE,),
    "One modality left out": (Damage("no face", face=1), Damage("no voice", voice=1)),
    "A share left out": (
        Damage("50% of the face", face=0.5),
        Damage("75% of the face", face=0.75),
        Damage("50% of the voice", voice=0.5),
        Damage("75% of the voice", voice=0.75),
        *BOTH,
    ),
    "Sound shifted": tuple(
        Damage(f"{abs(shift):g} s {'later' if shift > 0 else 'earlier'}", shift_s=shift) for shift in (2, 4, -2, -4)
    ),
}
DAMAGES = tuple(damage for damages in TABLE.values() for damage in damages)
BETWEEN = ": "
"Stands between the damage and the key of the pair in the key of an answer."
FIGURES = ("accuracy", "uar", "weighted_f1", "ece")
HEADS = ("WAR", "UAR", "weighted F1", "calibration error")


def refuse(benchmark: str) -> None:
    """Raise BadSettings for a set whose samples are not pairs, before anything is answered."""
    if benchmark not in PAIRS:
        raise BadSettings(f"{benchmark} has no pairs to damage.", f"--robust takes {' or '.join(PAIRS)}.")


def samples(read: Callable[[], Iterable[Sample]]) -> Iterator[Sample]:
    """All pairs with every damage, in sessions of one damage each. `read` reads the pairs once more."""
    for damage in DAMAGES:
        for sample in read():
            yield replace(
                damaged(sample, damage),
                key=f"{damage.name}{BETWEEN}{sample.key}",
                session=f"{damage.name}{BETWEEN}{sample.session}",
            )


def table(settings: Mapping[str, Any], rows: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    """The table as JSON, from the answers to `samples`."""
    told: dict[str, dict[str, Row]] = {damage.name: {} for damage in DAMAGES}
    for row in rows:
        name, key = row["key"].split(BETWEEN, maxsplit=1)
        told[name][key] = row
    found = {
        damage.name: {"group": group, **against(told[COMPLETE.name], told[damage.name], labels)}
        for group, damages in TABLE.items()
        for damage in damages
    }
    return {
        **{name: settings[name] for name in ("benchmark", "split", "model")},
        "area": rounded(area([found[damage.name]["accuracy"]["value"] for damage in (COMPLETE, *BOTH)])),
        "rows": found,
    }


def area(accuracies: Sequence[float]) -> float:
    """The mean accuracy over shares from 0 to the greatest of `SHARES`: the area below the line through the points."""
    middles = (np.array(accuracies[1:]) + np.array(accuracies[:-1])) / 2
    return float(np.average(middles, weights=np.diff([0.0, *SHARES])))


def against(complete: Mapping[str, Row], answers: Mapping[str, Row], labels: Sequence[str]) -> dict[str, Any]:
    """The figures of one row of the table, each with its difference from the complete pairs and its 95 % interval."""
    pairs = [(row, answers[key]) for key, row in complete.items()]
    truth = [before["truth"] for before, _ in pairs]
    found: dict[str, Any] = paired(truth, *([row["answer"] for row in side] for side in zip(*pairs, strict=True)))
    a_NL, b_NL = (
        np.array([[row["probabilities"].get(label, 0.0) for label in labels] for row in side])
        for side in zip(*pairs, strict=True)
    )
    found["ece"] = paired_calibration(a_NL, b_NL, metrics.places(truth, labels))
    own_hits = metrics.bootstrap(hits([after for _, after in pairs]))
    return {
        "n": found["n"],
        "unparsed": sum(after["answer"] is None for _, after in pairs),
        "no_face_found": sum(after.get("faces") == 0 for _, after in pairs),
        "accuracy_95": [rounded(own_hits.low), rounded(own_hits.high)],
        **{
            name: {
                "value": rounded(found[name]["b"]),
                "difference": rounded(found[name]["difference"]),
                "difference_95": [rounded(found[name]["low"]), rounded(found[name]["high"])],
            }
            for name in FIGURES
        },
    }


def as_markdown(result: Mapping[str, Any]) -> str:
    lines = [f"# Missing and shifted modalities: {result['benchmark']} ({result['split']}), {result['model']}", ""]
    lines += [f"    {result['command']}", ""] if "command" in result else []
    lines += [
        "In brackets is the difference from the complete pairs, with the 95 % interval of 2,000 paired draws. The",
        "truth of a pair stays what the crowd concludes from both modalities.",
        "",
        f"Mean accuracy over 0 to {SHARES[-1]:.0%} of both left out: {result['area']:.3f}.",
    ]
    for group in dict.fromkeys(row["group"] for row in result["rows"].values()):
        lines += ["", f"| {group} | n | {' | '.join(HEADS)} | no face found |", "| --- " * (len(HEADS) + 3) + "|"]
        for name, row in result["rows"].items():
            if row["group"] == group:
                cells = " | ".join(_cell(row[figure]) for figure in FIGURES)
                lines.append(f"| {name} | {row['n']} | {cells} | {row['no_face_found']} |")
    return "\n".join(lines) + "\n"


def _cell(figure: Mapping[str, Any]) -> str:
    low, high = figure["difference_95"]
    if low == high == figure["difference"] == 0:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['difference']:+.3f}, {low:+.3f} … {high:+.3f})"


def write(result: Mapping[str, Any], out: Path) -> None:
    (out / "robustness.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "robustness.md").write_text(as_markdown(result), encoding="utf-8")
