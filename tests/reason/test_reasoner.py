"""The Thinker as it serves, held to one plain pass over everything, and to many windows answered together."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from realtime.engine.loading import LoadedModel, load
from realtime.reason import prompt, reasoner
from realtime.reason.branches import labels_before_sections
from realtime.reason.prompt import SECTIONS, Question
from realtime.reason.sequence import READ_AT_S
from realtime.records import ReasonDelta, ReasonDone, Window
from tests.reason.chains import guessed, in_form, run
from tests.reason.windows import ASK, BOTH, FACE_ONLY, NOTHING, VOICE_ONLY, drawn_frame, drawn_speech
from train.evaluation.batch import chains


@pytest.mark.parametrize("window", [BOTH, FACE_ONLY, VOICE_ONLY, NOTHING], ids=["both", "face", "voice", "nothing"])
def test_a_chain_is_well_formed_whatever_is_missing(nano: LoadedModel, window: Window) -> None:
    fast, deltas, chain, done = run(nano, window)
    assert tuple(done.sections) == SECTIONS
    for name in SECTIONS:
        assert "".join(delta.text for delta in deltas if delta.section == name).strip() == done.sections[name]
    order = [delta.section for delta in deltas]
    assert order == sorted(order, key=SECTIONS.index)
    for label in (fast, chain):
        assert sum(label.probabilities.values()) == pytest.approx(1.0)
        assert tuple(label.probabilities) == ASK.labels
    assert (fast.conflict is not None) == (window is BOTH)
    assert 0 <= done.answer.confidence <= 1


@torch.inference_mode()
def test_decoding_on_slots_equals_one_plain_pass(nano: LoadedModel) -> None:
    """Every token of a streamed chain is the best next token of a single pass over the whole sequence."""
    with in_form(nano, "first_look") as told:
        said, best = guessed(told, BOTH, run(told, BOTH)[3])
    assert said == best


def test_a_chain_that_is_told_labels_goes_on_from_its_own_fast_ones(nano: LoadedModel) -> None:
    """Of each modality before what it says of it, of everything before it argues."""

    def told(window: Window) -> dict[str, str]:
        with in_form(nano, "first_look") as model:
            opened = model.thinker.label_window(window, ASK).openings
        texts = {name: nano.thinker.vocabulary.text(opened[name]).removesuffix(f"<{name}>") for name in SECTIONS}
        return {name: text for name, text in texts.items() if text}

    label = nano.thinker.fast_label(BOTH, ASK)
    assert label.conflict is not None
    both, face, voice = (
        f"<label>{max(p, key=lambda x: p[x])}" for p in (label.probabilities, label.conflict.face, label.conflict.voice)
    )
    argument = both if face == voice else both + face + voice
    assert told(BOTH) == {"face": face, "voice": voice, "coarse": argument}
    seen = nano.thinker.fast_label(FACE_ONLY, ASK).probabilities
    alone = f"<label>{max(seen, key=lambda x: seen[x])}"
    assert told(FACE_ONLY) == {"face": alone, "coarse": alone}
    assert told(NOTHING) == {"coarse": "<label>unsure"}


def test_an_argument_is_told_of_face_and_voice_again_where_they_differ() -> None:
    def told(**labels: str) -> tuple[str, ...]:
        return labels_before_sections(labels, has_face=True, has_speech=True)["coarse"]

    assert told(both="sad", face="sad", voice="happy") == ("sad", "sad", "happy")
    assert told(both="sad", face="happy", voice="happy") == ("sad",)


@pytest.mark.slow
def test_many_together_equal_one_by_one(nano: LoadedModel) -> None:
    windows = [BOTH, FACE_ONLY, VOICE_ONLY, NOTHING]
    for window, answer in zip(windows, chains(nano, windows, ASK), strict=True):
        fast, _, chain, done = run(nano, window)
        assert answer.label.probabilities == pytest.approx(fast.probabilities, abs=1e-5)
        assert answer.probabilities == pytest.approx(chain.probabilities, abs=1e-5)
        assert (answer.sections, answer.answer.label) == (dict(done.sections), done.answer.label)


def test_two_chains_written_in_turns_do_not_mix(nano: LoadedModel) -> None:
    alone = [run(nano, window)[3].sections for window in (BOTH, FACE_ONLY)]
    turns = [nano.thinker.reason(window, ASK) for window in (BOTH, FACE_ONLY)]
    done: list[ReasonDone] = []
    while len(done) < 2:
        for steps in turns:
            step = next(steps, None)
            if isinstance(step, ReasonDone):
                done.append(step)
    assert sorted(str(d.sections) for d in done) == sorted(str(dict(s)) for s in alone)


def test_few_labelled_windows_wait_for_their_chain(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a KV cache. A window that had to go is read again when its chain begins."""
    monkeypatch.setattr(reasoner, "KEPT_WINDOWS", 1)
    nano.thinker.fast_label(VOICE_ONLY, ASK)
    nano.thinker.fast_label(FACE_ONLY, ASK)
    assert list(nano.thinker._labelled) == [id(FACE_ONLY)]
    assert any(isinstance(step, ReasonDelta) for step in itertools.islice(nano.thinker.reason(VOICE_ONLY, ASK), 20))


def test_labels_of_ones_own_are_scored_word_by_word(nano: LoadedModel) -> None:
    ask = Question(query="Is this sarcasm?", labels=("sarcastic remark", "sincere", "no idea at all"))
    label = nano.thinker.fast_label(BOTH, ask)
    assert tuple(label.probabilities) == ask.labels
    vocabulary = nano.thinker.vocabulary
    assert max(len(vocabulary.ids(name)) for name in ask.labels) > 1
    alone = [nano.thinker.fast_label(BOTH, replace(ask, labels=(name, "sincere"))) for name in ask.labels[::2]]
    assert all(prompt.UNSURE not in one.probabilities for one in alone)


def test_a_window_from_the_ring_equals_one_read_as_a_whole(nano: LoadedModel) -> None:
    """Where a chunk was read and where it stands in the window are one place: nothing is left to differ."""
    lone = Window(0, 4.0, 12.0, (drawn_frame(4.0 + READ_AT_S, 1, 3),), (drawn_speech(4.0 + READ_AT_S, 4),))
    whole = run(nano, lone)
    ring = nano.thinker.open_ring(ASK)
    assert ring is not None
    kept = replace(
        lone,
        frames=tuple(ring.add_frame(frame) for frame in lone.frames),
        speech=tuple(ring.add_speech(part) for part in lone.speech),
    )
    from_ring = run(nano, kept)
    assert from_ring[0].probabilities == pytest.approx(whole[0].probabilities, abs=1e-5)
    assert from_ring[3].sections == whole[3].sections
    ring.close()
    after = nano.thinker.fast_label(kept, ASK)
    assert after.probabilities == pytest.approx(whole[0].probabilities, abs=1e-5), "a ring that is gone is no fault"


@pytest.mark.parametrize("window", [BOTH, VOICE_ONLY], ids=["both", "voice"])
def test_a_voice_through_the_telephone_is_less_sure(nano: LoadedModel, window: Window) -> None:
    """Field report 15: through 8 kHz, nano was wrong more often and as sure as before."""
    (speech,) = window.speech
    narrow = replace(window, speech=(replace(speech, cues=replace(speech.cues, narrow_band=True)),))
    sure, less = (nano.thinker.fast_label(each, ASK).probabilities for each in (window, narrow))
    assert max(less.values()) < max(sure.values())
    assert sorted(less, key=lambda label: less[label]) == sorted(sure, key=lambda label: sure[label])
    assert sum(less.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_minutes_of_evidence_leave_nothing_behind(nano: LoadedModel) -> None:
    """A window late in a session equals the same window of a session that began with it."""
    frames = [drawn_frame(float(s), 1 + s % 3, s) for s in range(90)]
    late, early = nano.thinker.open_ring(ASK), nano.thinker.open_ring(ASK)
    assert late is not None
    assert early is not None
    seen = [late.add_frame(frame) for frame in frames]
    window = Window(0, 81.5, 89.5, tuple(seen[82:]), (late.add_speech(drawn_speech(86.2, 9)),))
    spoken = early.add_speech(drawn_speech(86.2, 9))
    fresh = replace(window, frames=tuple(early.add_frame(frame) for frame in frames[82:]), speech=(spoken,))
    assert late.ring.n_evicted > 60
    labels = [nano.thinker.fast_label(each, ASK) for each in (window, fresh)]
    assert labels[0].probabilities == pytest.approx(labels[1].probabilities, abs=1e-6)
    for ring in (late, early):
        ring.close()


def test_a_small_model_that_serves_has_one_thread_for_every_kind_of_product() -> None:
    """OpenBLAS's threads spun through half of every live second, waiting for numpy's next small product."""
    before = torch.get_num_threads()
    with threadpool_limits(2, user_api="blas"):
        try:
            load("nano", engine="torch", threads=0)
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
        finally:
            torch.set_num_threads(before)
