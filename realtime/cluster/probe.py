"""Checks within seconds whether a Ray head answers at an address. Ray itself would try for minutes."""

from __future__ import annotations

import os
import socket

from realtime.cluster.environment import TOKEN, token
from realtime.errors import BadSettings, ClusterUnreachable

CONNECT_S = 3.0
ANSWER_S = 10.0
"For the answer of a head that listens; on a busy machine it takes a moment."
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"The method that `ray health-check` calls (Ray 2.60)."


def probe_head(address: str) -> None:
    """Raises BadSettings for an address that is not HOST:PORT, and ClusterUnreachable where no head answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise BadSettings(
            f"{address} is not the address of a Ray cluster.", "Give HOST:PORT (its port is 6379), or auto."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ClusterUnreachable(
            f"Nothing answers at {address}: {error.strerror or error}.",
            "Check the address, the firewall, and that `ray start --head` runs there.",
        ) from error
    match _answer(address):
        case "OK" | "OTHER":
            return
        case "UNAUTHENTICATED":
            ours = "holds none" if token() is None else "holds another"
            raise ClusterUnreachable(
                f"The Ray cluster at {address} asks for its token, and this machine {ours}.",
                f"Bring the head's {TOKEN} here, or its content into RAY_AUTH_TOKEN.",
            )
    raise ClusterUnreachable(
        f"What answers at {address} is not the head of a Ray cluster.",
        "Use the port that `ray start --head` printed: 6379, not the dashboard's 8265 nor the client's 10001.",
    )


def _answer(address: str) -> str:
    """The name of the call's gRPC status; OTHER where only Ray itself can find out."""
    import grpc

    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return "OTHER"
    metadata = [("authorization", f"Bearer {ours}")] if (ours := token()) else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(ALIVE)(b"", timeout=ANSWER_S, metadata=metadata)
        except grpc.RpcError as error:
            no_head = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "UNAUTHENTICATED"}
            return str(error.code().name) if error.code().name in no_head else "OTHER"
    return "OK"
