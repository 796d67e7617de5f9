"""Simultaneous autoregressions."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sparsegmrf._edges import has
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity
from sparsegmrf.models._ends import end_of_interaction, end_of_scale
from sparsegmrf.models._interaction import InteractionModel
from sparsegmrf.models._neighbourhood import Neighbourhood
from sparsegmrf.models._rows import powers_of_shifted, rows_of_polynomial, scaled_rows
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import product, triple_product
from sparsegmrf.stencil.rows import Rows, dominant_rows
from sparsegmrf.typing import Boundary, IntArray, Offsets, Shape


@dataclass(frozen=True, eq=False)
class SAR(InteractionModel):
    """Simultaneous autoregression ``x = rho W x + e / sqrt(tau)``: ``Q = tau (I - rho W)^T (I - rho W)``.

    Parameters
    ----------
    rho : float or sequence of float, optional
        Interaction, dimensionless. One number; with four neighbours a (vertical, horizontal) pair; or one per offset.
        By default 0.8 of what a large lattice allows: 0.8 / neighbours, and 0.8 with standardized rows. Named as in
        `CAR`.
    tau : float
        Precision of the innovations ``e`` in 1/intensity^2, positive.
    neighbourhood : {4, 8} or sequence of (int, int)
        As for `CAR`.
    row_standardized : bool
        Whether ``W`` has rows that sum up to 1: neighbours are averaged, ``W = D^-1 A`` with the number ``D`` of
        neighbours on the image.
    boundary : {"dirichlet", "neumann", "torus"} or (str, str)
        As for `CAR`; with standardized rows the first two are the same.

    Raises
    ------
    ArgumentError
        As for `CAR`.

    References
    ----------
    P. Whittle (1954), On stationary processes in the plane, Biometrika 41. J. LeSage, R. Pace, Introduction to Spatial
    Econometrics (2009), chapter 4, for standardized rows.

    Examples
    --------
    >>> model = SAR(0.2)
    >>> round(model.gmrf((32, 32)).logdet, 6), model.gmrf((32, 32)).method
    (-199.594569, 'spectral')
    """

    rho: float | tuple[float, ...] | None = None
    tau: float = 1.0
    neighbourhood: int | Offsets = 4
    row_standardized: bool = False
    boundary: Boundary = "dirichlet"
    _neighbours: Neighbourhood = field(init=False, repr=False)

    @property
    def _averages(self) -> bool:
        return self.row_standardized

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "tau":
            return end_of_scale(not high)
        named = "" if has(self.boundary, "torus") else "; Intrinsic(order=2) is close to this model"
        tied, by_degree = "a thin plate", self._goes_by_degree
        return end_of_interaction(self._neighbours, name, high, by_degree, tied, f": the field is {tied}{named}")

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        unit, weights = self._unit(shape), self._neighbours.weights
        if not self.row_standardized:
            root = unit - self._adjacency(shape, weights)
            return self.tau * product(root, root)
        # (I - A D^-1)(I - D^-1 A) = I - (A D^-1 + D^-1 A) + A D^-2 A
        A, once, twice = self._adjacency(shape, weights), self._per_degree(shape, 1), self._per_degree(shape, 2)
        return self.tau * (unit - 2.0 * product(A, once) + triple_product(A, twice, A))

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the rows of ``I - rho W``, or of the powers of ``B`` in ``(c + B)^2`` where it exceeds a ``c > 0``.

        ``c`` is what the diagonal has more than all interactions of a pixel together, if it has.
        """
        A, root = self._adjacency(shape, self._neighbours.weights), float(np.sqrt(self.tau))
        if self.row_standardized:
            averages = Rows.of_symmetric(A).times_rows(-self._per_degree(shape, 1).plane(0))
            return [averages.plus_centre(1.0).times_rows(root)]
        S, excess = self._unit(shape) - A, 1.0 - 2.0 * float(np.abs(self._neighbours.weights).sum())
        if excess <= 0.0 or (self._neighbours.weights < 0.0).any():
            return [Rows.of_symmetric(S).times_rows(root)]
        B = S.plus_diagonal(-excess)
        return scaled_rows(rows_of_polynomial(B, dominant_rows(B), powers_of_shifted(excess, 2)), root)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        found = {name: self._by_rho(shape, parameter) for parameter, name in enumerate(self._neighbours.names)}
        return {**found, "tau": self.build_stencil(shape) * (1.0 / self.tau)}

    def _by_rho(self, shape: Shape, parameter: int) -> SymmetricStencil:
        A = self._adjacency(shape, self._neighbours.weights)
        W = self._adjacency(shape, self._neighbours.indicator(parameter))
        if not self.row_standardized:
            return -2.0 * self.tau * product(self._unit(shape) - A, W)
        once, twice = self._per_degree(shape, 1), self._per_degree(shape, 2)
        return 2.0 * self.tau * (triple_product(W, twice, A) - product(W, once))

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues, or None."""
        if self.row_standardized:
            return SpectralForm.of_stencil(self.build_stencil(shape)) if self.boundary == "torus" else None
        root = self._unit(shape) - self._adjacency(shape, self._neighbours.weights)
        form = SpectralForm.of_stencil(root)
        if form is None:
            return None
        return SpectralForm(
            form.basis, self.tau * form.eigenvalues**2, self._squared_offsets(), partial(self.build_stencil, shape)
        )

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency with their derivatives, or None."""
        if self.row_standardized:
            return super().build_spectral_density(shape)
        root = SpectralForm.of_stencil(self._unit(shape) - self._adjacency(shape, self._neighbours.weights))
        if root is None:
            return None
        a = root.eigenvalues
        derivatives = {"tau": SpectralForm(root.basis, a * a)}
        for parameter, name in enumerate(self._neighbours.names):
            each = SpectralForm.of_stencil(self._adjacency(shape, self._neighbours.indicator(parameter)))
            if each is not None and each.basis == root.basis:
                derivatives[name] = SpectralForm(root.basis, -2.0 * self.tau * a * each.eigenvalues)
        return SpectralDensity.of_forms(SpectralForm(root.basis, self.tau * a * a), derivatives)

    def _squared_offsets(self) -> IntArray:
        both = np.vstack([self._neighbours.offsets, -self._neighbours.offsets, np.zeros((1, 2), dtype=np.int64)])
        sums = np.unique((both[:, np.newaxis] + both).reshape(-1, 2), axis=0)
        return np.asarray(sums[(sums[:, 0] > 0) | ((sums[:, 0] == 0) & (sums[:, 1] >= 0))])

    def _per_degree(self, shape: Shape, exponent: int) -> SymmetricStencil:
        """Return ``D^-exponent``, zero for a pixel without neighbours."""
        count = self._neighbours.degree(shape, self._rule)
        number = count.coefficient(0)
        value = np.where(number > 0.0, 1.0 / np.maximum(number, 1.0) ** exponent, 0.0)
        return SymmetricStencil([(0, 0)], [value], shape, boundary=self._rule)
