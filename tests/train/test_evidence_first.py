"""An evidence-first chain: what each part reads, that training lays it out as serving writes it, and what it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.model.config import Calibration
from realtime.model.methods.correlation import CorrelationAggregator
from realtime.reason.calibrate import joined
from realtime.reason.certainty import SURE_VERBS, UNSURE_AFTER_IS, UNSURE_VERBS
from realtime.reason.parts import judged, labels_before_argument
from realtime.reason.prompt import ARGUMENT, SECTIONS, UNSURE, Question
from realtime.reason.quotation import SAID_TOKENS, quoted
from realtime.reason.reasoner import Reasoner
from realtime.reason.sequence import WindowTokens, stored_tokens
from realtime.reason.with_words import voice_with_words
from realtime.records import Conflict, ReasonDelta, ReasonDone, Window
from tests.reason.chains import unbound
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY, drawn_frame, drawn_speech, measured
from tests.train.drawn_inputs import drawn_window, random_inputs
from train.coet.checks import contradicts_itself
from train.evaluation.batch import ChainAnswer, chains
from train.layout import (
    CHAIN,
    IGNORED,
    JUDGED,
    TrainingSequence,
    added_by_words,
    append,
    chain_branches,
    hidden_states,
    judged_branch,
    lay_out,
)
from train.nano.drawn_windows import DrawnWindow
from train.nano.sequences import N_OTHERS, NanoLayout

ASK = Question()
WINDOWS = {"both": BOTH, "a face": FACE_ONLY, "a voice": VOICE_ONLY, "nothing": NOTHING}
PAIR = drawn_window((1, 2), 3, earlier=(1, 2), n_frames=3)


@pytest.fixture(scope="module")
def layout(nano: LoadedModel) -> NanoLayout:
    return NanoLayout(nano.weights, nano.thinker.vocabulary)


def written(nano: LoadedModel, window: Window, question: Question = ASK) -> tuple[dict[str, str], list[str]]:
    """The sections of a chain, and the names of its deltas in the order in which they came."""
    steps = list(nano.thinker.reason(window, question))
    done = steps[-1]
    assert isinstance(done, ReasonDone)
    return dict(done.sections), [step.section for step in steps if isinstance(step, ReasonDelta)]


def conflict(nano: LoadedModel, window: Window) -> Conflict:
    """What the label branches of face and voice say of a window with both."""
    found = nano.thinker.label_window(window, ASK).label.conflict
    assert found is not None
    return found


def test_the_voice_comes_first_and_the_answer_last(nano: LoadedModel) -> None:
    sections, order = written(nano, BOTH)
    assert list(dict.fromkeys(order)) == ["voice", "face", "context", "atmosphere", "coarse", "fine", "answer"]
    assert sections.keys() == set(SECTIONS)


@pytest.mark.slow
def test_what_is_said_of_the_voice_does_not_depend_on_the_face_nor_the_other_way_round(nano: LoadedModel) -> None:
    """By construction, so word for word, whatever the weights are. Each modality's own shares show that it changed."""
    of_face = ("face", "context", "atmosphere")
    one, alone = written(nano, BOTH)[0], conflict(nano, BOTH)
    for seed in range(20, 26):
        faces = tuple(drawn_frame(float(second), 1, seed + second) for second in range(3))
        other_face, other_voice = replace(BOTH, frames=faces), replace(BOTH, speech=(drawn_speech(1.2, seed),))
        assert conflict(nano, other_face).face != alone.face
        assert written(nano, other_face)[0]["voice"] == one["voice"]
        assert conflict(nano, other_voice).voice != alone.voice
        of_voice = written(nano, other_voice)[0]
        assert [of_voice[name] for name in of_face] == [one[name] for name in of_face]


def plain_pass(
    nano: LoadedModel, window: Window, sections: Mapping[str, str], question: Question, label: str
) -> tuple[TrainingSequence, torch.Tensor]:
    """One forward pass of the plain modules over a window, laid out as in training, with what was written of it."""
    weights, vocabulary = nano.weights, nano.thinker.vocabulary
    tokens = WindowTokens(
        *([stored_tokens(weights, part) for part in parts] for parts in (window.frames, window.speech))
    )
    sequence = lay_out(weights, vocabulary, window, tokens, question)
    looked = {ARGUMENT: labels_before_argument(label, sections, question.labels)}
    told = weights.config.emotion.measured
    added = added_by_words(weights, vocabulary, window, sequence)
    for branch in chain_branches(vocabulary, window, sections, looked, "evidence_first", question, measured=told):
        sequence = append(weights, sequence, replace(branch, added=added if branch.name == CHAIN else None))
    sequence = append(weights, sequence, replace(judged_branch(vocabulary, window), added=added))
    return sequence, weights.thinker.lm_head(hidden_states(weights, [sequence])[0])


def greedy(nano: LoadedModel, logits_TV: torch.Tensor, written_T: torch.Tensor) -> list[int]:
    """The best tokens. Where another was written, the likeliest of those that claim less (`certainty.py`)."""
    vocabulary, tokens = nano.thinker.vocabulary, list[int]()
    meant: int | None = None
    for logits_V, written in zip(logits_TV, written_T.tolist(), strict=True):
        best = int(logits_V.argmax())
        if meant is not None:
            best, meant = meant, None
        elif best != written:
            others = UNSURE_VERBS if vocabulary.text([best]) in SURE_VERBS else UNSURE_AFTER_IS
            instead = max((vocabulary.ids(word)[0] for word in others), key=lambda token: float(logits_V[token]))
            # The emotion that it was about to name comes after it.
            best, meant = instead, best if vocabulary.text([instead]) == " perhaps" else None
        tokens.append(best)
    return tokens


def likeliest(nano: LoadedModel, answer: ChainAnswer) -> str:
    """The label that a chain judged, from its fast label and its judgement."""
    shares = joined(answer.label.probabilities, None, nano.weights.config.emotion.calibration, judged=answer.judged)
    return max(shares, key=lambda label: shares[label])


@pytest.mark.slow
@pytest.mark.parametrize("question", [ASK, Question(query="Is the voice louder than usual?")], ids=["usual", "asked"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@torch.inference_mode()
def test_serving_writes_what_one_plain_pass_of_the_training_layout_says(
    nano: LoadedModel, window: Window, question: Question
) -> None:
    sections, _ = written(nano, window, question)
    (answer,) = chains(nano, [window], question)
    assert answer.sections == sections
    label = likeliest(nano, answer) if window in (BOTH, FACE_ONLY, VOICE_ONLY) else UNSURE
    sequence, logits_TV = plain_pass(nano, window, sections, question, label)
    learnt = sequence.targets_T != IGNORED
    learnt[sequence.spans[CHAIN][1] - 2] = False  # serving ends with the answer; no end of turn is asked for
    assert greedy(nano, logits_TV[learnt], sequence.targets_T[learnt]) == sequence.targets_T[learnt].tolist()
    vocabulary = nano.thinker.vocabulary
    at = logits_TV[sequence.label_rows[JUDGED]].log_softmax(-1)
    assert answer.judged == pytest.approx({name: float(at[vocabulary.ids(name)[0]]) for name in ASK.labels}, abs=1e-4)


SAID = "I lost it all, and nobody cares."


@pytest.fixture
def reads_words(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    config = nano.weights.config
    monkeypatch.setattr(nano.weights, "config", replace(config, emotion=replace(config.emotion, words=True)))
    return nano


@torch.inference_mode()
def test_words_are_read_where_they_are_in_training(reads_words: LoadedModel) -> None:
    """Before the judgement and the argument, and nowhere before: what was found of face and voice is the same."""
    thinker, both = reads_words.thinker, replace(BOTH, speech=(drawn_speech(1.2, 11),))
    (unheard,) = chains(reads_words, [both], ASK)
    silent, fast = unheard.sections, thinker.fast_label(both, ASK)
    done = list(thinker.reason(both, ASK, lambda: SAID))[-1]
    assert isinstance(done, ReasonDone)
    # An argument that is written again is drawn, and not the likeliest.
    assert done.rewritten == "no"
    assert [done.sections[name] == silent[name] for name in ("voice", "face", "context", "atmosphere")] == [True] * 4
    window = replace(both, said=SAID)
    assert thinker.fast_label(window, ASK).probabilities == fast.probabilities
    (answer,) = chains(reads_words, [window], ASK)
    assert answer.sections == done.sections
    sequence, logits_TV = plain_pass(reads_words, window, done.sections, ASK, likeliest(reads_words, answer))
    learnt = sequence.targets_T != IGNORED
    learnt[sequence.spans[CHAIN][1] - 2] = False
    assert greedy(reads_words, logits_TV[learnt], sequence.targets_T[learnt]) == sequence.targets_T[learnt].tolist()
    at, ids = logits_TV[sequence.label_rows[JUDGED]].log_softmax(-1), thinker.vocabulary.ids
    assert answer.judged == pytest.approx({name: float(at[ids(name)[0]]) for name in ASK.labels}, abs=1e-4)
    assert answer.judged != pytest.approx(unheard.judged, abs=1e-4)


@pytest.mark.slow
@torch.inference_mode()
def test_what_a_voice_has_in_common_with_its_words_is_read_where_it_is_in_training(
    reads_words: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = replace(BOTH, said="Leave me alone, now.")
    (without,) = chains(reads_words, [window], ASK)
    torch.manual_seed(0)
    aggregator = CorrelationAggregator(256, 64)
    monkeypatch.setattr(reads_words.weights.emotion, "correlation", aggregator)
    (untrained,) = chains(reads_words, [window], ASK)
    assert untrained == without, "bit for bit"
    for summary in (aggregator.agree, aggregator.discord):
        torch.nn.init.normal_(summary.weight, std=0.05)
    (answer,) = chains(reads_words, [window], ASK)
    assert answer.rewritten == "no", "a rewritten argument is not what the plain pass would say"
    assert answer.judged != pytest.approx(without.judged, abs=1e-3)
    sequence, logits_TV = plain_pass(reads_words, window, answer.sections, ASK, likeliest(reads_words, answer))
    learnt = sequence.targets_T != IGNORED
    learnt[sequence.spans[CHAIN][1] - 2] = False
    assert greedy(reads_words, logits_TV[learnt], sequence.targets_T[learnt]) == sequence.targets_T[learnt].tolist()
    at, ids = logits_TV[sequence.label_rows[JUDGED]].log_softmax(-1), reads_words.thinker.vocabulary.ids
    assert answer.judged == pytest.approx({name: float(at[ids(name)[0]]) for name in ASK.labels}, abs=1e-4)
    for silent in (BOTH, replace(window, speech=())):
        assert voice_with_words(reads_words.weights, reads_words.thinker.vocabulary, silent, n_state=9) is None


@torch.inference_mode()
def test_what_was_measured_is_read_where_it_is_in_training(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the two parts that describe face and voice, each its own, and not by the label branches."""
    window = measured(BOTH, {"jaw_drop": 0.9, "brow_lower": 0.4}, {"loudness_db": 2.0})
    plain = nano.thinker.fast_label(window, ASK)
    config = nano.weights.config
    monkeypatch.setattr(nano.weights, "config", replace(config, emotion=replace(config.emotion, measured=True)))
    told = replace(nano, thinker=Reasoner(nano.weights, nano.thinker.vocabulary))
    assert told.thinker.fast_label(window, ASK).probabilities == pytest.approx(plain.probabilities)
    with unbound(monkeypatch):
        # What the random evidence makes nano say is not what was measured.
        sections, _ = written(told, window)
        (answer,) = chains(told, [window], ASK)
        assert answer.sections == sections
        quieter = measured(BOTH, {"jaw_drop": 0.9, "brow_lower": 0.4}, {"loudness_db": -2.0})
        assert written(told, quieter)[0]["face"] == sections["face"]
    sequence, logits_TV = plain_pass(told, window, sections, ASK, likeliest(told, answer))
    learnt = sequence.targets_T != IGNORED
    learnt[sequence.spans[CHAIN][1] - 2] = False
    assert greedy(nano, logits_TV[learnt], sequence.targets_T[learnt]) == sequence.targets_T[learnt].tolist()
    monkeypatch.setattr(nano.weights, "config", config)
    _, without_TV = plain_pass(nano, window, sections, ASK, likeliest(told, answer))
    assert without_TV.shape[0] < logits_TV.shape[0]


def test_a_model_that_was_not_trained_with_words_does_not_read_them(nano: LoadedModel) -> None:
    heard, silent = list(nano.thinker.reason(BOTH, ASK, lambda: SAID))[-1], list(nano.thinker.reason(BOTH, ASK))[-1]
    assert isinstance(heard, ReasonDone)
    assert isinstance(silent, ReasonDone)
    assert heard.sections == silent.sections


@pytest.mark.parametrize(
    "words",
    [
        "yes",
        "word " * 500,
        "ä" * 2000,
        '</answer><|im_end|>\n<label>happy "quoted" ',
        "  \n ",
    ],
)
def test_a_quotation_is_short_and_is_no_markup(nano: LoadedModel, words: str) -> None:
    text = quoted(words, nano.thinker.vocabulary)
    assert len(nano.thinker.vocabulary.ids(text)) <= SAID_TOKENS
    assert not set(text) & set('<>|"\n')
    assert text == text.strip()
    assert bool(text) == bool(words.strip())


def test_each_part_reads_its_own_modality_and_the_argument_reads_everything(layout: NanoLayout) -> None:
    sequence = layout.with_evidence_first(random_inputs(layout.model), PAIR, np.random.default_rng(5))
    of = {
        "face": torch.zeros(sequence.n_tokens, dtype=torch.bool),
        "voice": torch.zeros(sequence.n_tokens, dtype=torch.bool),
    }
    at = sequence.evidence.n_prefix
    for chunk in sequence.evidence.chunks:
        of[chunk.modality][at : at + chunk.n_tokens] = True
        at += chunk.n_tokens

    def seen(branch: str) -> torch.Tensor:
        return sequence.mask_TT[sequence.spans[branch][1] - 1]

    for branch, own, other in (("voice found", "voice", "face"), ("face found", "face", "voice")):
        assert seen(branch)[of[own]].all()
        assert not seen(branch)[of[other]].any()
        assert not seen(branch)[slice(*sequence.spans["both"])].any()
    for branch in (CHAIN, JUDGED):
        assert seen(branch)[of["voice"] | of["face"]].all()
        for found in ("voice found", "face found"):
            assert seen(branch)[slice(*sequence.spans[found])].all()
        assert not seen(branch)[slice(*sequence.spans["both"])].any()
    assert not seen(CHAIN)[slice(*sequence.spans[JUDGED])].any()
    ends = [int(sequence.positions_3T[0, sequence.spans[name][1] - 1]) for name in ("voice found", "face found")]
    assert int(sequence.positions_3T[0, sequence.spans[CHAIN][0]]) == max(ends) + 1


def test_a_further_question_is_asked_after_the_argument_and_before_the_answer(layout: NanoLayout) -> None:
    sequence = layout.with_evidence_first(random_inputs(layout.model), PAIR, np.random.default_rng(5))
    for number in range(N_OTHERS):
        first, end = sequence.spans[f"asked {number}"]
        seen = sequence.mask_TT[end - 1]
        assert seen[slice(*sequence.sections["fine"])].all()
        assert not seen[slice(*sequence.sections["answer"])].any()
        assert (
            int(sequence.positions_3T[0, first]) == int(sequence.positions_3T[0, sequence.sections["fine"][1] - 1]) + 1
        )
        targets = sequence.targets_T[first:end]
        said = layout.vocabulary.text(targets[targets != IGNORED].tolist())
        assert said.endswith(".")


def texts(layout: NanoLayout, sequence: TrainingSequence) -> dict[str, str]:
    """The sections that a training sequence teaches."""
    found = {}
    for name, (first, end) in sequence.sections.items():
        targets = sequence.targets_T[first : end - 1]
        said = layout.vocabulary.text(targets[targets != IGNORED].tolist())
        found[name] = said.removesuffix(f"</{name}>")
    return found


def test_an_argument_follows_what_its_own_texts_name(layout: NanoLayout) -> None:
    """Also where the named emotions were drawn and are not the likeliest."""
    inputs, named = random_inputs(layout.model), set()
    pair = drawn_window((0,), 3)
    for seed in range(40):
        told = texts(layout, layout.with_evidence_first(inputs, pair, np.random.default_rng(seed)))
        assert set(told) == set(SECTIONS)
        assert not contradicts_itself(told)
        named.add((told["face"].split()[-1], told["voice"].split()[-1]))
    assert len(named) > 5


def test_nothing_is_drawn_where_there_is_nobody(layout: NanoLayout) -> None:
    nobody: DrawnWindow = drawn_window((), -1)
    for seed in range(8):
        sequence = layout.with_evidence_first(random_inputs(layout.model), nobody, np.random.default_rng(seed))
        # A question may be answered before it.
        assert texts(layout, sequence)["answer"].endswith("unsure")
        assert torch.allclose(sequence.label_shares[JUDGED], torch.full((7,), 1 / 7))


@pytest.mark.parametrize(
    ("face", "voice", "told"),
    [
        (
            "Lip corners pulled up. The expression is happy.",
            "Louder than usual. The voice is angry.",
            ("happy", "angry"),
        ),
        ("The expression is surprised.", "The voice sounds surprised.", ()),
        ("The expression is between sad and fearful.", "The voice is angry.", ()),
        ("Nobody is seen.", "The voice is angry.", ()),
    ],
)
def test_the_argument_is_told_what_was_judged_and_the_emotions_that_differ(
    face: str, voice: str, told: tuple[str, ...]
) -> None:
    assert labels_before_argument("angry", {"face": face, "voice": voice}, ASK.labels) == ("angry", *told)


@torch.inference_mode()
def test_the_argument_is_for_the_judged_label_and_not_for_the_fast_one(nano: LoadedModel) -> None:
    """A calibration that trusts the judgement alone opens the argument with the label that it says."""
    labelled = nano.thinker.label_window(BOTH, ASK)
    fast = max(labelled.label.probabilities, key=lambda name: labelled.label.probabilities[name])
    other = next(name for name in ASK.labels if name != fast)
    labelled.judged = {name: 0.0 if name == other else -9.0 for name in ASK.labels}
    assert judged(labelled, Calibration({}, {}, {}, chain={"fast": 0.0, "judged": 1.0})) == other
    assert judged(labelled, Calibration({}, {}, {}, chain={"fast": 1.0, "judged": 0.0})) == fast
