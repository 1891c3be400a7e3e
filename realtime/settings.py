"""Every setting of the program, nested by stage. `settings_sources.py` reads them.

Values are checked when the settings are made.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from realtime.errors import BadSettings
from realtime.evidence.settings import FacesSettings
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.pace.buffer import BufferSettings
from realtime.recording.settings import RecordSettings

TowerRuntime = Literal["auto", "torch", "onnx", "trt"]
KeptWeights = Literal["full", "int8", "int4"]
"`realtime.model.products.Weights`, without torch."
SECRETS = ("token", "secret", "mqtt")
"The endings of the names of settings whose values are never shown."
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
MIN_TOKEN_CHARS = 16
"Shortest token of a server that others can reach."


@dataclass(frozen=True)
class ServerSettings:
    """The HTTP and WebSocket server of `realtime serve`."""

    host: str = "127.0.0.1"
    "Address to listen on. Any address that others can reach needs a token and TLS."
    port: int = 8080
    "Port to listen on. 0 takes a free one."
    token: str | None = None
    "Whoever opens a session has to send this as a bearer token. Without it anybody may open one."
    token_file: Path | None = None
    "A file that holds the token."
    operator_token: str | None = None
    "Whoever has this lists the open sessions, reads and marks them. It opens sessions, too. None: nobody lists them."
    operator_token_file: Path | None = None
    "A file that holds the operator token."
    allow_origins: tuple[str, ...] = ()
    "Origins whose pages may use this server and show its pages in a frame, such as `https://lab.example`."
    public_url: str | None = None
    """Address by which a TLS proxy on this machine makes the server reachable, such as `https://lab.example/emo`. It
    needs a token."""
    tls: Literal["given", "self-signed"] = "given"
    "`given` uses `tls_cert` and `tls_key`, or no TLS. `self-signed` makes a certificate, for a home network."
    tls_cert: Path | None = None
    "The server's certificate, as PEM."
    tls_key: Path | None = None
    "The key of the certificate, as PEM."
    max_sessions: int = 3
    "Sessions at once; the next is told to come back. Two CPU cores keep up with three live sessions of nano."
    node: str = ""
    "Name of this server behind a load balancer. Session ids begin with it, so that paths lead back to this server."
    log: Literal["text", "json"] = "text"
    "`text` logs lines for people, `json` one JSON object a line, which names the session it belongs to."
    trace_url: str | None = None
    "Collector of OpenTelemetry traces, OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. None: no traces."
    request_s: float = 10.0
    "Seconds within which a request has to arrive, body included."
    requests_per_s: float = 20.0
    "Requests a second that one address may send, after its first `requests_burst`. A wrong token counts as twenty."
    requests_burst: int = 200
    "Requests that one address may send at once."
    admit_lag_s: float = 1.5
    "While a session is further behind than this many seconds, no new one is admitted."
    retry_after_s: int = 10
    "Seconds after which a caller who was refused a session is told to come back."
    idle_s: float = 600.0
    "A session whose events nobody has read for this many seconds is ended."
    max_session_s: float = 14_400.0
    "Seconds after which a session is ended in any case."
    drain_s: float = 5.0
    "Seconds that sessions get to finish their windows when the server is stopped."

    def __post_init__(self) -> None:
        _within("server.port", self.port, 0, 65_535)
        _within("server.max_sessions", self.max_sessions, 1, 100_000)
        _within("server.admit_lag_s", self.admit_lag_s, 0.1, 3_600)
        _within("server.retry_after_s", self.retry_after_s, 1, 3_600)
        _within("server.request_s", self.request_s, 1, 600)
        _within("server.requests_per_s", self.requests_per_s, 0.1, 1_000_000)
        _within("server.requests_burst", self.requests_burst, 20, 1_000_000)
        _within("server.idle_s", self.idle_s, 1, 86_400)
        _within("server.max_session_s", self.max_session_s, 1, 604_800)
        _within("server.drain_s", self.drain_s, 0, 600)
        if self.node and not (self.node.isascii() and self.node.isalnum() and len(self.node) <= 16):
            raise BadSettings(f"server.node is {self.node!r}.", "Use at most 16 letters and digits.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise BadSettings("server.tls_cert and server.tls_key belong together.", "Give both, or neither.")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise BadSettings("server.token cannot be sent as a bearer token.", "Take letters and digits.")
        self._check_operator_token()
        for origin in self.allow_origins:
            if not ORIGIN.fullmatch(origin):
                raise BadSettings(
                    f"server.allow_origins has {origin!r}.", "Name each origin as https://lab.example, without a path."
                )
        if self.public_url is not None:
            self._check_public_url(self.public_url)
        if self.trace_url is not None and not re.match("https?://[^/]", self.trace_url):
            raise BadSettings(f"server.trace_url is {self.trace_url!r}.", "Name it as http://127.0.0.1:4318/v1/traces.")
        if not self.loopback:
            self._check_for_others()

    def _check_operator_token(self) -> None:
        given = self.operator_token
        if given is None:
            return
        if not (given.isascii() and given.isprintable() and " " not in given and len(given) >= MIN_TOKEN_CHARS):
            raise BadSettings(
                f"server.operator_token is no key of {MIN_TOKEN_CHARS} or more letters and digits.",
                "Make one: python -c 'import secrets; print(secrets.token_urlsafe(24))'",
            )
        if given == self.token:
            raise BadSettings(
                "server.operator_token is the token.",
                "Make another one: whoever may open a session must not read everybody's.",
            )

    def _check_public_url(self, url: str) -> None:
        parts = _address(url)
        if parts is None:
            raise BadSettings(
                f"server.public_url is {url!r}.", "Name it as https://lab.example or https://lab.example/emo."
            )
        if _is_loopback(parts.hostname or ""):
            return
        if parts.scheme != "https":
            raise BadSettings(
                f"server.public_url is {url!r}.", "Browsers open cameras for https alone: put TLS in front."
            )
        if self.token is None and self.token_file is None:
            raise BadSettings(
                "server.public_url makes the server reachable for others, but there is no token.",
                "Add --token-file FILE, or leave the address out.",
            )
        if self.token is not None and len(self.token) < MIN_TOKEN_CHARS:
            raise BadSettings(
                f"server.token has {len(self.token)} characters, which can be guessed.",
                f"Take at least {MIN_TOKEN_CHARS}: python -c 'import secrets; print(secrets.token_urlsafe(24))'",
            )

    def _check_for_others(self) -> None:
        encrypted = self.tls_cert is not None or self.tls == "self-signed"
        if (self.token is None and self.token_file is None) or not encrypted:
            raise BadSettings(
                f"server.host is {self.host}, which others can reach, but there is no token or no TLS certificate.",
                "Add --token or --token-file and --tls self-signed (or --tls-cert, --tls-key), or stay on 127.0.0.1.",
            )
        if self.token is not None and len(self.token) < MIN_TOKEN_CHARS:
            raise BadSettings(
                f"server.token has {len(self.token)} characters, which can be guessed.",
                f"Take at least {MIN_TOKEN_CHARS}: python -c 'import secrets; print(secrets.token_urlsafe(24))'",
            )

    @property
    def loopback(self) -> bool:
        return _is_loopback(self.host)


@dataclass(frozen=True)
class ModelSettings:
    """The model, and what it runs on."""

    name: str = "nano"
    "`nano`, `small`, a Hugging Face id, or a folder."
    adapter: Path | None = None
    "A folder with a LoRA adapter for the model."
    adapters: Path | None = None
    "A folder of adapters. A new session may choose one by name: `POST /whip?adapter=NAME`."
    engine: TowerRuntime = "auto"
    "Runtime of the vision and audio towers. `auto` takes the fastest export that fits, the included graph, or torch."
    worker: Literal["process", "thread"] = "process"
    "Where a server's model runs. In a process of its own it can neither delay nor end the server."
    device: Literal["auto", "cpu", "cuda"] = "auto"
    "Where towers and Thinker run. `auto`: on the GPU, if there is one and the model is not as small as nano."
    engine_dir: Path | None = None
    "Folder of exported towers. None: `engines` beside the checkpoint, then the user's cache."
    build_plans: bool = False
    """Build TensorRT plans before the model is loaded, where it goes to a GPU and none fits. It takes minutes, once. It
    needs the extras `export` and `trt`. Where it fails, `engine = "trt"` ends the start, and `auto` goes on with torch.
    """
    narrow: Literal["auto", "none", "int8", "int4", "fp8"] = "auto"
    """Weights that chains are decoded with; labels stay as they are. `auto`: `int8` for a language model of 100 M to
    1 B parameters on a CPU, and `none` for others. `int8` is a third faster than full weights on a CPU. `int4` is
    faster again, and can destroy the chains of a small model that was tuned. `fp8`
    (float8_e4m3fn) is for GPUs of SM 8.9 and later; it changes more than one of a hundred answers of nano, and on a CPU
    it is slower than full weights. Measured by `realtime train evaluation.fidelity`."""
    weights: KeptWeights = "full"
    """What the language model's weights are kept in, for labels and chains. `full`: the precision that suits the
    machine. `int8` and `int4` take a half and a quarter of the memory of bf16. Encoders are in 8 bits with either.
    Embeddings stay, on a CPU in their file, which must not be changed meanwhile. With `int4` a folder that GPTQ or AWQ
    has quantised keeps its own 4 bits."""
    label: Literal["auto", "own", "nano"] = "auto"
    """Which model gives the labels. `own`: the one that writes the chains. `nano`: nano, from the same faces,
    voices and towers, in a tenth of the time. It can where the other is composed on a text backbone, on a CPU.
    `auto`: nano where it can, else `own`."""
    threads: int = 0
    """CPU threads of one matrix product. 0: one up to 1 B parameters, whose products are too small to share out, or two
    from 100 M parameters on where there are four cores; all of them for larger models."""
    seed: int = 0
    "Seed of the random dropping of background tokens. A replay with the same seed is identical."

    def __post_init__(self) -> None:
        _within("model.threads", self.threads, 0, 1024)


@dataclass(frozen=True)
class ClusterSettings:
    """Sessions here, towers and Thinkers on a Ray cluster (docs/cluster.md)."""

    address: str | None = None
    "`HOST:PORT` of the cluster, or `auto`. None: the model runs on this machine."


@dataclass(frozen=True)
class AnalysisSettings:
    """When an analysis begins."""

    every_s: float = 4.0
    "Media seconds between two analyses while nobody speaks."

    def __post_init__(self) -> None:
        _within("analysis.every_s", self.every_s, 0.5, 60)


@dataclass(frozen=True)
class PublishSettings:
    """The event log of a session, and its readers."""

    kept_s: float = 600.0
    "Media seconds over which a reader can come back without losing an event."
    kept_events: int = 50_000
    "Events kept at most. A long chain every four seconds makes half as many in `kept_s`; they take 15 MB then."
    send_timeout_s: float = 10.0
    "A reader that takes nothing for this many seconds is disconnected."
    linger_s: float = 5.0
    "Seconds for which a session's last events can still be read after its end."
    lsl: bool = False
    "Send every session's signals to Lab Streaming Layer, as streams on the network of this machine."
    mqtt: str | None = None
    "Publish every session's events at this broker, such as `mqtt://HOST:1883/TOPIC`. It may hold a password."
    osc: str | None = None
    "Send every session's signals as Open Sound Control to this receiver, `HOST:PORT`."

    def __post_init__(self) -> None:
        _within("publish.kept_s", self.kept_s, 1, 86_400)
        _within("publish.kept_events", self.kept_events, 100, 1_000_000)
        _within("publish.send_timeout_s", self.send_timeout_s, 0.1, 600)
        _within("publish.linger_s", self.linger_s, 0, 600)


@dataclass(frozen=True)
class Settings:
    """Every setting, by stage."""

    server: ServerSettings = field(default_factory=ServerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    ice: IceSettings = field(default_factory=IceSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    buffer: BufferSettings = field(default_factory=BufferSettings)
    faces: FacesSettings = field(default_factory=FacesSettings)
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    record: RecordSettings = field(default_factory=RecordSettings)

    def __post_init__(self) -> None:
        if self.cluster.address is not None and self.model.label == "nano":
            raise BadSettings("On a cluster, a model gives its labels itself.", "Take model.label = auto, or own.")


def describe(settings: Any) -> dict[str, Any]:
    """The settings in use, for the record of a run. Of a secret it says only whether there is one."""
    plain: dict[str, Any] = {}
    for part in dataclasses.fields(settings):
        value = getattr(settings, part.name)
        if dataclasses.is_dataclass(value):
            plain[part.name] = describe(value)
        elif part.name.endswith(SECRETS):
            plain[part.name] = "set" if value else "not set"
        else:
            plain[part.name] = str(value) if isinstance(value, Path) else value
    return plain


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(url: str) -> SplitResult | None:
    """The parts of a web address without a query; None if it is none."""
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        return None
    plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or "@" in url)
    return parts if plain and re.fullmatch(r"[A-Za-z0-9/._~-]*", parts.path) else None


def _within(name: str, value: float, low: float, high: float) -> None:
    # Written so that NaN is refused too.
    if not low <= value <= high:
        raise BadSettings(f"{name} is {value}.", f"It has to lie between {low} and {high}.")
