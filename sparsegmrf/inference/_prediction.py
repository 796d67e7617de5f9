"""What a fit predicts at every pixel."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf.typing import BoolArray, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """A field with its trend given the observations, and new measurements; of several images ``(R, H, W)``.

    Everything is NaN where a covariate is not known, and where the model has no value: outside the domain of an
    intrinsic field with a mask or a barrier.

    Attributes
    ----------
    mean : ndarray, (H, W)
        Expectation, in intensity; of counts, of the linear predictor.
    variance : ndarray, (H, W)
        Of the field with its trend, that of the estimated coefficients included, in intensity^2.
    predictive_variance : ndarray, (H, W)
        Of a new measurement: ``variance`` plus that of the noise. Of a noise variance given pixel by pixel it needs
        that of missing pixels, and is NaN there.
    samples : ndarray, (n_samples, H, W)
        Draws of the field with its trend.
    relative_error : float
        Bound on the error of the variances, relative to themselves, where factors are kept in single precision
        (`SingleFactor`); zero in double.
    """

    mean: FloatArray
    variance: FloatArray
    predictive_variance: FloatArray
    samples: FloatArray
    relative_error: float = 0.0

    @property
    def std(self) -> FloatArray:
        """Standard deviation of the field with its trend, in intensity."""
        return np.sqrt(self.variance)

    @property
    def predictive_std(self) -> FloatArray:
        """Standard deviation of a new measurement, in intensity."""
        return np.sqrt(self.predictive_variance)

    def without(self, unknown: BoolArray) -> "Prediction":
        """Return the prediction with NaN at some pixels ``(H, W)``."""
        values = (self.mean, self.variance, self.predictive_variance, self.samples)
        mean, variance, predictive_variance, samples = (np.where(unknown, np.nan, each) for each in values)
        return Prediction(mean, variance, predictive_variance, samples, self.relative_error)

    def __repr__(self) -> str:
        return f"Prediction(shape={self.mean.shape}, n_samples={len(self.samples)})"


class FieldAtPixels(NamedTuple):
    """Mean, variance and draws ``(n, H, W)`` of what is observed of a field with its trend, this taken as known.

    The last is the bound on the relative error of the variance.
    """

    mean: FloatArray
    variance: FloatArray
    draws: FloatArray
    relative_error: float = 0.0
