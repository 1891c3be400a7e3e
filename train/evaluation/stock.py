"""What a model that was never trained on our chain makes of our prompt: tried on a text model, with evidence in words.

    realtime train evaluation.stock --words DATA/words [--backbone smollm2-135m-instruct] [--each 20] [--chains 2]

A stock Qwen2.5-Omni is served with the prompt `stock` and with labels that are corrected for what the prompt alone says
(`realtime/reason/prior.py`). This runs the same prompt, label branches, correction and chain on an instruct model that
reads text alone. What a person says stands as words where a sound's tokens would stand. The lines are GoEmotions' with
Ekman's labels (`goemotions_ekman_test.tsv`): the same number of each label, of lines that have one.

Prints, without the correction and with it, the accuracy, how often the most frequent label is given, and the accuracy
where the answer is not unsure; then a few chains, and one JSON line. It says how the prompt works on that model, and
nothing of how well a Qwen2.5-Omni reads faces or voices.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.model.backbone import TextBackbone
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.prompt import UNSURE
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Question, ReasonDone, SpeechEvidence, VoiceCues, Window
from train.command import run_command
from train.compose import shapes_on, with_markers

FILE = "goemotions_ekman_test.tsv"
OURS = {
    "anger": "angry", "disgust": "disgust", "fear": "fear", "joy": "happy", "neutral": "neutral", "sadness": "sad",
    "surprise": "surprise",
}  # fmt: skip
SPOKEN_S = 3.0


@dataclass(frozen=True)
class Tried:
    """One line, and what the model made of it."""

    meant: str
    raw: str
    "The most probable label without the correction."
    corrected: str
    answer: str
    "The label that would be published: `corrected`, or unsure."


def text_model(backbone: TextBackbone) -> tuple[EmoThinker, Vocabulary]:
    """A stock checkpoint on a text model. Its towers are empty, and nothing is read through them."""
    model = EmoThinker(ModelConfig.parse(shapes_on(backbone.config))).eval().requires_grad_(False)
    model.load_state_dict({key: tensor.float() for key, tensor in backbone.tensors()}, strict=False)
    if backbone.config.tie_word_embeddings:
        model.thinker.lm_head.weight = model.thinker.model.embed_tokens.weight
    return model, Vocabulary(Tokenizer.from_str(with_markers(backbone)))


def lines(folder: Path, each: int, seed: int) -> list[tuple[str, str]]:
    """`each` lines of every label, of those that have one: (text, our label). Raises BadSettings without the file."""
    try:
        names = (folder / "labels.txt").read_text(encoding="utf-8").split()
        rows = [row.split("\t") for row in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        hint = "Name the folder with GoEmotions' lines (train/DATA.md)."
        raise BadSettings(f"{folder} has no {Path(error.filename).name}.", hint) from None
    of: dict[str, list[str]] = {label: [] for label in LABELS}
    for text, labels, _ in rows:
        if "," not in labels:
            of[OURS[names[int(labels)]]].append(text)
    rng = random.Random(seed)
    return [(text, label) for label, texts in of.items() for text in rng.sample(texts, min(each, len(texts)))]


def window_of(model: EmoThinker, vocabulary: Vocabulary, text: str) -> Window:
    """A window in which a voice is heard, whose tokens are these words."""
    ids = vocabulary.ids(f'The person says: "{text.strip()}"')
    tokens_ND = model.embed(torch.tensor(ids)).numpy()
    positions_3N = np.tile(np.arange(len(ids), dtype=np.int64), (3, 1))
    cues = VoiceCues({}, {}, np.zeros(0, np.float32))
    return Window(0, 0.0, SPOKEN_S, (), (SpeechEvidence(0.0, SPOKEN_S, cues, tokens_ND, positions_3N),))


def tried(reasoner: Reasoner, model: EmoThinker, given: Sequence[tuple[str, str]]) -> Iterator[Tried]:
    for text, meant in given:
        labelled = reasoner.label_window(window_of(model, reasoner.vocabulary, text), Question())
        scores, told = labelled.scored.scores["both"], labelled.label
        best = max(told.probabilities, key=lambda label: told.probabilities[label])
        yield Tried(meant, max(scores, key=lambda label: scores[label]), best, told.label)


def summary(found: Sequence[Tried]) -> dict[str, object]:
    """Accuracy and the most frequent label's share, without and with the correction; and where the answer is sure."""
    figures: dict[str, object] = {"n": len(found)}
    for name in ("raw", "corrected"):
        given = [str(getattr(one, name)) for one in found]
        label, n = Counter(given).most_common(1)[0]
        right = sum(one.meant == label for one, label in zip(found, given, strict=True))
        figures[name] = {"accuracy": right / len(found), "most": label, "most_share": n / len(found)}
    sure = [one for one in found if one.answer != UNSURE]
    right = sum(one.answer == one.meant for one in sure)
    figures["sure"] = {"share": len(sure) / len(found), "accuracy": right / len(sure) if sure else None}
    return figures


def chains(reasoner: Reasoner, model: EmoThinker, given: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The text of each line's chain, section by section."""
    for text, meant in given:
        window = window_of(model, reasoner.vocabulary, text)
        done = next(step for step in reasoner.reason(window, Question()) if isinstance(step, ReasonDone))
        told = "\n".join(f"  {name}: {said}" for name, said in done.sections.items())
        yield f"“{text.strip()}” ({meant}) → {done.answer.label}, {done.answer.confidence:.2f}\n{told}"


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, required=True, metavar="FOLDER", help=f"the folder with {FILE}")
    parser.add_argument("--backbone", default="smollm2-135m-instruct", help="a text model that was taught to converse")
    parser.add_argument("--each", type=int, default=20, help="lines of each label")
    parser.add_argument("--chains", type=int, default=2, help="chains to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    given = lines(args.words, args.each, args.seed)
    model, vocabulary = text_model(TextBackbone.open(args.backbone))
    reasoner = Reasoner(model, vocabulary)
    figures = summary(list(tried(reasoner, model, given)))
    for text in chains(reasoner, model, random.Random(args.seed).sample(given, args.chains)):
        print(text, flush=True)
    print(json.dumps({"backbone": args.backbone, **figures}), flush=True)


if __name__ == "__main__":
    run_command(main, "train.evaluation.stock")
