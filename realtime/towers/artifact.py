"""Artifacts: exported towers in a folder whose manifest (`card.json`) names their kind, weights and machine.

    ROOT/onnx-fp32-opset20/     card.json  README.md  vision.onnx  audio.onnx  (*.data)
    ROOT/rtx-fp16-sm86-opset23/ card.json  README.md  vision.b1.engine …

A folder is written under another name and renamed when it is complete, and its manifest lists the size of every file.
So an artifact that is half written or cut off is never used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realtime.errors import EngineMissing
from realtime.model import checkpoint, shards
from realtime.model.shards import MappedFile

MANIFEST = "card.json"
FORMAT = 1
"Format of the manifest and of the graphs' inputs. Raised when either changes, so that older exports are built again."
BESIDE = "engines"
"Folder beside a checkpoint in which its artifacts are looked for."
TOWERS = (
    ("thinker.visual.", "emotion.visual_selector.", "emotion.hybrid."),
    ("thinker.audio_tower.", "emotion.audio_extractor."),
)
VISION, AUDIO = TOWERS
KINDS = {"onnx": ("onnx",), "trt": ("trt", "rtx")}
"Runtime → the kinds of artifact that it runs."
PREFERRED = ("fp32", "fp16", "bf16", "int8")
"Precisions, the most exact first."


class EngineMismatch(EngineMissing):
    """The artifact was built from other weights, or for another GPU or version. Build it again: a retry cannot help."""

    code = "engine_mismatch"


@dataclass(frozen=True)
class Artifact:
    """One manifest and its folder."""

    folder: Path
    kind: str
    "`onnx`, `trt` (TensorRT) or `rtx` (TensorRT-RTX)."
    model: str
    source_sha256: str
    "Hash of the weights and shapes of both towers and selectors (`source_sha256`)."
    precision: str
    opset: int
    has_text: bool
    "Whether the checkpoint has selectors, which take the text query as an input."
    versions: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    "Name → `bytes`, `sha256`."
    towers: Mapping[str, Any]
    "`vision` and `audio` → file; for TensorRT also one profile per batch bucket."
    compute_capability: str = ""
    parity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """Precision, opset and target, for people."""
        target = f", SM {self.compute_capability}" if self.compute_capability else ""
        return f"{self.precision}, opset {self.opset}{target}"

    def runs_in(self, runtime: str) -> bool:
        return self.kind in KINDS[runtime]

    def key(self) -> dict[str, Any]:
        """Everything that has to be equal for a built artifact to be used again."""
        return {
            "format": FORMAT, "kind": self.kind, "source": self.source_sha256, "precision": self.precision,
            "opset": self.opset, "versions": dict(self.versions), "compute_capability": self.compute_capability,
            "towers": {name: (tower.get("graph_sha256"), tower.get("profiles")) for name, tower in self.towers.items()},
        }  # fmt: skip

    def as_json(self) -> str:
        values = {name: value for name, value in asdict(self).items() if name != "folder"}
        return json.dumps({"format": FORMAT, **values}, indent=1) + "\n"

    def check_hashes(self) -> None:
        """Compare every file with the manifest. A plan can hold host code, so only files with a known hash are loaded.

        Raises EngineMismatch.
        """
        for name, facts in self.files.items():
            if file_sha256(self.folder / name) != facts["sha256"]:
                raise EngineMismatch(
                    f"{self.folder / name} is not the file its manifest describes.", hint="Export it again."
                )


def preference(artifact: Artifact) -> tuple[int, int]:
    """Sort key: the most exact precision first, then the later opset, whose fused nodes are faster."""
    return PREFERRED.index(artifact.precision), -artifact.opset


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path) -> Artifact:
    """The artifact in `folder`. Raises EngineMismatch without a manifest, or when a file is missing or cut off."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise EngineMismatch(f"{folder} was exported by another release.", hint="Export it again.")
        artifact = Artifact(folder=folder, **values)
        needed = {str(artifact.towers[name]["file"]) for name in ("vision", "audio")}
        if not needed <= set(artifact.files):
            raise KeyError(*sorted(needed - set(artifact.files)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineMismatch(
            f"{folder} has no readable card.json ({type(error).__name__}).",
            hint="It is no export, or was left half written: export it again.",
        ) from error
    for name, facts in artifact.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != facts["bytes"]:
            raise EngineMismatch(
                f"{path} has {'no' if size is None else size} bytes, its manifest says {facts['bytes']}.",
                hint="The folder is not whole: export it again.",
            )
    return artifact


def cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "emothinker" / "engines"


def default_root(source: str) -> Path:
    """The folder for exports, and for finding them, when no folder is named."""
    return cache_root() / source[:16]


def find(folder: Path, *, adapter: Path | None, engine_dir: Path | None) -> tuple[list[Artifact], str]:
    """The artifacts of the weights in `folder`, and a clause that says why others were skipped."""
    roots = [engine_dir] if engine_dir is not None else [folder / BESIDE, cache_root()]
    if not any(root.is_dir() for root in roots):
        places = "" if engine_dir is None else f" in {engine_dir}, which is no folder"
        return [], places
    source = source_sha256(folder, adapter)
    found, reasons = [], []
    for path in candidates([default_root(source) if root == cache_root() else root for root in roots]):
        try:
            artifact = read(path)
        except EngineMismatch as error:
            reasons.append(error.message.rstrip("."))
            continue
        if artifact.source_sha256 == source:
            found.append(artifact)
        else:
            reasons.append(f"{path} was exported from other weights")
    return found, f" ({reasons[0]})" if reasons else ""


def candidates(roots: list[Path]) -> Iterator[Path]:
    """Folders that may hold an artifact: a root itself, or the folders in it."""
    for root in roots:
        if (root / MANIFEST).is_file():
            yield root
        elif root.is_dir():
            yield from sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def tower_tensors(folder: Path, adapter: Path | None, prefixes: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """The towers' tensors with their names in `EmoThinker`, read one by one so that a 7B need not fit in memory.

    Raises BadModel for a missing or damaged shard. An adapter's selectors, and the modules that it saved whole,
    replace the model's.
    """
    whole = [(adapter / checkpoint.ADAPTER_WEIGHTS, "")] if adapter is not None else []
    files = [*(pair for pair in whole if pair[0].exists()), *((path, "") for path in checkpoint.shard_files(folder))]
    extras = [place / checkpoint.EMOTION_WEIGHTS for place in (adapter, folder) if place is not None]
    files += [(path, "emotion.") for path in extras if path.exists()]
    seen: set[str] = set()
    for path, prefix in files:
        file: MappedFile | None = None
        for stored in shards.contents(path):
            bare = stored.key.removeprefix(checkpoint.PEFT_PREFIX)
            name = f"{prefix}{stored.key}" if prefix else checkpoint.published_name(bare)
            if name is not None and name.startswith(prefixes) and name not in seen:
                seen.add(name)
                file = file or MappedFile(path)
                yield name, file.read(stored)


def source_sha256(folder: Path, adapter: Path | None = None) -> str:
    """One hash over both towers and selectors: shapes from the config, then each tensor's name, type, shape and bytes.

    The way in which tensors are spread over files does not change it.
    """
    config = checkpoint.read_config(folder, adapter)
    hears = config.emotion.voice_width > 0
    shapes = (config.vision, config.audio, config.emotion.selector_dim, hears)
    # Only where it is not the usual, so that older exports of other checkpoints stay valid.
    parts = [repr(shapes if config.emotion.selection == "fixed" else (*shapes, config.emotion.selection))]
    for name, tensor in tower_tensors(folder, adapter, VISION + AUDIO):
        content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        digest = hashlib.sha256(content.data).hexdigest()
        parts.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {digest}")
    return hashlib.sha256("\n".join([parts[0], *sorted(parts[1:])]).encode()).hexdigest()
