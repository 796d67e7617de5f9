"""The evidence of complete images, as sums over the frequencies of a basis in which what is seen is independent.

With the transforms ``y_k`` of an image and ``X_k`` of the covariates, and the variance ``v_k = f_k + s`` of field and
noise: ``2 log p = -sum log v_k - sum (y_k - X_k beta)^2 / v_k - m log 2 pi``. A free level has infinite variance, and
frequency zero is left out then. Every sum is one of positive terms: no digits cancel, whatever the range of the field
and the level of the image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors import SpectralDensity
from sparsegmrf.factors.spectral_density import Places, level_among
from sparsegmrf.inference._combinations import combined, products
from sparsegmrf.inference._evidence import Evidence, coefficient_covariance
from sparsegmrf.inference._spectra import Alike, Spectra, transform_back
from sparsegmrf.inference._trend import Trend
from sparsegmrf.typing import FloatArray

T = TypeVar("T")

_LOG_2PI = float(np.log(2.0 * np.pi))
_BLOCK = 2**16
"""Frequencies that a task takes."""


def spectral_evidence(
    density: SpectralDensity,
    spectra: Spectra,
    noise: float,
    trend: Trend,
    names: Sequence[str] | None = None,
    *,
    restricted: bool = False,
) -> Evidence:
    """Return the density of complete images, and with `names` its derivatives by parameters and the log noise variance.

    The same numbers as those of `evidence`, whose weights are divided by `noise`.

    Raises
    ------
    NotPositiveDefiniteError
        If the variance at a frequency is no positive number.
    """
    law = _Law(density, spectra, noise, None if names is None else tuple(names))
    p, count = len(trend.columns), len(spectra.images)
    gram = law.gram()
    covariance = coefficient_covariance(gram[1:, 1:])
    beta = np.asarray(covariance @ gram[1:, 0])
    sums = law.sums(beta, covariance if restricted else None)
    degrees = count * density.shape[0] * density.shape[1] - trend.deficiency - (p if restricted else 0)
    base = -sums.log - degrees * _LOG_2PI
    if restricted:
        base += trend.log_gram - float(np.linalg.slogdet(gram[1:, 1:])[1])
    return Evidence(
        base=0.5 * base,
        quadratic=sums.quadratic,
        degrees=degrees,
        beta=beta,
        beta_covariance=covariance,
        find_left=law.left,
        traces=0.5 * (sums.by_trend - sums.traces),
        squares=-0.5 * sums.squares,
        averages=0.5 * sums.averages,
    )


class _Sums(NamedTuple):
    """Sums over frequencies, with ``a_i = (dv/dtheta_i) / v`` and ``b = |r|^2 / v`` of residuals ``r``.

    They are of ``log v``, ``b``, ``a_i``, ``b a_i``, ``b a_i a_j``, and ``a_i X^T C X / v`` with the coefficients'
    covariance ``C``.
    """

    log: float
    quadratic: float
    traces: FloatArray
    squares: FloatArray
    averages: FloatArray
    by_trend: FloatArray


@dataclass(frozen=True, eq=False)
class _Law:
    """What is seen of complete images: a field and noise, and the transforms of the images."""

    density: SpectralDensity
    spectra: Spectra
    noise: float
    names: tuple[str, ...] | None

    def gram(self) -> FloatArray:
        """Return ``sum D_k D_k^T / v_k`` of observations and covariates ``D``; its first entry is not all of it."""
        p = len(self.spectra.columns)
        parts = _each(self._gram_at, self._of_trend) if p else []
        return np.asarray(sum(parts, np.zeros((p + 1, p + 1))))

    def sums(self, beta: FloatArray, covariance: FloatArray | None) -> _Sums:
        """Return the sums at coefficients; with their covariance what their own uncertainty adds, else zeros."""
        few = self.spectra.few
        if few is None:
            return _total(_each(lambda at: self._sums_at(at, self._powers(at, beta), covariance), self._blocks))
        rest = self.spectra.rest
        parts = _each(lambda at: self._sums_at(at, [power[at] for power in rest], None), self._blocks)
        if len(few[0]):  # what is seen of them is in the parts, but not its squares
            own = self._sums_at(few, self._powers(few, beta), covariance)
            parts.append(own._replace(log=0.0, traces=np.zeros(own.traces.shape)))
        return _total(parts)

    def left(self) -> FloatArray:
        """Return what the field leaves of the covariates of each image, ``s / v`` of them, ``(R, p, H, W)``."""
        columns = self.spectra.columns
        found = np.zeros((len(self.spectra.images), *columns.shape))
        for group in self.spectra.groups:
            s = self._noise_of(group)
            shares = np.zeros(columns.shape)
            for at in self._of_trend if s else ():
                each = (slice(None), *at)
                shares[each] = columns[each] * (s / self._seen(group, at)[0])
            for k, share in enumerate(shares):
                found[list(group.numbers), k] = transform_back(self.spectra.basis, share)
        return found

    @cached_property
    def _blocks(self) -> list[Places]:
        height, width = self.density.shape
        rows = _threads.ranges(height, max(1, _BLOCK // width))
        return [(slice(first, last), slice(0, width)) for first, last in rows]

    @property
    def _of_trend(self) -> Sequence[Places]:
        """Frequencies that covariates have."""
        few = self.spectra.few
        return self._blocks if few is None else [few] if len(few[0]) else []

    def _gram_at(self, at: Places) -> FloatArray:
        found = np.zeros(2 * (len(self.spectra.columns) + 1,))
        for group in self.spectra.groups:
            D = np.concatenate([group.mean[at][np.newaxis], self.spectra.columns[(slice(None), *at)]])
            flat = D.reshape(len(D), -1)
            found += group.count * products(flat / self._seen(group, at)[0].ravel(), flat)
        return found

    def _powers(self, at: Places, beta: FloatArray) -> list[FloatArray]:
        """Return the squares of the transforms less the trend, group by group."""
        trend = combined(beta, self.spectra.columns[(slice(None), *at)])
        return [group.power(at, trend) for group in self.spectra.groups]

    def _sums_at(self, at: Places, powers: Sequence[FloatArray], covariance: FloatArray | None) -> _Sums:
        """Return the sums over some frequencies, given the squares of the transforms there, group by group."""
        parts = []
        for group, power in zip(self.spectra.groups, powers, strict=True):
            v, a = self._seen(group, at)
            flat = a.reshape(len(a), v.size)
            b = (power / v).ravel()
            weighted = flat * b
            by_trend = np.zeros(len(a))
            if covariance is not None:
                X = self.spectra.columns[(slice(None), *at)]
                spread = np.sum(X * combined(covariance, X), axis=0) * (group.count / v)
                by_trend = products(flat, spread.reshape(1, v.size))[:, 0]
            parts.append(
                _Sums(
                    group.count * float(np.log(v).sum()),
                    float(b.sum()),
                    group.count * flat.sum(axis=1),
                    weighted.sum(axis=1),
                    products(weighted, flat),
                    by_trend,
                )
            )
        return _total(parts)

    def _seen(self, group: Alike, at: Places) -> tuple[FloatArray, FloatArray]:
        """Return the variances ``v`` of what is seen, and ``(dv/dtheta) / v`` by names and the log noise variance.

        A free level is told apart from nothing: it has the variance 1, which does not move.
        """
        s, level = self._noise_of(group), level_among(at) if self.spectra.is_intrinsic else None
        field, derivatives = self.density.values(at)
        v = field + s
        if level is not None:
            v[level] = 1.0
        if not (v.min(initial=1.0) > 0.0 and np.isfinite(v.max(initial=1.0))):
            raise NotPositiveDefiniteError(
                f"the variance at every frequency must be positive and finite, got {v.min():g} to {v.max():g}.",
                (),
                1.0 / float(v.max()),
            )
        a = np.empty((0 if self.names is None else len(self.names) + 1, *v.shape))
        for k, name in enumerate(self.names or ()):
            np.divide(derivatives[name], v, out=a[k])
        if len(a):
            np.divide(s, v, out=a[-1])
            if level is not None:
                a[(slice(None), *np.atleast_1d(level))] = 0.0
        return v, a

    def _noise_of(self, group: Alike) -> float:
        return self.noise / group.weight if group.weight else 0.0


def _each(function: Callable[[Places], T], places: Sequence[Places]) -> list[T]:
    """Return what a function has of each of some places, in threads."""
    found: list[T | None] = [None] * len(places)

    def put(first: int, last: int) -> None:
        for k in range(first, last):
            found[k] = function(places[k])

    _threads.run_over(put, len(places), 1)
    return cast(list[T], found)


def _total(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(*(sum(each[1:], each[0]) for each in zip(*parts, strict=True)))
