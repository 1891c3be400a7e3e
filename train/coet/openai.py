"""The annotator that asks OpenAI-compatible endpoints. Frames are sent as JPEG, speech as WAV (`input_audio`).

Vision, audio and text may go to different endpoints and models. Only the first stage sends media.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime.reason.prompt import INTENSITIES, SECTIONS, UNSURE
from realtime.records import LABELS
from train.chat import ChatClient, ChatUsage, Message, jpeg_part, text_part, wav_part
from train.coet.annotators import LEVELS
from train.coet.observe import SeenClip

LONGEST_PX = 512
MAX_FRAMES = 8

TEXT = {"type": "string", "minLength": 1, "maxLength": 900}


def closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema object of exactly these properties."""
    wanted = list(properties)
    return {"type": "object", "properties": dict(properties), "required": wanted, "additionalProperties": False}


VISION_SCHEMA = closed({"frames": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_FRAMES}})
AUDIO_SCHEMA = closed({"tone": TEXT, "rhythm": TEXT})
QUESTION_SCHEMA = closed(
    {
        "chain": {
            "type": "array",
            "minItems": 3,
            "maxItems": 8,
            "items": closed({"level": {"enum": list(LEVELS)}, "question": TEXT, "answer": TEXT}),
        }
    }
)
THOUGHT_SCHEMA = closed(dict.fromkeys(SECTIONS, TEXT))

SYSTEM = (
    "You annotate short clips for training an emotion model. Say only what the picture and the sound show. "
    "Name what is missing. Never identify anyone. Answer with one JSON object."
)
VISION_TASK = (
    "These are {n} frames of one clip, in order. For each frame, one or two sentences: facial action cues of every "
    "person, head pose, gesture, surroundings. Do not name an emotion yet."
)
AUDIO_TASK = (
    "This is what is said in the clip. `tone`: pitch, loudness, timbre, tension. `rhythm`: rate, pauses, emphasis. "
    "Say how it sounds, not what is said, and do not name an emotion yet."
)
QUESTION_TASK = (
    "Below are descriptions of one clip, modality by modality. Write a chain of questions and answers, coarse to fine: "
    "`compare` what each modality alone points to, `integrate` the overall tendency and how reliable each modality is "
    "here, `mediate` what remains of a conflict and what follows from it."
)
THOUGHT_TASK = (
    "Write the chain of emotion thought as JSON with the keys {sections}. face: focal emotion, expression and facial "
    "action cues per person. context: pose, gesture, what surrounds the person. atmosphere: brightness and saturation "
    "of the background. voice: pitch, loudness, rate, timbre against this voice's usual. coarse: overall tendency and "
    "how reliable each modality is here. fine: argue any conflict out; category and intensity. answer: one of {labels} "
    "or {unsure}, then {intensities}. One to three short sentences each. Say 'no face in view' or 'no speech' where it "
    "is so.{truth}"
)


@dataclass(frozen=True)
class Endpoints:
    """The client of each modality. The same client may serve several."""

    vision: ChatClient
    audio: ChatClient
    text: ChatClient


class OpenAIAnnotator:
    """Its stages raise EndpointDown."""

    name = "openai"

    def __init__(self, endpoints: Endpoints, usage: ChatUsage, *, tell_label: bool = True, seed: int = 0) -> None:
        """With `tell_label` the third stage is given the clip's label to explain; the gate checks that it does."""
        self._endpoints = endpoints
        self._tell_label = tell_label
        self._seed = seed
        self.usage = usage

    async def close(self) -> None:
        for endpoint in {id(e): e for e in vars(self._endpoints).values()}.values():
            await endpoint.close()

    async def describe(self, seen: SeenClip) -> dict[str, Any]:
        """Describe vision and audio separately. Nothing is sent for a modality that the clip lacks."""
        vision: list[dict[str, Any]] = []
        audio: list[dict[str, Any]] = []
        frames = seen.perceived.frames[:MAX_FRAMES]
        if frames:
            media = [jpeg_part(frame.rgb_HW3, quality=88, longest_px=LONGEST_PX) for frame in frames]
            task = VISION_TASK.format(n=len(frames))
            told = await self._endpoints.vision.json(messages(task, media), VISION_SCHEMA, name="frames")
            vision = [
                {"at_s": round(frame.evidence.at_s, 3), "text": text}
                for frame, text in zip(frames, told["frames"], strict=False)
            ]
        for heard in seen.perceived.speech:
            task = AUDIO_TASK
            told = await self._endpoints.audio.json(
                messages(task, [wav_part(heard.samples_N)]), AUDIO_SCHEMA, name="voice"
            )
            span = {"start_s": round(heard.evidence.start_s, 3), "end_s": round(heard.evidence.end_s, 3)}
            audio.append({**span, "text": f"{told['tone']} {told['rhythm']}"})
        return {"vision": vision, "audio": audio}

    async def question(self, seen: SeenClip, told: Mapping[str, Any]) -> list[dict[str, str]]:
        text = f"{QUESTION_TASK}\n\n{descriptions_text(told['describe'], seen.clip.text)}"
        answer = await self._endpoints.text.json(messages(text), QUESTION_SCHEMA, name="chain")
        chain: list[dict[str, str]] = answer["chain"]
        return chain

    async def think(self, seen: SeenClip, told: Mapping[str, Any], objections: Sequence[str]) -> dict[str, str]:
        truth = f" The clip's observers say: {seen.settled}." if self._tell_label and seen.settled else ""
        task = THOUGHT_TASK.format(
            sections=", ".join(SECTIONS), labels=", ".join(LABELS), unsure=UNSURE, intensities=" | ".join(INTENSITIES),
            truth=truth,
        )  # fmt: skip
        asked = "\n".join(f"{qa['level']}: {qa['question']} {qa['answer']}" for qa in told["question"])
        described = descriptions_text(told["describe"], seen.clip.text)
        text = f"{task}\n\n{described}\n\n{asked}\n\nMeasured: {measured_text(seen)}"
        if objections:
            text += "\n\nYour last attempt contradicted the measurements. Correct this:\n- " + "\n- ".join(objections)
        sections: dict[str, str] = await self._endpoints.text.json(messages(text), THOUGHT_SCHEMA, name="thought")
        return sections


def messages(text: str, media: Sequence[Message] = ()) -> list[Message]:
    """The system message and one user message: the media, then the text."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": [*media, text_part(text)]}]


def descriptions_text(told: Mapping[str, Any], words: str) -> str:
    """The first stage as text for the later ones, with the words said where the data set has them."""
    frames = [f"at {frame['at_s']} s: {frame['text']}" for frame in told["vision"]] or ["no picture"]
    parts = [f"{part['start_s']}–{part['end_s']} s: {part['text']}" for part in told["audio"]] or ["no speech"]
    said = f"\n\nWords\n{json.dumps(words, ensure_ascii=False)}" if words.strip() else ""
    return "Vision\n" + "\n".join(frames) + "\n\nAudio\n" + "\n".join(parts) + said


def measured_text(seen: SeenClip) -> str:
    """The measurements in a line, against which the gate will check the chain."""
    cues = [f"{name} {value:.2f}" for name, value in seen.cues.items() if value >= 0.3] or ["no facial cue above 0.3"]
    face = ", ".join(cues) if seen.whole.people else "no face in view"
    voice = ", ".join(f"{name} {z:+.1f}" for name, z in seen.relative.items()) or "no speech"
    light = f"brightness {seen.whole.brightness:.2f}, saturation {seen.whole.saturation:.2f}"
    return f"face cues (0–1): {face}; voice against its usual (spreads): {voice}; {light}."
