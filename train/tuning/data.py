"""Annotated records as training examples: perceived once, cached on disk, and drawn so that rare emotions come up."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings, RealtimeError
from realtime.reason.branches import branch_names
from realtime.reason.quotation import quoted
from realtime.records import Window
from realtime.words.expert import WordsExpert
from train.coet.observe import observe
from train.coet.questions import KnownQuestion, ask
from train.coet.store import Lines
from train.coet.wordings import KINDS
from train.evaluation.variants import WHOLE, Variant
from train.layout import JUDGED
from train.readers.clip import Clip
from train.readers.perceived import Perceived
from train.readers.perceived_cache import PerceivedCache
from train.tuning.ablated import without

ASKED_KINDS = tuple(kind for kind in KINDS if kind not in ("when", "order"))
"Kinds of questions that are asked about annotated clips. When a face changed is not measured there."
N_OTHERS = 2
"Further questions about each window, of different kinds."


def read_records(folders: Sequence[Path], *, split: str | None = None) -> list[dict[str, Any]]:
    """Read the records that have a chain, in the order they were written. Raises BadSettings when there is none."""
    records = []
    for folder in folders:
        file = folder / "records.jsonl" if folder.is_dir() else folder
        if not file.is_file():
            raise BadSettings(f"There is no {file}.", "Annotate first: realtime train annotate IN OUT.")
        done = [record for record in Lines(file) if record["status"] == "done"]
        records += [record for record in done if split is None or record["clip"]["split"] == split]
    if not records:
        raise BadSettings(
            f"{', '.join(map(str, folders))} hold no finished record{f' of split {split}' if split else ''}.",
            "See their summary.json for what failed.",
        )
    return records


def data_sha256(records: Sequence[dict[str, Any]]) -> str:
    """Hash what is learnt: the stretch of each clip, its label and its chain. The clips' paths do not count."""
    digest = hashlib.sha256()
    for record in records:
        clip = {name: value for name, value in record["clip"].items() if name != "path"}
        parts = [record["key"], clip, record["sections"]]
        digest.update(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Answered:
    """A question about a window, and its answer from the measurements, without a full stop."""

    question: str
    answer: str


@dataclass(frozen=True)
class AnnotatedWindow:
    """One window with the chain and labels it teaches, and the seed of the random choices of this step."""

    perceived: Perceived
    sections: Mapping[str, str]
    labels: Mapping[str, str]
    "Label branch → the word to learn; a branch without one carries no loss."
    draw: int
    asked: Answered | None = None
    "What is asked in place of the usual question."
    others: tuple[Answered, ...] = ()
    "Further questions, which an evidence-first chain answers too, each in a branch of its own."

    said: str = ""
    "The words that the judgement reads."

    @property
    def window(self) -> Window:
        return dataclasses.replace(self.perceived.window, said=self.said)


class AnnotatedWindows(Dataset[AnnotatedWindow]):
    """Items are addressed by (record, draw). The draw seeds what is random, so a resumed run repeats it exactly."""

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        model: LoadedModel,
        cache: Path,
        *,
        seed: int,
        asked_share: float = 0.0,
        variant: Variant = WHOLE,
    ) -> None:
        """`model` measures the clips; its towers are not needed (`perceived.measuring`).

        `asked_share`: how often a window is asked another question than the usual one. With 0 none is asked at all.
        `variant`: the row of the ablation table, whose evidence the windows have.
        """
        self.records = list(records)
        self._cache = PerceivedCache(cache, model)
        self._seed, self._asked_share, self._variant = seed, asked_share, variant
        view = model.weights.config.emotion
        self._words, self._encoder = view.words, model.thinker.vocabulary
        self._reader = WordsExpert.load() if view.words else None
        if self._words and not any(record["measured"].get("words") for record in records):
            raise BadSettings(
                "The model reads words, and no record has any.",
                "Annotate with --words recordings whose words are known.",
            )
        self.left_out: dict[str, str] = {}
        "Key of a record → why its clip cannot be used."

    def __len__(self) -> int:
        return len(self.records)

    def prepare(self, *, quiet: bool = False) -> None:
        """Perceive what is not in the cache yet.

        Clips that cannot be read, or hold no evidence, are left out (`left_out`).
        Raises BadSettings if no clip can be read.
        """
        usable = []
        for record in tqdm(self.records, unit="clip", desc="perceive", disable=True if quiet else None):
            try:
                self.perceived(record)
                usable.append(record)
            except (RealtimeError, av.FFmpegError, OSError, ValueError) as error:
                self.left_out[record["key"]] = str(error)
        self.records = usable
        if not usable:
            raise BadSettings("None of the clips can be read any more.", next(iter(self.left_out.values())))

    def perceived(self, record: dict[str, Any]) -> Perceived:
        clip = record["clip"]
        return self._cache.perceive(Path(clip["path"]), clip["start_s"], clip["end_s"])

    def __getitem__(self, at: tuple[int, int]) -> AnnotatedWindow:
        index, draw = at
        record = self.records[index]
        perceived = without(self.perceived(record), self._variant)
        draw = (self._seed * 1_000_003 + draw) % 2**31
        labels = labels_of(record, perceived, draw)
        asked, others = self._asked(record, perceived, draw) if self._asked_share else (None, ())
        read = self._words and record["measured"].get("words")
        said = quoted(record["clip"]["text"], self._encoder) if read else ""
        return AnnotatedWindow(perceived, record["sections"], labels, draw, asked, others, said)

    def _asked(
        self, record: dict[str, Any], perceived: Perceived, draw: int
    ) -> tuple[Answered | None, tuple[Answered, ...]]:
        """Draw the question in place of the usual one, or none, and the further ones."""
        rng, seen = np.random.default_rng((draw, 1)), observe(clip_of(record), perceived, self._reader).whole
        kinds = [ASKED_KINDS[int(at)] for at in rng.choice(len(ASKED_KINDS), 1 + N_OTHERS, replace=False)]
        known: list[KnownQuestion] = [ask(kind, seen, rng) for kind in kinds]
        first, *others = (Answered(one.text, one.answer(seen)) for one in known)
        return first if rng.random() < self._asked_share else None, tuple(others)


def clip_of(record: dict[str, Any]) -> Clip:
    """The clip that a record is about."""
    kept = record["clip"]
    return Clip(record["key"], **{**kept, "path": Path(kept["path"])})


def labels_of(record: dict[str, Any], perceived: Perceived, draw: int) -> dict[str, str]:
    """Draw the word that each label branch learns from the shares of observers or experts.

    Over many draws the model learns the shares. Where words were read, the judgement has shares of its own.
    """
    rng = np.random.default_rng(draw)
    clip, measured = record["clip"], record["measured"]
    people, voice = measured["people"], measured["voice"]
    shares = {
        "face": people[0]["shares"] if people else None,
        "voice": voice["shares"] if voice else None,
        "both": clip["votes"] or ({clip["label"]: 1.0} if clip["label"] else None),
    }
    if words := measured.get("words"):
        shares[JUDGED] = words["shares_with"]
    labels = {}
    for name in (*branch_names(perceived.window), *([JUDGED] if JUDGED in shares else [])):
        told = shares[name]
        if told:
            p = np.array(list(told.values()), np.float64)
            labels[name] = str(rng.choice(list(told), p=p / p.sum()))
    return labels


class Balanced(Sampler[tuple[int, int]]):
    """As many draws per epoch as there are records. The weight of a label is its frequency to the power of −`power`.

    With `power` 0 every record comes once, with 1 all labels come equally often. The order depends on seed and epoch
    alone.
    """

    def __init__(self, labels: Sequence[str], *, power: float, seed: int) -> None:
        self._n, self._power, self._seed, self._epoch = len(labels), power, seed, 0
        counts = Counter(labels)
        self._weights = torch.tensor([(1 / counts[label]) ** power for label in labels], dtype=torch.float64)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        if self._power:
            order = torch.multinomial(self._weights, self._n, replacement=True, generator=generator)
        else:
            order = torch.randperm(self._n, generator=generator)
        for place, index in enumerate(order.tolist()):
            yield index, self._epoch * self._n + place
