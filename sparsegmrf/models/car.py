"""Conditional autoregressions."""

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import image_shape, one_of, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models._ends import end_of_interaction, end_of_scale
from sparsegmrf.models._model import POSITIVE, Bounds, JointLimits, Model
from sparsegmrf.models._neighbourhood import Neighbourhood
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.symmetric import BOUNDARIES
from sparsegmrf.typing import FloatArray, Offsets, Shape

_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class CAR(Model):
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
    boundary : {"dirichlet", "neumann", "torus"}
        ``"dirichlet"``: zero outside. ``"neumann"``: a missing neighbour has the value of the pixel itself.
        ``"torus"``: wraps. The degree form counts neighbours on the image only, so that the first two are the same.

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
    boundary: str = "dirichlet"
    _neighbours: Neighbourhood = field(init=False, repr=False)

    def __post_init__(self) -> None:
        one_of("form", self.form, ("constant", "degree"))
        one_of("boundary", self.boundary, BOUNDARIES)
        _frozen.assign(self, tau=positive_number("tau", self.tau))
        count = 2 * len(Neighbourhood.of(self.neighbourhood, None, 0.0).offsets)
        share = _SHARE / count if self.form == "constant" else _SHARE
        neighbours = Neighbourhood.of(self.neighbourhood, self.rho, share)
        values = tuple(neighbours.values.tolist())
        _frozen.assign(self, rho=values[0] if neighbours.names == ("rho",) else values, _neighbours=neighbours)

    @property
    def parameters(self) -> dict[str, float]:
        """Interactions and ``tau``."""
        return {**dict(zip(self._neighbours.names, self._neighbours.values.tolist(), strict=True)), "tau": self.tau}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return by parameter the open interval in which ``Q`` is positive definite on a lattice.

        Four neighbours, cut off: ``|rho| < 1 / (2 cos(pi/(H+1)) + 2 cos(pi/(W+1)))``, and closed forms for eight
        neighbours, no-flux borders of four and the torus as well; for other neighbourhoods, and eight with no-flux
        borders, the interval in which the symbol is positive, which suffices on any lattice. Degree form:
        ``|rho| < 1``, exact for four neighbours; the lower end is found by Lanczos for other neighbourhoods.
        """
        degree = self.form == "degree" and self.boundary != "torus"
        neighbours = self._neighbours
        found = neighbours.degree_limits(shape) if degree else neighbours.unit_limits(shape, self.boundary)
        if self.form == "degree" and not degree:
            count = 2.0 * len(neighbours.offsets)
            scaled = Neighbourhood(neighbours.offsets, neighbours.names, neighbours.values / count, neighbours.owner)
            found = {
                name: (count * low, count * high)
                for name, (low, high) in scaled.unit_limits(shape, self.boundary).items()
            }
        return {**found, "tau": POSITIVE}

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return a box around the values that several interactions can have together; None for one.

        With four neighbours a (vertical, horizontal) pair is possible in a quadrilateral: cut off, where the forms
        ``2 (c_v rho_vertical + c_h rho_horizontal)`` and ``2 (c_v rho_vertical - c_h rho_horizontal)`` are in (-1, 1),
        ``c`` being the largest cosine of either side. None in the degree form, where every
        interaction has an interval of its own.
        """
        height, width = image_shape(shape)
        if self.form == "degree" and self.boundary != "torus":
            return None
        neighbours = self._neighbours
        scale = 2.0 * len(neighbours.offsets) if self.form == "degree" else 1.0
        return neighbours.joint_limits((height, width), self.boundary, scale)

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "tau":
            return end_of_scale(not high)
        by_degree = self.form == "degree" and self.boundary != "torus"
        if self.boundary == "torus":
            named = '; Intrinsic(boundary="torus") is this model'
        elif by_degree or self.boundary == "neumann":
            named = "; Intrinsic() is this model"
        else:
            named = "; away from the border Intrinsic() is close to this model"
        return end_of_interaction(self._neighbours, name, high, by_degree, "a random walk", named)

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(tau=multiplied("tau", self.tau, factor, -2))

    def is_inside(self, shape: Shape) -> bool:
        """Return whether all parameters are within their limits."""
        image_shape(shape)
        return self._neighbours.is_dominated(self.form == "degree") or super().is_inside(shape)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        return self.tau * self._diagonal(shape) + self._coupling(shape, self._neighbours.weights)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        by_rho = {
            name: self._coupling(shape, self._neighbours.indicator(parameter))
            for parameter, name in enumerate(self._neighbours.names)
        }
        return {**by_rho, "tau": self.build_stencil(shape) * (1.0 / self.tau)}

    def _diagonal(self, shape: Shape) -> SymmetricStencil:
        if self.form == "degree":
            return self._degree(shape)
        return SymmetricStencil([(0, 0)], [1.0], shape, boundary=self._rule)

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

    def _coupling(self, shape: Shape, weights: FloatArray) -> SymmetricStencil:
        return self._neighbours.adjacency(shape, self._rule, -self.tau * weights)

    @property
    def _rule(self) -> str:
        return "dirichlet" if self.form == "degree" and self.boundary == "neumann" else self.boundary

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return {"rho": tuple(parameters[name] for name in self._neighbours.names)}
