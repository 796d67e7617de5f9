"""What conditional and simultaneous autoregressions have in common: interactions of neighbours, and their limits."""

from abc import abstractmethod
from dataclasses import replace
from typing import Self

from sparsegmrf import _frozen
from sparsegmrf._edges import as_boundary, cut_off
from sparsegmrf._validate import image_shape, positive_number
from sparsegmrf.models._model import POSITIVE, Bounds, JointLimits, Model
from sparsegmrf.models._neighbourhood import Neighbourhood
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import Boundary, FloatArray, Offsets, Shape

_SHARE = 0.8


class InteractionModel(Model):
    """Autoregression made of ``sum_k rho_k W_k``, with the fields ``rho``, ``tau``, ``neighbourhood``, ``boundary``."""

    rho: float | tuple[float, ...] | None
    tau: float
    neighbourhood: int | Offsets
    boundary: Boundary
    _neighbours: Neighbourhood

    @property
    @abstractmethod
    def _averages(self) -> bool:
        """Whether ``W`` averages over the neighbours there are, instead of adding them up."""

    def __post_init__(self) -> None:
        boundary = as_boundary("boundary", self.boundary)
        _frozen.assign(self, boundary=boundary, tau=positive_number("tau", self.tau))
        count = 2 * len(Neighbourhood.of(self.neighbourhood, None, 0.0).offsets)
        neighbours = Neighbourhood.of(self.neighbourhood, self.rho, _SHARE if self._averages else _SHARE / count)
        values = tuple(neighbours.values.tolist())
        _frozen.assign(self, rho=values[0] if neighbours.names == ("rho",) else values, _neighbours=neighbours)

    @property
    def parameters(self) -> dict[str, float]:
        """Interactions and ``tau``."""
        return {**dict(zip(self._neighbours.names, self._neighbours.values.tolist(), strict=True)), "tau": self.tau}

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the interactions as ``rho``."""
        return {"rho": tuple(parameters[name] for name in self._neighbours.names)}

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(tau=multiplied("tau", self.tau, factor, -2))

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return by parameter the open interval around zero in which ``I - rho W`` is positive definite on a lattice.

        Four neighbours, cut off: ``|rho| < 1 / (2 cos(pi/(H+1)) + 2 cos(pi/(W+1)))``, and closed forms for eight
        neighbours, no-flux borders of four and the torus as well; for other neighbourhoods, and eight with no-flux
        borders, the interval in which the symbol is positive, which suffices on any lattice. Degree form and
        standardized rows: ``|rho| < 1``, exact for four neighbours; the lower end is found by Lanczos for others.

        The precision of a `CAR` is positive definite there. Beyond the ends that of a `SAR` is singular for some values
        only, but the field is no longer that of the interval.
        """
        neighbours = self._neighbours
        if self._goes_by_degree:
            found = neighbours.degree_limits(shape, self.boundary)
        else:
            unit = replace(neighbours, values=neighbours.values / self._count).unit_limits(shape, self.boundary)
            found = {name: (self._count * low, self._count * high) for name, (low, high) in unit.items()}
        return {**found, "tau": POSITIVE}

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return a box around the values that several interactions can have together; None for one.

        With four neighbours a (vertical, horizontal) pair is possible in a quadrilateral: cut off, where the forms
        ``2 (c_v rho_vertical + c_h rho_horizontal)`` and ``2 (c_v rho_vertical - c_h rho_horizontal)`` are in (-1, 1),
        ``c`` being the largest cosine of either side. None in the degree form and with standardized rows, off a torus,
        where every interaction has an interval of its own.
        """
        height, width = image_shape(shape)
        if self._goes_by_degree:
            return None
        return self._neighbours.joint_limits((height, width), self.boundary, self._count)

    def is_inside(self, shape: Shape) -> bool:
        """Return whether all parameters are within their limits: of several, whether the symbol at them is positive."""
        image_shape(shape)
        if self._neighbours.is_dominated(self._averages):
            return True
        if self._goes_by_degree:
            return super().is_inside(shape)
        unit = replace(self._neighbours, values=self._neighbours.values / self._count)
        found = unit.is_positive(shape, self.boundary)
        return super().is_inside(shape) if found is None else found

    @property
    def _goes_by_degree(self) -> bool:
        """Whether pixels have different numbers of neighbours that are averaged."""
        return self._averages and self.boundary != "torus"

    @property
    def _count(self) -> float:
        """Number of neighbours that are averaged away from borders, 1 where they are added up."""
        return 2.0 * len(self._neighbours.offsets) if self._averages else 1.0

    @property
    def _rule(self) -> Boundary:
        return cut_off(self.boundary) if self._averages else self.boundary

    def _unit(self, shape: Shape) -> SymmetricStencil:
        return SymmetricStencil([(0, 0)], [1.0], shape, boundary=self._rule)

    def _adjacency(self, shape: Shape, weights: FloatArray) -> SymmetricStencil:
        return self._neighbours.adjacency(shape, self._rule, weights)
