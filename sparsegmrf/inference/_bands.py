"""Where the channels of an image stand, and the labels that it has."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsegmrf._axes import is_labelled, of_channels
from sparsegmrf._validate import whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._labels import Labels
from sparsegmrf.likelihoods import Gaussian
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Bands:
    """An image of several channels, with these first, and how it was given.

    Attributes
    ----------
    image : array_like, (C, H, W)
        The image, with labels if it has any.
    axis : int
        The axis on which the channels stood.
    labels : Labels or None
        Those of `image`.
    dims : tuple
        Names of the dimensions as they were given; of a labelled image.
    """

    image: Any
    axis: int
    labels: Labels | None
    dims: tuple[Any, ...] = ()

    @classmethod
    def of(cls, image: Any, channels: int) -> "Bands":
        """Return an image with its channels first.

        A labelled image has them on the dimension whose name says so; any other on its last axis if that has as many
        entries, or else on its first.

        Raises
        ------
        ArgumentError
            If no axis has as many entries as the model has channels, or these are fewer than two.
        """
        labelled = is_labelled(image)
        shape = tuple(image.shape) if labelled else np.shape(image)
        axis = _axis(image.dims if labelled else (), shape, channels) if len(shape) == 3 and channels > 1 else None
        if axis is None:
            raise ArgumentError(
                f"image must have shape (H, W, {channels}) or ({channels}, H, W), with the channels of the model and "
                f"two or more of them, got {shape}; move them by numpy.moveaxis, or fit the spatial model to a single "
                "channel."
            )
        if labelled:
            rest = [dim for k, dim in enumerate(image.dims) if k != axis]
            first = image.transpose(image.dims[axis], *rest)
            return cls(first, axis, Labels(first), tuple(image.dims))
        masked = isinstance(image, np.ma.MaskedArray)
        return cls(np.moveaxis(image if masked else np.asarray(image), axis, 0), axis, None)

    @property
    def values(self) -> Any:
        """The image as an array with channels last; a masked one if it was."""
        return np.moveaxis(self.image if isinstance(self.image, np.ma.MaskedArray) else np.asarray(self.image), 0, -1)

    def mask(self, mask: Any) -> Any:
        """Return what is missing, with channels last; joined by what a labelled image's attributes say."""
        if self.labels is None:
            return self._last("mask", mask)
        if np.ndim(mask) == 3 and not is_labelled(mask):  # laid out as the image was given
            mask = np.moveaxis(whole_array("mask", mask), self.axis, 0)
        return _moved(self.labels.aligned("mask", mask))

    def likelihood(self, likelihood: Gaussian) -> Gaussian:
        """Return a likelihood whose variances have channels last."""
        if self.labels is not None and is_labelled(likelihood.noise_variance):
            variance = _moved(self.labels.aligned("noise_variance", likelihood.noise_variance))
        else:
            variance = self._last("noise_variance", likelihood.noise_variance)
        return replace(likelihood, noise_variance=variance)

    def back(self, values: FloatArray) -> Any:
        """Return images ``(..., H, W, C)`` with the channels where they were given."""
        return np.moveaxis(values, -1, self.axis - 3)

    def labelled(self, values: FloatArray, name: str = "", meaning: str = "") -> Any:
        """Return an image ``(H, W, C)`` as it was given; with a meaning, standard deviations of that name."""
        if self.labels is None:
            return self.back(values)
        first = np.moveaxis(values, -1, 0)
        found = self.labels.deviation(first, name, meaning) if meaning else self.labels.values(first)
        return found.transpose(*self.dims)

    def draws(self, values: FloatArray) -> Any:
        """Return draws ``(k, H, W, C)`` as the image was given."""
        if self.labels is None:
            return self.back(values)
        return self.labels.draws(np.moveaxis(values, -1, 1)).transpose("sample", *self.dims)

    def _last(self, name: str, given: Any) -> Any:
        """Return an argument with the channels last if it has three axes."""
        return np.moveaxis(whole_array(name, given), self.axis, -1) if np.ndim(given) == 3 else given


def _axis(dims: tuple[Any, ...], shape: tuple[int, ...], channels: int) -> int | None:
    fitting = [k for k in (of_channels(dims) or (2, 0)) if shape[k] == channels]
    return fitting[0] if fitting else None


def _moved(given: Any) -> Any:
    return np.moveaxis(np.asarray(given), 0, -1) if np.ndim(given) == 3 else given
