"""`emothinker.analyze`: a recording, or a camera's address, as events."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emothinker.stream import Events
from realtime.errors import BadSettings
from realtime.publish.events import Event
from realtime.publish.parse import parse
from realtime.sample import or_sample

if TYPE_CHECKING:
    from realtime.engine.local import LocalEngine
    from realtime.evidence.settings import FaceEngineName
    from realtime.settings import ModelSettings, Settings

_engines: dict[tuple[ModelSettings, FaceEngineName], LocalEngine] = {}
"The models of this process. They stay loaded: the next analysis begins at once."
_loading = threading.Lock()
_workers = ExitStack()
# At exit Python ends threads that still run, wherever they are. Inside a C++ library that aborts the process.
atexit.register(_workers.close)


def analyze(
    file: Path | str,
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Events:
    """Analyse a recording as fast as the machine can; or a camera, if `file` is an `rtsp://` address.

    The word `sample` stands for a recording that comes with the package, unless a file has that name.

    `question` and `labels` replace the model's own, as in docs/api.md. `settings` are those of docs/settings.md by
    their dotted names, such as `{"model.name": "nano"}`; `EMOTHINKER_*` variables count too.

    The first loop over the events raises NotMedia where there is nothing to see or hear, BadAsk for a question that
    cannot be asked, BadSettings, BadModel and EngineMissing.
    """
    return Events(partial(_analyze, or_sample(str(file)), question, labels, settings), file)


async def _analyze(
    file: str, query: str | None, labels: Sequence[str] | None, given: Mapping[str, Any] | None
) -> AsyncGenerator[Event]:
    from realtime.commands.analyze import analysis_of, asked_before_loading
    from realtime.ingest.media import MediaSource, check
    from realtime.words.transcriber import transcribing

    settings = settings_of(given)
    # A model takes seconds to load, and a wrong question or path is known at once.
    question = await asyncio.to_thread(asked_before_loading, query, labels, settings.model)
    await asyncio.to_thread(check, file, settings.ingest)
    engine = await asyncio.to_thread(engine_of, settings.model, settings.faces.engine)
    source = await asyncio.to_thread(MediaSource.open, file, ingest=settings.ingest, speech=settings.speech)
    async with (
        transcribing(settings.speech, where="thread") as transcriber,
        aclosing(analysis_of(source, engine, settings, question, transcriber)) as lines,
    ):
        async for line in lines:
            if (event := parse(line)) is not None:
                yield event


def settings_of(given: Mapping[str, Any] | None) -> Settings:
    """The settings in force. Raises BadSettings."""
    import os

    from realtime.settings_sources import load

    if given is not None and not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
        raise BadSettings(f"The settings are {given!r}.", 'Give them by their names, such as {"model.name": "nano"}.')
    return load(environ=os.environ, flags=given)


def engine_of(wanted: ModelSettings, face_engine: FaceEngineName = "auto") -> LocalEngine:
    """The model with a thread of its own, loaded once per process. Blocks. Raises BadModel and EngineMissing."""
    from realtime.engine.local import LocalEngine
    from realtime.engine.start import load_model
    from realtime.engine.worker import ModelWorker

    with _loading:
        if (wanted, face_engine) not in _engines:
            model = load_model(wanted, face_engine=face_engine)
            _engines[wanted, face_engine] = LocalEngine(model, _workers.enter_context(ModelWorker()))
        return _engines[wanted, face_engine]
