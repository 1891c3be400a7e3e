"""The built page, as `npm run build` left it in `web_dist`."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from realtime.errors import NotReady, UnknownSession
from realtime.serve.guard import refuse
from realtime.serve.page_build import PAGES, WEB

VIEWERS = frozenset({"watch", "overlay"})
"Pages that show a session which somebody else sends. They stand beside the page, so its relative files are theirs."


class Page(StaticFiles):
    """Serves the built page. Assets have a hash in their names and may be cached for ever; the page is revalidated."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse(scope, receive, send, UnknownSession("Events are at /sessions/{id}/events."))
        else:
            await super().__call__(scope, receive, send)

    async def check_config(self) -> None:
        """Starlette raises here where there is no folder; `get_response` says what to do about it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path in VIEWERS:
            path = f"{path}.html"
        file = "index.html" if path == "." else path
        if file in PAGES and not (WEB / file).is_file():
            older = (WEB / "index.html").is_file()
            what = f"The built page is older than this server: it has no {file}." if older else "The page is not built."
            raise NotReady(what, "Build it: make serve")
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        )
        return answer
