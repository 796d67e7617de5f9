"""Height and width of pixels in the unit of the ground: numbers, numbers by row, or maps."""

import numpy as np

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models._model import frozen_map
from sparsegmrf.models._window import cut
from sparsegmrf.typing import FloatArray, Shape

PixelSize = tuple[float | FloatArray, float | FloatArray]
"""Height and width."""
_NAMES = ("height", "width")
_LARGEST = 1e30


def check_spacing(value: object) -> PixelSize | None:
    """Return height and width as a model keeps them, after checking them: floats, or read-only copies of maps."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentError(
            f"spacing must be (height, width) of a pixel, or None for pixels of 1 by 1, got {value!r}; of latitudes "
            "and longitudes the width may be an array with a number for each row."
        )
    found = [
        _checked(f"spacing[{k}], the {name},", each) for k, (name, each) in enumerate(zip(_NAMES, value, strict=True))
    ]
    return found[0], found[1]


def _checked(name: str, value: object) -> float | FloatArray:
    array = finite(name, real_array(name, value))
    if array.ndim > 2:
        raise ArgumentError(f"{name} must be a number, one per row (H,), or an (H, W) map, got shape {array.shape}.")
    if not array.size or not (array > 0.0).all():
        raise ArgumentError(f"{name} must be positive, got {float(array.min(initial=0.0))}; leave its sign out.")
    if not (array.min() >= 1.0 / _LARGEST and array.max() <= _LARGEST):
        raise ArgumentError(
            f"{name} must be between {1.0 / _LARGEST:.0e} and {_LARGEST:.0e}, so that powers of lengths are numbers, "
            f"got {array.min():.3g} to {array.max():.3g}; take another unit."
        )
    if not array.ndim:
        return float(array)
    kept = frozen_map(np.asarray(array, dtype=np.float64))
    assert isinstance(kept, np.ndarray)
    return kept


def sides(spacing: PixelSize | None) -> tuple[FloatArray, FloatArray]:
    """Return height and width that broadcast on an image: ``()``, ``(H, 1)`` or ``(H, W)``."""
    height, width = (1.0, 1.0) if spacing is None else spacing
    return _on_image(height), _on_image(width)


def _on_image(value: float | FloatArray) -> FloatArray:
    array = np.asarray(value)
    return array[:, np.newaxis] if array.ndim == 1 else array


def differs(spacing: PixelSize | None) -> bool:
    """Return whether pixels differ in size."""
    return any(np.ndim(each) for each in spacing or ())


def mean_side(spacing: PixelSize | None) -> float:
    """Return the geometric mean over an image of the root of a pixel's area: what one pixel is in ground units."""
    height, width = sides(spacing)
    if not differs(spacing):
        return float(np.sqrt(height * width))
    return float(np.exp(np.mean(np.log(height) + np.log(width)) / 2.0))


def scheme_for(spacing: object, scheme: str) -> str:
    """Return the scheme of a diffusion on pixels of a size: the smooth one is for pixels that are all alike."""
    return "monotone" if differs(check_spacing(spacing)) else scheme


def cut_spacing(spacing: PixelSize | None, rows: slice, columns: slice) -> PixelSize | None:
    """Return height and width on a window."""
    if spacing is None or not differs(spacing):
        return spacing
    return _cut_side(spacing[0], rows, columns), _cut_side(spacing[1], rows, columns)


def _cut_side(side: float | FloatArray, rows: slice, columns: slice) -> float | FloatArray:
    if isinstance(side, np.ndarray) and side.ndim == 1:
        return cut(side[:, np.newaxis], rows, slice(0, 1))[:, 0]
    return cut(side, rows, columns)


def check_spacing_shape(spacing: PixelSize | None, shape: Shape) -> None:
    """Refuse maps of another shape than the lattice."""
    for k, each in enumerate(spacing or ()):
        given = np.shape(each)
        if given not in ((), shape[:1], shape):
            raise ArgumentError(
                f"spacing[{k}], the {_NAMES[k]}, must be a number, or have the shape {shape[:1]} or {shape} of the "
                f"lattice, got {given}."
            )
