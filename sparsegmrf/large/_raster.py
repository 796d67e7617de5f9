"""A raster read by windows: values, what is missing, and how precise they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sparsegmrf._validate import image_shape, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.large._geometry import Window
from sparsegmrf.typing import BoolArray, FloatArray, Shape

Reader: TypeAlias = Callable[[slice, slice], Any]
"""Returns rows and columns of a raster as an array; called once per window, from any thread."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is observed on a window: values, zero where missing, and weights ``1 / noise variance``, likewise."""

    values: FloatArray
    observed: BoolArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class Raster:
    """Reader functions of a raster of a shape.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    read : Reader
        Of the values; NaN is missing.
    missing : Reader or None
        Of a mask, True where a pixel is missing besides.
    variance : Reader or float
        Of the noise variance; not read where a pixel is missing.
    """

    shape: Shape
    read: Reader
    missing: Reader | None
    variance: Reader | float

    @classmethod
    def of(cls, image: object, shape: object, mask: object, noise_variance: object) -> "Raster":
        """Return the raster of arrays or reader functions."""
        found = _shape_of(image, shape)
        variance: Reader | float
        if callable(noise_variance) or np.ndim(noise_variance):  # type: ignore[arg-type]
            variance = _reader("noise_variance", noise_variance, found)
        else:
            variance = float(real_array("noise_variance", noise_variance))
            _check_variance(np.array([[variance]]), np.array([[True]]), Window(0, 1, 0, 1))
        if isinstance(mask, str) and mask != "nan":
            raise ArgumentError(f'mask must be "nan", a boolean raster or a function that reads one, got {mask!r}.')
        missing = None if mask is None or isinstance(mask, str) else _reader("mask", mask, found)
        return cls(found, _reader("image", image, found), missing, variance)

    def with_variance(self, variance: float) -> "Raster":
        """Return the raster with another noise variance."""
        return Raster(self.shape, self.read, self.missing, variance)

    def seen(self, window: Window) -> Seen:
        """Return what is observed on a window."""
        values = np.array(_block("image", self.read, window), dtype=np.float64)
        observed = ~np.isnan(values)
        if self.missing is not None:
            mask = _block("mask", self.missing, window)
            if mask.dtype != np.bool_:
                raise ArgumentError(f"mask must be boolean, True where a pixel is missing, got dtype {mask.dtype}.")
            observed &= ~mask
        if np.isinf(values[observed]).any():
            i, j = np.argwhere(np.isinf(values) & observed)[0] + (window.top, window.left)
            raise ArgumentError(f"image must be finite where it is observed, got inf at pixel ({i}, {j}); mask it.")
        if callable(self.variance):
            variance = np.array(_block("noise_variance", self.variance, window), dtype=np.float64)
            _check_variance(variance, observed, window)
        else:
            variance = np.full(window.shape, self.variance)
        weight = np.divide(1.0, variance, out=np.zeros(window.shape), where=observed)
        return Seen(np.where(observed, values, 0.0), observed, weight)


def _shape_of(image: object, shape: object) -> Shape:
    if callable(image):
        if shape is None:
            raise ArgumentError("shape must be given with a function that reads the image, got None: (height, width).")
        return image_shape(shape)
    found = getattr(image, "shape", None)
    if found is None or len(found) != 2:
        raise ArgumentError(
            f"image must be an array (H, W), or a function of two slices that reads one, got {type(image).__name__}."
        )
    if shape is not None and image_shape(shape) != (int(found[0]), int(found[1])):
        raise ArgumentError(f"shape must be that of the image, {tuple(found)}, got {shape!r}; leave it out.")
    return image_shape((int(found[0]), int(found[1])))


def _reader(name: str, value: Any, shape: Shape) -> Reader:
    if callable(value):
        reader: Reader = value
        return reader
    found = tuple(getattr(value, "shape", ())) or np.shape(value)  # what is lazy has a shape before it is an array
    if found != shape:
        raise ArgumentError(f"{name} must have the shape {shape} of the image, got {found}.")
    return lambda rows, columns: value[rows, columns]


def _block(name: str, read: Reader, window: Window) -> Any:
    found = np.asarray(read(*window.slices))
    if found.shape != window.shape:
        raise ArgumentError(
            f"{name} must be read as rows and columns of {window.slices}, got an array of shape {found.shape}; return "
            "raster[rows, columns]."
        )
    if found.dtype.kind not in "uifb":
        raise ArgumentError(f"{name} must hold real numbers, got dtype {found.dtype}; convert it.")
    return found


def _check_variance(variance: FloatArray, observed: BoolArray, window: Window) -> None:
    wrong = observed & ~((variance > 0.0) & (variance < np.inf))
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ArgumentError(
            f"noise_variance must be positive and finite, got {variance[i, j]:g} at pixel "
            f"({i + window.top}, {j + window.left}); tiles take noisy observations, however little noise there is: "
            "give a small one."
        )
