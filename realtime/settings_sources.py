"""Where settings come from: a TOML file, then `EMOTHINKER_*` variables, then flags. The last one wins.

    [server]                                EMOTHINKER_SERVER__PORT=9000        realtime serve --port 9000
    port = 9000

Unknown names are refused with the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from realtime.errors import BadSettings
from realtime.settings import Settings

PREFIX = "EMOTHINKER_"
FLAG = "flag"
"The source of what was given with the command itself."
NOT_SETTINGS = frozenset({"EMOTHINKER_DATA", "EMOTHINKER_WHISPER"})
"Variables with the same prefix that are no settings: folders of recorded clips and of Whisper's weights, for tests."
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
TEXTS = tuple[str, ...]
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


@dataclass(frozen=True, slots=True)
class GivenSetting:
    """A value that was given for a setting, and where."""

    value: Any
    source: str
    "For people: `file live.toml`, `variable EMOTHINKER_SERVER__PORT`, or `flag`."


def load(
    file: Path | None = None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. `flags` maps dotted names to values; those that are None were not given.

    Raises BadSettings for a file that cannot be read, an unknown name, or a value of the wrong kind or out of range.
    """
    given = given_settings(file, environ=environ, flags=flags)
    try:
        return _made(given)
    except BadSettings as error:
        raise BadSettings(error.message, " ".join(filter(None, (error.hint, _whence(error.message, given))))) from error


def _made(given: Mapping[str, GivenSetting]) -> Settings:
    known = dict(known_settings(Settings))
    values: dict[str, Any] = {}
    for name, one in given.items():
        if name not in known:
            raise BadSettings(f"There is no setting {name}.", _nearest(name, known))
        values[name] = _convert(name, one.value, known[name])
    try:
        return cast(Settings, _make(Settings, values))
    except ValueError as error:
        raise BadSettings(f"{error}.", "Correct that setting.") from error


def _whence(message: str, given: Mapping[str, GivenSetting]) -> str:
    """Where the settings that an error names were given. A variable is set in another place than where it is missed."""
    named = [
        f"{name} comes from the {one.source}."
        for name, one in given.items()
        if one.source != FLAG and re.search(rf"(?<![\w.]){re.escape(name)}(?!\w|\.\w)", message)
    ]
    return " ".join(named)


def given_settings(
    file: Path | None = None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> dict[str, GivenSetting]:
    """What was given by dotted name, unchecked; a flag replaces a variable, and a variable the file."""
    given: dict[str, GivenSetting] = {}
    if file is not None:
        given.update({name: GivenSetting(value, f"file {file}") for name, value in _from_file(file).items()})
    for variable, value in (environ or {}).items():
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            given[name] = GivenSetting(value, f"variable {variable}")
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = GivenSetting(value, FLAG)
    return given


def known_settings(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from known_settings(cast(type, hint), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def _make(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """An instance of the dataclass `kind` from the dotted names that begin with `prefix`."""
    given = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            given[name] = _make(cast(type, hint), values, f"{prefix}{name}.")
        elif f"{prefix}{name}" in values:
            given[name] = values[f"{prefix}{name}"]
    return kind(**given)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error.strerror}.", "Check the path given with --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{file} is not TOML: {error}.", "Correct that line.") from error
    return dict(_flat(content))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    # The stage is easily forgotten: `port` means `server.port`.
    close = close or [full for full in known if full.split(".")[-1] == name.split(".")[-1]]
    return f"Did you mean {close[0]}?" if close else "`realtime config --markdown` lists all there are."


def _convert(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type the setting has; text (from variables and flags) is parsed, anything else must fit."""
    choices = typing.get_args(hint)
    if hint == TEXTS:
        return _texts(name, value)
    if typing.get_origin(hint) is Literal:
        if value not in choices:
            raise BadSettings(f"{name} is {value!r}.", f"It has to be one of {', '.join(choices)}.")
        return value
    if isinstance(hint, types.UnionType):
        hint = next(part for part in choices if part is not types.NoneType)
    try:
        match hint, value:
            case _ if hint is Path and isinstance(value, str | Path):
                return Path(value).expanduser()
            case _ if hint is bool and isinstance(value, str):
                return WORDS[value.lower()]
            case _ if hint in (int, float) and isinstance(value, str):
                return hint(value)
            case _ if hint is float and type(value) is int:
                return float(value)
            case _ if type(value) is hint:
                return value
    except (ValueError, KeyError):
        pass
    raise BadSettings(f"{name} is {value!r}.", f"It has to be {KINDS[hint]}.")


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """A list of texts; in variables and flags they are separated by commas."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise BadSettings(f"{name} is {value!r}.", 'It has to be a list of texts: ["…", "…"].')
    return tuple(part for part in parts if part)
