"""Coordinates in which a density is near a standard normal one at its mode, and how far it is from that along axes."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._log_posterior import DEPTH, LogPosterior
from sparsegmrf.inference._search import FAR
from sparsegmrf.typing import FloatArray

_PROBES = (2.0, 1.0, 0.5, 0.25)
"""Distances from the mode at which an axis is looked at, the first at which the density can be evaluated."""
_WIDEST = 6.0
"""Scale of a side of an axis from which on the curvature at the mode says nothing of it."""
_SURE = 0.3
"""Standard deviation of a working number up to which its posterior is taken to end."""


class Standardized(NamedTuple):
    """Coordinates ``z`` with ``u = mode + root z``, the axes those of the curvature, and the scales of their sides.

    Attributes
    ----------
    mode : ndarray, (K,)
        Working parameters.
    top : float
        Log-density there.
    root : ndarray, (K, K)
        ``root root^T`` is the inverse of minus the Hessian; columns are orthogonal.
    below, above : ndarray, (K,)
        Standard deviations of the normal densities that fall on either side of an axis as this one does; 1 where it is
        normal.
    """

    mode: FloatArray
    top: float
    root: FloatArray
    below: FloatArray
    above: FloatArray

    @property
    def log_volume(self) -> float:
        """Logarithm of the volume of working parameters over that of coordinates."""
        return float(np.linalg.slogdet(self.root)[1])

    def numbers(self, z: FloatArray) -> FloatArray:
        """Return the working parameters of coordinates ``(..., K)``."""
        return np.asarray(self.mode + z @ self.root.T)


def standardized(posterior: LogPosterior) -> Standardized:
    """Return coordinates about the mode of a density.

    Raises
    ------
    ArgumentError
        If the curvature is not that of a maximum, or the density hardly falls along an axis.
    """
    mode, information = posterior.mode, posterior.information()
    values, directions = np.linalg.eigh(information) if np.isfinite(information).all() else (np.zeros(1), np.eye(1))
    if not values[0] > 0.0:
        raise ArgumentError(
            "parameters must have a posterior density with the curvature of a maximum, got the least one "
            f"{values[0]:.2g} of the working parameters; give priors, or hold some by fixed=."
        )
    root = directions / np.sqrt(values)
    plain = Standardized(mode, posterior.value(mode), root, np.ones(len(mode)), np.ones(len(mode)))
    sides = [[_scale(posterior, plain, k, way) for k in range(len(mode))] for way in (-1.0, 1.0)]
    return plain._replace(below=np.array(sides[0]), above=np.array(sides[1]))


def _scale(posterior: LogPosterior, at: Standardized, axis: int, way: float) -> float:
    """Return the standard deviation ``s`` of the side of an axis along which ``z^2 / (2 s^2)`` nats are lost."""
    for distance in _PROBES:
        z = way * distance * (np.arange(len(at.mode)) == axis)
        fall = at.top - posterior.value(at.numbers(z))
        if np.isfinite(fall):
            break
    scale = distance / np.sqrt(2.0 * fall) if 0.0 < fall < np.inf else np.inf
    if not scale < _WIDEST:
        part = posterior.names[int(np.argmax(np.abs(at.root[:, axis])))]
        raise ArgumentError(
            f"priors must hold {part}, got a posterior density that falls by {fall:.2g} nats {distance:g} standard "
            f"deviations from its mode; give {part} a prior, or hold it by fixed=."
        )
    return float(scale)


def check_ends(posterior: LogPosterior, at: Standardized) -> None:
    """Refuse a density that does not end: one that is flat far out has no integral.

    Along each working parameter that has a flat prior, and of which the curvature is not sure, the others follow in
    steps of a standard deviation until the density has fallen by `DEPTH`.
    """
    covariance = at.root @ at.root.T
    for name in posterior.without_prior:
        k = posterior.names.index(name)
        if np.sqrt(covariance[k, k]) > _SURE:
            for way in (-1.0, 1.0):
                fall = _fall_along(posterior, at, covariance[k] / np.sqrt(covariance[k, k]), k, way)
                if fall < DEPTH:
                    refuse_endless(name, way, fall)


def refuse_endless(name: str, way: float, fall: float) -> None:
    """Say that the density of a parameter does not end."""
    raise ArgumentError(
        f"priors must make the posterior density of {name} end, got one that falls by no more than {fall:.2g} nats "
        f"where {name} runs {'up' if way > 0.0 else 'down'}: a flat prior of its working number leaves it without an "
        f'integral. Give one, as priors={{"{name}": ...}} of sparsegmrf.priors, or hold it by fixed=.'
    )


def _fall_along(posterior: LogPosterior, at: Standardized, step: FloatArray, k: int, way: float) -> float:
    """Return by how many nats the density falls along a number, at least `DEPTH` if it does before the number is gone.

    The others are moved as the curvature has it, and then by a Newton step.
    """
    others, point, fall = np.arange(len(step)) != k, at.mode, 0.0
    while fall < DEPTH and abs(point[k] - at.mode[k]) < FAR:
        point = point + way * step
        _, gradient, information = posterior.gradient_and_information(point)
        if not np.isfinite(gradient).all():
            return DEPTH
        if others.any():
            move = np.linalg.lstsq(information[np.ix_(others, others)], gradient[others], rcond=1e-6)[0]
            move = move * min(1.0, 1.0 / float(np.abs(move).max()))
            corrected = point.copy()
            corrected[others] += move
            point = corrected if posterior.value(corrected) > posterior.value(point) else point
        fall = at.top - posterior.value(point)
    return fall
