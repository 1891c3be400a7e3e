"""Two models for each session: nano gives the labels while a larger one writes the chains.

    picture, sound ── towers of nano, once ─┬─ nano's last layers and selectors ── ring ── labels
                                            └─ the larger model's               ── ring ── chains

A model that is composed on a text backbone has nano's towers and experts (`model/assembly.py`), so what nano reads
costs little more. A label of nano's takes a tenth of the time. It also takes nothing from the chain, which begins from
that label without scoring any itself. Labels, their calibration and `unsure` are nano's; the sections and the checks of
their consistency are the chain's own.

A larger model that answers questions worse than nano leaves a person's own to it (`questions` in emothinker.json). nano
then writes the whole chain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from realtime.engine import gpu
from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from realtime.evidence.label_reading import LabelReading
from realtime.evidence.perceive import Perception
from realtime.model import assembly, checkpoint
from realtime.model.config import EmotionConfig, ModelConfig
from realtime.reason.appending import Appends
from realtime.reason.parts import LabelledWindow
from realtime.reason.reasoner import Reasoner
from realtime.records import Label, Question, Window
from realtime.roles import HearsTogether, SeesTogether, Step, Words, unsaid
from realtime.summary.draft import SummaryWriter
from realtime.towers.shared import SharedTowers, Trunk

LABELLER = "nano"
KEPT_LABELS = 8
"Labels that wait for their chain, as many as the host keeps windows (`host.KEPT_WINDOWS`)."
SAME_READING = ("frame_px", "grey_face_px", "dilation_patches", "face_geometry", "voice_statistics", "voice_width")
"What both models must have alike, since pictures are cut and voices measured once."


class TwoThinkers:
    """The Thinkers of all sessions (`roles.Thinker`): one labels, the other writes."""

    def __init__(self, labeller: Reasoner, writer: Reasoner) -> None:
        self._labeller, self._writer = labeller, writer
        self._labels: OrderedDict[int, tuple[Window, Question, Label]] = OrderedDict()
        "In the model's own words, by the window's id."

    def fast_label(self, window: Window, question: Question) -> Label:
        """The labeller's label. Its KV cache is freed at once, since no chain continues it."""
        label = self._label(window, question)
        self._labels[id(window)] = (window, question, label)
        while len(self._labels) > KEPT_LABELS:
            self._labels.popitem(last=False)
        return self._labeller.told(window, question, label)

    def reason(
        self, window: Window, question: Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Step | None]:
        """The writer's chain from the label that the window has; the labeller's own for a question that it answers."""
        labelled, asked, label = self._labels.pop(id(window), (None, None, None))
        if self.answers(question):
            yield from self._labeller.reason(for_labels(window), question, said, again_s=again_s)
            return
        if label is None or labelled is not window or asked != question:
            label = self._label(window, question)
        yield from self._writer.reason_from(label, window, question, said, again_s=again_s)

    def answers(self, question: Question) -> bool:
        """Whether the labeller writes the chain, since the writer leaves questions to it."""
        return question.query is not None and not self._writer.answers_questions

    def label_window(self, window: Window, question: Question) -> LabelledWindow:
        """The window with the labeller's label, ready for the writer's chain."""
        return self._writer.begun_with(self._label(window, question), window, question)

    def _label(self, window: Window, question: Question) -> Label:
        return self._labeller.label_window(for_labels(window), question).label


def for_labels(window: Window) -> Window:
    """The window as the labeller reads it."""
    return replace(
        window,
        frames=tuple(frame.for_labels or frame for frame in window.frames),
        speech=tuple(speech.for_labels or speech for speech in window.speech),
    )


@dataclass(frozen=True)
class PairedModel:
    """A `Model` of `realtime.roles`: `writer` with the labels of `labeller`."""

    labeller: LoadedModel
    writer: LoadedModel
    thinker: TwoThinkers

    @property
    def name(self) -> str:
        return self.writer.name

    @property
    def runtime_reason(self) -> str:
        return self.writer.runtime_reason

    @property
    def labels(self) -> tuple[str, ...]:
        return self.labeller.labels

    @property
    def open_labels(self) -> bool:
        return self.labeller.open_labels

    @property
    def stock(self) -> bool:
        return self.writer.stock

    @property
    def words(self) -> bool:
        return self.writer.words

    @property
    def summariser(self) -> SummaryWriter | None:
        return self.writer.summariser

    @property
    def together(self) -> SeesTogether | None:
        return self.writer.together

    @property
    def hears_together(self) -> HearsTogether | None:
        return self.writer.hears_together

    @property
    def appends(self) -> Appends:
        return self.writer.appends

    @property
    def label_model(self) -> str:
        return self.labeller.name

    @property
    def answer_model(self) -> str | None:
        return None if self.writer.thinker.answers_questions else self.labeller.name

    def perceiver(self, seed: int, question: Question | None = None) -> Perception:
        """A new perception for one session, which reads for both."""
        thinker = self.labeller.thinker
        question = question or Question(labels=self.labels)
        reading = LabelReading(
            self.labeller.weights,
            self.labeller.towers,
            query=thinker.query_embeddings,
            question=question,
            open_ring=thinker.open_ring,
        )
        return self.writer.perceiver(seed, question, reading)


def paired(labeller: LoadedModel, writer: LoadedModel) -> PairedModel:
    """The two behind one trunk: the labeller's, in whose precision the towers run. Both are on the CPU.

    The writer has to be loaded with the labeller's calibration.
    """
    trunk = Trunk(labeller.weights)
    reason = f"torch (cpu; one pass for {labeller.name}'s labels and for the chains)"
    labeller = replace(labeller, towers=SharedTowers(labeller.weights, trunk))
    writer = replace(writer, towers=SharedTowers(writer.weights, trunk), runtime_reason=reason)
    return PairedModel(labeller, writer, TwoThinkers(labeller.thinker, writer.thinker))


def nano_labels(
    wanted: Literal["auto", "own", "nano"], name: str, *, adapter: Path | None, engine: str, device: str
) -> bool:
    """Whether nano gives the labels for this model. Only its files' heads are read, and no backbone is fetched.

    Raises BadModel as `assembly.read_config` does, and BadSettings where `nano` is asked for and cannot be.
    """
    if wanted == "own":
        return False
    why_not = _why_not(name, adapter, engine, device)
    if why_not is None:
        return True
    if wanted == "nano":
        raise BadSettings(f"nano cannot give the labels for {name}: {why_not}.", "Take model.label = auto, or own.")
    return False


def _why_not(name: str, adapter: Path | None, engine: str, device: str) -> str | None:
    """Why nano's labels cannot be had, as the end of a sentence; None where they can."""
    if name == LABELLER:
        return "that is nano itself"
    if adapter is not None:
        return "an adapter is loaded, and what it changes is not known to nano"
    if engine not in ("auto", "torch"):
        return f"its towers run on {engine}, which does not tell what comes before their last layer"
    if device == "cuda" or (device == "auto" and gpu.fault() is None):
        return "it runs on a GPU, where its own labels are as soon"
    if not assembly.is_composed(checkpoint.locate(name)):
        return "it has towers of its own"
    mine, others = _emotion(LABELLER), _emotion(name)
    differing = [key for key in SAME_READING if getattr(mine, key) != getattr(others, key)]
    return f"it reads pictures or voices in another way ({', '.join(differing)})" if differing else None


def _emotion(name: str) -> EmotionConfig:
    config: ModelConfig = assembly.read_config(name)
    return config.emotion
