"""Errors that reach a person. Each says what happened, what was expected, and what to do next.

The same object becomes an `error` event on the wire, a problem body (RFC 9457) over HTTP, or a line and an exit
code on the command line. A subclass is named by what to do next and fixes the code, the HTTP status and the exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

DTLS_HINT = (
    "Give FFmpeg a certificate, with -cert_file cert.pem -key_file key.pem, made by: openssl req -x509 -newkey ec "
    "-pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=sender -keyout key.pem -out cert.pem"
)
"""For senders whose keys we cannot use. FFmpeg's WHIP muxer, where it was built with GnuTLS, makes its own certificate
on the curve secp224r1, which OpenSSL 4 refuses."""


def quoted(words: Sequence[str]) -> str:
    """The words as a sentence names them: “one”, “two” and “three”."""
    *first, last = (f"“{word}”" for word in words)
    return f"{', '.join(first)} and {last}" if first else last


class RealtimeError(Exception):
    """Base of everything raised for what comes from a browser, a file, a setting or a driver."""

    code: ClassVar[str] = "failed"
    "Stable word for programs; the `code` of error events and problem bodies."
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        "What happened and what was expected, in plain words."
        self.hint = hint
        "What to do next; a command where one helps."

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def problem(self) -> dict[str, Any]:
        """The body of an `application/problem+json` answer."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "hint": self.hint,
        }


class BadSettings(RealtimeError):
    """A setting is unknown or out of range. Correct it: a retry cannot help."""

    code = "bad_settings"
    exit_code = 2


class NotMedia(RealtimeError):
    """The file or address holds no sound and no picture that can be decoded."""

    code = "not_media"
    status = 422
    exit_code = 3


class BadRecording(RealtimeError):
    """The recording was changed, broke off, or was locked with another key."""

    code = "bad_recording"
    status = 500


class BadEvent(RealtimeError):
    """A line is no event of the wire."""

    code = "bad_event"


class ExtraMissing(RealtimeError):
    """What was asked for needs packages that only an extra installs. Install it."""

    code = "extra_missing"
    exit_code = 5


class WordsStopped(RealtimeError):
    """What writes the words down broke off. It is started again for the next utterance."""

    code = "words_stopped"


class DeviceMissing(RealtimeError):
    """There is no camera or no microphone at that place, or something else uses it. Connect it, or name another."""

    code = "device_missing"
    exit_code = 3


class BadModel(RealtimeError):
    """The checkpoint is missing, truncated or of another shape. Fetch or save it again."""

    code = "bad_model"
    exit_code = 4


class EngineMissing(RealtimeError):
    """The runtime asked for cannot run on this machine. Install it or choose another."""

    code = "engine_missing"
    exit_code = 5


class Unreachable(RealtimeError):
    """No server answers, or it knows no such session."""

    code = "unreachable"
    exit_code = 6


class NotDeleted(RealtimeError):
    """A recording cannot be deleted from the disk. Whoever runs the server has to do it."""

    code = "not_deleted"
    status = 503


class BadOffer(RealtimeError):
    """The body of a WHIP request is not an SDP offer that can be answered."""

    code = "bad_offer"
    status = 400


class NoMediaOffered(BadOffer):
    """The offer sends neither audio nor video in a format we know."""

    code = "no_media"
    status = 422


class WrongContentType(RealtimeError):
    code = "wrong_content_type"
    status = 415


class TooLarge(RealtimeError):
    code = "too_large"
    status = 413


class TooLong(RealtimeError):
    """What was sent lasts longer than is taken at once. Send it in parts."""

    code = "too_long"
    status = 413


class BadPayload(RealtimeError):
    """A message of a socket that speaks another service's protocol cannot be read. Correct the program."""

    code = "bad_payload"
    status = 422


class NotAllowed(RealtimeError):
    """The token is missing or wrong."""

    code = "not_allowed"
    status = 401


class WrongOrigin(RealtimeError):
    """The request names a host or an origin that is not this server's."""

    code = "wrong_origin"
    status = 403


class UnknownSession(RealtimeError):
    code = "unknown_session"
    status = 404


class NotFound(RealtimeError):
    """Nothing of the server has that path. Correct the address."""

    code = "not_found"
    status = 404


class WrongMethod(RealtimeError):
    """The path is known, and takes other methods: those that `Allow` names."""

    code = "wrong_method"
    status = 405


class ServerFull(RealtimeError):
    """Every session is taken. Try again after `retry_after_s`."""

    code = "full"
    status = 503

    def __init__(self, message: str, hint: str = "", *, retry_after_s: int = 10) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class TooMany(RealtimeError):
    """This address has sent too many requests. Come back after `retry_after_s`."""

    code = "too_many"
    status = 429

    def __init__(self, message: str, hint: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class TooSlow(RealtimeError):
    """The request did not arrive in time. Send it at once."""

    code = "too_slow"
    status = 408


class ServerBusy(ServerFull):
    """The machine is behind with the sessions it has. Try again after `retry_after_s`."""

    code = "busy"


class ServerStopping(ServerFull):
    """The server is being stopped. Try again after `retry_after_s`, when it may run again."""

    code = "stopping"


class BadRequest(RealtimeError):
    code = "bad_request"
    status = 400


class BadAsk(RealtimeError):
    """The question or the labels cannot be given to a model. Send others."""

    code = "bad_ask"
    status = 422
    exit_code = 2


class NotJudged(BadAsk):
    """The question or a label is about what is judged of nobody, such as health or sex. Ask something else."""

    code = "not_judged"


class UnknownLabels(BadAsk):
    """The model knows a fixed set of labels, and no word of ours says which of them is meant. Send others."""

    code = "unknown_labels"

    def __init__(self, labels: Sequence[str], known: Sequence[str]) -> None:
        verb = "is no emotion" if len(labels) == 1 else "are no emotions"
        super().__init__(
            f"{quoted(labels)} {verb} that this model knows.",
            f"It knows {', '.join(known)}. Words that mean these are taken too, such as joy, rage, calm, positive and "
            "negative, and “not sad” or “other”.",
        )
        self.labels = tuple(labels)

    def problem(self) -> dict[str, Any]:
        return super().problem() | {"labels": list(self.labels)}


class SessionOver(RealtimeError):
    """The session has ended and takes nothing more. Open a new one."""

    code = "session_over"
    status = 409


class NoMediaYet(RealtimeError):
    """Nothing has come from the sender yet, so there is no media time. Try again once there is an event."""

    code = "no_media_yet"
    status = 409


class BadMark(RealtimeError):
    """The mark's name or data cannot go onto the wire. Send others."""

    code = "bad_mark"
    status = 422


class NameTaken(RealtimeError):
    """A session of that name is open. Choose another name, or end that session."""

    code = "name_taken"
    status = 409


class TooManyTickets(RealtimeError):
    """Every lasting ticket of the session is out. Revoke one."""

    code = "too_many_tickets"
    status = 409


class UnknownTicket(RealtimeError):
    """No lasting ticket of the session has that id."""

    code = "unknown_ticket"
    status = 404


class NotReady(RealtimeError):
    """The model does not answer. Restart the server."""

    code = "not_ready"
    status = 503


class ModelStopped(RealtimeError):
    """The process of the model ended during a call. It is started again; the call is lost."""

    code = "model_stopped"
    status = 503


class PortTaken(RealtimeError):
    """Something else listens there. Choose another port."""

    code = "port_taken"
    exit_code = 7


class RayMissing(RealtimeError):
    """Ray is not installed here. Install the extra."""

    code = "ray_missing"
    exit_code = 8


class ClusterUnreachable(RealtimeError):
    """No Ray cluster answers at that address, or it does not let us in."""

    code = "cluster_unreachable"
    status = 503
    exit_code = 8


class NotDeployed(RealtimeError):
    """The cluster runs, but EmoThinker is not deployed on it. Deploy it."""

    code = "not_deployed"
    status = 503
    exit_code = 8


class ClusterMismatch(RealtimeError):
    """The cluster runs another version, another model or other adapters. Deploy again, or ask for what is there."""

    code = "cluster_mismatch"
    exit_code = 8


class ReplicaLost(RealtimeError):
    """No replica of the cluster answered in time. The session goes on with what comes next."""

    code = "replica_lost"
    status = 503
