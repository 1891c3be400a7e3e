"""Writes an artifact so that its folder is either complete or absent, with a manifest that describes it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from realtime.errors import RealtimeError
from realtime.towers.artifact import MANIFEST, Artifact, file_sha256

DISK_FACTOR = 1.1
"How much more disk space is required than the weights take."


class NoSpace(RealtimeError):
    """The disk is full. Free some, or write elsewhere."""

    code = "no_space"


class ExportFailed(RealtimeError):
    """The exporter or a checker refused the graph. The message holds its words."""

    code = "export_failed"


def check_space(root: Path, need_bytes: int) -> None:
    """Make `root` and raise NoSpace where its disk has too little free space."""
    root.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < need_bytes * DISK_FACTOR:
        raise NoSpace(
            f"{root} has {free_bytes / 1e9:.1f} GB free, this export needs {need_bytes * DISK_FACTOR / 1e9:.1f} GB.",
            hint="Free some space, or name a folder on another disk with --out.",
        )


def no_space(error: OSError) -> NoSpace | None:
    """The error to raise for a full disk or quota; None for any other error. The file it names may be temporary."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return NoSpace(
        f"No space left for {error.filename or 'what is written'}.",
        hint="Free some, name a folder on another disk with --out, or temporary files with TMPDIR.",
    )


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder, and rename it to `final` if the block raises nothing. An older `final` is deleted."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".partial-{final.name}-", dir=final.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if final.exists():
            old = Path(tempfile.mkdtemp(prefix=f".old-{final.name}-", dir=final.parent))
            final.rename(old / final.name)
            partial.rename(final)
            shutil.rmtree(old)
        else:
            partial.rename(final)
    except OSError as error:
        if (full := no_space(error)) is not None:
            raise full from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_manifest(artifact: Artifact, how_to_use: str) -> Artifact:
    """Write README.md and, last, the manifest with every file's size and hash. Returns the artifact with `files`."""
    readme = f"# {artifact.kind} towers of {artifact.model}\n\n{artifact.described}. {how_to_use}\n"
    (artifact.folder / "README.md").write_text(readme, encoding="utf-8")
    names = sorted(path.name for path in artifact.folder.iterdir() if path.name not in (MANIFEST, "README.md"))
    files = {
        name: {
            "bytes": (artifact.folder / name).stat().st_size,
            "sha256": file_sha256(artifact.folder / name),
        }
        for name in names
    }
    artifact = replace(artifact, files=files)
    rewrite_manifest(artifact)
    return artifact


def rewrite_manifest(artifact: Artifact) -> None:
    """Replace the manifest in one atomic step."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=artifact.folder, delete=False) as file:
        file.write(artifact.as_json())
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(artifact.folder / MANIFEST)
