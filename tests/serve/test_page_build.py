"""A page that does not belong to the server is noticed: by the doctor, at the start, and where it is asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime.commands import doctor
from realtime.serve import app, hosting, page, page_build
from realtime.serve.page_build import BUILT, PAGES, SOURCES, WEB, not_ours, sources_sha256, wire_sha256
from tests.serve.live_server import serving


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    """A page and the sources that it was built from."""
    web, sources = tmp_path / "web_dist", tmp_path / "web"
    (sources / "src" / "wire").mkdir(parents=True)
    (sources / "src" / "main.ts").write_text("// a page")
    web.mkdir()
    for name in PAGES:
        (web / name).write_text("<!doctype html>")
        (sources / name).write_text("<!doctype html>")
    (web / BUILT).write_text(json.dumps({"sources": sources_sha256(sources), "wire": wire_sha256()}))
    return web, sources


def test_a_page_of_this_server_is_fine(built: tuple[Path, Path], tmp_path: Path) -> None:
    assert not_ours(*built) == ""
    # Installed, there are no sources.
    assert not_ours(built[0], tmp_path / "none") == ""


def test_a_page_that_is_older_is_told(built: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The newcomer's review of 28 November: a page without watch.html was “built” for the doctor."""
    web, sources = built
    (sources / "src" / "main.ts").write_text("// another page")
    assert "other sources" in not_ours(web, sources)
    (web / BUILT).write_text(json.dumps({"sources": sources_sha256(sources), "wire": "0" * 64}))
    assert "events of another version" in not_ours(web, sources)
    (web / BUILT).unlink()
    assert not_ours(web, sources) == "older than this server"
    (web / "watch.html").unlink()
    assert not_ours(web, sources) == "older than this server: it has no watch.html"
    hosting.tell_page(web, sources)
    assert capsys.readouterr().err == (
        "The page is older than this server: it has no watch.html. Build it: make serve\n"
    )
    for name in PAGES:
        (web / name).unlink(missing_ok=True)
    assert not_ours(web, sources) == "not built"


def test_the_doctor_says_it(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_build, "WEB", built[0])
    monkeypatch.setattr(page_build, "not_ours", lambda: not_ours(*built))
    assert doctor._page().fine
    (built[0] / "overlay.html").unlink()
    found = doctor._page()
    assert (found.fine, found.needed) == (False, False)
    assert "no overlay.html" in found.detail


async def test_a_viewer_that_is_not_there_says_what_to_do(
    built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "WEB", built[0])
    (built[0] / "watch.html").unlink()
    async with serving() as running:
        answer = await running.http.get("/watch")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "no watch.html" in answer.json()["detail"]
    assert answer.json()["hint"] == "Build it: make serve"


async def test_a_page_that_was_never_built_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette's own check of the folder ended in an answer 500 and a traceback."""
    for module in (app, page):
        monkeypatch.setattr(module, "WEB", tmp_path / "none")
    async with serving() as running:
        answer = await running.http.get("/")
        nothing = await running.http.get("/nothing/here")
    assert (answer.status_code, answer.json()["detail"]) == (503, "The page is not built.")
    assert answer.json()["hint"] == "Build it: make serve"
    assert nothing.status_code == 404


async def test_every_refusal_has_a_code_and_a_hint() -> None:
    """docs/api.md: an error is a problem body with `code` and `hint`. Starlette's own had neither."""
    async with serving() as running:
        nothing = await running.http.get("/nothing/here")
        method = await running.http.delete("/healthz")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    assert "/nothing/here" in nothing.json()["detail"]
    assert (method.status_code, method.json()["code"]) == (405, "wrong_method")
    assert "GET" in method.headers["allow"]
    assert nothing.json()["hint"]
    assert method.json()["hint"]
    assert nothing.headers["content-type"] == "application/problem+json"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_build_writes_what_the_server_computes(tmp_path: Path) -> None:
    """Two programs compute the hashes: the last step of the build, and the server."""
    shutil.copytree(SOURCES, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules", "dist", "screenshots"))
    (tmp_path / "realtime" / WEB.name).mkdir(parents=True)
    subprocess.run(["node", "built.mjs"], cwd=tmp_path / "web", check=True, timeout=60)
    written = json.loads((tmp_path / "realtime" / WEB.name / BUILT).read_text())
    assert written == {"sources": sources_sha256(tmp_path / "web"), "wire": wire_sha256()}
