"""Chains written for a test: one alone, several in lockstep, and one computed in a single plain pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.model.config import ChainForm
from realtime.model.language import chunk_mask
from realtime.reason.bounds import Bounds
from realtime.reason.branches import state_text
from realtime.reason.parts import ChainPart, ChainParts, LabelledWindow
from realtime.reason.prompt import END_OF_TURN, SECTIONS, TAGS
from realtime.reason.reasoner import Reasoner
from realtime.reason.sequence import assemble, text_positions
from realtime.records import Label, Question, ReasonDelta, ReasonDone, Window
from tests.reason.windows import ASK


@contextmanager
def in_form(model: LoadedModel, form: ChainForm) -> Iterator[LoadedModel]:
    """The model, decoded in another form than its own: the words may be poor, what they read is not."""
    config = model.weights.config
    model.weights.config = replace(config, emotion=replace(config.emotion, chain_form=form))
    try:
        yield replace(model, thinker=Reasoner(model.weights, model.thinker.vocabulary))
    finally:
        model.weights.config = config


@contextmanager
def unbound(patched: pytest.MonkeyPatch) -> Iterator[None]:
    """Chains name what the measurements contradict, too. They are no surer than their evidence, still."""

    def bounds(chain: ChainParts, labelled: LabelledWindow, part: ChainPart) -> Bounds:
        return replace(bind(chain, labelled, part), grounded=None)

    bind = ChainParts.bounds
    with patched.context() as context:
        context.setattr(ChainParts, "bounds", bounds)
        yield


def run(model: LoadedModel, window: Window, ask: Question = ASK) -> tuple[Label, list[ReasonDelta], Label, ReasonDone]:
    fast = model.thinker.fast_label(window, ask)
    steps = list(model.thinker.reason(window, ask))
    deltas = [step for step in steps if isinstance(step, ReasonDelta)]
    chain, done = steps[-2:]
    assert isinstance(chain, Label)
    assert isinstance(done, ReasonDone)
    return fast, deltas, chain, done


def guessed(model: LoadedModel, window: Window, done: ReasonDone) -> tuple[list[int], list[int]]:
    """The tokens that the chain wrote, and the best next tokens of one pass of the plain modules over everything.

    Any tag ends a section, and the decoder then writes the section's own (`SectionText`), so any tag is that one here.
    """
    weights, vocabulary = model.weights, model.thinker.vocabulary
    emotion = weights.config.emotion
    evidence = assemble(weights, vocabulary, window, ASK)
    head = vocabulary.ids(state_text(window))
    given = model.thinker.label_window(window, ASK).openings
    chain: list[int] = []
    opens: list[bool] = []
    for name in SECTIONS:
        said = vocabulary.ids(f"{done.sections[name]}</{name}>")
        chain += [*given[name], *said]
        opens += [True] * len(given[name]) + [False] * len(said)
    ids = torch.tensor(head + chain)
    x = torch.cat([evidence.prefix_x_ND, *(chunk.x_ND for chunk in evidence.chunks), weights.embed(ids)])
    positions = [text_positions(evidence.n_prefix, 0), *(chunk.positions_3N for chunk in evidence.chunks)]
    positions.append(text_positions(len(ids), evidence.next_position))
    sizes = [chunk.n_tokens for chunk in evidence.chunks] if emotion.ring else []
    n_prefix = x.shape[0] - sum(sizes) - len(ids)
    mask = chunk_mask(sizes, n_prefix=n_prefix, n_branch=len(ids))
    hidden = weights.thinker.model(x[None], torch.cat(positions, 1)[:, None], mask)[0]
    best = weights.thinker.lm_head(hidden[-len(chain) - 1 : -1]).argmax(-1).tolist()
    tags = {vocabulary.id_of(tag) for tag in (*TAGS, END_OF_TURN)}
    best = [said if {said, guess} <= tags else guess for said, guess in zip(chain, best, strict=True)]
    written = [(said, guess) for said, guess, forced in zip(chain, best, opens, strict=True) if not forced]
    return [said for said, _ in written], [guess for _, guess in written]


def sections(thinker: Reasoner, window: Window) -> str:
    done = list(thinker.reason(window, ASK))[-1]
    assert isinstance(done, ReasonDone)
    return str(dict(done.sections))


def in_lockstep(thinker: Reasoner, windows: Sequence[Window]) -> list[str]:
    """The sections of all chains, a step of each in turn."""
    chains = dict(enumerate(thinker.reason(window, ASK) for window in windows))
    written: dict[int, str] = {}
    while chains:
        for index, steps in list(chains.items()):
            step = next(steps)
            if isinstance(step, ReasonDone):
                written[index] = str(dict(step.sections))
                del chains[index]
    return [written[index] for index in range(len(windows))]
