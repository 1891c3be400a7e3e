"""What operators deploy fits the program: metrics that exist, settings that are known, files that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from realtime.metrics import Metrics
from realtime.settings import load

ROOT = Path(__file__).parent.parent


def test_the_dashboard_asks_for_metrics_there_are() -> None:
    there = {family.name for family in Metrics().registry.collect()}
    dashboard = json.loads((ROOT / "realtime/deploy/grafana.json").read_text())
    asked = {
        re.sub(r"_(bucket|total)$", "", name)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"(?:emothinker|process)_\w+", target["expr"])
    }
    assert asked <= there, asked - there


def test_the_compose_file_sets_settings_there_are() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    names = set(re.findall(r"^ +(EMOTHINKER_\w+):", compose, re.MULTILINE))
    assert names
    values = {"EMOTHINKER_ICE__TURN_URL": "turn:h:1,turn:h:2", "EMOTHINKER_ICE__PUBLIC_ADDRESS": "203.0.113.7"}
    assert load(environ={name: values.get(name, "x") for name in names}).server.token == "x"
    for mounted in re.findall(r"\./(realtime/\S+?):", compose):
        assert (ROOT / mounted).is_file(), mounted
