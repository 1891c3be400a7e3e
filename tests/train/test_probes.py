"""What a line reads off states: what is in them, and not what isn't; and a model's states know where a face is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime.engine.loading import LoadedModel
from realtime.records import Question, UInt8, VideoFrame
from train.evaluation.probes import KINDS, StatesRead, count, measured, pictures, state_of, told
from train.nano import ferplus


def test_a_line_tells_what_is_in_the_states_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    measured_NK = rng.normal(size=(800, len(KINDS)))
    x_ND = rng.normal(size=(800, 40))
    x_ND[:, :2] += 4 * measured_NK[:, :2]
    seen = StatesRead([str(at) for at in range(800)], x_ND, measured_NK)
    found = count(seen)
    for kind in KINDS[:2]:
        assert found["kinds"][kind]["right"] > 0.9
    for kind in KINDS[2:]:
        assert 0.4 < found["kinds"][kind]["right"] < 0.6
    hits = found["kinds"]["side"]["hits"]
    assert (len(hits), sum(hits.values())) == (800, round(800 * found["kinds"]["side"]["right"]))
    assert found["right"] == pytest.approx(np.mean([each["right"] for each in found["kinds"].values()]), abs=1e-3)


def test_a_picture_is_told_by_the_others_alone() -> None:
    """As many dimensions as pictures: a line that had seen a picture would know it."""
    rng = np.random.default_rng(1)
    assert told(rng.normal(size=(200, 400)), rng.normal(size=200)).mean() < 0.65


def test_the_states_of_a_picture_tell_its_side(nano: LoadedModel, portrait: UInt8) -> None:
    small = np.asarray(Image.fromarray(portrait[:256, 80:336]))
    states = []
    for left in (40, 48, 300, 344):
        picture = np.full((360, 640, 3), 90, np.uint8)
        picture[50:306, left : left + 256] = small
        perception = nano.perceiver(seed=0, question=Question(labels=nano.labels))
        seen = perception.see(VideoFrame(0.0, picture))
        perception.close()
        assert len(measured(seen)) == len(KINDS)
        assert (measured(seen)[0] < 0.5) == (left < 100)
        states.append(state_of(nano, seen))
    assert states[0].shape == (nano.weights.config.text.hidden_size,)
    within = np.linalg.norm(states[0] - states[1]) + np.linalg.norm(states[2] - states[3])
    assert within < np.linalg.norm(states[0] - states[2]) + np.linalg.norm(states[1] - states[3])


def test_pictures_are_the_same_each_time_and_faces_are_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    white = np.full((6, 48, 48), 255, np.uint8)
    monkeypatch.setattr(ferplus, "load", lambda _data: _Faces(white))
    first, again = (dict(pictures(Path(), "test", 5)) for _ in range(2))
    assert len(first) == 5
    assert all(np.array_equal(first[key], again[key]) for key in first)
    middles = [np.median((picture[150:210].mean((0, 2)) > 130).nonzero()[0]) for picture in first.values()]
    assert max(middles) - min(middles) > 100


class _Faces:
    def __init__(self, images_NHW: UInt8) -> None:
        self.images_NHW, self.index_N = images_NHW, np.arange(len(images_NHW))

    def part(self, _name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return self.index_N
