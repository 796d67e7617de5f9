"""The same image in other types, orders of memory, and marks of what is missing."""

import numpy as np


def signalling(dtype):
    """A NaN that signals, with R's payload for what is not available."""
    return (
        np.array([0x7FF00000000007A2], dtype=np.uint64).view(dtype)
        if dtype is np.float64
        else (np.array([0x7F8007A2], dtype=np.uint32).view(dtype))
    )


def strided(image):
    """A view of every second row and third column."""
    wide = np.zeros((2 * image.shape[0], 3 * image.shape[1]), dtype=image.dtype)
    wide[::2, ::3] = image
    return wide[::2, ::3]


def backwards(image):
    """A view with negative strides."""
    return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]


def read_only(image):
    copy = image.copy()
    copy.flags.writeable = False
    return copy


def without_gaps(image, gaps, dtype):
    copy = image.astype(dtype)
    copy[gaps] = signalling(dtype)
    return copy


DTYPES = ("float16", "float32", "longdouble", ">f4", ">f8", "int16", "int32", ">i4", "int64", "uint16", "uint64")
LAYOUTS = {
    **{dtype: lambda y, dtype=dtype: y.astype(dtype) for dtype in DTYPES},
    "columns first": np.asfortranarray,
    "negative strides": backwards,
    "strided": strided,
    "read-only": read_only,
    "read-only big-endian columns first": lambda y: read_only(np.asfortranarray(y.astype(">f8"))),
    "lists": lambda y: y.tolist(),
}
MARKED = {
    "NaN": lambda y, gaps: np.where(gaps, np.nan, y),
    "infinity behind the mask": lambda y, gaps: np.where(gaps, -np.inf, y),
    "not available in R": lambda y, gaps: without_gaps(y, gaps, np.float64),
    "signalling float32": lambda y, gaps: without_gaps(y, gaps, np.float32),
    "masked": lambda y, gaps: np.ma.array(y, mask=gaps),
    "masked, not available in R": lambda y, gaps: np.ma.array(without_gaps(y, gaps, np.float64), mask=gaps),
}
