"""A model of another method is exported like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import onnx, parity
from realtime.engine.loading import load
from realtime.model import checkpoint
from realtime.records import FrameEvidence, SpeechEvidence, SpeechSegment, UInt8, VideoFrame
from realtime.towers import artifact
from realtime.towers.artifact import Artifact, EngineMismatch
from tests.ingest.media_files import voice
from tests.model.taught import TaughtMethod, adapter_of

pytestmark = pytest.mark.slow


def exported(method: TaughtMethod, folder: Path) -> tuple[Path, Artifact]:
    """An adapter of `method`, and the export of nano with it."""
    adapter = adapter_of(method, folder / "adapter")
    made = onnx.export(checkpoint.NANO, folder / "exports", name="nano", precision="fp32", opset=20, adapter=adapter)
    return adapter, made


def perceived(
    adapter: Path | None, engine: str, folder: Path, portrait: UInt8
) -> tuple[list[FrameEvidence], SpeechEvidence]:
    """What a model that is served so makes of four pictures and a voice."""
    served = load("nano", adapter=adapter, engine=engine, engine_dir=folder / "exports")
    assert served.runtime_reason.startswith(engine)
    perception = served.perceiver(seed=3)
    seen = [perception.see(VideoFrame(float(at), portrait ^ np.uint8(32 * at))) for at in range(4)]
    heard = perception.hear(SpeechSegment(0.0, 1.0, voice(1.0)))
    perception.close()
    return seen, heard


@pytest.mark.parametrize("method", ["adaptive", "hybrid"])
def test_it_equals_torch_tells_the_spread_and_is_of_this_adapter_alone(
    portrait: UInt8, tmp_path: Path, method: TaughtMethod
) -> None:
    """The share of background follows the content in both."""
    adapter, made = exported(method, tmp_path)
    assert made.source_sha256 != artifact.source_sha256(checkpoint.NANO)
    figures, fine = parity.check(made, "nano", adapter=adapter)
    assert fine, figures
    assert figures["spread"]["cases"] > 0
    with pytest.raises(EngineMismatch):
        parity.check(made, "nano")
    counts = [
        [frame.counts for frame in perceived(adapter, engine, tmp_path, portrait)[0]] for engine in ("torch", "onnx")
    ]
    assert counts[0] == counts[1]
    assert len({one.dropped for one in counts[0]}) > 1


@pytest.mark.parametrize("method", ["emochat", "emochat with words"])
def test_an_emochat_equals_torch_up_to_the_tokens_that_its_parts_add(
    portrait: UInt8, tmp_path: Path, method: TaughtMethod
) -> None:
    """They are added after the towers, so that an export has to leave them what they read."""
    adapter, made = exported(method, tmp_path)
    figures, fine = parity.check(made, "nano", adapter=adapter)
    assert fine, figures
    torch_seen, torch_heard = perceived(adapter, "torch", tmp_path, portrait)
    onnx_seen, onnx_heard = perceived(adapter, "onnx", tmp_path, portrait)
    plain_seen, plain_heard = perceived(None, "torch", tmp_path, portrait)
    tokens = [
        [frame.tokens_ND for frame in seen] + [heard.tokens_ND]
        for seen, heard in ((torch_seen, torch_heard), (onnx_seen, onnx_heard), (plain_seen, plain_heard))
    ]
    for ours, theirs, plain in zip(*tokens, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
        assert not np.allclose(ours[-1], plain[-1], rtol=1e-2, atol=1e-2)
