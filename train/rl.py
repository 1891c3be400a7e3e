"""Stage 3, by choice: reward the chains that a model draws itself, by group relative policy optimisation (GRPO).

    realtime train rl RECORDS … --model nano|HF_ID|FOLDER --out OUT [--rewards answer faithful] [--group 8]

For each window the model draws a group of chains. Each is rewarded for its answer, against the observers' votes, and
for what it says of cues and prosody, against what was measured. Chains that do better than their group become likelier
(`tuning/rewards.py`, `tuning/group_policy.py`). What was tuned before is merged first (`realtime train merge`), since
the model as it begins is what the policy is held to. OUT gets a peft adapter, as from `realtime train lora`.
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
from train.tuning.drawn import ChainSampler
from train.tuning.initial_model import as_loaded
from train.tuning.reinforced import Policy, ReinforcedTrainee, RewardedWindows
from train.tuning.rewards import REWARDS, USUAL
from train.tuning.run import common_arguments, leave_group, train


def reward(word: str) -> tuple[str, float]:
    """The name of a reward and its weight, from `NAME` or `NAME=WEIGHT`. Raises ArgumentTypeError for another word."""
    name, _, weight = word.partition("=")
    if name not in REWARDS:
        raise argparse.ArgumentTypeError(f"there is no reward {name!r}; there are {', '.join(REWARDS)}")
    try:
        weighed = float(weight or 1.0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{weight!r} is no weight") from None
    if not 0 < weighed < float("inf"):
        raise argparse.ArgumentTypeError("a weight has to be above 0")
    return name, weighed


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common_arguments(__doc__ or "", lr=1e-5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--rewards", type=reward, nargs="+", default=[(name, 1.0) for name in USUAL], metavar="NAME[=WEIGHT]",
        help=f"of {', '.join(REWARDS)} (default: {' '.join(USUAL)})",
    )  # fmt: skip
    parser.add_argument("--group", type=int, default=8, help="chains that are drawn for each window")
    parser.add_argument("--beta", type=float, default=0.04, help="weight of the divergence from the beginning")
    parser.add_argument("--clip", type=float, default=0.2, help="how far a probability may leave that of drawing")
    parser.add_argument(
        "--chain-share", type=float, default=0.0, help="weight of stage 2's loss on the annotated chain"
    )
    # The reward is for the usual chain; what is asked beside it has none.
    parser.set_defaults(questions=0.0)
    args = parser.parse_args(words)
    if args.group < 2:
        parser.error("--group has to be 2 or more: a chain is compared with others")
    # Written so that no NaN passes.
    if not (args.beta >= 0 and args.chain_share >= 0 and 0 < args.clip < 1):
        parser.error("--beta and --chain-share have to be 0 or more, and --clip between 0 and 1")
    args.rewards = dict(args.rewards)
    # What the towers say is not what is rewarded.
    lora.of_language_alone(args)
    return args


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    folder = assembly.locate(args.model)
    for out in (args.out, args.cache):
        refuse_input(out, folder, *args.records)
    model, emotion = lora.start(args, folder)
    loaded = as_loaded(model, folder)
    net, vocabulary = lora.with_lora(args, model, None), Vocabulary.read(folder)
    trainee = ReinforcedTrainee(
        net,
        vocabulary,
        ChainSampler(net, model, vocabulary, loaded.thinker.language),
        Policy(args.group, args.rewards, args.beta, args.clip, args.chain_share),
        label_share=args.label_share,
        cues_off=args.cues_off,
        variant=named(args.variant),
    )
    trainer = train(args, trainee, loaded, stage="rl", windows_of=RewardedWindows)
    lora.finish(args, trainer, trainee, emotion, folder)
    leave_group()


if __name__ == "__main__":
    run_command(main, "train.rl")
