"""Exact predictions of blocks of measurements from all measurements outside them."""

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import boolean_mask
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._condition import check_field, check_unconstrained, with_known
from sparsegmrf.inference._holdout import Blocks
from sparsegmrf.inference._null_space import check_null_space_observed
from sparsegmrf.inference._observations import Observations, observations, posterior_precision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference._scores import Predictions
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray

_SOLVED = 128
"""Largest block in pixels that is predicted by one solve per pixel: about what a new factorization costs."""
_BATCH = 16
"""Right-hand sides solved at a time."""
_DIGITS = 1e-7
"""Smallest eigenvalue of a block's precision, relative to its terms, that their difference still tells."""


@one_blas_thread()
def leave_block_out(
    gmrf: GMRF, y: ArrayLike, blocks: ArrayLike | Blocks, *, mask: ArrayLike | None = None, noise_variance: ArrayLike
) -> Predictions:
    """Predict the measurements of each block from all measurements outside it, exactly.

    With ``S`` the precision of the measurements and ``r = y - mu``: ``E[y_B | rest] = y_B - S_BB^-1 (S r)_B`` and
    covariance ``S_BB^-1``. Of small blocks ``S_BB = M_BB - C_B^T P^-1 C_B`` is made from one factorization of the
    posterior precision ``P`` and one solve per pixel: for noisy pixels ``M = W`` and ``C = -W``, for exact ones ``M``
    and ``C`` are the columns of ``Q``. For large blocks, and where that difference would lose more than half of the
    digits, the lattice is factorized anew with the block removed.

    Parameters
    ----------
    gmrf, y, mask, noise_variance
        As for `condition`. The field's mean and parameters are held; nothing is fitted anew without the block. Pixels
        that the field knows, outside its domain, stay known without their measurements.
    blocks : Blocks or array_like of int or bool, (H, W)
        Number of the block that a pixel belongs to, 0 or less than 1 for none; those of `gap_copies`, or a label image
        (`scipy.ndimage.label`), or a single block as a boolean image. Missing pixels of a block are not predicted.

    Returns
    -------
    Predictions
        Of measurements, noise included; NaN outside the blocks, and where an exact measurement is of a known pixel.

    Raises
    ------
    ArgumentError
        As for `condition`; or if `blocks` is no such image, has no observed pixel, or leaves too little outside.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), theorem 2.5: ``S_BB`` is the precision given the rest.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 4)))
    >>> leave_block_out(field, [[3.0, 0.0, 0.0, 3.0]], [[0, 1, 1, 2]], noise_variance=0.0).mean.round(3).tolist()
    [[nan, 3.0, 3.0, 0.0]]
    """
    data, labels, result = _problem(gmrf, y, blocks, mask, noise_variance)
    members = _members(labels)
    for pixels in members:
        _check_rest(gmrf, data, pixels)
    small = [pixels for pixels in members if len(pixels) <= _SOLVED]
    large = [pixels for pixels in members if len(pixels) > _SOLVED]
    refactorize = Refactorizer()
    if small:
        large += _by_solves(gmrf, data, small, refactorize, result)
    for pixels in large:
        _by_removal(gmrf, data, pixels, refactorize, result)
    return result


@one_blas_thread()
def hold_out(
    gmrf: GMRF,
    y: ArrayLike,
    held_out: ArrayLike | Blocks,
    *,
    mask: ArrayLike | None = None,
    noise_variance: ArrayLike,
) -> Predictions:
    """Predict all held-out measurements from all others, exactly, by one factorization.

    Parameters
    ----------
    gmrf, y, mask, noise_variance
        As for `condition`.
    held_out : Blocks or array_like of bool, (H, W)
        Where to hold out; for instance the blocks of `gap_copies`, which are all removed together.

    Returns
    -------
    Predictions
        Of measurements, noise included; NaN where nothing is held out.

    Raises
    ------
    ArgumentError
        As for `leave_block_out`.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 4)))
    >>> hold_out(field, [[3.0, 0.0, 0.0, 3.0]], [[False, True, True, False]], noise_variance=0.0).mean.round(3).tolist()
    [[nan, 3.0, 3.0, nan]]
    """
    if not isinstance(held_out, Blocks):
        held_out = boolean_mask("held_out", np.asarray(held_out), gmrf.shape)
    data, labels, result = _problem(gmrf, y, held_out, mask, noise_variance)
    pixels = np.flatnonzero(labels)
    if len(pixels):
        _check_rest(gmrf, data, pixels)
        _by_removal(gmrf, data, pixels, Refactorizer(), result)
    return result


def _problem(
    gmrf: GMRF, y: ArrayLike, blocks: ArrayLike | Blocks, mask: ArrayLike | None, noise_variance: ArrayLike
) -> tuple[Observations, IntArray, Predictions]:
    """Return the data, the blocks where something is to be predicted, and what the field knows without others."""
    check_field(gmrf)
    check_unconstrained(gmrf)
    data = observations(y, mask, noise_variance, gmrf.shape)
    labels = np.asarray(blocks.labels if isinstance(blocks, Blocks) else blocks)
    if labels.dtype.kind not in "bui" or labels.shape != gmrf.shape:
        raise ArgumentError(
            f"blocks must be a label image of integers of shape {gmrf.shape}, got dtype {labels.dtype} and shape "
            f"{labels.shape}; label a mask by scipy.ndimage.label(mask)[0]."
        )
    labels = np.where(data.observed, np.maximum(labels.astype(np.int64), 0), 0)
    known = ~gmrf.domain
    held = (labels > 0) & ~(known & data.exact)
    if not held.any():
        raise ArgumentError(
            "blocks must hold out an observed pixel, got none that is not known exactly; check the mask and the labels."
        )
    told = held & known
    noise = np.sqrt(np.divide(1.0, data.weight, out=np.zeros(gmrf.shape), where=told))
    images = ((told, gmrf.mean), (told, noise), (held, data.values))
    result = Predictions(*(np.where(where, image, np.nan) for where, image in images))
    return with_known(gmrf, data), np.where(known, 0, labels), result


def _members(labels: IntArray) -> list[IntArray]:
    """Return flat indices of the pixels of each block."""
    order = np.argsort(labels.ravel(), kind="stable")
    numbers, first = np.unique(labels.ravel()[order], return_index=True)
    return [part for number, part in zip(numbers, np.split(order, first[1:]), strict=True) if number > 0]


def _check_rest(gmrf: GMRF, data: Observations, pixels: IntArray) -> None:
    rest = data.observed.copy()
    rest.ravel()[pixels] = False
    if not rest.any():
        raise ArgumentError(
            f"blocks must leave an observed pixel to predict from, got one with all {len(pixels)} of them."
        )
    check_null_space_observed(gmrf, rest)


def _by_removal(
    gmrf: GMRF, data: Observations, pixels: IntArray, refactorize: Refactorizer, result: Predictions
) -> None:
    """Predict pixels from the factor of the lattice without their measurements."""
    held = np.zeros(gmrf.shape, dtype=bool)
    held.ravel()[pixels] = True
    rest = data.without(held)
    deviation, factor = _posterior_deviation(gmrf, rest, refactorize)
    assert factor is not None  # what is held out is not known exactly
    noise = np.divide(1.0, data.weight, out=np.zeros(gmrf.shape), where=data.weight > 0.0)
    result.mean[held] = (gmrf.mean + deviation)[held]
    result.std[held] = np.sqrt(factor.marginal_variance() + noise)[held]


def _by_solves(
    gmrf: GMRF, data: Observations, blocks: list[IntArray], refactorize: Refactorizer, result: Predictions
) -> list[IntArray]:
    """Predict blocks from the posterior given all measurements; return those for which digits do not suffice."""
    z, factor = _posterior_deviation(gmrf, data, refactorize)
    r = np.where(data.observed, data.values - gmrf.mean, 0.0)
    score = np.where(data.exact, gmrf.precision @ z, data.weight * (r - z)).ravel()
    precisions = _precisions(gmrf, data, factor, blocks)
    left = []
    for pixels, (terms, S) in zip(blocks, precisions, strict=True):
        values, vectors = np.linalg.eigh(S)
        if values[0] < _DIGITS * terms:
            left.append(pixels)
            continue
        solved = vectors / values
        result.mean.ravel()[pixels] = data.values.ravel()[pixels] - solved @ (vectors.T @ score[pixels])
        result.std.ravel()[pixels] = np.sqrt(np.einsum("pk,pk->p", solved, vectors))
    return left


def _precisions(
    gmrf: GMRF, data: Observations, factor: Factor | None, blocks: list[IntArray]
) -> list[tuple[float, FloatArray]]:
    """Return ``S_BB`` of each block, and the largest of the terms on its diagonal."""
    w, exact, size = data.weight.ravel(), data.exact.ravel(), data.weight.size
    pixels = np.concatenate(blocks)
    block = np.repeat(np.arange(len(blocks)), [len(each) for each in blocks])
    row = np.concatenate([np.arange(len(each)) for each in blocks])
    result = [np.empty((len(each), len(each))) for each in blocks]
    terms = np.zeros(len(blocks))
    for first in range(0, len(pixels), _BATCH):
        at = pixels[first : first + _BATCH]
        unit = np.zeros((len(at), size))
        unit[np.arange(len(at)), at] = 1.0
        # Columns of the precision of measurements and field together: M on the measurements, C on the field.
        columns = unit
        if exact[at].any():
            columns = (gmrf.precision @ unit.reshape(-1, *gmrf.shape)).reshape(len(at), size)
        noisy = ~exact[at, np.newaxis]
        C = np.where(noisy, -w * unit, np.where(exact, 0.0, columns))
        M = np.where(noisy, w * unit, np.where(exact, columns, 0.0))
        X = np.zeros_like(C) if factor is None else factor.solve(C.reshape(-1, *gmrf.shape)).reshape(len(at), size)
        # C^T X for the columns C of the other pixels of the block: -w x at noisy ones, Q x at exact ones.
        product = -w * X
        if exact.any() and factor is not None:
            full = (gmrf.precision @ X.reshape(-1, *gmrf.shape)).reshape(len(at), size)
            product = np.where(exact, full, product)
        for k in range(len(at)):
            number = block[first + k]
            inside = blocks[number]
            result[number][row[first + k]] = M[k, inside] - product[k, inside]
            terms[number] = max(terms[number], M[k, at[k]])
    return [(float(term), (S + S.T) / 2.0) for term, S in zip(terms, result, strict=True)]


def _posterior_deviation(gmrf: GMRF, data: Observations, refactorize: Refactorizer) -> tuple[FloatArray, Factor | None]:
    """Return ``E[x - mu | data]``, and the factor of the posterior precision (None: everything is known)."""
    r = np.where(data.observed, data.values - gmrf.mean, 0.0)
    known = np.where(data.exact, r, 0.0)
    if data.exact.all():
        return known, None
    P, held = posterior_precision(gmrf.precision, data)
    factor = refactorize(P)
    right = data.weight * r
    if held is not None:
        right = np.where(held, 0.0, right - gmrf.precision @ known)
    return known + factor.solve(right), factor
