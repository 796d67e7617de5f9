"""Scores of Gaussian predictions, and exact leave-one-out predictions."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf._validate import finite, finite_number, integer_at_least, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.missing import diagonal_of_observed
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._condition import check_unconstrained, condition, with_known
from sparsegmrf.inference._null_space import needed_pixels
from sparsegmrf.inference._observations import Observations, observations
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """Gaussian predictions of pixels and what was observed there.

    Attributes
    ----------
    mean, std : ndarray, (H, W)
        Predicted mean and standard deviation of the measurement, in intensity; NaN where nothing was observed.
    observed : ndarray, (H, W)
        The measurement; NaN where missing.
    """

    mean: FloatArray
    std: FloatArray
    observed: FloatArray

    def scores(self, level: float = 0.95) -> dict[str, float]:
        """Return RMSE, and the means of CRPS, log score and interval score, and the coverage, over the pixels."""
        seen = np.isfinite(self.observed)
        y, mean, std = self.observed[seen], self.mean[seen], self.std[seen]
        return {
            "rmse": float(np.sqrt(np.mean((y - mean) ** 2))),
            "crps": float(crps(y, mean, std).mean()),
            "log_score": float(log_score(y, mean, std).mean()),
            "interval_score": float(interval_score(y, mean, std, level).mean()),
            "coverage": coverage(y, mean, std, level),
        }


def crps(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> FloatArray:
    """Return the continuous ranked probability score of Gaussian predictions, in intensity; smaller is better.

    ``s [z (2 F(z) - 1) + 2 f(z) - 1/sqrt(pi)]`` with ``z = (y - m)/s``, ``F`` and ``f`` the standard normal
    distribution and density.

    Parameters
    ----------
    y, mean, std : array_like
        Truth, predicted mean and standard deviation (positive), in intensity; they broadcast.

    Raises
    ------
    ArgumentError
        If a value is not finite, or a standard deviation is not positive.

    References
    ----------
    T. Gneiting, A. Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102, eq. 21.

    Examples
    --------
    >>> round(float(crps(0.0, 0.0, 1.0)), 6)
    0.233695
    """
    from scipy.special import ndtr

    s, z = _standardized(y, mean, std)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.asarray(s * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi)))


def log_score(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> FloatArray:
    """Return the negative log-density of the truth under Gaussian predictions, in nats; arguments as for `crps`."""
    s, z = _standardized(y, mean, std)
    return np.asarray(0.5 * z * z + np.log(s) + 0.5 * np.log(2.0 * np.pi))


def interval_score(y: ArrayLike, mean: ArrayLike, std: ArrayLike, level: float = 0.95) -> FloatArray:
    """Return the score of central prediction intervals ``[l, u]``, in intensity; smaller is better.

    ``(u - l) + 2/a (l - y)_+ + 2/a (y - u)_+`` with ``a = 1 - level``.

    Parameters
    ----------
    y, mean, std : array_like
        As for `crps`.
    level : float
        Probability of the interval, between 0 and 1.

    References
    ----------
    T. Gneiting, A. Raftery (2007), eq. 43.

    Examples
    --------
    >>> round(float(interval_score(0.0, 0.0, 1.0)), 4)
    3.9199
    """
    s, z = _standardized(y, mean, std)
    half = half_width(level)
    return np.asarray(s * (2.0 * half + 2.0 / (1.0 - level) * np.maximum(np.abs(z) - half, 0.0)))


def coverage(y: ArrayLike, mean: ArrayLike, std: ArrayLike, level: float = 0.95) -> float:
    """Return the share of truths within the central prediction interval; arguments as for `interval_score`."""
    _, z = _standardized(y, mean, std)
    return float(np.mean(np.abs(z) <= half_width(level)))


def pit(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> FloatArray:
    """Return the probability integral transform ``F((y - m)/s)``, uniform if the predictions are right."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_standardized(y, mean, std)[1]))


@dataclass(frozen=True, eq=False)
class PITHistogram:
    """Histogram of the probability integral transform, with the band within which right predictions keep it.

    Attributes
    ----------
    edges : ndarray, (bins + 1,)
        From 0 to 1, equally far apart.
    counts : ndarray of int, (bins,)
        Predictions per bin. A hump says that predicted deviations are too large, a trough that they are too small, a
        slope that means are off.
    expected : float
        Predictions per bin if the transform is uniform.
    low, high : int
        Quantiles of a bin's binomial distribution at the two ends of the band.
    level : float
        Probability of the band, for each bin by itself.
    """

    edges: FloatArray
    counts: IntArray
    expected: float
    low: int
    high: int
    level: float

    @property
    def outside(self) -> int:
        """Number of bins beyond the band; of right predictions ``(1 - level)`` of them at most, on average."""
        return int(np.count_nonzero((self.counts < self.low) | (self.counts > self.high)))


def pit_histogram(
    y: ArrayLike, mean: ArrayLike, std: ArrayLike, *, bins: int = 10, level: float = 0.95
) -> PITHistogram:
    """Return the histogram of `pit` with the band expected of right predictions.

    The band takes predictions as independent. Those of near pixels are not, which widens it: by how much, a histogram
    of simulated images tells.

    Parameters
    ----------
    y, mean, std : array_like
        As for `crps`.
    bins : int
        Number of bins, at least 1.
    level : float
        Probability of the band, between 0 and 1.

    Raises
    ------
    ArgumentError
        As for `crps`, or if `bins` or `level` is out of its range.

    References
    ----------
    T. Gneiting, F. Balabdaoui, A. Raftery (2007), Probabilistic forecasts, calibration and sharpness, JRSS B 69.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = pit_histogram(rng.standard_normal(1000), 0.0, 1.0, bins=5)
    >>> found.counts.tolist(), (found.low, found.high), found.outside
    ([201, 225, 194, 199, 181], (176, 225), 0)
    """
    from scipy.stats import binom

    number, _ = integer_at_least("bins", bins, 1), half_width(level)
    values = pit(y, mean, std).ravel()
    counts, edges = np.histogram(values, bins=number, range=(0.0, 1.0))
    law = binom(len(values), 1.0 / number)
    low, high = (int(law.ppf(p)) for p in ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return PITHistogram(edges, counts.astype(np.int64), len(values) / number, low, high, level)


def leave_one_out(gmrf: GMRF, y: ArrayLike, *, mask: ArrayLike | None = None, noise_variance: ArrayLike) -> Predictions:
    """Predict every observed pixel from all other observed ones, exactly, by one factorization.

    With ``S`` the precision of the observed pixels' measurements: ``E[y_p | rest] = y_p - (S r)_p / S_pp`` and variance
    ``1 / S_pp``. With ``P`` the posterior precision of the pixels ``u`` that are noisy or missing, ``S_pp = w_p - w_p^2
    (P^-1)_pp`` of a noisy pixel, from the selected inverse, and ``S_pp = Q_pp - Q_pu P^-1 Q_up`` of an exact one.

    Parameters
    ----------
    gmrf, y, mask, noise_variance
        As for `condition`. The field's mean and parameters are held; nothing is fitted anew without the pixel.

    Returns
    -------
    Predictions
        Of measurements, noise included; NaN where an exact one is of a pixel that the field knows, outside its domain,
        and where nothing else fixes the level of an intrinsic field: of a pixel that is the only one observed on a
        connected part.

    Raises
    ------
    ArgumentError
        As for `condition`, or if there is one observation only.
    TooLargeError
        If exact pixels have more neighbours that are not than memory holds covariances of.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3)))
    >>> leave_one_out(field, [[1.0, 0.0, 3.0]], noise_variance=0.0).mean.tolist()
    [[0.0, 2.0, 0.0]]
    """
    data = observations(y, mask, noise_variance, gmrf.shape)
    if data.count < 2:
        raise ArgumentError("y must have two observed pixels or more, got one; nothing is left to predict it from.")
    if data.exact.any():
        check_unconstrained(gmrf)
    known = with_known(gmrf, data).exact  # refuses what contradicts a known pixel
    if data.exact.all():
        score, precision = gmrf.precision @ (data.values - gmrf.mean), gmrf.precision.diagonal()
    else:
        posterior = condition(gmrf, y, mask=mask, noise_variance=noise_variance)
        score, precision = _precision_of_measurements(gmrf, data, known, posterior)
    seen = data.observed & (gmrf.domain | ~data.exact) & ~needed_pixels(gmrf.null_vectors, data.observed)
    result = [np.full(gmrf.shape, np.nan) for _ in range(3)]
    result[0][seen] = data.values[seen] - score[seen] / precision[seen]
    result[1][seen] = 1.0 / np.sqrt(precision[seen])
    result[2][seen] = data.values[seen]
    return Predictions(*result)


def _precision_of_measurements(
    gmrf: GMRF, data: Observations, known: BoolArray, posterior: GMRF
) -> tuple[FloatArray, FloatArray]:
    """Return ``S r`` and the diagonal of ``S``, images; what stands at missing pixels means nothing."""
    w = data.weight
    score = w * (data.values - posterior.mean)
    precision = w - w * w * posterior.marginal_variance() if w.any() else np.zeros(gmrf.shape)
    if data.exact.any():
        P = gmrf.precision.plus_diagonal(w) if w.any() else gmrf.precision
        exact = gmrf.precision @ (posterior.mean - gmrf.mean)
        precision = np.where(data.exact, diagonal_of_observed(P, ~known), precision)
        score = np.where(data.exact, exact, score)
    return score, precision


def _standardized(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> tuple[FloatArray, FloatArray]:
    truth, centre, s = (finite(n, real_array(n, v)) for n, v in (("y", y), ("mean", mean), ("std", std)))
    if s.size and s.min() <= 0.0:
        raise ArgumentError(f"std must be positive, got {float(s.min())}.")
    try:
        z = (truth - centre) / s
    except ValueError:
        raise ArgumentError(
            f"y, mean and std must broadcast, got shapes {truth.shape}, {centre.shape} and {s.shape}."
        ) from None
    return s, np.asarray(z)


def half_width(level: float) -> float:
    """Return half the width of the central interval of a standard normal number with probability `level`."""
    from scipy.special import ndtri

    probability = finite_number("level", level)
    if not 0.0 < probability < 1.0:
        raise ArgumentError(f"level must lie between 0 and 1, got {probability}.")
    return float(ndtri(0.5 + probability / 2.0))
