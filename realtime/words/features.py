"""What the expert on words reads of a text: words, pairs of words, and pieces of words, each with its weight.

A feature's row is found without a list of features. Two hashes name two places of a table; the one whose fingerprint
fits is the feature's. A feature that the table does not hold has a fitting fingerprint once in 33,000 times.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from realtime.records import Float32

Fingerprints = npt.NDArray[np.uint16]
"(N,) which feature lies in each place of a table."
PARTS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[!?]+|[^\w\s]")
PIECES = (2, 3, 4, 5)
"Letters of a piece of a word, its beginning and its end counted as one each."
EMPTY = 0
"Fingerprint of a place without a feature."


def features(text: str) -> tuple[Counter[str], Counter[str]]:
    """The words and pairs of words, and the pieces of words, with how often each is there."""
    parts = PARTS.findall(text.lower().replace("’", "'"))
    words = Counter(f"w{part}" for part in parts)
    words.update(f"p{one} {other}" for one, other in pairwise(parts))
    pieces = Counter(piece for part in parts for piece in _pieces(f" {part} "))
    return words, pieces


def _pieces(padded: str) -> Iterator[str]:
    for n in PIECES:
        for begin in range(len(padded) - n + 1):
            yield f"c{padded[begin : begin + n]}"


def places(feature: str, n_places: int) -> tuple[int, int, int]:
    """The two places where a feature may lie in a table, and its fingerprint, 1–65535."""
    data = feature.encode()
    one, other = zlib.crc32(data), zlib.crc32(data, 0x9E3779B9)
    return one % n_places, other % n_places, (one ^ (other >> 7)) % 65_535 + 1


def rows(text: str, fingerprints_N: Fingerprints, rarity_N: Float32) -> tuple[list[int], list[float]]:
    """The rows of a text's features in the table, and their weights.

    The weight of a feature is (1 + log of its count) × its rarity. Words and pieces each have the length 1 together, so
    that a long word counts no more than a short one.
    """
    found: list[int] = []
    weights: list[float] = []
    for group in features(text):
        of_group: dict[int, float] = {}
        for feature, n in group.items():
            row = find(feature, fingerprints_N)
            if row is not None:
                of_group[row] = of_group.get(row, 0.0) + (1 + math.log(n)) * float(rarity_N[row])
        length = math.sqrt(sum(weight * weight for weight in of_group.values())) or 1.0
        found += of_group
        weights += [weight / length for weight in of_group.values()]
    return found, weights


def find(feature: str, fingerprints_N: Fingerprints) -> int | None:
    """The row of a feature; None where the table does not hold it."""
    first, second, fingerprint = places(feature, len(fingerprints_N))
    if fingerprints_N[first] == fingerprint:
        return first
    return second if fingerprints_N[second] == fingerprint else None
