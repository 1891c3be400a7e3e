"""Runs the server as a process: its socket, its certificate, its signals."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ifaddr
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Handshake

from realtime.errors import BadSettings, PortTaken
from realtime.recording.settings import RecordSettings
from realtime.serve import page_build
from realtime.serve.app import LiveServer
from realtime.settings import ServerSettings, Settings

if TYPE_CHECKING:
    from realtime.recording.recorder import Recorder

HEAD_S = 10.0
"Seconds within which the first line and the headers of a request have to arrive."
MESSAGE_BYTES = 4_096
"Longest message of a WebSocket. Readers of events have nothing to say."
MEDIA_MESSAGE_BYTES = 8_388_608
"The same of the sockets that media comes by: a picture of several megapixels in Base64."
MEDIA_SOCKETS = ("/v0/stream/models", "/v1/realtime")
MAX_CONNECTIONS = 500
"Connections allowed beside those that sessions need."


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises PortTaken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address once more, in brackets.
        why = (error.strerror or str(error)).partition(" (")[0]
        theirs = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        hint = "Name an address of this machine with --host." if theirs else "Choose another --port."
        raise PortTaken(f"Cannot listen on {host} port {port}: {why}.", hint) from error


def tell_page(page: Path = page_build.WEB, sources: Path = page_build.SOURCES) -> None:
    """Say on the standard error where the built page is not the one of this server."""
    if wrong := page_build.not_ours(page, sources):
        print(f"The page is {wrong}. Build it: make serve", file=sys.stderr)


def names(host: str) -> list[str]:
    """What a person can open a server on `host` by, this machine's own name for it first.

    A server that listens everywhere is found as localhost, and by this machine's IPv4 addresses from elsewhere.
    """
    if host not in ("0.0.0.0", "::"):
        return [f"[{host}]" if ":" in host else host]
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if isinstance(ip.ip, str)]
    return ["localhost", *(address for address in found if not ipaddress.ip_address(address).is_loopback)]


def settle(settings: Settings) -> Settings:
    """Settings with the token read from its file and a self-signed certificate made, if set so. Raises BadSettings."""
    server = settings.server
    if server.token_file is not None:
        server = replace(server, token=_token_in(server.token_file), token_file=None)
    if server.operator_token_file is not None:
        server = replace(server, operator_token=_token_in(server.operator_token_file), operator_token_file=None)
    if server.tls == "self-signed" and server.tls_cert is None:
        from realtime.serve.certificate import own_certificate

        certificate, key, fingerprint = own_certificate()
        print(f"Certificate of our own, SHA-256 {fingerprint}", file=sys.stderr)
        server = replace(server, tls_cert=certificate, tls_key=key)
    return replace(settings, server=server)


def _token_in(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadSettings(
            f"{file} cannot be read: {error.strerror}.", "Name a text file that holds the token."
        ) from error
    except UnicodeDecodeError as error:
        raise BadSettings(f"{file} holds no text.", "Name a text file that holds the token.") from error
    if not token:
        raise BadSettings(
            f"{file} is empty.", "Fill it: python -c 'import secrets; print(secrets.token_urlsafe(24))' > FILE"
        )
    return token


def recorder(record: RecordSettings) -> Recorder | None:
    """The recorder, if `--record` is given. Raises BadSettings when it cannot record."""
    if record.dir is None or record.key_file is None:
        return None
    from realtime.recording.recorder import Recorder
    from realtime.recording.vault import Vault, read_key

    return Recorder(Vault(record.dir, read_key(record.key_file), days=record.days), record.what)


def check_tls(settings: ServerSettings) -> None:
    """Raises BadSettings when the certificate and its key cannot be used."""
    if settings.tls_cert is None:
        return
    try:
        # Without a password an encrypted key would make OpenSSL ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except OSError as error:
        raise BadSettings(
            f"{settings.tls_cert} and {settings.tls_key} cannot be used for TLS: {error.strerror or error}.",
            "Give a certificate and the key that belongs to it, both PEM, the key without a password.",
        ) from error


def program(server: LiveServer, settings: Settings) -> uvicorn.Server:
    """A server that runs until SIGINT or SIGTERM. Sessions are closed before the sockets are."""
    tls = settings.server
    config = uvicorn.Config(
        server.app,
        http=_Http,
        # A refused connection costs less than one that waits. Each session needs two.
        limit_concurrency=tls.max_sessions * 2 + MAX_CONNECTIONS,
        ssl_certfile=tls.tls_cert,
        ssl_keyfile=tls.tls_key,
        log_config=None,
        # Paths hold session ids, which are keys.
        access_log=False,
        server_header=False,
        ws=_WebSocket,
        ws_max_size=MESSAGE_BYTES,
        # Events are small; a compressor for each reader costs more memory and time than it saves.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )
    return _Uvicorn(config, server)


class _Http(H11Protocol):
    """Closes connections whose request does not arrive. uvicorn itself waits for the end of a head for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self._idle:
            self._expect()
        super().data_received(data)
        # After an upgrade to WebSocket another protocol takes over.
        if not self._idle or self.transport.get_protocol() is not self:
            self._arrived()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        self._waiting = self.loop.call_later(HEAD_S, self.transport.close)

    def _arrived(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class _WebSocket(WebSocketsSansIOProtocol):
    """Takes long messages by the sockets that media comes by, and by no other. uvicorn has one limit for all."""

    def handle_connect(self, event: Handshake) -> None:
        if event.path.partition("?")[0].endswith(MEDIA_SOCKETS):
            self.conn.max_message_size = MEDIA_MESSAGE_BYTES
        super().handle_connect(event)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, live: LiveServer) -> None:
        super().__init__(config)
        self._live = live

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own version raises the signal again at the end, which would look like a failure.
        loop = asyncio.get_running_loop()
        signals = [signal.SIGINT, signal.SIGTERM]
        # Ctrl+Break, which only Windows has.
        signals += [signal.Signals[name] for name in ("SIGBREAK",) if name in signal.Signals.__members__]
        before: dict[signal.Signals, Any] = {}
        for number in signals:
            try:
                loop.add_signal_handler(number, self.handle_exit, number, None)
            except NotImplementedError:
                # The loop of Windows has none. uvicorn looks ten times a second at what the handler sets.
                before[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in signals:
                if number in before:
                    signal.signal(number, before[number])
                else:
                    loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # This happens before uvicorn closes the WebSockets, so that readers get the last events.
        await self._live.drain()
        await super().shutdown(sockets)
