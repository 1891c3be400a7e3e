"""The interface of annotators, with its three stages, and the annotator that needs no language model.

1  describe   describes each modality on its own: frame by frame for vision, tone and rhythm for audio
2  question   writes questions and answers from coarse to fine: compare, integrate, mediate
3  think      writes the chain: focal emotion, context, atmosphere, voice; then coarse to fine, and the answer
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from train.chat import ChatUsage
from train.coet.measured import EXPRESSION, Writer
from train.coet.observe import SeenClip

STAGES = ("describe", "question", "think")
LEVELS = ("compare", "integrate", "mediate")


class Annotator(Protocol):
    """Each stage returns plain JSON; `told` holds the results of earlier stages. A stage may raise EndpointDown."""

    name: str
    usage: ChatUsage

    async def describe(self, seen: SeenClip) -> dict[str, Any]:
        """{"vision": [{"at_s", "text"}], "audio": [{"start_s", "end_s", "text"}]}."""
        ...

    async def question(self, seen: SeenClip, told: Mapping[str, Any]) -> list[dict[str, str]]:
        """[{"level", "question", "answer"}], coarse to fine."""
        ...

    async def think(self, seen: SeenClip, told: Mapping[str, Any], objections: Sequence[str]) -> dict[str, str]:
        """The sections of the chain. `objections` are the quality gate's objections to the last attempt."""
        ...

    async def close(self) -> None: ...


class MeasuredAnnotator:
    """Writes what was measured, in varied wording. The same clip and seed give the same words."""

    name = "measured"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.usage = ChatUsage()

    def _writer(self, seen: SeenClip, stage: str, attempt: int = 0) -> Writer:
        return Writer(zlib.crc32(f"{self._seed}/{seen.clip.key}/{stage}/{attempt}".encode()))

    async def describe(self, seen: SeenClip) -> dict[str, Any]:
        writer = self._writer(seen, "describe")
        vision = [{"at_s": round(at_s, 3), "text": writer.face(frame)} for at_s, frame in seen.by_frame]
        audio = [
            {"start_s": round(start_s, 3), "end_s": round(end_s, 3), "text": writer.voice(part)}
            for start_s, end_s, part in seen.by_speech
        ]
        return {"vision": vision, "audio": audio}

    async def question(self, seen: SeenClip, told: Mapping[str, Any]) -> list[dict[str, str]]:
        writer, whole = self._writer(seen, "question"), seen.whole
        face = writer.reading("face", whole.people[0].shares) if whole.people else "No face is in view."
        voice = writer.reading("voice", whole.voice.shares) if whole.voice else "No speech is heard."
        chain = [
            ("compare", "What does the face show, taken alone?", face),
            ("compare", "What does the voice say, taken alone?", voice),
            ("compare", "Do the two point the same way?", self._agreement(seen)),
            (
                "integrate",
                "What is the overall tendency, and which modality can be relied on here?",
                writer.coarse(whole),
            ),
            ("mediate", "How is what remains of the conflict settled, and what follows?", writer.fine(whole)),
        ]
        return [{"level": level, "question": asked, "answer": answer} for level, asked, answer in chain]

    def _agreement(self, seen: SeenClip) -> str:
        whole = seen.whole
        if not whole.people or whole.voice is None:
            return "There is only one modality, or none: nothing to compare."
        face, voice = int(np.argmax(whole.people[0].shares)), int(np.argmax(whole.voice.shares))
        face_word, voice_word = (EXPRESSION[EXPERT_LABELS[index]][0] for index in (face, voice))
        return (
            f"Both seem {face_word}." if face == voice else f"No: the face seems {face_word}, the voice {voice_word}."
        )

    async def think(self, seen: SeenClip, told: Mapping[str, Any], objections: Sequence[str]) -> dict[str, str]:
        return self._writer(seen, "think", attempt=len(objections)).chain(seen.whole)

    async def close(self) -> None: ...
