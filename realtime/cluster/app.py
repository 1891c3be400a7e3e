"""The Serve application: encoder replicas and Thinker replicas.

`serve.yaml` names `build` as its import path, so that `serve deploy`, a KubeRay RayService and
`python -m realtime.cluster deploy` all make the same application from the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, get_args

from ray import serve
from ray.serve.config import RequestRouterConfig

from realtime.cluster.encoder import EncoderReplica
from realtime.cluster.thinker import ThinkerReplica
from realtime.settings import KeptWeights, TowerRuntime

APP = "emothinker"
ENCODER, THINKER = "Encoder", "Thinker"
ARGS = {"model", "adapters", "engine", "device", "weights", "n_threads", "max_batch", "max_sessions"}
DEVICES, ENGINES, WEIGHTS = ("cpu", "cuda"), get_args(TowerRuntime), get_args(KeptWeights)
"Allowed values; the first is the default."
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"


class Front(ThinkerReplica):
    """The Thinker, as what Serve calls the ingress of the application. Encoders are started with it.

    Nothing is served over HTTP: ingest nodes have the sessions and call each deployment by its handle.
    """

    def __init__(self, encoder: object, model: str, adapters: Mapping[str, str], **options: Any) -> None:
        # Serve deploys the encoders with the Thinker because they are its argument.
        self._encoder = encoder
        super().__init__(model, adapters, **options)


def build(args: dict[str, Any]) -> Any:
    """Serve's application builder, which `serve.yaml` names. Raises ValueError for unknown or wrong arguments."""
    return application(args, {})


def application(args: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> Any:
    """The application with `options` for each deployment. Raises ValueError for unknown or wrong arguments.

    Serve applies the options of a file to what `build` returns by itself.
    """
    unknown = sorted(set(args) - ARGS)
    if unknown:
        raise ValueError(f"{unknown[0]} is not an argument of {APP}; there are {', '.join(sorted(ARGS))}")
    if stray := sorted(set(options) - {ENCODER, THINKER}):
        raise ValueError(f"there is no deployment {stray[0]}, only {ENCODER} and {THINKER}")
    model, adapters = str(args.get("model", "nano")), args.get("adapters") or {}
    if not isinstance(adapters, Mapping):
        raise ValueError("adapters has to be a mapping of NAME: FOLDER")
    adapters = dict(adapters)
    device, engine = (one_of(args, name, allowed) for name, allowed in (("device", DEVICES), ("engine", ENGINES)))
    common = {"device": device, "weights": one_of(args, "weights", WEIGHTS), "n_threads": count(args, "n_threads", 1)}
    encoder = serve.deployment(EncoderReplica, name=ENCODER).options(**options.get(ENCODER, {}))
    # A session's KV-cache ring is on one replica. Serve's consistent hashing of the session's id keeps the session
    # there, moves only a lost replica's sessions, and needs no shared state between ingest nodes. Multiplexing does not
    # fit: it treats an id as a model to be loaded, tells every router which replica has it, and sends a busy replica's
    # sessions elsewhere, at the cost of a prefill each time.
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
    """An argument that has one of a few values. Raises ValueError for another one."""
    given = str(args.get(name, allowed[0]))
    if given not in allowed:
        raise ValueError(f"{name} is {given}; there are {', '.join(allowed)}")
    return given


def count(args: Mapping[str, Any], name: str, default: int) -> int:
    """An argument that is a positive number. Raises ValueError for anything else."""
    given = args.get(name, default)
    if not isinstance(given, int) or given < 1:
        raise ValueError(f"{name} is {given}, not a number of at least 1")
    return given
