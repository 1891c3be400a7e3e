"""What a run writes for people to read: a summary, a README for the data set, and a page of samples."""

from __future__ import annotations

import base64
import html
import io
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import av
from PIL import Image

from realtime.ingest.files import file_url
from realtime.reason.prompt import SECTIONS
from realtime.records import LABELS
from train.coet.annotators import Annotator
from train.coet.run import Counts

THUMB_PX = 200


def summary(records: Sequence[Mapping[str, Any]], counts: Counts, annotators: Sequence[Annotator]) -> dict[str, Any]:
    """Counts over the whole folder, and counts and costs of this run (`this_run`)."""
    status = Counter(record["status"] for record in records)
    labels = Counter(record["clip"]["label"] or "(none)" for record in records if record["status"] == "done")
    reasons = Counter(record["reason"][:160] for record in records if record["status"] != "done")
    return {
        "records": len(records),
        "status": dict(status),
        "labels": dict(labels.most_common()),
        "reasons": dict(reasons.most_common(20)),
        "chosen": dict(Counter(record["annotator"] for record in records if record["status"] == "done")),
        "this_run": {
            "finished": dict(counts.status),
            "done_before": counts.already_done,
            "failures": dict(counts.failures),
            "gate": {"asked_again": counts.asked_again, "objections": dict(counts.objections.most_common())},
            "without": {name: n for name, n in counts.without.items() if n},
            "spent": {annotator.name: vars(annotator.usage) for annotator in annotators},
        },
    }


def as_text(of: Mapping[str, Any], stopped: str = "") -> str:
    """The summary in a few lines, for the terminal. `stopped` says why the run ended early."""
    run, status = of["this_run"], of["status"]
    lines = [
        f"{of['records']} records: {status.get('done', 0)} done, {status.get('dropped', 0)} dropped, "
        f"{status.get('failed', 0)} failed; {run['done_before']} were there before."
    ]
    lines += [f"  {n} × {reason}" for reason, n in of["reasons"].items()]
    gate = run["gate"]
    if gate["objections"]:
        rules = ", ".join(f"{rule} {n}" for rule, n in gate["objections"].items())
        lines.append(f"Gate: {rules}; {gate['asked_again']} asked again.")
    if run["without"]:
        lines.append("Clips without " + ", ".join(f"{name}: {n}" for name, n in run["without"].items()) + ".")
    for name, spent in run["spent"].items():
        if spent["requests"]:
            problems = "".join(f"; {problem}: {n}" for problem, n in spent["problems"].items())
            lines.append(
                f"{name}: {spent['requests']} requests, {spent['retries']} retries{problems}; "
                f"{spent['tokens_in']} + {spent['tokens_out']} tokens, cost {spent['cost']:.4f}."
            )
    if stopped:
        lines.append(f"Stopped: {stopped}")
    return "\n".join(lines)


def readme(of: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """README.md of the data set, from the summary and the settings of the run."""
    labels = "\n".join(f"| {label} | {n} |" for label, n in of["labels"].items())
    reasons = "\n".join(f"- {n} × {reason}" for reason, n in of["reasons"].items()) or "- none"
    used = "\n".join(f"- `{name}`: {value}" for name, value in settings.items())
    return f"""# CoET annotations

{of["records"]} clips, {of["status"].get("done", 0)} with a chain. Labels: {", ".join(LABELS)}. `records.jsonl`
holds one record per clip (`record.schema.json`), with what every annotator said in each of three stages:
single-modality descriptions, a question-and-answer chain, the thought in seven sections ({", ".join(SECTIONS)}).
`annotator` names whose thought was taken.

| label | chains |
| --- | --- |
{labels}

Dropped or failed, with the reason:

{reasons}

## How it was made

{used}

Every chain passed a gate that compares its statements with measurements of the same clip: facial cues from a face mesh,
prosody against the voice's usual, brightness and saturation. What the gate does not recognise it lets pass. Annotations
describe how people looked and sounded to instruments, models and observers; they are no readout of what anyone felt.
The clips themselves are not part of this folder, and their licence stays their own.
"""


def samples_page(records: Sequence[Mapping[str, Any]], n: int, seed: int = 0) -> str:
    """A self-contained HTML page: `n` random records with a frame, all annotators' texts and the gate's objections."""
    pool = list(records)
    random.Random(seed).shuffle(pool)
    shown = sorted(pool[:n], key=lambda record: (record["status"] != "done", record["key"]))
    body = "\n".join(article(record) for record in shown)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>CoET samples</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }}
article {{ border-top: 1px solid #8886; padding: 1rem 0; display: grid; grid-template-columns: 210px 1fr; gap: 1rem }}
dt {{ font-weight: 600 }} dd {{ margin: 0 0 .3rem }} img {{ max-width: 200px; border-radius: 4px }}
.failed, .dropped {{ color: #a33 }} details {{ margin-top: .4rem }} :root {{ color-scheme: light dark }}
</style>
<h1>{len(shown)} of {len(records)} records</h1>
{body}
</html>
"""


def article(record: Mapping[str, Any]) -> str:
    """The HTML of one record."""
    e = html.escape
    picture = thumbnail(record["clip"])
    image = f'<img alt="a frame of the clip" src="{picture}">' if picture else "no picture"
    parts = [f"<h2>{e(record['key'])} · {e(record['clip']['label'] or 'no label')}</h2>"]
    if record["status"] != "done":
        parts.append(f'<p class="{record["status"]}">{record["status"]}: {e(record["reason"])}</p>')
    else:
        told = "".join(f"<dt>{name}</dt><dd>{e(record['sections'][name])}</dd>" for name in SECTIONS)
        parts.append(f"<p>by {e(record['annotator'])}</p><dl>{told}</dl>")
    for name, said in record["annotators"].items():
        parts.append(f"<details><summary>{e(name)}, all stages</summary>{stages(said)}</details>")
    return f"<article><div>{image}</div><div>{''.join(parts)}</div></article>"


def stages(said: Mapping[str, Any]) -> str:
    """The HTML of one annotator's three stages."""
    e, lines = html.escape, []
    for part in said.get("describe", {}).get("vision", []):
        lines.append(f"<p>{part['at_s']} s: {e(part['text'])}</p>")
    for part in said.get("describe", {}).get("audio", []):
        lines.append(f"<p>{part['start_s']}–{part['end_s']} s: {e(part['text'])}</p>")
    for part in said.get("question", []):
        lines.append(f"<p><i>{e(part['level'])}: {e(part['question'])}</i> {e(part['answer'])}</p>")
    lines += [f"<p>{name}: {e(text)}</p>" for name, text in said.get("think", {}).items()]
    lines += [f'<p class="dropped">{e(o["rule"])}: {e(o["text"])}</p>' for o in said.get("objections", [])]
    if "failed" in said:
        lines.append(f'<p class="failed">{e(said["failed"])}</p>')
    return "".join(lines)


def thumbnail(clip: Mapping[str, Any]) -> str:
    """A frame near the middle of the clip as a data URL; empty where the clip has no picture."""
    try:
        with av.open(file_url(clip["path"])) as file:
            if not file.streams.video:
                return ""
            start_s, end_s = clip["start_s"] or 0.0, clip["end_s"]
            length_s = (end_s or (file.duration or 0) / av.time_base) - start_s
            if length_s > 0.5:
                file.seek(int((start_s + length_s / 2) * av.time_base))
            image: Image.Image = next(file.decode(video=0)).to_image()  # type: ignore[no-untyped-call]
    except (av.FFmpegError, OSError, StopIteration, ValueError):
        return ""
    image.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
