"""Recordings drawn of training people: who is in them, and what a session reads from them."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from realtime.model.experts import EXPERT_LABELS
from realtime.records import SAMPLE_RATE_HZ
from realtime.words.expert import WordsExpert
from tests.ingest.media_files import voice as spoken
from train.arrays import Int64
from train.nano import crowd, ferplus, recordings
from train.nano.recordings import Drawn, Recordings
from train.readers import sound, voices
from train.readers.recording import read_recording
from train.readers.voices import Voice

N_FACES = 14


def person(folder: Path, speaker: str, part: str) -> list[Voice]:
    """Two sentences of every emotion."""
    found = []
    for number, emotion in enumerate(EXPERT_LABELS * 2):
        path = folder / f"{speaker}_{number}.flac"
        sound.write(path, spoken(1.2))
        found.append(Voice(path, "ours", speaker, "female", "en", emotion, 1.2, "", part))
    return found


class Faces:
    """Two faces of each label; one of them belongs to the training part."""

    labels_N = np.arange(N_FACES) % len(EXPERT_LABELS)
    images_NHW = np.full((N_FACES, 48, 48), 120, np.uint8)
    votes_N7 = np.eye(len(EXPERT_LABELS))[labels_N]

    def part(self, name: str) -> Int64:
        return np.arange(len(EXPERT_LABELS)) if name == "thinker" else np.arange(len(EXPERT_LABELS), N_FACES)


@pytest.fixture
def drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recordings:
    everyone = person(tmp_path, "a", "train") + person(tmp_path, "b", "test") + person(tmp_path, "c", "train")
    monkeypatch.setattr(ferplus, "load", lambda _data: Faces())
    monkeypatch.setattr(voices, "load", lambda _data: everyone)
    votes = SimpleNamespace(face=None, voice=None, both=None)
    monkeypatch.setattr(crowd, "load", lambda _data: votes)
    mean = SimpleNamespace(fit=lambda *_votes: lambda face, voice: (face + voice) / 2)
    monkeypatch.setattr(crowd, "Teacher", mean)
    monkeypatch.setattr(crowd, "expected_voice_votes", lambda _votes: np.eye(len(EXPERT_LABELS)))
    return Recordings(tmp_path, "thinker")


def test_nobody_of_another_part_is_shown_or_heard(drawn_from: Recordings) -> None:
    drawn = [drawn_from.draw(number) for number in range(300)]
    assert {row for each in drawn for row in each.faces} == set(range(len(EXPERT_LABELS)))
    assert {voice.speaker for each in drawn for voice in each.sentences} == {"a", "c"}
    assert {len(each.sentences) for each in drawn} == {0, 1, 2, 4}
    for each in drawn:
        assert len({voice.speaker for voice in each.sentences}) <= 1
        assert each.faces or each.sentences
        assert each.shares_7.sum() == pytest.approx(1)
        if each.faces and each.sentences:
            acted = EXPERT_LABELS.index(each.sentences[-1].emotion)
            assert each.shares_7[acted] >= 0.5, "the last sentence is the one that is judged"


def test_a_recording_is_always_the_same(drawn_from: Recordings, tmp_path: Path) -> None:
    first, again = drawn_from.draw(5), drawn_from.draw(5)
    assert (first.faces, first.sentences, first.has_picture) == (again.faces, again.sentences, again.has_picture)
    speaking = next(drawn for n in range(50) if (drawn := drawn_from.draw(n)).sentences and drawn.faces)
    for name in ("one.mp4", "two.mp4"):
        drawn_from.write(speaking, tmp_path / name, 7)
    one, two = (read_recording(tmp_path / name, [(0, 99)]) for name in ("one.mp4", "two.mp4"))
    assert np.array_equal(one.frames[0].rgb_HW3, two.frames[0].rgb_HW3)
    assert not list(tmp_path.glob("*.tmp*"))


def test_the_voice_is_known_before_the_sentence_that_is_judged(drawn_from: Recordings, tmp_path: Path) -> None:
    """Three sentences, a silence, and the picture with the fourth: only that one falls into a window of 8 s."""
    voice = drawn_from.by_speaker["a"][0]
    drawn = Drawn((0,), (voice,) * 4, True, np.eye(len(EXPERT_LABELS))[0])
    drawn_from.write(drawn, tmp_path / "long.mp4", 1)
    recording = read_recording(tmp_path / "long.mp4", [(0, 99)])
    assert len(recording.speech) == 4
    *earlier, last = recording.speech
    assert last.end_s - 8 > earlier[-1].end_s
    assert recording.frames[0].at_s == pytest.approx(last.start_s - 0.5, abs=1.0)
    assert {after.at_s - before.at_s for before, after in itertools.pairwise(recording.frames)} <= {2.0}


def test_without_a_voice_there_is_a_second_of_faint_noise(drawn_from: Recordings, tmp_path: Path) -> None:
    silent = Drawn((0, 1), (), True, np.eye(len(EXPERT_LABELS))[0])
    samples_N, _ = drawn_from.sound(silent, np.random.default_rng(0))
    assert len(samples_N) == SAMPLE_RATE_HZ * 3 // 2
    assert 0 < np.abs(samples_N).max() < 0.01
    drawn_from.write(silent, tmp_path / "still.mp4", 2)
    recording = read_recording(tmp_path / "still.mp4", [(0, 99)])
    assert (len(recording.speech), recording.has_picture) == (0, True)


@pytest.mark.slow
def test_what_is_there_is_not_written_again(
    drawn_from: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "Recordings", lambda _data, _part: cast(Any, drawn_from))
    out = tmp_path / "out"
    assert recordings.write_folder(tmp_path, out, n=3, part="thinker") == 3
    assert recordings.write_folder(tmp_path, out, n=5, part="thinker") == 2
    assert len((out / "labels.csv").read_text().splitlines()) == 6


def test_sentences_are_short_of_one_emotion_and_read_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = {"it is about anger": "angry", "it is about joy": "happy", "crying": "sad", "a table": "neutral"}
    reads |= {"it is about disgust": "disgust", "it is about fear": "fear", "what a thing": "surprise", "ha": "happy"}
    reader = SimpleNamespace(probabilities=lambda text: {reads[text]: 0.9} if text in reads else None)
    monkeypatch.setattr(WordsExpert, "load", lambda: reader)
    data = tmp_path / "data"
    (data / "words").mkdir(parents=True)
    (data / "words" / "labels.txt").write_text("anger\ndisgust\nfear\njoy\nneutral\nsadness\nsurprise\n")
    long, blacked, mixed = "so " * 50, "[NAME] left me", "oh no, oh yes"
    lines = [f"it is about {name}\t{index}\tx" for index, name in enumerate(["anger", "disgust", "fear", "joy"])]
    lines += [f"{name}\t{index}\tx" for index, name in ((4, "a table"), (5, "crying"), (6, "what a thing"))]
    lines += [f"{long}\t5\tx", f"{blacked}\t5\tx", f"{mixed}\t3,5\tx", "ha\t5\tx", "so\t5\tx"]
    (data / "words" / "goemotions_ekman_train.tsv").write_text("\n".join(lines) + "\n")
    sentences, rng = recordings.WrittenSentences(data, "thinker", as_read=True), np.random.default_rng(0)
    drawn = [sentences.draw("happy", rng) for _ in range(400)]
    texts = dict(drawn)
    assert texts["it is about anger"] == "angry"
    assert texts["crying"] == "sad"
    assert not {long, blacked, mixed, "ha", "so"} & set(texts)
    every = recordings.WrittenSentences(data, "thinker", as_read=False)
    assert {every.of("sad", rng) for _ in range(40)} == {"crying", "ha", "so"}, "not chosen by what the expert reads"
    said = [label for _, label in drawn]
    assert 0.3 < said.count("neutral") / len(said) < 0.5
    assert 0.22 < said.count("happy") / len(said) < 0.4
    assert recordings.concluded("neutral", "sad") == "sad"
    assert recordings.concluded("angry", "happy") == "angry"


def test_the_votes_stay_those_of_face_and_voice(
    drawn_from: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sad:
        def __init__(self, _data: Path, _part: str, *, as_read: bool) -> None:
            assert as_read

        def draw(self, _label: str, _rng: np.random.Generator) -> tuple[str, str]:
            return "I lost it.", "sad"

    monkeypatch.setattr(recordings, "WrittenSentences", Sad)
    monkeypatch.setattr(recordings, "Recordings", lambda _data, _part: drawn_from)
    monkeypatch.setattr(drawn_from, "write", lambda _drawn, path, _number: path.touch())
    tables = []
    for words in (False, True):
        recordings.write_folder(tmp_path, tmp_path / str(words), n=60, part="thinker", words=words)
        with (tmp_path / str(words) / "labels.csv").open(encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    for silent, with_words in zip(*tables, strict=True):
        assert silent["votes"] == with_words["votes"]
        assert silent["text"] == ""
        changed = with_words["text"] != "" and silent["label"] == "neutral"
        assert with_words["label"] == ("sad" if changed else silent["label"])
    read = [row for row in tables[1] if row["text"]]
    assert len(read) > 20
    assert all(row["speaker"] for row in read)
