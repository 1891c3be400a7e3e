"""The wire: the classes, their schema, and the fixture that the page is tested against must all say the same."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from realtime.face_actions import blendshapes
from realtime.publish.events import CuesEvent, Event, FrameEvent, LagEvent, SessionOpenedEvent, TokenSplit, encode
from realtime.publish.schema import event_schema

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "events.json").read_text())
STRICT = jsonschema.Draft202012Validator(event_schema(strict=True))
SERVED = jsonschema.Draft202012Validator(event_schema())


@pytest.mark.parametrize("example", FIXTURE, ids=lambda example: f"{example['seq']}-{example['type']}")
def test_each_example_matches_the_schema(example: dict[str, object]) -> None:
    STRICT.validate(example)


def test_the_fixture_has_every_type_and_no_gaps() -> None:
    assert {example["type"] for example in FIXTURE} == {kind.type for kind in typing.get_args(Event)}
    assert [example["seq"] for example in FIXTURE] == list(range(1, len(FIXTURE) + 1))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(event_schema())


def test_a_reader_accepts_a_new_field_and_refuses_a_missing_one() -> None:
    lag = json.loads(encode(LagEvent(0.2, 0, 1), session="s", seq=1, at_s=3.0))
    SERVED.validate(lag | {"added_later": True})
    del lag["skipped_windows"]
    assert not SERVED.is_valid(lag)


def test_encoding_keeps_words_and_shortens_numbers() -> None:
    line = encode(SessionOpenedEvent("näno", "torch", ("happy",)), session="s", seq=1, at_s=0.1234567)
    assert '"t":0.123,' in line
    assert "näno" in line
    assert "\n" not in line


def test_measured_numpy_numbers_go_onto_the_wire() -> None:
    event = CuesEvent(face={"track": 1, "jaw_drop": np.float32(0.25)})  # type: ignore[dict-item]
    decoded = json.loads(encode(event, session="s", seq=1, at_s=0.0))
    STRICT.validate(decoded)
    assert decoded["face"]["jaw_drop"] == 0.25


def test_a_number_that_is_none_is_refused_not_sent() -> None:
    frame = FrameEvent((), TokenSplit(0, 0, 0), float("nan"), 0.0, 4, 4)
    with pytest.raises(ValueError, match="JSON"):
        encode(frame, session="s", seq=1, at_s=0.0)


def test_the_schema_has_other_people_s_names_of_cues() -> None:
    """Programs made for FACS or for avatars find them without our documents."""
    named = event_schema()["$defs"]["CuesEvent"]["properties"]["face"]["x-cues"]
    assert named["lip_corner_pull"] == {"facs": 12, "blendshapes": ["mouthSmileLeft", "mouthSmileRight"]}
    units = [each["facs"] for each in named.values()]
    shapes = [name for each in named.values() for name in each["blendshapes"]]
    assert len(units) == len(set(units))
    assert len(shapes) == len(set(shapes))
    assert blendshapes({"track": 1, "jaw_drop": 0.5}) == {"jawOpen": 0.5}
