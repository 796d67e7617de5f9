"""Null vectors of a prior as images of what is observed."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._combinations import combined, products
from sparsegmrf.inference._observations import pixels_of
from sparsegmrf.typing import BoolArray, FloatArray

_COLLINEAR = 1e-9


@dataclass(frozen=True, eq=False)
class NullVectors:
    """Images ``N`` that the field adds at no cost, and their part on the observed pixels.

    Attributes
    ----------
    images : ndarray, (r, H, W)
        Orthonormal null vectors; of stacked fields what they add to the sum that is observed.
    members : tuple of int
        Field that each belongs to, of stacked ones.
    observed : ndarray of bool, (H, W)
        Observed pixels.
    basis : ndarray, (m, r)
        Orthonormal basis of the images on these.
    logdet : float
        ``logdet(N_o^T N_o)``.
    """

    images: FloatArray
    members: tuple[int, ...]
    observed: BoolArray
    basis: FloatArray
    logdet: float
    _mix: FloatArray

    @classmethod
    def of(cls, field: GMRF, observed: BoolArray, combination: FloatArray | None) -> "NullVectors":
        """Return the null vectors of a field, or of fields stacked per pixel whose weighted sum is observed.

        Raises
        ------
        ArgumentError
            If the observed pixels do not fix them, or the field has none at some pixels.
        """
        if not field.lattice.is_complete:
            raise ArgumentError(
                "model must have a value at every pixel, got an intrinsic field with pixels outside its domain (a mask "
                "or a barrier). Take a proper field, such as Matern(barrier=...), or condition(model.gmrf(shape), "
                "image, ...) with given parameters."
            )
        stacked, owners = field.null_space, (0,) * field.rank_deficiency
        if combination is not None:  # each belongs to one field
            owners = tuple(np.abs(stacked).max(axis=(1, 2)).argmax(axis=1).tolist())
            stacked = stacked @ combination
        q, r = np.linalg.qr(pixels_of(stacked, observed).T)
        pivots = np.abs(np.diagonal(r))
        count = int(np.count_nonzero(observed))
        if count < len(stacked) or pivots.min(initial=1.0) < _COLLINEAR:
            raise ArgumentError(
                f"image must have enough observed pixels to fix the {len(stacked)} null vectors of the field, got "
                f"{count} observed; use a proper field, and in a sum of fields no two that are intrinsic."
            )
        return cls(stacked, owners, observed, q, 2.0 * float(np.log(pivots).sum()), np.linalg.inv(r))

    @property
    def count(self) -> int:
        """Number of null vectors ``r``."""
        return len(self.images)

    @property
    def holds_constants(self) -> bool:
        """Whether a level is among them."""
        return bool(self.count) and bool(np.abs(self.remainder(np.ones((1, *self.observed.shape)))).max() < _COLLINEAR)

    def lifted(self, image: FloatArray, combination: FloatArray) -> FloatArray:
        """Return fields ``(H, W, C)`` that add up to an element ``(H, W)`` of the null space; zero if it has none."""
        fields = np.zeros((*image.shape, len(combination)))
        if self.count:
            member = self.members[0]
            fields[..., member] = image / combination[member]
        return fields

    def remainder(self, images: FloatArray) -> FloatArray:
        """Return what the null vectors leave of images ``(K, H, W)`` on the whole lattice."""
        if not self.count or not len(images):
            return images
        flat = self.images.reshape(self.count, -1)
        shares = np.linalg.solve(products(flat, flat), products(flat, images.reshape(len(images), -1)))
        return np.asarray(images - combined(np.asarray(shares.T, dtype=np.float64), self.images))

    def seen(self, images: FloatArray) -> FloatArray:
        """Return what they leave of images ``(K, H, W)`` on the observed pixels, ``(m, K)``."""
        X = pixels_of(images, self.observed).T
        return (X.T - combined(products(X.T, self.basis.T), self.basis.T)).T if self.count else X

    def contrasts(self, values: FloatArray) -> FloatArray:
        """Return what they leave of values ``(m,)`` of the observed pixels."""
        return values - combined(self._shares(values), self.basis.T) if self.count else values

    def nearest(self, values: FloatArray) -> FloatArray:
        """Return the element ``(H, W)`` of the null space nearest to values ``(m,)`` of the observed pixels."""
        return combined(self._mix @ self._shares(values), self.images)

    def without_their_part(self, images: FloatArray) -> FloatArray:
        """Return images less the combinations of null vectors nearest to them on the observed pixels."""
        if not self.count:
            return images
        shares = self._mix @ products(self.basis.T, pixels_of(images, self.observed))
        return np.asarray(images - combined(shares.T, self.images))

    def _shares(self, values: FloatArray) -> FloatArray:
        """Return the products of the basis with values ``(m,)`` of the observed pixels."""
        return products(self.basis.T, values[np.newaxis])[:, 0]
