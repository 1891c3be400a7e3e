"""The real server over a scripted model, for what the page does with what it is told.

`python -m tests.browser.scripted_server` prints `Open http://localhost:PORT`, as `realtime serve` does. The chain comes
word by word; each third window is unsure; face and voice disagree wherever something was said.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.evidence.scene import measure_scene
from realtime.ingest.webrtc import answer
from realtime.observe.metrics import Metrics
from realtime.records import (
    LABELS,
    Answer,
    Conflict,
    Face,
    FrameEvidence,
    Label,
    Question,
    ReasonDelta,
    ReasonDone,
    TokenMap,
    VideoFrame,
    Window,
)
from realtime.roles import Step, Words, unsaid
from realtime.serve import hosting
from realtime.serve.app import LiveServer
from realtime.settings_sources import load
from tests.scripted import ScriptedModel, ScriptedPerceiver, ScriptedThinker, ScriptedTranscriber

WORD_S = 0.01
SAID = "Don't forget a jacket."
"What is written down of each stretch of speech, with `EMOTHINKER_SPEECH__WORDS=whisper`."
CHAIN = {
    "voice": "The pitch is higher than before, the voice louder.",
    "face": "Person A pulls up the lip corners and tightens the eyelids a little.",
    "context": "One person sits close to the camera, near the middle.",
    "atmosphere": "The scene is evenly lit, with muted colours.",
    "coarse": "The face leans to the positive, the voice stays neutral; the face is the more reliable here.",
    "fine": "Nothing in the brows supports anger, so the lively voice goes with the smile.",
    "answer": "happy, moderate",
}


class FocalPerceiver(ScriptedPerceiver):
    """`faces` of them side by side, each on a track of its own."""

    def see(self, frame: VideoFrame) -> FrameEvidence:
        width = 1 / max(2, self.faces)
        boxes = [((index + 0.25) * width, 0.3, 0.5 * width, 0.4) for index in range(self.faces)]
        # Biggest first is the order of a real finder, not that of the tracks.
        faces = tuple(Face(track, box, 0.9, None) for track, box in enumerate(boxes, start=1))[::-1]
        focal = tuple((x - 0.2 * width, 0.1, 0.9 * width, 0.8) for x, *_ in boxes)
        cells = "".join("f" if 2 <= n % 8 < 6 and n // 8 else "k" if n % 5 else "-" for n in range(48))
        grid = TokenMap((0.0, 0.0, 1.0, 1.0), rows=6, columns=8, cells=cells)
        seen = super().see(frame)
        cues = tuple(replace(seen.cues[0], track=face.track) for face in faces)
        return replace(seen, faces=faces, cues=cues, focal=focal, map=grid, scene=measure_scene(frame.rgb_HW3))


class WordByWord(ScriptedThinker):
    def fast_label(self, window: Window, question: Question) -> Label:
        return _told(super().fast_label(window, question), window, question)

    def reason(
        self, window: Window, question: Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Step]:
        chain = CHAIN | {"face": faces_told(window)}
        for section, text in chain.items():
            for index, word in enumerate(text.split()):
                time.sleep(WORD_S)
                yield ReasonDelta(section, f" {word}" if index else word)
        yield replace(_told(super().fast_label(window, question), window, question), source="chain")
        conclusion = Answer("unsure", "", 0.4) if window.index % 3 == 2 else Answer(question.labels[0], "moderate", 0.6)
        yield ReasonDone(chain, conclusion, {"prefill": 12.0})


def faces_told(window: Window) -> str:
    """One statement for each person of the newest frame, in its order, as nano writes them."""
    n_faces = len(window.frames[-1].faces) if window.frames else 0
    if n_faces < 2:
        return CHAIN["face"]
    return " ".join(f"Person {chr(65 + index)}: Lip corners at height {index + 1}." for index in range(n_faces))


def _told(label: Label, window: Window, ask: Question) -> Label:
    return replace(label, conflict=_conflict(window, ask), calibrated=set(ask.labels) == set(LABELS))


def _conflict(window: Window, ask: Question) -> Conflict | None:
    if not (window.speech and window.frames):
        return None
    rest = 0.2 / (len(ask.labels) - 1)
    face = {label: 0.8 if label == ask.labels[0] else rest for label in ask.labels}
    voice = {label: 0.8 if label == ask.labels[-1] else rest for label in ask.labels}
    return Conflict(face, voice, 0.47)


async def main(max_sessions: int, faces: int, port: int) -> None:
    settings = load(environ=os.environ, flags={"server.max_sessions": max_sessions})
    metrics = Metrics()
    listening = hosting.listen("127.0.0.1", port)
    with listening, ModelWorker(metrics) as worker:
        live = LiveServer(
            engine=LocalEngine(ScriptedModel(perceivers=FocalPerceiver(faces), thinker=WordByWord()), worker),
            settings=settings,
            metrics=metrics,
            answer=partial(answer, ingest=settings.ingest, speech=settings.speech, ice=settings.ice),
            recorder=hosting.recorder(settings.record),
            transcriber=None if settings.speech.words == "off" else ScriptedTranscriber(SAID),
        )
        print(f"Open http://localhost:{listening.getsockname()[1]}", flush=True)  # noqa: T201
        await hosting.program(live, settings).serve(sockets=[listening])


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--max-sessions", type=int, default=3)
    options.add_argument("--faces", type=int, default=1)
    options.add_argument("--port", type=int, default=0)
    asyncio.run(main(**vars(options.parse_args())))
