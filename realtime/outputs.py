"""Where outputs go: the check that an output is no input, and files that are there as a whole or not at all.

Every command that writes calls `refuse_input` before it opens either.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from realtime.errors import BadSettings, RealtimeError

NO_MORE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"Errors of a disk that is full or broken."


class DiskFull(RealtimeError):
    """The disk takes no more. What was written before is kept."""

    code = "disk_full"


def file_id(path: Path) -> tuple[int, int]:
    """What is the same for every name and link of a file; (0, 0) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_dev, stat.st_ino


def refuse_input(out: Path | None, *inputs: Path | str | None) -> None:
    """Raises BadSettings where writing `out` would overwrite one of `inputs`, or a file inside one that is a folder.

    Paths are compared as files, so a symbolic link, a hard link and another spelling are recognized. An input that is
    None, or that is no path on this disk (an address, a hub id), is passed over; so is an `out` that does not exist.
    """
    if out is None or not exists(out):
        return
    for source in inputs:
        if source is None or not exists(Path(source)):
            continue
        if out.samefile(source):
            what = "the input itself"
        elif not out.is_dir() and any(parent.samefile(source) for parent in out.resolve().parents):
            what = f"a file of the input {source}"
        else:
            continue
        raise BadSettings(f"{out} is {what}; writing there would destroy it.", "Name another output.")


def refuse_empty(argv: Sequence[str]) -> None:
    """Raises BadSettings where an argument is empty, as `--out "$OUT"` is without the variable: as a path it would be
    the folder that one is in, and be filled."""
    for before, word in itertools.pairwise(["the command", *argv]):
        # What these say of an empty text is about the question.
        if not word and before not in ("--question", "--labels"):
            raise BadSettings(
                f"The argument after {before} is empty.", "Give it a value; a variable of the shell may not be set."
            )


def exists(path: Path) -> bool:
    """Whether something is there, also of a name that no file can have: `Path.exists` raises of one that is too long,
    has a null character or, before Python 3.13, is a link that leads in a circle."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Whether a folder is there; as `exists`, it raises of no name."""
    return os.path.isdir(path)  # noqa: PTH112


@contextmanager
def write_whole(path: Path, *inputs: Path | str | None) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends well; otherwise nothing of it is left.

    Raises BadSettings where `path` is one of `inputs` or cannot be written, DiskFull where the disk takes no more.
    """
    refuse_input(path, *inputs)
    # In the same folder, so that it can be renamed; a name of its own, so that two programs do not share it.
    # It is short, as `path` may have the longest name that a disk takes.
    part = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part")
    with writes_told(path):
        try:
            # Also where only the program knows by what library: a folder that is missing is told at once.
            part.touch()
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def writes_told(path: Path | None) -> Iterator[None]:
    """Turn what the disk says about writing `path` into an error for people. None is the standard output."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path | None, error: OSError) -> RealtimeError:
    """The error for people of an output that could not be written."""
    if error.errno in NO_MORE:
        # pyarrow puts words of its own into `strerror`.
        reason = os.strerror(error.errno)
        return DiskFull(
            f"{path or 'The standard output'} takes no more: {reason}.", "Free some space, or write elsewhere."
        )
    return BadSettings(f"{path} cannot be written: {error.strerror}.", "Name a file in a folder there is.")


@contextmanager
def writing(path: Path | None) -> Iterator[TextIO]:
    """Open the file of that name, or the standard output.

    Raises BadSettings when it cannot be opened, RealtimeError when the disk takes no more.
    """
    try:
        out = nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8")
    except OSError as error:
        assert path is not None
        raise write_error(path, error) from error
    try:
        with out as file:
            yield file
    except OSError as error:
        if error.errno not in NO_MORE:
            raise
        if path is None:
            let_go_of_output()
        raise write_error(path, error) from error


def write_utf8() -> None:
    """Write UTF-8 into pipes and files on Windows too, whose code pages lack characters that we write."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.startswith("cp"):
            stream.reconfigure(encoding="utf-8")


def let_go_of_output() -> None:
    """Drop what could not be written. Python would fail on it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
