"""A corpus annotated on a real Ray while its workers are killed: one record per clip, whatever was done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cluster.nodes import processes, wait
from tests.ingest.media_files import room, voice, write_clip
from train import annotate

pytestmark = [
    pytest.mark.timeout(900),
    # Ray Data's own, of its own settings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
N_CLIPS = 12
PATIENCE_S = 150.0


@pytest.fixture(autouse=True)
def _leaves_the_cluster() -> Iterator[None]:
    """The command ends with its process; here it must not stay connected for the tests after it."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    sound = np.concatenate([room(0.2), voice(0.4), room(0.2)])
    names = [f"{index}.mp4" for index in range(N_CLIPS)]
    for name in names[:-1]:
        write_clip(path / name, pictures_s=[0.0, 0.3, 0.6], sound_N=sound)
    (path / names[-1]).write_bytes(b"no clip")
    (path / "labels.csv").write_text("file,label\n" + "".join(f"{name},neutral\n" for name in names))
    return path


def records(out: Path) -> list[dict[str, Any]]:
    path = out / "records.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def test_two_killed_workers_cost_no_record_and_make_none_twice(cluster: Any, clips: Path, tmp_path: Path) -> None:
    def run() -> int:
        flags = ["--ray", cluster.address, "--workers", "2", "--batch", "1"]
        return annotate.annotate(annotate.parser().parse_args([str(clips), str(tmp_path), *flags]))

    with ThreadPoolExecutor(1) as other:
        done = other.submit(run)
        for n_there, kind in ((1, "Measure"), (3, "Annotate")):
            wait(lambda n_there=n_there: done.done() or len(records(tmp_path)) >= n_there, PATIENCE_S)  # type: ignore[misc]
            assert not done.done(), done.result()
            assert wait(lambda kind=kind: processes(f"({kind})"), PATIENCE_S)  # type: ignore[misc]
            processes(f"({kind})")[0].kill()
        assert done.result(timeout=PATIENCE_S) == 0
    made = records(tmp_path)
    assert sorted(record["key"] for record in made) == sorted(f"{index}.mp4" for index in range(N_CLIPS))
    assert [record["key"] for record in made if record["status"] == "failed"] == [f"{N_CLIPS - 1}.mp4"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["this_run"]["cluster"]["clips_per_s"] > 0
    # Nothing is left to do, and nothing is done again.
    assert run() == 0
    assert len(records(tmp_path)) == N_CLIPS
