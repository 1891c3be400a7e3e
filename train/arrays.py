"""Types of the arrays in signatures, beside those of `realtime.records`."""

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
"Of a kind that the file decides that it was read from."
Floats = npt.NDArray[np.floating[Any]]
"In any precision."
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
