"""Which process runs which tests, where several share the work (`--numprocesses`)."""

from __future__ import annotations

import pytest

FOLDERS = ("tests/cluster/", "tests/export/")
"Their files share what is dear to make: a Ray cluster, exported towers. One process makes it and runs them all."
LONGEST = (
    *reversed(FOLDERS),
    "tests/train/test_tuning.py",
    "tests/train/test_compose.py",
    "tests/model/test_backbone.py",
    "tests/load/test_faults.py",
    "tests/serve/test_app.py",
    "tests/ingest/test_webrtc.py",
    "tests/emothinker/test_sessions.py",
)
"""Ten seconds and more each, longest first: they compute, or their peers send in real time. The last of them to begin
would keep one process busy while others wait."""


def unit_of_work(nodeid: str) -> str:
    """What one process runs without a pause: a file, or all files of a folder."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in FOLDERS if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """`--dist loadfile` with such units: the longest first, then, as xdist does it, those with the most tests."""
    from xdist.scheduler import LoadFileScheduling
    from xdist.workermanage import WorkerController

    class LoadSharing(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit_of_work(nodeid)

        def _assign_work_unit(self, node: WorkerController) -> None:
            if waiting := [unit for unit in LONGEST if unit in self.workqueue]:
                self.workqueue.move_to_end(waiting[0], last=False)
            super()._assign_work_unit(node)

    return LoadSharing(config, log) if config.getvalue("dist") == "loadfile" else None
