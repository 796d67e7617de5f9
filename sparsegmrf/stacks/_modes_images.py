"""Images given modes: what one says of the scores, and its posterior given these, the local field integrated out."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors import factorize
from sparsegmrf.stacks._modes_em import Modes
from sparsegmrf.stacks._modes_local import GivenModes, LocalField, Make
from sparsegmrf.typing import BoolArray, FloatArray

_DIGITS = 1e-7
"""Share of a value's precision that the others leave to it, below which their difference has lost its digits."""


@dataclass(frozen=True)
class Image:
    """One date in units of its pixels' noise: ``z = F h + u + v + noise``.

    ``F`` are the modes, ``u`` is the local field, ``v`` stands for coefficients that are not known exactly and is
    independent from pixel to pixel.

    Parameters
    ----------
    values : (n,) array
        Less the season; 0 where nothing is seen.
    seen : (n,) array of bool
        Where there are values.
    loadings : (r, n) array
        ``F^T``.
    uncertain : (n,) array
        Variance of ``v``.
    noise : (n,) array
        Variance of the noise; large at outliers.
    scale : float
        Of the local field's variance at this date.
    """

    values: FloatArray
    seen: BoolArray
    loadings: FloatArray
    uncertain: FloatArray
    noise: FloatArray
    scale: float

    @property
    def weights(self) -> FloatArray:
        """Precision ``(n,)`` of values given ``F h + u``."""
        return np.asarray(self.seen / (self.uncertain + self.noise))


@dataclass(frozen=True)
class Given:
    """Posterior of one image: its local field given the scores."""

    image: Image
    local: GivenModes

    def information(self) -> tuple[FloatArray, FloatArray]:
        """Return ``P = F^T (D - D M^-1 D) F`` and ``b = F^T (D - D M^-1 D) z``, the local field integrated out."""
        image = self.image
        left = np.concatenate([image.loadings, image.values[None]])
        left = (left - self.local.kriged(left)) * image.weights
        information = left[:-1] @ image.loadings.T
        return (information + information.T) / 2.0, image.loadings @ left[-1]

    def moments(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance ``(n,)`` of ``F h + u + v``, given moments of ``h``."""
        image = self.image
        kept = image.loadings - self.local.kriged(image.loadings)  # F - M^-1 D F
        signal = mean @ kept + self.local.kriged(image.values)
        variance = self.local.variance + ((covariance @ kept) * kept).sum(axis=0)
        share = self._share()
        left = 1.0 - share
        return left * signal + share * image.values, left**2 * variance + left * image.uncertain

    def left_out(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance ``(n,)`` of ``F h + u + v`` where each value is predicted by all others.

        ``q = F h + u`` is observed with the precision ``w``: with its mean ``m`` and variance ``c`` given all values,
        the others say ``z - (z - m) / (1 - w c)`` and ``c / (1 - w c)``. NaN where nothing is seen, or nothing else
        tells it.
        """
        image = self.image
        kept = image.loadings - self.local.kriged(image.loadings)
        m = mean @ kept + self.local.kriged(image.values)
        c = self.local.variance + ((covariance @ kept) * kept).sum(axis=0)
        share = 1.0 - image.weights * c
        told = image.seen & (share > _DIGITS)
        factor = np.divide(1.0, share, out=np.full(len(share), np.nan), where=told)
        return image.values - (image.values - m) * factor, c * factor + image.uncertain

    def draw(self, scores: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw signals ``(S, n)`` given draws ``(S, r)`` of the scores."""
        image = self.image
        modes = scores @ image.loadings
        signal = modes + self.local.kriged(image.values - modes) + self.local.draw(len(scores), rng)
        share = self._share()
        own = np.sqrt((1.0 - share) * image.uncertain) * rng.standard_normal(signal.shape)
        return np.asarray((1.0 - share) * signal + share * image.values + own)

    def _share(self) -> FloatArray:
        """Of what a value says beyond ``F h + u``, the share that is surface."""
        image = self.image
        return np.asarray(image.seen * image.uncertain / (image.uncertain + image.noise))


def image_given(
    modes: Modes,
    local: LocalField,
    residuals: FloatArray,
    weights: FloatArray,
    uncertain: FloatArray,
    scale: float,
    make: Make = factorize,
) -> Given:
    """Return the image of one date, given Student's weights ``(n,)`` (0: not seen) and the scale of its noise.

    `make` makes a factor of a precision.
    """
    seen = weights > 0.0
    deviation = np.sqrt(modes.noise)
    noise = (1.0 - local.share) * scale / np.where(seen, weights, 1.0)
    image = Image(
        np.where(seen, residuals, 0.0) / deviation,
        seen,
        modes.loadings.T / deviation,
        uncertain / modes.noise,
        noise,
        scale,
    )
    return Given(image, local.given(image.weights, scale, make))
