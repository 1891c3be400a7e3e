"""The command line of the program; `realtime --help` lists its commands, the other programs, and the exit codes.

Results go to the standard output, messages to people to the standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from realtime.commands import programs
from realtime.commands.programs import PROGRAMS
from realtime.errors import BadSettings, NotMedia, RealtimeError
from realtime.formats import FORMATS
from realtime.observe import heap, logs, tracing
from realtime.outputs import NO_MORE, refuse_input, write_error
from realtime.sample import or_sample
from realtime.settings import Settings, given_settings, load

if TYPE_CHECKING:
    from realtime.observe.metrics import Metrics
    from realtime.roles import Engine

SERVER_FLAGS = (
    *("host", "port", "tls", "tls_cert", "tls_key", "token", "token_file", "operator_token_file"),
    *("allow_origins", "public_url", "max_sessions", "trace_url"),
)
MAX_JOBS = 64
WEIGHTS = ("full", "int8", "int4")
ENGINES = ("auto", "torch", "onnx", "trt")
EPILOG = f"""\
Other programs, each with its own --help:
  realtime train NAME …           {", ".join(PROGRAMS["train"])}
  realtime export NAME …          {", ".join(PROGRAMS["export"])}
  python -m realtime.recording    lists, prints, extracts and deletes encrypted recordings
  python -m realtime.cluster      deploys, sizes and checks a Ray cluster
  python -m realtime.publish.typescript    the page's types of the events

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not media, 4 bad model, 5 engine missing, 6 unreachable,
7 port taken, 8 cluster, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    logs.configure(logging.DEBUG if options.verbose else options.log_level)
    try:
        return int(options.run(options))
    except RealtimeError as error:
        print(f"realtime: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"          {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`).
        _let_go_of_output()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realtime",
        description="Watches and listens, and says what a person seems to feel and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"emothinker {version('emothinker')}")
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", help="nano (default), a Hugging Face id, or a folder")
    model.add_argument("--adapter", type=Path, metavar="FOLDER", help="a LoRA adapter for the model")
    model.add_argument("--engine", choices=ENGINES, help="what runs the model (default: auto)")
    model.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where it runs (default: auto)")
    model.add_argument(
        "--weights", choices=WEIGHTS, help="what the language model's weights are kept in (default: full)"
    )
    model.add_argument("--engine-dir", type=Path, metavar="DIR", help="where `python -m export.onnx` or `.trt` wrote")
    model.add_argument(
        "--worker", choices=("process", "thread"), help="where a server's model runs (default: a process of its own)"
    )
    model.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags win over them")

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
    _add_sinks(serve, lsl=None)
    serve.add_argument("--max-sessions", metavar="N", help="sessions at once (default: 3)")
    serve.add_argument("--trace", dest="trace_url", metavar="URL", help="send OpenTelemetry traces to that collector")
    serve.add_argument("--cluster", metavar="ADDRESS", help="run the model on that Ray cluster: HOST:PORT, or auto")

    serving = commands.add_parser("serve", parents=[model, serve], help="serve the page and the WHIP endpoint")
    serving.set_defaults(run=_serve, log_level=logging.INFO)

    analyze = commands.add_parser("analyze", parents=[model], help="run a session over a recording, or over many")
    analyze.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files with sound or picture, folders, patterns, an rtsp:// address, or `sample`: a recording of ours",
    )
    analyze.add_argument("--out", type=Path, metavar="PATH", help="a file for the events; of several files, a folder")
    analyze.add_argument("--format", choices=FORMATS, default="jsonl", help="what to write (default: jsonl)")
    analyze.add_argument("--jobs", type=int, metavar="N", help="recordings at once (default: one per core, up to 4)")
    analyze.add_argument("--question", metavar="TEXT", help="ask this of every window")
    analyze.add_argument("--labels", metavar="A,B,…", help="the labels to choose from")
    analyze.add_argument(
        "--fps", metavar="N", help="measure faces up to N times a second, at most 10 (default: once; ingest.cue_fps)"
    )
    analyze.set_defaults(run=_analyze, log_level=logging.WARNING)

    watch = commands.add_parser("watch", help="print a live session's events as JSON lines")
    watch.add_argument("url", metavar="URL", help="http://HOST:PORT/sessions/ID#SECRET, from the answer's headers")
    watch.add_argument("--after", type=int, default=0, metavar="SEQ", help="only events after this one")
    _add_sinks(watch, lsl=False)
    watch.set_defaults(run=_watch, log_level=logging.WARNING)

    doctor = commands.add_parser("doctor", parents=[model], help="what this machine can do")
    doctor.set_defaults(run=_doctor, log_level=logging.WARNING)

    models = commands.add_parser("models", help="the memory that each model needs, and whether it is here")
    models.add_argument("models", nargs="*", metavar="MODEL", help="further models: a folder or a Hugging Face id")
    models.set_defaults(run=_models, log_level=logging.WARNING)

    config = commands.add_parser("config", parents=[model, serve], help="every setting, and where its value comes from")
    config.add_argument("--markdown", action="store_true", help="print docs/settings.md, the reference of all settings")
    config.set_defaults(run=_config, log_level=logging.WARNING)

    bench = commands.add_parser("bench", parents=[model], help="measure latency and throughput here")
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
    bench.set_defaults(run=_bench, log_level=logging.WARNING)

    for package, text in (("train", "a program of training and evaluation"), ("export", "a program of the exports")):
        program = commands.add_parser(package, help=text, add_help=False)
        program.add_argument("words", nargs=argparse.REMAINDER, metavar="NAME …")
        program.set_defaults(run=partial(_program, package), log_level=logging.WARNING)
    return parser


def _add_sinks(parser: argparse.ArgumentParser, *, lsl: bool | None) -> None:
    """`lsl` is its value where it is not given; None leaves it to the settings."""
    parser.add_argument("--lsl", action="store_true", default=lsl, help="send signals to Lab Streaming Layer")
    parser.add_argument("--mqtt", metavar="URL", help="publish events: mqtt://HOST:1883/TOPIC")
    parser.add_argument("--osc", metavar="HOST:PORT", help="send signals as Open Sound Control")


def _settings(options: argparse.Namespace) -> Settings:
    return load(options.config, environ=os.environ, flags=_flags(options))


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """What was given on the command line, by the names of the settings; None where nothing was."""
    return {
        "model.name": options.model,
        "model.adapter": options.adapter,
        "model.adapters": getattr(options, "adapters", None),
        "model.engine": options.engine,
        "model.worker": options.worker,
        "model.device": options.device,
        "model.engine_dir": options.engine_dir,
        "ingest.cue_fps": getattr(options, "fps", None),
        "model.weights": options.weights,
        "record.dir": getattr(options, "record", None),
        "record.key_file": getattr(options, "record_key", None),
        "record.what": getattr(options, "record_media", None),
        "record.days": getattr(options, "record_days", None),
        "cluster.address": getattr(options, "cluster", None),
        **{f"publish.{name}": getattr(options, name, None) for name in ("lsl", "mqtt", "osc")},
        **{f"server.{name}": getattr(options, name, None) for name in SERVER_FLAGS},
    }


# What a command needs is imported when it runs: `watch` and `--help` should not wait for torch.


def _serve(options: argparse.Namespace) -> int:
    heap.few_arenas()
    settings = _settings(options)

    from realtime.ingest.stagger import Stagger
    from realtime.ingest.webrtc import answer
    from realtime.observe.metrics import Metrics
    from realtime.serve import hosting
    from realtime.serve.adapter_folder import Adapters
    from realtime.serve.app import LiveServer
    from realtime.serve.passing_on import PassingOn
    from realtime.words import transcriber as words

    logs.configure(logging.getLogger().level, settings.server.log)
    settings = hosting.settle(settings)
    recorder = hosting.recorder(settings.record)
    adapters = Adapters(settings.model.adapters)
    # The port first: a model takes seconds to load, and what is wrong here is known at once.
    hosting.check_tls(settings.server)
    PassingOn(settings.publish).check()
    listening = hosting.listen(settings.server.host, settings.server.port)
    metrics = Metrics()

    async def run() -> None:
        async with (
            words.transcribing(settings.speech, where="process") as transcriber,
            _engine(settings, metrics) as engine,
        ):
            live = LiveServer(
                engine=engine,
                settings=settings,
                metrics=metrics,
                answer=partial(
                    answer,
                    ingest=settings.ingest,
                    speech=settings.speech,
                    ice=settings.ice,
                    stagger=Stagger(),
                ),
                adapters=adapters,
                recorder=recorder,
                transcriber=transcriber,
            )
            scheme = "https" if settings.server.tls_cert else "http"
            host = "localhost" if settings.server.loopback else settings.server.host
            here, *elsewhere = hosting.names(host)
            port = listening.getsockname()[1]
            print(f"Open {scheme}://{here}:{port}", flush=True)
            if elsewhere:
                print(f"From another machine: {scheme}://{elsewhere[0]}:{port}", file=sys.stderr)
            print(f"Model {engine.model.name}, {engine.model.runtime_reason}. Ctrl+C ends it.", file=sys.stderr)
            # Imported modules stay. Looking for garbage in them would stop the loop for 30 ms each time.
            gc.collect()
            gc.freeze()
            await hosting.program(live, settings).serve(sockets=[listening])

    with listening, tracing.exporting(settings.server.trace_url):
        asyncio.run(run())
    return 0


def _engine(settings: Settings, metrics: Metrics) -> AbstractAsyncContextManager[Engine]:
    """The engine that the settings choose: in this process, in one of its own, or on a cluster."""
    if settings.cluster.address is not None:
        from realtime.cluster import connect

        # Raises the error that helps where Ray is missing, which the next import needs.
        connect.join(settings.cluster.address)
        from realtime.cluster.engine import started as on_cluster

        return on_cluster(
            settings.cluster.address,
            settings.model,
            metrics=metrics,
            sessions=settings.server.max_sessions,
            face_engine=settings.faces.engine,
        )
    from realtime.engine.start import load_model, started

    load = partial(load_model, settings.model, face_engine=settings.faces.engine)
    return started(load, where=settings.model.worker, metrics=metrics, load_adapter=load)


def _analyze(options: argparse.Namespace) -> int:
    settings = _settings(options)

    from realtime.commands.study_inputs import is_study

    options.files = [or_sample(file) for file in options.files]
    labels = None if options.labels is None else options.labels.split(",")
    if is_study(options.files, options.format, options.out):
        return _study(options, settings, labels)

    from realtime.commands.analyze import analyze, question_of
    from realtime.engine.start import load_model
    from realtime.ingest.media import MediaSource

    (file,) = options.files
    refuse_input(options.out, file)
    # Both are opened before the model loads, so that a wrong path is reported at once.
    source = MediaSource.open(file, ingest=settings.ingest, speech=settings.speech)
    with _writing(options.out) as out:
        model = load_model(settings.model, face_engine=settings.faces.engine)
        question = question_of(options.question, labels, model.labels)
        asyncio.run(analyze(source, model, settings, out, question))
    return 0


def _study(options: argparse.Namespace, settings: Settings, labels: list[str] | None) -> int:
    from realtime.commands import study
    from realtime.commands.study_folder import JOURNAL
    from realtime.engine.start import load_model

    if options.out is None:
        raise BadSettings("Several recordings, or this format, need a folder to write to.", "Add --out FOLDER.")
    if options.jobs is not None and not 1 <= options.jobs <= MAX_JOBS:
        raise BadSettings(f"--jobs is {options.jobs}.", f"It has to lie between 1 and {MAX_JOBS}.")
    outcome = asyncio.run(
        study.run(
            options.files,
            options.out,
            partial(load_model, settings.model, face_engine=settings.faces.engine),
            settings,
            form=options.format,
            jobs=options.jobs or min(os.cpu_count() or 1, 4),
            query=options.question,
            labels=labels,
        )
    )
    counts = f"{outcome.done} analysed, {outcome.kept} finished before, {outcome.failed} failed"
    print(f"{counts}: {options.out / JOURNAL}", file=sys.stderr)
    return NotMedia.exit_code if outcome.failed and not outcome.done + outcome.kept else 0


def _watch(options: argparse.Namespace) -> int:
    from realtime.commands.watch import watch

    asyncio.run(watch(options.url, after=options.after, lsl=options.lsl, mqtt=options.mqtt, osc=options.osc))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from realtime.commands.doctor import examine

    return examine(_settings(options))


def _models(options: argparse.Namespace) -> int:
    from realtime.commands import models

    for line in models.show(options.models):
        print(line)
    return 0


def _config(options: argparse.Namespace) -> int:
    from realtime.commands import config

    if options.markdown:
        print(config.markdown(), end="")
        return 0
    given = given_settings(options.config, environ=os.environ, flags=_flags(options))
    for line in config.show(_settings(options), given):
        print(line)
    return 0


def _bench(options: argparse.Namespace) -> int:
    settings = _settings(options)

    options.media = [or_sample(file) for file in options.media]
    refuse_input(options.json, *options.media)
    from realtime.bench import bench
    from realtime.engine.start import load_model

    with _writing(options.json) if options.json else nullcontext() as out:
        return bench(
            options.media,
            partial(load_model, settings.model, face_engine=settings.faces.engine),
            settings,
            seconds=options.seconds,
            sessions=options.sessions,
            repeats=options.repeats,
            minutes=options.minutes,
            out=out,
        )


def _program(package: str, options: argparse.Namespace) -> int:
    return programs.run(package, options.words)


@contextmanager
def _writing(path: Path | None) -> Iterator[TextIO]:
    """Open the file of that name, or the standard output.

    Raises BadSettings when it cannot be opened, RealtimeError when the disk takes no more.
    """
    try:
        out = nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8")
    except OSError as error:
        assert path is not None
        raise write_error(path, error) from error
    try:
        with out as file:
            yield file
    except OSError as error:
        if error.errno not in NO_MORE:
            raise
        if path is None:
            _let_go_of_output()
        raise write_error(path, error) from error


def _let_go_of_output() -> None:
    """Drop what could not be written. Python would fail on it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
