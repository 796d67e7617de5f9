"""Anisotropic diffusion on the pixel grid: conductances along offsets that are never negative."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray, IntArray, Offset

ISOTROPIC: "dict[Offset, FloatArray]" = {(0, 1): np.array(1.0), (1, 0): np.array(1.0)}
_STEPS = 64
_ONE = np.array(1.0)


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Conductances ``rho_e`` with ``sum_e rho_e e e^T = S^-1 H S^-1`` and their derivatives by stretch and shear.

    ``G = sum_e rho_e D_e`` with the graph Laplacian ``D_e`` of the pairs of pixels at offset ``e`` is ``-div H grad``
    on the ground, where a pixel is ``S = diag(height, width)`` large.
    `weights` are the conductances of every pixel along two axes and both diagonals of an integer basis, whatever their
    offsets, with their derivatives.
    """

    conductances: dict[Offset, FloatArray]
    by_stretch: dict[Offset, FloatArray]
    by_shear: dict[Offset, FloatArray]
    weights: FloatArray
    weights_by_stretch: FloatArray
    weights_by_shear: FloatArray

    @property
    def is_separable(self) -> bool:
        """Whether neighbours are left, right, above and below only, the same everywhere."""
        return all(rho.ndim == 0 and (e in ISOTROPIC or not rho) for e, rho in self.conductances.items())


def check_anisotropy(value: object) -> tuple[FloatArray, FloatArray]:
    """Return ratio and angle, two numbers or two arrays, after checking them."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentError(
            f"anisotropy must be (ratio, angle), got {value!r}; ratio is the range along the direction over the range "
            "across it, angle is in radians from the direction of increasing columns to that of increasing rows."
        )
    ratio = finite("anisotropy[0], the ratio,", real_array("anisotropy[0], the ratio,", value[0]))
    angle = finite("anisotropy[1], the angle,", real_array("anisotropy[1], the angle,", value[1]))
    if not (ratio > 0.0).all():
        raise ArgumentError(f"anisotropy[0], the ratio, must be positive, got {float(ratio.min())}.")
    return ratio, angle


def stretch_and_shear(ratio: FloatArray, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``(a, b)`` of ``H = exp [[a, b], [b, -a]]``, columns first: smooth coordinates of an anisotropy."""
    return np.log(ratio) * np.cos(2.0 * angle), np.log(ratio) * np.sin(2.0 * angle)


def ratio_and_angle(stretch: float, shear: float) -> tuple[float, float]:
    """Return the anisotropy ``(ratio, angle)`` of ``(a, b)``."""
    return float(np.exp(np.hypot(stretch, shear))), float(np.arctan2(shear, stretch) / 2.0)


def diffusion(ratio: FloatArray, angle: FloatArray, height: FloatArray = _ONE, width: FloatArray = _ONE) -> Diffusion:
    """Decompose ``S^-1 H S^-1``, ``H = exp [[a, b], [b, -a]]`` with determinant 1, by Selling's reduction.

    An obtuse superbase ``b_0 + b_1 + b_2 = 0`` of integer vectors, ``b_i . H b_j <= 0``, gives
    ``H = sum_i (-b_j . H b_k) e_i e_i^T`` with ``e_i`` at right angles to ``b_i``.

    References
    ----------
    J. Fehrenbach, J.-M. Mirebeau (2014), Sparse non-negative stencils for anisotropic diffusion, J. Math. Imaging Vis.
    """
    shape = np.broadcast_shapes(ratio.shape, angle.shape, height.shape, width.shape)
    a, b, height, width = (
        np.broadcast_to(each, shape).ravel() for each in (*stretch_and_shear(ratio, angle), height, width)
    )
    H, by_stretch, by_shear = (each / _squares(height, width) for each in _tensors(a, b))
    base = _obtuse_superbase(H)
    rho, d_stretch, d_shear = (_coefficients(base, each) for each in (H, by_stretch, by_shear))
    edges = np.stack([-base[..., 1], base[..., 0]], axis=-1)  # at right angles to the base vectors
    earlier = (edges[..., 0] < 0) | ((edges[..., 0] == 0) & (edges[..., 1] < 0))
    edges[earlier] *= -1
    found: tuple[dict[Offset, FloatArray], ...] = ({}, {}, {})
    for offset in np.unique(edges.reshape(-1, 2), axis=0).tolist():
        here = (edges == offset).all(axis=-1)
        for conductances, values in zip(found, (rho, d_stretch, d_shear), strict=True):
            conductances[offset[0], offset[1]] = np.where(here, values, 0.0).sum(axis=-1).reshape(shape)
    weights = (np.pad(each, ((0, 0), (0, 1))).reshape(*shape, 4) for each in (rho, d_stretch, d_shear))
    return Diffusion(found[0], found[1], found[2], *weights)


def smooth_diffusion(
    ratio: FloatArray, angle: FloatArray, height: FloatArray = _ONE, width: FloatArray = _ONE
) -> Diffusion:
    """Decompose ``S^-1 H S^-1`` on nine points by weights that are smooth in stretch and shear.

    With ``[[hy, h], [h, hx]]`` for it and ``s = h^2 / (hx + hy)``: ``hx - s`` and ``hy - s`` along rows and columns,
    and ``(s + h) / 2`` and ``(s - h) / 2`` along the diagonals, one of which is negative. ``G`` is positive
    semi-definite all the same: on the four pixels of a cell, which share their sides with the next cells, the energy of
    a gradient is that of the tensor, that of the chessboard is ``4 (hx + hy - 2 s) > 0``, and nothing mixes them; what
    the sides at the border have more is not negative.
    """
    a, b = stretch_and_shear(ratio, angle)
    square = _squares(height.reshape(1), width.reshape(1))
    H, *slopes = ((each / square)[0] for each in _tensors(a.reshape(1), b.reshape(1)))
    size = H[0, 0] + H[1, 1]
    found = [_nine_points(H, H[0, 1] ** 2 / size)]
    for E in slopes:
        s = 2.0 * H[0, 1] * E[0, 1] / size - H[0, 1] ** 2 * (E[0, 0] + E[1, 1]) / size**2
        found.append(_nine_points(E, s))
    offsets: list[Offset] = [(1, 0), (0, 1), (1, 1), (1, -1)]
    if H[0, 1] == 0.0 and not found[2][2:].any():
        offsets = offsets[:2]
    by_offset = [dict(zip(offsets, weights, strict=False)) for weights in found]
    return Diffusion(by_offset[0], by_offset[1], by_offset[2], *found)


def _nine_points(H: FloatArray, s: FloatArray) -> FloatArray:
    return np.array([H[0, 0] - s, H[1, 1] - s, (s + H[0, 1]) / 2.0, (s - H[0, 1]) / 2.0])


def isotropic(height: FloatArray = _ONE, width: FloatArray = _ONE) -> Diffusion:
    """Return the four-neighbour diffusion ``S^-2``, that of ``H = I``."""
    height, width = np.broadcast_arrays(height, width)
    weights = np.stack([height**-2.0, width**-2.0, *np.zeros((2, *height.shape))], axis=-1)
    conductances = {(0, 1): weights[..., 1], (1, 0): weights[..., 0]}
    return Diffusion(conductances, {}, {}, weights, np.zeros(4), np.zeros(4))


def _squares(height: FloatArray, width: FloatArray) -> FloatArray:
    """Return what the entries of ``H`` are divided by, ``(n, 2, 2)``."""
    return _symmetric(height * height, height * width, width * width)


def _tensors(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ``H`` (rows first) and its derivatives by stretch and shear, ``(n, 2, 2)``."""
    m = np.hypot(a, b)
    small = m < 1e-3
    safe = np.where(small, 1.0, m)
    s = np.where(small, 1.0 + m**2 / 6.0, np.sinh(safe) / safe)  # sinh(m) / m, and its derivative over m
    t = np.where(small, 1.0 / 3.0 + m**2 / 30.0, (safe * np.cosh(safe) - np.sinh(safe)) / safe**3)
    H = _symmetric(np.cosh(m) - s * a, s * b, np.cosh(m) + s * a)
    by_a = _symmetric(s * a - t * a * a - s, t * a * b, s * a + t * a * a + s)
    by_b = _symmetric(s * b - t * a * b, t * b * b + s, s * b + t * a * b)
    return H, by_a, by_b


def _symmetric(rows: FloatArray, both: FloatArray, columns: FloatArray) -> FloatArray:
    return np.stack([np.stack([rows, both], axis=-1), np.stack([both, columns], axis=-1)], axis=-1)


def _obtuse_superbase(H: FloatArray) -> IntArray:
    """Return ``(n, 3, 2)`` integer vectors that sum up to zero with ``b_i . H b_j <= 0``."""
    base = np.broadcast_to(np.array([[-1, -1], [1, 0], [0, 1]]), (len(H), 3, 2)).copy()
    for _ in range(_STEPS):
        changed = False
        for i, j in ((1, 2), (0, 1), (0, 2)):
            acute = np.einsum("nx,nxy,ny->n", base[:, i], H, base[:, j]) > 0.0
            if acute.any():
                changed = True
                u, v = base[acute, i], base[acute, j]
                base[acute] = np.stack([-u, v, u - v], axis=1)
        if not changed:
            return base
    raise ArgumentError(
        "anisotropy[0], the ratio, must be within what the pixel grid can hold, got one that needs more than "
        f"{_STEPS} reduction steps; use a ratio nearer to 1."
    )


def _coefficients(base: IntArray, H: FloatArray) -> FloatArray:
    """Return ``-b_j . H b_k`` for the three vectors, ``(n, 3)``."""
    return np.stack(
        [-np.einsum("nx,nxy,ny->n", base[:, (i + 1) % 3], H, base[:, (i + 2) % 3]) for i in range(3)], axis=-1
    )
