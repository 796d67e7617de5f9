"""Images of every format by one reader and writer, models and fits as JSON; a file is written whole or not at all."""

from sparsegmrf._files import replacing
from sparsegmrf.io._formats import Format
from sparsegmrf.io._images import ImageFile, read_channels, read_image
from sparsegmrf.io._mask import read_mask
from sparsegmrf.io._models import read_fit, read_model, write_model
from sparsegmrf.io._picture import Picture, picture_of
from sparsegmrf.io._raster import Raster
from sparsegmrf.io._read import read
from sparsegmrf.io._request import Request
from sparsegmrf.io._write import write, write_several

__all__ = [
    "Format",
    "ImageFile",
    "Picture",
    "Raster",
    "Request",
    "picture_of",
    "read",
    "read_channels",
    "read_fit",
    "read_image",
    "read_mask",
    "read_model",
    "replacing",
    "write",
    "write_model",
    "write_several",
]
