#!/usr/bin/env bash
# xarray 2026.9.0 beside netCDF4 1.7.5: the same file has gaps for one and data for the other.
#
# Surprising: cells that were never written hold 9.97e36, which the NetCDF library calls its fill value; cells outside
#   valid_min, valid_max or valid_range are missing by CF. netCDF4 masks both. xarray turns only _FillValue and
#   missing_value into NaN, as its documentation of mask_and_scale says: documented, and still surprising.
# Valid: a variable without _FillValue has the default of its type (NetCDF Users Guide, appendix on attributes);
#   section 2.5.1 of the CF conventions has the valid range.
# Costs: 9.97e36 in means and fits; sensor codes beyond the valid range as measurements.
# Here: read_netcdf and DataArrays read from NetCDF follow the conventions (docs/geo.md, tests/test_cf.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    xarray==2026.9.0 netCDF4==1.7.5.1.post1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import netCDF4
import numpy as np
import xarray

with netCDF4.Dataset("image.nc", "w") as file:
    file.createDimension("y", 4)
    file.createDimension("x", 5)
    unwritten = file.createVariable("unwritten", "f4", ("y", "x"))
    unwritten[:2] = 1.0
    ranged = file.createVariable("ranged", "f4", ("y", "x"))
    ranged.valid_range = np.array([0.0, 100.0], dtype="f4")
    ranged[:] = np.linspace(-20, 75, 20).reshape(4, 5)

print("xarray", xarray.__version__, "netCDF4", netCDF4.__version__)
print("expected: both libraries find the same cells missing")
count = {}
with netCDF4.Dataset("image.nc") as masked, xarray.open_dataset("image.nc") as decoded:
    for name in ("unwritten", "ranged"):
        count[name] = int(masked[name][:].mask.sum()), int(np.isnan(decoded[name]).sum())
        low, high = float(decoded[name].min()), float(decoded[name].max())
        print(f"{name}: {count[name][0]} missing by netCDF4, {count[name][1]} by xarray, with values from {low:g} to {high:g}")
raise SystemExit(0 if count == {"unwritten": (10, 0), "ranged": (4, 0)} else "no longer so")
PYTHON
