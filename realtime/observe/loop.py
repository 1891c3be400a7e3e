"""How late the event loop is, as a metric."""

from __future__ import annotations

import asyncio

from realtime.observe.metrics import Metrics


async def watch_loop(metrics: Metrics, every_s: float = 0.1) -> None:
    """Sample for ever how late the event loop comes round; it decodes media and publishes for all sessions."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + every_s
        await asyncio.sleep(every_s)
        metrics.loop_delay.observe(max(0.0, loop.time() - due_s))
        metrics.tasks.set(len(asyncio.all_tasks(loop)))
