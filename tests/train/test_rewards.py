"""Rewards of chains have known values, and lists of words earn less than honest chains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from realtime.reason.measurements import CUE_WORDS, DEGREES, VOICE_WORDS, cue_told
from realtime.records import LABELS
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY, measured
from train.tuning.rewards import (
    LEAST,
    REWARDS,
    ROOM,
    SURE,
    UNSURE,
    CountedStatements,
    Known,
    WrittenChain,
    answer,
    confidence,
    consistent,
    faithful,
    format_kept,
    length,
    precision,
    recall,
    told,
)

CUES = {"lip_corner_pull": 0.8, "cheek_raise": 0.6, "jaw_drop": 0.4, "brow_lower": 0.35}
VOTES = {"happy": 0.6, "surprise": 0.25, "neutral": 0.15}
ALONE = {"face": {"happy": 0.8, "surprise": 0.2}, "voice": {"sad": 0.7, "neutral": 0.3}}
WINDOW = measured(BOTH, CUES, {"pitch_hz": 1.5, "loudness_db": -0.8})
KNOWN = Known(WINDOW, VOTES, {name: dict.fromkeys(LABELS, 0.0) | dict(p) for name, p in ALONE.items()})
HONEST = {
    "voice": "Much higher in pitch, quieter than usual. The voice is sad.",
    "face": "Cheeks clearly raised, lip corners strongly pulled up, mouth slightly open. The expression is happy.",
    "context": "One person.", "atmosphere": "The scene is dim.",
    "coarse": "Tendency positive. Face and voice disagree; the face is plainer, so it decides.",
    "fine": "The happy face outweighs the sad voice: happy, strong.", "answer": "happy, strong",
}  # fmt: skip


def written(
    changed: Mapping[str, str] | None = None, *, argued_for: str = "happy", n_tokens: int = 100
) -> WrittenChain:
    return WrittenChain(HONEST | dict(changed or {}), argued_for, n_tokens)


EVERY_CUE = ", ".join(cue_told(cue, word) for cue in CUE_WORDS for _, word in DEGREES)
EVERY_DIFFERENCE = ", ".join(word for pair, _ in VOICE_WORDS.values() for word in pair)
EVERY_EMOTION = ", ".join(LABELS)


def test_an_honest_chain_earns_all_of_it() -> None:
    assert told(written(), KNOWN) == CountedStatements(n_statements=5, n_true=5, n_measured=5, n_found=5)
    assert faithful(written(), KNOWN) == 1.0
    assert answer(written(), KNOWN) == 0.6


@pytest.mark.parametrize(
    "gamed",
    [
        {"face": f"{EVERY_CUE}. The expression is happy."},
        {"face": f"{HONEST['face']} {', '.join(CUE_WORDS[cue][0] for cue in CUE_WORDS)}."},
        {"voice": f"{EVERY_DIFFERENCE} than usual. The voice is sad."},
        {"face": f"{HONEST['face']} {HONEST['face']}", "voice": f"{HONEST['voice']} {HONEST['voice']}"},
        {"face": f"The expression is {EVERY_EMOTION}."},
        {"voice": f"Much higher in pitch, quieter than usual. The voice is {EVERY_EMOTION}."},
        {"voice": "Much higher in pitch, quieter than usual."},
        {"fine": f"It is {EVERY_EMOTION}: happy."},
        {"coarse": "Tendency positive. Both agree."},
        {"answer": EVERY_EMOTION},
        {"answer": "unsure"},
        {"answer": ""},
        {"face": "The expression is happy.", "voice": "The voice is sad."},
        dict.fromkeys(HONEST, ""),
    ],
    ids=[
        "every cue", "every cue without a degree", "every difference", "all said twice", "every emotion of the face",
        "every emotion of the voice", "no emotion of the voice", "every emotion in the argument", "agreement",
        "every emotion as the answer", "unsure", "no answer", "no cue", "nothing",
    ],
)  # fmt: skip
def test_lists_of_words_and_silence_earn_less(gamed: dict[str, str]) -> None:
    """Of the two rewards that are usual; the sum is what chains of a group are compared by."""

    def earned(of: WrittenChain) -> float:
        return answer(of, KNOWN) + faithful(of, KNOWN)

    assert earned(written(gamed)) < earned(written()) - 0.15


def test_statements_count_by_their_truth_and_what_was_measured_by_being_told() -> None:
    # Four of five statements hold, all but one of the five that were to be told are.
    one_false = {"face": HONEST["face"].replace("mouth slightly open", "brows strongly raised outside")}
    assert told(written(one_false), KNOWN) == CountedStatements(4, 4, 5, 4)
    false = {"face": HONEST["face"].replace("mouth slightly open", "nose strongly wrinkled")}
    assert told(written(false), KNOWN) == CountedStatements(5, 4, 5, 4)
    assert faithful(written(false), KNOWN) == pytest.approx(0.8)
    # A true cue beyond the strongest three is no fault, and no merit.
    more = {"face": HONEST["face"].replace("Cheeks", "Brows slightly lowered, cheeks")}
    assert told(written(more), KNOWN) == CountedStatements(6, 6, 5, 5)
    # A cue may be told before its degree; without one it counts as false.
    assert told(written({"face": "Jaw dropped slightly. The expression is happy."}), KNOWN) == CountedStatements(
        3, 3, 5, 3
    )
    assert told(written({"face": "Jaw dropped. The expression is happy."}), KNOWN) == CountedStatements(3, 2, 5, 2)
    # A degree that is half a step off holds, as in serving.
    assert told(written({"face": "Cheeks slightly raised."}), KNOWN).n_true == 3
    assert told(written({"face": "Lip corners slightly pulled up."}), KNOWN).n_true == 2


def test_nothing_to_tell_and_nothing_told_is_right() -> None:
    quiet = measured(BOTH, {}, {})
    at_rest = {"face": "Features at rest. The expression is happy.", "voice": "As usual. The voice is sad."}
    assert faithful(written(at_rest), replace(KNOWN, window=quiet)) == 1.0
    assert faithful(written(), replace(KNOWN, window=quiet)) == 0.0
    new = measured(BOTH, CUES, {"pitch_hz": 1.5}, usual=False)
    assert told(written(), replace(KNOWN, window=new)) == CountedStatements(5, 3, 3, 3)


def test_a_chain_that_contradicts_itself_is_not_faithful() -> None:
    for changed in (
        {"fine": "The angry face outweighs the sad voice: happy, strong."},
        {"answer": "sad, strong"},
        {"fine": "The sad voice outweighs the happy face: sad, strong.", "answer": "sad, strong"},
        {"voice": "Much higher in pitch, quieter than usual. The voice is angry."},  # unlikely by the voice alone
    ):
        assert not consistent(written(changed), KNOWN), changed
        assert faithful(written(changed), KNOWN) == 0.0
    strayed = {"fine": "The sad voice outweighs the happy face: sad, strong.", "answer": "sad, strong"}
    assert consistent(written(strayed, argued_for="sad"), KNOWN)


def test_what_is_not_there_need_not_be_read() -> None:
    face = {"voice": "No speech.", "coarse": "Tendency positive. Only the face speaks.", "fine": "It points to happy."}
    alone = {"face": KNOWN.alone["face"]}
    known = Known(measured(FACE_ONLY, CUES, {}), VOTES, alone)
    assert faithful(written(face), known) == 1.0
    voice = {"face": "No picture.", "coarse": "Only the voice speaks.", "fine": "It points to sad.", "answer": "sad"}
    heard = Known(
        measured(VOICE_ONLY, {}, {"pitch_hz": 1.5, "loudness_db": -0.8}), {"sad": 1.0}, {"voice": ALONE["voice"]}
    )
    assert faithful(written(voice, argued_for="sad"), heard) == 1.0
    nothing = {"face": "No picture.", "voice": "No speech.", "coarse": "", "fine": "", "answer": "unsure"}
    assert answer(written(nothing), Known(NOTHING, {}, {})) == 0.0


def test_answers_are_scored_by_the_votes() -> None:
    for judged, text, share in (
        ("happy", "happy, slight", 0.6),
        ("surprise", "surprise", 0.25),
        ("angry", "angry", 0.0),
        ("happy", "not happy", 0.0),
        ("angry", "happy, slight", 0.0),  # strays from what was judged
    ):
        assert answer(written({"answer": text}, argued_for=judged), KNOWN) == share, text


def test_form_length_and_spoken_confidence() -> None:
    assert format_kept(written(), KNOWN) == 1.0
    assert format_kept(replace(written(), n_cut=1), KNOWN) == 0.0
    assert format_kept(written({"answer": "happy"}), KNOWN) == 0.0
    assert format_kept(written({"context": " "}), KNOWN) == 0.0
    assert [length(written(n_tokens=n), KNOWN) for n in (0, ROOM, ROOM * 3 // 2, 2 * ROOM, 9 * ROOM)] == [
        1,
        1,
        0.5,
        0,
        0,
    ]

    def score(c: float, share: float) -> float:
        return share * math.log(c) + (1 - share) * math.log(1 - c)

    assert confidence(written(), KNOWN) == pytest.approx(score(SURE, 0.6))
    doubting = {"fine": "The happy face outweighs the sad voice: happy, strong, with doubt."}
    assert confidence(written(doubting), KNOWN) == pytest.approx(score(UNSURE, 0.6))
    told_so = [confidence(written({"fine": f"This is happy, {n} %."}), KNOWN) for n in range(0, 101, 10)]
    # Nothing is better than to tell the share itself.
    assert max(range(11), key=lambda at: told_so[at]) == 6
    assert confidence(written({"answer": ""}), KNOWN) == math.log(LEAST)


def test_open_words_have_precision_and_recall() -> None:
    def both(text: str) -> tuple[float, float]:
        return precision(written({"answer": text}), KNOWN), recall(written({"answer": text}), KNOWN)

    assert both("happy, slight") == (1.0, 0.5)
    assert both("joyful and astonished") == (1.0, 1.0)
    assert both(EVERY_EMOTION) == (2 / 7, 1.0)
    assert both("angry") == (0.0, 0.0)
    assert both("") == (0.0, 0.0)


def test_each_reward_is_finite_for_any_text() -> None:
    for text in ("", "<face>", "happy " * 300, "100 % 0 % 999 %", "«»…\ufffd"):
        chain = WrittenChain(dict.fromkeys(HONEST, text), None, 10**6, 7)
        for reward in REWARDS.values():
            assert math.isfinite(reward(chain, KNOWN))
