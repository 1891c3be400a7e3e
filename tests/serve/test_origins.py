"""Other sites that may use the server, and a proxy in front of it; every other origin gets 403."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from realtime.errors import BadSettings
from realtime.settings import ServerSettings, Settings
from realtime.settings_sources import load
from tests.serve.live_server import SDP, sender, serving, until

LAB = "https://lab.example"
LISTED = Settings(server=ServerSettings(allow_origins=(LAB,)))
FRONT = ServerSettings(public_url="https://lab.example/emo", token="a-token-of-the-lab")


async def test_a_listed_origin_may_use_the_server_and_frame_its_pages() -> None:
    async with serving(LISTED) as running, sender(audio=False) as peer:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        before = await running.http.options("/whip", headers={"Origin": LAB, **asked})
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, LAB)
        assert {"Authorization", "Content-Type"} <= set(before.headers["access-control-allow-headers"].split(", "))
        running.http.headers["Origin"] = LAB
        path = await running.whip(peer)
        state = await running.http.get(path)
        assert (state.status_code, state.headers["access-control-allow-origin"]) == (200, LAB)
        assert {"Location", "Session-Secret"} <= set(state.headers["access-control-expose-headers"].split(", "))
        assert "Origin" in state.headers["vary"]
        assert state.headers["content-security-policy"].endswith(f"frame-ancestors {LAB}")
        refused = await running.http.get(path, headers={"Authorization": ""})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, LAB)
        async with running.events(path, origin=LAB) as socket:
            await until(socket, "frame")


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", "http://lab.example", "https://lab.example.evil", "null"]
)
async def test_a_foreign_origin_that_is_not_listed_still_gets_403(origin: str) -> None:
    async with serving(LISTED) as running:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for reply in (
            await running.http.options("/whip", headers=asked),
            await running.http.post("/whip", headers={**SDP, "Origin": origin}),
            await running.http.get("/api/config", headers={"Origin": origin}),
        ):
            assert (reply.status_code, reply.json()["code"]) == (403, "wrong_origin")
            assert "access-control-allow-origin" not in reply.headers
        with pytest.raises(InvalidStatus) as refused:
            async with running.socket("/sessions/x/events", origin=origin):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("strips", [True, False])
@pytest.mark.parametrize("host", ["lab.example", "localhost"])
async def test_behind_a_proxy_with_a_path_every_address_has_it(strips: bool, host: str) -> None:
    """A proxy may take its path off or leave it, and pass on Host or not."""
    async with serving(Settings(server=FRONT)) as running, sender(audio=False) as peer:
        prefix = "" if strips else "/emo"
        headers = {"Host": host, "Origin": LAB, "X-Forwarded-Proto": "https", "Authorization": f"Bearer {FRONT.token}"}
        assert (await running.http.get(f"{prefix}/api/config", headers=headers)).status_code == 200
        await peer.setLocalDescription(await peer.createOffer())
        body = peer.localDescription.sdp
        reply = await running.http.post(f"{prefix}/whip", content=body, headers={**SDP, **headers})
        assert reply.headers["location"].startswith("/emo/sessions/")
        path = reply.headers["location"].removeprefix("/emo") if strips else reply.headers["location"]
        headers["Authorization"] = f"Bearer {reply.headers['session-secret']}"
        assert (await running.http.get(path, headers=headers)).status_code == 200
        foreign = await running.http.get(f"{prefix}/api/config", headers={**headers, "Origin": "https://evil.example"})
        assert foreign.status_code == 403
        other = await running.http.get(f"{prefix}/api/config", headers={**headers, "Host": "evil.example"})
        assert other.status_code == 403


async def test_without_its_last_stroke_the_proxys_path_leads_to_the_page() -> None:
    async with serving(Settings(server=FRONT)) as running:
        reply = await running.http.get("/emo")
        assert (reply.status_code, reply.headers["location"]) == (308, "/emo/")
        # Whoever reaches the server directly is told addresses that lead there directly.
        assert (await running.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"server.public_url": "https://lab.example"}, "no token"),
        ({"server.public_url": "http://lab.example", "server.token": "a-token-of-the-lab"}, "https"),
        ({"server.public_url": "https://lab.example", "server.token": "short"}, "guessed"),
        ({"server.public_url": "lab.example"}, "public_url"),
        ({"server.public_url": "https://lab.example/?x=1"}, "public_url"),
        ({"server.allow_origins": "*"}, "allow_origins"),
        ({"server.allow_origins": "https://lab.example/page"}, "allow_origins"),
        ({"server.allow_origins": [1]}, "list of texts"),
        ({"server.operator_token": "short"}, "operator_token"),
        ({"server.operator_token": "a-token-of-the-lab", "server.token": "a-token-of-the-lab"}, "another one"),
    ],
)
def test_settings_that_would_open_the_server_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        load(flags=given)


def test_origins_are_listed_in_files_variables_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('[server]\nallow_origins = ["https://a.example", "http://localhost:3000"]\n')
    both = ("https://a.example", "http://localhost:3000")
    assert load(file).server.allow_origins == both
    assert load(environ={"EMOTHINKER_SERVER__ALLOW_ORIGINS": ", ".join(both)}).server.allow_origins == both
