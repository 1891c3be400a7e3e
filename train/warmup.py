"""Stage 1: warms up the selectors, the audio extractor and the cue projectors. Backbone and experts are frozen.

    realtime train warmup RECORDS … --model nano|HF_ID|FOLDER --out OUT
    torchrun --nproc-per-node 8 -m train.warmup …
    realtime train tuning.on_ray --workers 8 --gpu train.warmup …

OUT gets emothinker.json and emothinker.safetensors. `train.lora --from-warmup OUT` continues from it, and
`realtime serve --model M --adapter OUT` serves it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from realtime.model import assembly
from realtime.model.config import EmoChatPart, Method, Selection
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from train.command import run_command
from train.evaluation.variants import named
from train.tuning.initial_model import (
    as_loaded,
    let_it_read,
    refuse_trained_general,
    save_additions,
    save_projectors,
    unfreeze_projectors,
    with_additions,
)
from train.tuning.model import Trainee
from train.tuning.run import common_arguments, leave_group, precision, train


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common_arguments(__doc__ or "", lr=1e-4)
    parser.add_argument("--selector-dim", type=int, default=512, help="width of new selectors' attention")
    parser.add_argument("--no-cues", action="store_true", help="no cue tokens beside the model's own tokens")
    parser.add_argument(
        "--projectors", action="store_true", help="train the towers' last layers too, for a model of train.compose"
    )
    parser.add_argument(
        "--ring",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="train for the ring (default: as the model is)",
    )
    parser.add_argument("--method", choices=get_args(Method), help="which parts are made (default: as the model is)")
    parser.add_argument(
        "--without", choices=get_args(EmoChatPart), nargs="+", default=[], help="parts that a new emochat does not get"
    )
    parser.add_argument(
        "--selection", choices=get_args(Selection), help="how much background is dropped (default: as the model is)"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    folder = assembly.locate(args.model)
    for out in (args.out, args.cache):
        refuse_input(out, folder, *args.records)
    model, emotion = with_additions(
        folder,
        selector_dim=args.selector_dim,
        cues=not args.no_cues,
        ring=args.ring,
        selection=args.selection,
        method=args.method,
        without=args.without,
        words=args.words,
        dtype=precision(args),
    )
    let_it_read(model, emotion, words=args.words, measured=args.measured)
    if args.projectors:
        refuse_trained_general(model)
    for name, parameter in model.emotion.named_parameters():
        parameter.requires_grad_(not name.startswith(assembly.EXPERTS))
    if args.projectors:
        unfreeze_projectors(model)
    trainee = Trainee(
        model,
        Vocabulary.read(folder),
        label_share=args.label_share,
        cues_off=args.cues_off,
        variant=named(args.variant),
    )
    trainer = train(args, trainee, as_loaded(model, folder), stage="warm-up")
    if trainer.args.should_save:
        save_additions(model, emotion, args.out)
        if args.projectors:
            save_projectors(model, args.out)
        gates = {n: round(p.item(), 4) for n, p in model.emotion.named_parameters() if n.endswith("gate")}
        print(f"{args.out}: gates {gates}", flush=True)
    leave_group()


if __name__ == "__main__":
    run_command(main, "train.warmup")
