"""Causal autoregressions: every pixel is predicted from earlier ones in raster order."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, finite_number, image_shape, one_of, positive_number, read_only, real_array
from sparsegmrf.errors import ArgumentError, UnstableWarning
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._estimation import least_squares, yule_walker
from sparsegmrf.models._moments import moments, moments_and_autocovariances
from sparsegmrf.models._observed import observe
from sparsegmrf.models._support import SupportLike, as_support
from sparsegmrf.models.report import FitReport
from sparsegmrf.models.stability import Stability, stability
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Shape

METHODS = ("least_squares", "yule_walker")


@dataclass(frozen=True, eq=False, init=False)
class CausalAR:
    """Causal (unilateral) autoregression on images.

    ``x_p = mean + sum_k w_k (x[p + o_k] - mean) + sigma e_p`` with white ``e`` and all ``o_k`` earlier in raster order.

    Parameters
    ----------
    weights : array_like, (K,)
        One weight per offset of the support, in its order; dimensionless.
    sigma : float
        Innovation standard deviation in intensity, positive.
    mean : float
        Mean in intensity.
    support : {"qp", "nshp"} or sequence of (int, int)
        ``"qp"``: the quarter plane of `order` ``(p, q)``, offsets ``(-a, -b)`` with ``0 <= a <= p``, ``0 <= b <= q``
        but the centre. ``"nshp"``: the non-symmetric half plane of `radius` ``r``, all earlier offsets of the
        ``(2r + 1) x (2r + 1)`` window (4 for ``r = 1``, 12 for ``r = 2``). Both are in raster order: the quarter plane
        of order (1, 1) is diagonal, above, left. Or offsets ``(di, dj)``, all earlier; kept in the order given.
    order : (int, int)
        Rows and columns the quarter plane reaches; used with ``support="qp"`` only.
    radius : int
        Reach of the half plane; used with ``support="nshp"`` only.

    Attributes
    ----------
    weights : ndarray, (K,)
        Weights; read-only.
    offsets : ndarray, (K, 2)
        Offsets of the weights; read-only.
    sigma, mean : float
        As given.
    report : FitReport or None
        Standard errors, likelihood and criteria of a fitted model.

    Raises
    ------
    ArgumentError
        If the number of weights is not that of the offsets, a value is NaN or infinite, or `sigma` is not positive.
    StencilError
        If an offset is not earlier in raster order, or is repeated.

    References
    ----------
    Whittle, On stationary processes in the plane, Biometrika 41 (1954). Jain, Advances in mathematical models for image
    processing, Proc. IEEE 69 (1981); his "semicausal" and "noncausal" models are not in this class.

    Examples
    --------
    >>> model = CausalAR([-0.81, 0.9, 0.9], sigma=0.1, mean=0.5)
    >>> model.offsets.tolist(), model.is_stable()
    ([[-1, -1], [-1, 0], [0, -1]], True)
    """

    weights: FloatArray
    offsets: IntArray
    sigma: float
    mean: float
    report: FitReport | None

    def __init__(
        self,
        weights: ArrayLike,
        sigma: float = 1.0,
        mean: float = 0.0,
        support: SupportLike = "qp",
        order: tuple[int, int] = (1, 1),
        radius: int = 1,
    ) -> None:
        chosen = as_support(support, order, radius)
        values = finite("weights", real_array("weights", weights))
        if values.shape != (len(chosen.offsets),):
            raise ArgumentError(
                f"weights must have shape ({len(chosen.offsets)},), one per offset of the support ({chosen.name}: "
                f"{chosen.offsets.tolist()}), got {values.shape}; pass the order, radius or offsets they belong to."
            )
        _frozen.assign(
            self,
            weights=read_only(np.array(values)),
            offsets=chosen.offsets,
            sigma=positive_number("sigma", sigma),
            mean=finite_number("mean", mean),
            report=None,
        )

    @classmethod
    def from_report(cls, report: FitReport) -> "CausalAR":
        """Return the model with a fit's estimates; the report is kept."""
        return _frozen.make(
            cls,
            weights=read_only(report.weights),
            offsets=report.offsets,
            sigma=report.sigma,
            mean=report.mean,
            report=report,
        )

    @classmethod
    def fit(
        cls,
        image: ArrayLike,
        support: SupportLike = "qp",
        order: tuple[int, int] = (1, 1),
        radius: int = 1,
        method: Literal["least_squares", "yule_walker"] = "least_squares",
        mask: BoolArray | Literal["nan"] | None = None,
    ) -> "CausalAR":
        """Estimate weights, sigma and mean from one streaming pass of lagged products.

        ``"least_squares"`` minimizes ``sum_p (x_p - mean - sum_k w_k (x[p + o_k] - mean))^2`` over weights and mean
        (conditional maximum likelihood). Its equations are the pixels whose whole neighbourhood is on the image and
        observed. Without a mask these are all but the first rows and the first and last columns that the support
        reaches over; nothing is padded.

        ``"yule_walker"`` solves ``sum_l c(o_k - o_l) w_l = c(o_k)`` with the biased autocovariances
        ``c(d) = 1/(HW) sum_p (x_p - m)(x[p + d] - m)`` about the mean of the image. On a complete image that varies the
        system is positive definite. With a mask, ``c(d)`` is the mean over pairs of observed pixels times the share
        ``(1 - |d_i|/H)(1 - |d_j|/W)`` of pairs that a complete image has: consistent, but no longer certain to be
        positive definite, and refused where it is not. The likelihood reported is that of the least-squares equations.

        In two dimensions neither estimator is certain to give a stable recursion: see `stability`. A larger support, or
        the other estimator, may.

        The image is read in blocks of rows, so it may be a memory map; no design matrix is formed. The result does not
        depend on the number of threads.

        Parameters
        ----------
        image : array_like, (H, W)
            Intensities, real; integers are converted. Of a numpy masked array the mask counts as `mask`.
        support, order, radius
            Which earlier pixels predict, as for the class.
        method : {"least_squares", "yule_walker"}
            The estimator.
        mask : ndarray of bool, (H, W), or "nan", optional
            **True where a pixel is missing**, as in numpy's masked arrays; every equation that touches it is dropped.
            ``"nan"`` stands for ``np.isnan(image)``; without a mask a NaN is an error.

        Returns
        -------
        CausalAR
            With the estimates and a `report`.

        Raises
        ------
        ArgumentError
            If the image is not two-dimensional and real, a pixel that is not masked is NaN or infinite, there are fewer
            equations than parameters, or the normal equations are singular (a constant or periodic image).

        Examples
        --------
        >>> image = CausalAR([-0.4, 0.6, 0.6]).gmrf((64, 64)).sample(rng=0)
        >>> fitted = CausalAR.fit(image)
        >>> bool((abs(fitted.weights - [-0.4, 0.6, 0.6]) < 4 * fitted.report.standard_errors).all())
        True
        """
        chosen = as_support(support, order, radius)
        observed = observe(image, mask)
        if one_of("method", method, METHODS) == "least_squares":
            return cls.from_report(least_squares(moments(observed, chosen.offsets), chosen))
        found, autocovariances = moments_and_autocovariances(observed, chosen.offsets)
        return cls.from_report(yule_walker(found, autocovariances, chosen))

    def whitening(self, shape: Shape) -> TriangularStencil:
        """Return the whitening matrix on an image of `shape`: diagonal ``1/sigma``, weights ``-w_k/sigma``.

        What lies beyond the border is fixed at the mean, so the first rows and columns are not yet stationary.
        """
        return TriangularStencil(self.offsets, 1.0 / self.sigma, -self.weights / self.sigma, shape)

    def gmrf(self, shape: Shape) -> GMRF:
        """Return the field on an image of `shape`; warns with the margin where the recursion is not stable."""
        verdict = self.stability()
        if not verdict.stable:
            warnings.warn(
                f"the recursion is not stable (largest root {1.0 - verdict.margin:.6g}, sum of |weights| "
                f"{1.0 - verdict.sum_rule_margin:.6g}): variances grow along the raster and draws lose their digits; "
                "reduce the weights.",
                UnstableWarning,
                stacklevel=2,
            )
        return GMRF.from_whitening(self.whitening(shape), self.mean)

    def spectrum(self, shape: Shape | None = None, frequencies: ArrayLike | None = None) -> FloatArray:
        """Return the spectral density of the stationary field.

        ``S(u) = sigma^2 / |1 - sum_k w_k exp(i o_k . u)|^2``; its mean over all frequencies is the marginal variance.

        Parameters
        ----------
        shape : (int, int), optional
            Evaluate on the frequencies ``2 pi fftfreq`` of an image of this shape, in the order of ``numpy.fft.fft2``.
        frequencies : array_like, (..., 2), optional
            Row and column frequencies in radians per pixel; instead of `shape`.

        Returns
        -------
        ndarray, (H, W) or (...)
            In intensity^2.

        Raises
        ------
        ArgumentError
            If neither or both are given, or the model is not stable and has no stationary field.
        """
        if (shape is None) == (frequencies is None):
            raise ArgumentError(
                "shape or frequencies must be given, and not both; shape means the frequencies of numpy.fft.fft2."
            )
        verdict = self.stability()
        if not verdict.stable:
            raise ArgumentError(
                f"weights must make a stable recursion for a stationary field, got margin {verdict.margin:.6g}; reduce "
                "them."
            )
        if shape is not None:
            rows, columns = (2.0 * np.pi * np.fft.fftfreq(side) for side in image_shape(shape))
            di, dj = self.offsets.T
            response = 1.0 - (np.exp(1j * np.outer(rows, di)) * self.weights) @ np.exp(1j * np.outer(dj, columns))
        else:
            points = finite("frequencies", real_array("frequencies", frequencies))
            if points.ndim == 0 or points.shape[-1] != 2:
                raise ArgumentError(
                    f"frequencies must have shape (..., 2), row and column frequency last, got {points.shape}."
                )
            response = 1.0 - np.exp(1j * (points @ self.offsets.T)) @ self.weights
        return np.asarray(self.sigma**2 / (response.real**2 + response.imag**2))

    def stability(self) -> Stability:
        """Test whether the recursion is stable, and return by how much and which test decided.

        See `Stability` for the margins; for offsets among left, above and diagonal the exact inequalities decide.
        """
        return stability(self.offsets, self.weights)

    def is_stable(self) -> bool:
        """Return whether the field is stationary and an impulse dies out; `stability` tells the margin."""
        return self.stability().stable

    def __repr__(self) -> str:
        pairs: Sequence[str] = [
            f"({di}, {dj}): {weight:.6g}" for (di, dj), weight in zip(self.offsets.tolist(), self.weights, strict=True)
        ]
        return f"CausalAR({{{', '.join(pairs)}}}, sigma={self.sigma:.6g}, mean={self.mean:.6g})"
