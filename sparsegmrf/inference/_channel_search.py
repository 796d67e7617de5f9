"""Search of the parameters of several channels: spatial ones, their covariances, and the noise of each."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.inference._channel_evidence import ChannelEvidence
from sparsegmrf.inference._channel_members import (
    OfChannels,
    check_sum,
    covariance_names,
    in_sum,
    members_of,
    with_covariances,
)
from sparsegmrf.inference._channel_trend import EvidenceOfChannels
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import Coordinates, scale_of
from sparsegmrf.inference._progress import evaluated, of_size
from sparsegmrf.inference._sum_evidence import SumEvidence
from sparsegmrf.models import Sum
from sparsegmrf.typing import BoolArray, FloatArray

_NOISE_SHARE = 0.1
_GONE = 1e-6
"""Noise variance, in units of that of the data, that has run to zero."""
_SINGULAR = 1e-4
"""Variance of a channel given those before it, in units of that of the data, at which a covariance is singular."""
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

    evidence: EvidenceOfChannels
    at: FloatArray
    converged: bool
    reason: str
    evaluations: int


@dataclass(frozen=True, eq=False)
class ChannelObjective:
    """Log-likelihood of working parameters: spatial ones on the real line, ``L`` of ``S = E L L^T E``, log variances.

    Without noise and with the same pixels observed in every channel the best ``S`` is known in closed form, and only
    the spatial parameters are searched. A sum of fields has an ``S`` of each.

    Attributes
    ----------
    model : Channels or Sum
        At the start.
    data : Observations
        With noise of variance one where that is estimated.
    covariates : ndarray, (K, H, W)
    coordinates : Coordinates
        Of the spatial parameters that are searched.
    unit : ndarray, (C,)
        Standard deviations ``E`` that covariances are searched in.
    covariances : tuple of {"held", "searched", "profiled"}
        One per field.
    noise : bool
        Whether the channels' noise variances are searched.
    """

    model: OfChannels
    data: Observations
    covariates: FloatArray
    coordinates: Coordinates
    unit: FloatArray
    covariances: tuple[str, ...]
    noise: bool

    @classmethod
    def of(
        cls, model: OfChannels, data: Observations, covariates: FloatArray, fixed: Sequence[str], noise: bool
    ) -> "ChannelObjective":
        """Return the objective with some of the model's parameters, or ``"covariance"``, held."""
        shape = (data.values.shape[0], data.values.shape[1])
        own, members = covariance_names(model), members_of(model)
        names = [*model.parameters, *own]
        unknown = [name for name in fixed if name not in names]
        if unknown:
            raise ArgumentError(f"fixed must name parameters among {', '.join(names)}, got {unknown[0]!r}.")
        free = [name for name in model.parameters if name not in fixed]
        kinds = ["held" if name in fixed else "searched" for name in own]
        check_sum(model, shape, [kind == "searched" for kind in kinds])
        for k, (kind, member) in enumerate(zip(kinds, members, strict=True)):
            spatial = [name for name in member.parameters if in_sum(model, k, name) in free]
            scale = scale_of(member.model, shape, spatial) if kind == "searched" else None
            if scale is not None:  # a scale of S is the same thing
                free.remove(in_sum(model, k, scale[0]))
        agree = (data.observed == data.observed[..., :1]).all()
        if kinds == ["searched"] and not noise and agree and not data.weight.any():
            kinds = ["profiled"]
        coordinates = Coordinates.of(model, shape, free)
        return cls(model, data, covariates, coordinates, _deviations(data, covariates), tuple(kinds), noise)

    @property
    def start(self) -> FloatArray:
        """Working parameters to start from: those of the model, and the variances of the data."""
        channels, members = len(self.unit), members_of(self.model)
        spatial = self.coordinates.outward([self.model.parameters[name] for name in self.coordinates.names])
        shape = (self.data.values.shape[0], self.data.values.shape[1])
        share = (1.0 - _NOISE_SHARE if self.noise else 1.0) / len(members)
        rows, columns = np.tril_indices(channels)
        roots = []
        for k in self.searched:
            variance = share / float(members[k].model.gmrf(shape).marginal_variance().mean())
            weight = 1.0 if not isinstance(self.model, Sum) else float(self.model.observation[k])
            roots.append(np.where(rows == columns, 0.5 * np.log(variance) - np.log(abs(weight)), 0.0))
        noise = 2.0 * np.log(self.unit) + np.log(_NOISE_SHARE)
        return np.concatenate([spatial, *roots, noise if self.noise else []])

    @property
    def searched(self) -> list[int]:
        """The fields whose covariances are searched."""
        return [k for k, kind in enumerate(self.covariances) if kind == "searched"]

    @property
    def n_entries(self) -> int:
        """Numbers that the covariances that are not held have."""
        channels = len(self.unit)
        return channels * (channels + 1) // 2 * sum(kind != "held" for kind in self.covariances)

    def model_at(self, at: FloatArray) -> OfChannels:
        """Return the model at working parameters; a covariance in closed form is not in them."""
        spatial, roots, _ = self._split(at)
        values = dict(zip(self.coordinates.names, self.coordinates.inward(spatial).tolist(), strict=True))
        model = self.model.replace(**values) if values else self.model
        covariances: list[FloatArray | None] = [None] * len(self.covariances)
        for k, root in zip(self.searched, roots, strict=True):
            scaled = self.unit[:, np.newaxis] * self._root(root)
            covariances[k] = scaled @ scaled.T
        return with_covariances(model, covariances)

    def evidence(self, at: FloatArray) -> EvidenceOfChannels:
        """Return the evidence at working parameters."""
        noise = self._split(at)[2]
        data = self.data.with_noise_variance(np.exp(noise)) if self.noise else self.data
        model = self.model_at(at)
        members = members_of(model)
        if isinstance(model, Sum) and len(members) > 1:
            return SumEvidence(model, data, self.covariates)
        found = ChannelEvidence(members[0], data, self.covariates)
        if self.covariances == ("profiled",):
            best = dataclasses.replace(members[0], covariance=found.best_covariance)
            found = ChannelEvidence(best, data, self.covariates)
        return found

    def gradient(self, at: FloatArray, evidence: EvidenceOfChannels) -> FloatArray:
        """Return the exact gradient of the log-likelihood by working parameters."""
        spatial, roots, noise = self._split(at)
        found = evidence.gradient()
        slopes = found.spatial
        if isinstance(evidence, ChannelEvidence):
            slopes = {in_sum(self.model, 0, name): value for name, value in slopes.items()}
        by_value = np.array([slopes[name] for name in self.coordinates.names])
        parts = [self.coordinates.jacobian(spatial).T @ by_value] if len(spatial) else []
        for k, root in zip(self.searched, roots, strict=True):
            L, rows, columns = self._root(root), *np.tril_indices(len(self.unit))
            by_root = 2.0 * np.multiply.outer(self.unit, self.unit) * found.covariances[k] @ L
            factor = np.where(rows == columns, L[rows, columns], 1.0)
            parts.append(by_root[rows, columns] * factor)
        if self.noise:
            parts.append(found.noise * np.exp(noise))
        return np.concatenate(parts) if parts else np.zeros(0)

    def maximize(self, tolerance: float) -> ChannelSearch:
        """Search the maximum by BFGS, until a Newton step is shorter than `tolerance` standard errors.

        On a large image it starts at the maximum on its best-observed tile. A covariance that runs to a singular one,
        where its inverse has no digits, is left at that edge, and the others are searched on.
        """
        at = self.start
        if not len(at):
            return ChannelSearch(self.evidence(at), at, True, "nothing to search", 1)
        self.evidence(at).loglik  # noqa: B018 - what is wrong with the start is told
        of_size(self.data.count)
        tile, spread = self._on_tile(), np.eye(len(at))
        if tile is not None:
            at, found = tile._search(at, ~tile._at_edge(at), spread, _ROUGH)
            spread = found.hess_inv * (tile.data.count / self.data.count)
        evaluations, step, free = 1, np.inf, ~self._at_edge(at)
        if not free.all():
            spread = np.eye(int(free.sum()))
        for _ in range(_ROUNDS + len(self.covariances) * len(self.unit)):
            at, ended = self._search(at, free, spread, tolerance)
            evaluations += int(ended.nfev)
            step = float(np.sqrt(ended.jac @ ended.hess_inv @ ended.jac))
            left = ~self._at_edge(at)
            if step < tolerance and (left == free).all():
                break
            free, spread = left, np.eye(int(left.sum()))
        reason = f"the last Newton step is {step:.2g} standard errors long" + self._edges(at)
        return ChannelSearch(self.evidence(at), at, step < tolerance, reason, evaluations)

    def _edges(self, at: FloatArray) -> str:
        """Return which noise has run to zero, and which covariance to a singular one, in words."""
        said, parts = "", self._split(self._at_edge(at))[1]
        if self.noise and (gone := self.noise_variance(at) < _GONE * self.unit**2).any():
            said += f"; noise ran to zero in channels {', '.join(map(str, np.flatnonzero(gone)))}"
        names = covariance_names(self.model)
        singular = [names[k] for k, part in zip(self.searched, parts, strict=True) if part.any()]
        return said + "".join(f"; {name} ran to a singular one" for name in singular)

    def _at_edge(self, at: FloatArray) -> BoolArray:
        """Return which numbers are those of a variance, given other channels, that has run to zero."""
        channels, spatial = len(self.unit), len(self.coordinates.names)
        rows, columns = np.tril_indices(channels)
        found = np.zeros(len(at), dtype=bool)
        for part in range(len(self.searched)):
            own = slice(spatial + part * len(rows), spatial + (part + 1) * len(rows))
            found[own] = (rows == columns) & (at[own] < 0.5 * np.log(_SINGULAR))
        return found

    def noise_variance(self, at: FloatArray) -> FloatArray:
        """Return the noise variances that are searched, ``(C,)``."""
        return np.asarray(np.exp(self._split(at)[2]))

    def covariance_of(self, at: FloatArray) -> FloatArray:
        """Return the inverse of the observed information on working parameters, by differences of the gradient.

        What is at an edge, such as a covariance that has become singular, is taken to stay there.
        """
        step = 1e-4
        rows = []
        for unit in np.eye(len(at)):
            high, low = (self.gradient(u, self.evidence(u)) for u in (at + step * unit, at - step * unit))
            rows.append((low - high) / (2.0 * step))
        information = np.array(rows).reshape(len(at), len(at))
        told = np.flatnonzero(~self._at_edge(at) & (np.diagonal(information) > 0.0))
        block = np.ix_(told, told)
        found = np.zeros(information.shape)
        found[block] = np.linalg.inv((information + information.T)[block] / 2.0)
        return found

    def searching_all(self, at: FloatArray, model: OfChannels) -> tuple["ChannelObjective", FloatArray]:
        """Return the objective that also searches a covariance in closed form, and its numbers at a model."""
        if self.covariances != ("profiled",):
            return self, at
        spatial, _, noise = self._split(at)
        entries = self._entries(members_of(model)[0].covariance)
        return dataclasses.replace(self, covariances=("searched",)), np.concatenate([spatial, entries, noise])

    def covariance_errors(self, at: FloatArray, spread: FloatArray) -> list[FloatArray]:
        """Return standard errors of the covariances' entries ``(C, C)``, NaN of one held, by that of all numbers."""
        rows, columns = np.tril_indices(len(self.unit))
        found = [np.full((len(self.unit),) * 2, np.nan) for _ in self.covariances]
        first = len(self.coordinates.names)
        for k, root in zip(self.searched, self._split(at)[1], strict=True):
            L = self._root(root)
            factor = np.where(rows == columns, L[rows, columns], 1.0)
            moved = np.zeros((len(rows), *L.shape))
            moved[np.arange(len(rows)), rows, columns] = factor
            by_entry = moved @ L.T
            J = (by_entry + np.swapaxes(by_entry, 1, 2)) * np.multiply.outer(self.unit, self.unit)
            own = slice(first, first + len(rows))
            found[k] = np.sqrt(np.einsum("iab,ij,jab->ab", J, spread[own, own], J))
            first += len(rows)
        return found

    def _search(
        self, start: FloatArray, free: BoolArray, spread: FloatArray, tolerance: float
    ) -> tuple[FloatArray, scipy.optimize.OptimizeResult]:
        """Search the numbers that are free with a guess of their inverse Hessian, until one of them is at an edge."""

        def whole(part: FloatArray) -> FloatArray:
            at = start.copy()
            at[free] = part
            return at

        def loss(part: FloatArray) -> tuple[float, FloatArray]:
            value, slopes = self._loss(whole(part))
            return value, slopes[free]

        def stop(intermediate_result: scipy.optimize.OptimizeResult) -> None:
            if (self._at_edge(whole(intermediate_result.x)) & free).any():
                raise StopIteration

        options = {"gtol": 0.1 * tolerance, "hess_inv0": (spread + spread.T) / 2.0}
        ended = scipy.optimize.minimize(loss, start[free], jac=True, method="BFGS", options=options, callback=stop)
        return whole(ended.x), ended

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
                found = -evidence.loglik, -self.gradient(at, evidence)
        except (SparseGMRFError, np.linalg.LinAlgError):
            found = np.inf, np.zeros(len(at))
        evaluated(self.data.count)
        return found

    def _split(self, at: Any) -> tuple[Any, list[Any], Any]:
        """Return spatial numbers, those of each covariance, and of the noise; or what else there is of each number."""
        channels, spatial = len(self.unit), len(self.coordinates.names)
        entries, fields = channels * (channels + 1) // 2, len(self.searched)
        roots = at[spatial : spatial + fields * entries].reshape(fields, entries)
        return at[:spatial], list(roots), at[spatial + fields * entries :]

    def _root(self, entries: FloatArray) -> FloatArray:
        """Return ``L``, whose diagonal is given by its logarithm."""
        L = np.zeros((len(self.unit), len(self.unit)))
        L[np.tril_indices(len(L))] = entries
        np.fill_diagonal(L, np.exp(np.diagonal(L)))
        return L

    def _entries(self, covariance: FloatArray) -> FloatArray:
        """Return the numbers of a covariance, of which `_root` makes ``L``."""
        L = np.linalg.cholesky(covariance / np.multiply.outer(self.unit, self.unit))
        np.fill_diagonal(L, np.log(np.diagonal(L)))
        return np.asarray(L[np.tril_indices(len(L))])


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
