"""Precisions made of others, whose factor is made of theirs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from sparsegmrf.lattice import Lattice
from sparsegmrf.linalg._factor import Factor
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import Shape


class CompositeForm(ABC):
    """Precision that `factorize` takes apart: each part gets a factor by the method asked for."""

    @property
    @abstractmethod
    def lattice(self) -> Lattice:
        """The pixel grid."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Any]:
        """Precisions that are factorized, as `factorize` takes them."""

    @property
    @abstractmethod
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil."""

    @abstractmethod
    def factor(self, factorize: Callable[[Any], Factor]) -> Factor:
        """Return the factor made of those of the parts, which `factorize` gives."""

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.lattice.shape
