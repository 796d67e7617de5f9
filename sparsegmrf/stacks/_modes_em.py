"""Modes of a series of gappy images by variational Bayes: how many there are, and how sure, comes from the data."""

from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf.inference._progress import evaluated, stage
from sparsegmrf.stacks import _modes_spread
from sparsegmrf.stacks._modes_scores import RANGES, ScoreKernel, Scores, smooth
from sparsegmrf.stacks._modes_spread import Spread, blocks, dual, pack, pairs, rows_of, summed, unpack
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
    spread : Spread
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
    spread: Spread
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
        """Return expectations of ``g_t = (x_t, h_t)`` and of ``g_t g_t^T``, the latter as ``(T, k + r, k + r)``."""
        terms = np.concatenate([season_of(days, self.harmonics), scores.mean], axis=1)
        squares = terms[:, :, None] * terms[:, None, :]
        squares[:, self.fixed :, self.fixed :] += scores.covariance
        return terms, squares

    def information(self, series: Series, weights: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what images say of the scores, given Student's weights ``(T, n)`` and scales: input of `smooth`."""
        k, loadings, season = self.fixed, self.loadings, season_of(series.days, self.harmonics)
        rank, columns = loadings.shape[1], self.spread.packed.shape[1]
        of_modes = rank * (rank + 1) // 2

        def of(first: int, last: int) -> FloatArray:
            found = np.zeros((len(weights), columns + of_modes + rank))
            uncertain, known, shift = np.split(found, [columns, columns + of_modes], axis=1)
            for some in blocks(first, last, k + rank):
                precision = weights[:, some] / (self.noise[some] * scales[:, None])
                uncertain += precision @ self.spread.packed[some]
                known += precision @ pairs(loadings[some])
                precision *= series.values[:, some] - season @ self.mean[some, :k].T
                shift += precision @ loadings[some]
            return found

        parts = np.split(summed(of, len(loadings)), [columns, columns + of_modes], axis=1)
        uncertain = self.spread.turned(parts[0])
        shift = parts[2] - np.einsum("tab,tb->ta", uncertain[:, k:, :k], season)
        return uncertain[:, k:, k:] + unpack(parts[1]), shift


@dataclass(frozen=True)
class Learned:
    """Modes, and what was learnt of the dates: scores, weights ``(T, n)`` of pixels, scales ``(T,)`` of images."""

    modes: Modes
    scores: Scores
    weights: FloatArray
    scales: FloatArray


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
    passes = _SCREENS if rank else _SCREENS + sweeps
    with stage("learning seasons", passes):
        state = _seasonal(series, harmonics, passes)
    if rank == 0:
        return state
    with stage("learning modes", sweeps + refinements):
        return _with_modes(series, _start(series, rank, state), sweeps, refinements)


def _with_modes(series: Series, state: Learned, sweeps: int, refinements: int) -> Learned:
    """Return modes and scores after iterations from a start."""
    for _ in range(sweeps):
        state = _rotated(update_pixels(series, _independent_scores(series, state)))
    rank = state.modes.kernel.rank
    kernel = ScoreKernel(np.array(RANGES), np.full((len(RANGES), rank), 1 / 3), np.full(rank, 1 / 3))
    state = replace(state, modes=replace(state.modes, kernel=kernel))
    for _ in range(refinements):
        state = update_pixels(series, update_scores(series, state))
        state = replace(state, modes=replace(state.modes, kernel=state.scores.kernel))
    return update_scores(series, state)


def update_scores(series: Series, state: Learned) -> Learned:
    """Return the posterior of the scores given the pixels' coefficients."""
    modes = state.modes
    information, shift = modes.information(series, state.weights, state.scales)
    return replace(state, scores=smooth(modes.kernel, series.days, information, shift))


def update_pixels(series: Series, state: Learned) -> Learned:
    """Return coefficients of the pixels given the scores, their prior, and the noise."""
    modes, (count, pixels) = state.modes, series.values.shape
    k, size = modes.fixed, len(modes.centre)
    terms, products = modes.products(series.days, state.scores)
    sums, duals = pack(products), np.concatenate([dual(products), dual(state.scores.covariance)], axis=1)
    mean, spread = np.empty((pixels, size)), np.empty((pixels, sums.shape[1]))
    squares = np.empty((count, pixels))  # expected ones of the noise, and at last its weights

    def of(first: int, last: int) -> None:
        for some in blocks(first, last, size):
            values = series.values[:, some]
            precision = state.weights[:, some] / (modes.noise[some] * state.scales[:, None])
            covariance = np.linalg.inv(unpack(precision.T @ sums) + np.diag(modes.precision))
            right = (precision * values).T @ terms + modes.precision * modes.centre
            mean[some] = (covariance @ right[:, :, None])[:, :, 0]
            spread[some] = pack(np.asarray(covariance, dtype=np.float64))
            both = np.concatenate([spread[some], pairs(mean[some, k:])], axis=1)
            squares[:, some] = (values - terms @ mean[some].T) ** 2 + duals @ both.T

    _modes_spread.over(of, pixels)
    modes = _with_prior(modes, mean, Spread(spread))
    noise, scales = _noise_of(series.seen, squares, modes.noise, state.scales)
    evaluated()
    return Learned(replace(modes, noise=noise), state.scores, squares, scales)


def weigh(squares: FloatArray, seen: BoolArray, noise: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return weights of Student's t and scales of images, given the expected squares ``(T, n)`` of the noise."""
    standard = squares / noise
    count = _IMAGE_DEGREES + seen.sum(axis=1)
    for _ in range(3):
        weights = standard / scales[:, None]
        weights += DEGREES
        np.divide(DEGREES + 1.0, weights, out=weights)
        weights *= seen
        scales = (_IMAGE_DEGREES + np.einsum("tp,tp->t", weights, standard)) / count
    return weights, scales


def _start(series: Series, rank: int, state: Learned) -> Learned:
    """Return seasonal means with the principal components of the fullest images."""
    fullness = series.seen.mean(axis=1)
    fullest = np.argsort(-fullness, kind="stable")[: max(rank + 5, int((fullness > 0.6).sum()))]
    residuals = series.seen[fullest] * (series.values[fullest] - state.modes.seasonal(series.days[fullest]))
    limit = 3.0 * np.sqrt(state.modes.noise)
    np.clip(residuals, -limit, limit, out=residuals)
    _, singular, axes = np.linalg.svd(residuals, full_matrices=False)
    loadings = np.zeros((series.values.shape[1], rank))
    found = min(rank, len(singular))
    loadings[:, :found] = axes[:found].T * singular[:found] / np.sqrt(len(fullest))
    modes = state.modes
    power = (loadings**2).mean(axis=0)
    precision = 1.0 / np.maximum(power, _SMALLEST**2)
    modes = Modes(
        modes.harmonics,
        np.concatenate([modes.mean, loadings], axis=1),
        modes.spread.padded(modes.fixed + rank),
        modes.noise / 4.0,
        np.concatenate([modes.centre, np.zeros(rank)]),
        np.concatenate([modes.precision, precision]),
        ScoreKernel(np.zeros(0), np.zeros((0, rank)), np.ones(rank)),
    )
    return replace(state, modes=modes)


def _seasonal(series: Series, harmonics: int, passes: int) -> Learned:
    """Return the model without modes after robust regressions on the season."""
    count, pixels = series.values.shape
    k = 1 + 2 * harmonics
    none = ScoreKernel(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
    scores = Scores(np.zeros((count, 0)), np.zeros((count, 0, 0)), none)
    centre = np.zeros(k)
    precision = np.full(k, 1.0)
    noise = np.ones(pixels)
    modes = Modes(
        harmonics, np.zeros((pixels, k)), Spread(np.zeros((pixels, k * (k + 1) // 2))), noise, centre, precision, none
    )
    state = Learned(modes, scores, series.seen.astype(float), np.ones(count))
    for _ in range(passes):
        state = update_pixels(series, state)
    return state


def _independent_scores(series: Series, state: Learned) -> Learned:
    """Return the posterior of scores that are independent and of unit variance."""
    information, shift = state.modes.information(series, state.weights, state.scales)
    covariance = np.asarray(np.linalg.inv(information + np.eye(state.modes.kernel.rank)), dtype=np.float64)
    mean = np.einsum("tab,tb->ta", covariance, shift)
    return replace(state, scores=Scores(mean, covariance, state.modes.kernel))


def _noise_of(
    seen: BoolArray, squares: FloatArray, noise: FloatArray, scales: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return noise of the pixels and scales of the dates; the weights are put where the expected squares were."""
    typical, counts = float(np.median(noise)), seen.sum(axis=0)
    for keep in (False, True):
        sums, scales = _weighed(seen, squares, noise, scales, keep)
        noise = (_PIXEL_DEGREES * typical + sums) / (_PIXEL_DEGREES + counts)
        noise = np.maximum(noise, _SMALLEST**2)
    return noise, scales


def _weighed(
    seen: BoolArray, squares: FloatArray, noise: FloatArray, scales: FloatArray, keep: bool
) -> tuple[FloatArray, FloatArray]:
    """Return weighted sums ``(n,)`` of squares and scales ``(T,)``; ``keep`` puts the weights in the squares' place."""
    count, pixels = squares.shape
    found = np.empty(count)

    def of(first: int, last: int) -> FloatArray:
        sums = np.zeros(pixels)
        for some in rows_of(first, last, pixels):
            weights, found[some] = weigh(squares[some], seen[some], noise, scales[some])
            sums += (1.0 / found[some]) @ (weights * squares[some])
            if keep:
                squares[some] = weights
        return sums

    return summed(of, count), found


def expected_squares(series: Series, modes: Modes, scores: Scores) -> FloatArray:
    """Return expected squares ``(T, n)`` of values less their signal, under the posteriors of both factors."""
    terms, _ = modes.products(series.days, scores)
    residuals = series.values - terms @ modes.mean.T
    of_scores = [((modes.loadings @ each) * modes.loadings).sum(axis=1) for each in scores.covariance]
    return np.asarray(residuals**2 + coefficient_variance(series.days, modes, scores) + np.array(of_scores))


def coefficient_variance(days: FloatArray, modes: Modes, scores: Scores) -> FloatArray:
    """Return the part ``(T, n)`` of the signal's variance that is due to the pixels' coefficients."""
    _, products = modes.products(days, scores)
    return np.asarray(modes.spread.dual(products) @ modes.spread.packed.T)


def _with_prior(modes: Modes, mean: FloatArray, spread: Spread) -> Modes:
    """Return modes with new coefficients, and the prior that suits these best."""
    k = modes.fixed
    centre = np.zeros_like(modes.centre)
    centre[:k] = mean[:, :k].mean(axis=0)
    squares = ((mean - centre) ** 2).mean(axis=0) + np.diagonal(spread.mean)
    precision = 1.0 / np.maximum(squares, _SMALLEST**2)
    return replace(modes, mean=mean, spread=spread, centre=centre, precision=precision)


def _rotated(state: Learned) -> Learned:
    """Return the same signal with scores of unit second moment and modes that are orthogonal."""
    modes, scores = state.modes, state.scores
    k = modes.fixed
    moment = (scores.mean.T @ scores.mean + scores.covariance.sum(axis=0)) / len(scores.mean)
    root = np.linalg.cholesky(moment)
    power = modes.loadings.T @ modes.loadings + len(modes.mean) * modes.spread.mean[k:, k:]
    _, axes = np.linalg.eigh(root.T @ power @ root)
    turn = root @ axes[:, ::-1]
    whole = np.eye(len(modes.centre))
    whole[k:, k:] = turn
    back = np.linalg.inv(turn)
    rotated = _with_prior(modes, modes.mean @ whole, modes.spread.rotated(whole))
    new_scores = Scores(scores.mean @ back.T, back @ scores.covariance @ back.T, scores.kernel)
    return replace(state, modes=rotated, scores=new_scores)
