"""Positive semi-definite stencils with known null spaces, and their dense pseudo-inverses."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

from sparsegmrf import SymmetricStencil
from tests import reference, strategies


@dataclass(frozen=True)
class IntrinsicCase:
    """An intrinsic precision as the package takes it, and how many null vectors it has in its domain."""

    stencil: SymmetricStencil
    null_space: object
    deficiency: int
    domain: object = None
    seed: int = 0
    Q: np.ndarray = field(init=False)

    def __post_init__(self):
        Q = self.stencil.tocsr().toarray()
        if self.domain is not None:
            Q = Q * np.outer(self.inside, self.inside)
        object.__setattr__(self, "Q", Q)

    @property
    def image_shape(self):
        return self.stencil.lattice.image_shape

    @property
    def inside(self):
        return np.ones(len(self.stencil.tocsr().toarray()), bool) if self.domain is None else np.ravel(self.domain)

    @property
    def method(self):
        """A torus is left to the dense factor: any other needs an optional library."""
        return "dense" if self.stencil.boundary == "torus" else "auto"

    @property
    def positive(self):
        """The positive eigenvalues, counted by the known deficiency."""
        values = np.linalg.eigvalsh(self.Q[np.ix_(self.inside, self.inside)])
        return values[self.deficiency :]

    @property
    def pinv(self):
        return reference.pseudo_inverse(self.Q, len(self.Q) - len(self.positive))

    def images(self, *batch):
        return np.random.default_rng(self.seed + 1).standard_normal((*batch, *self.image_shape))


def differences(shape, order, weights=None, cut=None):
    """Rows of first differences, or of second and mixed ones, between pixels that `cut` does not part."""
    height, width = shape
    label = np.zeros(shape, int) if cut is None else cut
    rows = []
    if order == 1:
        patterns = [{(0, 0): 1, (0, 1): -1}, {(0, 0): 1, (1, 0): -1}]
    else:
        root = np.sqrt(2.0)
        patterns = [
            {(0, 0): 1, (0, 1): -2, (0, 2): 1},
            {(0, 0): 1, (1, 0): -2, (2, 0): 1},
            {(0, 0): root, (0, 1): -root, (1, 0): -root, (1, 1): root},
        ]
    for pattern in patterns:
        for i in range(height):
            for j in range(width):
                places = [(i + di, j + dj) for di, dj in pattern]
                if all(a < height and b < width for a, b in places) and len({label[p] for p in places}) == 1:
                    row = np.zeros(shape)
                    for place, value in zip(places, pattern.values(), strict=True):
                        row[place] = value
                    rows.append(row.ravel())
    D = np.array(rows).reshape(len(rows), height * width)
    return D if weights is None else weights[: len(rows), None] * D


def read(Q, shape, channels=1):
    return SymmetricStencil.from_csr(sp.csr_array(Q), shape, channels=channels)


def parts_of(Q):
    """Number of connected parts, by repeated products of the pattern."""
    reach = np.linalg.matrix_power((np.abs(Q) > 0) + np.eye(len(Q)), len(Q)) > 0
    return len({tuple(row) for row in reach})


@st.composite
def first_order(draw, largest=6):
    """Differences of neighbours with conductances, over regions of the image that may fall apart."""
    shape = draw(strategies.shapes(largest))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    regions = draw(st.integers(1, 3))
    cut = rng.integers(0, regions, shape)
    D = differences(shape, 1, rng.uniform(0.5, 2.0, 2 * shape[0] * shape[1]), cut)
    Q = D.T @ D if len(D) else np.zeros((cut.size, cut.size))
    return IntrinsicCase(read(Q, shape), "constants", parts_of(Q), seed=seed)


@st.composite
def homogeneous(draw, largest=6):
    """The five-point membrane with no flux, or on a torus."""
    shape = draw(strategies.shapes(largest))
    boundary = draw(st.sampled_from(["neumann", "torus"]))
    a, b = draw(st.sampled_from([(1.0, 1.0), (0.5, 3.0)]))
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [2 * a + 2 * b, -a, -b], shape, boundary=boundary)
    return IntrinsicCase(stencil, "constants", 1)


@st.composite
def second_order(draw, largest=6):
    """Second and mixed differences: planes on every image of three pixels or more that is not a line."""
    height, width = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    D = differences((height, width), 2)
    n = height * width
    Q = D.T @ D if len(D) else np.zeros((n, n))
    # A constant, and a slope along each side that has one.
    return IntrinsicCase(read(Q, (height, width)), "planes", 1 + (height > 1) + (width > 1))


@st.composite
def channelled(draw, largest=4):
    """Two channels coupled by a block, or left apart; one constant per channel."""
    shape = draw(strategies.shapes(largest))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    root = rng.uniform(-1.0, 1.0, (2, 2)) if draw(st.booleans()) else np.eye(2)
    D = differences(shape, 1)
    Q = D.T @ D if len(D) else np.zeros((shape[0] * shape[1],) * 2)
    block = root @ root.T + 0.5 * np.eye(2)
    return IntrinsicCase(read(np.kron(Q, block), shape, 2), "constants", 2, seed=seed)


@st.composite
def with_domain(draw, largest=6):
    """First differences over part of the image; what is left out is white or has nothing on its diagonal."""
    shape = draw(strategies.shapes(largest))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    domain = rng.random(shape) < 0.7
    domain[0, 0] = True
    D = differences(shape, 1, cut=np.where(domain, -1, np.arange(domain.size).reshape(shape)))
    Q = D.T @ D if len(D) else np.zeros((domain.size, domain.size))
    deficiency = parts_of(Q) - int((~domain).sum())
    Q += np.diag(np.where(domain, 0.0, draw(st.sampled_from([0.0, 1.0, 2.5]))).ravel())
    return IntrinsicCase(read(Q, shape), "constants", deficiency, domain, seed)


def all_cases():
    return st.one_of(first_order(), homogeneous(), second_order(), channelled(), with_domain())
