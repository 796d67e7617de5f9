"""Modes of a series of gappy images by variational Bayes: how many there are, and how sure, comes from the data."""

from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf.stacks._modes_scores import RANGES, ScoreKernel, Scores, smooth
from sparsegmrf.typing import BoolArray, FloatArray

YEAR = 365.25
DEGREES = 8.0
"""Of freedom of Student's t, of which the noise is: undetected clouds and shadows are 5 to 20 deviations off."""

_SCREENS = 8
_PIXEL_DEGREES = 3.0
_IMAGE_DEGREES = 20.0
"""Of the priors of a pixel's noise and of an image's scale, in observations."""

_SMALLEST = 1e-6
"""Least standard deviation of the noise, as a share of the series' own: of pixels that never change."""


@dataclass(frozen=True)
class Series:
    """Images as vectors: values ``(T, n)`` in robust deviations, 0 where missing; what is seen; days ``(T,)``."""

    values: FloatArray
    seen: BoolArray
    days: FloatArray

    def at(self, dates: BoolArray) -> "Series":
        """Return the series of some dates."""
        return Series(self.values[dates], self.seen[dates], self.days[dates])


@dataclass(frozen=True)
class Modes:
    """What does not change from date to date, given the data: ``y_tp = x_t^T beta_p + h_t^T w_p + noise_tp``.

    Parameters
    ----------
    harmonics : int
        Waves of the year in ``x_t``, which has ``k = 1 + 2 harmonics`` columns.
    mean : (n, k + r) array
        Posterior means of ``beta_p`` and ``w_p``.
    spread : (n, k + r, k + r) array
        Their posterior covariances.
    noise : (n,) array
        Squared scale of the noise, which is Student's t.
    centre, precision : (k + r,) arrays
        Prior ``N(centre, diag(1 / precision))`` of the coefficients of a pixel, estimated as well.
    kernel : ScoreKernel
        Prior of ``h_t``.
    """

    harmonics: int
    mean: FloatArray
    spread: FloatArray
    noise: FloatArray
    centre: FloatArray
    precision: FloatArray
    kernel: ScoreKernel

    @property
    def fixed(self) -> int:
        """Number of coefficients of the season."""
        return 1 + 2 * self.harmonics

    @property
    def loadings(self) -> FloatArray:
        """Modes ``(n, r)``."""
        return self.mean[:, self.fixed :]

    def seasonal(self, days: FloatArray) -> FloatArray:
        """Seasonal means ``(T, n)``."""
        return season_of(days, self.harmonics) @ self.mean[:, : self.fixed].T

    def products(self, days: FloatArray, scores: Scores) -> tuple[FloatArray, FloatArray]:
        """Return expectations of ``g_t = (x_t, h_t)`` and of ``g_t g_t^T``, the latter as ``(T, (k + r)^2)``."""
        terms = np.concatenate([season_of(days, self.harmonics), scores.mean], axis=1)
        squares = terms[:, :, None] * terms[:, None, :]
        squares[:, self.fixed :, self.fixed :] += scores.covariance
        return terms, squares.reshape(len(terms), -1)

    def information(self, series: Series, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what images whose noise has precisions `weights` ``(T, n)`` say of the scores: input of `smooth`."""
        k, loadings, size = self.fixed, self.loadings, len(self.centre)
        uncertain = (weights @ self.spread.reshape(len(loadings), -1)).reshape(len(weights), size, size)
        if len(weights) == 1:
            known = ((loadings.T * weights[0]) @ loadings)[None]
        else:
            known = (weights @ _own_products(loadings)).reshape(len(weights), size - k, size - k)
        information = uncertain[:, k:, k:] + known
        shift = (weights * (series.values - self.seasonal(series.days))) @ loadings
        season = season_of(series.days, self.harmonics)
        return information, shift - np.einsum("tab,tb->ta", uncertain[:, k:, :k], season)


@dataclass(frozen=True)
class Learned:
    """Modes, and what was learnt of the dates: scores, weights ``(T, n)`` of pixels, scales ``(T,)`` of images."""

    modes: Modes
    scores: Scores
    weights: FloatArray
    scales: FloatArray

    def noise_precision(self, series: Series) -> FloatArray:
        """Expected precision ``(T, n)`` of the noise, zero where nothing is seen."""
        return np.asarray(self.weights * series.seen / (self.modes.noise * self.scales[:, None]))


def season_of(days: FloatArray, harmonics: int) -> FloatArray:
    """Return a constant and the waves of the year, ``(T, 1 + 2 harmonics)``."""
    angles = 2.0 * np.pi * days[:, None] / YEAR * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((len(days), 1)), np.cos(angles), np.sin(angles)], axis=1)


def learn(series: Series, rank: int, harmonics: int, *, sweeps: int = 12, refinements: int = 6) -> Learned:
    """Learn modes from gappy images.

    Coefficients of pixels have a normal posterior and scores another; each is found given the other, the prior of a
    mode shrinks it as far as it is not needed (Bishop, 1999; Ilin and Raiko, 2010, JMLR 11, with gaps), and weights
    of Student's t and a scale per image take what is no surface. At first the scores of all dates are independent and
    rotated freely; then they are processes in time, whose variances are estimated.

    Parameters
    ----------
    series : Series
        Only dates of which something is seen.
    rank, harmonics : int
        Modes at most, and waves of the year.
    sweeps, refinements : int
        Iterations of the two parts.

    Returns
    -------
    Learned
    """
    state = _start(series, rank, harmonics)
    if rank == 0:
        for _ in range(sweeps):
            state = _update_pixels(series, state)
        return state
    for _ in range(sweeps):
        state = _rotated(_update_pixels(series, _independent_scores(series, state)))
    kernel = ScoreKernel(np.array(RANGES), np.full((len(RANGES), rank), 1 / 3), np.full(rank, 1 / 3))
    state = replace(state, modes=replace(state.modes, kernel=kernel))
    for _ in range(refinements):
        state = _update_pixels(series, update_scores(series, state))
        state = replace(state, modes=replace(state.modes, kernel=state.scores.kernel))
    return update_scores(series, state)


def update_scores(series: Series, state: Learned) -> Learned:
    """Return the posterior of the scores given the pixels' coefficients."""
    modes = state.modes
    information, shift = modes.information(series, state.noise_precision(series))
    return replace(state, scores=smooth(modes.kernel, series.days, information, shift))


def weigh(squares: FloatArray, seen: BoolArray, noise: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return weights of Student's t and scales of images, given the expected squares ``(T, n)`` of the noise."""
    for _ in range(3):
        standard = squares / noise
        weights = (DEGREES + 1.0) / (DEGREES + standard / scales[:, None]) * seen
        scales = (_IMAGE_DEGREES + (weights * standard).sum(axis=1)) / (_IMAGE_DEGREES + seen.sum(axis=1))
    return weights, scales


def _start(series: Series, rank: int, harmonics: int) -> Learned:
    """Return robust seasonal means, and the principal components of the fullest images."""
    state = _seasonal(series, harmonics)
    if rank == 0:
        return state
    residuals = series.seen * (series.values - state.modes.seasonal(series.days))
    limit = 3.0 * np.sqrt(state.modes.noise)
    residuals = np.clip(residuals, -limit, limit)
    fullness = series.seen.mean(axis=1)
    fullest = np.argsort(-fullness, kind="stable")[: max(rank + 5, int((fullness > 0.6).sum()))]
    _, singular, axes = np.linalg.svd(residuals[fullest], full_matrices=False)
    loadings = np.zeros((series.values.shape[1], rank))
    found = min(rank, len(singular))
    loadings[:, :found] = axes[:found].T * singular[:found] / np.sqrt(len(fullest))
    modes = state.modes
    k, size = modes.fixed, modes.fixed + rank
    spread = np.zeros((len(loadings), size, size))
    spread[:, :k, :k] = modes.spread
    power = (loadings**2).mean(axis=0)
    precision = 1.0 / np.maximum(power, _SMALLEST**2)
    modes = Modes(
        harmonics,
        np.concatenate([modes.mean, loadings], axis=1),
        spread,
        modes.noise / 4.0,
        np.concatenate([modes.centre, np.zeros(rank)]),
        np.concatenate([modes.precision, precision]),
        ScoreKernel(np.zeros(0), np.zeros((0, rank)), np.ones(rank)),
    )
    return replace(state, modes=modes)


def _seasonal(series: Series, harmonics: int) -> Learned:
    """Return the model without modes after robust regressions on the season."""
    count, pixels = series.values.shape
    k = 1 + 2 * harmonics
    none = ScoreKernel(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
    scores = Scores(np.zeros((count, 0)), np.zeros((count, 0, 0)), none)
    centre = np.zeros(k)
    precision = np.full(k, 1.0)
    noise = np.ones(pixels)
    modes = Modes(harmonics, np.zeros((pixels, k)), np.zeros((pixels, k, k)), noise, centre, precision, none)
    state = Learned(modes, scores, series.seen.astype(float), np.ones(count))
    for _ in range(_SCREENS):
        state = _update_pixels(series, state)
    return state


def _independent_scores(series: Series, state: Learned) -> Learned:
    """Return the posterior of scores that are independent and of unit variance."""
    information, shift = state.modes.information(series, state.noise_precision(series))
    covariance = np.asarray(np.linalg.inv(information + np.eye(state.modes.kernel.rank)), dtype=np.float64)
    mean = np.einsum("tab,tb->ta", covariance, shift)
    return replace(state, scores=Scores(mean, covariance, state.modes.kernel))


def _update_pixels(series: Series, state: Learned) -> Learned:
    """Return coefficients of the pixels given the scores, their prior, and the noise."""
    modes, pixels = state.modes, series.values.shape[1]
    terms, products = modes.products(series.days, state.scores)
    weights = state.noise_precision(series)
    size = terms.shape[1]
    found = (weights.T @ products).reshape(pixels, size, size) + np.diag(modes.precision)
    spread = np.asarray(np.linalg.inv(found), dtype=np.float64)
    sums = (weights * series.values).T @ terms + modes.precision * modes.centre
    mean = np.einsum("pab,pb->pa", spread, sums)
    modes = _with_prior(modes, mean, spread)
    squares = expected_squares(series, modes, state.scores)
    noise = modes.noise
    typical = float(np.median(noise))
    scales, seen = state.scales, series.seen
    for _ in range(2):
        noise_weights, scales = weigh(squares, seen, noise, scales)
        sums = (noise_weights * squares / scales[:, None]).sum(axis=0)
        noise = (_PIXEL_DEGREES * typical + sums) / (_PIXEL_DEGREES + seen.sum(axis=0))
        noise = np.maximum(noise, _SMALLEST**2)
    return Learned(replace(modes, noise=noise), state.scores, noise_weights, scales)


def expected_squares(series: Series, modes: Modes, scores: Scores) -> FloatArray:
    """Return expected squares ``(T, n)`` of values less their signal, under the posteriors of both factors."""
    terms, _ = modes.products(series.days, scores)
    residuals = series.values - terms @ modes.mean.T
    return np.asarray(residuals**2 + signal_variance(series.days, modes, scores))


def signal_variance(days: FloatArray, modes: Modes, scores: Scores) -> FloatArray:
    """Return variances ``(T, n)`` of the season and modes."""
    loadings = modes.loadings
    uncertain = coefficient_variance(days, modes, scores)
    if len(days) == 1:
        return np.asarray(uncertain + ((loadings @ scores.covariance[0]) * loadings).sum(axis=1))
    return np.asarray(uncertain + scores.covariance.reshape(len(days), -1) @ _own_products(loadings).T)


def _own_products(loadings: FloatArray) -> FloatArray:
    """Return ``w_p w_p^T`` as ``(n, r^2)``: worth its memory for many dates."""
    return (loadings[:, :, None] * loadings[:, None, :]).reshape(len(loadings), loadings.shape[1] ** 2)


def coefficient_variance(days: FloatArray, modes: Modes, scores: Scores) -> FloatArray:
    """Return the part ``(T, n)`` of the signal's variance that is due to the pixels' coefficients."""
    _, products = modes.products(days, scores)
    variance: FloatArray = products @ modes.spread.reshape(len(modes.mean), -1).T
    return variance


def _with_prior(modes: Modes, mean: FloatArray, spread: FloatArray) -> Modes:
    """Return modes with new coefficients, and the prior that suits these best."""
    k = modes.fixed
    centre = np.zeros_like(modes.centre)
    centre[:k] = mean[:, :k].mean(axis=0)
    squares = ((mean - centre) ** 2 + np.einsum("paa->pa", spread)).mean(axis=0)
    precision = 1.0 / np.maximum(squares, _SMALLEST**2)
    return replace(modes, mean=mean, spread=spread, centre=centre, precision=precision)


def _rotated(state: Learned) -> Learned:
    """Return the same signal with scores of unit second moment and modes that are orthogonal."""
    modes, scores = state.modes, state.scores
    k = modes.fixed
    moment = (scores.mean.T @ scores.mean + scores.covariance.sum(axis=0)) / len(scores.mean)
    root = np.linalg.cholesky(moment)
    power = modes.loadings.T @ modes.loadings + modes.spread[:, k:, k:].sum(axis=0)
    _, axes = np.linalg.eigh(root.T @ power @ root)
    turn = root @ axes[:, ::-1]
    whole = np.eye(len(modes.centre))
    whole[k:, k:] = turn
    back = np.linalg.inv(turn)
    rotated = _with_prior(modes, modes.mean @ whole, whole.T @ modes.spread @ whole)
    new_scores = Scores(scores.mean @ back.T, back @ scores.covariance @ back.T, scores.kernel)
    return replace(state, modes=rotated, scores=new_scores)
