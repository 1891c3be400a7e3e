"""The command line of the program; `realtime --help` lists its commands, the other programs, and the exit codes.

Results go to the standard output, messages to people to the standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from realtime.commands import arguments, programs
from realtime.commands.completion import SHELLS, script
from realtime.commands.programs import PROGRAMS
from realtime.errors import BadSettings, NotMedia, RealtimeError
from realtime.formats import FORMATS, TEXT
from realtime.observe import heap, logs
from realtime.outputs import is_folder, let_go_of_output, refuse_empty, refuse_input, write_utf8, writing
from realtime.sample import or_sample
from realtime.settings import Settings
from realtime.settings_sources import given_settings, load

SERVER_FLAGS = (
    *("host", "port", "tls", "tls_cert", "tls_key", "token", "token_file", "operator_token_file"),
    *("allow_origins", "public_url", "max_sessions", "trace_url"),
)
MAX_JOBS = 64
NO_READOUT = "Not a readout of feelings: this describes what a face and a voice show, and can be wrong about both."
EXIT_CODES = """\
Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not media, 4 bad model, 5 engine or extra missing,
6 unreachable, 7 port taken, 8 cluster, 130 interrupted."""
EPILOG = f"""\
Other programs, each with its own --help:
  realtime train NAME …           {", ".join(PROGRAMS["train"])}
  realtime export NAME …          {", ".join(PROGRAMS["export"])}
  python -m realtime.recording    lists, prints, extracts and deletes encrypted recordings
  python -m realtime.cluster      deploys, sizes and checks a Ray cluster
  python -m realtime.publish.typescript    the page's types of the events

{EXIT_CODES}
"""


def main(argv: Sequence[str] | None = None) -> int:
    write_utf8()
    parser = _parser()
    try:
        given = sys.argv[1:] if argv is None else argv
        arguments.refuse_unknown(given, parser)
        refuse_empty(given)
        options = parser.parse_args(argv)
        logs.configure(logging.DEBUG if options.verbose else options.log_level)
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
        let_go_of_output()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realtime",
        description="Watches and listens, and says what a face and a voice show, which emotion that points to, and "
        "why. It is no readout of feelings.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"emothinker {version('emothinker')}")
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    model, serve = arguments.of_model(), arguments.of_server()

    def add(
        name: str, run: Callable[[argparse.Namespace], int], about: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        told, example = arguments.ABOUT[name]
        command = commands.add_parser(
            name,
            parents=parents,
            help=about,
            description=told,
            epilog=f"Example: {example}\n\n{EXIT_CODES}",
            formatter_class=arguments.HelpFormatter,
        )
        command.set_defaults(run=run, log_level=logging.WARNING)
        return command

    add("serve", _serve, "serve the page and the WHIP endpoint", model, serve).set_defaults(log_level=logging.INFO)
    arguments.add_analyze(add("analyze", _analyze, "run a session over a recording, or over many", model))
    arguments.add_watch(add("watch", _watch, "print a live session: words at a terminal, else JSON lines"))
    add("doctor", _doctor, "what this machine can do", model)
    completion = add("completion", _completion, "what a shell completes these commands and their flags with")
    completion.add_argument("shell", choices=SHELLS)
    models = add("models", _models, "the memory that each model needs, and whether it is here")
    models.add_argument("models", nargs="*", metavar="MODEL", help="further models: a folder or a Hugging Face id")
    config = add("config", _config, "every setting, and where its value comes from", model, serve)
    config.add_argument("--markdown", action="store_true", help="print docs/settings.md, the reference of all settings")
    arguments.add_bench(add("bench", _bench, "measure latency and throughput here", model))
    for package, text in (("train", "a program of training and evaluation"), ("export", "a program of the exports")):
        program = commands.add_parser(package, help=text, add_help=False)
        # argparse takes no flag for the first of the words. Without words, the programs are listed.
        program.add_argument("-h", "--help", action="store_true")
        program.add_argument("words", nargs=argparse.REMAINDER, metavar="NAME …")
        program.set_defaults(run=partial(_program, package), log_level=logging.WARNING)
    return parser


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
        "ingest.cue_fps": arguments.frames_per_second(getattr(options, "fps", None)),
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
    heap.limit()
    settings = _settings(options)
    logs.configure(logging.getLogger().level, settings.server.log)

    from realtime.engine.start import begun

    # The model's process imports torch and loads for seconds. It begins before this one imports the server.
    with begun(settings) as model:
        from realtime.commands.serve import serve

        serve(settings, model)
    return 0


def _analyze(options: argparse.Namespace) -> int:
    settings = _settings(options)

    from realtime.ingest.files import standard_input

    with standard_input() if "-" in options.files else nullcontext("-") as piped:
        options.files = [piped if file == "-" else or_sample(file) for file in options.files]
        return _analyze_files(options, settings)


def _analyze_files(options: argparse.Namespace, settings: Settings) -> int:
    from realtime.commands.study_inputs import format_of, is_study

    labels = None if options.labels is None else options.labels.split(",")
    for flag, given in (("jobs", options.jobs), ("copies", options.copies)):
        if given is not None and not 1 <= given <= MAX_JOBS:
            raise BadSettings(f"--{flag} is {given}.", f"It has to lie between 1 and {MAX_JOBS}.")
    if is_study(options.files, None if options.format == TEXT else options.format, options.out):
        return _study(options, settings, labels)

    from realtime.commands.analyze import analyze, asked_before_loading
    from realtime.engine.start import loader
    from realtime.ingest.media import MediaSource

    ending = format_of(options.out)
    if ending not in (None, "jsonl") and options.format != TEXT:
        raise BadSettings(
            f"{options.out.name} would hold lines of JSON.",
            f"For {ending}, add --format {ending} and name a folder; for lines of JSON, end the name with .jsonl.",
        )
    (file,) = options.files
    refuse_input(options.out, file, *_read_by(options))
    # All of this comes before the model, which takes seconds to load: what is wrong is said at once.
    question = asked_before_loading(options.question, labels, settings.model)
    source = MediaSource.open(file, ingest=settings.ingest, speech=settings.speech)
    with writing(options.out) as out:
        model = loader(settings)()
        _say_what_it_is()
        in_words = _in_words(options.format, out)
        asyncio.run(analyze(source, model, settings, out, question, in_words=in_words))
        if in_words and options.format is None:
            print("For programs and for the page: --out events.jsonl, or --format jsonl.", file=sys.stderr)
    return 0


def _in_words(form: str | None, out: TextIO) -> bool:
    """JSON is for programs. A person at a terminal who has not asked for it gets words."""
    return form == TEXT or (form is None and out.isatty())


def _say_what_it_is() -> None:
    """Once for each command, to a person who is there to read it."""
    if sys.stderr.isatty():
        print(NO_READOUT, file=sys.stderr)


def _study(options: argparse.Namespace, settings: Settings, labels: list[str] | None) -> int:
    from realtime.commands import study
    from realtime.commands.study_folder import JOURNAL
    from realtime.commands.study_inputs import format_of
    from realtime.engine.start import loader

    if options.format == TEXT:
        raise BadSettings(
            "Words to read are written about one recording at a time, and not into a folder.",
            f"Name one recording and a file, or take another format: {', '.join(FORMATS)}.",
        )
    if options.out is None:
        raise BadSettings("Several recordings, or this format, need a folder to write to.", "Add --out FOLDER.")
    if format_of(options.out) is not None and not is_folder(options.out):
        raise BadSettings(
            f"{options.out} looks like a file, and several recordings, or this format, are written into a folder.",
            f"Name a folder, such as --out {options.out.stem}.",
        )
    refuse_input(options.out, *_read_by(options))
    copies = study.copies_of(settings.model) if options.copies is None else options.copies
    jobs = min(study.JOBS_A_COPY * copies, MAX_JOBS) if options.jobs is None else options.jobs
    _say_what_it_is()
    outcome = asyncio.run(
        study.run(
            options.files,
            options.out,
            loader(settings, sound_on_onnx=True),
            settings,
            form=options.format or "jsonl",
            jobs=jobs,
            copies=copies,
            query=options.question,
            labels=labels,
        )
    )
    counts = f"{outcome.done} analysed, {outcome.kept} finished before, {outcome.failed} failed"
    print(f"{counts}: {options.out / JOURNAL}", file=sys.stderr)
    return NotMedia.exit_code if outcome.failed and not outcome.done + outcome.kept else 0


def _watch(options: argparse.Namespace) -> int:
    from realtime.commands.watch import watch

    # In the list of processes everybody on the machine can read an address.
    url = sys.stdin.readline().strip() if options.url == "-" else options.url
    in_words = _in_words(options.format, sys.stdout)
    _say_what_it_is()
    if in_words and options.format is None:
        print("For programs and for the page: --format jsonl, or > events.jsonl.", file=sys.stderr)
    asyncio.run(watch(url, after=options.after, lsl=options.lsl, mqtt=options.mqtt, osc=options.osc, in_words=in_words))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from realtime.commands.doctor import examine

    return examine(_settings(options))


def _models(options: argparse.Namespace) -> int:
    from realtime.commands import models

    for line in models.show(options.models):
        print(line)
    return 0


def _completion(options: argparse.Namespace) -> int:
    print(script(_parser(), options.shell))
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
    refuse_input(options.json, *options.media, *_read_by(options))
    from realtime.bench import bench
    from realtime.engine.start import loader

    with writing(options.json) if options.json else nullcontext() as out:
        return bench(
            options.media,
            loader(settings),
            settings,
            seconds=options.seconds,
            sessions=options.sessions,
            repeats=options.repeats,
            minutes=options.minutes,
            out=out,
        )


def _program(package: str, options: argparse.Namespace) -> int:
    return programs.run(package, options.words)


def _read_by(options: argparse.Namespace) -> tuple[Path | str | None, ...]:
    """What every command with a model reads, beside its own inputs."""
    return options.config, options.model, options.adapter


if __name__ == "__main__":
    sys.exit(main())
