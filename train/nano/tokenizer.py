"""Train nano's tokenizer on its own chains.

    realtime train nano.tokenizer --data DATA --work WORK

The stage writes WORK/tokenizer.json. It prints the number of tokens, and how many a chain takes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.reason import prompt
from train.coet.measured import as_text
from train.coet.wordings import ASKED, worded
from train.command import run_command
from train.nano import config as nano_config
from train.nano.drawn_windows import WindowSampler

QUESTIONS_EACH = 4
"Wordings of each pattern of a question, among thousands of chains."


def train_tokenizer(texts: Iterator[str], size: int) -> Tokenizer:
    """Train byte-level BPE: common words of the chains become one token each, and any question can still be written."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in prompt.SPECIAL_TOKENS]
    tags = [AddedToken(text, normalized=False) for text in (*prompt.TAGS, prompt.LABEL_TAG)]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special + tags,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_readable_tags(tokenizer)


def with_readable_tags(tokenizer: Tokenizer) -> Tokenizer:
    """Make the tags ordinary tokens. The trainer makes them special, and decoding leaves special tokens out."""
    stored = json.loads(tokenizer.to_str())
    for token in stored["added_tokens"]:
        token["special"] = token["content"] in prompt.SPECIAL_TOKENS
    return Tokenizer.from_str(json.dumps(stored))


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    sampler, rng = WindowSampler(args.data, args.work, "thinker"), np.random.default_rng(0)

    def texts() -> Iterator[str]:
        for pattern in (pattern for patterns in ASKED.values() for pattern in patterns):
            for _ in range(QUESTIONS_EACH):
                yield prompt.prefix_text("nano", prompt.Question(query=worded(pattern, rng)))
        for _ in range(6000):
            drawn = sampler.draw(rng)
            state = prompt.branch_text(
                n_faces=drawn.n_faces, has_picture=drawn.has_picture, has_speech=drawn.voice_row >= 0, opening=""
            )
            yield prompt.prefix_text("nano", prompt.Question()) + state + as_text(drawn.sections)
            yield from (f"{prompt.LABEL_TAG}{label}" for label in (*EXPERT_LABELS, prompt.UNSURE))

    tokenizer = train_tokenizer(texts(), nano_config.VOCABULARY)
    tokenizer.save(str(args.work / "tokenizer.json"))
    lengths = [len(tokenizer.encode(as_text(sampler.draw(rng).sections)).ids) for _ in range(200)]
    single = [len(tokenizer.encode(label).ids) for label in EXPERT_LABELS]
    print(f"{tokenizer.get_vocab_size()} tokens; a chain takes {np.mean(lengths):.0f}; labels {single} tokens each")


if __name__ == "__main__":
    run_command(main, "train.nano.tokenizer")
