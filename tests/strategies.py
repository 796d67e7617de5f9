"""Hypothesis strategies: image shapes from one pixel, and stencils with their dense matrices as oracles.

Structure (shape, offsets, which coefficients are shared) is drawn, and shrinks; numbers come from a drawn seed.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from sparsegmrf import SymmetricStencil, TriangularStencil
from tests import reference

LATER = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (1, -2), (2, 1), (2, -1), (2, 2), (2, -2)]


@dataclass(frozen=True)
class SymmetricCase:
    """A symmetric positive definite stencil as it was given, as the package holds it, and as a dense matrix."""

    offsets: list
    coefficients: list
    shape: tuple
    channels: int
    boundary: str
    seed: int

    def flipped(self, axis):
        """The same field on the image flipped along `axis`."""
        sign = (-1, 1) if axis == 0 else (1, -1)
        return self._moved(self.shape, lambda o: (sign[0] * o[0], sign[1] * o[1]), lambda plane: np.flip(plane, axis))

    def transposed(self):
        """The same field on the transposed image."""
        return self._moved(self.shape[::-1], lambda o: o[::-1], lambda plane: np.swapaxes(plane, 0, 1))

    def _moved(self, shape, move_offset, move_plane):
        offsets, coefficients = [], []
        for offset, coefficient in zip(self.offsets, self.coefficients, strict=True):
            moved, array = move_offset(offset), np.asarray(coefficient)
            is_plane = array.ndim > (0 if self.channels == 1 else 2)
            array = move_plane(array) if is_plane else array
            if moved < (0, 0):  # earlier in raster order: Q[q, q - o] is the transpose of Q[p, p + o] at p = q - o
                array = np.roll(array, moved, (0, 1)) if is_plane else array
                array = np.swapaxes(array, -1, -2) if self.channels > 1 and array.ndim else array
                moved = (-moved[0], -moved[1])
            offsets.append(moved)
            coefficients.append(array)
        return SymmetricCase(offsets, coefficients, shape, self.channels, self.boundary, self.seed)

    @property
    def stencil(self):
        return SymmetricStencil(
            self.offsets, self.coefficients, self.shape, channels=self.channels, boundary=self.boundary
        )

    @property
    def Q(self):
        return reference.symmetric_matrix(self.offsets, self.coefficients, self.shape, self.channels, self.boundary)

    @property
    def image_shape(self):
        return self.shape if self.channels == 1 else (*self.shape, self.channels)

    def images(self, *batch):
        return np.random.default_rng(self.seed + 1).standard_normal((*batch, *self.image_shape))


@dataclass(frozen=True)
class TriangularCase:
    """A triangular stencil as it was given, as the package holds it, and as dense matrices."""

    offsets: list
    diagonal: object
    weights: list
    shape: tuple
    channels: int
    seed: int
    boundary: str = "dirichlet"

    @property
    def stencil(self):
        return TriangularStencil(self.offsets, self.diagonal, self.weights, self.shape, channels=self.channels)

    @property
    def A(self):
        return reference.triangular_matrix(self.offsets, self.diagonal, self.weights, self.shape, self.channels)

    @property
    def Q(self):
        return self.A.T @ self.A

    @property
    def image_shape(self):
        return self.shape if self.channels == 1 else (*self.shape, self.channels)

    def images(self, *batch):
        return np.random.default_rng(self.seed + 1).standard_normal((*batch, *self.image_shape))


def shapes(largest=6):
    """Image shapes ``1 x 1``, ``1 x n``, ``n x 1`` and ``m x n``."""
    side = st.integers(1, largest)
    return st.one_of(
        st.just((1, 1)),
        st.tuples(st.just(1), side),
        st.tuples(side, st.just(1)),
        st.just((2, 3)),
        st.tuples(side, side),
    )


@st.composite
def symmetric_stencils(
    draw, largest=6, channels=(1, 2, 3), boundaries=("dirichlet",), kinds=("homogeneous", "per_pixel", "mixed"), reach=2
):
    """Symmetric stencils that are positive definite by diagonal dominance."""
    shape = draw(shapes(largest))
    width = draw(st.sampled_from(channels))
    boundary = draw(st.sampled_from(boundaries))
    kind = draw(st.sampled_from(kinds))
    neighbours = draw(_subsets([o for o in LATER if max(map(abs, o)) <= reach]))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    as_plane = [kind == "per_pixel" or (kind == "mixed" and draw(st.booleans())) for _ in range(len(neighbours) + 1)]
    if "neumann" in boundary:
        as_plane[1:] = [False] * len(neighbours)
    block = () if width == 1 else (width, width)
    weights = [rng.uniform(-1.0, 1.0, (*shape, *block) if plane else block) for plane in as_plane[1:]]
    if "neumann" in boundary and width > 1:
        weights = [weight + weight.T for weight in weights]
    bound = 2.0 * sum(float(np.abs(weight).max()) for weight in weights) * width
    centre = rng.uniform(0.2, 2.0, shape if as_plane[0] else ())
    if width > 1:
        root = rng.uniform(-1.0, 1.0, (*centre.shape, width, width))
        centre = (centre + bound)[..., None, None] * np.eye(width) + root @ np.swapaxes(root, -1, -2)
    else:
        centre = centre + bound
    order = rng.permutation(len(neighbours) + 1)
    offsets, coefficients = [(0, 0), *neighbours], [centre, *weights]
    return SymmetricCase([offsets[k] for k in order], [coefficients[k] for k in order], shape, width, boundary, seed)


@st.composite
def triangular_stencils(
    draw,
    largest=6,
    channels=(1, 2, 3),
    kinds=("homogeneous", "per_pixel", "mixed"),
    sides=("earlier", "later"),
    reach=2,
):
    """Triangular stencils of both orientations whose recursion is a contraction."""
    shape = draw(shapes(largest))
    width = draw(st.sampled_from(channels))
    sign = -1 if draw(st.sampled_from(sides)) == "earlier" else 1
    kind = draw(st.sampled_from(kinds))
    neighbours = draw(_subsets([o for o in LATER if max(map(abs, o)) <= reach]))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    as_plane = [kind == "per_pixel" or (kind == "mixed" and draw(st.booleans())) for _ in range(len(neighbours) + 1)]
    block = () if width == 1 else (width, width)
    size = 0.9 / (max(1, len(neighbours)) * width)
    weights = [rng.uniform(-size, size, (*shape, *block) if plane else block) for plane in as_plane[1:]]
    diagonal = rng.uniform(1.0, 2.0, (*shape, *block) if as_plane[0] else block)
    if width > 1:
        strict = np.tril(rng.uniform(-0.3, 0.3, diagonal.shape), -1)
        diagonal = np.eye(width) * diagonal + (strict if sign < 0 else np.swapaxes(strict, -1, -2))
    offsets = [(sign * di, sign * dj) for di, dj in neighbours]
    order = rng.permutation(len(neighbours))
    return TriangularCase([offsets[k] for k in order], diagonal, [weights[k] for k in order], shape, width, seed)


def _subsets(offsets):
    return st.lists(st.sampled_from(offsets), unique=True, max_size=5)
