"""Corrects the label scores of a stock model by what it would say to the prompt alone.

A language model prefers some words to others whatever it reads, so without a correction the most frequent label wins.
The log-scores that the same prompt gets with content-free evidence are therefore subtracted: contextual calibration
(Zhao et al., Calibrate Before Use: Improving Few-Shot Performance of Language Models, ICML 2021), whose diagonal matrix
is a difference of log-scores. As there, the content-free scores are the mean probabilities over a few texts, which
stand where the tokens of a picture or a sound would stand. `train.evaluation.stock` measures what the correction does.

A checkpoint that was trained on labels has a fitted bias instead (`calibrate.py`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from realtime.reason.branches import state_text
from realtime.reason.calibrate import softmax
from realtime.records import FrameEvidence, Question, Scene, SpeechEvidence, TokenCounts, VoiceCues, Window

CONTENT_FREE = ("N/A", "[MASK]", "")
"The paper's content-free texts."
KEPT = 64
"Prompts whose content-free scores are kept. One session needs a few: with and without a face, with and without speech."

Scores = Mapping[str, Mapping[str, float]]
"By label branch, the log-probability of each label."


class PriorCorrection:
    """Subtracts content-free scores. Only the model's thread may call it."""

    def __init__(
        self,
        embed: Callable[[str], npt.NDArray[np.float32]],
        score: Callable[[Window, Window, Question], Scores],
    ) -> None:
        """`embed` gives a text's embeddings (N, D). `score` scores the evidence of its first window in the prompt of
        the second, whose state names what is in view and heard."""
        self._embed = embed
        self._score = score
        self._known: OrderedDict[tuple[Question, str], Scores] = OrderedDict()

    def corrected(self, scores: Scores, window: Window, question: Question) -> dict[str, dict[str, float]]:
        """The log-scores of each branch less those of its prompt with content-free evidence."""
        key = question, state_text(window)
        if key not in self._known:
            self._known[key] = mean_log_probabilities(
                [self._score(self._content_free(window, text), window, question) for text in CONTENT_FREE]
            )
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return {
            name: {label: score - self._known[key][name][label] for label, score in of_labels.items()}
            for name, of_labels in scores.items()
        }

    def _content_free(self, window: Window, text: str) -> Window:
        """A window with a picture and a sound, where the other has any, whose tokens are the text."""
        tokens_ND = self._embed(text)
        steps = np.arange(len(tokens_ND), dtype=np.int64)
        beside = np.stack([np.zeros_like(steps), np.zeros_like(steps), steps])
        counts, cues = TokenCounts(0, 0, 0), VoiceCues({}, {}, np.zeros(0, np.float32))
        frame = FrameEvidence(window.start_s, (), (), Scene(0.5, 0.5), counts, tokens_ND, beside)
        heard = SpeechEvidence(window.start_s, window.end_s, cues, tokens_ND, np.tile(steps, (3, 1)))
        frames, speech = (frame,) if window.frames else (), (heard,) if window.speech else ()
        return Window(window.index, window.start_s, window.end_s, frames, speech)


def mean_log_probabilities(each: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """By branch, the log of the mean over several prompts of each label's probability among the labels."""
    mean: dict[str, dict[str, float]] = {}
    for name, labels in each[0].items():
        shares = np.mean([softmax(list(scores[name].values())) for scores in each], axis=0)
        # A label that gets no probability at all must not become certain by the correction.
        mean[name] = {label: math.log(max(share, 1e-12)) for label, share in zip(labels, shares.tolist(), strict=True)}
    return mean
