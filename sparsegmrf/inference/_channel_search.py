"""Search of the parameters of several channels: spatial ones, their covariance, and the noise of each."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.optimize

from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.inference._channel_evidence import ChannelEvidence
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import Coordinates, scale_of
from sparsegmrf.models import Channels
from sparsegmrf.typing import FloatArray

COVARIANCE = "covariance"
_NOISE_SHARE = 0.1
_ROUNDS = 3
"""How often the search starts anew where it ended."""
_TILE = 64
"""Side in pixels of the tile on which the search of a large image begins."""
_WORTH = 4
"""How many times larger the image must be."""
_LEAST = 512
"""Values of each channel that the tile must have."""
_ROUGH = 0.05
"""Newton step in standard errors at which the search on the tile ends."""


class ChannelSearch(NamedTuple):
    """Where a search ended."""

    evidence: ChannelEvidence
    at: FloatArray
    converged: bool
    reason: str
    evaluations: int


@dataclass(frozen=True, eq=False)
class ChannelObjective:
    """Log-likelihood of working parameters: spatial ones on the real line, ``L`` of ``S = E L L^T E``, log variances.

    Without noise and with the same pixels observed in every channel the best ``S`` is known in closed form, and only
    the spatial parameters are searched.

    Attributes
    ----------
    model : Channels
        At the start.
    data : Observations
        With noise of variance one where that is estimated.
    covariates : ndarray, (K, H, W)
    coordinates : Coordinates
        Of the spatial parameters that are searched.
    unit : ndarray, (C,)
        Standard deviations ``E`` that the covariance is searched in.
    covariance : {"held", "searched", "profiled"}
    noise : bool
        Whether the channels' noise variances are searched.
    """

    model: Channels
    data: Observations
    covariates: FloatArray
    coordinates: Coordinates
    unit: FloatArray
    covariance: str
    noise: bool

    @classmethod
    def of(
        cls, model: Channels, data: Observations, covariates: FloatArray, fixed: Sequence[str], noise: bool
    ) -> "ChannelObjective":
        """Return the objective with some of the model's parameters, or ``"covariance"``, held."""
        shape = (data.values.shape[0], data.values.shape[1])
        names = [*model.parameters, COVARIANCE]
        unknown = [name for name in fixed if name not in names]
        if unknown:
            raise ArgumentError(f"fixed must name parameters among {', '.join(names)}, got {unknown[0]!r}.")
        free = [name for name in model.parameters if name not in fixed]
        kind = "held" if COVARIANCE in fixed else "searched"
        if kind == "searched":
            scale = scale_of(model.model, shape, free)
            free = [name for name in free if scale is None or name != scale[0]]  # a scale of S is the same thing
            agree = (data.observed == data.observed[..., :1]).all()
            kind = "profiled" if not noise and agree and not data.weight.any() else kind
        coordinates = Coordinates.of(model.model, shape, free)
        return cls(model, data, covariates, coordinates, _deviations(data, covariates), kind, noise)

    @property
    def start(self) -> FloatArray:
        """Working parameters to start from: those of the model, and the variances of the data."""
        channels = len(self.unit)
        spatial = self.coordinates.outward([self.model.parameters[name] for name in self.coordinates.names])
        root = np.zeros(channels * (channels + 1) // 2)
        if self.covariance == "searched":
            shape = (self.data.values.shape[0], self.data.values.shape[1])
            share = 1.0 - _NOISE_SHARE if self.noise else 1.0
            variance = share / float(self.model.model.gmrf(shape).marginal_variance().mean())
            rows, columns = np.tril_indices(channels)
            root[rows == columns] = 0.5 * np.log(variance)
        noise = 2.0 * np.log(self.unit) + np.log(_NOISE_SHARE)
        return np.concatenate([spatial, root if self.covariance == "searched" else [], noise if self.noise else []])

    def evidence(self, at: FloatArray) -> ChannelEvidence:
        """Return the evidence at working parameters."""
        spatial, root, noise = self._split(at)
        values = dict(zip(self.coordinates.names, self.coordinates.inward(spatial).tolist(), strict=True))
        model = self.model.replace(**values) if values else self.model
        data = self.data.with_noise_variance(np.exp(noise)) if self.noise else self.data
        if self.covariance == "searched":
            scaled = self.unit[:, np.newaxis] * self._root(root)
            model = dataclasses.replace(model, covariance=scaled @ scaled.T)
        found = ChannelEvidence(model, data, self.covariates)
        if self.covariance == "profiled":
            best = dataclasses.replace(model, covariance=found.best_covariance)
            found = ChannelEvidence(best, data, self.covariates)
        return found

    def gradient(self, at: FloatArray, evidence: ChannelEvidence) -> FloatArray:
        """Return the exact gradient of the log-likelihood by working parameters."""
        spatial, root, noise = self._split(at)
        found = evidence.gradient()
        by_value = np.array([found.spatial[name] for name in self.coordinates.names])
        parts = [self.coordinates.jacobian(spatial).T @ by_value] if len(spatial) else []
        if self.covariance == "searched":
            L, rows, columns = self._root(root), *np.tril_indices(len(self.unit))
            by_root = 2.0 * np.multiply.outer(self.unit, self.unit) * found.covariance @ L
            factor = np.where(rows == columns, L[rows, columns], 1.0)
            parts.append(by_root[rows, columns] * factor)
        if self.noise:
            parts.append(found.noise * np.exp(noise))
        return np.concatenate(parts) if parts else np.zeros(0)

    def maximize(self, tolerance: float) -> ChannelSearch:
        """Search the maximum by BFGS, until a Newton step is shorter than `tolerance` standard errors.

        On a large image it starts at the maximum on its best-observed tile.
        """
        at = self.start
        if not len(at):
            return ChannelSearch(self.evidence(at), at, True, "nothing to search", 1)
        self.evidence(at).loglik  # noqa: B018 - what is wrong with the start is told
        tile, spread = self._on_tile(), np.eye(len(at))
        if tile is not None:
            found = tile._search(at, spread, _ROUGH)
            at, spread = found.x, found.hess_inv * (tile.data.count / self.data.count)
        evaluations, step = 1, np.inf
        for _ in range(_ROUNDS):
            ended = self._search(at, spread, tolerance)
            at, evaluations = ended.x, evaluations + int(ended.nfev)
            spread, step = np.eye(len(at)), float(np.sqrt(ended.jac @ ended.hess_inv @ ended.jac))
            if step < tolerance:
                break
        reason = f"the last Newton step is {step:.2g} standard errors long"
        if self.noise:
            gone = self.noise_variance(at) < 1e-6 * self.unit**2
            if gone.any():
                where = ", ".join(map(str, np.flatnonzero(gone)))
                reason += f"; noise ran to zero in channels {where}"
        return ChannelSearch(self.evidence(at), at, step < tolerance, reason, evaluations)

    def noise_variance(self, at: FloatArray) -> FloatArray:
        """Return the noise variances that are searched, ``(C,)``."""
        return np.exp(self._split(at)[2])

    def covariance_of(self, at: FloatArray) -> FloatArray:
        """Return the inverse of the observed information on working parameters, by differences of the gradient."""
        step = 1e-4
        rows = []
        for unit in np.eye(len(at)):
            high, low = (self.gradient(u, self.evidence(u)) for u in (at + step * unit, at - step * unit))
            rows.append((low - high) / (2.0 * step))
        information = np.array(rows).reshape(len(at), len(at))
        return np.asarray(np.linalg.inv((information + information.T) / 2.0))

    def _search(self, start: FloatArray, spread: FloatArray, tolerance: float) -> scipy.optimize.OptimizeResult:
        """Search from a start with a guess of the inverse Hessian."""
        options = {"gtol": 0.1 * tolerance, "hess_inv0": (spread + spread.T) / 2.0}
        return scipy.optimize.minimize(self._loss, start, jac=True, method="BFGS", options=options)

    def _on_tile(self) -> "ChannelObjective | None":
        """Return the objective on the tile with the most observed values; None if the image is not much larger.

        Its trend is a level, if the trend has one.
        """
        height, width = self.data.values.shape[:2]
        if height * width <= _WORTH * _TILE**2:
            return None
        h, w = min(height, _TILE), min(width, _TILE)
        sums = np.pad(self.data.observed.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0), (0, 0)))
        counts = (sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]).min(axis=-1)
        row, column = np.unravel_index(int(np.argmax(counts)), counts.shape)
        if counts[row, column] < _LEAST:
            return None
        rows, columns = slice(int(row), int(row) + h), slice(int(column), int(column) + w)
        level = any((image == image.flat[0]).all() for image in self.covariates)
        return dataclasses.replace(
            self,
            model=self.model.cropped(rows, columns),
            data=self.data.window(rows, columns),
            covariates=np.ones((int(level), h, w)),
        )

    def _loss(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return minus log-likelihood and gradient; infinite where the precision is not positive definite."""
        try:
            with np.errstate(over="ignore"):
                evidence = self.evidence(at)
                return -evidence.loglik, -self.gradient(at, evidence)
        except (SparseGMRFError, np.linalg.LinAlgError):
            return np.inf, np.zeros(len(at))

    def _split(self, at: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        channels, spatial = len(self.unit), len(self.coordinates.names)
        entries = channels * (channels + 1) // 2 if self.covariance == "searched" else 0
        return at[:spatial], at[spatial : spatial + entries], at[spatial + entries :]

    def _root(self, entries: FloatArray) -> FloatArray:
        """Return ``L``, whose diagonal is given by its logarithm."""
        L = np.zeros((len(self.unit), len(self.unit)))
        L[np.tril_indices(len(L))] = entries
        np.fill_diagonal(L, np.exp(np.diagonal(L)))
        return L


def _deviations(data: Observations, covariates: FloatArray) -> FloatArray:
    """Return the standard deviation of each channel about its trend by ordinary least squares."""
    result = np.empty(data.values.shape[-1])
    for c in range(len(result)):
        seen = data.observed[..., c]
        y, X = data.values[seen, c], covariates[:, seen].T
        if len(y) <= X.shape[1]:
            raise ArgumentError(
                f"image must have more observed pixels than covariates, {X.shape[1]}, in every channel, got {len(y)} "
                f"in channel {c}."
            )
        residual = y - (X @ np.linalg.lstsq(X, y, rcond=None)[0] if X.shape[1] else 0.0)
        result[c] = np.sqrt(residual @ residual / len(y))
        if not result[c] > 1e-12 * np.abs(y).max():
            raise ArgumentError(
                f"image must vary about its trend in every channel, got channel {c} without any; leave it out."
            )
    return result
