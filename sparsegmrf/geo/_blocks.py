"""How the pixels of a GeoTIFF are laid out: rows, tiles, or tiles with overviews for reading over a network."""

from typing import Any

from sparsegmrf._libraries import library
from sparsegmrf.geo._quiet import quiet


def optimized(rasterio: Any, content: bytes) -> bytes:
    """Return a GeoTIFF as a cloud-optimized one: tiles, overviews, what is needed to find them first."""
    shutil = library("rasterio.shutil")
    with quiet(rasterio), rasterio.io.MemoryFile(content) as plain, rasterio.io.MemoryFile(ext=".tif") as memory:
        options = {"compress": "DEFLATE", "overview_resampling": "AVERAGE", "BIGTIFF": "IF_SAFER"}
        shutil.copy(plain.name, memory.name, driver="COG", **options)
        return bytes(memory.getbuffer())


def is_optimized(source: Any) -> bool:
    """Return whether a data set is a cloud-optimized GeoTIFF."""
    return bool(source.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG")


def blocks_of(source: Any) -> dict[str, Any]:
    """Return in which tiles a GeoTIFF is stored, as rasterio has it; nothing for rows."""
    if source.driver != "GTiff" or not source.profile.get("tiled"):
        return {}
    height, width = source.block_shapes[0]
    return {"tiled": True, "blockxsize": width, "blockysize": height}
