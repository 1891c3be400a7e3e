"""Each format is read back by a library that others wrote, from the example of every event and from odd ones."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from praatio import textgrid as praat
from pympi import Elan

from realtime.formats import FORMATS, elan, subtitles, textgrid, writers, xdf
from realtime.formats.spans import TextSpan, Tiers, tiers
from realtime.publish.events import ClockEvent, Event, LabelEvent, MarkEvent, SessionOpenedEvent, encode
from realtime.publish.parse import parse

FIXTURE = Path(__file__).parents[1] / "fixtures" / "events.json"
HOSTILE = 'says "no" & <b>\x00\x1b\ud800 ünï 漢字\n\nnext'


@pytest.fixture
def events() -> list[Event]:
    read = [parse(json.dumps(example)) for example in json.loads(FIXTURE.read_text())]
    return [event for event in read if event is not None]


def spans(reader: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    return [(round(start, 3), round(end, 3), text) for start, end, text in reader]


@pytest.fixture
def busy() -> Tiers:
    """Windows that touch, a gap, and words that would break each of the formats."""
    from realtime.formats.spans import plain

    hostile = plain(HOSTILE)
    label = [TextSpan(0.0, 2.5, "happy"), TextSpan(2.5, 4.0, "unsure"), TextSpan(3600.25, 3601.0, "sad")]
    share = [TextSpan(each.start_s, each.end_s, "0.500") for each in label]
    return Tiers(label, share, [TextSpan(0.0, 2.5, hostile), TextSpan(2.5, 4.0, "two")], [TextSpan(0.5, 1.5, "speech")])


def test_spans_do_not_overlap(events: list[Event]) -> None:
    found = tiers(events)
    assert spans([(s.start_s, s.end_s, s.text) for s in found.label]) == [(0.0, 3.84, "happy")]
    assert [span.text for span in found.probability] == ["0.680"]
    assert [(span.start_s, span.end_s) for span in found.speech] == [(1.2, 3.84)]
    assert found.argument[0].text
    assert spans([(s.start_s, s.end_s, s.text) for s in found.words]) == [
        (1.2, 3.84, "That is just what I needed today.")
    ]


def test_words_are_a_tier_only_where_they_are_written_down(busy: Tiers) -> None:
    assert "words" not in busy.named
    busy.words.append(TextSpan(0.5, 1.5, "so it is"))
    assert list(busy.named)[-1] == "words"


def test_subtitles_say_what_was_said_in_the_window_that_is_about_it(busy: Tiers, tmp_path: Path) -> None:
    out = tmp_path / "clip.vtt"
    busy.words += [TextSpan(0.5, 2.5, "a <b> c"), TextSpan(2.6, 3.9, "later")]
    subtitles.write(busy, tmp_path / "clip.mp4", out)
    first, second, third = out.read_text("utf-8").split("\n\n")[1:]
    assert "\nhappy (50 %)\n“a &lt;b&gt; c”\n" in first
    assert "“later”" in second
    assert "“" not in third


def test_subtitles_name_no_certainty_and_no_percentage_for_being_unsure(tmp_path: Path) -> None:
    """0.9996 was told as 100 %, and an unsure answer with the probability of a label that it is not."""
    out = tmp_path / "clip.vtt"
    label = [TextSpan(0.0, 2.0, "happy"), TextSpan(2.0, 4.0, "unsure")]
    subtitles.write(Tiers(label, [TextSpan(0.0, 2.0, "1.000"), TextSpan(2.0, 4.0, "0.480")]), None, out)
    first, second = out.read_text("utf-8").split("\n\n")[1:]
    assert first.endswith("\nhappy (&gt;99 %)")
    assert second.endswith("\nunsure\n")


def noted(mark: MarkEvent) -> str:
    """A mark of the recorded session, which has data, as a span has it."""
    return f"{mark.name} {json.dumps(dict(mark.data))}"


def test_marks_and_affect_have_tiers_of_their_own(events: list[Event]) -> None:
    found = tiers(events)
    (mark,) = (event for event in events if isinstance(event, MarkEvent))
    (told,) = (event for event in events if isinstance(event, LabelEvent) and event.source == "fast")
    assert spans([(s.start_s, s.end_s, s.text) for s in found.mark]) == [(mark.t, round(mark.t + 1, 3), noted(mark))]
    assert told.valence is not None
    if found.valence:
        assert [(s.start_s, s.end_s) for s in found.valence] == [(s.start_s, s.end_s) for s in found.label]


def test_marks_end_where_the_next_begins_and_those_of_one_moment_are_one() -> None:
    marks = [
        parse(encode(MarkEvent(name), session="s", seq=1, at_s=t)) for name, t in (("b", 1.4), ("a", 1.0), ("c", 1.4))
    ]
    found = tiers(event for event in marks if event is not None)
    assert [(s.start_s, s.end_s, s.text) for s in found.mark] == [(1.0, 1.4, "a"), (1.4, 2.4, "b; c")]


def test_a_mark_tells_what_a_program_noted_with_it(tmp_path: Path) -> None:
    """In ELAN each trial of a study was a “trial”, and nobody could tell which."""
    line = encode(MarkEvent("trial", {"number": 1, "word": "café"}), session="s", seq=1, at_s=1.0)
    event = parse(line)
    assert event is not None
    for form, suffix in writers.SUFFIXES.items():
        writers.write(form, [event], None, tmp_path / f"a{suffix}")
    told = 'trial {"number": 1, "word": "café"}'
    assert [text for *_, text in Elan.Eaf(str(tmp_path / "a.eaf")).get_annotation_data_for_tier("mark")] == [told]
    grid = praat.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert [entry.label for entry in grid.getTier("mark").entries] == [told]
    assert told in (tmp_path / "a.vtt").read_text("utf-8")


def test_elan_reads_annotations(busy: Tiers, tmp_path: Path) -> None:
    media, out = tmp_path / "a clip (1).mp4", tmp_path / "clip.eaf"
    elan.write(busy, media, out)
    read = Elan.Eaf(str(out))
    assert set(read.get_tier_names()) == set(busy.named)
    for name, tier in busy.named.items():
        expected = [(round(s.start_s * 1000), round(s.end_s * 1000), s.text) for s in tier]
        assert sorted(read.get_annotation_data_for_tier(name)) == expected
    (linked,) = read.get_linked_files()
    assert linked["RELATIVE_MEDIA_URL"] == "./a clip (1).mp4"
    assert linked["MEDIA_URL"] == media.resolve().as_uri()
    slots = [int(value) for value in read.timeslots.values()]
    assert slots == sorted(slots)


def test_praat_reads_annotations(busy: Tiers, tmp_path: Path) -> None:
    out = tmp_path / "clip.TextGrid"
    textgrid.write(busy, tmp_path / "clip.mp4", out)
    read = praat.openTextgrid(str(out), includeEmptyIntervals=True)
    assert set(read.tierNames) == set(busy.named)
    for name, tier in busy.named.items():
        entries = read.getTier(name).entries
        assert (entries[0].start, entries[-1].end) == (0.0, 3601.0)
        assert all(one.end == after.start for one, after in itertools.pairwise(entries))
        said = [(entry.start, entry.end, entry.label) for entry in entries if entry.label]
        assert said == [(s.start_s, s.end_s, s.text) for s in tier]


def test_ffmpeg_reads_subtitles(busy: Tiers, tmp_path: Path) -> None:
    out = tmp_path / "clip.vtt"
    subtitles.write(busy, tmp_path / "clip.mp4", out)
    with av.open(str(out)) as container:
        stream = container.streams.subtitles[0]
        assert stream.time_base is not None
        read = [
            (float(packet.pts * stream.time_base), float(packet.duration * stream.time_base), bytes(packet).decode())
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None and packet.duration is not None
        ]
    assert [(start, length) for start, length, _ in read] == [(0.0, 2.5), (2.5, 1.5), (3600.25, 0.75)]
    assert read[0][2].startswith("happy (50 %)\nsays &quot;no&quot;") or 'says "no" &amp; &lt;b&gt;' in read[0][2]


def test_lab_streaming_layer_s_reader_reads_signals(events: list[Event], tmp_path: Path) -> None:
    pyxdf = pytest.importorskip("pyxdf")
    out = tmp_path / "clip.xdf"
    xdf.write(events, tmp_path / "clip.mp4", out)
    streams, header = pyxdf.load_xdf(str(out), synchronize_clocks=False, dejitter_timestamps=False)
    assert header["info"]["version"] == ["1.0"]
    by_name = {stream["info"]["name"][0]: stream for stream in streams}
    face = by_name["EmoThinker face"]
    channels = [channel["label"][0] for channel in face["info"]["desc"][0]["channels"][0]["channel"]]
    values = dict(zip(channels, face["time_series"][0], strict=True))
    assert (values["lip_corner_pull"], values["pose_yaw"], values["gaze_pitch"]) == (0.64, -6.5, -4.0)
    assert face["time_stamps"].tolist() == [1.0]
    label = by_name["EmoThinker probabilities"]
    assert label["time_stamps"].tolist() == [3.84]
    assert by_name["EmoThinker chain"]["time_series"][0][0] == 0.68
    markers = by_name["EmoThinker markers"]
    assert ["label happy fast"] in markers["time_series"]
    assert markers["time_stamps"].tolist() == sorted(markers["time_stamps"])
    assert int(markers["footer"]["info"]["sample_count"][0]) == len(markers["time_series"])


def test_what_was_not_measured_is_nan(tmp_path: Path) -> None:
    pyxdf = pytest.importorskip("pyxdf")
    from realtime.publish.events import CuesEvent

    line = encode(CuesEvent(voice={"pitch_hz": None, "loudness_db": -20.0}), session="s", seq=1, at_s=2.0)
    event = parse(line)
    assert event is not None
    xdf.write([event], Path("a.mp4"), tmp_path / "a.xdf")
    (stream,), _ = pyxdf.load_xdf(str(tmp_path / "a.xdf"))
    pitch, loudness = stream["time_series"][0]
    assert math.isnan(pitch)
    assert loudness == -20.0


@pytest.mark.parametrize("write", [elan.write, textgrid.write, subtitles.write])
def test_a_recording_in_which_nothing_was_found_is_a_file_too(
    write: Callable[[Tiers, Path | None, Path], None], tmp_path: Path
) -> None:
    write(Tiers(), tmp_path / "clip.mp4", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size > 0
    if write is elan.write:
        assert set(Elan.Eaf(str(tmp_path / "out")).get_tier_names()) == set(Tiers().named)
    if write is textgrid.write:
        assert praat.openTextgrid(str(tmp_path / "out"), includeEmptyIntervals=True).tierNames


def told(read: list[Event], kind: type[Event]) -> Any:
    return next(event for event in read if isinstance(event, kind))


def test_each_format_tells_when_it_began_and_its_marks(events: list[Event], tmp_path: Path) -> None:
    """A study joins a session with its other instruments by the wall clock, whatever format it takes."""
    clock, mark = told(events, ClockEvent), told(events, MarkEvent)
    began, error_ms = clock.started_at, clock.started_at_error_ms
    assert began != told(events, SessionOpenedEvent).started_at, "the newest counts"
    assert began
    assert error_ms
    for form in writers.SUFFIXES:
        writers.write(form, events, None, tmp_path / form)
    subtitled = (tmp_path / "vtt").read_text()
    assert f"NOTE second 0 was {began} ± {error_ms:.0f} ms\n" in subtitled
    start = f"00:00:{mark.t:06.3f} --> "
    assert any(cue.startswith(start) and cue.endswith(noted(mark)) for cue in subtitled.strip().split("\n\n"))

    annotated = Elan.Eaf(str(tmp_path / "eaf"))
    assert dict(annotated.properties) | {"started_at": began, "started_at_error_ms": f"{error_ms}"} == dict(
        annotated.properties
    )
    assert [(at, text) for at, _, text in annotated.get_annotation_data_for_tier("mark")] == [
        (round(mark.t * 1000), noted(mark))
    ]

    grid = praat.openTextgrid(str(tmp_path / "textgrid"), includeEmptyIntervals=False)
    assert [entry.label for entry in grid.getTier("started_at").entries] == [
        f"second 0 was {began} ± {error_ms:.0f} ms"
    ]
    assert [(entry.start, entry.label) for entry in grid.getTier("mark").entries] == [(mark.t, noted(mark))]


def test_a_file_of_signals_tells_when_it_began_and_its_marks(events: list[Event], tmp_path: Path) -> None:
    pyxdf = pytest.importorskip("pyxdf")
    clock, mark = told(events, ClockEvent), told(events, MarkEvent)
    writers.write("xdf", events, None, tmp_path / "a.xdf")
    streams, header = pyxdf.load_xdf(str(tmp_path / "a.xdf"), synchronize_clocks=False, dejitter_timestamps=False)
    assert header["info"]["datetime"] == [clock.started_at]
    assert header["info"]["started_at_error_ms"] == [f"{clock.started_at_error_ms}"]
    (markers,) = (stream for stream in streams if stream["info"]["name"] == ["EmoThinker markers"])
    at = {text: stamp for (text,), stamp in zip(markers["time_series"], markers["time_stamps"], strict=True)}
    assert [stamp for text, stamp in at.items() if text.startswith(f"mark {mark.name}")] == [mark.t]


def test_of_a_recording_nobody_knows_when_it_began(busy: Tiers, tmp_path: Path) -> None:
    for write in (subtitles.write, elan.write, textgrid.write):
        write(busy, tmp_path / "clip.mp4", tmp_path / "out")
        assert "started_at" not in (tmp_path / "out").read_text()
        assert "second 0 was" not in (tmp_path / "out").read_text()


def test_every_format_is_lines_tables_or_a_file_for_each() -> None:
    assert set(FORMATS) == {"jsonl", "csv", "parquet", *writers.SUFFIXES}
