"""What teaches the emotion tokens: few shall be kept, they shall differ, and they shall tell the emotion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.methods.emotion_tokens import KEPT_FROM, EmotionTokens, MadeTokens
from realtime.model.thinker import Emotion
from realtime.records import LABELS

FEW, DIFFERENT, RELATED = 0.01, 0.01, 0.2
"Weights of the three losses; the chain's is 1."


class TaughtTokens:
    """Collects the emotion tokens that are made in a step, and what they lose."""

    def __init__(self, emotion: Emotion) -> None:
        self._makers: dict[str, EmotionTokens] = {}
        self._made: list[tuple[str, MadeTokens]] = []
        self._losses: list[Tensor] = []
        self._open: list[Tensor] = []
        for name, maker in (("face", emotion.face_tokens), ("voice", emotion.voice_tokens)):
            if maker is not None:
                self._makers[name] = maker
                maker.register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, maker: nn.Module, given: object, made: MadeTokens) -> None:
        self._made.append((name, made))

    def of_window(self, labels: Mapping[str, str]) -> None:
        """Take what was made since the last call as one window's, whose label branches learn these words."""
        for name, made in self._made:
            maker = self._makers[name]
            if maker.out.weight.requires_grad:
                word = labels.get(name) or labels.get("both", "")
                self._losses.append(token_loss(made, maker, word))
            if maker.gate is not None:
                self._open.append((made.open_M.detach() >= KEPT_FROM).float())
        self._made.clear()

    def outputs(self) -> dict[str, Tensor]:
        """Of the windows since the last call: `emotion_tokens`, the mean loss, and `kept`, the share of open gates."""
        told = {}
        if self._losses:
            told["emotion_tokens"] = torch.stack(self._losses).mean()
        if self._open:
            told["kept"] = torch.stack(self._open).mean()
        self._losses.clear()
        self._open.clear()
        return told


def token_loss(made: MadeTokens, maker: EmotionTokens, word: str) -> Tensor:
    """The weighted losses of one frame or utterance. A word that is none of `LABELS` teaches nothing."""
    unit_MI = F.normalize(made.tokens_MI.float(), dim=-1)
    alike = (unit_MI @ unit_MI.T - torch.eye(len(unit_MI), device=unit_MI.device)).square().sum()
    loss = DIFFERENT * alike
    if maker.gate is not None:
        loss = loss + FEW * made.open_M.mean()
    if word in LABELS:
        told_7 = maker.labels(made.sum_I / made.kept_M.sum())
        loss = loss + RELATED * F.cross_entropy(told_7, torch.tensor(LABELS.index(word), device=told_7.device))
    return loss
