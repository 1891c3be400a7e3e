"""The card of a merged model: README.md with the front matter that a Hugging Face hub reads, and the licence in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from huggingface_hub.repocard import metadata_load

from realtime.errors import BadModel, BadSettings
from realtime.model import checkpoint

CARD = "README.md"
TERMS = ("LICENSE*", "NOTICE*")
QWEN: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-Omni-7B": {"license": "apache-2.0"},
    # For research only.
    "Qwen/Qwen2.5-Omni-3B": {
        "license": "other",
        "license_name": "qwen-research",
        "license_link": "https://huggingface.co/Qwen/Qwen2.5-Omni-3B/blob/main/LICENSE",
    },
}
"What their own cards say, which are not fetched with the weights."
FREE = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc0-1.0")
"Licences that leave the choice of another one for what is made from the weights."
PLACES = ("model", "records", "out", "cache", "from_warmup", "from_adapter")
"Settings of a run that say where things lay on the machine that trained."


def front_matter(folder: Path) -> dict[str, Any]:
    """What the folder's card tells the hub; nothing where there is no card. Raises BadModel where it cannot be read."""
    try:
        return metadata_load(folder / CARD) or {}
    except FileNotFoundError:
        return {}
    # The YAML reader's errors have no common class with those of the file's.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BadModel(
            f"The front matter of {folder / CARD} cannot be read: {reason}.", "Mend it, or merge again."
        ) from error


def of_base(name: str, folder: Path) -> dict[str, Any]:
    """The front matter of the model that an adapter is merged into; `folder` is where `name` was found."""
    return QWEN.get(name) or front_matter(home(name, folder))


def home(name: str, folder: Path) -> Path:
    """Where the model's card lies: what is put together in the cache from parts, as `small` is, has none there."""
    given = Path(name).expanduser()
    return checkpoint.SHIPPED.get(name) or (given if given.is_dir() else folder)


def terms(base: dict[str, Any], given: str | None) -> dict[str, Any]:
    """The licence of a merged model, as fields of its card: what `--license` says, or that of the base.

    Nothing where neither is known. Raises BadSettings where the base's licence does not allow another.
    """
    own: dict[str, Any] = {key: base[key] for key in ("license", "license_name", "license_link") if key in base}
    if given is None:
        return own
    called = own.get("license_name", own.get("license"))
    if called and called not in FREE and own["license"] != given:
        raise BadSettings(
            f"The model that is merged into is under {called}, which is not {given}.",
            "Leave --license away: what is made from these weights keeps their terms.",
        )
    return own if own.get("license") == given else {"license": given}


def write(out: Path, *, name: str, folder: Path, adapter: Path, run: dict[str, Any], licence: dict[str, Any]) -> None:
    """Write README.md of the merge of `adapter` into `name`, and copy the licence texts that lie beside the weights."""
    base = of_base(name, folder)
    # The name of a folder here says nothing to others; what that folder was made from does.
    made_from = name if not Path(name).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", name) else base.get("base_model")
    data = ModelCardData(
        **licence,
        language="en",
        library_name="emothinker",
        pipeline_tag="video-text-to-text",
        tags=["emotion-recognition", "multimodal"],
        base_model=made_from,
        base_model_relation="finetune" if made_from else None,
    )
    (out / CARD).write_text(f"---\n{data}\n---\n\n{text(name, adapter, run, licence)}", encoding="utf-8")
    for pattern in TERMS:
        for path in sorted(home(name, folder).glob(pattern)):
            shutil.copyfile(path, out / path.name)


def text(name: str, adapter: Path, run: dict[str, Any], licence: dict[str, Any]) -> str:
    """The card beneath its front matter, from the settings and results of the training run (run.json)."""
    kept = {key: value for key, value in run.get("settings", {}).items() if key not in PLACES}
    settings = "\n".join(f"| {key} | {value} |" for key, value in kept.items())
    result = run.get("result", {})
    told = licence.get("license_name", licence.get("license", "not known; `license` above has to name it"))
    return f"""# {shown(name)} with {adapter.resolve().name} merged

A Qwen2.5-Omni checkpoint for EmoThinker live: watches a face, listens to a voice, and argues towards one of seven
emotion words. It describes how people look and sound; it is not a readout of what they feel, and must not be used to
judge people at work or in education.

- licence: {told}; the terms of the training data hold as well
- base: `{shown(str(run.get("model", name)))}`
- stage: {run.get("stage", "unknown")}; attention mask: {run.get("mask", "unknown")}
- data: {run.get("n_records", "?")} annotated windows, sha256 `{run.get("data_sha256", "unknown")}`
- code: revision `{run.get("git_revision") or "unknown"}`
- seed {run.get("seed", "?")}, {run.get("n_processes", "?")} process(es)
- precision: {run.get("precision", "?")}
- loss: {result.get("first_loss", "?")} → {result.get("last_loss", "?")} in {result.get("steps", "?")} steps
- accuracy, calibration, faithfulness: not measured by training; run `realtime train evaluate --model THIS_FOLDER`

| setting | value |
| --- | --- |
{settings}

    realtime serve --model THIS_FOLDER
"""


def shown(name: str) -> str:
    """The name of a model for others: of a folder, not where it lies on this machine."""
    return Path(name).resolve().name if Path(name).expanduser().is_absolute() or Path(name).exists() else name
