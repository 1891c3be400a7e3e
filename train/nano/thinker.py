"""Train nano's Thinker with its selectors and cue projectors on stored tower outputs.

    python -m train.nano.thinker --data DATA --work WORK [--minutes 92] [--cycle 0]

One example is one window with its label branches and its chain (`layout.py`). Writes WORK/thinker.pt every two minutes
and resumes from it. With --first-look chains go on from what the instruments found (`Layout.with_first_look`): for the
last cycles. Prints losses, and on people it never saw: label accuracy, chain loss, and how much of what it writes of
cues and prosody is what was measured.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from realtime.engine.loading import LoadedModel
from realtime.model.config import ModelConfig
from realtime.model.experts import EXPERT_LABELS
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.stream import Reasoner
from train.coet.checks import faithful
from train.evaluation.batch import chains
from train.nano import config as nano_config
from train.nano import ferplus
from train.nano.corpus import Example, TextEncoder
from train.nano.layout import Layout, Sequence
from train.nano.material import Material
from train.nano.towers import Budget, geometry_basis

BATCH = 8
BUCKET = 6
"Batches drawn together and cut by length, so that little of a batch is padding."
READOUT_SIZES = {"face": 14, "context": 6, "atmosphere": 2, "voice": 5}
READOUT_WEIGHT = 6.0
LABEL_WEIGHTS = {"both": 1.0, "face": 0.5, "voice": 0.5}


def forward(model: EmoThinker, laid: list[Sequence]) -> Tensor:
    """Hidden states (B, T, D) of padded sequences."""
    longest = max(s.x_TD.shape[0] for s in laid)
    x = torch.stack([F.pad(s.x_TD, (0, 0, 0, longest - s.x_TD.shape[0])) for s in laid])
    positions = torch.stack([F.pad(s.positions_3T, (0, longest - s.x_TD.shape[0])) for s in laid], 1)
    mask = torch.zeros(len(laid), 1, longest, longest, dtype=torch.bool)
    for row, s in enumerate(laid):
        n = s.x_TD.shape[0]
        mask[row, 0, :n, :n] = s.mask_TT
        mask[row, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
    return model.thinker.model(x, positions, mask)  # type: ignore[no-any-return]


class Readouts(nn.Module):
    """Linear readouts of the measurements from the middle of the language model: a training aid, thrown away after.

    While a section is written, what it is about must be there to be read off halfway up. Words alone teach that
    slowly: of a hundred tokens perhaps ten hang on a measurement.
    """

    def __init__(self, model: EmoThinker) -> None:
        super().__init__()
        dim = model.config.text.hidden_size
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, size)) for name, size in READOUT_SIZES.items()}
        )
        layers = model.thinker.model.layers
        layers[len(layers) // 2 - 1].register_forward_hook(self._keep)
        self._middle_BTD: Tensor | None = None

    def _keep(self, _layer: nn.Module, _inputs: object, output: Tensor) -> None:
        self._middle_BTD = output

    def loss(self, layout: Layout, batch: list[Example], laid: list[Sequence]) -> Tensor:
        """Mean squared error over the sections of the pass that just ran."""
        assert self._middle_BTD is not None
        errors = []
        for row, (example, s) in enumerate(zip(batch, laid, strict=True)):
            for name, values in layout.measured(example).items():
                first, last = s.spans[name]
                read = self.heads[name](self._middle_BTD[row, s.chain_from + first : s.chain_from + last])
                errors.append(((read - values) ** 2).mean())
        return torch.stack(errors).mean() if errors else torch.zeros(())


def sequences(
    model: EmoThinker, layout: Layout, material: Material, batch: list[Example], rngs: list[np.random.Generator]
) -> list[Sequence]:
    """Windows laid out with their chains, which go on from a first look where the model is served with one."""
    looks = model.config.emotion.first_look
    return [
        layout.with_first_look(material, example, rng)
        if looks
        else layout.with_chain(layout.asked(material, example, rng), example, {})
        for example, rng in zip(batch, rngs, strict=True)
    ]


def losses(model: EmoThinker, layout: Layout, laid: list[Sequence]) -> dict[str, Tensor]:
    hidden = forward(model, laid)
    label_rows, label_targets, weights, chain_rows, chain_targets, chain_weights = [], [], [], [], [], []
    for row, s in enumerate(laid):
        for name, at in s.label_at.items():
            label_rows.append(hidden[row, at])
            label_targets.append(s.targets[name])
            weights.append(LABEL_WEIGHTS[name])
        n = len(s.chain_ids)
        chain_rows.append(hidden[row, s.chain_from - 1 : s.chain_from + n - 1])
        chain_targets += s.chain_ids
        chain_weights += s.chain_weights
    head = model.thinker.lm_head
    label_logp = torch.log_softmax(head(torch.stack(label_rows)), -1)[:, layout.label_ids]
    label = -(torch.stack(label_targets) * label_logp).sum(1)
    chain = F.cross_entropy(head(torch.cat(chain_rows)), torch.tensor(chain_targets), reduction="none")
    weight = torch.tensor(chain_weights)
    return {"label": (label * torch.tensor(weights)).sum() / len(laid), "chain": (chain * weight).sum() / weight.sum()}


def batches(material: Material, layout: Layout, bucket: int) -> Iterator[tuple[list[Example], list[int]]]:
    """Batches of examples of about the same length, each with its seeds; the same bucket gives the same batches."""
    rng = np.random.default_rng(bucket)
    drawn = [(material.draw(rng), int(rng.integers(2**31))) for _ in range(BUCKET * BATCH)]
    drawn.sort(key=lambda item: layout.length(material, item[0]))
    for index in rng.permutation(BUCKET):
        part = drawn[index * BATCH : (index + 1) * BATCH]
        yield [example for example, _ in part], [seed for _, seed in part]


@torch.no_grad()
def validate(model: EmoThinker, layout: Layout, material: Material, n: int = 240) -> str:
    """Fast label against the majority of its target, by branch, on people unseen in training; chain loss."""
    model.eval()
    hits: dict[str, list[bool]] = {"both": [], "face": [], "voice": [], "conflict": []}
    chain = []
    for start in range(0, n, 16):
        rng = np.random.default_rng(start)
        batch = [material.draw(rng) for _ in range(16)]
        laid = sequences(model, layout, material, batch, [rng] * len(batch))
        hidden = forward(model, laid)
        chain.append(float(losses(model, layout, laid)["chain"]))
        for row, (example, s) in enumerate(zip(batch, laid, strict=True)):
            targets = layout.targets(example)
            if example.seen.verdict is None:
                continue
            for name, at in s.label_at.items():
                guess = model.thinker.lm_head(hidden[row, at])[layout.label_ids].argmax()
                hit = bool(guess == targets[name].argmax())
                kind = name
                if name == "both" and not (example.n_faces and example.voice_row >= 0):
                    kind = "face" if example.n_faces else "voice"
                elif name == "both" and targets["face"].argmax() != targets["voice"].argmax():
                    hits["conflict"].append(hit)
                hits[kind].append(hit)
    told_true = written(model, layout, material, n // 10)
    model.train()
    told = ", ".join(f"{name} {np.mean(values):.3f} ({len(values)})" for name, values in hits.items() if values)
    return f"valid: {told}, chain loss {np.mean(chain):.3f}; {told_true}"


def written(model: EmoThinker, layout: Layout, material: Material, n: int) -> str:
    """What it writes of windows it never saw: statements that agree with the measurements, and the answers."""
    served = copy.deepcopy(model)  # serving lays the weights out anew
    reasoner = Reasoner(served, Vocabulary(layout.encoder.tokenizer))
    loaded = LoadedModel("nano", "torch", EXPERT_LABELS, reasoner, served, towers=None)  # type: ignore[arg-type]
    rng = np.random.default_rng(77)
    examples = [material.draw(rng) for _ in range(n)]
    _, sections = chains(loaded, [layout.window(material, example, rng) for example in examples], prompt.Question())
    counts = {"face": [0, 0], "voice": [0, 0]}
    right = []
    for example, section in zip(examples, sections, strict=True):
        seen = example.seen
        face = faithful({"face": section["face"]}, seen.people[0].intensities if seen.people else {}, {})
        voice = faithful({"voice": section["voice"]}, {}, seen.voice.relative if seen.voice else {})
        for name, told in (("face", face), ("voice", voice)):
            counts[name][0] += told.n_true
            counts[name][1] += told.n_statements
        if seen.verdict is not None:
            right.append(section["answer"].startswith(EXPERT_LABELS[int(seen.verdict.argmax())]))
    told = ", ".join(f"{name} {true}/{total}" for name, (true, total) in counts.items())
    return f"true statements {told}; answers right {np.mean(right):.3f} ({len(right)})"


def build(data: Path, work: Path, tokenizer: Tokenizer) -> EmoThinker:
    """nano with trained towers, experts and mesh components, and a fresh language model."""
    with np.load(work / "voice_verdicts.npz") as file:
        n_statistics = file["live"].shape[2]
    config = ModelConfig.parse(nano_config.config(tokenizer.get_vocab_size()), nano_config.emotion(n_statistics))
    torch.manual_seed(0)
    model = EmoThinker(config)
    depth = config.text.num_hidden_layers
    for name, parameter in model.thinker.model.named_parameters():
        if parameter.dim() > 1:
            scale = 0.03 / math.sqrt(2 * depth) if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.03
            nn.init.normal_(parameter, 0.0, scale)
    nn.init.normal_(model.thinker.lm_head.weight, 0.0, 0.02)
    model.thinker.visual.load_state_dict(torch.load(work / "vision.pt", weights_only=True)["tower"])
    model.thinker.audio_tower.load_state_dict(torch.load(work / "audio.pt", weights_only=True)["tower"])
    load_experts(model, work)
    emotion = model.emotion
    faces = ferplus.load(data)
    with np.load(work / "crops.npz") as file:
        geometry, found = file["geometry"], file["found"]
    rows = faces.part("expert")
    mean, basis = geometry_basis(geometry[rows[found[rows]]])
    emotion.geometry_mean.copy_(torch.from_numpy(mean))
    emotion.geometry_basis.copy_(torch.from_numpy(basis))
    for name, parameter in emotion.named_parameters():
        if name.endswith("gate"):
            parameter.data.fill_(1.0)  # there is no stock model to leave as it is: all is learnt together
    return model


def load_experts(model: EmoThinker, work: Path) -> None:
    assert model.emotion.face_expert is not None
    assert model.emotion.voice_expert is not None
    model.emotion.face_expert.load_state_dict(torch.load(work / "face_expert.pt", weights_only=True)["model"])
    model.emotion.voice_expert.load_state_dict(torch.load(work / "voice_expert.pt", weights_only=True))


def trainable(model: EmoThinker) -> list[tuple[str, nn.Parameter]]:
    frozen = ("thinker.visual", "thinker.audio_tower", "emotion.face_expert", "emotion.voice_expert")
    return [(name, p) for name, p in model.named_parameters() if not name.startswith(frozen)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=92.0, help="of this cycle of the learning rate")
    parser.add_argument("--cycle", type=int, default=0, help="1, 2, …: another cycle from where the last one ended")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--first-look", action="store_true", help="chains are told labels as they go")
    parser.add_argument("--windows", type=int, default=5000)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    model = build(args.data, args.work, tokenizer)
    model.config = replace(model.config, emotion=replace(model.config.emotion, first_look=args.first_look))
    train = Material(args.data, args.work, "thinker", n_entries=args.windows, towers=model)
    valid = Material(args.data, args.work, "valid", n_entries=args.windows // 10, towers=model)
    layout = Layout(model, TextEncoder(tokenizer))
    named = trainable(model)
    optimizer = torch.optim.AdamW([p for _, p in named], lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    path, n_steps, spent = args.work / "thinker.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        n_steps = state["n_steps"]
        spent = state["spent_s"] if state["cycle"] == args.cycle else 0.0
    readouts = Readouts(model)
    readout_optimizer = torch.optim.AdamW(readouts.parameters(), lr=3e-3)
    if path.exists():
        readouts.load_state_dict(state["readouts"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in dict(named))
    budget = Budget(optimizer, minutes=args.minutes, spent_s=spent, peak=args.lr)

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"readouts": readouts.state_dict(), "n_steps": n_steps}
        state |= {"cycle": args.cycle, "spent_s": budget.spent_s}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    model.train()
    smooth: dict[str, float] = {}
    saved_at = validated_at = time.monotonic()
    while budget.spent_s < budget.total_s:
        for batch, seeds in batches(train, layout, n_steps // BUCKET):
            if not budget.step():
                break
            laid = sequences(model, layout, train, batch, [np.random.default_rng(seed) for seed in seeds])
            parts = losses(model, layout, laid)
            parts["readout"] = readouts.loss(layout, batch, laid)
            optimizer.zero_grad(set_to_none=True)
            readout_optimizer.zero_grad(set_to_none=True)
            (parts["label"] + 2.0 * parts["chain"] + READOUT_WEIGHT * parts["readout"]).backward()
            nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
            optimizer.step()
            readout_optimizer.step()
            n_steps += 1
            for name, value in parts.items():
                smooth[name] = 0.97 * smooth.get(name, value.item()) + 0.03 * value.item()
        told = ", ".join(f"{name} {value:.3f}" for name, value in smooth.items())
        print(f"step {n_steps}, {budget.spent_s:.0f} s: {told}", flush=True)
        if time.monotonic() - validated_at > 600:
            print(validate(model, layout, valid), flush=True)
            validated_at = time.monotonic()
        if time.monotonic() - saved_at > 120:
            save()
            saved_at = time.monotonic()
    save()
    print(f"{n_steps} steps of {BATCH}. {validate(model, layout, valid, 960)}", flush=True)


if __name__ == "__main__":
    main()
