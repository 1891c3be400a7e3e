"""Open-vocabulary metrics on wheels small enough to work by hand, in both published layouts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from train.metrics import __main__ as command
from train.metrics import wheel
from train.readers.clip import DataMissing

ROWS = [("happy", "joyful", "elated"), (None, None, "cheerful"), ("sad", "gloomy", "low"), ("mad", "angry", "furious")]


def workbook(path: Path, header: tuple[str, ...], rows: list[tuple[str | None, ...]]) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (header, *rows):
        sheet.append(row)
    book.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wheels 1 to 4 know happy, sad and mad; wheel 5 knows happy alone."""
    for number in range(1, 6):
        rows = ROWS if number < 5 else ROWS[:2]
        workbook(tmp_path / f"wheel{number}.xlsx", ("level1", "level2", "level3"), list(rows))
    words = [("elated", "['overjoyed', 'glad']"), ("gloomy", "['blue']"), ("furious", "['livid']"), ("sad", "[]")]
    header = tuple(name for run in range(1, 9) for name in (f"word_run{run}", f"synonym_run{run}"))
    workbook(tmp_path / "synonym.xlsx", header, [pair * 8 for pair in words])
    forms = "name,format\nelated,\noverjoyed,\nglad,gladly\nblue,blues\ngloomy,gloomily\nlivid,\nfurious,\nsad,sadly\n"
    (tmp_path / "format.csv").write_text(forms, encoding="utf-8")
    return tmp_path


def test_a_word_goes_by_its_form_and_synonym_to_the_group(folder: Path) -> None:
    wheels = wheel.read(folder)
    assert wheels.version == "2025"
    assert wheels.group(" Gladly", "wheel1", "level1") == "happy"
    assert wheels.group("gladly", "wheel1", "level2") == "joyful"
    assert wheels.group("blues", "wheel1", "level1") == "sad"
    assert wheels.group("blues", "wheel5", "level1") is None
    assert wheels.group("indifferent", "wheel1", "level1") is None


def test_the_wheel_metric_by_hand(folder: Path) -> None:
    truth = {"a": ["glad", "blue"], "b": ["livid"], "c": ["indifferent"]}
    told = {"a": ["elated"], "b": ["glad", "furious"]}
    score = wheel.wheel_metric(wheel.read(folder), truth, told, level="level1")
    # Wheels 1–4: precision (1 + 1/2)/2, recall (1/2 + 1)/2. Wheel 5 knows sample a alone: both 1. c is skipped.
    assert score["precision"] == pytest.approx((4 * 0.75 + 1) / 5)
    assert score["f1"] == pytest.approx((4 * 0.75 + 1) / 5)
    nothing = wheel.wheel_metric(wheel.read(folder), truth, {}, level="level1")
    assert nothing == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_hit_leaves_out_what_is_on_no_wheel(folder: Path) -> None:
    score = wheel.hit(wheel.read(folder), {"a": ["glad"], "b": ["neutral"], "c": ["livid"]}, {"a": ["overjoyed"]})
    assert score["hit"] == pytest.approx((4 * 0.5 + 1) / 5)
    assert score["n"] == pytest.approx((4 * 2 + 1) / 5)


def test_the_set_level_score_by_hand(folder: Path) -> None:
    score = wheel.set_level(
        wheel.read(folder), {"a": ["glad", "wistful"]}, {"a": ["overjoyed", "Wistful", "blue", "tired"]}
    )
    assert score == {"score": pytest.approx(0.75), "accuracy": 0.5, "recall": 1.0}


def test_the_2026_layout_says_the_same_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    tables = wheel.read(folder)
    other = tmp_path / "2026"
    other.mkdir()
    np.savez(
        other / "wheel_mapping.npz",
        format_mapping=np.array(dict(tables.forms), dtype=object),
        raw_mapping=np.array(dict(tables.synonyms), dtype=object),
        wheel_map_whole=np.array(dict(tables.groups), dtype=object),
    )
    npz = wheel.read(other)
    assert npz.version == "2026"
    truth, told = {"a": ["glad", "blue"]}, {"a": ["gladly", "livid"]}
    assert wheel.measure(npz, truth, told) == wheel.measure(tables, truth, told) | {"wheels": "2026"}

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    np.savez(other / "wheel_mapping.npz", format_mapping=np.array(Harmful(), dtype=object))
    with pytest.raises(DataMissing, match="print"):
        wheel.read(other)


def test_missing_wheels_are_listed_and_the_command_prints_json(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataMissing, match=r"synonym\.xlsx"):
        wheel.read(tmp_path / "nothing")
    truth, told = tmp_path / "truth.csv", tmp_path / "told.jsonl"
    truth.write_text('name,openset\na,"glad, blue"\n', encoding="utf-8")
    told.write_text(json.dumps({"name": "a", "openset": ["glad", "blue"]}) + "\n", encoding="utf-8")
    words = ["--wheels", str(folder), "--predictions", str(told), "--truth", str(truth)]
    monkeypatch.setattr(sys, "argv", ["train.metrics", "wheel", *words])
    command.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["wheel_level1"]["f1"] == 1.0
    assert figures["wheels"] == "2025"
