"""Choosing the cheapest exact factor for a precision."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import scipy.sparse as sp

from sparsegmrf._validate import image_shape, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.cholmod import CholmodFactor
from sparsegmrf.factors.dense import DenseFactor
from sparsegmrf.factors.dissection import DissectionFactor, SingleFactor
from sparsegmrf.factors.folded import FoldedFactor
from sparsegmrf.factors.spectral import SpectralFactor, is_diagonal
from sparsegmrf.factors.triangular import TriangularFactor
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._assembly import symmetric_matrix
from sparsegmrf.typing import Shape

Stencil = SymmetricStencil | TriangularStencil
_KNOWS_PIXELS = SymmetricStencil | TriangularStencil | Form
Precision: TypeAlias = Stencil | Form | sp.sparray | sp.spmatrix

REACH = 5
"""Largest distance in rows or columns, in pixels, at which a sparse matrix is still read as a stencil."""

SMALL = 2000
"""Most unknowns of a sparse matrix that is no stencil and still factorized densely."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Method:
    """A way to factorize: what ``method="auto"`` may give it, and how it is called."""

    name: str
    suits: Callable[[Precision], bool]
    make: Callable[..., Factor]


# In order of preference. A method chosen by name refuses by itself what it cannot take.
_METHODS = (
    _Method("triangular", lambda Q: isinstance(Q, TriangularStencil), lambda Q, **_: TriangularFactor(Q)),
    _Method("spectral", is_diagonal, lambda Q, **_: SpectralFactor(Q)),
    _Method("dissection", lambda Q: isinstance(Q, SymmetricStencil), lambda Q, **_: _dissected(Q, DissectionFactor)),
    _Method("dense", lambda Q: sp.issparse(Q) and Q.shape[0] <= SMALL, DenseFactor),
    _Method("cholmod", lambda Q: True, CholmodFactor),
)
METHODS = ("auto", *(method.name for method in _METHODS))

_SINGLE = _Method("dissection", lambda Q: True, lambda Q, **_: _dissected(Q, SingleFactor))
"""What stands for dissection in single precision."""


def factorize(
    Q: Precision,
    /,
    method: Method = "auto",
    *,
    shape: Shape | None = None,
    channels: int = 1,
    precision: str = "double",
) -> Factor:
    """Factorize a precision ``Q`` by the cheapest exact method, or by the one named.

    Parameters
    ----------
    Q : SymmetricStencil, TriangularStencil, Form or scipy sparse array
        The precision, in 1/intensity^2, or with a `TriangularStencil` the whitening matrix ``A`` of ``Q = A^T A``. A
        sparse array that couples pixels at most 5 rows and 5 columns apart is read as a stencil.
    method : {"auto", "triangular", "spectral", "dissection", "cholmod", "dense"} or callable
        ``"triangular"`` is for whitening matrices, ``"spectral"`` for what a fast transform diagonalizes exactly,
        ``"dissection"`` for all stencils, ``"dense"`` for up to 4096 unknowns, ``"cholmod"`` for everything but needs
        scikit-sparse. ``"auto"`` takes the first that suits, ``"dense"`` up to 2000 unknowns of a sparse array that is
        no stencil, ``"cholmod"`` beyond; `Factor.method` and, at debug
        level, the log say which. A callable, such as a subclass of `Factor`, makes the factor of a stencil, and with
        ``shape=`` and ``channels=`` that of a sparse array which is none.
    shape : (int, int), optional
        Height and width in pixels; needed with a sparse array, which knows nothing of pixels.
    channels : int
        Unknowns per pixel of a sparse array; a stencil knows its own.
    precision : {"double", "single"}
        Of the numbers in which a factor by dissection is kept; with ``"single"`` it is a `SingleFactor`, of half the
        size, whose results are refined to double precision. Transforms and triangular recursions store no factor, and
        are the same in either.

    Returns
    -------
    Factor
        Of the class that goes with the method.

    Raises
    ------
    ArgumentError
        If the method is not known or cannot take the precision, or `shape` is missing or contradicts the stencil; or
        with ``precision="single"`` if the method is ``"cholmod"``, ``"dense"`` or a callable, which have none.
    NotPositiveDefiniteError
        If a pivot is not positive; carries the pixel and the pivot.
    TooLargeError
        If the factor would not fit.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> factor = factorize(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (3, 3)))
    >>> round(factor.logdet, 6)
    11.799454
    """
    if isinstance(method, partial) and method.func is factorize:
        return cast(Factor, method(Q, shape=shape, channels=channels))
    single = check_digits(precision) == "single"
    read, lattice = read_precision(Q, shape, channels)
    _check_method(method)
    if isinstance(read, Form):
        return read.factor(partial(factorize, method=method, precision=precision), method)
    chosen = _choose(read, method)
    if single:
        chosen = _in_single(chosen)
    _log.debug("%s factor for %s on %s", chosen.name, type(read).__name__, lattice)
    grid: dict[str, Any] = {"shape": lattice.shape, "channels": lattice.channels} if sp.issparse(read) else {}
    factor = chosen.make(read, **grid)
    if not isinstance(factor, Factor) or factor.lattice != lattice:
        raise ArgumentError(
            f"method must make a Factor on {lattice}, got {factor!r} from {chosen.name}; return an object of a "
            "subclass of Factor with the lattice of the precision."
        )
    return factor


def in_precision(precision: str) -> Method:
    """Return the method of fields whose factors by dissection are kept in a precision."""
    return "auto" if precision == "double" else partial(factorize, precision=precision)


def check_digits(precision: str) -> str:
    """Return a name of how many digits factors have, once it is checked."""
    return one_of("precision", precision, ("double", "single"))


def method_for(precision: Precision, method: Method = "auto") -> Method:
    """Return the method that `factorize` would take, without factorizing."""
    _check_method(method)
    if isinstance(precision, Form):
        return precision.method_for(partial(method_for, method=method), method)
    return method if callable(method) else _choose(precision, method).name


def read_precision(precision: Precision, shape: Shape | None = None, channels: int = 1) -> tuple[Precision, Lattice]:
    """Return a precision as a stencil wherever it is one, else as a checked sparse array, and its lattice."""
    if isinstance(precision, _KNOWS_PIXELS):
        if shape is not None and image_shape(shape) != precision.shape:
            raise ArgumentError(
                f"shape must be left out with a stencil or be its own, {precision.shape}, got {shape!r}."
            )
        return precision, precision.lattice
    if not sp.issparse(precision):
        raise ArgumentError(
            f"precision must be a SymmetricStencil, a TriangularStencil or a scipy sparse array, got "
            f"{type(precision).__name__}; wrap a small dense array as scipy.sparse.csr_array."
        )
    if shape is None:
        raise ArgumentError(
            f"shape must be given with a sparse array, got None; pass (height, width) of the image with "
            f"{precision.shape[0]} unknowns."
        )
    lattice = Lattice(shape, channels)
    matrix = symmetric_matrix("precision", precision, lattice)
    if _reach(matrix, lattice) > REACH:
        return matrix, lattice
    return SymmetricStencil.from_csr(matrix, shape, channels=channels, reach=REACH), lattice


def stencil_of(precision: Precision, lattice: Lattice) -> SymmetricStencil:
    """Return a precision, or that of a whitening matrix, as a symmetric stencil."""
    if isinstance(precision, TriangularStencil):
        return precision.gram()
    if isinstance(precision, SymmetricStencil):
        return precision
    if isinstance(precision, Form):
        return precision.stencil
    return SymmetricStencil.from_csr(precision, lattice.shape, channels=lattice.channels)


def null_vectors_of(precision: Precision, lattice: Lattice) -> sp.csr_array:
    """Return the null vectors of a precision as columns, ``(n, r)``; only forms have some."""
    return precision.null_vectors if isinstance(precision, Form) else sp.csr_array((lattice.size, 0))


def _check_method(method: Method) -> None:
    if not callable(method):
        one_of("method", method, METHODS)


def _choose(precision: Precision, method: Method) -> _Method:
    if callable(method):
        return _Method(getattr(method, "__name__", repr(method)), lambda Q: True, method)
    return next(each for each in _METHODS if each.name == method or (method == "auto" and each.suits(precision)))


def _in_single(chosen: _Method) -> _Method:
    """Return a method in single precision, the same one where it stores no factor; refuse what has none."""
    if chosen.name in ("triangular", "spectral"):
        return chosen
    if chosen.name == "dissection":
        return _SINGLE
    raise ArgumentError(
        f'precision must be "double" with method={chosen.name!r}, got "single"; only dissection, which is for '
        "stencils, keeps its factor in single precision."
    )


def _dissected(precision: Any, kind: type[DissectionFactor]) -> Factor:
    """Return the factor by dissection, of a lattice that wraps once it is folded flat."""
    wrapped = isinstance(precision, SymmetricStencil) and precision.is_wrapped
    return FoldedFactor(precision, kind) if wrapped else kind(precision)


def _reach(matrix: sp.csr_array, lattice: Lattice) -> int:
    """Return the largest distance in rows or columns between two pixels that the matrix couples."""
    coupled = matrix.tocoo()
    used = coupled.data != 0.0
    pixels = np.array([coupled.row[used], coupled.col[used]], dtype=np.int64) // lattice.channels
    rows, columns = np.divmod(pixels, lattice.shape[1])
    return int(max(np.abs(rows[0] - rows[1]).max(initial=0), np.abs(columns[0] - columns[1]).max(initial=0)))
