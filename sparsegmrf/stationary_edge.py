"""Exact edges: the field of the lattice without borders, restricted to an image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, generator, images, integer_at_least, positive_number, sample_size
from sparsegmrf.errors import ArgumentError, StencilError, TooLargeError
from sparsegmrf.factors import Factor, factorize
from sparsegmrf.factors._factor import Method
from sparsegmrf.factors._on_lattice import OnLattice
from sparsegmrf.factors.choose import method_for
from sparsegmrf.factors.normals import fill_standard_normal
from sparsegmrf.gmrf import checked_mean
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.stencil._stationary import AxisCovariances, axis_covariances
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Seed

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class StationaryEdgeField(OnLattice):
    """Field of a homogeneous stencil on the lattice without borders, restricted to an image.

    The variance is the same at every pixel up to the border. The image ``o`` is padded by a margin ``u``, beyond which
    the field is fixed at its mean, and the margin is marginalized out exactly: with ``Q`` on the padded image,
    ``log p(x_o) = [logdet Q - logdet Q_uu - n log 2 pi - r^T (Q_oo - Q_ou Q_uu^-1 Q_uo) r] / 2``, ``r = x_o - mu``.
    Draws of the padded image are cropped.

    Only the finite margin approximates. Fixing the outside takes variance away, so that the covariance without borders
    less that of this field is positive semi-definite: no covariance between two pixels is off by more than `error`, the
    largest relative loss of variance on the image. The margin is such that this stays below `tolerance`.

    Parameters
    ----------
    stencil : SymmetricStencil
        Homogeneous precision in 1/intensity^2, one unknown per pixel; its shape is that of the image. Its coefficients
        are those far from any border, and its boundary plays no part.
    mean : float or array_like, (H, W)
        ``mu`` in intensity.
    method : str or callable
        How to factorize the padded precision, as for `factorize`.
    tolerance : float
        Largest loss of variance, as a share of the variance.
    margin : int, optional
        Width of the margin in pixels, instead of a tolerance; `error` then says what it costs.

    Raises
    ------
    StencilError
        If the stencil is not homogeneous or has channels.
    ArgumentError
        If its symbol is not positive at all frequencies: there is no such field without borders.
    TooLargeError
        If the range is thousands of pixels long.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2.6, on boundaries of stationary fields.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.5, -1.0, -1.0], (12, 15))
    >>> field = StationaryEdgeField(stencil)
    >>> bool(field.error < 1e-4), field.sample(rng=0).shape
    (True, (12, 15))
    """

    tolerance: float
    _stencil: SymmetricStencil
    _mean: FloatArray
    _method: Method
    _margin: int | None

    def __init__(
        self,
        stencil: SymmetricStencil,
        mean: ArrayLike = 0.0,
        method: Method = "auto",
        *,
        tolerance: float = 1e-4,
        margin: int | None = None,
    ) -> None:
        if not isinstance(stencil, SymmetricStencil):
            raise StencilError(f"stencil must be a SymmetricStencil, got {type(stencil).__name__}.")
        offsets, weights = stencil._homogeneous_terms()
        least = stencil.min_symbol()
        if not least > 1e-14 * float(np.abs(weights).sum()):
            raise ArgumentError(
                f"stencil must have a positive symbol at all frequencies, got a minimum of {least:.3g}: without "
                "borders its field has no finite variance; use a proper model, or one with its own boundary."
            )
        plain = SymmetricStencil(offsets, weights, stencil.shape)
        share = positive_number("tolerance", tolerance)
        if share < 1e-10:
            raise ArgumentError(f"tolerance must be at least 1e-10, got {share:g}; rounding is not far below.")
        _frozen.assign(
            self,
            tolerance=share,
            _stencil=plain,
            _mean=checked_mean(mean, plain.lattice),
            _method=method_for(plain, method),
            _margin=None if margin is None else integer_at_least("margin", margin, 0),
        )

    @property
    def lattice(self) -> Lattice:
        """The pixel grid of the image."""
        return self._stencil.lattice

    @property
    def mean(self) -> FloatArray:
        """Mean as an image, in intensity; read-only."""
        return np.broadcast_to(self._mean, self.shape)

    @property
    def method(self) -> Method:
        """Method by which the padded precision is factorized."""
        return self._method

    @property
    def margin(self) -> int:
        """Width of the margin in pixels."""
        return self._padding[0]

    @property
    def factor(self) -> Factor:
        """Factor of the padded precision, built at first use; its lattice has the margin on every side."""
        return self._padding[1]

    @property
    def variance(self) -> float:
        """Marginal variance without borders, in intensity^2."""
        return self._without_borders.variance

    @cached_property
    def error(self) -> float:
        """Largest loss of variance on the image, as a share of the variance; it bounds that of every covariance too."""
        return float(1.0 - self.marginal_variance().min() / self.variance)

    @cached_property
    def logdet(self) -> float:
        """Log-determinant of the precision of the image, the margin marginalized out: ``logdet Q - logdet Q_uu``."""
        return self.factor.logdet - self._outside.logdet

    def quadratic_form(self, x: ArrayLike) -> FloatArray | float:
        """Return ``(x - mu)^T (Q_oo - Q_ou Q_uu^-1 Q_uo) (x - mu)``, chi-squared with ``n`` degrees for a draw."""
        array = images("x", x, self.shape)
        finite("x", array, "a field has no missing pixels: condition it on the observed ones, or fill the gaps first")
        batch = array.shape[:-2]
        padded = np.zeros((*batch, *self.factor.shape))
        padded[..., *self._window] = array - self._mean
        product = self._padded_stencil(self.margin) @ padded
        inside = np.einsum("...ij,...ij->...", padded, product)
        product[..., *self._window] = 0.0
        outside = np.einsum("...ij,...ij->...", product, self._outside.solve(product))
        result: FloatArray = inside - outside
        return result if batch else float(result)

    def logpdf(self, x: ArrayLike) -> FloatArray | float:
        """Return the log-density of images, in nats; a float for a single image.

        Parameters
        ----------
        x : array_like, (..., H, W)
            Images in intensity, all values finite.

        Raises
        ------
        ArgumentError
            If `x` has another shape or a value is NaN or infinite.
        """
        return 0.5 * (self.logdet - self.lattice.size * _LOG_2PI - self.quadratic_form(x))

    def entropy(self) -> float:
        """Return the differential entropy ``n/2 (1 + log 2 pi) - logdet/2``, in nats."""
        return 0.5 * (self.lattice.size * (1.0 + _LOG_2PI) - self.logdet)

    def sample(self, size: int | tuple[int, ...] | None = None, rng: Seed = None) -> FloatArray:
        """Draw images; the same seed gives the same draw for any number of threads.

        Parameters
        ----------
        size : int or tuple of int, optional
            Batch shape; by default a single image.
        rng : int, Generator or None
            Seed, or a generator whose state moves on; None takes fresh entropy.
        """
        draw = np.empty((*sample_size(size), *self.factor.shape))
        fill_standard_normal(generator(rng), draw)
        drawn = self.factor.unwhiten_in_place(draw.reshape(-1, self.factor.lattice.size)).reshape(draw.shape)
        return np.array(drawn[..., *self._window] + self._mean, order="C")

    def marginal_variance(self) -> FloatArray:
        """Return the variance of every pixel as an image, in intensity^2; `variance` less at most `error` of it."""
        return np.array(self.factor.marginal_variance()[self._window], order="C")

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every pixel with one pixel as an image, in intensity^2."""
        self.lattice.unknown(pixel, channel)  # refuses what is off the image
        at = (pixel[0] + self.margin, pixel[1] + self.margin)
        return np.array(self.factor.covariance_with(at)[self._window], order="C")

    def __repr__(self) -> str:
        return f"StationaryEdgeField(shape={self.shape}, tolerance={self.tolerance:g}, method={self._method!r})"

    def __getstate__(self) -> dict[str, object]:
        """Return what a pickled or copied field takes along: not its factors, which may live in a C library."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_padding", "_outside")}

    @cached_property
    def _without_borders(self) -> AxisCovariances:
        return axis_covariances(self._stencil, self.tolerance / 8.0)

    @cached_property
    def _padding(self) -> tuple[int, Factor]:
        """Return the margin and the factor of the padded precision."""
        if self._margin is not None:
            return self._margin, factorize(self._padded_stencil(self._margin), self._method)
        margin = self._first_margin()
        while True:
            factor = factorize(self._padded_stencil(margin), self._method)
            if self._loss(factor, margin) <= self.tolerance:
                return margin, factor
            if margin > 8 * self._first_margin() + 64:
                raise TooLargeError(
                    f"tolerance {self.tolerance:g} is not reached with a margin of {margin} pixels; raise it, or give "
                    "the margin."
                )
            margin += max(1, margin // 4)

    def _first_margin(self) -> int:
        """Return the margin at which the reflection of a border pixel in the outside is hardly correlated with it."""
        axes = self._without_borders
        margins = []
        for covariances in (axes.rows, axes.columns):
            felt = np.flatnonzero(np.abs(covariances) > self.tolerance / 4.0 * axes.variance)
            margins.append(int(felt[-1]) // 2)
        return max(max(margins), *self._stencil.reach)

    def _loss(self, factor: Factor, margin: int) -> float:
        """Return the largest relative loss of variance at corners and in the middle of sides.

        Turning the image by half a turn leaves the field as it is, so that two corners and two sides stand for all.
        """
        height, width = self.shape
        pixels = [(0, 0), (0, width - 1), (0, width // 2), (height // 2, 0)]
        variances = []
        for i, j in pixels:
            at = (i + margin, j + margin)
            variances.append(float(factor.covariance_with(at)[at]))
        return 1.0 - min(variances) / self.variance

    def _padded_stencil(self, margin: int) -> SymmetricStencil:
        height, width = self.shape
        offsets, weights = self._stencil._homogeneous_terms()
        return SymmetricStencil(offsets, weights, (height + 2 * margin, width + 2 * margin))

    @property
    def _window(self) -> tuple[slice, slice]:
        height, width = self.shape
        return slice(self.margin, self.margin + height), slice(self.margin, self.margin + width)

    @cached_property
    def _outside(self) -> Factor:
        """Factor of ``Q_uu``: the padded precision with the rows of the image replaced by the identity."""
        image: BoolArray = np.zeros(self.factor.shape, dtype=bool)
        image[self._window] = True
        method = "auto" if self._method == "spectral" else self._method
        return factorize(decoupled(self._padded_stencil(self.margin), image), method)
