"""Conditional autoregressions."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sparsegmrf._edges import as_argument, has, without_flux
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models._ends import end_of_interaction, end_of_scale
from sparsegmrf.models._interaction import InteractionModel
from sparsegmrf.models._neighbourhood import Neighbourhood
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import Boundary, Offsets, Shape


@dataclass(frozen=True, eq=False)
class CAR(InteractionModel):
    """Conditional autoregression: every pixel given all others has mean ``sum_q rho x_q`` and variance ``1/tau``.

    ``Q = tau (I - rho W)`` (``form="constant"``), or ``Q = tau (D - rho W)`` with the number ``D`` of neighbours on the
    image (``form="degree"``), whose pixel has mean ``rho`` times the average of its neighbours.

    Parameters
    ----------
    rho : float or sequence of float, optional
        Interaction, dimensionless. One number; with four neighbours a (vertical, horizontal) pair; or one per offset.
        By default 0.8 of what a large lattice allows: 0.8 / neighbours, and 0.8 in the degree form. A pair goes by the
        names ``rho_vertical``, ``rho_horizontal``, several by ``rho_0``, ``rho_1``, ...
    tau : float
        Precision in 1/intensity^2, positive: the inverse variance of a pixel given all others (times ``D``).
    neighbourhood : {4, 8} or sequence of (int, int)
        Neighbours: 4, 8 (offsets (0, 1), (1, -1), (1, 0), (1, 1) and their mirror images), or offsets ``(di, dj)``
        later in raster order.
    form : {"constant", "degree"}
        Which diagonal.
    boundary : {"dirichlet", "neumann", "torus"} or (str, str)
        ``"dirichlet"``: zero outside. ``"neumann"``: a missing neighbour has the value of the pixel itself.
        ``"torus"``: wraps. A pair is for rows and columns. The degree form counts neighbours on the image only, so that
        the first two are the same.

    Raises
    ------
    ArgumentError
        If a value is not finite, `tau` not positive, or `rho` has another length than the neighbourhood; on a lattice,
        if `rho` is outside `limits`, or in the degree form a pixel has no neighbours: it has no distribution then.

    References
    ----------
    J. Besag (1974), Spatial interaction and the statistical analysis of lattice systems, JRSS B 36. H. Rue, L. Held
    (2005), section 2.

    Examples
    --------
    >>> model = CAR(0.24, tau=2.0)
    >>> low, high = model.limits((64, 64))["rho"]
    >>> round(low, 6), round(high, 6)
    (-0.250292, 0.250292)
    >>> model.gmrf((64, 64)).sample(rng=0).shape
    (64, 64)
    """

    rho: float | tuple[float, ...] | None = None
    tau: float = 1.0
    neighbourhood: int | Offsets = 4
    form: Literal["constant", "degree"] = "constant"
    boundary: Boundary = "dirichlet"
    _neighbours: Neighbourhood = field(init=False, repr=False)

    def __post_init__(self) -> None:
        one_of("form", self.form, ("constant", "degree"))
        super().__post_init__()

    @property
    def _averages(self) -> bool:
        return self.form == "degree"

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "tau":
            return end_of_scale(not high)
        walk = f"Intrinsic({as_argument(without_flux(self.boundary), 'neumann')})"
        if self._averages or not has(self.boundary, "dirichlet"):
            named = f"; {walk} is this model"
        else:
            named = f"; away from the border {walk} is close to this model"
        return end_of_interaction(self._neighbours, name, high, self._goes_by_degree, "a random walk", named)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        diagonal = self._degree(shape) if self._averages else self._unit(shape)
        return self.tau * diagonal + self._adjacency(shape, -self.tau * self._neighbours.weights)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        by_rho = {
            name: self._adjacency(shape, -self.tau * self._neighbours.indicator(parameter))
            for parameter, name in enumerate(self._neighbours.names)
        }
        return {**by_rho, "tau": self.build_stencil(shape) * (1.0 / self.tau)}

    def _degree(self, shape: Shape) -> SymmetricStencil:
        """Return ``D``, after checking that every pixel has neighbours."""
        count = self._neighbours.degree(shape, self._rule)
        alone = np.argwhere(np.broadcast_to(count.coefficient(0), shape) == 0.0)
        if len(alone):
            raise ArgumentError(
                f'form="degree" must have a neighbour for every pixel, got none for {tuple(alone[0].tolist())} on '
                f"{shape[0]} x {shape[1]} pixels: a pixel without neighbours has no distribution in this form; take "
                'form="constant", or SAR(row_standardized=True), where such a pixel is independent of all others.'
            )
        return count
