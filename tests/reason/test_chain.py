"""Sections as they stream, and the answer's label in whatever words it comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.reason.chain import ANY_TAG, SectionText, read_answer
from realtime.reason.prompt import LABELS


def streamed(pieces: list[str], name: str = "face") -> tuple[str, list[str], bool]:
    section, decoded, shown = SectionText(name), "", []
    for piece in pieces:
        decoded += piece
        new = section.update(decoded)
        if new:
            shown.append(new)
    return section.text, shown, section.closed


def test_text_is_shown_as_it_comes_and_the_tag_never() -> None:
    text, shown, closed = streamed(["A smile", ", cheeks", " raised", ".</", "fa", "ce>"])
    assert shown == ["A smile", ", cheeks", " raised", "."]
    assert text == "A smile, cheeks raised."
    assert closed


def test_what_only_looks_like_a_tag_is_shown_once_it_is_known() -> None:
    text, shown, closed = streamed(["a <", "/f", "ear> b"])
    assert "".join(shown) == text == "a </fear> b"
    assert not closed


@pytest.mark.parametrize("tag", ["</voice>", "<coarse>"])
def test_another_sections_tag_ends_it_too(tag: str) -> None:
    text, shown, closed = streamed(["A smile", tag[:3], tag[3:], "Pitch higher"])
    assert "".join(shown) == text == "A smile"
    assert closed


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (["A", " angry", " face"], ["An angry face"]),
        (["A", " ang", "ry", " face", " and a", " angry", " voice"], ["An angry face", " and", " an angry voice"]),
        (["A", " sad", " face", " and a", "n angry", " voice"], ["A sad", " face", " and", " an angry", " voice"]),
        (["A", " angr", "ily", " raised"], ["A angrily", " raised"]),
        (["Banana", " angry", " as it is"], ["Banana", " angry", " as it is"]),
    ],
)
def test_an_article_fits_the_emotion_that_follows(pieces: list[str], told: list[str]) -> None:
    assert streamed(pieces, "fine")[:2] == ("".join(told), told)
    assert streamed([*pieces, "</fine>"], "fine")[0] == "".join(told)
    assert streamed(pieces, "face")[:2] == ("".join(pieces), pieces), "what is bound token by token is not held back"


def test_half_a_character_waits() -> None:
    section = SectionText("voice")
    assert section.update("caf\ufffd") == "caf"
    assert section.update("café") == "é"


@settings(deadline=None)  # A busy machine is no slow reader.
@given(st.text(max_size=60), st.integers(1, 7))
def test_pieces_join_to_the_whole_however_it_is_cut(text: str, size: int) -> None:
    whole = text.replace("\ufffd", "") + "</face>"
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    settled, shown, closed = streamed(pieces)
    assert closed
    assert "".join(shown) == settled == ANY_TAG.split(whole)[0]


@pytest.mark.parametrize(
    ("text", "label", "intensity"),
    [
        ("happy, strong", "happy", "strong"),
        ("Happy", "happy", ""),
        ("unsure", "unsure", ""),
        ("not happy", None, ""),
        ("not happy but sad, slight", "sad", "slight"),
        ("neither angry nor sad", None, ""),
        ("happy or sad", None, ""),
        ("unhappy", None, ""),
        ("The person is angry. Moderate.", "angry", "moderate"),
        ("fearless", None, ""),
        ("", None, ""),
    ],
)
def test_tricky_answers(text: str, label: str | None, intensity: str) -> None:
    read = read_answer(text, LABELS)
    assert (read.label, read.intensity) == (label, intensity)


@settings(deadline=None)  # A busy machine is no slow reader.
@given(st.text())
def test_reading_never_raises(text: str) -> None:
    read_answer(text, LABELS)
