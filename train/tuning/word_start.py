"""Fits the cue projectors of a new backbone to words that it knows, before any training.

A language model that has never seen measurements needs many steps to learn what a cue token means. So each projector is
first fitted to word embeddings of the backbone itself. A verdict becomes the mean embedding of the emotions' words,
weighted by its probabilities. A face's cues and a voice's prosody become the mean embedding of their words, weighted by
their strength. There are no such words for pose and shape: their projectors keep random weights, scaled to the length
of a word's embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from realtime.model.selectors import CueProjector
from realtime.model.thinker import FACE_REGIONS, Emotion
from realtime.reason.measurements import CUE_WORDS, VOICE_WORDS
from train.coet.measured import EXPRESSION

DRAWN = 4096
"Number of drawn measures that a projector is fitted to."
RIDGE = 1e-4
Words = Callable[[str], Tensor]
"A text → (D,) the mean embedding of its tokens."


def begin_with_words(additions: Emotion, words: Words, spread: float, *, seed: int = 0) -> dict[str, float]:
    """Fit the cue projectors in place, and open their gates.

    `spread` is the standard deviation of the backbone's embeddings. Returns for each fitted projector the share of its
    target that it misses (squared error over the target's variance, on other inputs than it was fitted on).
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack([words(f" {EXPRESSION[label][0]}") for label in EXPERT_LABELS])
    fits: list[tuple[str, Callable[[int], Tensor], Callable[[Tensor], Tensor], Tensor]] = [
        (name, lambda n: _verdicts(n, generator), torch.exp, labels) for name in ("face_verdict", "voice_verdict")
    ]
    for name, part in FACE_REGIONS.items():
        if cues := CUES[part]:
            known = torch.stack([words(f" {CUE_WORDS[cue][0]}") for cue in cues])
            fits.append((f"face_regions.{name}", _shares(len(cues), generator), lambda x: x, known))
    pairs = [VOICE_WORDS[name][0] if name in VOICE_WORDS else None for name in VOICE_VALUES]
    low, high = (_pair_words(pairs, side, words) for side in (0, 1))
    fits.append(
        (
            "voice_measures",
            lambda n: torch.cat([torch.randn(n, len(pairs), generator=generator) * 1.2, torch.ones(n, 1)], 1),
            lambda x: torch.cat([F.relu(-x[:, :-1]), F.relu(x[:, :-1])], 1) / 2,
            torch.cat([low, high]),
        )
    )
    missed = {}
    for name, draw, weigh, known in fits:
        projector = additions.get_submodule(name)
        assert isinstance(projector, CueProjector)
        missed[name] = _fit(projector, draw, lambda x, weigh=weigh, known=known: weigh(x) @ known)  # type: ignore[misc]
    for name, module in additions.named_modules():
        if isinstance(module, CueProjector):
            if name not in missed:
                _lengthen(module, spread, generator)
            nn.init.ones_(module.gate)
    return missed


def _verdicts(n: int, generator: torch.Generator) -> Tensor:
    """(n, 7) log-probabilities, from sure to even."""
    sharpness = torch.rand(n, 1, generator=generator) * 6
    return torch.log_softmax(torch.randn(n, len(EXPERT_LABELS), generator=generator) * sharpness, -1)


def _shares(n_features: int, generator: torch.Generator) -> Callable[[int], Tensor]:
    return lambda n: torch.rand(n, n_features, generator=generator) ** 2


def _pair_words(pairs: Sequence[tuple[str, str] | None], side: int, words: Words) -> Tensor:
    """(F, D) the words for a measure below its usual (side 0) or above it (1); 0 where it has none."""
    zero = torch.zeros_like(words(" a"))
    return torch.stack([zero if pair is None else words(f" {pair[side]}") for pair in pairs])


def _fit(projector: CueProjector, draw: Callable[[int], Tensor], target: Callable[[Tensor], Tensor]) -> float:
    """Solve the last layer by least squares over what the first one makes of drawn measures, which stays random."""
    *first, last = projector.layers
    assert isinstance(last, nn.Linear)
    hidden = nn.Sequential(*first)

    def read(n: int) -> tuple[Tensor, Tensor]:
        x_NF = draw(n)
        return hidden(torch.vmap(projector.hats)(x_NF)), target(x_NF)

    with torch.no_grad():
        made_NH, wanted_ND = read(DRAWN)
        ones = F.pad(made_NH, (0, 1), value=1.0).double()
        nearly_zero = RIDGE * torch.eye(ones.shape[1], dtype=torch.float64)
        solved = torch.linalg.solve(ones.T @ ones + nearly_zero, ones.T @ wanted_ND.double()).float()
        last.weight.copy_(solved[:-1].T)
        last.bias.copy_(solved[-1])
        made_NH, wanted_ND = read(DRAWN)
        return float(F.mse_loss(last(made_NH), wanted_ND) / wanted_ND.var(0).mean())


def _lengthen(projector: CueProjector, spread: float, generator: torch.Generator) -> None:
    """Scale the last layer so that a token's entries spread as those of words do."""
    low, high = projector.bounds or (-2.0, 2.0)
    first, last = projector.layers[0], projector.layers[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    n_features = first.in_features // (1 if projector.bounds is None else projector.N_HATS)
    with torch.no_grad():
        x = torch.rand(DRAWN, n_features, generator=generator) * (high - low) + low
        factor = spread / float(_told(projector, x).std())
        last.weight.mul_(factor)
        last.bias.mul_(factor)


def _told(projector: CueProjector, x_BF: Tensor) -> Tensor:
    """(B, D) tokens with an open gate."""
    return projector.layers(torch.vmap(projector.hats)(x_BF))  # type: ignore[no-any-return]
