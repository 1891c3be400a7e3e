"""Reads a Serve config, checks it against Serve's own schema, and builds the application.

Every mistake in it is reported here by name. Serve itself ignores settings that it does not know, and waits without an
end for a share of a GPU that no node can give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings

FILE = Path(__file__).with_name("serve.yaml")
BEGIN = f"Begin with {FILE}."
OURS = "realtime.cluster"


def read(path: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Our application in the config at `path`, with `overrides` among its arguments. Raises BadSettings."""
    import yaml
    from ray.serve.config import AutoscalingConfig
    from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

    path = path or FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        ServeDeploySchema.model_validate(content)
        known("the file", content, ServeDeploySchema.model_fields)
        application = next(app for app in content["applications"] if OURS in app["import_path"])
        known("the application", application, ServeApplicationSchema.model_fields)
        for item in application.get("deployments") or []:
            known(item["name"], item, DeploymentSchema.model_fields)
            # The schema takes any mapping here, and Serve's own check of it is not reported to us.
            if isinstance(scaling := item.get("autoscaling_config"), Mapping):
                known(f"{item['name']}.autoscaling_config", scaling, AutoscalingConfig.model_fields)
                AutoscalingConfig.model_validate(scaling)
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", "Check the path given with --file.") from error
    except StopIteration:
        raise BadSettings(f"{path} has no application of ours.", BEGIN) from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise BadSettings(f"{path} is not a Serve config: {reason(error)}.", BEGIN) from error
    args = application.setdefault("args", {})
    args.update({name: value for name, value in overrides.items() if value is not None})
    return dict(application)


def built(wanted: Mapping[str, Any]) -> Any:
    """Build the Serve application of a config that `read` returned. Raises BadSettings."""
    from realtime.cluster.app import application

    deployments = wanted.get("deployments") or []
    try:
        for item in deployments:
            check_gpus(item, wanted["args"].get("device", "cpu"))
        options = {
            item["name"]: {name: value for name, value in item.items() if name != "name"} for item in deployments
        }
        return application(wanted["args"], options)
    except (ValueError, TypeError) as error:
        raise BadSettings(f"The Serve config does not fit: {reason(error)}.", BEGIN) from error


def check_gpus(deployment: Mapping[str, Any], device: str) -> None:
    """Raises ValueError for a share of GPUs that Ray never places, and for no share where the device is cuda."""
    name, share = deployment["name"], (deployment.get("ray_actor_options") or {}).get("num_gpus", 0)
    if share > 1 and share != int(share):
        raise ValueError(f"{name} cannot have {share:g} GPUs, only a share of one or several whole ones")
    if device == "cuda" and not share:
        raise ValueError(f"{name} is to run on cuda and has no share of a GPU (num_gpus in its ray_actor_options)")


def known(where: str, given: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Raises ValueError if `given` has a name that is not among `fields`."""
    if stray := sorted(set(given) - set(fields)):
        raise ValueError(f"there is no setting {stray[0]} of {where}; there are {', '.join(sorted(fields))}")


def reason(error: Exception) -> str:
    """What is wrong and where, in one line."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg'].removeprefix('Value error, ')}".lstrip(": ").rstrip(".!")
    return " ".join(str(error).split())[:300].rstrip(".")
