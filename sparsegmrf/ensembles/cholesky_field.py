"""Fields given pixel by pixel by a triangular factor, as networks predict them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparsegmrf._saved import Saved
from sparsegmrf._validate import image_shape, read_only
from sparsegmrf.ensembles._ensemble import as_ensemble, as_pairs, later_neighbours
from sparsegmrf.ensembles._fit import EnsembleFit
from sparsegmrf.ensembles._regression import fit_regression
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._from_cholesky import whitening_of_cholesky
from sparsegmrf.typing import ArrayLike, FloatArray, Offsets, Shape


@dataclass(frozen=True, eq=False)
class CholeskyField(Saved):
    """Field whose precision is made of a lower triangular matrix ``L``, given per pixel.

    ``"LLt"``: ``Q = L L^T``; pixel ``p`` holds column ``p``: ``L[p, p]`` and ``L[p + o_k, p]`` on later neighbours.
    ``"LtL"``: ``Q = L^T L``; pixel ``p`` holds row ``p``: ``L[p, p]`` and ``L[p, p + o_k]`` on earlier neighbours.
    The density is exact without a factorization, ``logdet Q = 2 sum log L[p, p]``. It has as many parameters as
    numbers, so that it has no named ones.

    Parameters
    ----------
    diagonal : float or array_like, (H, W)
        ``L[p, p]``, positive, in 1/intensity; with channels blocks, lower triangular.
    weights : sequence or array_like, (K, H, W)
        Per offset a number or plane, in 1/intensity; with channels blocks.
    offsets : sequence of (int, int)
        ``(di, dj)`` in pixels, later in raster order with ``"LLt"``, earlier with ``"LtL"``; by default
        right, lower left, below and lower right.
    convention : {"LLt", "LtL"}
        Which product is the precision.
    channels : int
        Unknowns per pixel.

    Raises
    ------
    StencilError
        On a lattice: if the offsets are on the wrong side, or an array has the wrong shape.
    ArgumentError
        On a lattice: if the diagonal is not positive, or a value is not finite.

    References
    ----------
    G. Dorta et al. (2018), Structured uncertainty prediction networks, CVPR.

    Examples
    --------
    >>> field = CholeskyField(1.0, [-0.3, -0.3], [(0, 1), (1, 0)]).gmrf((32, 32), mean=5.0)
    >>> round(field.logdet, 6), field.sample(rng=0).shape
    (0.0, (32, 32))
    """

    diagonal: ArrayLike = 1.0
    weights: Sequence[ArrayLike] | FloatArray = (0.0, 0.0, 0.0, 0.0)
    offsets: Offsets = ((0, 1), (1, -1), (1, 0), (1, 1))
    convention: Literal["LLt", "LtL"] = "LLt"
    channels: int = 1

    @classmethod
    def fit(
        cls,
        images: ArrayLike,
        radius: int = 1,
        *,
        offsets: Offsets | None = None,
        shrinkage: Literal["auto"] | float | None = "auto",
        target: Literal["homogeneous", "correlation", "diagonal"] = "homogeneous",
        mean: Literal["estimate"] | ArrayLike = "estimate",
    ) -> "CholeskyFit":
        """Fit the factor of ``Q = L L^T`` to an ensemble of images by maximum likelihood, in closed form.

        With ``r = x - mu`` and ``q = p + o_k``, ``d_p r_p + sum_k w_pk r_q`` is white: a regression of pixels on their
        later neighbours, ``d_p = 1 / s_p`` and ``w_pk = -beta_pk / s_p``, with ``s_p^2`` the mean squared residual. It
        is made from ``(1 - a) C + a T``, ``C`` the sample covariance of the pixel and its neighbours, ``T`` a target
        and ``a`` the shrinkage. With missing pixels ``C`` is what is expected of it given what is observed, exactly,
        and the regressions are repeated until they agree with what is expected under them (EM).

        Parameters
        ----------
        images : array_like, (N, H, W)
            Ensemble in intensity; independent draws of one field. NaN marks a missing pixel, which is integrated out.
        radius : int
            Later neighbours are those in the ``(2r + 1) x (2r + 1)`` window: none for 0, 4 for 1, 12 for 2.
        offsets : sequence of (int, int), optional
            Later neighbours ``(di, dj)`` in pixels, instead of `radius`.
        shrinkage : "auto", float or None
            Weight of the target, from 0 to 1; None and 0 are pure maximum likelihood. ``"auto"`` takes the value with
            the largest exact leave-one-out log-density, from 0, 1 and a grid of its logit with step 1/2; with missing
            pixels that of images completed by draws given what is observed.
        target : {"homogeneous", "correlation", "diagonal"}
            ``"homogeneous"``: the covariance of a window, averaged over the image, so that shrinkage 1 gives weights
            that all pixels share (but near the border). ``"correlation"``: the averaged correlations with the variances
            of the pixels themselves. ``"diagonal"``: no correlation. Leaving one out holds the target, which for the
            last two flatters shrinkage ``a`` by about ``a H W / N`` nats per image.
        mean : "estimate", float or array_like, (H, W)
            Mean in intensity: that of the images, or known.

        Returns
        -------
        CholeskyFit
            With the model, the mean and the leave-one-out log-density.

        Raises
        ------
        ArgumentError
            If a value is infinite, a pixel is constant or missing in all images but one (in all, with a known mean),
            images are too few for pure maximum likelihood (as many as neighbours + 2, one less with a known mean, are
            needed), or neighbours predict a pixel exactly.

        References
        ----------
        M. Pourahmadi (1999), Joint mean-covariance models with applications to longitudinal data, Biometrika 86, for
        the regressions; he takes earlier neighbours. J. Hoffbeck and D. Landgrebe (1996), Covariance matrix estimation
        and classification with limited training data, IEEE PAMI 18, for leaving one out by rank-one downdates.
        A. Dempster, N. Laird, D. Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm, JRSS B 39.

        Examples
        --------
        >>> truth = CholeskyField(1.0, [-0.4, -0.3], [(0, 1), (1, 0)]).gmrf((8, 8))
        >>> result = CholeskyField.fit(truth.sample(40, rng=0), radius=1)
        >>> result.shrinkage > 0.5, result.gmrf().sample(rng=0).shape
        (True, (8, 8))
        """
        neighbours = later_neighbours(radius, offsets)
        ensemble = as_ensemble(images, mean)
        fitted = fit_regression(ensemble, neighbours, shrinkage, target)
        return CholeskyFit(
            model=cls(fitted.diagonal, fitted.weights, as_pairs(neighbours)),
            loglik=fitted.loglik,
            n_observed=ensemble.count,
            mean=read_only(fitted.mean),
            mean_estimated=ensemble.estimated,
            shrinkage=fitted.shrinkage,
            target=target,
            loo=fitted.loo,
            converged=fitted.converged,
            reason=fitted.reason,
        )

    def whitening(self, shape: Shape | None = None) -> TriangularStencil:
        """Return ``A`` of ``Q = A^T A``: ``L^T`` or ``L``; the shape is that of the planes if there are any."""
        given = None if shape is None else image_shape(shape)
        A = whitening_of_cholesky(self.diagonal, self.weights, self.offsets, given, self.channels, self.convention)
        if given is not None and A.shape != given:
            raise ArgumentError(f"shape must be that of the planes, {A.shape}, got {given}.")
        return A

    def stencil(self, shape: Shape | None = None) -> SymmetricStencil:
        """Return the precision ``Q``, in 1/intensity^2."""
        return self.whitening(shape).gram()

    def gmrf(self, shape: Shape | None = None, mean: ArrayLike = 0.0) -> GMRF:
        """Return the field, with mean in intensity."""
        return GMRF.from_whitening(self.whitening(shape), mean)


@dataclass(frozen=True, eq=False, repr=False)
class CholeskyFit(EnsembleFit):
    """A sparse Cholesky factor fitted to an ensemble of images.

    Attributes
    ----------
    model : CholeskyField
        The factor.
    loglik : float
        Log-density of all images in nats; where pixels are missing, of the observed ones.
    n_observed : int
        Number of images ``N``.
    mean : ndarray, (H, W)
        Mean image in intensity; read-only.
    mean_estimated : bool
        Whether the mean was estimated; given otherwise.
    shrinkage : float
        Weight of the target in the covariances that the factor was made of; 0 for maximum likelihood.
    target : str
        What the covariances were shrunk towards.
    loo : float
        Log-density in nats of an image by the fit to all others, averaged over the images; minus infinity where the
        others are too few. Mean and covariances are those of the others, the target is held. With missing pixels, of
        images completed by draws.
    converged : bool
        Whether, with missing pixels, the covariances agree with what is expected under them.
    reason : str
        How the factor was found.
    """

    model: CholeskyField
    loo: float
    converged: bool = True
    reason: str = "in closed form"

    def summary(self) -> str:
        """Return the fit's figures as text."""
        told = f"{super().summary()}, leave-one-out {self.loo:.4f}"
        return told if self.converged else f"{told}\nNOT CONVERGED: {self.reason}"
