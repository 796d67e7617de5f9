"""What fields, factors and forms have in common: a lattice with a domain, and directions they say nothing about."""

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _memory
from sparsegmrf._validate import images
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Shape


class OnLattice(ABC):
    """Something that belongs to a precision on a lattice, which may have null vectors."""

    @property
    @abstractmethod
    def lattice(self) -> Lattice:
        """The pixel grid."""

    @property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors of the precision as columns, ``(n, r)``; none of a proper field."""
        return sp.csr_array((self.lattice.size, 0))

    @property
    def null_space(self) -> FloatArray:
        """The null vectors as images, ``(r, H, W)`` or ``(r, H, W, C)``; none of a proper field.

        Raises
        ------
        TooLargeError
            If the images do not fit into memory; `null_vectors` has them as a sparse array.
        """
        V, lattice = self.null_vectors, self.lattice
        _memory.refuse_if_too_large(
            8 * V.shape[1] * lattice.size, f"{V.shape[1]} null vectors as images", "use null_vectors, a sparse array"
        )
        return np.ascontiguousarray(V.T.toarray()).reshape(-1, *lattice.image_shape)

    @property
    def rank_deficiency(self) -> int:
        """Number of null vectors ``r``."""
        return int(self.null_vectors.shape[1])

    @property
    def rank(self) -> int:
        """Number of positive eigenvalues of the precision: unknowns in the domain less null vectors."""
        return self.lattice.n_free - self.rank_deficiency

    def project(self, x: ArrayLike) -> FloatArray:
        """Return ``(I - V V^T) x``: images without their part in the null space, zero outside the domain.

        Raises
        ------
        ArgumentError
            If `x` has another shape.
        """
        array, V = images("x", x, self.lattice.image_shape), self.null_vectors
        flat = array.reshape(-1, self.lattice.size)
        result = np.where(self.lattice.outside, 0.0, flat - (V @ (V.T @ flat.T)).T)
        return np.asarray(result.reshape(array.shape))

    @property
    def domain(self) -> BoolArray:
        """Which pixels (or unknowns, with channels) are free, as an image; the others are known or do not exist."""
        return self.lattice.domain

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.lattice.shape

    @property
    def channels(self) -> int:
        """Unknowns per pixel."""
        return self.lattice.channels
