"""What a decode step and a window cost in each format of the weights, and what the format changes, as one JSON line.

    python -m realtime.bench.steps --model small [--text README.md --change 0.02] [--steps 20]

Costs are milliseconds of CPU time on one thread, so that other programs on the machine change them little; the formats
take turns. `rows_ms` is a pass over several tokens with 8-bit weights. The sample's first chain is decoded with these,
as it is and with guessed tokens where the model has a table of them (`reason/phrases.py`). With `--text` each format
also reads the beginning of a file, and its next tokens are compared with those of the full weights. `--change` first
adds a random change of rank 16 to each weight, as LoRA would: a backbone that was published in few bits lies on their
grid before. Of a model whose labels nano can give (`engine/pair.py`), a window's costs are told for both ways.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from realtime.bench.paired import collect_windows
from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel, load
from realtime.engine.pair import nano_labels, paired
from realtime.errors import RealtimeError
from realtime.model import assembly
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.products import Narrow
from realtime.reason.phrases import Phrases
from realtime.reason.reasoner import Reasoner
from realtime.records import Question, ReasonDone, Window
from realtime.roles import Model
from realtime.sample import SAMPLE
from realtime.settings import Settings

KINDS: tuple[Narrow | None, ...] = (None, "int8", "int4")
N_BEFORE = 600
"Slots that a step attends to: eight frames and some speech of `small`."
N_PASS = 512
ROWS = (1, 2, 4, 6, 8)
"Tokens of one pass: a pending one and those that are guessed (`reason/phrases.py`)."
RANK = 16


def cpu_ms(run: Callable[[], Any]) -> float:
    """CPU time of one call."""
    began_s = time.process_time()
    run()
    return (time.process_time() - began_s) * 1000


def nothing() -> None:
    """Stand for work that nobody put off."""


def new_cache(model: LoadedModel, n_slots: int) -> KVCache:
    return KVCache(model.weights.config.text, n_slots, dtype=model.weights.dtype, device=model.weights.device)


@torch.inference_mode()
def step_costs(model: LoadedModel, forms: dict[str, FusedLanguageModel], n_steps: int) -> dict[str, Any]:
    """Median cost of a step's layers and head, by format."""
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in forms}
    cache = new_cache(model, N_BEFORE + 1)
    first = next(iter(forms.values()))
    some = [token % model.weights.config.text.vocab_size for token in range(N_BEFORE)]
    first.extend(first.embed(some), *first.text_rotary(0, N_BEFORE), cache)
    for _ in range(n_steps + 1):
        for name, form in forms.items():
            cache.n_used = N_BEFORE
            hidden: list[torch.Tensor] = []
            x, rotary = form.embed([1]), form.text_rotary(N_BEFORE, 1)
            spent[name][0].append(cpu_ms(lambda f=form, x=x, r=rotary, h=hidden: h.append(f.extend(x, *r, cache))))  # type: ignore[misc]
            spent[name][1].append(cpu_ms(lambda f=form, h=hidden: f.best(h[0])))  # type: ignore[misc]
    # The first round allocates.
    return {
        name: {"layers_ms": round(statistics.median(a[1:]), 1), "head_ms": round(statistics.median(b[1:]), 1)}
        for name, (a, b) in spent.items()
    }


@torch.inference_mode()
def row_costs(model: LoadedModel, form: FusedLanguageModel, n_passes: int) -> dict[str, float]:
    """Median cost of a pass over one and over several tokens, layers and head, by their number."""
    cache, spent = new_cache(model, N_BEFORE + ROWS[-1]), {n: list[float]() for n in ROWS}
    some = [token % model.weights.config.text.vocab_size for token in range(N_BEFORE)]
    form.extend(form.embed(some), *form.text_rotary(0, N_BEFORE), cache)

    def read(n: int) -> torch.Tensor:
        cos, sin = form.text_rotary(N_BEFORE, n)
        return form.best(form.extend(form.embed(some[:n]), cos, sin, cache, narrow=True))

    for _ in range(n_passes + 1):
        for n in ROWS:
            cache.n_used = N_BEFORE
            spent[n].append(cpu_ms(partial(read, n)))
    return {str(n): round(statistics.median(each[1:]), 1) for n, each in spent.items()}


def chain_costs(model: LoadedModel, form: FusedLanguageModel, folder: Path) -> dict[str, Any]:
    """The chain of the sample's first sentence: its tokens, the passes they took, and the cost of a token.

    Without guessed tokens and with them, where the checkpoint has a table; both decode with the weights of `form`.
    """
    vocabulary, question = model.thinker.vocabulary, Question(labels=model.labels)
    (spoken,) = collect_windows([str(SAMPLE)], Settings(), 1)
    perceiver = model.perceiver(0)
    try:
        frames = tuple(perceiver.see(frame) for frame in spoken.frames)
        heard = (perceiver.hear(spoken.segment),)
    finally:
        perceiver.close()
    window = Window(0, frames[0].at_s, spoken.segment.end_s, frames, heard)
    table = Phrases.read(folder, n_tokens=model.weights.config.text.vocab_size)
    found: dict[str, Any] = {}
    for name, phrases in {"plain": None, **({"guessed": table} if table else {})}.items():
        thinker = Reasoner(model.weights, vocabulary, language=form, phrases=phrases)
        spent, done = list[float](), list[ReasonDone]()

        def write(thinker: Reasoner = thinker, done: list[ReasonDone] = done) -> None:
            done.extend(step for step in thinker.reason(window, question) if isinstance(step, ReasonDone))

        for _ in range(2):
            # Its KV cache is made before, so that the chain alone is timed.
            thinker.fast_label(window, question)
            before = thinker.n_passes
            spent.append(cpu_ms(write))
        n_tokens = done[0].timings_ms["chain_tokens"]
        found[name] = {
            "tokens": int(n_tokens), "passes": thinker.n_passes - before,
            "ms_per_token": round(min(spent) / n_tokens, 1),
        }  # fmt: skip
    return found


@torch.inference_mode()
def window_costs(model: Model) -> dict[str, float]:
    """Cost of the sample's first sentence: a frame (median), the speech, and the label.

    `…_later_ms` is what was put off, so that no label waits for it, of a frame that is read; 0 where one
    model does all.
    """
    question = Question(labels=model.labels)
    (spoken,) = collect_windows([str(SAMPLE)], Settings(), 1)
    perceiver = model.perceiver(0)
    try:
        frames, heard = list[Any](), list[Any]()
        see, later = list[float](), list[float]()
        for frame in spoken.frames:
            see.append(cpu_ms(lambda frame=frame: frames.append(perceiver.see(frame))))  # type: ignore[misc]
            if (work := perceiver.put_off()) is not None:
                later.append(cpu_ms(work))
        hear = cpu_ms(lambda: heard.append(perceiver.hear(spoken.segment)))
        hear_later = cpu_ms(perceiver.put_off() or nothing)
        window = Window(0, frames[0].at_s, spoken.segment.end_s, tuple(frames), tuple(heard))
        label = min(cpu_ms(lambda: model.thinker.fast_label(window, question)) for _ in range(2))
    finally:
        perceiver.close()
    figures = {"frame_ms": statistics.median(see), "speech_ms": hear, "label_ms": label}
    figures |= {"frame_later_ms": statistics.median(later or [0.0]), "speech_later_ms": hear_later}
    return {name: round(value, 1) for name, value in figures.items()}


@torch.inference_mode()
def next_tokens(model: LoadedModel, form: FusedLanguageModel, ids: list[int], *, narrow: bool) -> torch.Tensor:
    """(N, V) log-probabilities of the tokens after each, in passes of `N_PASS`."""
    parts = [ids[at : at + N_PASS] for at in range(0, len(ids), N_PASS)]
    read = []
    for part in parts:
        rotary = form.text_rotary(0, len(part))
        hidden = form.extend(form.embed(part), *rotary, new_cache(model, len(part)), narrow=narrow)
        read.append(form.logits(hidden).float().log_softmax(-1)[:-1])
    return torch.cat(read)


def divergences(model: LoadedModel, forms: dict[str, FusedLanguageModel], text: str, n_passes: int) -> dict[str, Any]:
    """How each format's next tokens differ from the full weights': the same likeliest one, KL divergence, loss."""
    ids = model.thinker.vocabulary.ids(text)[: n_passes * N_PASS]
    after = [token for at in range(0, len(ids), N_PASS) for token in ids[at + 1 : at + N_PASS]]
    full_NV = next_tokens(model, forms["full"], ids, narrow=False)
    figures: dict[str, Any] = {}
    for name, form in forms.items():
        these_NV = full_NV if name == "full" else next_tokens(model, form, ids, narrow=True)
        figures[name] = {
            "same_best": round(float((these_NV.argmax(-1) == full_NV.argmax(-1)).float().mean()), 4),
            "kl": round(float((full_NV.exp() * (full_NV - these_NV)).sum(-1).mean()), 5),
            "loss": round(-float(these_NV.gather(1, torch.tensor(after)[:, None]).mean()), 4),
        }
    return figures


@torch.no_grad()
def change(model: LoadedModel, size: float) -> None:
    """Add a random change of rank `RANK` to each weight of the language model, `size` times its norm."""
    torch.manual_seed(0)
    for name, weight in model.weights.thinker.model.named_parameters():
        if weight.dim() == 2 and "embed" not in name:
            change_ND = torch.randn(weight.shape[0], RANK) @ torch.randn(RANK, weight.shape[1])
            weight.add_((change_ND * (size * weight.float().norm() / change_ND.norm())).to(weight.dtype))


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", help="the model (default: small)")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps of each format (default: 20)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="text whose next tokens are compared")
    parser.add_argument("--passes", type=int, default=3, metavar="N", help=f"of {N_PASS} tokens of it (default: 3)")
    parser.add_argument("--change", type=float, default=0.0, metavar="SHARE", help="of each weight's norm (default: 0)")
    args = parser.parse_args()
    try:
        text = None if args.text is None else args.text.read_text(encoding="utf-8")
        model = load(args.model, engine="torch", threads=1, narrow=None)
    except RealtimeError as error:
        sys.exit(f"steps: {error.message}\n       {error.hint}")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"steps: {args.text} cannot be read: {error}.\n       Name a text file in UTF-8.")
    if args.change:
        change(model, args.change)
    language, head = model.weights.thinker.model, model.weights.thinker.lm_head
    forms = {str(kind or "full"): FusedLanguageModel(language, head, narrow=kind) for kind in KINDS}
    figures: dict[str, Any] = {"model": args.model, "dtype": str(model.weights.dtype), "change": args.change}
    figures |= {"step": step_costs(model, forms, args.steps), "window": window_costs(model)}
    figures["rows_ms"] = row_costs(model, forms["int8"], args.steps)
    figures["chain"] = chain_costs(model, forms["int8"], assembly.locate(args.model))
    if nano_labels("auto", args.model, adapter=None, engine="torch", device="cpu"):
        figures["window_nano_labels"] = window_costs(paired(load("nano", engine="torch"), model))
    if text is not None:
        figures["text"] = divergences(model, forms, text, args.passes)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
