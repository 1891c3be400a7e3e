"""Measures which sections of a chain change when only the face, or only the voice, is replaced.

    realtime train evaluation.swap --data DATA [--windows 100] [--model nano] [--json FILE]

Faces of FER+'s validation set and voices of RAVDESS's validation actors. Each pair is answered, then with the next
pair's face, then with the next pair's voice. A chain that depends on its evidence changes what it says of the replaced
part only. Prints, by section, the share of chains whose words stay the same, and the same share for two windows that
have nothing in common (chance). The last line is JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel, load
from realtime.outputs import refuse_input
from realtime.reason.prompt import SECTIONS, Question
from realtime.records import FrameEvidence, SpeechEvidence, Window
from train.command import run_command, tell_result
from train.evaluation.batch import chains
from train.evaluation.fidelity import faces, voices

BATCH = 24


def sections_of(
    model: LoadedModel, pairs: Sequence[tuple[FrameEvidence, SpeechEvidence]], ask: Question
) -> list[dict[str, str]]:
    """The sections of each pair's chain."""
    out: list[dict[str, str]] = []
    for first in range(0, len(pairs), BATCH):
        windows = [Window(0, 0.0, voice.end_s, (face,), (voice,)) for face, voice in pairs[first : first + BATCH]]
        out += [each.sections for each in chains(model, windows, ask)]
    return out


def compare(model: LoadedModel, data: Path, n: int, *, seed: int = 0) -> dict[str, Any]:
    """The share of `n` chains with the same words in a section, by what was replaced."""
    rng, ask = np.random.default_rng(seed), Question(labels=model.labels)
    seen = [face for face, _ in faces(model, data, n, rng)]
    heard = [voice for voice, _ in voices(model, data, n, rng)]
    other_seen, other_heard = seen[1:] + seen[:1], heard[1:] + heard[:1]
    before = sections_of(model, list(zip(seen, heard, strict=True)), ask)
    swapped = {
        "face": sections_of(model, list(zip(other_seen, heard, strict=True)), ask),
        "voice": sections_of(model, list(zip(seen, other_heard, strict=True)), ask),
        "both": before[1:] + before[:1],
    }
    same = {
        what: {
            name: round(float(np.mean([a[name] == b[name] for a, b in zip(before, after, strict=True)])), 4)
            for name in SECTIONS
        }
        for what, after in swapped.items()
    }
    distinct = len({tuple(sections.values()) for sections in before})
    return {"model": model.name, "windows": n, "distinct_chains": distinct, "same_words_after_swap_of": same}


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.model)
    with torch.inference_mode():
        figures = compare(load(args.model, engine="torch"), args.data, args.windows)
    table = [f"{'same words after a swap of':<28}" + "".join(f"{name:>12}" for name in SECTIONS)]
    for what, shares in figures["same_words_after_swap_of"].items():
        table.append(f"{what:<28}" + "".join(f"{share:12.2f}" for share in shares.values()))
    tell_result(figures, args.json, table)
    return 0


if __name__ == "__main__":
    run_command(main, "train.evaluation.swap")
