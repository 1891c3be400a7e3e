"""Whether a Ray head answers at an address, told within seconds: Ray itself would try for minutes."""

from __future__ import annotations

import os
import socket

from realtime.cluster.environment import TOKEN, token
from realtime.errors import BadSettings, ClusterUnreachable

CONNECT_S = 3.0
ANSWER_S = 10.0
"For a head that listens; one on a busy machine takes a moment."
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"What `ray health-check` asks (Ray 2.60)."


def knock(address: str) -> None:
    """Raises BadSettings for what is no HOST:PORT, ClusterUnreachable where no head answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise BadSettings(f"{address} is no address of a Ray cluster.", "Give HOST:PORT (its port is 6379), or auto.")
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
        f"What answers at {address} is no head of a Ray cluster.",
        "Name the port that `ray start --head` told: 6379, not the dashboard's 8265 nor the client's 10001.",
    )


def _answer(address: str) -> str:
    """The name of its gRPC status; OTHER where it is Ray's to find out."""
    import grpc

    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return "OTHER"
    shown = [("authorization", f"Bearer {ours}")] if (ours := token()) else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(ALIVE)(b"", timeout=ANSWER_S, metadata=shown)
        except grpc.RpcError as error:
            no_head = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "UNAUTHENTICATED"}
            return str(error.code().name) if error.code().name in no_head else "OTHER"
    return "OK"
