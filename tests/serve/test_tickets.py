from __future__ import annotations

from realtime.serve.tickets import MAX_TICKETS, TICKET_S, Opener


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_is_good_once_and_not_for_long() -> None:
    clock = Clock()
    opener = Opener(clock)
    first, second = opener.ticket(), opener.ticket()
    assert opener.admits(first)
    assert not opener.admits(first)
    clock.now_s += TICKET_S
    assert not opener.admits(second)


def test_tickets_nobody_uses_take_no_memory() -> None:
    opener = Opener()
    tickets = [opener.ticket() for _ in range(3 * MAX_TICKETS)]
    assert sum(map(opener.admits, tickets)) == MAX_TICKETS


def test_only_the_secret_opens() -> None:
    opener = Opener()
    assert opener.is_holder(opener.secret)
    assert not any(map(opener.is_holder, (None, "", opener.secret[:-1], "ü", opener.ticket())))
