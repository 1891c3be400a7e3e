"""What a mark may be: what goes onto the wire has to come back the same in every language."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from realtime.errors import BadMark
from realtime.serve.marks import MAX_NAME_CHARS, MAX_VALUES, MAX_WHOLE, mark_from


def mark(name: Any = "trial", data: Any = None) -> tuple[str, Any]:
    return mark_from(json.dumps({"name": name, "data": data}).encode())


@pytest.mark.parametrize("value", ["text", "", "ü 🙂", 0, -MAX_WHOLE, MAX_WHOLE, 1e300, 0.1, True, None])
def test_plain_values_are_taken_as_they_are(value: object) -> None:
    assert mark(data={"a": value}) == ("trial", {"a": value})


@pytest.mark.parametrize("value", [MAX_WHOLE + 1, -MAX_WHOLE - 1, float("inf"), float("nan"), "\ud800", [], {}])
def test_values_that_another_program_would_read_otherwise_are_refused(value: object) -> None:
    with pytest.raises(BadMark, match="'a' is no plain value"):
        mark(data={"a": value})


@pytest.mark.parametrize("name", ["x", "x" * MAX_NAME_CHARS, "Ruhe 2"])
def test_names_are_one_line(name: str) -> None:
    assert mark(name, {name: 1}) == (name, {name: 1})


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * (MAX_NAME_CHARS + 1)])
def test_other_names_are_refused(name: str) -> None:
    """Each of them was told that it has no name."""
    with pytest.raises(BadMark, match=re.escape(f"{name[:40]!r} cannot be a mark's name.")):
        mark(name)
    with pytest.raises(BadMark, match="cannot be a name"):
        mark(data={name: 1})


def test_a_name_is_told_to_be_missing_only_where_it_is() -> None:
    with pytest.raises(BadMark, match="has no name"):
        mark_from(b'{"data": {}}')
    with pytest.raises(BadMark, match="cannot be a mark's name"):
        mark(3)


def test_data_has_a_bound() -> None:
    values = {f"value {number}": number for number in range(MAX_VALUES)}
    assert mark(data=values) == ("trial", values)
    with pytest.raises(BadMark, match=f"data has {MAX_VALUES + 1} values"):
        mark(data=values | {"one more": 0})
    with pytest.raises(BadMark, match="data is no object"):
        mark(data=[1])
    with pytest.raises(BadMark, match="'at' is not part of a mark"):
        mark_from(b'{"name": "trial", "at": 3}')
