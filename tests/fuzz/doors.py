"""Every door that input from outside comes through, with what may be generated for it.

A door takes one generated value and returns, or raises RealtimeError with a hint; whatever else comes out is a bug.
"""

from __future__ import annotations

import json
import re
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from realtime.asking import question as asking
from realtime.errors import RealtimeError
from realtime.ingest.addresses import announce
from realtime.ingest.media import MediaSource
from realtime.ingest.sdp import narrow
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.model.checkpoint import NANO, read_adapter, read_config, read_tensors
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG
from realtime.model.tokenizer import Vocabulary
from realtime.publish.events import ErrorEvent, MarkEvent, SessionClosedEvent, SessionOpenedEvent, encode
from realtime.recording.vault import EVENT, KEY_BYTES, Vault
from realtime.records import LABELS
from realtime.serve import marks
from realtime.settings import Settings
from realtime.settings_sources import PREFIX, known_settings, load
from tests.ingest.media_files import room, voice, write_clip

OFFER = (Path(__file__).parent / "offer.sdp").read_text(encoding="ascii").splitlines()
SESSION = "0" * 32


@dataclass(frozen=True)
class Raw:
    """How a door takes plain bytes, which coverage guides far quicker than it guides what hypothesis makes of them."""

    read: Callable[[bytes], Any]
    seed: bytes
    "Something that is taken, to begin from."


@dataclass(frozen=True)
class Door:
    values: st.SearchStrategy[Any]
    enter: Callable[[Any], None]
    share: int
    "Of 100 inputs."
    raw: Raw | None = None

    def try_(self, value: Any) -> None:
        """Raises whatever is not a refusal by name."""
        refusal = refused(self.enter, value)
        assert refusal is None or (refusal.message and refusal.hint)


def refused(enter: Callable[..., object], *values: object) -> RealtimeError | None:
    try:
        enter(*values)
    except RealtimeError as error:
        return error
    return None


# Offers.


@st.composite
def offers(draw: st.DrawFn) -> str:
    """An offer with lines lost, doubled, moved, and fields overwritten."""
    lines = list(OFFER)
    for _ in range(draw(st.integers(0, 6))):
        index = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("lose", "double", "move", "field", "text"))):
            case "lose" if len(lines) > 1:
                del lines[index]
            case "double":
                lines.insert(index, lines[index])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(index))
            case "field":
                parts = re.split(r"([ :/=])", lines[index])
                at = draw(st.integers(0, len(parts) - 1))
                parts[at] = draw(st.one_of(st.text(max_size=12), st.integers().map(str)))
                lines[index] = "".join(parts)
            case _:
                lines.insert(index, draw(st.text(max_size=60)))
    return "\r\n".join(lines)


OFFERS = st.one_of(offers(), st.text(max_size=400), st.text(max_size=400).map("v=0\r\nm=audio ".__add__))


def offer(text: str) -> None:
    narrowed = narrow(text)
    assert narrowed.kinds
    announce(narrowed.widen(narrowed.sdp), reached=None)


# Questions, settings, events.


def question(body: bytes) -> None:
    asking.question_from(body, LABELS)


def mark(body: bytes) -> None:
    name, data = marks.mark_from(body)
    line = encode(MarkEvent(name, data), session=SESSION, seq=1, at_s=0.0)
    # As it goes onto a socket and into a recording.
    read = json.loads(line.encode())
    assert (read["name"], read["data"]) == (name, data)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
QUESTIONS = st.one_of(
    st.binary(max_size=300),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({}, optional={"query": JSON, "labels": JSON, "more": JSON}).map(
        lambda value: json.dumps(value).encode()
    ),
)


MARKS = st.one_of(
    QUESTIONS,
    st.fixed_dictionaries({"name": st.text(max_size=120)}, optional={"data": JSON, "more": JSON}).map(
        lambda value: json.dumps(value).encode()
    ),
)


@cache
def _names() -> Sequence[str]:
    return tuple(name for name, _ in known_settings(Settings))


SETTING = st.one_of(
    st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)
)
SETTINGS = st.one_of(
    st.binary(max_size=120),
    st.dictionaries(
        st.one_of(st.deferred(lambda: st.sampled_from(_names())), st.text(max_size=20)), SETTING, max_size=3
    ),
)


def settings(value: bytes | dict[str, Any]) -> None:
    if isinstance(value, bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "settings.toml"
            path.write_bytes(value)
            load(path)
        return
    variables = {PREFIX + name.upper().replace(".", "__"): str(one) for name, one in value.items()}
    for environ, flags in ((None, value), (variables, None)):
        refusal = refused(partial(load, environ=environ, flags=flags))
        assert refusal is None or refusal.hint


TEXT = st.text(max_size=60)
EVENTS = st.one_of(
    st.builds(ErrorEvent, TEXT, TEXT, TEXT, st.booleans()),
    st.builds(SessionClosedEvent, TEXT),
    st.builds(SessionOpenedEvent, TEXT, TEXT, st.lists(TEXT, max_size=8).map(tuple)),
)


def event(value: ErrorEvent | SessionClosedEvent | SessionOpenedEvent) -> None:
    line = encode(value, session=SESSION, seq=1, at_s=0.0)
    assert "\n" not in line
    read = json.loads(line)
    assert read["type"] == value.type


# Files: recordings, checkpoints, what --record kept.


@cache
def _clip() -> bytes:
    sound_N = np.concatenate([room(0.4), voice(0.4)])
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(Path(folder) / "clip.mp4", pictures_s=[index / 10 for index in range(8)], sound_N=sound_N)
        return path.read_bytes()


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=16)


def changed(content: bytes, changes: Sequence[tuple[float, int]], kept: float) -> bytes:
    broken = bytearray(content)
    for at, byte in changes:
        broken[int(at * len(broken))] = byte
    return bytes(broken[: round(kept * len(broken))])


def recording(value: tuple[list[tuple[float, int]], float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(changed(_clip(), *value))
        source = MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())
        try:
            for _ in source._items:
                pass
        finally:
            source._container.close()


@st.composite
def configs(draw: st.DrawFn) -> bytes:
    """nano's shapes, with some values replaced by others."""
    config = json.loads((NANO / "config.json").read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        part = config
        while True:
            key = draw(st.sampled_from(sorted(part)))
            if not (isinstance(part[key], dict) and part[key] and draw(st.booleans())):
                break
            part = part[key]
        part[key] = draw(JSON)
    return json.dumps(config).encode()


CHECKPOINTS = st.tuples(
    st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode()), configs()),
    st.one_of(st.none(), st.integers(0, 300), st.integers(0, 2**64 - 1)),
)


def checkpoint(value: tuple[bytes, int | None]) -> None:
    body, n_header = value
    head = struct.pack("<Q", len(body) if n_header is None else n_header)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.safetensors").write_bytes(head + body)
        (folder / "adapter_model.safetensors").write_bytes(head + body)
        for file in ("config.json", ADAPTER_CONFIG, EMOTION_CONFIG, "tokenizer.json"):
            (folder / file).write_bytes(body)
        for read in (
            lambda: read_tensors(folder / "model.safetensors"),
            lambda: read_config(folder),
            lambda: read_adapter(folder),
            lambda: Vocabulary.read(folder),
        ):
            refusal = refused(read)
            assert refusal is None or refusal.hint


def kept(value: tuple[list[tuple[float, int]], float]) -> None:
    with tempfile.TemporaryDirectory() as name:
        vault = Vault(Path(name), bytes(KEY_BYTES), days=1)
        with vault.begin(SESSION, "secret") as writing:
            writing.add(EVENT, b"something said")
        for file in Path(name).iterdir():
            file.write_bytes(changed(file.read_bytes(), *value))
        for _, content in vault.read(SESSION):
            assert content == b"something said"


DOORS = {
    "offer": Door(OFFERS, offer, 35, Raw(lambda data: data.decode("utf-8", "replace"), "\r\n".join(OFFER).encode())),
    "question": Door(QUESTIONS, question, 15, Raw(bytes, b'{"query": "Is this sarcasm?", "labels": ["yes", "no"]}')),
    "mark": Door(MARKS, mark, 10, Raw(bytes, b'{"name": "trial", "data": {"number": 3, "condition": "A"}}')),
    "settings": Door(SETTINGS, settings, 15, Raw(bytes, b'[server]\nport = 9000\n[ice]\nturn_url = "turn:h:3478"\n')),
    "event": Door(EVENTS, event, 10),
    "recording": Door(st.tuples(CHANGES, st.floats(0, 1)), recording, 5),
    "checkpoint": Door(
        CHECKPOINTS, checkpoint, 10, Raw(lambda data: (data, None), (NANO / "config.json").read_bytes())
    ),
    "kept": Door(st.tuples(CHANGES, st.floats(0.5, 1)), kept, 5),
}
