"""Supports of causal autoregressions: which earlier pixels predict a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.stencil._offsets import as_offsets, later_offsets, raster_sign
from sparsegmrf.typing import IntArray, Offsets

SupportLike = str | Offsets


@dataclass(frozen=True, eq=False)
class Support:
    """Offsets ``(K, 2)`` of the earlier pixels, in the order of the weights, and a name for tables."""

    offsets: IntArray
    name: str


def as_support(support: SupportLike, order: tuple[int, int] = (1, 1), radius: int = 1) -> Support:
    """Return the quarter plane of `order`, the half plane of `radius`, or explicit offsets, as a `Support`.

    ``"qp"`` holds the offsets ``(-a, -b)``, ``0 <= a <= p``, ``0 <= b <= q``, without the centre; ``"nshp"`` all
    earlier offsets of the ``(2r + 1) x (2r + 1)`` window; both in raster order.
    """
    if isinstance(support, str):
        if support == "qp":
            return _quarter_plane(order)
        if support == "nshp":
            return _half_plane(radius)
        raise ArgumentError(f"support must be 'qp', 'nshp' or a list of offsets (di, dj), got {support!r}.")
    offsets = as_offsets(support, "support")
    wrong = offsets[raster_sign(offsets) >= 0]
    if len(wrong):
        raise StencilError(
            f"support must hold offsets earlier than the pixel in raster order (di < 0, or di = 0 and dj < 0), got "
            f"{tuple(wrong[0].tolist())}; a causal model predicts from the past, turn the image for another direction."
        )
    return Support(offsets, f"{len(offsets)} offsets")


def as_supports(supports: Sequence[object]) -> list[Support]:
    """Return a `Support` for each ``("qp", (p, q))``, ``("nshp", r)`` or list of offsets."""
    return [_as_named(entry) for entry in supports]


def _as_named(entry: Any) -> Support:
    match entry:
        case ("qp", order):
            return as_support("qp", order=order)
        case ("nshp", radius):
            return as_support("nshp", radius=radius)
        case str():
            raise ArgumentError(
                f"supports must hold ('qp', (p, q)), ('nshp', radius) or lists of offsets, got {entry!r}; add its size."
            )
        case _:
            return as_support(entry)


def _quarter_plane(order: tuple[int, int]) -> Support:
    try:
        p, q = order
    except (TypeError, ValueError):
        raise ArgumentError(
            f"order must be (rows, columns), the reach of the quarter plane upwards and to the left, got {order!r}."
        ) from None
    p, q = integer_at_least("order", p, 0), integer_at_least("order", q, 0)
    offsets = [(-a, -b) for a in range(p, -1, -1) for b in range(q, -1, -1)][:-1]
    return Support(as_offsets(offsets), f"quarter plane {p} x {q}")


def _half_plane(radius: int) -> Support:
    r = integer_at_least("radius", radius, 0)
    return Support(as_offsets(-later_offsets(r)[::-1]), f"half plane {r}")
