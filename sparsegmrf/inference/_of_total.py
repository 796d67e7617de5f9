"""What is observed of several unknowns stacked at a pixel: their weighted sum."""

import numpy as np

from sparsegmrf.factors import Factor, RestrictedFactor
from sparsegmrf.factors.congruent import CongruentFactor, place_of
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.typing import FloatArray


class OfTotal:
    """Measurements of the weighted sum ``a^T x_p`` of the unknowns of each pixel, or of a single one.

    Attributes
    ----------
    combination : ndarray, (C,), or None
        Weights ``a``; None: there is one unknown.
    """

    combination: FloatArray | None

    def total(self, fields: FloatArray) -> FloatArray:
        """Return what is observed of fields ``(..., H, W[, C])`` without noise, images ``(..., H, W)``."""
        return fields if self.combination is None else np.asarray(fields @ self.combination)

    def spread(self, images: FloatArray) -> FloatArray:
        """Return the transpose of `total`: fields from images."""
        return images if self.combination is None else images[..., np.newaxis] * self.combination

    def lifted(self, images: FloatArray) -> FloatArray:
        """Return fields whose `total` the images ``(..., H, W)`` are."""
        if self.combination is None:
            return images
        return images[..., np.newaxis] * (self.combination / float(self.combination @ self.combination))

    def covariances(self, posterior: Factor) -> tuple[SymmetricStencil, FloatArray]:
        """Return the selected inverse of the posterior's factor, and the variance of what is observed without noise.

        That of a sum is read off its own place: next to little noise it is a small difference of those of the fields.
        """
        if isinstance(posterior, RestrictedFactor) and self.combination is not None:
            posterior = posterior.inner  # nothing is asked of pixels outside the domain
        if isinstance(posterior, CongruentFactor) and self.combination is not None:
            own = posterior.inner.selected_inverse()
            place = place_of(self.combination, posterior.matrix)
            return congruent(own, posterior.matrix.T), np.array(own.diagonal()[..., place])
        S = posterior.selected_inverse()
        return S, S.diagonal()
