"""Evaluates other models (peers) with the same samples, answer parser and metrics.

A peer is any OpenAI-compatible multimodal endpoint. It gets the frames that our sampler takes (one a second, the last
eight) and the speech segments that our VAD finds, and is asked for one of the set's labels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import numpy as np

from realtime.errors import NotMedia
from realtime.records import SpeechSegment, VideoFrame
from train.chat import ChatClient, ChatSettings, Message, in_parallel, jpeg_part, text_part, wav_part
from train.evaluation.answer_parser import parse
from train.evaluation.answering import ModelUnderTest, Row, begun, unread
from train.evaluation.samples import Sample
from train.readers.recording import read_recording, span_of

QUESTION = "Which emotion do the face and the voice point to?"
INSTRUCTION = "{question} Think if you like, then end with one line: <answer>LABEL</answer>. LABEL is one of: {labels}."
MAX_FRAMES = 8


def prompt(asked: ModelUnderTest) -> str:
    return INSTRUCTION.format(question=asked.question or QUESTION, labels=", ".join(asked.labels))


def shown(sample: Sample) -> tuple[list[VideoFrame], list[SpeechSegment]]:
    """The frames and speech of a sample that a peer gets. Raises NotMedia."""
    if sample.clip is None:
        return (
            [sample.frame] if sample.frame is not None else [],
            [sample.speech] if sample.speech is not None else [],
        )
    recording = read_recording(sample.clip.path, [span_of(sample.clip)])
    return recording.frames[-MAX_FRAMES:], recording.speech


def messages(asked: ModelUnderTest, frames: list[VideoFrame], speech: list[SpeechSegment]) -> list[Message]:
    parts = [jpeg_part(frame.rgb_HW3, quality=90) for frame in frames]
    if speech:
        parts.append(wav_part(np.concatenate([segment.samples_N for segment in speech])))
    return [{"role": "user", "content": [*parts, text_part(prompt(asked))]}]


def answers(
    settings: ChatSettings, asked: ModelUnderTest, samples: Iterable[Sample], done: frozenset[str], *, concurrency: int
) -> Iterator[Row]:
    """One row per sample, as it is answered. Raises EndpointDown after all rows that were answered."""

    async def one(endpoint: ChatClient, sample: Sample) -> Row:
        try:
            frames, speech = await asyncio.to_thread(shown, sample)
        except NotMedia as error:
            return unread(sample, error.message)
        text = await endpoint.text(messages(asked, frames, speech))
        parsed = parse(text, asked.labels)
        return {**begun(sample), "answer": parsed.label, "parse": parsed.how, "text": text}

    waiting = (sample for sample in samples if sample.key not in done)
    return in_parallel(settings, waiting, one, concurrency=concurrency)
