from __future__ import annotations

import pytest

from realtime.errors import TooMany
from realtime.serve import rate_limits
from realtime.serve.rate_limits import MAX_ADDRESSES, Rates


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_a_steady_rate() -> None:
    clock = Clock()
    rates = Rates(per_s=2, burst=4, now_s=clock)
    for _ in range(4):
        rates.take("192.0.2.1")
    with pytest.raises(TooMany) as refused:
        rates.take("192.0.2.1")
    assert refused.value.retry_after_s == 1
    rates.take("192.0.2.2")
    clock.now_s += 0.5
    rates.take("192.0.2.1")


def test_a_wrong_token_costs_a_burst_and_a_thousand_cost_no_more_than_one_after_it() -> None:
    clock = Clock()
    rates = Rates(per_s=1, burst=20, now_s=clock)
    rates.charge("192.0.2.1", 20)
    with pytest.raises(TooMany) as refused:
        rates.take("192.0.2.1")
    assert refused.value.retry_after_s == 1
    for _ in range(1_000):
        rates.charge("192.0.2.1", 20)
    with pytest.raises(TooMany) as refused:
        rates.take("192.0.2.1")
    assert refused.value.retry_after_s == 21
    clock.now_s += 21
    rates.take("192.0.2.1")


def test_addresses_of_one_ipv6_network_share_and_memory_is_bounded() -> None:
    rates = Rates(per_s=0.001, burst=1)
    rates.take("2001:db8::1")
    with pytest.raises(TooMany):
        rates.take("2001:db8::2%eth0")
    for number in range(MAX_ADDRESSES + 5):
        rates.take(f"peer {number}")
    assert len(rates._left) == MAX_ADDRESSES


def test_ipv4_addresses_written_as_ipv6_do_not_share() -> None:
    rates = Rates(per_s=0.001, burst=1)
    rates.take("::ffff:192.0.2.1")
    rates.take("::ffff:192.0.2.2")


def test_whoever_was_quiet_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_ADDRESSES", 2)
    rates = Rates(per_s=0.001, burst=2)
    for address in ("busy", "quiet", "busy", "new"):
        rates.take(address)
    with pytest.raises(TooMany):
        rates.take("busy")
