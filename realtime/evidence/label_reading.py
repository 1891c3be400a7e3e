"""What the model that gives the labels reads of a session, where another model writes the chains (`engine/pair.py`).

Faces, measures and experts are those of the session's one perception, and its towers run once for both models. Only
the last layers of the towers, the selectors and the cue projectors are each model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from realtime.evidence.asked import AskedQuestion
from realtime.evidence.tokens import FaceFeatures, with_frame_cues, with_voice_cues
from realtime.model.methods.selection import BackgroundShare
from realtime.model.thinker import EmoThinker
from realtime.records import FrameEvidence, Question, SpeechEvidence
from realtime.roles import EvidenceRing
from realtime.towers import preprocess
from realtime.towers.batch import SelectedTokens, selected, text_inputs
from realtime.towers.choice import Towers


class LabelReading:
    """Makes the tokens of one session's evidence for the labels, and prefills them in a ring of its own."""

    def __init__(
        self,
        model: EmoThinker,
        towers: Towers,
        *,
        query: Callable[[Question], Tensor],
        question: Question,
        open_ring: Callable[[Question], EvidenceRing | None],
    ) -> None:
        """`towers` share their trunk with the perception's (`towers/shared.py`). The rest is as in `Perception`."""
        self._model, self._towers = model, towers
        self._asked = AskedQuestion(query, question, open_ring)
        self._share = self._new_share()

    def set_question(self, question: Question) -> None:
        """Read what comes from now on with another question."""
        self._asked.set(question)
        self._share = self._new_share()

    def close(self) -> None:
        """Forget everything about the people of this session."""
        self._asked.close()
        self._share = self._new_share()

    def select(self, inputs: Mapping[str, Tensor], image_3HW: Tensor, focal_N: Tensor) -> SelectedTokens:
        """The tokens of a frame. `inputs` are those with which the perception's towers just ran."""
        drop = torch.tensor([self._share.of(image_3HW, focal_N)], dtype=torch.float32)
        given = {**inputs, **text_inputs(self._asked.text_QD, 1), "drop": drop}
        kept = selected(self._towers.vision(given))[0]
        self._share.saw(kept.spread)
        return kept

    def frame(
        self,
        seen: FrameEvidence,
        kept: SelectedTokens,
        *,
        rows: int,
        columns: int,
        faces: Sequence[FaceFeatures],
        scene_3: Tensor,
    ) -> FrameEvidence:
        """A frame's evidence with the tokens for the labels, in the ring."""
        x, positions = with_frame_cues(
            self._model,
            kept.tokens_ND,
            kept.order_N,
            text_QD=self._asked.text_QD,
            rows=rows,
            columns=columns,
            faces=faces,
            scene_3=scene_3,
        )
        mine = replace(seen, tokens_ND=x.float().numpy(), positions_3N=positions.numpy())
        return mine if self._asked.ring is None else self._asked.ring.add_frame(mine)

    def again(self, frame: FrameEvidence) -> FrameEvidence:
        """The same for a frame that shows what an earlier one showed."""
        return frame if self._asked.ring is None else self._asked.ring.again(frame)

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(C, 50, D) tokens of chunks of sound. `inputs` are those with which the perception's towers just ran."""
        return self._towers.audio({**inputs, **text_inputs(self._asked.text_QD, inputs["mel"].shape[0])})[0]

    def speech(
        self, heard: SpeechEvidence, tokens_ND: Tensor, *, measures_11: Tensor, verdict_7: Tensor
    ) -> SpeechEvidence:
        """An utterance's evidence with the tokens for the labels, in the ring."""
        x, positions = with_voice_cues(
            self._model, tokens_ND, text_QD=self._asked.text_QD, measures_11=measures_11, verdict_7=verdict_7
        )
        mine = replace(heard, tokens_ND=x.float().numpy(), positions_3N=positions.numpy())
        return mine if self._asked.ring is None else self._asked.ring.add_speech(mine)

    def forget(self, heard: SpeechEvidence) -> None:
        """Free the slots of speech that turned out to go on."""
        if self._asked.ring is not None:
            self._asked.ring.forget(heard)

    @property
    def width(self) -> int:
        """Values of a token."""
        return self._model.config.text.hidden_size

    def _new_share(self) -> BackgroundShare:
        return BackgroundShare(self._model.config.emotion, token_px=preprocess.TOKEN_PX)
