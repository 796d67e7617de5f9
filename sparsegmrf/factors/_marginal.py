"""Precisions of sums of the unknowns of a pixel, the others integrated out: these are not sparse."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NoReturn

from sparsegmrf._edges import cut_off
from sparsegmrf.errors import StencilError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._form import Form
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


class MarginalForm(Form):
    """A precision without a stencil.

    Attributes
    ----------
    no_stencil : str
        What whoever asks for one, or for a whitening matrix, is told.
    """

    no_stencil: ClassVar[str]

    @property
    def stencil(self) -> NoReturn:
        """There is none.

        Raises
        ------
        StencilError
            Always.
        """
        raise StencilError(self.no_stencil)


class MarginalFactor(Factor):
    """Factor of such a precision; it has no whitening matrix."""

    @property
    @abstractmethod
    def form(self) -> MarginalForm:
        """The precision."""

    def whiten_vectors(self, x: FloatArray) -> NoReturn:
        """Refuse: there is no sparse whitening matrix.

        Raises
        ------
        StencilError
            Always.
        """
        raise StencilError(self.form.no_stencil)

    def unwhiten_vectors(self, e: FloatArray) -> NoReturn:
        """Refuse: there is no sparse whitening matrix.

        Raises
        ------
        StencilError
            Always.
        """
        raise StencilError(self.form.no_stencil)


def given_others(P: SymmetricStencil, kept: Sequence[int]) -> SymmetricStencil:
    """Return the precision of some unknowns of every pixel given the others."""
    planes = [P.plane(k)[..., kept, :][..., kept] for k in range(len(P.offsets))]
    if len(kept) == 1:
        planes = [each[..., 0, 0] for each in planes]
    return SymmetricStencil(P.offsets, planes, P.shape, channels=len(kept), boundary=cut_off(P.boundary))
