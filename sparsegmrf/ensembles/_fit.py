"""What fits to an ensemble of images have in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._validate import image_shape
from sparsegmrf.ensembles._ensemble import count_pairs
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fitted import Fitted
from sparsegmrf.gmrf import GMRF
from sparsegmrf.typing import FloatArray, Shape


@dataclass(frozen=True, eq=False, repr=False)
class EnsembleFit(Fitted):
    """Entries of a sparse matrix fitted to an ensemble of images, and its mean image; attributes by the subclasses."""

    model: Any
    loglik: float
    n_observed: int
    mean: FloatArray
    mean_estimated: bool
    shrinkage: float
    target: str

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.mean.shape[0], self.mean.shape[1]

    @property
    def n_parameters(self) -> int:
        """Number of entries on the image, or of shared coefficients, and of pixels of the mean if it was estimated."""
        offsets = np.reshape(self.model.offsets, (-1, 2))
        shared = np.ndim(self.model.diagonal) == 0
        entries = 1 + len(offsets) if shared else self.mean.size + count_pairs(offsets, self.shape)
        return entries + self.mean_estimated * self.mean.size

    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field with the fitted mean, which has the images' shape only."""
        if shape is not None and image_shape(shape) != self.shape:
            raise ArgumentError(
                f"shape must be that of the images, {self.shape}, as the mean is one, got {image_shape(shape)}; "
                "model.gmrf(shape, mean=...) takes another mean."
            )
        field: GMRF = self.model.gmrf(self.shape, mean=self.mean)
        return field

    def summary(self) -> str:
        """Return the fit's figures as text."""
        height, width = self.shape
        return "\n".join(
            [
                f"{type(self.model).__name__} with {len(self.model.offsets)} later neighbours, {self.n_observed} "
                f"images of {height} x {width}",
                f"shrinkage {self.shrinkage:.4g} towards {self.target}, {self.n_parameters} parameters",
                f"log-likelihood per image {self.loglik / self.n_observed:.4f} nats",
            ]
        )

    def _maximal_loglik(self, criterion: str) -> float:
        if self.shrinkage > 0.0:
            raise ArgumentError(
                f"{criterion} compares maxima of the likelihood, but the covariances were shrunk by "
                f"{self.shrinkage:.4g}; fit with shrinkage=None, or compare log-densities of images held out."
            )
        return self.loglik

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, n_observed={self.n_observed}, loglik={self.loglik:.6g})"
