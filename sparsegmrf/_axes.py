"""Axes with names, such as those of xarray's DataArray: known by what they can do, so that no library is imported."""

from typing import Any

from sparsegmrf.errors import ArgumentError

CHANNELS = ("band", "bands", "channel", "channels", "wavelength", "polarization")
"""What a dimension of channels is called, in any case of its letters."""


def is_labelled(value: object) -> bool:
    """Return whether a value is an array with dimensions and coordinates, and no set of them."""
    return not hasattr(value, "data_vars") and all(
        hasattr(value, name) for name in ("dims", "coords", "expand_dims", "transpose")
    )


def of_channels(dims: Any) -> list[int]:
    """Return the axes whose names say that they hold channels."""
    return [k for k, dim in enumerate(dims) if str(dim).lower() in CHANNELS]


def in_order(image: Any, name: str, given: Any) -> Any:
    """Return a labelled argument with its last axes in the order of a labelled image's, after comparing coordinates.

    It has the last two dimensions of the image, and may have the others.

    Raises
    ------
    ArgumentError
        If it lacks one of these two or has other coordinates.
    """
    plane = tuple(image.dims[-2:])
    if not set(plane) <= set(given.dims):
        raise ArgumentError(f"{name} must have the dimensions of the image {plane}, got {given.dims}.")
    for dim in image.dims:
        # Of the variables themselves: as arrays they carry scalar coordinates, such as the date of a slice.
        if (
            dim in given.dims
            and dim in given.coords
            and dim in image.coords
            and not given[dim].variable.equals(image[dim].variable)
        ):
            raise ArgumentError(
                f"{name} must have the image's coordinates along {dim}, got others; see {name}.reindex_like(image)."
            )
    return given.transpose(..., *(dim for dim in image.dims if dim in given.dims))
