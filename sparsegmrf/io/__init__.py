"""Images of every format by one reader, and models as JSON; every file is written whole or not at all."""

from sparsegmrf.io._images import ImageFile, read_channels, read_image
from sparsegmrf.io._mask import read_mask
from sparsegmrf.io._models import read_model, write_model
from sparsegmrf.io._picture import Picture
from sparsegmrf.io._raster import Raster, read
from sparsegmrf.io._write import IMAGE_SUFFIXES, write_image

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageFile",
    "Picture",
    "Raster",
    "read",
    "read_channels",
    "read_image",
    "read_mask",
    "read_model",
    "write_image",
    "write_model",
]
