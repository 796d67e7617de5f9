"""Which variable of which group is read, and the image in it."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsegmrf._coordinates import check_coordinates
from sparsegmrf.errors import ArgumentError, DataWarning
from sparsegmrf.geo._common import Bands, is_one
from sparsegmrf.geo._dimensions import Selection, place_of, plane_of


def chosen_variable(groups: Mapping[str, Any], variable: str | None, file: str) -> tuple[str, str]:
    """Return the group and the name of the variable that is wanted of data sets by group, ``group/name`` as one text.

    Raises
    ------
    ArgumentError
        If there is none, or there are several with two dimensions and none is chosen.
    """
    images = {
        f"{group}/{name}".lstrip("/"): (group, str(name))
        for group, dataset in groups.items()
        for name, array in dataset.data_vars.items()
        if array.ndim >= 2
    }
    if variable is None and len(images) == 1:
        return next(iter(images.values()))
    wanted = None if variable is None else variable.lstrip("/")
    if wanted not in images:
        given = "none" if variable is None else variable
        raise ArgumentError(
            f"variable must be one of {', '.join(images)} of {file}, got {given}."
            if images
            else f"variable must have two dimensions, but {file} has none that does."
        )
    return images[wanted]


def with_ancestors(groups: Mapping[str, Any], group: str) -> Any:
    """Return the data set of a group with the coordinates that it inherits."""
    dataset, parent = groups[group], group
    while parent:
        parent = parent.rpartition("/")[0]
        above = groups.get(parent)
        if above is None:
            continue
        inherited = {
            name: above[name].variable
            for name in above.variables
            if name not in dataset.variables
            and set(above[name].dims) <= set(dataset.sizes)
            and all(above.sizes[dim] == dataset.sizes[dim] for dim in above[name].dims)
        }
        dataset = dataset.assign_coords(inherited)
    return dataset


def image_of(
    array: Any, select: Selection, index: Bands, file: str, at: Mapping[str, int] | None = None
) -> tuple[Any, dict[Any, Any]]:
    """Return the image in a variable, rows and columns first, loaded, and the positions of it along other dimensions.

    Raises
    ------
    ArgumentError
        If it is not one image, or its coordinates are in no order.
    """
    plane = plane_of(array)
    given = {dim: (at or {})[str(dim)] for dim in array.dims if dim not in plane and str(dim) in (at or {})}
    array = array.isel(given)
    of_dates = any(np.asarray(array.coords.get(dim, 0)).dtype.kind == "M" for dim in array.dims if dim not in plane)
    note = " The command fill without it, and fill of a DataArray, take all dates together." if of_dates else ""
    place = place_of(array, plane, select, index, file, note)
    image = array.isel(place).load().transpose(*plane, ...)
    if image.ndim == 2 and not is_one(index):
        image = image.expand_dims("channel", axis=-1)
    check_coordinates(image, plane)
    tell_of_categories(image.attrs, f"{array.name} of {file}")
    return image, {**given, **place}


def single(place: Mapping[Any, Any]) -> dict[str, int]:
    """Return the positions along dimensions of which one position was read."""
    return {str(dim): int(np.ravel(k)[0]) for dim, k in place.items() if np.size(k) == 1}


def order_of(array: Any, image: Any) -> tuple[Any, ...]:
    """Return the dimensions of an image in the order of the variable."""
    return tuple(dim for dim in array.dims if dim in image.dims)


def image_at(stored: Any, image: Any, place: Mapping[Any, Any]) -> Any:
    """Return values as they are stored, laid out as an image of the same variable."""
    found = stored.isel(place)
    return found.transpose(*(dim for dim in image.dims if dim in found.dims)).values.reshape(image.shape)


def tell_of_categories(attributes: Mapping[str, Any], name: str) -> None:
    """Warn of numbers that stand for categories, between which there is nothing."""
    if "flag_values" in attributes or "flag_masks" in attributes:
        said = str(attributes.get("flag_meanings", "flag_values"))
        warnings.warn(
            f"{name} holds categories ({said}): numbers between them, which a field and a mean have, stand for none of "
            "them; fill an image of each category, or choose another variable.",
            DataWarning,
            stacklevel=4,
        )


def bounds_of(image: Any, dataset: Any, place: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the bounds of the coordinates' cells that the image's own coordinates name."""
    told = [{**coordinate.encoding, **coordinate.attrs} for coordinate in image.coords.values()]
    names = {str(each[key]) for each in told for key in ("bounds", "climatology") if key in each}
    at = {dim: k for dim, k in place.items() if np.ndim(k) == 0}
    return {
        name: dataset[name].isel(at, missing_dims="ignore").variable.load()
        for name in sorted(names & set(dataset.variables))
    }
