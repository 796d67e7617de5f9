"""Forms: precisions that are known by more than their coefficients."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._on_lattice import OnLattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import Boundary, FloatArray, IntArray


class Form(OnLattice):
    """A precision that says how it is made, so that its factor is made of cheaper ones.

    `factorize` and `GMRF` take a form wherever they take a stencil. It has a lattice, a stencil and null vectors, and
    parts: precisions that are factorized by the method asked for, and of whose factors its own is made. A form without
    parts has a factor of its own.
    """

    @property
    @abstractmethod
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Any]:
        """Precisions that are factorized, as `factorize` takes them."""

    @abstractmethod
    def factor(self, factorize: Callable[..., Factor], method: Method) -> Factor:
        """Return the factor, made of those of the parts, which `factorize` gives by the `method` asked for."""

    def method_for(self, choose: Callable[[Any], Method], method: Method) -> Method:
        """Return the method by which the parts are factorized, of which `choose` tells; as asked for if they differ."""
        chosen = [choose(part) for part in self.parts]
        return chosen[0] if chosen and all(each == chosen[0] for each in chosen) else method

    @property
    def of_ones(self) -> tuple[float | None, ...]:
        """For each unknown of a pixel the value of ``Q 1`` everywhere, where it is known exactly; else None."""
        return (None,) * self.lattice.channels

    @property
    def levels(self) -> tuple[IntArray | None, ...]:
        """For each unknown of a pixel the parts ``(H, W)`` on which ``Q 1`` is known, -1 outside; None: all is one."""
        return (None,) * self.lattice.channels

    @property
    def offsets(self) -> IntArray:
        """Offsets on which covariances are wanted."""
        return self.stencil.offsets

    @property
    def boundary(self) -> Boundary:
        """The rule at the border, or the (rows, columns) pair of rules."""
        return self.stencil.boundary


def on_offsets(stencil: SymmetricStencil, offsets: IntArray) -> SymmetricStencil:
    """Return a stencil of one unknown per pixel on more `offsets`, with zero coefficients where it had none."""
    if len(stencil.offsets) == len(offsets):
        return stencil
    coefficients = [coefficient_at(stencil, offset, stencil.boundary) for offset in offsets.tolist()]
    return SymmetricStencil(offsets, coefficients, stencil.shape, boundary=stencil.boundary)


def coefficient_at(stencil: SymmetricStencil, offset: list[int], boundary: Boundary) -> FloatArray:
    """Return a coefficient as it is under `boundary`, or zero."""
    found = np.flatnonzero((stencil.offsets == offset).all(axis=1))
    if not len(found):
        return np.zeros(())
    k = int(found[0])
    return stencil.coefficient(k) if stencil.boundary == boundary else stencil.pool.coefficient(k, stencil.lattice)
