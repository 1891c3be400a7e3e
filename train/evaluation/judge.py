"""Scores how much an answer overlaps with the description that people wrote (EMER), 0–10, with a language model.

Clues and labels are scored separately. Scores are comparable only under one judge, so the judge's model, temperature
and prompts are part of the result, and published baselines are judged again beside our model. Each score is saved as
it comes; when the judge is down, the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime.errors import RealtimeError
from train import metrics
from train.chat import ChatClient, ChatSettings, in_parallel
from train.evaluation.run_folder import Answers

PROMPTS = {
    "clue": (
        "Two descriptions of the same video follow: one by people, one by a model. First list the clues to emotion "
        "that each gives (face, gesture, voice, words, surroundings). Then rate from 0 to 10 how much of people's "
        "clues the model gives: 0 none or contradicting, 10 all of them. Nothing but the overlap counts."
    ),
    "label": (
        "Two descriptions of the same video follow: one by people, one by a model. First list the emotions that each "
        "says the person feels. Then rate from 0 to 10 how far they are the same emotions, words of one meaning "
        "counting as the same: 0 none or opposite, 10 the same."
    ),
}
FORM = '\n\nBy people:\n{truth}\n\nBy the model:\n{told}\n\nAnswer with JSON alone: {{"score": NUMBER, "why": "…"}}'
SCORE = re.compile(r'"score"\s*:\s*"?(\d+(?:\.\d+)?)')


def pinned(settings: ChatSettings) -> dict[str, Any]:
    """Everything that a score depends on."""
    text = json.dumps([PROMPTS, FORM], sort_keys=True)
    return {
        "model": settings.model,
        "temperature": settings.temperature,
        "prompts": PROMPTS,
        "prompts_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def read_score(text: str) -> float | None:
    """The score, 0–10; None where the judge gave no number in that range."""
    found = SCORE.search(re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL))
    if found is None:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*10)?\s*\.?\s*", text)
    score = float(found.group(1)) if found else None
    return score if score is not None and score <= 10 else None


def judge(
    settings: ChatSettings,
    truth: Mapping[str, str],
    systems: Mapping[str, Mapping[str, str]],
    out: Path,
    *,
    concurrency: int = 8,
) -> dict[str, Any]:
    """Score each system's description of each sample. Scores are kept in `out/judged.jsonl`.

    Raises EndpointDown, or OtherJudge where the folder holds scores of another judge.
    """
    kept = Answers(out / "judged.jsonl")
    jobs = [
        (f"{system}|{kind}|{name}", kind, truth[name], told[name])
        for system, told in systems.items()
        for name in truth
        if name in told
        for kind in PROMPTS
    ]
    signature = pinned(settings)
    stale = [row for row in kept.rows if row["judge"] != [signature["model"], signature["prompts_sha256"]]]
    if stale:
        raise OtherJudge(
            f"{out / 'judged.jsonl'} holds judgements of {stale[0]['judge'][0]}.",
            "Scores of two judges never mix: give another --out.",
        )
    open_jobs = [job for job in jobs if job[0] not in kept.done]

    async def one(endpoint: ChatClient, job: tuple[str, str, str, str]) -> dict[str, Any]:
        key, kind, expected, told = job
        message = {"role": "user", "content": PROMPTS[kind] + FORM.format(truth=expected, told=told)}
        text = await endpoint.text([message])
        return {
            "key": key,
            "score": read_score(text),
            "text": text,
            "judge": [signature["model"], signature["prompts_sha256"]],
        }

    for row in in_parallel(settings, open_jobs, one, concurrency=concurrency):
        kept.add([row])
    return {"judge": signature, "systems": {name: _figures(name, told, truth, kept) for name, told in systems.items()}}


class OtherJudge(RealtimeError):
    """The folder holds scores of another judge. Choose another --out."""

    code = "other_judge"
    exit_code = 3


def _figures(system: str, told: Mapping[str, str], truth: Mapping[str, str], kept: Answers) -> dict[str, Any]:
    scores = {row["key"]: row["score"] for row in kept.rows}
    result: dict[str, Any] = {"n": sum(name in told for name in truth), "of": len(truth)}
    for kind in PROMPTS:
        own = [scores.get(f"{system}|{kind}|{name}") for name in truth if name in told]
        read = np.array([score for score in own if score is not None])
        result[f"{kind}_unread"] = len(own) - len(read)
        if len(read):
            interval = metrics.bootstrap(read)
            result[kind] = round(float(read.mean()), 3)
            result[f"{kind}_95"] = [round(interval.low, 3), round(interval.high, 3)]
    return result


def table(result: Mapping[str, Any]) -> list[str]:
    """The scores as lines of Markdown."""
    lines = [
        f"Judged by {result['judge']['model']}, temperature {result['judge']['temperature']}, "
        f"prompts {result['judge']['prompts_sha256'][:12]}; every row by this judge.",
        "",
        "| system | n | clue | label | unread |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in result["systems"].items():
        unread = row["clue_unread"] + row["label_unread"]
        lines.append(f"| {name} | {row['n']} | {row.get('clue', '')} | {row.get('label', '')} | {unread} |")
    return lines


def read_baselines(files: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Descriptions of published baselines: CSV with names and one column of text, a system per file."""
    from train.evaluation.predictions import KEYS, read_file
    from train.readers.clip import DataMissing

    systems = {}
    for path in files:
        rows = read_file(path)
        names = list(rows[0]) if rows else []
        key = next((name for name in names if name.lower() in KEYS), None)
        text = next((name for name in names if "reason" in name.lower() or name.lower() in ("english", "text")), None)
        if key is None or text is None:
            raise DataMissing(f"{path}: expected names and a column of reasons; it has {names}.", "Rename the columns.")
        systems[path.stem] = {str(row[key]): str(row[text]) for row in rows}
    return systems
