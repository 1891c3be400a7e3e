"""The far end of a data channel that a sender offers beside its media. Nothing is read from it.

Refusing its section in the answer is not enough: aiortc's clients and werift then wait for an SCTP association that
never comes, and stay `connecting` or fail, with the media already flowing. So the association is made (RFC 9260,
section 5.1), and ended with the first data that is sent on it, which closes the channel on the sender's side.
"""

from __future__ import annotations

import secrets
import struct
from contextlib import suppress

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    SCTP_STATE_COOKIE,
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

STREAMS, WINDOW = 1, 1_500
"Of the association: streams in either direction, and bytes that may be under way. Both are announced, and no more."


class ClosedDataChannel:
    """Answers an association on one DTLS transport and aborts it when data come. It holds two numbers and no data."""

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self._transport = transport
        self._tag = secrets.randbelow(2**32 - 1) + 1
        self._peer_tag = 0
        "0 until the peer has sent its INIT."
        transport._register_data_receiver(self)

    async def _handle_data(self, data: bytes) -> None:
        """Take one SCTP packet. aiortc calls it, by this name."""
        # A body shorter than its chunk's fields is a struct.error, all other damage a ValueError.
        with suppress(ValueError, struct.error, ConnectionError):
            port, own_port, tag, chunks = parse_packet(data)
            for chunk in chunks:
                if tag != (0 if isinstance(chunk, InitChunk) else self._tag):
                    return
                reply = self._reply(chunk)
                if reply is not None:
                    await self._transport._send_data(serialize_packet(own_port, port, self._peer_tag, reply))

    def _reply(self, chunk: Chunk) -> Chunk | None:
        match chunk:
            case InitChunk():
                self._peer_tag = chunk.initiate_tag
                reply = InitAckChunk()
                reply.initiate_tag, reply.initial_tsn = self._tag, self._tag
                reply.inbound_streams, reply.outbound_streams, reply.advertised_rwnd = STREAMS, STREAMS, WINDOW
                # It guards against forged addresses, which DTLS has ruled out; but stacks want one.
                reply.params.append((SCTP_STATE_COOKIE, bytes(4)))
                return reply
            case CookieEchoChunk():
                return CookieAckChunk()
            case HeartbeatChunk():
                beat = HeartbeatAckChunk()
                beat.params = chunk.params
                return beat
            case DataChunk():
                return AbortChunk()
            case _:
                return None
