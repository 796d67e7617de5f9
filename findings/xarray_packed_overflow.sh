#!/usr/bin/env bash
# xarray 2026.9.0 (and netCDF4 1.7.5): a value beyond the range of packed integers is written as one at its other end.
#
# Surprising: files packed in 16 bits, as reanalyses and satellite products are, often use the whole range for the values
#   that they hold. Who opens one, fills its gaps and writes it back has the packing kept in the encoding; a filled value one
#   hundredth above the largest wraps around and reads back as one near the smallest. No error, no warning.
# Valid: assigning into a variable keeps its encoding, and to_netcdf writes by it unless another is given (its argument
#   encoding); the values are finite and of the type of the array. CF conventions 8.1 describes such packing.
# Costs: exactly the extremes of an interpolated field come out as the opposite extremes.
# Here: what is written is floating point, never packed; packing of a DataArray is dropped from filled images (docs/geo.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    xarray==2026.9.0 netCDF4==1.7.5.1.post1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import xarray

warnings.simplefilter("error")
warmth = np.linspace(270.0, 310.0, 20).reshape(4, 5)
warmth[0, 1] = np.nan
packing = {"dtype": "int16", "scale_factor": 40 / 65_534, "add_offset": 290.0, "_FillValue": np.int16(-32768)}
xarray.Dataset({"t": (("y", "x"), warmth)}).to_netcdf("packed.nc", encoding={"t": packing})

with xarray.open_dataset("packed.nc") as file:
    data = file.load()
kept = float(np.nanmax(np.abs(data.t.values - warmth)))
data.t[0, 1] = 310.02
data.to_netcdf("filled.nc")
with xarray.open_dataset("filled.nc") as file:
    back = float(file.t[0, 1])

print("xarray", xarray.__version__)
print("expected: an error or a warning, or a value near the one that was assigned")
print(f"packing keeps the values to {kept:.1e}; 310.02 assigned to the gap reads back as {back:.2f}")
raise SystemExit(0 if kept < 1e-3 and abs(back - 270) < 0.1 else "no longer so")
PYTHON
