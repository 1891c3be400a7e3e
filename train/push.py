"""Sends a merged model to a Hugging Face hub: one commit with its card, licence, settings and weights.

    realtime train push MERGED OWNER/NAME [--public]

A new repository is private; --public publishes it once everything is there. What a repository holds already stays, but
for weights of an earlier push that this one lacks. The token is the one that `hf auth login` keeps, or HF_TOKEN.

It prints the address of the commit.
"""

from __future__ import annotations

import argparse
import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HFValidationError,
    # Of the client that this release of huggingface_hub uses; also the base of what it raises without a network.
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings, RealtimeError
from train import model_card
from train.command import run_command

SUFFIXES = (".safetensors", ".json", ".txt", ".jinja", ".model")
"Of the files that a merge writes. Others of the folder, such as records of people, are never sent."
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json", "emothinker.safetensors")
"Deleted in the repository where the folder has none of the name: left over, they would be read in its place."


class NotPushed(RealtimeError):
    """The hub did not take the model. Mend what it says, and push again: the folder is kept."""

    code = "not_pushed"
    exit_code = 6


def files(folder: Path) -> list[Path]:
    """What is sent. Raises BadSettings for a folder without a card that names a licence."""
    if not (folder / model_card.CARD).is_file():
        raise BadSettings(
            f"{folder} has no {model_card.CARD}, and a model is not pushed without a card.",
            "Name a folder that `realtime train merge` wrote.",
        )
    require_licence(model_card.front_matter(folder))
    kept = {path for pattern in (model_card.CARD, *model_card.TERMS) for path in folder.glob(pattern)}
    return sorted(path for path in folder.iterdir() if path.is_file() and (path in kept or path.suffix in SUFFIXES))


def require_licence(card: dict[str, object]) -> None:
    """Raises BadSettings for a card that names no licence."""
    if not card.get("license"):
        raise BadSettings(
            "The card names no licence, and a model is not pushed without one.",
            "Name it: `--license apache-2.0` of train.merge, or `license:` in the card's front matter. The terms of "
            "the base model and of the training data say which it may be.",
        )


def sign_in(name: str, *, public: bool) -> HfApi:
    """The hub's client, once it is known that it takes the token. Nothing is changed there.

    Raises BadSettings for what is no name of a repository or is public already, NotPushed where the hub refuses.
    """
    if name.count("/") != 1:
        raise BadSettings(f"'{name}' is no name of a repository.", "Write it as OWNER/NAME.")
    api = HfApi()
    with _told(name):
        api.whoami()
        try:
            found = api.repo_info(name)
        except RepositoryNotFoundError:
            return api
    if not found.private and not public:
        raise BadSettings(
            f"{name} is public already, so everybody could read what is pushed there.",
            "Add --public if that is meant, or name another repository.",
        )
    return api


def push(api: HfApi, folder: Path, name: str, *, public: bool) -> str:
    """Send the folder. Returns the commit's address. Raises NotPushed where the hub refuses, and keeps the folder."""
    sent = files(folder)
    size_mb = sum(path.stat().st_size for path in sent) / 1e6
    print(f"{name}: sending {len(sent)} files, {size_mb:.0f} MB, {'public' if public else 'private'}", flush=True)
    with _told(name, again=f"The folder is kept; push it again: realtime train push {folder} {name}"):
        # Public only once it is whole.
        api.create_repo(name, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[glob.escape(path.name) for path in sent],
            delete_patterns=list(WEIGHTS),
            commit_message=f"Merged model {folder.resolve().name}",
        )
        if public:
            api.update_repo_settings(name, private=False)
    return str(commit.commit_url)


@contextmanager
def _told(name: str, again: str = "") -> Iterator[None]:
    """Turn what the hub's client raises into an error for people."""
    try:
        yield
    except HFValidationError as error:
        raise BadSettings(f"'{name}' is no name of a repository.", "Write it as OWNER/NAME.") from error
    except (HTTPError, OSError, RuntimeError) as error:
        # What goes wrong with one file is wrapped in a RuntimeError that tells nothing.
        message, hint = _reason(error.__cause__ or error if isinstance(error, RuntimeError) else error, name)
        raise NotPushed(message, f"{hint} {again}".strip()) from error


def _reason(error: BaseException, name: str) -> tuple[str, str]:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else 0
    match error:
        case LocalTokenNotFoundError():
            return (
                "There is no token for the hub here.",
                "Sign in (hf auth login), or set HF_TOKEN to one that may write.",
            )
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE keeps the hub's client off the network.", "Unset it."
        case _ if status == 401:
            return "The hub does not take the token.", "Sign in again (hf auth login), or set HF_TOKEN to another."
        case _ if status == 403:
            return f"The token may not write to {name}.", "Take one with the right to write, or another OWNER."
        case _ if status:
            return f"The hub answers {status} for {name}.", "Try again later."
    return "The hub does not answer.", "Check the network, a proxy (HTTPS_PROXY) and HF_ENDPOINT."


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="MERGED")
    parser.add_argument("name", metavar="OWNER/NAME")
    parser.add_argument("--public", action="store_true", help="let everybody read it")
    args = parser.parse_args()
    # Before the hub is asked.
    files(args.folder)
    print(push(sign_in(args.name, public=args.public), args.folder, args.name, public=args.public), flush=True)


if __name__ == "__main__":
    run_command(main, "train.push")
