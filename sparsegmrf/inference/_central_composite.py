"""Points of a central composite design about a mode, and how much of a normal density each stands for."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.typing import FloatArray

_BEYOND = 1.1
"""Radius of the sphere of points over that on which a normal density has its mean square."""


class Design(NamedTuple):
    """Points in standardized coordinates, and their shares of a standard normal density.

    Attributes
    ----------
    points : ndarray, (n, K)
        The centre, then points on a sphere.
    shares : ndarray, (n,)
        Positive, of sum one; the second moments of the points are those of the density.
    """

    points: FloatArray
    shares: FloatArray


def central_composite(count: int) -> Design:
    """Return the design of a number of coordinates: a centre, points on the axes and a fraction of a hypercube.

    The points but the centre lie on a sphere of radius ``f sqrt(K)``. A share of ``1 / f^2`` on the sphere, the rest at
    the centre, has the mean square ``K`` of a normal density. The fraction is the least whose products of up to two
    coordinates are orthogonal (resolution V).

    References
    ----------
    H. Rue, S. Martino, N. Chopin (2009), JRSS B 71, section 6.5; S. Sanchez, P. Sanchez (2005), Very large fractional
    factorial and central composite designs, ACM Transactions on Modeling and Computer Simulation 15.
    """
    radius = _BEYOND * np.sqrt(count)
    axes = radius * np.concatenate([np.eye(count), -np.eye(count)])
    sphere = axes if count == 1 else np.concatenate([axes, _BEYOND * _fraction(count)])
    on_sphere = np.full(len(sphere), 1.0 / (_BEYOND**2 * len(sphere)))
    points = np.concatenate([np.zeros((1, count)), sphere])
    return Design(points, np.concatenate([[1.0 - 1.0 / _BEYOND**2], on_sphere]))


def _fraction(count: int) -> FloatArray:
    """Return corners ``(n, K)`` of a hypercube at which no product of up to four coordinates is the same everywhere.

    Coordinate ``k`` of corner ``r`` is the Walsh function ``(-1)^(bits in common of r and w_k)``; a product of them is
    constant where the ``w`` of its coordinates add up to zero, bit by bit.
    """
    words = [1]
    while len(words) < count:
        word = words[-1] + 1
        while word in _sums_of_up_to_three(words):
            word += 1
        words.append(word)
    runs = range(1 << words[-1].bit_length())
    return np.array([[1.0 - 2.0 * ((run & word).bit_count() % 2) for word in words] for run in runs])


def _sums_of_up_to_three(words: list[int]) -> set[int]:
    pairs = {a ^ b for a in words for b in words}
    return set(words) | pairs | {a ^ b for a in words for b in pairs}
