"""An image and what is missing from it, read in blocks of rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._axes import in_order, is_labelled
from sparsegmrf._validate import boolean_mask, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray, FloatArray, Shape


@dataclass(frozen=True, eq=False)
class Observed:
    """Image ``(H, W)`` of any real dtype, never converted as a whole, and where it is missing (None: nowhere)."""

    image: npt.NDArray[Any]
    missing: BoolArray | None
    name: str = "image"

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.image.shape[0], self.image.shape[1])

    @property
    def n_pixels(self) -> int:
        """Number of observed pixels."""
        return self.image.size - (0 if self.missing is None else int(np.count_nonzero(self.missing)))

    def first_guess(self) -> float:
        """Return the mean of the observed pixels of the middle one of the rows that have any.

        Products are summed relative to it, so that a large mean costs no digits. The variance between rows bounds how
        far off it can be: at worst ``log10 H`` digits are lost.
        """
        if self.missing is None:
            row = self.image[self.image.shape[0] // 2]
        else:
            rows = np.flatnonzero(~self.missing.all(axis=1))
            if not len(rows):
                return 0.0
            middle = rows[len(rows) // 2]
            row = self.image[middle][~self.missing[middle]]
        row = row[np.isfinite(row)].astype(np.float64)
        return float(row.mean()) if len(row) else 0.0

    def block(self, first: int, last: int, pivot: float) -> tuple[FloatArray, BoolArray]:
        """Return ``image - pivot`` of rows ``first <= i < last``, zero where missing, and the missing pixels.

        Without a mask the second array is empty. A NaN or infinite observed pixel is refused.
        """
        values = self.image[first:last]
        missing = np.zeros((0, 0), dtype=np.bool_) if self.missing is None else self.missing[first:last]
        block = np.empty(values.shape)
        with np.errstate(invalid="ignore", over="ignore"):  # a NaN that signals; numbers wider than float64
            np.subtract(values, pivot, out=block, dtype=np.float64, casting="same_kind")
        if missing.size:
            block[missing] = 0.0
        if values.dtype.kind == "f":
            good = np.isfinite(block)
            if not good.all():
                self._refuse(first, values, good)
        return read_only(block), read_only(missing)

    def _refuse(self, first: int, values: npt.NDArray[Any], good: BoolArray) -> None:
        i, j = (int(index) for index in np.argwhere(~good)[0])
        with np.errstate(invalid="ignore", over="ignore"):
            value = float(values[i, j])
        remedy = "mask it, too"
        if self.missing is None:
            remedy = 'if it is missing, pass mask="nan" or a boolean mask that is True where pixels are missing'
        if np.isinf(value):
            remedy = "replace it, or pass a boolean mask that is True where pixels are missing"
        raise ArgumentError(
            f"{self.name} must be finite where it is observed, got {value} at pixel {(first + i, j)}; {remedy}."
        )


def observe(image: object, mask: object, name: str = "image") -> Observed:
    """Return the checked image; `mask` is None, ``"nan"`` or True where missing; a masked array's own mask joins it.

    A labelled mask has its axes turned to those of a labelled image. Messages call the image `name`.
    """
    array = _image(image.data if isinstance(image, np.ma.MaskedArray) else image, name)
    missing: BoolArray | None = None
    if isinstance(mask, str):
        if mask != "nan":
            raise ArgumentError(f'mask must be None, "nan" or a boolean image, True where missing, got {mask!r}.')
        missing = np.isnan(array)
    elif mask is not None:
        turned = in_order(image, "mask", mask) if is_labelled(image) and is_labelled(mask) else mask
        missing = boolean_mask("mask", turned, array.shape)
    if isinstance(image, np.ma.MaskedArray):
        inner = np.ma.getmaskarray(image)
        missing = inner if missing is None else missing | inner
    return Observed(array, missing if missing is not None and missing.any() else None, name)


def _image(image: object, name: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(image)
    except ValueError as error:
        raise ArgumentError(f"{name} must be a rectangular array of real numbers: {error}.") from None
    if array.dtype.kind not in "uif":
        raise ArgumentError(
            f"{name} must hold real numbers, got dtype {array.dtype}; convert it first, e.g. {name}.astype(float)."
        )
    if array.ndim != 2:
        raise ArgumentError(
            f"{name} must have shape (H, W), got {array.shape}; fit one channel, or one image of a batch, at a time."
        )
    if not array.size:
        raise ArgumentError(f"{name} must have at least one pixel, got shape {array.shape}.")
    return array
