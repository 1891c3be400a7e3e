"""Joining a Ray cluster, deploying on it, and looking at what is there: every way this fails has a name and a fix."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from realtime.cluster import config
from realtime.cluster.environment import TOKEN
from realtime.cluster.knock import knock
from realtime.cluster.wire import SCHEMA, Card
from realtime.errors import ClusterMismatch, ClusterUnreachable, NotDeployed, RayMissing

CARD_S = 60.0
POLL_S = 0.5
INSTALL = "pip install 'emothinker[ray]'"
LOCAL = "local"

logger = logging.getLogger(__name__)


def join(address: str) -> None:
    """Make this process a driver of the cluster at `address`: HOST:PORT, `auto`, or `local` for one of its own.

    Raises RayMissing, ClusterUnreachable or ClusterMismatch.
    """
    try:
        # What Serve brings along is missing where Ray was installed alone.
        import grpc  # noqa: F401
        import ray
    except ImportError as error:
        raise RayMissing("Ray with Serve is not installed.", f"Install it with `{INSTALL}`.") from error
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address == LOCAL:
        ray.init(include_dashboard=False, **quiet)
        return
    if address != "auto":
        knock(address)
    try:
        ray.init(address=address, ignore_reinit_error=True, **quiet)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError and ValueError for the same causes
        said = str(error)
        if "ersion mismatch" in said:
            raise ClusterMismatch(
                f"The cluster runs another Ray or Python than this machine ({ray.__version__}): {last_line(said)}",
                f"Install the same on both: pip install 'ray=={ray.__version__}'.",
            ) from error
        hint = (
            "Start one with `ray start --head`, or name its address: --cluster HOST:6379."
            if address == "auto"
            else f"Join this machine to it first: ray start --address={address}. Its token has to be the cluster's "
            f"({TOKEN}), too."
        )
        raise ClusterUnreachable(f"The Ray cluster at {address} does not take us: {last_line(said)}", hint) from error


def deploy(wanted: Mapping[str, Any]) -> Card:
    """Start what `config.read` returned, or change what runs, and wait until it answers.

    Raises BadSettings or NotDeployed.
    """
    from ray import serve

    from realtime.cluster.app import APP

    app = config.built(wanted)
    serve.start(proxy_location="Disabled")
    serve.run_many([serve.RunTarget(target=app, name=APP, route_prefix=None)], wait_for_applications_running=False)
    _until_running()
    return card()


def _until_running() -> None:
    """Tells what replicas wait for; a node that is yet to come may be it. Raises NotDeployed when they fail."""
    from ray import serve

    from realtime.cluster.app import APP

    told = ""
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
            # What became of the deployment before this one may still be told.
            if part.message and part.status != "DEPLOY_FAILED"
        ]
        if waits and (said := " ".join(waits)) != told:
            logger.warning("still waiting, for as long as it takes (Ctrl-C leaves it to the cluster). %s", said)
            told = said
        time.sleep(POLL_S)


def remove() -> None:
    from ray import serve

    from realtime.cluster.app import APP

    serve.delete(APP)


def handles() -> tuple[Any, Any]:
    """Of encoder and Thinker. Raises NotDeployed."""
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
    """How many run, by deployment. Raises NotDeployed."""
    handles()
    from ray import serve

    from realtime.cluster.app import APP

    found = serve.status().applications[APP].deployments
    return {name: int(part.replica_states.get("RUNNING", 0)) for name, part in found.items()}


def card() -> Card:
    """What is deployed. Raises NotDeployed, or ClusterMismatch when it is another version."""
    _, thinker = handles()
    try:
        found = thinker.card.remote().result(timeout_s=CARD_S)
    except TimeoutError as error:
        raise NotDeployed(
            f"No Thinker replica has answered for {CARD_S:.0f} s.",
            "`python -m realtime.cluster status` says why they do not start.",
        ) from error
    # What does not unpickle into our records is another version's.
    except (AttributeError, ImportError, TypeError) as error:
        raise _other_version("an unknown one") from error
    if not isinstance(found, Card) or found.schema != SCHEMA:
        raise _other_version(getattr(found, "version", "an unknown one"))
    return found


def _other_version(theirs: str) -> ClusterMismatch:
    return ClusterMismatch(
        f"The cluster's deployment is EmoThinker {theirs} with other messages than this one ({own_version()}).",
        "Install the same version everywhere, then `python -m realtime.cluster deploy` again.",
    )


def check_model(found: Card, *, model: str, adapter: str, fingerprint: str | None) -> None:
    """Raises ClusterMismatch when the deployment is not what was asked for; `fingerprint`: of the files here."""
    if found.model != model:
        raise ClusterMismatch(
            f"The cluster serves {found.model}, asked for was {model}.",
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
    """What happened and its cause: between them Serve has the replica's traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line[:400] for line in lines[:: max(1, len(lines) - 1)])


def last_line(text: str) -> str:
    """The last line that says something: Ray's messages are long and end with the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]
