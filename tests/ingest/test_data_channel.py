"""The association that is made for a sender's data channel, with packets as no stack sends them."""

from __future__ import annotations

import random
from typing import Any, cast

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    AbortChunk,
    Chunk,
    CookieAckChunk,
    CookieEchoChunk,
    DataChunk,
    HeartbeatAckChunk,
    HeartbeatChunk,
    InitAckChunk,
    InitChunk,
    parse_packet,
    serialize_packet,
)

from realtime.ingest.data_channel import ClosedDataChannel


class Wire:
    """Stands in for the DTLS transport, and keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.receiver: Any = None

    def _register_data_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    async def _send_data(self, data: bytes) -> None:
        self.sent.append(data)

    async def replies(self, tag: int, chunk: Chunk) -> list[type[Chunk]]:
        before = len(self.sent)
        await self.receiver._handle_data(serialize_packet(5001, 5000, tag, chunk))
        return [type(parse_packet(data)[3][0]) for data in self.sent[before:]]


def opened() -> Wire:
    wire = Wire()
    ClosedDataChannel(cast(RTCDtlsTransport, wire))
    return wire


def init() -> InitChunk:
    chunk = InitChunk()
    chunk.initiate_tag, chunk.inbound_streams, chunk.outbound_streams = 77, 10, 10
    return chunk


async def test_the_association_is_made_and_ends_with_the_first_data() -> None:
    wire = opened()
    assert await wire.replies(0, init()) == [InitAckChunk]
    source, destination, tag, (answer,) = parse_packet(wire.sent[0])
    assert (source, destination, tag) == (5000, 5001, 77)
    assert isinstance(answer, InitAckChunk)
    ours = answer.initiate_tag
    assert await wire.replies(ours, CookieEchoChunk(body=bytes(4))) == [CookieAckChunk]
    assert await wire.replies(ours, HeartbeatChunk()) == [HeartbeatAckChunk]
    assert await wire.replies(ours, DataChunk()) == [AbortChunk]


async def test_packets_of_another_association_are_not_answered() -> None:
    wire = opened()
    await wire.replies(0, init())
    assert await wire.replies(1, DataChunk()) == []
    assert await wire.replies(1, init()) == []


async def test_damaged_packets_are_dropped() -> None:
    """aiortc calls the handler in the task that receives media: whatever it raised would end the session."""
    wire, rng = opened(), random.Random(0)
    whole = serialize_packet(5001, 5000, 0, init())
    for _ in range(500):
        await wire.receiver._handle_data(rng.randbytes(rng.randint(0, 40)))
        cut = InitChunk()
        cut.__class__ = type("Cut", (Chunk,), {"type": InitChunk.type})
        cut.body = whole[16 : 16 + rng.randint(1, 15)]  # type: ignore[misc]
        assert await wire.replies(0, cut) == []
