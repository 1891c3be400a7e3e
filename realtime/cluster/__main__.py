"""Encoders and Thinkers on a Ray cluster.

    python -m realtime.cluster deploy [--address A] [--model M] [--adapter NAME=FOLDER …] [--weights W] [--file F]
    python -m realtime.cluster status [--address A]
    python -m realtime.cluster remove [--address A]
    python -m realtime.cluster measure --address A [--kill]                compare it with the local engine
    python -m realtime.cluster check --address A [--sessions N]            compare the simulator with a real run
    python -m realtime.cluster simulate BENCH.json [--sessions N …]        size a cluster for that many sessions

`realtime serve --cluster ADDRESS` serves sessions with it. Exit codes are those of `realtime`; 8 is an error of the
cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from realtime.cluster import config, connect
from realtime.errors import BadSettings, RealtimeError


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return int(options.run(options))
    except RealtimeError as error:
        print(f"realtime.cluster: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"                  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m realtime.cluster", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--address", default="auto", help="HOST:PORT of the cluster (default: the one on this machine)")

    deploy = commands.add_parser("deploy", parents=[where], help="start or change the deployments")
    deploy.add_argument("--file", type=Path, metavar="FILE.yaml", help="a Serve config; start from serve.yaml")
    deploy.add_argument("--model", help="nano, small, a Hugging Face id, or a folder that every node sees")
    deploy.add_argument(
        "--adapter", action="append", default=[], metavar="NAME=FOLDER", help="a LoRA adapter on the same backbone"
    )
    deploy.add_argument("--device", choices=("cpu", "cuda"), help="what the replicas run on")
    deploy.add_argument(
        "--weights", choices=("full", "int8", "int4"), help="what the language model's weights are kept in"
    )
    deploy.set_defaults(run=_deploy)

    status = commands.add_parser(
        "status", parents=[where], help="show what is deployed, its replicas, and what they wait for"
    )
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=_status)

    remove = commands.add_parser("remove", parents=[where], help="end the deployments; Ray itself goes on")
    remove.set_defaults(run=_remove)

    measure = commands.add_parser(
        "measure", parents=[where], help="measure what the cluster adds to a label and what it saves"
    )
    measure.add_argument("--model", default="nano", help="the deployed model (default: nano)")
    measure.add_argument("--windows", type=int, default=60, metavar="N", help="labels per engine (default: 60)")
    measure.add_argument(
        "--kill", action="store_true", help="also kill a Thinker replica; for a cluster on this machine only"
    )
    measure.set_defaults(run=_measure)

    check = commands.add_parser("check", parents=[where], help="compare the simulator with a real run")
    check.add_argument("--model", default="nano", help="the deployed model (default: nano)")
    check.add_argument("--sessions", type=int, default=3, metavar="N", help="sessions at once (default: 3)")
    check.add_argument("--seconds", type=float, default=60.0, help="length of each session (default: 60)")
    check.set_defaults(run=_check)

    from realtime.cluster.sizing import plan

    plan.add_arguments(commands.add_parser("simulate", help="nodes, lag and cost of a cluster, by simulation"))
    return parser


def _deploy(options: argparse.Namespace) -> int:
    connect.join(options.address)
    wanted = config.read(
        options.file,
        {
            "model": options.model,
            "device": options.device,
            "weights": options.weights,
            "adapters": _adapters(options.adapter) or None,
        },
    )
    manifest = connect.deploy(wanted)
    adapters = ", ".join(name for name in manifest.adapters if name) or "none"
    print(f"Deployed {manifest.model} ({manifest.fingerprint}), adapters: {adapters}.")
    print(f"Serve sessions with: realtime serve --cluster {options.address} --model {manifest.model}")
    return 0


def _adapters(given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for item in given:
        name, equals, folder = item.partition("=")
        if not equals or not name.isidentifier():
            raise BadSettings(f"--adapter {item} is not NAME=FOLDER.", "NAME may have letters, digits and underscores.")
        if not Path(folder).expanduser().is_dir():
            raise BadSettings(f"{folder} is not a folder.", "Name the adapter's folder as every node sees it.")
        pairs[name] = str(Path(folder).expanduser().resolve())
    return pairs


def _status(options: argparse.Namespace) -> int:
    connect.join(options.address)
    state = status()
    if options.json:
        print(json.dumps(state, indent=1))
        return 0 if state["application"] == "RUNNING" else 1
    print(f"application  {state['application']} {state['message']}".rstrip())
    for name, part in state["deployments"].items():
        replicas = ", ".join(f"{count} {kind.lower()}" for kind, count in part["replicas"].items()) or "no replicas"
        print(f"{name:<12} {part['status']}: {replicas} {connect.first_and_last(part['message'])}".rstrip())
    if state["application"] == "RUNNING":
        manifest = connect.manifest()
        print(f"model        {manifest.model} ({manifest.fingerprint}), EmoThinker {manifest.version}")
        print(f"adapters     {', '.join(name for name in manifest.adapters if name) or 'none'}")
    return 0 if state["application"] == "RUNNING" else 1


def status() -> dict[str, Any]:
    """Serve's status of our application. Raises NotDeployed."""
    connect.handles()
    from ray import serve

    from realtime.cluster.app import APP

    found = serve.status().applications[APP]
    return {
        "application": str(found.status.value),
        "message": found.message,
        "deployments": {
            name: {
                "status": str(part.status.value),
                "replicas": {str(kind): count for kind, count in part.replica_states.items()},
                "message": part.message,
            }
            for name, part in found.deployments.items()
        },
    }


def _measure(options: argparse.Namespace) -> int:
    connect.need_ray()
    from realtime.cluster.sizing.measure import measure, reached

    figures = asyncio.run(measure(options.address, options.model, windows=options.windows, kills=options.kill))
    print(json.dumps(figures))
    return 0 if reached(figures) else 1


def _check(options: argparse.Namespace) -> int:
    connect.need_ray()
    from realtime.cluster.sizing.check import check, near

    figures = asyncio.run(check(options.address, options.model, sessions=options.sessions, seconds=options.seconds))
    print(json.dumps(figures))
    return 0 if near(figures) else 1


def _remove(options: argparse.Namespace) -> int:
    connect.join(options.address)
    connect.handles()
    connect.remove()
    print("Removed. Ray itself still runs; `ray stop` ends it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
