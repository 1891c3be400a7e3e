"""Fetches folders from the Hugging Face hub.

Imported where a model is to be fetched: the hub's client takes 0.4 s and 10 MB, and no included model needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

FAILURES = (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError)


class NotFetched(Exception):
    """Why a folder did not come from the hub, in words that follow a colon."""


def fetched(name: str, wanted: Sequence[str]) -> Path:
    """The folder with the files of a hub id that match `wanted`, from the hub or from its cache. Raises NotFetched."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except FAILURES as error:
        raise NotFetched(_why(error)) from error


def bytes_to_fetch(name: str, wanted: Sequence[str]) -> int | None:
    """Bytes that `fetched` would transfer, or None where the hub cannot be asked."""
    try:
        files = snapshot_download(name, allow_patterns=list(wanted), dry_run=True)
    except FAILURES:
        return None
    return sum(file.file_size or 0 for file in files if file.will_download)


def _why(error: Exception) -> str:
    match error:
        case HFValidationError():
            return "it is no name of a model on Hugging Face"
        case GatedRepoError():
            return "its terms have to be accepted on Hugging Face"
        case RepositoryNotFoundError():
            return "Hugging Face has no such model, or it is private"
        case LocalEntryNotFoundError():
            return "Hugging Face does not answer"
        case HfHubHTTPError() if error.response is not None:
            return f"Hugging Face answers {error.response.status_code}"
        case OSError() if error.strerror:
            return error.strerror
    return "the reason is not known"
