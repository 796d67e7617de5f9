"""Where a file is: in the file system, or elsewhere by a URL."""

import os
import re
from pathlib import PurePosixPath

from sparsegmrf._files import PathLike

_URL = re.compile(r"^(https?|ftp|s3|gs|az|abfs|hf):/{1,2}(?=[^/])", re.IGNORECASE)
_OF_GDAL = re.compile(r"^/vsi[a-z0-9_]+/")


def url_of(path: PathLike) -> str | None:
    """Return what a library opens that is no file here: a URL, or a virtual path of GDAL; None for a file.

    A ``pathlib.Path`` has one slash where a URL has two.
    """
    text = os.fspath(path)
    if _OF_GDAL.match(text):
        return re.sub(r"((?:https?|ftp):)/{1,2}(?=[^/])", r"\1//", text)
    return _URL.sub(lambda found: f"{found[1]}://", text) if _URL.match(text) else None


def name_of(path: PathLike) -> str:
    """Return the name of a file, or the last part of a URL without its query."""
    address = url_of(path)
    return PurePosixPath(os.fspath(path) if address is None else re.sub(r"[?#].*", "", address)).name


def stem_of(path: PathLike) -> str:
    """Return the name of a file without its suffix, and without the one before that of a compression."""
    name = name_of(path)
    return re.sub(r"(\.(fits|fit|fts|nii|zarr))?(?<=.)\.(gz|fz|zip)$|(?<=.)\.[^.]+$", "", name, flags=re.IGNORECASE)
