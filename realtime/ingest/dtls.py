"""Our side of DTLS, the handshake that gives a WebRTC connection its keys: whom we take, and why one failed.

aiortc offers cipher suites for ECDSA certificates alone, and drops OpenSSL's reason when a handshake fails.
"""

from __future__ import annotations

from aiortc.rtcdtlstransport import RTCCertificate, SRTPProtectionProfile
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from OpenSSL import SSL, crypto

SUITES = ":".join(
    f"ECDHE-{key}-{suite}"
    for key in ("ECDSA", "RSA")
    for suite in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
)
ALERT, SENT, FATAL = 0x4000, 0x08, 2
"Bits of OpenSSL's info callback, and the level of an alert that ends a handshake."
ALERTS = {
    40: "no cipher suite in common",
    42: "bad certificate",
    43: "unsupported certificate",
    47: "a value that may not be used",
    70: "DTLS version too old",
    71: "too little security",
}
"What the numbers of RFC 5246, section 7.2, mean, as far as they were met."


class DtlsCertificate(RTCCertificate):
    """A certificate for one connection, which takes peers with RSA keys too and remembers why a handshake failed."""

    trouble = ""
    "What was seen of a handshake that failed, empty where nothing was."
    _peer_key = ""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(SUITES.encode())
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._take)
        context.set_info_callback(self._note)
        return context

    def _take(self, connection: SSL.Connection, peer: crypto.X509, *_: int) -> bool:
        # Whose it is, is checked against the fingerprint of the offer. Whether its key can be used, OpenSSL finds next.
        try:
            key = peer.to_cryptography().public_key()
        except (ValueError, UnsupportedAlgorithm):
            self._peer_key = "of an unknown kind"
        else:
            self._peer_key = (
                key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__.strip("_")
            )
        return True

    def _note(self, connection: SSL.Connection, where: int, code: int) -> None:
        if where & ALERT and code >> 8 == FATAL:
            number = code & 0xFF
            said = f"{'we' if where & SENT else 'the peer'} said: {ALERTS.get(number, 'alert')} ({number})"
            key = f"the key of the peer's certificate is {self._peer_key}; " if self._peer_key else ""
            self.trouble = key + said
