"""An argument that contradicts what its chain found is written again, on nano's own weights."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.model.fused import KVCache
from realtime.reason import rewrite
from realtime.reason.batched_decoder import BatchedDecoder
from realtime.reason.chain import read_answer
from realtime.reason.consistency import contradictions
from realtime.reason.decode import finished
from realtime.reason.parts import ARGUED, BegunPart, LabelledWindow
from realtime.reason.phrases import Phrases
from realtime.reason.prompt import Question
from realtime.reason.reasoner import Reasoner
from realtime.reason.rewrite import Argument, Limit, Rewriter, Tree
from realtime.records import LABELS, Rewritten, Window
from tests.reason.chains import run
from tests.reason.windows import ASK, BOTH, drawn_frame, drawn_speech
from train.evaluation.batch import chains

FACE = "The expression is surprised."
VOICE = "The voice is happy."
FIRST = {
    "voice": VOICE,
    "face": FACE,
    "coarse": "Tendency negative. Face and voice disagree; the face is plainer and weighs more.",
    "fine": "The fearful face outweighs the happy voice: fear, moderate.",
    "answer": "fear, moderate",
}
UNLIMITED = Limit(time.monotonic, None)
HOLDS = {
    "coarse": "Tendency negative. Face and voice disagree; neither settles it alone.",
    "fine": "A surprised face and a happy voice: fear.",
    "answer": "fear, strong",
}


def drawn(seed: int) -> Window:
    frames = tuple(drawn_frame(float(second), 1, 100 * seed + second) for second in range(2))
    return replace(BOTH, frames=frames, speech=(drawn_speech(1.2, seed),))


CONTRADICTS = drawn(7)
"Of its first argument nano says 'The sad face outweighs …', having found a happy one."


class Without(Rewriter):
    """Leaves every first argument as it is."""

    def settle(
        self,
        labelled: LabelledWindow,
        part: object,
        begun: BegunPart,
        sections: dict[str, str],
        within_s: float | None = None,
    ) -> Generator[None, None, Rewritten]:
        yield from ()
        return "no"


class Scripted(Rewriter):
    """Other arguments than the model's."""

    def __init__(self, decoder: BatchedDecoder, *found: Argument) -> None:
        self._decoder = decoder
        self._now_s = time.monotonic
        self.found = list(found)
        self.n_asked = 0

    def arguments(
        self, labelled: LabelledWindow, part: object, begun: BegunPart, limit: Limit
    ) -> Generator[None, None, list[Argument]]:
        self.n_asked += 1
        yield
        return self.found


@pytest.fixture
def first(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The sections of the chain as it was first written."""
    thinker = nano.thinker
    with monkeypatch.context() as patch:
        patch.setattr(thinker, "rewriter", Without(thinker.language, thinker.decoder, thinker.vocabulary))
        return dict(run(nano, CONTRADICTS)[3].sections)


def settled(
    nano: LoadedModel, sections: dict[str, str], *found: Argument, judged: str = "fear", ask: Question = ASK
) -> tuple[str, int]:
    labelled = nano.thinker.label_window(BOTH, ask)
    rewriter = Scripted(nano.thinker.decoder, *found)
    begun = nano.thinker.chain.begin(labelled, nano.thinker.chain.parts[0], {})
    labelled.argued_for = judged
    return finished(rewriter.settle(labelled, ARGUED, begun, sections)), rewriter.n_asked


def test_a_contradicting_argument_is_written_again_and_the_judgement_stays(
    nano: LoadedModel, first: dict[str, str]
) -> None:
    assert contradictions(first, LABELS, {}) == ("face",)
    _, deltas, chain, done = run(nano, CONTRADICTS)
    assert done.rewritten == "yes"
    assert contradictions(done.sections, LABELS, {}) == ()
    assert {name: done.sections[name] for name in ("voice", "face", "context", "atmosphere")} == {
        name: first[name] for name in ("voice", "face", "context", "atmosphere")
    }
    assert done.sections["fine"] != first["fine"]
    assert read_answer(done.sections["answer"], LABELS).label == read_answer(first["answer"], LABELS).label
    # Nobody was shown the first one.
    told = {name: "".join(each.text for each in deltas if each.section == name).strip() for name in done.sections}
    assert told == done.sections
    assert chain.source == "chain"


@pytest.mark.slow
def test_a_batch_writes_the_same_again_and_so_does_a_second_time(nano: LoadedModel) -> None:
    once, again = (run(nano, CONTRADICTS)[3] for _ in range(2))
    (other, batched) = chains(nano, [BOTH, CONTRADICTS], ASK)
    assert once.sections == again.sections == batched.sections
    assert (other.rewritten, batched.rewritten) == ("no", "yes")


def test_a_chain_that_holds_is_not_touched(nano: LoadedModel) -> None:
    sections = FIRST | {"fine": "The surprised face outweighs the happy voice: fear.", "coarse": "They disagree."}
    before = dict(sections)
    assert settled(nano, sections, Argument(HOLDS, 0.0)) == ("no", 0)
    assert sections == before


def holding(**changed: str) -> Mapping[str, str]:
    return HOLDS | changed


def test_the_likeliest_that_holds_stands_and_the_same_answer_comes_first(nano: LoadedModel) -> None:
    likely = Argument(holding(fine="A surprised face and a happy voice: fear, strong."), -1.0)
    same = Argument(holding(answer="fear, moderate"), -9.0)
    contradicting = Argument(FIRST, 0.0)
    other_label = Argument(holding(fine="A surprised face and a happy voice: sad.", answer="sad, slight"), 0.0)
    sections = dict(FIRST)
    found = (contradicting, other_label, Argument(HOLDS, -2.0), likely)
    assert settled(nano, sections, *found) == ("yes", 1)
    assert sections == {"voice": VOICE, "face": FACE, **likely.sections}
    sections = dict(FIRST)
    assert settled(nano, sections, *found, same)[0] == "yes"
    assert sections["answer"] == "fear, moderate"


def test_an_argument_that_passes_over_the_conflict_is_not_taken(nano: LoadedModel) -> None:
    evades = {"coarse": "Tendency negative.", "fine": "This is fear, moderate.", "answer": "fear, moderate"}
    sections = dict(FIRST)
    assert settled(nano, sections, Argument(evades, 0.0), Argument(HOLDS, -5.0)) == ("yes", 1)
    assert sections == FIRST | HOLDS
    sections = {"voice": VOICE, "face": FACE, **evades}
    assert settled(nano, sections, Argument(HOLDS, 0.0)) == ("yes", 1), "nor does it stand"


def test_an_argument_for_another_label_than_was_judged_is_written_again(nano: LoadedModel) -> None:
    sad = holding(fine="A surprised face and a happy voice: sad.", answer="sad, slight")
    sections = FIRST | HOLDS
    assert settled(nano, sections, Argument(HOLDS, 0.0), Argument(sad, -9.0), judged="sad") == ("yes", 1)
    assert sections == {"voice": VOICE, "face": FACE, **sad}
    sections = FIRST | HOLDS
    assert settled(nano, sections, Argument(HOLDS, 0.0), judged="sad") == ("in vain", 1)
    assert sections == FIRST | HOLDS, "the first stands"
    asked = Question(query="Which emotion does the voice show?")
    assert settled(nano, sections, Argument(sad, 0.0), judged="sad", ask=asked) == ("no", 0), "it is no judgement"


def test_where_none_holds_the_first_stands_and_is_unsure(nano: LoadedModel) -> None:
    sections = dict(FIRST)
    assert settled(nano, sections, Argument(FIRST, 0.0)) == ("in vain", 1)
    assert sections == FIRST


def test_without_memory_the_first_stands(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> KVCache:
        raise torch.OutOfMemoryError

    thinker = nano.thinker
    labelled = thinker.label_window(BOTH, ASK)
    begun = thinker.chain.begin(labelled, ARGUED, FIRST)
    monkeypatch.setattr(KVCache, "copy", full)
    sections = dict(FIRST)
    assert finished(thinker.rewriter.settle(labelled, ARGUED, begun, sections)) == "in vain"
    assert sections == FIRST


@pytest.mark.parametrize("off", [0, 7], ids=["none", "wrong"])
def test_where_tokens_are_guessed_the_first_that_holds_is_taken_and_guesses_change_no_word(
    nano: LoadedModel, first: dict[str, str], off: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two of these come to their end. The usual 16 cost nearly three times as much.
    monkeypatch.setattr(rewrite, "N_DRAWN", 6)
    n_tokens = nano.weights.config.text.vocab_size
    guesses = Phrases({(token,): (token + off) % n_tokens for token in range(n_tokens)} if off else {})
    thinker = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=guesses)
    labelled = thinker.label_window(CONTRADICTS, ASK)
    begun = thinker.chain.begin(labelled, ARGUED, first)
    texts = {name: first[name] for name in ("voice", "face", "context", "atmosphere")}
    drawn = finished(thinker.rewriter.drawn_until(lambda _: False, labelled, ARGUED, begun, texts, UNLIMITED))
    assert 1 < len(drawn) < 6, "some are broken off"
    assert len({tuple(each.sections.values()) for each in drawn}) > 1
    assert all(tuple(each.sections) == ARGUED.sections for each in drawn)
    concluded = read_answer(first["answer"], LABELS).label
    holding = [
        each.sections
        for each in drawn
        if not contradictions({**texts, **each.sections}, LABELS, {}, given_both=True)
        and read_answer(each.sections["answer"], LABELS).label == concluded
    ]
    sections = dict(first)
    assert finished(thinker.rewriter.settle(labelled, ARGUED, begun, sections)) == "yes"
    assert sections == first | dict(holding[0])
    plain = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=Phrases({}))
    begun = plain.chain.begin(plain.label_window(CONTRADICTS, ASK), ARGUED, first)
    again = finished(plain.rewriter.drawn_until(lambda _: True, labelled, ARGUED, begun, texts, UNLIMITED))
    assert [each.sections for each in again] == [drawn[0].sections]


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        self.at_s += 1
        return self.at_s


@pytest.mark.parametrize("phrases", [None, Phrases({})], ids=["in step", "one after the other"])
def test_when_time_is_up_the_first_stands(nano: LoadedModel, first: dict[str, str], phrases: Phrases | None) -> None:
    """On two slow cores 16 arguments of `small` took 19 to 36 s, and the chain of the next moment was left out."""

    def settle(within_s: float) -> tuple[Rewritten, dict[str, str], int]:
        thinker = Reasoner(nano.weights, nano.thinker.vocabulary, phrases=phrases, now_s=Ticking())
        labelled = thinker.label_window(CONTRADICTS, ASK)
        begun = thinker.chain.begin(labelled, ARGUED, first)
        sections, n_steps = dict(first), 0
        steps = thinker.rewriter.settle(labelled, ARGUED, begun, sections, within_s)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value, sections, n_steps
            n_steps += 1

    outcome, sections, n_steps = settle(5.0)
    assert (outcome, sections) == ("late", first)
    assert 0 < n_steps <= 5
    assert contradictions(sections, LABELS, {}), "so the answer is unsure"
    assert settle(10_000.0)[0] != "late"


def test_rows_of_a_tree_see_what_was_there_and_their_own_tokens(nano: LoadedModel) -> None:
    """Three continuations in one KV cache, one of which ends early, equal each alone."""
    language = nano.thinker.language
    shared, tails = nano.thinker.vocabulary.ids("The face is"), [[5, 6, 7], [8, 9], [10, 11, 12]]

    def filled(n_more: int) -> KVCache:
        cache = KVCache(language.config, len(shared) + n_more, dtype=torch.float32, device=torch.device("cpu"))
        language.extend(language.embed(shared), *language.text_rotary(0, len(shared)), cache)
        return cache

    with torch.inference_mode():
        cache = filled(sum(map(len, tails)))
        tree = Tree(cache, len(tails))
        last: dict[int, Tensor] = {}
        for step in range(3):
            rows = [row for row, tail in enumerate(tails) if step < len(tail)]
            mask = tree.grown(rows)
            cos, sin = language.text_rotary_at([len(shared) + step] * len(rows))
            x = language.embed([tails[row][step] for row in rows])
            last |= dict(zip(rows, language.extend(x, cos, sin, cache, mask), strict=True))
        for row, tail in enumerate(tails):
            own = filled(len(tail))
            alone = language.extend(language.embed(tail), *language.text_rotary(len(shared), len(tail)), own)
            torch.testing.assert_close(last[row], alone[-1], atol=1e-4, rtol=1e-4)
