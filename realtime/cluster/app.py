"""The Serve application: encoder replicas and Thinker replicas.

`serve.yaml` names `build` as its import path, so that `serve deploy`, a KubeRay RayService and
`python -m realtime.cluster deploy` all make the same application from the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from realtime.cluster.encoder import EncoderReplica
from realtime.cluster.thinker import ThinkerReplica

APP = "emothinker"
ENCODER, THINKER = "Encoder", "Thinker"
ARGS = {"model", "adapters", "engine", "device", "n_threads", "max_batch", "max_sessions"}
DEVICES, ENGINES = ("cpu", "cuda"), ("auto", "torch", "onnx", "trt")
"The first is the default."
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"


class Front(ThinkerReplica):
    """The Thinker is what Serve calls the ingress; the encoders are started with it and reached on their own.

    Nothing is served over HTTP: sessions come from ingest nodes, which hold a handle to each deployment.
    """

    def __init__(self, encoder: object, model: str, adapters: Mapping[str, str], **options: Any) -> None:
        # Held, so that Serve knows that the two belong together.
        self._encoder = encoder
        super().__init__(model, adapters, **options)


def build(args: dict[str, Any]) -> Any:
    """Serve's application builder: what `serve.yaml` names. Raises ValueError for arguments that are not ours."""
    return application(args, {})


def application(args: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> Any:
    """`options` by deployment, as the file has them: Serve itself puts them on what `build` returns."""
    unknown = sorted(set(args) - ARGS)
    if unknown:
        raise ValueError(f"{unknown[0]} is no argument of {APP}; there are {', '.join(sorted(ARGS))}")
    if stray := sorted(set(options) - {ENCODER, THINKER}):
        raise ValueError(f"there is no deployment {stray[0]}, only {ENCODER} and {THINKER}")
    model, adapters = str(args.get("model", "nano")), args.get("adapters") or {}
    if not isinstance(adapters, Mapping):
        raise ValueError("adapters is NAME: FOLDER, one for each")
    adapters = dict(adapters)
    device, engine = (one_of(args, name, allowed) for name, allowed in (("device", DEVICES), ("engine", ENGINES)))
    common = {"device": device, "n_threads": count(args, "n_threads", 1)}
    encoder = serve.deployment(EncoderReplica, name=ENCODER).options(**options.get(ENCODER, {}))
    # A session's ring lives on one replica. Serve's consistent hashing over the session's id keeps it there, moves
    # only a lost replica's sessions, and needs no shared state between ingest nodes. Multiplexing does not fit: it
    # treats an id as a model to be loaded, tells every router which replica has it, and sends a busy replica's
    # sessions elsewhere, each time a prefill.
    routing = RequestRouterConfig(
        request_router_class=ROUTER, request_router_kwargs={"num_virtual_nodes": 100, "num_fallback_replicas": 1}
    )
    thinker = serve.deployment(Front, name=THINKER, request_router_config=routing).options(**options.get(THINKER, {}))
    return thinker.bind(
        encoder.bind(model, adapters, engine=engine, max_batch=count(args, "max_batch", 16), **common),
        model,
        adapters,
        max_sessions=count(args, "max_sessions", 64),
        version=version("emothinker"),
        **common,
    )


def one_of(args: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """Raises ValueError."""
    given = str(args.get(name, allowed[0]))
    if given not in allowed:
        raise ValueError(f"{name} is {given}; there are {', '.join(allowed)}")
    return given


def count(args: Mapping[str, Any], name: str, default: int) -> int:
    """Raises ValueError."""
    given = args.get(name, default)
    if not isinstance(given, int) or given < 1:
        raise ValueError(f"{name} is {given}, not a number of at least 1")
    return given
