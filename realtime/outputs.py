"""The check that an output is no input. Every command that writes calls it before it opens either."""

from __future__ import annotations

from pathlib import Path

from realtime.errors import BadSettings


def refuse_input(out: Path | None, *inputs: Path | str | None) -> None:
    """Raises BadSettings where writing `out` would overwrite one of `inputs`, or a file inside one that is a folder.

    Paths are compared as files, so a symbolic link, a hard link and another spelling are recognized. An input that is
    None, or that is no path on this disk (an address, a hub id), is passed over; so is an `out` that does not exist.
    """
    if out is None or not _exists(out):
        return
    for source in inputs:
        if source is None or not _exists(Path(source)):
            continue
        if out.samefile(source):
            what = "the input itself"
        elif not out.is_dir() and any(parent.samefile(source) for parent in out.resolve().parents):
            what = f"a file of the input {source}"
        else:
            continue
        raise BadSettings(f"{out} is {what}; writing there would destroy it.", "Name another output.")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    # A name that no file can have, as an address may be one: too long, or with a null character.
    except (OSError, ValueError):
        return False
