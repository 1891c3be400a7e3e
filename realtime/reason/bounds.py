"""What binds a chain's words to its evidence while they are written: each bound leaves some tokens out of the choice.

The next token stays the model's: of those that a bound leaves, the one that the model finds likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime.reason.certainty import Certainty
from realtime.reason.grounded import Grounded


class Bound(Protocol):
    """One bound of one part of a chain."""

    def in_place_of(self, token: int, section: str, text: str) -> list[int]:
        """The tokens one of which has to come after `text` in place of this one; empty where it may stand."""
        ...


@dataclass(frozen=True)
class Bounds:
    """All bounds of one part of a chain."""

    certainty: Certainty | None = None
    grounded: Grounded | None = None

    def in_place_of(self, token: int, section: str, text: str) -> list[int]:
        """As `Bound.in_place_of`: by the first bound that does not let the token stand."""
        bounds: Sequence[Bound | None] = (self.grounded, self.certainty)
        found = (each.in_place_of(token, section, text) for each in bounds if each is not None)
        return next((others for others in found if others), [])

    @property
    def n_withheld(self) -> int:
        """How often the measurements kept a statement from being begun."""
        return 0 if self.grounded is None else self.grounded.n_withheld
