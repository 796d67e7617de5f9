"""Parts of the dissection tree by themselves, against Schur complements and inverses of dense matrices."""

import numpy as np
import pytest

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors.dissection import _front_inverse
from sparsegmrf.factors.dissection._buffers import Buffers
from sparsegmrf.factors.dissection._classes import boundary_pixels, split
from sparsegmrf.factors.dissection._subtree import Separator, Subtree
from sparsegmrf.kernels import dense_products
from sparsegmrf.stencil import SymmetricStencil

FIVE = [(0, 0), (0, 1), (1, 0)]
THIRTEEN = [(0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)]


def stencil(offsets, shape, channels=1, seed=0):
    """A diagonally dominant stencil whose coefficients differ between pixels."""
    rng = np.random.default_rng(seed)
    block = (channels, channels) if channels > 1 else ()
    planes = rng.uniform(-1.0, 1.0, (len(offsets), *shape, *block))
    centre = 2.0 * channels * len(offsets) * (np.eye(channels) if channels > 1 else 1.0)
    planes[0] = centre + rng.uniform(0.0, 1.0, shape + (1,) * len(block)) * (np.eye(channels) if channels > 1 else 1.0)
    return SymmetricStencil.from_planes(offsets, planes)


def unknowns(pixels, shape, channels):
    flat = pixels[:, 0] * shape[1] + pixels[:, 1]
    return (flat[:, np.newaxis] * channels + np.arange(channels)).ravel()


def rectangle(top, bottom, left, right):
    return np.array([(i, j) for i in range(top, bottom) for j in range(left, right)])


def lower(packed, order):
    """The symmetric matrix of a packed lower triangle, column by column."""
    full = np.zeros((order, order))
    rows, columns = np.triu_indices(order)
    full[columns, rows] = packed
    full[rows, columns] = packed
    return full


def packed(matrix):
    return matrix[np.triu_indices(len(matrix))[::-1]] if len(matrix) else np.zeros(0)


def schur(P, own, around):
    return -P[np.ix_(around, own)] @ np.linalg.solve(P[np.ix_(own, own)], P[np.ix_(own, around)])


@pytest.mark.parametrize(
    ("offsets", "channels", "shape", "beyond"),
    [
        (FIVE, 1, (9, 11), (1, 1, 1, 1)),
        (FIVE, 1, (34, 37), (1, 0, 1, 1)),
        (FIVE, 2, (13, 12), (0, 1, 1, 0)),
        (THIRTEEN, 1, (12, 9), (2, 1, 2, 2)),
        (THIRTEEN, 1, (36, 31), (2, 2, 0, 1)),
        (THIRTEEN, 2, (10, 11), (0, 2, 1, 2)),
    ],
)
def test_a_subtree_leaves_the_schur_complement_and_is_solved_and_inverted_given_its_boundary(
    offsets, channels, shape, beyond
):
    Q = stencil(offsets, shape, channels)
    P = Q.tocsr().toarray()
    tree = Subtree(Q, beyond)
    top, left, bottom, right = beyond
    inside = rectangle(top, shape[0] - bottom, left, shape[1] - right)
    own, around = unknowns(inside, shape, channels), unknowns(tree.boundary, shape, channels)
    order = len(around)
    assert set(np.flatnonzero(P[own].any(axis=0))) <= set(own) | set(around)
    assert tree.logdet == pytest.approx(np.linalg.slogdet(P[np.ix_(own, own)])[1], rel=1e-13)
    np.testing.assert_allclose(lower(tree.update, order), schur(P, own, around), atol=1e-12)

    b = np.zeros((2, len(P)))
    b[:, own] = np.random.default_rng(1).standard_normal((2, len(own)))
    y, right_hand = tree.forward(b)
    found = np.linalg.solve(P[np.ix_(own, own)], b[:, own].T)
    np.testing.assert_allclose(right_hand.T, -P[np.ix_(around, own)] @ found, atol=1e-12)
    np.testing.assert_allclose(np.sum(y[:, own] ** 2, axis=1), np.sum(b[:, own].T * found, axis=0), rtol=1e-12)

    inverse = np.linalg.inv(P)
    x = np.linalg.solve(P, b.T).T
    # The solution of the lattice, given what it is around the part and with what else there is eliminated.
    rest = np.setdiff1d(np.arange(len(P)), own)
    given = x[:, around]
    expected = np.linalg.solve(P[np.ix_(own, own)], (b[:, own] - x[:, rest] @ P[np.ix_(rest, own)]).T).T
    np.testing.assert_allclose(tree.backward(y, given)[:, own], expected, atol=1e-12)

    planes = tree.covariances(packed(inverse[np.ix_(around, around)]))
    is_own = np.zeros(shape, dtype=bool)
    is_own[inside[:, 0], inside[:, 1]] = True
    blocks = inverse.reshape(len(P) // channels, channels, -1, channels)
    expected = np.zeros((len(offsets), *shape, channels, channels))
    for k, (di, dj) in enumerate(offsets):
        for i, j in rectangle(0, shape[0] - di, max(0, -dj), shape[1] - max(0, dj)):
            if is_own[i, j] or is_own[i + di, j + dj]:
                expected[k, i, j] = blocks[i * shape[1] + j, :, (i + di) * shape[1] + j + dj]
    np.testing.assert_allclose(planes.reshape(expected.shape), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("offsets", "channels", "shape"),
    [(FIVE, 1, (15, 9)), (FIVE, 2, (8, 13)), (THIRTEEN, 1, (11, 14)), (THIRTEEN, 1, (14, 6)), (THIRTEEN, 2, (9, 8))],
)
def test_a_separator_is_eliminated_solved_and_inverted_as_the_whole(offsets, channels, shape):
    """A rectangle with a pixel or two beyond on some sides, its halves eliminated densely."""
    Q = stencil(offsets, shape, channels)
    P = Q.tocsr().toarray()
    reach = int(np.abs(offsets).max())
    key = (shape[0] - reach, shape[1] - reach, 0, reach, reach, 0)
    node = Separator(Q.lattice, Q.offsets, key, (0, reach), 12)
    halves, orders, of_halves = split(key, (reach, reach), 12), [], []
    updates, rights = [], []
    b = np.random.default_rng(2).standard_normal((3, len(P)))
    for half, (row, column) in halves:
        corner = np.array((row, column + reach))
        pixels = rectangle(corner[0], corner[0] + half[0], corner[1], corner[1] + half[1])
        own = unknowns(pixels, shape, channels)
        around = unknowns(boundary_pixels(half, Q.offsets) + corner, shape, channels)
        updates.append(packed(schur(P, own, around)))
        rights.append(-(P[np.ix_(around, own)] @ np.linalg.solve(P[np.ix_(own, own)], b[:, own].T)).T)
        of_halves.append(own)
        orders.append(around)
    panel, update = node.eliminate(Q, (updates[0], updates[1]))
    front = unknowns(node.front, shape, channels)
    own, around = front[: node.s], front[node.s :]
    gone = np.concatenate([*of_halves, own])
    np.testing.assert_allclose(lower(update, len(around)), schur(P, gone, around), atol=1e-12)
    before = np.concatenate(of_halves)
    expected = np.linalg.slogdet(P[np.ix_(gone, gone)])[1] - np.linalg.slogdet(P[np.ix_(before, before)])[1]
    assert panel.logdet == pytest.approx(expected, rel=1e-12)

    y, right = node.forward(panel, b[:, own], (rights[0], rights[1]))
    found = np.linalg.solve(P[np.ix_(gone, gone)], b[:, gone].T)
    np.testing.assert_allclose(right.T, -P[np.ix_(around, gone)] @ found, atol=1e-12)
    outside = np.setdiff1d(np.arange(len(P)), gone)
    x = np.linalg.solve(P, b.T).T
    expected = np.linalg.solve(P[np.ix_(gone, gone)], (b[:, gone] - x[:, outside] @ P[np.ix_(outside, gone)]).T).T
    np.testing.assert_allclose(
        node.backward(panel, y, x[:, around])[:, : node.s], expected[:, len(before) :], atol=1e-12
    )

    inverse = np.linalg.inv(P)
    Z = node.invert(panel, packed(inverse[np.ix_(around, around)]))
    for half, positions in enumerate(orders):
        np.testing.assert_allclose(node.hand_down(Z, half), packed(inverse[np.ix_(positions, positions)]), atol=1e-12)
        np.testing.assert_array_equal(front[node.positions(half)], positions)


def test_a_pivot_that_is_not_positive_is_named_in_the_window():
    planes = [np.full((8, 9), 4.0), np.full((8, 9), -0.5), np.full((8, 9), -0.5)]
    planes[0][3, 5] = -1.0
    with pytest.raises(NotPositiveDefiniteError) as failure:
        Subtree(SymmetricStencil.from_planes(FIVE, planes), (1, 1, 1, 1))
    assert failure.value.pixel == (3, 5)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(("s", "b"), [(1, 3), (40, 90), (130, 60)])
def test_a_large_front_is_inverted_by_blocks_as_dense_algebra_has_it(s, b, wide, monkeypatch):
    if wide and not dense_products.WIDE:
        pytest.skip("this machine has no registers of eight numbers")
    monkeypatch.setattr(dense_products, "WIDE", wide)
    monkeypatch.setattr(_front_inverse, "_COLUMNS", 48)
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((s + b + 5, s + b))
    P = factor.T @ factor + np.eye(s + b)
    inverse = np.linalg.inv(P)
    L = np.linalg.cholesky(P)[:, :s]
    found = np.full((s + b, s + b), np.nan)
    found[:, s:] = np.triu(np.full((s + b, b), 7.0))
    found[s:, s:] = np.tril(inverse[s:, s:]) + np.triu(np.full((b, b), 7.0), 1)
    Z = found.T.reshape(-1).copy()
    _front_inverse.invert_in_blocks(s, s + b, L.T.reshape(-1).copy(), Z, Buffers())
    np.testing.assert_allclose(np.tril(Z.reshape(s + b, s + b).T), np.tril(inverse), atol=1e-12)
