"""The samples of the voice benchmarks: whose sentences, in which sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ingest.media_files import voice as spoken
from train.evaluation.report import slices
from train.evaluation.samples import SAMPLES, count
from train.readers import sound

EMOTIONS = ("happy", "sad", "angry")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two corpora of a person for training and one for tests each, who say two sentences with each emotion."""
    for corpus in ("ours", "theirs"):
        folder = tmp_path / "voices" / corpus
        folder.mkdir(parents=True)
        lines = ["file,speaker,sex,emotion,language,seconds,text,split"]
        for speaker, split in (("a", "train"), ("b", "test")):
            for number, emotion in enumerate(EMOTIONS * 2):
                file = f"{speaker}_{number}.flac"
                sound.write(folder / file, spoken(0.8))
                lines.append(f"{file},{corpus}_{speaker},female,{emotion},en,0.8,,{split}")
        (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("benchmark", "n_sessions"), [("voices", 2), ("one-emotion", 6)])
def test_voices_of_every_corpus_are_heard_in_sessions(data: Path, benchmark: str, n_sessions: int) -> None:
    samples = list(SAMPLES[benchmark](data, "test", None))
    assert len(samples) == count(benchmark, data, "test", None) == 12
    assert {sample.slices["corpus"] for sample in samples} == {"ours", "theirs"}
    assert all("/b_" in sample.key for sample in samples), "the others are for training"
    by_session: dict[str, list[str]] = {}
    for sample in samples:
        by_session.setdefault(sample.session, []).append(sample.truth)
    assert len(by_session) == n_sessions
    n_emotions = {len(set(emotions)) for emotions in by_session.values()}
    assert n_emotions == {1 if benchmark == "one-emotion" else len(EMOTIONS)}
    first = list(SAMPLES[benchmark](data, "test", None))
    assert [sample.key for sample in first] == [sample.key for sample in samples], "the order is the same each time"


def test_a_limit_holds_for_every_session(data: Path) -> None:
    assert count("voices", data, "test", 2) == len(list(SAMPLES["voices"](data, "test", 2))) == 4


def test_a_slice_tells_how_sure_it_was_beside_how_right() -> None:
    sure = {"happy": 0.9, "sad": 0.1}
    rows = [
        {"truth": truth, "answer": "happy", "probabilities": sure, "slices": {"corpus": corpus}}
        for corpus, truth in [("ours", "happy")] * 30 + [("theirs", "sad")] * 30
    ]
    found = slices(rows, ("happy", "sad"))
    np.testing.assert_allclose(found["corpus: ours"]["ece"], 0.1, atol=1e-6)
    np.testing.assert_allclose(found["corpus: theirs"]["ece"], 0.9, atol=1e-6)


def test_a_face_that_training_holds_too_is_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 62, (4, 48, 48)).astype(np.uint8)
    pictures[2] = pictures[0] + 1  # a test picture that is one of training, but for light
    votes = np.zeros((4, 10), np.uint8)
    votes[:, 1] = 10
    (tmp_path / "ferplus").mkdir()
    file = tmp_path / "ferplus" / "ferplus48_q6.npz"
    np.savez(file, images=pictures, shift=2, votes=votes, split=np.array([0, 0, 2, 2]))
    slices = {sample.key: sample.slices for sample in SAMPLES["ferplus"](tmp_path, "test", None)}
    assert {key: own["also a training picture"] for key, own in slices.items()} == {"2": "yes", "3": "no"}
    np.savez(file, images=pictures, shift=2, votes=votes, split=np.array([2, 2, 2, 2]))
    alone = SAMPLES["ferplus"](tmp_path, "test", None)
    assert {sample.slices["also a training picture"] for sample in alone} == {"no"}, "no training part at hand"
