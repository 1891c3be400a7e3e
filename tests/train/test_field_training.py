"""Field reports about clips and their labels: what holds no evidence is never labelled, and never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from tests.ingest.media_files import room, voice, write_clip
from train import annotate, evaluate
from train.evaluation.answering import ModelUnderTest, perceive, unread
from train.evaluation.report import report
from train.evaluation.samples import Sample
from train.nano import crowd
from train.nano import ravdess as sentences
from train.readers import folder, ravdess
from train.readers.clip import DataMissing
from train.readers.perceived import measuring
from train.tuning.data import AnnotatedWindows, read_records

ROWS = {
    "voice.wav": "",
    "silent.wav": "no face and holds no speech",
    "room.wav": "no face and holds no speech",
    "blank.mp4": "no face and holds no speech",
    "voice.wav,7,9": "not in the recording, which ends at 2",
    "voice.wav,1,9": "not in the recording, which ends at 2",
    "voice.wav,1.5,0.5": "ends before it starts",
    "voice.wav,1,1": "ends before it starts",
    "voice.wav,-2,1": "ends before it starts",
    "voice.wav,0,2.3": "",
}
"Rows of a label file (file, start, end), and why their records fail."


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    write_clip(path / "voice.wav", sound_N=np.concatenate([room(0.3), voice(1.2), room(0.6)]), audio_codec="pcm_s16le")
    write_clip(path / "silent.wav", sound_N=np.zeros(32_000, np.float32), audio_codec="pcm_s16le")
    write_clip(path / "room.wav", sound_N=room(2.0), audio_codec="pcm_s16le")
    write_clip(path / "blank.mp4", pictures_s=[index / 10 for index in range(15)], sound_N=room(1.5))
    rows = [",".join([*row.split(","), "", ""][:3]) + ",sad" for row in ROWS]
    (path / "labels.csv").write_text("file,start_s,end_s,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def records(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    assert annotate.annotate(annotate.parser().parse_args([str(clips), str(out)])) == 0
    return out


@pytest.fixture(scope="module")
def model(nano: LoadedModel) -> LoadedModel:
    return measuring(nano)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").splitlines()]


def test_silence_and_cuts_outside_the_recording_fail_with_their_reason(records: Path) -> None:
    found = lines(records)
    assert len(found) == len(ROWS)
    for line, why in zip(found, ROWS.values(), strict=True):
        assert (line["status"], why in line["reason"]) == ("failed" if why else "done", True), line["key"]
    summary = json.loads((records / "summary.json").read_text(encoding="utf-8"))
    assert summary["this_run"]["failures"] == {"no_evidence": len([why for why in ROWS.values() if why])}


@pytest.mark.slow
def test_names_with_colons_and_signs_are_read_from_label_files(clips: Path, tmp_path: Path) -> None:
    """Field report 7: a time in a file's name was read as a protocol, in label files as on the command line."""
    names = ["2024-05-01T12:30:00.wav", "interview: take 2.wav", "a|b.wav", "50%.wav", "img%d.wav", "-dash.wav"]
    for name in names:
        (tmp_path / name).write_bytes((clips / "voice.wav").read_bytes())
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *(f"{name},sad" for name in names)]))
    out = tmp_path / "out"
    assert annotate.annotate(annotate.parser().parse_args([str(tmp_path), str(out)])) == 0
    assert [(line["key"], line["status"]) for line in lines(out)] == [(name, "done") for name in names]


def test_an_evaluation_counts_and_names_what_there_is_nothing_to_judge_by(
    clips: Path, model: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Field report 6: cuts outside a recording and silent clips were answered, and so "It is sad" counted."""
    samples = [Sample(clip.key, clip.label, str(clip.path), {}, clip=clip) for clip in folder.read(clips)]
    perceived, failed = perceive(model, ModelUnderTest("nano"), samples, frozenset())
    expected = [sample.key for sample, why in zip(samples, ROWS.values(), strict=True) if not why]
    assert [sample.key for sample, _ in perceived] == expected
    reasons = {sample.key: reason for sample, reason in failed}
    for sample, why in zip(samples, ROWS.values(), strict=True):
        assert why in reasons.get(sample.key, ""), sample.key
    rows = [unread(sample, reason) for sample, reason in failed]
    result = report("own", "nano", "test", rows, ("sad", "happy"))
    assert result["not_perceived"] == reasons
    evaluate.tell_left_out(result | {"skipped": ["notes.wav"]})
    told = capsys.readouterr().err
    assert "1 are no part of the set and were skipped: notes.wav" in told
    assert f"{len(reasons)} counted as wrong: {failed[0][0].key} ({failed[0][1]})" in told
    assert f"and {len(reasons) - 5} more" in told


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("100002,1001_IEO_HAP_LO,three,0,0,0,0,0", "line 3"),
        ("100002,1001_IEO_HAP_LO,nan,0,0,0,0,0", "line 3"),
        ("100002,1001_IEO_HAP_LO,-1,0,0,0,0,0", "line 3"),
        ("100002,1001_IEO_HAP_LO", "line 3"),
        (",1001_IEO_HAP_LO,1,0,0,0,0,0", "line 3"),
        ("100002,nobody,1,0,0,0,0,0", "line 3"),
        ("100002,1001_IEO_XYZ_LO,1,0,0,0,0,0", "line 3"),
        ("", "no clip with votes"),
    ],
)
def test_votes_that_are_no_numbers_are_named_by_file_and_line(line: str, says: str, tmp_path: Path) -> None:
    """Field report 6: they were a traceback of `could not convert string to float`."""
    path = tmp_path / "crema_d" / "tabulatedVotes.csv"
    path.parent.mkdir()
    path.write_text(f"\ufeff,fileName,H,S,N,A,D,F\n100001,1001_IEO_HAP_LO,1,0,0,0,0,0\n{line}\n", encoding="utf-8")
    with pytest.raises(DataMissing, match=says) as refused:
        crowd.load(tmp_path)
    assert str(path) in refused.value.message


def test_votes_become_shares_and_a_clip_that_nobody_voted_on_in_one_way_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "crema_d" / "tabulatedVotes.csv"
    path.parent.mkdir()
    rows = [
        f"{shown}0000{number},{name},{votes},0,0"
        for number, name in ((1, "1001_IEO_HAP_LO"), (2, "1002_TIE_SAD_LO"))
        for shown, votes in ((1, "3,0,1,0"), (2, "1,0,0,0" if number == 1 else "0,0,0,0"), (3, "1,0,1,0"))
    ]
    path.write_text("\n".join([",fileName,H,S,N,A,D,F", *rows]) + "\n", encoding="utf-8")
    votes = crowd.load(tmp_path)
    assert (votes.file, votes.actor.tolist()) == (("1001_IEO_HAP_LO",), [1001])
    of_voice = dict(zip(crowd.SIX, votes.voice[0].tolist(), strict=True))
    assert of_voice == dict.fromkeys(crowd.SIX, 0.0) | {"happy": 0.75, "neutral": 0.25}


def test_records_of_silence_from_earlier_versions_are_not_trained_on(
    records: Path, model: LoadedModel, tmp_path: Path
) -> None:
    good = read_records([records])
    assert [record["key"] for record in good] == ["voice.wav", "voice.wav#0-2.3"]
    path = good[0]["clip"]["path"].replace("voice.wav", "silent.wav")
    silent = {**good[0], "key": "silent.wav", "clip": good[0]["clip"] | {"path": path}}
    windows = AnnotatedWindows([*good, silent], model, tmp_path / "windows", seed=0)
    windows.prepare(quiet=True)
    assert [record["key"] for record in windows.records] == [record["key"] for record in good]
    assert "nothing to judge by" in windows.left_out["silent.wav"]
    alone = AnnotatedWindows([silent], model, tmp_path / "windows", seed=0)
    with pytest.raises(BadSettings, match="None of the clips"):
        alone.prepare(quiet=True)


def test_a_quoted_line_break_in_a_label_file_is_part_of_its_cell(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(
        b'file,label,text\r\na.wav,sad,"first line\r\nsecond, with a comma"\r\nb.wav,happy,"one\n\ntwo"\r\n'
    )
    first, second = folder.read(tmp_path)
    assert (first.path.name, first.label, second.path.name, second.label) == ("a.wav", "sad", "b.wav", "happy")
    assert first.text.split() == ["first", "line", "second,", "with", "a", "comma"]
    assert second.text == "one\n\ntwo"


SPREADSHEETS = {
    "semicolons": "file;label;start_s;end_s;text\na.wav;sad;0,5;1,5;one, two\nb.wav;happy;;;\n",
    "semicolons within quotes": 'file;label;start_s;end_s;text\n"a.wav";sad;0,5;1,5;"one, two"\nb.wav;happy;;;\n',
    "tabs": "file\tlabel\tstart_s\tend_s\ttext\na.wav\tsad\t0.5\t1.5\tone, two\nb.wav\thappy\t\t\t\n",
    "Excel's line": 'sep=,\nfile,label,start_s,end_s,text\na.wav,sad,0.5,1.5,"one, two"\nb.wav,happy,,,\n',
    "Excel's line, quoted": '"sep=;"\nfile;label;start_s;end_s;text\na.wav;sad;0,5;1,5;one, two\nb.wav;happy;;;\n',
    "bars": "file|label|start_s|end_s|text\na.wav|sad|0.5|1.5|one, two\nb.wav|happy|||\n",
    "spaces and capitals": 'File, Label, Start_s, End_s, Text\na.wav, sad, 0.5, 1.5, "one, two"\nb.wav, happy,,,\n',
    "empty rows": '\nfile,label,start_s,end_s,text\n\na.wav,sad,0.5,1.5,"one, two"\n,,,,\nb.wav,happy,,,\n,,,,\n',
}


@pytest.mark.parametrize("table", SPREADSHEETS.values(), ids=SPREADSHEETS)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("breaks", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_label_files_of_spreadsheets_are_read(tmp_path: Path, table: str, coding: str, breaks: str) -> None:
    """A German Excel writes semicolons and decimal commas: "row 1 names no file" was said of it."""
    (tmp_path / "labels.csv").write_bytes(table.replace("\n", breaks).encode(coding))
    first, second = folder.read(tmp_path)
    assert (first.path.name, first.label, first.start_s, first.end_s) == ("a.wav", "sad", 0.5, 1.5)
    assert (first.text, second.path.name, second.label, second.start_s) == ("one, two", "b.wav", "happy", None)


def test_paths_of_windows_are_read(tmp_path: Path) -> None:
    """`clips\\a.wav` was said to be missing; a name that holds such a sign is taken as it is."""
    (tmp_path / "x\\y.wav").touch()
    (tmp_path / "labels.csv").write_text("file,label\nclips\\a.wav,sad\nx\\y.wav,happy\n")
    first, second = folder.read(tmp_path)
    assert (first.path, second.path) == (tmp_path / "clips" / "a.wav", tmp_path / "x\\y.wav")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("PK\x03\x04\0", "is a workbook"),
        ("a.wav,happy\nb.wav,sad\n", "no column file; it has a.wav, happy"),
        ("file,label,label\na.wav,happy,sad\n", "column label twice"),
        ("file,label\na.wav\0,happy\n", "null character"),
        ('file,label,votes\na.wav,happy,"{""happy"": 3, ""sad"": -1}"\n', "no counts"),
        ('file,label,votes\na.wav,happy,"{""happy"": NaN}"\n', "no counts"),
    ],
)
def test_a_label_file_that_means_two_things_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """The last of two columns was taken in silence, and minus one vote became a share below zero."""
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings, match=says):
        folder.read(tmp_path)


def test_a_quote_that_is_not_closed_is_told(tmp_path: Path) -> None:
    """It took all rows after it into one cell, and they were missing without a word."""
    (tmp_path / "labels.csv").write_text('file,label,text\na.wav,sad,"open\nb.wav,happy,x\n', encoding="utf-8")
    with pytest.raises(BadSettings, match="no CSV table") as refused:
        folder.read(tmp_path)
    assert "quotation mark" in refused.value.hint


def test_a_line_separator_within_json_is_part_of_its_string(tmp_path: Path) -> None:
    row = {"file": "a.wav", "label": "sad", "text": "one\u2028two"}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8")
    (clip,) = folder.read(tmp_path)
    assert clip.text == "one\u2028two"


def test_copies_and_unknown_emotions_among_ravdess_are_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = ("03-01-03-02-01-02-20", "01-01-08-01-02-01-01")
    bad = (f"{good[0]} (1)", f"{good[0]} copy", "03-01-09-02-01-02-20", "03-01-03-02-01-02-99", "notes")
    for name in (*good, *bad, "02-01-03-02-01-02-20"):
        (tmp_path / f"{name}.wav").touch()
    assert [clip.key for clip in ravdess.read(tmp_path).clips] == sorted(good)
    (told,) = caplog.messages
    assert "5 skipped" in told
    assert all(f"{name}.wav" in told for name in bad)


def test_a_speaker_without_a_number_among_ravdess_labels_is_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ravdess").mkdir()
    rows = ["a.flac,happy,strong,19,female", "b.flac,happy,strong,Test1,male", "c.flac,bored,normal,20,male", "d.flac"]
    table = "\n".join(["file,emotion,intensity,actor,sex", *rows]) + "\n"
    (tmp_path / "ravdess" / "labels.csv").write_text(table, encoding="utf-8")
    assert [sentence.file for sentence in sentences.load(tmp_path)] == ["a.flac"]
    assert [sentence.actor for sentence in sentences.load(tmp_path)] == [19]
    (told,) = caplog.messages
    assert "3 skipped" in told
    assert all(f"row {number} ({file})" in told for number, file in ((2, "b.flac"), (3, "c.flac"), (4, "d.flac")))
