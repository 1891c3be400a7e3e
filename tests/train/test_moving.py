"""A face before a room that moves: the same pictures for every row, and as many tokens on average."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from realtime.engine.loading import LoadedModel
from realtime.records import UInt8
from train.evaluation.moving import SECONDS, MovingAnswer, answer, figures, pictures, rows_of


def face() -> UInt8:
    return np.full((48, 48), 140, np.uint8)


def test_the_room_moves_and_is_another_one_from_some_second_on() -> None:
    seen = np.stack(list(pictures(face(), np.random.default_rng(3)))).astype(np.float64)
    assert seen.shape == (SECONDS, 360, 640, 3)
    # The left side is room, the middle is face.
    changes, still = (
        np.abs(np.diff(part, axis=0)).mean((1, 2, 3)) for part in (seen[:, :, :120], seen[:, 160:200, 310:330])
    )
    assert (changes > 0).all()
    assert changes.max() > 2 * np.median(changes), "the cut"
    assert still.max() < changes.min()


def test_the_figures_of_a_row_by_hand() -> None:
    def answered(happy: float, tokens: int, dropped: float) -> MovingAnswer:
        return MovingAnswer({"happy": happy, "sad": 1 - happy}, [tokens, tokens + 2], [dropped, 0.5])

    reference = [answered(0.9, 10, 0.5), answered(0.4, 10, 0.5), answered(0.8, 10, 0.5), answered(0.2, 10, 0.5)]
    row = [answered(0.6, 12, 0.4), answered(0.7, 8, 0.6), answered(0.8, 10, 0.5), answered(0.2, 10, 0.5)]
    told = figures(reference, row, ["happy", "happy", "sad", "sad"])
    assert (told["right"], told["difference"], told["answers_that_differ"]) == (0.75, 0.25, 1)
    assert told["probability_moved"] == pytest.approx((0.3 + 0.3) / 4)
    assert told["tokens_of_a_picture"] == 11
    assert told["dropped_least_and_most"] == [0.4, 0.6]
    low, high = told["difference_95"]
    assert low <= 0 < 0.25 < high
    assert figures(reference, reference, ["happy"] * 4)["difference_95"] == [0, 0]


@pytest.mark.slow
def test_adaptive_rows_move_tokens_between_pictures_and_leave_the_model_as_it_was(
    nano: LoadedModel, portrait: UInt8
) -> None:
    own, grey = nano.weights.config, portrait[40:200, 140:300].mean(2)
    small = np.asarray(Image.fromarray(grey.astype(np.uint8)).resize((48, 48)))
    seen = list(pictures(small, np.random.default_rng(1)))
    found = {name: answer(nano, variant, seen) for name, variant in rows_of(0.5).items()}
    assert nano.weights.config is own
    told = {name: one for name, one in found.items() if one is not None}
    assert told.keys() == found.keys()
    assert {round(share, 1) for share in told["random"].dropped} == {0.5}
    for name, one in told.items():
        assert np.mean(one.tokens) == pytest.approx(np.mean(told["random"].tokens), rel=0.1)
        assert ("adaptive" in name) == (len(set(one.dropped)) > 1)
    blank = [np.full((360, 640, 3), 128, np.uint8)] * SECONDS
    assert answer(nano, rows_of(0.5)["random"], blank) is None
