#!/usr/bin/env bash
# astropy 8.0.2, io.fits: in images of unsigned integers BLANK pixels come back as data.
#
# Surprising: an integer image with BLANK is read as floats with NaN where it is blank, with any BZERO but one. With
#   BZERO = 32768 for 16 bits (the FITS way to store unsigned integers, and what most cameras write) the result stays
#   uint16 and a blank pixel is an ordinary 0 or 65535. The keyword is there, ignore_blank is not set, no warning is given.
# Valid: section 4.4.2.5 of the FITS standard has BLANK for any integer image, counted before BZERO is applied, and gives
#   this very pair, BZERO = 32768 and BLANK = -32768, as its example. "If True, the BLANK keyword is ignored if present. Default is False"
#   (ignore_blank of fits.open).
# Costs: dead pixels and gaps enter statistics, kriging and fills as the darkest or brightest pixels of the image.
# Here: read_fits takes the stored values and applies BLANK, BSCALE and BZERO itself (docs/geo.md, tests/test_fits.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check astropy==8.0.2 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import warnings

import astropy
import numpy as np
from astropy.io import fits

warnings.simplefilter("error")
stored = np.array([[-32668, -32667, -32666], [-32768, -32664, -32663]], dtype=">i2")
blank = stored == -32768


def read(zero, **options):
    cards = [("SIMPLE", "T"), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 3), ("NAXIS2", 2), ("BLANK", -32768), ("BZERO", zero)]
    header = "".join(f"{key:<8}= {value:>20}".ljust(80) for key, value in cards) + "END".ljust(80)
    with open("image.fits", "wb") as file:
        file.write(header.ljust(2880).encode() + stored.tobytes().ljust(2880, b"\0"))
    with fits.open("image.fits", **options) as file:
        return file[0].data


print("astropy", astropy.__version__)
print("expected: NaN, or something else that is no data, at the pixel that is BLANK")
other, unsigned, signed = read(32767), read(32768), read(32768, uint=False)
for name, image in (("BZERO = 32767", other), ("BZERO = 32768", unsigned), ("BZERO = 32768, uint=False", signed)):
    print(f"{name}: {image.dtype}, blank pixel {image[blank][0]}, the others {image[~blank]}")
nan = np.isnan(other[blank]).all() and np.isnan(signed[blank]).all()
data = unsigned.dtype == np.uint16 and not np.ma.isMaskedArray(unsigned) and unsigned[blank][0] == 0
raise SystemExit(0 if nan and data else "no longer so")
PYTHON
