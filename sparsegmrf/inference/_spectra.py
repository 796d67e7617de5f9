"""Transforms of complete images and of covariates, in a basis in which what is seen is independent by frequency."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf._edges import by_axis
from sparsegmrf.factors import SpectralDensity, SpectralForm, _transforms
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.spectral_density import Places
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._frame import Replicate
from sparsegmrf.typing import Basis, FloatArray, IntArray, Shape

_FEW = 16
"""How many times fewer frequencies than there are covariates must have to be taken one by one."""


@dataclass(frozen=True, eq=False)
class Alike:
    """Images whose noise has one variance; of their transforms only the mean and the squares about it count.

    Attributes
    ----------
    numbers : tuple of int
        Which of the images these are.
    weight : float
        ``1 / noise variance``; zero for exact images.
    mean : ndarray, (H, W)
        Average of their transforms.
    scatter : ndarray, (H, W), or None
        Sum of the squares about it; None of a single image.
    """

    numbers: tuple[int, ...]
    weight: float
    mean: FloatArray
    scatter: FloatArray | None

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.numbers)

    def power(self, at: Places, trend: FloatArray | float) -> FloatArray:
        """Return the sum of the squares of the transforms less a trend, at some frequencies."""
        residuals = self.mean[at] - trend
        squares = self.count * (residuals * residuals)
        return np.asarray(squares if self.scatter is None else squares + self.scatter[at])


@dataclass(frozen=True, eq=False)
class Spectra:
    """Complete images with noise of one variance each, and the transforms of them, which are taken once.

    Attributes
    ----------
    basis : str or (str, str)
        ``"dst"``, ``"dct"`` or ``"dft"``, or a (rows, columns) pair of these.
    images : tuple of Replicate
        In the frame, with the same null vectors and covariates.
    is_intrinsic : bool
        Whether the field has a free level: what is at frequency zero is then left out.
    """

    basis: Basis
    images: tuple[Replicate, ...]
    is_intrinsic: bool

    @classmethod
    def of(
        cls, density: SpectralDensity | None, field: GMRF, images: tuple[Replicate, ...], searched: Sequence[str]
    ) -> "Spectra | None":
        """Return the spectra of images; None where frequencies are not independent, or a derivative is not known."""
        if density is None or _bases(field.given) != {density.basis}:
            return None
        if density.is_intrinsic != (images[0].null.count == 1) or not all(_is_complete(each) for each in images):
            return None
        found = cls(density.basis, images, density.is_intrinsic)
        return found if found.fits(density, searched) else None

    def fits(self, density: SpectralDensity, searched: Sequence[str]) -> bool:
        """Return whether a density is one of the basis of the transforms, and knows the derivatives by parameters."""
        same = density.basis == self.basis and density.is_intrinsic == self.is_intrinsic
        return same and set(searched) <= set(density.names)

    def __reduce__(self) -> tuple[object, ...]:
        """Leave out the transforms, which are taken again."""
        return type(self), (self.basis, self.images, self.is_intrinsic)

    @property
    def shape(self) -> Shape:
        """Height and width."""
        height, width = self.images[0].data.values.shape
        return height, width

    @cached_property
    def groups(self) -> tuple[Alike, ...]:
        """The images by the variance of their noise."""
        by_weight: dict[float, list[int]] = {}
        for number, image in enumerate(self.images):
            by_weight.setdefault(float(image.data.weight[0, 0]), []).append(number)
        return tuple(self._group(weight, tuple(numbers)) for weight, numbers in by_weight.items())

    @cached_property
    def columns(self) -> FloatArray:
        """Transforms of the covariates, ``(p, H, W)``; exactly zero where those of constants and slopes are."""
        columns = self.images[0].columns
        found = np.zeros(columns.shape)
        for k, column in enumerate(columns):
            found[k] = _transform(self.basis, column)
        return self._without_level(found)

    @cached_property
    def few(self) -> tuple[IntArray, IntArray] | None:
        """Row and column numbers of the frequencies that covariates have; None if there are many."""
        any_of = self.columns.any(axis=0)
        count = np.count_nonzero(any_of)
        if count * _FEW > any_of.size:
            return None
        i, j = np.nonzero(any_of)
        return i, j

    @cached_property
    def rest(self) -> tuple[FloatArray, ...]:
        """Squares of the transforms by group, zero at frequencies that covariates have, which are few."""
        found = []
        for group in self.groups:
            power = group.power((slice(0, self.shape[0]), slice(0, self.shape[1])), 0.0)
            if self.few is not None:
                power[self.few] = 0.0
            found.append(power)
        return tuple(found)

    def _group(self, weight: float, numbers: tuple[int, ...]) -> Alike:
        values = (self.images[number].data.values for number in numbers)
        first, *others = (self._without_level(_transforms.forward(self.basis, each)) for each in values)
        if not others:
            return Alike(numbers, weight, first, None)
        mean, scatter = first, np.zeros(self.shape)
        for k, each in enumerate(others, start=2):
            moved = each - mean
            mean = mean + moved / k
            scatter += moved * (each - mean)
        return Alike(numbers, weight, mean, np.maximum(scatter, 0.0))

    def _without_level(self, transforms: FloatArray) -> FloatArray:
        if self.is_intrinsic:
            transforms[..., 0, 0] = 0.0
        return transforms


def _bases(given: object) -> set[Basis | None]:
    """Return the bases in which a precision, or those of the fields of a sum, are given by eigenvalues."""
    members = given.parts if isinstance(given, Form) and given.parts else (given,)
    return {each.basis if isinstance(each, SpectralForm) else None for each in members}


def _is_complete(image: Replicate) -> bool:
    data = image.data
    exact = bool(data.exact[0, 0])
    return bool(data.observed.all() and (data.exact == exact).all() and (data.weight == data.weight[0, 0]).all())


def transform_back(basis: Basis, transform: FloatArray) -> FloatArray:
    """Return the image of a transform; along a side on which only frequency zero is there it does not vary."""
    height, width = transform.shape
    rows, columns = by_axis(basis)
    if columns != "dst" and not transform[:, 1:].any():
        return np.repeat(_transforms.backward(basis, transform[:, :1]) / np.sqrt(width), width, axis=1)
    if rows != "dst" and not transform[1:].any():
        return np.repeat(_transforms.backward(basis, transform[:1]) / np.sqrt(height), height, axis=0)
    return _transforms.backward(basis, transform)


def _transform(basis: Basis, column: FloatArray) -> FloatArray:
    """Return the transform of a covariate; along a side on which it does not vary only frequency zero is there."""
    (height, width), (rows, columns) = column.shape, by_axis(basis)
    found = np.zeros(column.shape)
    if columns != "dst" and (column == column[:, :1]).all():
        found[:, :1] = np.sqrt(width) * _transform_along(basis, column[:, :1])
    elif rows != "dst" and (column == column[:1]).all():
        found[:1] = np.sqrt(height) * _transform_along(basis, column[:1])
    else:
        found[:] = _transforms.forward(basis, column)
    return found


def _transform_along(basis: Basis, line: FloatArray) -> FloatArray:
    """Return the transform of a line of pixels, exactly zero beyond frequency zero if it is constant and that one."""
    found = np.zeros(line.shape)
    if _transforms.has_level(basis) and (line == line[:1, :1]).all():
        found[0, 0] = line[0, 0] * np.sqrt(line.size)
        return found
    return _transforms.forward(basis, np.ascontiguousarray(line))
