"""Sums of separable fields of several channels: the precision of what is seen of them, and its factor."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._edges import cut_off, wraps
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._marginal import MarginalFactor, MarginalForm, given_others
from sparsegmrf.factors.congruent import place_of_total
from sparsegmrf.factors.independent import stacked
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.factors.separable import SeparableForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, Boundary, FloatArray, IntArray


@dataclass(frozen=True, eq=False, init=False)
class CoregionalForm(MarginalForm):
    """Precision of ``y_p = sum_r w_r x_r,p``, images of C channels, given fields ``x_r`` with ``Q_r (x) S_r^-1`` each.

    It is not sparse: the covariance is ``sum_r w_r^2 Q_r^-1 (x) S_r``. What is computed with are the ``R C`` unknowns
    of a pixel in terms of the sum, which takes the place of one of the fields, and of the other fields: measurements of
    the sum, however precise, leave these their digits, and where it is known it drops out.

    Attributes
    ----------
    members : tuple of SeparableForm
        Precisions of the R fields.
    weights : ndarray, (R,)
        ``w``.
    weight : ndarray, (H, W, C), or None
        Precisions of measurements of the sum; None: there are none.
    held : ndarray of bool, (H, W, C), or None
        Where the sum is known.

    Raises
    ------
    ArgumentError
        If the members are no proper fields of as many channels on all pixels of one lattice, or do not wrap alike.
    """

    members: tuple[SeparableForm, ...]
    weights: FloatArray
    weight: FloatArray | None
    held: BoolArray | None
    no_stencil = (
        "precision must be sparse for this, but a sum of fields of several channels has none; take that of the fields, "
        "stacked per pixel, by model.stencil(shape)."
    )

    def __init__(
        self,
        members: Sequence[SeparableForm],
        weights: FloatArray,
        weight: FloatArray | None = None,
        held: BoolArray | None = None,
    ) -> None:
        lattices = {(each.lattice.shape, each.lattice.channels) for each in members}
        if len(lattices) != 1 or not all(each.lattice.is_complete for each in members):
            raise ArgumentError(
                "members must be fields of as many channels on all pixels of one lattice, got "
                f"{', '.join(str(each.lattice) for each in members)}."
            )
        if any(each.null_vectors.shape[1] for each in members):
            raise ArgumentError(
                "members must be proper in a sum of Channels, got one with a null space; take Matern or CAR, or "
                "TensionSpline(proper=1e-3)."
            )
        if len({wraps(each.boundary) for each in members}) > 1:
            raise ArgumentError("members must wrap along the same axes, got several boundaries; give them one.")
        _frozen.assign(self, members=tuple(members), weights=weights, weight=weight, held=held)

    @property
    def channels(self) -> int:
        """Channels of the sum."""
        return self.members[0].lattice.channels

    @cached_property
    def lattice(self) -> Lattice:
        """The pixel grid; without what is known."""
        shape = self.members[0].lattice.shape
        if self.held is None:
            return Lattice(shape, self.channels)
        return Lattice(shape, self.channels, domain=~self.held)

    @property
    def offsets(self) -> IntArray:
        """Offsets on which covariances are wanted."""
        return np.asarray(self.unknowns.offsets)

    @property
    def boundary(self) -> Boundary:
        """The rule at the border, or the (rows, columns) pair of rules."""
        return self.unknowns.boundary

    @property
    def is_prior(self) -> bool:
        """Whether there are no measurements."""
        return self.weight is None and self.held is None

    @property
    def parts(self) -> Sequence[Any]:
        """Precisions that are factorized."""
        return self.members if self.is_prior else (self.inner,)

    @cached_property
    def place(self) -> int:
        """The field in whose place the sum stands."""
        largest = [each.diagonal().max() for each in self._stencils]
        return place_of_total(np.array(largest), self.weights)

    @property
    def totals(self) -> slice:
        """Where the sum stands among the unknowns of a pixel."""
        return slice(self.place * self.channels, (self.place + 1) * self.channels)

    @cached_property
    def matrix(self) -> FloatArray:
        """``M`` of the fields ``x_p = M u_p`` in terms of the unknowns, ``(R C, R C)``."""
        M, place = np.eye(len(self.weights)), self.place
        M[place] = -self.weights / self.weights[place]
        M[place, place] = 1.0 / self.weights[place]
        return np.asarray(np.kron(M, np.eye(self.channels)), dtype=np.float64)

    @cached_property
    def unknowns(self) -> SymmetricStencil:
        """The precision of the unknowns without measurements."""
        return congruent(stacked(self._stencils), self.matrix)

    @cached_property
    def _stencils(self) -> list[SymmetricStencil]:
        return [each.stencil for each in self.members]

    @cached_property
    def weighted(self) -> SymmetricStencil:
        """The precision of the unknowns given the measurements with noise."""
        P = self.unknowns
        if self.weight is None:
            return P
        own = np.arange(P.channels)[self.totals]
        planes = _planes(P)
        planes[0] = np.array(planes[0])
        planes[0][..., own, own] += self.weight
        return _of_channels(P, planes, P.channels)

    @cached_property
    def inner(self) -> SymmetricStencil | RestrictedForm:
        """The precision of the unknowns given all measurements."""
        P = self.weighted
        if self.held is None:
            return P
        out = np.zeros((*P.shape, P.channels), dtype=bool)
        out[..., self.totals] = self.held
        return RestrictedForm(decoupled(P, out), P.lattice.restricted(~out))

    def spread(self, images: FloatArray) -> FloatArray:
        """Return the unknowns ``(..., H, W, R C)`` of which the sum is some images ``(..., H, W, C)``, others zero."""
        found = np.zeros((*images.shape[:-1], self.unknowns.channels))
        found[..., self.totals] = images
        return found

    def times(self, unknowns: FloatArray) -> FloatArray:
        """Return the precision given measurements with noise times unknowns ``(..., H, W, R C)``."""
        shape = (*unknowns.shape[:-3], *self.unknowns.lattice.image_shape)
        return np.asarray(self.weighted @ unknowns.reshape(shape)).reshape(unknowns.shape)

    def given(self, weight: FloatArray, exact: BoolArray) -> "CoregionalForm":
        """Return the precision given more measurements of the sum, of which some are exact, ``(H, W, C)`` both."""
        total = weight if self.weight is None else self.weight + weight
        held = exact if self.held is None else exact | self.held
        return CoregionalForm(self.members, self.weights, np.where(held, 0.0, total), held if held.any() else None)

    def method_for(self, choose: Callable[[Any], Method], method: Method) -> Method:
        """Return the method asked for: what diagonalizes the fields does not diagonalize their sum."""
        return method

    def factor(self, factorize: Callable[..., Factor], method: Method) -> "CoregionalFactor":
        """Return the factor."""
        if self.is_prior:
            return _OfFields(self, [factorize(each) for each in self.members], factorize)
        return GivenSums(self, factorize(self.inner), factorize)


class CoregionalFactor(MarginalFactor):
    """Factor of a sum of fields of several channels; it has no whitening matrix.

    With the precision ``P`` of the sum ``t`` and the other fields ``o``, ``Q = P_tt - P_to P_oo^-1 P_ot``, and
    ``logdet Q = logdet P - logdet P_oo``.
    """

    method = "coregional"

    def __init__(self, form: CoregionalForm, factorize: Callable[[Any], Factor]) -> None:
        self._form, self._factorize = form, factorize

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._form.lattice

    @property
    @abstractmethod
    def logdet_of_unknowns(self) -> float:
        """Log-determinant of the precision of the sum and the other fields together."""

    @property
    def logdet(self) -> float:
        """Log-determinant of the precision, in nats."""
        return self.logdet_of_unknowns - (0.0 if self._others is None else self._others.logdet)

    def squares(self, x: FloatArray) -> FloatArray:
        """Return ``x^T Q x`` for ``(batch, n)``."""
        form, others = self._form, self._others
        images = np.where(self.lattice.domain, x.reshape(len(x), *self.lattice.image_shape), 0.0)
        u = form.spread(images.reshape(len(x), *self.lattice.shape, form.channels))
        product = form.times(u)
        inside = np.einsum("bijc,bijc->b", u[..., form.totals], product[..., form.totals])
        if others is None:
            return np.asarray(inside)
        rest = np.ascontiguousarray(product[..., self._kept]).reshape(len(x), -1)
        return np.asarray(inside - np.einsum("bp,bp->b", rest, others.solve_vectors(read_only(rest))))

    @property
    def form(self) -> CoregionalForm:
        """The precision."""
        return self._form

    @property
    def _kept(self) -> IntArray:
        """The other fields among the unknowns of a pixel."""
        every = np.arange(self._form.unknowns.channels)
        return np.delete(every, every[self._form.totals])

    @cached_property
    def _others(self) -> Factor | None:
        """The factor of the other fields given the sum, of which measurements say nothing more; None of one field."""
        P, kept = self._form.unknowns, self._kept
        if not len(kept):
            return None
        return self._factorize(given_others(P, kept.tolist()))


class _OfFields(CoregionalFactor):
    """Factor of a sum of which nothing is measured: covariances and draws are sums of those of the fields."""

    def __init__(self, form: CoregionalForm, fields: Sequence[Factor], factorize: Callable[[Any], Factor]) -> None:
        super().__init__(form, factorize)
        self._fields = list(fields)

    @property
    def logdet_of_unknowns(self) -> float:
        """Log-determinant of the precision of the sum and the other fields together."""
        form = self._form
        moved = 2.0 * form.lattice.n_pixels * float(np.linalg.slogdet(form.matrix)[1])
        return float(sum(each.logdet for each in self._fields)) + moved

    @property
    def nbytes(self) -> int:
        """Bytes of the factors of the fields."""
        return sum(each.nbytes for each in self._fields)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the fields' own offsets as a stencil."""
        form = self._form
        selected = stacked([each.selected_inverse() for each in self._fields])
        weights = np.kron(form.weights, np.eye(form.channels))  # (C, R C)
        planes = [np.einsum("ac,ijcd,bd->ijab", weights, plane, weights, optimize=True) for plane in _planes(selected)]
        return _of_channels(selected, planes, form.channels)

    def marginal_variance(self) -> FloatArray:
        """Return the variances as an image, in intensity^2."""
        pairs = zip(self._form.weights, self._fields, strict=True)
        return np.asarray(sum(w * w * each.marginal_variance() for w, each in pairs))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        pairs = zip(self._form.weights, self._fields, strict=True)
        return np.asarray(sum(w * w * each.solve_vectors(b) for w, each in pairs))

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return max(each.relative_error for each in self._fields)

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return rows whose products are ``w^T Q^-1 w`` for ``(batch, n)``: those of the fields side by side."""
        pairs = zip(self._form.weights, self._fields, strict=True)
        return np.concatenate([weight * each.covariance_roots(w) for weight, each in pairs], axis=1)

    def draw_vectors(self, rng: np.random.Generator, out: FloatArray) -> FloatArray:
        """Return draws ``(batch, n)``: sums of draws of the fields."""
        total = np.zeros(out.shape)
        for w, each in zip(self._form.weights, self._fields, strict=True):
            total += w * each.draw_vectors(rng, np.empty(out.shape))
        return total


class GivenSums(CoregionalFactor):
    """Factor of a sum given measurements of it, by that of the sum and the other fields together.

    Parameters
    ----------
    form : CoregionalForm
        The precision.
    inner : Factor
        Of its unknowns.
    factorize : callable
        Makes factors of stencils, at first need.
    """

    def __init__(self, form: CoregionalForm, inner: Factor, factorize: Callable[[Any], Factor]) -> None:
        super().__init__(form, factorize)
        self._inner = inner

    @property
    def logdet_of_unknowns(self) -> float:
        """Log-determinant of the precision of the sum, where it is not known, and the other fields together."""
        return self._inner.logdet

    @property
    def nbytes(self) -> int:
        """Bytes of the factor of the unknowns."""
        return self._inner.nbytes

    @cached_property
    def of_unknowns(self) -> SymmetricStencil:
        """Covariances of the sum and the other fields on the precision's own offsets."""
        return self._inner.selected_inverse()

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil."""
        own = self._form.totals
        planes = [plane[..., own, own] for plane in _planes(self.of_unknowns)]
        return _of_channels(self.of_unknowns, planes, self._form.channels)

    def solve_unknowns(self, right: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` of the sum and the other fields for ``(..., H, W, R C)``."""
        shape = (*right.shape[:-3], *self._inner.lattice.image_shape)
        return np.asarray(self._inner.solve(right.reshape(shape))).reshape(right.shape)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return np.ascontiguousarray(self.solve_unknowns(self._spread(b))[..., self._form.totals]).reshape(b.shape)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._inner.relative_error

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return rows whose products are ``w^T Q^-1 w`` for ``(batch, n)``: those of the unknowns."""
        return self._inner.covariance_roots(read_only(self._spread(w).reshape(len(w), self._inner.lattice.size)))

    def _spread(self, b: FloatArray) -> FloatArray:
        """Return the unknowns ``(batch, H, W, R C)`` of which the sum is ``(batch, n)``."""
        return self._form.spread(b.reshape(len(b), *self._form.unknowns.shape, self._form.channels))

    def draw_vectors(self, rng: np.random.Generator, out: FloatArray) -> FloatArray:
        """Return draws ``(batch, n)``: the sums in draws of the unknowns."""
        unknowns = self._inner.draw_vectors(rng, np.empty((len(out), self._inner.lattice.size)))
        lattice = self._form.unknowns.lattice
        each = unknowns.reshape(len(out), lattice.n_pixels, lattice.channels)
        return np.ascontiguousarray(each[..., self._form.totals]).reshape(out.shape)


def _planes(stencil: SymmetricStencil) -> list[FloatArray]:
    """Return the blocks of a stencil, ``(H, W, C, C)`` also of one unknown per pixel."""
    shape = (*stencil.shape, stencil.channels, stencil.channels)
    return [np.broadcast_to(stencil.plane(k).reshape(shape), shape) for k in range(len(stencil.offsets))]


def _of_channels(like: SymmetricStencil, planes: Sequence[FloatArray], channels: int) -> SymmetricStencil:
    """Return a stencil of blocks ``(H, W, C, C)`` on the offsets of another."""
    shaped = [each if channels > 1 else each[..., 0, 0] for each in planes]
    return SymmetricStencil(like.offsets, shaped, like.shape, channels=channels, boundary=cut_off(like.boundary))
