"""Array types used in signatures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:
    Figure = Any  # of matplotlib, which is imported when something is drawn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ArrayLike = npt.ArrayLike
Offset = tuple[int, int]
Offsets = Sequence[Offset] | npt.NDArray[np.int64]
Shape = tuple[int, int]
Boundary = str | tuple[str, str]
Basis = str | tuple[str, str]
Seed = int | np.random.Generator | None
