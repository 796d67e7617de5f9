"""Causal autoregressions: every pixel is predicted from earlier ones in raster order."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._observed import observe
from sparsegmrf._saved import Saved, check_names
from sparsegmrf._validate import finite, finite_number, image_shape, one_of, positive_number, read_only, real_array
from sparsegmrf.autoregression._estimation import Estimates, least_squares, yule_walker
from sparsegmrf.autoregression._moments import moments, moments_and_autocovariances
from sparsegmrf.autoregression._support import Support, SupportLike, as_support
from sparsegmrf.autoregression.stability import Stability, stability
from sparsegmrf.errors import ArgumentError, UnstableWarning
from sparsegmrf.fitted import Fitted
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Shape

METHODS = ("least_squares", "yule_walker")


@dataclass(frozen=True, eq=False, init=False)
class CausalAR(Saved):
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
    ) -> "CausalARFit":
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
        CausalARFit
            With the model at the estimates, standard errors and likelihood.

        Raises
        ------
        ArgumentError
            If the image is not two-dimensional and real, a pixel that is not masked is NaN or infinite, there are fewer
            equations than parameters, or the normal equations are singular (a constant or periodic image).

        Examples
        --------
        >>> image = CausalAR([-0.4, 0.6, 0.6]).gmrf((64, 64)).sample(rng=0)
        >>> result = CausalAR.fit(image)
        >>> bool((abs(result.model.weights - [-0.4, 0.6, 0.6]) < 4 * result.weight_errors).all())
        True
        """
        chosen = as_support(support, order, radius)
        observed = observe(image, mask)
        if one_of("method", method, METHODS) == "least_squares":
            estimates = least_squares(moments(observed, chosen.offsets), chosen)
        else:
            estimates = yule_walker(*moments_and_autocovariances(observed, chosen.offsets), chosen)
        return CausalARFit.of(estimates, chosen, method, observed.shape)

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

    def _saved_fields(self) -> dict[str, object]:
        """Return offsets and weights as lists, so that a file can be written by hand."""
        both = {"offsets": self.offsets.tolist(), "weights": self.weights.tolist()}
        return {**both, "sigma": self.sigma, "mean": self.mean}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> "CausalAR":
        names = ("offsets", "weights", "sigma", "mean")
        check_names(cls, given, dict.fromkeys(names), names)
        return cls(given["weights"], given["sigma"], given["mean"], support=given["offsets"])

    def __repr__(self) -> str:
        pairs: Sequence[str] = [
            f"({di}, {dj}): {weight:.6g}" for (di, dj), weight in zip(self.offsets.tolist(), self.weights, strict=True)
        ]
        return f"CausalAR({{{', '.join(pairs)}}}, sigma={self.sigma:.6g}, mean={self.mean:.6g})"


@dataclass(frozen=True, eq=False, repr=False)
class CausalARFit(Fitted):
    """A causal autoregression fitted to an image.

    An observation is an equation: a pixel whose whole neighbourhood is on the image and observed. The first rows and
    the border columns within the support's reach predict, but are not predicted.

    Attributes
    ----------
    model : CausalAR
        The estimates. Its `sigma` is the root of the mean squared residual (maximum likelihood) with least squares, the
        Yule-Walker value otherwise.
    loglik : float
        Conditional Gaussian log-likelihood of the equations in nats.
    n_observed : int
        Number of equations ``n``.
    method : str
        ``"least_squares"`` or ``"yule_walker"``.
    support : str
        Name of the support.
    shape : (int, int)
        Height and width of the image in pixels.
    covariance : ndarray, (K, K)
        Covariance of the estimated weights, ``s^2 (Z^T Z)^-1`` with ``Z`` the centred neighbours and
        ``s^2 = RSS / (n - K - 1)``; with Yule-Walker its asymptotic value ``sigma^2 R^-1 / n``.
    mean_error : float
        Standard error of the mean by the delta method; large where the weights sum to almost 1.
    condition_number : float
        2-norm condition number of the correlation matrix of the neighbours.
    """

    model: CausalAR
    loglik: float
    n_observed: int
    method: str
    support: str
    shape: Shape
    covariance: FloatArray
    mean_error: float
    condition_number: float

    @classmethod
    def of(cls, found: Estimates, support: Support, method: str, shape: Shape) -> "CausalARFit":
        """Return the fit that has found these estimates."""
        return cls(
            model=CausalAR(found.weights, found.sigma, found.mean, support.offsets),
            loglik=found.loglik,
            n_observed=found.n,
            method=method,
            support=support.name,
            shape=shape,
            covariance=found.covariance,
            mean_error=found.mean_error,
            condition_number=found.condition_number,
        )

    @property
    def n_parameters(self) -> int:
        """Number of parameters ``k = K + 2``: the weights, sigma and mean."""
        return len(self.model.weights) + 2

    @property
    def parameters(self) -> dict[str, float]:
        """Estimates by name: a weight by its offset, as ``"(-1, 0)"``, then ``sigma`` and ``mean``."""
        return self._named(self.model.weights, self.model.sigma, self.model.mean)

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters`; that of sigma, ``sigma / sqrt(2 n)``, holds for Gaussian innovations."""
        return self._named(
            self.weight_errors, self.model.sigma / float(np.sqrt(2.0 * self.n_observed)), self.mean_error
        )

    @property
    def weight_errors(self) -> FloatArray:
        """Standard errors of the weights, ``(K,)``."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def loglik_per_pixel(self) -> float:
        """Log-likelihood per equation in nats; differences are what a lossless predictive coder saves per pixel."""
        return self.loglik / self.n_observed

    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates, by default on the image's shape; warns if it is not stable."""
        return self.model.gmrf(self.shape if shape is None else shape)

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        lines = [f"causal autoregression, {self.support}, {self.method}, {self.n_observed} equations", ""]
        lines.append(f"{'':>10}{'estimate':>14}{'std. error':>14}{'z':>10}")
        errors = self.standard_errors
        for name, value in self.parameters.items():
            z = f"{value / errors[name]:10.1f}" if name[0] == "(" else ""
            lines.append(f"{name:>10}{value:14.6g}{errors[name]:14.3g}{z}")
        lines.append("")
        lines.append(
            f"log-likelihood per pixel {self.loglik_per_pixel:.6f} nats, AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        )
        lines.append(f"condition number of the neighbours {self.condition_number:.3g}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"CausalARFit({self.model!r}, loglik={self.loglik:.6g})"

    def _named(self, weights: FloatArray, sigma: float, mean: float) -> dict[str, float]:
        names = [f"({di}, {dj})" for di, dj in self.model.offsets.tolist()]
        return {**dict(zip(names, weights.tolist(), strict=True)), "sigma": sigma, "mean": mean}
