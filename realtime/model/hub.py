"""Fetches folders from the Hugging Face hub.

Imported where a model is to be fetched: the hub's client takes 0.4 s and 10 MB, and no included model needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix
        "A sentence with a blank after it, for the hint to begin with; empty where the name is to blame."


def fetched(name: str, wanted: Sequence[str]) -> Path:
    """The folder with the files of a hub id that match `wanted`, from the hub or from its cache. Raises NotFetched."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except FAILURES as error:
        unanswered = isinstance(error, LocalEntryNotFoundError)
        raise NotFetched(_why(error), _way_there() if unanswered else "") from error


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
            proxy = _proxy()
            return f"Hugging Face does not answer{f' through the proxy {proxy}' if proxy else ''}"
        case HfHubHTTPError() if error.response is not None:
            return f"Hugging Face answers {error.response.status_code}"
        case OSError() if error.strerror:
            return error.strerror
    return "the reason is not known"


def _way_there() -> str:
    if _proxy():
        return "Check the proxy in HTTPS_PROXY, and the network. "
    return "Check the network; where there is a proxy, export HTTPS_PROXY=http://HOST:PORT. "


def _proxy() -> str | None:
    """The proxy that the hub is asked through, without the name and the password that may stand in its address."""
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxies = getproxies()
    address = proxies.get(hub.scheme) or proxies.get("all")
    return None if not address or proxy_bypass(hub.hostname or "") else address.rpartition("@")[2]
