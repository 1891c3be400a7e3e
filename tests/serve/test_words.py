"""Words are written down where the server does that and the session agrees, and nowhere else."""

from __future__ import annotations

import pytest

from tests.scripted import ScriptedTranscriber
from tests.serve.live_server import SDP, sender, serving

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("does", "query", "written"),
    [(True, "?words=true", True), (True, "?words=false", False), (True, "", False), (False, "?words=true", False)],
)
async def test_words_take_a_server_that_writes_them_and_a_session_that_agrees(
    does: bool, query: str, written: bool
) -> None:
    transcriber = ScriptedTranscriber("so it is") if does else None
    async with serving(transcriber=transcriber) as running, sender(video=False) as peer:
        assert (await running.http.get("/api/config")).json()["words"] is does
        path = await running.whip(peer, query)
        state = (await running.http.get(path)).json()
        assert (state["words"], state["skipped_words"]) == (written, 0)


async def test_an_agreement_is_true_or_false() -> None:
    async with serving() as running:
        reply = await running.http.post("/whip?words=maybe", content="v=0", headers=SDP)
        assert reply.status_code == 400
        assert reply.json()["detail"] == "words is 'maybe'."
