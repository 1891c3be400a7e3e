"""The three subsets of CA-MER: reading them, making them of our pairs, and what is followed in a conflict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from realtime.errors import BadSettings
from train.evaluation import conflicts
from train.evaluation.answering import Row
from train.evaluation.conflicts import Told, measure, of_clips, table
from train.readers import camer, sets, voices
from train.readers.clip import DataMissing

TABLES = {
    "video-aligned": "name,label,video_label,audio_label\nv1,happy,,neutral\nv2,worried,worried,happy\n",
    "audio-aligned": "name,label\na1,Angry\n",
    "consistent": "name,label\nc1,sad\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for subset, text in TABLES.items():
        (tmp_path / f"{subset}.csv").write_text(text, encoding="utf-8")
    (tmp_path / "clips").mkdir()
    for name in ("v1", "v2", "a1", "c1"):
        (tmp_path / "clips" / f"{name}.mp4").touch()
    return tmp_path


def answered(folder: Path, answers: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"key": clip.key, "truth": clip.label, "slices": dict(clip.slices), "answer": answers[clip.key[-2:]]}
        for clip in sets.read("ca-mer", folder).clips
    ]


def test_ca_mer_is_read_from_three_tables(folder: Path) -> None:
    clips = {clip.key: clip for clip in camer.read(folder).part("test")}
    assert list(clips) == ["video-aligned/v1", "video-aligned/v2", "audio-aligned/a1", "consistent/c1"]
    assert clips["audio-aligned/a1"].label == "angry"
    assert clips["video-aligned/v1"].slices == {"subset": "video-aligned", "the audio says": "neutral"}
    assert clips["consistent/c1"].path == folder / "clips" / "c1.mp4"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("consistent", None, "consistent.csv: names and labels"),
        ("consistent", "name,label\nc1,\n", "line 2: labels ''"),
        ("audio-aligned", "name,label\na1,furious\n", "expected neutral, angry"),
        ("audio-aligned", "clip,emotion\na1,sad\n", "no column name, label"),
        ("audio-aligned", "name,label\nnone,sad\n", "1 of 4 recordings are missing, first none"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(folder: Path, name: str, text: str | None, message: str) -> None:
    path = folder / f"{name}.csv"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    with pytest.raises(DataMissing, match=message):
        camer.read(folder)


def test_subsets_and_what_is_followed_by_hand(folder: Path) -> None:
    told = of_clips(answered(folder, {"v1": "happy", "v2": "happy", "a1": "sad", "c1": "sad"}))
    found = measure(told, camer.LABELS)
    accuracies = {name: subset["accuracy"] for name, subset in found["subsets"].items()}
    assert accuracies == {"video-aligned": 0.5, "audio-aligned": 0, "consistent": 1}
    assert found["gap"]["value"] == 0.5
    # Of a1 nobody says what the video shows: only v1 and v2 are known to conflict.
    follows = found["follows"]["model"]
    assert (follows["n"], follows["face"], follows["voice"], follows["neither"]) == (2, 0.5, 0.5, 0)
    assert found["follows"]["crowd"]["face"] == 1
    assert "| video-aligned | 2 | 0.5 |" in "\n".join(table(found))


def test_one_subset_alone_has_no_gap() -> None:
    row: Row = {"truth": "sad", "answer": None, "slices": {}}
    found = measure([Told(row, "consistent", "sad", "sad")], camer.LABELS)
    assert found["subsets"]["consistent"]["accuracy"] == 0
    assert "gap" not in found
    assert "follows" not in found


@pytest.fixture
def ferplus_and_ravdess(tmp_path: Path) -> Path:
    """A happy face and a sad one, and one sad sentence's label."""
    counts = np.zeros((2, 10), np.uint8)
    counts[0, 1] = counts[1, 3] = 10
    for name in ("ferplus", "ravdess"):
        (tmp_path / name).mkdir()
    images = np.zeros((2, 48, 48), np.uint8)
    np.savez(tmp_path / "ferplus" / "ferplus48_q6.npz", images=images, shift=2, votes=counts, split=np.array([2, 2]))
    label = "file,emotion,intensity,statement,repetition,actor,sex\nsad.wav,sad,normal,kids,1,19,M\n"
    (tmp_path / "ravdess" / "labels.csv").write_text(label, encoding="utf-8")
    soundfile.write(tmp_path / "ravdess" / "sad.wav", np.zeros(1600), 16_000)
    return tmp_path


def run_of(path: Path, benchmark: str, rows: list[dict[str, Any]]) -> Path:
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"benchmark": benchmark}))
    (path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_reads_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = answered(folder, {"v1": "happy", "v2": "worried", "a1": "angry", "c1": "neutral"})
    run = run_of(folder / "run", "ca-mer", rows)
    monkeypatch.setattr(sys, "argv", ["conflicts", str(run)])
    assert conflicts.main() == 0
    assert json.loads(capsys.readouterr().out)["subsets"]["audio-aligned"]["accuracy"] == 1
    pairs = run_of(folder / "pairs", "conflict", rows)
    with pytest.raises(BadSettings, match="--data is missing"):
        conflicts.read([pairs], None)
    with pytest.raises(BadSettings, match="holds 4 answers of meld"):
        conflicts.read([run_of(folder / "meld", "meld", rows)], None)


def test_pairs_of_the_data_folder_become_subsets(tmp_path: Path, ferplus_and_ravdess: Path) -> None:
    (sentence,) = voices.load(ferplus_and_ravdess)
    asked = ((0, "happy", "the face"), (0, "sad", "the voice"), (1, "sad", "both"), (0, "fear", "neither"))
    rows = [
        {
            "key": f"{sentence.key} {number} {at_s}", "truth": truth, "answer": "happy",
            "slices": {"the crowd goes with": side},
        }
        for at_s, (number, truth, side) in enumerate(asked)
    ]  # fmt: skip
    told, labels = conflicts.read([run_of(tmp_path / "run", "conflict", rows)], ferplus_and_ravdess)
    assert [(each.subset, each.face, each.voice) for each in told] == [
        ("video-aligned", "happy", "sad"), ("audio-aligned", "happy", "sad"), ("consistent", "sad", "sad"),
        (None, "happy", "sad"),
    ]  # fmt: skip
    found = measure(told, labels)
    assert (found["n"], found["neither"]) == (4, 1)
    assert found["follows"]["model"]["face"] == 1
    assert found["follows"]["crowd"]["voice"] == pytest.approx(1 / 3, abs=1e-4)
