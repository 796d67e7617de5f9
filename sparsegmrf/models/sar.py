"""Simultaneous autoregressions."""

from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import image_shape, one_of, positive_number
from sparsegmrf.linalg.spectral import SpectralForm
from sparsegmrf.models._ends import end_of_interaction, end_of_scale
from sparsegmrf.models._model import POSITIVE, Bounds, JointLimits, Model
from sparsegmrf.models._neighbourhood import Neighbourhood
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import product, triple_product
from sparsegmrf.stencil.symmetric import BOUNDARIES
from sparsegmrf.typing import FloatArray, IntArray, Offsets, Shape

_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class SAR(Model):
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
    boundary : {"dirichlet", "neumann", "torus"}
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
    boundary: str = "dirichlet"
    _neighbours: Neighbourhood = field(init=False, repr=False)

    def __post_init__(self) -> None:
        one_of("boundary", self.boundary, BOUNDARIES)
        _frozen.assign(self, tau=positive_number("tau", self.tau))
        count = 2 * len(Neighbourhood.of(self.neighbourhood, None, 0.0).offsets)
        neighbours = Neighbourhood.of(self.neighbourhood, self.rho, _SHARE if self.row_standardized else _SHARE / count)
        values = tuple(neighbours.values.tolist())
        _frozen.assign(self, rho=values[0] if neighbours.names == ("rho",) else values, _neighbours=neighbours)

    @property
    def parameters(self) -> dict[str, float]:
        """Interactions and ``tau``."""
        return {**dict(zip(self._neighbours.names, self._neighbours.values.tolist(), strict=True)), "tau": self.tau}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return by parameter the open interval around zero in which ``I - rho W`` is regular on a lattice.

        The interval of the `CAR` with the same ``W``; beyond its ends ``Q`` is singular for some values only, but the
        field is no longer that of the interval.
        """
        neighbours = self._neighbours
        if self.row_standardized and self.boundary != "torus":
            found = neighbours.degree_limits(shape)
        else:
            scale = 2.0 * len(neighbours.offsets) if self.row_standardized else 1.0
            scaled = Neighbourhood(neighbours.offsets, neighbours.names, neighbours.values / scale, neighbours.owner)
            unit = scaled.unit_limits(shape, self.boundary)
            found = {name: (scale * low, scale * high) for name, (low, high) in unit.items()}
        return {**found, "tau": POSITIVE}

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return a box around the values that several interactions can have together; None for one.

        With four neighbours a (vertical, horizontal) pair is possible in a quadrilateral: cut off, where the forms
        ``2 (c_v rho_vertical + c_h rho_horizontal)`` and ``2 (c_v rho_vertical - c_h rho_horizontal)`` are in (-1, 1),
        ``c`` being the largest cosine of either side. None with standardized rows off a torus, where every
        interaction has an interval of its own.
        """
        height, width = image_shape(shape)
        if self.row_standardized and self.boundary != "torus":
            return None
        neighbours = self._neighbours
        scale = 2.0 * len(neighbours.offsets) if self.row_standardized else 1.0
        return neighbours.joint_limits((height, width), self.boundary, scale)

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "tau":
            return end_of_scale(not high)
        named = "" if self.boundary == "torus" else "; Intrinsic(order=2) is close to this model"
        by_degree = self.row_standardized and self.boundary != "torus"
        tied = "a thin plate"
        return end_of_interaction(self._neighbours, name, high, by_degree, tied, f": the field is {tied}{named}")

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(tau=multiplied("tau", self.tau, factor, -2))

    def is_inside(self, shape: Shape) -> bool:
        """Return whether all parameters are within their limits."""
        image_shape(shape)
        return self._neighbours.is_dominated(self.row_standardized) or super().is_inside(shape)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        unit, weights = self._unit(shape), self._neighbours.weights
        if not self.row_standardized:
            root = unit - self._adjacency(shape, weights)
            return self.tau * product(root, root)
        # (I - A D^-1)(I - D^-1 A) = I - (A D^-1 + D^-1 A) + A D^-2 A
        A, once, twice = self._adjacency(shape, weights), self._per_degree(shape, 1), self._per_degree(shape, 2)
        return self.tau * (unit - 2.0 * product(A, once) + triple_product(A, twice, A))

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

    def _squared_offsets(self) -> IntArray:
        both = np.vstack([self._neighbours.offsets, -self._neighbours.offsets, np.zeros((1, 2), dtype=np.int64)])
        sums = np.unique((both[:, np.newaxis] + both).reshape(-1, 2), axis=0)
        return np.asarray(sums[(sums[:, 0] > 0) | ((sums[:, 0] == 0) & (sums[:, 1] >= 0))])

    def _unit(self, shape: Shape) -> SymmetricStencil:
        return SymmetricStencil([(0, 0)], [1.0], shape, boundary=self._rule)

    def _adjacency(self, shape: Shape, weights: FloatArray) -> SymmetricStencil:
        return self._neighbours.adjacency(shape, self._rule, weights)

    def _per_degree(self, shape: Shape, exponent: int) -> SymmetricStencil:
        """Return ``D^-exponent``, zero for a pixel without neighbours."""
        count = self._neighbours.degree(shape, self._rule)
        number = count.coefficient(0)
        value = np.where(number > 0.0, 1.0 / np.maximum(number, 1.0) ** exponent, 0.0)
        return SymmetricStencil([(0, 0)], [value], shape, boundary=self._rule)

    @property
    def _rule(self) -> str:
        return "dirichlet" if self.row_standardized and self.boundary == "neumann" else self.boundary

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return {"rho": tuple(parameters[name] for name in self._neighbours.names)}
