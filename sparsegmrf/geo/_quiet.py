"""What rasterio says of rasters that is no fault of theirs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet(rasterio: Any) -> Iterator[None]:
    """Let pass what rasterio says of rasters placed nowhere, which stay so, and of masks beside no-data values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        warnings.simplefilter("ignore", rasterio.errors.NodataShadowWarning)
        yield
