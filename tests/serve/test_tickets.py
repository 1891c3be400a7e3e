from __future__ import annotations

import pytest

from realtime.errors import TooManyTickets, UnknownTicket
from realtime.serve.tickets import MAX_LASTING, MAX_TICKETS, TICKET_S, Opener


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_is_good_once_and_not_for_long() -> None:
    clock = Clock()
    opener = Opener(clock)
    first, second = opener.own.ticket(), opener.own.ticket()
    assert opener.admits(first)
    assert not opener.admits(first)
    clock.now_s += TICKET_S
    assert not opener.admits(second)


def test_tickets_nobody_uses_take_no_memory() -> None:
    opener = Opener()
    tickets = [opener.own.ticket() for _ in range(3 * MAX_TICKETS)]
    assert sum(opener.admits(ticket) is not None for ticket in tickets) == MAX_TICKETS


def test_only_the_secret_opens() -> None:
    opener = Opener()
    assert opener.is_holder(opener.secret)
    assert not any(map(opener.is_holder, (None, "", opener.secret[:-1], "ü", opener.own.ticket())))


def test_a_lasting_ticket_gives_tickets_until_it_is_revoked() -> None:
    opener = Opener()
    lasting, name = opener.lasting_ticket()
    grant = opener.grant_of(lasting)
    assert grant is not None
    used, unused = grant.ticket(), grant.ticket()
    assert opener.admits(used) is grant
    assert opener.admits(lasting) is None
    assert not opener.is_holder(lasting)
    opener.revoke(name)
    assert grant.revoked.is_set()
    assert opener.admits(unused) is None
    assert opener.grant_of(lasting) is None
    with pytest.raises(UnknownTicket):
        opener.revoke(name)


def test_lasting_tickets_are_counted_and_one_holder_takes_no_tickets_from_another() -> None:
    opener = Opener()
    mine = opener.own.ticket()
    given = [opener.lasting_ticket()[0] for _ in range(MAX_LASTING)]
    for lasting in given:
        grant = opener.grant_of(lasting)
        assert grant is not None
        assert [grant.ticket() for _ in range(2 * MAX_TICKETS)]
    assert opener.admits(mine) is opener.own
    with pytest.raises(TooManyTickets):
        opener.lasting_ticket()
    opener.revoke_all()
    assert all(opener.grant_of(lasting) is None for lasting in given)
    opener.lasting_ticket()
