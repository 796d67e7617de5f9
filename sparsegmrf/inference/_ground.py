"""Models on the ground of an image: their lengths in its unit, and what is said of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._spacing import PIXEL, Spacing, SpacingLike, pixels, read_spacing
from sparsegmrf.models._spacing import differs, sides
from sparsegmrf.typing import Shape

_LAST_TWO = slice(-2, None)


def placed(model: Any, given: SpacingLike, image: Any, plane: slice = _LAST_TWO) -> tuple[Any, Spacing]:
    """Return a model on the ground of an image, and the size of its pixels.

    A model that has a spacing keeps it.

    Raises
    ------
    ArgumentError
        If `given` is no spacing of an image of the shape, or another one than the model's own.
    """
    shape = _shape_of(image, plane)
    if shape is None or isinstance(model, type):  # what these are refused for, the caller says
        return model, pixels()
    found = read_spacing(given, image, shape, plane)
    own = [each for each in _spacings(model) if each is not None]
    different = [each for each in own if not _same(each, found, shape)]
    if given is not None and not isinstance(given, str) and different:
        raise ArgumentError(
            f"spacing must be that of the model or be left out, got {found} with a model on pixels of "
            f"{Spacing(*different[0])}; give model.replace(spacing=None) to take the model's lengths for pixels."
        )
    if not found.is_pixels and hasattr(model, "spaced"):
        model = model.spaced((found.height, found.width))
    if not different:
        return model, found
    height, width = different[0]
    return model, Spacing(height, width, note="" if found.is_pixels else f"the coordinates have {found}")


def _shape_of(image: Any, plane: slice) -> Shape | None:
    try:
        height, width = np.shape(image)[plane]
    except ValueError:
        return None
    return height, width


def _same(own: Any, found: Spacing, shape: Shape) -> bool:
    pairs = zip(sides(own), sides((found.height, found.width)), strict=True)
    return all(
        ours.shape in ((), (shape[0], 1), shape)
        and np.array_equal(np.broadcast_to(ours, shape), np.broadcast_to(theirs, shape))
        for ours, theirs in pairs
    )


def _spacings(model: Any) -> Iterator[Any]:
    """Yield the spacings of a model, or of those that it is made of, if these have lengths or a spacing."""
    for each, _ in _members(model):
        if hasattr(each, "spacing"):
            yield each.spacing


def has_spacing(model: Any) -> bool:
    """Return whether a model, or one that it is made of, has a spacing of its own."""
    return any(each is not None for each in _spacings(model))


def _members(model: Any, ending: str = "") -> Iterator[tuple[Any, str]]:
    """Yield the models that a model is made of, and what is appended to the names of their parameters."""
    if hasattr(model, "models") and hasattr(model, "labels"):
        for each, label in zip(model.models, model.labels, strict=True):
            yield from _members(each, f"_{label}{ending}")
    elif hasattr(getattr(model, "model", None), "parameters"):
        yield from _members(model.model, ending)
    else:
        yield model, ending


def units_of(model: Any, spacing: Spacing) -> dict[str, str]:
    """Return the units of those parameters that have a length in theirs."""
    found = {}
    for each, ending in _members(model):
        powers: Mapping[str, int] = each.lengths() if hasattr(each, "lengths") else {}
        unit = spacing.unit if getattr(each, "spacing", None) is not None else PIXEL
        for name, power in powers.items():
            found[f"{name}{ending}"] = _unit(unit, power, _intensities(each, name))
    return found


def _intensities(model: Any, name: str) -> int:
    """Return the power of intensity in the unit of a parameter."""
    before, after = model.parameters[name], model.scaled(2.0).parameters[name]
    return round(float(np.log2(after / before))) if before > 0.0 else 0


def _unit(length: str, power: int, intensities: int) -> str:
    """Return a unit such as km, 1/km or km^2/intensity^2."""
    if not length:
        return ""
    single = "pixel" if length == PIXEL else length
    above = [] if power < 1 else [length if power == 1 else f"{single}^{power}"]
    below = [] if power > -1 else [single if power == -1 else f"{single}^{-power}"]
    below += [] if intensities > -1 else ["intensity" if intensities == -1 else f"intensity^{-intensities}"]
    return "/".join([*(above or ["1"]), *below])


def told(model: Any, spacing: Spacing, held: tuple[str, ...] = ()) -> list[str]:
    """Return lines on the unit of lengths; none of pixels without coordinates, and of models without lengths."""
    units, own = units_of(model, spacing), [each for each in _spacings(model) if each is not None]
    lines = []
    if own:
        unknown = "" if spacing.unit else f", the model's own{f'; {spacing.note}' if spacing.note else ''}"
        lines.append(f"a pixel is {spacing}{unknown}")
    if any(getattr(each, "anisotropy", None) is not None and differs(each.spacing) for each, _ in _members(model)):
        lines.append("diffusion is monotone, as pixels differ in size")
    in_pixels = [name for name, unit in units.items() if PIXEL[:-1] in unit]
    if in_pixels and spacing.note:
        lines.append(f"{', '.join(in_pixels)} in pixels: {spacing.note}; spacing=(height, width) gives their size")
    elif in_pixels and spacing.is_map and not spacing.is_pixels:
        lines.append(
            f"{', '.join(in_pixels)} in pixels, as pixels differ in size ({spacing}); spacing=(height, width) gives one"
        )
    values = model.parameters
    lines += [f"held: {name} = {values[name]:.6g} {units[name]}".rstrip() for name in units if name in held]
    return lines
