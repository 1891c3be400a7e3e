"""The flags of the program's commands.

Most of them are settings (`realtime/settings.py`), and have no default of their own here.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from realtime.errors import BadSettings
from realtime.formats import FORMATS, TEXT
from realtime.ingest.settings import MAX_CUE_FPS
from realtime.settings import KeptWeights, TowerRuntime

ABOUT = {
    "serve": (
        "Serves the page, takes media over WHIP, and sends events to whoever follows a session. By default it listens "
        "on this machine only and keeps nothing.",
        "realtime serve --port 8081",
    ),
    "analyze": (
        "Analyses a recording as fast as the machine can. A terminal gets words to read, a pipe or a file JSON lines. "
        "Several recordings, or another format, are written into a folder.",
        "realtime analyze clips --out study --format csv",
    ),
    "watch": (
        "Prints the events of a live session until it ends, across lost connections. A terminal gets words to read, a "
        "pipe or a file JSON lines.",
        "realtime watch 'http://localhost:8080/sessions/ID#SECRET'",
    ),
    "doctor": (
        "Checks the packages, the machine, the model, the page and the port, and says which command mends what is "
        "missing.",
        "realtime doctor --model Qwen/Qwen2.5-Omni-7B",
    ),
    "completion": (
        "Prints a script for the shell, which then completes the commands and their flags. It needs the extra "
        "`completion`.",
        "realtime completion bash > ~/.local/share/bash-completion/completions/realtime",
    ),
    "models": (
        "Prints the memory that each model needs with one session, and whether it is free here. A model of the hub is "
        "fetched first.",
        "realtime models my-model",
    ),
    "config": (
        "Prints every setting, its value, and whether a flag, the environment, a file or the default gave it.",
        "realtime config --config settings.toml",
    ),
    "bench": (
        "Plays recordings in real time, and measures how late labels and reasons come and what they cost.",
        "realtime bench sample --seconds 30",
    ),
}
"By command: what it does, and a way to call it."


class HelpFormatter(argparse.HelpFormatter):
    """Leaves the lines beneath a command's options, its example and the exit codes, as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("Example: ") else super()._fill_text(text, width, indent)


def refuse_unknown(argv: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Raise BadSettings where the first word is no command, with the one that was probably meant."""
    (commands,) = (each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is None or word in commands:
        return
    meant = difflib.get_close_matches(word, commands, n=1)
    raise BadSettings(
        f"There is no command {word}.",
        f"Did you mean {meant[0]}?" if meant else "`realtime --help` lists the commands.",
    )


def frames_per_second(given: str | None) -> float | None:
    """The value of --fps. Raises BadSettings for what is no number that it takes."""
    if given is None:
        return None
    try:
        fps = float(given)
    except ValueError:
        fps = 0.0
    if not 0 < fps <= MAX_CUE_FPS:
        raise BadSettings(
            f"--fps is {given}.",
            f"It has to be a number above 0 and at most {MAX_CUE_FPS:g}. Without it, faces are measured once a second.",
        )
    return fps


def of_model() -> argparse.ArgumentParser:
    """The flags of all commands that run a model, to be a parser's parent."""
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", help="nano (default), small, a Hugging Face id, or a folder")
    model.add_argument("--adapter", type=Path, metavar="FOLDER", help="a LoRA adapter for the model")
    model.add_argument("--engine", choices=get_args(TowerRuntime), help="what runs the model (default: auto)")
    model.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where it runs (default: auto)")
    model.add_argument(
        "--weights", choices=get_args(KeptWeights), help="what the language model's weights are kept in (default: full)"
    )
    model.add_argument(
        "--engine-dir", type=Path, metavar="DIR", help="folder that `realtime export onnx` or `trt` wrote"
    )
    model.add_argument(
        "--worker", choices=("process", "thread"), help="where the model of `serve` runs (default: process)"
    )
    model.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags win over them")
    return model


def of_server() -> argparse.ArgumentParser:
    """The flags of a server, to be a parser's parent."""
    serve = argparse.ArgumentParser(add_help=False)
    serve.add_argument("--adapters", type=Path, metavar="DIR", help="adapters that a session may choose by name")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only)")
    serve.add_argument("--port", help="port (default: 8080; 0 takes a free one)")
    serve.add_argument("--tls-cert", type=Path, metavar="F", help="certificate, PEM")
    serve.add_argument("--tls-key", type=Path, metavar="F", help="its key, PEM")
    serve.add_argument(
        "--tls", choices=("given", "self-signed"), help="self-signed: one of our own, for a home network"
    )
    serve.add_argument("--token", help="the bearer token that callers have to send")
    serve.add_argument("--token-file", type=Path, metavar="F", help="a file that holds it")
    serve.add_argument(
        "--operator-token-file", type=Path, metavar="F", help="token that lists and follows all sessions"
    )
    serve.add_argument("--allow-origins", metavar="ORIGIN,…", help="other sites whose pages may use this server")
    serve.add_argument("--public-url", metavar="URL", help="address of a TLS proxy in front, such as https://host/path")
    serve.add_argument("--record", type=Path, metavar="DIR", help="keep the events of sessions that agree, encrypted")
    serve.add_argument("--record-key", type=Path, metavar="F", help="key: python -m realtime.recording new-key F")
    serve.add_argument("--record-media", action="store_const", const="media", help="pictures and speech, too")
    serve.add_argument("--record-days", type=float, metavar="N", help="deleted after so many days (default: 30)")
    add_sinks(serve, lsl=None)
    serve.add_argument("--max-sessions", metavar="N", help="sessions at once (default: 3)")
    serve.add_argument("--trace", dest="trace_url", metavar="URL", help="send OpenTelemetry traces to that collector")
    serve.add_argument("--cluster", metavar="ADDRESS", help="run the model on that Ray cluster: HOST:PORT, or auto")
    return serve


def add_analyze(analyze: argparse.ArgumentParser) -> None:
    analyze.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files with sound or picture, folders, patterns, an rtsp:// address, - (standard input), or `sample`: a "
        "recording of ours",
    )
    analyze.add_argument("--out", type=Path, metavar="PATH", help="a file for the events; of several files, a folder")
    analyze.add_argument(
        "--format",
        choices=(TEXT, *FORMATS),
        help="what to write; text: words to read (default: text on a terminal, else jsonl)",
    )
    analyze.add_argument("--jobs", type=int, metavar="N", help="recordings at once (default: 8 for each copy)")
    analyze.add_argument(
        "--copies",
        type=int,
        metavar="N",
        help="of the model, each in a process of its own (default: of nano on a CPU one for each core, at most 4; "
        "of others 1)",
    )
    analyze.add_argument("--question", metavar="TEXT", help="ask this of every window")
    analyze.add_argument("--labels", metavar="A,B,…", help="the labels to choose from")
    analyze.add_argument(
        "--fps", metavar="N", help="measure faces up to N times a second, at most 10 (default: once; ingest.cue_fps)"
    )


def add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument(
        "url",
        metavar="URL",
        help="http://HOST:PORT/sessions/ID#SECRET; - reads it from the standard input, out of sight of other users",
    )
    watch.add_argument("--after", type=int, default=0, metavar="SEQ", help="only events after this one")
    watch.add_argument(
        "--format",
        choices=(TEXT, "jsonl"),
        help="what to print; text: words to read (default: text on a terminal, else jsonl)",
    )
    add_sinks(watch, lsl=False)


def add_bench(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("media", nargs="*", metavar="FILE", help="recordings to play in real time (default: a sample)")
    bench.add_argument("--seconds", type=float, default=60.0, help="how long to play (default: 60)")
    bench.add_argument("--sessions", type=int, default=1, metavar="N", help="live sessions at once (default: 1)")
    bench.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="windows compared with plain transformers (default: 5)"
    )
    bench.add_argument(
        "--minutes", type=int, default=1, metavar="N", help="how far into a session its cost is followed (default: 1)"
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


def add_sinks(parser: argparse.ArgumentParser, *, lsl: bool | None) -> None:
    """`lsl` is its value where it is not given; None leaves it to the settings."""
    parser.add_argument("--lsl", action="store_true", default=lsl, help="send signals to Lab Streaming Layer")
    parser.add_argument("--mqtt", metavar="URL", help="publish events: mqtt://HOST:1883/TOPIC")
    parser.add_argument("--osc", metavar="HOST:PORT", help="send signals as Open Sound Control")
