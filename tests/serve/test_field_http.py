"""Ways to reach the server that people met in the field and that went wrong once: each test says what was seen."""

from __future__ import annotations

import ipaddress
import logging

import pytest

from realtime.serve.hosting import names
from realtime.serve.page_build import WEB
from tests.serve.live_server import serving


async def test_behind_a_tls_proxy_the_403_and_the_log_say_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """Field report 12: a proxy in front of the loopback server got `This server is not …` and the log was empty."""
    brought = {"Host": "feelings.example", "Origin": "https://feelings.example", "X-Forwarded-Proto": "https"}
    with caplog.at_level(logging.WARNING, logger="realtime.serve.guard"):
        async with serving() as running:
            refused = [await running.http.get("/", headers=brought) for _ in range(3)]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin")
        assert "feelings.example" in answer.json()["detail"]
        assert "proxy" in answer.json()["hint"]
        assert "--host" in answer.json()["hint"]
    (said,) = [record.getMessage() for record in caplog.records if record.name == "realtime.serve.guard"]
    assert "feelings.example" in said
    assert "proxy_set_header Host" in said


async def test_a_proxy_that_changes_host_alone_is_told_so() -> None:
    """Field report 12: with Host set to localhost the page came, and its requests were refused."""
    async with serving() as running:
        brought = {"Origin": "https://feelings.example", "X-Forwarded-For": "192.0.2.7"}
        answer = await running.http.get("/api/config", headers=brought)
    assert answer.status_code == 403
    assert "https://feelings.example" in answer.json()["detail"]
    assert "Host" in answer.json()["hint"]


@pytest.mark.skipif(not (WEB / "index.html").is_file(), reason="the page is not built")
def test_the_pages_files_are_named_relative_to_it() -> None:
    """Field report 12: under a path of a proxy the page looked for its files at the root."""
    page = (WEB / "index.html").read_text()
    assert 'src="./assets/' in page
    assert 'src="/' not in page
    assert 'href="/' not in page


async def test_a_refused_method_names_all_that_whip_takes() -> None:
    """Field report 22: Allow lacked OPTIONS."""
    async with serving() as running:
        answer = await running.http.get("/whip")
    assert answer.status_code == 405
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {"OPTIONS", "POST"}


async def test_every_method_of_whip_and_of_a_session_is_described_as_it_is_answered() -> None:
    """Issue 17: only POST was described, though RFC 9725 has senders ask with OPTIONS and try PATCH."""
    async with serving() as running:
        paths = (await running.http.get("/openapi.json")).json()["paths"]
        for path, methods in (("/whip", 7), ("/sessions/{id}", 3)):
            described = {method: one for method, one in paths[path].items() if method != "parameters"}
            assert len(described) == methods
            for method, operation in described.items():
                answer = await running.http.request(method, path.replace("{id}", "none"))
                assert str(answer.status_code) in operation["responses"], (method, path)
                headers = operation["responses"][str(answer.status_code)].get("headers", {})
                if "Allow" in headers:
                    told = {one.strip() for one in headers["Allow"]["description"].split(",")}
                    assert {one.strip() for one in answer.headers["allow"].split(",")} == told
                assert (answer.status_code in (204, 405)) == ("Allow" in headers)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_a_server_that_listens_everywhere_is_named_so_that_a_person_can_open_it(everywhere: str) -> None:
    """Field report 22: `Open https://0.0.0.0:8080`, which browsers do not open."""
    here, *elsewhere = names(everywhere)
    assert here == "localhost"
    assert not any(ipaddress.ip_address(address).is_loopback for address in elsewhere)


def test_a_named_address_is_printed_as_it_is() -> None:
    assert names("127.0.0.1") == ["127.0.0.1"]
    assert names("fd00::2") == ["[fd00::2]"]
