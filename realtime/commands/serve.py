"""`realtime serve`: the page, the WHIP endpoint and the events, until it is ended."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AbstractAsyncContextManager
from functools import partial

from realtime.engine.process import BegunProcess
from realtime.engine.start import loader, started
from realtime.ingest.speech import detector
from realtime.ingest.stagger import Stagger
from realtime.observe import tracing
from realtime.observe.metrics import Metrics
from realtime.roles import Engine, Source
from realtime.serve import hosting
from realtime.serve.adapter_folder import Adapters
from realtime.serve.app import LiveServer
from realtime.serve.media_import import media_imported
from realtime.serve.passing_on import PassingOn
from realtime.settings import Settings
from realtime.words import transcriber as words


def serve(settings: Settings, model: BegunProcess | None = None) -> None:
    """Serve until a signal ends it, with the model's process that was begun, if there is one.

    Raises PortTaken, BadSettings and what loading the model raises.
    """
    settings = hosting.settle(settings)
    recorder = hosting.recorder(settings.record)
    adapters = Adapters(settings.model.adapters)
    # The port first: a model takes seconds to load, and what is wrong here is known at once.
    hosting.check_tls(settings.server)
    hosting.tell_page()
    PassingOn(settings.publish).check()
    detector(settings.speech)
    listening = hosting.listen(settings.server.host, settings.server.port)
    metrics = Metrics()

    async def run() -> None:
        async with (
            words.transcribing(settings.speech, where="process") as transcriber,
            _engine(settings, metrics, model) as engine,
        ):
            live = LiveServer(
                engine=engine,
                settings=settings,
                metrics=metrics,
                answer=partial(_answer, settings, Stagger()),
                adapters=adapters,
                recorder=recorder,
                transcriber=transcriber,
            )
            scheme = "https" if settings.server.tls_cert else "http"
            host = "localhost" if settings.server.loopback else settings.server.host
            here, *elsewhere = hosting.names(host)
            port = listening.getsockname()[1]
            print(f"Open {scheme}://{here}:{port}", flush=True)
            if elsewhere:
                print(f"From another machine: {scheme}://{elsewhere[0]}:{port}", file=sys.stderr)
            print(f"Model {engine.model.name}, {engine.model.runtime_reason}. Ctrl+C ends it.", file=sys.stderr)
            # Imported modules stay. Looking for garbage in them would stop the loop for 30 ms each time.
            gc.collect()
            gc.freeze()
            await hosting.program(live, settings).serve(sockets=[listening])

    with listening, tracing.exporting(settings.server.trace_url):
        asyncio.run(run())


async def _answer(settings: Settings, stagger: Stagger, offer_sdp: str) -> tuple[str, Source]:
    await media_imported()
    from realtime.ingest.webrtc import answer

    return await answer(offer_sdp, ingest=settings.ingest, speech=settings.speech, ice=settings.ice, stagger=stagger)


def _engine(settings: Settings, metrics: Metrics, model: BegunProcess | None) -> AbstractAsyncContextManager[Engine]:
    """The engine that the settings choose: in this process, in one of its own, or on a cluster."""
    if settings.cluster.address is not None:
        from realtime.cluster import connect

        # Raises the error that helps where Ray is missing, which the next import needs.
        connect.join(settings.cluster.address)
        from realtime.cluster.engine import started as on_cluster

        return on_cluster(
            settings.cluster.address,
            settings.model,
            metrics=metrics,
            sessions=settings.server.max_sessions,
            face_engine=settings.faces.engine,
        )
    load = loader(settings)
    return started(load, where=settings.model.worker, metrics=metrics, load_adapter=load, first=model)
