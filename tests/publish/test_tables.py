"""Tables of people and of what was said of each."""

from __future__ import annotations

import json
from pathlib import Path

from realtime.publish.parse import parse
from realtime.publish.tables import columns, rows

EVENTS = json.loads((Path(__file__).parents[1] / "fixtures" / "events.json").read_text())


def test_a_second_has_a_row_for_each_person_with_their_own_label() -> None:
    chain = next(event for event in EVENTS if event["type"] == "label" and event["source"] == "chain")
    fast = next(event for event in EVENTS if event["type"] == "label" and event["source"] == "fast")
    told = [event | ({"faces": fast["faces"]} if event is chain else {}) for event in EVENTS]
    events = [event for line in told if (event := parse(json.dumps(line))) is not None]
    found = [row for row in rows(events, "seconds") if row["t"] == 1]
    assert {row["track"]: row["person_label"] for row in found} == {1: "happy", 2: "unsure"}
    assert {row["track"]: row["person_p_happy"] for row in found} == {1: 0.74, 2: 0.2}
    assert "person_label" in columns(found, "seconds")
