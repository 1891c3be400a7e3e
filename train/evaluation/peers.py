"""Other people's models on the same footing: the same samples, the same reader, the same figures.

A peer is any OpenAI-compatible multimodal endpoint. It gets the frames that our sampler takes (one a second, the last
eight) and the speech that our segmenter cuts out, and is asked to name one of the set's labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np

from realtime.errors import NotMedia
from realtime.records import SpeechSegment, VideoFrame
from train.evaluation.answering import Asked, Row, begun, unread
from train.evaluation.endpoint import Endpoint, Message, picture, sound
from train.evaluation.reading import read
from train.evaluation.samples import Sample
from train.readers import watching

QUESTION = "Which emotion do the face and the voice point to?"
INSTRUCTION = "{question} Think if you like, then end with one line: <answer>LABEL</answer>. LABEL is one of: {labels}."
MAX_FRAMES = 8


def prompt(asked: Asked) -> str:
    return INSTRUCTION.format(question=asked.question or QUESTION, labels=", ".join(asked.labels))


def shown(sample: Sample) -> tuple[list[VideoFrame], list[SpeechSegment]]:
    """What a peer sees and hears of a sample. Raises NotMedia."""
    if sample.clip is None:
        return (
            [sample.frame] if sample.frame is not None else [],
            [sample.speech] if sample.speech is not None else [],
        )
    recorder = watching.record(sample.clip.path, [sample.clip])
    return recorder.frames[-MAX_FRAMES:], recorder.speech


def messages(asked: Asked, frames: list[VideoFrame], speech: list[SpeechSegment]) -> list[Message]:
    parts: list[Message] = [picture(frame.rgb_HW3) for frame in frames]
    if speech:
        parts.append(sound(np.concatenate([segment.samples_N for segment in speech])))
    return [{"role": "user", "content": [*parts, {"type": "text", "text": prompt(asked)}]}]


def answers(
    endpoint: Endpoint, asked: Asked, samples: Iterable[Sample], done: frozenset[str], *, concurrency: int
) -> Iterator[list[Row]]:
    """A row per sample as it is answered. Raises EndpointDown after what was answered has been handed on."""

    def one(sample: Sample) -> Row:
        try:
            frames, speech = shown(sample)
        except NotMedia as error:
            return unread(sample, error.message)
        text = endpoint.ask(messages(asked, frames, speech))
        reading = read(text, asked.labels)
        return {**begun(sample), "answer": reading.label, "parse": reading.how, "text": text}

    with ThreadPoolExecutor(concurrency) as pool:
        waiting: set[Future[Row]] = set()
        try:
            for sample in samples:
                if sample.key in done:
                    continue
                waiting.add(pool.submit(one, sample))
                if len(waiting) >= 2 * concurrency:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from _results(finished)
            yield from _results(wait(waiting).done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _results(finished: Iterable[Future[Row]]) -> Iterator[list[Row]]:
    """What was answered goes first: it was paid for. Then the first failure is raised."""
    failures = []
    for future in finished:
        if (error := future.exception()) is None:
            yield [future.result()]
        else:
            failures.append(error)
    if failures:
        raise failures[0]
