"""Compares an export with torch, and torch with transformers.

    realtime export parity DIR [--model M] [--validation DATA [--windows N]]

DIR is one export or a folder of several. The inputs cover windows that are not full, frames of different sizes in one
batch, no face, all face, drop 0 and 0.2, every length of an audio tail, and speech up to 30 s. The command prints one
JSON line per export, writes it into its manifest, and exits with 1 when an error is above its limit. --validation also
compares labels through the whole pipeline (`agreement.py`); torch then answers once for all exports.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export import command
from export.agreement import AGREEMENT, WINDOWS, agreement
from export.folder import rewrite_manifest
from export.onnx import MAX_WINDOWS
from export.towers import GraphTowers, stock, towers_of
from realtime.commands.program_parser import ProgramParser
from realtime.errors import EngineMissing
from realtime.model import assembly, checkpoint
from realtime.model.audio import n_tokens
from realtime.model.vision import window_plan
from realtime.towers import artifact
from realtime.towers.artifact import Artifact, EngineMismatch
from realtime.towers.batch import FrameInput, drop_noise, text_inputs, vision_inputs
from realtime.towers.choice import Towers

LIMITS = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2}
"The largest accepted relative error: norm of the difference over norm."
BROKEN_ABOVE = {"int8": 0.1}
"The same for precisions that are judged by their labels (--validation): above it something is broken, not rounded."
COMPARED = ("vision", "audio", "voice_layers", "spread")
"Figures of `compare` that a limit holds for."
TOKEN_PX = 28
SIZES = ((8, 8), (4, 4), (5, 11), (1, 1), (9, 6), (16, 9))
"Rows and columns of tokens. A window is 4 × 4."
CHUNK_FRAMES = 200
LONG_S = (0.3, 1.99, 2.0, 7.77, 30.0)


def frames(n_windows: int) -> Iterator[list[FrameInput]]:
    """Batches of all sizes with no face, some and all face, and drop 0 and 0.2; with some, also each size alone.

    Sizes of more than `n_windows` windows are left out, because a TensorRT profile takes no more than that.
    """
    sizes = [(rows, columns) for rows, columns in SIZES if -(-rows // 4) * -(-columns // 4) <= n_windows]
    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 0.3, 1.0):
        for drop in (0.0, 0.2):
            made = []
            for seed, (rows, columns) in enumerate(sizes):
                focal = torch.rand(rows * columns, generator=generator) < share
                image = torch.rand(3, rows * TOKEN_PX, columns * TOKEN_PX, generator=generator)
                made.append(FrameInput(image, focal, drop_noise(focal, seed=seed), drop))
            yield made
            if share == 0.3:
                yield from ([frame] for frame in made)


def sounds(text_QD: Tensor, n_bins: int) -> Iterator[dict[str, Tensor]]:
    """Batches of chunks: every tail length that gives a token, then whole segments of speech."""
    generator = torch.Generator().manual_seed(1)
    tails = torch.arange(3, CHUNK_FRAMES + 1, dtype=torch.int32)
    for lengths in [*torch.split(tails, 50), *(chunk_lengths(round(seconds * 100)) for seconds in LONG_S)]:
        mel = torch.randn(lengths.shape[0], n_bins, CHUNK_FRAMES, generator=generator)
        yield {"mel": mel, "n_frames": lengths, **text_inputs(text_QD, lengths.shape[0])}


def chunk_lengths(n_frames: int) -> Tensor:
    """The mel frames of each chunk of a segment."""
    whole, tail = divmod(n_frames, CHUNK_FRAMES)
    return torch.tensor([CHUNK_FRAMES] * whole + [tail] * (tail > 0), dtype=torch.int32)


class LargestError:
    """The largest errors of all cases added."""

    def __init__(self) -> None:
        self.relative, self.largest, self.n_cases = 0.0, 0.0, 0

    def add(self, ours: Tensor, wanted: Tensor) -> None:
        ours, wanted = ours.double(), wanted.double()
        self.relative = max(self.relative, float((ours - wanted).norm() / wanted.norm().clamp(min=1e-30)))
        self.largest = max(self.largest, float((ours - wanted).abs().max()))
        self.n_cases += 1

    def as_dict(self) -> dict[str, float]:
        return {"relative": self.relative, "max": self.largest, "cases": self.n_cases}


def compare(
    ours: Towers,
    reference: Towers,
    text_QD: Tensor,
    *,
    has_text: bool,
    n_bins: int,
    n_windows: int = MAX_WINDOWS,
) -> dict[str, Any]:
    """Errors of each output of the runtime `ours` against `reference`, over tokens that are kept and not padding."""
    tokens, audio, layers, spread, n_different = (*(LargestError() for _ in range(4)), 0)
    for batch in frames(n_windows):
        inputs = given(vision_inputs(batch, text_QD), has_text)
        got, wanted = [value.cpu() for value in ours.vision(inputs)], reference.vision(inputs)
        for index, n_kept in enumerate(wanted[3].tolist()):
            same = all(torch.equal(a[index], b[index]) for a, b in zip(got[2:4], wanted[2:4], strict=True))
            same = same and torch.equal(got[1][index, :n_kept], wanted[1][index, :n_kept])
            n_different += not same
            tokens.add(got[0][index, :n_kept], wanted[0][index, :n_kept])
        for got_B, wanted_B in zip(got[4:], wanted[4:], strict=True):
            spread.add(got_B, wanted_B)
    for inputs in sounds(text_QD, n_bins):
        got, wanted = ([out.cpu() for out in towers.audio(given(inputs, has_text))] for towers in (ours, reference))
        for got_CLD, wanted_CLD in zip(got[1:], wanted[1:], strict=True):
            layers.add(got_CLD, wanted_CLD)
        for got_TD, wanted_TD, n in zip(got[0], wanted[0], inputs["n_frames"].tolist(), strict=True):
            audio.add(got_TD[: n_tokens(n)], wanted_TD[: n_tokens(n)])
    figures = {"vision": tokens.as_dict(), "audio": audio.as_dict(), "selections_different": n_different}
    more = {"voice_layers": layers, "spread": spread}
    return figures | {name: error.as_dict() for name, error in more.items() if error.n_cases}


def given(inputs: dict[str, Tensor], has_text: bool) -> dict[str, Tensor]:
    """The inputs that the graph has: without selectors there is no text query."""
    return inputs if has_text else {name: value for name, value in inputs.items() if not name.startswith("text")}


def against_transformers(folder: Path, reference: GraphTowers, n_bins: int) -> dict[str, Any]:
    """Errors of our towers in torch against those of transformers with the same weights.

    Raises ImportError where transformers is not installed.
    """
    vision, audio = LargestError(), LargestError()
    towers = {name: reference.tower(name) for name in ("vision", "audio")}
    seen, heard = (stock(folder, name, tower.state_dict()) for name, tower in towers.items())
    with torch.inference_mode():
        for rows, columns in SIZES:
            plan = window_plan(2 * rows, 2 * columns)
            patches = torch.randn(4 * rows * columns, 1176, generator=torch.Generator().manual_seed(rows))
            wanted = seen(patches, grid_thw=torch.tensor([[1, 2 * rows, 2 * columns]])).pooler_output
            inputs = (patches[plan.gather_N][None], plan.positions_N2[None], plan.valid_N[None])
            vision.add(towers["vision"](*inputs)[0, plan.token_M], wanted)
        for n_frames in (3, 30, 199, 200, 201, 277, 433, 777, 3000):
            lengths = chunk_lengths(n_frames)
            mel = torch.randn(n_bins, n_frames, generator=torch.Generator().manual_seed(n_frames))
            chunks = torch.zeros(lengths.shape[0], n_bins, CHUNK_FRAMES)
            for index, n in enumerate(lengths.tolist()):
                chunks[index, :, :n] = mel[:, index * CHUNK_FRAMES : index * CHUNK_FRAMES + n]
            ours = towers["audio"](chunks, lengths)
            real = [row[: max(0, n_tokens(n))] for row, n in zip(ours, lengths.tolist(), strict=True)]
            audio.add(torch.cat(real), heard(mel, feature_lens=torch.tensor([n_frames])).last_hidden_state)
    return {"vision": vision.as_dict(), "audio": audio.as_dict()}


def check(
    made: Artifact, model: str, *, adapter: Path | None = None, labels: dict[str, Any] | None = None
) -> tuple[dict[str, Any], bool]:
    """The figures of an export, which its manifest gets too, and whether all limits hold.

    `labels` are the figures of `agreement.agreement`. Raises EngineMismatch for an export of other weights.
    """
    folder = assembly.locate(model)
    if artifact.source_sha256(folder, adapter) != made.source_sha256:
        raise EngineMismatch(f"{made.folder} was not exported from {folder}.", hint="Name its checkpoint with --model.")
    made.check_hashes()
    config = checkpoint.read_config(folder)
    text_QD = torch.randn(7, config.text.hidden_size, generator=torch.Generator().manual_seed(2))
    reference = GraphTowers(folder, torch.float32, adapter)
    ours, through = towers_of(made, model, adapter)
    compared = compare(
        ours, reference, text_QD, has_text=made.has_text, n_bins=config.audio.num_mel_bins, n_windows=room(made)
    )
    figures: dict[str, Any] = {"through": through, **compared}
    try:
        figures["torch_against_transformers"] = against_transformers(folder, reference, config.audio.num_mel_bins)
    except ImportError:
        figures["torch_against_transformers"] = "transformers is not installed"
    limit = (LIMITS | BROKEN_ABOVE)[made.precision]
    fine = figures["selections_different"] == 0
    fine &= all(figures[name]["relative"] <= limit for name in COMPARED if name in figures)
    figures["labels"] = "not compared: --validation DATA" if labels is None else labels
    fine &= labels is None or labels["same_label"] >= AGREEMENT[made.precision]
    rewrite_manifest(replace(made, parity=figures))
    return figures, fine


def room(made: Artifact) -> int:
    """The windows of the largest frame that the export takes."""
    profiles = made.towers["vision"].get("profiles")
    return int(profiles[0]["place"][1]) // 16 if profiles else MAX_WINDOWS


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--model", help="the checkpoint (default: the name in the manifest)")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER")
    parser.add_argument("--validation", type=Path, metavar="DATA", help="compare labels on its validation people")
    parser.add_argument(
        "--windows", type=command.positive, default=WINDOWS, help=f"of --validation (default: {WINDOWS})"
    )
    options = parser.parse_args()
    return command.run("export.parity", lambda: compare_all(options))


def compare_all(options: argparse.Namespace) -> int:
    """Compare every export that runs on this machine. Returns the exit code."""
    made = [artifact.read(path) for path in artifact.candidates([options.folder])]
    if not made:
        raise EngineMismatch(f"{options.folder} holds no export.", hint="Make one: `realtime export onnx`.")
    model = options.model or made[0].model
    runnable, not_run = [], []
    for one in made:
        try:
            towers_of(one, model, options.adapter)
            runnable.append(one)
        except EngineMissing as error:
            not_run.append(f"{one.folder} was not compared: {error}")
    if not runnable:
        raise EngineMissing("; ".join(not_run))
    for line in not_run:
        print(line, file=sys.stderr)
    labels: dict[Path, dict[str, Any]] = {}
    if options.validation is not None:
        labels = agreement(runnable, model, adapter=options.adapter, data=options.validation, n_windows=options.windows)
    all_fine = True
    for one in runnable:
        figures, fine = check(one, model, adapter=options.adapter, labels=labels.get(one.folder))
        print(json.dumps({"export": str(one.folder), "within_limits": fine, **figures}), flush=True)
        all_fine &= fine
    return 0 if all_fine else 1


if __name__ == "__main__":
    sys.exit(main())
