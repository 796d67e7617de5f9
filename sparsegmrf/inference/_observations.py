"""Observed pixels, and the precision of a field given them."""

from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf._observed import observe
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.congruent import CongruentForm, place_of, total_and_rest
from sparsegmrf.inference._of_total import OfTotal
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, Shape


def pixels_of(images: FloatArray, observed: BoolArray) -> FloatArray:
    """Return the observed pixels of images ``(..., H, W)`` as vectors ``(..., m)``; a view where all are."""
    return images.reshape(*images.shape[:-2], observed.size) if observed.all() else images[..., observed]


@dataclass(frozen=True, eq=False)
class Observations(OfTotal):
    """Observed values and how precise they are, as images.

    Attributes
    ----------
    values : ndarray, (H, W)
        Observed intensities, zero where missing.
    observed : ndarray of bool, (H, W)
        True where a pixel is observed.
    weight : ndarray, (H, W)
        ``1 / noise variance`` of the noisy pixels, zero where missing or exact.
    exact : ndarray of bool, (H, W)
        Pixels observed without noise.
    combination : ndarray, (C,), or None
        Weights ``a`` of the fields stacked at a pixel, whose sum ``a^T x_p`` is observed; None: there is one field.
    """

    values: FloatArray
    observed: BoolArray
    weight: FloatArray
    exact: BoolArray
    combination: FloatArray | None = None

    @property
    def count(self) -> int:
        """Number of observed pixels ``m``."""
        return int(np.count_nonzero(self.observed))

    @property
    def seen(self) -> FloatArray:
        """The observed values, ``(m,)``."""
        return pixels_of(self.values, self.observed)

    @property
    def uniform_weight(self) -> float | None:
        """The weight of every pixel where all are observed with noise of one variance; else None."""
        weight = float(self.weight.flat[0])
        return weight if weight > 0.0 and (self.weight == weight).all() else None

    @property
    def noise_variance(self) -> FloatArray:
        """Noise variance of the noisy pixels, an image; zero where missing or exact."""
        noisy = self.weight > 0.0
        return np.divide(1.0, self.weight, out=np.zeros(noisy.shape), where=noisy)

    def with_noise_variance(self, variance: float | FloatArray) -> "Observations":
        """Return the same observations with noise of a variance, a number or an image, zero for none."""
        exact = self.observed & (variance == 0.0)
        weight = np.divide(1.0, variance, out=np.zeros(self.values.shape), where=self.observed & ~exact)
        return replace(self, weight=weight, exact=exact)

    def window(self, rows: slice, columns: slice) -> "Observations":
        """Return the observations of a window."""
        at = (rows, columns)
        return Observations(self.values[at], self.observed[at], self.weight[at], self.exact[at], self.combination)

    def without(self, held: BoolArray) -> "Observations":
        """Return the observations outside `held`."""
        kept = self.observed & ~held
        return replace(
            self,
            values=np.where(kept, self.values, 0.0),
            observed=kept,
            weight=np.where(kept, self.weight, 0.0),
            exact=self.exact & kept,
        )


def posterior_of_total(Q: SymmetricStencil, data: Observations) -> CongruentForm:
    """Return the precision of stacked unknowns given observations of their weighted sum, held at exact ones."""
    assert data.combination is not None
    return with_weight_of_total(Q, data.combination, data.weight, data.exact)


def with_weight_of_total(
    Q: SymmetricStencil, a: FloatArray, weight: FloatArray, held: BoolArray | None = None
) -> CongruentForm:
    """Return the precision ``Q + a w a^T`` of stacked unknowns, their weighted sum known where it is held.

    In terms of the sum and all unknowns but one the weights stand alone: however large they are, the others keep their
    digits, and where the sum is known it drops out.
    """
    M = total_and_rest(Q, a)
    place = place_of(a, M)
    P = congruent(Q, M)
    planes = [P.plane(k) for k in range(len(P.offsets))]
    planes[0][..., place, place] += weight
    return CongruentForm.holding(P._with_planes(np.stack(planes)), M, place, held)


def posterior_precision(Q: SymmetricStencil, data: Observations) -> tuple[SymmetricStencil, BoolArray | None]:
    """Return ``Q + W`` of one field with exact observations taken out, and these (None: there are none)."""
    if data.uniform_weight:
        return Q.plus_diagonal(data.uniform_weight), None
    P = Q.plus_diagonal(data.weight) if data.weight.any() else Q
    if not data.exact.any():
        return P, None
    return decoupled(P, data.exact), data.exact


def observations(
    y: object,
    mask: object,
    noise_variance: object,
    shape: Shape | None,
    name: str = "y",
    of: str = "of the field",
) -> Observations:
    """Return checked observations on a lattice of `shape` (None: their own); messages call them `name`."""
    seen = observe(y, mask, name)
    shape = seen.shape if shape is None else shape
    if seen.shape != shape:
        raise ArgumentError(f"{name} must have the shape {shape} {of}, got {seen.shape}; crop or transpose it.")
    values, missing = seen.block(0, shape[0], 0.0)
    observed = ~missing if missing.size else np.ones(shape, dtype=bool)
    if not observed.any():
        raise ArgumentError(f"{name} must have an observed pixel, but all {observed.size} are missing; check the mask.")
    variance = real_array("noise_variance", noise_variance)
    if variance.shape not in ((), shape):
        raise ArgumentError(f"noise_variance must be a number or an image of shape {shape}, got {variance.shape}.")
    variance = np.where(observed, variance, 1.0)
    finite("noise_variance", variance, "mask the pixels that say nothing")
    if variance.min() < 0.0:
        raise ArgumentError(
            f"noise_variance must not be negative, got {float(variance.min())}; it is a variance, zero is exact."
        )
    exact = observed & (variance == 0.0)
    noisy = observed & ~exact
    with np.errstate(over="ignore"):
        weight = np.where(noisy, 1.0 / np.where(noisy, variance, 1.0), 0.0)
    finite("1 / noise_variance", weight, "use 0 for exact observations")
    return Observations(values, observed, weight, exact)
