"""Labels are counted as a person would be told them."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.agreement import NoValidationData, WindowResult, agree, samples


def test_fast_labels_and_answers_both_count() -> None:
    torch = [
        WindowResult("joy", "joy", 0.9),
        WindowResult("fear", None, 0.4),
        WindowResult("anger", "anger", 0.8),
        WindowResult("joy", "joy", 0.7),
    ]
    ours = [
        WindowResult("joy", "fear", 0.9),
        WindowResult("anger", None, 0.4),
        WindowResult("anger", "joy", 0.8),
        WindowResult("joy", "joy", 0.7),
    ]
    result = agree(ours, torch)
    assert (result["same_fast"], result["same_answer"], result["same_label"]) == (0.75, 0.5, 0.5)
    assert result["torch_probability_where_different"] == [0.4]


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoValidationData, match="--validation"):
        samples(tmp_path, 10)
