"""What a wheel of ours has to carry: `python -m tests.deploy.wheel dist/emothinker-*.whl`. `make wheel` asks it.

Needs nothing but Python, as it runs before anything is installed. Exits 1 and says what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path

PAGES = ("index.html", "watch.html", "overlay.html")
BUILT = "realtime/web_dist/built.json"
WANTED = (
    *(f"realtime/web_dist/{page}" for page in PAGES),
    BUILT,
    "realtime/nano/model.safetensors",
    "realtime/nano/emothinker.safetensors",
    "realtime/nano/tokenizer.json",
    "realtime/small/adapter_model.safetensors",
    "realtime/evidence/face_engines/models/*.onnx",
    "realtime/towers/graphs/*.onnx",
    "realtime/towers/graphs/made_for.json",
    "realtime/sample/sample.webm",
    "realtime/py.typed",
    "emothinker/py.typed",
    "emothinker_shadowed.pth",
    "emothinker_shadowed.py",
    "emothinker_start.py",
)
"A star stands for at least one name."
LICENCES = (
    "LICENSE",
    "realtime/nano/LICENSE",
    "realtime/small/LICENSE",
    "realtime/evidence/face_engines/models/NOTICE",
    "realtime/sample/NOTICE",
)
EVENTS = Path(__file__).parents[2] / "web/src/wire/generated.ts"
"What the page has to know of the events; the server compares the same (realtime/serve/page_build.py)."


def missing(names: Collection[str], read: Callable[[str], str]) -> list[str]:
    """What of the page, the models and the sample is not among `names`; `read` gives a page's text."""
    lacks = [wanted for wanted in WANTED if not any(_fits(wanted, name) for name in names)]
    for page in PAGES:
        if (path := f"realtime/web_dist/{page}") in names:
            # Of a build that broke off, or of two that were mixed, a page names programs that are not there.
            parts = re.findall(r'(?:src|href)="\./([^"]+)"', read(path))
            lacks += [f"realtime/web_dist/{part}" for part in parts if f"realtime/web_dist/{part}" not in names]
    return sorted(set(lacks))


def _fits(wanted: str, name: str) -> bool:
    before, star, after = wanted.partition("*")
    return name.startswith(before) and name.endswith(after) if star else name == wanted


def missing_in(wheel: Path) -> list[str]:
    """The same of a file, with its licences. Raises zipfile.BadZipFile and OSError."""
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        kept = {name.partition(".dist-info/licenses/")[2] for name in names}
        lacks = missing(set(names), lambda name: opened.read(name).decode())
        built = json.loads(opened.read(BUILT)) if BUILT in names else {}
        if built.get("wire") != hashlib.sha256(EVENTS.read_bytes()).hexdigest():
            lacks.append("a page that was built for these events")
    return lacks + [f"the licence {licence}" for licence in LICENCES if licence not in kept]


def main(wheels: list[str]) -> int:
    if len(wheels) != 1:
        sys.stderr.write(f"wheel: {len(wheels)} wheels are named, one is wanted: {' '.join(wheels)}\n")
        return 2
    wheel = Path(wheels[0])
    if lacks := missing_in(wheel):
        sys.stderr.write(
            f"wheel: {wheel} lacks {', '.join(lacks)}. `make wheel` builds it with the page; what it takes along is in "
            "pyproject.toml.\n"
        )
        return 1
    sys.stdout.write(f"{wheel}: {wheel.stat().st_size / 1e6:.0f} MB, with the page, the models and their licences\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
