"""The fit of the classifier of questions: its patterns, its sets, and that it learns from them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from realtime.asking.kinds import Classifier, classifier
from train.asking import fit
from train.readers.clip import DataMissing


def test_each_wording_of_each_pattern_is_filled_in() -> None:
    names, by_kind = fit.patterns()
    assert set(by_kind) == set(classifier().kinds)
    rng = random.Random(0)
    for own in by_kind.values():
        assert len(own) >= 7
        for pattern in own:
            for _ in range(5):
                said = fit.worded(pattern, names, rng)
                assert said.strip()
                assert not set(said) & set("[]|<>"), said


def test_a_misspelled_text_has_one_slip() -> None:
    rng, text = random.Random(1), "when did the face change"
    for _ in range(50):
        assert abs(len(fit.misspelled(text, rng)) - len(text)) <= 1


def test_the_set_that_judges_is_in_no_fit() -> None:
    assert "paraphrases_5.json" not in {path.name for paths in fit.SETS.values() for path in paths}
    assert all(path.is_file() for paths in fit.SETS.values() for path in paths)


def test_sentences_about_anything_else_are_none_of_ours_and_others_are_kept_aside() -> None:
    own = fit.elsewhere()
    assert len(own) > 100
    assert {kind for _, kind in own} == {"untold"}
    aside = Path(__file__).parents[1] / "asking" / "elsewhere_2.txt"
    assert not {text for text, _ in own} & {*aside.read_text(encoding="utf-8").splitlines()}


def test_whoever_drew_fewer_lines_is_read_as_we_draw_them() -> None:
    assert fit.kind_known("Is she louder than before?", "loudness") == ("Is she louder than before?", "before")
    assert fit.kind_known("Is she loud?", "loudness") == ("Is she loud?", "loudness")
    assert fit.kind_known("Is he happy?", "valence") == ("Is he happy?", "own")


def test_it_learns_what_it_is_shown_and_is_stored_in_8_bits() -> None:
    spelling = Classifier(
        (), frozenset({"people"}), frozenset(), {}, np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    )
    asked = [("how many people are there", "count"), ("is it dark in here", "light"), ("what is he thinking", "untold")]
    model = fit.fitted(asked * 3, spelling)
    assert [model.kinds[int(model.probabilities(text).argmax())] for text, _ in asked] == [kind for _, kind in asked]
    counted = fit.counted(model, [("How many people are there?", "count"), ("Is he thinking?", "count")])
    assert (counted["n"], counted["right"], counted["wrong"]) == (2, 0.5, 0.0)
    assert fit.read(model, "Is he ill?") == "declined", "whatever the classifier says"
    kept = json.loads(json.dumps(fit.stored(model)))
    assert kept["words"] == "people"
    assert len(kept["features"]) == len(model.places)


def test_what_is_stored_reads_the_sets_that_it_was_fitted_on() -> None:
    for paths in fit.SETS.values():
        assert fit.counted(classifier(), fit.of_set(paths))["right"] >= 0.97


def test_without_the_sentences_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="goemotions"):
        fit.all_sentences(tmp_path)
