"""Precisions that are diagonal in a sine, cosine or Fourier basis, and their factor."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import numpy as np

from sparsegmrf import _frozen, _threads
from sparsegmrf._edges import by_axis, cut_off
from sparsegmrf._validate import finite, read_only, real_array
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, StencilError
from sparsegmrf.factors import _transforms
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.symbol import symbol_at
from sparsegmrf.typing import Basis, Boundary, FloatArray, IntArray, Offset, Offsets, Shape

NEAREST = ((0, 0), (0, 1), (1, 0))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class SpectralForm(Form):
    """Precision ``Q = F^T diag(eigenvalues) F`` with an orthonormal transform ``F``.

    Parameters
    ----------
    basis : {"dst", "dct", "dft"} or (str, str)
        ``"dst"``: DST-I, of stencils cut off at the border, frequencies ``pi (k + 1) / (H + 1)``; ``"dct"``: DCT-II, of
        no-flux borders, ``pi k / H``; ``"dft"``: torus, ``2 pi fftfreq(H)``. A pair is for rows and columns.
    eigenvalues : array_like, (H, W)
        One per row and column frequency, in 1/intensity^2. Copied; not checked for their sign.
    offsets : sequence of (int, int)
        The centre and later offsets on which covariances are wanted by `Factor.selected_inverse`.
    stencil : callable, optional
        Returns the precision as a stencil, where it is one; it pickles with the form, so no lambda.

    Raises
    ------
    ArgumentError
        If the basis is unknown, or the eigenvalues are not a finite image.

    Examples
    --------
    >>> import numpy as np
    >>> form = SpectralForm("dct", np.full((4, 5), 2.0))
    >>> round(SpectralFactor(form).logdet, 6)
    13.862944
    """

    basis: Basis
    eigenvalues: FloatArray
    _offsets: IntArray
    _stencil: Callable[[], SymmetricStencil] | None

    def __init__(
        self,
        basis: Basis,
        eigenvalues: FloatArray,
        offsets: Offsets = NEAREST,
        stencil: Callable[[], SymmetricStencil] | None = None,
    ) -> None:
        values = np.array(finite("eigenvalues", real_array("eigenvalues", eigenvalues)))
        if values.ndim != 2 or not values.size:
            raise ArgumentError(f"eigenvalues must be an (H, W) array, got shape {values.shape}.")
        _frozen.assign(self, **_attributes(_transforms.as_basis(basis), values, offsets, stencil))

    @classmethod
    def of_symbol(
        cls,
        basis: Basis,
        shape: Shape,
        symbol: Callable[[FloatArray, FloatArray], FloatArray],
        offsets: Offsets = NEAREST,
        stencil: Callable[[], SymmetricStencil] | None = None,
    ) -> "SpectralForm":
        """Evaluate ``symbol(rows, columns)`` at the frequencies of a basis, in threads over blocks of rows."""
        rows, columns = _transforms.frequencies(basis, shape)
        values = np.empty(shape)

        def fill(first: int, last: int) -> None:
            values[first:last] = symbol(rows[first:last, np.newaxis], columns[np.newaxis])

        _threads.run_over(fill, shape[0], _threads.rows_per_task(shape[1]))
        return _frozen.make(cls, **_attributes(basis, values, offsets, stencil))

    @classmethod
    def of_stencil(cls, stencil: SymmetricStencil) -> "SpectralForm | None":
        """Return the form of a homogeneous stencil that is exactly diagonal in one of the bases, else None.

        These are, with one unknown per pixel: any stencil on a torus; the five-point stencil with no-flux borders; and,
        cut off at the border, the nine-point stencil whose two diagonal neighbours have the same coefficient. A wider
        stencil that is cut off is not diagonal. Where one axis wraps, neighbours any number of pixels along it may be
        coupled, mirror images alike.
        """
        basis = _basis_of_stencil(stencil)
        if basis is None:
            return None
        offsets, weights = stencil._homogeneous_terms()
        return cls.of_symbol(
            basis,
            stencil.shape,
            lambda rows, columns: symbol_at(offsets, weights, rows, columns),
            offsets,
            partial(itself, stencil),
        )

    @cached_property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        height, width = self.eigenvalues.shape
        return Lattice((height, width))

    @property
    def offsets(self) -> IntArray:
        """Offsets on which covariances are wanted."""
        return self._offsets

    @property
    def boundary(self) -> Boundary:
        """The rule at the border that goes with the basis, or the (rows, columns) pair of rules."""
        return _transforms.boundary_of(self.basis)

    @property
    def of_ones(self) -> tuple[float | None, ...]:
        """The eigenvalue of constants, where they are in the basis."""
        return (float(self.eigenvalues[0, 0]) if _transforms.has_level(self.basis) else None,)

    @property
    def parts(self) -> tuple[()]:
        """None: the form is factorized as it is, or else as a stencil."""
        return ()

    def factor(self, factorize: Callable[..., Factor], method: Method) -> Factor:
        """Return the factor by one fast transform, or where another method is asked for that of the stencil."""
        return SpectralFactor(self) if method in ("auto", "spectral") else factorize(self.stencil)

    def method_for(self, choose: Callable[..., Method], method: Method) -> Method:
        """Return ``"spectral"``, or the other method asked for."""
        return "spectral" if method == "auto" else method

    def with_offsets(self, offsets: Offsets) -> Self:
        """Return the same precision with covariances on other offsets."""
        return self._with(self.eigenvalues, offsets, self._stencil)

    def times(self, number: float) -> Self:
        """Return ``number * Q``."""
        scaled = None if self._stencil is None else partial(_scaled, self._stencil, number)
        return self._with(self.eigenvalues * number, self._offsets, scaled)

    def plus_diagonal(self, number: float) -> "SpectralForm":
        """Return ``Q + number I``, as after observing every pixel with noise of the variance ``1 / number``."""
        added = None if self._stencil is None else partial(_plus_diagonal, self._stencil, number)
        return _frozen.make(SpectralForm, **_attributes(self.basis, self.eigenvalues + number, self._offsets, added))

    def _with(self, eigenvalues: FloatArray, offsets: Offsets, stencil: Callable[[], SymmetricStencil] | None) -> Self:
        return _frozen.make(type(self), **_attributes(self.basis, eigenvalues, offsets, stencil))

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil.

        Raises
        ------
        StencilError
            If the form was made without one.
        """
        if self._stencil is None:
            raise StencilError(
                "the precision is known by its eigenvalues only, got no stencil with them; if it is one, give "
                "SpectralForm a function that returns it."
            )
        return self._stencil()

    def __repr__(self) -> str:
        return f"SpectralForm({self.basis!r}, shape={self.shape})"


class SpectralFactor(Factor):
    """Factor ``Q = A^T A``, ``A = diag(sqrt(eigenvalues)) F``, of a precision that a fast transform diagonalizes.

    Whitening takes one transform and a solve two: ``O(n log n)``. The whitened image is over frequencies, not pixels.
    Variances and covariances of neighbours are closed: one transform of ``1/eigenvalues`` at doubled frequencies holds
    all of them. Results do not depend on the number of threads.

    Parameters
    ----------
    precision : SpectralForm or SymmetricStencil
        A stencil must be exactly diagonal in a basis, see `SpectralForm.of_stencil`; nothing is approximated.

    Raises
    ------
    StencilError
        If the stencil is not diagonal in any of the bases.
    NotPositiveDefiniteError
        If an eigenvalue is not positive; `pivot` is the smallest, `pixel` is empty.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2.6 for the torus. G. Strang, The discrete cosine
    transform, SIAM Review 41 (1999) for the other borders.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> factor = SpectralFactor(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (3, 3)))
    >>> round(factor.logdet, 6)
    11.799454
    """

    method = "spectral"

    def __init__(self, precision: SpectralForm | SymmetricStencil) -> None:
        form = SpectralForm.of_stencil(precision) if isinstance(precision, SymmetricStencil) else precision
        if not isinstance(form, SpectralForm):
            raise StencilError(
                f"precision must be exactly diagonal in a sine, cosine or Fourier basis, which {precision!r} is not: "
                "that takes a torus, five points, or nine points cut off with equal diagonal neighbours; use "
                'method="dissection", or "auto".'
            )
        self._form = form
        self._root = _root(form)

    @property
    def form(self) -> SpectralForm:
        """Basis and eigenvalues."""
        return self._form

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._form.lattice

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``, the sum of the logarithms of its eigenvalues, in nats."""
        height, width = self.shape
        rows = np.empty(height)

        def add(first: int, last: int) -> None:
            rows[first:last] = np.log(self._form.eigenvalues[first:last]).sum(axis=1)

        _threads.run_over(add, height, _threads.rows_per_task(width))
        return float(rows.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the eigenvalues and their roots."""
        return self._form.eigenvalues.nbytes + self._root.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil, from one transform."""
        offsets = self._form.offsets
        table = self._table()
        planes = np.stack([table.plane(di, dj) for di, dj in offsets.tolist()])
        return SymmetricStencil._from_planes(np.array(offsets), planes, self.lattice, cut_off(self._form.boundary))

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2, from one transform."""
        return self._table().plane(0, 0)

    def _table(self) -> _transforms.CovarianceTable:
        return _transforms.CovarianceTable.of(self._form.basis, 1.0 / self._form.eigenvalues)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        result = _transforms.forward(self._form.basis, self._images(x))
        return self._scaled(np.multiply, result, result).reshape(x.shape)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        scaled = self._scaled(np.divide, self._images(e), np.empty((len(e), *self.shape)))
        return _transforms.backward(self._form.basis, scaled, overwrite=True).reshape(e.shape)

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        scaled = self._scaled(np.divide, self._images(e), self._images(e))
        return _transforms.backward(self._form.basis, scaled, overwrite=True).reshape(e.shape)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        transformed = _transforms.forward(self._form.basis, self._images(b))
        self._scaled(np.divide, transformed, transformed)
        self._scaled(np.divide, transformed, transformed)
        return _transforms.backward(self._form.basis, transformed, overwrite=True).reshape(b.shape)

    def _images(self, flat: FloatArray) -> FloatArray:
        return flat.reshape(-1, *self.shape)

    def _scaled(self, operation: np.ufunc, x: FloatArray, out: FloatArray) -> FloatArray:
        """Multiply or divide images by the roots of the eigenvalues, into `out`."""
        height, width = self.shape

        def scale(first: int, last: int) -> None:
            operation(x[:, first:last], self._root[first:last], out=out[:, first:last])

        _threads.run_over(scale, height, _threads.rows_per_task(width))
        return out


def _attributes(
    basis: Basis, values: FloatArray, offsets: Offsets, stencil: Callable[[], SymmetricStencil] | None
) -> dict[str, object]:
    """Return the attributes of a `SpectralForm` with eigenvalues that are its own."""
    return {
        "basis": basis,
        "eigenvalues": read_only(values),
        "_offsets": read_only(np.array(offsets, dtype=np.int64)),
        "_stencil": stencil,
    }


def itself(stencil: SymmetricStencil) -> SymmetricStencil:
    """Return what is given: bound to a stencil, a callable that pickles."""
    return stencil


def _scaled(stencil: Callable[[], SymmetricStencil], number: float) -> SymmetricStencil:
    return stencil() * number


def _plus_diagonal(stencil: Callable[[], SymmetricStencil], number: float) -> SymmetricStencil:
    return stencil().plus_diagonal(number)


def is_diagonal(precision: object) -> bool:
    """Return whether a precision is a stencil that has a `SpectralForm`."""
    return isinstance(precision, SymmetricStencil) and _basis_of_stencil(precision) is not None


def _basis_of_stencil(stencil: SymmetricStencil) -> Basis | None:
    if stencil.channels > 1 or not stencil.is_homogeneous:
        return None
    offsets, weights = stencil._homogeneous_terms()
    coupled = dict(zip(map(tuple, offsets.tolist()), weights.tolist(), strict=True))
    diagonal = all(_is_diagonal(stencil.boundary, offset, coupled) for offset, weight in coupled.items() if weight)
    return _transforms.basis_of(stencil.boundary) if diagonal else None


def _is_diagonal(boundary: Boundary, offset: Offset, weights: dict[Offset, float]) -> bool:
    """Return whether the basis of a boundary diagonalizes the share of an offset and its mirror images.

    Across a border that does not wrap the image is mirrored, with its sign changed where it is cut off: the neighbour
    must be the next one there, and in the same column. Beside it its mirror image must be coupled as strongly; without
    flux such a neighbour is missing, not mirrored.
    """
    rules, (di, dj) = by_axis(boundary), offset
    closed = [(rule, step) for rule, step in zip(rules, offset, strict=True) if rule != "torus"]
    if any(abs(step) > 1 for _, step in closed):
        return False
    if not (di and dj) or not closed:
        return True
    return all(rule == "dirichlet" for rule, _ in closed) and weights.get((di, -dj), 0.0) == weights[offset]


def _root(form: SpectralForm) -> FloatArray:
    least = float(form.eigenvalues.min())
    if not least > 0.0:
        k, l = np.unravel_index(int(form.eigenvalues.argmin()), form.shape)  # noqa: E741
        rows, columns = _transforms.frequencies(form.basis, form.shape)
        raise NotPositiveDefiniteError(
            f"the precision is not positive definite: eigenvalue {least:g} at frequency ({rows[k]:.4g}, "
            f"{columns[l]:.4g}) radians per pixel; the diagonal is too small for its neighbours.",
            (),
            least,
        )
    root = np.empty(form.shape)

    def fill(first: int, last: int) -> None:
        np.sqrt(form.eigenvalues[first:last], out=root[first:last])

    _threads.run_over(fill, form.shape[0], _threads.rows_per_task(form.shape[1]))
    root.flags.writeable = False
    return root
