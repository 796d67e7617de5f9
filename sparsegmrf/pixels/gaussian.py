"""One Gaussian for the channels of all pixels, and its density as an image."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels._covariance import Shrinkage, checked_shrinkage, cholesky_of, covariance_of, remedy_of
from sparsegmrf.pixels._estimator import Estimator, fit_method
from sparsegmrf.pixels._layout import Pixels, fitted_pixels, pixels
from sparsegmrf.pixels._lazy import Chunks, fitted_chunks, is_lazy
from sparsegmrf.pixels._maps import LOG_2PI, LOG_DENSITY, distance_map
from sparsegmrf.pixels._moments import moments_of_image, moments_of_tiles
from sparsegmrf.pixels._robust import Weight, robust_fit
from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

REMEDY = "leave such channels out, or pass shrinkage"


class PixelGaussian(Estimator):
    """Gaussian of the channels of a pixel, ``x_p ~ N(m, S)``, the same for all pixels and independent between them.

    ``log p(x_p) = -(C log 2 pi + log|S| + d_p^2) / 2`` with ``d_p^2 = |L^-1 (x_p - m)|^2`` and ``S = L L^T``. Follows
    scikit-learn's conventions for estimators; `fit` and `fit_robust` may also be called on the class.

    Parameters
    ----------
    shrinkage : float or {"ledoit-wolf", "oas"}
        ``a`` in [0, 1] of ``(1 - a) S + a (tr S / C) I``, or the rule that chooses it.
    ddof : float
        The scatter is divided by the number of pixels (or the sum of weights) less this.
    channel_axis : int or None
        Axis of the channels, from either end; None for one-channel images without such an axis.

    Attributes
    ----------
    mean_ : ndarray, (C,)
        Mean in intensity; also `mean`.
    covariance_ : ndarray, (C, C)
        Covariance in intensity^2; also `covariance`.
    cholesky_ : ndarray, (C, C)
        Lower triangular factor of it; also `cholesky`.
    shrinkage_ : float
        Amount of shrinkage.
    weight_ : float
        Number of pixels used, or the sum of their weights.
    n_features_in_ : int
        Channels.
    objective_ : list of float
        With `fit_robust`, the objective per pixel after every step, in nats.

    References
    ----------
    Chan, Golub & LeVeque, Algorithms for computing the sample variance, The American Statistician 37 (1983).
    Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J. Multivar. Anal. 88 (2004).
    Chen, Wiesel, Eldar & Hero, Shrinkage algorithms for MMSE covariance estimation, IEEE Trans. SP 58 (2010).

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(20, 30, 3))
    >>> model = PixelGaussian().fit(image)
    >>> model.mahalanobis_image(image).shape, round(float(model.mahalanobis_image(image).mean()), 12)
    ((20, 30, 1), 3.0)
    """

    def __init__(self, *, shrinkage: Shrinkage = 0.0, ddof: float = 0, channel_axis: int | None = -1) -> None:
        self.shrinkage = shrinkage
        self.ddof = ddof
        self.channel_axis = channel_axis

    @fit_method
    def fit(
        self,
        image: object,
        y: object = None,
        *,
        channel_axis: int | str | None = "same",
        mask: object = None,
        weights: ArrayLike | None = None,
        shrinkage: Shrinkage | None = None,
        ddof: float | None = None,
    ) -> "PixelGaussian":
        """Estimate mean and covariance of the channels in one pass.

        Parameters
        ----------
        image : array_like, (..., C) or the channels elsewhere, or an iterator of such tiles
            Intensities, finite; any real dtype, read in blocks and never converted as a whole. ``(n, C)`` is
            scikit-learn's form. An iterator is read once; bands of rows give bit by bit what the whole image gives.
        y : object
            Ignored; there for scikit-learn.
        channel_axis : int or None
            Axis of the channels, remembered for the maps; by default that of the constructor. -1 is refused for an
            image whose shape looks as if its channels came first; a non-negative axis never is.
        mask : ndarray of bool, the image's shape without channels, or "nan", optional
            True where pixels are left out; ``"nan"`` leaves out pixels with a NaN. Joined by a masked array's own.
        weights : array_like, the image's shape without channels, optional
            Non-negative weight of every pixel, as if it occurred so many times.
        shrinkage, ddof : optional
            As for the constructor, for this fit only.

        Returns
        -------
        PixelGaussian
            The estimator itself.

        Raises
        ------
        ImageLayoutError
            If the channel axis is not there or ambiguous.
        ArgumentError
            If there are too few pixels, or a value is NaN or infinite.
        SingularCovarianceError
            If some combination of channels does not vary; names it.
        """
        axis = self.channel_axis if channel_axis == "same" else channel_axis
        rule = checked_shrinkage(self.shrinkage if shrinkage is None else shrinkage)
        freedom = real_array("ddof", self.ddof if ddof is None else ddof)
        if freedom.ndim or not 0.0 <= freedom < np.inf:
            raise ArgumentError(f"ddof must be a number of at least 0, got {freedom}.")
        observed: Pixels | Chunks
        if is_lazy(image) and weights is None:
            observed = Chunks.of(image, axis, mask)
            moments, _ = moments_of_tiles(observed.tiles(), observed.moved.ndim - 1, False)
        elif isinstance(image, Iterator):
            if weights is not None or not (mask is None or isinstance(mask, str)):
                raise ArgumentError(
                    "weights and a mask must be left out for an iterator of tiles, got one; yield masked arrays, or "
                    'NaN with mask="nan".'
                )
            moments, observed = moments_of_tiles(image, axis, mask is not None)
        else:
            observed = pixels(image, axis, mask)
            moments = moments_of_image(observed, _flat_weights(weights, observed))
        if moments.weight == 0.0:
            raise ArgumentError("image must have an observed pixel of positive weight, got none; mask less.")
        covariance, amount = covariance_of(moments, rule, float(freedom))
        factor = cholesky_of(covariance, remedy_of(moments.weight, observed.channels, REMEDY))
        self._keep(observed, axis, moments.mean, covariance, factor, moments.weight, amount)
        white = scipy.linalg.solve_triangular(factor, moments.scatter, lower=True)
        squares = float(np.trace(scipy.linalg.solve_triangular(factor, white.T, lower=True)))
        self._loglik = moments.weight * self._constant - 0.5 * squares
        if amount > 0.0:
            self._not_maximal = f"the covariance was shrunk by {amount:.4g}; fit with shrinkage=0"
        elif freedom > 0.0:
            self._not_maximal = (
                f"the scatter was divided by {freedom:g} less than the number of pixels; fit with ddof=0"
            )
        return self

    @fit_method
    def fit_robust(
        self,
        image: object,
        weight: Weight = "student",
        *,
        dof: float = 4.0,
        threshold: float | None = None,
        tolerance: float = 1e-10,
        max_steps: int = 500,
        channel_axis: int | str | None = "same",
        mask: object = None,
    ) -> "PixelGaussian":
        """Estimate mean and scatter by iteratively reweighted moments, so that outlying pixels count less.

        Every step replaces ``m`` and ``S`` by the moments with weights ``w(d_p^2)`` and cannot increase

        ``J(m, S) = log|S| / 2 + mean_p rho(d_p^2)``, ``rho(s) = (1/2) integral_0^s w``.

        ``"student"``: ``w(s) = (v + C) / (v + s)``, the maximum-likelihood Student distribution with ``v = dof``.
        ``"huber"``: ``w(s) = min(1, k / sqrt(s))`` with ``k = threshold``.

        Parameters
        ----------
        image : array_like
            As for `fit`; an iterator is not enough, since the pixels are read at every step.
        weight : {"student", "huber"} or callable
            A callable takes an array of squared distances and returns weights: positive at 0, nowhere negative,
            nowhere increasing.
        dof : float
            Degrees of freedom of the Student distribution, positive.
        threshold : float, optional
            Distance from which Huber weights decrease; by default the one that 5% of Gaussian pixels exceed.
        tolerance : float
            Converged when a step improves the objective by less than this, in nats per pixel.
        max_steps : int
            Number of steps after which the fit is given up with a `ConvergenceError`.
        channel_axis, mask
            As for `fit`.

        Returns
        -------
        PixelGaussian
            The estimator; ``covariance_`` is the scatter ``S`` of the objective, and ``objective_`` lists ``J`` of the
            start (the plain moments) and of every step.

        Raises
        ------
        ArgumentError
            If `weight` is no such function, or a parameter is out of range.
        SingularCovarianceError
            If the weighted pixels lie in fewer dimensions than there are channels.
        ConvergenceError
            If `max_steps` are not enough.

        References
        ----------
        Kent, Tyler & Vardi, A curious likelihood identity for the multivariate t-distribution, Comm. Stat. B 23 (1994).
        Maronna, Robust M-estimators of multivariate location and scatter, Ann. Stat. 4 (1976).

        Examples
        --------
        >>> image = np.random.default_rng(0).normal(size=(50, 50, 2))
        >>> image[:5] += 20.0
        >>> model = PixelGaussian.fit_robust(image, "student")
        >>> bool(abs(model.mean).max() < 0.1), bool(abs(PixelGaussian.fit(image).mean).min() > 1.9)
        (True, True)
        """
        axis = self.channel_axis if channel_axis == "same" else channel_axis
        if isinstance(image, Iterator):
            raise ArgumentError("image must be an array, got an iterator; every step reads all pixels again.")
        observed = pixels(image, axis, mask)
        result = robust_fit(observed, weight, dof, threshold, tolerance, max_steps)
        self._keep(observed, axis, result.mean, result.scatter, result.factor, result.count, 0.0)
        self.objective_ = list(result.objective)
        self._loglik, self._not_maximal = None, "a robust fit minimizes another objective, objective_; take fit"
        return self

    @property
    def mean(self) -> FloatArray:
        """Mean of the channels, in intensity."""
        return np.asarray(self._fitted("mean_"))

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the channels, in intensity^2."""
        return np.asarray(self._fitted("covariance_"))

    @property
    def cholesky(self) -> FloatArray:
        """Lower triangular Cholesky factor of the covariance, in intensity."""
        return np.asarray(self._fitted("cholesky_"))

    @property
    def n_parameters(self) -> int:
        """Number of parameters ``k = C + C (C + 1) / 2``: mean and covariance."""
        channels = len(self.mean)
        return channels + channels * (channels + 1) // 2

    @property
    def logdet(self) -> float:
        """Log-determinant of the covariance."""
        return 2.0 * float(np.log(np.diagonal(self.cholesky)).sum())

    @property
    def gaussian(self) -> DenseGaussian:
        """The Gaussian of one pixel's channels, which also draws and conditions."""
        return DenseGaussian.from_factor(self.cholesky, self.mean)

    def mahalanobis_image(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return the squared Mahalanobis distance ``d_p^2`` of every pixel.

        Parameters
        ----------
        image : array_like
            As for `fit`.
        channel_axis : int or None
            By default where `fit` found the channels.
        mask : ndarray of bool or "nan", optional
            Pixels to leave out; they get NaN.

        Returns
        -------
        ndarray
            The input's shape with 1 in place of ``C``; without a channel axis the input's shape.

        Raises
        ------
        ImageLayoutError
            If the image does not have the channels of the fit on that axis.
        """
        return self._map(image, channel_axis, mask, None, ("squared_distance", "squared Mahalanobis distance"))

    def log_density_image(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return ``log p(x_p)`` of every pixel in nats; parameters and shapes as for `mahalanobis_image`."""
        return self._map(image, channel_axis, mask, _to_log_density(self._constant), LOG_DENSITY)

    def _table(self) -> list[str]:
        lines = [f"{'channel':>10}{'mean':>14}{'deviation':>14}"]
        deviations = np.sqrt(np.diagonal(self.covariance))
        for k, (mean, deviation) in enumerate(zip(self.mean, deviations, strict=True)):
            lines.append(f"{k:10d}{mean:14.6g}{deviation:14.6g}")
        return lines

    @property
    def _constant(self) -> float:
        return -0.5 * (len(self.mean) * LOG_2PI + self.logdet)

    def _map(
        self,
        image: object,
        channel_axis: int | str | None,
        mask: object,
        finish: Callable[[FloatArray], object] | None,
        told: tuple[str, str],
    ) -> FloatArray:
        channels, layout = self._fitted("n_features_in_"), self._fitted("_layout")
        if is_lazy(image):
            chunks = fitted_chunks(image, channel_axis, mask, channels, layout)
            (plane,) = chunks.maps(partial(_of_chunk, self, finish), 1)
            return chunks.restored(plane, *told)
        observed = fitted_pixels(image, channel_axis, mask, channels, layout)
        return observed.restored(distance_map(observed, self.mean, self.cholesky, finish), *told)

    def _keep(
        self,
        observed: Pixels | Chunks,
        axis: Any,
        mean: FloatArray,
        covariance: FloatArray,
        factor: FloatArray,
        weight: float,
        amount: float,
    ) -> None:
        self.mean_, self.covariance_, self.cholesky_ = mean, covariance, factor
        self.weight_, self.shrinkage_ = weight, amount
        self.n_features_in_ = observed.channels
        self._layout = (axis if observed.labels is None else observed.axis, observed.moved.ndim)
        self._not_maximal = None


def _of_chunk(
    model: PixelGaussian, finish: Callable[[FloatArray], object] | None, tile: FloatArray, mask: BoolArray
) -> list[FloatArray]:
    return [model._map(tile, tile.ndim - 1, mask, finish, LOG_DENSITY)[..., 0]]


def _flat_weights(weights: ArrayLike | None, observed: Pixels) -> FloatArray | None:
    if weights is None:
        return None
    if observed.labels is not None:
        weights = np.asarray(observed.labels.in_order("weights", weights))
    array = finite("weights", real_array("weights", weights), "give the pixel weight 0")
    if observed.axis is not None and array.ndim == len(observed.sites) + 1 and array.shape[observed.axis] == 1:
        array = np.squeeze(array, observed.axis)
    if array.shape != observed.sites:
        raise ArgumentError(f"weights must have the shape of the image {observed.sites}, got {array.shape}.")
    if (array < 0.0).any():
        raise ArgumentError(f"weights must not be negative, got {array.min()}; set them to 0.")
    return np.ascontiguousarray(array).reshape(-1)


def _to_log_density(constant: float) -> Callable[[FloatArray], None]:
    """Return what turns squared distances into ``constant - d^2/2`` in place."""
    return partial(_finish, constant)


def _finish(constant: float, block: FloatArray) -> None:
    np.multiply(block, -0.5, out=block)
    np.add(block, constant, out=block)
