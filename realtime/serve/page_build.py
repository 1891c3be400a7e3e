"""Tells whether the built page belongs to this server: `npm run build` writes what it was built from into `built.json`.

    {"sources": "SHA-256 of web/", "wire": "SHA-256 of web/src/wire/generated.ts"}

`web/built.mjs` computes the same two numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from realtime.publish.typescript import typescript

WEB = Path(__file__).parents[1] / "web_dist"
SOURCES = Path(__file__).parents[2] / "web"
"There in a checkout only. A package that was installed has the built page alone."
BUILT = "built.json"
PAGES = ("index.html", "watch.html", "overlay.html")
SOURCE_FOLDERS = ("src", "public")
SOURCE_FILES = (*PAGES, "package-lock.json", "vite.config.ts")


def not_ours(page: Path = WEB, sources: Path = SOURCES) -> str:
    """Return why the page in the folder `page` is not the one of this server, as a clause, or nothing where it is."""
    missing = [name for name in PAGES if not (page / name).is_file()]
    if len(missing) == len(PAGES):
        return "not built"
    if missing:
        return f"older than this server: it has no {' and no '.join(missing)}"
    try:
        built = json.loads((page / BUILT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "older than this server"
    if not isinstance(built, dict) or built.get("wire") != wire_sha256():
        return "built for events of another version"
    if sources.is_dir() and built.get("sources") != sources_sha256(sources):
        return "built from other sources than those in web/"
    return ""


def wire_sha256() -> str:
    """The hash of what the page has to know of this server's events."""
    return hashlib.sha256(typescript().encode()).hexdigest()


def sources_sha256(sources: Path = SOURCES) -> str:
    """One hash over the names and the contents of all files that the page is built from."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(sources)):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(sources: Path) -> Iterator[tuple[str, Path]]:
    for name in SOURCE_FILES:
        if (sources / name).is_file():
            yield name, sources / name
    for folder in SOURCE_FOLDERS:
        for path in (sources / folder).rglob("*"):
            if path.is_file():
                yield path.relative_to(sources).as_posix(), path
