"""Annotates clips with chains of emotion thought (CoET) in three stages. A run that is stopped can be resumed.

    realtime train annotate IN OUT [--labels FILE]
    realtime train annotate IN OUT --annotator measured --annotator openai --url http://HOST/v1 --endpoint-model NAME

IN is a folder of recordings with labels.csv (file,label[,speaker,split,start_s,end_s,text,votes]), or Parquet with
these columns, or with --layout a published set (DFEW, MELD, IEMOCAP …) in its official layout. OUT gets records.jsonl
with its schema, a summary, a README that describes the data set, and a page of samples. The same command goes on where
it stopped. `--annotator` may be given several times: each record keeps the answers of all annotators, and uses those of
the last one that passes the gate. The endpoint's key is read from EMOTHINKER_ANNOTATE_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.outputs import DiskFull, refuse_input
from realtime.words.expert import WordsExpert
from train.coet import arguments, on_ray, record, summary
from train.coet.annotators import Annotator
from train.coet.run import Counts, Run
from train.coet.store import Store
from train.command import run_command
from train.readers import folder, parquet, sets
from train.readers.clip import Clip
from train.readers.perceived import Perceived, measuring, watch
from train.readers.perceived_cache import PerceivedCache


def parser() -> argparse.ArgumentParser:
    args = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("input", type=Path, metavar="IN")
    args.add_argument("output", type=Path, metavar="OUT")
    args.add_argument("--labels", type=Path, help="label file, where it is not IN/labels.csv or IN/labels.jsonl")
    args.add_argument("--layout", choices=sorted(sets.READERS), help="IN is that published set in its official layout")
    args.add_argument(
        "--instruments", default="nano", metavar="MODEL", help="the model whose experts measure (default: nano)"
    )
    args.add_argument("--limit", type=int, help="only so many clips")
    args.add_argument(
        "--shard", default="0/1", metavar="I/N", help="every Nth clip from the Ith; give each shard an OUT of its own"
    )
    args.add_argument("--seed", type=int, default=0)
    args.add_argument(
        "--reask", type=int, default=2, help="corrections to request before a chain is dropped (default: 2)"
    )
    args.add_argument(
        "--words", action="store_true", help="chains read the words of each clip, too (the column text; English)"
    )
    args.add_argument(
        "--cache", type=Path, help="keep what was perceived in this folder; the same one serves train.warmup and lora"
    )
    args.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    args.add_argument("--samples", type=int, default=40, help="records on the page of samples")
    arguments.add_arguments(args)
    on_ray.add_arguments(args)
    return args


def chosen(args: argparse.Namespace) -> list[Clip]:
    """The clips of a folder, of Parquet or of a published set. Raises BadSettings or DataMissing."""
    table = parquet.is_parquet(args.input)
    if table and not args.ray and parquet.BYTES in parquet.columns(args.input):
        raise BadSettings(
            f"{args.input} holds the recordings themselves, which Ray's workers read.", "Add --ray local."
        )
    if not table and not args.input.is_dir():
        raise BadSettings(f"{args.input} is no folder.", "Name the folder that holds the recordings.")
    try:
        index, n = (int(part) for part in args.shard.split("/"))
        if not 0 <= index < n:
            raise ValueError
    except ValueError:
        raise BadSettings(f"--shard is {args.shard}.", "Write I/N with 0 ≤ I < N, for example 0/8.") from None
    if args.layout:
        clips = published(args.layout, args.input)
    else:
        clips = parquet.read(args.input) if table else folder.read(args.input, args.labels)
    return clips[index::n][: args.limit]


def published(layout: str, where: Path) -> list[Clip]:
    """The clips of a published set. Labels that are no emotions (sarcasm) are left out."""
    read = sets.read(layout, where)
    return [replace(clip, label="" if read.question else folder.canonical(clip.label)) for clip in read.clips]


def write(
    out: Path,
    store: Store,
    counts: Counts,
    made: list[Annotator],
    settings: dict[str, Any],
    *,
    samples: int,
    took: dict[str, Any],
) -> dict[str, Any]:
    """Write the summary, the README and the page of samples, each complete or absent. Returns the summary."""
    records = list(store.done.values())
    of = summary.summary(records, counts, made)
    if took:
        of["this_run"]["cluster"] = took
    texts = {
        "summary.json": json.dumps(of, indent=1, ensure_ascii=False) + "\n",
        "README.md": summary.readme(of, settings),
        "samples.html": summary.samples_page(records, samples),
    }
    for name, text in texts.items():
        temporary = out / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)
    return of


def asks(made: list[Annotator]) -> bool:
    """Whether an annotator asks an endpoint, which wants the pictures themselves."""
    return any(annotator.name != "measured" for annotator in made)


def local_run(args: argparse.Namespace, store: Store, made: list[Annotator]) -> Run:
    """A run in this process."""
    from realtime.engine.loading import load

    model = measuring(load(args.instruments, engine="torch"))

    cache = PerceivedCache(args.cache, model) if args.cache else None

    def perceive(clip: Clip) -> Perceived:
        if cache is not None:
            return cache.perceive(clip.path, clip.start_s, clip.end_s)
        return watch(clip.path, model, start_s=clip.start_s, end_s=clip.end_s)

    concurrency = args.concurrency if asks(made) else 1
    reader = WordsExpert.load() if args.words else None
    return Run(
        annotators=made, perceive=perceive, store=store, concurrency=concurrency, reask=args.reask, reader=reader
    )


def annotate(args: argparse.Namespace) -> int:
    """The command. Returns its exit code."""
    refuse_input(args.output, args.input, args.labels)
    clips = chosen(args)
    made = arguments.annotators(args)
    if args.cache and (args.ray or asks(made)):
        raise BadSettings(
            "--cache keeps no pictures, and works on this machine alone.",
            "Leave it out with --ray, and with an annotator that is sent the pictures.",
        )
    store = Store(args.output, retry_failed=args.retry_failed)
    settings = {name: str(value) for name, value in vars(args).items() if value not in (None, False)}
    (args.output / "run.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    (args.output / "record.schema.json").write_text(json.dumps(record.SCHEMA, indent=1) + "\n", encoding="utf-8")
    stopped, code, counts = "", 0, Counts()
    took: dict[str, Any] = {}
    with tqdm(total=len(clips), unit="clip", disable=None) as bar:
        try:
            if args.ray:
                counts, took = on_ray.annotate(args, clips, store, made, lambda: bar.update())
            else:
                run = local_run(args, store, made)
                counts = run.counts
                asyncio.run(run.all(clips, lambda: bar.update()))
        except DiskFull as full:
            stopped, code = str(full), 1
        except KeyboardInterrupt:
            stopped, code = "interrupted; run the same command again to go on.", 130
    try:
        if not stopped:
            store.close()
        of = write(args.output, store, counts, made, settings, samples=args.samples, took=took)
    except OSError as error:
        of = summary.summary(list(store.done.values()), counts, made)
        stopped, code = stopped or f"{args.output} cannot be written: {error.strerror}.", code or 1
    print(summary.as_text(of, stopped))
    return code


def main() -> int:
    return annotate(parser().parse_args())


if __name__ == "__main__":
    run_command(main, "train.annotate")
