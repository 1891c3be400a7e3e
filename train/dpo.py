"""Stage 3, by choice: prefer chains that hold to what was measured, by direct preference optimisation.

    realtime train dpo RECORDS … --model nano|HF_ID|FOLDER --out OUT [--beta 0.1] [--chain-share 0.2]

Each annotated chain is compared with one that names a cue which is not there, that reads one modality as the other, or
whose argument leaves its own sections (`tuning/rejected.py`). What was tuned before is merged first (`realtime train
merge`), since the model as it begins is what the preference is measured against. OUT gets a peft adapter, as from
`realtime train lora`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from realtime.model import assembly
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from train import lora
from train.command import run_command
from train.evaluation.variants import named
from train.tuning.initial_model import as_loaded
from train.tuning.preference import PreferenceTrainee, PreferredWindows
from train.tuning.run import common_arguments, leave_group, train


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common_arguments(__doc__ or "", lr=1e-5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--beta", type=float, default=0.1, help="how far a preference may lead from the beginning")
    parser.add_argument(
        "--chain-share", type=float, default=0.2, help="weight of stage 2's loss on the annotated chain"
    )
    # The preference is about the usual chain; what is asked beside it carries no pair.
    parser.set_defaults(questions=0.0)
    args = parser.parse_args(words)
    # Written so that no NaN passes.
    if not (args.beta > 0 and args.chain_share >= 0):
        parser.error("--beta has to be above 0, and --chain-share 0 or more")
    # What the towers say is not what is preferred.
    lora.of_language_alone(args)
    return args


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    folder = assembly.locate(args.model)
    for out in (args.out, args.cache):
        refuse_input(out, folder, *args.records)
    model, emotion = lora.start(args, folder)
    loaded = as_loaded(model, folder)
    trainee = PreferenceTrainee(
        lora.with_lora(args, model, None),
        Vocabulary.read(folder),
        beta=args.beta,
        chain_share=args.chain_share,
        label_share=args.label_share,
        cues_off=args.cues_off,
        variant=named(args.variant),
    )
    trainer = train(args, trainee, loaded, stage="dpo", windows_of=PreferredWindows)
    lora.finish(args, trainer, trainee, emotion, folder)
    leave_group()


if __name__ == "__main__":
    run_command(main, "train.dpo")
