"""Every example in a docstring runs and gives what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import sparsegmrf
from tests.conftest import require

NEEDED = {
    "sparsegmrf._explorer": ("ipympl", "ipywidgets", "voila"),
    "sparsegmrf.geo._fits": ("astropy",),
    "sparsegmrf.geo._geotiff": ("rasterio",),
    "sparsegmrf.geo._windows": ("rasterio",),
    "sparsegmrf.geo._netcdf": ("xarray", "netCDF4"),
    "sparsegmrf.torch": ("torch",),
}
MODULES = sorted(module.name for module in pkgutil.walk_packages(sparsegmrf.__path__, "sparsegmrf."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    (needed,) = [libraries for start, libraries in NEEDED.items() if name.startswith(start)] or [()]
    for library in needed:
        require(library)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_all_public_names_are_documented():
    for name in sparsegmrf.__all__:
        assert getattr(sparsegmrf, name).__doc__, name
