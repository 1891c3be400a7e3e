"""Calls to replicas that may die: a lost call is made again on another replica, up to `ATTEMPTS` times."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from realtime.errors import ReplicaLost

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 3
PAUSE_S = 0.05
LOST = (RayActorError, GetTimeoutError, TimeoutError, BackPressureError, DeploymentUnavailableError)
RECENT_S = 5.0
"Waits older than this are not counted."


class RecentWaits:
    """How long recent calls waited in queues. New sessions are admitted by it. Any thread may write."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._recent: deque[tuple[float, float]] = deque(maxlen=512)
        self.n_retries = 0

    def add(self, waited_s: float) -> None:
        self._recent.append((self._now_s(), waited_s))

    def typical_s(self) -> float:
        """The upper quartile of the last `RECENT_S` seconds; 0 when no call was made."""
        since_s = self._now_s() - RECENT_S
        waits = sorted(waited_s for at_s, waited_s in tuple(self._recent) if at_s >= since_s)
        return waits[(3 * len(waits)) // 4] if waits else 0.0


def call_replica(send: Callable[[int], Any], *, timeout_s: float, waits: RecentWaits, attempts: int = ATTEMPTS) -> Any:
    """Return the result of `send(attempt)`, which makes a call and returns Serve's response. Blocking.

    A replica that died, is full or does not answer in time costs an attempt; Serve sends the next one to a replica that
    is known to live. Raises ReplicaLost when all attempts are used up, and whatever the model raised.
    """
    for attempt in range(attempts):
        try:
            return send(attempt).result(timeout_s=timeout_s)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            # The queue there is full (`Batcher`); another replica's may not be. Any other error would happen there too.
            if not isinstance(cause, OverflowError):
                raise cause from error
            last: Exception = cause
        except (*LOST, RayError) as error:
            last = error
        waits.n_retries += 1
        logger.info("a replica was lost (%s), attempt %d", type(last).__name__, attempt + 1)
        time.sleep(PAUSE_S * (attempt + 1))
    raise ReplicaLost(
        f"The cluster did not answer in {attempts} attempts ({type(last).__name__}).",
        "It goes on with what comes next. If this stays: python -m realtime.cluster status.",
    ) from last
