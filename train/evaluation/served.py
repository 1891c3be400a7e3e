"""The model under test as it is served: with nano's labels, where those are taken live (`realtime/engine/pair.py`)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal, get_args

from realtime.engine.loading import LoadedModel, load
from realtime.engine.pair import LABELLER, PairedModel, nano_labels, paired

LabelsOf = Literal["auto", "own", "nano"]
Served = LoadedModel | PairedModel


def load_served(name: str, *, adapter: Path | None = None, label: LabelsOf = "auto") -> Served:
    """Load a model on the CPU, with torch's towers. `label` is the setting `model.label`.

    Raises BadModel as `load` does, and BadSettings where nano's labels are asked for and cannot be had.
    """
    if not nano_labels(label, name, adapter=adapter, engine="torch", device="cpu"):
        return load(name, adapter=adapter, engine="torch")
    labeller = load(LABELLER, engine="torch")
    return paired(labeller, load(name, engine="torch", calibration=labeller.weights.config.emotion.calibration))


def writer_of(model: Served) -> LoadedModel:
    """The model that writes the chains."""
    return model.writer if isinstance(model, PairedModel) else model


def add_label_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label",
        choices=get_args(LabelsOf),
        default="auto",
        help="whose labels: its own, or nano's as the setting model.label = auto serves it (default: %(default)s)",
    )
