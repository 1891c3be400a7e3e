"""Train nano's Thinker with its selectors and cue projectors on stored tower outputs.

    realtime train nano.thinker --data DATA --work WORK [--minutes 92] [--cycle 0] [--begin-from realtime/nano]

One example is one window with its label branches and its chain (`train/layout.py`). The stage writes WORK/thinker.pt
every two minutes and resumes from it. --chain-form is the form that the model is served in (`train/nano/config.py`).
With --begin-from the first cycle goes on from a packaged nano, whose towers and experts may be others;
WORK/tokenizer.json must then be the package's. The stage prints losses, and on people it never saw: label accuracy,
chain loss, and how much of what it writes of cues and prosody is what was measured.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel
from realtime.evidence.voice import VOICE_FEATURES
from realtime.model import checkpoint
from realtime.model.config import ChainForm, ModelConfig
from realtime.model.experts import EXPERT_LABELS
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from realtime.reason import prompt
from realtime.reason.measurements import VOICE_WORDS
from realtime.reason.reasoner import Reasoner
from train.coet.checks import faithful
from train.coet.questions import ask
from train.coet.wordings import KINDS
from train.command import run_command
from train.evaluation.batch import chains
from train.evaluation.questions import right
from train.layout import JUDGED, LABEL_WEIGHTS, TrainingSequence, hidden_states, token_losses
from train.nano import config as nano_config
from train.nano import ferplus
from train.nano.budget import Budget
from train.nano.drawn_windows import DrawnWindow
from train.nano.face_pictures import read_expert
from train.nano.sequences import NanoLayout, label_shares, timed
from train.nano.thinker_inputs import ThinkerInputs
from train.nano.vision_tower import geometry_basis

BATCH = 8
BUCKET = 6
"Number of batches that are drawn together and sorted by length, so that a batch has little padding."
READOUT_SIZES = {"face": 14, "context": 6, "atmosphere": 2, "voice": 5}
READOUT_WEIGHT = 6.0
CONFLICT_JUDGED = "conflict, judged"


class Readouts(nn.Module):
    """Linear readouts of the measurements from the middle layer of the language model: an auxiliary loss.

    While a section is written, the middle layer must hold the measurements that the section is about. The words alone
    teach that slowly: perhaps ten of a hundred tokens depend on a measurement. The readouts are not part of the result.
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

    def loss(self, batch: list[DrawnWindow], laid: list[TrainingSequence]) -> Tensor:
        """Mean squared error over the sections of the forward pass that ran last."""
        assert self._middle_BTD is not None
        errors = []
        for row, (drawn, s) in enumerate(zip(batch, laid, strict=True)):
            for name, values in readout_targets(drawn).items():
                first, end = s.sections[name]
                read = self.heads[name](self._middle_BTD[row, first : end - 1])  # before the closing tag
                errors.append(((read - values) ** 2).mean())
        return torch.stack(errors).mean() if errors else torch.zeros(())


def readout_targets(drawn: DrawnWindow) -> dict[str, Tensor]:
    """Section → the measurements it is written from, about −1 … 1. Windows with several faces have none of the face."""
    seen = drawn.seen
    out: dict[str, list[float]] = {}
    if len(seen.people) == 1:
        person = seen.people[0]
        out["face"] = list(person.intensities.values())
        out["context"] = [*(angle / 45 for angle in person.pose_deg), *person.centre, person.height]
    if seen.has_picture:
        out["atmosphere"] = [seen.brightness, seen.saturation]
    if seen.voice is not None:
        out["voice"] = [max(-3.0, min(3.0, seen.voice.relative[key])) / 3 for key in VOICE_WORDS]
    return {name: torch.tensor(values) for name, values in out.items()}


def losses(
    model: EmoThinker, layout: NanoLayout, hidden_BTD: Tensor, laid: list[TrainingSequence]
) -> dict[str, Tensor]:
    """`label`: cross entropy of the label branches with their shares. `chain`: weighted mean over chain tokens."""
    rows, shares, weights = [], [], []
    for index, s in enumerate(laid):
        for name, at in s.label_rows.items():
            rows.append(hidden_BTD[index, at])
            shares.append(s.label_shares[name])
            weights.append(LABEL_WEIGHTS[name])
    label_logp = torch.log_softmax(model.thinker.lm_head(torch.stack(rows)), -1)[:, layout.label_ids]
    label = -(torch.stack(shares) * label_logp).sum(1)
    chain = token_losses(model, hidden_BTD, laid)
    return {
        "label": (label * torch.tensor(weights)).sum() / len(laid),
        "chain": (chain.nll_N * chain.weights_N).sum() / chain.weights_N.sum(),
    }


def batches(inputs: ThinkerInputs, layout: NanoLayout, bucket: int) -> Iterator[tuple[list[DrawnWindow], list[int]]]:
    """Draw batches of windows of similar length, each window with a seed. A bucket always gives the same batches."""
    rng = np.random.default_rng(bucket)
    seeded = [(inputs.draw(rng), int(rng.integers(2**31))) for _ in range(BUCKET * BATCH)]
    seeded.sort(key=lambda item: layout.length(inputs, item[0]))
    for index in rng.permutation(BUCKET):
        part = seeded[index * BATCH : (index + 1) * BATCH]
        yield [drawn for drawn, _ in part], [seed for _, seed in part]


@torch.no_grad()
def validate(model: EmoThinker, layout: NanoLayout, inputs: ThinkerInputs, n: int = 240) -> str:
    """Describe accuracy of the fast label by branch, and the chain loss, on people unseen in training."""
    model.eval()
    hits: dict[str, list[bool]] = {name: [] for name in ("both", JUDGED, "face", "voice", "conflict", CONFLICT_JUDGED)}
    chain = []
    for start in range(0, n, 16):
        rng = np.random.default_rng(start)
        batch = [inputs.draw(rng) for _ in range(16)]
        laid = [layout.sequence(inputs, drawn, rng) for drawn in batch]
        hidden = hidden_states(model, laid)
        chain.append(float(losses(model, layout, hidden, laid)["chain"]))
        for row, (drawn, s) in enumerate(zip(batch, laid, strict=True)):
            targets = label_shares(drawn)
            if drawn.seen.shares is None:
                continue
            paired = bool(drawn.n_faces) and drawn.voice_row >= 0
            conflicting = paired and bool(targets["face"].argmax() != targets["voice"].argmax())
            for name, at in s.label_rows.items():
                guess = model.thinker.lm_head(hidden[row, at])[layout.label_ids].argmax()
                whole = name in ("both", JUDGED)
                hit = bool(guess == targets["both" if whole else name].argmax())
                kind = name if paired or not whole else "face" if drawn.n_faces else "voice"
                if conflicting and whole:
                    hits["conflict" if name == "both" else CONFLICT_JUDGED].append(hit)
                if paired or name != JUDGED:
                    hits[kind].append(hit)
    told_true = written(model, layout, inputs, n // 10)
    model.train()
    told = ", ".join(f"{name} {np.mean(values):.3f} ({len(values)})" for name, values in hits.items() if values)
    return f"valid: {told}, chain loss {np.mean(chain):.3f}; {told_true}"


def written(model: EmoThinker, layout: NanoLayout, inputs: ThinkerInputs, n: int) -> str:
    """Describe what the chains of `n` unseen windows say: how many statements are true, how many answers right."""
    served = copy.deepcopy(model)  # serving rearranges the weights
    reasoner = Reasoner(served, layout.vocabulary)
    loaded = LoadedModel("nano", "torch", EXPERT_LABELS, reasoner, served, towers=None)  # type: ignore[arg-type]
    rng = np.random.default_rng(77)
    windows = [inputs.draw(rng) for _ in range(n)]
    answers = chains(loaded, [layout.served_window(inputs, drawn, rng) for drawn in windows], prompt.Question())
    sections = [each.sections for each in answers]
    counts = {"face": [0, 0], "voice": [0, 0]}
    agreed = []
    for drawn, section in zip(windows, sections, strict=True):
        seen = drawn.seen
        face = faithful({"face": section["face"]}, seen.people[0].intensities if seen.people else {}, {})
        voice = faithful({"voice": section["voice"]}, {}, seen.voice.relative if seen.voice else {})
        for name, found in (("face", face), ("voice", voice)):
            counts[name][0] += found.n_true
            counts[name][1] += found.n_statements
        if seen.shares is not None:
            agreed.append(section["answer"].startswith(EXPERT_LABELS[int(seen.shares.argmax())]))
    told = ", ".join(f"{name} {true}/{total}" for name, (true, total) in counts.items())
    questions = answered_questions(loaded, layout, inputs, max(4, n // 8))
    return f"true statements {told}; answers right {np.mean(agreed):.3f} ({len(agreed)}); questions right {questions}"


def answered_questions(loaded: LoadedModel, layout: NanoLayout, inputs: ThinkerInputs, n: int) -> str:
    """Describe how many questions of each kind are answered right in `n` unseen windows, in wordings not trained on."""
    rng, found = np.random.default_rng(78), []
    for kind in KINDS:
        windows = [inputs.draw(rng) for _ in range(n)]
        asked = ask(kind, windows[0].seen, rng, held_out=True)
        question = prompt.Question(query=asked.text)
        served = [layout.served_window(inputs, drawn, rng, question) for drawn in windows]
        hits = [
            right(asked, timed(drawn, window), answer.sections["answer"])
            for drawn, window, answer in zip(windows, served, chains(loaded, served, question), strict=True)
        ]
        found.append(f"{kind} {sum(hits)}/{n}")
    return ", ".join(found)


def build(data: Path, work: Path, tokenizer: Tokenizer) -> EmoThinker:
    """Make nano with trained towers, experts and mesh components, and an untrained language model."""
    emotion_config = nano_config.emotion(len(VOICE_FEATURES))
    config = ModelConfig.parse(nano_config.config(tokenizer.get_vocab_size()), emotion_config)
    torch.manual_seed(0)
    model = EmoThinker(config)
    depth = config.text.num_hidden_layers
    for name, parameter in model.thinker.model.named_parameters():
        if parameter.dim() > 1:
            scale = 0.03 / math.sqrt(2 * depth) if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.03
            nn.init.normal_(parameter, 0.0, scale)
    nn.init.normal_(model.thinker.lm_head.weight, 0.0, 0.02)
    model.thinker.visual.load_state_dict(torch.load(work / "vision.pt", weights_only=True)["tower"])
    model.thinker.audio_tower.load_state_dict(torch.load(work / "audio_tower.pt", weights_only=True)["tower"])
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
            parameter.data.fill_(1.0)  # no stock model has to stay as it is: everything is learnt together
    return model


def load_experts(model: EmoThinker, work: Path) -> None:
    assert model.emotion.face_expert is not None
    assert model.emotion.voice_expert is not None
    model.emotion.face_expert.load_state_dict(read_expert(work).state_dict())
    model.emotion.voice_expert.load_state_dict(torch.load(work / "voice_expert.pt", weights_only=True))


def begin_from(model: EmoThinker, folder: Path) -> list[str]:
    """Copy what is trained here from a packaged nano. Returns the names of the tensors that begin afresh.

    A tensor that reads more than the stored one keeps its columns and has zeros for what is new, so that the model
    begins as the stored one and learns what the new evidence adds.
    """
    stored: dict[str, Tensor] = {}
    for path in checkpoint.shard_files(folder):
        stored |= {f"{checkpoint.published_name(key)}": tensor for key, tensor in checkpoint.read_tensors(path).items()}
    extra = checkpoint.read_tensors(folder / checkpoint.EMOTION_WEIGHTS)
    stored |= {f"emotion.{key}": tensor for key, tensor in extra.items()}
    fresh = []
    with torch.no_grad():
        for name, parameter in trainable(model):
            value = stored.get(name)
            if value is not None and value.shape == parameter.shape:
                parameter.copy_(value)
            elif value is not None and value.shape[:-1] == parameter.shape[:-1] and parameter.numel() > value.numel():
                parameter.zero_()
                parameter[..., : value.shape[-1]] = value
            else:
                fresh.append(name)
    return fresh


def trainable(model: EmoThinker) -> list[tuple[str, nn.Parameter]]:
    frozen = ("thinker.visual", "thinker.audio_tower", "emotion.face_expert", "emotion.voice_expert")
    return [(name, p) for name, p in model.named_parameters() if not name.startswith(frozen)]


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=92.0, help="of this cycle of the learning rate")
    parser.add_argument("--cycle", type=int, default=0, help="1, 2, …: another cycle from where the last one ended")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--chain-form", choices=get_args(ChainForm), default="evidence_first", help="%(default)s")
    parser.add_argument("--begin-from", type=Path, help="a packaged nano whose Thinker the first cycle goes on from")
    parser.add_argument("--windows", type=int, default=5000)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    model = build(args.data, args.work, tokenizer)
    if args.begin_from is not None:
        print(f"begins afresh: {begin_from(model, args.begin_from) or 'nothing'}", flush=True)
    model.config = replace(model.config, emotion=replace(model.config.emotion, chain_form=args.chain_form))
    train = ThinkerInputs(args.data, args.work, "thinker", n_entries=args.windows, towers=model)
    valid = ThinkerInputs(args.data, args.work, "valid", n_entries=args.windows // 10, towers=model)
    layout = NanoLayout(model, Vocabulary(tokenizer))
    named = trainable(model)
    optimizer = torch.optim.AdamW([p for _, p in named], lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    path, n_steps, spent = args.work / "thinker.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        load_experts(model, args.work)  # one of them may have been trained on since
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
        state: dict[str, Any] = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
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
            laid = [
                layout.sequence(train, drawn, np.random.default_rng(seed))
                for drawn, seed in zip(batch, seeds, strict=True)
            ]
            parts = losses(model, layout, hidden_states(model, laid), laid)
            parts["readout"] = readouts.loss(batch, laid)
            optimizer.zero_grad(set_to_none=True)
            readout_optimizer.zero_grad(set_to_none=True)
            (parts["label"] + 2.0 * parts["chain"] + READOUT_WEIGHT * parts["readout"]).backward()  # type: ignore[no-untyped-call]
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
    run_command(main, "train.nano.thinker")
