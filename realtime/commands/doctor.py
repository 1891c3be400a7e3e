"""`realtime doctor`: prints what this machine can do, and for each thing that is missing the command that fixes it."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from realtime.commands.machine import usable_cores
from realtime.errors import RealtimeError
from realtime.outputs import exists
from realtime.settings import Settings

IN_A_CHECKOUT = (Path(__file__).parents[2] / "Makefile").is_file()
SET_UP = "make serve" if IN_A_CHECKOUT else "pip install --force-reinstall emothinker"
PACKAGES = ("torch", "onnxruntime", "aiortc", "av", "webrtcvad", "swift_f0", "tokenizers", "safetensors")
MIN_FREE_GB = 1.0
"Room for an export of nano's towers and for logs."
TENSORRT = {
    "TensorRT": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "TensorRT-RTX": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
}
"The packages that either comes in."
DECODERS = ("opus", "vp8", "h264")
DEVICES = Path("/dev")
"Where Linux has its cameras."


@dataclass(frozen=True)
class Finding:
    subject: str
    fine: bool
    detail: str
    fix: str = ""
    needed: bool = True
    "Whether nothing works without it. Without the others the program is slower or does less."


def examine(settings: Settings) -> int:
    """Print every finding as it is made. Returns the exit code: 0 if everything needed is there."""
    n_broken = 0
    for finding in _findings(settings):
        mark = "ok     " if finding.fine else "MISSING" if finding.needed else "without"
        print(f"{mark}  {finding.subject:<10} {finding.detail}", flush=True)
        if not finding.fine:
            print(f"{'':<20} {finding.fix}", flush=True)
            n_broken += finding.needed
    return int(n_broken > 0)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding(
        "python", sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3])), "uv python install 3.12"
    )
    missing = [finding for finding in map(_package, PACKAGES) if not finding.fine]
    yield from missing
    if missing:
        return
    yield Finding("packages", True, ", ".join(PACKAGES))
    yield Finding("numpy", True, version("numpy"))
    yield _machine()
    yield _gpu()
    yield _tensorrt()
    yield _onnx()
    yield _codecs()
    yield _faces(settings)
    yield _model(settings)
    yield _page()
    yield _port(settings)
    yield _udp()
    yield _camera(settings)
    yield _disk()


def _package(name: str) -> Finding:
    try:
        importlib.import_module(name)
    # A package can be installed and still not load, if a driver or a shared library of the system is missing.
    except (ImportError, OSError) as error:
        return Finding(name, False, str(error), SET_UP)
    return Finding(name, True, "")


def _machine() -> Finding:
    n_cores = usable_cores()
    # Windows has no sysconf, and nothing of the standard library tells its memory.
    known = hasattr(os, "sysconf")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if known else 0.0
    return Finding(
        "machine",
        n_cores >= 2 and (memory_gb >= 3 or not known),
        f"{n_cores} cores, {memory_gb:.0f} GB" if known else f"{n_cores} cores",
        "nano keeps up in real time with 2 cores and 3 GB; slower machines skip frames and say so.",
        needed=False,
    )


def _gpu() -> Finding:
    import torch

    from realtime.engine import gpu

    why = gpu.fault()
    if why is None:
        return Finding("gpu", True, torch.cuda.get_device_name())
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        fix = "make serve TORCH=cuda" if IN_A_CHECKOUT else "pip install --force-reinstall torch"
        return Finding("gpu", False, "an NVIDIA driver is here, but torch is its build for the CPU", fix, needed=False)
    if why != gpu.NO_GPU:
        fix = "Update the NVIDIA driver, or install a build of torch for this GPU: https://pytorch.org/get-started"
        return Finding("gpu", False, why.rstrip("."), fix, needed=False)
    return Finding("gpu", False, "no NVIDIA GPU", "Not needed for nano; the 3B and 7B models want one.", needed=False)


def _tensorrt() -> Finding:
    import torch

    found = [f"{name} {kept}" for name, packages in TENSORRT.items() if (kept := _first_version(packages))]
    missing = [name for name, packages in TENSORRT.items() if not _first_version(packages)]
    there = ", ".join(found) or "neither TensorRT nor TensorRT-RTX is installed"
    if not torch.cuda.is_available():
        return Finding("tensorrt", True, f"{there}; without an NVIDIA GPU they only compile for another machine")
    absent = f"; {missing[0]} is not installed" if found and missing else ""
    return Finding("tensorrt", bool(found), there + absent, "pip install 'emothinker[trt]'", needed=False)


def _first_version(packages: tuple[str, ...]) -> str:
    """The version of the first of these packages that is installed, or nothing."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def _codecs() -> Finding:
    import av

    missing = [name for name in DECODERS if name not in av.codecs_available]
    detail = f"PyAV lacks {', '.join(missing)}" if missing else ", ".join(DECODERS)
    return Finding("codecs", not missing, detail, "pip install --force-reinstall --only-binary av av")


def _faces(settings: Settings) -> Finding:
    from realtime.evidence.face_engines.choice import INSTALL, start

    try:
        engine = start(settings.faces.engine)
    except RealtimeError as error:
        return Finding("faces", False, error.message, INSTALL)
    if type(engine).__name__ == "OnnxFaces":
        return Finding("faces", True, "MediaPipe's models on ONNX Runtime")
    return Finding("faces", True, f"MediaPipe {version('mediapipe')}")


def _model(settings: Settings) -> Finding:
    from realtime.engine.loading import load

    wanted = settings.model
    try:
        model = load(
            wanted.name,
            adapter=wanted.adapter,
            engine=wanted.engine,
            engine_dir=wanted.engine_dir,
            device=wanted.device,
            weights=wanted.weights,
        )
    except RealtimeError as error:
        return Finding("model", False, error.message, error.hint)
    return Finding("model", True, f"{model.name}, {model.runtime_reason}")


def _onnx() -> Finding:
    import onnxruntime

    # Ours all run on the CPU. Every package has one that calls a cloud, too, which is no news of this machine.
    others = [
        name.removesuffix("ExecutionProvider")
        for name in onnxruntime.get_available_providers()
        if name not in ("CPUExecutionProvider", "AzureExecutionProvider")
    ]
    idle = f"; {', '.join(others)} would be there, and nothing of ours uses it" if others else ""
    return Finding("onnx", True, f"onnxruntime {onnxruntime.__version__} on CPU{idle}")


def _page() -> Finding:
    from realtime.serve.page_build import PAGES, WEB, not_ours

    wrong = not_ours()
    return Finding(
        "page", not wrong, wrong or "built", SET_UP, needed=not any((WEB / name).is_file() for name in PAGES)
    )


def _port(settings: Settings) -> Finding:
    from realtime.serve.hosting import listen

    host, port = settings.server.host, settings.server.port
    try:
        listen(host, port).close()
    except RealtimeError as error:
        return Finding("port", False, error.message, "realtime serve --port 0", needed=False)
    return Finding("port", True, f"{host}:{port} is free")


def _udp() -> Finding:
    """WebRTC's media arrive on UDP ports that the system chooses."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
            media.bind(("", 0))
    except OSError as error:
        return Finding("udp", False, f"no UDP port can be opened: {error.strerror}", "ulimit -n 4096")
    return Finding("udp", True, "ports for media can be opened")


def _camera(settings: Settings) -> Finding:
    """The cameras of this machine, on Linux, where their permissions are a common trap; and how to open the page.

    Browsers give cameras and microphones to pages of localhost and of https only.
    """
    if settings.server.loopback:
        page = f"open the page as http://localhost:{settings.server.port}; another name needs https"
    else:
        page = "the page is served over https; accept its certificate once, or browsers give no camera"
    if not sys.platform.startswith("linux"):
        return Finding("camera", True, page)
    devices = sorted(DEVICES.glob("video[0-9]*"))
    locked = [str(device) for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if not devices:
        # So it is on a server, where the camera is that of whoever opens the page.
        return Finding("camera", True, f"no camera device here, the page uses the browser's; {page}")
    if locked:
        detail = f"this user may not open {', '.join(locked)}; browsers on this machine see no camera then"
        return Finding("camera", False, detail, 'sudo usermod -aG video "$USER"   # then log in again', needed=False)
    return Finding("camera", True, f"{', '.join(map(str, devices))}; {page}")


def _disk() -> Finding:
    from realtime.towers.artifact import cache_root

    folder = cache_root()
    fix = "export XDG_CACHE_HOME=/a/folder/on/another/disk"
    try:
        there = next(path for path in (folder, *folder.parents) if exists(path))
        # Only writing shows whether it can be written: root may do so by its permissions even under /proc.
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there):
            free_gb = shutil.disk_usage(there).free / 1e9
    except OSError as error:
        detail = (
            f"{folder} can't be written ({error.strerror}), so `small`, exports and models of the hub can't be kept"
        )
        return Finding("disk", False, detail, fix, needed=False)
    return Finding("disk", free_gb >= MIN_FREE_GB, f"{free_gb:.0f} GB free at {there}", fix, needed=False)
