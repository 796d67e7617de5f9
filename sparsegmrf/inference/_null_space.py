"""Whether observations fix what an intrinsic field leaves free."""

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference.observation import ObservationOperator
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.typing import BoolArray

_IDENTIFIED = 1e-10
"""Smallest eigenvalue of ``V_o^T V_o`` at which the observed pixels are taken to fix the null space ``V``."""


def check_null_space_observed(gmrf: IntrinsicGMRF, observed: BoolArray, B: ObservationOperator | None = None) -> None:
    """Refuse observations under which a direction of the null space stays unknown."""
    V = gmrf._null.vectors
    if B is not None:
        matrix = B.tocsr(gmrf.shape)
        V = (matrix / float(abs(matrix).sum(axis=1).max())) @ V
    seen = V[np.flatnonzero(observed)]
    smallest = np.linalg.eigvalsh((seen.T @ seen).toarray())[0] if gmrf.rank_deficiency else 1.0
    if smallest < _IDENTIFIED:
        raise ArgumentError(
            f"mask must leave enough observed pixels to fix the {gmrf.rank_deficiency} null vectors of the field (its "
            f"level on every connected part), but {int(np.count_nonzero(observed))} observed pixels do not; use a "
            "proper field, or leave out the parts without observations."
        )
