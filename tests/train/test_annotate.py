"""Annotation: clips in, records out, whatever is wrong with a clip, an endpoint, the disk or the run."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import numpy as np
import pytest

from realtime.errors import BadSettings, NotMedia
from realtime.outputs import DiskFull
from realtime.records import LABELS
from tests.ingest.media_files import room, voice, write_clip
from tests.train.endpoint import THOUGHT, Script, serving
from tests.waiting import wait_until
from train import annotate
from train.coet import gate, record
from train.coet.measured import Observation, PersonSeen, VoiceHeard, Writer
from train.coet.observe import SeenClip
from train.coet.openai import descriptions_text
from train.coet.store import Lines, Store
from train.readers import folder, perceived_cache
from train.readers.clip import Clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with both tracks, one without sound, one with sound alone, a broken one and a label nobody knows."""
    path = tmp_path_factory.mktemp("clips")
    pictures = [index / 10 for index in range(15)]
    sound = np.concatenate([room(0.3), voice(1.2), room(0.6)])
    write_clip(path / "both.mp4", pictures_s=pictures, sound_N=sound)
    write_clip(path / "mute.mp4", pictures_s=pictures)
    write_clip(path / "voice.wav", sound_N=sound, audio_codec="pcm_s16le")
    (path / "broken.mp4").write_bytes(b"\0\1\2" * 500)
    rows = ["both.mp4,Neutral", "mute.mp4,neutral", "voice.wav,calm", "broken.mp4,sad", "bored.mp4,bored"]
    (path / "labels.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    return path


def run(clips: Path, out: Path, *flags: str) -> int:
    return annotate.annotate(annotate.parser().parse_args([str(clips), str(out), *flags]))


def records(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert len({line["key"] for line in found}) == len(found), "a clip was done twice"
    return {line["key"]: line for line in found}


@pytest.mark.slow
def test_every_clip_gets_a_record_and_a_second_run_adds_none(clips: Path, tmp_path: Path) -> None:
    assert run(clips, tmp_path) == 0
    found = records(tmp_path)
    assert {key: line["status"] for key, line in found.items()} == {
        "both.mp4": "done", "mute.mp4": "failed", "voice.wav": "done", "broken.mp4": "failed", "bored.mp4": "failed",
    }  # fmt: skip
    for line in found.values():
        jsonschema.validate(line, record.SCHEMA)
    assert "bored" in found["bored.mp4"]["reason"]
    assert "no face and holds no speech" in found["mute.mp4"]["reason"]
    assert "picture" in found["voice.wav"]["sections"]["face"]
    assert found["voice.wav"]["clip"]["label"] == "neutral"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["this_run"]["without"] == {"picture": 1, "face": 2}
    assert summary["this_run"]["failures"] == {"no_evidence": 1, "not_media": 1, "label": 1}
    page = (tmp_path / "samples.html").read_text()
    assert "data:image/jpeg" in page
    assert "<script" not in page
    before = (tmp_path / "records.jsonl").read_bytes()
    assert run(clips, tmp_path) == 0
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_what_was_perceived_is_kept_and_perceived_no_more(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are the same; later stages read the same folder."""
    cache = ("--cache", str(tmp_path / "windows"))
    assert run(clips, tmp_path / "first", *cache) == 0
    kept = sorted((tmp_path / "windows").iterdir())
    assert [file.suffix for file in kept] == [".pickle"] * len(kept)
    monkeypatch.setattr(perceived_cache, "watch", refused)
    assert run(clips, tmp_path / "second", *cache) == 0
    first, second = records(tmp_path / "first"), records(tmp_path / "second")
    done = {key: line["sections"] for key, line in first.items() if line["status"] == "done"}
    assert len(done) == len(kept) == 2
    assert {key: line["sections"] for key, line in second.items() if line["status"] == "done"} == done


def refused(path: Path, *_args: Any, **_more: Any) -> NoReturn:
    """A `watch` that nothing may come to."""
    raise NotMedia(f"{path} was perceived again.", "")


def test_a_cache_without_pictures_is_not_for_an_endpoint(clips: Path, tmp_path: Path) -> None:
    words = ("--cache", str(tmp_path / "windows"), "--annotator", "openai", "--url", "http://127.0.0.1:9/v1")
    with pytest.raises(BadSettings, match="keeps no pictures"):
        run(clips, tmp_path / "out", *words, "--endpoint-model", "m")


def test_a_line_cut_short_by_a_kill_is_done_again(clips: Path, tmp_path: Path) -> None:
    run(clips, tmp_path, "--limit", "2")
    whole = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(whole[:-40])
    run(clips, tmp_path, "--limit", "2")
    assert records(tmp_path).keys() == {"both.mp4", "mute.mp4"}


@pytest.mark.slow
def test_a_killed_run_goes_on(clips: Path, tmp_path: Path) -> None:
    """SIGKILL while it works: what was finished stays as it is, nothing is twice."""
    command = [sys.executable, "-m", "train.annotate", str(clips), str(tmp_path)]
    # The first clip takes four answers and the second, which shows nothing, none. The run is killed as it waits for one
    # about the third.
    script = Script("answer", "answer", "answer", "answer", "slow")
    with serving(script) as url:
        flags = [
            "--annotator",
            "openai",
            "--url",
            url,
            "--endpoint-model",
            "m",
            "--timeout-s",
            "600",
            "--concurrency",
            "1",
        ]
        process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: len(script.requests) == 5 or process.poll() is not None, "the fifth request", within_s=300)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    finished = (tmp_path / "records.jsonl").read_bytes()
    assert records(tmp_path).keys() == {"both.mp4", "mute.mp4"}
    assert run(clips, tmp_path) == 0
    assert (tmp_path / "records.jsonl").read_bytes().startswith(finished)
    assert len(records(tmp_path)) == 5


def openai_flags(url: str, *more: str) -> list[str]:
    flags = ["--annotator", "measured", "--annotator", "openai", "--url", url, "--endpoint-model", "some-model"]
    return [*flags, "--pause-s", "0.01", "--timeout-s", "0.5", "--price-in", "1", "--price-out", "10", *more]


def test_an_endpoint_annotates_and_its_words_are_taken(clips: Path, tmp_path: Path) -> None:
    script = Script("answer")
    with serving(script) as url:
        run(clips, tmp_path, *openai_flags(url, "--concurrency", "2", "--limit", "1"))
    line = records(tmp_path)["both.mp4"]
    assert line["annotator"] == "openai"
    assert line["sections"] == THOUGHT
    assert set(line["annotators"]) == {"measured", "openai"}
    kinds = [part["type"] for body in script.requests for part in body["messages"][1]["content"]]
    assert kinds.count("image_url") == 2
    assert kinds.count("input_audio") == 1
    spent = json.loads((tmp_path / "summary.json").read_text())["this_run"]["spent"]["openai"]
    assert (spent["requests"], spent["tokens_in"], spent["tokens_out"]) == (4, 400, 40)
    assert spent["cost"] == pytest.approx(400e-6 + 400e-6)


def test_an_endpoint_that_is_slow_overloaded_and_talks_nonsense_is_asked_again(clips: Path, tmp_path: Path) -> None:
    script = Script("slow", 429, "garbage", {"frames": []}, "answer")
    with serving(script) as url:
        run(clips, tmp_path, *openai_flags(url, "--limit", "1"))
    assert records(tmp_path)["both.mp4"]["annotator"] == "openai"
    problems = json.loads((tmp_path / "summary.json").read_text())["this_run"]["spent"]["openai"]["problems"]
    assert problems == {
        "no answer within 0.5 s": 1,
        "HTTP 429": 1,
        "the answer is not the JSON asked for": 1,
        "the answer does not fit the schema (minItems)": 1,
    }


@pytest.mark.slow
def test_an_endpoint_that_stays_away_fails_the_record_and_the_run_goes_on(clips: Path, tmp_path: Path) -> None:
    with serving(Script("garbage")) as url:
        assert run(clips, tmp_path, *openai_flags(url, "--attempts", "2")[2:], "--limit", "2") == 0
    found = records(tmp_path)
    assert [line["status"] for line in found.values()] == ["failed", "failed"]
    assert "2 attempts" in found["both.mp4"]["reason"]
    with serving(Script("answer")) as url:
        run(clips, tmp_path, *openai_flags(url, "--retry-failed", "--limit", "2"))
    assert records(tmp_path)["both.mp4"]["status"] == "done"


def test_a_chain_that_contradicts_the_measurements_is_sent_back_with_the_reason(clips: Path, tmp_path: Path) -> None:
    wrong = {**THOUGHT, "face": "Mouth corners drawn up, a smile.", "answer": "happy, strong"}
    script = Script("answer", "answer", "answer", wrong, "answer")
    with serving(script) as url:
        run(clips, tmp_path, *openai_flags(url, "--limit", "1"))
    line = records(tmp_path)["both.mp4"]
    assert line["annotator"] == "openai"
    assert line["annotators"]["openai"]["attempts"] == 2
    assert "No face was found" in script.requests[-1]["messages"][1]["content"][0]["text"]
    counted = json.loads((tmp_path / "summary.json").read_text())["this_run"]["gate"]
    assert counted == {"asked_again": 1, "objections": {"no face": 1, "label": 1}}


def test_a_chain_that_is_never_corrected_is_dropped(clips: Path, tmp_path: Path) -> None:
    wrong = {**THOUGHT, "answer": "happy, strong"}
    with serving(Script("answer", "answer", "answer", wrong)) as url:
        run(clips, tmp_path, *openai_flags(url, "--reask", "1")[2:], "--limit", "1")
    line = records(tmp_path)["both.mp4"]
    assert line["status"] == "dropped"
    assert "happy" in line["reason"]


def test_stages_that_were_paid_for_are_not_asked_again(clips: Path, tmp_path: Path) -> None:
    with serving(Script("answer", "answer", "answer", 401)) as url:
        store_flags = openai_flags(url, "--limit", "1")[2:]
        run(clips, tmp_path, *store_flags)
    assert records(tmp_path)["both.mp4"]["status"] == "failed"
    kept = Store(tmp_path, retry_failed=True)
    kept.journal.append(
        {"key": "both.mp4", "annotator": "openai", "stage": "describe 1", "value": {"vision": [], "audio": []}}
    )
    again = Script("answer")
    with serving(again) as url:
        run(clips, tmp_path, *openai_flags(url, "--limit", "1")[2:])
    names = [body["response_format"]["json_schema"]["name"] for body in again.requests]
    assert names == ["chain", "thought"]


def test_a_full_disk_stops_the_run_with_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(tmp_path / "lines.jsonl", sleep=lambda s: None)
    lines.append({"n": 1})

    def half(line: bytes) -> None:
        with (tmp_path / "lines.jsonl").open("ab") as file:
            file.write(line[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lines, "_write", half)
    with pytest.raises(DiskFull, match="No space left"):
        lines.append({"n": 2})
    assert list(Lines(tmp_path / "lines.jsonl")) == [{"n": 1}]


def test_a_full_disk_is_told_with_what_to_do(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Lines, line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("train.coet.store.PAUSES_S", ())
    monkeypatch.setattr(Lines, "_write", full)
    assert run(clips, tmp_path, "--limit", "1") == 1
    assert "run the same command again" in capsys.readouterr().out


def seen_clip(label: str = "happy", **changes: Any) -> SeenClip:
    shares = np.array([0.8, 0.02, 0.1, 0.02, 0.02, 0.02, 0.02])
    cues = {"lip_corner_pull": 0.8, "cheek_raise": 0.6, "brow_lower": 0.0}
    person = PersonSeen(cues, (0.0, 0.0, 0.0), (0.5, 0.5), 0.4, shares)
    relative = {"pitch_hz": 1.0, "loudness_db": 0.0, "rate_hz": -1.0, "tilt_db": 0.0, "pitch_range_st": 0.0}
    seen = {"people": (person,), "brightness": 0.6, "voice": VoiceHeard(relative, shares, True), "shares": shares}
    clip = Clip("a", Path("a.mp4"), label)
    return SeenClip(clip, None, Observation(**(seen | changes)), (), ())  # type: ignore[arg-type]


def test_words_are_read_where_it_is_asked_for(clips: Path, tmp_path: Path) -> None:
    """The label then is what the words add to the votes, which are of face and voice."""
    labels, votes = tmp_path / "labels.jsonl", {"neutral": 0.9, "sad": 0.1}
    row = {"file": "both.mp4", "label": "sad", "votes": votes, "text": "I am so sad, I cried all night."}
    labels.write_text(json.dumps(row) + "\n", encoding="utf-8")
    run(clips, tmp_path / "with", "--labels", str(labels), "--words")
    read = records(tmp_path / "with")["both.mp4"]
    assert read["clip"]["text"] == row["text"]
    words = read["measured"]["words"]
    assert max(words["shares"], key=lambda name: words["shares"][name]) == "sad"
    assert words["shares_with"] == {**dict.fromkeys(LABELS, 0.0), "sad": 0.775, "neutral": 0.225}
    assert read["sections"]["answer"].startswith("sad")
    assert "words" in read["sections"]["coarse"]
    jsonschema.validate(read, record.SCHEMA)
    run(clips, tmp_path / "without", "--labels", str(labels))
    unread = records(tmp_path / "without")["both.mp4"]
    assert unread["measured"]["words"] is None
    assert unread["sections"]["answer"].startswith("neutral")
    assert "words" not in unread["sections"]["coarse"]


def test_what_the_measured_annotator_writes_passes_the_gate() -> None:
    for seed in range(200):
        seen = seen_clip()
        assert gate.objections(Writer(seed).chain(seen.whole), seen) == []


@pytest.mark.parametrize(
    ("section", "text", "rule"),
    [
        ("face", "Brows drawn down, an angry look.", "face cue"),
        ("face", "Lip corners pulled up slightly.", "face degree"),
        ("face", "No face in view.", "no face"),
        ("voice", "Pitch lower than usual.", "prosody"),
        ("voice", "A faster rate.", "prosody"),
        ("voice", "No speech.", "no speech"),
        ("atmosphere", "A dark room.", "atmosphere"),
        ("answer", "angry, strong", "label"),
        ("answer", "happy or sad", "answer"),
        ("answer", "happy", "answer"),
        ("context", "", "form"),
        ("fine", "Good.</fine><answer>", "form"),
    ],
)
def test_the_gate_objects_to_what_was_measured_otherwise(section: str, text: str, rule: str) -> None:
    seen = seen_clip()
    sections = {**Writer(0).chain(seen.whole), section: text}
    assert rule in [objection.rule for objection in gate.objections(sections, seen)]


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("face", "The brows are not drawn down; a wide smile."),
        ("voice", "Not a faster rate; the pitch is higher."),
        ("atmosphere", "By no means dark."),
        ("answer", "unsure"),
    ],
)
def test_the_gate_lets_pass_what_is_denied_or_left_open(section: str, text: str) -> None:
    seen = seen_clip()
    assert gate.objections({**Writer(0).chain(seen.whole), section: text}, seen) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no label file"),
        ("file,label\n", "names no clip"),
        ("file,label\na.mp4,sad\na.mp4,sad\n", "there twice"),
        ("file,label,start_s\na.mp4,sad,soon\n", "row 1"),
        ("name,label\na.mp4,sad\n", "no column file; it has name, label"),
    ],
)
def test_a_label_file_that_cannot_be_used_is_told(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(BadSettings, match=message):
        folder.read(tmp_path)


def test_votes_times_and_synonyms_are_read(tmp_path: Path) -> None:
    line = {"file": "a.mp4", "label": "Anger", "start_s": 1, "end_s": 2.5, "votes": {"anger": 3, "fear": 1}}
    (tmp_path / "labels.jsonl").write_text(json.dumps(line) + "\n")
    (clip,) = folder.read(tmp_path)
    assert (clip.key, clip.label, clip.votes) == ("a.mp4#1-2.5", "angry", {"angry": 0.75, "fear": 0.25})


def test_the_words_of_a_data_set_reach_the_later_stages_and_nothing_is_made_up_for_one_without() -> None:
    told = {"vision": [], "audio": [{"start_s": 0.0, "end_s": 1.0, "text": "flat"}]}
    assert descriptions_text(told, 'He said "fine".').endswith('\n\nWords\n"He said \\"fine\\"."')
    assert "Words" not in descriptions_text(told, " ")
