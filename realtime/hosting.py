"""The server as a process: its socket, its certificate, its signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from realtime.errors import BadSettings, PortTaken
from realtime.server import LiveServer
from realtime.sessions import Sessions
from realtime.settings import ServerSettings, Settings


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises PortTaken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PortTaken(f"Cannot listen on {host} port {port}: {error.strerror}.", "Choose another --port.") from error


def check_tls(settings: ServerSettings) -> None:
    """Raises BadSettings when the certificate and its key cannot be used."""
    if settings.tls_cert is None:
        return
    try:
        # The password: without one given, an encrypted key would make OpenSSL ask on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except OSError as error:
        raise BadSettings(
            f"{settings.tls_cert} and {settings.tls_key} cannot be used for TLS: {error.strerror or error}.",
            "Give a certificate and the key that belongs to it, both PEM, the key without a password.",
        ) from error


def program(server: LiveServer, settings: Settings) -> uvicorn.Server:
    """Serves until SIGINT or SIGTERM; the sessions are told before the sockets close."""
    tls = settings.server
    config = uvicorn.Config(
        server.app,
        ssl_certfile=tls.tls_cert,
        ssl_keyfile=tls.tls_key,
        log_config=None,
        # Paths hold session ids, which are keys.
        access_log=False,
        server_header=False,
        ws_max_size=4_096,
        # Events are small; a compressor for each reader costs more memory and time than it saves.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )
    return _Uvicorn(config, server.sessions)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, sessions: Sessions) -> None:
        super().__init__(config)
        self._sessions = sessions

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn's own raises the signal once more when all is done, and being asked to stop is no failure.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before uvicorn closes the WebSockets, so that readers get the last events.
        await self._sessions.stop_all("The server was stopped.")
        await super().shutdown(sockets)
