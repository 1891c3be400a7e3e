"""What `encode` wrote, `parse` reads back, and nothing that a stranger sends gets further than an error of ours."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.errors import BadEvent
from realtime.publish.events import Event, LabelEvent, Placed, WindowEvent, encode
from realtime.publish.parse import parse

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "events.json").read_text())


@pytest.mark.parametrize("example", FIXTURE, ids=lambda example: f"{example['seq']}-{example['type']}")
def test_an_event_read_and_written_again_is_the_same(example: dict[str, Any]) -> None:
    event = parse(json.dumps(example))
    assert event is not None
    assert (event.session, event.seq, event.t) == (example["session"], example["seq"], example["t"])
    again = json.loads(encode(event, session=event.session, seq=event.seq, at_s=event.t))
    # Fields that have a default may be missing in what was sent.
    assert again | example == again


def test_what_is_read_has_the_types_of_the_classes() -> None:
    label = parse(json.dumps(next(example for example in FIXTURE if example["type"] == "label")))
    assert isinstance(label, LabelEvent)
    assert label.conflict is not None
    assert isinstance(label.conflict.score, float)
    window = parse(json.dumps(next(example for example in FIXTURE if example["type"] == "window")))
    assert isinstance(window, WindowEvent)
    assert window.people == (2, 1)
    assert hash(window.labels)


def test_every_event_has_a_place() -> None:
    assert all(issubclass(kind, Placed) for kind in typing.get_args(Event))


def test_two_events_that_say_the_same_are_equal() -> None:
    one, other = (parse(json.dumps(FIXTURE[12] | {"seq": seq})) for seq in (1, 2))
    assert one == other


def test_types_and_fields_of_a_later_version_are_skipped() -> None:
    assert parse('{"v": 1, "type": "gesture", "session": "s", "seq": 1, "t": 0}') is None
    assert parse(json.dumps(FIXTURE[12] | {"mood": [1, {}]})) is not None


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        "[]",
        "null",
        '{"v": 2, "type": "lag"}',
        '{"v": 1, "type": "lag", "session": "s", "seq": 1, "t": 0}',
        '{"v": 1, "type": [], "session": "s", "seq": 1, "t": 0}',
        json.dumps(FIXTURE[12] | {"seconds": "many"}),
        json.dumps(FIXTURE[12] | {"skipped_frames": True}),
        json.dumps(FIXTURE[1] | {"faces": [{"track": 1, "box": [0, 0, 1], "score": 1}]}),
        json.dumps(FIXTURE[1] | {"seq": None}),
        "[" * 100_000,
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(BadEvent):
        parse(line)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(FIXTURE), st.data())
def test_no_damage_gets_past_the_border(example: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(example)))
    value = data.draw(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4))
    try:
        event = parse(json.dumps(example | {field: value}))
    except BadEvent:
        return
    assert event is None or isinstance(event.seq, int)
