"""The shape of the code, held: what may import what, and one class to a name.

`tests/architecture.py` reads the imports.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture import cycle, imports, repeated_classes, room

STAGES = {"ingest", "evidence", "reason", "publish"}
"Data flows through them in this order, as records. None knows another."

COMPOSERS = {
    "session": "runs the stages of one session",
    "engine.loading": "builds what measures evidence and what reasons on it from one checkpoint",
    "engine.pair": "joins the perception and the reasoning of two models",
    "cluster.backbone": "is `engine.loading` where the towers and the Thinker are replicas",
    "settings": "holds the settings of every stage",
    "commands.study": "reads recordings, and writes their events to files",
    "serve.app": "tells a page the relays, and a program the schema of events",
    "serve.openai.socket": "turns a socket's messages into a source, and events into its answers",
}
"The modules of `realtime` that know several stages (`pace` counts as one), with the reason."


def crossing(rooms: set[str], into: set[str]) -> set[tuple[str, str]]:
    """The imports by modules of `rooms` of modules that lie in other rooms, of those in `into`."""
    return {
        (module, named)
        for module, all_named in imports().items()
        if module.startswith("realtime.") and room(module) in rooms
        for named in all_named
        if named.startswith("realtime.") and room(named) in into - {room(module)}
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not cycle(), " imports ".join(cycle())


def test_stages_know_neither_each_other_nor_pace_and_pace_knows_no_stage() -> None:
    assert crossing(STAGES, STAGES | {"pace"}) | crossing({"pace"}, STAGES) == set()


def test_the_model_and_its_towers_know_no_stage() -> None:
    assert crossing({"model", "towers"}, STAGES | {"pace"}) == set()


def test_serving_knows_nothing_of_training_and_export() -> None:
    up = {
        (module, named)
        for module, all_named in imports().items()
        if module.split(".")[0] == "realtime"
        for named in all_named
        if named.split(".")[0] != "realtime"
    }
    assert up == set()


def test_nothing_is_built_on_the_public_package() -> None:
    built = {
        (module, named)
        for module, all_named in imports().items()
        if module.split(".")[0] != "emothinker"
        for named in all_named
        if named.split(".")[0] == "emothinker"
    }
    assert built == set()


def test_few_modules_know_several_stages() -> None:
    several = {
        module.removeprefix("realtime.")
        for module, named in imports().items()
        if module.startswith("realtime.") and len({room(one) for one in named} & (STAGES | {"pace"})) > 1
    }
    assert several == COMPOSERS.keys()


def test_a_class_has_its_name_to_itself() -> None:
    assert repeated_classes() == {}


def test_what_tests_share_lies_in_helper_modules() -> None:
    """A test that imports another test drags its fixtures and imports along, and breaks when that one is changed."""
    tests = Path(__file__).parent
    borrowed = {
        str(path.relative_to(tests)): line
        for path in tests.rglob("test_*.py")
        for line in re.findall(
            r"^from tests(?:\.\w+)*\.test_\w+ import .*", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert borrowed == {}
