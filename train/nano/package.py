"""Write a trained nano into the package: weights in half precision, tokenizer and configuration.

    realtime train nano.package --data DATA --work WORK [--out realtime/nano]

The calibration is that of WORK/calibration.json, if `train.nano.calibrate` has written one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer

from realtime.commands.program_parser import ProgramParser
from realtime.model import checkpoint
from realtime.outputs import refuse_input
from train.command import run_command
from train.nano import config as nano_config
from train.nano.thinker import build, load_experts


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=checkpoint.NANO)
    args = parser.parse_args()
    refuse_input(args.out, args.work, args.data)
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    model = build(args.data, args.work, tokenizer)
    model.load_state_dict(torch.load(args.work / "thinker.pt", weights_only=True)["model"])
    # An expert that was trained again has the same kind of output, so the newest one is taken.
    load_experts(model, args.work)
    emotion = nano_config.emotion(model.config.emotion.voice_statistics)
    calibration = args.work / "calibration.json"
    if calibration.exists():
        emotion["calibration"] = json.loads(calibration.read_text(encoding="utf-8"))
    checkpoint.save(model.half(), args.out, nano_config.config(tokenizer.get_vocab_size()), emotion)
    shutil.copyfile(args.work / "tokenizer.json", args.out / "tokenizer.json")
    size = sum(path.stat().st_size for path in args.out.iterdir() if path.is_file())
    n = sum(parameter.numel() for parameter in model.parameters())
    print(f"{args.out}: {n / 1e6:.1f} M parameters, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main, "train.nano.package")
