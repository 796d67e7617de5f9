"""Fields given pixel by pixel by the entries of a sparse precision, and their fit to ensembles of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsegmrf._saved import Saved
from sparsegmrf._validate import finite_number, image_shape, integer_at_least, positive_number, read_only
from sparsegmrf.ensembles._ensemble import as_ensemble, as_pairs, later_neighbours
from sparsegmrf.ensembles._fit import EnsembleFit
from sparsegmrf.ensembles._selection import fit_selection
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._from_cholesky import shape_of_planes
from sparsegmrf.typing import ArrayLike, FloatArray, Offsets, Shape


@dataclass(frozen=True, eq=False)
class SymmetricField(Saved):
    """Field whose precision is given entry by entry: ``Q[p, p]``, and ``Q[p, p + o_k]`` on later neighbours.

    It has as many parameters as numbers, so that it has no named ones. The precision is cut off at the border.

    Parameters
    ----------
    diagonal : float or array_like, (H, W)
        ``Q[p, p]`` in 1/intensity^2; with channels blocks, symmetric.
    weights : sequence or array_like, (K, H, W)
        Per offset a number or plane of ``Q[p, p + o_k]``, in 1/intensity^2; with channels blocks.
    offsets : sequence of (int, int)
        ``(di, dj)`` in pixels, later in raster order; by default right, lower left, below and lower right.
    channels : int
        Unknowns per pixel.

    Raises
    ------
    StencilError
        On a lattice: if an offset is not later, or an array has the wrong shape.
    ArgumentError
        On a lattice: if a value is not finite.
    NotPositiveDefiniteError
        When the field is factorized, at its first use: if the matrix is not positive definite.

    References
    ----------
    A. Dempster (1972), Covariance selection, Biometrics 28.

    Examples
    --------
    >>> field = SymmetricField(4.1, [-1.0, -1.0], [(0, 1), (1, 0)]).gmrf((3, 3))
    >>> round(field.logdet, 6)
    11.799454
    """

    diagonal: ArrayLike = 1.0
    weights: Sequence[ArrayLike] | FloatArray = (0.0, 0.0, 0.0, 0.0)
    offsets: Offsets = ((0, 1), (1, -1), (1, 0), (1, 1))
    channels: int = 1

    @classmethod
    def fit(
        cls,
        images: ArrayLike,
        radius: int = 1,
        *,
        offsets: Offsets | None = None,
        homogeneous: bool = False,
        shrinkage: float | None = None,
        mean: Literal["estimate"] | ArrayLike = "estimate",
        tolerance: float = 1e-6,
        max_steps: int = 60,
    ) -> "SymmetricFit":
        """Fit the precision with a given pattern to an ensemble of images by maximum likelihood.

        Maximizes ``logdet Q - tr(S Q)`` over all positive definite ``Q`` that are zero outside the pattern, a convex
        problem whose solution is the one ``Q`` of the pattern whose inverse agrees with ``S`` on it. Newton's method:
        the gradient is ``S`` less the selected inverse, products with the Hessian are differences of gradients. With
        missing pixels ``S`` is what is expected of it given what is observed, exactly, and the fit is repeated until it
        agrees with what is expected under it (EM).

        Parameters
        ----------
        images : array_like, (N, H, W)
            Ensemble in intensity; independent draws of one field. NaN marks a missing pixel, which is integrated out.
        radius : int
            Neighbours are those in the ``(2r + 1) x (2r + 1)`` window: 8 for 1, 24 for 2.
        offsets : sequence of (int, int), optional
            Instead of `radius`: later neighbours ``(di, dj)`` in pixels, each standing for its mirror image too.
        homogeneous : bool
            Whether all pixels share their coefficients; the covariances then agree on the average over the image.
        shrinkage : float, optional
            ``a`` from 0 to below 1: ``S = (1 - a) C + a diag(C)`` with the sample covariance ``C``. Above 0 there is
            always a solution.
        mean : "estimate", float or array_like, (H, W)
            Mean in intensity: that of the images, or known.
        tolerance : float
            Largest difference of a covariance on the pattern, in units of the standard deviations, at which the
            search ends.
        max_steps : int
            Newton steps it may take; each costs some tens of factorizations.

        Returns
        -------
        SymmetricFit
            With the model, the mean, and whether the search has converged.

        Raises
        ------
        ArgumentError
            If a value is infinite, a pixel is constant or missing in all images but one (in all, with a known mean), or
            images are fewer than mutual neighbours with no
            shrinkage; beyond that number a maximum may still not exist, which the result then says.

        References
        ----------
        A. Dempster (1972), Covariance selection, Biometrics 28. A. Dempster, N. Laird, D. Rubin (1977), Maximum
        likelihood from incomplete data via the EM algorithm, JRSS B 39. S. Buhl (1993), On the existence of maximum
        likelihood estimators for graphical Gaussian models, Scand. J. Statist. 20.

        Examples
        --------
        >>> truth = SymmetricField(4.1, [-1.0, -1.0], [(0, 1), (1, 0)]).gmrf((8, 8))
        >>> result = SymmetricField.fit(truth.sample(60, rng=0), offsets=[(0, 1), (1, 0)])
        >>> result.converged, result.gmrf().sample(rng=0).shape
        (True, (8, 8))
        """
        neighbours = later_neighbours(radius, offsets)
        ensemble = as_ensemble(images, mean)
        number = 0.0 if shrinkage is None else finite_number("shrinkage", shrinkage)
        if not 0.0 <= number < 1.0:
            raise ArgumentError(f"shrinkage must be None or a number from 0 to below 1, got {number:g}.")
        smallest, most = positive_number("tolerance", tolerance), integer_at_least("max_steps", max_steps, 1)
        found = fit_selection(ensemble, neighbours, number, bool(homogeneous), smallest, most)
        at = found.minimum.point.at
        if homogeneous:
            model = cls(float(at[0]), tuple(at[1:].tolist()), as_pairs(neighbours))
        else:
            model = cls(read_only(at[0].copy()), read_only(at[1:].copy()), as_pairs(neighbours))
        return SymmetricFit(
            model=model,
            loglik=found.loglik,
            n_observed=ensemble.count,
            mean=read_only(found.mean),
            mean_estimated=ensemble.estimated,
            shrinkage=number,
            target="diagonal",
            converged=found.converged,
            reason=found.reason,
            covariance_error=found.minimum.point.error,
            factorizations=found.factorizations,
        )

    def stencil(self, shape: Shape | None = None) -> SymmetricStencil:
        """Return the precision ``Q``, in 1/intensity^2; the shape is that of the planes if there are any."""
        coefficients = [self.diagonal, *self.weights]
        given = shape_of_planes(coefficients, self.channels) if shape is None else image_shape(shape)
        offsets = [(0, 0), *((int(di), int(dj)) for di, dj in np.asarray(self.offsets).reshape(-1, 2))]
        return SymmetricStencil(offsets, coefficients, given, channels=self.channels)

    def gmrf(self, shape: Shape | None = None, mean: ArrayLike = 0.0, method: str = "auto") -> GMRF:
        """Return the field, with mean in intensity; `method` as for `factorize`."""
        return GMRF.from_precision(self.stencil(shape), mean=mean, method=method)


@dataclass(frozen=True, eq=False, repr=False)
class SymmetricFit(EnsembleFit):
    """A sparse precision of a given pattern fitted to an ensemble of images.

    Attributes
    ----------
    model : SymmetricField
        The precision.
    loglik : float
        Log-density of all images in nats; where pixels are missing, of the observed ones.
    n_observed : int
        Number of images ``N``.
    mean : ndarray, (H, W)
        Mean image in intensity; read-only.
    mean_estimated : bool
        Whether the mean was estimated; given otherwise.
    shrinkage : float
        Weight of the diagonal in the covariances that the precision was made of; 0 for maximum likelihood.
    target : str
        ``"diagonal"``.
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

    model: SymmetricField
    converged: bool
    reason: str
    covariance_error: float
    factorizations: int

    def summary(self) -> str:
        """Return the fit's figures as text."""
        return f"{super().summary()}\n{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}"
