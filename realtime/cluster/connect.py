"""Joining a Ray cluster, deploying on it, and looking at what is there: every way this fails has a name and a fix."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from realtime.cluster.environment import TOKEN
from realtime.cluster.wire import SCHEMA, Card
from realtime.errors import BadSettings, ClusterMismatch, ClusterUnreachable, NotDeployed, RayMissing

CONFIG = Path(__file__).with_name("serve.yaml")
CONNECT_S = 3.0
CARD_S = 60.0
INSTALL = "pip install 'emothinker[ray]'"
LOCAL = "local"

logger = logging.getLogger(__name__)


def join(address: str) -> None:
    """Make this process a driver of the cluster at `address`: HOST:PORT, `auto`, or `local` for one of its own.

    Raises RayMissing, ClusterUnreachable or ClusterMismatch.
    """
    try:
        import ray
    except ImportError as error:
        raise RayMissing("Ray is not installed.", f"Install it with `{INSTALL}`.") from error
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address == LOCAL:
        ray.init(include_dashboard=False, **quiet)
        return
    if address != "auto":
        _knock(address)
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


def _knock(address: str) -> None:
    """Whether anything listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BadSettings(f"{address} is no address of a Ray cluster.", "Give HOST:PORT (its port is 6379), or auto.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ClusterUnreachable(
            f"Nothing answers at {address}: {error.strerror or error}.",
            "Check the address, the firewall, and that `ray start --head` runs there.",
        ) from error


def read_config(path: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The Serve config with our arguments in place. Raises BadSettings."""
    import yaml
    from ray.serve.schema import ServeDeploySchema

    path = path or CONFIG
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        ServeDeploySchema.model_validate(content)
        application = next(app for app in content["applications"] if "realtime.cluster" in app["import_path"])
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", "Check the path given with --file.") from error
    except StopIteration:
        raise BadSettings(f"{path} has no application of ours.", f"Begin with {CONFIG}.") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise BadSettings(f"{path} is no Serve config: {last_line(str(error))}", f"Begin with {CONFIG}.") from error
    args = application.setdefault("args", {})
    args.update({name: value for name, value in overrides.items() if value is not None})
    application["args"] = args
    return dict(application)


def deploy(wanted: Mapping[str, Any]) -> Card:
    """Start it, or change what runs, and wait until it answers. Raises BadSettings or NotDeployed."""
    from ray import serve

    from realtime.cluster.app import APP, application

    try:
        options = {
            item["name"]: {name: value for name, value in item.items() if name != "name"}
            for item in wanted.get("deployments") or []
        }
        app = application(wanted["args"], options)
    except ValueError as error:
        raise BadSettings(f"{error}.", f"Begin with {CONFIG}.") from error
    serve.start(proxy_location="Disabled")
    try:
        serve.run(app, name=APP, route_prefix=None)
    except RuntimeError as error:
        raise NotDeployed(
            f"The deployment did not come up: {last_line(str(error))}",
            "`python -m realtime.cluster status` says what each replica waits for; usually CPUs or GPUs that are not "
            "there, or a model that the nodes cannot read.",
        ) from error
    return card()


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


def last_line(text: str) -> str:
    """The last line that says something: Ray's messages are long and end with the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]
