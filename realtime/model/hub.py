"""Fetches folders from the Hugging Face hub.

Imported where a model is to be fetched: the hub's client takes 0.4 s and 10 MB, and no included model needs it.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from realtime.model.proxy import does_not_answer

# Its warnings come through our log already.
logging.getLogger("huggingface_hub").handlers.clear()


class NotFetched(Exception):
    """Why a folder did not come from the hub, in words that follow a colon."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix
        "A sentence with a blank after it, for the hint to begin with; empty where the name is to blame."


def fetched(name: str, wanted: Sequence[str]) -> Path:
    """The folder with the files of a hub id that match `wanted`, from the hub or from its cache. Raises NotFetched."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    # What a connection raises that breaks off is listed nowhere, and belongs to the client's client.
    except Exception as error:
        raise reason(error) from error


def bytes_to_fetch(name: str, wanted: Sequence[str]) -> int | None:
    """Bytes that `fetched` would transfer, or None where the hub cannot be asked."""
    try:
        files = snapshot_download(name, allow_patterns=list(wanted), dry_run=True)
    # As above. `fetched`, which comes next, tells of it.
    except Exception:
        return None
    return sum(file.file_size or 0 for file in files if file.will_download)


def reason(error: Exception) -> NotFetched:
    """What the hub's client raised, in plain words. faster-whisper downloads with the same client."""
    match error:
        case HFValidationError():
            return NotFetched("it is no name of a model on Hugging Face")
        case GatedRepoError():
            return NotFetched("its terms have to be accepted on Hugging Face")
        case RepositoryNotFoundError():
            return NotFetched("Hugging Face has no such model, or it is private")
        case LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            return NotFetched("HF_HUB_OFFLINE is set, and it was not fetched before", "Unset HF_HUB_OFFLINE. ")
        case LocalEntryNotFoundError():
            hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
            return NotFetched(*does_not_answer("Hugging Face", hub))
        case HfHubHTTPError() if error.response is not None:
            return NotFetched(f"Hugging Face answers {error.response.status_code}")
        case JSONDecodeError():
            return NotFetched(
                "something else answers in place of Hugging Face", "Log in to your network, if it wants that. "
            )
        case OSError(errno=errno.ENOSPC):
            return NotFetched("no space is left on the disk", "Make room, or set HF_HOME to a folder on another disk. ")
        case PermissionError() | OSError(errno=errno.EROFS):
            return NotFetched(
                f"{error.filename or constants.HF_HOME} cannot be written", "Set HF_HOME to a folder that is yours. "
            )
        case OSError() if error.strerror:
            return NotFetched(error.strerror)
    told = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    # Its client was `httpx` once, and is `httpx2` since.
    if type(error).__module__.startswith("httpx"):
        return NotFetched(f"the download broke off ({told})", "Run it again: what is there is kept. ")
    return NotFetched(told)
