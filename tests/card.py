"""A stand-in for an NVIDIA GPU: tensors say that they are on `cuda:0`, and the CPU computes them.

It raises where a real one would, or would silently compute something else:

- an operation that mixes tensors of both devices, or reads a GPU's tensor as numpy;
- work on one stream that reads or writes what another stream may still write or read (vector clocks);
- pinned memory that the host reads before a copy has arrived, or changes before one has left;
- in a capture: waiting for the device, and copies from memory that is not pinned.

What is computed in a capture is thrown away, as on a GPU, and a replay runs the recorded operations on their tensors.
Sources: torch's notes on CUDA semantics, and the CUDA programming guide on streams and on graphs.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda:0")
aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique2", "_unique2")
"Operations whose result the host needs."
INDEXING = ("index.Tensor", "index_put_.default", "index_put.default", "_index_put_impl_.default")
"Operations that take indices on the host, too. They copy them to the device."


class Race(AssertionError):
    """Two streams, or a stream and the host, use the same memory and nothing orders them."""


class Named(TorchFunctionMode):
    """Calls the card `cuda:0` where a program says `cuda`: the guards of `let_guards_pass` do not know which it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args = [CUDA if isinstance(value, str | torch.device) and str(value) == "cuda" else value for value in args]
        kwargs = {
            name: CUDA if name == "device" and str(value) == "cuda" else value for name, value in (kwargs or {}).items()
        }
        return func(*args, **kwargs)


class OnCard(Tensor):
    """A tensor on the card. `held` has its values, in memory of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCard:
        made: OnCard = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=CUDA
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise AssertionError(f"{func} of a card's tensor outside of `inserted`")

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"OnCard({self.held!r})"


class Stream:
    """A stream of the card. `clock` says how far this stream has waited for each of them."""

    def __init__(self, card: Card | None = None) -> None:
        self.card = card or Card.inserted_now()
        self.number = len(self.card.streams)
        self.clock: dict[int, int] = {}
        self.card.streams.append(self)

    @property
    def cuda_stream(self) -> int:
        """Its handle."""
        return 0x5000 + self.number

    def wait_stream(self, other: Stream) -> None:
        join(self.clock, other.clock)

    def wait_event(self, event: Event) -> None:
        join(self.clock, event.clock)

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        self.card.host_waits(self.clock)


class Event:
    def __init__(self, **_: Any) -> None:
        self.clock: dict[int, int] = {}

    def record(self, stream: Stream | None = None) -> None:
        self.clock = dict((stream or Card.inserted_now().current).clock)

    def synchronize(self) -> None:
        Card.inserted_now().host_waits(self.clock)

    def query(self) -> bool:
        return False


def join(clock: dict[int, int], other: dict[int, int]) -> None:
    for stream, tick in other.items():
        clock[stream] = max(clock.get(stream, 0), tick)


@dataclass
class Used:
    """When each stream last wrote and read a piece of memory."""

    written: dict[int, int] = field(default_factory=dict)
    read: dict[int, int] = field(default_factory=dict)


@dataclass
class Copy:
    """A copy between pinned memory and the card that the host has not waited for."""

    stream: int
    tick: int
    host: Tensor
    values: Tensor
    to_host: bool


@dataclass
class Recorded:
    """An operation of a graph."""

    func: Any
    args: Any
    kwargs: Any
    outputs: Any


class Graph:
    """What `torch.cuda.CUDAGraph` records and replays."""

    def __init__(self) -> None:
        self.steps: list[Recorded] = []
        self.n_replays = 0

    def replay(self) -> None:
        assert self.steps, "nothing was captured"
        card = Card.inserted_now()
        assert card.capture is None, "a replay in a capture"
        self.n_replays += 1
        for step in self.steps:
            card.redo(step)


class Card(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode in which tensors may be on the card."""

    _inserted: list[Card] = []  # noqa: RUF012

    def __init__(self, *, capability: tuple[int, int] = (9, 0), memory: int = 80_000_000_000) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capability, self.memory = capability, memory
        self.streams: list[Stream] = []
        self.current = Stream(self)
        self.host: dict[int, int] = {}
        self.capture: Graph | None = None
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        "Memory that a capture would have written, with its values before."
        self.made_in_capture: set[int] = set()
        self.pinned: weakref.WeakSet[Tensor] = weakref.WeakSet()
        self.pinned_at: set[int] = set()
        self.copies: list[Copy] = []
        self.used: dict[int, Used] = {}
        self._tensors: dict[int, list[weakref.ref[OnCard]]] = {}
        self.n_ops = 0
        self.n_captures = 0
        self.out_of_memory: Callable[[Any], bool] = lambda func: False

    @classmethod
    def inserted_now(cls) -> Card:
        return cls._inserted[-1]

    # Time -------------------------------------------------------------------------------------------------------------

    def host_waits(self, clock: dict[int, int]) -> None:
        """The host has waited for all that the clock has seen."""
        assert self.capture is None, "operation not permitted when stream is capturing"
        join(self.host, clock)
        for copy in [copy for copy in self.copies if self.host.get(copy.stream, 0) >= copy.tick]:
            self.copies.remove(copy)
            if copy.to_host:
                copy.host.copy_(copy.values)
            elif not torch.equal(copy.host, copy.values):
                raise Race("pinned memory was changed before it was copied to the card")

    def synchronize(self, device: object = None) -> None:
        for stream in self.streams:
            self.host_waits(stream.clock)
        for stream in self.streams:
            join(stream.clock, self.host)

    def _tick(self, reads: Sequence[Tensor], writes: Sequence[Tensor], func: Any) -> None:
        """One more operation on the current stream, which has to come after what it depends on."""
        if self.capture is not None:
            return  # Nothing runs: the operation happens at each replay.
        stream = self.current
        now = stream.clock[stream.number] = stream.clock.get(stream.number, 0) + 1

        def after(seen: dict[int, int], what: str) -> None:
            for other, tick in seen.items():
                # What the host has waited for is over, on whichever stream it ran.
                if other != stream.number and max(stream.clock.get(other, 0), self.host.get(other, 0)) < tick:
                    raise Race(f"{func} on stream {stream.number} {what} stream {other}, and does not wait for it")

        for tensor in reads:
            used = self._used(tensor)
            after(used.written, "reads what is written on")
            used.read[stream.number] = now
        for tensor in writes:
            used = self._used(tensor)
            after(used.written, "writes over what is written on")
            after(used.read, "writes over what is read on")
            used.written[stream.number] = now

    def _used(self, tensor: Tensor) -> Used:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.used:
            self.used[key] = Used()
            weakref.finalize(storage, self.used.pop, key, None)
        return self.used[key]

    # Operations -------------------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_card = [tensor for tensor in tensors if isinstance(tensor, OnCard)]
        device = kwargs.get("device")
        to_card = device is not None and torch.device(device).type == "cuda"
        if func in COPIES:
            return self._copied(func, args, kwargs)
        if not on_card and not to_card:
            return self._on_host(func, args, kwargs)
        name = f"{func.__name__}"
        if func is aten._fused_sdp_choice.default:
            return 0  # Plain operations: the fused kernels of a GPU have names of their own.
        if func is aten.is_pinned.default:
            return False
        if func in OF_FOUR_BITS:
            assert self.capability >= (8, 0), f"{func} is only supported on sm80+"
        for tensor in tensors:
            if not isinstance(tensor, OnCard) and tensor.dim() and name not in INDEXING:
                raise RuntimeError(f"Expected all tensors to be on the same device in {func}, got cuda:0 and cpu")
            if not isinstance(tensor, OnCard) and tensor.dim() and self.capture is not None:
                raise AssertionError(f"{func} copies from memory that is not pinned, in a capture")
        if self.out_of_memory(func):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if name.partition(".")[0] in WAITS:
            assert self.capture is None, f"{func} waits for the device in a capture"
        return self._run(func, args, kwargs)

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        kwargs.pop("pin_memory", None)
        written = [argument for argument, is_written in arguments(func, args, kwargs) if is_written]
        written = [leaf for leaf in tree_leaves(written) if isinstance(leaf, OnCard)]
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnCard)]
        if self.capture is not None:
            for tensor in written:
                self._keep(tensor)
        held = tree_map_only(OnCard, lambda tensor: tensor.held, (args, kwargs))
        out = OF_FOUR_BITS.get(func, func)(*held[0], **held[1])
        mine = {id(tensor.held): tensor for tensor in read}
        outputs = tree_map_only(
            Tensor, lambda tensor: mine[id(tensor)] if id(tensor) in mine else self._made(tensor), out
        )
        fresh = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, OnCard)]
        view = is_view(func)
        if not view:
            waits = func.__name__.partition(".")[0] in WAITS
            self._tick([] if func.__name__.startswith("empty") else read, [*written, *fresh], func)
            if waits:
                self.host_waits(self.current.clock)
        self.n_ops += 1
        if self.capture is not None:
            known = {leaf.untyped_storage()._cdata for leaf in read}
            self.made_in_capture |= {leaf.untyped_storage()._cdata for leaf in fresh} - known
            self.capture.steps.append(Recorded(func, held[0], held[1], out))
        return outputs

    def _made(self, held: Tensor) -> OnCard:
        made = OnCard(held)
        if held.numel():
            self._tensors[held.data_ptr()] = [weakref.ref(made), *map(weakref.ref, self.at(held.data_ptr()))]
        return made

    def at(self, address: int) -> list[OnCard]:
        """The tensors that live and begin at an address."""
        tensors = (reference() for reference in self._tensors.get(address, ()))
        return [tensor for tensor in tensors if tensor is not None]

    def _keep(self, tensor: OnCard) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.made_in_capture and storage._cdata not in self.before:
            whole = torch.empty(0, dtype=torch.uint8).set_(storage)
            self.before[storage._cdata] = (whole, whole.clone())

    def redo(self, step: Recorded) -> None:
        """Run a recorded operation again, into the tensors that it made in the capture."""
        outputs = [leaf for leaf in tree_leaves(step.outputs) if isinstance(leaf, Tensor)]
        given = [leaf for leaf in tree_leaves((step.args, step.kwargs)) if isinstance(leaf, Tensor)]
        if is_view(step.func):
            return
        again = [
            leaf
            for leaf in tree_leaves(OF_FOUR_BITS.get(step.func, step.func)(*step.args, **step.kwargs))
            if isinstance(leaf, Tensor)
        ]
        for output, value in zip(outputs, again, strict=True):
            if all(output is not one for one in given):
                output.copy_(value)
        self._tick([] if step.func.__name__.startswith("empty") else given, outputs, step.func)

    # Copies -----------------------------------------------------------------------------------------------------------

    def _copied(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func is aten.copy_.default:
            to, source = args[0], args[1]
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        else:
            device = kwargs.get("device") or args[0].device
            source, waits = args[0], not kwargs.get("non_blocking", False)
            to_card = torch.device(device).type == "cuda"
            if isinstance(source, OnCard) is to_card:
                return self._run(func, args, kwargs) if to_card else func(*args, **kwargs)
            form = {"dtype": kwargs.get("dtype") or source.dtype}
            strides = source.held if isinstance(source, OnCard) else source
            made = torch.empty_like(strides, **form)
            if self.out_of_memory(func) and to_card:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            to = self._made(made) if to_card else made
            if to_card and self.capture is not None:
                self.made_in_capture.add(to.untyped_storage()._cdata)
        to_card, from_card = isinstance(to, OnCard), isinstance(source, OnCard)
        if to_card == from_card:
            return self._run(func, args, kwargs) if to_card else func(*args, **kwargs)
        host = source if to_card else to
        pinned = host.untyped_storage()._cdata in self.pinned_at
        scalar = to_card and host.dim() == 0 and func is aten.copy_.default
        if self.capture is not None and not scalar:
            assert pinned, f"{func} in a capture needs pinned memory"
            assert not waits, f"{func} in a capture must not wait"
        if to_card:
            if self.capture is not None:
                self._keep(to)
                self.capture.steps.append(Recorded(aten.copy_.default, (to.held, source), {}, to.held))
            to.held.copy_(source)
            self._tick([], [to], func)
            if self.capture is not None:
                return to
            if pinned and not waits:
                self.copies.append(
                    Copy(self.current.number, self.current.clock[self.current.number], host, host.clone(), False)
                )
            elif waits:
                self.host_waits(self.current.clock)
            return to
        self._tick([source], [], func)
        if waits or not pinned:
            self.host_waits(self.current.clock)
            to.copy_(source.held)
        else:
            tick = self.current.clock[self.current.number]
            self.copies.append(Copy(self.current.number, tick, host, source.held.clone(), True))
        return to

    def _on_host(self, func: Any, args: Any, kwargs: Any) -> Any:
        pin = kwargs.pop("pin_memory", None)
        if func is aten.is_pinned.default:
            return args[0].untyped_storage()._cdata in self.pinned_at
        out = func(*args, **kwargs)
        if pin:
            storage = out.untyped_storage()
            self.pinned_at.add(storage._cdata)
            weakref.finalize(storage, self.pinned_at.discard, storage._cdata)
        return out


def _packed_int4(bytes_NK: Tensor, tiles: int) -> Tensor:
    """What the CUDA kernel checks, and a tensor of its result's form. Its order of bits is its own affair."""
    n, n_bytes = bytes_NK.shape
    assert bytes_NK.dtype is torch.uint8
    assert tiles in (2, 4, 8)
    assert n % 8 == 0
    assert 2 * n_bytes % (16 * tiles) == 0, f"{2 * n_bytes} inputs are no multiple of {tiles} tiles of 16"
    return bytes_NK.contiguous().view(torch.int32).view(n // 8, 2 * n_bytes // (16 * tiles), 32, tiles // 2)


def _product_int4(x_TK: Tensor, packed: Tensor, group: int, scales_GN2: Tensor) -> Tensor:
    n, k = packed.shape[0] * 8, x_TK.shape[1]
    assert x_TK.dtype is scales_GN2.dtype is torch.bfloat16
    assert x_TK.is_contiguous()
    assert group in (32, 64, 128, 256)
    assert packed.shape[1] == k // (packed.shape[3] * 2 * 16)
    assert scales_GN2.shape == (k // group, n, 2)
    in_bytes = packed.reshape(-1).view(torch.uint8).view(n, k // 2)
    levels_NK = torch.stack([in_bytes >> 4, in_bytes & 15], -1).view(n, k // group, group).float() - 8
    scale_NG1, zero_NG1 = (part.t()[..., None].float() for part in scales_GN2.unbind(-1))
    return (x_TK.float() @ (levels_NK * scale_NG1 + zero_NG1).view(n, k).t()).to(torch.bfloat16)


OF_FOUR_BITS: dict[Any, Callable[..., Tensor]] = {
    aten._convert_weight_to_int4pack.default: _packed_int4,
    aten._weight_int4pack_mm.default: _product_int4,
}
"""The CUDA kernels with weights in 4 bits, which a CPU has under other names. Their checks are those that torch's build
for CUDA names in its messages (`aten/src/ATen/native/cuda/int4mm.cu`)."""


def arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Each argument of an operation, and whether the operation writes it."""
    for place, argument in enumerate(func._schema.arguments):
        value = args[place] if place < len(args) else kwargs.get(argument.name)
        yield value, argument.alias_info is not None and argument.alias_info.is_write


def is_view(func: Any) -> bool:
    """Whether the result of an operation is a view, for which a device has nothing to do."""
    returned = [one.alias_info for one in func._schema.returns]
    return bool(returned) and all(alias is not None and not alias.is_write for alias in returned)


def let_guards_pass() -> None:
    """Let torch set a "current device" of this kind where there is none. Nothing is done.

    A build for the CPU has no code for it, and that of a build with CUDA asks a driver. The registry of guards is an
    array in torch's library, by kind of device: the CPU is 0 and CUDA is 1.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * 2).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    if not torch.cuda.is_available():
        guards[1] = guards[0]


@contextmanager
def inserted(patch: pytest.MonkeyPatch, card: Card | None = None) -> Iterator[Card]:
    """A card in this machine for as long as the block runs."""
    card = card or Card()
    let_guards_pass()
    cuda = torch.cuda

    @contextmanager
    def on_stream(stream: Stream | None) -> Iterator[None]:
        before, card.current = card.current, stream or card.current
        try:
            yield
        finally:
            card.current = before

    @contextmanager
    def capturing(graph: Graph, pool: object = None, stream: Stream | None = None, **_: Any) -> Iterator[None]:
        assert card.capture is None, "a capture in a capture"
        card.synchronize()
        with on_stream(stream or Stream(card)):
            card.capture, card.before, card.made_in_capture = graph, {}, set()
            card.n_captures += 1
            try:
                yield
            finally:
                card.capture = None
                for now, then in card.before.values():
                    now.copy_(then)
        for step in graph.steps:
            for leaf in tree_leaves(step.outputs):
                if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata in card.made_in_capture:
                    # Nothing was computed: whoever reads it before a replay reads what was there.
                    leaf.fill_(float("nan") if leaf.is_floating_point() else 1 if leaf.dtype is torch.bool else 99)

    for name, stand_in in {
        "_lazy_init": lambda: None,
        "init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: card.capability,
        "get_device_name": lambda device=None: "Stand-in",
        "get_arch_list": lambda: [f"sm_{card.capability[0]}{card.capability[1]}"],
        "is_bf16_supported": lambda including_emulation=True: card.capability >= (8, 0) or including_emulation,
        "mem_get_info": lambda device=None: (card.memory, card.memory),
        "empty_cache": lambda: None,
        "synchronize": card.synchronize,
        "current_stream": lambda device=None: card.current,
        "default_stream": lambda device=None: card.streams[0],
        "Stream": Stream,
        "Event": Event,
        "stream": on_stream,
        "CUDAGraph": Graph,
        "graph": capturing,
    }.items():
        patch.setattr(cuda, name, stand_in)
    # Views in inference mode and modes of this kind exclude each other.
    patch.setattr(torch._C, "_InferenceMode", lambda mode: torch.set_grad_enabled(not mode and torch.is_grad_enabled()))
    Card._inserted.append(card)
    # `torch.tensor` then makes its result on the CPU and copies it, as a GPU's driver would.
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with Named(), card:
            yield card
        card.synchronize()
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        Card._inserted.pop()
