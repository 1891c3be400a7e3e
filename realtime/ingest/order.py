"""Puts the items of several tracks in media-time order, in whatever order the file has them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

from realtime.records import ClockTick, Item

TICK_S = 0.25
"Media seconds between two clock ticks."


class Interleaver:
    """Puts items in order, with clock ticks between them.

    An item waits until every track has reached its time. A track that is behind by more than `skew_s` is not waited for
    (it may have ended early), so little more than `skew_s` of media is ever held.
    """

    def __init__(self, tracks: Iterable[str], *, skew_s: float) -> None:
        self._reached_s = dict.fromkeys(tracks, 0.0)
        self._skew_s = skew_s
        self._waiting: list[tuple[float, int, Item]] = []
        self._count = itertools.count()
        self._next_tick_s = 0.0

    def add(self, at_s: float, item: Item) -> None:
        """Add an item that became known at `at_s`."""
        heapq.heappush(self._waiting, (at_s, next(self._count), item))

    def reached(self, track: str, at_s: float) -> Iterator[Item]:
        """Note that the track has given everything up to `at_s`, and yield what is in order now."""
        self._reached_s[track] = max(at_s, self._reached_s[track])
        slowest_s, quickest_s = min(self._reached_s.values()), max(self._reached_s.values())
        yield from self._up_to(max(slowest_s, quickest_s - self._skew_s))

    def finish(self) -> Iterator[Item]:
        """Yield everything that waits, and a last tick at the very end. No track gives more."""
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
