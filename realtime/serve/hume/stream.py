"""The sockets of programs that were written for Hume's expression measurement.

    WS /v0/stream/models        X-Hume-Api-Key: the token, or the operator token
      {"models": {"face": {}}, "data": "<Base64 of a picture>"}   ─► {"face": {"predictions": […]}}

Each socket takes the place of one session. A message is read when the one before is answered, so no more than one
waits; the operating system makes a program that sends faster wait. Nothing is kept beyond the socket, and nothing of a
message is logged.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime.errors import RealtimeError
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.ingest.uploads import MAX_S, Picture, Upload, read_upload
from realtime.observe.metrics import Metrics
from realtime.records import (
    SAMPLE_RATE_HZ,
    AudioChunk,
    Float32,
    FrameEvidence,
    Label,
    Question,
    SpeechEvidence,
    SpeechSegment,
    VideoFrame,
    Window,
)
from realtime.roles import Engine, EngineClient
from realtime.serve.access import Access
from realtime.serve.closing import close
from realtime.serve.guard import refuse
from realtime.serve.hume import messages
from realtime.serve.hume.messages import MEASURED, Payload, Refused, Wanted
from realtime.serve.sessions import Sessions
from realtime.settings import Settings

logger = logging.getLogger(__name__)

KEY = "x-hume-api-key"
IDLE_S = 60.0
"A socket on which nothing comes for so long is closed: it holds the place of a session."
LEAST_STEP_S = 0.001
"Least media time between two pictures or stretches of speech of one socket."


class ExpressionMeasurement:
    """All such sockets of a server."""

    def __init__(
        self,
        *,
        engine: Engine,
        sessions: Sessions,
        access: Access,
        settings: Settings,
        metrics: Metrics,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._access = access
        self._settings = settings
        self._metrics = metrics
        self._now_s = now_s

    async def serve(self, socket: WebSocket) -> None:
        """Answer a program until it leaves, sends nothing for a minute, or has been there for as long as is allowed."""
        with ExitStack() as held:
            try:
                self._access.check_open(socket, key=socket.headers.get(KEY))
                held.enter_context(self._sessions.place())
                measuring = await Measuring.begin(self._engine, self._settings, self._now_s)
            except RealtimeError as error:
                self._metrics.refused.labels(error.code).inc()
                await refuse(socket.scope, socket.receive, socket.send, error)
                return
            held.callback(measuring.close)
            held.enter_context(self._metrics.sessions.track_inprogress())
            self._metrics.opened.inc()
            await socket.accept()
            with suppress(WebSocketDisconnect):
                await close(socket, 1008, await self._converse(socket, measuring))

    async def _converse(self, socket: WebSocket, measuring: Measuring) -> str:
        """Answer every message. Returns why the socket is to be closed; raises WebSocketDisconnect."""
        server, began_s = self._settings.server, self._now_s()
        while self._now_s() - began_s < server.max_session_s:
            try:
                async with asyncio.timeout(IDLE_S):
                    message = await socket.receive()
            except TimeoutError:
                return f"nothing came for {IDLE_S:g} s"
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            answer = await measuring.answer(message.get("text") or "")
            try:
                async with asyncio.timeout(self._settings.publish.send_timeout_s):
                    await socket.send_json(answer)
            except TimeoutError:
                return "the answers are not read"
        return f"a connection lasts {server.max_session_s:g} s at most"


class Measuring:
    """One socket's part: the model's session, and what the program has asked for so far."""

    def __init__(self, engine: Engine, settings: Settings, client: EngineClient, now_s: Callable[[], float]) -> None:
        self._engine = engine
        self._settings = settings
        self._client = client
        self._now_s = now_s
        self._question = Question(labels=engine.model.labels)
        self._job_id = secrets.token_hex(8)
        self._wanted: Wanted | None = None
        self._began_s = now_s()
        self._reached_s = 0.0
        self._n_windows = 0
        self._heard_N = np.zeros(0, np.float32)
        "The sound of messages before, as much as the window of the newest may need."

    @classmethod
    async def begin(cls, engine: Engine, settings: Settings, now_s: Callable[[], float]) -> Measuring:
        client = await engine.open(settings.model.seed, Question(labels=engine.model.labels))
        return cls(engine, settings, client, now_s)

    def close(self) -> None:
        """Forget everything of this socket."""
        self._client.close()
        self._heard_N = np.zeros(0, np.float32)

    async def answer(self, text: str) -> dict[str, Any]:
        """The answer to one message. What is wrong with it is an answer, too."""
        given: Mapping[str, Any] = {}
        try:
            given = await asyncio.to_thread(messages.read_object, text)
            answer = await self._answer(messages.read_payload(given))
        except RealtimeError as error:
            answer = messages.failure(error)
        # A model can fail in ways nobody listed; only this message is lost.
        except Exception as error:
            logger.exception("a message to the expression measurement failed")
            answer = {"error": f"The model failed ({type(error).__name__}). Send the next one.", "code": "failed"}
        payload_id = given.get("payload_id")
        if isinstance(payload_id, str) and len(payload_id) <= messages.MAX_ID_CHARS:
            answer["payload_id"] = payload_id
        if given.get("job_details") is True:
            answer["job_details"] = {"job_id": self._job_id}
        return answer

    async def _answer(self, payload: Payload) -> dict[str, Any]:
        if payload.reset:
            # Another person may follow: neither faces nor voices are compared with those before.
            client = await self._engine.open(self._settings.model.seed, self._question)
            self.close()
            self._client = client
        self._wanted = wanted = payload.wanted or self._wanted
        if not payload.data:
            return {}
        if wanted is None:
            raise Refused("E0101", "models was never sent.", 'Send {"models": {"face": {}}} along with data.')
        measured = MEASURED & set(wanted.models)
        if measured and payload.is_text:
            raise Refused("E0102", f"Text has no {' and no '.join(sorted(measured))}.", "Send a picture or a sound.")
        answer = messages.not_measured(wanted)
        if measured:
            upload = await asyncio.to_thread(_read, payload, wanted)
            answer |= await self._measured(upload, payload, wanted)
        return answer

    async def _measured(self, upload: Upload, payload: Payload, wanted: Wanted) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        base_s = self._reached_s = max(self._now_s() - self._began_s, self._reached_s + LEAST_STEP_S)
        if "face" in wanted.models and upload.pictures:
            found = [face async for face in self._faces(upload.pictures, base_s, wanted)]
            answer["face"] = messages.found_faces(found, wanted)
        if "prosody" in wanted.models and upload.samples_N is not None:
            sound_N = self._with_past(upload.samples_N, payload.window_s)
            answer["prosody"] = messages.found_speech([part async for part in self._voices(sound_N, base_s)])
        lacking = MEASURED & set(wanted.models) - set(answer)
        if lacking and not answer:
            lacks = "picture" if "face" in lacking else "sound"
            raise Refused("E0102", f"There is no {lacks} in what was sent.", f"Ask for {lacks}s where you send them.")
        for name in lacking:
            answer[name] = {"warning": "What was sent has nothing for this model.", "code": "E0102"}
        return answer

    async def _faces(
        self, pictures: tuple[Picture, ...], base_s: float, wanted: Wanted
    ) -> AsyncIterator[dict[str, Any]]:
        for picture in pictures:
            self._reached_s = max(self._reached_s, base_s + picture.at_s)
            evidence = await self._client.see(VideoFrame(base_s + picture.at_s, picture.rgb_HW3))
            if not evidence.faces:
                continue
            label = await self._label((evidence,), (), evidence.at_s)
            said = {face.track: face.probabilities for face in label.faces}
            if not said and len(evidence.faces) == 1:
                # A model without an expert for single faces: without a voice, all is about the one face.
                said = {evidence.faces[0].track: label.probabilities}
            cues = {each.track: each for each in evidence.cues}
            for face in evidence.faces:
                side_px = min(face.box[2] * picture.width, face.box[3] * picture.height)
                shown = face.score >= wanted.least_score and side_px >= wanted.least_side_px
                if shown and face.track in said:
                    yield messages.face_prediction(picture, face, cues.get(face.track), said[face.track], wanted)

    async def _voices(self, sound_N: Float32, base_s: float) -> AsyncIterator[dict[str, Any]]:
        for segment in await asyncio.to_thread(spoken, sound_N, base_s, self._settings.speech):
            self._reached_s = max(self._reached_s, segment.end_s)
            evidence = await self._client.hear(segment)
            if evidence.cues.kind == "voice":
                label = await self._label((), (evidence,), segment.end_s)
                yield messages.voice_prediction(segment.start_s - base_s, segment.end_s - base_s, label.probabilities)

    async def _label(self, frames: tuple[FrameEvidence, ...], speech: tuple[SpeechEvidence, ...], at_s: float) -> Label:
        self._n_windows += 1
        start_s = min([at_s, *(part.start_s for part in speech)])
        window = Window(self._n_windows, start_s, at_s, frames, speech)
        return await self._client.fast_label(window, self._question)

    def _with_past(self, samples_N: Float32, window_s: float) -> Float32:
        """The sound with what came before it, so that both together last `window_s` at most."""
        n_past = max(0, round(window_s * SAMPLE_RATE_HZ) - samples_N.size)
        sound_N: Float32 = np.concatenate(
            [self._heard_N[self._heard_N.size - min(n_past, self._heard_N.size) :], samples_N]
        )
        self._heard_N = sound_N[-round(MAX_S * SAMPLE_RATE_HZ) :] if window_s else np.zeros(0, np.float32)
        return sound_N


def _read(payload: Payload, wanted: Wanted) -> Upload:
    return read_upload(payload.media(), period_s=wanted.period_s)


def spoken(sound_N: Float32, start_s: float, settings: SpeechSettings) -> list[SpeechSegment]:
    """The stretches of speech in (N,) 16 kHz mono that begins at `start_s`. Blocks."""
    cutter = SpeechCutter(settings)
    found = [*cutter.push(AudioChunk(start_s, sound_N)), *cutter.flush()]
    return [each for each in found if isinstance(each, SpeechSegment)]
