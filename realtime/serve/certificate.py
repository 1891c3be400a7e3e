"""Makes a self-signed certificate for a home network, because browsers open cameras on secure origins only.

No authority signs it, so each browser asks once. A person who wants to be sure compares the fingerprint that the server
prints. The certificate is kept, so that browsers do not ask again, and is renewed when it expires or when the machine's
addresses change.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from realtime.errors import BadSettings

LASTS = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=14)


def own_certificate(folder: Path | None = None, names: frozenset[str] | None = None) -> tuple[Path, Path, str]:
    """Certificate, key and SHA-256 fingerprint, kept in `folder` or made now. Raises BadSettings if it cannot write."""
    folder = folder or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "emothinker" / "tls"
    names = names or frozenset(_names())
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    try:
        kept = _kept(certificate, key, names)
        if kept is None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = _make(certificate, key, names)
    except OSError as error:
        raise BadSettings(
            f"{folder} cannot hold a certificate: {error.strerror}.", "Set XDG_DATA_HOME to a folder of your own."
        ) from error
    return certificate, key, kept.fingerprint(hashes.SHA256()).hex(":").upper()


def _kept(certificate: Path, key: Path, names: frozenset[str]) -> x509.Certificate | None:
    """The certificate made before, if it still fits."""
    if not (certificate.is_file() and key.is_file()):
        return None
    try:
        kept = x509.load_pem_x509_certificate(certificate.read_bytes())
        also = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    there = {str(name.value) for name in also}
    fits = names <= there and private.public_key() == kept.public_key()
    return kept if fits and kept.not_valid_after_utc > datetime.now(UTC) + RENEWED_BEFORE else None


def _make(certificate: Path, key: Path, names: frozenset[str]) -> x509.Certificate:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EmoThinker on this machine")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        # The clocks of a home's machines differ.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # Created with its rights, so that nobody else can read it even for a moment.
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(private.private_bytes(*plain))
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names() -> Iterator[str]:
    """Every name and address that a browser may open this machine by."""
    yield "localhost"
    for host in (socket.gethostname(), f"{socket.gethostname()}.local"):
        if host.isascii() and len(host) <= 253:
            yield host
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            # A link-local IPv6 address cannot be opened in a browser.
            if isinstance(ip.ip, str) or not ipaddress.ip_address(address).is_link_local:
                yield str(ipaddress.ip_address(address))
