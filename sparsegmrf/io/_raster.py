"""What a file of any format gives: an image, where it is missing, and how to write others like it."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sparsegmrf.typing import BoolArray


@runtime_checkable
class Raster(Protocol):
    """An image of a file with NaN where it is missing, and how to write others like it."""

    @property
    def image(self) -> Any:
        """Array or DataArray, (H, W) or (H, W, C)."""

    @property
    def missing(self) -> BoolArray:
        """Where the file says that a channel has no data, (H, W)."""

    @property
    def unit(self) -> str:
        """Unit of the intensities; empty if it is not known."""

    @property
    def nodata(self) -> float | None:
        """Stored value that stands for no data; None if there is none."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of files in which `write` keeps what places the pixels; none if nothing does."""

    @property
    def stack_suffix(self) -> str:
        """Suffix of files with a stack of images."""

    def same_ground(self, other: Any) -> bool:
        """Return whether a raster of the same class has its pixels in the same places, as far as both say."""

    def write(self, path: Path, image: Any, name: str = "", *, unit: str | None = None, exact: bool = False) -> None:
        """Write an image of the same pixels, whole or not at all."""
