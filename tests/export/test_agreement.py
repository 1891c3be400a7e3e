"""Labels are counted as a person would be told them."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.agreement import NoValidationData, Told, agree, samples


def test_fast_labels_and_answers_count_alike() -> None:
    torch = [Told("joy", "joy", 0.9), Told("fear", None, 0.4), Told("anger", None, 0.8)]
    ours = [Told("joy", "unsure", 0.9), Told("anger", None, 0.4), Told("anger", None, 0.8)]
    result = agree(ours, torch)
    assert result["same_label"] == 2 / 4
    assert (result["windows"], result["same_fast"], result["chains"], result["same_answer"]) == (3, 2, 1, 0)
    assert result["torch_probability_where_different"] == [0.4]


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoValidationData, match="--validation"):
        samples(tmp_path, 10)
