"""Official downloads, built here with small recordings, become the data folder; the project's own readers read it."""

from __future__ import annotations

import csv
import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.errors import BadSettings, NotMedia, RealtimeError
from realtime.outputs import DiskFull
from realtime.records import Float32
from train.command import run_command
from train.convert import __main__ as convert
from train.convert import official
from train.nano import crowd, ferplus, ravdess
from train.readers import sound, voices
from train.readers.clip import DataMissing

RATE_HZ = 48_000

Run = Callable[..., int]
"The command, by the name of the set and its flags."


def tone(path: Path, seconds: float = 0.4, *, channels: int = 2) -> Path:
    """A file of 48 kHz with a tone of 220 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave_N = 0.3 * np.sin(2 * np.pi * 220 * at_s)
    soundfile.write(path, np.repeat(wave_N[:, None], channels, axis=1), RATE_HZ, subtype="PCM_16")
    return path


def table(path: Path, *rows: Iterable[object], tabs: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as lines:
        if tabs:
            lines.writelines("\t".join(map(str, row)) + "\n" for row in rows)
        else:
            csv.writer(lines).writerows(rows)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command on `tmp_path/official`; the data folder is `tmp_path/data`."""

    def command(name: str, *flags: str) -> int:
        source = [] if name == "check" else [str(tmp_path / "official")]
        monkeypatch.setattr(sys, "argv", ["convert", name, *source, "--data", str(tmp_path / "data"), *flags])
        return convert.main()

    return command


# FER+


def a_ferplus(folder: Path, pixels: str | None = None) -> None:
    faces: list[list[object]] = [["emotion", "pixels", "Usage"]]
    faces += [
        [0, pixels if pixels is not None and part == "Training" else " ".join([str(grey)] * 2304), part]
        for part, grey in (("Training", 255), ("Training", 9), ("PublicTest", 100), ("PrivateTest", 7))
    ]
    table(folder / "fer2013" / "fer2013.csv", *faces)
    columns = [
        "Usage",
        "Image name",
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
        "unknown",
        "NF",
    ]
    table(
        folder / "FERPlus" / "fer2013new.csv",
        columns,
        ["Training", "fer0000000.png", 0, 8, 1, 0, 0, 0, 0, 0, 1, 0],
        ["Training", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
        ["PublicTest", "fer0000002.png", 9, 0, 0, 0, 1, 0, 0, 0, 0, 0],
        ["PrivateTest", "fer0000003.png", 0, 0, 0, 0, 7, 0, 3, 0, 0, 0],
    )


def test_ferplus_is_read_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ferplus(tmp_path / "official")
    with pytest.raises(DataMissing, match="4 of 35887 faces") as error:
        run("ferplus")
    assert "kaggle" in error.value.hint.lower()
    assert run("ferplus", "--partial") == 0
    assert "Training 1, PublicTest 1, PrivateTest 1, without a face (no name in FER+) 1" in capsys.readouterr().out
    faces = ferplus.load(tmp_path / "data")
    assert faces.images_NHW[:, 0, 0].tolist() == [252, 100, 4], "six bits of each pixel"
    assert [int(label) for label in faces.labels_N] == [0, 2, 3]
    assert faces.split_N.tolist() == [ferplus.TRAIN, ferplus.VALID, ferplus.TEST]
    assert [path.name for path in (tmp_path / "data" / "ferplus").iterdir()] == ["ferplus48_q6.npz"]


def test_faces_that_broke_off_are_named(run: Run, tmp_path: Path) -> None:
    a_ferplus(tmp_path / "official", pixels="1 2 3")
    with pytest.raises(DataMissing, match=r"fer2013\.csv, line 2 is no face: 3 numbers"):
        run("ferplus", "--partial")
    a_ferplus(tmp_path / "official", pixels="1 x")
    with pytest.raises(DataMissing, match=r"fer2013\.csv, line 2: invalid literal"):
        run("ferplus", "--partial")
    a_ferplus(tmp_path / "official")
    text = (tmp_path / "official/FERPlus/fer2013new.csv").read_text().splitlines()
    (tmp_path / "official/FERPlus/fer2013new.csv").write_text("\n".join(text[:-1]) + "\n")
    with pytest.raises(DataMissing, match=r"has 4 faces and .* has 3 rows"):
        run("ferplus", "--partial")
    (tmp_path / "official/FERPlus/fer2013new.csv").write_text("\n".join([*text[:-1], text[1]]) + "\n")
    with pytest.raises(DataMissing, match="Line 5: Usage is 'PrivateTest' in"):
        run("ferplus", "--partial")
    (tmp_path / "official/FERPlus/fer2013new.csv").unlink()
    with pytest.raises(DataMissing, match=r"fer2013new\.csv: the votes"):
        run("ferplus", "--partial")
    assert not (tmp_path / "data").exists()


# RAVDESS


def a_ravdess(folder: Path) -> None:
    for name in ("03-01-01-01-01-01-01", "03-01-05-02-02-01-01", "03-01-02-01-01-02-20"):
        tone(folder / f"Actor_{name[-2:]}" / f"{name}.wav")
    tone(folder / "Actor_01" / "03-02-05-01-02-01-01.wav")
    tone(folder / "Actor_01" / "03-01-09-01-02-01-01.wav")
    (folder / "Actor_01" / "01-01-05-01-02-01-01.mp4").touch()
    (folder / "Actor_01" / "._03-01-01-01-01-01-01.wav").touch()


def test_ravdess_is_read_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ravdess(tmp_path / "official")
    with pytest.raises(DataMissing, match="3 of the 1440 sentences"):
        run("ravdess")
    assert not (tmp_path / "data").exists()
    assert run("ravdess", "--partial") == 0
    told = capsys.readouterr().out
    assert "skipped 1: a song (03-02-05-01-02-01-01.wav)" in told
    assert "skipped 1: a video (01-01-05-01-02-01-01.mp4)" in told
    assert "skipped 1: the name is not one of RAVDESS (03-01-09-01-02-01-01.wav)" in told
    assert "3 sentences, 3 of them new" in told
    clips = ravdess.load(tmp_path / "data")
    assert [(clip.file[:-5], clip.label, clip.strong, clip.actor, clip.sex) for clip in clips] == [
        ("03-01-01-01-01-01-01", 2, False, 1, "M"),
        ("03-01-02-01-01-02-20", 2, False, 20, "F"),
        ("03-01-05-02-02-01-01", 3, True, 1, "M"),
    ]
    samples_N = ravdess.read_samples(tmp_path / "data", clips[0].file)
    assert len(samples_N) == pytest.approx(0.4 * 16_000, abs=2)
    assert np.abs(samples_N).max() == pytest.approx(0.3, abs=0.01), "two equal channels keep their level"
    read = voices.read(tmp_path / "data", "ravdess")
    assert [(voice.part, voice.emotion, voice.text[:4]) for voice in read] == [
        ("train", "neutral", "Kids"), ("test", "neutral", "Kids"), ("train", "angry", "Dogs"),
    ]  # fmt: skip


def test_a_stopped_run_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_ravdess(tmp_path / "official")
    write = sound.write
    written: list[str] = []
    stop_after = 2

    def counted(path: Path, samples_N: Float32) -> None:
        if len(written) == stop_after:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, samples_N)

    monkeypatch.setattr(sound, "write", counted)
    with pytest.raises(KeyboardInterrupt):
        run("ravdess", "--partial")
    assert not (tmp_path / "data/ravdess/labels.csv").exists(), "half a corpus is none"
    stop_after = 99
    assert run("ravdess", "--partial") == 0
    assert len(written) == len(set(written)) == 3, "nothing is converted twice"
    assert run("ravdess", "--partial") == 0
    assert len(written) == 3
    assert not list((tmp_path / "data/ravdess").glob("*.tmp*"))


def test_a_full_disk_is_told_and_leaves_nothing_half(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_ravdess(tmp_path / "official")

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFull, match="No space left on device"):
        run("ravdess", "--partial")
    assert not list((tmp_path / "data/ravdess").iterdir())
    monkeypatch.undo()


def test_actors_in_reserve_train_nothing(run: Run, tmp_path: Path) -> None:
    a_ravdess(tmp_path / "official")
    tone(tmp_path / "official/Actor_24/03-01-03-01-01-01-24.wav")
    assert run("ravdess", "--partial") == 0
    assert {voice.part for voice in voices.load(tmp_path / "data") if voice.speaker == "ravdess_24"} == {"reserve"}
    assert {clip.actor for clip in ravdess.load(tmp_path / "data")} == {1, 20}


# CREMA-D


def a_crema_d(folder: Path) -> None:
    counts = {"1": (3, 0, 0, 0, 7, 0), "2": (0, 0, 0, 9, 1, 0), "3": (1, 0, 0, 8, 1, 0)}
    table(
        folder / "processedResults/tabulatedVotes.csv",
        ["", "A", "D", "F", "H", "N", "S", "fileName"],
        *([f"{kind}00001", *row, "1001_DFA_HAP_XX"] for kind, row in counts.items()),
    )
    table(folder / "VideoDemographics.csv", ["ActorID", "Age", "Sex"], [1001, 51, "Male"])


def test_crema_d_keeps_its_tables_and_may_have_no_recordings(run: Run, tmp_path: Path) -> None:
    a_crema_d(tmp_path / "official")
    assert run("crema_d") == 0
    assert crowd.load(tmp_path / "data").file == ("1001_DFA_HAP_XX",)
    copied = tmp_path / "data/crema_d/tabulatedVotes.csv"
    assert copied.read_bytes() == (tmp_path / "official/processedResults/tabulatedVotes.csv").read_bytes()
    assert voices.corpora(tmp_path / "data") == []


def test_crema_d_is_heard_from_wav_before_flv(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_crema_d(tmp_path / "official")
    for name in ("1001_DFA_HAP_XX", "1002_DFA_HAP_XX", "1001_DFA_BOR_XX", "notes"):
        tone(tmp_path / "official/AudioWAV" / f"{name}.wav")
    (tmp_path / "official/VideoFlash").mkdir()
    (tmp_path / "official/VideoFlash/1001_DFA_HAP_XX.flv").write_bytes(b"broken")
    assert run("crema_d", "--partial") == 0
    told = capsys.readouterr().out
    assert "the label BOR is none of the set's (1001_DFA_BOR_XX.wav)" in told
    assert "VideoDemographics.csv lacks the actor (1002_DFA_HAP_XX.wav)" in told
    (voice,) = voices.read(tmp_path / "data", "crema_d")
    assert (voice.speaker, voice.sex, voice.emotion, voice.part) == ("crema_d_1001", "male", "happy", "train")
    assert voice.text == "Don't forget a jacket."


def test_a_table_that_git_lfs_did_not_fetch_is_told(run: Run, tmp_path: Path) -> None:
    a_crema_d(tmp_path / "official")
    (tmp_path / "official/processedResults/tabulatedVotes.csv").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(BadSettings, match="git-LFS pointer"):
        run("crema_d")


# nEMO and EMOVO


def a_nemo(folder: Path) -> None:
    head = ["file_id", "emotion", "raw_text", "normalized_text", "speaker_id", "gender", "age"]
    table(
        folder / "data.tsv",
        head,
        ["KS0_surprised_10.wav", "surprised", 'Kupiłem "nową" szafę.', "kupiłem", "        KS0", "male", 23],
        ["WR0_anger_1.wav", "anger", "Lubię czytać przed snem.", "lubię", "        WR0", "male", 23],
        ["KD0_boredom_1.wav", "boredom", "Lubię czytać przed snem.", "lubię", "        KD0", "female", 28],
        ["KD0_fear_2.wav", "fear", "Nie waśńmy się.", "nie", "        KD0", "female", 28],
        tabs=True,
    )
    for name in ("KS0_surprised_10", "WR0_anger_1", "KD0_boredom_1"):
        tone(folder / "samples" / f"{name}.wav", channels=1)


def test_nemo_is_read_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_nemo(tmp_path / "official")
    with pytest.raises(DataMissing, match=r"2 of the 4481 sentences") as error:
        run("nemo")
    assert "samples/ lacks the recording (KD0_fear_2.wav)" in error.value.message
    assert run("nemo", "--partial") == 0
    assert "skipped 1: the label boredom is none of the seven (KD0_boredom_1.wav)" in capsys.readouterr().out
    first, second = voices.load(tmp_path / "data")
    assert (first.speaker, first.sex, first.emotion, first.part) == ("nemo_KS0", "male", "surprise", "test")
    assert (second.speaker, second.emotion, second.part) == ("nemo_WR0", "angry", "reserve")
    assert (first.text, first.language) == ('Kupiłem "nową" szafę.', "pl")
    assert first.seconds == pytest.approx(0.4, abs=0.03)
    assert len(sound.read(first.path)) == pytest.approx(0.4 * 16_000, abs=400)


def test_emovo_is_read_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("f1/dis-f1-b1", "m2/gio-m2-n3", "f3/tri-f3-l1", "f3/xyz-f3-l1", "documents/beep"):
        tone(tmp_path / "official/EMOVO" / f"{name}.wav")
    assert run("emovo", "--partial") == 0
    told = capsys.readouterr().out
    assert "skipped 1: the name is not one of EMOVO (beep.wav)" in told
    assert "skipped 1: the label xyz is none of the set's (xyz-f3-l1.wav)" in told
    assert "test lacks emovo_m3" in told
    assert "no woman to validate on" in told
    assert [(v.speaker, v.emotion, v.part, v.text) for v in voices.load(tmp_path / "data")] == [
        ("emovo_f1", "disgust", "train", "sentence b1"),
        ("emovo_m2", "happy", "valid", "sentence n3"),
        ("emovo_f3", "sad", "test", "sentence l1"),
    ]


# A folder of one's own


def test_a_folder_of_ones_own_is_cut_split_and_read_back(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "official"
    tone(own / "a/one.wav", 2.0)
    tone(own / "b/one.wav", 0.5)
    (own / "silent.wav").write_bytes(b"RIFF")
    table(
        own / "labels.csv",
        ["file", "label", "speaker", "sex", "language", "split", "start_s", "end_s", "text"],
        ["a/one.wav", "Joy", "ann", "F", "en", "train", 0, 0.5, "Yes!"],
        ["a/one.wav", "neutral", "ann", "F", "en", "train", 1.0, 2.0, ""],
        ["a/one.wav", "sad", "ann", "F", "en", "train", 1.5, 9, ""],
        ["b/one.wav", "sad", "bob", "male", "en", "valid", "", "", ""],
        ["b/one.wav", "bored", "bob", "male", "en", "valid", 0, 0.2, ""],
        ["b/one.wav", "sad", "", "male", "en", "valid", 0, 0.3, ""],
        ["silent.wav", "sad", "bob", "male", "en", "valid", "", "", ""],
        ["nowhere.wav", "sad", "bob", "male", "en", "valid", "", "", ""],
    )
    assert run("folder", "--name", "mine") == 3, "some recordings failed"
    told = capsys.readouterr().out
    assert "skipped 1: the label bored is none of the seven (b/one.wav#0-0.2)" in told
    assert "skipped 1: the speaker is not named (b/one.wav#0-0.3)" in told
    assert "is 2.0 s long, and its part 1.5–9 s is not in it" in told
    assert "(silent.wav)" in told
    assert "(nowhere.wav)" in told
    assert run("folder", "--name", "mine", "--partial") == 0
    read = voices.load(tmp_path / "data")
    assert [(v.corpus, v.speaker, v.sex, v.emotion, v.part) for v in read] == [
        ("mine", "mine_ann", "female", "happy", "train"),
        ("mine", "mine_ann", "female", "neutral", "train"),
        ("mine", "mine_bob", "male", "sad", "valid"),
    ]
    assert [voice.seconds for voice in read] == pytest.approx([0.5, 1.0, 0.5], abs=0.03)


def test_a_corpus_is_never_written_over_itself(run: Run, tmp_path: Path) -> None:
    tone(tmp_path / "official/a.wav")
    table(tmp_path / "official/labels.csv", ["file", "label", "speaker"], ["a.wav", "sad", "ann"])
    before = (tmp_path / "official/labels.csv").read_bytes()
    (tmp_path / "data/voices").mkdir(parents=True)
    (tmp_path / "data/voices/mine").symlink_to(tmp_path / "official")
    with pytest.raises(BadSettings, match="is the input itself"):
        run("folder", "--name", "mine")
    assert (tmp_path / "official/labels.csv").read_bytes() == before
    with pytest.raises(BadSettings, match="no name for a corpus"):
        run("folder", "--name", "../mine")


def test_a_folder_without_a_usable_sentence_says_why(run: Run, tmp_path: Path) -> None:
    table(tmp_path / "official/labels.csv", ["file", "label"], ["a.wav", "sad"])
    with pytest.raises(BadSettings, match=r"no sentence to convert \(the speaker is not named: 1\)"):
        run("folder")
    table(tmp_path / "official/labels.csv", ["file", "label", "speaker"], ["a.wav", "sad", "ann"])
    with pytest.raises(DataMissing, match=r"No recording of .* can be converted\.\n  1: a recording is not there"):
        run("folder")


@pytest.mark.parametrize("name", ["ferplus", *official.OFFICIAL, "folder"])
def test_an_empty_or_missing_source_is_told(name: str, run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RealtimeError) as error:
            run(name)
        assert error.value.exit_code in (2, 3)
        assert error.value.hint
        (tmp_path / "official").mkdir(exist_ok=True)
    assert not (tmp_path / "data").exists()


# Sound


def test_a_recording_that_breaks_off_is_not_taken(tmp_path: Path) -> None:
    sound.write(tmp_path / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32))
    (tmp_path / "half.flac").write_bytes((tmp_path / "whole.flac").read_bytes()[:40_000])
    with pytest.raises(NotMedia):
        sound.read(tmp_path / "half.flac")
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(NotMedia, match="git-LFS"):
        sound.read(tmp_path / "pointer.wav")


def test_flac_gives_back_what_was_written(tmp_path: Path) -> None:
    samples_N = (0.9 * np.sin(2 * np.pi * 500 * np.arange(12_345) / 16_000)).astype(np.float32)
    sound.write(tmp_path / "a.flac", samples_N)
    np.testing.assert_allclose(sound.read(tmp_path / "a.flac"), samples_N, atol=1 / 32768)
    assert sound.seconds(tmp_path / "a.flac") == pytest.approx(12_345 / 16_000)


# The reader of voices and the report


def test_no_speaker_is_in_two_parts_and_both_sexes_validate() -> None:
    for corpus, split in voices.SPLITS.items():
        speakers = [speaker for part in split.values() for speaker in part]
        assert len(speakers) == len(set(speakers)), corpus
        assert set(split) == {"train", "valid", "test"}
        assert all(voices.part_of(corpus, speaker) == part for part in split for speaker in split[part])
        assert voices.part_of(corpus, "somebody else") == "reserve"
        assert min(len(split["valid"]), len(split["test"])) >= 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["a.opus", "ann", "female", "bored", "en", "1.0", ""], "line 2: emotion 'bored' is none of"),
        (["a.opus", "", "female", "sad", "en", "1.0", ""], "line 2: the speaker is not named"),
        (["a.opus", "ann", "female", "sad", "en", "long", ""], "line 2: could not convert"),
        (["b.opus", "ann", "female", "sad", "en", "1.0", ""], "1 recordings are missing"),
    ],
)
def test_labels_of_voices_are_checked(tmp_path: Path, row: list[str], told: str) -> None:
    table(tmp_path / "voices/mine/labels.csv", voices.COLUMNS, row)
    (tmp_path / "voices/mine/a.opus").touch()
    with pytest.raises(DataMissing, match=told):
        voices.load(tmp_path)


def test_the_check_says_what_is_there_and_what_is_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadSettings, match="There is no folder"):
        run("check")
    a_ferplus(tmp_path / "official")
    a_ravdess(tmp_path / "official")
    a_crema_d(tmp_path / "official")
    assert run("ravdess", "--partial") == 0
    assert run("check") == 3
    told = capsys.readouterr().out
    assert "ferplus48_q6.npz is missing. Make it: realtime train convert ferplus SOURCE" in told
    assert "ravdess: 2 speakers (1 female, 1 male), 3 sentences" in told
    assert "emovo: no voices there. Make it: realtime train convert emovo SOURCE" in told
    assert "test lacks ravdess_19" in told
    assert run("ferplus", "--partial") == run("crema_d") == run("check") == 0
    (tmp_path / "data/ferplus/ferplus48_q6.npz").write_bytes(b"PK half")
    (tmp_path / "data/ravdess/03-01-01-01-01-01-01.flac").unlink()
    capsys.readouterr()
    assert run("check") == 3
    told = capsys.readouterr().out
    assert "ferplus: its file is damaged" in told
    assert "ravdess: 1 recordings are missing" in told


def test_the_command_ends_in_a_sentence_and_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.convert", "emovo", str(tmp_path), "--data", str(tmp_path / "data")])
    with pytest.raises(SystemExit) as ended:
        run_command(convert.main, "train.convert")
    assert ended.value.code == 3
    assert "There is no recording of emovo there" in capsys.readouterr().err
