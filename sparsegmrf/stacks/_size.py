"""What a stack takes, in operations and memory, by each way to compute it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import SparseGMRFError
from sparsegmrf.factors.dissection import plan as plan_dissection
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._conjugate import PROBES, together
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._lattice import stencil_of
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stacks._windows import Window
from sparsegmrf.typing import Shape

_SLOWER = 10.0
"""How many times longer an operation of the dissection takes, whose fronts are small."""


@dataclass(frozen=True)
class Size:
    """Unknowns of a pixel, and the model whose reach counts.

    Attributes
    ----------
    n_dates : int
    n_maps : int
        Coefficients of the season.
    model : StackModel
    n_covariates : int
        Of the trend.
    """

    n_dates: int
    n_maps: int
    model: StackModel
    n_covariates: int = 1

    @property
    def n_fields(self) -> int:
        """Fields at every date."""
        return len(self.model.moving)

    @property
    def n_coefficients(self) -> int:
        """Maps that all dates have: of the season, and fields of the model."""
        return self.n_maps + len(self.model.static)

    @property
    def n_unknowns(self) -> int:
        """Unknowns of a pixel."""
        return self.n_fields * self.n_dates + self.n_coefficients

    def sweep_operations(self, pixels: int) -> float:
        """Return the operations of a likelihood with its gradient by the sweep."""
        R, K = self.n_fields, self.n_coefficients
        a_date = 8.0 * R**3 + 5.0 * R * K**2 + 12.0 * R**2 * K
        return float(self.n_dates) * float(pixels) ** 3 * a_date + 2.0 * (K * pixels) ** 3

    def sweep_bytes(self, pixels: int, segment: int | None = None) -> int:
        """Return the memory of the sweep, and of the covariances that it yields.

        `segment` is the number of dates that are kept at a time, all by default; beside them the last of each segment
        is.
        """
        R, K, U = self.n_fields, self.n_coefficients, self.n_dates
        kept = U if segment is None else min(U, segment + -(-U // segment))
        return 8 * pixels**2 * (kept * R * (R + K) + 8 * R**2 + 3 * R * K + 3 * K**2)

    def whole_bytes(self, pixels: int, draws: int = 0) -> int:
        """Return the memory of conjugate gradients on all unknowns, with moments of all pixels, and draws."""
        U, p = self.n_dates, self.n_covariates
        kept = (p + 2 + draws) * self.n_unknowns + (2 * p + 9 + 2 * draws) * U
        return 8 * (self._solver_numbers(pixels, max(p, draws, 1)) + kept * pixels)

    def score_bytes(self, pixels: int) -> int:
        """Return the memory of scores on all unknowns: of draws, with and without observations, and moved images."""
        U, p = self.n_dates, self.n_covariates
        moved = 2 + sum(1 + len(part.model.parameters) for part in self.model.fields) + 2 * (self.n_maps > 0)
        kept = (p + 2 + max(3 * PROBES, 2 * moved)) * self.n_unknowns + (2 * p + 7 + 2 * moved) * U
        return 8 * (self._solver_numbers(pixels, max(PROBES, moved)) + kept * pixels)

    def _solver_numbers(self, pixels: int, count: int) -> int:
        unknowns = self.n_unknowns * pixels
        return 7 * min(count, together(unknowns)) * unknowns + (self.n_fields + 1) * unknowns

    def fit_bytes(self, windows: Sequence[Window]) -> int:
        """Return the memory of the sweeps of some windows, which are kept at a time."""
        return sum(self.sweep_bytes(window.n_pixels) for window in windows)

    def lattice(self, shape: Shape) -> tuple[float, int]:
        """Return operations, in those of the sweep, and memory of the dissection; infinite where it cannot be."""
        U, C = self.n_dates, self.n_unknowns
        small = min(shape[0], 8), min(shape[1], 8)
        try:
            corner = slice(0, small[0]), slice(0, small[1])
            of_c = self.model.coefficients.cropped(*corner).stencil(small)
            own = [part.model.cropped(*corner).stencil(small) for _, part in self.model.moving]
            static = [part.model.cropped(*corner).stencil(small) for _, part in self.model.static]
            weight = np.ones((U, small[0] * small[1]))
            weight[:, ::2] = 2.0
            J = Tridiagonal(np.full(U, 3.0), np.full(U - 1, -1.0))
            maps, basis = (of_c,) * self.n_maps + tuple(static), np.ones((U, self.n_coefficients))
            like = stencil_of(StackPrecision((J,) * len(own), tuple(own), maps, basis, weight))
            found = plan_dissection(shape, like)
        except SparseGMRFError:
            return math.inf, 2**62
        stencils = 8 * shape[0] * shape[1] * C**2 * len(like.offsets) * 4
        return _SLOWER * 6.0 * found.operations, found.peak_bytes + stencils

    def operations_of(self, windows: Sequence[Window]) -> float:
        """Return the operations of the sweep on some windows."""
        return sum(self.sweep_operations(window.n_pixels) for window in windows)


def decay_rate(model: StackModel, shape: Shape) -> float:
    """Return the slowest rate in 1/pixel at which fields that change in time forget along rows and columns, in gaps.

    Waves ``z^j`` along an axis that a precision sends to zero are roots of the sum of its coefficients across the axis,
    a polynomial in ``z``; the rate is the least ``|log |z||``, ``kappa`` of a Matern field.
    """
    rates = [math.inf]
    for _, part in model.moving:
        Q = part.model.stencil(shape)
        usual = [float(np.median(Q.plane(k))) for k in range(len(Q.offsets))]
        for axis in (0, 1):
            steps = Q.offsets[:, axis]
            reach = int(np.abs(steps).max(initial=0))
            polynomial = np.zeros(2 * reach + 1)
            for k, (step, weight) in enumerate(zip(steps.tolist(), usual, strict=True)):
                polynomial[reach + step] += weight
                polynomial[reach - step] += weight if k else 0.0
            sizes = np.abs(np.roots(polynomial))
            rates.append(float(np.abs(np.log(sizes[sizes > 0.0])).min(initial=math.inf)))
    return min(rates)
