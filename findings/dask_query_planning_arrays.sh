#!/usr/bin/env bash
# dask 2026.8.0: with array.query-planning arrays can neither be read from Zarr, stored nor compared by where, and
# apply_gufunc writes to standard output.
#
# Surprising: the option is one line of configuration, which arrays are made of what looks like the same functions. A third
#   of those that a raster needs are not there: from_zarr, from_delayed, store, where, nanmedian, histogram and coarsen raise
#   NotImplementedError when they are called, not when the option is set; .blocks, .to_delayed() and .ravel() are missing.
#   apply_gufunc works, and prints an array object each time.
# Valid: the same calls with the option off; map_blocks, map_overlap, from_array and reductions work with it on.
# Costs: programs fail in the middle, by a library that they do not see; a program whose output is read by another one
#   gets a line that nobody wrote.
# Here: rasters on dask are refused with the option on, by its name and with the remedy (docs/large.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    "dask[array]==2026.8.0" zarr==3.1.6 numpy==2.4.6
cat > program.py <<'PYTHON'
import sys

import dask

dask.config.set({"array.query-planning": sys.argv[1] == "on"})
import dask.array as da
import numpy as np
import zarr

zarr.save_array(f"{sys.argv[1]}.zarr", np.ones((4, 4)))
x = da.from_array(np.ones((4, 4)), chunks=2)
calls = {
    "from_zarr": lambda: da.from_zarr(f"{sys.argv[1]}.zarr"),
    "from_delayed": lambda: da.from_delayed(dask.delayed(np.ones)((2, 2)), (2, 2), dtype=float),
    "store": lambda: da.store(x, np.zeros((4, 4)), compute=False),
    "where": lambda: da.where(x > 0, x, 0.0),
    "nanmedian": lambda: da.nanmedian(x, axis=0),
    "histogram": lambda: da.histogram(x, bins=3, range=(0, 2)),
    "coarsen": lambda: da.coarsen(np.mean, x, {0: 2}),
    "blocks": lambda: x.blocks[0, 0],
    "to_delayed": lambda: x.to_delayed(),
    "ravel": lambda: x.ravel(),
    "map_blocks": lambda: x.map_blocks(np.sqrt).compute(),
    "map_overlap": lambda: x.map_overlap(np.sqrt, depth=1, boundary="none").compute(),
    "nanmean": lambda: da.nanmean(x).compute(),
}
missing = []
for name, call in calls.items():
    try:
        call()
    except (NotImplementedError, AttributeError):
        missing.append(name)
print("missing:", *missing)
print("gufunc:")
da.apply_gufunc(lambda row: row, "(i)->(i)", x.rechunk((2, 4))).compute()
PYTHON
venv/bin/python program.py off > off.txt 2>/dev/null
venv/bin/python program.py on > on.txt 2>/dev/null
echo "dask 2026.8.0; expected: nothing missing and nothing printed, with the option on as with it off"
sed 's/^/off  /' off.txt
sed 's/^/on   /' on.txt
[ "$(cat off.txt)" = $'missing:\ngufunc:' ]
[ "$(sed -n 1p on.txt)" = "missing: from_zarr from_delayed store where nanmedian histogram coarsen blocks to_delayed ravel" ]
sed -n '3,$p' on.txt | grep -q "dask.array._array_expr"
