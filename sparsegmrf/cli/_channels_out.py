"""Where ``fill`` writes what it computes of several channels: all of them in each file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparsegmrf.cli._fill_channels import FilledChannels
from sparsegmrf.cli._fill_out import CALLED, Destination, is_of_intensity
from sparsegmrf.cli._rasters import Loaded
from sparsegmrf.geo._layers import FILLED, Layer
from sparsegmrf.inference._risk import DRAW
from sparsegmrf.io._layers import check_layers, write_layers


@dataclass(frozen=True)
class DestinationOfChannels(Destination):
    """What is written of several channels of an image.

    Attributes
    ----------
    fits : tuple of str
        What the files of the fits are called after.
    """

    fits: tuple[str, ...]

    def names(self, fields: Mapping[str, str], samples: int) -> list[str]:
        """Return the names of all files."""
        images = [self.out.name] if self.is_file else [self.image(field) for field in fields]
        draws = [f"{self.first}-samples{self.stack_suffix}"] if samples else []
        return [*images, *draws, *(self._fit(name) for name in self.fits), f"{self.first}-fill.png"]

    def check_formats(self, fields: Mapping[str, str], samples: int) -> None:
        """Refuse formats that do not hold several channels, or not as they are asked for."""
        if self.is_file:
            check_layers(self.out, self.raster, len(fields), "out", **self.storage.given, called=CALLED)
        else:
            name = "format" if self.storage.format else "out"
            path = self.folder / self.image(FILLED)
            check_layers(path, self.raster, 1, name, **self.storage.given, called=CALLED)
        if samples:
            path = self.folder / f"x{self.stack_suffix}"
            check_layers(path, self.raster, 1, "out", **self.storage.given, called=CALLED)

    def write_channels(self, folder: Path, found: FilledChannels, fields: Mapping[str, str], loaded: Loaded) -> None:
        """Write images, draws and fits to a folder."""
        layers = [
            Layer(
                field,
                fields[field],
                loaded.channels_inside(image),
                is_image=field == FILLED or (field == "mean" and is_of_intensity(fields)),
                is_filled=field == FILLED,
            )
            for field, image in found.images.items()
        ]
        if self.is_file:
            write_layers(folder / self.out.name, layers, self.raster, **self.storage.given)
        else:
            for layer in layers:
                write_layers(folder / self.image(layer.name), [layer], self.raster, **self.storage.given)
        if len(found.draws):
            same = is_of_intensity(fields)
            draws = Layer("draw", "draw" if same else DRAW, loaded.channels_inside(found.draws), is_image=same)
            path = folder / f"{self.first}-samples{self.stack_suffix}"
            write_layers(path, [draws], self.raster, **self.storage.given)
        for name, text in found.fits.items():
            (folder / self._fit(name)).write_text(text, encoding="utf-8")

    def _fit(self, name: str) -> str:
        return f"{self.first}-{name}.json"
