"""The socket for programs of Hume's expression measurement, with scripted answers of the model and real decoding.

`tests/senders/test_hume_sdk.py` talks to it with Hume's own SDK, and to the embedded model.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.records import LABELS, UInt8
from realtime.serve import hosting
from realtime.serve.hume import stream
from realtime.serve.hume.messages import EMOTIONS, FACS, MODELS
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.ingest.media_files import room, voice
from tests.ingest.uploads import black_png, png, wav
from tests.scripted import ScriptedModel, ScriptedPerceiver
from tests.serve.live_server import Running, not_for_silence, serving
from tests.waiting import WITHIN_S

PATH = "/v0/stream/models"
SPOKEN = wav(np.concatenate([room(0.6), voice(1.4), room(1.0)]))


async def ask(socket: ClientConnection, message: Any) -> dict[str, Any]:
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    async with asyncio.timeout(WITHIN_S):
        return dict(json.loads(await socket.recv()))


def of(data: bytes, **models: Any) -> dict[str, Any]:
    return {"models": models, "data": base64.b64encode(data).decode()}


async def test_a_face_is_answered_in_humes_shape(portrait: UInt8) -> None:
    asked = of(png(portrait), face={"facs": {}, "descriptions": {}, "identify_faces": True})
    async with serving() as running, running.socket(PATH) as socket:
        answer = await ask(socket, asked | {"payload_id": "7", "job_details": True})
        assert answer.pop("payload_id") == "7"
        assert len(answer.pop("job_details")["job_id"]) == 16
        assert answer.keys() == {"face"}
        (face,) = answer["face"]["predictions"]
        # The scripted model says happy with 0.6, and the other six alike.
        assert [each["name"] for each in face["emotions"]] == sorted(sum(EMOTIONS.values(), ()))
        assert {each["name"]: each["score"] for each in face["emotions"]}["Joy"] == 0.6
        assert face["bbox"] == {"x": 204.8, "y": 102.4, "w": 102.4, "h": 204.8}
        assert (face["frame"], face["time"], face["prob"], face["face_id"]) == (0, 0.0, 0.9, "face_1")
        assert face["facs"] == [{"name": "AU26 Jaw Drop", "score": 0.3}]
        assert answer["face"]["code"] == "not_available"
        assert "Descriptions" in answer["face"]["warning"]

        # The models of before are meant where none are named.
        again = await ask(socket, {"data": asked["data"]})
        assert again["face"]["predictions"][0]["face_id"] == "face_1"
        plain = await ask(socket, of(png(portrait), face={}))
        assert plain["face"]["predictions"][0]["face_id"] == "unknown"
        assert plain["face"]["predictions"][0].keys() & {"facs", "descriptions"} == set()
        small = await ask(socket, of(png(portrait), face={"min_face_size": 103}))
        assert small["face"]["code"] == "W0103"
        unlikely = await ask(socket, of(png(portrait), face={"prob_threshold": 0.95}))
        assert unlikely["face"]["code"] == "W0103"


async def test_a_voice_is_answered_with_its_times() -> None:
    async with serving() as running, running.socket(PATH) as socket:
        for _ in range(2):
            answer = await ask(socket, of(SPOKEN, prosody={}))
            (stretch,) = answer["prosody"]["predictions"]
            assert stretch["time"]["begin"] == pytest.approx(0.6, abs=0.25)
            assert stretch["time"]["end"] == pytest.approx(2.0, abs=0.25)
            assert {each["name"]: each["score"] for each in stretch["emotions"]}["Joy"] == 0.6
        quiet = await ask(socket, of(wav(room(1.0)), prosody={}))
        assert quiet == {"prosody": {"warning": "No speech was heard.", "code": "W0105"}}


async def test_sound_in_parts_is_put_together_within_the_window() -> None:
    """Programs send half seconds: none of them has enough of a voice in it."""
    spoken_N = np.concatenate([room(0.6), voice(1.4), room(1.0)])
    parts = [wav(part_N) for part_N in np.array_split(spoken_N, 15)]
    async with serving() as running, running.socket(PATH) as socket:
        apart = [await ask(socket, of(part, prosody={})) for part in parts]
        assert not any("predictions" in answer["prosody"] for answer in apart)
        together = [await ask(socket, of(part, prosody={}) | {"stream_window_ms": 3000}) for part in parts]
        assert "predictions" in together[-1]["prosody"]
        forgotten = await ask(socket, of(parts[-1], prosody={}) | {"stream_window_ms": 3000, "reset_stream": True})
        assert forgotten["prosody"]["code"] == "W0105"


async def test_a_video_is_answered_with_its_faces_and_its_voice(a_recording: Path) -> None:
    clip = await asyncio.to_thread(a_recording.read_bytes)
    async with serving() as running, running.socket(PATH) as socket:
        answer = await ask(socket, of(clip, face={}, prosody={}))
        faces = answer["face"]["predictions"]
        assert [round(face["time"]) for face in faces] == [0, 1, 2, 3, 4]
        assert [face["frame"] for face in faces] == [0, 10, 20, 30, 40]
        assert len(answer["prosody"]["predictions"]) == 1


async def test_what_is_not_measured_here_is_said(portrait: UInt8) -> None:
    async with serving() as running, running.socket(PATH) as socket:
        everything = await ask(socket, of(png(portrait), **{name: {} for name in MODELS}))
        assert everything["face"]["predictions"]
        for name in set(MODELS) - {"face"}:
            assert everything[name]["warning"]
            assert "predictions" not in everything[name]
        text = await ask(socket, {"models": {"language": {}}, "data": "I am fine.", "raw_text": True})
        assert text == {"language": {"warning": "Text is not read here.", "code": "not_available"}}
        mesh = await ask(socket, {"models": {"facemesh": {}}, "data": "[[[1, 2, 3]]]"})
        assert mesh["facemesh"]["code"] == "not_available"


def test_every_label_and_every_cue_has_a_name_of_humes() -> None:
    from realtime.face_actions import FACS as UNITS

    assert EMOTIONS.keys() == set(LABELS)
    assert {cue: int(name.split()[0].removeprefix("AU")) for cue, name in FACS.items()} == dict(UNITS)


GARBAGE: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "E0100"),
    "no object": ([1], "E0100"),
    "deep": ("[" * 100_000, "E0100"),
    "nothing": ({}, "E0101"),
    "data without models": ({"data": "aGVsbG8="}, "E0101"),
    "no model": ({"models": {}, "data": "aGVsbG8="}, "E0101"),
    "models no object": ({"models": [1], "data": "aGVsbG8="}, "E0101"),
    "settings no object": ({"models": {"face": 1}, "data": "aGVsbG8="}, "E0101"),
    "data no text": ({"models": {"face": {}}, "data": 5}, "E0101"),
    "flag no flag": ({"models": {"face": {}}, "raw_text": "yes", "data": "a"}, "E0101"),
    "window not a number": ('{"models": {"face": {}}, "stream_window_ms": NaN, "data": "a"}', "E0101"),
    "fps infinite": ('{"models": {"face": {"fps_pred": Infinity}}, "data": "a"}', "E0101"),
    "long id": ({"models": {"face": {}}, "data": "a", "payload_id": "x" * 300}, "E0101"),
    "not Base64": ({"models": {"face": {}}, "data": "%%%"}, "E0201"),
    "half a surrogate": ('{"models": {"face": {}}, "data": "\\ud800"}', "E0201"),
    "no media": (of(b"hello" * 40, face={}), "E0200"),
    "playlist": (of(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", face={}), "E0200"),
    "too large": (of(black_png(4_000), face={}), "E0205"),
    "too long": (of(wav(np.zeros(31 * 16_000, np.float32)), prosody={}), "E0203"),
    "text as a face": ({"models": {"face": {}}, "data": "I am fine.", "raw_text": True}, "E0102"),
    "sound as a face": (of(SPOKEN, face={}), "E0102"),
    "picture as a voice": (of(black_png(64), prosody={}), "E0102"),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_gets_a_plain_error_and_the_next_message_is_answered(name: str) -> None:
    message, code = GARBAGE[name]
    async with serving() as running, running.socket(PATH) as socket:
        answer = await ask(socket, message)
        assert answer["code"] == code
        assert len(answer["error"].split()) >= 5
        assert "Traceback" not in answer["error"]
        assert "predictions" in (await ask(socket, of(SPOKEN, prosody={})))["prosody"]


async def test_bytes_in_place_of_text_are_garbage_too() -> None:
    async with serving() as running, running.socket(PATH) as socket:
        await socket.send(b"\x00\x01")
        assert json.loads(await socket.recv())["code"] == "E0100"


async def test_a_failing_model_costs_one_message(portrait: UInt8) -> None:
    class Failing(ScriptedPerceiver):
        n_asked = 0

        def see(self, frame: Any) -> Any:
            self.n_asked += 1
            if self.n_asked == 1:
                raise RuntimeError("out of memory")
            return super().see(frame)

    async with serving(model=ScriptedModel(Failing())) as running, running.socket(PATH) as socket:
        failed = await ask(socket, of(png(portrait), face={}) | {"payload_id": "a"})
        assert failed == {
            "error": "The model failed (RuntimeError). Send the next one.",
            "code": "failed",
            "payload_id": "a",
        }
        assert "predictions" in (await ask(socket, of(png(portrait), face={})))["face"]


async def test_the_key_is_the_servers_token_or_the_operators() -> None:
    settings = Settings(server=ServerSettings(token="t" * 16, operator_token="o" * 16))
    async with serving(settings) as running:
        for headers in (
            {"X-Hume-Api-Key": "t" * 16},
            {"X-Hume-Api-Key": "o" * 16},
            {"Authorization": f"Bearer {'t' * 16}"},
        ):
            async with running.socket(PATH, additional_headers=headers) as socket:
                assert "job_details" in await ask(socket, {"job_details": True})
        for headers in ({}, {"X-Hume-Api-Key": "wrong"}, {"X-Hume-Api-Key": ""}):
            with pytest.raises(InvalidStatus) as refused:
                await running.socket(PATH, additional_headers=headers)
            assert refused.value.response.status_code == 401
        # A key in an address ends up in logs: it opens nothing.
        with pytest.raises(InvalidStatus):
            await running.socket(f"{PATH}?apikey={'t' * 16}")


async def test_another_sites_page_is_refused() -> None:
    async with serving() as running:
        with pytest.raises(InvalidStatus) as refused:
            await running.socket(PATH, origin="https://other.example")
        assert refused.value.response.status_code == 403


async def full(running: Running) -> bool:
    try:
        async with running.socket(PATH):
            return False
    except InvalidStatus as refused:
        return refused.response.status_code == 503


async def test_each_socket_takes_the_place_of_a_session_and_gives_it_back(portrait: UInt8) -> None:
    async with serving(Settings(server=ServerSettings(max_sessions=1))) as running:
        async with running.socket(PATH) as socket:
            assert await full(running)
            assert "predictions" in (await ask(socket, of(png(portrait), face={})))["face"]
            metrics = (await running.http.get("/metrics")).text
            assert "emothinker_sessions 1.0" in metrics
            assert 'emothinker_sessions_refused_total{code="full"} 1.0' in metrics
        async with asyncio.timeout(WITHIN_S):
            while await full(running):
                await asyncio.sleep(0.05)
        assert "emothinker_sessions 0.0" in (await running.http.get("/metrics")).text


async def test_a_socket_on_which_nothing_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "IDLE_S", 0.2)
    async with serving() as running, running.socket(PATH) as socket:
        with pytest.raises(ConnectionClosed, match="nothing came"):
            await asyncio.wait_for(socket.recv(), WITHIN_S)


async def test_a_program_that_reads_no_answers_is_cut_off_and_gives_its_place_back() -> None:
    """Its place was held for 40 s more, because the closing frame waited for it to read."""
    settings = Settings(server=ServerSettings(max_sessions=1), publish=PublishSettings(send_timeout_s=0.5))
    async with serving(settings) as running, running.unread(PATH) as socket, asyncio.timeout(WITHIN_S):
        assert await full(running)
        for _ in range(1_000):
            await socket.send(json.dumps({"payload_id": "x" * 256}))
        while await full(running):
            await asyncio.sleep(0.05)
        assert await not_for_silence(socket)


async def test_a_connection_has_an_end() -> None:
    async with serving(Settings(server=ServerSettings(max_session_s=1))) as running, running.socket(PATH) as socket:

        async def go_on_asking() -> None:
            while True:
                assert "job_details" in await ask(socket, {"job_details": True})

        with pytest.raises(ConnectionClosed, match="a connection lasts 1 s"):
            await asyncio.wait_for(go_on_asking(), WITHIN_S)


async def test_long_messages_are_taken_here_and_nowhere_else() -> None:
    async with serving() as running:
        async with running.socket(PATH) as socket:
            long = await ask(socket, {"models": {"face": {}}, "data": "A" * 7_000_000})
            assert long["code"] == "E0200"
            with pytest.raises(ConnectionClosed) as closed:
                await ask(socket, "x" * (hosting.MEDIA_MESSAGE_BYTES + 1))
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        async with running.socket(PATH) as socket:
            assert "job_details" in await ask(socket, {"job_details": True})


async def test_nothing_of_a_message_is_logged(portrait: UInt8, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="realtime")
    settings = Settings(server=ServerSettings(token="t" * 16))
    key = {"X-Hume-Api-Key": "t" * 16}
    async with serving(settings) as running, running.socket(PATH, additional_headers=key) as socket:
        await ask(socket, of(png(portrait), face={}) | {"payload_id": "my name"})
        await ask(socket, {"models": {"language": {}}, "data": "my secret", "raw_text": True})
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("realtime"))
    assert not any(word in said for word in ("Joy", "happy", "my name", "my secret", "t" * 16))
