"""A Ray cluster of two nodes in one machine, killed in parts by the tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.cluster.nodes import environment, two_nodes

# Read as Ray is imported, which some tests do at once.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """Two nodes of two cores, as far as Ray knows."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        with two_nodes() as nodes:
            yield nodes


@pytest.fixture(scope="package")
def deployed(cluster: Any) -> str:
    """The address of the cluster with nano on it, by the file in the repository."""
    from realtime.cluster import config, connect
    from realtime.errors import NotDeployed

    connect.join(cluster.address)
    # What is said of a cluster without us can only be looked at before we are there.
    with pytest.raises(NotDeployed, match="not deployed"):
        connect.manifest()
    connect.deploy(config.read(None, {}))
    return str(cluster.address)


@pytest.fixture
async def engine(deployed: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    from realtime.cluster import remote
    from realtime.cluster.engine import started
    from realtime.observe.metrics import Metrics
    from realtime.settings import ModelSettings
    from tests.cluster.live import PATIENCE_S

    # A replica that died is known at once; these are for one that hangs, which a busy machine should not look like.
    monkeypatch.setattr(remote, "ENCODE_S", PATIENCE_S / 3)
    monkeypatch.setattr(remote, "LABEL_S", PATIENCE_S / 3)
    async with started(deployed, ModelSettings(), metrics=Metrics(), sessions=4) as engine:
        yield engine
