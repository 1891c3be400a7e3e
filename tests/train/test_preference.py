"""Rejected chains are worse by serving's own checkers, and the loss is that of direct preference optimisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.measurements import CUE_WORDS, VOICE_WORDS
from train import dpo
from train.arrays import Float64
from train.coet.measured import Observation, PersonSeen, VoiceHeard, Writer
from train.tuning.preference import margins, pair_losses
from train.tuning.rejected import absent_cue, contradiction, faults, other_evidence, rejected

CHANGED = {
    "absent cue": {"face", "voice"}, "other evidence": {"face", "voice"}, "contradiction": {"coarse", "fine", "answer"},
}  # fmt: skip


def shares(label: str) -> Float64:
    found = np.full(len(EXPERT_LABELS), 0.02)
    found[EXPERT_LABELS.index(label)] = 1 - 0.02 * (len(EXPERT_LABELS) - 1)
    return found


def observed(face: str, voice: str) -> Observation:
    cues = dict.fromkeys(CUE_WORDS, 0.0) | {"lip_corner_pull": 0.8, "cheek_raise": 0.6, "brow_lower": 0.3}
    person = PersonSeen(cues, (0.0, 0.0, 0.0), (0.5, 0.5), 0.4, shares(face))
    relative = dict.fromkeys(VOICE_WORDS, 0.0) | {"pitch_hz": 1.3, "loudness_db": -1.0}
    return Observation(people=[person], voice=VoiceHeard(relative, shares(voice), strong=True), shares=shares(face))


SEEN = observed("happy", "sad")


@pytest.mark.parametrize("seed", range(40))
def test_a_rejected_chain_is_worse_in_one_way(seed: int) -> None:
    chosen = Writer(seed).chain(SEEN)
    assert faults(chosen, SEEN) == 0
    made = rejected(chosen, SEEN, np.random.default_rng(seed))
    assert made is not None
    assert faults(made.sections, SEEN) > 0
    changed = {name for name, text in made.sections.items() if text != chosen[name]}
    assert changed
    assert changed <= CHANGED[made.kind]
    if made.kind != "contradiction":
        assert len(changed) == 1


def test_every_kind_is_drawn() -> None:
    chosen = Writer(0).chain(SEEN)
    found = [rejected(chosen, SEEN, np.random.default_rng(seed)) for seed in range(60)]
    counts = {kind: sum(one is not None and one.kind == kind for one in found) for kind in CHANGED}
    assert sum(counts.values()) == 60
    assert min(counts.values()) >= 10


def test_what_cannot_be_made_is_not() -> None:
    rng = np.random.default_rng(0)
    chosen = Writer(0).chain(SEEN)
    agreeing = observed("happy", "happy")
    assert other_evidence(Writer(0).chain(agreeing), agreeing, rng) is None
    assert contradiction(chosen, replace(SEEN, voice=None), rng) is None
    silent = replace(SEEN, voice=None)
    for seed in range(10):
        made = absent_cue(Writer(0).chain(silent), silent, np.random.default_rng(seed))
        assert made is not None
        assert made["voice"] == Writer(0).chain(silent)["voice"]
    nothing = Observation(has_picture=False)
    assert rejected(Writer(0).chain(nothing), nothing, rng) is None


def test_a_new_voice_has_no_difference_to_turn_round() -> None:
    assert SEEN.voice is not None
    new = replace(SEEN, people=[], voice=replace(SEEN.voice, usual_known=False))
    assert absent_cue(Writer(0).chain(new), new, np.random.default_rng(0)) is None


def test_the_wording_does_not_tell_which_is_rejected() -> None:
    """A reader of style alone would learn nothing: the words of rejected chains are words of annotated ones."""

    def words(sections: Mapping[str, str]) -> set[str]:
        return {word.strip(".,;:") for text in sections.values() for word in text.lower().split()}

    known: set[str] = set()
    for seed in range(150):
        for face in EXPERT_LABELS:
            for voice in ("sad", "angry", "fear"):
                seen = observed(face, voice)
                relative = dict.fromkeys(VOICE_WORDS, 1.0 if seed % 2 else -1.0)
                assert seen.voice is not None
                cue = list(CUE_WORDS)[seed % len(CUE_WORDS)]
                person = replace(seen.people[0], intensities=dict.fromkeys(CUE_WORDS, 0.0) | {cue: 0.9})
                known |= words(Writer(seed).chain(replace(seen, people=[person])))
                known |= words(Writer(seed).chain(replace(seen, voice=replace(seen.voice, relative=relative))))
    for seed in range(40):
        made = rejected(Writer(seed).chain(SEEN), SEEN, np.random.default_rng(seed))
        assert made is not None
        assert words(made.sections) <= known


def test_margins_are_those_of_the_paper() -> None:
    """Equation 7: β times the log ratio of the chosen chain less that of the rejected one."""
    now = torch.tensor([-10.0, -12.0]), torch.tensor([-14.0, -11.0])
    before = torch.tensor([-11.0, -12.0]), torch.tensor([-13.0, -12.0])
    assert margins(now, before, 0.5).tolist() == [1.0, -0.5]
    assert margins(now, now, 0.5).tolist() == [0.0, 0.0]
    assert float(pair_losses(margins(now, now, 0.5))[0]) == pytest.approx(math.log(2))


@pytest.mark.parametrize("words", [["--beta", "0"], ["--beta", "nan"], ["--chain-share", "nan"]])
def test_settings_that_make_no_sense_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dpo.parse(["records", "--model", "nano", "--out", "out", *words])
    assert ended.value.code == 2
    assert "--beta has to be above 0, and --chain-share 0 or more" in capsys.readouterr().err
