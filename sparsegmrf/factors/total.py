"""Precision and factor of a weighted sum of the unknowns of a pixel, the others integrated out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf._edges import cut_off
from sparsegmrf._validate import read_only
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors._marginal import MarginalFactor, MarginalForm, given_others
from sparsegmrf.factors.congruent import CongruentFactor, CongruentForm, place_of, total_and_rest
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.factors.spectral import SpectralFactor, SpectralForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.typing import BoolArray, Boundary, FloatArray, IntArray


class ByTotal(NamedTuple):
    """Precision of the total and the unknowns but one, the place of the total among them, and ``M`` of ``x = M u``."""

    precision: SymmetricStencil
    place: int
    matrix: FloatArray


@dataclass(frozen=True, eq=False)
class TotalForm(MarginalForm):
    """Precision of ``w^T x_p``, given that of several unknowns ``x_p`` per pixel.

    It is not sparse. Where a transform diagonalizes all unknowns its eigenvalues are ``1 / sum_c w_c^2 / lambda_c``;
    elsewhere its factor is made of that of the unknowns, and of that of all but one of them given the total.

    Attributes
    ----------
    inner : IndependentForm or CongruentForm
        Precision of the unknowns.
    weights : ndarray, (C,)
        ``w``.
    """

    inner: IndependentForm | CongruentForm
    weights: FloatArray
    no_stencil = (
        "precision must be sparse for this, but a field that is a sum of Markov fields has none; take these, stacked "
        "per pixel, by field.given.inner, or a whole-numbered smoothness."
    )

    @cached_property
    def lattice(self) -> Lattice:
        """The pixel grid; without the pixels whose total is known."""
        shape = self.inner.lattice.shape
        held = self._held
        return Lattice(shape) if held is None else Lattice(shape, domain=~held)

    @property
    def offsets(self) -> IntArray:
        """Offsets on which covariances are wanted."""
        return np.asarray(self.inner.offsets)

    @property
    def boundary(self) -> Boundary:
        """The rule at the border, or the (rows, columns) pair of rules."""
        return self.inner.boundary

    @property
    def parts(self) -> Sequence[Any]:
        """Precisions that are factorized."""
        return self.inner.parts

    @cached_property
    def spectral(self) -> SpectralForm | None:
        """The precision by its eigenvalues, if one transform diagonalizes all unknowns."""
        members = [each for each in self.inner.parts if isinstance(each, SpectralForm)]
        if len(members) < len(self.weights) or len({each.basis for each in members}) > 1:
            return None
        variance = sum(w * w / each.eigenvalues for w, each in zip(self.weights, members, strict=True))
        return SpectralForm(members[0].basis, 1.0 / np.asarray(variance), self.offsets)

    def method_for(self, choose: Callable[[Any], Method], method: Method) -> Method:
        """Return the method by which the unknowns are factorized."""
        return self.inner.method_for(choose, method)

    def factor(self, factorize: Callable[..., Factor], method: Method) -> Factor:
        """Return the factor."""
        if self.spectral is not None and method in ("auto", "spectral"):
            return SpectralFactor(self.spectral)
        return TotalFactor(self, self.inner.factor(factorize, method), factorize)

    @cached_property
    def by_total(self) -> "ByTotal":
        """The precision in terms of the total and the unknowns but one."""
        if isinstance(self.inner, CongruentForm):
            held = self.inner.inner
            M, P = self.inner.matrix, held.stencil if isinstance(held, Form) else held
        else:
            stencil = self.inner.stencil
            M = total_and_rest(stencil, self.weights)
            P = congruent(stencil, M)
        return ByTotal(P, place_of(self.weights, M), M)

    def given_information(self, added: SymmetricStencil) -> "TotalForm":
        """Return the precision of the total with a stencil added to it, as independent measurements add one."""
        P, place, M = self.by_total
        planes = [np.zeros((*added.shape, P.channels, P.channels)) for _ in added.offsets]
        for k, plane in enumerate(planes):
            plane[..., place, place] = added.plane(k)
        both = P + SymmetricStencil(added.offsets, planes, P.shape, channels=P.channels, boundary=cut_off(P.boundary))
        return TotalForm(CongruentForm.holding(both, M, place, self._held), self.weights)

    @property
    def _held(self) -> BoolArray | None:
        """Pixels whose total is known."""
        if not isinstance(self.inner, CongruentForm) or not isinstance(self.inner.inner, RestrictedForm):
            return None
        return np.asarray(~self.inner.inner.lattice.domain[..., self.by_total.place])


class _Marginal(NamedTuple):
    """The factor of the others given the total, and ``logdet``."""

    others: Factor
    logdet: float


class TotalFactor(MarginalFactor):
    """Factor of ``w^T x_p`` by that of the unknowns; it has no whitening matrix.

    ``Q^-1 b = W^T P^-1 W b`` with the unknowns' precision ``P``, and with ``P`` in terms of the total ``t`` and the
    others ``o``, ``Q = P_tt - P_to P_oo^-1 P_ot``, ``logdet Q = logdet P - logdet P_oo``.

    Parameters
    ----------
    form : TotalForm
        The precision.
    inner : Factor
        Factor of the unknowns.
    factorize : callable
        Makes factors of stencils, at first need.
    """

    method = "total"

    def __init__(self, form: TotalForm, inner: Factor, factorize: Callable[[Any], Factor]) -> None:
        self._form, self._inner, self._factorize = form, inner, factorize

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._form.lattice

    @property
    def inner(self) -> Factor:
        """Factor of the unknowns."""
        return self._inner

    @property
    def logdet(self) -> float:
        """Log-determinant of the precision, in nats."""
        return self._marginal.logdet

    @property
    def nbytes(self) -> int:
        """Bytes of the factors made."""
        made = vars(self).get("_marginal")
        return self._inner.nbytes + (0 if made is None else made.others.nbytes)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the unknowns' own offsets as a stencil."""
        w = self._form.weights
        if isinstance(self._inner, CongruentFactor):  # the total is one of its own unknowns
            S, place = self._inner.inner.selected_inverse(), self._form.by_total.place
            planes = [S.plane(k)[..., place, place] for k in range(len(S.offsets))]
        else:
            S = self._inner.selected_inverse()
            planes = [np.einsum("ijcd,c,d->ij", S.plane(k), w, w) for k in range(len(S.offsets))]
        return SymmetricStencil(S.offsets, planes, S.shape, boundary=cut_off(S.boundary))

    def marginal_variance(self) -> FloatArray:
        """Return the variance of every pixel as an image, in intensity^2."""
        if isinstance(self._form.inner, IndependentForm):
            return np.asarray(self._inner.marginal_variance() @ self._form.weights**2)
        return self.selected_inverse().diagonal()

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._inner.relative_error

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._total(self._inner.solve_vectors(read_only(self._spread(b))))

    def draw_vectors(self, rng: np.random.Generator, out: FloatArray) -> FloatArray:
        """Return draws ``(batch, n)``: totals of draws of the unknowns."""
        unknowns = np.empty((len(out), self._inner.lattice.size))
        return self._total(self._inner.draw_vectors(rng, unknowns))

    def squares(self, x: FloatArray) -> FloatArray:
        """Return ``x^T Q x`` for ``(batch, n)``."""
        (P, place, _), others = self._form.by_total, self._marginal.others
        u = np.zeros((*x.shape, P.channels))
        u[..., place] = np.where(self.lattice.domain.ravel(), x, 0.0)
        images = u.reshape(-1, *P.lattice.image_shape)
        product = (P @ images).reshape(u.shape)
        rest = np.ascontiguousarray(np.delete(product, place, axis=-1)).reshape(len(x), others.lattice.size)
        outside = others.solve_vectors(read_only(rest))
        inside = np.einsum("bp,bp->b", u[..., place], product[..., place])
        return np.asarray(inside - np.einsum("bp,bp->b", rest, outside))

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return rows whose products are ``w^T Q^-1 w`` for ``(batch, n)``: those of the unknowns."""
        return self._inner.covariance_roots(read_only(self._spread(w)))

    @property
    def form(self) -> TotalForm:
        """The precision."""
        return self._form

    @cached_property
    def _marginal(self) -> _Marginal:
        P, place, _ = self._form.by_total
        others = self._factorize(given_others(P, [c for c in range(P.channels) if c != place]))
        # The unknowns' own determinant, on the scale of the total: |det M| = 1 / |w| at every pixel.
        own = abs(float(self._form.weights[place]))
        logdet = self._inner.logdet - 2.0 * P.lattice.n_pixels * float(np.log(own)) - others.logdet
        return _Marginal(others, logdet)

    def _spread(self, b: FloatArray) -> FloatArray:
        """Return the unknowns ``w b_p`` of every pixel."""
        return (b[..., np.newaxis] * self._form.weights).reshape(len(b), self._inner.lattice.size)

    def _total(self, x: FloatArray) -> FloatArray:
        """Return the weighted sums of unknowns."""
        return np.asarray(x.reshape(len(x), self.lattice.n_pixels, len(self._form.weights)) @ self._form.weights)
