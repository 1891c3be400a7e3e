"""Whether this build of torch can use the GPU, and if not, why: for `realtime doctor` and before a model is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

NO_GPU = "There is no CUDA device here."
NOTHING_THERE = ("no nvidia driver", "not compiled with cuda")
"What torch says where there is no GPU to use, or where it is its build for the CPU."


def fault() -> str | None:
    """Why no GPU can be used, in a sentence; None where one can. A machine without any has `NO_GPU`."""
    if not torch.cuda.is_available():
        return _why_unavailable()
    capability = torch.cuda.get_device_capability()
    built_for = torch.cuda.get_arch_list()
    if built_for and not runs_on(capability, built_for):
        return (
            f"{torch.cuda.get_device_name()} (SM {capability[0]}.{capability[1]}) is not one that torch "
            f"{torch.__version__} was built for ({', '.join(built_for)})."
        )
    return None


def runs_on(capability: tuple[int, int], built_for: Iterable[str]) -> bool:
    """Whether code for one of these (`sm_80`, `compute_90`) runs on a GPU of that compute capability.

    Machine code runs on GPUs of the same major version that are as new or newer; `compute_…` is compiled when loaded,
    for any newer one.
    """
    for name in built_for:
        found = re.match(r"(sm|compute)_(\d+)(\d)", name)
        if found is None:
            continue
        kind, built = found[1], (int(found[2]), int(found[3]))
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return False


def _why_unavailable() -> str:
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        said = " ".join(str(error).split())
        if any(words in said.lower() for words in NOTHING_THERE):
            return NO_GPU
        # The rest of what torch says is where to fetch a driver.
        return f"The GPU cannot be used: {said.split('. ')[0].rstrip('.')}."
    return NO_GPU
