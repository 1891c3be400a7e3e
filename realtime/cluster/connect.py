"""Joins a Ray cluster, deploys on it, and looks up what is deployed. Every failure has a named error with a fix."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from realtime.cluster import config
from realtime.cluster.environment import TOKEN
from realtime.cluster.messages import SCHEMA, DeploymentManifest
from realtime.cluster.probe import probe_head
from realtime.errors import ClusterMismatch, ClusterUnreachable, NotDeployed, RayMissing

MANIFEST_S = 60.0
POLL_S = 0.5
INSTALL = "pip install 'emothinker[ray]'"
LOCAL = "local"

logger = logging.getLogger(__name__)


def need_ray() -> None:
    """Raises RayMissing. Call it before modules of this package that import Ray."""
    try:
        # Ray installed without Serve lacks grpc.
        import grpc  # noqa: F401
        import ray  # noqa: F401
    except ImportError as error:
        raise RayMissing("Ray with Serve is not installed.", f"Install it with `{INSTALL}`.") from error


def join(address: str) -> None:
    """Make this process a driver of the cluster at `address`: HOST:PORT, `auto`, or `local` to start its own.

    Raises RayMissing, ClusterUnreachable or ClusterMismatch.
    """
    need_ray()
    import ray

    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address == LOCAL:
        ray.init(include_dashboard=False, **quiet)
        return
    if address != "auto":
        probe_head(address)
    try:
        ray.init(address=address, ignore_reinit_error=True, **quiet)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError and ValueError for the same causes
        message = str(error)
        if "ersion mismatch" in message:
            raise ClusterMismatch(
                f"The cluster runs another Ray or Python than this machine ({ray.__version__}): {last_line(message)}",
                f"Install the same on both: pip install 'ray=={ray.__version__}'.",
            ) from error
        hint = (
            "Start one with `ray start --head`, or name its address: --cluster HOST:6379."
            if address == "auto"
            else f"Join this machine to it first: ray start --address={address}. Its token has to be the cluster's "
            f"({TOKEN}), too."
        )
        raise ClusterUnreachable(
            f"The Ray cluster at {address} does not accept this machine: {last_line(message)}", hint
        ) from error


def deploy(wanted: Mapping[str, Any]) -> DeploymentManifest:
    """Start what `config.read` returned, or change what is deployed, and wait until it answers.

    Raises BadSettings or NotDeployed.
    """
    from ray import serve

    from realtime.cluster.app import APP

    app = config.built(wanted)
    serve.start(proxy_location="Disabled")
    serve.run_many([serve.RunTarget(target=app, name=APP, route_prefix=None)], wait_for_applications_running=False)
    _until_running()
    return manifest()


def _until_running() -> None:
    """Wait, and log what replicas wait for, such as another node. Raises NotDeployed when they fail."""
    from ray import serve

    from realtime.cluster.app import APP

    logged = ""
    while True:
        app = serve.status().applications[APP]
        if app.status == "RUNNING":
            return
        if app.status == "DEPLOY_FAILED":
            causes = {last_line(part.message) for part in app.deployments.values() if part.message}
            raise NotDeployed(
                f"The deployment did not come up: {' '.join(sorted(causes)) or app.message}",
                "What ran before it goes on. Usually it is a model that the nodes cannot read, or another version on "
                "them; the nodes' logs are in /tmp/ray/session_latest/logs/serve.",
            )
        waits = [
            f"{name}: {first_and_last(part.message)}"
            for name, part in app.deployments.items()
            # A message of the previous deployment may still be there.
            if part.message and part.status != "DEPLOY_FAILED"
        ]
        if waits and (message := " ".join(waits)) != logged:
            logger.warning("still waiting, for as long as it takes (Ctrl-C leaves it to the cluster). %s", message)
            logged = message
        time.sleep(POLL_S)


def remove() -> None:
    """End the deployments."""
    from ray import serve

    from realtime.cluster.app import APP

    serve.delete(APP)


def handles() -> tuple[Any, Any]:
    """Serve's handles of the encoder and of the Thinker. Raises NotDeployed."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from realtime.cluster.app import APP, ENCODER, THINKER

    try:
        applications = serve.status().applications
    except RayServeException:
        applications = {}
    if APP not in applications:
        raise NotDeployed(
            "The cluster runs, but EmoThinker is not deployed on it.", "Run `python -m realtime.cluster deploy`."
        )
    return serve.get_deployment_handle(ENCODER, APP), serve.get_deployment_handle(THINKER, APP)


def replicas() -> dict[str, int]:
    """How many replicas run, by deployment. Raises NotDeployed."""
    handles()
    from ray import serve

    from realtime.cluster.app import APP

    found = serve.status().applications[APP].deployments
    return {name: int(part.replica_states.get("RUNNING", 0)) for name, part in found.items()}


def manifest() -> DeploymentManifest:
    """What is deployed. Raises NotDeployed, and ClusterMismatch where it is another version."""
    _, thinker = handles()
    try:
        found = thinker.manifest.remote().result(timeout_s=MANIFEST_S)
    except TimeoutError as error:
        raise NotDeployed(
            f"No Thinker replica has answered for {MANIFEST_S:.0f} s.",
            "`python -m realtime.cluster status` says why they do not start.",
        ) from error
    # A manifest of another version does not unpickle into our classes.
    except (AttributeError, ImportError, TypeError) as error:
        raise _other_version("an unknown one") from error
    if not isinstance(found, DeploymentManifest) or found.schema != SCHEMA:
        raise _other_version(getattr(found, "version", "an unknown one"))
    return found


def _other_version(theirs: str) -> ClusterMismatch:
    return ClusterMismatch(
        f"The cluster's deployment is EmoThinker {theirs} with other messages than this one ({own_version()}).",
        "Install the same version everywhere, then `python -m realtime.cluster deploy` again.",
    )


def check_model(found: DeploymentManifest, *, model: str, adapter: str, fingerprint: str | None) -> None:
    """Raises ClusterMismatch where the deployment has another model. `fingerprint` is of the files here, if any."""
    if found.model != model:
        raise ClusterMismatch(
            f"The cluster serves {found.model}, not {model}.",
            f"Say --model {found.model}, or deploy the other: python -m realtime.cluster deploy --model {model}.",
        )
    if adapter not in found.adapters:
        names = ", ".join(name for name in found.adapters if name) or "none"
        raise ClusterMismatch(
            f"The cluster has no adapter '{adapter}' (there is: {names}).",
            f"Deploy it: python -m realtime.cluster deploy --model {model} --adapter {adapter}=FOLDER.",
        )
    if fingerprint is not None and found.adapters == ("",) and fingerprint != found.fingerprint:
        raise ClusterMismatch(
            f"The cluster's {model} has other weights than the {model} here.",
            "Deploy again from this version: python -m realtime.cluster deploy.",
        )


def own_version() -> str:
    try:
        return version("emothinker")
    except PackageNotFoundError:
        return "unknown"


def first_and_last(text: str) -> str:
    """The first and the last line of a message from Serve: what happened and its cause, without the traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line[:400] for line in lines[:: max(1, len(lines) - 1)])


def last_line(text: str) -> str:
    """The last line that is not empty. Ray's messages are long and end with the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]
