"""An encoder replica: towers and selectors. It encodes frames and sound of many sessions in one call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from realtime.cluster import backbone
from realtime.cluster.batcher import Batcher
from realtime.cluster.messages import Encoded, EncodeRequest, from_pieces
from realtime.model.products import Weights
from realtime.towers.batch import WINDOW_PATCHES, filled
from realtime.towers.graph import PATCHES_PER_TOKEN

STILL = "stills"
"Name of the `patches` of a still picture: its second time step equals the first and does not travel."
PER_PATCH = ("patches", "positions", "valid")
PER_TOKEN = ("place", "focal", "noise")


class EncoderReplica:
    """Stateless: any replica can answer any request."""

    def __init__(
        self,
        model: str,
        adapters: Mapping[str, str] | None = None,
        *,
        engine: str = "auto",
        device: str = "cpu",
        weights: Weights = "full",
        n_threads: int = 1,
        max_batch: int = 16,
        max_waiting: int = 256,
    ) -> None:
        torch.set_num_threads(n_threads)
        self._backbone = backbone.load(model, adapters, engine=engine, device=device, kept=weights)
        # One thread owns the model, so vision and audio of one replica never run at once.
        executor = ThreadPoolExecutor(1, thread_name_prefix="towers")
        self._pads = device == "cuda"
        self._frames = Batcher(self.encode_frames, executor, max_batch=max_batch, max_waiting=max_waiting)
        self._sounds = Batcher(self.encode_sounds, executor, max_batch=max_batch, max_waiting=max_waiting)

    async def vision(self, *pieces: bytes) -> Encoded:
        """Encode the frames of an EncodeRequest (`messages.in_pieces`)."""
        request = from_pieces(pieces)
        outputs, waited_s, batch = await self._frames.run(request, (request.adapter, request.question))
        return Encoded(outputs, waited_s, batch)

    async def audio(self, *pieces: bytes) -> Encoded:
        """Encode the sound of an EncodeRequest."""
        request = from_pieces(pieces)
        outputs, waited_s, batch = await self._sounds.run(request, (request.adapter, request.question))
        return Encoded(outputs, waited_s, batch)

    async def waited_s(self) -> float:
        """How long the oldest request in a queue has waited."""
        return max(self._frames.oldest_s, self._sounds.oldest_s)

    async def counts(self) -> dict[str, int]:
        return {
            "batches": self._frames.n_batches + self._sounds.n_batches,
            "requests": self._frames.n_requests + self._sounds.n_requests,
            "refused": self._frames.n_refused + self._sounds.n_refused,
            "pid": os.getpid(),
        }

    async def check_health(self) -> None:
        """Called by Serve. A replica whose event loop is blocked does not answer."""
        await asyncio.sleep(0)

    def encode_frames(self, requests: Sequence[EncodeRequest]) -> list[tuple[npt.NDArray[Any], ...]]:
        """Encode frames of one question and adapter as a batch, padded to the largest. Blocking."""
        model = self._backbone.with_adapter(requests[0].adapter)
        inputs, sizes = joined_frames([request.inputs for request in requests])
        batch = sum(sizes)
        if self._pads:
            inputs = {name: filled(value, batch) for name, value in inputs.items()}
        inputs |= model.text_inputs(requests[0].question, next(iter(inputs.values())).shape[0])
        tokens, order, n_focal, n_kept, *spread = (output[:batch].cpu() for output in model.towers.vision(inputs))
        answers: list[tuple[npt.NDArray[Any], ...]] = []
        at = 0
        for size in sizes:
            rows = slice(at, at + size)
            most = int(n_kept[rows].max())
            answers.append(
                (
                    tokens[rows, :most].float().numpy(),
                    order[rows, :most].numpy(),
                    n_focal[rows].numpy(),
                    n_kept[rows].numpy(),
                    *(each[rows].numpy() for each in spread),
                )
            )
            at += size
        return answers

    def encode_sounds(self, requests: Sequence[EncodeRequest]) -> list[tuple[npt.NDArray[Any], ...]]:
        """Encode 2-s chunks of sound as a batch. Blocking. Chunks do not attend to each other, so any may share one."""
        model = self._backbone.with_adapter(requests[0].adapter)
        sizes = [request.inputs["mel"].shape[0] for request in requests]
        inputs = {
            name: torch.cat([torch.from_numpy(np.array(request.inputs[name])) for request in requests])
            for name in ("mel", "n_frames")
        }
        n = sum(sizes)
        if self._pads:
            inputs = {name: filled(value, n) for name, value in inputs.items()}
        inputs |= model.text_inputs(requests[0].question, inputs["mel"].shape[0])
        outputs = [output[:n].float().cpu().numpy() for output in model.towers.audio(inputs)]
        ends = np.cumsum(sizes)[:-1]
        return list(zip(*(np.split(output, ends) for output in outputs), strict=True))


def packed_frames(inputs: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    """The inputs of the vision graph as they travel: without the text, and with one time step of still pictures."""
    arrays = {name: inputs[name].cpu().numpy() for name in (*PER_PATCH, *PER_TOKEN, "drop")}
    patches = arrays["patches"]
    steps_BN3TP = patches.reshape(*patches.shape[:2], 3, 2, -1)
    if np.array_equal(steps_BN3TP[:, :, :, 0], steps_BN3TP[:, :, :, 1]):
        del arrays["patches"]
        arrays[STILL] = np.ascontiguousarray(steps_BN3TP[:, :, :, 0])
    return arrays


def joined_frames(parts: Sequence[Mapping[str, npt.NDArray[Any]]]) -> tuple[dict[str, Tensor], list[int]]:
    """Join requests to one batch, padding with patches that are not valid. Also returns each request's frame count."""
    opened = [unpacked(part) for part in parts]
    n_patches = max(part["patches"].shape[1] for part in opened)
    assert n_patches % WINDOW_PATCHES == 0
    lengths = dict.fromkeys(PER_PATCH, n_patches) | dict.fromkeys(PER_TOKEN, n_patches // PATCHES_PER_TOKEN)
    joined = {
        name: torch.cat([padded(torch.from_numpy(part[name]), length) for part in opened])
        for name, length in lengths.items()
    }
    joined["drop"] = torch.cat([torch.from_numpy(part["drop"]) for part in opened])
    return joined, [part["drop"].shape[0] for part in opened]


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """What `packed_frames` packed."""
    # Ray may hand out its own memory, which is read-only, and torch warns of that.
    opened = {name: value if value.flags.writeable else value.copy() for name, value in arrays.items()}
    still = opened.pop(STILL, None)
    if still is not None:
        opened["patches"] = np.repeat(still[:, :, :, None], 2, axis=3).reshape(*still.shape[:2], -1)
    return opened


def padded(value_BN: Tensor, length: int) -> Tensor:
    """(B, length, …) with zeros at the end."""
    n = value_BN.shape[1]
    if n == length:
        return value_BN
    wide = value_BN.new_zeros(value_BN.shape[0], length, *value_BN.shape[2:])
    wide[:, :n] = value_BN
    return wide
