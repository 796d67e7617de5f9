"""Labelled images, such as xarray's DataArray: known by what they can do, so that no library is imported for them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._axes import in_order, is_labelled
from sparsegmrf._cf import OF_RANGE, OF_STORED_VALUES, missing_of
from sparsegmrf._coordinates import check_coordinates
from sparsegmrf._validate import whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.likelihoods import Gaussian, Likelihood
from sparsegmrf.typing import FloatArray

_OF_THE_VALUES = ("standard_name", "ancillary_variables")
"""CF attributes that are true of the image's values only, not of their standard deviation."""
_OF_THE_GRID = ("grid_mapping",)
"""What is kept of the encoding: packing and type belong to the values as they were stored."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Dimensions, coordinates, name and attributes of a labelled image ``(H, W)``, to be put on arrays of its shape.

    Of several images ``(R, H, W)`` they say how other arguments lie on them.
    """

    image: Any

    @classmethod
    def of(cls, image: object) -> "Labels | None":
        """Return the labels of an image; None if it is a plain array.

        Raises
        ------
        ArgumentError
            If it is a set of variables, has not two dimensions, or its coordinates are in no order.
        """
        labelled: Any = cls._variable(image)
        if labelled is None:
            return None
        if labelled.ndim != 2:
            raise ArgumentError(
                f"image must have two dimensions, got {dict(labelled.sizes)}; fill one slice at a time, such as "
                f"image.isel({labelled.dims[0] if labelled.ndim else 'time'}=0)."
            )
        check_coordinates(labelled, labelled.dims)
        return cls(labelled)

    @classmethod
    def of_images(cls, image: object) -> "Labels | None":
        """Return the labels of an image or of several ``(R, H, W)``; None if they are no such array with labels.

        Raises
        ------
        ArgumentError
            If it is a set of variables, or the coordinates of rows or columns are in no order.
        """
        labelled: Any = cls._variable(image)
        if labelled is None or labelled.ndim not in (2, 3):
            return None
        check_coordinates(labelled, labelled.dims[-2:])
        return cls(labelled)

    @staticmethod
    def _variable(image: Any) -> Any:
        """Return a labelled image; None if it is a plain array."""
        if hasattr(image, "data_vars"):
            names = list(image.data_vars)
            raise ArgumentError(
                f'image must be one variable, got a data set of {names}; take one, as in data["{names[0]}"].'
                if names
                else "image must be one variable, got a data set without any."
            )
        return image if is_labelled(image) else None

    @property
    def plane(self) -> tuple[Any, Any]:
        """Dimensions of rows and columns."""
        rows, columns = self.image.dims[-2:]
        return rows, columns

    def has_images_of(self, given: Any) -> bool:
        """Return whether a labelled argument has a part for each of several images."""
        return self.image.ndim > 2 and self.image.dims[0] in given.dims

    def aligned(self, name: str, value: object) -> Any:
        """Return an argument that goes with the image, its axes in the image's order if it is labelled itself.

        A mask is joined by what the image's own attributes call missing.

        Raises
        ------
        ArgumentError
            If it lacks one of the image's dimensions or has other coordinates, or the image is not decoded yet.
        """
        found = np.asarray(self.in_order(name, value)) if is_labelled(value) else value
        return self._with_missing(found) if name == "mask" else found

    def aligned_likelihood(self, likelihood: Gaussian | Likelihood) -> Gaussian | Likelihood:
        """Return a likelihood with what has labels among its numbers brought to the axes of the image."""
        if not dataclasses.is_dataclass(likelihood):
            return likelihood
        given = {each.name: getattr(likelihood, each.name) for each in dataclasses.fields(likelihood)}
        own = {name: self.aligned(name, value) for name, value in given.items() if is_labelled(value)}
        return dataclasses.replace(likelihood, **own) if own else likelihood

    def in_order(self, name: str, given: Any) -> Any:
        """Return a labelled argument with its last axes in the image's order, after comparing coordinates.

        Raises
        ------
        ArgumentError
            If it lacks one of the image's dimensions or has other coordinates.
        """
        return in_order(self.image, name, given)

    def _with_missing(self, mask: Any) -> Any:
        values = np.asarray(self.image)
        missing = missing_of(self.image)
        marked = missing & ~np.isnan(values) if values.dtype.kind == "f" else missing
        if not marked.any():
            return mask
        if isinstance(mask, str) and mask == "nan":
            return missing
        if mask is None:
            return marked
        given = whole_array("mask", mask)
        if given.shape == marked.shape[1:]:  # one mask for several images
            given = np.broadcast_to(given, marked.shape)
        return marked | given if given.dtype == np.bool_ and given.shape == marked.shape else mask

    def values(self, values: FloatArray) -> Any:
        """Return values of the image's own kind under its labels."""
        return self._put(self.image, values)

    def deviation(self, values: FloatArray, name: str, meaning: str) -> Any:
        """Return standard deviations under the image's labels, named for what they are."""
        found = self._put(self.image, values)
        called = found.attrs.get("long_name", found.name)
        for attribute in _OF_THE_VALUES:
            found.attrs.pop(attribute, None)
        found.attrs["long_name"] = meaning if called is None else f"{meaning} of {called}"
        return found.rename(name if found.name is None else f"{found.name}_{name}")

    def on_plane(self, values: FloatArray, name: str) -> Any:
        """Return values ``(H, W)``, or ``(k, H, W)`` that are draws or several images, under the image's labels."""
        several = self.image.ndim == values.ndim
        plane = self.image if several else self.image.isel(dict.fromkeys(self.image.dims[:-2], 0), drop=True)
        found = self._put(plane, values) if plane.ndim == values.ndim else Labels(plane).draws(values)
        if name:
            for attribute in (*_OF_THE_VALUES, "long_name"):
                found.attrs.pop(attribute, None)
        return found.rename(name) if name else found

    def draws(self, values: FloatArray) -> Any:
        """Return draws ``(k, H, W)`` under the image's labels, along a first dimension ``sample``."""
        if "sample" in self.image.dims:
            raise ArgumentError("image must not have a dimension called sample, which is that of the draws; rename it.")
        return self._put(self.image.expand_dims(sample=len(values)), values)

    def quantiles(self, values: FloatArray, probabilities: FloatArray) -> Any:
        """Return quantiles ``(Q, H, W)`` under the image's labels, along a first dimension ``quantile``."""
        if "quantile" in self.image.dims:
            raise ArgumentError("image must not have a dimension called quantile, which is theirs; rename it.")
        return self._put(self.image.expand_dims(quantile=probabilities), values)

    @staticmethod
    def _put(template: Any, values: FloatArray) -> Any:
        found = template.copy(data=values)
        found.encoding = {key: template.encoding[key] for key in _OF_THE_GRID if key in template.encoding}
        for attribute in (*OF_STORED_VALUES, *OF_RANGE):
            found.attrs.pop(attribute, None)
        return found


def names_along(value: Any) -> tuple[str, ...] | None:
    """Return what the coordinate of the first of three or more axes calls its entries; None where there is none."""
    if not is_labelled(value) or value.ndim < 3 or value.dims[0] not in value.coords:
        return None
    return tuple(str(each) for each in np.asarray(value[value.dims[0]]).tolist())
