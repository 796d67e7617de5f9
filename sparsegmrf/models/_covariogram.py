"""Correlations and semivariances of models by lag: on the lattice without borders, or around one pixel of an image."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.fft

from sparsegmrf import _threads
from sparsegmrf._validate import finite, image_shape, real_array
from sparsegmrf.errors import ArgumentError, StencilError, TooLargeError
from sparsegmrf.factors.spectral_density import SpectralDensity
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Shape

_SIDES = 32, 2**14
"""Sides of the smallest and of the largest torus."""
_ALIAS = 1e-6
"""What may change from half a torus to the whole one: what the whole one is off by is about the square of it."""
_EXTRAPOLATED = 1e-9
_BLOCK = 2**20
_AT_A_PIXEL = "give pixel= and shape= for an image with its borders"


class Covariogram(ABC):
    """What a model says of two pixels at a lag."""

    @abstractmethod
    def spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variance by frequency."""

    @abstractmethod
    def replace(self, **changes: object) -> Any:
        """Return the model with some fields changed."""

    @abstractmethod
    def gmrf(self, shape: Shape) -> Any:
        """Return the field on a lattice."""

    def correlation(
        self, lags: ArrayLike, *, pixel: tuple[int, int] | None = None, shape: Shape | None = None
    ) -> FloatArray | float:
        """Return the correlation of two pixels by the lag between them.

        That of the field without borders, ``C(h) / C(0)`` with ``C(h)`` the mean of the spectral density times
        ``cos(h . w)``: over the frequencies of a torus so large that a larger one gives the same numbers to about nine
        digits. With `pixel` that of the image's own field around it, borders included. Of a `Sum` the correlation of
        what is observed; of `Channels` that of any one channel.

        Parameters
        ----------
        lags : array_like of int, (..., 2)
            ``(di, dj)`` in pixels.
        pixel : (int, int), optional
            Row and column of the pixel from which lags are counted. A model with maps, a barrier or a mask needs it.
            With a ``spacing`` a lag ``(di, dj)`` is ``(di height, dj width)`` on the ground.
        shape : (int, int), optional
            Height and width in pixels, with `pixel`; by default those of the model's maps.

        Returns
        -------
        float or ndarray, (...)
            Dimensionless; NaN where a lag leads off the image.

        Raises
        ------
        ArgumentError
            If lags are no whole pairs, the field has no variance (an intrinsic model), or there is no such field
            without borders.
        StencilError
            If the field differs between pixels and `pixel` is not given.
        TooLargeError
            If the range is thousands of pixels long.

        Examples
        --------
        >>> from sparsegmrf import CAR, Matern
        >>> Matern(range=10.0).correlation([(0, 0), (0, 5), (10, 0)]).round(3).tolist()
        [1.0, 0.428, 0.135]
        >>> round(CAR(0.24).correlation((0, 1), pixel=(0, 0), shape=(20, 20)), 3)
        0.299
        """
        steps = _steps(lags)
        spatial = self._spatial()
        if pixel is not None:
            product, own, others, is_free = spatial._around(pixel, shape, steps)
            if is_free is None:
                return _result(product / np.sqrt(own * others))
        elif not spatial._pixels_differ() and shape is None:
            found = spatial._without_borders(steps)
            if found.is_proper:
                return _result(found.covariance / found.variance)
        else:
            raise spatial._needs_pixel(shape)
        raise ArgumentError(
            f"{type(self).__name__} must have a variance for correlations, got an intrinsic field, whose level is "
            "free; take variogram."
        )

    def variogram(
        self, lags: ArrayLike, *, pixel: tuple[int, int] | None = None, shape: Shape | None = None
    ) -> FloatArray | float:
        """Return the semivariance of two pixels by the lag between them, half the variance of their difference.

        ``g(h) = C(0) - C(h)``; parameters as for `correlation`. Intrinsic fields whose constants are free have one too:
        what it is on a torus, extrapolated to ever larger ones. With `pixel` it is infinite where the difference of two
        pixels is free: of planes, and across a barrier.

        Parameters
        ----------
        lags, pixel, shape
            As for `correlation`.

        Returns
        -------
        float or ndarray, (...)
            In intensity^2; without measurement noise. NaN where a lag leads off the image.

        Raises
        ------
        ArgumentError
            As for `correlation`; without borders a thin plate (`Intrinsic` of order 2) has none.

        Examples
        --------
        >>> from sparsegmrf import Intrinsic
        >>> Intrinsic().variogram([(0, 1), (1, 1)]).round(6).tolist()  # 1/4 and 1/pi
        [0.25, 0.31831]
        """
        steps = _steps(lags)
        spatial = self._spatial()
        if pixel is not None:
            product, own, others, is_free = spatial._around(pixel, shape, steps)
            found = _zero_at_origin(0.5 * (own + others) - product, steps)
            return _result(found if is_free is None else np.where(is_free, np.inf, found))
        if spatial._pixels_differ() or shape is not None:
            raise spatial._needs_pixel(shape)
        return _result(spatial._without_borders(steps).semivariance)

    def _spatial(self) -> "Covariogram":
        """Return the model of a channel, if this is one of several channels that are alike."""
        inner = getattr(self, "model", None)
        return inner._spatial() if isinstance(inner, Covariogram) else self

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield the model's fields."""
        for each in fields(self):  # type: ignore[arg-type]
            if each.init:
                yield each.name, getattr(self, each.name)

    def _own_shape(self) -> Shape | None:
        """Return the shape of the maps, None without any."""
        for _, value in self._members():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Covariogram):
                    found = each._own_shape()
                    if found is not None:
                        return found
                elif isinstance(each, np.ndarray) and each.ndim == 2:
                    return each.shape[0], each.shape[1]
        return None

    def _pixels_differ(self) -> bool:
        """Return whether pixels differ: by maps, or by a size of their own for each row."""
        for name, value in self._members():
            several = value if isinstance(value, tuple) else (value,)
            if any(isinstance(each, Covariogram) and each._pixels_differ() for each in several):
                return True
            if name == "spacing" and any(np.ndim(each) for each in several if each is not None):
                return True
        return self._own_shape() is not None

    def _on_torus(self) -> Any:
        """Return the model with boundaries that wrap, and all that it is made of."""
        members = dict(self._members())
        if "boundary" in members:
            return self.replace(boundary="torus")
        changes: dict[str, object] = {}
        for name, value in members.items():
            if isinstance(value, Covariogram):
                changes[name] = value._on_torus()
            elif isinstance(value, tuple) and any(isinstance(each, Covariogram) for each in value):
                changes[name] = tuple(each._on_torus() for each in value)
        if not changes:
            raise StencilError(f"{type(self).__name__} has no field without borders; {_AT_A_PIXEL}.")
        return self.replace(**changes)

    def _without_borders(self, steps: IntArray) -> "_Sums":
        try:
            torus = self._on_torus()
            return _converged(torus, steps)
        except StencilError:
            raise
        except ArgumentError as error:
            raise ArgumentError(
                f"{type(self).__name__} must have a field without borders, or {_AT_A_PIXEL}; got none: {error}"
            ) from error

    def _needs_pixel(self, shape: object) -> ArgumentError:
        if shape is not None:
            return ArgumentError(f"shape must come with pixel, got {shape!r} by itself; without borders there is none.")
        return StencilError(
            f"pixel must be given for {type(self).__name__} with maps, a barrier or a mask, whose correlations differ "
            "between pixels; pass (row, column). Where pixels differ in size, a fit with spacing=(height, width) has "
            "one correlation for all."
        )

    def _around(
        self, pixel: tuple[int, int], shape: Shape | None, steps: IntArray
    ) -> tuple[FloatArray, float, FloatArray, FloatArray | None]:
        """Return covariances with a pixel, its variance, those of the others, and which differences are free."""
        given = self._own_shape() if shape is None else image_shape(shape)
        if given is None:
            raise ArgumentError("shape must be given with pixel for a model without maps, got None; pass (H, W).")
        field = self.gmrf(given)
        at = field.lattice.pixel(field.lattice.flat_index(pixel))
        squares = np.asarray(getattr(self, "observation", np.ones(field.channels))) ** 2
        stacked = (*given, field.channels)
        # Stacked fields are independent, so that covariances of the same one add up.
        with_pixel = sum(
            square * field.covariance_with(at, c).reshape(stacked)[..., c] for c, square in enumerate(squares.tolist())
        )
        variance = field.marginal_variance().reshape(stacked) @ squares
        i, j = np.moveaxis(steps + np.array(at), -1, 0)
        inside = (i >= 0) & (i < given[0]) & (j >= 0) & (j < given[1])
        i, j = np.where(inside, i, 0), np.where(inside, j, 0)
        null, is_free = field.null_vectors, None
        if null.shape[1]:
            number = (i * given[1] + j).reshape(-1)
            free = np.zeros(number.shape, dtype=bool)
            for c in np.flatnonzero(squares).tolist():
                there = null[number * field.channels + c].toarray()
                here = null[[field.lattice.unknown(at, c)]].toarray()
                free |= (np.abs(there - here) > 1e-9 * np.abs(null).max()).any(axis=1)
            is_free = free.reshape(i.shape) & inside
        return (
            np.where(inside, np.asarray(with_pixel)[i, j], np.nan),
            float(variance[at]),
            np.where(inside, variance[i, j], np.nan),
            is_free,
        )


class _Sums:
    """Variance, covariances and semivariances by lag; the first two are those of what is not free."""

    def __init__(self, density: SpectralDensity, steps: IntArray) -> None:
        side = density.shape[0]
        level, _ = density.values((slice(0, 1), slice(0, 1)))
        self.is_proper = bool(np.isfinite(level).all())
        rows, columns = np.moveaxis(steps % side, -1, 0)
        wanted, place = np.unique(np.append(columns.reshape(-1), 0), return_inverse=True)
        by_row = np.empty((side, len(wanted)), dtype=np.complex128)
        half, height = side // 2 + 1, max(1, _BLOCK // side)
        for first in range(0, half, height):
            rows_taken = slice(first, min(half, first + height))
            v, _ = density.values((rows_taken, slice(0, side)))
            if first == 0 and not self.is_proper:
                v = np.array(v)
                v[0, 0] = 0.0
            by_row[rows_taken] = scipy.fft.ifft(v, axis=1, workers=_threads.get_num_threads())[:, wanted]
        by_row[half:] = by_row[half - 2 : 0 : -1].conj()  # the density is the same at opposite frequencies
        found = scipy.fft.ifft(by_row, axis=0)[np.append(rows.reshape(-1), 0), place.reshape(-1)].real
        self.variance = float(found[-1])
        self.covariance: FloatArray = found[:-1].reshape(rows.shape)
        self.semivariance = _zero_at_origin(self.variance - self.covariance, steps)


def _converged(model: Any, steps: IntArray) -> _Sums:
    """Return the sums of a torus that is large enough.

    Covariances of a proper field are off by those around the torus, which fall off exponentially with its side ``N``:
    what is lost on the next one is about the square of what changes. Semivariances of an intrinsic field are off by a
    series in ``N^-2``, of which each further side takes one term (Richardson); sides that grow by 3/2 and 4/3 in turn
    (Bulirsch) have more of them than doubling up to the same torus.
    """
    side, largest = _SIDES
    while side < 4 * int(np.abs(steps).max(initial=0)):
        side *= 2
    last: _Sums | None = None
    row: list[FloatArray] = []
    sides: list[int] = []
    while side <= largest:
        density = model.spectral_density((side, side))
        if density is None:
            raise StencilError(f"{type(model).__name__} has no law by frequency; {_AT_A_PIXEL}.")
        found = _Sums(density, steps)
        if found.is_proper:
            if last is not None and _change(found.covariance, last.covariance) <= _ALIAS * found.variance:
                return found
            last, side = found, 2 * side
            continue
        above, row = row, [found.semivariance]
        for each, smaller in zip(above, reversed(sides), strict=True):
            row.append(row[-1] + (row[-1] - each) / ((side / smaller) ** 2 - 1.0))
        changes = [_change(now, before) for now, before in zip(row, above, strict=False)]
        if changes and min(changes) <= _EXTRAPOLATED * float(np.abs(found.semivariance).max(initial=0.0)):
            found.semivariance = row[int(np.argmin(changes))]
            return found
        sides.append(side)
        side = 4 * side // 3 if side % 3 == 0 else 3 * side // 2
    raise TooLargeError(
        f"range of {type(model).__name__} must be small against a torus of {largest} x {largest} pixels, got one whose "
        f"correlations go around it; {_AT_A_PIXEL}."
    )


def _change(now: FloatArray, before: FloatArray) -> float:
    return float(np.abs(now - before).max(initial=0.0))


def _zero_at_origin(values: FloatArray, steps: IntArray) -> FloatArray:
    return np.where((steps == 0).all(axis=-1), 0.0, values)


def _steps(lags: ArrayLike) -> IntArray:
    array = finite("lags", real_array("lags", lags))
    if array.ndim == 0 or array.shape[-1] != 2 or (array != np.round(array)).any():
        raise ArgumentError(
            f"lags must be pairs (di, dj) of whole pixels, (..., 2), got shape {array.shape}; along a row write "
            "[(0, 1), (0, 2), (0, 3)]."
        )
    if float(np.abs(array).max(initial=0.0)) > _SIDES[1] // 4:
        raise ArgumentError(f"lags must be at most {_SIDES[1] // 4} pixels long, got {np.abs(array).max():g}.")
    return array.astype(np.int64)


def _result(values: FloatArray) -> FloatArray | float:
    return values if values.ndim else float(values)
