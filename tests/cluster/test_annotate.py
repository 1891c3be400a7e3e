"""A corpus annotated on a real Ray while its workers are killed: one record per clip, whatever was done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.cluster import connect
from realtime.errors import BadSettings
from tests.cluster.nodes import processes, wait
from tests.ingest.media_files import room, voice, write_clip
from train import annotate

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'emothinker[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")

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


@contextmanager
def others_leave(cpus: float) -> Iterator[None]:
    """Of each node's cores, others hold all but so many."""
    import ray
    from ray._private.state import available_resources_per_node
    from ray.util import placement_group, remove_placement_group

    free = [node.get("CPU", 0.0) for node in available_resources_per_node().values()]
    held = placement_group([{"CPU": round(each - cpus, 3)} for each in free], strategy="STRICT_SPREAD")
    assert held.wait(PATIENCE_S)
    try:
        assert ray.available_resources()["CPU"] == pytest.approx(len(free) * cpus)
        yield
    finally:
        remove_placement_group(held)


def test_parquet_is_annotated_part_by_part_where_no_node_has_a_whole_core(
    cluster: Any, clips: Path, tmp_path: Path
) -> None:
    """Recordings in the table itself; a second part comes later, with a stretch of a clip that is there as a whole."""
    table, out = tmp_path / "table", tmp_path / "out"
    table.mkdir()

    def part(name: str, *rows: tuple[str, float | None, float | None]) -> None:
        columns = {
            "file": [file for file, _, _ in rows],
            "label": ["Neutral"] * len(rows),
            "start_s": pa.array([start_s for _, start_s, _ in rows], pa.float64()),
            "end_s": pa.array([end_s for _, _, end_s in rows], pa.float64()),
            "bytes": [(clips / file).read_bytes() for file, _, _ in rows],
        }
        parquet.write_table(pa.table(columns), table / name)

    def run(*more: str) -> dict[str, Any]:
        flags = ["--ray", cluster.address, "--workers", "1", "--worker-cpus", "0.25", "--batch", "2", *more]
        assert annotate.annotate(annotate.parser().parse_args([str(table), str(out), *flags])) == 0
        return json.loads((out / "summary.json").read_text())["this_run"]  # type: ignore[no-any-return]

    part("0.parquet", ("0.mp4", None, None), ("1.mp4", None, None))
    connect.join(cluster.address)
    with others_leave(0.6):
        assert run("--limit", "1")["done_before"] == 0
        part("1.parquet", ("1.mp4", 0.0, 0.5), (f"{N_CLIPS - 1}.mp4", None, None))
        assert run()["done_before"] == 1
        assert run()["done_before"] == 4
    made = [(record["key"], record["clip"]["label"], record["status"] == "failed") for record in records(out)]
    assert sorted(made) == [
        ("0.mp4", "neutral", False),
        ("1.mp4", "neutral", False),
        ("1.mp4#0-0.5", "neutral", False),
        (f"{N_CLIPS - 1}.mp4", "neutral", True),
    ]


def test_parquet_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    def refused(path: Path, *flags: str) -> str:
        with pytest.raises(BadSettings) as refusal:
            annotate.annotate(annotate.parser().parse_args([str(path), str(tmp_path / "out"), *flags]))
        return refusal.value.message

    assert "There is no" in refused(tmp_path / "gone.parquet", "--ray", "local")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    assert "cannot be read" in refused(tmp_path / "broken.parquet", "--ray", "local")
    parquet.write_table(pa.table({"label": ["sad"]}), tmp_path / "unnamed.parquet")
    assert "row 1 names no file" in refused(tmp_path / "unnamed.parquet")
    parquet.write_table(pa.table({"file": ["a.mp4", "a.mp4"]}), tmp_path / "twice.parquet")
    assert "a.mp4 is there twice" in refused(tmp_path / "twice.parquet")
    parquet.write_table(pa.table({"file": ["a.mp4"], "bytes": [b""]}), tmp_path / "held.parquet")
    assert "Ray's workers read" in refused(tmp_path / "held.parquet")
