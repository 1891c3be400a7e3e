"""Chains that a model draws are learnt from with the probabilities that they were drawn with."""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from torch.nn.utils.rnn import pad_sequence

from realtime.errors import BadSettings
from realtime.model import checkpoint
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.sequence import WindowTokens, stored_tokens
from realtime.records import LABELS, Window
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY, measured
from train import lora, rl
from train.layout import append, hidden_states, lay_out, token_losses
from train.tuning.drawn import ChainSampler, DrawnChain, DrawnRow, numbered
from train.tuning.initial_model import as_loaded
from train.tuning.reinforced import Policy, ReinforcedTrainee

WINDOW = measured(BOTH, {"lip_corner_pull": 0.8, "jaw_drop": 0.4}, {"pitch_hz": 1.2})
N = 3


class Drawing:
    """nano with a low-rank part that is not 0, and its sampler."""

    def __init__(self) -> None:
        self.model = checkpoint.load(checkpoint.NANO).requires_grad_(False)
        self.vocabulary = Vocabulary.read(checkpoint.NANO)
        language = as_loaded(self.model, checkpoint.NANO).thinker.language
        args = argparse.Namespace(adapter=None, rank=4, alpha=8, dropout=0.3, seed=0, model="nano")
        self.net: PeftModel = lora.with_lora(args, self.model, None)
        self.sampler = ChainSampler(self.net, self.model, self.vocabulary, language)
        self.move(0.02)
        policy = Policy(N, {"answer": 1.0}, 0.04, 0.2, 0.0)
        self.trainee = ReinforcedTrainee(self.net, self.vocabulary, self.sampler, policy, label_share=0.0, cues_off=0.0)

    def move(self, by: float) -> None:
        """Change the low-rank part, as a step of training does."""
        generator = torch.Generator().manual_seed(1)
        for name, parameter in self.net.named_parameters():
            if "lora_B" in name:
                parameter.data += by * torch.randn(parameter.shape, generator=generator)
        self.sampler.refresh()

    def draw(self, *windows: Window, seed: int = 5) -> list[list[DrawnChain]]:
        return self.sampler.draw(windows, prompt.Question(), N, seed)


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return Drawing()


def learnt(drawing: Drawing, window: Window, chains: Sequence[DrawnChain]) -> list[torch.Tensor]:
    """The log-probability of each token of each chain, in one sequence, as training computes it."""
    model: EmoThinker = drawing.model
    tokens = WindowTokens(*([stored_tokens(model, one) for one in part] for part in (window.frames, window.speech)))
    sequence = lay_out(model, drawing.vocabulary, window, tokens, prompt.Question())
    for number, chain in enumerate(chains):
        for branch in numbered(chain, number, None):
            sequence = append(model, sequence, branch)
    drawing.net.eval()
    with torch.no_grad():
        losses = token_losses(model, hidden_states(model, [sequence]), [sequence])
    chain_N = drawing.trainee._chains_of(sequence, 0)
    return [-losses.nll_N[chain_N == number] for number in range(len(chains))]


@pytest.mark.parametrize("window", [WINDOW, FACE_ONLY, VOICE_ONLY, NOTHING], ids=["both", "face", "voice", "nothing"])
def test_tokens_have_the_probability_that_they_were_drawn_with(drawing: Drawing, window: Window) -> None:
    """Drawn step by step in a KV cache with fused weights, and read in one pass beside two other chains."""
    (chains,) = drawing.draw(window)
    assert len({tuple(chain.sections.values()) for chain in chains}) > 1
    for chain, found in zip(chains, learnt(drawing, window, chains), strict=True):
        drawn = torch.tensor(chain.log_p)
        assert len(found) == len(drawn) > 15
        known = ~drawn.isnan()
        torch.testing.assert_close(found[known], drawn[known], atol=2e-4, rtol=1e-4)
        if chain.judged is None:
            assert known.all()
            assert chain.argued_for == prompt.UNSURE
        else:
            assert chain.argued_for in LABELS
            assert float(found[~known].sum()) == pytest.approx(chain.judged, abs=2e-4)


@pytest.mark.slow
def test_a_step_of_training_changes_what_is_drawn(drawing: Drawing) -> None:
    before = drawing.draw(WINDOW)
    assert [chain.sections for chain in drawing.draw(WINDOW)[0]] == [chain.sections for chain in before[0]]
    assert drawing.draw(WINDOW, seed=6)[0][0].sections != before[0][0].sections
    drawing.move(0.05)
    (after,) = drawing.draw(WINDOW)
    for chain, found in zip(after, learnt(drawing, WINDOW, after), strict=True):
        known = ~torch.tensor(chain.log_p).isnan()
        torch.testing.assert_close(found[known], torch.tensor(chain.log_p)[known], atol=2e-4, rtol=1e-4)
    assert after[0].log_p != before[0][0].log_p
    drawing.move(-0.05)


def test_several_windows_are_drawn_together(drawing: Drawing) -> None:
    groups = drawing.draw(WINDOW, VOICE_ONLY)
    assert [len(group) for group in groups] == [N, N]
    assert all("No picture" in chain.sections["face"] or "no picture" in chain.sections["face"] for chain in groups[1])
    for window, group in zip((WINDOW, VOICE_ONLY), groups, strict=True):
        drawn = pad_sequence([torch.tensor(chain.log_p) for chain in group], batch_first=True)
        found = pad_sequence(learnt(drawing, window, group), batch_first=True)
        torch.testing.assert_close(found[~drawn.isnan()], drawn[~drawn.isnan()], atol=2e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_judgement_is_drawn(drawing: Drawing) -> None:
    judged = [chain.argued_for for seed in range(6) for chain in drawing.draw(WINDOW, seed=seed)[0]]
    assert len(set(judged)) > 1


def test_what_the_model_does_by_itself_is_not_hidden(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bound is asked, and no argument written again."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("serving's bounds are asked")

    monkeypatch.setattr("realtime.reason.parts.ChainParts.bounds", refused)
    monkeypatch.setattr("realtime.reason.rewrite.Rewriter.settle", refused)
    assert drawing.draw(WINDOW)


def test_a_token_that_is_given_was_not_drawn(drawing: Drawing) -> None:
    """A section that is ended in another way than by its own tag: the tag is given, and what ended it is left out."""
    vocabulary = drawing.vocabulary
    end = vocabulary.id_of(prompt.END_OF_TURN)
    words = vocabulary.ids("No speech.")
    closing = vocabulary.ids("</voice>")
    logits_V = torch.zeros(len(vocabulary.ids("a")) + 60_000)

    assert end is not None

    def drawn(tokens: Sequence[int]) -> DrawnRow:
        row = DrawnRow(vocabulary, end, {}, deque(vocabulary.ids("<voice>")), deque(["voice"]))
        following = iter(tokens)
        while not row.done:
            row.next_token(0 if row.forced else next(following), logits_V)
        return row

    well, cut = drawn([*words, *closing]), drawn([*words, end])
    assert well.tokens == cut.tokens == [*vocabulary.ids("<voice>"), *words, *closing]
    assert [value is not None for value in well.log_p] == [False] + [True] * (len(words) + len(closing))
    assert [value is not None for value in cut.log_p] == [False] + [True] * len(words) + [False] * len(closing)
    assert (well.n_cut, cut.n_cut) == (0, 1)
    assert well.log_p[1] == pytest.approx(-math.log(len(logits_V)))


def test_only_chains_that_find_before_they_judge_are_drawn(drawing: Drawing) -> None:
    emotion = replace(drawing.model.config.emotion, chain_form="plain")
    other = checkpoint.load(checkpoint.NANO)
    other.config = replace(other.config, emotion=emotion)
    with pytest.raises(BadSettings, match="evidence_first, and this model's are plain"):
        ChainSampler(drawing.net, other, drawing.vocabulary, as_loaded(other, checkpoint.NANO).thinker.language)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rewards", "kindness"], "there is no reward 'kindness'; there are answer, faithful"),
        (["--rewards", "answer=much"], "'much' is no weight"),
        (["--rewards", "answer=-1"], "a weight has to be above 0"),
        (["--group", "1"], "--group has to be 2 or more"),
        (["--clip", "1.5"], "--clip between 0 and 1"),
        (["--beta", "nan"], "--beta and --chain-share have to be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        rl.parse(["records", "--model", "nano", "--out", "out", *words])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_two_rewards_are_usual_and_others_are_asked_for() -> None:
    assert rl.parse(["records", "--model", "nano", "--out", "out"]).rewards == {"answer": 1.0, "faithful": 1.0}
    words = ["records", "--model", "nano", "--out", "out", "--rewards", "answer", "confidence=0.5"]
    assert rl.parse(words).rewards == {"answer": 1.0, "confidence": 0.5}
