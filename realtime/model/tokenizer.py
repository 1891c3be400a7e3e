"""Text to token ids and back, from a checkpoint's `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from realtime.errors import BadModel


class Vocabulary:
    """A thin wrapper around `tokenizers`. No special token is ever added to the given text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        """Raises BadModel when `tokenizer.json` is missing or damaged."""
        path = folder / "tokenizer.json"
        if not path.exists():
            raise BadModel(
                f"tokenizer.json is missing in {folder}.",
                hint="Copy it from the published checkpoint, or save it with transformers' AutoTokenizer.",
            )
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises a bare Exception for every fault of the file
            raise BadModel(f"{path} can't be read: {error}.", hint="Fetch the file again.") from error

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens. A character with missing bytes shows as U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def id_of(self, token: str) -> int | None:
        """The id of one token, or None where the vocabulary lacks it."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found
