"""What README.md and docs/ name is there: links, files, commands, flags, error codes; and README stays easy to read."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import jsonschema
import numpy as np
import pytest

import emothinker
import realtime.serve.adapter_folder
import realtime.towers.artifact  # noqa: F401  (both define errors)
from realtime.cli import _parser
from realtime.commands.programs import PROGRAMS
from realtime.errors import RealtimeError
from realtime.ingest import mono
from realtime.ingest.settings import IngestSettings
from realtime.pace import input_watch
from realtime.publish.events import Event
from realtime.publish.schema import event_schema
from realtime.settings import Settings
from tests.ingest.media_files import room, voice, write_clip
from tests.serve.live_server import serving

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in (".", "docs", "train", "train/reports", "export", "realtime/nano", "examples")
    for page in (ROOT / folder).glob("*.md")
    # Entries of a log keep the names that things had when they were written.
    if page.name not in ("LOG.md", "CHANGELOG.md")
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
ROOTS = (".", "realtime", "web/src", "train", "web")
"Folders that a path in a page may start from, beside the page's own."
FILE = re.compile(r"(?<![\w./*-])[\w.*-][\w.*/-]*\.(?:py|ts|css|md|sh|jsonl?|ya?ml|toml|txt|service|cff)\b")
BARE = {
    path.name
    for folder in ("realtime", "export", "train", "tests", "web/src")
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
}
"A file may be named without its folder where the text says which it is."
MADE = re.compile(
    r"(?:.*/)?(?:NAME_runtime\.py|NAME\.(?:py|ts)|card\.json|manifest\.json|(?:report|run|summary|files|clip\.mp4|answers|bench|ablation|EVENTS|records)\.(?:jsonl?|md)|ingest\.toml"
    r"|(?:config|emothinker|tokenizer)\.json|emotion_wheel.*|labels\.py)"
)
"Files that programs write, and names that stand for others."


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_pages_are_found() -> None:
    assert {"README.md", "SECURITY.md", "docs/architecture.md", "docs/glossary.md", "train/README.md"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), f"{name} links to {target}"


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_there(name: str) -> None:
    for word in re.findall(r"`([^`\n]+)`", text(name)):
        for path in FILE.findall(word):
            folders = (ROOT / name).parent, *(ROOT / root for root in ROOTS)
            there = MADE.fullmatch(path) or path in BARE or any(list(folder.glob(path)) for folder in folders)
            assert there, f"{name} names {path}"


OTHERS = {"convert_hf_to_gguf.py", "export.py", "modeling_qwen2_5_omni.py", "prefill.py", "train.py"}
"Files of other projects, of users, and one that the scheduler says it does not have."


def test_files_that_the_code_names_are_there() -> None:
    """`realtime/serve/page_build.py` named a script of the page by an ending that it no longer had."""
    folders = (ROOT / name for name in ("realtime", "train", "export", "emothinker", "tests", "web/src", "docs"))
    files = [*ROOT.glob("*"), *(ROOT / "web").glob("*"), *(path for folder in folders for path in folder.rglob("*"))]
    parts = [path.relative_to(ROOT).parts for path in files]
    ends = {"/".join(each[-n:]) for each in parts for n in range(1, len(each) + 1)}
    for source in ("/".join(each) for each in parts if each[0] not in ("tests", "web") and each[-1].endswith(".py")):
        for named in re.findall(r"`([\w./-]+\.(?:py|m?[jt]s|sh|md))`", text(source)):
            assert named in ends or Path(named).name in OTHERS, f"{source} names {named}"


def test_the_files_to_change_hold_what_is_to_be_changed() -> None:
    """Each name in code that a row of architecture.md gives beside a file stands in one of the row's files."""
    for row in re.findall(r"^\| (.*`.*) \|$", text("docs/architecture.md"), re.MULTILINE):
        spans = re.findall(r"`([^`]+)`", row.split(" | `tests/")[0])
        files = [
            file for span in spans for root in ROOTS for file in (ROOT / root).glob(span.strip("/")) if file.is_file()
        ]
        held = "".join(file.read_text("utf-8") for file in files) or None
        for name in (re.match(r"[A-Za-z_]\w*(?=$|\()", span) for span in spans):
            assert held is None or name is None or name[0] in held, f"{name[0]} is in none of {spans}"


CHANGES = {
    "A new voice activity detector", "A new event, or a new field", "A new label set", "Another runtime for the towers",
    "A new training stage", "Another panel on the page",
}  # fmt: skip


def test_the_tree_says_where_each_change_goes() -> None:
    """Each has a table of files and folders that are there, or that the change makes, and names its tests."""
    sections = dict(re.findall(r"^### (.*)\n((?:(?!#).*\n)*)", text("docs/architecture.md"), re.MULTILINE))
    assert sections.keys() >= CHANGES
    for change in sorted(CHANGES):
        rows = re.findall(r"^\| (`.*?) \|", sections[change], re.MULTILINE)
        assert len(rows) >= 2, change
        for span in (span for row in rows for span in re.findall(r"`([^`]+)`", row)):
            there = (
                "NAME" in span
                or span in BARE
                or (ROOT / span).is_file()
                or (span[-1] == "/" and (ROOT / span).is_dir())
            )
            assert there, f"{change}: {span}"
        assert re.search(r"^(?:.*\. )?Tests?: `(?:tests|web/test)/|^Tests: .*`", sections[change], re.MULTILINE), change


def commands(page: str) -> Iterator[str]:
    """What stands in code, without the comments after it."""
    for line in re.findall(r"`([^`\n]+)`|^ {4}(.*)$", page, re.MULTILINE):
        yield re.split(r"\s{2,}|\s# ", "".join(line).strip())[0]


@pytest.mark.parametrize("name", NAMES)
def test_modules_can_be_run(name: str) -> None:
    for command in commands(text(name)):
        for module in re.findall(
            r"(?:python -m|on_ray .*(?:--gpu|\])|-m) ((?:realtime|export|train|tests)[\w.]*)", command
        ):
            assert importlib.util.find_spec(module), f"{name} names {module}"
        for package, module in re.findall(r"\brealtime (train|export) ([a-z][\w.]*)", command):
            assert importlib.util.find_spec(f"{package}.{module}"), f"{name} names {package} {module}"


RECORDS = ("CHANGELOG.md", "train/LOG.md", "docs/troubleshooting.md")
"Pages that tell what was, and the one that tells what `python -m` does in such a folder. So do the reports."


def test_programs_are_named_by_the_command_that_no_file_of_a_user_takes_over() -> None:
    """`python -m train.lora` finds a `train.py` of the current folder first. It is told so, and runs nothing."""
    sources = [path for folder in ("realtime", "train", "export") for path in (ROOT / folder).rglob("*.py")]
    pages = [ROOT / name for name in NAMES if name not in RECORDS and not name.startswith("train/reports/")]
    tells = [path for path in (*sources, *pages) if re.search(r"python -m (train|export)\b", path.read_text("utf-8"))]
    assert [path.relative_to(ROOT).as_posix() for path in tells] == [
        "realtime/commands/program_parser.py", "realtime/commands/programs.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_the_program_take_what_they_are_given(name: str) -> None:
    parser = _parser()
    (subparsers,) = (action for action in parser._actions if action.choices and action.dest != "version")
    assert isinstance(subparsers.choices, dict)
    for command in commands(text(name)):
        words = re.search(r"(?:^|/|[\s\"'])realtime ([a-z]+)\b(.*)", command)
        if words is None or words[1] in PROGRAMS:
            continue
        assert words[1] in subparsers.choices, f"{name}: {command}"
        known = {flag for action in subparsers.choices[words[1]]._actions for flag in action.option_strings}
        for flag in re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", words[2].split("&&")[0]):
            assert flag in known, f"{name}: {flag} in {command}"


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_there(name: str) -> None:
    known = {
        f"{stage.name}.{setting.name}"
        for stage in fields(Settings)
        for setting in fields(getattr(Settings(), stage.name))
    }
    stages = "|".join(stage.name for stage in fields(Settings))
    for setting in re.findall(rf"`((?:{stages})\.(?!(?:py|toml|safetensors)\b)[a-z0-9_]+)", text(name)):
        assert setting in known, f"{name} names {setting}"


@pytest.mark.parametrize("name", NAMES)
def test_make_makes_it(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for command in commands(text(name)):
        if goal := re.match(r"make ([a-z-]+)\b", command):
            assert goal[1] in targets, f"{name}: {command}"


def errors(kind: type[RealtimeError] = RealtimeError) -> Iterator[type[RealtimeError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__.startswith("realtime."):
            yield from errors(narrower)


ERRORS = sorted(errors(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("error", ERRORS, ids=[kind.__name__ for kind in ERRORS])
def test_every_error_is_explained(error: type[RealtimeError]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", text("docs/troubleshooting.md"), re.MULTILINE)
    told = {int(number) for code, number in rows if code == error.code}
    # By its status where it is an answer over HTTP, by its exit code where it ends a command; at least one of them.
    assert told, f"{error.code} is not in docs/troubleshooting.md"
    assert told <= {error.status, error.exit_code}


@pytest.mark.parametrize("package", ["train", "export"])
def test_every_error_of_the_other_programs_is_explained(package: str) -> None:
    """Read from the sources, as importing all of them takes seconds."""
    sources = (path.read_text("utf-8") for path in (ROOT / package).rglob("*.py"))
    codes = {code for source in sources for code in re.findall(r'^    code = "(\w+)"', source, re.MULTILINE)}
    assert codes
    assert not {code for code in codes if f"`{code}`" not in text("docs/troubleshooting.md")}


def test_every_state_of_the_input_is_explained() -> None:
    told = {*input_watch.WORDS, *mono.NOTICED, *(state.code for state in input_watch.UNFINISHED.values())}
    assert not {code for code in told if f"`{code}`" not in text("docs/troubleshooting.md")}


def test_the_program_in_the_readme_reads_events() -> None:
    program = re.findall(r"```python\n(.*?)```", text("README.md"), re.DOTALL)[1]
    events = json.loads(text("tests/fixtures/events.json"))
    lines = "".join(json.dumps(event) + "\n" for event in events)
    ran = subprocess.run([sys.executable, "-c", program], input=lines, capture_output=True, text=True, check=True)
    said = ran.stdout.splitlines()
    assert [line.split()[-2:] for line in said[:2]] == [["fast", "happy"], ["chain", "happy"]]
    assert said[2] == next(event["sections"]["fine"] for event in events if event["type"] == "reason.done")


@pytest.mark.parametrize("kind", get_args(Event), ids=[kind.type for kind in get_args(Event)])
def test_every_event_is_in_the_api_page_and_in_the_package(kind: type[Event]) -> None:
    """Programs could not name `WordsEvent`."""
    types = text("docs/api.md").partition("| type | fields ")[2].partition("\n\n")[0]
    (row,) = re.findall(rf"^\| `{re.escape(kind.type)}` \|.*$", types, re.MULTILINE)
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in row] == []
    assert getattr(emothinker, kind.__name__) is kind
    assert kind.__name__ in emothinker.__all__


async def test_the_sender_in_the_api_page_sends_and_reads(tmp_path: Path) -> None:
    # It is sent in real time.
    sound_N = np.concatenate([room(0.3), voice(0.8), room(0.9, seed=1)])
    recording = write_clip(tmp_path / "clip.mp4", pictures_s=[index / 10 for index in range(20)], sound_N=sound_N)
    (program,) = re.findall(r"```python\n(.*?)```", text("docs/api.md"), re.DOTALL)
    # A peer that has sent everything falls silent, and need not wait long for that to be noticed.
    async with serving(Settings(ingest=IngestSettings(peer_silent_s=1.0))) as running:
        there = program.replace("http://localhost:8080", f"http://localhost:{running.port}")
        sending = await asyncio.create_subprocess_exec(
            sys.executable, "-c", there, recording, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said, errors = await sending.communicate()
    assert sending.returncode == 0, errors.decode()
    assert [line.split()[1] for line in said.decode().splitlines()[:1]] == ["fast"], said.decode()


def test_the_event_in_the_readme_is_one() -> None:
    (event,) = re.findall(r"```json\n(.*?)```", text("README.md"), re.DOTALL)
    jsonschema.validate(json.loads(event), event_schema(strict=True))


def sentences(page: str) -> list[str]:
    """Prose alone: no front matter, no code, no tables, no headings, no pictures."""
    page = re.sub(r"\A---\n.*?^---\n", "", page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    page = "\n".join(line for line in page.splitlines() if not line.startswith(("    ", "|", "#", "![")))
    page = re.sub(r"^\s*(?:[-*]|\d+\.) ", "\n\n", page, flags=re.MULTILINE)
    page = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", page)
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", page))
    found = [one for part in paragraphs for one in re.split(r"(?<=[.!?])[*_)]*\s+(?=[^a-z])", part)]
    return [one for one in found if len(one.split()) > 1]


@pytest.mark.parametrize("name", NAMES)
def test_pages_have_short_sentences(name: str) -> None:
    # A page that is one table has none.
    lengths = sorted(len(sentence.split()) for sentence in sentences(text(name))) or [0]
    assert statistics.median(lengths) <= 17
    assert lengths[len(lengths) * 9 // 10] <= 35


def test_the_readme_tells_first_what_it_is_and_how_to_start() -> None:
    """The newcomer's review of 28 November: 70 lines of licences and memory came before the first command."""
    lines = text("README.md").splitlines()
    start = lines.index("## Four ways to start")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## Four ways to start"
    assert start < 25
    # What nobody may miss is in the first screen all the same.
    first = "\n".join(lines[:start])
    assert "CC BY-NC-SA 4.0" in first
    assert "not a readout of feelings" in first
    assert "forbids it on people at work" in first
