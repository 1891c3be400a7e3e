"""Answers samples with the perception and reasoning of a live session, in worker processes.

A worker perceives each session one sample after the other, as a live session does, and answers windows in batches.
Batches (`train.evaluation.batch`) give the same answers as one window at a time.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from realtime.asking.question import question_of
from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings, NotMedia, RealtimeError
from realtime.evidence.perceive import Perception
from realtime.reason import own_labels
from realtime.records import LABELS, Label, Question, Window
from train.coet.checks import faithful
from train.evaluation.answer_parser import parse
from train.evaluation.batch import ChainAnswer, chains
from train.evaluation.report import NOT_PERCEIVED
from train.evaluation.run_folder import end_with_parent
from train.evaluation.samples import Sample
from train.evaluation.served import LabelsOf, Served, load_served
from train.evaluation.variants import WHOLE, Variant, VariedPerception
from train.readers.clip import NoEvidence
from train.readers.recording import WINDOW_S, check_evidence, check_span, clip_windows, read_recording, span_of

BATCH = 32
Row = dict[str, Any]


@dataclass(frozen=True)
class ModelUnderTest:
    """The model that is evaluated, with its labels, question and switches."""

    model: str
    adapter: Path | None = None
    labels: tuple[str, ...] = LABELS
    question: str | None = None
    variant: Variant = WHOLE
    label: LabelsOf = "auto"
    chains: bool = True
    "Whether chains are written. Without them the fast label is the answer."

    def question_for(self, model: Served) -> Question:
        """The question as serving asks it: a model of fixed labels chooses from its own, told in the set's words.

        Raises UnknownLabels where such a model knows no emotion for one of them.
        """
        return question_of(self.question, self.labels, tuple(model.labels), open_labels=model.open_labels)


_loaded: tuple[Served, ModelUnderTest] | RealtimeError | None = None
"""The model of this worker process. A loading error is kept until work comes, because at the start it would only break
the pool, without a message."""


def start_worker(asked: ModelUnderTest) -> None:
    global _loaded
    end_with_parent()
    torch.set_num_threads(1)
    try:
        _loaded = load_served(asked.model, adapter=asked.adapter, label=asked.label), asked
    except RealtimeError as error:
        _loaded = error


def perceiver(model: Served, asked: ModelUnderTest) -> Perception | VariedPerception:
    if asked.variant == WHOLE:
        return model.perceiver(seed=0, question=asked.question_for(model))
    if not isinstance(model, LoadedModel):
        raise BadSettings("Switches are for one model, and nano gives this one's labels.", "Add --label own.")
    return VariedPerception(model, asked.variant, asked.question_for(model))


def answer_part(samples: Sequence[Sample], done: frozenset[str]) -> list[Row]:
    """Rows for the samples that are not `done`. Done sentences are perceived too, for the session's baseline."""
    assert _loaded is not None, "start_worker runs first"
    if isinstance(_loaded, RealtimeError):
        raise _loaded
    return answer_with(*_loaded, samples, done)


def answer_with(
    model: Served, asked: ModelUnderTest, samples: Sequence[Sample], done: frozenset[str] = frozenset()
) -> list[Row]:
    """The rows of `answer_part`, with a model of this process."""
    question = asked.question_for(model)
    perceived, failed = perceive(model, asked, samples, done)
    out = [unread(sample, trouble) for sample, trouble in failed]
    if not asked.chains:
        return out + [
            labelled(question, *each, model.thinker.label_window(each[1], question).label) for each in perceived
        ]
    for first in range(0, len(perceived), BATCH):
        part = perceived[first : first + BATCH]
        answers = chains(model, [window for _, window in part], question)
        out += [row(question, sample, window, each) for (sample, window), each in zip(part, answers, strict=True)]
    return out


def perceive(
    model: Served, asked: ModelUnderTest, samples: Sequence[Sample], done: frozenset[str]
) -> tuple[list[tuple[Sample, Window]], list[tuple[Sample, str]]]:
    """The windows of samples that are not `done`; and the samples that cannot be perceived, with the reason.

    Those have a recording that cannot be read, or that does not hold their part, or that shows and says nothing there.
    """
    perceived: list[tuple[Sample, Window]] = []
    failed: list[tuple[Sample, str]] = []
    for part in sessions_of(samples):
        if all(sample.key in done for sample in part):
            continue
        session = perceiver(model, asked)
        try:
            if part[0].clip is None:
                windows = [(sample, _window(session, sample, done)) for sample in part]
                perceived += [(sample, window) for sample, window in windows if window and sample.key not in done]
                continue
            clips = [sample.clip for sample in part if sample.clip is not None]
            recording = read_recording(part[0].clip.path, [span_of(clip) for clip in clips])
            for sample, window in zip(part, clip_windows(recording, clips, session), strict=True):
                if sample.key in done:
                    continue
                try:
                    _check(sample, window, recording.end_s, asked.variant)
                except NoEvidence as error:
                    failed.append((sample, error.message))
                else:
                    perceived.append((sample, window))
        except NotMedia as error:
            failed += [(sample, error.message) for sample in part if sample.key not in done]
        finally:
            session.close()
    return perceived, failed


def _check(sample: Sample, window: Window, end_s: float, variant: Variant) -> None:
    """Raises NoEvidence for a clip that there is nothing to judge by. A variant may have left out what there was."""
    assert sample.clip is not None
    name = sample.clip.path.name
    check_span(name, span_of(sample.clip))
    check_span(name, span_of(sample.clip), end_s)
    if variant == WHOLE:
        check_evidence(name, window)


def _window(session: Perception | VariedPerception, sample: Sample, done: frozenset[str]) -> Window | None:
    """The window of a sample; None for a picture that was answered before, because no later window depends on it."""
    if sample.key in done and sample.speech is None:
        return None
    seen = session.see(sample.frame) if sample.frame is not None else None
    heard = session.hear(sample.speech) if sample.speech is not None else None
    end_s = max(
        sample.speech.end_s if sample.speech is not None else 0.0,
        sample.frame.at_s if sample.frame is not None else 0.0,
    )
    frames, speech = (seen,) if seen is not None else (), (heard,) if heard is not None else ()
    return Window(0, max(0.0, end_s - WINDOW_S), end_s, frames, speech)


def sessions_of(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Consecutive samples of the same session, as lists."""
    part: list[Sample] = []
    for sample in samples:
        if part and sample.session != part[-1].session:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


def row(question: Question, sample: Sample, window: Window, answered: ChainAnswer) -> Row:
    """The row of one answer, with everything that the report needs, in the labels that were asked for."""
    sections = answered.sections
    parsed = parse(sections["answer"], question.labels)
    chosen, judged = parsed.label, dict(answered.judged)
    if question.own:
        chosen = own_labels.for_emotion(question.own, chosen, answered.probabilities, 0.0)
        judged = own_labels.shares(question.own, {label: math.exp(judged[label]) for label in judged})
    cues = next((frame.cues[0].intensities for frame in reversed(window.frames) if frame.cues), {})
    relative = window.speech[-1].cues.relative if window.speech else {}
    told = faithful(sections, cues, relative)
    return {
        **labelled(question, sample, window, answered.label),
        "answer": chosen,
        "parse": parsed.how,
        "told": answered.answer.label,
        "judged": likeliest(judged) if judged else None,
        "probabilities": answered.probabilities,
        "sections": sections,
        "rewritten": answered.rewritten,
        "statements": told.n_statements,
        "true_statements": told.n_true,
        "withheld": answered.n_withheld,
    }


def labelled(question: Question, sample: Sample, window: Window, label: Label) -> Row:
    """The row of one fast label, which is the answer."""
    # As a session tells it; no share is too small, so that every answer is scored.
    fast = own_labels.in_own(question.own, label, 0.0) if question.own else label
    return {
        **begun(sample),
        "answer": likeliest(fast.probabilities),
        "parse": "the fast label",
        "fast": likeliest(fast.probabilities),
        "fast_probabilities": dict(fast.probabilities),
        "alone": {name: likeliest(p) for name, p in alone(fast).items()},
        "probabilities": dict(fast.probabilities),
        "faces": len(window.frames[-1].faces) if window.frames else None,
        "speech_s": round(window.speech_s, 2),
    }


def begun(sample: Sample) -> Row:
    """The part of a row that is known before the sample is answered."""
    known: Row = {"key": sample.key, "truth": sample.truth, "slices": dict(sample.slices)}
    if sample.clip is not None:
        known["folds"] = sorted(sample.clip.folds)
        if sample.clip.reference:
            known["reference"] = sample.clip.reference
    return known


def unread(sample: Sample, trouble: str) -> Row:
    """The row of a sample that could not be perceived. It counts as wrong and as unparsed."""
    return {**begun(sample), "answer": None, "parse": f"{NOT_PERCEIVED}{trouble}"}


def likeliest(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda label: shares[label])


def alone(fast: Label) -> dict[str, Mapping[str, float]]:
    """The probabilities of each modality alone, where a window has both."""
    return {} if fast.conflict is None else {"face": fast.conflict.face, "voice": fast.conflict.voice}


def answers(
    asked: ModelUnderTest, parts: Iterable[list[Sample]], done: frozenset[str], *, n_workers: int
) -> Iterator[list[Row]]:
    """Rows of each part as it is answered, in no fixed order. At most two parts per worker are in memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=start_worker, initargs=(asked,)) as pool:
        waiting: set[Future[list[Row]]] = set()
        try:
            for part in parts:
                if all(sample.key in done for sample in part):
                    continue
                waiting.add(pool.submit(answer_part, part, done))
                if len(waiting) >= 2 * n_workers:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield future.result()
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
