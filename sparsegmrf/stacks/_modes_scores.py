"""Scores of modes in time: sums of Ornstein-Uhlenbeck processes, smoothed exactly at irregular dates."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.typing import FloatArray, IntArray

RANGES = (1000.0, 40.0)
"""Days over which the correlation of the two processes of a score falls to 1/e: years and weeks."""


@dataclass(frozen=True)
class ScoreKernel:
    """Prior covariance of the scores: ``cov(h_tj, h_sj) = sum_c v_cj exp(-|t - s| / range_c) + w_j [t = s]``.

    Parameters
    ----------
    ranges : (C,) array
        In days.
    variances : (C, r) array
        Of the processes that last.
    white : (r,) array
        Variance of what a date has by itself.
    """

    ranges: FloatArray
    variances: FloatArray
    white: FloatArray

    @property
    def rank(self) -> int:
        """Number of modes."""
        return len(self.white)

    @property
    def marginal(self) -> FloatArray:
        """Variance ``(r,)`` of a score at a date of which nothing is known."""
        return np.asarray(self.variances.sum(axis=0) + self.white)

    def decays(self, days: FloatArray) -> FloatArray:
        """Correlation ``(T, C r)`` of each process with the date before, zero at the first."""
        gaps = np.diff(days, prepend=days[:1])
        decays = np.repeat(np.exp(-gaps[:, None] / self.ranges), self.rank, axis=1)
        decays[:1] = 0.0
        return decays

    def draw(self, days: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw scores ``(T, r, count)`` from the prior."""
        decays = self.decays(days)
        deviations = np.sqrt(self.variances.ravel())
        states = np.empty((len(days), deviations.size, count))
        for t, decay in enumerate(decays):
            shocks = rng.standard_normal((deviations.size, count))
            kept = decay[:, None] * states[t - 1] if t else 0.0
            states[t] = kept + (deviations * np.sqrt(1.0 - decay**2))[:, None] * shocks
        lasting = states.reshape(len(days), len(self.ranges), self.rank, count).sum(axis=1)
        return np.asarray(lasting + np.sqrt(self.white)[:, None] * rng.standard_normal(lasting.shape))


@dataclass(frozen=True)
class Scores:
    """Posterior of the scores: means ``(T, r)`` or ``(T, r, B)``, covariances ``(T, r, r)``, and EM's next kernel."""

    mean: FloatArray
    covariance: FloatArray
    kernel: ScoreKernel

    def at(self, dates: slice | IntArray) -> "Scores":
        """Return the scores of some dates."""
        return Scores(self.mean[dates], self.covariance[dates], self.kernel)


def smooth(kernel: ScoreKernel, days: FloatArray, information: FloatArray, shift: FloatArray) -> Scores:
    """Return the posterior of scores of which a date has the likelihood ``exp(shift^T h - h^T information h / 2)``.

    A filter forwards and the adjoint recursion backwards (de Jong, 1989, Biometrika 76), which inverts no covariance:
    processes whose variance is zero do no harm.

    Parameters
    ----------
    kernel : ScoreKernel
        Prior of the scores.
    days : (T,) array
        In ascending order; dates that nothing is known of have zeros in `information` and `shift`.
    information : (T, r, r) array
        Symmetric, positive semidefinite.
    shift : (T, r) array or (T, r, B) array
        One right-hand side, or several.

    Returns
    -------
    Scores
    """
    columns = shift if shift.ndim == 3 else shift[..., None]
    mixed = np.linalg.inv(np.eye(kernel.rank) + kernel.white[:, None] * information)  # (I + V_w P)^-1
    gains = np.swapaxes(mixed, 1, 2)
    lasting, spread, moved = _smooth_lasting(kernel, days, _symmetric(gains @ information), gains @ columns)
    own = mixed * kernel.white
    mean = mixed @ lasting + own @ columns
    covariance = _symmetric(own + mixed @ spread @ gains)
    # what a date has by itself: h less the lasting part
    residual = mixed - np.eye(kernel.rank)
    white_mean = (mean - lasting)[..., 0]
    white_variance = np.einsum("taa->ta", own + residual @ spread @ np.swapaxes(residual, 1, 2))
    white = (white_mean**2 + white_variance).mean(axis=0)
    following = ScoreKernel(kernel.ranges, moved.reshape(kernel.variances.shape), white)
    return Scores(mean if shift.ndim == 3 else mean[..., 0], covariance, following)


def _smooth_lasting(
    kernel: ScoreKernel, days: FloatArray, information: FloatArray, shift: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and covariance of the sum of the processes, and the expected square of each one's innovations."""
    decays = kernel.decays(days)
    count, rank = shift.shape[:2]
    size = decays.shape[1]
    stationary = kernel.variances.ravel()
    ahead_mean = np.empty((count, size, shift.shape[2]))
    ahead = np.empty((count, size, size))
    precisions = np.empty((count, rank, rank))
    innovations = np.empty_like(shift)
    mean, covariance = np.zeros(ahead_mean.shape[1:]), np.zeros((size, size))
    for t, decay in enumerate(decays):
        mean = decay[:, None] * mean
        covariance = decay[:, None] * covariance * decay
        covariance[np.diag_indices(size)] += stationary * (1.0 - decay**2)
        ahead_mean[t], ahead[t] = mean, covariance
        summed = _total(covariance, rank)  # C E^T
        scale = np.linalg.inv(np.eye(rank) + information[t] @ _total(summed.T, rank))
        precisions[t] = _symmetric(scale @ information[t])
        innovations[t] = scale @ (shift[t] - information[t] @ _total(mean.T, rank).T)
        mean = mean + summed @ innovations[t]
        covariance = _symmetric(covariance - summed @ precisions[t] @ summed.T)
    return _backwards(kernel, days, ahead_mean, ahead, precisions, innovations)


def _backwards(
    kernel: ScoreKernel,
    days: FloatArray,
    ahead_mean: FloatArray,
    ahead: FloatArray,
    precisions: FloatArray,
    innovations: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Run ``q_t = E^T u_t + L^T A q_{t+1}`` and ``N_t = E^T J E + L^T A N_{t+1} A L`` with ``L = I - C E^T J E``."""
    decays = kernel.decays(days)
    count, size, _ = ahead.shape
    rank, copies = kernel.rank, len(kernel.ranges)
    means = np.empty((count, rank, ahead_mean.shape[2]))
    covariances = np.empty((count, rank, rank))
    adjoint, weight = np.zeros(ahead_mean.shape[1:]), np.zeros((size, size))
    later_mean, later_square = np.zeros(size), np.zeros(size)
    remaining = np.zeros((size, size))
    innovated, steps = np.zeros(size), np.zeros(size)
    for t in range(count - 1, -1, -1):
        summed = _total(ahead[t], rank)
        gain = np.tile(summed @ precisions[t], (1, copies))
        kept = np.eye(size) - gain
        lag = np.einsum("ij,ij->i", remaining, _symmetric(kept @ ahead[t])) if t + 1 < count else np.zeros(size)
        adjoint = np.tile(innovations[t], (copies, 1)) + kept.T @ adjoint
        weight = _symmetric(np.tile(precisions[t], (copies, copies)) + kept.T @ weight @ kept)
        mean = ahead_mean[t] + ahead[t] @ adjoint
        covariance = _symmetric(ahead[t] - ahead[t] @ weight @ ahead[t])
        means[t] = _total(mean.T, rank).T
        covariances[t] = _total(_total(covariance, rank).T, rank)
        square = np.diag(covariance) + mean[:, 0] ** 2
        if t + 1 < count:
            decay = decays[t + 1]
            moved = later_square - 2.0 * decay * (lag + later_mean * mean[:, 0]) + decay**2 * square
            apart = decay < 1.0
            innovated[apart] += moved[apart] / (1.0 - decay[apart] ** 2)
            steps += apart
        later_mean, later_square = mean[:, 0], square
        decay = decays[t]
        remaining = (np.eye(size) - ahead[t] @ weight) * decay  # cov(h_t, h_{t-1}) = this times the filtered covariance
        adjoint = decay[:, None] * adjoint
        weight = decay[:, None] * weight * decay
    return means, covariances, (innovated + later_square) / (steps + 1.0)


def _total(matrix: FloatArray, rank: int) -> FloatArray:
    """Add up the columns that belong to the same score: ``M E^T``."""
    return np.asarray(matrix.reshape(len(matrix), -1, rank).sum(axis=1))


def _symmetric(matrices: FloatArray) -> FloatArray:
    return np.asarray((matrices + np.swapaxes(matrices, -1, -2)) / 2.0)
