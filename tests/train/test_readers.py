"""Official layouts, built here with empty recordings: what is read, and what is said when something is missing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from train.readers import cremad, dfew, emer, iemocap, meld, mustard, ravdess, sets, urfunny
from train.readers.clip import DataMissing

PROTOCOLS = (2, 4, 5)
"Of pickle: that of Python 2, that up to Python 3.13, and that of Python 3.14."


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def dfew_folder(tmp_path: Path) -> Path:
    for fold in range(1, 6):
        rows = f"{fold},{fold}\n{fold + 5},7\n"
        touch(tmp_path / f"EmoLabel_DataSplit/test(single-labeled)/set_{fold}.csv", f"video_name,label\n{rows}")
        for name in (fold, fold + 5):
            touch(tmp_path / f"Clip/original/part_1/{name:05d}.mp4")
    return tmp_path


def test_dfew_has_five_folds(dfew_folder: Path) -> None:
    read = dfew.read(dfew_folder)
    assert len(read.clips) == 10
    assert read.labels == ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
    assert [clip.label for clip in read.part("test", 3)] == ["neutral", "fear"]
    with pytest.raises(DataMissing, match="no fold 6"):
        read.part("test", 6)


def test_a_wrong_split_file_is_named(dfew_folder: Path) -> None:
    path = dfew_folder / "EmoLabel_DataSplit/test(single-labeled)/set_2.csv"
    touch(path, "video_name,label\n2,9\n")
    with pytest.raises(DataMissing, match=r"set_2\.csv, line 2: label '9'"):
        dfew.read(dfew_folder)
    touch(path, "name;label\n2;2\n")
    with pytest.raises(DataMissing, match="no column video_name"):
        dfew.read(dfew_folder)


def test_a_missing_recording_is_counted(dfew_folder: Path) -> None:
    (dfew_folder / "Clip/original/part_1/00004.mp4").unlink()
    with pytest.raises(DataMissing, match="1 recordings are missing under Clip, first 4") as error:
        dfew.read(dfew_folder)
    assert "dfew-dataset.github.io" in str(error.value)


@pytest.mark.parametrize("name", sorted(sets.READERS))
def test_an_empty_folder_lists_what_is_missing_and_where_to_ask(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as error:
        sets.read(name, tmp_path)
    assert "http" in error.value.hint
    with pytest.raises(DataMissing, match="no folder"):
        sets.read(name, tmp_path / "nowhere")


def test_iemocap_takes_four_classes_and_a_fold_per_session(tmp_path: Path) -> None:
    for session in range(1, 6):
        dialog, name = tmp_path / f"Session{session}/dialog", f"Ses0{session}F_impro01"
        turns = [
            f"[6.2901 - 8.2357]\t{name}_F000\tneu\t[2.5, 2.5, 2.5]",
            f"[10.0 - 11.5]\t{name}_M000\texc\t[2.5, 2.5, 2.5]",
            f"[12.0 - 13.5]\t{name}_M001\txxx\t[2.5, 2.5, 2.5]",
        ]
        touch(dialog / f"EmoEvaluation/{name}.txt", "% header\n\n" + "\n".join(turns) + "\n")
        touch(dialog / f"transcriptions/{name}.txt", f"{name}_F000 [006.2901-008.2357]: Excuse me.\n")
        touch(dialog / f"avi/DivX/{name}.avi")
    read = iemocap.read(tmp_path)
    assert len(read.clips) == 10
    first, second = read.part("test", 2)
    assert (first.label, first.text, first.start_s, first.slices["sex"]) == ("neutral", "Excuse me.", 6.2901, "female")
    assert (second.label, second.speaker) == ("happy", "2M")


def test_meld_has_official_parts_and_tolerates_the_known_gaps(tmp_path: Path) -> None:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    row = '{n},"Oh, no",Monica,{emotion},negative,{n},0,1,1,"0","1"\n'
    for part, (table, videos) in meld.PARTS.items():
        touch(tmp_path / table, header + row.format(n=1, emotion="sadness") + row.format(n=2, emotion="joy"))
        (tmp_path / videos).mkdir()
        for n in (1, 2) if part == "test" else (1,):
            touch(tmp_path / videos / f"dia{n}_utt0.mp4")
    read = meld.read(tmp_path)
    assert [clip.label for clip in read.part("test")] == ["sadness", "joy"]
    assert len(read.part("train+valid")) == 2
    assert read.n_missing == 2
    (tmp_path / "output_repeated_splits_test/dia2_utt0.mp4").unlink()
    with pytest.raises(DataMissing, match="1 recordings are missing"):
        meld.read(tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mustard_has_a_speaker_independent_split_and_five_folds(tmp_path: Path, protocol: int) -> None:
    rows = {
        f"1_{n}": {"utterance": "Sure.", "speaker": "A", "show": "FRIENDS" if n < 3 else "BBT", "sarcasm": n % 2 == 0}
        for n in range(10)
    }
    touch(tmp_path / "sarcasm_data.json", json.dumps(rows))
    folds = [(np.setdiff1d(np.arange(10), test), test) for test in np.arange(10).reshape(5, 2)]
    (tmp_path / "split_indices.p").write_bytes(pickle.dumps(folds, protocol))
    for key in rows:
        touch(tmp_path / f"mmsd_raw_data/utterances_final/{key}.mp4")
    read = mustard.read(tmp_path)
    assert len(read.part("test")) == 3
    assert [clip.key for clip in read.part("test", 2)] == ["1_2", "1_3"]
    # The speaker-independent test part cuts through the folds: figures by fold would be of pieces.
    assert not read.whole_folds("test")
    assert read.whole_folds("all")
    assert read.whole_folds("test", 2)
    assert read.clips[0].label == "sarcastic"
    (tmp_path / "split_indices.p").write_bytes(pickle.dumps(folds[:4]))
    with pytest.raises(DataMissing, match="does not divide 10 utterances"):
        mustard.read(tmp_path)
    (tmp_path / "split_indices.p").write_bytes(pickle.dumps(print))
    with pytest.raises(DataMissing, match="print"):
        mustard.read(tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ur_funny_reads_its_pickles(tmp_path: Path, protocol: int) -> None:
    tables = {
        "data_folds.pkl": {"train": [1], "dev": [2], "test": [3]},
        "humor_label_sdk.pkl": {1: 0, 2: np.array([[1]]), 3: 1},
        "language_sdk.pkl": {n: {"punchline_sentence": "And so."} for n in (1, 2, 3)},
    }
    for name, table in tables.items():
        (tmp_path / name).write_bytes(pickle.dumps(table, protocol))
    for n in (1, 2, 3):
        touch(tmp_path / f"urfunny2_videos/{n}.mp4")
    read = urfunny.read(tmp_path)
    assert [(clip.split, clip.label) for clip in read.clips] == [
        ("train", "serious"), ("valid", "humorous"), ("test", "humorous"),
    ]  # fmt: skip


def test_emer_carries_what_people_wrote(tmp_path: Path) -> None:
    touch(tmp_path / "gt-eng.csv", "names,emotions,subtitles,reasons\nsample_1,angry,No!,She frowns.\n")
    touch(tmp_path / "videos/sample_1.avi")
    (clip,) = emer.read(tmp_path).clips
    assert (clip.label, clip.text, clip.reference) == ("angry", "No!", "She frowns.")
    touch(tmp_path / "final-EMER-reason.csv", "names,english\nsample_1,She frowns.\n")
    assert [clip.label for clip in emer.read(tmp_path).clips] == [""]


def test_crema_d_tells_the_audio_visual_vote(tmp_path: Path) -> None:
    touch(
        tmp_path / "tabulatedVotes.csv",
        '"","A","D","F","H","N","S","fileName"\n"100001",9,0,0,1,0,0,"1001_X"\n"200001",0,0,0,0,4,0,"1001_X"\n'
        '"300001",0,0,0,1,3,0,"1001_X"\n"100002",0,0,0,2,2,0,"1001_Y"\n"300002",0,0,0,1,3,0,"1001_Y"\n',
    )
    touch(tmp_path / "VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,x\n")
    touch(tmp_path / "clips/1001_X.flv")
    touch(tmp_path / "clips/1001_Y.flv")
    clip, tied = cremad.read(tmp_path).clips
    assert (clip.slices[cremad.CONFLICT], tied.slices[cremad.CONFLICT]) == ("differ", "undecided")
    assert (clip.label, clip.votes["neutral"], clip.slices["age"]) == ("neutral", 0.75, "50 and over")


def test_ravdess_is_read_from_names(tmp_path: Path) -> None:
    touch(tmp_path / "Actor_02/03-01-02-01-02-01-02.wav")
    touch(tmp_path / "Actor_24/03-01-08-02-01-01-24.wav")
    touch(tmp_path / "Actor_24/03-02-08-02-01-01-24.wav")
    calm, surprised = ravdess.read(tmp_path).clips
    assert (calm.label, calm.split, calm.slices["sex"]) == ("neutral", "train", "female")
    assert (surprised.label, surprised.split) == ("surprise", "test")
