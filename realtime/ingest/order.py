"""Items of several tracks in media-time order, from tracks that are read in whatever order their file has them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

from realtime.records import ClockTick, Item

TICK_S = 0.25
"Media seconds between two clock ticks."


class Interleaver:
    """Puts items in order, and ticks between them.

    An item waits until every track has got as far. A track that lags by more than `skew_s` (it may end early) is not
    waited for, so little more than `skew_s` of media is ever held.
    """

    def __init__(self, tracks: Iterable[str], *, skew_s: float) -> None:
        self._reached_s = dict.fromkeys(tracks, 0.0)
        self._skew_s = skew_s
        self._waiting: list[tuple[float, int, Item]] = []
        self._count = itertools.count()
        self._next_tick_s = 0.0

    def add(self, at_s: float, item: Item) -> None:
        """An item that became known at `at_s`."""
        heapq.heappush(self._waiting, (at_s, next(self._count), item))

    def reached(self, track: str, at_s: float) -> Iterator[Item]:
        """The track has given all it has up to `at_s`: what can be handed on now."""
        self._reached_s[track] = max(at_s, self._reached_s[track])
        slowest_s, quickest_s = min(self._reached_s.values()), max(self._reached_s.values())
        yield from self._up_to(max(slowest_s, quickest_s - self._skew_s))

    def finish(self) -> Iterator[Item]:
        """No track gives more: all that waits, and a last tick at the very end."""
        end_s = max([*self._reached_s.values(), *(at_s for at_s, _, _ in self._waiting)])
        yield from self._up_to(end_s)
        yield ClockTick(end_s)

    def _up_to(self, at_s: float) -> Iterator[Item]:
        while self._waiting and self._waiting[0][0] <= at_s:
            item_s, _, item = heapq.heappop(self._waiting)
            yield from self._ticks(item_s)
            yield item
        yield from self._ticks(at_s)

    def _ticks(self, at_s: float) -> Iterator[ClockTick]:
        while self._next_tick_s <= at_s:
            yield ClockTick(self._next_tick_s)
            self._next_tick_s += TICK_S
