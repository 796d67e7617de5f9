"""Intrinsic autoregressions: random walks of first and second order on the plane."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._edges import as_boundary, has
from sparsegmrf._validate import image_shape, integer_at_least, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._transforms import basis_of
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity, Values
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.models._ends import CONSTANT, PLANE, UNBOUND
from sparsegmrf.models._laplacian import laplacian
from sparsegmrf.models._mask import as_mask, check_mask
from sparsegmrf.models._model import POSITIVE, Bounds, Model
from sparsegmrf.models._operator import Operator
from sparsegmrf.models._scale import multiplied
from sparsegmrf.models._spacing import (
    PixelSize,
    check_spacing,
    check_spacing_shape,
    cut_spacing,
    differs,
    mean_side,
    sides,
)
from sparsegmrf.models._window import cut
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, BoolArray, Boundary, FloatArray, Offset, Shape

_SECOND_DIFFERENCES: tuple[tuple[float, dict[Offset, float]], ...] = (
    (1.0, {(0, 0): 1.0, (1, 0): -2.0, (2, 0): 1.0}),
    (1.0, {(0, 0): 1.0, (0, 1): -2.0, (0, 2): 1.0}),
    (2.0, {(0, 0): 1.0, (0, 1): -1.0, (1, 0): -1.0, (1, 1): 1.0}),
)


@dataclass(frozen=True, eq=False)
class Intrinsic(Model):
    """Intrinsic autoregression: ``Q = tau R`` with the structure matrix ``R`` of a random walk on the plane.

    Order 1 (ICAR, RW1): ``x^T R x = sum (x_p - x_q)^2`` over pairs of neighbours; constants are in the null space.
    Order 2 (thin plate, RW2): ``x^T R x = sum (D_ii x)^2 + 2 (D_ij x)^2 + (D_jj x)^2`` over all second differences that
    lie on the image; in the interior the 13 points of ``G^2``, at the edges such that constants and planes, and nothing
    else, are in the null space. Parts of a masked lattice that do not touch have null vectors of their own.

    With a `spacing` ``x^T R x`` is the same integral over the ground, ``int |grad x|^2`` or that of the squared second
    derivatives: with order 1 the squares ``(x_p - x_q)^2`` of neighbours in a row weigh ``height / width``, those in a
    column ``width / height`` (of maps the mean of two pixels), and with order 2 ``(D_ii x)^2`` weighs
    ``width / height^3``, ``(D_ij x)^2`` ``1 / (height width)`` and ``(D_jj x)^2`` ``height / width^3``.

    Parameters
    ----------
    order : {1, 2}
        Of the random walk.
    tau : float
        Precision in 1/intensity^2, positive: of first or second differences, or with `scale` of the field. Of second
        differences on the ground in length^2/intensity^2, the length in the unit of `spacing`.
    scale : bool
        Whether ``R`` is scaled so that the geometric mean of the marginal variances (of the field orthogonal to its
        null space) is 1 at ``tau = 1``, so that ``tau`` means the same on any lattice. Costs a factorization and a
        selected inverse once per lattice.
    mask : array_like of bool, (H, W), optional
        True where there is no field, as in NumPy's masked arrays: fits want nothing observed there, and predict NaN.
        With order 2 a difference that touches such a pixel is left out; where a part of the lattice bends like a hinge
        at such a place, planes are not all that is left free, and the field is refused.
    boundary : {"neumann", "torus"} or (str, str)
        The lattice's own border, or wrapped (order 1 only).
    spacing : (height, width), optional
        Height and width of a pixel in a unit of length, as for `Matern`; numbers with order 2. Only their ratio matters
        with order 1, and with `scale`.

    Raises
    ------
    ArgumentError
        If `tau` is not positive, or the order is neither 1 nor 2, or is 2 where an axis wraps or the spacing is a map.

    References
    ----------
    H. Rue, L. Held (2005), chapter 3. S. Sorbye, H. Rue (2014), Scaling intrinsic Gaussian Markov random field priors
    in spatial modelling, Spatial Statistics 8.

    Examples
    --------
    >>> field = Intrinsic(order=2).gmrf((16, 16))
    >>> field.rank_deficiency, bool(abs(field.sample(rng=0).sum()) < 1e-9)
    (3, True)
    """

    order: Literal[1, 2] = 1
    tau: float = 1.0
    scale: bool = False
    mask: BoolArray | None = None
    boundary: Boundary = "neumann"
    spacing: PixelSize | None = None
    _factors: dict[Shape, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if integer_at_least("order", self.order, 1) > 2:
            raise ArgumentError(f"order must be 1 or 2, got {self.order}.")
        _frozen.assign(self, tau=positive_number("tau", self.tau))
        _frozen.assign(self, boundary=as_boundary("boundary", self.boundary, ("neumann", "torus")))
        if self.order == 2 and has(self.boundary, "torus"):
            raise ArgumentError(
                f"order must be 1 where rows or columns wrap, got 2 with boundary={self.boundary!r}: planes do not "
                "wrap; TensionSpline, with a small kappa, is a smooth field that does."
            )
        _frozen.assign(self, mask=as_mask(self.mask), spacing=check_spacing(self.spacing), _factors={})
        if self.order == 2 and differs(self.spacing):
            raise ArgumentError(
                "spacing must be two numbers with order 2, got maps, on which planes of pixels are none on the ground; "
                "give a height and a width, or take TensionSpline with a small kappa."
            )

    @property
    def parameters(self) -> dict[str, float]:
        """``tau``."""
        return {"tau": self.tau}

    @property
    def is_intrinsic(self) -> bool:
        """True: the precision is singular."""
        return True

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of ``tau``, positive, in which ``Q`` is positive definite off its null space."""
        return {"tau": POSITIVE}

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if not high:
            return UNBOUND
        return PLANE if self.order == 2 else CONSTANT

    def lengths(self) -> dict[str, int]:
        """Return that ``tau`` has a squared length with order 2, unless it is scaled."""
        return {"tau": 2} if self.order == 2 and not self.scale else {}

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size; itself where that is a map and the order 2, which has none."""
        found = check_spacing(spacing)
        if self.spacing is not None or found is None or (self.order == 2 and differs(found)):
            return self
        return self.replace(spacing=found, tau=self.tau * mean_side(found) ** self.lengths().get("tau", 0))

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(tau=multiplied("tau", self.tau, factor, -2))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice."""
        super().cropped(rows, columns)
        changes: dict[str, object] = {} if self.mask is None else {"mask": cut(self.mask, rows, columns)}
        if differs(self.spacing):
            changes["spacing"] = cut_spacing(self.spacing, rows, columns)
        return self.replace(**changes) if changes else self

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> IntrinsicGMRF:
        """Return the field with the model's own boundary."""
        domain = None if self.mask is None else ~self.mask
        null_space = "planes" if self.order == 2 else "constants"
        return IntrinsicGMRF(self._given(shape, method), null_space, mean, method, domain=domain)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        check_mask(self.mask, shape)
        check_spacing_shape(self.spacing, shape)
        if self.order == 2:
            R = _thin_plate(shape, self.mask, *map(float, sides(self.spacing)))
        else:
            R = laplacian(shape, self._fluxes, self.boundary, self.mask)
        return R * (self.tau * self._scale_factor(shape))

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the differences of first or second order on the image."""
        if self.order == 1:
            return super().build_rows(shape)
        check_mask(self.mask, shape)
        root = float(np.sqrt(self.tau * self._scale_factor(shape)))
        rows = _second_differences(shape, *map(float, sides(self.spacing)))
        kept = [each if self.mask is None else each.only(~each.touching(self.mask)) for each in rows]
        return [each.times_rows(root) for each in kept]

    def on_lattice(self, shape: Shape) -> Model:
        """Return the model with the ``tau`` of this lattice where it is scaled by variances."""
        if not self.scale:
            return self
        return self.replace(scale=False, tau=self.tau * self._scale_factor(image_shape(shape)))

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        return {"tau": self.build_stencil(shape) * (1.0 / self.tau)}

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues, or None."""
        if self._is_not_spectral:
            return None
        operator = self._operator
        number = self.tau * self._scale_factor(shape) * float(operator.area)
        return SpectralForm.of_symbol(
            basis_of(self.boundary),
            shape,
            lambda rows, columns: number * operator.eigenvalues(rows, columns),
            operator.offsets(1),
            partial(self.build_stencil, shape),
        )

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency with their derivatives, or None."""
        if self._is_not_spectral:
            return None
        operator = self._operator
        scale = self._scale_factor(shape) * float(operator.area)

        def eigenvalues(rows: FloatArray, columns: FloatArray) -> Values:
            g = scale * operator.eigenvalues(rows, columns)
            return self.tau * g, {"tau": g}

        return SpectralDensity.of_symbol(basis_of(self.boundary), shape, ("tau",), eigenvalues, is_intrinsic=True)

    @property
    def _operator(self) -> Operator:
        return Operator(None, self.boundary, None, spacing=self.spacing)

    @property
    def _fluxes(self) -> dict[Offset, FloatArray]:
        """Conductances between neighbours in rows and columns."""
        height, width = np.broadcast_arrays(*sides(self.spacing))
        return {(0, 1): height / width, (1, 0): width / height}

    @property
    def _is_not_spectral(self) -> bool:
        return self.order == 2 or self.mask is not None or differs(self.spacing)

    def _scale_factor(self, shape: Shape) -> float:
        """Return the geometric mean of the variances under ``R``, or 1."""
        if not self.scale:
            return 1.0
        if shape not in self._factors:
            plain = Intrinsic(self.order, mask=self.mask, boundary=self.boundary, spacing=self.spacing)
            self._factors[shape] = plain.build_gmrf(shape, 0.0, "auto").geometric_mean_variance()
        return self._factors[shape]


def _second_differences(shape: Shape, pixel_height: float, pixel_width: float) -> list[Rows]:
    """Return ``sqrt(weight)`` times the second differences on the image."""
    roots = np.sqrt(_weights_by_size(pixel_height, pixel_width))
    return [
        Rows.of(
            {offset: np.asarray(np.sqrt(count) * root * value) for offset, value in terms.items()},
            shape,
            f"second difference {number}",
        )
        for number, (root, (count, terms)) in enumerate(zip(roots.tolist(), _SECOND_DIFFERENCES, strict=True))
    ]


def _weights_by_size(pixel_height: float, pixel_width: float) -> tuple[float, float, float]:
    """Return ``area / h^4``, ``area / w^4`` and ``area / (h w)^2``."""
    ratio, area = pixel_width / pixel_height, pixel_height * pixel_width
    return ratio**2 / area, ratio**-2 / area, 1.0 / area


def _thin_plate(shape: Shape, mask: BoolArray | None, pixel_height: float, pixel_width: float) -> SymmetricStencil:
    """Return the sum of squares of all second differences on the image as a stencil, weighed by the pixels' size."""
    height, width = shape
    by_size = _weights_by_size(pixel_height, pixel_width)
    planes: dict[Offset, FloatArray] = {}
    for size, (count, terms) in zip(by_size, _SECOND_DIFFERENCES, strict=True):
        weight = count * size
        last_row, last_column = (max(offset[axis] for offset in terms) for axis in (0, 1))
        rows, columns = max(0, height - last_row), max(0, width - last_column)
        taken = np.ones((rows, columns))
        if mask is not None:
            for i, j in terms:
                taken[mask[i : i + rows, j : j + columns]] = 0.0
        for a, of_a in terms.items():
            for b, of_b in terms.items():
                offset = (b[0] - a[0], b[1] - a[1])
                if offset >= (0, 0):
                    plane = planes.setdefault(offset, np.zeros(shape))
                    plane[a[0] : a[0] + rows, a[1] : a[1] + columns] += weight * of_a * of_b * taken
    return SymmetricStencil(list(planes), list(planes.values()), shape)
