"""The parts of the load tool that its figures rest on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.load.media import portrait
from tests.load.peers import BadNetwork, Network, Outcome
from tests.load.server import loop_delay_ms


@pytest.mark.parametrize("burst", [1, 4])
def test_packets_are_lost_by_the_share_asked_for_and_in_bursts(burst: int) -> None:
    network = BadNetwork(Network(loss=0.2, burst=burst), seed=1)
    arrived: list[int] = []
    for number in range(20_000):
        network.pass_on(arrived.append, number)
    # A burst begins where none is under way, so that a few less are lost than each of the draws says.
    assert len(arrived) / 20_000 == pytest.approx(0.8, abs=0.04)
    gaps = [later - sooner - 1 for sooner, later in pairwise(arrived) if later - sooner > 1]
    assert min(gaps) == burst


def test_whoever_has_gone_is_silent() -> None:
    network = BadNetwork(Network(), seed=0)
    arrived: list[int] = []
    network.pass_on(arrived.append, 1)
    network.gone = True
    network.pass_on(arrived.append, 2)
    assert arrived == [1]


async def test_a_loop_goes_on_in_time() -> None:
    sound, pictures = portrait().tracks()
    pictures._n = len(pictures._pictures) - 1
    pictures._began_s = sound._began_s = float("-inf")
    last, first = await pictures.recv(), await pictures.recv()
    assert last.pts is not None
    assert first.pts is not None
    assert first.time_base is not None
    assert (first.pts - last.pts) * first.time_base == pytest.approx(0.1)
    heard = [await sound.recv() for _ in range(3)]
    assert [frame.pts for frame in heard] == [0, 960, 1920]


def test_events_out_of_order_and_twice_are_counted() -> None:
    outcome = Outcome()
    for seq in (1, 2, 2, 5, 4):
        outcome.take({"seq": seq, "type": "speech"}, passed_s=0.0)
    assert outcome.n_wrong == 3


def test_the_delay_of_the_loop_is_of_the_time_between_two_readings() -> None:
    name = "emothinker_loop_delay_seconds"
    before = {f'{name}_bucket{{le="0.02"}}': 10.0, f'{name}_bucket{{le="+Inf"}}': 20.0, f"{name}_count": 20.0}
    after = {f'{name}_bucket{{le="0.02"}}': 19.0, f'{name}_bucket{{le="+Inf"}}': 30.0, f"{name}_count": 30.0}
    assert loop_delay_ms(before, after) == {"20": 0.9}
