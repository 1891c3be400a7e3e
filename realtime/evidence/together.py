"""Frames of several sessions, encoded by the towers in one call (`roles.SeesTogether`): for a GPU.

On a CPU a batch takes as long as its frames do one after the other, so there it is not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from realtime.evidence.perceive import MeasuredFrame, Perception
from realtime.records import FrameEvidence, VideoFrame
from realtime.roles import Perceiver
from realtime.towers.batch import SelectedTokens, filled, selected, vision_inputs
from realtime.towers.choice import Towers

Look = tuple[Perceiver, VideoFrame, object]
"A session's perceiver, its frame, and what `measure` returned of it."


class FramesTogether:
    """Sees with the perceivers of one model. Calls block."""

    def __init__(self, towers: Towers, *, n_frames: int, n_threads: int) -> None:
        """`towers` are those of the perceivers. At most `n_frames` frames share a call."""
        self._towers = towers
        self.n_frames = n_frames
        self.n_threads = n_threads

    def measure(self, perceiver: Perceiver, frame: VideoFrame) -> object:
        """`Perception.measure`: in a thread of the caller's choice."""
        return _perception(perceiver).measure(frame)

    def see(self, looks: Sequence[Look]) -> list[FrameEvidence | Exception]:
        """The evidence of each frame, or what was raised for it. A fault of one keeps nothing from the others."""
        kept: list[SelectedTokens | None] = [None] * len(looks)
        for rows in self._groups(looks):
            # Where the call fails, each frame is encoded alone below, and those fail that cannot be.
            try:
                tokens = self._encoded([looks[row] for row in rows])
            except torch.OutOfMemoryError:
                continue
            for row, one in zip(rows, tokens, strict=True):
                kept[row] = one
        return [self._finished(look, tokens) for look, tokens in zip(looks, kept, strict=True)]

    def _groups(self, looks: Sequence[Look]) -> list[list[int]]:
        """Places of frames that can share a call: several, with the same question."""
        by_text: dict[bytes, list[int]] = defaultdict(list)
        for row, (perceiver, _, measured) in enumerate(looks):
            perception = _perception(perceiver)
            # A frame that is read for two models is encoded with what the towers left of it for the second.
            if isinstance(measured, MeasuredFrame) and not perception.reads_twice:
                by_text[perception.text_QD.float().cpu().numpy().tobytes()].append(row)
        return [rows for rows in by_text.values() if len(rows) > 1]

    @torch.inference_mode()
    def _encoded(self, looks: Sequence[Look]) -> list[SelectedTokens]:
        frames = [measured.input for _, _, measured in looks if isinstance(measured, MeasuredFrame)]
        inputs = vision_inputs(frames, _perception(looks[0][0]).text_QD)
        given = {name: filled(value, len(frames)) for name, value in inputs.items()}
        return selected([output[: len(frames)] for output in self._towers.vision(given)])

    @staticmethod
    def _finished(look: Look, kept: SelectedTokens | None) -> FrameEvidence | Exception:
        perceiver, frame, measured = look
        assert measured is None or isinstance(measured, MeasuredFrame)
        try:
            return _perception(perceiver).finish(frame, measured, kept)
        # Whatever is raised belongs to this frame's caller.
        except Exception as error:
            return error


def _perception(perceiver: Perceiver) -> Perception:
    assert isinstance(perceiver, Perception), "perceivers of another model are seen with alone"
    return perceiver
