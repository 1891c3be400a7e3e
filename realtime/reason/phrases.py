"""What a chain is likely to say next, so that several tokens are read in one pass.

    pending  guessed guessed guessed       read together: the weights are read once
       │        │       │       │
       ▼        ▼       ▼       ▼
     best ==   best ==  best ≠ guessed     the first two are kept, with the model's own token after them

Chains use the same phrases again and again. So the tokens after the last three are guessed from how the training chains
go on, and the model says in one pass which of them it would have chosen itself. Only those are kept. The words are the
model's, and the guesses change nothing but the time (speculative decoding, Leviathan et al., ICML 2023, with a table of
n-grams in place of a draft model).

`train.compose --phrases` counts the table, `phrases.safetensors`: `next` (N, 4) int32, three tokens (−1 where fewer
are looked at) and the one that follows most often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from realtime.errors import BadModel
from realtime.model import checkpoint

LOOKED_AT = 3
"Tokens by which the next one is guessed."
MOST = 200_000
"Rows of the table. That of `small` has 3,000."


class Phrases:
    """A table of tokens and what follows them."""

    def __init__(self, following: Mapping[tuple[int, ...], int]) -> None:
        """`following`: one to `LOOKED_AT` tokens → the next."""
        self._following = dict(following)

    @classmethod
    def read(cls, folder: Path, *, n_tokens: int) -> Phrases | None:
        """The table of a checkpoint whose vocabulary has so many tokens; None where it has no table.

        Raises BadModel for a damaged table.
        """
        path = folder / checkpoint.PHRASES
        return cls(_rows(checkpoint.read_tensors(path), path, n_tokens)) if path.exists() else None

    def after(self, ids: Iterable[int], most: int) -> list[int]:
        """Up to `most` tokens that are likely to follow these, as long as the table knows any."""
        last, guessed = tuple(ids)[-LOOKED_AT:], list[int]()
        while len(guessed) < most:
            known = (self._following.get(last[start:]) for start in range(len(last)))
            token = next((token for token in known if token is not None), None)
            if token is None:
                break
            guessed.append(token)
            last = (*last, token)[-LOOKED_AT:]
        return guessed


def as_tensor(following: Mapping[tuple[int, ...], int]) -> Tensor:
    """The table as it is stored."""
    rows = [[*(-1,) * (LOOKED_AT - len(before)), *before, token] for before, token in sorted(following.items())]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, LOOKED_AT + 1)


def _rows(tensors: Mapping[str, Tensor], path: Path, n_tokens: int) -> dict[tuple[int, ...], int]:
    table = tensors.get("next")
    if table is None or table.dtype != torch.int32 or table.ndim != 2 or table.shape[1] != LOOKED_AT + 1:
        raise BadModel(f"{path} holds no table of phrases.", hint="Delete it; chains are then written more slowly.")
    rows: list[list[int]] = table.tolist()
    known = all(-1 <= token < n_tokens for row in rows for token in row) and all(row[-1] >= 0 for row in rows)
    if len(rows) > MOST or not known:
        raise BadModel(
            f"{path} has {len(rows)} phrases, or tokens that the tokenizer does not know.",
            hint="Delete it; chains are then written more slowly.",
        )
    return {tuple(token for token in before if token >= 0): after for *before, after in rows}
