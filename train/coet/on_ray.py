"""Annotation on many machines with Ray Data (`realtime train annotate --ray ADDRESS`). The records are the same.

    clips ─► measure (decoding and cues: CPU actors) ─► annotate (GPU or endpoint actors) ─► records, written here

IN is a folder with its label file, or Parquet with the same columns. Where the nodes share no disk, Parquet also holds
the recordings (`bytes`), which only tasks of the cluster read (`read_recordings`). When a worker dies, Ray repeats its
work on another. Only this process writes records, one per key, even where work was repeated; the same command measures
only the clips without a record. Each actor journals the stages that an endpoint was paid for, beside the records.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import pickle
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.cluster import connect
from realtime.errors import RealtimeError
from realtime.words.expert import WordsExpert
from train.chat import ChatUsage
from train.coet.annotators import Annotator
from train.coet.arguments import annotators
from train.coet.run import Counts, Run
from train.coet.store import Lines, Store
from train.readers import parquet
from train.readers.clip import Clip
from train.readers.folder import clip_of, key_of
from train.readers.perceived import Perceived

Row = dict[str, Any]
Batch = dict[str, npt.NDArray[Any]]
JOURNALS = "journal-*.jsonl"
READER_CPUS = 0.1
"Cores of a task that reads recordings from Parquet."
ANNOTATOR_CPUS = 0.1

logger = logging.getLogger(__name__)


class Measure:
    """An actor on a CPU: perceives clips as a live session does. A clip that fails becomes its error."""

    def __init__(self, instruments: str) -> None:
        import torch

        from realtime.engine.loading import load
        from train.readers.perceived import measuring

        torch.set_num_threads(1)
        self._model = measuring(load(instruments, engine="torch"))

    def __call__(self, batch: Batch) -> Batch:
        seen = []
        for index in range(len(batch["clip"])):
            with on_disk({name: column[index] for name, column in batch.items()}) as clip:
                seen.append(pickle.dumps((clip, self._perceive(clip))))
        return {"seen": np.array(seen, dtype=object)}

    def _perceive(self, clip: Clip) -> Perceived | Exception:
        from train.readers.perceived import watch

        try:
            return watch(clip.path, self._model, start_s=clip.start_s, end_s=clip.end_s)
        # `Run.one` writes the error into the record; decoders raise errors of many kinds.
        except Exception as error:
            return error if isinstance(error, RealtimeError) else ValueError(f"{type(error).__name__}: {error}")


class Annotate:
    """An actor with the annotators, for many clips at once."""

    def __init__(self, args: argparse.Namespace, remembered: Mapping[tuple[str, str, str], Any]) -> None:
        self._args = args
        self._store = ActorStore(args.output, remembered)

    def __call__(self, batch: Batch) -> Batch:
        work: list[tuple[Clip, Perceived | Exception]] = [pickle.loads(bytes(item)) for item in batch["seen"]]
        perceived = {clip.key: found for clip, found in work}
        made = annotators(self._args)

        def perceive(clip: Clip) -> Perceived:
            found = perceived[clip.key]
            if isinstance(found, Exception):
                raise found
            return found

        run = Run(
            annotators=made,
            perceive=perceive,
            store=self._store,
            concurrency=self._args.concurrency,
            reask=self._args.reask,
            reader=WordsExpert.load() if self._args.words else None,
        )
        asyncio.run(run.all([clip for clip, _ in work], lambda: None))
        spent = {annotator.name: annotator.usage for annotator in made}
        records = [json.dumps(self._store.taken.pop(clip.key), ensure_ascii=False) for clip, _ in work]
        told = [pickle.dumps((run.counts, spent))] + [b""] * (len(work) - 1)
        return {"record": np.array(records, dtype=object), "told": np.array(told, dtype=object)}


class ActorStore:
    """The store of an actor. It journals paid stages on disk, and keeps finished records in memory (`taken`)."""

    def __init__(self, folder: Path, stages: Mapping[tuple[str, str, str], Any]) -> None:
        self.stages = dict(stages)
        self.done: dict[str, Any] = {}
        self.taken: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Lines(folder / f"journal-{uuid.uuid4().hex[:8]}.jsonl")

    def stage(self, key: str, annotator: str, stage: str, value: Any) -> None:
        self._journal.append({"key": key, "annotator": annotator, "stage": stage, "value": value})
        self.stages[key, annotator, stage] = value

    def finish(self, record: dict[str, Any]) -> None:
        self.taken[record["key"]] = record


def annotate(
    args: argparse.Namespace, clips: list[Clip], store: Store, made: list[Annotator], progress: Any
) -> tuple[Counts, dict[str, Any]]:
    """Annotate every clip that has no record yet. Returns the counts, and the time and cost of the run."""
    connect.join(args.ray)
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    began_s = time.monotonic()
    counts, n_done = Counts(), 0
    store.stages.update(journalled(args.output, store.done))
    args.output = args.output.resolve()
    todo = [clip for clip in clips if clip.key not in store.done]
    counts.already_done = len(clips) - len(todo)
    if not todo:
        return counts, {"seconds": 0.0, "clips_per_s": 0.0}
    if parquet.is_parquet(args.input) and parquet.BYTES in parquet.columns(args.input):
        files = [str(file.resolve()) for file in parquet.files(args.input)]
        wanted = ray.put(frozenset(clip.key for clip in todo))
        # Reading mostly waits for the disk. Ray's own reader asks for a whole core to list files with, for which it
        # would wait for ever where the workers leave less on every node.
        source = ray.data.from_items([{"path": path} for path in files], override_num_blocks=len(files)).map_batches(
            read_recordings,
            fn_args=(wanted,),
            batch_size=1,
            batch_format="numpy",
            num_cpus=READER_CPUS,
        )
    else:
        source = ray.data.from_items([row_of(clip) for clip in todo], override_num_blocks=min(len(todo), args.parts))
    measured = source.map_batches(
        Measure,
        fn_constructor_args=(args.instruments,),
        batch_size=args.batch,
        batch_format="numpy",
        compute=ActorPoolStrategy(min_size=1, max_size=args.workers),
        num_cpus=args.worker_cpus,
    )
    records = measured.map_batches(
        Annotate,
        fn_constructor_args=(args, dict(store.stages)),
        batch_size=max(args.batch, args.concurrency if args.url else 1),
        batch_format="numpy",
        compute=ActorPoolStrategy(size=args.annotator_workers),
        num_cpus=ANNOTATOR_CPUS,
        num_gpus=args.gpus,
    )
    needed = args.worker_cpus + READER_CPUS + args.annotator_workers * ANNOTATOR_CPUS
    if (free := ray.available_resources().get("CPU", 0.0)) < needed:
        logger.warning(
            "the cluster has %.3g free cores, and this needs %.3g: it waits until there are more "
            "(--worker-cpus asks for less)",
            free,
            needed,
        )
    mine = {annotator.name: annotator.usage for annotator in made}
    for row in records.iter_rows():
        record = json.loads(row["record"])
        # A block that was computed twice returns the same clip again.
        if record["key"] in store.done:
            continue
        if row["told"]:
            theirs, spent = pickle.loads(bytes(row["told"]))
            join_counts(counts, theirs)
            for name, used in spent.items():
                join_usage(mine[name], used)
        store.finish(record)
        n_done += 1
        progress()
    forget_journals(args.output)
    seconds = time.monotonic() - began_s
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return counts, {
        "seconds": round(seconds, 1),
        "clips_per_s": round(n_done / seconds, 3),
        "nodes": len(nodes),
        "node_hours": round(len(nodes) * seconds / 3600, 4),
        "cost": round(len(nodes) * seconds / 3600 * args.node_hour, 4),
    }


def row_of(clip: Clip) -> Row:
    return {"key": clip.key, "clip": pickle.dumps(replace(clip, path=clip.path.resolve()))}


def read_recordings(batch: Batch, wanted: Any) -> Iterator[Batch]:
    """A task of the cluster: the rows of one Parquet file with their recordings, a few at a time.

    `wanted` refers to the keys of the clips that have no record yet.
    """
    import ray

    keys: Set[str] = ray.get(wanted)
    path = Path(str(batch["path"][0]))
    for rows in parquet.rows_with_recordings(path):
        found = [row for row in rows if key_of(row) in keys]
        if found:
            clips = [pickle.dumps(clip_of(parquet.home(path), row, str(row["file"]))) for row in found]
            recordings = [row[parquet.BYTES] for row in found]
            yield {
                "clip": np.array(clips, dtype=object),
                parquet.BYTES: np.array(recordings, dtype=object),
            }


@contextmanager
def on_disk(row: Row) -> Iterator[Clip]:
    """Yield the clip, with its recording on the disk of this machine until the block ends."""
    clip: Clip = pickle.loads(bytes(row["clip"]))
    recording = row.get(parquet.BYTES)
    if recording is None:
        yield clip
        return
    with tempfile.NamedTemporaryFile(suffix=clip.path.suffix) as file:
        file.write(bytes(recording))
        file.flush()
        yield replace(clip, path=Path(file.name))


def join_counts(mine: Counts, theirs: Counts) -> None:
    for name in ("status", "failures", "objections", "without"):
        getattr(mine, name).update(getattr(theirs, name))
    mine.asked_again += theirs.asked_again


def join_usage(mine: ChatUsage, theirs: ChatUsage) -> None:
    for name in ("requests", "retries", "tokens_in", "tokens_out", "cost"):
        setattr(mine, name, getattr(mine, name) + getattr(theirs, name))
    for problem, n in theirs.problems.items():
        mine.problems[problem] = mine.problems.get(problem, 0) + n


def journalled(folder: Path, done: Mapping[str, Any]) -> dict[tuple[str, str, str], Any]:
    """The stages that actors of a killed run finished, of clips that are not `done`."""
    return {
        (line["key"], line["annotator"], line["stage"]): line["value"]
        for path in folder.glob(JOURNALS)
        for line in Lines(path)
        if line["key"] not in done
    }


def forget_journals(folder: Path) -> None:
    for path in folder.glob(JOURNALS):
        path.unlink()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many machines")
    group.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto, or local (this machine)")
    group.add_argument("--workers", type=int, default=4, help="at most so many measure at once (default: 4)")
    group.add_argument("--worker-cpus", type=float, default=1.0, help="cores of each (default: 1)")
    group.add_argument("--annotator-workers", type=int, default=1, help="actors that annotate (default: 1)")
    group.add_argument("--gpus", type=float, default=0.0, help="share of a GPU for each of those (default: none)")
    group.add_argument("--parts", type=int, default=200, help="the corpus in so many parts (default: 200)")
    group.add_argument("--batch", type=int, default=4, help="clips that an actor takes at a time (default: 4)")
    group.add_argument("--node-hour", type=float, default=0.0, help="price of a node's hour, for the summary")
