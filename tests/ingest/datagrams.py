"""What stands in for a peer's socket, so that what it sends can be lost or late on its way."""

from __future__ import annotations

import asyncio
from typing import Any

Bytes = bytes | bytearray | memoryview


class PassedOn(asyncio.DatagramTransport):
    """A datagram transport that hands everything on to another one."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        super().__init__()
        self._transport = transport

    def sendto(self, data: Bytes, addr: Any = None) -> None:
        self._transport.sendto(data, addr)

    def deliver(self, data: Bytes, addr: Any = None) -> None:
        """What `sendto` held up, if somebody still waits for it."""
        if not self._transport.is_closing():
            self._transport.sendto(data, addr)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
