#!/usr/bin/env bash
# xarray 2026.9.0 with zarr 3.1.6: measured zeros of a format 2 array are read as NaN, and the keyword against it is ignored.
#
# Surprising: zarr's fill value is what chunks that were never written are read as, 0 unless one is given. For format 2
#   xarray takes it for a _FillValue, so that each pixel that was measured as 0 is missing, though every chunk was written.
#   That much is documented; but open_zarr and open_dataset drop use_zarr_fill_value_as_mask, whichever value it has: with
#   False the zeros of format 2 stay missing, with True nothing of format 3 becomes missing.
# Valid: "If False, the fill_value is ignored and the data are not masked" (open_zarr); the arrays are made by zarr with the
#   dimension names that xarray asks for.
# Costs: dry pixels of rain, bare ground of vegetation cover, sea level of heights are gaps, and are filled with more.
# Here: nothing of it can be seen in a DataArray. Open such stores with mask_and_scale=False, which works (docs/geo.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 dask==2026.8.0
venv/bin/python - <<'PYTHON'
import numpy as np
import xarray
import zarr

rain = np.zeros((4, 5), dtype="int16")
rain[0] = 3
print("xarray", xarray.__version__, "zarr", zarr.__version__)
print(f"documented: with False none of the {(rain == 0).sum()} measured zeros is missing, with True all are")
missing = {}
for kind in (2, 3):
    group = zarr.open_group(f"format{kind}.zarr", mode="w", zarr_format=kind)
    names = {"dimension_names": ("y", "x")} if kind == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["y", "x"]}}
    group.create_array("rain", shape=rain.shape, chunks=(2, 5), dtype="int16", **names)[:] = rain
    for asked in (False, True):
        options = {"consolidated": False, "use_zarr_fill_value_as_mask": asked}
        missing[kind, asked] = int(np.isnan(xarray.open_zarr(f"format{kind}.zarr", **options).rain).sum())
        print(f"format {kind}, use_zarr_fill_value_as_mask={asked}: {missing[kind, asked]} missing")
plain = xarray.open_zarr("format2.zarr", consolidated=False, mask_and_scale=False).rain
print(f"format 2, mask_and_scale=False: {int(np.isnan(plain).sum())} missing")
seen = missing == {(2, False): 15, (2, True): 15, (3, False): 0, (3, True): 0} and np.array_equal(plain, rain)
raise SystemExit(0 if seen else "no longer so")
PYTHON
