"""Linear constraints on a field: sums, region totals and any other linear functional that is known exactly."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen, _memory
from sparsegmrf._validate import finite, images, read_only, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor
from sparsegmrf.factors._constraint_rows import ConstraintRows
from sparsegmrf.factors.constrained import ConstrainedFactor, ConstrainedForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import ArrayLike, FloatArray, Offset

_COPIES = 10
"""Images held per constraint while they are worked in, at most."""
_FULFILLED = 1e-8
"""Largest ``|C x - c|``, relative to ``|C| |x| + |c|``, at which an image is taken to fulfil the constraints."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ConstrainedGMRF(GMRF):
    """Field ``x ~ N(mu, Q^-1)`` given ``C x = c`` exactly, as `constrain` makes it.

    With ``G = Q^-1``: mean ``mu - G C^T (C G C^T)^-1 (C mu - c)`` and covariance ``G - G C^T (C G C^T)^-1 C G``, in
    means, draws, variances and covariances. The density is that on the images with ``C x = c``, per unit of volume in
    orthonormal coordinates of these images:
    ``log p(x | C x = c) = log p(x) - log p(C x) - logdet(C C^T) / 2``; elsewhere it is minus infinity.

    `precision` and `tocsr` are those of the field without constraints: the constrained one has none, but on images with
    ``C x = c`` its quadratic form is that of ``Q``. `whiten` gives independent white numbers and zeros at ``k`` pinned
    unknowns.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2.3.3, eqs. 2.30 to 2.32.
    """

    _given: ConstrainedForm
    _unconstrained: GMRF
    _values: FloatArray

    def __init__(self, unconstrained: GMRF, C: FloatArray, values: FloatArray, factor: ConstrainedFactor) -> None:
        # Made by `constrain`, which checks.
        lattice = unconstrained.lattice
        deviation = factor.mean_given(values - np.tensordot(C, unconstrained.mean, len(lattice.image_shape)))
        _frozen.assign(
            self,
            _lattice=lattice,
            _given=ConstrainedForm(unconstrained.given, lattice, read_only(C)),
            _mean=read_only(unconstrained.mean + deviation),
            _method=unconstrained.method,
            _unconstrained=unconstrained,
            _values=read_only(values),
            factor=factor,
        )

    @cached_property
    def factor(self) -> Factor:
        """Factor of the constrained field, made of that of the field without constraints."""
        return ConstrainedFactor(self._unconstrained.factor, self.constraints)

    @property
    def unconstrained(self) -> GMRF:
        """The field without the constraints."""
        return self._unconstrained

    @property
    def constraints(self) -> FloatArray:
        """Rows ``C`` as images, ``(k, H, W)`` or ``(k, H, W, C)``; read-only."""
        return self._given.C

    @property
    def values(self) -> FloatArray:
        """Values ``c`` of the constraints, ``(k,)``, in intensity; read-only."""
        return self._values

    @property
    def rank(self) -> int:
        """Number of directions that stay free: unknowns less constraints."""
        return self.factor.rank

    def with_mean(self, mean: ArrayLike) -> GMRF:
        """Return the field moved to another mean, ``x + (mean - mu)``, and ``c`` along with it.

        Raises
        ------
        ArgumentError
            If the mean has another shape or is not finite.
        """
        moved, base = super().with_mean(mean), self._unconstrained
        shift = moved.mean - self.mean
        values = self._values + _applied(self.constraints, shift, self.lattice)
        _frozen.assign(moved, _unconstrained=base.with_mean(base.mean + shift), _values=read_only(values))
        return moved

    def residual(self, x: ArrayLike | None = None) -> FloatArray:
        """Return ``C x - c`` of images, by default of the mean: how far rounding leaves the constraints unfulfilled.

        Parameters
        ----------
        x : array_like, (..., H, W) or (..., H, W, C), optional
            Images in intensity.

        Returns
        -------
        ndarray, (..., k)
            In intensity.

        Raises
        ------
        ArgumentError
            If `x` has another shape.
        """
        return _applied(self.constraints, self.mean if x is None else x, self.lattice) - self._values

    def logpdf(self, x: ArrayLike) -> FloatArray | float:
        """Return the log-density of images among those with ``C x = c``, in nats; minus infinity for others.

        Parameters
        ----------
        x : array_like, (..., H, W) or (..., H, W, C)
            Images in intensity, all values finite. ``C x`` may be off by ``1e-8`` of ``|C| |x| + |c|``, the size of
            what is summed.

        Returns
        -------
        float or ndarray
            One number per image; a float for a single image.

        Raises
        ------
        ArgumentError
            If `x` has another shape or a value is NaN or infinite.
        """
        density = np.asarray(super().logpdf(x))
        array = real_array("x", x)
        size = _applied(np.abs(self.constraints), np.abs(array), self.lattice) + np.abs(self._values)
        fulfilled = (np.abs(self.residual(array)) <= _FULFILLED * size).all(axis=-1)
        density = np.where(fulfilled, density, -np.inf)
        return density if density.ndim else float(density)

    def partial_correlation(self, offset: Offset) -> FloatArray:
        """Refuse: given all others, a pixel of a constraint is known. Ask the `unconstrained` field.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            f"partial_correlation at {offset} is not defined under constraints: given all other pixels, a pixel of a "
            "constraint is known; use that of .unconstrained."
        )

    @property
    def whitening(self) -> TriangularStencil | None:
        """None: a constrained field has no triangular whitening matrix."""
        return None

    def __repr__(self) -> str:
        return (
            f"ConstrainedGMRF({len(self._values)} constraints, residual={np.abs(self.residual()).max():.2g}, "
            f"unconstrained={self._unconstrained!r})"
        )


def constrain(gmrf: GMRF, C: "ArrayLike | sp.sparray | sp.spmatrix", c: ArrayLike = 0.0) -> ConstrainedGMRF:
    """Return the field given that linear functionals of it are known exactly, ``C x = c``, by kriging.

    A sum-to-zero constraint, known totals or means of regions, exact block averages. It costs two solves per
    constraint; a few dozen are no trouble.

    Parameters
    ----------
    gmrf : GMRF
        Any field: a prior, a posterior of `condition`, also with exact pixels, or a constrained field, whose
        constraints stay. The constraints must fix the null space of an `IntrinsicGMRF`.
    C : array_like, (H, W) or (k, H, W), or sparse array, (k, n)
        Images of weights, one per constraint, dimensionless; with channels ``(H, W, C)`` or ``(k, H, W, C)``. Also
        flattened, ``(k, n)``.
    c : float or array_like, (k,)
        Values of ``C x`` in intensity; one number stands for all.

    Returns
    -------
    ConstrainedGMRF
        With mean, draws, variances, covariances and density under the constraints.

    Raises
    ------
    ArgumentError
        If a shape is wrong; a constraint has no weights, or only on pixels that are known exactly; constraints depend
        on each other, and then whether they contradict; nothing is left free; or the null space stays free.
    TooLargeError
        If the images of the constraints would not fit into memory.

    See Also
    --------
    condition : Noisy sums, with ``operator=``.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2.3.3, algorithm 2.6.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3)), mean=1.0)
    >>> total = constrain(field, np.ones((1, 3)), 0.0)
    >>> total.mean.round(3).tolist(), bool(abs(total.sample(rng=0).sum()) < 1e-12)
    ([[0.1, -0.2, 0.1]], True)
    """
    if not isinstance(gmrf, GMRF):
        raise ArgumentError(f"gmrf must be a GMRF, got {type(gmrf).__name__}; a model gives one by model.gmrf(shape).")
    rows = _rows(C, gmrf.lattice)
    values = np.array(np.broadcast_to(_values(c, len(rows)), len(rows)))
    if isinstance(gmrf, ConstrainedGMRF):
        rows, values = np.concatenate([gmrf.constraints, rows]), np.concatenate([gmrf.values, values])
        gmrf = gmrf.unconstrained
    independent = _independent(gmrf, rows, values)
    return ConstrainedGMRF(gmrf, rows, values, ConstrainedFactor(gmrf.factor, independent))


def _rows(C: "ArrayLike | sp.sparray | sp.spmatrix", lattice: Lattice) -> FloatArray:
    """Return the constraints as images, ``(k, H, W)`` or ``(k, H, W, C)``."""
    if isinstance(C, sp.sparray | sp.spmatrix):
        _refuse_if_too_large(C.shape[0], lattice)
        C = C.toarray()
    array = finite("C", real_array("C", C))
    image = lattice.image_shape
    if array.shape == image:
        array = array[np.newaxis]
    if array.ndim == 2 and array.shape[1] == lattice.size:
        array = array.reshape(-1, *image)
    if array.shape[1:] != image:
        raise ArgumentError(
            f"C must hold images of weights, (k, {', '.join(map(str, image))}) or flattened (k, {lattice.size}), got "
            f"shape {array.shape}."
        )
    if not len(array):
        raise ArgumentError("C must hold a constraint, got none; without one the field is the constrained field.")
    _refuse_if_too_large(len(array), lattice)
    return np.array(array)


def _values(c: ArrayLike, count: int) -> FloatArray:
    values = finite("c", real_array("c", c))
    if values.shape not in ((), (count,)):
        raise ArgumentError(
            f"c must be a number or hold one value per constraint, shape ({count},), got shape {values.shape}."
        )
    return values


def _independent(gmrf: GMRF, rows: FloatArray, values: FloatArray) -> ConstraintRows:
    """Return the rows on pixels that are not known; refuse those that depend on each other or contradict."""
    inside = np.where(gmrf.domain, rows, 0.0)
    known = _applied(rows - inside, gmrf.mean, gmrf.lattice)
    flat, given = inside.reshape(len(rows), -1), rows.reshape(len(rows), -1)
    empty = np.flatnonzero(given.any(axis=1) & ~flat.any(axis=1))
    if len(empty):
        row = int(empty[0])
        raise ArgumentError(
            f"C must touch pixels that are not known, but row {row} has weights only on pixels observed exactly or "
            f"outside the domain, which make it {known[row]:.6g} (c: {values[row]:.6g}); leave it out."
        )
    return ConstraintRows.of(flat, values - known)


def _applied(C: FloatArray, x: ArrayLike, lattice: Lattice) -> FloatArray:
    """Return ``C x`` of images, ``(..., k)``."""
    array = images("x", x, lattice.image_shape)
    flat = np.einsum("kn,bn->bk", C.reshape(len(C), -1), array.reshape(-1, lattice.size))
    return np.asarray(flat).reshape(*array.shape[: array.ndim - len(lattice.image_shape)], len(C))


def _refuse_if_too_large(count: int, lattice: Lattice) -> None:
    _memory.refuse_if_too_large(
        8 * _COPIES * count * lattice.size,
        f"{count} constraints on {lattice.size} unknowns",
        "use fewer constraints, or condition on noisy sums with operator=",
    )
