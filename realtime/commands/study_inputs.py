"""Which recordings a study has: what the files, folders and patterns on the command line name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import BadSettings, NotMedia
from realtime.formats import FORMATS, Format
from realtime.outputs import exists, is_folder, refuse_input


@dataclass(frozen=True)
class StudyRecording:
    """One file of a study."""

    name: str
    "Its path within the folder that was given, or its file name: the name of what is written about it."
    path: Path

    @property
    def size_and_time(self) -> tuple[int, int]:
        """Bytes, and when it was last changed (ns). Zeros where it cannot be reached: a link that leads nowhere."""
        try:
            stat = self.path.stat()
        except OSError:
            return 0, 0
        return stat.st_size, stat.st_mtime_ns


def is_study(inputs: Sequence[str], form: Format | None, out: Path | None) -> bool:
    """Whether these are several recordings or ask for a folder; otherwise it is one recording to one stream."""
    first = Path(inputs[0])
    several = len(inputs) > 1 or is_folder(first) or (_is_pattern(inputs[0]) and not exists(first))
    return several or form not in (None, "jsonl") or (out is not None and is_folder(out))


def format_of(out: Path | None) -> Format | None:
    """The format that a path's ending names; None where it names none."""
    ending = "" if out is None else out.suffix.removeprefix(".").lower()
    return next((form for form in FORMATS if form == ending), None)


def recordings(inputs: Sequence[str], out: Path) -> list[StudyRecording]:
    """Every file that the inputs name: files, folders with all that lies in them, and patterns with `*`, `?` and `**`.

    Hidden files are left out, and so are pipes, sockets and what lies in `out`. A link that leads nowhere is named, for
    its reason is told later. Raises NotMedia where an input names nothing, BadSettings
    where two files would be written about under one name, or where `out` is an input.
    """
    refuse_input(out, *inputs)
    found: dict[str, StudyRecording] = {}
    for given in inputs:
        named = list(_named_by(given, out))
        if not named:
            if is_folder(Path(given)):
                raise NotMedia(f"The folder {given} holds no recordings.", "Name another. Hidden files are left out.")
            raise NotMedia(f"There is no recording {given}.", "Check the path.")
        for each in named:
            other = found.setdefault(each.name, each)
            if other.path != each.path and not _same(each.path, other.path):
                raise BadSettings(
                    f"{other.path} and {each.path} would both be written as {each.name}.",
                    "Name the folder that holds both.",
                )
    return list(found.values())


def _named_by(given: str, out: Path) -> Iterator[StudyRecording]:
    path = Path(given)
    if is_folder(path):
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and not _same(Path(folder, name), out)
            )
            for file in (Path(folder, name) for name in sorted(files) if not name.startswith(".")):
                # Whoever opens a pipe waits for its writer, for ever where there is none.
                if file.is_file() or not exists(file):
                    yield StudyRecording(printable(file.relative_to(path).as_posix()), file)
    elif exists(path):
        yield StudyRecording(printable(path.name), path)
    elif _is_pattern(given):
        # Path.glob takes no absolute patterns.
        for name in sorted(glob.glob(given, recursive=True)):  # noqa: PTH207
            if Path(name).is_file():
                yield StudyRecording(printable(Path(name).name), Path(name))


def _is_pattern(given: str) -> bool:
    return glob.has_magic(given) and "://" not in given


def _same(path: Path, other: Path) -> bool:
    return exists(other) and exists(path) and path.samefile(other)


def printable(text: str) -> str:
    """A text that every table takes. Of names on old disks, bytes that are no UTF-8 become marks."""
    return os.fsencode(text).decode("utf-8", errors="replace")
