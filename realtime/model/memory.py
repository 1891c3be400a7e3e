"""How much memory is free, on this machine and on a GPU."""

from __future__ import annotations

from pathlib import Path

import torch

from realtime.errors import BadModel

BESIDE_WEIGHTS = 300_000_000
"Bytes that a machine needs beside a model's weights to load them: torch's own, and a block of a file."
GROUP = Path("/sys/fs/cgroup")
"Where Linux tells the limits of a container's memory."


def free_bytes(device: torch.device) -> int | None:
    """Memory that a model may take now, in bytes, or None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [n_bytes for n_bytes in (_available(Path("/proc/meminfo")), _left_in_group(GROUP)) if n_bytes is not None]
    return min(known, default=None)


def _available(path: Path) -> int | None:
    """What the system can give without swapping, file caches included."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _left_in_group(group: Path) -> int | None:
    """What a container's limit leaves. File caches count as used there, and are dropped when memory is wanted."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    cached = sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
    return int(limit) - used + cached


def refuse_too_large(n_bytes: int, device: torch.device, name: str, *, smaller: str = "") -> None:
    """Raise BadModel where a model's weights do not fit into the memory that is free.

    `smaller` is what makes this one smaller.
    """
    free = free_bytes(device)
    needed = n_bytes + (BESIDE_WEIGHTS if device.type == "cpu" else 0)
    if free is not None and needed > free:
        where, other = ("on the GPU", "--device cpu, or ") if device.type == "cuda" else ("on this machine", "")
        raise BadModel(
            f"{name} does not fit into memory: it needs {needed / 1e9:.1f} GB {where}, {free / 1e9:.1f} GB are free.",
            f"Free some, or take {smaller}{other}a smaller model: --model nano",
        )
