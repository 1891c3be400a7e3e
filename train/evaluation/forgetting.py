"""Counts what a language model has forgotten by being tuned: general questions in text, before and after.

    realtime train evaluation.forgetting [--model small] [--json FILE]

Before is the backbone that the model was composed on, as published; after is the model. Both are asked the same
questions (`general_questions.py`) in the backbone's own conversation format, without a picture or a sound.

    chosen   the right answer is likelier than three wrong ones, by the mean log-probability of their tokens
    said     greedy decoding names the right answer and no wrong one in its first tokens

Prints both shares by kind, the difference with its 95 % interval (a paired bootstrap over the questions), and one line
of JSON.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import load
from realtime.errors import BadSettings
from realtime.model import assembly, checkpoint
from realtime.model.backbone import TextBackbone
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from realtime.reason.prompt import END_OF_TURN
from train.arrays import Floats
from train.command import run_command, tell_result
from train.evaluation.general_questions import QUESTIONS, GeneralQuestion
from train.evaluation.stock import text_model

SYSTEM = "You are a helpful assistant."
SAID_TOKENS = 16
N_BOOTSTRAP = 2000


@dataclass(frozen=True)
class TextAnswer:
    """How one question was answered."""

    chosen: bool
    said: bool
    text: str


class TextOnly:
    """A language model that is asked in text alone."""

    def __init__(self, language: FusedLanguageModel, vocabulary: Vocabulary, config: Any) -> None:
        self._language, self._vocabulary, self._config = language, vocabulary, config
        self._end = vocabulary.id_of(END_OF_TURN)

    @torch.inference_mode()
    def answer(self, asked: GeneralQuestion) -> TextAnswer:
        cache, logits_V = self._read(asked.text)
        scores = [self._score(cache, logits_V, option) for option in (asked.right, *asked.wrong)]
        text = self._greedy(cache, logits_V)
        return TextAnswer(chosen=max(scores) == scores[0], said=names(text, asked), text=text)

    def _read(self, question: str) -> tuple[KVCache, torch.Tensor]:
        """The KV cache of the conversation up to the answer, and the logits of the answer's first token."""
        turns = f"<|im_start|>system\n{SYSTEM}{END_OF_TURN}\n<|im_start|>user\n{question}{END_OF_TURN}\n"
        ids = self._vocabulary.ids(f"{turns}<|im_start|>assistant\n")
        device, dtype = self._language.embeddings_VD.device, self._language.embeddings_VD.dtype
        cache = KVCache(self._config, len(ids) + SAID_TOKENS + 16, dtype=dtype, device=device)
        return cache, self._step(cache, ids)[-1]

    def _step(self, cache: KVCache, ids: Sequence[int]) -> torch.Tensor:
        """(T, V) logits after each of the tokens, which the KV cache keeps."""
        rotary = self._language.text_rotary(cache.n_used, len(ids))
        hidden = self._language.extend(self._language.embed(ids), *rotary, cache)
        return self._language.logits(hidden).float()

    def _score(self, cache: KVCache, logits_V: torch.Tensor, option: str) -> float:
        """Mean log-probability of the tokens of an answer. The KV cache is left as it was."""
        ids, n_before = self._vocabulary.ids(option), cache.n_used
        rest = [self._step(cache, ids[:-1])] if len(ids) > 1 else []
        cache.n_used = n_before
        log_p = torch.cat([logits_V[None], *rest]).log_softmax(-1)
        return float(log_p[torch.arange(len(ids)), torch.tensor(ids)].mean())

    def _greedy(self, cache: KVCache, logits_V: torch.Tensor) -> str:
        ids = list[int]()
        for _ in range(SAID_TOKENS):
            best = int(logits_V.argmax())
            if best == self._end:
                break
            ids.append(best)
            logits_V = self._step(cache, [best])[-1]
        return self._vocabulary.text(ids).strip()


def names(text: str, asked: GeneralQuestion) -> bool:
    """Whether a text names the right answer, as whole words, and none of the wrong ones."""

    def has(option: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None

    # A wrong answer may be part of the right one, or of the question that is repeated.
    wrong = [option for option in asked.wrong if option.lower() not in f"{asked.right} {asked.text}".lower()]
    return has(asked.right) and not any(has(option) for option in wrong)


def before_and_after(name: str) -> tuple[TextOnly, TextOnly]:
    """The backbone as published, and the model on it. Raises BadSettings for a model without a backbone."""
    folder = checkpoint.locate(name)
    if not assembly.is_composed(folder):
        raise BadSettings(f"{name} was not composed on a text backbone.", "Name small, or a folder of train.compose.")
    backbone = TextBackbone.open(checkpoint.read_json(folder / "config.json")["backbone"]["name"])
    published, words = text_model(backbone)
    tuned = load(name, engine="torch", narrow=None)
    language = FusedLanguageModel(tuned.weights.thinker.model, tuned.weights.thinker.lm_head)
    return (
        TextOnly(FusedLanguageModel(published.thinker.model, published.thinker.lm_head), words, published.config.text),
        TextOnly(language, tuned.thinker.vocabulary, tuned.weights.config.text),
    )


def lost(before: Floats, after: Floats, *, seed: int = 0) -> dict[str, float]:
    """The share of right answers (0 or 1 each) lost, in points, with its 95 % interval over the questions."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(before), size=(N_BOOTSTRAP, len(before)))
    many = 100 * (before[drawn] - after[drawn]).mean(1)
    low, high = np.quantile(many, (0.025, 0.975))
    return {
        "points": round(100 * float((before - after).mean()), 2), "low": round(float(low), 2),
        "high": round(float(high), 2),
    }  # fmt: skip


def compare(before: TextOnly, after: TextOnly, questions: Sequence[GeneralQuestion] = QUESTIONS) -> dict[str, Any]:
    """Both models' shares by kind, what was lost, and some answers that were right before and are not now."""
    answers = [(before.answer(asked), after.answer(asked)) for asked in questions]
    result: dict[str, Any] = {"n": len(questions)}
    for measure in ("chosen", "said"):
        was, now = (np.array([float(getattr(pair[side], measure)) for pair in answers]) for side in (0, 1))
        kinds = {
            kind: [round(float(side[[asked.kind == kind for asked in questions]].mean()), 3) for side in (was, now)]
            for kind in dict.fromkeys(asked.kind for asked in questions)
        }
        whole = [round(float(side.mean()), 3) for side in (was, now)]
        result[measure] = {"before": whole[0], "after": whole[1], "lost": lost(was, now), "kinds": kinds}
    gone = [
        {"asked": asked.text, "before": was.text, "after": now.text}
        for asked, (was, now) in zip(questions, answers, strict=True)
        if was.said and not now.said
    ]
    return result | {"examples": gone[:8]}


def table(result: dict[str, Any]) -> list[str]:
    rows = [f"{'':<14}{'before':>8}{'after':>8}"]
    for measure in ("chosen", "said"):
        found = result[measure]
        rows.append(f"{measure:<14}{found['before']:>8.3f}{found['after']:>8.3f}")
        rows += [f"  {kind:<12}{was:>8.2f}{now:>8.2f}" for kind, (was, now) in found["kinds"].items()]
        points = found["lost"]
        rows.append(f"  lost {points['points']:.1f} points ({points['low']:.1f} to {points['high']:.1f})")
    return rows


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", help="a model on a text backbone (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.model)
    before, after = before_and_after(args.model)
    result = {"model": args.model, **compare(before, after)}
    tell_result(result, args.json, table(result))


if __name__ == "__main__":
    run_command(main, "train.evaluation.forgetting")
