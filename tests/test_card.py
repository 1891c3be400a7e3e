"""The stand-in for a GPU tells what a GPU would do wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.card import Card, OnCard, Race, inserted


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with inserted(monkeypatch) as card:
        yield card


def test_it_computes_what_the_cpu_computes(card: Card) -> None:
    given = torch.arange(12.0).view(3, 4)
    there = given.to("cuda")
    assert isinstance(there, OnCard)
    assert there.device.type == "cuda"
    product = torch.nn.functional.softmax(there[1:] @ there.t() / 9, -1)
    assert torch.equal(product.cpu(), torch.nn.functional.softmax(given[1:] @ given.t() / 9, -1))
    there[0].fill_(5)
    assert there.sum().item() == 4 * 5 + sum(range(4, 12))
    with pytest.raises(RuntimeError, match="same device"):
        there + given
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_streams_have_to_wait_for_each_other(card: Card) -> None:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    x = torch.zeros(4, device="cuda")
    with torch.cuda.stream(side), pytest.raises(Race, match="reads what is written"):
        x + 1
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        y = x + 1
    with pytest.raises(Race, match="writes over what is read"):
        x.zero_()
    side.synchronize()
    x.zero_()
    assert y.tolist() == [1, 1, 1, 1]


def test_pinned_memory_arrives_when_it_was_waited_for(card: Card) -> None:
    host = torch.zeros(3, pin_memory=True)
    assert host.is_pinned()
    there = torch.ones(3, device="cuda")
    host.copy_(there, non_blocking=True)
    assert host.tolist() == [0, 0, 0]
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    event.synchronize()
    assert host.tolist() == [1, 1, 1]
    there.copy_(host, non_blocking=True)
    host.fill_(7)
    with pytest.raises(Race, match="pinned"):
        torch.cuda.synchronize()


def test_a_capture_computes_nothing_and_a_replay_does(card: Card) -> None:
    x, total = torch.tensor([1.0, 2.0], device="cuda"), torch.zeros(2, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        double = x * 2
        total += double
    assert total.tolist() == [0, 0]
    assert bool(torch.isnan(double.cpu()).all())
    for n in (1, 2):
        graph.replay()
        assert total.tolist() == [2 * n, 4 * n]
    x.fill_(10)
    graph.replay()
    assert (double.tolist(), total.tolist()) == ([20, 20], [24, 28])


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: x.copy_(torch.ones(2)), lambda x: torch.nonzero(x)],
    ids=["item", "to the host", "from the host", "a size that depends on values"],
)
def test_what_no_capture_may_do(card: Card, wrong: Callable[[Tensor], object]) -> None:
    x = torch.ones(2, device="cuda")
    with torch.cuda.graph(torch.cuda.CUDAGraph()), pytest.raises(AssertionError, match=r"capture|capturing"):
        wrong(x)
