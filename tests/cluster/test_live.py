"""Sessions on a real Ray: two nodes in one machine, nano deployed by the file in the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

from realtime.cluster import connect
from realtime.cluster.engine import RayEngine, started
from realtime.engine import loading
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.errors import BadModel, ClusterMismatch
from realtime.observe.metrics import Metrics
from realtime.records import Label, Question, ReasonDone, SpeechSegment, Window
from realtime.roles import EngineClient
from realtime.settings import ModelSettings
from tests.cluster.live import PATIENCE_S
from tests.cluster.nodes import ROOT
from tests.scripted import picture

pytestmark = pytest.mark.timeout(900)


def test_another_ray_is_refused_by_name(deployed: str) -> None:
    """The check is Ray's own: a driver that says it is of another release."""
    program = (
        "import ray, sys; ray.__version__ = '2.50.0'\n"
        "from realtime.cluster import __main__ as command\n"
        f"sys.exit(command.main(['status', '--address', {deployed!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=ROOT,
    )
    assert done.returncode == 8, done.stderr
    assert "pip install 'ray==" in done.stderr


async def test_what_is_deployed_is_checked_before_any_session(deployed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterMismatch, match="serves nano, not other"):
        async with started(deployed, ModelSettings(name="other"), metrics=Metrics(), sessions=1):
            pass
    with pytest.raises(ClusterMismatch, match="no adapter 'mine'"):
        async with started(deployed, ModelSettings(adapter=Path("mine")), metrics=Metrics(), sessions=1):
            pass
    monkeypatch.setattr(connect, "SCHEMA", "another")
    with pytest.raises(ClusterMismatch, match="other messages"):
        async with started(deployed, ModelSettings(), metrics=Metrics(), sessions=1):
            pass


async def concluded(client: EngineClient) -> tuple[Label, ReasonDone]:
    noise = np.random.default_rng(0)
    frames = [await client.see(picture(float(at_s))) for at_s in range(3)]
    sound = (0.1 * noise.standard_normal(24_000)).astype(np.float32)
    heard = await client.hear(SpeechSegment(0.5, 2.0, sound))
    window = Window(0, 0.0, 3.0, tuple(frames), (heard,))
    label = await client.fast_label(window, Question())
    last = [step async for step in client.reason(window, Question())][-1]
    assert isinstance(last, ReasonDone)
    return label, last


async def test_a_session_on_the_cluster_hears_what_it_would_hear_here(engine: RayEngine) -> None:
    assert engine.model.name == "nano"
    with pytest.raises(BadModel, match="no adapter"):
        await engine.use(Path("mine"))
    there = await engine.open(7, Question())
    with ModelWorker() as worker:
        here = await LocalEngine(loading.load("nano", engine="torch"), worker).open(7, Question())
        expected, written = await concluded(here)
        here.close()
    label, chain = await concluded(there)
    there.close()
    assert label.label == expected.label
    for name, share in expected.probabilities.items():
        assert label.probabilities[name] == pytest.approx(share, abs=1e-3)
    assert chain.sections == written.sections
