"""Independent pixels: the unstructured part of a sum of fields."""

from dataclasses import dataclass
from typing import Self

from sparsegmrf import _frozen
from sparsegmrf._edges import as_boundary
from sparsegmrf._validate import positive_number
from sparsegmrf.models._ends import end_of_scale
from sparsegmrf.models._model import POSITIVE, Bounds, Model
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import Boundary, Shape


@dataclass(frozen=True, eq=False)
class Independent(Model):
    """Independent pixels ``x_p ~ N(0, sigma^2)``: ``Q = I / sigma^2``, R-INLA's ``iid``.

    With counts it is their overdispersion, a logarithm of the rate by pixel that its neighbours do not share; in a
    `Sum` with a spatial field the unstructured part. Intensities have it as their noise: give `fit` a noise variance
    instead.

    Parameters
    ----------
    sigma : float
        Standard deviation in intensity, positive.
    boundary : {"neumann", "dirichlet", "torus"} or (str, str)
        What pixels do not feel: that of the fields which it is summed with, where these wrap.

    Raises
    ------
    ArgumentError
        If `sigma` is not positive and finite, or the boundary is unknown.

    Examples
    --------
    >>> from sparsegmrf.models import Matern, Sum
    >>> Independent(sigma=0.5).gmrf((2, 3)).marginal_variance().tolist()
    [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]]
    >>> sorted(Sum([Matern(range=8.0), Independent(sigma=0.3)], labels=["spatial", "iid"]).parameters)
    ['range_spatial', 'sigma_iid', 'sigma_spatial']
    """

    sigma: float = 1.0
    boundary: Boundary = "neumann"

    def __post_init__(self) -> None:
        boundary = as_boundary("boundary", self.boundary)
        _frozen.assign(self, sigma=positive_number("sigma", self.sigma), boundary=boundary)

    @property
    def parameters(self) -> dict[str, float]:
        """``sigma``."""
        return {"sigma": self.sigma}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of ``sigma``, positive."""
        return {"sigma": POSITIVE}

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        return end_of_scale(high)

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(sigma=multiplied("sigma", self.sigma, factor))

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        return SymmetricStencil([(0, 0)], [1.0 / self.sigma**2], shape, boundary=self.boundary)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        return {"sigma": self.build_stencil(shape) * (-2.0 / self.sigma)}
