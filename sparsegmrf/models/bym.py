"""Besag, York and Mollie's model of disease maps, as reparametrized by Riebler and others."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from scipy.sparse.csgraph import connected_components

from sparsegmrf import _frozen
from sparsegmrf._edges import as_boundary
from sparsegmrf._validate import image_shape, positive_number
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors.dense import LARGEST
from sparsegmrf.factors.spectral_density import Places, SpectralDensity, Values
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._ends import end_of_scale
from sparsegmrf.models._mask import as_mask, check_mask
from sparsegmrf.models._model import POSITIVE, Bounds, Model
from sparsegmrf.models._pc_share import PCShare
from sparsegmrf.models._scale import multiplied
from sparsegmrf.models._spacing import PixelSize, check_spacing, cut_spacing
from sparsegmrf.models._window import cut
from sparsegmrf.models.independent import Independent
from sparsegmrf.models.intrinsic import Intrinsic
from sparsegmrf.models.sum import Sum
from sparsegmrf.priors import Prior
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, BoolArray, Boundary, FloatArray, Shape


@dataclass(frozen=True, eq=False)
class BYM(Model):
    """Besag, York and Mollie's model, R-INLA's ``bym2``: ``x = sigma (sqrt(phi) u + sqrt(1 - phi) v)``.

    ``u`` is an intrinsic autoregression of order 1, scaled so that the geometric mean of its marginal variances on the
    lattice is 1, and ``v`` independent pixels of variance 1. `sigma` is so about the standard deviation of a pixel, and
    `phi` the share of the variance that neighbours have in common, on any lattice. The level is in the null space of
    ``u``, so that a fit has no coefficient for it; that of a map is in ``u``. Both fields stand stacked at a pixel,
    already multiplied, and their sum is observed.

    Parameters
    ----------
    sigma : float
        Standard deviation in intensity, of counts in logarithms of rates or of odds; positive.
    phi : float
        Share of the structured part in the variance, between 0 and 1.
    boundary : {"neumann", "torus"} or (str, str)
        The lattice's own border, or wrapped; a pair for rows and columns.
    mask : array_like of bool, (H, W), optional
        True where there is no field, as for `Intrinsic`: nothing is counted there, and risks are NaN. Connected parts
        have a level each, and one scale: the geometric mean is over the pixels of all of them, as with
        ``Intrinsic(scale=True)``. A single pixel without neighbours has its level and the unstructured part.
    spacing : (height, width), optional
        Height and width of a pixel, as for `Intrinsic` of order 1; only their ratio matters, also of maps.

    Raises
    ------
    ArgumentError
        If `mask` is no image or leaves no two pixels that touch, `sigma` is not positive and finite, `phi` not between
        0 and 1, or the boundary is unknown.

    References
    ----------
    J. Besag, J. York, A. Mollie (1991), Bayesian image restoration, with two applications in spatial statistics, Annals
    of the Institute of Statistical Mathematics 43. A. Riebler, S. Sorbye, D. Simpson, H. Rue (2016), An intuitive
    Bayesian spatial model for disease mapping that accounts for scaling, Statistical Methods in Medical Research 25;
    their ``tau_b`` is ``1 / sigma^2``.

    Examples
    --------
    >>> model = BYM(sigma=0.5, phi=0.7)
    >>> model.parameters
    {'sigma': 0.5, 'phi': 0.7}
    >>> model.observe(model.gmrf((16, 16)).sample(rng=0)).shape
    (16, 16)
    """

    sigma: float = 1.0
    phi: float = 0.5
    boundary: Boundary = "neumann"
    mask: BoolArray | None = None
    spacing: PixelSize | None = None

    def __post_init__(self) -> None:
        _frozen.assign(self, sigma=positive_number("sigma", self.sigma), phi=positive_number("phi", self.phi))
        if not self.phi < 1.0:
            raise ArgumentError(
                f"phi must lie between 0 and 1, got {self.phi:g}; without an unstructured part take "
                "Intrinsic(scale=True)."
            )
        _frozen.assign(self, boundary=as_boundary("boundary", self.boundary, ("neumann", "torus")))
        _frozen.assign(self, mask=as_mask(self.mask), spacing=check_spacing(self.spacing))

    @property
    def parameters(self) -> dict[str, float]:
        """``sigma`` and ``phi``."""
        return {"sigma": self.sigma, "phi": self.phi}

    @property
    def is_intrinsic(self) -> bool:
        """True: the precision of the structured part is singular."""
        return True

    @property
    def combination(self) -> FloatArray:
        """One and one: the sum of structured and unstructured part is observed."""
        return np.ones(2)

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of ``sigma``, positive, and of ``phi``, between 0 and 1."""
        return {"sigma": POSITIVE, "phi": (0.0, 1.0)}

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "sigma":
            return end_of_scale(high)
        scaled = "scale=True" if self.mask is None else "scale=True, mask=mask"
        return (
            f"all of the field is structured; Intrinsic({scaled}) is this model"
            if high
            else "nothing of the field is structured; Independent() is this model, but for its level"
        )

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(sigma=multiplied("sigma", self.sigma, factor))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice, scaled by the variances of the window."""
        super().cropped(rows, columns)
        changes: dict[str, object] = {} if self.mask is None else {"mask": cut(self.mask, rows, columns)}
        spacing = cut_spacing(self.spacing, rows, columns)
        if spacing is not self.spacing:
            changes["spacing"] = spacing
        return self.replace(**changes) if changes else self

    def sum(self, shape: Shape) -> Sum:
        """Return structured and unstructured part on a lattice as a `Sum` of an `Intrinsic` and an `Independent` field.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.
        """
        walk = self._walk
        tau = _variance_of(walk, (int(shape[0]), int(shape[1]))) / (self.sigma**2 * self.phi)
        unstructured = Independent(self.sigma * float(np.sqrt(1.0 - self.phi)), boundary=self.boundary)
        return Sum([walk.replace(tau=tau), unstructured], labels=["structured", "unstructured"])

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size."""
        return self if self.spacing is not None else self.replace(spacing=spacing)

    def phi_prior(self, shape: Shape, u: float = 0.5, probability: float = 2.0 / 3.0) -> Prior:
        """Return the penalized-complexity prior of ``phi`` on a lattice, with ``P(phi < u) = probability``.

        Exponential in the distance from independent pixels, for ``fit(..., priors={"phi": ...})``. Without a prior the
        maximum of the likelihood is often at an end, where counts do not tell the parts apart. `sigma` and `phi` of the
        model do not matter.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.
        u : float
            A share, between 0 and 1.
        probability : float
            How probable it is to be below, in (0, 1).

        Raises
        ------
        ArgumentError
            If either is not between 0 and 1.
        TooLargeError
            If a connected part of a lattice with a mask, or with a map for its spacing, has more than 4096 pixels,
            whose eigenvalues no transform knows.

        References
        ----------
        Riebler et al. (2016), section 3.3 and appendix; 0.5 and 2/3 are R-INLA's.

        Examples
        --------
        >>> prior = BYM().phi_prior((16, 16))
        >>> prior.support, prior.log_density(0.1) > prior.log_density(0.9)
        ((0.0, 1.0), True)
        """
        given = {"u": positive_number("u", u), "probability": positive_number("probability", probability)}
        for name, value in given.items():
            if not value < 1.0:
                raise ArgumentError(f"{name} must lie between 0 and 1, got {value:g}.")
        height, width = image_shape(shape)
        walk = self._walk
        spectral = walk.build_spectral((height, width))
        values = _eigenvalues(walk, (height, width)) if spectral is None else spectral.eigenvalues.ravel()[1:]
        levels = height * width - len(values) - (0 if self.mask is None else int(np.count_nonzero(self.mask)))
        excess = 1.0 / (values * _variance_of(walk, (height, width))) - 1.0
        return PCShare(np.concatenate([np.full(levels, -1.0), excess]), **given)

    def observe(self, x: ArrayLike) -> FloatArray:
        """Return the sums ``(..., H, W)`` of stacked parts ``(..., H, W, 2)``, as draws have them.

        Raises
        ------
        ArgumentError
            If `x` does not have two channels.
        """
        return Sum([Intrinsic(), Independent()]).observe(x)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        return self.sum(shape).build_stencil(shape)

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the rows of both parts."""
        return self.sum(shape).build_rows(shape)

    def on_lattice(self, shape: Shape) -> Model:
        """Return the sum that stands for the model on a lattice."""
        return self.sum(image_shape(shape))

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        parts = self.sum(shape)
        by, slope = parts.build_derivatives(shape), self._by_phi(parts)
        by_phi = by["tau_structured"] * slope["tau_structured"] + by["sigma_unstructured"] * slope["sigma_unstructured"]
        return {"sigma": parts.build_stencil(shape) * (-2.0 / self.sigma), "phi": by_phi}

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency of the sum with their derivatives, or None."""
        parts = self.sum(shape)
        density, (by_phi, by_sigma) = parts.build_spectral_density(shape), (self._by_phi(parts), self._by_sigma(parts))
        if density is None:
            return None

        def values(places: Places) -> Values:
            variance, by = density.values(places)
            along = {"sigma": by_sigma, "phi": by_phi}
            return variance, {
                name: np.sum([by[own] * slope for own, slope in slopes.items()], axis=0)
                for name, slopes in along.items()
            }

        return SpectralDensity(density.basis, density.shape, ("sigma", "phi"), True, values)

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the stacked parts with the model's own boundary."""
        return self.sum(shape).build_gmrf(shape, mean, method)

    @property
    def _walk(self) -> Intrinsic:
        """The structured part with ``tau = 1``."""
        return Intrinsic(mask=self.mask, boundary=self.boundary, spacing=self.spacing)

    def _by_phi(self, parts: Sum) -> dict[str, float]:
        """Return the derivatives of the parts' parameters by ``phi``."""
        tau, sigma = parts.parameters.values()
        return {"tau_structured": -tau / self.phi, "sigma_unstructured": -0.5 * sigma / (1.0 - self.phi)}

    def _by_sigma(self, parts: Sum) -> dict[str, float]:
        """Return the derivatives of the parts' parameters by ``sigma``."""
        tau, sigma = parts.parameters.values()
        return {"tau_structured": -2.0 * tau / self.sigma, "sigma_unstructured": sigma / self.sigma}


def _variance_of(walk: Intrinsic, shape: Shape) -> float:
    """Return the geometric mean of the variances of an autoregression with ``tau = 1``."""
    check_mask(walk.mask, shape)
    sides = (1.0, 1.0) if walk.spacing is None else walk.spacing
    mask = None if walk.mask is None else walk.mask.tobytes()
    kept = [(np.shape(each), np.asarray(each).tobytes()) for each in sides]
    return _variance_on(shape, walk.boundary, mask, kept[0], kept[1])


@lru_cache(maxsize=64)
def _variance_on(shape: Shape, boundary: Boundary, mask: bytes | None, *sides: tuple[tuple[int, ...], bytes]) -> float:
    """Return it for a mask as bytes, and heights and widths as shapes and bytes."""
    height, width = (np.frombuffer(content).reshape(given) for given, content in sides)
    given = None if mask is None else np.frombuffer(mask, dtype=bool).reshape(shape)
    walk = Intrinsic(mask=given, boundary=boundary, spacing=(height, width))
    return walk.build_gmrf(shape, 0.0, "auto").geometric_mean_variance()


def _eigenvalues(walk: Intrinsic, shape: Shape) -> FloatArray:
    """Return the positive eigenvalues of a precision whose lattice falls apart, densely part by part."""
    field = walk.build_gmrf(shape, 0.0, "auto")
    Q = field.precision.tocsr()
    Q.eliminate_zeros()
    labels = connected_components(Q, directed=False)[1]
    order = np.argsort(labels, kind="stable")
    found = []
    for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(part) > LARGEST:
            raise TooLargeError(
                f"mask must leave parts of at most {LARGEST} pixels for this prior of phi, whose eigenvalues are found "
                f"densely, got one of {len(part)}; give phi another prior, such as Normal(0.5, 0.3)."
            )
        found.append(np.linalg.eigvalsh(Q[part][:, part].toarray())[1:])
    return np.concatenate(found)
