"""Loads a checkpoint by its name and chooses the runtime of its towers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from realtime.engine import companions, gpu
from realtime.errors import EngineMissing
from realtime.evidence.beside import Beside, Submit, run_when_asked
from realtime.evidence.cue_model import TowersOnCpu, cue_model, cue_weights, query_on_cpu
from realtime.evidence.face_engines.choice import check
from realtime.evidence.label_reading import LabelReading
from realtime.evidence.perceive import Perception
from realtime.evidence.settings import FaceEngineName
from realtime.evidence.together import FramesTogether, SoundsTogether
from realtime.model import assembly, checkpoint, filling
from realtime.model.config import Calibration
from realtime.model.products import Narrow, Weights
from realtime.model.progress import progress
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.observe import heap
from realtime.reason.appending import Appends
from realtime.reason.calibrate import WORDS
from realtime.reason.phrases import Phrases
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Question
from realtime.summary.draft import SummaryWriter
from realtime.towers import included, plans
from realtime.towers.choice import Checkpoint, Towers, choose
from realtime.towers.included import IncludedTowers, JudgeFaces, OnnxFaceExpert, judge_of

Device = Literal["auto", "cpu", "cuda"]

logger = logging.getLogger(__name__)
FRAMES_TOGETHER = 8
"Frames that share a call of a GPU's towers. Each number up to it that is a power of two needs a CUDA graph."
SOUNDS_TOGETHER = 8
"Sounds that are heard at once. Most have one chunk of 2 s that is not encoded yet."
MEASURING_THREADS = 8
"Most threads that find and measure faces while the model works, and on a GPU as many again that measure voices."
CORES_FOR_THE_REST = 2
"Cores that threads which measure leave alone."
TOLD_EVERY_S = 5.0
"Seconds between two lines of progress. A model that loads sooner says nothing."


@dataclass(frozen=True)
class LoadedModel:
    """A `Model` of `realtime.roles` with its weights."""

    name: str
    runtime_reason: str
    labels: tuple[str, ...]
    thinker: Reasoner
    weights: EmoThinker
    towers: Towers
    instruments: EmoThinker | None = None
    "Experts and projectors in float32 on the CPU, where `weights` are in half precision or on a GPU; else None."
    face_engine: FaceEngineName = "auto"
    judge_faces: JudgeFaces | None = None
    "The face expert in its quickest form; None: in torch."
    judge_beside: Submit = run_when_asked
    "Where it runs."
    together: FramesTogether | None = None
    "Measures frames in threads; on a GPU it sees those of several sessions in one call."
    hears_together: SoundsTogether | None = None
    "Hears sounds of several sessions in one call; None on a CPU."

    label_model: str | None = None
    answer_model: str | None = None

    @property
    def appends(self) -> Appends:
        return self.thinker.appends

    @property
    def open_labels(self) -> bool:
        return self.weights.config.emotion.open_labels

    @property
    def words(self) -> bool:
        return self.weights.config.emotion.words

    @property
    def summariser(self) -> SummaryWriter | None:
        # One that was tuned on nano's wording writes nothing but chains.
        thinker = self.thinker
        can = self.weights.config.emotion.open_labels
        return SummaryWriter(thinker.language, thinker.decoder, thinker.vocabulary) if can else None

    @property
    def stock(self) -> bool:
        return self.weights.config.emotion.stock

    def perceiver(
        self, seed: int, question: Question | None = None, for_labels: LabelReading | None = None
    ) -> Perception:
        """A new perception for one session. It blocks while it starts the face models.

        `for_labels` reads the same for the model that gives the labels, where that is another (`pair.py`).
        """
        query = self.thinker.query_embeddings
        return Perception(
            self.instruments or self.weights,
            TowersOnCpu(self.towers) if self.instruments else self.towers,
            query=query_on_cpu(query) if self.instruments else query,
            question=question or Question(labels=self.labels),
            seed=seed,
            # No label waits for what only a chain reads.
            open_ring=partial(self.thinker.open_ring, later=for_labels is not None),
            face_engine=self.face_engine,
            judge_faces=self.judge_faces,
            judge_beside=self.judge_beside,
            for_labels=for_labels,
        )


LARGE_FROM = 100_000_000
"""Parameters from which a model gains by half precision and by a GPU.

A smaller one is in the caches; on a GPU, transfers and launches take longer than its arithmetic.
"""
SHARED_FROM = 1_000_000_000
"""Parameters from which the products of a CPU are shared out among all of its cores.

Each product of a smaller model ends when its last thread does. Where another program has one of two cores, a step of
135 M parameters took 190 ms on two threads and 43 ms on one. Where both were free, two threads wrote 22 tokens a second
in place of 17. So such a model has two threads where at least half of the cores are left to other programs.
"""
SPARE_FROM = 4
"Cores from which a model of `LARGE_FROM` parameters has two threads."


def threads_for(n_parameters: int, n_cores: int) -> int:
    """The number of threads for the products of a model on a CPU."""
    if n_parameters >= SHARED_FROM:
        return n_cores
    return 2 if n_parameters >= LARGE_FROM and n_cores >= SPARE_FROM else 1


def with_own_chain(calibration: Calibration, model: EmoThinker) -> Calibration:
    """The calibration of the model that gives the labels, with what a chain of this one adds, where that was fitted."""
    own = model.config.emotion.calibration
    if WORDS in own.fast:
        fast, bias = {**calibration.fast, WORDS: own.fast[WORDS]}, {**calibration.bias, WORDS: own.bias[WORDS]}
        calibration = replace(calibration, fast=fast, bias=bias)
    return replace(calibration, chain=own.chain or calibration.chain, words=own.words or calibration.words)


def load(
    name: str,
    *,
    adapter: Path | None = None,
    engine: str = "auto",
    engine_dir: Path | None = None,
    build_plans: bool = False,
    narrow: Narrow | Literal["auto"] | None = "auto",
    weights: Weights = "full",
    threads: int | None = None,
    device: Device = "cpu",
    face_engine: FaceEngineName = "auto",
    calibration: Calibration | None = None,
    sound_on_onnx: bool = False,
    serve_only: bool = False,
) -> LoadedModel:
    """Load `nano`, `small`, a folder or a hub id. `narrow` decodes its chains with weights in few bits.

    `weights` is what the language model's weights are kept in, for labels too.

    `engine` is the runtime of the towers. With `build_plans` those of TensorRT are built first, where the model goes to
    a GPU and none fits. `threads` is the number of threads for matrix products on a CPU; 0 chooses
    by the model's size, None changes nothing. `device` is where towers and Thinker run; `auto` takes the GPU if there
    is one and the model is large enough to gain by it. `face_engine` is the setting `faces.engine`. `calibration` is
    that of the model that gives the labels, where another one does. `sound_on_onnx` is that of `choose`. With
    `serve_only`, weights that ONNX Runtime has are freed in torch, which cannot run their modules any more. Raises
    BadModel or EngineMissing with what to do next.
    """
    check(face_engine)
    folder = assembly.locate(name)
    planned = checkpoint.plan(folder, adapter)
    large = planned.n_parameters >= LARGE_FROM
    place = torch.device("cuda" if wants_gpu(device, large=large) else "cpu")
    dtype = gpu_dtype() if place.type == "cuda" else cpu_dtype(large=large)
    # First of all, so that what is wrong with it is known before anything large is read.
    vocabulary = Vocabulary.read(folder)
    companions.require_alike(folder, planned.model.config, vocabulary)
    if build_plans and place.type == "cuda" and engine in ("auto", "trt"):
        try:
            plans.build_where_missing(name, folder, adapter=adapter, engine_dir=engine_dir)
        except EngineMissing as error:
            if engine == "trt":
                raise
            logger.warning("%s Torch runs the towers. %s", error.message, error.hint)
    on_read = progress_of(name)
    model = filling.fill(planned, name, dtype=dtype, device=place, joined=True, kept=weights, on_read=on_read)
    # Of a 3B in 4 bits, 0.7 GB that quantising had used stayed with the process.
    heap.trim()
    if threads is not None:
        # numpy's matrix products are smaller still, and its threads spin while they wait for the next one.
        threadpool_limits(1, user_api="blas")
    n_cores = torch.get_num_threads()
    if threads is not None and model.device.type == "cpu":
        torch.set_num_threads(threads or threads_for(planned.n_parameters, n_cores))
    towers, reason = choose(engine, Checkpoint(model, folder, adapter, engine_dir), sound_on_onnx=sound_on_onnx)
    on_gpu = place.type == "cuda"
    exact = dtype == torch.float32 and not on_gpu
    instruments = None if exact else cue_model(model.config, cue_weights(model))
    judge_faces = None if engine == "torch" else judge_of(instruments or model)
    for runs in (towers, judge_faces) if serve_only else ():
        for module in runs.copied if isinstance(runs, IncludedTowers | OnnxFaceExpert) else ():
            included.let_go(module)
    perceived = TowersOnCpu(towers) if instruments else towers
    thinker = Reasoner(
        model,
        vocabulary,
        narrow=suited(model, weights) if narrow == "auto" else narrow,
        calibration=None if calibration is None else with_own_chain(calibration, model),
        phrases=Phrases.read(folder, n_tokens=model.config.text.vocab_size),
    )
    n_threads = max(1, min(MEASURING_THREADS, n_cores - CORES_FOR_THE_REST))
    # ONNX Runtime takes none of torch's threads, nor its lock. On a GPU faces of several sessions are judged at once.
    on_onnx = isinstance(judge_faces, OnnxFaceExpert)
    beside = Beside("face expert", n_threads if on_gpu else 1) if on_onnx else run_when_asked
    return LoadedModel(
        name=name if adapter is None else f"{name} + {adapter.name}",
        runtime_reason=reason,
        labels=LABELS,
        thinker=thinker,
        weights=model,
        towers=towers,
        instruments=instruments,
        face_engine=face_engine,
        judge_faces=judge_faces,
        judge_beside=beside,
        together=FramesTogether(
            perceived, thinker.appends, n_frames=FRAMES_TOGETHER if on_gpu else 1, n_threads=n_threads
        ),
        hears_together=SoundsTogether(perceived, thinker.appends, n_sounds=SOUNDS_TOGETHER, n_threads=n_threads)
        if on_gpu
        else None,
    )


def suited(model: EmoThinker, weights: Weights) -> Narrow | None:
    """What `narrow = auto` decodes with: int8 for a small language model on a CPU, else the full weights.

    There, int8 takes little more than half of the time of bf16. int4 takes a third, but a tuned SmolLM2 that was
    decoded with it only repeated itself. A model as small as nano gains nothing; what int8 changes of a larger one's
    chains has not been measured.
    """
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    if model.device.type != "cpu" or weights != "full" or not LARGE_FROM <= n_parameters < SHARED_FROM:
        return None
    return "int8"


def wants_gpu(device: Device, *, large: bool) -> bool:
    """Whether the model goes to the GPU. Raises EngineMissing where one is asked for and none can be used."""
    if device == "cpu" or (device == "auto" and not large):
        return False
    why = gpu.fault()
    if why is None:
        return True
    if device == "cuda":
        raise EngineMissing(why, "Run `realtime doctor`, or take --device cpu.")
    if why != gpu.NO_GPU:
        logger.warning("%s The model goes to the CPU; `realtime doctor` tells what to do.", why)
    return False


def gpu_dtype() -> torch.dtype:
    """Half precision of this GPU: those before Ampere do not compute in bf16."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def cpu_dtype(*, large: bool) -> torch.dtype:
    """The precision of weights on this CPU: bf16 for a large model where the CPU has instructions for its products.

    A large model's products are bound by the memory that they read, and half the bytes are half the time. A small
    one is in the caches, and float32 is exact.
    """
    computes_bf16 = torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")
    return torch.bfloat16 if large and computes_bf16 else torch.float32


def progress_of(name: str, now_s: Callable[[], float] = time.perf_counter) -> filling.OnRead:
    """Logs how much of a model is read, every few seconds."""
    told_s = now_s()

    def on_read(n_read: int, n_bytes: int) -> None:
        nonlocal told_s
        if now_s() - told_s >= TOLD_EVERY_S:
            told_s = now_s()
            # In GB a small model would be 0.0 of 0.0.
            unit, size, digits = ("GB", 1e9, 1) if n_bytes >= 1e9 else ("MB", 1e6, 0)
            progress.info("loading %s: %.*f of %.*f %s", name, digits, n_read / size, digits, n_bytes / size, unit)

    return on_read
