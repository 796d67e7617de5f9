"""What a fit to an ensemble of images returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsegmrf.typing import FloatArray, Shape

if TYPE_CHECKING:
    from sparsegmrf.gmrf import GMRF
    from sparsegmrf.models.cholesky_field import CholeskyField
    from sparsegmrf.models.symmetric_field import SymmetricField


@dataclass(frozen=True, eq=False, repr=False)
class CholeskyFit:
    """A sparse Cholesky factor fitted to an ensemble of images.

    Attributes
    ----------
    model : CholeskyField
        The factor.
    mean : ndarray, (H, W)
        Mean image in intensity, estimated or given; read-only.
    shrinkage : float
        Weight of the target in the covariances that the factor was made of; 0 for maximum likelihood.
    target : str
        What the covariances were shrunk towards.
    n_images : int
        Number of images ``N``.
    n_parameters : int
        Diagonal, weights on the image, and the mean if it was estimated.
    loglik : float
        Log-density of all images in nats.
    loo : float
        Log-density in nats of an image by the fit to all others, averaged over the images; minus infinity where the
        others are too few. Mean and covariances are those of the others, the target is held.
    """

    model: "CholeskyField"
    mean: FloatArray
    shrinkage: float
    target: str
    n_images: int
    n_parameters: int
    loglik: float
    loo: float

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.mean.shape[0], self.mean.shape[1]

    def gmrf(self) -> "GMRF":
        """Return the field with the fitted mean."""
        return self.model.gmrf(self.shape, mean=self.mean)

    def summary(self) -> str:
        """Return the fit's figures as text."""
        height, width = self.shape
        return "\n".join(
            [
                f"sparse Cholesky factor with {np.shape(self.model.offsets)[0]} neighbours, {self.n_images} images of "
                f"{height} x {width}",
                f"shrinkage {self.shrinkage:.4g} towards {self.target}",
                f"log-likelihood per image {self.loglik / self.n_images:.4f} nats, leave-one-out {self.loo:.4f}",
            ]
        )

    def __repr__(self) -> str:
        return (
            f"CholeskyFit(shape={self.shape}, n_images={self.n_images}, shrinkage={self.shrinkage:.4g}, "
            f"loo={self.loo:.6g})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class SymmetricFit:
    """A sparse precision of a given pattern fitted to an ensemble of images.

    Attributes
    ----------
    model : SymmetricField
        The precision.
    mean : ndarray, (H, W)
        Mean image in intensity, estimated or given; read-only.
    shrinkage : float
        Weight of the diagonal in the covariances that the precision was made of; 0 for maximum likelihood.
    n_images : int
        Number of images ``N``.
    n_parameters : int
        Entries on the image, or shared coefficients, and the mean if it was estimated.
    loglik : float
        Log-density of all images in nats.
    converged : bool
        Whether the covariances agree with the ensemble's to the tolerance, at a maximum.
    reason : str
        Why the search ended.
    covariance_error : float
        Largest difference between a covariance of the field and of the (shrunk) ensemble on the pattern, in units of
        the standard deviations; with shared coefficients, of the averages over the image.
    factorizations : int
        Factorizations made.
    """

    model: "SymmetricField"
    mean: FloatArray
    shrinkage: float
    n_images: int
    n_parameters: int
    loglik: float
    converged: bool
    reason: str
    covariance_error: float
    factorizations: int

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.mean.shape[0], self.mean.shape[1]

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better."""
        return 2.0 * self.n_parameters - 2.0 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log N - 2 loglik``; smaller is better."""
        return self.n_parameters * float(np.log(self.n_images)) - 2.0 * self.loglik

    def gmrf(self) -> "GMRF":
        """Return the field with the fitted mean."""
        return self.model.gmrf(self.shape, mean=self.mean)

    def summary(self) -> str:
        """Return the fit's figures as text."""
        height, width = self.shape
        return "\n".join(
            [
                f"sparse precision with {2 * np.shape(self.model.offsets)[0]} neighbours, {self.n_images} images of "
                f"{height} x {width}",
                f"shrinkage {self.shrinkage:.4g} towards the diagonal, {self.n_parameters} parameters",
                f"log-likelihood per image {self.loglik / self.n_images:.4f} nats",
                f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}",
            ]
        )

    def __repr__(self) -> str:
        return (
            f"SymmetricFit(shape={self.shape}, n_images={self.n_images}, loglik={self.loglik:.6g}, "
            f"converged={self.converged})"
        )
