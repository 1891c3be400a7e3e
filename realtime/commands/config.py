"""`realtime config`: every setting with its value, where the value comes from, and what it means.

`realtime config --markdown > docs/settings.md` writes the reference of the settings from their docstrings.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from realtime.settings import SECRETS, Settings, describe
from realtime.settings_sources import TEXTS, GivenSetting

HEAD = """# Settings

<!-- Written by `realtime config --markdown > docs/settings.md` from the docstrings of the settings. Do not edit. -->

Every setting has a default. A TOML file given with `--config` replaces defaults, `EMOTHINKER_*` variables replace the
file, and flags replace variables. Unknown names are refused. The same setting, three ways:

```toml
[server]
port = 9000
```

    EMOTHINKER_SERVER__PORT=9000 realtime serve
    realtime serve --port 9000

`realtime config` prints every setting of this machine with its value and where the value comes from.
"""


@dataclass(frozen=True)
class DocumentedSetting:
    """One setting as its source describes it."""

    name: str
    "Without its section: `port`."
    kind: str
    default: str
    text: str


def show(settings: Settings, given: Mapping[str, GivenSetting]) -> Iterator[str]:
    """For each setting a line with its dotted name, value and source, and below it what it means.

    Values of secrets are not shown.
    """
    kinds = typing.get_type_hints(Settings)
    lines = []
    for section, values in describe(settings).items():
        meanings = {each.name: each.text for each in documented(kinds[section])}
        for name, value in values.items():
            dotted = f"{section}.{name}"
            shown = value if name.endswith(SECRETS) else _toml(value)
            source = given[dotted].source if dotted in given else "default"
            lines.append((dotted, shown, source, meanings[name].replace("\\|", "|")))
    width = max(len(dotted) for dotted, *_ in lines)
    for dotted, shown, source, meaning in lines:
        yield f"{dotted:<{width}} = {shown:<24} {source}"
        yield from textwrap.wrap(meaning, 116, initial_indent="    ", subsequent_indent="    ")


def markdown() -> str:
    """docs/settings.md: a table for each section."""
    page = [HEAD]
    for section, kind in typing.get_type_hints(Settings).items():
        table = [
            f"| `{section}.{each.name}` | {each.kind} | {each.default} | {each.text} |" for each in documented(kind)
        ]
        head = ["| setting | kind | default | meaning |", "| --- | --- | --- | --- |"]
        page.append("\n".join([f"## {section}\n", f"{inspect.getdoc(kind)}\n", *head, *table, ""]))
    return "\n".join(page)


def documented(kind: type) -> Iterator[DocumentedSetting]:
    """The fields of a settings dataclass, with the string that stands beneath each (empty where there is none)."""
    texts: dict[str, str] = {}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in itertools.pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                texts[name] = " ".join(text.split()).replace("|", "\\|")
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(cast(Any, kind)):
        yield DocumentedSetting(
            each.name, _kind(hints[each.name]), f"`{_toml(each.default)}`", texts.get(each.name, "")
        )


def _kind(hint: Any) -> str:
    words = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", TEXTS: "texts"}
    if hint in words:
        return words[hint]
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in choices)
    return next(words[choice] for choice in choices if choice in words)


def _toml(value: Any) -> str:
    """The value as TOML writes it; `none` where there is none."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case str() | Path():
            return f'"{value}"'
        case _:
            return str(value)
