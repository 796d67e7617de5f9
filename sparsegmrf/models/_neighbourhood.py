"""Neighbourhoods of CAR and SAR models: offsets, their interaction parameters, and the limits of these."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from sparsegmrf._edges import cut_off, has, wraps
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors._transforms import basis_of, frequencies
from sparsegmrf.models._joint_limits import Bounds, JointLimits, are_independent, bounding_box, parallelogram
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._offsets import as_offsets, raster_sign
from sparsegmrf.stencil.symbol import lowest, lowest_at, symbol_at
from sparsegmrf.typing import Boundary, FloatArray, IntArray, Shape

NEIGHBOURHOODS = {4: ((1, 0), (0, 1)), 8: ((0, 1), (1, -1), (1, 0), (1, 1))}
_LANCZOS = 2**16
_FREQUENCIES = 2**12  # of a bounding box: fewer make it wider
_NEWTON = 60
_ZERO = 1e-14


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Later offsets, and which of them share an interaction parameter.

    Attributes
    ----------
    offsets : ndarray, (K, 2)
    names : tuple of str
        Parameters.
    values : ndarray
        One per parameter.
    owner : ndarray, (K,)
        Which parameter weighs an offset.
    """

    offsets: IntArray
    names: tuple[str, ...]
    values: FloatArray
    owner: IntArray

    @classmethod
    def of(cls, neighbourhood: object, rho: object, share: float) -> "Neighbourhood":
        """Read the arguments of a model; `share` of the unit limit over all neighbours is the default of ``rho``."""
        offsets = _offsets(neighbourhood)
        count = len(offsets)
        values = np.full((), share) if rho is None else finite("rho", real_array("rho", rho))
        if values.ndim == 0:
            return cls(offsets, ("rho",), values.reshape(1), np.zeros(count, dtype=np.int64))
        if values.shape != (count,):
            pair = ", a (vertical, horizontal) pair" if neighbourhood == 4 else ""
            raise ArgumentError(
                f"rho must be a number{pair} or have one value per offset {offsets.tolist()}, got shape {values.shape}."
            )
        names = ("rho_vertical", "rho_horizontal") if neighbourhood == 4 else tuple(f"rho_{k}" for k in range(count))
        return cls(offsets, names, values, np.arange(count))

    def adjacency(self, shape: Shape, boundary: Boundary, weights: FloatArray | None = None) -> SymmetricStencil:
        """Return ``sum_k weights[k] W_k``; under the no-flux rule a missing neighbour counts on the diagonal."""
        given = np.ones(len(self.offsets)) if weights is None else weights
        return SymmetricStencil([(0, 0), *map(tuple, self.offsets.tolist())], [0.0, *given], shape, boundary=boundary)

    def indicator(self, parameter: int) -> FloatArray:
        """Return 1 for the offsets of a parameter, else 0."""
        return np.asarray(self.owner == parameter, dtype=np.float64)

    @property
    def weights(self) -> FloatArray:
        """Interaction of each offset."""
        return np.asarray(self.values[self.owner])

    def degree(self, shape: Shape, boundary: Boundary) -> SymmetricStencil:
        """Return the diagonal matrix of the number of neighbours on the image."""
        if boundary == "torus":
            return SymmetricStencil([(0, 0)], [2.0 * len(self.offsets)], shape, boundary=boundary)
        count = self.adjacency(shape, cut_off(boundary)) @ np.ones(shape)
        return SymmetricStencil([(0, 0)], [count], shape, boundary=cut_off(boundary))

    def is_dominated(self, by_degree: bool) -> bool:
        """Return whether the diagonal exceeds the sum of the others in every row, on any lattice."""
        size = np.abs(self.weights)
        return bool((size.max() if by_degree else 2.0 * size.sum()) < 1.0 - 1e-9)

    def unit_limits(self, shape: Shape, boundary: Boundary) -> dict[str, Bounds]:
        """Return by parameter where ``I - sum_k rho_k W_k`` is positive definite, the others held.

        On the nine-point neighbourhood with equal diagonals, the symbol ``1 - 2 v Y - 2 h X - 4 d X Y`` is affine in
        either cosine, so that it is least at the extreme cosines of the lattice: a closed form. On a torus all
        frequencies of the lattice are looked at. Otherwise the symbol must be positive at every frequency, which
        suffices on any lattice and is necessary on a large one.
        """
        frequencies = self._frequencies(shape, boundary)
        if frequencies is None:
            return {name: self._symbol_limits(parameter) for parameter, name in enumerate(self.names)}
        rows, columns = frequencies
        share = [
            symbol_at(*self._terms(0.0, self.indicator(parameter)), rows, columns)
            for parameter in range(len(self.names))
        ]
        result: dict[str, Bounds] = {}
        for parameter, name in enumerate(self.names):
            held = self.values.copy()
            held[parameter] = 0.0
            bound = 1.0 - sum((v * s for v, s in zip(held, share, strict=True)), np.zeros(share[0].shape))
            above, below = share[parameter] > _ZERO, share[parameter] < -_ZERO
            result[name] = (
                float((bound[below] / share[parameter][below]).max(initial=-np.inf)),
                float((bound[above] / share[parameter][above]).min(initial=np.inf)),
            )
        return result

    def is_positive(self, shape: Shape, boundary: Boundary) -> bool | None:
        """Return whether ``I - sum_k rho_k W_k`` is positive definite, by the frequencies of `unit_limits`.

        Where it is makes a convex region around zero, so that no interval need be found to know it of a point. None at
        an end, where the sign is rounding.
        """
        terms, frequencies = self._terms(1.0, -self.weights), self._frequencies(shape, boundary)
        least = lowest(*terms) if frequencies is None else symbol_at(*terms, *frequencies).min()
        rounding = _ZERO * (1.0 + 2.0 * float(np.abs(self.weights).sum()))
        return None if abs(least) <= rounding else bool(least > 0.0)

    def joint_limits(self, shape: Shape, boundary: Boundary, scale: float = 1.0) -> JointLimits | None:
        """Return a box around the values of several parameters at which ``I - sum_k rho_k W_k / scale`` is positive.

        With four neighbours the region is a quadrilateral, one side of which is where both interactions are positive
        and all neighbours tied; the box goes along it and another side, and with symmetric cosines is the region. With
        other neighbourhoods the box goes along that side, and has the whole interval of all parameters but one.
        """
        if len(self.names) == 1:
            return None
        frequencies = self._frequencies(shape, boundary)
        corners = frequencies is not None and self.is_nearest
        rows, columns = _thinned(*frequencies) if frequencies is not None else self._grid()
        normals = np.stack(
            [
                symbol_at(*self._terms(0.0, self.indicator(parameter)), rows, columns).ravel() / scale
                for parameter in range(len(self.names))
            ],
            axis=1,
        )
        if are_independent(normals):
            return None
        return parallelogram(self.names, normals) if corners else bounding_box(self.names, normals)

    @property
    def is_nearest(self) -> bool:
        """Whether the neighbours are the four nearest."""
        return set(map(tuple, self.offsets.tolist())) == {(0, 1), (1, 0)}

    def degree_limits(self, shape: Shape, boundary: Boundary) -> dict[str, Bounds]:
        """Return by parameter where ``D - sum_k rho_k W_k`` is positive definite on every lattice.

        ``x^T Q x`` is the sum of ``x_p^2 + x_q^2 - 2 rho x_p x_q`` over all pairs, so that ``|rho| < 1`` suffices. It
        is necessary where pixels can be coloured black and white such that neighbours differ, as with four neighbours.
        With one parameter and another neighbourhood the lower end is ``1 / lambda_min(D^-1/2 W D^-1/2)``, by Lanczos
        up to 65536 pixels.
        """
        bipartite = self._is_bipartite(shape, boundary)
        if len(self.names) > 1 or bipartite or shape[0] * shape[1] > _LANCZOS or min(shape) == 1:
            return dict.fromkeys(self.names, (-1.0, 1.0))
        W = self.adjacency(shape, cut_off(boundary)).tocsr()
        count = W.sum(axis=1)
        scale = sp.diags_array(np.where(count > 0, 1.0 / np.sqrt(np.maximum(count, 1.0)), 0.0))
        normalized = scale @ W @ scale
        if W.shape[0] <= 16:
            least = float(np.linalg.eigvalsh(normalized.toarray())[0])
        else:
            start = np.random.default_rng(0).standard_normal(W.shape[0])
            least = float(eigsh(normalized, k=1, which="SA", v0=start, tol=1e-10, return_eigenvectors=False)[0])
        return {self.names[0]: (1.0 / least if least < -_ZERO else -np.inf, 1.0)}

    def _is_bipartite(self, shape: Shape, boundary: Boundary) -> bool:
        """Whether some chessboard colouring by ``(i, j)``, ``i`` or ``j`` tells all neighbours apart."""
        di, dj = self.offsets.T
        odd_rows, odd_columns = (around and side % 2 == 1 for around, side in zip(wraps(boundary), shape, strict=True))
        colourings = ((di + dj, odd_rows or odd_columns), (di, odd_rows), (dj, odd_columns))
        return any(bool((parity % 2 == 1).all()) for parity, clashes in colourings if not clashes)

    def _frequencies(self, shape: Shape, boundary: Boundary) -> tuple[FloatArray, FloatArray] | None:
        """Return frequencies that hold the extremes of the lattice's eigenvalues, or None if its basis is not known."""
        rows, columns = frequencies(basis_of(boundary), shape)
        by_offset = dict(zip(map(tuple, self.offsets.tolist()), self.owner.tolist(), strict=True))
        diagonals = {(1, -1), (1, 1)} & set(by_offset)
        alike = not diagonals or (len(diagonals) == 2 and by_offset[1, -1] == by_offset[1, 1])
        near = set(by_offset) <= {(0, 1), (1, 0), (1, -1), (1, 1)}
        if near and alike and not (has(boundary, "neumann") and diagonals):
            corners = [w[[np.cos(w).argmax(), np.cos(w).argmin()]] for w in (rows, columns)]
            return corners[0][:, np.newaxis], corners[1][np.newaxis]
        return (rows[:, np.newaxis], columns[np.newaxis]) if boundary == "torus" else None

    def _grid(self) -> tuple[FloatArray, FloatArray]:
        """Return frequencies that see every offset, half of them as the symbol is even."""
        reach = np.abs(self.offsets).max(axis=0)
        rows, columns = (np.linspace(0.0, np.pi, int(min(64, 16 * each)) + 1) for each in reach)
        return _thinned(rows[:, np.newaxis], np.append(-columns[:0:-1], columns)[np.newaxis])

    def _terms(self, centre: float, weights: FloatArray) -> tuple[IntArray, FloatArray]:
        return np.vstack([np.zeros((1, 2), dtype=np.int64), self.offsets]), np.append(centre, weights)

    def _symbol_limits(self, parameter: int) -> Bounds:
        """Return where the least symbol, a concave function of the parameter, is positive.

        With the others held the symbol at a frequency is affine in the parameter, so that an end is the least ratio
        ``bound / share`` over frequencies: Newton's method, from the ratio at any of them, comes down to it.
        """
        held, inside = self.values.copy(), 0.0
        held[parameter] = 0.0
        if self._least(held)[0] <= 0.0:
            held[parameter] = inside = float(self.values[parameter])
            if self._least(held)[0] <= 0.0:
                return (inside, inside)
        low, high = (self._symbol_limit(held, parameter, sign) for sign in (-1.0, 1.0))
        return inside - low, inside + high

    def _symbol_limit(self, held: FloatArray, parameter: int, sign: float) -> float:
        """Return how far from values that are possible a parameter can move."""
        bound, share = self._terms(1.0, -held[self.owner]), self._terms(0.0, sign * self.indicator(parameter))
        rows, columns = self._grid()
        shares = symbol_at(*share, rows, columns)
        above = shares > _ZERO
        reach = float((symbol_at(*bound, rows, columns)[above] / shares[above]).min())
        for _ in range(_NEWTON):
            values = held.copy()
            values[parameter] += sign * reach
            least, frequency = self._least(values)
            if least >= 0.0:
                break
            ratio = float(symbol_at(*bound, *frequency) / symbol_at(*share, *frequency))
            if not ratio < reach:
                break
            reach = ratio
        return reach

    def _least(self, values: FloatArray) -> tuple[float, FloatArray]:
        """Return the least symbol at interactions, and its frequency."""
        return lowest_at(*self._terms(1.0, -values[self.owner]))


def _thinned(rows: FloatArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return frequencies ``(n, 1)`` and ``(1, m)`` with at most `_FREQUENCIES` pairs, evenly taken from more."""
    while rows.size * columns.size > _FREQUENCIES:
        if rows.size > columns.size:
            rows = rows[np.unique(np.linspace(0, rows.size - 1, (rows.size + 1) // 2).round().astype(np.int64))]
        else:
            kept = np.unique(np.linspace(0, columns.size - 1, (columns.size + 1) // 2).round().astype(np.int64))
            columns = columns[:, kept]
    return rows, columns


def _offsets(neighbourhood: object) -> IntArray:
    if isinstance(neighbourhood, int | np.integer) and not isinstance(neighbourhood, bool):
        if int(neighbourhood) not in NEIGHBOURHOODS:
            raise ArgumentError(f"neighbourhood must be 4, 8 or a list of offsets, got {neighbourhood!r}.")
        return np.array(NEIGHBOURHOODS[int(neighbourhood)], dtype=np.int64)
    offsets = as_offsets(neighbourhood, "neighbourhood")
    if not len(offsets) or not (raster_sign(offsets) > 0).all():
        raise StencilError(
            "neighbourhood must be 4, 8 or offsets (di, dj) later than the centre in raster order, each standing for "
            f"its mirror image too, got {offsets.tolist()}."
        )
    return offsets
