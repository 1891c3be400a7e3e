from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from realtime.cli import main
from realtime.commands import config
from realtime.errors import BadSettings
from realtime.ingest.settings import IceSettings
from realtime.settings import ClusterSettings, ModelSettings, ServerSettings, Settings, describe
from realtime.settings_sources import given_settings, load

LONG = "a-token-of-more-than-sixteen-characters"


def test_nanos_labels_are_refused_on_a_cluster() -> None:
    with pytest.raises(BadSettings, match="On a cluster"):
        Settings(model=ModelSettings(label="nano"), cluster=ClusterSettings(address="auto"))
    Settings(cluster=ClusterSettings(address="auto"))


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('[server]\nport = 1000\nmax_sessions = 2\n[buffer]\nwindow_s = 6\n[model]\nadapter = "a/b"\n')
    environ = {
        "EMOTHINKER_SERVER__PORT": "2000",
        "EMOTHINKER_SERVER__MAX_SESSIONS": "4",
        "EMOTHINKER_DATA": "x",
        "HOME": "/",
    }
    settings = load(file, environ=environ, flags={"server.port": 3000, "server.host": None})
    assert (settings.server.port, settings.server.max_sessions, settings.buffer.window_s) == (3000, 4, 6.0)
    assert settings.model.adapter == Path("a/b")
    assert settings.server.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"EMOTHINKER_FOO": "1"}, "no setting foo. `realtime config --markdown` lists all there are. foo comes from"),
        ({"EMOTHINKER_SERVER__PORT": "x"}, "It has to be a whole number. server.port comes from"),
        ({"EMOTHINKER_SERVER__PORT": "70000"}, "It has to lie between 0 and 65535. server.port comes from"),
    ],
)
def test_an_error_names_the_variable_that_a_wrong_setting_comes_from(environ: dict[str, str], message: str) -> None:
    """It may have been set long ago and elsewhere: nobody finds it by the name of the setting."""
    (variable,) = environ
    with pytest.raises(BadSettings, match=re.escape(f"{message} the variable {variable}.")):
        load(environ=environ)


def test_an_error_names_the_file_of_a_wrong_setting_and_no_flag(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('[server]\nprot = 1\ntoken_file = "x"\n')
    with pytest.raises(BadSettings, match=re.escape(f"server.prot comes from the file {file}.")) as caught:
        load(file, flags={"server.port": 3000})
    assert "token_file" not in str(caught.value)
    with pytest.raises(BadSettings) as caught:
        load(flags={"server.port": -1})
    assert "comes from" not in str(caught.value)


def test_nothing_given_is_the_defaults() -> None:
    assert load() == Settings()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.prot": 1}, r"no setting server\.prot\. Did you mean server\.port\?"),
        ({"port": 1}, r"Did you mean server\.port\?"),
        ({"server.port": "many"}, "whole number"),
        ({"server.port": 70_000}, "between 0 and 65535"),
        ({"server.port": True}, "whole number"),
        ({"analysis.every_s": "nan"}, r"between 0\.5 and 60"),
        ({"speech.aggressiveness": 7}, r"speech\.aggressiveness must be"),
        ({"buffer.window_s": 99}, "at most buffer.span_s"),
        ({"model.engine": "tensorflow"}, "one of auto, torch, onnx, trt"),
        ({"server.tls_cert": "cert.pem"}, "belong together"),
        ({"server.host": "0.0.0.0"}, "others can reach"),
        ({"server.node": "two words"}, "server.node"),
        ({"server.token": "\n"}, "bearer token"),
        ({"server.operator_token": "short"}, "server.operator_token"),
        ({"server.operator_token": LONG, "server.token": LONG}, "server.operator_token"),
        ({"server.allow_origins": "lab.example"}, "lab.example"),
        ({"server.public_url": "https://lab.example"}, "there is no token"),
        ({"server.public_url": "http://lab.example", "server.token": LONG}, "https"),
        ({"server.public_url": "https://lab.example", "server.token": "short"}, "server.token"),
        ({"server.trace_url": "127.0.0.1:4318"}, "server.trace_url"),
        ({"server.port": 8080, "server.max_sessions": 0}, "max_sessions"),
        ({"ingest.cue_fps": 11}, "between 0 and 10"),
        ({"ingest.peer_silent_s": 0}, "must be positive"),
        ({"ice.stun_url": "turn:relay.example:3478"}, "stun:host:port"),
        ({"ice.turn_url": "turn:relay.example:3478"}, "needs ice.turn_secret"),
        ({"ice.public_address": "router"}, "router"),
        ({"record.dir": "kept"}, "belong together"),
        ({"record.what": "media"}, "record.dir is not set"),
        ({"record.dir": "kept", "record.key_file": "key", "record.days": 0}, "between 0 and 3650"),
        ({"speech.hangover_ms": 100}, "hangover_ms must be at least"),
        ({"speech.max_segment_ms": 500}, "max_segment_ms must be more than"),
        ({"publish.kept_events": 0}, "kept_events"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(flags: dict[str, object], message: str) -> None:
    with pytest.raises(BadSettings, match=message):
        load(flags=flags)


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(BadSettings, match=r"Did you mean analysis\.every_s"):
        load(environ={"EMOTHINKER_ANALYSIS__EVERYS": "2"})


@pytest.mark.parametrize(("text", "message"), [("server = 3", "no setting server"), ("[server", "not TOML")])
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "live.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=message):
        load(file)
    with pytest.raises(BadSettings, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_the_record_of_a_run_has_no_secret() -> None:
    settings = Settings(server=ServerSettings(token="hush", tls_cert=Path("c"), tls_key=Path("k")))
    settings = dataclasses.replace(settings, ice=IceSettings(turn_secret="hush"))
    assert "hush" not in str(describe(settings))
    assert describe(settings)["ice"]["turn_secret"] == "set"
    assert describe(settings)["server"]["tls_cert"] == "c"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_neither_token_nor_tls(host: str) -> None:
    assert ServerSettings(host=host).loopback


def test_an_open_address_needs_both() -> None:
    token = "sixteen letters!"
    open_to_all = ServerSettings(host="0.0.0.0", token=token, tls_cert=Path("c"), tls_key=Path("k"))
    assert not open_to_all.loopback
    assert not ServerSettings(host="::", token_file=Path("t"), tls="self-signed").loopback
    with pytest.raises(BadSettings, match="no token or no TLS"):
        ServerSettings(host="0.0.0.0", token=token)
    with pytest.raises(BadSettings, match="can be guessed"):
        ServerSettings(host="0.0.0.0", token="short", tls="self-signed")


@pytest.mark.parametrize(("given", "code"), [("5", 0), ("11", 2), ("-1", 2), ("often", 2)])
def test_analyze_measures_faces_as_often_as_it_is_told(
    given: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--fps` is the setting `ingest.cue_fps`, with its bounds. A mistake is told of the flag."""
    used: list[float] = []

    def study(options: object, settings: Settings, labels: object) -> int:
        used.append(settings.ingest.cue_fps)
        return 0

    monkeypatch.setattr("realtime.cli._study", study)
    assert main(["analyze", "a.mp4", "b.mp4", "--fps", given]) == code
    assert used == ([float(given)] if code == 0 else [])
    assert (f"--fps is {given}." in capsys.readouterr().err) == (code != 0)


def test_every_setting_is_explained_and_docs_settings_md_is_current() -> None:
    for kind in typing.get_type_hints(Settings).values():
        assert [each.name for each in config.documented(kind) if not each.text.endswith(".")] == []
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text("utf-8") == config.markdown(), "run: realtime config --markdown > docs/settings.md"


def test_config_tells_where_each_value_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('[server]\nport = 1000\nidle_s = 30\ntoken = "hush"\n')
    environ = {"EMOTHINKER_SERVER__IDLE_S": "60"}
    flags = {"server.max_sessions": "4", "server.node": None}
    lines = list(
        config.show(load(file, environ=environ, flags=flags), given_settings(file, environ=environ, flags=flags))
    )
    rows = {name.strip(): value.split(maxsplit=1) for name, _, value in (line.partition(" = ") for line in lines)}
    assert rows["server.port"] == ["1000", f"file {file}"]
    assert rows["server.idle_s"] == ["60.0", "variable EMOTHINKER_SERVER__IDLE_S"]
    assert rows["server.max_sessions"] == ["4", "flag"]
    assert rows["server.node"] == ['""', "default"]
    assert rows["server.token"][0] == "set"
    assert "hush" not in "".join(lines)
