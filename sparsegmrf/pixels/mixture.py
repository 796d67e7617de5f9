"""Mixtures of Gaussians of the channels, by expectation and maximization, with responsibilities as images."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._saved import Saved
from sparsegmrf._validate import finite_number, generator, integer_at_least, read_only
from sparsegmrf.errors import ArgumentError, ConvergenceError, SingularCovarianceError
from sparsegmrf.pixels._covariance import cholesky_of
from sparsegmrf.pixels._estimator import Estimator, fit_method
from sparsegmrf.pixels._layout import BLOCK, Pixels, fitted_pixels, pixels, restored_stack
from sparsegmrf.pixels._lazy import fitted_chunks, is_lazy
from sparsegmrf.pixels._maps import LOG_2PI, LOG_DENSITY, distances_of_block
from sparsegmrf.pixels._moments import Merger, Moments, moments_of_block, moments_of_image
from sparsegmrf.typing import BoolArray, FloatArray, Seed

_SEEDING = 4096
_RESPONSIBILITY = ("responsibility", "probability of the component")


@dataclass(frozen=True, eq=False)
class _Components(Saved):
    """Log-weights (K,), means (K, C), covariances (K, C, C) and their Cholesky factors."""

    log_weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    factors: FloatArray

    def joint(self, x: FloatArray) -> FloatArray:
        """Return ``log w_k + log p_k(x)`` for a block (C, m), as (K, m)."""
        out = np.empty((len(self.means), x.shape[1]))
        for k, row in enumerate(out):
            distances_of_block(x, read_only(self.means[k]), read_only(self.factors[k]), row)
            logdet = 2.0 * np.log(np.diagonal(self.factors[k])).sum()
            row *= -0.5
            row += self.log_weights[k] - 0.5 * (x.shape[0] * LOG_2PI + logdet)
        return out


class PixelMixture(Estimator):
    """Mixture of ``K`` Gaussians of the channels of a pixel, ``p(x_p) = sum_k w_k N(x_p; m_k, S_k)``.

    Fitted by expectation and maximization, whose objective (log-density per pixel, with the log-prior if there is one)
    never decreases. Parameters and shapes of images as for `PixelGaussian`; `fit` may be called on the class.

    Parameters
    ----------
    n_components : int
        ``K``.
    prior : float
        Number of pixels by which the prior counts that every ``S_k`` is the image's covariance over ``K^(2/C)``; 0 is
        maximum likelihood, which refuses a component that collapses onto pixels of one colour.
    tolerance : float
        Converged when a step gains less than this, in nats per pixel.
    max_steps : int
        Number of steps after which the fit is given up with a `ConvergenceError`.
    rng : int, Generator or None
        Seed of the choice of starting means.
    channel_axis : int or None
        Axis of the channels.

    Attributes
    ----------
    weights_ : ndarray, (K,)
        Weights of the components, largest first.
    means_ : ndarray, (K, C)
        Means in intensity.
    covariances_ : ndarray, (K, C, C)
        Covariances in intensity^2.
    weight_ : float
        Number of pixels used.
    objective_ : list of float
        Objective per pixel of the start and after every step, in nats.

    References
    ----------
    Dempster, Laird & Rubin, Maximum likelihood from incomplete data via the EM algorithm, JRSS B 39 (1977).
    Fraley & Raftery, Bayesian regularization for normal mixture estimation, J. Classification 24 (2007).

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(40, 50, 2))
    >>> image[:, :20] += 8.0
    >>> model = PixelMixture(2).fit(image)
    >>> model.weights_.round(3).tolist(), model.responsibility_images(image).shape
    ([0.6, 0.4], (2, 40, 50, 1))
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        prior: float = 0.0,
        tolerance: float = 1e-8,
        max_steps: int = 1000,
        rng: Seed = 0,
        channel_axis: int | None = -1,
    ) -> None:
        self.n_components = n_components
        self.prior = prior
        self.tolerance = tolerance
        self.max_steps = max_steps
        self.rng = rng
        self.channel_axis = channel_axis

    @fit_method
    def fit(
        self, image: object, y: object = None, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> "PixelMixture":
        """Estimate weights, means and covariances; parameters as for `PixelGaussian.fit`.

        Raises
        ------
        ArgumentError
            If there are fewer different pixels than components, or a parameter is out of range.
        SingularCovarianceError
            If a component collapses.
        ConvergenceError
            If `max_steps` are not enough.
        """
        axis = self.channel_axis if channel_axis == "same" else channel_axis
        observed = pixels(image, axis, mask)
        count = integer_at_least("n_components", self.n_components, 1)
        strength = finite_number("prior", self.prior)
        if strength < 0.0:
            raise ArgumentError(f"prior must not be negative, got {strength}; 0 is maximum likelihood.")
        tolerance, steps = finite_number("tolerance", self.tolerance), integer_at_least("max_steps", self.max_steps, 1)
        whole = moments_of_image(observed)
        if whole.weight == 0.0:
            raise ArgumentError("image must have an observed pixel, got none; mask less.")
        S = whole.scatter / whole.weight
        cholesky_of(S, "leave such channels out")
        scale = S / count ** (2.0 / observed.channels)
        now = _components(np.full(count, 1.0 / count), _seeds(observed, count, S, self.rng), np.stack([scale] * count))
        value, moments = _step(observed, now, whole, scale, strength)
        objective = [value]
        for _ in range(steps):
            new = _maximized(moments, whole, scale, strength)
            value, new_moments = _step(observed, new, whole, scale, strength)
            gain = value - objective[-1]
            if gain >= 0.0:  # near the maximum a step may lose by rounding: the better one is kept
                now, moments = new, new_moments
                objective.append(value)
            if gain <= tolerance:
                break
        else:
            raise ConvergenceError(
                f"the mixture has not converged in {steps} steps, the last one gained {gain:.3g} nats per pixel; raise "
                "max_steps or the tolerance."
            )
        order = np.argsort(-now.log_weights, kind="stable")
        self.weights_ = np.exp(now.log_weights)[order]
        self.means_, self.covariances_ = now.means[order], now.covariances[order]
        self.objective_, self.weight_ = objective, whole.weight
        self._loglik = whole.weight * objective[-1] - _log_prior(now, scale, strength)
        self._not_maximal = None
        if strength > 0.0:
            self._not_maximal = f"the estimates are a posterior mode with prior={strength:g}; fit with prior=0"
        self.n_features_in_ = observed.channels
        self._layout = (axis if observed.labels is None else observed.axis, observed.moved.ndim)
        self._components = _Components(now.log_weights[order], self.means_, self.covariances_, now.factors[order])
        return self

    @property
    def n_parameters(self) -> int:
        """Number of parameters ``k = K - 1 + K (C + C (C + 1) / 2)``: weights, means and covariances."""
        count, channels = self._fitted("means_").shape
        return int(count - 1 + count * (channels + channels * (channels + 1) // 2))

    def _table(self) -> list[str]:
        means = self._fitted("means_")
        lines = [f"{'weight':>10}  mean by channel"]
        for weight, mean in zip(self.weights_, means, strict=True):
            lines.append(f"{weight:10.4f}  {' '.join(f'{value:.6g}' for value in mean)}")
        return lines

    def responsibility_images(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return the probability of every component at every pixel.

        Returns
        -------
        ndarray, (K, ...)
            Per component an image of the input's shape with 1 in place of ``C``; sums to 1 over components.
        """
        channels, layout = self._fitted("n_features_in_"), self._fitted("_layout")
        if is_lazy(image):
            chunks = fitted_chunks(image, channel_axis, mask, channels, layout)
            planes = chunks.maps(partial(_responsibilities_of_chunk, self), len(self._fitted("means_")))
            return restored_stack(planes, chunks.axis, chunks.labels, "component", *_RESPONSIBILITY)
        observed = fitted_pixels(image, channel_axis, mask, channels, layout)
        joint = self._joint(observed)
        joint -= _log_sum(joint)
        np.exp(joint, out=joint)
        planes = [plane.reshape(observed.sites) for plane in joint]
        return restored_stack(planes, observed.axis, observed.labels, "component", *_RESPONSIBILITY)

    def log_density_image(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return ``log p(x_p)`` of every pixel in nats; shapes as for `PixelGaussian.log_density_image`."""
        channels, layout = self._fitted("n_features_in_"), self._fitted("_layout")
        if is_lazy(image):
            chunks = fitted_chunks(image, channel_axis, mask, channels, layout)
            (plane,) = chunks.maps(partial(_log_density_of_chunk, self), 1)
            return chunks.restored(plane, *LOG_DENSITY)
        observed = fitted_pixels(image, channel_axis, mask, channels, layout)
        return observed.restored(_log_sum(self._joint(observed)).reshape(observed.sites), *LOG_DENSITY)

    def _joint(self, observed: Pixels) -> FloatArray:
        """Return the log-density of every component with its weight, (K, pixels)."""
        components: _Components = self._fitted("_components")
        out = np.empty((len(components.means), observed.size))

        def block(first: int, last: int) -> None:
            x, usable = observed.block(first, last), observed.usable(first, last)
            joint = components.joint(x)
            if not np.isfinite(joint if usable is None else joint[:, usable]).all():
                observed.refuse_infinite(first, x)
            if usable is not None:
                joint[:, ~usable] = np.nan
            out[:, first:last] = joint

        _threads.run_over(block, observed.size, BLOCK)
        return out


def _responsibilities_of_chunk(model: PixelMixture, tile: FloatArray, mask: BoolArray) -> list[FloatArray]:
    return list(model.responsibility_images(tile, channel_axis=tile.ndim - 1, mask=mask)[..., 0])


def _log_density_of_chunk(model: PixelMixture, tile: FloatArray, mask: BoolArray) -> list[FloatArray]:
    return [model.log_density_image(tile, channel_axis=tile.ndim - 1, mask=mask)[..., 0]]


def _log_sum(joint: FloatArray) -> FloatArray:
    """Return ``log sum_k exp`` per pixel, NaN where missing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp.reduce(joint, axis=0))


def _step(
    image: Pixels, now: _Components, whole: Moments, scale: FloatArray, strength: float
) -> tuple[float, list[Moments]]:
    """Return the objective, and per component the moments weighted by its responsibilities, in one pass."""
    blocks, count = _threads.ranges(image.size, BLOCK), len(now.means)
    parts: list[list[Moments]] = [[]] * len(blocks)
    logs = np.zeros(len(blocks))

    def task(index: int) -> None:
        x, usable = image.block(*blocks[index]), image.usable(*blocks[index])
        if usable is not None:
            x = np.ascontiguousarray(x[:, usable])
        joint = now.joint(x)
        total = np.logaddexp.reduce(joint, axis=0)
        logs[index] = total.sum()
        joint -= total
        np.exp(joint, out=joint)
        x -= whole.mean[:, np.newaxis]
        parts[index] = [moments_of_block(x, joint[k]) for k in range(count)]

    _threads.run([partial(task, index) for index in range(len(blocks))])
    result = []
    for k in range(count):
        merger = Merger()
        merger.add_all([part[k] for part in parts])
        result.append(merger.total(whole.mean))
    return (float(logs.sum()) + _log_prior(now, scale, strength)) / whole.weight, result


def _maximized(moments: list[Moments], whole: Moments, scale: FloatArray, strength: float) -> _Components:
    """``S_k = (scatter_k + c S_0) / (n_k + c)``, ``w_k = n_k / n``."""
    counts = np.array([part.weight for part in moments])
    if not (counts > 0.0).all():
        raise ArgumentError(
            f"n_components must not exceed the groups of pixels there are, got {len(counts)}, of which "
            f"{np.count_nonzero(counts <= 0.0)} hold no pixel; take fewer."
        )
    covariances = np.stack([(part.scatter + strength * scale) / (part.weight + strength) for part in moments])
    return _components(counts / counts.sum(), np.stack([part.mean for part in moments]), covariances, scale)


def _components(
    weights: FloatArray, means: FloatArray, covariances: FloatArray, scale: FloatArray | None = None
) -> _Components:
    factors = np.empty_like(covariances)
    for k, covariance in enumerate(covariances):
        remedy = f"component {k} collapses onto pixels of one colour or line: take fewer components, or pass prior=1"
        if scale is not None and (np.diagonal(covariance) < 1e-12 * np.diagonal(scale)).any():
            flat = int(np.argmin(np.diagonal(covariance) / np.diagonal(scale)))
            raise SingularCovarianceError(f"channel {flat} does not vary: {remedy}.", np.eye(len(scale))[flat], 0.0)
        factors[k] = cholesky_of(covariance, remedy)
    return _Components(np.log(weights), means, covariances, factors)


def _log_prior(now: _Components, scale: FloatArray, strength: float) -> float:
    """``-(c/2) sum_k (log|S_k| + tr(S_k^-1 S_0))``."""
    if strength == 0.0:
        return 0.0
    total = 0.0
    root = cholesky_of(scale, "leave such channels out")
    for factor in now.factors:
        white = np.linalg.solve(factor, root)
        total += 2.0 * float(np.log(np.diagonal(factor)).sum()) + float((white * white).sum())
    return -0.5 * strength * total


def _seeds(image: Pixels, count: int, S: FloatArray, rng: Seed) -> FloatArray:
    """Choose starting means among evenly spread pixels, far ones with more probability (k-means++), whitened."""
    stream = generator(rng)
    usable = np.arange(image.size) if image.missing is None else np.flatnonzero(~image.missing.reshape(-1))
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(_SEEDING, len(usable))).astype(np.int64))]
    sites = np.unravel_index(chosen, image.sites)
    rows = image.moved[sites].astype(np.float64)
    white = np.linalg.solve(cholesky_of(S, "leave such channels out"), rows.T).T
    picked = [int(stream.integers(len(rows)))]
    nearest = ((white - white[picked[0]]) ** 2).sum(axis=1)
    while len(picked) < count:
        if nearest.sum() <= 0.0:
            raise ArgumentError(f"n_components must not exceed the different pixels, got {count}; take fewer.")
        picked.append(int(stream.choice(len(rows), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, ((white - white[picked[-1]]) ** 2).sum(axis=1))
    return rows[picked]
