"""Counts what follows what in training chains, for the table by which serving guesses tokens (`reason/phrases.py`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from realtime.model.tokenizer import Vocabulary
from realtime.reason.phrases import LOOKED_AT

LEAST_SEEN = 2
LEAST_SHARE = 0.3
"A guess that is right less often costs more than it saves."


def tokens_of(sections: Mapping[str, str], vocabulary: Vocabulary) -> Iterable[list[int]]:
    """The tokens of each section as it is decoded: after its opening tag, up to its closing one."""
    for name, text in sections.items():
        yield [*vocabulary.ids(f"<{name}>"), *vocabulary.ids(f"{text}</{name}>")]


def counted(chains: Iterable[Mapping[str, str]], vocabulary: Vocabulary) -> dict[tuple[int, ...], int]:
    """One to `LOOKED_AT` tokens → the one that follows most often, where that is often enough."""
    seen: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for sections in chains:
        for tokens in tokens_of(sections, vocabulary):
            count(tokens, seen)
    found = {}
    for before, followers in seen.items():
        token, n = followers.most_common(1)[0]
        if n >= LEAST_SEEN and n >= LEAST_SHARE * followers.total():
            found[before] = token
    return found


def count(tokens: Sequence[int], seen: Mapping[tuple[int, ...], Counter[int]]) -> None:
    for at in range(1, len(tokens)):
        for n in range(1, min(LOOKED_AT, at) + 1):
            seen[tuple(tokens[at - n : at])][tokens[at]] += 1
